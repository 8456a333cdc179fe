//! Words and shapes: what is left of a text when identifiers and numbers have lost their value.
//!
//! `E4102` and `E9003` say the same about the domain of a question, and so do two addresses. Each becomes
//! the name of its class, so that a detector recognises an identifier it has never seen.

use std::net::IpAddr;

/// One unit of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word in lower case.
    Word(String),
    /// The class of an identifier or a number: `<ip>`, or the pattern of a code, `<A9999>`.
    Shape(String),
}

impl Token {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Word(s) | Self::Shape(s) => s,
        }
    }
}

/// The tokens of `text`, in order.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    for field in text.split_whitespace() {
        let field = field.trim_matches(|c: char| !c.is_alphanumeric() && !"/~%_@".contains(c));
        match class(field) {
            Some(shape) => out.push(Token::Shape(shape)),
            None => push_parts(field, &mut out),
        }
    }
    out
}

/// The parts of a field that has no class as a whole: `storage[4121]` is a word and a number. A name that
/// is joined by dots or underscores counts as an identifier too.
fn push_parts(field: &str, out: &mut Vec<Token>) {
    if is_joined_name(field) {
        out.push(Token::Shape("<name>".to_owned()));
    }
    for part in field.split(|c: char| !(c.is_alphanumeric() || "'’.:-".contains(c))) {
        let part = part.trim_matches(|c: char| !c.is_alphanumeric());
        match class(part) {
            Some(shape) => out.push(Token::Shape(shape)),
            None => out.extend(
                part.split(|c: char| !(c.is_alphanumeric() || "'’".contains(c)))
                    .filter(|word| word.chars().any(char::is_alphanumeric))
                    .map(|word| class(word).map_or_else(|| Token::Word(word.to_lowercase()), Token::Shape)),
            ),
        }
    }
}

/// The class of `field`, unless it is a word or several.
fn class(field: &str) -> Option<String> {
    let name = if field.contains("://") || field.starts_with("www.") {
        "<url>"
    } else if is_email(field) {
        "<email>"
    } else if is_address(field) {
        "<ip>"
    } else if is_path(field) {
        "<path>"
    } else if !field.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    } else if is_groups(field, &['-', '/', '.'], 3) {
        "<date>"
    } else if is_groups(field, &[':'], 2) || is_groups(field, &[':'], 3) {
        "<time>"
    } else if is_hex(field) {
        "<hex>"
    } else {
        return number_or_code(field);
    };
    Some(name.to_owned())
}

fn number_or_code(field: &str) -> Option<String> {
    let digits = field.trim_start_matches(|c: char| c.is_ascii_digit() || ".,".contains(c));
    if digits.is_empty() {
        return Some("<number>".to_owned());
    }
    if field.starts_with(|c: char| c.is_ascii_digit()) {
        let unit = digits == "%" || digits.chars().all(char::is_alphabetic) && digits.chars().count() <= 4;
        return unit.then(|| format!("<number {}>", digits.to_lowercase())).or_else(|| pattern(field));
    }
    pattern(field)
}

/// The pattern of a code: a run of letters becomes one letter, a run of digits at most four nines.
fn pattern(field: &str) -> Option<String> {
    if !field.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)) {
        return None;
    }
    let mut out = String::from("<");
    let (mut last, mut run) = (' ', 0);
    for c in field.chars() {
        let kind = match c {
            c if c.is_numeric() => '9',
            c if c.is_uppercase() => 'A',
            c if c.is_alphabetic() => 'a',
            c => c,
        };
        run = if kind == last { run + 1 } else { 1 };
        last = kind;
        if run == 1 || kind == '9' && run <= 4 {
            out.push(kind);
        }
    }
    out.push('>');
    Some(out)
}

fn is_email(field: &str) -> bool {
    field.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
}

/// An address, with or without a port or a prefix length.
fn is_address(field: &str) -> bool {
    let is_ip = |s: &str| s.contains(['.', ':']) && s.parse::<IpAddr>().is_ok();
    let cut = |separator| field.rsplit_once(separator).is_some_and(|(ip, tail)| is_ip(ip) && is_digits(tail));
    is_ip(field) || cut(':') || cut('/')
}

fn is_path(field: &str) -> bool {
    let rest = field.strip_prefix('~').unwrap_or(field);
    let rooted = rest.len() > 1 && rest.starts_with('/');
    rooted || field.starts_with("./") || field.contains(":\\") || field.matches('/').count() > 2
}

/// `count` groups of digits between separators of one kind; a fraction may follow.
fn is_groups(field: &str, separators: &[char], count: usize) -> bool {
    separators.iter().any(|&separator| {
        let whole = if separator == ':' { field.split(['.', ',']).next().unwrap_or("") } else { field };
        let groups: Vec<&str> = whole.split(separator).collect();
        groups.len() == count && groups.iter().all(|group| is_digits(group) && group.len() <= 4)
    })
}

/// `0x1f`, or at least eight hexadecimal digits with both kinds among them, hyphens aside.
fn is_hex(field: &str) -> bool {
    let all_hex = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if let Some(rest) = field.strip_prefix("0x") {
        return all_hex(rest);
    }
    field.len() >= 8 && all_hex(field) && field.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_joined_name(field: &str) -> bool {
    field.contains(['.', '_'])
        && field.split(['.', '_']).filter(|part| !part.is_empty()).count() > 1
        && field.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}

fn is_digits(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        tokens(text).iter().map(Token::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn identifiers_become_classes() {
        for (text, expected) in [
            ("E4102", "<A9999>"),
            ("error E4102: failed", "error <A9999> failed"),
            ("mp3", "<a9>"),
            ("web-03", "<a-99>"),
            ("10.0.0.1", "<ip>"),
            ("10.0.0.1:8080,", "<ip>"),
            ("10.0.0.0/8", "<ip>"),
            ("fe80::1", "<ip>"),
            ("2026-03-14", "<date>"),
            ("09:26:53.120", "<time>"),
            ("1,024", "<number>"),
            ("3.5", "<number>"),
            ("97%", "<number %>"),
            ("5120ms", "<number ms>"),
            ("/var/data", "<path>"),
            ("https://a.example/x", "<url>"),
            ("me@mail.example", "<email>"),
            ("0x7ffe", "<hex>"),
            ("4f2c9a1be077", "<hex>"),
            ("storage[4121]", "storage <number>"),
            ("config.yaml", "<name> config yaml"),
            ("user_id", "<name> user id"),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }

    #[test]
    fn words_stay_words() {
        for (text, expected) in [
            ("How do I centre a div?", "how do i centre a div"),
            ("Don't panic!", "don't panic"),
            ("and/or", "and or"),
            ("well-known (facts)", "well known facts"),
            ("Éléphant naïf", "éléphant naïf"),
            ("...", ""),
            ("", ""),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }

    #[test]
    fn values_of_one_class_do_not_differ() {
        let line_a = "2026-03-14 09:26:53 web-03 storage[4121] ERROR E4102 disk usage 97% on /var/data";
        let line_b = "2025-11-02 23:01:07 web-87 storage[977] ERROR E9003 disk usage 81% on /srv/mail";
        assert_eq!(line(line_a), line(line_b));
    }
}
