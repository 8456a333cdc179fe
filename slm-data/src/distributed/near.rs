//! Near duplicates: executors find the pairs, the greedy choice among them is made here.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use ::datafusion::arrow::datatypes::DataType;
use ::datafusion::common::JoinType;
use ::datafusion::common::cast::{as_float64_array, as_int64_array, as_string_array};
use ::datafusion::dataframe::DataFrame;
use ::datafusion::error::Result as DataResult;
use ::datafusion::prelude::{cast, col, lit};
use serde::{Deserialize, Serialize};

use super::functions::{Kind, external, function};
use crate::curate::{may_equal, normal};
use crate::duplicates::{Buffers, Sketcher, banded, jaccard, sample, template};
use crate::{Example, NearDuplicateConfig, Result, Similarity};

/// What decides on near duplicates, as it travels to the executors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NearSettings {
    config: NearDuplicateConfig,
    /// Sequences that do not count.
    template: Vec<u32>,
    #[serde(skip)]
    similarity: Similarity,
}

impl NearSettings {
    pub(super) fn parse(text: &str) -> DataResult<Self> {
        let mut settings: Self = serde_json::from_str(text).map_err(external)?;
        settings.config.check().map_err(external)?;
        settings.similarity = settings.config.similarity();
        Ok(settings)
    }

    pub(super) fn sketches(&self) -> Sketches<'_> {
        let template = self.template.iter().copied().collect();
        Sketches { config: &self.config, sketcher: Sketcher::without(&self.similarity, template) }
    }
}

/// What executors compute of rows.
pub(super) struct Sketches<'a> {
    config: &'a NearDuplicateConfig,
    sketcher: Sketcher<'a>,
}

impl Sketches<'_> {
    pub(super) fn keys(&self, row: &Example) -> Vec<u64> {
        let mut buffers = Buffers::default();
        banded(self.sketcher.known_keys(&normal(row, self.config.compared), &mut buffers)).collect()
    }

    /// The similarity of a row and an earlier one, where they are near duplicates.
    pub(super) fn similarity(&self, row: &Example, earlier: &Example) -> Option<f64> {
        let set = |row: &Example| self.sketcher.set(&normal(row, self.config.compared));
        let similarity = jaccard(&set(row), &set(earlier), self.config.threshold)?;
        may_equal(row, earlier, self.config.rule).then_some(similarity)
    }
}

/// A row that almost equals an earlier one that stays.
#[derive(Debug, PartialEq)]
pub(super) struct Near {
    id: i64,
    similarity: f64,
    source: String,
    of: String,
}

/// The near duplicates among rows (`id`, `row`), by id.
///
/// What is held here is eight bytes for each row, the sample for the template, and the pairs that are similar.
pub(super) async fn near_rows(rows: &DataFrame, config: &NearDuplicateConfig) -> Result<Vec<Near>> {
    let settings = settings(rows, config).await?;
    let settings = lit(serde_json::to_string(&settings).map_err(external)?);
    let keys = function(Kind::Keys).call(vec![col("row"), settings.clone()]).alias("key");
    let keys = rows.clone().select(vec![col("id"), keys])?.unnest_columns(&["key"])?;
    let later = keys.clone().select(vec![col("id").alias("later"), col("key").alias("other")])?;
    let pairs = keys
        .join(later, JoinType::Inner, &["key"], &["other"], Some(col("id").lt(col("later"))))?
        .select(vec![col("id").alias("earlier"), col("later")])?
        .distinct()?;
    let text = |id: &str, row: &str| rows.clone().select(vec![col("id").alias(id), col("row").alias(row)]);
    let both = pairs.join(text("a", "row_a")?, JoinType::Inner, &["earlier"], &["a"], None)?.join(
        text("b", "row_b")?,
        JoinType::Inner,
        &["later"],
        &["b"],
        None,
    )?;
    let of_earlier = |kind| cast(function(kind).call(vec![col("row_a")]), DataType::Utf8);
    let similarity = function(Kind::Similarity).call(vec![col("row_b"), col("row_a"), settings]);
    let edges = both
        .select(vec![col("earlier"), col("later"), col("row_a"), similarity.alias("similarity")])?
        .filter(col("similarity").is_not_null())?
        .select(vec![
            col("later"),
            col("earlier"),
            col("similarity"),
            of_earlier(Kind::Source).alias("source"),
            of_earlier(Kind::Fingerprint).alias("of"),
        ])?;
    Ok(choose(&edges.collect().await?)?)
}

/// The settings with the template of the rows, judged on the rows that [`sample`] names.
async fn settings(rows: &DataFrame, config: &NearDuplicateConfig) -> Result<NearSettings> {
    let similarity = config.similarity();
    let mut ids = Vec::new();
    for batch in rows.clone().select(vec![col("id")])?.collect().await? {
        ids.extend_from_slice(as_int64_array(batch.column(0))?.values());
    }
    ids.sort_unstable();
    let wanted: Vec<_> = sample(ids.len(), &similarity).into_iter().map(|at| lit(ids[at])).collect();
    let mut sets = Vec::with_capacity(wanted.len());
    if !wanted.is_empty() {
        let rows = rows.clone().filter(col("id").in_list(wanted, false))?;
        for batch in rows.select(vec![cast(col("row"), DataType::Utf8)])?.collect().await? {
            for row in as_string_array(batch.column(0))?.iter().flatten() {
                let row: Example = serde_json::from_str(row).map_err(external)?;
                sets.push(similarity.shingle.set(&normal(&row, config.compared)));
            }
        }
    }
    let mut template: Vec<u32> = template(&similarity, sets).into_iter().collect();
    template.sort_unstable();
    Ok(NearSettings { config: config.clone(), template, similarity })
}

/// A row is a duplicate only of one that stays: rows in their order, the first earlier one that stays counts.
fn choose(batches: &[RecordBatch]) -> DataResult<Vec<Near>> {
    let mut edges: BTreeMap<(i64, i64), (f64, String, String)> = BTreeMap::new();
    for batch in batches {
        let (later, earlier) = (as_int64_array(batch.column(0))?, as_int64_array(batch.column(1))?);
        let similarity = as_float64_array(batch.column(2))?;
        let (source, of) = (as_string_array(batch.column(3))?, as_string_array(batch.column(4))?);
        for at in 0..batch.num_rows() {
            let texts = (source.value(at).to_owned(), of.value(at).to_owned());
            let edge = (similarity.value(at), texts.0, texts.1);
            edges.insert((later.value(at), earlier.value(at)), edge);
        }
    }
    let mut dropped: BTreeMap<i64, Near> = BTreeMap::new();
    for ((id, earlier), (similarity, source, of)) in edges {
        if !dropped.contains_key(&earlier) && !dropped.contains_key(&id) {
            dropped.insert(id, Near { id, similarity, source, of });
        }
    }
    Ok(dropped.into_values().collect())
}

/// The rows as a table: `near`, `detail`, `of`.
pub(super) fn table(found: &[Near], detail: impl Fn(f64, &str) -> String) -> DataResult<RecordBatch> {
    let ids: Int64Array = found.iter().map(|near| Some(near.id)).collect();
    let details: StringArray = found.iter().map(|near| Some(detail(near.similarity, &near.source))).collect();
    let of: StringArray = found.iter().map(|near| Some(near.of.as_str())).collect();
    let columns: [(&str, ArrayRef); 3] =
        [("near", Arc::new(ids)), ("found", Arc::new(details)), ("found_of", Arc::new(of))];
    Ok(RecordBatch::try_from_iter(columns)?)
}

#[cfg(test)]
mod tests {
    use ::datafusion::arrow::array::Float64Array;

    use super::*;

    #[test]
    fn a_row_is_a_duplicate_only_of_one_that_stays() -> DataResult<()> {
        let (later, earlier) = ([2, 3, 3, 9], [1, 2, 1, 3]);
        let texts = || Arc::new(StringArray::from(vec!["a"; 4])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("later", Arc::new(Int64Array::from(later.to_vec())) as ArrayRef),
            ("earlier", Arc::new(Int64Array::from(earlier.to_vec()))),
            ("similarity", Arc::new(Float64Array::from(vec![0.9; 4]))),
            ("source", texts()),
            ("of", texts()),
        ])?;
        let found: Vec<i64> = choose(&[batch])?.into_iter().map(|near| near.id).collect();
        // 3 equals 1, which stays, and 9 equals only 3, which does not.
        assert_eq!(found, [2, 3]);
        Ok(())
    }
}
