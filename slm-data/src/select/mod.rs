//! Which rows are worth training on: scores, label noise, selection, and pairs to prefer.

mod choose;
mod noise;
mod preferences;
mod score;
mod vectors;

pub use choose::{Method, SelectConfig, Selection, select};
pub use noise::{LabelNoise, NaiveBayes, confident_learning, cross_validated};
pub use preferences::{Ranked, preference_pairs};
pub use score::{AnswerLoss, Ifd, Perplexity, PointwiseInformation, RuleScore, Scorer};
pub use vectors::lexical_vectors;
