//! How texts are compared: normal form, words and hashes.

use unicode_normalization::UnicodeNormalization;

/// The form in which texts are compared: Unicode NFKC, lower case, one space between words.
pub(crate) fn normalize(text: &str) -> String {
    if text.is_ascii() {
        return collapse_ascii(text);
    }
    // Lower case can leave the normal form (`İ`), hence the second pass.
    let lower: String = text.nfkc().flat_map(char::to_lowercase).collect();
    collapse(lower.nfkc())
}

/// [`collapse`] in lower case, by bytes.
fn collapse_ascii(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut gap = false;
    for byte in text.bytes() {
        // White space as `char::is_whitespace` has it: U+000B too.
        if matches!(byte, b' ' | 0x09..=0x0d) {
            gap = !out.is_empty();
        } else {
            if gap {
                out.push(b' ');
                gap = false;
            }
            out.push(byte.to_ascii_lowercase());
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

fn collapse(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in chars {
        if c.is_whitespace() {
            gap = !out.is_empty();
        } else {
            if gap {
                out.push(' ');
                gap = false;
            }
            out.push(c);
        }
    }
    out
}

/// Words of a normalised text without punctuation at their ends: `storage[4121]:` gives `storage[4121`.
pub(crate) fn words(normal: &str) -> impl Iterator<Item = &str> {
    normal.split(' ').map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).filter(|w| !w.is_empty())
}

/// Words and identifiers: runs of letters, digits, `-`, `_` and `.` (`storage[4121]` gives two).
pub(crate) fn tokens(normal: &str) -> impl Iterator<Item = &str> {
    normal
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .map(|token| token.trim_matches(['-', '_', '.']))
        .filter(|token| !token.is_empty())
}

/// A hash that is the same on every platform and in every release (FNV-1a, then `SplitMix64`'s mixer).
pub(crate) fn hash(bytes: &[u8], seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    mix(bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// At most `limit` characters of a text on one line, with an ellipsis where it was cut.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let line = collapse(text.chars());
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A count as a floating-point number, for shares and ratios.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// `part / whole`, 0 for an empty whole.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { real(part) / real(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form_ignores_case_spaces_and_compatibility_forms() {
        assert_eq!(normalize("  Disk \t FULL\r\n"), "disk full");
        assert_eq!(normalize("\u{ff24}isk\u{a0}ﬁlled"), "disk filled");
        assert_eq!(normalize("e\u{301}"), normalize("É"));
    }

    #[test]
    fn words_and_tokens() {
        assert_eq!(
            words("error: storage[4121], (full)").collect::<Vec<_>>(),
            ["error", "storage[4121", "full"]
        );
        assert_eq!(
            tokens(r#"{"host":"web-03"} auth[7]."#).collect::<Vec<_>>(),
            ["host", "web-03", "auth", "7"]
        );
    }

    #[test]
    fn hashes_depend_on_text_and_seed() {
        assert_eq!(hash(b"abc", 1), hash(b"abc", 1));
        assert_ne!(hash(b"abc", 1), hash(b"abd", 1));
        assert_ne!(hash(b"abc", 1), hash(b"abc", 2));
    }

    #[test]
    fn shortened_texts_end_at_a_character() {
        assert_eq!(shorten("añb\nc", 3), "añb…");
        assert_eq!(shorten("añb", 3), "añb");
    }
}
