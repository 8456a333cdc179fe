//! Does a passage say what a sentence says?

use std::collections::BTreeSet;

use crate::index::Index;
use crate::text::{Quantity, for_each_word, is_quantity_word, quantities};

/// Words and quantities of a text to check against.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: BTreeSet<String>,
    quantities: Vec<Quantity>,
}

impl Vocabulary {
    pub(super) fn read(&mut self, index: &Index, text: &str) {
        self.words.extend(index.content(text));
        self.quantities.extend(quantities(text));
    }

    /// Share of the content words of `sentence` that are here, 0 to 1; 0 if one of its quantities is not, or
    /// if it has nothing that could be checked.
    pub(super) fn support(&self, index: &Index, sentence: &str) -> f64 {
        let mut words = BTreeSet::new();
        for_each_word(sentence, |word| {
            if !is_quantity_word(word) {
                words.extend(index.content(word));
            }
        });
        let asked = quantities(sentence);
        let is_said = |asked: &Quantity| self.quantities.iter().any(|known| asked.is_said_by(known));
        if !asked.iter().all(is_said) {
            return 0.0;
        }
        if words.is_empty() {
            return if asked.is_empty() { 0.0 } else { 1.0 };
        }
        words.intersection(&self.words).count() as f64 / words.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IndexConfig;
    use slm_data::Document;

    #[test]
    fn words_and_numbers_must_be_there() -> crate::Result<()> {
        let text = "Restart the service on web-03 and wait 10 minutes.";
        let index = Index::build(&[Document { id: "a".into(), text: text.into() }], &IndexConfig::default())?;
        let mut vocabulary = Vocabulary::default();
        vocabulary.read(&index, text);
        let support = |sentence: &str| vocabulary.support(&index, sentence);
        assert_eq!(support("You should restart services and wait."), 1.0);
        assert_eq!(support("Wait 20 minutes."), 0.0, "another number");
        assert_eq!(support("Wait ten minutes."), 1.0, "the same number");
        assert_eq!(support("Wait 10 hours."), 0.0, "another unit");
        assert_eq!(support("Wait 10 minutes, then reboot."), 0.5, "all but reboot");
        assert_eq!(support("Yes."), 0.0, "nothing to check");
        Ok(())
    }
}
