//! HTML within texts.

use std::borrow::Cow;

/// Elements that end a line.
const BLOCKS: [&str; 26] = [
    "p",
    "br",
    "div",
    "ul",
    "ol",
    "li",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "section",
    "article",
    "header",
    "footer",
    "nav",
    "blockquote",
    "tbody",
    "thead",
    "center",
    "html",
    "body",
];
/// Elements that are taken away and leave their text.
const INLINE: [&str; 22] = [
    "a", "b", "i", "u", "s", "em", "strong", "span", "font", "small", "big", "sup", "sub", "img", "td", "th",
    "label", "abbr", "cite", "tt", "meta", "link",
];
/// Elements that go with all that is in them.
const HIDDEN: [&str; 4] = ["script", "style", "noscript", "head"];

/// The text without HTML elements and with the characters that entities stand for. Only elements that have a
/// name of HTML count: `a < b`, `Vec<T>` and `<tool_call>` stay, and so do code blocks between fences.
pub fn strip_markup(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '&']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split("```").enumerate() {
        if at > 0 {
            out.push_str("```");
        }
        if at % 2 == 1 { out.push_str(part) } else { strip(part, &mut out) }
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

fn strip(mut text: &str, out: &mut String) {
    while let Some(at) = text.find(['<', '&']) {
        out.push_str(&text[..at]);
        text = &text[at..];
        let used = if text.starts_with('&') { entity(text, out) } else { element(text, out) };
        match used {
            Some(used) => text = &text[used..],
            None => {
                out.push_str(&text[..1]);
                text = &text[1..];
            }
        }
    }
    out.push_str(text);
}

/// Bytes of the element that the text begins with.
fn element(text: &str, out: &mut String) -> Option<usize> {
    if text.starts_with("<!--") {
        return Some(text.find("-->").map_or(text.len(), |end| end + 3));
    }
    let inner = text[1..].strip_prefix('/').unwrap_or(&text[1..]);
    let length = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
    let name = inner[..length].to_ascii_lowercase();
    let after = inner[length..].chars().next();
    if !matches!(after, Some('>' | '/' | ' ' | '\n' | '\t')) {
        return None;
    }
    let end = text.find('>')? + 1;
    let closing = text.starts_with("</");
    if HIDDEN.contains(&name.as_str()) {
        let close = format!("</{name}");
        let rest = &text[end..];
        let from = if closing { Some(0) } else { find_ignoring_case(rest, &close) };
        return from.map(|from| {
            if closing { end } else { end + from + rest[from..].find('>').map_or(0, |e| e + 1) }
        });
    }
    if BLOCKS.contains(&name.as_str()) {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        if name == "li" && !closing {
            out.push_str("- ");
        }
        return Some(end);
    }
    if INLINE.contains(&name.as_str()) {
        if matches!(name.as_str(), "td" | "th") && closing {
            out.push('\t');
        }
        return Some(end);
    }
    None
}

fn find_ignoring_case(text: &str, what: &str) -> Option<usize> {
    let (text, what) = (text.as_bytes(), what.as_bytes());
    text.windows(what.len()).position(|window| window.eq_ignore_ascii_case(what))
}

/// Bytes of the entity that the text begins with.
fn entity(text: &str, out: &mut String) -> Option<usize> {
    const NAMED: [(&str, char); 22] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("copy", '©'),
        ("reg", '®'),
        ("trade", '™'),
        ("deg", '°'),
        ("eacute", 'é'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("bull", '•'),
    ];
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control() || *c == '\n')?
        }
        None => NAMED.iter().find(|(known, _)| *known == name)?.1,
    };
    out.push(if c == '\u{a0}' { ' ' } else { c });
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_text() {
        let page = "<html><head><title>x</title></head><body><h1>Disk&nbsp;full</h1><p>Delete <b>old</b> logs &#8211; \
                    or&#x20;ask.</p><ul><li>one</li><li>two</li></ul><script>if (a < b) {}</script><!-- c --></body></html>";
        assert_eq!(strip_markup(page).trim(), "Disk full\nDelete old logs – or ask.\n- one\n- two");
    }

    #[test]
    fn what_is_no_markup_stays() {
        for text in [
            "a < b && c > d",
            "Vec<T> and <tool_call>\n{}\n</tool_call>",
            "AT&T; &unknown;",
            "```html\n<p>x</p>\n```",
            "a <b",
            "<",
        ] {
            assert_eq!(strip_markup(text), text);
        }
    }
}
