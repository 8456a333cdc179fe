//! Does a passage say what a sentence says?

use std::collections::BTreeSet;

use crate::index::Index;

/// Words and numbers of a text to check against.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: BTreeSet<String>,
    numbers: BTreeSet<String>,
}

impl Vocabulary {
    pub(super) fn read(&mut self, index: &Index, text: &str) {
        self.words.extend(index.content(text));
        self.numbers.extend(numbers(text));
    }

    /// Share of the content words of `sentence` that are here, 0 to 1; 0 if one of its numbers is not, or if it
    /// has no content word that could be checked.
    pub(super) fn support(&self, index: &Index, sentence: &str) -> f64 {
        let words: BTreeSet<String> = index.content(sentence).into_iter().collect();
        if words.is_empty() || !numbers(sentence).all(|number| self.numbers.contains(&number)) {
            return 0.0;
        }
        words.intersection(&self.words).count() as f64 / words.len() as f64
    }
}

/// The tokens with a digit: `97` of `97%`, `3.5`, `1000` of `1,000`, `web` and `03` of `web-03`.
fn numbers(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '/' | '(' | ')' | '[' | ']'))
        .map(|token| token.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|token| token.contains(|c: char| c.is_ascii_digit()))
        .map(|token| token.replace(',', "").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IndexConfig;
    use slm_data::Document;

    #[test]
    fn numbers_of_a_text() {
        let got: Vec<String> = numbers("At 97%, wait 3.5s or 1,000 ms on web-03 (E4102).").collect();
        assert_eq!(got, ["97", "3.5s", "1000", "03", "e4102"]);
    }

    #[test]
    fn words_and_numbers_must_be_there() -> crate::Result<()> {
        let text = "Restart the service on web-03 and wait 10 minutes.";
        let index = Index::build(&[Document { id: "a".into(), text: text.into() }], &IndexConfig::default())?;
        let mut vocabulary = Vocabulary::default();
        vocabulary.read(&index, text);
        let support = |sentence: &str| vocabulary.support(&index, sentence);
        assert_eq!(support("You should restart services and wait."), 1.0);
        assert_eq!(support("Wait 20 minutes."), 0.0, "another number");
        assert_eq!(support("Wait 10 minutes, then reboot."), 0.75, "all but reboot");
        assert_eq!(support("Yes."), 0.0, "nothing to check");
        Ok(())
    }
}
