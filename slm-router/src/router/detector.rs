//! [`RouteDetector`]: what tells whether a question belongs to a route.

use std::sync::Arc;

use slm_core::Embedder;

use super::RouteScore;
use crate::intent::{IntentDetector, Sample};
use crate::{DomainDetector, Error, Result};

/// An embedder that several routes may share.
pub type SharedEmbedder = Arc<dyn Embedder + Send + Sync>;

/// What tells whether a question belongs to a route.
#[non_exhaustive]
pub enum RouteDetector {
    /// Its words.
    Words(DomainDetector),
    /// Its vector and words.
    Vectors {
        /// What the vector and the words are judged by.
        detector: Box<IntentDetector>,
        /// What makes the vectors: that of the texts fitted to.
        embedder: SharedEmbedder,
        /// The intents that the route answers; empty for all.
        intents: Vec<String>,
    },
}

impl std::fmt::Debug for RouteDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, intents) = match self {
            Self::Words(_) => ("words", &[][..]),
            Self::Vectors { intents, .. } => ("vectors", intents.as_slice()),
        };
        f.debug_struct("RouteDetector")
            .field("kind", &kind)
            .field("threshold", &self.threshold())
            .field("intents", &intents)
            .finish_non_exhaustive()
    }
}

impl From<DomainDetector> for RouteDetector {
    fn from(detector: DomainDetector) -> Self {
        Self::Words(detector)
    }
}

/// Vectors of one text, made once for all routes with the same embedder.
#[derive(Default)]
pub(super) struct VectorsOf(Vec<(SharedEmbedder, Vec<f32>)>);

impl VectorsOf {
    fn get(&mut self, embedder: &SharedEmbedder, text: &str) -> slm_core::Result<&[f32]> {
        let known = self.0.iter().position(|(other, _)| Arc::ptr_eq(other, embedder));
        let index = match known {
            Some(index) => index,
            None => {
                let vector = embedder.embed(&[text])?.into_iter().next().unwrap_or_default();
                self.0.push((Arc::clone(embedder), vector));
                self.0.len() - 1
            }
        };
        Ok(self.0.get(index).map_or(&[], |(_, vector)| vector.as_slice()))
    }
}

impl RouteDetector {
    /// A detector by vectors, for the `intents` named; for all of its intents where none is.
    ///
    /// # Errors
    /// When the detector knows no intent of a name.
    pub fn vectors(detector: IntentDetector, embedder: SharedEmbedder, intents: &[&str]) -> Result<Self> {
        let unknown = |name: &&&str| !detector.intents().iter().any(|known| known == **name);
        if let Some(name) = intents.iter().find(unknown) {
            let reason = format!("the detector knows no intent \"{name}\"");
            return Err(Error::config("intents", reason));
        }
        let intents = intents.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self::Vectors { detector: Box::new(detector), embedder, intents })
    }

    pub(super) fn threshold(&self) -> Option<f64> {
        match self {
            Self::Words(detector) => detector.threshold().map(f64::from),
            Self::Vectors { detector, .. } => detector.threshold().map(f64::from),
        }
    }

    /// How `text` looks to the route `name`.
    pub(super) fn score(
        &self,
        name: &str,
        text: &str,
        vectors: &mut VectorsOf,
    ) -> slm_core::Result<RouteScore> {
        let threshold = self.threshold().unwrap_or(f64::INFINITY);
        let (score, margin) = match self {
            Self::Words(detector) => {
                let score = detector.score(text);
                (score, (score - threshold) / (1.0 - threshold).max(f64::EPSILON))
            }
            Self::Vectors { detector, embedder, intents } => {
                let vector = vectors.get(embedder, text)?;
                let seen = detector
                    .assess(Sample { vector, text })
                    .map_err(|error| slm_core::Error::model(name, error))?;
                let above = (seen.score - threshold) / detector.spread();
                // A score has no largest value: its distance above the threshold is brought below 1.
                let margin = if above > 0.0 { 1.0 - (-above).exp() } else { above };
                let meant = intents.is_empty() || intents.iter().any(|intent| intent == seen.intent);
                (seen.score, if meant { margin } else { margin.min(-1.0) })
            }
        };
        Ok(RouteScore { name: name.to_owned(), score, threshold, margin })
    }
}
