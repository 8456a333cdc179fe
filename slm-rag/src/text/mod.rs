//! What a text is made of: terms to look up and sentences to quote.

mod quantities;
mod sentences;
mod terms;

pub(crate) use quantities::{Quantity, is_quantity_word, quantities};
pub(crate) use sentences::sentences;
pub use terms::{Stemming, StopWords};
pub(crate) use terms::{
    WordForms, content_terms, for_each_word, is_question_word, stemmed, term_of, word_count,
};
