//! A detector in a JSON file.

use std::path::Path;

use super::DomainDetector;
use crate::Result;
use crate::file::{self, Kind};

const KIND: Kind = Kind { format: "slm-domain-detector", version: 2 };

impl DomainDetector {
    /// Writes the detector and its threshold to a JSON file, whole or not at all.
    ///
    /// The file holds hashes of words and n-grams, not the texts. That is no protection of secrets: whoever
    /// guesses a word can test for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::write(path, KIND, self)
    }

    /// Reads a file that [`save`](Self::save) wrote. The detector scores exactly as the saved one.
    ///
    /// # Errors
    /// When the file cannot be read, is not a detector, is of another version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let detector: Self = file::read(path, KIND)?;
        detector.vectorizer.config.check()?;
        let classifier_is_sound = detector.classifier.as_ref().is_none_or(super::Logistic::is_sound);
        if detector.exemplars.len() == 0 || !detector.vectorizer.is_sound() || !classifier_is_sound {
            return Err(file::corrupt(path, "sorted features and at least one exemplar"));
        }
        Ok(detector)
    }
}
