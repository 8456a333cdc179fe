//! Lines that pages put around their text.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Longest line that can be a button or a notice, in characters.
const LONGEST: usize = 200;
/// Words of an item of a menu, at most, and items in a row that make one.
const MENU_WORDS: usize = 3;
const MENU_ITEMS: usize = 6;

static NOTICE: LazyLock<Regex> = LazyLock::new(|| {
    let text = concat!(
        r"(?i)\b(?:we|this (?:web)?site) uses? cookies\b|\bcookie (?:policy|settings|preferences)\b|\baccept (?:all )?cookies\b",
        r"|^\W*(?:skip to (?:main )?content|back to top|share (?:this|on)\b.{0,40}|follow us\b.{0,40}|sign (?:in|up)|log ?in|subscribe(?: now| to our newsletter)?",
        r"|read more|learn more|click here(?: (?:to|for)\b.{0,40})?|print this page|advertisement|related (?:articles|posts)|leave a (?:comment|reply)",
        r"|previous(?: post)?|next(?: post)?|menu|search|home)\W*$",
        r"|^\W*(?:copyright|©|\(c\)) ?(?:©|\(c\))? ?[12][0-9]{3}\b|\ball rights reserved\b|\bterms of (?:use|service)\b.{0,40}\bprivacy policy\b",
        r"|\benable javascript\b|\bjavascript (?:is|must be) (?:disabled|enabled)\b",
    );
    Regex::new(text).expect("a constant pattern")
});

/// The text without lines of cookie notices, buttons and menus. Within a sentence none of these words counts:
/// only lines that are nothing else go, and runs of six lines or more of at most three words without a full
/// stop.
pub fn strip_boilerplate(text: &str) -> Cow<'_, str> {
    let lines: Vec<&str> = text.lines().collect();
    let mut drop: Vec<bool> = lines
        .iter()
        .map(|line| line.len() <= 4 * LONGEST && line.chars().count() <= LONGEST && NOTICE.is_match(line))
        .collect();
    let item = |line: &str| {
        let line = line.trim();
        let words = line.split_whitespace().count();
        let end = line.ends_with(['.', '!', '?', ':', ';', ',', '}', ')', '|']);
        (1..=MENU_WORDS).contains(&words)
            && !end
            && !line.starts_with(['-', '*', '#', '|', '`'])
            && !line.chars().any(|c| c.is_ascii_digit())
    };
    let mut start = 0;
    for at in 0..=lines.len() {
        if at < lines.len() && item(lines[at]) {
            continue;
        }
        if at - start >= MENU_ITEMS {
            drop[start..at].fill(true);
        }
        start = at + 1;
    }
    if !drop.contains(&true) {
        return Cow::Borrowed(text);
    }
    let kept: Vec<&str> =
        lines.iter().zip(&drop).filter(|(_, drop)| !**drop).map(|(line, _)| *line).collect();
    Cow::Owned(kept.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_and_menus_go_and_text_stays() {
        let page = "Home\nProducts\nAbout us\nContact\nNews\nJobs\nDelete the old logs first.\nShare this on Facebook\n\
                    This site uses cookies to serve you.\n© 2024 Example Ltd. All rights reserved.\nRead more »";
        assert_eq!(strip_boilerplate(page), "Delete the old logs first.");
        for text in [
            "Search the log for errors.",
            "Cookies are small files that a site stores.",
            "one\ntwo\nthree",
            "Click here is a poor link text, says the style guide, because it tells nothing of what follows.",
            "Home\n\nThe first page of the site is described below.",
        ] {
            let kept = strip_boilerplate(text);
            assert!(kept.contains(text.lines().last().unwrap_or_default()), "{text}: {kept}");
        }
    }
}
