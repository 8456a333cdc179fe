//! An open GGUF file: metadata, and where its tensors lie.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use slm_kernels::MappedFile;

use super::reader::Reader;
use super::{GgufType, GgufValue};
use crate::{Error, Result};

/// Where the content of tensors begins, unless the file says otherwise.
pub(super) const ALIGNMENT: usize = 32;
/// More dimensions than any tensor has.
const MAX_DIMENSIONS: u32 = 4;

/// An open GGUF file. Its tensors stay in the memory map.
#[derive(Debug, Clone)]
pub struct GgufFile {
    path: PathBuf,
    map: MappedFile,
    header: GgufHeader,
}

/// All of a GGUF file but the content of its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufHeader {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// The metadata by key.
    pub metadata: BTreeMap<String, GgufValue>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, GgufTensor>,
}

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its dimensions, slowest first: `[rows, cols]`, the reverse of what the file has.
    pub shape: Vec<usize>,
    /// Type of its numbers.
    pub kind: GgufType,
    /// Where it lies in the file, in bytes.
    pub range: Range<usize>,
}

impl GgufHeader {
    /// Reads the header of a file whose content is `bytes`.
    ///
    /// # Errors
    /// When it is not GGUF, is damaged, or a tensor lies outside of it. The text says where.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(bytes);
        let (mut header, count) = Self::metadata(&mut reader)?;
        let alignment = match header.metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(value) => value
                .as_u64()
                .and_then(|a| usize::try_from(a).ok())
                .filter(|a| a.is_power_of_two() && *a <= 1 << 20)
                .ok_or_else(|| format!("general.alignment: expected a power of two, got {value:?}"))?,
        };
        let mut infos = Vec::new();
        for i in 0..count {
            infos.push(tensor(&mut reader).map_err(|e| format!("tensor {i} of {count}: {e}"))?);
        }
        let start = reader.at().next_multiple_of(alignment);
        for (name, shape, kind, offset) in infos {
            let range = place(&shape, kind, offset, (start, alignment))
                .filter(|range| range.end <= bytes.len())
                .ok_or_else(|| {
                    format!(
                        "tensor {name} ({kind}, {shape:?}) at offset {offset} does not lie in the file of {} \
                         bytes\nhint: copy or download it again; a truncated transfer is the usual cause",
                        bytes.len()
                    )
                })?;
            if header.tensors.insert(name.clone(), GgufTensor { shape, kind, range }).is_some() {
                return Err(format!("tensor {name} is there twice"));
            }
        }
        Ok(header)
    }

    /// Reads metadata alone; a file that ends after it is whole.
    pub(crate) fn parse_metadata(bytes: &[u8]) -> Result<BTreeMap<String, GgufValue>, String> {
        Ok(Self::metadata(&mut Reader::new(bytes))?.0.metadata)
    }

    /// The metadata and how many tensors follow.
    fn metadata(reader: &mut Reader<'_>) -> Result<(Self, u64), String> {
        if reader.array::<4>()? != *b"GGUF" {
            return Err("not a GGUF file: it does not begin with GGUF".into());
        }
        let version = reader.u32()?;
        if !matches!(version, 2 | 3) {
            let swapped = if version.swap_bytes() == 3 { "; its bytes are in big-endian order" } else { "" };
            return Err(format!("GGUF version {version} is not supported, only 2 and 3{swapped}"));
        }
        let (tensors, pairs) = (reader.u64()?, reader.u64()?);
        let mut metadata = BTreeMap::new();
        for i in 0..pairs {
            let key = reader.string().map_err(|e| format!("metadata entry {i} of {pairs}: {e}"))?;
            let value = reader.u32().and_then(|kind| GgufValue::read(kind, reader));
            let value = value.map_err(|e| format!("{key}: {e}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        Ok((Self { version, metadata, tensors: BTreeMap::new() }, tensors))
    }
}

type Info = (String, Vec<usize>, GgufType, u64);

fn tensor(reader: &mut Reader<'_>) -> Result<Info, String> {
    let name = reader.string()?;
    let count = reader.u32()?;
    if count == 0 || count > MAX_DIMENSIONS {
        return Err(format!("{name} has {count} dimensions; expected 1 to {MAX_DIMENSIONS}"));
    }
    let mut shape = Vec::new();
    for _ in 0..count {
        let size = reader.u64()?;
        shape.push(usize::try_from(size).map_err(|_| format!("{name} has a dimension of {size}"))?);
    }
    shape.reverse();
    let number = reader.u32()?;
    let kind = GgufType::from_number(number)
        .ok_or_else(|| format!("{name} has type {number}, which is not known to this version"))?;
    Ok((name, shape, kind, reader.u64()?))
}

/// The bytes of a tensor; `None` where the numbers make no sense.
fn place(
    shape: &[usize],
    kind: GgufType,
    offset: u64,
    (start, alignment): (usize, usize),
) -> Option<Range<usize>> {
    let offset = usize::try_from(offset).ok().filter(|o| o.is_multiple_of(alignment))?;
    let cols = *shape.last()?;
    if !cols.is_multiple_of(kind.block()) {
        return None;
    }
    let row = (cols / kind.block()).checked_mul(kind.block_bytes())?;
    let bytes = shape[..shape.len() - 1].iter().try_fold(row, |n, d| n.checked_mul(*d))?;
    let begin = start.checked_add(offset)?;
    Some(begin..begin.checked_add(bytes)?)
}

impl GgufFile {
    /// Maps `path` and checks its header.
    ///
    /// # Errors
    /// When the file cannot be read, is not GGUF of version 2 or 3, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        let header = GgufHeader::parse(&map).map_err(|reason| Error::gguf(path, reason))?;
        Ok(Self { path: path.into(), map, header })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its metadata and its list of tensors.
    pub fn header(&self) -> &GgufHeader {
        &self.header
    }

    /// A value of the metadata.
    pub fn value(&self, key: &str) -> Option<&GgufValue> {
        self.header.metadata.get(key)
    }

    /// A tensor's description.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn tensor(&self, name: &str) -> Result<&GgufTensor> {
        let missing = || self.error(format!("there is no tensor {name}"));
        self.header.tensors.get(name).ok_or_else(missing)
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, tensor: &GgufTensor) -> &[u8] {
        self.map.get(tensor.range.clone()).unwrap_or_default()
    }

    pub(super) fn map(&self) -> &MappedFile {
        &self.map
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::gguf(&self.path, reason)
    }
}
