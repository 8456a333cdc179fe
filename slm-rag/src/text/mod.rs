//! What a text is made of: terms to look up and sentences to quote.

mod sentences;
mod terms;

pub(crate) use sentences::sentences;
pub use terms::{Stemming, StopWords};
pub(crate) use terms::{is_function_word, is_question_word, stemmed, term_spans, word_count};
