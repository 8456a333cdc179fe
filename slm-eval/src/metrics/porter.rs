//! Porter's stemmer (Porter 1980) with the departures of NLTK, which `rouge-score` stems with.

use std::borrow::Cow;

/// A suffix, what takes its place, and what must hold of the stem before it.
type Rule = (&'static str, &'static str);

/// Words that the rules get wrong.
const IRREGULAR: [(&str, &str); 14] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
];

const STEP_2: [Rule; 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

const STEP_3: [Rule; 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
    "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word of ASCII letters and digits in lower case.
pub fn stem(word: &str) -> Cow<'_, str> {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return Cow::Borrowed(stem);
    }
    if matches!(word, "exceed" | "succeed") || word.len() <= 2 {
        return Cow::Borrowed(word);
    }
    let steps = [step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5a, step_5b];
    Cow::Owned(steps.iter().fold(word.to_owned(), |word, step| step(word)))
}

fn step_1a(word: String) -> String {
    let rules = [("sses", "ss"), ("ies", if word.len() == 4 { "ie" } else { "i" }), ("ss", "ss"), ("s", "")];
    replace_first(word, &rules, |_| true)
}

fn step_1b(word: String) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word };
    }
    let stem = ["ed", "ing"].iter().find_map(|suffix| word.strip_suffix(suffix).filter(|s| has_vowel(s)));
    let Some(stem) = stem else { return word };
    if ["at", "bl", "iz"].iter().any(|end| stem.ends_with(end)) {
        return format!("{stem}e");
    }
    if ends_double_consonant(stem) {
        let single = &stem[..stem.len() - 1];
        return if stem.ends_with(['l', 's', 'z']) { stem } else { single }.to_owned();
    }
    if measure(stem) == 1 && ends_cvc(stem) { format!("{stem}e") } else { stem.to_owned() }
}

fn step_1c(word: String) -> String {
    match word.strip_suffix('y') {
        Some(stem) if stem.len() > 1 && is_consonant(stem.as_bytes(), stem.len() - 1) => format!("{stem}i"),
        _ => word,
    }
}

fn step_2(word: String) -> String {
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        return step_2(format!("{stem}al"));
    }
    // `logi` loses its `i` after a stem that counts the `l`.
    let known = STEP_2.iter().any(|(suffix, _)| word.ends_with(suffix));
    if let (false, Some(stem)) = (known, word.strip_suffix("ogi").filter(|stem| stem.ends_with('l'))) {
        return if measure(stem) > 0 { format!("{stem}og") } else { word };
    }
    replace_first(word, &STEP_2, |stem| measure(stem) > 0)
}

fn step_3(word: String) -> String {
    replace_first(word, &STEP_3, |stem| measure(stem) > 0)
}

fn step_4(word: String) -> String {
    let Some(suffix) = STEP_4.iter().find(|suffix| word.ends_with(**suffix)) else { return word };
    let stem = &word[..word.len() - suffix.len()];
    let goes = measure(stem) > 1 && (*suffix != "ion" || stem.ends_with(['s', 't']));
    if goes { stem.to_owned() } else { word }
}

fn step_5a(word: String) -> String {
    match word.strip_suffix('e') {
        Some(stem) if measure(stem) > 1 || measure(stem) == 1 && !ends_cvc(stem) => stem.to_owned(),
        _ => word,
    }
}

fn step_5b(mut word: String) -> String {
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
    word
}

/// Replaces the first suffix that the word ends with, if its stem will have it; later ones are not tried.
fn replace_first(word: String, rules: &[Rule], holds: impl Fn(&str) -> bool) -> String {
    match rules.iter().find_map(|(suffix, new)| Some((word.strip_suffix(suffix)?, new))) {
        Some((stem, new)) if holds(stem) => format!("{stem}{new}"),
        _ => word,
    }
}

fn is_consonant(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => at == 0 || !is_consonant(word, at - 1),
        _ => true,
    }
}

/// How often a vowel is followed by a consonant.
fn measure(stem: &str) -> usize {
    let kinds: Vec<bool> = (0..stem.len()).map(|at| is_consonant(stem.as_bytes(), at)).collect();
    kinds.windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

fn has_vowel(stem: &str) -> bool {
    (0..stem.len()).any(|at| !is_consonant(stem.as_bytes(), at))
}

fn ends_double_consonant(word: &str) -> bool {
    let bytes = word.as_bytes();
    matches!(bytes, [.., a, b] if a == b) && is_consonant(bytes, bytes.len() - 1)
}

/// Consonant, vowel, consonant other than `w`, `x` and `y`; or a word of a vowel and a consonant.
fn ends_cvc(word: &str) -> bool {
    let bytes = word.as_bytes();
    let consonant = |from_end: usize| is_consonant(bytes, bytes.len() - from_end);
    match bytes.len() {
        0 | 1 => false,
        2 => !consonant(2) && consonant(1),
        _ => consonant(3) && !consonant(2) && consonant(1) && !word.ends_with(['w', 'x', 'y']),
    }
}
