//! [`Bytes`]: codes in memory of their own, or in a mapped file.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::mmap::MappedFile;
use crate::{Error, Result};

/// Bytes that do not change; clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(bytes::Bytes);

impl Bytes {
    /// The bytes `range` of `file`, read where they are mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if the range is not in the file.
    pub fn mapped(file: &MappedFile, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > file.len() {
            return Err(Error::Length { what: "bytes of the file", expected: range.end, got: file.len() });
        }
        Ok(Self(file.part(range)))
    }

    /// The bytes `range` of these.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are not that many.
    pub fn slice(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.0.len() {
            return Err(Error::Length { what: "bytes", expected: range.end, got: self.0.len() });
        }
        Ok(Self(self.0.slice(range)))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(bytes::Bytes::from_static(bytes))
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(bytes::Bytes::from_owner(bytes))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}
