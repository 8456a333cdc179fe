//! Where personal data stands in a text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::PiiKind;
use super::names::{introduced, occurrences};
use super::national::national;
use super::numbers::{iban_length, is_card_network, is_iban, luhn};

/// A finding in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// What it is.
    pub kind: PiiKind,
}

/// Findings in order, without overlaps. Where two kinds overlap, the more certain one counts.
pub fn find(text: &str, kinds: &BTreeSet<PiiKind>) -> Vec<Found> {
    let people = if kinds.contains(&PiiKind::Name) { introduced(text) } else { Vec::new() };
    find_with(text, kinds, &people)
}

/// The same, with the names of people that are known.
pub(super) fn find_with(text: &str, kinds: &BTreeSet<PiiKind>, people: &[String]) -> Vec<Found> {
    use PiiKind::{Card, Email, Iban, Ipv4, Ipv6, Name, NationalId, Phone, Secret};
    // Most rows hold none: cheap tests spare the patterns.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let mut found: Vec<Found> = Vec::new();
    // What is found is blanked out for the kinds after it, which then see the text as it will be.
    let mut rest = Cow::Borrowed(text);
    for kind in [Secret, Email, Iban, Card, NationalId, Ipv6, Phone, Ipv4, Name] {
        if !kinds.contains(&kind) {
            continue;
        }
        let spans = match kind {
            Secret => secrets(&rest),
            Email if text.contains('@') => scan(&rest, &EMAIL, GLUE, |span| Some(span.len())),
            Iban if digits > 6 => scan(&rest, &IBAN, GLUE, iban),
            NationalId if digits > 5 => national(&rest, |start, end| {
                stands_alone(&rest, start, end, GLUE) && !among_groups(&rest, start, end)
            }),
            Ipv6 if rest.contains(':') => scan(&rest, &IPV6, ".-", ipv6),
            Card if digits > 13 => scan(&rest, &CARD, GLUE, card),
            Phone if digits > 6 => phones(&rest),
            Name => occurrences(&rest, people),
            Ipv4 if digits > 3 => scan(&rest, &IPV4, ".-", ipv4),
            _ => Vec::new(),
        };
        for (start, end) in spans {
            if found.iter().all(|other| end <= other.start || other.end <= start) {
                found.push(Found { start, end, kind });
                rest.to_mut().replace_range(start..end, &"\n".repeat(end - start));
            }
        }
    }
    found.sort_by_key(|found| found.start);
    found
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[\p{L}\p{N}][\p{L}\p{N}._%+\-]*@[\p{L}\p{N}\-]+(?:\.[\p{L}\p{N}\-]+)*\.\p{L}{2,24}")
});
static IBAN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,40}"));
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"[0-9]{4} [0-9]{4} [0-9]{4} [0-9]{4}|[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{4}",
        r"|3[0-9]{3} [0-9]{6} [0-9]{5}|3[0-9]{3}-[0-9]{6}-[0-9]{5}|[0-9]{14,19}",
    ))
});
static IPV4: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"));
static IPV6: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"));
static INTERNATIONAL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\+[1-9][0-9]{0,14}(?:[ .\-/]?(?:\([0-9]{1,6}\)|[0-9]{1,6})){0,6}"));
static AMERICAN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:1[ .-])?\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4}",
        r"|(?:1-)?[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}",
    ))
});
/// A number after a word that announces it.
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(?:tel|telephone|phone|fax|telefon|telefax|mobile|mobil|handy|téléphone|teléfono)\b",
        r"(?: (?:number|no|nr|is|at))*[ .:#]{0,3}(\(?[0-9][0-9 ()./\-]{5,18}[0-9])",
    ))
});
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}",
        r"|\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}|\bsk-[A-Za-z0-9_-]{20,}",
        r"|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{40,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ))
});
/// Values after a name: passwords of any characters, keys and tokens of those that such things consist of.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"(?i)(?:passwd|password|pwd)["']?\s*[:=]\s*["']?([A-Za-z0-9_\-+/=.!@#$%^&*]{8,})"#,
        r#"|(?:api[_-]?key|secret|access[_-]?key|token)["']?\s*[:=]\s*["']?([A-Za-z0-9_\-+/=]{16,})"#,
        r"|\bbearer\s+([A-Za-z0-9._~+/\-]{16,}=*)",
    ))
});

/// Characters that make one number of the digits on both sides.
const GLUE: &str = ".-/:_,";

/// Matches whose neighbours are no part of a longer number or word, and that `accept` takes in full or up to
/// a length. After a refusal the search goes on one character later, as a match may hide a later one.
fn scan(
    text: &str,
    regex: &Regex,
    glue: &str,
    accept: impl Fn(&str) -> Option<usize>,
) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        let end = accept(found.as_str()).map(|length| found.start() + length);
        match end.filter(|&end| stands_alone(text, found.start(), end, glue)) {
            Some(end) => {
                spans.push((found.start(), end));
                at = end;
            }
            None => {
                let step = text[found.start()..].chars().next().map_or(1, char::len_utf8);
                at = found.start() + step;
            }
        }
    }
    spans
}

/// Whether the bytes `start..end` are not part of a longer number, word or identifier.
fn stands_alone(text: &str, start: usize, end: usize, glue: &str) -> bool {
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    let free = |next: Option<char>, over_next: Option<char>| match next {
        Some(c) if c.is_alphanumeric() || c == '_' => false,
        Some(c) if glue.contains(c) => !over_next.is_some_and(|c| c.is_ascii_digit()),
        _ => true,
    };
    let signed = matches!(text[..start].chars().next_back(), Some('.' | '-' | '+' | '#'));
    !signed && free(before.next(), before.next()) && free(after.next(), after.next())
}

/// Whether groups of digits with spaces have another group beside them: they are part of a longer number.
fn among_groups(text: &str, start: usize, end: usize) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let before = text[..start].strip_suffix(' ').is_some_and(|rest| digit(rest.chars().next_back()));
    let after = text[end..].strip_prefix(' ').is_some_and(|rest| digit(rest.chars().next()));
    text[start..end].contains(' ') && (before || after)
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect()
}

fn card(span: &str) -> Option<usize> {
    let digits = digits(span);
    (luhn(&digits) && is_card_network(&digits)).then_some(span.len())
}

/// The length of the account number that a span begins with.
fn iban(span: &str) -> Option<usize> {
    let length = iban_length(span.get(..2)?)?;
    let mut compact = String::new();
    for (at, c) in span.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        compact.push(c);
        if compact.len() == length {
            return is_iban(&compact).then_some(at + 1);
        }
    }
    None
}

fn ipv4(span: &str) -> Option<usize> {
    span.split('.').all(|part| part.parse::<u8>().is_ok()).then_some(span.len())
}

/// An address with at least two groups and a digit: `::` alone and `a::b` are rather code.
fn ipv6(span: &str) -> Option<usize> {
    let groups = span.split(':').filter(|group| !group.is_empty()).count();
    let address = span.parse::<std::net::Ipv6Addr>().is_ok();
    (address && groups > 1 && span.bytes().any(|byte| byte.is_ascii_digit())).then_some(span.len())
}

fn phones(text: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    if text.contains('+') {
        spans.extend(scan(text, &INTERNATIONAL, GLUE, international));
    }
    spans.extend(scan(text, &AMERICAN, GLUE, |span| Some(span.len())));
    for found in ANNOUNCED.captures_iter(text).filter_map(|captures| captures.get(1)) {
        let count = digits(found.as_str()).len();
        let alone = stands_alone(text, found.start(), found.end(), GLUE);
        if (7..=15).contains(&count) && alone && !is_date(found.as_str()) {
            spans.push((found.start(), found.end()));
        }
    }
    spans
}

/// The length of the number that a span begins with: as many groups as hold 15 digits, the most there are
/// (ITU-T E.164). The next number of the text may follow after a space.
fn international(span: &str) -> Option<usize> {
    let is_border = |c: char| matches!(c, ' ' | '.' | '-' | '/' | '(');
    let borders = span.char_indices().filter(|(_, c)| is_border(*c)).map(|(at, _)| at).chain([span.len()]);
    let end = borders.rev().find(|&end| digits(&span[..end]).len() <= 15)?;
    let number = span[..end].trim_end_matches(is_border);
    let fewest = if number.contains(is_border) { 9 } else { 10 };
    (digits(number).len() >= fewest).then_some(number.len())
}

/// Whether a number begins like `2026-03-14` or `14.03.2026`.
fn is_date(text: &str) -> bool {
    static DATE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^(?:[12][0-9]{3}[-./][0-9]{1,2}[-./]|[0-9]{1,2}[-./][0-9]{1,2}[-./][12][0-9]{3})")
    });
    DATE.is_match(text)
}

/// Known tokens, and values of settings that are named like secrets.
fn secrets(text: &str) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> =
        TOKEN.find_iter(text).map(|found| (found.start(), found.end())).collect();
    for captures in ASSIGNED.captures_iter(text) {
        let Some(found) = (1..=3).find_map(|group| captures.get(group)) else {
            continue;
        };
        // A word or a number alone is rather a description (`token: expired`) or an index.
        let value = found.as_str().trim_end_matches(['.', ',', ';', '!']);
        let letters = value.bytes().any(|byte| byte.is_ascii_alphabetic());
        let digits = value.bytes().any(|byte| byte.is_ascii_digit());
        if value.len() >= 8 && letters && digits {
            spans.push((found.start(), found.start() + value.len()));
        }
    }
    spans
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
