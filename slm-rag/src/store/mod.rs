//! [`Store`]: an index on disk that grows and shrinks.

mod manifest;
mod rebuild;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::{Manifest, Part};
pub use rebuild::Rebuilt;
pub use writer::StoreWriter;

use crate::index::{Index, IndexConfig, Segment};
use crate::{Error, Result};

/// How often a reader begins anew when the store changed under it.
const ATTEMPTS: usize = 20;

/// A folder with an index that can be added to.
///
/// It holds segments, which never change, and a manifest, which says which of them are in force and what is deleted in
/// them. A commit writes new segments, forces them to the disk, and replaces the manifest by renaming: whoever opens the
/// store, after a crash at any moment, finds all of a commit or nothing of it. Deleted documents are counted out of all
/// scores, so a search finds what it would find in an index of the present documents.
///
/// One process writes at a time, guarded by a lock that ends with the process; any number read.
///
/// ```
/// use slm_data::Document;
/// use slm_rag::{IndexConfig, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path(), &IndexConfig::default())?;
/// let mut writer = store.writer(None)?;
/// writer.put(Document { id: "a.md".into(), text: "The ferry leaves at noon.".into() })?;
/// writer.commit()?;
/// writer.put(Document { id: "a.md".into(), text: "The ferry leaves at one.".into() })?;
/// writer.commit()?;
/// assert_eq!(store.index()?.search("ferry", 9)?[0].text, "The ferry leaves at one.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// What was last read.
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    manifest: Manifest,
    segments: BTreeMap<u64, Arc<Segment>>,
    index: Arc<Index>,
}

impl Store {
    /// Opens a store, or makes an empty one in a folder that has none.
    ///
    /// # Errors
    /// When the folder cannot be read or written, the store is damaged or of another version, or was made with
    /// another configuration.
    pub fn open(folder: &Path, config: &IndexConfig) -> Result<Self> {
        config.check()?;
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        if !Manifest::path(folder).exists() {
            let _lock = writer::lock(folder)?;
            if !Manifest::path(folder).exists() {
                Manifest::new(config.clone()).save(folder)?;
            }
        }
        let store = Self::open_existing(folder)?;
        let found = store.current().manifest.config.clone();
        if found != *config {
            return Err(Error::config(
                "config",
                format!("the store was made with {found:?}, got {config:?}"),
            ));
        }
        Ok(store)
    }

    /// Opens a store as it was made.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another version.
    pub fn open_existing(folder: &Path) -> Result<Self> {
        let current = read(folder, &BTreeMap::new())?;
        Ok(Self { shared: Arc::new(Shared { folder: folder.to_owned(), current: Mutex::new(current) }) })
    }

    /// How its documents are cut and read.
    pub fn config(&self) -> IndexConfig {
        self.current().manifest.config.clone()
    }

    /// What is in the store now, also what another process committed. The index that is given out stays as it is.
    ///
    /// # Errors
    /// When the store cannot be read or is damaged.
    pub fn index(&self) -> Result<Arc<Index>> {
        let manifest = Manifest::load(&self.shared.folder)?;
        let mut current = self.current();
        if manifest != current.manifest {
            *current = read(&self.shared.folder, &current.segments)?;
        }
        Ok(Arc::clone(&current.index))
    }

    /// Begins to write; where the store is to have vectors, with the embedder that makes them.
    ///
    /// # Errors
    /// When another writer is at work, or the store has vectors of another length than the embedder's.
    pub fn writer<'e>(&self, embedder: Option<&'e dyn slm_core::Embedder>) -> Result<StoreWriter<'e>> {
        StoreWriter::new(self.clone(), embedder)
    }

    /// Reads all of it and holds it against its checksums.
    ///
    /// # Errors
    /// When something is damaged or cannot be read.
    pub fn verify(&self) -> Result<()> {
        let segments: Vec<Arc<Segment>> = {
            self.index()?;
            self.current().segments.values().cloned().collect()
        };
        segments.iter().try_for_each(|segment| segment.verify())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        // What a panicked thread left is whole: it is replaced in one assignment.
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens what the manifest names; segments that are open already are used again.
fn read(folder: &Path, known: &BTreeMap<u64, Arc<Segment>>) -> Result<Current> {
    let mut attempt = 0;
    loop {
        let manifest = Manifest::load(folder)?;
        match open_parts(folder, &manifest, known) {
            Ok(segments) => {
                let part = |part: &Part| {
                    segments.get(&part.name).map(|s| (Arc::clone(s), Arc::new(part.dead.clone())))
                };
                let parts = manifest.parts.iter().filter_map(part).collect();
                let index = Arc::new(Index::of(manifest.config.clone(), parts));
                return Ok(Current { manifest, segments, index });
            }
            // A merge may have removed a segment after its name was read: the manifest then names others.
            Err(Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn open_parts(
    folder: &Path,
    manifest: &Manifest,
    known: &BTreeMap<u64, Arc<Segment>>,
) -> Result<BTreeMap<u64, Arc<Segment>>> {
    let mut segments = BTreeMap::new();
    for part in &manifest.parts {
        let segment = match known.get(&part.name) {
            Some(segment) => Arc::clone(segment),
            None => Arc::new(Segment::open(&manifest::segment_path(folder, part.name))?),
        };
        segments.insert(part.name, segment);
    }
    Ok(segments)
}
