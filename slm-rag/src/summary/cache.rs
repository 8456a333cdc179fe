//! What a model wrote, by what it was asked.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::index::write_whole;
use crate::{Error, Result};

/// A folder of texts named by the hash of their question.
#[derive(Debug)]
pub(super) struct Cache(PathBuf);

impl Cache {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        Ok(Self(folder.to_owned()))
    }

    fn path(&self, key: &[&str]) -> PathBuf {
        let mut hash = Sha256::new();
        for part in key {
            // With lengths, so that no two keys have the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("{name}.txt"))
    }

    pub(super) fn get(&self, key: &[&str]) -> Result<Option<String>> {
        let path = self.path(key);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(path, source)),
        }
    }

    pub(super) fn put(&self, key: &[&str], text: &str) -> Result<()> {
        let path = self.path(key);
        write_whole(&path, |file| file.write_all(text.as_bytes()).map_err(|source| Error::io(&path, source)))
    }
}
