//! What this crate learns, in JSON files with a head that says what they hold.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a file holds, and in which version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) format: &'static str,
    pub(crate) version: u32,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: &'a str,
    version: u32,
    content: &'a T,
}

/// Read before the rest, so that a file of another version is named as such.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    content: T,
}

/// Writes `content` to `path`, whole or not at all.
pub(crate) fn write<T: Serialize>(path: &Path, kind: Kind, content: &T) -> Result<()> {
    let written = Written { format: kind.format, version: kind.version, content };
    let bytes = serde_json::to_vec(&written).map_err(|source| Error::Json { path: path.into(), source })?;
    write_whole(path, &bytes).map_err(|source| Error::Io { path: path.into(), source })
}

/// Reads what [`write`] wrote.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<T> {
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let json = |source| Error::Json { path: path.into(), source };
    let head: Head = serde_json::from_slice(&bytes).map_err(json)?;
    if (head.format.as_str(), head.version) != (kind.format, kind.version) {
        let got = format!("{} version {}", head.format, head.version);
        let expected = format!("{} version {}", kind.format, kind.version);
        return Err(Error::Format { path: path.into(), expected, got });
    }
    let Read { content } = serde_json::from_slice(&bytes).map_err(json)?;
    Ok(content)
}

/// An error for a file that parses but cannot have been written by this crate.
pub(crate) fn corrupt(path: &Path, expected: &str) -> Error {
    Error::Format { path: path.into(), expected: expected.to_owned(), got: "other contents".to_owned() }
}

/// Writes to a temporary file next to `path` and renames it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Many numbers as one text: little-endian `f32` in base64, bit by bit the same after reading.
pub(crate) mod floats {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(numbers: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(de::Error::custom(format!("{} bytes are no whole number of f32", bytes.len())));
        }
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
