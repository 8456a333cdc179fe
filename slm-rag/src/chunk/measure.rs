//! How large a text is: in words, or in what a counter counts.

use unicode_segmentation::UnicodeSegmentation;

use crate::text::word_count;

/// How large a text is.
#[derive(Clone, Copy)]
pub(super) enum Measure<'a> {
    /// Unicode words, without punctuation.
    Words,
    /// What a counter of the caller says, such as tokens.
    Counted(&'a (dyn Fn(&str) -> usize + Send + Sync)),
}

impl Measure<'_> {
    pub(super) fn of(self, text: &str) -> usize {
        match self {
            Self::Words => word_count(text),
            Self::Counted(count) => count(text),
        }
    }

    /// Whether a text is as large as its parts together.
    pub(super) fn adds_up(self) -> bool {
        matches!(self, Self::Words)
    }
}

/// Length in bytes of the longest beginning of `text` of at most `max_size` that ends before a word; within a word
/// where not even one fits, and at least one letter.
pub(super) fn fitting(text: &str, measure: Measure<'_>, max_size: usize) -> usize {
    let words = text.unicode_word_indices().map(|(at, _)| at).skip(1).chain([text.len()]);
    let between_words = longest(text, words, measure, max_size);
    if between_words > 0 {
        return between_words;
    }
    let letters = text.grapheme_indices(true).map(|(at, _)| at).skip(1).chain([text.len()]);
    let first = letters.clone().next().unwrap_or(text.len());
    longest(text, letters, measure, max_size).max(first)
}

/// The largest of the growing `ends` up to which `text` fits; 0 where none does. Looks ahead in steps that double, so that
/// little of a long text is measured.
fn longest(text: &str, ends: impl Iterator<Item = usize>, measure: Measure<'_>, max_size: usize) -> usize {
    let fits = |end: usize| text.get(..end).is_some_and(|start| measure.of(start.trim()) <= max_size);
    let mut ends = ends;
    let mut ahead = Vec::new();
    let (mut best, mut step) = (0, 1);
    loop {
        ahead.clear();
        ahead.extend(ends.by_ref().take(step));
        match ahead.last() {
            Some(&end) if fits(end) => best = end,
            Some(_) => break,
            None => return best,
        }
        step *= 2;
    }
    let count = ahead.partition_point(|&end| fits(end));
    count.checked_sub(1).and_then(|last| ahead.get(last)).copied().unwrap_or(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_fits() {
        let letters = |text: &str| text.chars().count();
        let counted = Measure::Counted(&letters);
        let text = "one two three four five six seven";
        for max_size in 3..40 {
            let end = fitting(text, counted, max_size);
            assert!(text[..end].trim().len() <= max_size, "{max_size}: {}", &text[..end]);
            let next = text[end..].split(' ').next().unwrap_or("").len();
            assert!(end == text.len() || end + next > max_size, "{max_size}: {}", &text[..end]);
        }
        assert_eq!(fitting("unbreakable", counted, 4), 4, "within a word");
        assert_eq!(fitting("e\u{301}te\u{301}", counted, 1), 3, "a letter with its mark");
        assert_eq!(fitting(text, Measure::Words, 2), 8);
    }
}
