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
    let mut begin = 0;
    for end in bounds(&flat) {
        let start = open.unwrap_or(begin);
        begin = end;
        let so_far = flat.get(start..end).unwrap_or("");
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

/// Where sentences end, by UAX #29.
fn bounds(flat: &str) -> Vec<usize> {
    if flat.is_ascii() {
        return ascii_bounds(flat.as_bytes());
    }
    flat.split_sentence_bound_indices().map(|(offset, piece)| offset + piece.len()).collect()
}

/// The same for a line of ASCII, without looking letters up: there are ends behind `.`, `!` and `?` only.
fn ascii_bounds(text: &[u8]) -> Vec<usize> {
    let is_close = |b: u8| matches!(b, b'"' | b'\'' | b'(' | b')' | b'[' | b']' | b'{' | b'}');
    let is_space = |b: u8| matches!(b, b' ' | b'\t' | 0x0b | 0x0c);
    let run =
        |from: usize, is: &dyn Fn(u8) -> bool| from + text.iter().skip(from).take_while(|b| is(**b)).count();
    let mut out = Vec::new();
    for (at, mark) in text.iter().enumerate().filter(|(_, b)| matches!(b, b'.' | b'!' | b'?')) {
        let next = run(run(at + 1, &is_close), &is_space);
        let rest = text.get(next..).unwrap_or_default();
        let Some(first) = rest.first() else { continue };
        let goes_on = match first {
            b'.' | b'!' | b'?' | b',' | b'-' | b':' | b';' => true,
            _ if *mark != b'.' => false,
            b'0'..=b'9' if next == at + 1 => true,
            b'A'..=b'Z' if next == at + 1 => {
                at.checked_sub(1).and_then(|before| text.get(before)).is_some_and(u8::is_ascii_alphabetic)
            }
            _ => {
                let is_word = |b: &&u8| b.is_ascii_alphabetic() || matches!(b, b'.' | b'!' | b'?');
                rest.iter().find(is_word).is_some_and(u8::is_ascii_lowercase)
            }
        };
        if !goes_on {
            out.push(next);
        }
    }
    if !text.is_empty() {
        out.push(text.len());
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
    fn the_short_way_finds_the_same_ends() {
        let letters = b"aB1. !?)(\"',;:-\t_/\x07";
        let slow = |text: &str| {
            text.split_sentence_bound_indices().map(|(at, piece)| at + piece.len()).collect::<Vec<_>>()
        };
        // All texts of up to four letters, and longer ones by chance.
        let mut state = 1_usize;
        let count = letters.len();
        for n in 0..count.pow(4) + 200_000 {
            let text: String = if n < count.pow(4) {
                (0..4).map(|place| char::from(letters[n / count.pow(place) % count])).collect()
            } else {
                let mut next = || {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    char::from(letters[(state >> 33) % count])
                };
                (0..5 + n % 20).map(|_| next()).collect()
            };
            assert_eq!(ascii_bounds(text.as_bytes()), slow(&text), "{text:?}");
        }
        assert!(ascii_bounds(b"").is_empty());
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
