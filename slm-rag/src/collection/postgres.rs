//! A collection in PostgreSQL.

use std::collections::{BTreeMap, HashMap};

use postgres::{Client, IsolationLevel, NoTls, Row, Transaction};
use slm_data::Document;

use super::Collection;
use super::server::{About, Candidates, last_of_each};
use super::sql::{Values, as_parameters, bind, condition, json, tables};
use crate::chunk::Chunk;
use crate::index::{Cut, Filter, Hit, IndexConfig, Metadata, Ranked, Sentence};
use crate::retrieve::{RetrieveConfig, SharedEmbedder};
use crate::text::Stemming;
use crate::{Error, Result};

/// A collection in PostgreSQL, its vectors in the extension pgvector: for what several machines write and search.
///
/// Documents are cut, stemmed and scored as in an [`Index`](crate::Index) of the same configuration: a search by words gives
/// the same chunks and scores. Vectors are floats, and those near one are found by pgvector's HNSW graph. Each change is one
/// transaction, each search reads one state.
pub struct PostgresCollection {
    client: Client,
    about: About,
}

impl std::fmt::Debug for PostgresCollection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresCollection").field("name", &self.about.name).finish_non_exhaustive()
    }
}

impl PostgresCollection {
    /// Opens the collection `name` of the database at `address` (`host=db user=rag dbname=docs`, without TLS), or makes it.
    ///
    /// # Errors
    /// When the name is not of small letters, digits and `_`, the database cannot be reached, or the collection was made with
    /// another configuration or vectors of another length.
    pub fn open(
        address: &str,
        name: &str,
        config: &IndexConfig,
        embedder: Option<SharedEmbedder>,
    ) -> Result<Self> {
        let about = About::new(name, config, embedder)?;
        let mut client = Client::connect(address, NoTls)?;
        let own = postcard::to_stdvec(config).map_err(|error| Error::config("config", error.to_string()))?;
        let mut change = client.transaction()?;
        // Two that open collections at once would both make the tables, or the extension.
        change.execute("SELECT pg_advisory_xact_lock(hashtext('slm-rag'))", &[])?;
        change.batch_execute(&tables(name, about.dimension()))?;
        match change.query_opt(&format!("SELECT config, dimension FROM {name}_about"), &[])? {
            None => {
                let length = about.dimension().map(|n| n as i64);
                change.execute(&format!("INSERT INTO {name}_about VALUES ($1, $2)"), &[&own, &length])?;
            }
            Some(row) => {
                let made: Option<i64> = row.get(1);
                about.check_made(row.get::<_, Vec<u8>>(0) == own, made.map(|n| n as usize))?;
            }
        }
        change.commit()?;
        Ok(Self { client, about })
    }

    /// The same with another way to search; of the configuration, how candidates are found and fused counts here.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn with_config(self, retrieve: RetrieveConfig) -> Result<Self> {
        retrieve.check()?;
        Ok(Self { about: About { retrieve, ..self.about }, ..self })
    }
}

/// A collection within a transaction.
struct Within<'a, 'c> {
    about: &'a About,
    client: &'a mut Transaction<'c>,
}

impl Candidates for Within<'_, '_> {
    fn by_words(&mut self, terms: &BTreeMap<String, u32>, k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let IndexConfig { k1, b, .. } = self.about.config;
        let (terms, times): (Vec<String>, Vec<f64>) =
            terms.iter().map(|(term, times)| (term.clone(), f64::from(*times))).unzip();
        let mut values: Values = vec![Box::new(terms), Box::new(times)];
        let (k1, b, limit) = (bind(&mut values, k1), bind(&mut values, b), bind(&mut values, k as i64));
        let condition = condition(filter, &mut values);
        let name = &self.about.name;
        let statement = format!(
            "WITH q AS (SELECT * FROM unnest($1::text[], $2::float8[]) AS q(term, asked)),
             whole AS (SELECT count(*)::float8 AS n, greatest(avg(length), 1)::float8 AS mean FROM {name}_chunks),
             rare AS (SELECT term, count(*)::float8 AS n FROM {name}_terms JOIN q USING (term) GROUP BY term)
             SELECT c.id, sum(asked * ln(1 + (whole.n - rare.n + 0.5) / (rare.n + 0.5))
                 * times / (times + {k1}::float8 * (1 - {b}::float8 + {b}::float8 * c.length / whole.mean))) AS score
             FROM q JOIN rare USING (term) JOIN {name}_terms USING (term) JOIN {name}_chunks c ON c.id = chunk
                 JOIN {name}_documents d ON d.id = c.source CROSS JOIN whole
             WHERE {condition} GROUP BY c.id ORDER BY score DESC, c.id LIMIT {limit}"
        );
        Ok(self.client.query(&statement, &as_parameters(&values))?.iter().map(ranked).collect())
    }

    fn by_vector(&mut self, vector: &[f32], k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let mut values: Values = vec![Box::new(literal(vector)), Box::new(k as i64)];
        let (condition, name) = (condition(filter, &mut values), &self.about.name);
        // The graph gives no more than it looks at. Conditions are tested on what it gives, so with one all are compared.
        self.client.batch_execute(&match filter {
            Filter::Any => format!("SET LOCAL hnsw.ef_search = {}", (2 * k).clamp(40, 1000)),
            _ => "SET LOCAL enable_indexscan = off".to_owned(),
        })?;
        let statement = format!(
            "SELECT c.id, 1 - (c.embedding <=> $1::text::vector) FROM {name}_chunks c
                 JOIN {name}_documents d ON d.id = c.source
             WHERE {condition} ORDER BY c.embedding <=> $1::text::vector LIMIT $2"
        );
        Ok(self.client.query(&statement, &as_parameters(&values))?.iter().map(ranked).collect())
    }

    fn similarities(&mut self, vector: &[f32], of: &[Ranked]) -> Result<BTreeMap<usize, f64>> {
        let ids: Vec<i64> = of.iter().map(|(id, _)| *id as i64).collect();
        let statement = format!(
            "SELECT id, 1 - (embedding <=> $1::text::vector) FROM {}_chunks WHERE id = ANY($2)",
            self.about.name
        );
        Ok(self.client.query(&statement, &[&literal(vector), &ids])?.iter().map(ranked).collect())
    }
}

impl Within<'_, '_> {
    fn insert(&mut self, source: &str, cut: &Cut, vector: Option<&[f32]>) -> Result<()> {
        let (terms, times): (Vec<String>, Vec<i64>) =
            self.about.counts(cut).into_iter().map(|(term, times)| (term, i64::from(times))).unzip();
        let blob = &cut.blob;
        let [start, end, inherited] = [blob.start, blob.end, blob.inherited].map(|n| n as i64);
        let numbers = |s: &Sentence| [s.start as i64, s.end as i64, i64::from(s.number)];
        let sentences: Vec<i64> = blob.sentences.iter().flat_map(numbers).collect();
        let length: i64 = times.iter().sum();
        let mut values: Values = vec![Box::new(source.to_owned()), Box::new(start), Box::new(end)];
        values.push(Box::new(blob.heading.clone()));
        values.push(Box::new(inherited));
        values.push(Box::new(sentences));
        values.push(Box::new(length));
        let (mut column, mut place) = ("", String::new());
        if let Some(vector) = vector {
            column = ", embedding";
            place = format!(", {}::text::vector", bind(&mut values, literal(vector)));
        }
        let name = &self.about.name;
        let statement = format!(
            "INSERT INTO {name}_chunks (source, first, past, heading, inherited, sentences, length{column})
             VALUES ($1, $2, $3, $4, $5, $6, $7{place}) RETURNING id"
        );
        let id: i64 = self.client.query_one(&statement, &as_parameters(&values))?.get(0);
        let statement = format!(
            "INSERT INTO {name}_terms SELECT term, $1, times FROM unnest($2::text[], $3::int8[]) AS t(term, times)"
        );
        self.client.execute(&statement, &[&id, &terms, &times])?;
        Ok(())
    }

    fn hits(&mut self, ranked: &[Ranked]) -> Result<Vec<Hit>> {
        let ids: Vec<i64> = ranked.iter().map(|(id, _)| *id as i64).collect();
        let name = &self.about.name;
        let statement = format!(
            "SELECT c.id, source, first, past, heading, inherited, sentences,
                 substring(convert_to(d.text, 'UTF8') FROM first::int + 1 FOR (past - first)::int)
             FROM {name}_chunks c JOIN {name}_documents d ON d.id = c.source WHERE c.id = ANY($1)"
        );
        let rows = self.client.query(&statement, &[&ids])?;
        let mut found: HashMap<usize, Hit> = HashMap::new();
        for row in &rows {
            let hit = hit(row)?;
            found.insert(hit.id, hit);
        }
        let scored = |(id, score): &Ranked| found.remove(id).map(|hit| Hit { score: *score, ..hit });
        Ok(ranked.iter().filter_map(scored).collect())
    }
}

impl Collection for PostgresCollection {
    fn put(&mut self, documents: &[(Document, Metadata)]) -> Result<()> {
        let Self { client, about } = self;
        let name = &about.name;
        let documents = last_of_each(documents);
        let mut change = client.transaction()?;
        let ids: Vec<&str> = documents.iter().map(|(document, _)| document.id.as_str()).collect();
        change.execute(&format!("DELETE FROM {name}_documents WHERE id = ANY($1)"), &[&ids])?;
        for (document, metadata) in documents {
            let cuts = about.cuts(document)?;
            let statement = format!("INSERT INTO {name}_documents VALUES ($1, $2, $3)");
            change.execute(&statement, &[&document.id, &document.text, &json(metadata)])?;
            let mut within = Within { about, client: &mut change };
            for (cut, vector) in &cuts {
                within.insert(&document.id, cut, vector.as_deref())?;
            }
        }
        Ok(change.commit()?)
    }

    fn delete(&mut self, ids: &[&str]) -> Result<()> {
        let statement = format!("DELETE FROM {}_documents WHERE id = ANY($1)", self.about.name);
        self.client.execute(&statement, &[&ids])?;
        Ok(())
    }

    fn search(&mut self, query: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>> {
        let Self { client, about } = self;
        // One state for all of the questions.
        let isolated =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let mut read = isolated.start()?;
        let mut within = Within { about, client: &mut read };
        let mut ranked = about.ranked(&mut within, query, k, filter)?;
        ranked.truncate(k);
        within.hits(&ranked)
    }

    fn document(&mut self, id: &str) -> Result<Option<Document>> {
        let statement = format!("SELECT text FROM {}_documents WHERE id = $1", self.about.name);
        let row = self.client.query_opt(&statement, &[&id])?;
        Ok(row.map(|row| Document { id: id.to_owned(), text: row.get(0) }))
    }

    fn stemming(&self) -> Stemming {
        self.about.config.stemming
    }

    fn rarity(&mut self, terms: &[String]) -> Result<Vec<f64>> {
        let name = &self.about.name;
        let statement = format!(
            "SELECT ln(1 + (whole.n - found.n + 0.5) / (found.n + 0.5))
             FROM (SELECT count(*)::float8 AS n FROM {name}_chunks) AS whole CROSS JOIN
                 (SELECT place, count(chunk)::float8 AS n
                  FROM unnest($1::text[]) WITH ORDINALITY AS asked(term, place) LEFT JOIN {name}_terms USING (term)
                  GROUP BY place) AS found
             ORDER BY place"
        );
        Ok(self.client.query(&statement, &[&terms])?.iter().map(|row| row.get(0)).collect())
    }
}

/// A vector as pgvector reads it.
fn literal(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", numbers.join(","))
}

fn ranked(row: &Row) -> Ranked {
    (row.get::<_, i64>(0) as usize, row.get(1))
}

fn hit(row: &Row) -> Result<Hit> {
    let number = |column: usize| row.get::<_, i64>(column) as usize;
    let quotable: Vec<i64> = row.get(6);
    let sentence = |three: &[i64]| match three {
        [start, end, number] => {
            Some(Sentence { start: *start as usize, end: *end as usize, number: *number as u32 })
        }
        _ => None,
    };
    let (source, heading): (String, Vec<String>) = (row.get(1), row.get(4));
    let text = String::from_utf8(row.get(7))
        .map_err(|error| Error::config("collection", format!("a chunk of {source} is not text: {error}")))?;
    let chunk = Chunk { source, start: number(2), end: number(3), heading, inherited: number(5) };
    let sentences = quotable.chunks(3).filter_map(sentence).collect();
    Ok(Hit { id: number(0), chunk, text, score: 0.0, sentences })
}
