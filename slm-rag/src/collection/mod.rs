//! [`Collection`]: documents that are kept and searched, here or on a server.

mod local;
#[cfg(feature = "qdrant")]
mod points;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "qdrant")]
mod qdrant;
#[cfg(any(feature = "postgres", feature = "qdrant"))]
mod server;
#[cfg(feature = "postgres")]
mod sql;

pub use local::LocalCollection;
#[cfg(feature = "postgres")]
pub use postgres::PostgresCollection;
#[cfg(feature = "qdrant")]
pub use qdrant::QdrantCollection;
#[cfg(feature = "qdrant")]
pub use qdrant_client::Qdrant;
use slm_data::Document;

use crate::Result;
use crate::index::{Filter, Hit, Metadata};
use crate::text::Stemming;

/// Documents that are kept and searched: in a [store](LocalCollection) of this machine, or on a server that many machines
/// ask. What is put or deleted counts, for good, when the call returns; in a store and in PostgreSQL as a whole or not at all.
pub trait Collection {
    /// Adds documents; replaces those of their names.
    ///
    /// # Errors
    /// When a document cannot be embedded (nothing has changed then) or written.
    fn put(&mut self, documents: &[(Document, Metadata)]) -> Result<()>;

    /// Deletes the documents of these names; nothing happens for others.
    ///
    /// # Errors
    /// When it cannot be written.
    fn delete(&mut self, ids: &[&str]) -> Result<()>;

    /// The best `k` chunks for a query among the documents that `filter` accepts, best first.
    ///
    /// # Errors
    /// When the collection cannot be read or the embedder fails.
    fn search(&mut self, query: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>>;

    /// A document as it was given; `None` where there is none of this name.
    ///
    /// # Errors
    /// When it cannot be read.
    fn document(&mut self, id: &str) -> Result<Option<Document>>;

    /// How words are reduced to stems.
    fn stemming(&self) -> Stemming;

    /// How rare each of these terms is: `ln(1 + (N - n + 0.5) / (n + 0.5))`, where `n` of `N` chunks have it.
    ///
    /// # Errors
    /// When the collection cannot be read.
    fn rarity(&mut self, terms: &[String]) -> Result<Vec<f64>>;
}
