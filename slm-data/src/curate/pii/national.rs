//! Numbers that states give to persons, by form and check digits.

use std::sync::LazyLock;

use regex::Regex;

/// The form of a number, and whether its digits are right.
struct Form {
    regex: Regex,
    right: fn(&str) -> bool,
}

/// Forms that stand for themselves: letters, marks or a check that few other numbers pass.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let form = |regex: &str, right: fn(&str) -> bool| Form {
        regex: Regex::new(regex).expect("a constant pattern"),
        right,
    };
    vec![
        // United States, Social Security number.
        form(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", social_security),
        // United Kingdom, National Insurance number.
        form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", insurance),
        // Spain, DNI and NIE.
        form(r"[XYZ]-?[0-9]{7}-?[A-Z]|[0-9]{8}-?[A-Z]", spanish),
        // Italy, codice fiscale.
        form(r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]", italian),
        // France, NIR.
        form(r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", french),
        // Brazil, CPF.
        form(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", brazilian),
        // Belgium, national register number.
        form(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", belgian),
        // Switzerland, AHV.
        form(r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}", |text| weighted_ten(&digits(text), &[1, 3])),
        // Finland, HETU.
        form(r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", finnish),
        // Sweden, personnummer.
        form(r"(?:19|20)?[0-9]{2}[01][0-9][0-3][0-9][-+][0-9]{4}", swedish),
        // China, resident identity number.
        form(r"[1-6][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9X]", chinese),
        // India, Aadhaar.
        form(r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}", |text| verhoeff(&digits(text))),
        // South Korea, resident registration number.
        form(r"[0-9]{2}[01][0-9][0-3][0-9]-[1-4][0-9]{6}", korean),
    ]
});

/// Plain numbers that only count after a word that announces them.
static ANNOUNCED: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let form = |words: &str, number: &str, right: fn(&str) -> bool| Form {
        regex: Regex::new(&format!(
            r"(?i)\b(?:{words})\b(?:[ -](?:number|nummer|no|nr|id))?[ .:#=]{{1,3}}(?:is )?({number})"
        ))
        .expect("a constant pattern"),
        right,
    };
    vec![
        form("ssn|social security", "[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}", social_security),
        form("nhs", "[0-9]{3} ?[0-9]{3} ?[0-9]{4}", nhs),
        form(
            "steuer-?id|idnr|steueridentifikationsnummer|tax id",
            "[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
            german,
        ),
        form("pesel", "[0-9]{11}", |text| weighted_ten(&digits(text), &[1, 3, 7, 9])),
        form("bsn|burgerservicenummer", "[0-9]{9}", dutch),
        form("sin|social insurance", "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", |text| {
            super::numbers::luhn(&digits(text))
        }),
    ]
});

/// Numbers with the right check digits, as bytes from and to; `alone` says whether a place is not part of a
/// longer word or number.
pub(super) fn national(text: &str, alone: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    for form in FORMS.iter() {
        let mut at = 0;
        while let Some(found) = form.regex.find_at(text, at) {
            let right = alone(found.start(), found.end()) && (form.right)(found.as_str());
            if right {
                spans.push((found.start(), found.end()));
            }
            at = if right { found.end() } else { found.start() + 1 };
        }
    }
    for form in ANNOUNCED.iter() {
        for found in form.regex.captures_iter(text).filter_map(|captures| captures.get(1)) {
            if alone(found.start(), found.end()) && (form.right)(found.as_str()) {
                spans.push((found.start(), found.end()));
            }
        }
    }
    spans
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect()
}

fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, &digit| value * 10 + u64::from(digit))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights.iter().cycle()).map(|(&digit, weight)| u32::from(digit) * weight).sum()
}

/// The last digit makes the weighted sum of all a multiple of ten.
fn weighted_ten(digits: &[u8], weights: &[u32]) -> bool {
    let Some((last, body)) = digits.split_last() else { return false };
    (weighted(body, weights) + u32::from(*last)).is_multiple_of(10)
}

/// Day and month.
fn is_date(month: &[u8], day: &[u8]) -> bool {
    (1..=12).contains(&value(month)) && (1..=31).contains(&value(day))
}

fn social_security(text: &str) -> bool {
    let d = digits(text);
    d.len() == 9 && !matches!(value(&d[..3]), 0 | 666 | 900..) && value(&d[3..5]) != 0 && value(&d[5..]) != 0
}

fn insurance(text: &str) -> bool {
    !matches!(text.get(..2), Some("BG" | "GB" | "KN" | "NK" | "NT" | "TN" | "ZZ"))
}

fn spanish(text: &str) -> bool {
    let compact = text.replace('-', "").replacen('X', "0", usize::from(text.starts_with('X')));
    let compact = match compact.as_bytes().first() {
        Some(b'Y') => compact.replacen('Y', "1", 1),
        Some(b'Z') => compact.replacen('Z', "2", 1),
        _ => compact,
    };
    let letter = compact.bytes().last();
    let at = usize::try_from(value(&digits(&compact)) % 23).unwrap_or_default();
    letter == b"TRWAGMYFPDXBNJZSQVHLCKE".get(at).copied()
}

fn italian(text: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let bytes = text.as_bytes();
    let Some((last, body)) = bytes.split_last() else { return false };
    let sum: u32 = body
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            let rank = u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
            if at % 2 == 0 { ODD.get(rank as usize).copied().unwrap_or_default() } else { rank }
        })
        .sum();
    u32::from(last - b'A') == sum % 26
}

fn french(text: &str) -> bool {
    let compact = text.replace(' ', "").replace("2A", "19").replace("2B", "18");
    let d = digits(&compact);
    d.len() == 15 && value(&d[13..]) == 97 - value(&d[..13]) % 97
}

fn brazilian(text: &str) -> bool {
    let d = digits(text);
    let check = |n: usize| {
        let sum: usize =
            d.iter().take(n).enumerate().map(|(at, &digit)| usize::from(digit) * (n + 1 - at)).sum();
        sum * 10 % 11 % 10
    };
    d.len() == 11
        && d.iter().any(|digit| *digit != d[0])
        && usize::from(d[9]) == check(9)
        && usize::from(d[10]) == check(10)
}

fn belgian(text: &str) -> bool {
    let d = digits(text);
    let (body, check) = (value(&d[..9]), value(&d[9..]));
    is_date(&d[2..4], &d[4..6]) && (check == 97 - body % 97 || check == 97 - (2_000_000_000 + body) % 97)
}

fn finnish(text: &str) -> bool {
    let d = digits(&text[..text.len() - 1]);
    let at = usize::try_from(value(&d) % 31).unwrap_or_default();
    is_date(&d[2..4], &d[..2]) && text.bytes().last() == b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(at).copied()
}

fn swedish(text: &str) -> bool {
    let d = digits(text);
    let d = &d[d.len() - 10..];
    is_date(&d[2..4], &d[4..6]) && super::numbers::luhn(d)
}

fn chinese(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let d = digits(&text[..17]);
    let at = weighted(&d, &WEIGHTS) % 11;
    is_date(&d[10..12], &d[12..14]) && text.bytes().last() == b"10X98765432".get(at as usize).copied()
}

fn korean(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d[..12], &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    is_date(&d[2..4], &d[4..6]) && u32::from(d[12]) == (11 - sum % 11) % 10
}

fn nhs(text: &str) -> bool {
    let d = digits(text);
    let check = 11 - weighted(&d[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    u32::from(d[9]) == check % 11
}

/// ISO 7064, modulus 11,10.
fn german(text: &str) -> bool {
    let d = digits(text);
    let product = d[..10].iter().fold(10, |product, &digit| {
        let sum = match (u32::from(digit) + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    d[0] != 0 && u32::from(d[10]) == (11 - product) % 10
}

fn dutch(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum % 11 == u32::from(d[8])
}

/// Verhoeff 1969: digits as members of the dihedral group of order ten.
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let times = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let permuted = |digit: u8, times: usize| (0..times % 8).fold(digit, |d, _| PERMUTATION[usize::from(d)]);
    digits.iter().rev().enumerate().fold(0, |check, (at, &digit)| times(check, permuted(digit, at))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_samples_are_right_and_changed_ones_wrong() {
        for (text, right) in [
            ("AB123456C", insurance as fn(&str) -> bool),
            ("12345678Z", spanish),
            ("X1234567L", spanish),
            ("RSSMRA85T10A562S", italian),
            ("255081416802538", french),
            ("529.982.247-25", brazilian),
            ("131052-308T", finnish),
            ("811228-9874", swedish),
            ("11010519491231002X", chinese),
            ("943 476 5919", nhs),
            ("86095742719", german),
            ("111222333", dutch),
        ] {
            assert!(right(text), "{text}");
        }
        assert!(verhoeff(&[2, 3, 6, 3]) && !verhoeff(&[2, 6, 3, 3]));
        assert!(weighted_ten(&digits("44051401359"), &[1, 3, 7, 9]));
        assert!(weighted_ten(&digits("7569217076985"), &[1, 3]));
        for (text, right) in [
            ("12345678A", spanish as fn(&str) -> bool),
            ("RSSMRA85T10A562T", italian),
            ("529.982.247-26", brazilian),
        ] {
            assert!(!right(text), "{text}");
        }
    }
}
