//! Read-only memory maps of weight files, and tensors that stay in them.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

use burn::tensor::{AllocationProperty, Bytes, DType, Shape, TensorData};

use crate::{Error, Result};

/// A file in the address space: pages are read on first touch and shared between processes.
///
/// Clones share the map, which lives until the last of them and of the data taken from it is dropped.
#[derive(Clone)]
pub struct MappedFile(bytes::Bytes);

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
        // SAFETY: the map is read-only, and lives as long as the slices taken from it; a concurrent truncation
        // of the file is excluded by this function's contract.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(bytes::Bytes::from_owner(map)))
    }

    /// The numbers in `range` (bytes of the file) as the data of a tensor, without a copy.
    ///
    /// `Tensor::from_data` keeps them in the map on `flex`, if it is asked for `dtype`; then the memory of a
    /// weight is that of the file, and only what is read of it. What writes to such a tensor copies it first.
    /// Other devices copy.
    ///
    /// # Errors
    ///
    /// - [`Error::Length`] if the range is not in the file, or has another length than `shape` and `dtype` say.
    /// - [`Error::Alignment`] if the numbers do not start at a multiple of their size in memory: copy them.
    pub fn tensor_data(
        &self,
        range: Range<usize>,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<TensorData> {
        let shape = shape.into();
        let size = dtype.size();
        let expected = shape.iter().try_fold(size, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        if range.start > range.end || range.end > self.0.len() {
            return Err(Error::Length { what: "bytes of the file", expected: range.end, got: self.0.len() });
        }
        if range.len() != expected {
            return Err(Error::Length { what: "bytes of the tensor", expected, got: range.len() });
        }
        let part = self.0.slice(range.clone());
        if !part.is_empty() && !part.as_ptr().addr().is_multiple_of(size) {
            return Err(Error::Alignment { offset: range.start, size });
        }
        Ok(TensorData::from_bytes(Bytes::from_shared(part, AllocationProperty::File), shape, dtype))
    }
}

impl MappedFile {
    /// The bytes `range`, which are in the file; they share the map.
    pub(crate) fn part(&self, range: Range<usize>) -> bytes::Bytes {
        self.0.slice(range)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("bytes", &self.0.len()).finish()
    }
}
