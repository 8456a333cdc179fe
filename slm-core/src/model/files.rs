//! Safetensors files: mapped for reading, written beside their place and then renamed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use slm_kernels::MappedFile;

use super::FloatType;
use crate::{Error, Result};

/// One safetensors file, mapped or part of the program.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    /// Where each tensor lies in `bytes`.
    places: BTreeMap<String, Place>,
    metadata: BTreeMap<String, String>,
}

/// A tensor as it lies in a file.
#[derive(Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: &'a [u8],
    /// The same, sharing the map.
    pub(crate) shared: slm_kernels::Bytes,
}

#[derive(Debug, Clone)]
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Embedded(&'static [u8]),
}

impl TensorFile {
    /// Maps `path` and checks its header.
    ///
    /// # Errors
    /// When the file cannot be read or is not a complete safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        Self::of(path.into(), Bytes::Mapped(map))
    }

    /// A file that is part of the program, by `include_bytes!`; `name` stands for its path in errors.
    ///
    /// # Errors
    /// When it is not a complete safetensors file.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::of(name.into(), Bytes::Embedded(bytes))
    }

    fn of(path: PathBuf, bytes: Bytes) -> Result<Self> {
        let places = {
            let all: &[u8] = &bytes;
            let invalid = |e: safetensors::SafeTensorError| Error::Weights {
                path: path.clone(),
                reason: e.to_string(),
            };
            let tensors = SafeTensors::deserialize(all).map_err(invalid)?;
            let place = |view: &TensorView<'_>| {
                let start = view.data().as_ptr().addr() - all.as_ptr().addr();
                let range = start..start + view.data().len();
                Place { dtype: view.dtype(), shape: view.shape().to_vec(), range }
            };
            tensors.iter().map(|(name, view)| (name.to_owned(), place(&view))).collect()
        };
        let header = SafeTensors::read_metadata(&bytes).ok();
        let metadata = header.and_then(|(_, header)| header.metadata().clone()).unwrap_or_default();
        Ok(Self { path, bytes, places, metadata: metadata.into_iter().collect() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and shapes.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.places.iter().map(|(name, place)| (name.clone(), place.shape.clone())).collect()
    }

    /// An entry of the file's metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// A tensor of the type `dtype` as it lies in the file.
    pub(crate) fn raw(&self, name: &str, dtype: Dtype) -> Result<Raw<'_>> {
        let place = self.place(name)?;
        if place.dtype != dtype {
            return Err(self.invalid(&format!("{name} is {:?}; expected {dtype:?}", place.dtype)));
        }
        let shared = match &self.bytes {
            Bytes::Mapped(map) => slm_kernels::Bytes::mapped(map, place.range.clone()),
            Bytes::Embedded(all) => slm_kernels::Bytes::from(*all).slice(place.range.clone()),
        };
        let shared = shared.map_err(|e| self.invalid(&format!("{name}: {e}")))?;
        let bytes = self.bytes.get(place.range.clone()).unwrap_or_default();
        Ok(Raw { shape: place.shape.clone(), bytes, shared })
    }

    /// The values of a floating-point tensor, widened to `f32`, row-major.
    ///
    /// # Errors
    /// When there is no such tensor or it is not bf16, f16 or f32.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let place = self.place(name)?;
        let float = FloatType::of(place.dtype).ok_or_else(|| self.not_a_float(name, place.dtype))?;
        Ok(widen(float, self.bytes.get(place.range.clone()).unwrap_or_default()))
    }

    /// A floating-point tensor in the type `float`, or as it is stored; then it stays in the file, and its memory is
    /// that of the map.
    ///
    /// # Errors
    /// When there is no such tensor or it is not bf16, f16 or f32.
    pub fn read(&self, name: &str, float: Option<FloatType>) -> Result<TensorData> {
        self.read_rows(name, None, float)
    }

    /// Some rows of a tensor, or all of them.
    pub(crate) fn read_rows(
        &self,
        name: &str,
        rows: Option<Range<usize>>,
        float: Option<FloatType>,
    ) -> Result<TensorData> {
        let Place { dtype, mut shape, mut range } = self.place(name)?.clone();
        let stored = FloatType::of(dtype).ok_or_else(|| self.not_a_float(name, dtype))?;
        if let (Some(rows), Some(all)) = (rows, shape.first_mut()) {
            if rows.end > *all {
                return Err(self.invalid(&format!("{name} has {all} rows, not {}", rows.end)));
            }
            let width = range.len() / (*all).max(1);
            range = range.start + rows.start * width..range.start + rows.end * width;
            *all = rows.len();
        }
        if float.is_none_or(|float| float == stored)
            && let Some(data) = self.in_place(&range, &shape, stored)
        {
            return Ok(data);
        }
        let bytes = self.bytes.get(range).unwrap_or_default();
        Ok(float.unwrap_or(stored).data(widen(stored, bytes), shape))
    }

    fn place(&self, name: &str) -> Result<&Place> {
        self.places.get(name).ok_or_else(|| self.invalid(&format!("there is no tensor {name}")))
    }

    fn not_a_float(&self, name: &str, dtype: Dtype) -> Error {
        self.invalid(&format!("{name} is {dtype:?}; expected BF16, F16 or F32"))
    }

    /// The tensor in a part of the map, without a copy; `None` where the file is part of the program or the tensor is
    /// not aligned.
    fn in_place(&self, range: &Range<usize>, shape: &[usize], float: FloatType) -> Option<TensorData> {
        let Bytes::Mapped(map) = &self.bytes else { return None };
        map.tensor_data(range.clone(), shape.to_vec(), float.into()).ok()
    }

    pub(super) fn invalid(&self, reason: &impl ToString) -> Error {
        Error::Weights { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

/// The numbers of a tensor, little-endian, in `f32`.
pub(crate) fn widen(float: FloatType, data: &[u8]) -> Vec<f32> {
    let (quads, _) = data.as_chunks::<4>();
    let (pairs, _) = data.as_chunks::<2>();
    match float {
        FloatType::F32 => quads.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        FloatType::F16 => pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        FloatType::Bf16 => pairs.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
    }
}

/// Writes a file under a temporary name in the same folder, then renames it: a reader sees the old content
/// or the new, never a part.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_with(path, |out| out.write_all(bytes).map_err(|e| Error::io(path, e)))
}

/// The same for content that comes in pieces.
///
/// # Errors
/// As [`write_atomically`], and what `write` returns; then nothing is left behind.
pub fn write_atomically_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let io = |e| Error::io(path, e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let all = || {
        let mut out = BufWriter::new(std::fs::File::create(&temporary).map_err(io)?);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&temporary, path).map_err(io)
    };
    all().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}
