//! The vocabulary and the chat templates in the metadata of a GGUF file.
//!
//! Reads versions 2 and 3. A damaged file is an error that says where; what the file claims about lengths is held
//! against what is left of it before memory is taken.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What a GGUF file says about its tokenizer (`tokenizer.*`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GgufVocab {
    /// `gpt2`, `llama` or `bert`.
    pub model: String,
    /// Name of the pre-tokenizer; empty where the file names none.
    pub pre: String,
    /// Tokens by id.
    pub tokens: Vec<String>,
    /// Score of each token; empty for models without.
    pub scores: Vec<f32>,
    /// Kind of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty where all are normal.
    pub token_types: Vec<i32>,
    /// Merges, best first, each two tokens with a space between.
    pub merges: Vec<String>,
    /// Ids by name: `bos`, `eos`, `unknown`, `seperator`, `padding`, `cls`, `mask`.
    pub ids: BTreeMap<String, u32>,
    /// Whether a text begins with the `bos` token; `None` for the model's habit.
    pub add_bos: Option<bool>,
    /// Whether a text ends with the `eos` token.
    pub add_eos: Option<bool>,
    /// Whether a space is put before a text.
    pub add_space_prefix: Option<bool>,
    /// Chat templates by name, the main one as `default`.
    pub chat_templates: BTreeMap<String, String>,
}

impl GgufVocab {
    /// Reads the metadata of a file; weights are not touched.
    ///
    /// # Errors
    /// When the file cannot be read, is not GGUF, is damaged, or has no vocabulary.
    pub fn load(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
        Self::read(BufReader::new(file), length, path)
    }

    /// Reads metadata in memory.
    ///
    /// # Errors
    /// As [`GgufVocab::load`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, bytes.len() as u64, &PathBuf::from("(memory)"))
    }

    fn read(source: impl Read, length: u64, path: &Path) -> Result<Self> {
        let mut reader = Reader { source, left: length };
        let damaged = |reason: String| Error::Tokenizer { path: path.into(), reason };
        let mut vocab = Self::default();
        vocab.read_pairs(&mut reader).map_err(damaged)?;
        let count = vocab.tokens.len();
        for (name, length) in [("scores", vocab.scores.len()), ("token_type", vocab.token_types.len())] {
            if length != 0 && length != count {
                return Err(damaged(format!("{count} tokens, but {length} in tokenizer.ggml.{name}")));
            }
        }
        if count == 0 {
            return Err(damaged("the file has no tokenizer.ggml.tokens".into()));
        }
        if let Some((name, id)) = vocab.ids.iter().find(|(_, id)| **id as usize >= count) {
            return Err(damaged(format!("{name}_token_id {id} is not one of the {count} tokens")));
        }
        Ok(vocab)
    }

    fn read_pairs(&mut self, reader: &mut Reader<impl Read>) -> Result<(), String> {
        if reader.bytes::<4>()? != *b"GGUF" {
            return Err("not a GGUF file: it does not begin with GGUF".into());
        }
        let version = reader.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(format!("GGUF version {version} is not supported, only 2 and 3"));
        }
        let _tensors = reader.u64()?;
        let pairs = reader.u64()?;
        for i in 0..pairs {
            let key = reader.string().map_err(|e| format!("metadata entry {i} of {pairs}: {e}"))?;
            let kind = reader.u32()?;
            self.take(&key, kind, reader).map_err(|e| format!("{key}: {e}"))?;
        }
        Ok(())
    }

    fn take(&mut self, key: &str, kind: u32, reader: &mut Reader<impl Read>) -> Result<(), String> {
        let name = key.strip_prefix("tokenizer.ggml.");
        match name {
            Some("model") => self.model = reader.text(kind)?,
            Some("pre") => self.pre = reader.text(kind)?,
            Some("tokens") => self.tokens = reader.list(kind, STRING, Reader::string)?,
            Some("merges") => self.merges = reader.list(kind, STRING, Reader::string)?,
            Some("scores") => self.scores = reader.list(kind, FLOAT32, |r| Ok(f32::from_bits(r.u32()?)))?,
            Some("token_type") => self.token_types = reader.list(kind, INT32, |r| Ok(r.u32()? as i32))?,
            Some("add_bos_token") => self.add_bos = Some(reader.flag(kind)?),
            Some("add_eos_token") => self.add_eos = Some(reader.flag(kind)?),
            Some("add_space_prefix") => self.add_space_prefix = Some(reader.flag(kind)?),
            Some(name) if name.ends_with("_token_id") && matches!(kind, UINT32 | INT32) => {
                self.ids.insert(name.trim_end_matches("_token_id").into(), reader.u32()?);
            }
            _ => match key.strip_prefix("tokenizer.chat_template") {
                Some("") => {
                    let source = reader.text(kind)?;
                    self.chat_templates.insert("default".into(), source);
                }
                Some(name) if name.starts_with('.') => {
                    let source = reader.text(kind)?;
                    self.chat_templates.insert(name[1..].into(), source);
                }
                _ => reader.skip_value(kind, 0)?,
            },
        }
        Ok(())
    }

    /// The content of the token that the file names so (`bos`, `eos`, ..).
    pub fn special(&self, name: &str) -> Option<&str> {
        self.tokens.get(*self.ids.get(name)? as usize).map(String::as_str)
    }
}

const UINT32: u32 = 4;
const INT32: u32 = 5;
const FLOAT32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

struct Reader<R> {
    source: R,
    /// Bytes that are left of the file.
    left: u64,
}

impl<R: Read> Reader<R> {
    fn need(&mut self, bytes: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!("the file ends too soon: {bytes} more bytes are claimed, {} are left", self.left)
        })?;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn string(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        self.need(length)?;
        let mut bytes = Vec::new();
        let read = self.source.by_ref().take(length).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if read as u64 != length {
            return Err("the file ends inside a string".into());
        }
        String::from_utf8(bytes).map_err(|_| "a string is not UTF-8".into())
    }

    fn text(&mut self, kind: u32) -> Result<String, String> {
        expect(kind, STRING)?;
        self.string()
    }

    fn flag(&mut self, kind: u32) -> Result<bool, String> {
        expect(kind, BOOL)?;
        Ok(self.bytes::<1>()?[0] != 0)
    }

    fn list<T>(
        &mut self,
        kind: u32,
        element: u32,
        read: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        expect(kind, ARRAY)?;
        expect(self.u32()?, element)?;
        let count = self.u64()?;
        if count > self.left {
            return Err(format!("{count} elements are claimed, but only {} bytes are left", self.left));
        }
        // Grows as elements are read: a false count takes no memory.
        (0..count).map(|_| read(self)).collect::<Result<Vec<T>, String>>()
    }

    fn discard(&mut self, bytes: u64) -> Result<(), String> {
        self.need(bytes)?;
        let copied = std::io::copy(&mut self.source.by_ref().take(bytes), &mut std::io::sink());
        match copied {
            Ok(n) if n == bytes => Ok(()),
            Ok(_) => Err("the file ends inside a value".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<(), String> {
        match kind {
            STRING => {
                let length = self.u64()?;
                self.discard(length)
            }
            ARRAY if depth < 4 => {
                let (element, count) = (self.u32()?, self.u64()?);
                match width(element) {
                    Some(width) => self.discard(count.checked_mul(width).ok_or("an array is too long")?),
                    None => (0..count).try_for_each(|_| self.skip_value(element, depth + 1)),
                }
            }
            ARRAY => Err("arrays are nested too deeply".into()),
            _ => self.discard(width(kind).ok_or_else(|| format!("value type {kind} is not known"))?),
        }
    }
}

/// Bytes of a value; `None` for strings and arrays, and for kinds that there are not.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        UINT32 | INT32 | FLOAT32 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn expect(got: u32, want: u32) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("expected value type {want}, got {got}")) }
}
