//! Tables, and filters as conditions.

use postgres::types::ToSql;
use serde_json::{Map, Value as Json};

use crate::index::{Filter, Metadata, Value};

/// Values of a statement, `$1` first.
pub(super) type Values = Vec<Box<dyn ToSql + Sync>>;

pub(super) fn as_parameters(values: &Values) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(AsRef::as_ref).collect()
}

/// Adds a value and gives its name in the statement.
pub(super) fn bind(values: &mut Values, value: impl ToSql + Sync + 'static) -> String {
    values.push(Box::new(value));
    format!("${}", values.len())
}

/// The tables of a collection of this name, with vectors of this length.
///
/// Postings are rows, so that BM25 is computed by the database with the same terms and the same formula as here.
pub(super) fn tables(name: &str, dimension: Option<usize>) -> String {
    let (extension, column, index) = match dimension {
        None => (String::new(), String::new(), String::new()),
        Some(n) => (
            "CREATE EXTENSION IF NOT EXISTS vector;".to_owned(),
            format!(", embedding vector({n}) NOT NULL"),
            format!(
                "CREATE INDEX IF NOT EXISTS {name}_near ON {name}_chunks USING hnsw (embedding vector_cosine_ops);"
            ),
        ),
    };
    format!(
        "{extension}
        CREATE TABLE IF NOT EXISTS {name}_about (config bytea NOT NULL, dimension int8);
        CREATE TABLE IF NOT EXISTS {name}_documents (
            id text PRIMARY KEY, text text NOT NULL, metadata jsonb NOT NULL);
        CREATE TABLE IF NOT EXISTS {name}_chunks (
            id bigserial PRIMARY KEY,
            source text NOT NULL REFERENCES {name}_documents ON DELETE CASCADE,
            first int8 NOT NULL, past int8 NOT NULL, heading text[] NOT NULL, inherited int8 NOT NULL,
            sentences int8[] NOT NULL, length int8 NOT NULL{column});
        CREATE TABLE IF NOT EXISTS {name}_terms (
            term text NOT NULL, chunk int8 NOT NULL REFERENCES {name}_chunks ON DELETE CASCADE,
            times int8 NOT NULL, PRIMARY KEY (term, chunk));
        CREATE INDEX IF NOT EXISTS {name}_of ON {name}_chunks (source);
        CREATE INDEX IF NOT EXISTS {name}_in ON {name}_terms (chunk);
        {index}"
    )
}

/// What is known of a document, as JSON.
pub(super) fn json(metadata: &Metadata) -> Json {
    Json::Object(
        metadata.iter().map(|(field, value)| (field.clone(), value_json(value))).collect::<Map<_, _>>(),
    )
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Number(number) => Json::from(*number),
        Value::Flag(flag) => Json::from(*flag),
    }
}

/// A condition on the document `d`, never null.
pub(super) fn condition(filter: &Filter, values: &mut Values) -> String {
    let mut joined = |filters: &[Filter], word: &str, none: &str| {
        let parts: Vec<String> = filters.iter().map(|filter| condition(filter, values)).collect();
        if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(word)) }
    };
    match filter {
        Filter::Any => "TRUE".to_owned(),
        Filter::Under(folder) => format!("starts_with(d.id, {}::text)", bind(values, folder.clone())),
        Filter::Equals(field, value) => {
            let (field, value) = (bind(values, field.clone()), bind(values, value_json(value)));
            format!("COALESCE(d.metadata -> {field}::text = {value}::jsonb, FALSE)")
        }
        Filter::Between(field, low, high) => {
            let field = bind(values, field.clone());
            let (low, high) = (bind(values, *low), bind(values, *high));
            format!(
                "CASE WHEN jsonb_typeof(d.metadata -> {field}::text) = 'number' \
                 THEN (d.metadata ->> {field}::text)::float8 BETWEEN {low}::float8 AND {high}::float8 ELSE FALSE END"
            )
        }
        Filter::All(filters) => joined(filters, " AND ", "TRUE"),
        Filter::OneOf(filters) => joined(filters, " OR ", "FALSE"),
        Filter::Not(filter) => format!("NOT {}", condition(filter, values)),
    }
}
