//! Read-only memory maps of weight files.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file in the address space: pages are read on first touch and shared between processes.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps `path`.
    ///
    /// The file must not be shortened while it is mapped: reading past its end would then stop the process.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    #[expect(unsafe_code, reason = "a memory map is unsafe by nature")]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is private to this value, read-only, and lives as long as the slices taken from it;
        // a concurrent truncation of the file is excluded by this function's contract.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
