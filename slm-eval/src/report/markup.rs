//! A writer of well-formed markup: elements nest by construction, and every text and value is escaped.

use std::fmt::{Display, Write};

/// Attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

/// A document being written; HTML that is also XML.
#[derive(Default)]
pub(super) struct Markup {
    out: String,
}

/// A length in pixels, to a hundredth.
pub(super) struct Px(pub(super) f64);

impl Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        write!(f, "{}", if rounded == 0.0 { 0.0 } else { rounded })
    }
}

impl Markup {
    /// `<tag ..>`, what `content` writes, `</tag>`.
    pub(super) fn element(&mut self, tag: &str, attributes: Attributes<'_>, content: impl FnOnce(&mut Self)) {
        self.open(tag, attributes);
        self.out.push('>');
        content(self);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
    }

    /// An element that holds one text.
    pub(super) fn line(&mut self, tag: &str, attributes: Attributes<'_>, text: &str) {
        self.element(tag, attributes, |m| m.text(text));
    }

    /// An element without content.
    pub(super) fn leaf(&mut self, tag: &str, attributes: Attributes<'_>) {
        self.open(tag, attributes);
        self.out.push_str("/>");
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }

    /// Text that is known to need no escape.
    pub(super) fn verbatim(&mut self, text: &'static str) {
        self.out.push_str(text);
    }

    /// A line break between elements, for whoever reads the source.
    pub(super) fn newline(&mut self) {
        self.out.push('\n');
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        self.out
    }

    fn open(&mut self, tag: &str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(tag);
        let mut value = String::new();
        for (name, attribute) in attributes {
            value.clear();
            // Writing to a string does not fail.
            let _ = write!(value, "{attribute}");
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(&value, &mut self.out);
            self.out.push('"');
        }
    }
}

/// Escapes for element content and quoted attributes alike. Characters that neither XML nor HTML allow
/// become U+FFFD.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped() {
        let mut m = Markup::default();
        m.element("a", &[("title", &"\"><script>'&"), ("x", &Px(-0.001))], |m| {
            m.text("</a>\u{0}\u{1b}é\n");
            m.leaf("br", &[]);
        });
        let expected =
            "<a title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\" x=\"0\">&lt;/a&gt;\u{FFFD}\u{FFFD}é\n<br/></a>";
        assert_eq!(m.finish(), expected);
    }
}
