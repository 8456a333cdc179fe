//! An index as one file.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::{Index, Segment, merge};
use crate::{Error, Result};

impl Index {
    /// Writes the index with its documents to one file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, |file| match self.parts.as_slice() {
            [part] if part.dead.is_empty() => part.segment.copy_to(file),
            parts => {
                let parts: Vec<_> = parts.iter().map(|p| (&*p.segment, p.dead.as_slice())).collect();
                merge(&parts, file).map(drop)
            }
        })
    }

    /// Reads a file that [`save`](Self::save) wrote into memory.
    ///
    /// # Errors
    /// When the file cannot be read, is not an index, is of another version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
        let segment = Segment::from_bytes(bytes, path)?;
        Ok(Self::of(segment.config().clone(), vec![(Arc::new(segment), Arc::default())]))
    }
}

/// Writes to a temporary file next to `path`, to the disk, and renames it.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> Result<()>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let at = |source| Error::io(path, source);
    let written = fs::File::create(&temporary).map_err(at).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 18, file);
        write(&mut file).map_err(|error| match error {
            Error::Write { source } => at(source),
            other => other,
        })?;
        file.flush().map_err(at)?;
        file.get_ref().sync_all().map_err(at)?;
        fs::rename(&temporary, path).map_err(at)?;
        sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(at)
    });
    if written.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A rename is on the disk once its folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::File::open(folder)?.sync_all()
}

/// Elsewhere folders cannot be opened as files.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}
