//! Does a passage say what a sentence says?

use std::collections::BTreeSet;

use crate::text::{Quantity, Stemming, content_terms, for_each_word, is_quantity_word, quantities};

/// Words and quantities of a text to check against.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: BTreeSet<String>,
    quantities: Vec<Quantity>,
}

impl Vocabulary {
    pub(super) fn read(&mut self, stemming: Stemming, text: &str) {
        self.words.extend(content_terms(text, stemming));
        self.quantities.extend(quantities(text));
    }

    /// Share of the content words of `sentence` that are here, 0 to 1; 0 if one of its quantities is not, or
    /// if it has nothing that could be checked.
    pub(super) fn support(&self, stemming: Stemming, sentence: &str) -> f64 {
        let mut words = BTreeSet::new();
        for_each_word(sentence, |word| {
            if !is_quantity_word(word) {
                words.extend(content_terms(word, stemming));
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
    #[test]
    fn words_and_numbers_must_be_there() {
        let text = "Restart the service on web-03 and wait 10 minutes.";
        let mut vocabulary = Vocabulary::default();
        vocabulary.read(Stemming::English, text);
        let support = |sentence: &str| vocabulary.support(Stemming::English, sentence);
        assert_eq!(support("You should restart services and wait."), 1.0);
        assert_eq!(support("Wait 20 minutes."), 0.0, "another number");
        assert_eq!(support("Wait ten minutes."), 1.0, "the same number");
        assert_eq!(support("Wait 10 hours."), 0.0, "another unit");
        assert_eq!(support("Wait 10 minutes, then reboot."), 0.5, "all but reboot");
        assert_eq!(support("Yes."), 0.0, "nothing to check");
    }
}
