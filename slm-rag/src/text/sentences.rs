//! Sentences of a stretch of prose, as byte ranges.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Words that end in a full stop and do not end a sentence; lower case, sorted.
const ABBREVIATIONS: [&str; 30] = [
    "approx.", "art.", "cf.", "co.", "corp.", "dept.", "dr.", "e.g.", "ed.", "eq.", "et al.", "fig.", "i.e.",
    "inc.", "jr.", "ltd.", "max.", "min.", "mr.", "mrs.", "ms.", "no.", "nos.", "pp.", "prof.", "resp.",
    "sec.", "st.", "vol.", "vs.",
];

/// The sentences of `text[range]`, trimmed of white space; together they hold all of its words.
///
/// Boundaries are those of Unicode's UAX #29, except that a single line break does not end a sentence and
/// neither does an abbreviation or an initial.
pub(crate) fn sentences(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let Some(slice) = text.get(range.clone()) else {
        return Vec::new();
    };
    // UAX #29 breaks at every line end; a space has the same length and no such power.
    let flat = slice.replace(['\n', '\r'], " ");
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut open: Option<usize> = None;
    for (offset, piece) in flat.split_sentence_bound_indices() {
        let start = open.unwrap_or(offset);
        let end = offset + piece.len();
        let so_far = flat.get(start..end).unwrap_or(piece);
        let rest = flat.get(end..).unwrap_or("");
        if !rest.is_empty() && (goes_on(so_far) || is_within_quotation(so_far, rest)) {
            open = Some(start);
            continue;
        }
        open = None;
        push_trimmed(&flat, start..end, range.start, &mut out);
    }
    if let Some(start) = open {
        push_trimmed(&flat, start..flat.len(), range.start, &mut out);
    }
    out
}

fn push_trimmed(flat: &str, range: Range<usize>, base: usize, out: &mut Vec<Range<usize>>) {
    let piece = flat.get(range.clone()).unwrap_or("");
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = start + piece.trim().len();
    if start < end {
        out.push(base + start..base + end);
    }
}

/// Whether a quoted sentence ended and the one around it goes on: `She asked "why?" twice.`
fn is_within_quotation(so_far: &str, rest: &str) -> bool {
    so_far.trim_end().ends_with(['"', '”', '’', '\'', '»', ')']) && rest.starts_with(char::is_lowercase)
}

/// Whether what ends here is no end of a sentence.
fn goes_on(text: &str) -> bool {
    let text = text.trim_end();
    let last = text.rsplit(|c: char| c.is_whitespace() || "([\"“".contains(c)).next().unwrap_or("");
    let lower = last.to_lowercase();
    let initial = {
        let mut chars = last.chars();
        chars.next().is_some_and(char::is_uppercase) && chars.as_str() == "."
    };
    initial
        || ABBREVIATIONS.binary_search(&lower.as_str()).is_ok()
        || lower == "al." && text.ends_with("et al.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text, 0..text.len()).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn ends_of_sentences() {
        for (text, expected) in [
            ("One. Two! Three?", vec!["One.", "Two!", "Three?"]),
            ("A line\nthat goes on. Next.", vec!["A line\nthat goes on.", "Next."]),
            (
                "Use a mask, e.g. FFP2. See Fig. 3 of Dr. J. Snow.",
                vec!["Use a mask, e.g. FFP2.", "See Fig. 3 of Dr. J. Snow."],
            ),
            ("It costs 3.50 euros. Pay.", vec!["It costs 3.50 euros.", "Pay."]),
            ("Ask \"why?\" twice. Then go.", vec!["Ask \"why?\" twice.", "Then go."]),
            ("これは一。これは二。", vec!["これは一。", "これは二。"]),
            ("  no stop  ", vec!["no stop"]),
            ("Ends with e.g.", vec!["Ends with e.g."]),
            (" \n ", vec![]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn ranges_are_of_the_whole_text() {
        let text = "# T\n\nÄ b. C d.";
        assert_eq!(
            sentences(text, 5..text.len()).into_iter().map(|r| &text[r]).collect::<Vec<_>>(),
            ["Ä b.", "C d."]
        );
        assert!(sentences(text, 6..text.len()).is_empty(), "6 is inside a letter");
    }
}
