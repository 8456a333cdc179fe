//! Steps as plans.

use ::datafusion::arrow::datatypes::DataType;
use ::datafusion::common::{JoinType, ScalarValue};
use ::datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
use ::datafusion::functions::core::expr_ext::FieldAccessor;
use ::datafusion::functions::expr_fn::coalesce;
use ::datafusion::functions_window::expr_fn::first_value;
use ::datafusion::logical_expr::ExprFunctionExt;
use ::datafusion::prelude::{
    Expr, ParquetReadOptions, SessionConfig, SessionContext, cast, col, concat, lit, when,
};
use rand::random;

use super::functions::{Kind, NamedStep, external, function};
use super::near::{near_rows, table};
use crate::curate::{CurateConfig, EQUALS, near_detail};
use crate::{DropReason, Error, NearDuplicateConfig, Result, StepConfig, StepKind};

/// Columns of rows and of what became of them.
const COLUMNS: [&str; 6] = ["id", "row", "step", "reason", "detail", "of"];

/// Applies steps to a table of rows (`id`: a number, in the order of the rows; `row`: as [`write_table`](super::write_table)
/// and `slm_pair` make it).
///
/// All rows come back, with the name of the `step` that dropped them, its `reason`, what gave it away (`detail`), and the
/// fingerprint of the row that they are duplicates `of`; rows without a step stay. `work` is a folder, by a path or an
/// address that all machines know, for the rows between steps; each call makes a folder in it.
///
/// Near duplicates are found by a join of the rows on their keys: many equal rows make many pairs, so exact duplicates
/// should go first.
///
/// # Errors
/// When a step needs all rows at once, a setting is out of range, or a plan fails.
pub async fn apply_steps(
    context: &SessionContext,
    rows: DataFrame,
    steps: &[StepConfig],
    work: &str,
) -> Result<DataFrame> {
    super::register(context);
    let plan = Plan { context, work: format!("{}/run-{:016x}", work.trim_end_matches('/'), random::<u64>()) };
    let none = || lit(ScalarValue::Utf8(None));
    let id = cast(col("id"), DataType::Int64).alias("id");
    let row = cast(col("row"), DataType::Utf8).alias("row");
    let mut columns = vec![id, row];
    columns.extend(COLUMNS[2..].iter().map(|name| none().alias(*name)));
    let mut rows = rows.select(columns)?;
    let mut single: Vec<NamedStep> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let name = step.name.clone();
        if step.kind.by_row() {
            single.push(NamedStep { name, kind: step.kind.clone() });
            continue;
        }
        // Rows without the right turns have no say among all rows.
        single.push(NamedStep { name, kind: StepKind::Curate(Box::new(CurateConfig::none())) });
        rows = judged(rows, &std::mem::take(&mut single))?;
        rows = match &step.kind {
            StepKind::ExactDuplicates {} => exact(rows, &step.name)?,
            StepKind::NearDuplicates(config) => plan.near(rows, step, config, number).await?,
            _ => return Err(needs_all(&step.name)),
        };
    }
    if !single.is_empty() {
        rows = judged(rows, &single)?;
    }
    Ok(rows)
}

pub(super) fn needs_all(step: &str) -> Error {
    let reason =
        format!("`{step}` needs all rows at once\nhint: run it with Pipeline on what the others leave");
    Error::config("step", reason)
}

/// Steps that judge each row alone.
fn judged(rows: DataFrame, steps: &[NamedStep]) -> Result<DataFrame> {
    let settings = serde_json::to_string(steps).map_err(external)?;
    let alive = when(col("step").is_null(), col("row")).end()?;
    let found = function(Kind::Steps).call(vec![alive, lit(settings)]).alias("found");
    // Names stand for one thing each all through a plan: the optimizer of DataFusion 55 mixes up a column of a table
    // and one of a projection that are called the same when it pulls fields out of structs.
    let was = |name: &str| format!("was_{name}");
    let mut columns: Vec<Expr> = COLUMNS.iter().map(|name| col(*name).alias(was(name))).collect();
    columns.push(found);
    let field = |name: &str| col("found").field(format!("found_{name}"));
    let filled = |name: &str| coalesce(vec![col(was(name)), field(name)]).alias(name);
    Ok(rows.select(columns)?.select(vec![
        col("was_id").alias("id"),
        coalesce(vec![field("row"), col("was_row")]).alias("row"),
        filled("step"),
        filled("reason"),
        filled("detail"),
        col("was_of").alias("of"),
    ])?)
}

/// Rows that an earlier one equals.
fn exact(rows: DataFrame, step: &str) -> Result<DataFrame> {
    let call = |kind| function(kind).call(vec![col("row")]);
    // Rows that were dropped equal none: each is alone under its number.
    let alone = concat(vec![lit("row "), cast(col("id"), DataType::Utf8)]);
    let key = when(col("step").is_null(), call(Kind::Fingerprint)).otherwise(alone)?;
    let mut columns: Vec<Expr> = COLUMNS.iter().map(|name| col(*name)).collect();
    columns.extend([key.alias("key"), call(Kind::Source).alias("source")]);
    let first = |name: &str| {
        let first = first_value(col(name)).partition_by(vec![col("key")]);
        first.order_by(vec![col("id").sort(true, false)]).build()
    };
    let firsts = vec![first("id")?.alias("first"), first("source")?.alias("first_source")];
    let repeats = || col("first").not_eq(col("id"));
    Ok(rows.select(columns)?.window(firsts)?.select(dropped(
        repeats,
        step,
        DropReason::ExactDuplicate,
        [concat(vec![lit(EQUALS), col("first_source")]), col("key")],
    )?)?)
}

/// The columns, where `is` says which rows are dropped now; `why` are detail and fingerprint of the other row.
fn dropped(
    is: impl Fn() -> Expr,
    step: &str,
    reason: DropReason,
    [detail, of]: [Expr; 2],
) -> Result<Vec<Expr>> {
    let reason = serde_json::to_value(reason).map_err(external)?;
    let reason = reason.as_str().unwrap_or_default();
    let put =
        |name: &str, value: Expr| -> Result<Expr> { Ok(when(is(), value).otherwise(col(name))?.alias(name)) };
    Ok(vec![
        col("id"),
        col("row"),
        put("step", lit(step))?,
        put("reason", lit(reason))?,
        put("detail", detail)?,
        put("of", of)?,
    ])
}

/// Where rows lie between steps.
struct Plan<'a> {
    context: &'a SessionContext,
    work: String,
}

impl Plan<'_> {
    async fn near(
        &self,
        rows: DataFrame,
        step: &StepConfig,
        config: &NearDuplicateConfig,
        number: usize,
    ) -> Result<DataFrame> {
        let folder = format!("{}/{number}/", self.work);
        let saved = |name: &str| format!("saved_{name}");
        let out = rows.select(COLUMNS.map(|name| col(name).alias(saved(name))).to_vec())?;
        out.write_parquet(&folder, DataFrameWriteOptions::new(), None).await?;
        let rows = self.read(&folder).await?;
        let rows = rows.select(COLUMNS.map(|name| col(saved(name)).alias(name)).to_vec())?;
        let alive = rows.clone().filter(col("step").is_null())?.select(vec![col("id"), col("row")])?;
        let found = near_rows(&alive, config).await?;
        if found.is_empty() {
            return Ok(rows);
        }
        let folder = format!("{}/{number}-near/", self.work);
        let here = SessionContext::new_with_config_rt(SessionConfig::new(), self.context.runtime_env());
        let verdicts = here.read_batch(table(&found, near_detail)?)?;
        verdicts.write_parquet(&folder, DataFrameWriteOptions::new(), None).await?;
        let verdicts = self.read(&folder).await?;
        let joined = rows.join(verdicts, JoinType::Left, &["id"], &["near"], None)?;
        let is = || col("near").is_not_null();
        let why = [col("found"), col("found_of")];
        Ok(joined.select(dropped(is, &step.name, DropReason::NearDuplicate, why)?)?)
    }

    async fn read(&self, folder: &str) -> Result<DataFrame> {
        Ok(self.context.read_parquet(folder, ParquetReadOptions::default()).await?)
    }
}
