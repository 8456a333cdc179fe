//! Words, letters and languages, counted as IFEval's checker counts them.

use std::sync::LazyLock;

use regex::Regex;
use whatlang::Lang;

/// Letters, digits and underscores in a row. Marks of vowels end a word: Python's `\w` does not hold them.
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").ok());

/// What the Treebank tokenizer puts between spaces, as far as it can part letters from letters.
static APART: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"[\]\[(){}<>;@#$%&?!*"`«»“”‘’„‒–—―]|\.{2,}|--|''|[:,](?:\D|$)|\.[\])}>"'»”’ ]*(?:\s|$)"#)
        .ok()
});

/// Endings that the Treebank tokenizer makes words of their own.
const CLITICS: [&str; 7] = ["'s", "'m", "'d", "'ll", "'re", "'ve", "n't"];

/// Words that the Treebank tokenizer takes for two, and the bytes of the first.
const PAIRS: [(&str, usize); 10] = [
    ("cannot", 3),
    ("d'ye", 1),
    ("gimme", 3),
    ("gonna", 3),
    ("gotta", 3),
    ("lemme", 3),
    ("more'n", 4),
    ("wanna", 3),
    ("'tis", 2),
    ("'twas", 2),
];

/// Languages by ISO 639-1, as the reference names them, for those that IFEval asks for and a few more.
const LANGUAGES: [(&str, Lang); 38] = [
    ("ar", Lang::Ara),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("gu", Lang::Guj),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hu", Lang::Hun),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("kn", Lang::Kan),
    ("ko", Lang::Kor),
    ("ml", Lang::Mal),
    ("mr", Lang::Mar),
    ("ne", Lang::Nep),
    ("nl", Lang::Nld),
    ("pa", Lang::Pan),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("sv", Lang::Swe),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("vi", Lang::Vie),
];

/// Whether a language can be told by its text.
pub(super) fn knows(language: &str) -> bool {
    LANGUAGES.iter().any(|(code, _)| *code == language)
}

/// The language of a text by ISO 639-1, `"other"` where that is not in the list; `None` where it has no words.
pub(super) fn detect_language(text: &str) -> Option<&'static str> {
    let found = whatlang::detect_lang(&text.to_lowercase())?;
    Some(LANGUAGES.iter().find(|(_, lang)| *lang == found).map_or("other", |(code, _)| *code))
}

pub(super) fn count_words(text: &str) -> usize {
    WORD.as_ref().map_or(0, |word| word.find_iter(text).count())
}

/// Words with letters, all of them capitals; a word with a hyphen is one, `CAN'T` is two.
pub(super) fn count_uppercase_words(text: &str) -> usize {
    let spaced = APART.as_ref().map_or_else(
        || text.into(),
        |apart| {
            apart.replace_all(text, |found: &regex::Captures<'_>| {
                // A digit after a colon or comma is not taken; a letter after it must stay.
                let rest = found[0].strip_prefix([':', ',']).unwrap_or("");
                format!(" {rest}")
            })
        },
    );
    spaced
        .split_whitespace()
        .map(|word| parts(word).into_iter().filter(|part| is_uppercase(part)).count())
        .sum()
}

/// A word, or the two that the Treebank tokenizer makes of it.
fn parts(word: &str) -> Vec<&str> {
    let lower = word.to_ascii_lowercase();
    let clitic =
        CLITICS.iter().find(|c| lower.len() > c.len() && lower.ends_with(*c)).map(|c| lower.len() - c.len());
    let pair = PAIRS.iter().find(|(pair, _)| *pair == lower).map(|(_, first)| *first);
    match clitic.or(pair).and_then(|at| word.split_at_checked(at)) {
        Some((first, second)) => vec![first, second],
        None => vec![word],
    }
}

/// Whether there are letters with case, and all of them are capitals.
pub(super) fn is_uppercase(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Whether there are letters with case, and none of them is a capital.
pub(super) fn is_lowercase(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}
