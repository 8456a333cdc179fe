//! The functions that executors run.

use std::sync::Arc;

use ::datafusion::arrow::array::{
    Array, ArrayRef, Float64Array, ListArray, ListBuilder, StringArray, StructArray, UInt64Builder,
};
use ::datafusion::arrow::datatypes::{DataType, Field, Fields};
use ::datafusion::common::cast::as_string_array;
use ::datafusion::error::{DataFusionError, Result};
use ::datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde::{Deserialize, Serialize};

use super::near::NearSettings;
use crate::pipeline::{BuiltIn, Stage};
use crate::{Example, StepKind};

/// What `slm_steps` gives for a row.
const VERDICT: [&str; 4] = ["found_row", "found_step", "found_reason", "found_detail"];

/// The functions of this module, for a context, a scheduler or an executor.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let kinds = [Kind::Pair, Kind::Steps, Kind::Fingerprint, Kind::Source, Kind::Keys, Kind::Similarity];
    kinds.into_iter().map(|kind| Arc::new(ScalarUDF::from(Function::new(kind)))).collect()
}

/// The function of a name that is known to be one.
pub(super) fn function(kind: Kind) -> ScalarUDF {
    ScalarUDF::from(Function::new(kind))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pair,
    Steps,
    Fingerprint,
    Source,
    Keys,
    Similarity,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl Function {
    fn new(kind: Kind) -> Self {
        let arguments = match kind {
            Kind::Fingerprint | Kind::Source => 1,
            Kind::Steps | Kind::Keys => 2,
            Kind::Pair | Kind::Similarity => 3,
        };
        Self { kind, signature: Signature::exact(vec![DataType::Utf8; arguments], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Pair => "slm_pair",
            Kind::Steps => "slm_steps",
            Kind::Fingerprint => "slm_fingerprint",
            Kind::Source => "slm_source",
            Kind::Keys => "slm_keys",
            Kind::Similarity => "slm_similarity",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Pair | Kind::Fingerprint | Kind::Source => DataType::Utf8,
            Kind::Steps => DataType::Struct(verdict_fields()),
            Kind::Keys => DataType::new_list(DataType::UInt64, true),
            Kind::Similarity => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = |at: usize| -> Result<StringArray> {
            Ok(as_string_array(&args.args[at].to_array(args.number_rows)?)?.clone())
        };
        let array: ArrayRef = match self.kind {
            Kind::Pair => Arc::new(pairs(&texts(0)?, &texts(1)?, &texts(2)?)?),
            Kind::Steps => Arc::new(steps(&texts(0)?, literal(&args, 1)?)?),
            Kind::Fingerprint => Arc::new(each(&texts(0)?, |row| row.fingerprint())?),
            Kind::Source => Arc::new(each(&texts(0)?, |row| row.source)?),
            Kind::Keys => Arc::new(keys(&texts(0)?, literal(&args, 1)?)?),
            Kind::Similarity => Arc::new(similarities(&texts(0)?, &texts(1)?, literal(&args, 2)?)?),
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn verdict_fields() -> Fields {
    VERDICT.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect()
}

/// Settings, which are the same for all rows.
fn literal(args: &ScalarFunctionArgs, at: usize) -> Result<&str> {
    let text = match &args.args[at] {
        ColumnarValue::Scalar(scalar) => scalar.try_as_str().flatten(),
        ColumnarValue::Array(_) => None,
    };
    text.ok_or_else(|| DataFusionError::Plan(format!("argument {} must be a literal text", at + 1)))
}

fn parse_row(text: &str) -> Result<Example> {
    serde_json::from_str(text).map_err(|error| {
        DataFusionError::Execution(format!(
            "not a row: {error}\nhint: rows are made by write_table or slm_pair"
        ))
    })
}

fn row_text(row: &Example) -> Result<String> {
    serde_json::to_string(row).map_err(external)
}

pub(super) fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn each(rows: &StringArray, of: impl Fn(Example) -> String) -> Result<StringArray> {
    rows.iter().map(|row| row.map(|row| Ok(of(parse_row(row)?))).transpose()).collect()
}

fn pairs(questions: &StringArray, answers: &StringArray, sources: &StringArray) -> Result<StringArray> {
    let columns = questions.iter().zip(answers).zip(sources);
    let pair = |((question, answer), source): ((Option<&str>, Option<&str>), Option<&str>)| {
        let (Some(question), Some(answer)) = (question, answer) else { return Ok(None) };
        row_text(&Example::pair(question, answer, source.unwrap_or_default())).map(Some)
    };
    columns.map(pair).collect()
}

/// A step as it travels to the executors: in JSON, which keeps what is switched off.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NamedStep {
    pub(super) name: String,
    pub(super) kind: StepKind,
}

fn steps(rows: &StringArray, settings: &str) -> Result<StructArray> {
    let steps: Vec<NamedStep> = serde_json::from_str(settings).map_err(external)?;
    let mut columns: [Vec<Option<String>>; 4] = std::array::from_fn(|_| vec![None; rows.len()]);
    let mut groups = vec![None; rows.len()];
    let mut alive = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        let mut row = parse_row(row)?;
        // No step on single rows looks at the group: the row's place rides there.
        groups[at] = row.group.replace(at.to_string());
        alive.push(row);
    }
    let mut put = |mut row: Example, verdict: [Option<String>; 3]| -> Result<()> {
        let place = row.group.as_deref().and_then(|place| place.parse::<usize>().ok()).unwrap_or_default();
        row.group = groups[place].take();
        columns[0][place] = Some(row_text(&row)?);
        columns[1..].iter_mut().zip(verdict).for_each(|(column, value)| column[place] = value);
        Ok(())
    };
    for NamedStep { name, kind } in steps {
        let outcome = BuiltIn::new(kind, Vec::new(), u64::MAX).apply(alive).map_err(external)?;
        for dropped in outcome.dropped {
            let reason = serde_json::to_value(dropped.reason).map_err(external)?;
            let reason = reason.as_str().map(str::to_owned);
            put(dropped.example, [Some(name.clone()), reason, Some(dropped.detail)])?;
        }
        alive = outcome.kept;
    }
    alive.into_iter().try_for_each(|row| put(row, [None, None, None]))?;
    let arrays = columns.map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    Ok(StructArray::try_new(verdict_fields(), arrays.into(), None)?)
}

fn keys(rows: &StringArray, settings: &str) -> Result<ListArray> {
    let settings = NearSettings::parse(settings)?;
    let sketches = settings.sketches();
    let mut out = ListBuilder::new(UInt64Builder::new());
    for row in rows {
        match row {
            Some(row) => out.append_value(sketches.keys(&parse_row(row)?).into_iter().map(Some)),
            None => out.append_null(),
        }
    }
    Ok(out.finish())
}

fn similarities(rows: &StringArray, others: &StringArray, settings: &str) -> Result<Float64Array> {
    let settings = NearSettings::parse(settings)?;
    let sketches = settings.sketches();
    let similarity = |(row, other): (Option<&str>, Option<&str>)| match (row, other) {
        (Some(row), Some(other)) => Ok(sketches.similarity(&parse_row(row)?, &parse_row(other)?)),
        _ => Ok(None),
    };
    rows.iter().zip(others).map(similarity).collect()
}
