//! Sentences, counted by the rules of Punkt (Kiss and Strunk 2006) with a short list in place of its trained model.

/// Words that a full stop shortens, in lower case, of those that Punkt's model of English knows.
const ABBREVIATIONS: &str = " a.d a.m adm aug ave bros co col corp cos ct d.c dec dr feb fri ft gen inc jan jr lt ltd maj \
    messrs mg mr mrs ms nov oct p.m ph.d prof rep reps sen sep sept sr st tues u.k u.n u.s u.s.a vs wed yr ";

/// Words that begin a sentence where they have a capital, even after a word that a full stop shortens.
const STARTERS: &str = " although among both but despite does even finally furthermore he her here however i if in \
    indeed instead it many meanwhile moreover most nevertheless nonetheless nor please separately similarly since so \
    some the there these they this though thus under when while yet your ";

/// Further words that are no names, so that a single letter before them is no initial.
const COMMON: &str = " a about after all also an and another any are as at because before by can do during each every few \
    first for from his how is its let may more my next no not now of on once one or other our several she should that \
    their then those to until we what where who why will with you ";

/// Single letters that are taken for initials, whatever follows.
const INITIALS: &str = "cdefghklmnprstvw";

/// The number of sentences, close to what NLTK counts.
///
/// ```
/// use slm_eval::instructions::count_sentences;
///
/// assert_eq!(count_sentences("Dr. Smith paid $3.50 at 5 p.m. yesterday. \"Really?\" Yes... really!"), 3);
/// ```
pub fn count_sentences(text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ends = words.windows(2).filter(|pair| ends_sentence(pair[0], pair[1])).count();
    if words.is_empty() { 0 } else { ends + 1 }
}

/// Whether a sentence ends with `word`, before `next`.
fn ends_sentence(word: &str, next: &str) -> bool {
    let word = word.trim_end_matches(['"', '\'', ')', ']', '}', '”', '’', '*']);
    let Some(stem) = word.strip_suffix(['.', '?', '!']) else { return false };
    if !word.ends_with('.') {
        return true;
    }
    let lower = stem.trim_start_matches(['"', '\'', '(', '[', '{', '“', '‘', '*']).to_lowercase();
    let first = next.chars().next();
    let next_word = next.trim_end_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let capital = first.is_some_and(char::is_uppercase);
    let starter = capital && is_in(STARTERS, &next_word);
    let continues = first.is_some_and(|c| c.is_lowercase() || ",;:.!?".contains(c));
    let mut letters = lower.chars();
    match (letters.next(), letters.next()) {
        // Dots in a row.
        (None, _) => starter,
        _ if lower.ends_with('.') => starter,
        (Some(letter), None) if letter.is_alphabetic() => {
            let name = continues || capital && !starter && !is_in(COMMON, &next_word);
            !name && !INITIALS.contains(letter)
        }
        _ if is_in(ABBREVIATIONS, lower.rsplit('-').next().unwrap_or_default()) => starter,
        _ if lower.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '.') => !continues,
        _ => true,
    }
}

fn is_in(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_whitespace().any(|known| known == word)
}
