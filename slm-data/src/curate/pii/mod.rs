//! Personal data and secrets: found, and replaced by placeholders.

mod find;
mod names;
mod national;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{Example, Message, text};

pub use find::{Found as PiiFinding, find as find_pii};
use find::{Found, find_with};

/// A kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PiiKind {
    /// An e-mail address.
    Email,
    /// A telephone number: international with `+`, North American, or after a word such as `Tel.`.
    Phone,
    /// A payment card number: prefix and length of a card network, and the Luhn check (ISO/IEC 7812).
    Card,
    /// A bank account number: length of its country, and the mod 97 check (ISO 13616).
    Iban,
    /// An IPv4 address. Off by default: in logs it is what the row is about.
    Ipv4,
    /// An IPv6 address. Off by default, as IPv4.
    Ipv6,
    /// A number that a state gives to a person, by its form and check digits, or after its name: of Belgium,
    /// Brazil, Canada, China, Finland, France, Germany, India, Italy, the Netherlands, Poland, South Korea,
    /// Spain, Sweden, Switzerland, the United Kingdom and the United States.
    NationalId,
    /// An API key, token, password or private key, known by its prefix or by what stands before it.
    Secret,
    /// The name of a person: after a title, in a salutation, below a closing or after words that introduce it, and
    /// wherever it stands again in the row. Off by default: in many rows names are what they are about.
    Name,
}

impl PiiKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Ipv4,
        Self::Ipv6,
        Self::NationalId,
        Self::Secret,
        Self::Name,
    ];

    /// The name in placeholders: `EMAIL`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Card => "CARD",
            Self::Iban => "IBAN",
            Self::Ipv4 => "IPV4",
            Self::Ipv6 => "IPV6",
            Self::NationalId => "NATIONAL_ID",
            Self::Secret => "SECRET",
            Self::Name => "NAME",
        }
    }
}

/// What happens to a row with personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiAction {
    /// Each finding is replaced by a placeholder such as `[EMAIL_1]`; equal findings of a row share one.
    #[default]
    Redact,
    /// The row is dropped.
    Drop,
    /// Nothing is looked for.
    Keep,
}

/// What is looked for, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PiiConfig {
    /// What happens to a row with a finding.
    pub action: PiiAction,
    /// What is looked for.
    pub kinds: BTreeSet<PiiKind>,
}

impl Default for PiiConfig {
    /// Redact everything but internet addresses and names.
    fn default() -> Self {
        let off = [PiiKind::Ipv4, PiiKind::Ipv6, PiiKind::Name];
        let kinds = PiiKind::ALL.into_iter().filter(|kind| !off.contains(kind)).collect();
        Self { action: PiiAction::Redact, kinds }
    }
}

/// A row without its personal data.
#[derive(Debug)]
pub(crate) struct Redacted {
    pub(crate) example: Example,
    /// Findings by kind.
    pub(crate) counts: BTreeMap<PiiKind, usize>,
    /// Whether a turn was JSON and is no more: a card number without quotes became a placeholder.
    pub(crate) broke_json: bool,
}

/// The text with personal data replaced by its kind, such as `[EMAIL]`: for single texts that leave the machine.
/// [`curate`](crate::curate()) numbers the values of a row.
///
/// ```
/// use slm_data::{PiiConfig, redact};
///
/// let text = redact("Mail ann@example.org, not 4111 1111 1111 1111.", &PiiConfig::default().kinds);
/// assert_eq!(text, "Mail [EMAIL], not [CARD].");
/// ```
pub fn redact(text: &str, kinds: &BTreeSet<PiiKind>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in find::find(text, kinds) {
        out.push_str(&text[done..found.start]);
        out.push_str(&format!("[{}]", found.kind.label()));
        done = found.end;
    }
    out.push_str(&text[done..]);
    out
}

/// The row with placeholders, or `None` where nothing was found.
pub(crate) fn redact_row(example: &Example, kinds: &BTreeSet<PiiKind>) -> Option<Redacted> {
    let mut people = Vec::new();
    if kinds.contains(&PiiKind::Name) {
        people = example.messages.iter().flat_map(|message| names::introduced(&message.content)).collect();
    }
    let found: Vec<Vec<Found>> =
        example.messages.iter().map(|message| find_with(&message.content, kinds, &people)).collect();
    if found.iter().all(Vec::is_empty) {
        return None;
    }
    let mut names = Placeholders { people, ..Placeholders::after(example) };
    let mut counts = BTreeMap::new();
    let mut broke_json = false;
    let messages = example.messages.iter().zip(&found).map(|(message, found)| {
        let mut content = String::with_capacity(message.content.len());
        let mut done = 0;
        for item in found {
            *counts.entry(item.kind).or_default() += 1;
            content.push_str(&message.content[done..item.start]);
            content.push_str(&names.of(item.kind, &message.content[item.start..item.end]));
            done = item.end;
        }
        content.push_str(&message.content[done..]);
        broke_json |= !found.is_empty() && is_json(&message.content) && !is_json(&content);
        Message { role: message.role, content }
    });
    let messages = messages.collect();
    Some(Redacted { example: Example { messages, ..example.clone() }, counts, broke_json })
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The placeholders of a row: one for each different value.
#[derive(Debug)]
struct Placeholders {
    /// Names of the row, in full.
    people: Vec<String>,
    next: BTreeMap<PiiKind, usize>,
    names: BTreeMap<(PiiKind, String), String>,
}

impl Placeholders {
    /// Numbers start after those of placeholders that are there already, from an earlier curation.
    fn after(example: &Example) -> Self {
        static EXISTING: LazyLock<Regex> = LazyLock::new(|| {
            let labels = PiiKind::ALL.map(PiiKind::label).join("|");
            Regex::new(&format!(r"\[({labels})_(\d{{1,9}})\]")).expect("a constant pattern")
        });
        let mut next = BTreeMap::new();
        for message in &example.messages {
            for found in EXISTING.captures_iter(&message.content) {
                let kind = PiiKind::ALL.into_iter().find(|kind| kind.label() == &found[1]);
                if let (Some(kind), Ok(number)) = (kind, found[2].parse::<usize>()) {
                    let last = next.entry(kind).or_insert(0);
                    *last = number.max(*last);
                }
            }
        }
        Self { people: Vec::new(), next, names: BTreeMap::new() }
    }

    fn of(&mut self, kind: PiiKind, value: &str) -> String {
        let key = match kind {
            PiiKind::Phone | PiiKind::Card | PiiKind::Iban | PiiKind::NationalId => {
                value.chars().filter(|c| c.is_alphanumeric() || *c == '+').collect()
            }
            PiiKind::Email => text::normalize(value),
            PiiKind::Name => names::person(value, &self.people).to_owned(),
            PiiKind::Ipv4 | PiiKind::Ipv6 | PiiKind::Secret => value.to_owned(),
        };
        let next = &mut self.next;
        let name = self.names.entry((kind, key)).or_insert_with(|| {
            let number = next.entry(kind).or_insert(0);
            *number += 1;
            format!("[{}_{number}]", kind.label())
        });
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(question: &str, answer: &str) -> Option<(String, String)> {
        let result = redact_row(&Example::pair(question, answer, ""), &PiiConfig::default().kinds)?;
        Some((result.example.question().to_owned(), result.example.answer().to_owned()))
    }

    #[test]
    fn equal_values_of_a_row_share_a_placeholder() {
        let (question, answer) =
            redacted("Mail Ann@example.org or bo@example.org.", "ann@example.org, or +49 30 5550 1234")
                .unwrap_or_default();
        assert_eq!(question, "Mail [EMAIL_1] or [EMAIL_2].");
        assert_eq!(answer, "[EMAIL_1], or [PHONE_1]");
    }

    #[test]
    fn placeholders_that_are_there_keep_their_numbers() {
        let (question, answer) = redacted("From [EMAIL_2] to a@example.org", "done").unwrap_or_default();
        assert_eq!(question, "From [EMAIL_2] to [EMAIL_3]");
        assert_eq!(redacted(&question, &answer), None);
    }

    #[test]
    fn a_person_has_one_pseudonym_in_all_turns_of_a_row() {
        let row = Example::pair(
            "Dear Dr. Lee,\nAnn's disk is full.\nKind regards,\nBen Berg",
            "Tell Ben that Ann Lee, or Dr. Ann Lee, must mail ann@example.org. Annie may, too.",
            "",
        );
        let kinds = PiiKind::ALL.into_iter().collect();
        let found = redact_row(&row, &kinds).map(|redacted| redacted.example);
        let found = found.unwrap_or_default();
        assert_eq!(found.question(), "Dear Dr. [NAME_1],\n[NAME_1]'s disk is full.\nKind regards,\n[NAME_2]");
        let expected = "Tell [NAME_2] that [NAME_1], or Dr. [NAME_1], must mail [EMAIL_1]. Annie may, too.";
        assert_eq!(found.answer(), expected);
        assert!(redact_row(&found, &kinds).is_none());
        assert!(redact_row(&row, &BTreeSet::from([PiiKind::Card])).is_none());
    }

    #[test]
    fn redaction_that_breaks_json_is_told() {
        let broke = |answer: &str| {
            redact_row(&Example::pair("q", answer, ""), &PiiConfig::default().kinds).map(|r| r.broke_json)
        };
        assert_eq!(broke(r#"{"card":4111111111111111}"#), Some(true));
        assert_eq!(broke(r#"{"card":"4111111111111111"}"#), Some(false));
        assert_eq!(broke("4111111111111111"), Some(false));
    }
}
