//! What is whole of a damaged store, as a store again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use slm_core::Embedder;

use super::manifest::{Manifest, Part, segment_path};
use super::writer::{StoreWriter, lock};
use super::{Current, Shared, Store};
use crate::index::{Index, IndexConfig, Segment};
use crate::{Error, Result};

/// What [`Store::rebuild`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// Documents that are in the store again.
    pub documents: usize,
    /// Documents whose text is damaged, by their identifiers.
    pub lost_documents: Vec<String>,
    /// Files of which nothing can be read, with what is wrong.
    pub lost_files: Vec<String>,
    /// Whether it is known which documents had been deleted; where the manifest is damaged it is not, and they may be back.
    pub deletions_known: bool,
}

impl Store {
    /// Makes a store anew out of the whole texts of a damaged one: cut, indexed and embedded again, in place. What is
    /// damaged is told, and gone afterwards. Until the new state is on the disk the old files stay as they are.
    ///
    /// # Errors
    /// When another process writes, the folder cannot be read or written, or the embedder fails.
    pub fn rebuild(
        folder: &Path,
        config: &IndexConfig,
        embedder: Option<&dyn Embedder>,
    ) -> Result<(Self, Rebuilt)> {
        config.check()?;
        let lock = lock(folder)?;
        let manifest = match Manifest::load(folder) {
            Ok(manifest) => Some(manifest),
            Err(Error::Format { .. }) => None,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(other) => return Err(other),
        };
        let deletions_known = manifest.is_some();
        let files = segments_in(folder)?;
        let next = files.last().map_or(0, |last| last + 1);
        let generation = manifest.as_ref().map_or(0, |manifest| manifest.generation);
        // Without a manifest all that lie there, in the order in which they were written.
        let unnamed = || files.iter().map(|&name| Part { name, dead: Vec::new() }).collect();
        let parts = manifest.map_or_else(unnamed, |manifest| manifest.parts);
        let empty = Manifest { generation, next, ..Manifest::new(config.clone()) };
        let index = Arc::new(Index::of(config.clone(), Vec::new()));
        let current = Current { manifest: empty.clone(), segments: BTreeMap::new(), index };
        let store =
            Self { shared: Arc::new(Shared { folder: folder.to_owned(), current: Mutex::new(current) }) };
        let mut writer = StoreWriter::over(store.clone(), embedder, (empty, BTreeMap::new()), lock);
        let (mut lost_documents, mut lost_files) = (Vec::new(), Vec::new());
        for part in &parts {
            match Segment::salvaged(&segment_path(folder, part.name)) {
                Err(error) => lost_files.push(error.to_string()),
                Ok(documents) => {
                    for (n, (id, metadata, document)) in (0_u32..).zip(documents) {
                        match document {
                            _ if part.dead.binary_search(&n).is_ok() => {}
                            Ok(document) => writer.put_with(document, metadata)?,
                            Err(_) => lost_documents.push(id),
                        }
                    }
                }
            }
        }
        writer.commit()?;
        drop(writer);
        let documents = store.index()?.documents().count();
        Ok((store, Rebuilt { documents, lost_documents, lost_files, deletions_known }))
    }
}

/// The names of the segments that lie in a folder, in order.
fn segments_in(folder: &Path) -> Result<Vec<u64>> {
    let fail = |source| Error::io(folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let file = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".segment").and_then(|name| name.parse::<u64>().ok()));
    }
    names.sort_unstable();
    Ok(names)
}
