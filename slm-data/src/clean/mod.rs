//! Texts made whole: encoding, control characters, markup, and the lines that pages put around their text.

mod boilerplate;
mod markup;
mod mojibake;
pub(crate) mod web;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub use boilerplate::strip_boilerplate;
pub use markup::strip_markup;
pub use mojibake::repair_mojibake;
pub use web::{C4Rules, GopherRules, WebReason};

use crate::curate::Switch;

/// What is repaired in texts before any rule sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanConfig {
    /// UTF-8 that was read as Windows-1252: `Ã©` becomes `é`, also where it happened twice.
    pub mojibake: Switch,
    /// Unicode NFC, line ends as `\n`, and no control characters, byte order marks or spaces at line ends.
    pub unicode: Switch,
    /// HTML elements and entities become text; off by default, as answers about HTML hold it rightly.
    pub markup: Switch,
    /// Lines of navigation, cookie notices and sharing buttons; off by default, for it is made for pages.
    pub boilerplate: Switch,
}

impl Default for CleanConfig {
    fn default() -> Self {
        Self { mojibake: Switch::On, unicode: Switch::On, markup: Switch::Off, boilerplate: Switch::Off }
    }
}

/// The text, repaired as the settings say; borrowed where nothing was to do.
pub fn clean_text<'a>(text: &'a str, config: &CleanConfig) -> Cow<'a, str> {
    let mut out = Cow::Borrowed(text);
    let mut step = |switch: Switch, repair: fn(&str) -> Cow<'_, str>| {
        if switch == Switch::On
            && let Cow::Owned(repaired) = repair(&out)
        {
            out = Cow::Owned(repaired);
        }
    };
    step(config.mojibake, repair_mojibake);
    step(config.markup, strip_markup);
    step(config.unicode, plain_unicode);
    step(config.boilerplate, strip_boilerplate);
    out
}

/// NFC without what nobody sees.
fn plain_unicode(text: &str) -> Cow<'_, str> {
    let odd = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{feff}';
    let nfc = is_nfc_quick(text.chars()) == IsNormalized::Yes;
    if nfc && !text.contains(odd) && !text.contains(" \n") {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = text.nfc().filter(|&c| !odd(c)).collect();
    let mut out = String::with_capacity(kept.len());
    for line in kept.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                out.push_str(line.trim_end_matches([' ', '\t']));
                out.push('\n');
            }
            None => out.push_str(line),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_follow_one_another() {
        let config = CleanConfig { markup: Switch::On, boilerplate: Switch::On, ..CleanConfig::default() };
        let text = "<p>CafÃ© &amp; bar \r\nopen</p>\u{0}<p>We use cookies. Accept all</p>";
        assert_eq!(clean_text(text, &config).trim(), "Café & bar\nopen");
        assert_eq!(clean_text("e\u{301}", &CleanConfig::default()), "é");
        assert!(matches!(clean_text("fine\n\ttext", &config), Cow::Borrowed(_)));
    }
}
