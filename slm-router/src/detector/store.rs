//! A detector in a JSON file.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DomainDetector;
use crate::{Error, Result};

const FORMAT: &str = "slm-domain-detector";
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    format: &'a str,
    version: u32,
    detector: &'a DomainDetector,
}

/// Read before the rest, so that a file of another version is named as such.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Deserialize)]
struct Body {
    detector: DomainDetector,
}

impl DomainDetector {
    /// Writes the detector and its threshold to a JSON file, whole or not at all.
    ///
    /// The file holds hashes of words and n-grams, not the texts. That is no protection of secrets: whoever
    /// guesses a word can test for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let written = Written { format: FORMAT, version: VERSION, detector: self };
        let bytes =
            serde_json::to_vec(&written).map_err(|source| Error::Json { path: path.into(), source })?;
        write_whole(path, &bytes).map_err(|source| Error::Io { path: path.into(), source })
    }

    /// Reads a file that [`save`](Self::save) wrote. The detector scores exactly as the saved one.
    ///
    /// # Errors
    /// When the file cannot be read, is not a detector, is of another version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let json = |source| Error::Json { path: path.into(), source };
        let head: Head = serde_json::from_slice(&bytes).map_err(json)?;
        if (head.format.as_str(), head.version) != (FORMAT, VERSION) {
            let got = format!("{} version {}", head.format, head.version);
            return Err(Error::Format {
                path: path.into(),
                expected: format!("{FORMAT} version {VERSION}"),
                got,
            });
        }
        let Body { detector } = serde_json::from_slice(&bytes).map_err(json)?;
        detector.vectorizer.config.check()?;
        let classifier_is_sound = detector.classifier.as_ref().is_none_or(super::Logistic::is_sound);
        if detector.exemplars.len() == 0 || !detector.vectorizer.is_sound() || !classifier_is_sound {
            let expected = "sorted features and at least one exemplar".to_owned();
            return Err(Error::Format { path: path.into(), expected, got: "other contents".to_owned() });
        }
        Ok(detector)
    }
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
