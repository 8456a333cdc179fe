//! An intent detector in a JSON file.

use std::path::Path;

use super::IntentDetector;
use crate::Result;
use crate::detector::Vectorizer;
use crate::file::{self, Kind};

const KIND: Kind = Kind { format: "slm-intent-detector", version: 1 };

impl IntentDetector {
    /// Writes the detector and its threshold to a JSON file, whole or not at all.
    ///
    /// The file holds vectors of some of the texts and hashes of words, not the texts. That is no protection of secrets.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::write(path, KIND, self)
    }

    /// Reads a file that [`save`](Self::save) wrote. The detector scores exactly as the saved one.
    ///
    /// # Errors
    /// When the file cannot be read, is of another kind or version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let detector: Self = file::read(path, KIND)?;
        detector.config.check()?;
        let width = detector.head.width();
        let is_sound = width > 0
            && detector.head.is_sound()
            && detector.head.classes() == detector.intents.len()
            && !detector.intents.is_empty()
            && detector.gaussians.is_sound(width)
            && detector.exemplars.is_sound(width)
            && detector.words.as_ref().is_none_or(Vectorizer::is_sound)
            && detector.spreads.iter().all(|spread| *spread > 0.0);
        if is_sound { Ok(detector) } else { Err(file::corrupt(path, "parts of one width")) }
    }
}
