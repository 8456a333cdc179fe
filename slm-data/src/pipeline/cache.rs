//! What steps made, in folders named by the content that it was made of.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A part of a hash in hexadecimal: 128 bits.
const LENGTH: usize = 32;

/// Hash of parts, each with its length, so that they cannot run into each other.
pub(super) fn hash_of(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(hasher)
}

/// Hash of a file's content.
pub(super) fn hash_file(path: &Path) -> Result<String> {
    let fail = |source| Error::io(path, source);
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(fail)?;
        if read == 0 {
            return Ok(hex(hasher));
        }
        hasher.update(&buffer[..read]);
    }
}

fn hex(hasher: Sha256) -> String {
    let mut text: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(LENGTH);
    text
}

/// The folder of an outcome, made in full or not at all.
pub(super) struct Entry {
    pub(super) folder: PathBuf,
    /// Whether it was there already.
    pub(super) cached: bool,
}

/// The folder of `hash` below `cache`; where it is not there, `make` fills a temporary one that then takes
/// the name. A kill at any moment leaves no half of an outcome.
pub(super) fn entry(cache: &Path, hash: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Entry> {
    let folder = cache.join(hash);
    if folder.is_dir() {
        return Ok(Entry { folder, cached: true });
    }
    let temporary = cache.join(format!("{hash}.{}.tmp", std::process::id()));
    let fail = |source| Error::io(&temporary, source);
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(fail)?;
    }
    fs::create_dir_all(&temporary).map_err(fail)?;
    let made = make(&temporary).and_then(|()| match fs::rename(&temporary, &folder) {
        // Another run was quicker, with the same content.
        Err(_) if folder.is_dir() => fs::remove_dir_all(&temporary).map_err(fail),
        renamed => renamed.map_err(fail),
    });
    if made.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&temporary);
    }
    made.map(|()| Entry { folder, cached: false })
}
