//! A store of this machine as a collection.

use slm_data::Document;

use super::Collection;
use crate::Result;
use crate::index::{Filter, Hit, Metadata};
use crate::retrieve::{RetrieveConfig, Retriever, SharedEmbedder};
use crate::store::Store;
use crate::text::Stemming;

/// A [`Store`] as a [`Collection`].
#[derive(Clone)]
pub struct LocalCollection {
    store: Store,
    embedder: Option<SharedEmbedder>,
    config: RetrieveConfig,
}

impl std::fmt::Debug for LocalCollection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCollection").field("store", &self.store).finish_non_exhaustive()
    }
}

impl LocalCollection {
    /// A collection in a store, with vectors where there is an embedder.
    pub fn new(store: Store, embedder: Option<SharedEmbedder>, config: RetrieveConfig) -> Self {
        Self { store, embedder, config }
    }

    fn write(&self, change: impl FnOnce(&mut crate::StoreWriter<'_>) -> Result<()>) -> Result<()> {
        let embedder =
            self.embedder.as_ref().map(|embedder| -> &dyn slm_core::Embedder { embedder.as_ref() });
        let mut writer = self.store.writer(embedder)?;
        change(&mut writer)?;
        writer.commit()
    }
}

impl Collection for LocalCollection {
    fn put(&mut self, documents: &[(Document, Metadata)]) -> Result<()> {
        self.write(|writer| {
            documents
                .iter()
                .try_for_each(|(document, metadata)| writer.put_with(document.clone(), metadata.clone()))
        })
    }

    fn delete(&mut self, ids: &[&str]) -> Result<()> {
        self.write(|writer| {
            ids.iter().for_each(|id| writer.delete(id));
            Ok(())
        })
    }

    fn search(&mut self, query: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>> {
        let index = self.store.index()?;
        if index.chunk_count() == 0 {
            return Ok(Vec::new());
        }
        let retriever = Retriever::new(index, self.config.clone())?;
        let retriever = match &self.embedder {
            Some(embedder) => retriever.with_embedder(embedder.clone())?,
            None => retriever,
        };
        retriever.search_among(query, k, filter)
    }

    fn document(&mut self, id: &str) -> Result<Option<Document>> {
        self.store.index()?.document(id)
    }

    fn stemming(&self) -> Stemming {
        self.store.config().stemming
    }

    fn rarity(&mut self, terms: &[String]) -> Result<Vec<f64>> {
        let index = self.store.index()?;
        terms.iter().map(|term| index.idf(term)).collect()
    }
}
