//! What is in force in a store.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::index::{IndexConfig, write_whole};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"slm-stor";
const VERSION: u32 = 1;
/// Magic, version and checksum of what follows.
const HEADER: usize = 16;

/// What is in force: replaced as a whole by each commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: IndexConfig,
    /// Counts commits.
    pub(super) generation: u64,
    /// Length of the vectors; `None` where chunks have none.
    pub(super) dimension: Option<usize>,
    /// In the order in which their documents come.
    pub(super) parts: Vec<Part>,
    /// The name of the next segment.
    pub(super) next: u64,
}

/// A segment and what is deleted in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: u64,
    /// Numbers of documents, in order.
    pub(super) dead: Vec<u32>,
}

pub(super) fn segment_path(folder: &Path, name: u64) -> PathBuf {
    folder.join(format!("{name:08}.segment"))
}

impl Manifest {
    pub(super) fn new(config: IndexConfig) -> Self {
        Self { config, generation: 0, dimension: None, parts: Vec::new(), next: 0 }
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("manifest")
    }

    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let path = Self::path(folder);
        let body = postcard::to_stdvec(self).map_err(|error| Error::format(&path, error.to_string()))?;
        let written = |source| Error::io(&path, source);
        write_whole(&path, |file| {
            file.write_all(MAGIC).map_err(written)?;
            file.write_all(&VERSION.to_le_bytes()).map_err(written)?;
            file.write_all(&crc32fast::hash(&body).to_le_bytes()).map_err(written)?;
            file.write_all(&body).map_err(written)
        })
    }

    pub(super) fn load(folder: &Path) -> Result<Self> {
        let path = Self::path(folder);
        let bytes = fs::read(&path).map_err(|source| Error::io(&path, source))?;
        let damaged = |reason: String| Error::format(&path, reason);
        let (header, body) =
            bytes.split_at_checked(HEADER).ok_or_else(|| damaged("it is too short".to_owned()))?;
        let field = |from: usize| header.get(from..from + 4).unwrap_or_default();
        if header.get(..8) != Some(MAGIC) {
            return Err(damaged("it does not begin as the manifest of a store does".to_owned()));
        }
        if field(8) != VERSION.to_le_bytes() {
            return Err(damaged(format!("expected version {VERSION}, got {:?}", field(8))));
        }
        if field(12) != crc32fast::hash(body).to_le_bytes() {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
        let manifest: Self = postcard::from_bytes(body).map_err(|error| damaged(error.to_string()))?;
        manifest.config.check()?;
        Ok(manifest)
    }
}
