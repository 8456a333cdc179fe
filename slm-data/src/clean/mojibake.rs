//! UTF-8 that was read as Windows-1252.

use std::borrow::Cow;

/// Times that a text can have been mangled.
const ROUNDS: usize = 3;

/// Windows-1252 above 0x7F as WHATWG decodes it; bytes without a character are the control of that number.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text with characters in place of the two to four that their bytes were taken for: `donâ€™t` becomes
/// `don’t`. Text that was right stays: one pair that is no word of Greek, Cyrillic or the like is not enough.
pub fn repair_mojibake(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match round(&out) {
            Some(repaired) => out = Cow::Owned(repaired),
            None => break,
        }
    }
    out
}

fn byte(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0..=0x7f | 0xa0..=0xff) => u8::try_from(code).ok(),
        _ => HIGH.iter().position(|&high| high == c).and_then(|at| u8::try_from(at + 0x80).ok()),
    }
}

/// One layer less, or `None` where there is none.
fn round(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let found = sequences(&chars);
    // Leads whose pairs also stand in right text (`É»`, `Ñ•`) must come in numbers, or beside a sure sign.
    let sure = found.len() > 1 || found.iter().any(|sequence| !sequence.weak);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut changed = false;
    for sequence in found.iter().filter(|_| sure) {
        out.extend(&chars[at..sequence.start]);
        out.push(sequence.decoded);
        at = sequence.start + sequence.length;
        changed = true;
    }
    out.extend(&chars[at..]);
    changed.then_some(out)
}

#[derive(Debug)]
struct Sequence {
    start: usize,
    length: usize,
    decoded: char,
    weak: bool,
}

/// Characters whose bytes are one character of UTF-8.
fn sequences(chars: &[char]) -> Vec<Sequence> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let sequence = lead(chars[at]).and_then(|(lead, length, weak)| {
            let rest = chars.get(at + 1..at + length)?;
            let mut bytes = vec![lead];
            for &c in rest {
                bytes.push(byte(c).filter(|byte| (0x80..0xc0).contains(byte))?);
            }
            let decoded = std::str::from_utf8(&bytes).ok()?.chars().next()?;
            Some(Sequence { start: at, length, decoded, weak })
        });
        at += sequence.as_ref().map_or(1, |sequence| sequence.length);
        found.extend(sequence);
    }
    found
}

/// The first byte, the length of its sequence, and whether one alone proves nothing.
fn lead(c: char) -> Option<(u8, usize, bool)> {
    let byte = byte(c)?;
    match byte {
        0xc2 | 0xc3 => Some((byte, 2, false)),
        0xc4..=0xdf => Some((byte, 2, true)),
        0xe0..=0xef => Some((byte, 3, false)),
        0xf0..=0xf4 => Some((byte, 4, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mangled_texts_are_repaired() {
        for (mangled, right) in [
            ("CafÃ© donâ€™t", "Café don’t"),
            ("Ã¢â‚¬â„¢", "’"),
            ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
            ("ðŸ˜€ 5 Â° â‚¬", "😀 5 ° €"),
            ("Å¾ivot a Å¡kola", "život a škola"),
        ] {
            assert_eq!(repair_mojibake(mangled), right);
        }
    }

    #[test]
    fn right_texts_stay() {
        for text in [
            "«CAFÉ»",
            "NÃO",
            "ÀÉÎ",
            "España: AÑO 5•",
            "Ünïcödé “quotes” – dash…",
            "Привет",
            "日本語",
            "naïve",
        ] {
            assert!(matches!(repair_mojibake(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
