//! [`Collection`]: documents that are kept and searched, here or on a server.

mod local;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod sql;

pub use local::LocalCollection;
#[cfg(feature = "postgres")]
pub use postgres::PostgresCollection;
use slm_data::Document;

use crate::Result;
use crate::index::{Filter, Hit, Metadata};

/// Documents that are kept and searched: in a [store](LocalCollection) of this machine, or on a server that many machines
/// ask. What is put or deleted counts, for good, when the call returns, as a whole or not at all.
pub trait Collection {
    /// Adds documents; replaces those of their names.
    ///
    /// # Errors
    /// When a document cannot be embedded or written; nothing has changed then.
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
}
