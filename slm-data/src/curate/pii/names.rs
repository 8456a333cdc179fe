//! Names of people, by what stands before or around them.
//!
//! A name is a run of capitalised words after a title (`Dr. Ann Lee`), in a salutation (`Dear Ann,`), in the line after
//! a closing (`Best regards,`), or after words that introduce (`my name is Ann Lee`). What was found so in one place
//! of a row is then found wherever it stands in the row, in full or in part.

use std::sync::LazyLock;

use regex::Regex;

/// Capitalised words, with initials and particles.
macro_rules! name {
    () => {
        r"((?:(?:van|von|de|der|den|di|da|del|la|le|bin|al|ter)[ ]){0,2}\p{Lu}[\p{L}'’\-]+(?:[ ](?:(?:van|von|de|der|den|di|da|del|la|le|bin|al|ter)[ ]){0,2}(?:\p{Lu}\.|\p{Lu}[\p{L}'’\-]+)){0,3})"
    };
}

static PATTERNS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("a constant pattern");
    [
        pattern(concat!(
            r"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Professor|Herr|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Sra|Sr)\b\.?[ ](?:(?:Dr|Prof)\.[ ])?",
            name!()
        )),
        pattern(concat!(
            r"(?m)^[ \t>]*(?:Dear|Hi|Hello|Hey|Good (?:morning|afternoon|evening)|Hallo|Lieber?|Cher|Chère|Querid[oa]|Hola)[ ]",
            name!(),
            r"[ ]?[,!:\-–—]"
        )),
        pattern(concat!(
            r"(?im)^[ \t>]*(?:(?:best|kind|warm|many)[ ](?:regards|wishes|thanks)|regards|sincerely|yours(?:[ ]\w+)?|cheers|thanks(?:[ ]\w+)?|thank you|cordially|mit freundlichen grüßen|viele grüße|cordialement|saludos)[ ]?[,.!]?[ \t]*\r?\n+[ \t>]*(?-i:",
            name!(),
            r")[ \t]*\r?$"
        )),
        pattern(concat!(
            r"(?i:\b(?:my|his|her|their|the patient's|the customer's)[ ](?:full[ ])?name[ ]is|\bi am called|\bsigned by|\bmein name ist|\bich heiße|\bje m'appelle|\bme llamo)[ ]",
            name!()
        )),
    ]
});

/// Words that are capitalised in such places without being names.
const NOT_NAMES: [&str; 22] = [
    "All",
    "Sir",
    "Madam",
    "Team",
    "Everyone",
    "Everybody",
    "Customer",
    "Customers",
    "Friend",
    "Friends",
    "Colleague",
    "Colleagues",
    "Doctor",
    "Professor",
    "There",
    "The",
    "Support",
    "Hiring",
    "Manager",
    "World",
    "God",
    "Not",
];

/// Names that patterns find in a text.
pub(super) fn introduced(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for pattern in &*PATTERNS {
        for found in pattern.captures_iter(text).filter_map(|captures| captures.get(1)) {
            let name = found.as_str().trim_end_matches("'s").trim_end_matches("’s");
            let words = || name.split(' ');
            if !words().any(|word| NOT_NAMES.contains(&word)) && name.chars().any(char::is_lowercase) {
                names.push(name.to_owned());
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Places of the names, and of their parts of three letters or more, in order of their length: the longest first.
pub(super) fn occurrences(text: &str, names: &[String]) -> Vec<(usize, usize)> {
    let mut parts: Vec<&str> =
        names.iter().flat_map(|name| std::iter::once(name.as_str()).chain(words(name))).collect();
    parts.sort_unstable_by_key(|part| (std::cmp::Reverse(part.len()), *part));
    parts.dedup();
    let mut spans = Vec::new();
    for part in parts {
        for (start, _) in text.match_indices(part) {
            let end = start + part.len();
            let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let alone = !letter(text[..start].chars().next_back()) && !letter(text[end..].chars().next());
            // `ann@example.org` and `/srv/Ann` are found as what they are, or not at all.
            let bound = text[end..].starts_with(['@', '/']) || text[..start].ends_with(['@', '/', '.']);
            let free = spans.iter().all(|(s, e)| end <= *s || *e <= start);
            if alone && !bound && free {
                spans.push((start, end));
            }
        }
    }
    spans
}

/// Words of a name that stand for it.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let word = |word: &&str| word.chars().count() > 2 && word.chars().next().is_some_and(char::is_uppercase);
    name.split(' ').filter(word)
}

/// The person that a name or a part of one belongs to: the longest of the names that has all its words.
pub(super) fn person<'a>(value: &'a str, names: &'a [String]) -> &'a str {
    let has = |name: &&String| value.split(' ').all(|word| name.split(' ').any(|other| other == word));
    names.iter().filter(has).max_by_key(|name| name.len()).map_or(value, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_what_introduces_them() {
        for (text, expected) in [
            ("Yesterday Dr. Ann van der Lee called.", vec!["Ann van der Lee"]),
            ("Dear Bo,\nthe disk is full.", vec!["Bo"]),
            ("The disk is full.\n\nBest regards,\nCarla J. Diaz\n", vec!["Carla J. Diaz"]),
            ("Hello, my name is Dana and I need help.", vec!["Dana"]),
            ("Frau Prof. Özlem Kaya's office", vec!["Özlem Kaya"]),
            ("Herr von der Heide kommt.", vec!["von der Heide"]),
            ("Dear Sir,\nDear Customer,\nHi all,\n", vec![]),
            ("Thanks,\nThe Support Team", vec![]),
            ("My name is not important. The name is long. Hello World!", vec![]),
            ("Ada Lovelace wrote the first program; Mars is a planet.", vec![]),
        ] {
            assert_eq!(introduced(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_of_a_name_are_the_same_person() {
        let names = ["Ann Lee".to_owned(), "Bo".to_owned(), "Lee".to_owned()];
        let text = "Ann wrote to Bo. Lee, Annie and Bob did not; see ann@example.org and /srv/Ann.";
        let mut spans = occurrences(text, &names);
        spans.sort_unstable();
        let found: Vec<&str> = spans.iter().map(|&(start, end)| &text[start..end]).collect();
        assert_eq!(found, ["Ann", "Bo", "Lee"]);
        assert_eq!(
            found.iter().map(|name| person(name, &names)).collect::<Vec<_>>(),
            ["Ann Lee", "Bo", "Ann Lee"]
        );
    }
}
