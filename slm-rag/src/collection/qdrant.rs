//! A collection in Qdrant.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use qdrant_client::config::QdrantConfig;
use qdrant_client::qdrant::points_update_operation::{DeletePoints, Operation, PointStructList};
use qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Distance,
    FieldType, Filter as Conditions, GetPointsBuilder, IdfParamsBuilder, KeywordIndexParams,
    KeywordPrefixParams, Modifier, PointId, PointsUpdateOperation, Query, QueryBatchPointsBuilder,
    QueryPoints, QueryPointsBuilder, ScoredPoint, SearchParamsBuilder, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, UpdateBatchPointsBuilder, Value as Json, VectorInput, VectorParamsBuilder,
    VectorParamsMap, VectorsConfig, point_id::PointIdOptions, vector_output::Vector, vectors_config::Config,
    with_vectors_selector::SelectorOptions,
};
use qdrant_client::{Qdrant, QdrantError};
use slm_data::Document;
use tokio::runtime::Runtime;

use super::Collection;
use super::points::{SOURCE, TEXT, WORDS, chunk_point, conditions, dimension, document_point, hit, number};
use super::points::{weights, whole};
use super::server::{About, Candidates, last_of_each};
use crate::index::{Filter, Hit, IndexConfig, Metadata, Ranked};
use crate::retrieve::{RetrieveConfig, SharedEmbedder};
use crate::text::Stemming;
use crate::{Error, Result};

/// A collection in Qdrant: for what several machines search, and one at a time writes.
///
/// Documents are cut and stemmed as in an [`Index`](crate::Index) of the same configuration. Each chunk is a point with a
/// sparse vector of its words, weighed as by BM25 and multiplied by their rarity on the server (the modifier `idf`), and a
/// dense one where there is an embedder. BM25 compares the length of a chunk with the mean; Qdrant keeps none, so it is
/// given. A word is known by a 32-bit hash: of a hundred thousand words about one has that of another.
///
/// Qdrant has no transactions. A change is one request, of which the server does one step after the other: what is new first,
/// then what goes. A search meanwhile may find chunks of both, and two that write one document at once may leave chunks of
/// both. The client waits for 5 s unless told otherwise, so give large changes more, or make them in parts. Version 1.20
/// of the server or newer is needed.
///
/// Calls wait for the server. Like all that waits, they belong outside of asynchronous tasks (in `spawn_blocking` of tokio).
pub struct QdrantCollection {
    runtime: Runtime,
    client: Qdrant,
    about: About,
    mean_length: f64,
    counts_deleted: bool,
}

impl std::fmt::Debug for QdrantCollection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QdrantCollection").field("name", &self.about.name).finish_non_exhaustive()
    }
}

impl QdrantCollection {
    /// Opens the collection `name` of a server, or makes it.
    ///
    /// `server` is what its client is made from: `Qdrant::from_url("http://db:6334").api_key(key)`. `mean_length` is the mean
    /// number of terms of a chunk, as [`Index::mean_length`](crate::Index::mean_length) tells of a part of the documents.
    ///
    /// # Errors
    /// When the name is not of small letters, digits and `_`, the length is not positive, the server cannot be reached, or the
    /// collection was made with another configuration, mean length or vectors of another length.
    pub fn open(
        server: QdrantConfig,
        name: &str,
        config: &IndexConfig,
        mean_length: f64,
        embedder: Option<SharedEmbedder>,
    ) -> Result<Self> {
        let about = About::new(name, config, embedder)?;
        if !(mean_length > 0.0 && mean_length.is_finite()) {
            return Err(Error::config("mean_length", format!("expected more than 0, got {mean_length}")));
        }
        let own = postcard::to_stdvec(&(config, mean_length))
            .map_err(|error| Error::config("config", error.to_string()))?;
        let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        // Not a runtime of the caller's: connections live in the one that made them.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(QdrantError::from)?;
        // The check would write to the standard output.
        let client = Qdrant::new(server.skip_compatibility_check())?;
        let collection = Self { runtime, client, about, mean_length, counts_deleted: false };
        if !collection.wait(collection.client.collection_exists(name))? {
            collection.make(&own)?;
        }
        collection.check(&own)?;
        collection.index_sources()?;
        Ok(collection)
    }

    /// The same with another way to search; of the configuration, how candidates are found and fused counts here.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn with_config(self, retrieve: RetrieveConfig) -> Result<Self> {
        retrieve.check()?;
        Ok(Self { about: About { retrieve, ..self.about }, ..self })
    }

    /// The same with the server's own statistics of terms, in place of counting the present chunks for each search: several
    /// times as fast, and more so the more chunks there are. Chunks that were deleted or replaced count as present until the
    /// server optimizes its segments.
    #[must_use]
    pub fn with_server_statistics(self) -> Self {
        Self { counts_deleted: true, ..self }
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, QdrantError>>) -> Result<T> {
        Ok(self.runtime.block_on(request)?)
    }

    fn make(&self, own: &str) -> Result<()> {
        let name = &self.about.name;
        let mut words = SparseVectorsConfigBuilder::default();
        words.add_named_vector_params(WORDS, SparseVectorParamsBuilder::default().modifier(Modifier::Idf));
        let text = self.about.dimension().map(|n| VectorParamsBuilder::new(n as u64, Distance::Dot).build());
        let map = text.map(|text| (TEXT.to_owned(), text)).into_iter().collect();
        let vectors = VectorsConfig { config: Some(Config::ParamsMap(VectorParamsMap { map })) };
        let make = CreateCollectionBuilder::new(name).sparse_vectors_config(words).vectors_config(vectors);
        let mut make = make.build();
        make.metadata.insert("slm_rag".to_owned(), own.into());
        make.metadata.insert("dimension".to_owned(), self.about.dimension().map_or(0, |n| n as i64).into());
        if let Err(error) = self.wait(self.client.create_collection(make)) {
            // Another one may have made it in between.
            return if self.wait(self.client.collection_exists(name))? { Ok(()) } else { Err(error) };
        }
        Ok(())
    }

    /// Makes the index of sources; one that is there stays.
    fn index_sources(&self) -> Result<()> {
        let name = &self.about.name;
        let prefix = Some(KeywordPrefixParams {});
        let by_source = CreateFieldIndexCollectionBuilder::new(name, SOURCE, FieldType::Keyword)
            .field_index_params(KeywordIndexParams { prefix, ..KeywordIndexParams::default() })
            .wait(true);
        self.wait(self.client.create_field_index(by_source)).map(drop)
    }

    /// Whether the collection is the one that is asked for.
    fn check(&self, own: &str) -> Result<()> {
        let info = self.wait(self.client.collection_info(&self.about.name))?.result;
        let config = info.and_then(|info| info.config).unwrap_or_default();
        let made = config.metadata.get("slm_rag").and_then(Json::as_str);
        let dimension = config.metadata.get("dimension").and_then(Json::as_integer);
        let dimension = dimension.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        self.about.check_made(made.is_some_and(|made| made == own), dimension)
    }

    fn update(&self, operations: Vec<Operation>) -> Result<()> {
        let operations =
            operations.into_iter().map(|operation| PointsUpdateOperation { operation: Some(operation) });
        let request = UpdateBatchPointsBuilder::new(&self.about.name, operations.collect::<Vec<_>>());
        self.wait(self.client.update_points_batch(request.wait(true))).map(drop)
    }

    /// What has the terms of a vector, weighed by their rarity.
    fn worded(&self, vector: VectorInput, limit: usize) -> QueryPointsBuilder {
        let query = self.query(vector, WORDS, limit);
        if self.counts_deleted {
            return query;
        }
        let present = IdfParamsBuilder::new().corpus(have_words());
        query.params(SearchParamsBuilder::default().idf(present))
    }

    /// What is nearest to a vector, without what it says.
    fn query(&self, vector: VectorInput, using: &str, limit: usize) -> QueryPointsBuilder {
        QueryPointsBuilder::new(&self.about.name)
            .query(Query::new_nearest(vector))
            .using(using)
            .limit(limit as u64)
            .with_payload(false)
    }

    fn ranked(&self, query: impl Into<QueryPoints>) -> Result<Vec<Ranked>> {
        let found = self.wait(self.client.query(query))?.result;
        let ranked = |point: &ScoredPoint| Some((number_of(point.id.as_ref())?, f64::from(point.score)));
        Ok(found.iter().filter_map(ranked).collect())
    }

    fn hits(&self, ranked: &[Ranked]) -> Result<Vec<Hit>> {
        let ids: Vec<PointId> = ranked.iter().map(|(id, _)| PointId::from(*id as u64)).collect();
        let request = GetPointsBuilder::new(&self.about.name, ids).with_payload(true);
        let points = self.wait(self.client.get_points(request))?.result;
        let mut found: HashMap<usize, HashMap<String, Json>> = points
            .into_iter()
            .filter_map(|point| Some((number_of(point.id.as_ref())?, point.payload)))
            .collect();
        // One that was deleted since is not there.
        let read = |(id, score): &Ranked| found.remove(id).map(|payload| hit(*id, &payload, *score));
        ranked.iter().filter_map(read).collect()
    }
}

/// All chunks with a word.
fn have_words() -> Conditions {
    Conditions::must([Condition::has_vector(WORDS)])
}

/// Those of a filter, where there is one.
fn among(query: QueryPointsBuilder, filter: &Filter) -> QueryPointsBuilder {
    match conditions(filter) {
        Some(conditions) => query.filter(conditions),
        None => query,
    }
}

fn number_of(id: Option<&PointId>) -> Option<usize> {
    match id?.point_id_options.as_ref()? {
        PointIdOptions::Num(number) => usize::try_from(*number).ok(),
        PointIdOptions::Uuid(_) => None,
    }
}

/// Deletes all of these documents but the points that are `kept`.
fn of_source(ids: &[&str], kept: Vec<PointId>) -> Operation {
    let sources: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let mut all = Conditions::must([Condition::matches(SOURCE, sources)]);
    if !kept.is_empty() {
        all.must_not.push(Condition::has_id(kept));
    }
    Operation::DeletePoints(DeletePoints { points: Some(all.into()), shard_key_selector: None })
}

impl Candidates for &QdrantCollection {
    fn by_words(&mut self, terms: &BTreeMap<String, u32>, k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let mut asked: BTreeMap<u32, f32> = BTreeMap::new();
        for (term, times) in terms {
            *asked.entry(dimension(term)).or_insert(0.0) += *times as f32;
        }
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let (dimensions, weights): (Vec<u32>, Vec<f32>) = asked.into_iter().unzip();
        let query = self.worded(VectorInput::new_sparse(dimensions, weights), k);
        self.ranked(among(query, filter))
    }

    fn by_vector(&mut self, vector: &[f32], k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        self.ranked(among(self.query(vector.to_vec().into(), TEXT, k), filter))
    }

    fn similarities(&mut self, vector: &[f32], of: &[Ranked]) -> Result<BTreeMap<usize, f64>> {
        let ids: Vec<PointId> = of.iter().map(|(id, _)| PointId::from(*id as u64)).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let query = self.query(vector.to_vec().into(), TEXT, ids.len());
        let query = query
            .filter(Conditions::must([Condition::has_id(ids)]))
            .params(SearchParamsBuilder::default().exact(true));
        Ok(self.ranked(query)?.into_iter().collect())
    }
}

impl Collection for QdrantCollection {
    fn put(&mut self, documents: &[(Document, Metadata)]) -> Result<()> {
        let documents = last_of_each(documents);
        let IndexConfig { k1, b, .. } = self.about.config;
        let mut points = Vec::new();
        for (document, metadata) in &documents {
            points.push(document_point(document));
            for (n, (cut, vector)) in self.about.cuts(document)?.into_iter().enumerate() {
                let words = weights(&self.about.counts(&cut), (k1, b, self.mean_length));
                points.push(chunk_point(n, (document, metadata), &cut, words, vector));
            }
        }
        let ids: Vec<&str> = documents.iter().map(|(document, _)| document.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let kept = points.iter().filter_map(|point| point.id.clone()).collect();
        let new = PointStructList { points, ..PointStructList::default() };
        // What cannot be written leaves the old documents as they were.
        self.update(vec![Operation::Upsert(new), of_source(&ids, kept)])
    }

    fn delete(&mut self, ids: &[&str]) -> Result<()> {
        if ids.is_empty() { Ok(()) } else { self.update(vec![of_source(ids, Vec::new())]) }
    }

    fn search(&mut self, query: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>> {
        let mut ranked = self.about.ranked(&mut &*self, query, k, filter)?;
        ranked.truncate(k);
        self.hits(&ranked)
    }

    fn document(&mut self, id: &str) -> Result<Option<Document>> {
        let request = GetPointsBuilder::new(&self.about.name, vec![number(id, None).into()]);
        let found = self.wait(self.client.get_points(request.with_payload(true)))?.result;
        let text = found.first().and_then(|point| whole(point, id));
        Ok(text.map(|text| Document { id: id.to_owned(), text }))
    }

    fn stemming(&self) -> Stemming {
        self.about.config.stemming
    }

    /// What the server multiplies in: the score of the best chunk that has the term, without its own weight.
    fn rarity(&mut self, terms: &[String]) -> Result<Vec<f64>> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let only = |term: &String| {
            let vector = VectorInput::new_sparse(vec![dimension(term)], vec![1.0]);
            self.worded(vector, 1)
                .with_vectors(SelectorOptions::Include(vec![WORDS.to_owned()].into()))
                .build()
        };
        let queries: Vec<QueryPoints> = terms.iter().map(only).collect();
        let request = QueryBatchPointsBuilder::new(&self.about.name, queries);
        let found = self.wait(self.client.query_batch(request))?.result;
        let count = CountPointsBuilder::new(&self.about.name).filter(have_words()).exact(true);
        let all = self.wait(self.client.count(count))?.result.unwrap_or_default().count;
        let rarest = (1.0 + (all as f64 + 0.5) / 0.5).ln();
        let rarity = |(n, term): (usize, &String)| {
            let best = found.get(n).and_then(|found| found.result.first());
            best.and_then(|best| quotient(best, dimension(term))).unwrap_or(rarest)
        };
        Ok(terms.iter().enumerate().map(rarity).collect())
    }
}

/// The score of a point divided by its weight of a term.
fn quotient(point: &ScoredPoint, term: u32) -> Option<f64> {
    let Some(Vector::Sparse(words)) = point.vectors.as_ref()?.get_vector_by_name(WORDS) else {
        return None;
    };
    let place = words.indices.iter().position(|own| *own == term)?;
    Some(f64::from(point.score) / f64::from(*words.values.get(place)?))
}
