//! [`Knowledge`]: what a model answers from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slm_data::Document;

use crate::Result;
use crate::collection::Collection;
use crate::index::{Evidence, Filter, Hit, Index, best_sentences};
use crate::retrieve::Retriever;
use crate::text::Stemming;

/// What a model answers from: an index of this machine through a [`Retriever`], or a [`Collection`], here or on a server.
///
/// A collection answers one question at a time; what is put into it later is there for the next one.
#[derive(Debug, Clone)]
pub struct Knowledge(Kind);

#[derive(Clone)]
enum Kind {
    Retriever(Retriever),
    Collection(Arc<Mutex<Box<dyn Collection + Send>>>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retriever(retriever) => retriever.fmt(f),
            Self::Collection(_) => f.debug_struct("Collection").finish_non_exhaustive(),
        }
    }
}

impl From<Retriever> for Knowledge {
    fn from(retriever: Retriever) -> Self {
        Self(Kind::Retriever(retriever))
    }
}

impl From<Index> for Knowledge {
    fn from(index: Index) -> Self {
        Retriever::from(index).into()
    }
}

impl From<Arc<Index>> for Knowledge {
    fn from(index: Arc<Index>) -> Self {
        Retriever::from(index).into()
    }
}

impl From<Box<dyn Collection + Send>> for Knowledge {
    fn from(collection: Box<dyn Collection + Send>) -> Self {
        Arc::new(Mutex::new(collection)).into()
    }
}

/// To be written to elsewhere, too.
impl From<Arc<Mutex<Box<dyn Collection + Send>>>> for Knowledge {
    fn from(collection: Arc<Mutex<Box<dyn Collection + Send>>>) -> Self {
        Self(Kind::Collection(collection))
    }
}

impl Knowledge {
    pub(super) fn document(&self, id: &str) -> Result<Option<Document>> {
        match &self.0 {
            Kind::Retriever(retriever) => retriever.index().document(id),
            Kind::Collection(collection) => held(collection).document(id),
        }
    }

    pub(super) fn search(&self, question: &str, k: usize) -> Result<Vec<Hit>> {
        match &self.0 {
            Kind::Retriever(retriever) => retriever.search(question, k),
            Kind::Collection(collection) => held(collection).search(question, k, &Filter::Any),
        }
    }

    pub(super) fn stemming(&self) -> Stemming {
        match &self.0 {
            Kind::Retriever(retriever) => retriever.index().config().stemming,
            Kind::Collection(collection) => held(collection).stemming(),
        }
    }

    pub(super) fn best_sentences(&self, hits: &[Hit], question: &str, limit: usize) -> Result<Vec<Evidence>> {
        match &self.0 {
            Kind::Retriever(retriever) => retriever.index().best_sentences(hits, question, limit),
            Kind::Collection(collection) => {
                let mut collection = held(collection);
                let stemming = collection.stemming();
                best_sentences(hits, question, limit, (stemming, &mut |terms| collection.rarity(terms)))
            }
        }
    }
}

/// A question that failed leaves a collection as it was.
fn held<T: ?Sized>(collection: &Mutex<T>) -> MutexGuard<'_, T> {
    collection.lock().unwrap_or_else(PoisonError::into_inner)
}
