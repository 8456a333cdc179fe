//! A pipeline's file, run by DataFusion.

use std::collections::BTreeMap;
use std::fs;

use ::datafusion::arrow::array::{Array, StringArray};
use ::datafusion::arrow::datatypes::DataType;
use ::datafusion::common::cast::as_string_array;
use ::datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
use ::datafusion::prelude::{ParquetReadOptions, SessionContext, cast, col, lit};
use futures_util::TryStreamExt;
use rand::random;
use serde::de::DeserializeOwned;

use super::functions::external;
use super::steps::{apply_steps, needs_all};
use super::table::write_table;
use crate::curate::Dropped;
use crate::io::{write_atomically, write_bad_line, write_line};
use crate::pipeline::DroppedLine;
use crate::{Error, Layout, PipelineConfig, PipelineReport, Result, Row, RowWriter, StepKind, StepRun};

/// Runs the steps of a pipeline, and writes its rows, dropped rows and bad lines.
///
/// `cache` is the folder of what lies between the steps; nothing is looked up in it, and it can be removed afterwards.
/// `changed` of the report is not counted (0). A split and a card are [`Pipeline`](crate::Pipeline)'s.
///
/// # Errors
/// When a setting is out of range, a step or an output is none of these, a file cannot be read or written, or a plan
/// fails.
pub async fn run(context: &SessionContext, mut config: PipelineConfig) -> Result<PipelineReport> {
    config.resolve()?;
    supported(&config)?;
    let folder = config.cache.join(format!("table-{:016x}", random::<u64>()));
    let (read, bad) = write_table(&config.input, &folder.join("rows"))?;
    let here = folder.canonicalize().map_err(|source| Error::io(&folder, source))?;
    let address = |name: &str| format!("{}/{name}/", here.display());
    let rows = context.read_parquet(address("rows"), ParquetReadOptions::default()).await?;
    let rows = apply_steps(context, rows, &config.step, &here.to_string_lossy()).await?;
    rows.write_parquet(&address("done"), DataFrameWriteOptions::new(), None).await?;
    let done = context.read_parquet(address("done"), ParquetReadOptions::default()).await?;
    let folders = vec![folder];
    let mut report = PipelineReport { read, steps: Vec::new(), written: BTreeMap::new(), folders };
    let kept = done.clone().filter(col("step").is_null())?;
    let written = write_kept(kept, &config).await?;
    report.written.insert(config.output.rows.clone(), written);
    report.steps = write_dropped(&done, &config, read.rows).await?;
    if let Some(path) = &config.output.quarantine {
        write_atomically(path, |out| bad.iter().try_for_each(|bad| write_bad_line(out, bad)))?;
    }
    Ok(report)
}

fn supported(config: &PipelineConfig) -> Result<()> {
    let all = |kind: &StepKind| {
        !kind.by_row() && !matches!(kind, StepKind::ExactDuplicates {} | StepKind::NearDuplicates(_))
    };
    if let Some(step) = config.step.iter().find(|step| all(&step.kind)) {
        return Err(needs_all(&step.name));
    }
    if config.output.split.is_some() || config.output.card.is_some() {
        let reason = "a split and a card need all rows at once\nhint: run them with Pipeline on what is left";
        return Err(Error::config("output", reason));
    }
    Ok(())
}

/// Texts of columns, in the order of the rows, batch by batch.
async fn texts(
    rows: DataFrame,
    columns: &[&str],
    mut visit: impl FnMut(&[StringArray]) -> Result<()>,
) -> Result<()> {
    let of = |name: &&str| cast(col(*name), DataType::Utf8).alias(*name);
    let mut wanted = vec![col("id")];
    wanted.extend(columns.iter().map(of));
    let sorted = rows.select(wanted)?.sort(vec![col("id").sort(true, false)])?;
    let mut batches = sorted.execute_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        let arrays: Result<Vec<StringArray>, _> =
            (1..batch.num_columns()).map(|at| as_string_array(batch.column(at)).cloned()).collect();
        visit(&arrays?)?;
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_str(text).map_err(external)?)
}

async fn write_kept(kept: DataFrame, config: &PipelineConfig) -> Result<usize> {
    let path = &config.output.rows;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|source| Error::io(parent, source))?;
    }
    let mut writer = RowWriter::create(path, Layout::Messages)?;
    texts(kept, &["row"], |columns| {
        columns[0].iter().flatten().try_for_each(|row| writer.write(&Row::Conversation(parse(row)?)))
    })
    .await?;
    writer.finish()
}

/// Writes the dropped rows if they are asked for, and counts them by step.
async fn write_dropped(done: &DataFrame, config: &PipelineConfig, rows: usize) -> Result<Vec<StepRun>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut steps = Vec::new();
    let mut input = rows;
    for step in &config.step {
        let mut run = StepRun { name: step.name.clone(), input, ..StepRun::default() };
        let of_step = done.clone().filter(col("step").eq(lit(step.name.as_str())))?;
        texts(of_step, &["row", "reason", "detail", "of"], |columns| {
            for at in 0..columns[0].len() {
                let value = |array: &StringArray| array.is_valid(at).then(|| array.value(at).to_owned());
                let [row, reason, detail, of] = [0, 1, 2, 3].map(|column| value(&columns[column]));
                let reason = serde_json::from_value(reason.unwrap_or_default().into()).map_err(external)?;
                let example = parse(&row.unwrap_or_default())?;
                let row = Dropped { example, reason, detail: detail.unwrap_or_default(), of };
                *run.dropped.entry(reason).or_default() += 1;
                let mut line = Vec::new();
                write_line(&mut line, &DroppedLine { step: &step.name, row: &row }).map_err(external)?;
                lines.push(line);
            }
            Ok(())
        })
        .await?;
        run.kept = input - run.dropped.values().sum::<usize>();
        input = run.kept;
        steps.push(run);
    }
    if let Some(path) = &config.output.dropped {
        write_atomically(path, |out| lines.iter().try_for_each(|line| out.write_all(line)))?;
    }
    Ok(steps)
}
