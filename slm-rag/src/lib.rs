#![doc = include_str!("../README.md")]

pub mod answer;
pub mod chunk;
pub mod collection;
mod error;
mod folder;
pub mod index;
pub mod retrieve;
pub mod store;
pub mod summary;
pub mod text;
pub mod vectors;
pub mod verify;

pub use answer::{
    CheckedSentence, ExtractiveConfig, ExtractiveModel, GroundedAnswer, GroundedConfig, GroundedModel,
    Knowledge, Unmarked, Unsupported,
};
#[cfg(feature = "code")]
pub use chunk::CodeChunker;
pub use chunk::{
    Chunk, ChunkConfig, Chunker, Sections, SemanticChunker, SemanticConfig, SentenceChunker, SizedChunker,
    chunk,
};
#[cfg(feature = "postgres")]
pub use collection::PostgresCollection;
pub use collection::{Collection, LocalCollection};
#[cfg(feature = "qdrant")]
pub use collection::{Qdrant, QdrantCollection};
pub use error::{Error, Result};
pub use folder::read_folder;
pub use index::{Evidence, Filter, Hit, Index, IndexConfig, Metadata, Value};
pub use retrieve::{Fusion, QueryWords, QueryWriter, Reranker, RetrieveConfig, Retriever, SearchMode};
pub use store::{Rebuilt, Store, StoreWriter};
pub use summary::{Method, Summarizer, Summary, SummaryConfig, SummaryNode};
pub use text::{Stemming, StopWords};
pub use vectors::{Precision, VectorConfig, Vectors};
pub use verify::{SupportModel, SupportPolicy, Verdict, Verifier};
