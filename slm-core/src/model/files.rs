//! Safetensors files: mapped for reading, written beside their place and then renamed.

use std::collections::BTreeMap;
use std::io::Write;
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
        Self::check(Self { path: path.into(), bytes: Bytes::Mapped(map) })
    }

    /// A file that is part of the program, by `include_bytes!`; `name` stands for its path in errors.
    ///
    /// # Errors
    /// When it is not a complete safetensors file.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::check(Self { path: name.into(), bytes: Bytes::Embedded(bytes) })
    }

    fn check(self) -> Result<Self> {
        self.tensors()?;
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and shapes.
    ///
    /// # Errors
    /// When the file changed since it was opened.
    pub fn shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(self.tensors()?.iter().map(|(n, v)| (n.to_owned(), v.shape().to_vec())).collect())
    }

    /// The values of a floating-point tensor, widened to `f32`, row-major.
    ///
    /// # Errors
    /// When there is no such tensor or it is not bf16, f16 or f32.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        self.view(name, |view| widen(view.dtype(), view.data()))
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
        self.view(name, |view| {
            let stored = FloatType::of(view.dtype())?;
            let mut shape = view.shape().to_vec();
            let mut bytes = view.data();
            if let (Some(rows), Some(all)) = (rows, shape.first_mut()) {
                let width = bytes.len() / (*all).max(1);
                bytes = bytes.get(rows.start * width..rows.end * width)?;
                *all = rows.len();
            }
            if float.is_none_or(|float| float == stored)
                && let Some(data) = self.in_place(bytes, &shape, stored)
            {
                return Some(data);
            }
            let values = widen(view.dtype(), bytes)?;
            Some(float.unwrap_or(stored).data(values, shape))
        })
    }

    /// The tensor of `bytes`, a part of the map, without a copy; `None` where the file is part of the program or the
    /// tensor is not aligned.
    fn in_place(&self, bytes: &[u8], shape: &[usize], float: FloatType) -> Option<TensorData> {
        let Bytes::Mapped(map) = &self.bytes else { return None };
        let start = bytes.as_ptr().addr() - map.as_ptr().addr();
        map.tensor_data(start..start + bytes.len(), shape.to_vec(), float.into()).ok()
    }

    fn view<T>(&self, name: &str, f: impl FnOnce(&TensorView<'_>) -> Option<T>) -> Result<T> {
        let tensors = self.tensors()?;
        let view = tensors.tensor(name).map_err(|e| self.invalid(&e))?;
        f(&view)
            .ok_or_else(|| self.invalid(&format!("{name} is {:?}; expected BF16, F16 or F32", view.dtype())))
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        let bytes = match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Embedded(bytes) => *bytes,
        };
        SafeTensors::deserialize(bytes).map_err(|e| self.invalid(&e))
    }

    fn invalid(&self, reason: &impl ToString) -> Error {
        Error::Weights { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn widen(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F32 => {
            Some(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::F16 => Some(pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}

/// Writes a file under a temporary name in the same folder, then renames it: a reader sees the old content
/// or the new, never a part.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| Error::io(path, e))
}
