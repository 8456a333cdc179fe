//! Writing safetensors files, one tensor in memory at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::write_atomically_with;
use crate::{Error, Result};

/// What makes the bytes of a tensor, when they are wanted.
type Content<'a> = Box<dyn Fn() -> Result<Cow<'a, [u8]>> + 'a>;

/// A safetensors file in the making.
#[derive(Default)]
pub(crate) struct TensorWriter<'a> {
    metadata: BTreeMap<String, String>,
    tensors: Vec<Pending<'a>>,
}

struct Pending<'a> {
    name: String,
    kind: Kind,
    shape: Vec<usize>,
    content: Content<'a>,
}

/// Types of tensors that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    F32,
    I32,
    U32,
    F16,
    Bf16,
    U8,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::U8 => "U8",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }
}

impl<'a> TensorWriter<'a> {
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    pub(crate) fn tensor(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        shape: &[usize],
        content: impl Fn() -> Result<Cow<'a, [u8]>> + 'a,
    ) {
        let content = Box::new(content);
        self.tensors.push(Pending { name: name.into(), kind, shape: shape.to_vec(), content });
    }

    /// Writes the file beside its place, then renames it. The same tensors give the same bytes: wide types first, so
    /// that all are aligned, then by name.
    pub(crate) fn write(mut self, path: &Path) -> Result<()> {
        self.tensors.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let header = self.header();
        write_atomically_with(path, |out| {
            out.write_all(&header).map_err(|e| Error::io(path, e))?;
            for tensor in &self.tensors {
                let (bytes, expected) = ((tensor.content)()?, tensor.bytes());
                if bytes.len() != expected {
                    let reason = format!("{}: expected {expected} bytes, got {}", tensor.name, bytes.len());
                    return Err(Error::Weights { path: path.into(), reason });
                }
                out.write_all(&bytes).map_err(|e| Error::io(path, e))?;
            }
            Ok(())
        })
    }

    fn header(&self) -> Vec<u8> {
        let mut all = Map::new();
        if !self.metadata.is_empty() {
            all.insert("__metadata__".into(), json!(self.metadata));
        }
        let mut at = 0;
        for tensor in &self.tensors {
            let end = at + tensor.bytes();
            let entry =
                json!({"dtype": tensor.kind.name(), "shape": tensor.shape, "data_offsets": [at, end]});
            all.insert(tensor.name.clone(), entry);
            at = end;
        }
        let mut text = Json::Object(all).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        [&(text.len() as u64).to_le_bytes()[..], &text].concat()
    }
}

impl Pending<'_> {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.kind.bytes()
    }
}
