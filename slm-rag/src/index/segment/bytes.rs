//! The bytes of a segment, in memory or in a file, and their checksums.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a segment lies.
#[derive(Debug)]
pub(super) enum Source {
    Memory { bytes: Vec<u8>, path: PathBuf },
    File { file: File, length: u64, path: PathBuf },
}

/// A stretch of a segment and the checksum (CRC-32) of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let length = file.metadata().map_err(|source| Error::io(path, source))?.len();
        Ok(Self::File { file, length, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Memory { path, .. } | Self::File { path, .. } => path,
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory { bytes, .. } => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Bytes as they are.
    pub(super) fn read(&self, start: u64, length: usize) -> Result<Cow<'_, [u8]>> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            let reason = format!("expected {length} bytes at {start}, got {} in all", self.len());
            return Err(self.damaged(reason));
        }
        match self {
            Self::Memory { bytes, .. } => {
                let start = start as usize;
                Ok(Cow::Borrowed(bytes.get(start..start + length).unwrap_or_default()))
            }
            Self::File { file, path, .. } => {
                let mut bytes = vec![0; length];
                read_at(file, start, &mut bytes).map_err(|source| Error::io(path, source))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Bytes whose checksum is right.
    pub(super) fn checked(&self, span: Span) -> Result<Cow<'_, [u8]>> {
        let bytes = self.read(span.start, span.length as usize)?;
        if crc32fast::hash(&bytes) != span.checksum {
            return Err(
                self.damaged(format!("the checksum of {} bytes at {} is wrong", span.length, span.start))
            );
        }
        Ok(bytes)
    }

    /// What the bytes of a span say.
    pub(super) fn decode<T: DeserializeOwned>(&self, span: Span) -> Result<T> {
        let bytes = self.checked(span)?;
        postcard::from_bytes(&bytes).map_err(|error| self.damaged(error.to_string()))
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::format(self.path(), reason)
    }
}

#[cfg(unix)]
fn read_at(file: &File, start: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_at(file: &File, start: u64, bytes: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.seek_read(rest, start + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

/// Adds a number in groups of seven bits, lowest first; the high bit of a byte says that more follow.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number off the front of `bytes`; `None` where there is no whole one.
#[inline(always)]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&n| put_varint(&mut bytes, n));
        let mut rest = bytes.as_slice();
        assert_eq!(numbers.map(|_| take_varint(&mut rest)), numbers.map(Some));
        assert_eq!(take_varint(&mut rest), None);
        assert_eq!(take_varint(&mut [0xff_u8; 12].as_slice()), None);
    }
}
