//! Writing a GGUF file: metadata, then tensors one at a time.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use super::file::ALIGNMENT;
use super::value::write_string;
use super::{GgufType, GgufValue};
use crate::model::write_atomically_with;
use crate::{Error, Result};

/// What makes the bytes of a tensor, when they are wanted.
type Content<'a> = Box<dyn Fn() -> Result<Cow<'a, [u8]>> + 'a>;

/// A GGUF file in the making.
#[derive(Default)]
pub struct GgufWriter<'a> {
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<Pending<'a>>,
}

struct Pending<'a> {
    name: String,
    shape: Vec<usize>,
    kind: GgufType,
    content: Content<'a>,
}

impl std::fmt::Debug for GgufWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        f.debug_struct("GgufWriter").field("metadata", &self.metadata).field("tensors", &names).finish()
    }
}

impl Pending<'_> {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() / self.kind.block() * self.kind.block_bytes()
    }
}

impl<'a> GgufWriter<'a> {
    /// A file without metadata or tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value of the metadata, in the place of an earlier one of the same key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<GgufValue>) {
        let (key, value) = (key.into(), value.into());
        match self.metadata.iter_mut().find(|(k, _)| *k == key) {
            Some(pair) => pair.1 = value,
            None => self.metadata.push((key, value)),
        }
    }

    /// Adds a tensor `shape` (slowest dimension first); `content` makes its bytes when the file is written, so that
    /// the memory of one tensor is enough.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        kind: GgufType,
        content: impl Fn() -> Result<Cow<'a, [u8]>> + 'a,
    ) {
        let content = Box::new(content);
        self.tensors.push(Pending { name: name.into(), shape: shape.to_vec(), kind, content });
    }

    /// Writes the file beside its place, then renames it. The same content gives the same bytes.
    ///
    /// # Errors
    /// When the content of a tensor cannot be had or has another length than its shape says, or the file cannot be
    /// written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let header = self.header();
        write_atomically_with(path, |out| {
            out.write_all(&header).map_err(|e| Error::io(path, e))?;
            for tensor in &self.tensors {
                let bytes = (tensor.content)()?;
                if bytes.len() != tensor.bytes() {
                    let (name, expected, got) = (&tensor.name, tensor.bytes(), bytes.len());
                    return Err(Error::gguf(path, format!("{name}: expected {expected} bytes, got {got}")));
                }
                write_padded(out, &bytes).map_err(|e| Error::io(path, e))?;
            }
            Ok(())
        })
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_string(key, &mut out);
            value.write(&mut out);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            write_string(&tensor.name, &mut out);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                out.extend((*size as u64).to_le_bytes());
            }
            out.extend(tensor.kind.number().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += tensor.bytes().next_multiple_of(ALIGNMENT) as u64;
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }
}

fn write_padded(out: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(bytes)?;
    out.write_all(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])
}
