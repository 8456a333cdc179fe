//! Adding to a store, deleting from it.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use slm_core::Embedder;
use slm_data::Document;

use super::Store;
use super::manifest::{Manifest, Part, segment_path};
use crate::chunk::Chunker;
use crate::index::{Metadata, Segment, SegmentBuilder, merge, write_whole};
use crate::{Error, Result};

/// Bytes held back before they are written to a segment of their own.
const HELD: usize = 256 << 20;
/// How many segments of about one size there may be before they are merged into one.
const ALIKE: usize = 8;

/// The one who writes to a [`Store`]: what it puts and deletes counts from the next [`commit`](Self::commit) on, and
/// is forgotten if there is none.
pub struct StoreWriter<'e> {
    store: Store,
    embedder: Option<&'e dyn Embedder>,
    chunker: Option<&'e dyn Chunker>,
    /// What the store will hold after the commit, but for what is pending.
    manifest: Manifest,
    segments: BTreeMap<u64, Arc<Segment>>,
    /// Documents that no segment holds yet; `None` is a deletion.
    pending: BTreeMap<String, Option<(Document, Metadata)>>,
    /// In the order in which they were put.
    order: Vec<String>,
    pending_bytes: usize,
    _lock: WriteLock,
}

impl std::fmt::Debug for StoreWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreWriter")
            .field("folder", &self.store.folder())
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// The right to write; it ends with this value, also by the end of the process.
#[derive(Debug)]
pub(super) struct WriteLock(File);

impl Drop for WriteLock {
    fn drop(&mut self) {
        // Closing would not do: a child that another thread has just forked holds the same open file until it runs its
        // program.
        let _ = self.0.unlock();
    }
}

/// Takes the right to write.
pub(super) fn lock(folder: &Path) -> Result<WriteLock> {
    let path = folder.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(|e| Error::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(WriteLock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
        Err(TryLockError::Error(source)) => Err(Error::io(path, source)),
    }
}

impl<'e> StoreWriter<'e> {
    pub(super) fn new(store: Store, embedder: Option<&'e dyn Embedder>) -> Result<Self> {
        let lock = lock(store.folder())?;
        store.index()?;
        let (manifest, segments) = {
            let current = store.current();
            (current.manifest.clone(), current.segments.clone())
        };
        let got = embedder.map(Embedder::dimension);
        if !manifest.parts.is_empty() && manifest.dimension != got {
            let say = |d: Option<usize>| d.map_or("no vectors".to_owned(), |d| format!("vectors of {d}"));
            let reason = format!("the store has {}, got {}", say(manifest.dimension), say(got));
            return Err(Error::config("embedder", reason));
        }
        Ok(Self::over(store, embedder, (manifest, segments), lock))
    }

    /// A writer that goes on from a state.
    pub(super) fn over(
        store: Store,
        embedder: Option<&'e dyn Embedder>,
        (manifest, segments): (Manifest, BTreeMap<u64, Arc<Segment>>),
        lock: WriteLock,
    ) -> Self {
        let (pending, order) = (BTreeMap::new(), Vec::new());
        Self {
            store,
            embedder,
            chunker: None,
            manifest,
            segments,
            pending,
            order,
            pending_bytes: 0,
            _lock: lock,
        }
    }

    /// The same with another way to cut what is put from now on than that of the store's configuration.
    #[must_use]
    pub fn with_chunker(self, chunker: &'e dyn Chunker) -> Self {
        Self { chunker: Some(chunker), ..self }
    }

    /// Adds a document, or replaces the one of its name.
    ///
    /// # Errors
    /// When what was put before has to be written, and cannot be; the writer is then as after the last commit.
    pub fn put(&mut self, document: Document) -> Result<()> {
        self.put_with(document, Metadata::new())
    }

    /// Adds a document with its metadata, or replaces the one of its name.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with(&mut self, document: Document, metadata: Metadata) -> Result<()> {
        let id = document.id.clone();
        self.pending_bytes += document.text.len() + 2 * id.len() + 200;
        self.order.push(id.clone());
        self.pending.insert(id, Some((document, metadata)));
        if self.pending_bytes > HELD { self.or_back(Self::flush) } else { Ok(()) }
    }

    /// Deletes a document; nothing happens where there is none of this name.
    pub fn delete(&mut self, id: &str) {
        self.pending.insert(id.to_owned(), None);
    }

    /// Makes everything that was put and deleted count, at once and for good: when it returns, it is on the disk.
    ///
    /// # Errors
    /// When files cannot be written or the embedder fails. The store and the writer are then as they were after the
    /// commit before.
    pub fn commit(&mut self) -> Result<()> {
        self.or_back(|writer| {
            writer.flush()?;
            writer.merge_alike()?;
            writer.save()
        })
    }

    fn save(&mut self) -> Result<()> {
        self.manifest.generation += 1;
        self.manifest.save(self.store.folder())?;
        // The commit stands. If the index cannot be read now, whoever asks for it is told.
        let _ = self.store.index();
        self.collect();
        Ok(())
    }

    /// Writes all documents as one segment. Searches are fastest then, and what was deleted is gone from the disk.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn compact(&mut self) -> Result<()> {
        self.or_back(|writer| {
            writer.flush()?;
            let parts = &writer.manifest.parts;
            if parts.len() > 1 || parts.iter().any(|part| !part.dead.is_empty()) {
                writer.merge_range(0, writer.manifest.parts.len())?;
            }
            writer.save()
        })
    }

    /// Does something; if it fails, the writer returns to the last commit.
    fn or_back(&mut self, action: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let done = action(self);
        if done.is_err() {
            let current = self.store.current();
            self.manifest = current.manifest.clone();
            self.segments = current.segments.clone();
            drop(current);
            self.pending.clear();
            self.order.clear();
            self.pending_bytes = 0;
        }
        done
    }

    /// Writes what is pending as a segment, which no manifest names yet.
    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        for id in pending.keys() {
            self.bury(id);
        }
        let mut documents: Vec<(Document, Metadata)> = Vec::new();
        let mut pending = pending;
        // The last time a name was put decides its place.
        for id in std::mem::take(&mut self.order).into_iter().rev() {
            documents.extend(pending.remove(&id).flatten());
        }
        documents.reverse();
        self.pending_bytes = 0;
        if documents.is_empty() {
            return Ok(());
        }
        let config = self.manifest.config.clone();
        let (embedder, chunker) = (self.embedder, self.chunker);
        self.write_segment(|file| {
            let mut builder = SegmentBuilder::new(&config, file, embedder)?.with_chunker(chunker);
            builder.add(&documents.iter().map(|(d, m)| (d, m)).collect::<Vec<_>>())?;
            builder.finish().map(drop)
        })
    }

    /// Marks a document as deleted in the segment that has it.
    fn bury(&mut self, id: &str) {
        for part in &mut self.manifest.parts {
            let found = self.segments.get(&part.name).and_then(|segment| segment.find(id));
            if let Some(n) = found
                && let Err(place) = part.dead.binary_search(&n)
            {
                part.dead.insert(place, n);
            }
        }
    }

    fn write_segment(
        &mut self,
        write: impl FnOnce(&mut std::io::BufWriter<File>) -> Result<()>,
    ) -> Result<()> {
        let name = self.manifest.next;
        let path = segment_path(self.store.folder(), name);
        write_whole(&path, write)?;
        let segment = Segment::open(&path)?;
        self.manifest.next += 1;
        self.manifest.dimension = segment.vectors.as_ref().map(|vectors| vectors.dimension());
        self.segments.insert(name, Arc::new(segment));
        self.manifest.parts.push(Part { name, dead: Vec::new() });
        Ok(())
    }

    /// Merges segments of about one size once there are many, and those that are mostly deleted: each document is copied
    /// a number of times that grows with the logarithm of their number.
    fn merge_alike(&mut self) -> Result<()> {
        let rank = |part: &Part| {
            let count = self.segments.get(&part.name).map_or(0, |s| s.documents.len());
            count.saturating_sub(part.dead.len()).max(1).ilog(ALIKE)
        };
        let ranks: Vec<u32> = self.manifest.parts.iter().map(rank).collect();
        // The longest tail of segments that are not larger than the others in it.
        let mut top = 0;
        let mut start = None;
        for (n, own) in ranks.iter().enumerate().rev() {
            top = top.max(*own);
            let alike = ranks.iter().skip(n).filter(|rank| **rank == top).count();
            if *own == top && alike >= ALIKE {
                start = Some(n);
            }
        }
        match start {
            Some(start) => self.merge_range(start, ranks.len()),
            None => self.merge_decayed(),
        }
    }

    /// Copies what is alive of segments of which most is deleted.
    fn merge_decayed(&mut self) -> Result<()> {
        let decayed = self.manifest.parts.iter().position(|part| {
            self.segments.get(&part.name).is_some_and(|s| 2 * part.dead.len() > s.documents.len())
        });
        match decayed {
            Some(n) => self.merge_range(n, n + 1),
            None => Ok(()),
        }
    }

    fn merge_range(&mut self, start: usize, end: usize) -> Result<()> {
        let old: Vec<Part> = self.manifest.parts.drain(start..end).collect();
        let later = self.manifest.parts.split_off(start);
        let held: Vec<(Arc<Segment>, Vec<u32>)> = old
            .into_iter()
            .filter_map(|part| Some((self.segments.get(&part.name).cloned()?, part.dead)))
            .collect();
        let parts: Vec<(&Segment, &[u32])> = held.iter().map(|(s, dead)| (&**s, dead.as_slice())).collect();
        if parts.iter().any(|(segment, dead)| dead.len() < segment.documents.len()) {
            self.write_segment(|file| merge(&parts, file).map(drop))?;
        }
        self.manifest.parts.extend(later);
        Ok(())
    }

    /// Removes segments that the manifest does not name. Who reads them has them open; where open files cannot be
    /// removed, the next commit tries again.
    fn collect(&mut self) {
        let named = |name: u64| self.manifest.parts.iter().any(|part| part.name == name);
        self.segments.retain(|name, _| named(*name));
        for entry in fs::read_dir(self.store.folder()).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let of_segment = file.strip_suffix(".segment").and_then(|name| name.parse().ok());
            let left_over = file.starts_with('.') && file.ends_with(".tmp");
            if left_over || of_segment.is_some_and(|name| !named(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
