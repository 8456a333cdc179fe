//! What Jinja on Python reads and this engine does not, written in a way that it does read.
//!
//! - Line ends: `\r\n` and `\r` are `\n`.
//! - `{% generation %}` blocks, which `transformers` adds, become filter blocks.
//! - `'..' % x` becomes `'..'|_percent(x)`.
//! - `'..'|safe + x` becomes `'..'|safe|_add(x)`: Python's markup escapes what is added to it, even where nothing
//!   else is escaped, and a prompt must be the same to the byte.
//!
//! Lines stay where they are, so that errors name the line of the original.

/// Filter of generation blocks.
pub(super) const GENERATION: &str = "_generation_block";
/// Filter of additions to markup.
pub(super) const ADD: &str = "_add";
/// Filter of `%` after a string.
pub(super) const PERCENT: &str = "_percent";

/// Rewrites a template; what cannot be read is left to the engine to report.
pub(super) fn rewrite(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut result = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = next_tag(rest) {
        let (text, tag) = rest.split_at(at);
        result.push_str(text);
        let (written, length) = if tag.starts_with("{#") {
            let end = tag.find("#}").map_or(tag.len(), |end| end + 2);
            (tag[..end].to_owned(), end)
        } else {
            rewrite_tag(tag)
        };
        result.push_str(&written);
        rest = &tag[length..];
    }
    result.push_str(rest);
    result
}

fn next_tag(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(['{', '%', '#']))
}

/// The tag at the beginning of `text` as it is to be read, and how much of `text` that is.
fn rewrite_tag(text: &str) -> (String, usize) {
    let close = if text.starts_with("{{") { "}}" } else { "%}" };
    let Some((tokens, end)) = tokenize(text, close) else { return (text.to_owned(), text.len()) };
    let word = |i: usize| tokens.get(i).map_or("", |t| t.text(text));
    if close == "%}" && tokens.len() == 1 {
        let replaced = match word(0) {
            "generation" => Some(format!("filter {GENERATION}")),
            "endgeneration" => Some("endfilter".into()),
            _ => None,
        };
        if let Some(replaced) = replaced {
            return (text[..tokens[0].start].to_owned() + &replaced + &text[tokens[0].end..end], end);
        }
        if word(0) == "raw" {
            let length = text[end..].find("endraw").map_or(text.len(), |at| end + at);
            return (text[..length].to_owned(), length);
        }
    }
    let mut edits = Vec::new();
    percent(text, &tokens, &mut edits);
    markup(text, &tokens, &mut edits);
    (apply(&text[..end], edits), end)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Word,
    Sign,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    kind: Kind,
    /// Brackets around it; an opening and its closing bracket have the depth outside of them.
    depth: usize,
}

impl Token {
    fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }
}

/// Tokens of a tag, and where it ends; `None` when it does not.
fn tokenize(text: &str, close: &str) -> Option<(Vec<Token>, usize)> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut depth) = (Vec::<Token>::new(), 2, 0_usize);
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    loop {
        let byte = *bytes.get(at)?;
        if depth == 0 {
            let ahead = if matches!(byte, b'-' | b'+') { 1 } else { 0 };
            if text.get(at + ahead..)?.starts_with(close) {
                return Some((tokens, at + ahead + close.len()));
            }
        }
        let start = at;
        let (kind, mut outside) = (
            if byte.is_ascii_whitespace() {
                at += 1;
                continue;
            } else if matches!(byte, b'\'' | b'"') {
                at = end_of_string(bytes, at)?;
                Kind::Text
            } else if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
                at += bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80)
                    .count();
                Kind::Word
            } else {
                let long = ["**", "//", "==", "!=", "<=", ">="].iter().any(|s| text[at..].starts_with(s));
                at += if long { 2 } else { 1 };
                Kind::Sign
            },
            depth,
        );
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                outside = depth;
            }
            _ => {}
        }
        tokens.push(Token { start, end: at, kind, depth: outside });
    }
}

fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes[start];
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            b if b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Whether a token ends an operand of the given operators, at the operand's own depth.
fn stops(text: &str, token: &Token, operators: &[&str]) -> bool {
    const WORDS: [&str; 12] =
        ["if", "elif", "else", "and", "or", "not", "in", "is", "set", "for", "recursive", "as"];
    const SIGNS: [&str; 10] = ["~", "==", "!=", "<", ">", "<=", ">=", ",", ":", "="];
    let token_text = token.text(text);
    match token.kind {
        Kind::Word => WORDS.contains(&token_text),
        Kind::Sign => SIGNS.contains(&token_text) || operators.contains(&token_text),
        Kind::Text => false,
    }
}

/// One past the last token of the operand that begins at `from`.
fn end_of_operand(text: &str, tokens: &[Token], from: usize, operators: &[&str]) -> usize {
    let depth = tokens.get(from).map_or(0, |t| t.depth);
    let ends = |t: &Token| t.depth < depth || (t.depth == depth && stops(text, t, operators));
    // A closing bracket has the depth outside of it: it ends what it does not close.
    let mut open = 0_i32;
    for (i, token) in tokens.iter().enumerate().skip(from) {
        match token.text(text) {
            "(" | "[" | "{" if token.kind == Kind::Sign => open += 1,
            ")" | "]" | "}" if token.kind == Kind::Sign => {
                open -= 1;
                if open < 0 {
                    return i;
                }
            }
            _ if open == 0 && i > from && ends(token) => return i,
            _ => {}
        }
    }
    tokens.len()
}

type Edit = (usize, usize, String);

fn percent(text: &str, tokens: &[Token], edits: &mut Vec<Edit>) {
    for (i, pair) in tokens.windows(2).enumerate() {
        if pair[0].kind != Kind::Text || pair[1].text(text) != "%" || pair[1].kind != Kind::Sign {
            continue;
        }
        let end = end_of_operand(text, tokens, i + 2, &["+", "-", "*", "/", "//", "%"]);
        call(tokens, i + 1, end, PERCENT, edits);
    }
}

/// Replaces the operator at `operator` by a filter whose argument ends before the token `end`.
fn call(tokens: &[Token], operator: usize, end: usize, filter: &str, edits: &mut Vec<Edit>) {
    if end > operator + 1 {
        let Token { start, end: after, .. } = tokens[operator];
        edits.push((start, after, format!("|{filter}(")));
        let close = tokens[end - 1].end;
        edits.push((close, close, ")".into()));
    }
}

fn markup(text: &str, tokens: &[Token], edits: &mut Vec<Edit>) {
    let mut done = Vec::new();
    for (i, pair) in tokens.windows(2).enumerate() {
        let filter = pair[0].text(text) == "|" && matches!(pair[1].text(text), "safe" | "e" | "escape");
        if !filter {
            continue;
        }
        let start = start_of_chain(text, tokens, i);
        let end = end_of_operand(text, tokens, start, &[]);
        let depth = tokens[i].depth;
        let sign = |t: &Token, signs: &[&str]| {
            t.depth == depth && t.kind == Kind::Sign && signs.contains(&t.text(text))
        };
        let chain = &tokens[start..end];
        if done.contains(&start) || chain.iter().any(|t| sign(t, &["*", "/", "//", "%", "**", "-"])) {
            continue;
        }
        done.push(start);
        let plus: Vec<usize> = (start + 1..end).filter(|j| sign(&tokens[*j], &["+"])).collect();
        for (n, operator) in plus.iter().enumerate() {
            call(tokens, *operator, plus.get(n + 1).copied().unwrap_or(end), ADD, edits);
        }
    }
}

/// The first token of the sum that token `from` is part of.
fn start_of_chain(text: &str, tokens: &[Token], from: usize) -> usize {
    let depth = tokens[from].depth;
    let outside = |t: &Token| {
        let opens = t.depth + 1 == depth && matches!(t.text(text), "(" | "[" | "{") && t.kind == Kind::Sign;
        opens || t.depth < depth || (t.depth == depth && stops(text, t, &[]))
    };
    tokens[..from].iter().rposition(outside).map_or(0, |at| at + 1)
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|(start, ..)| *start);
    let (mut result, mut at) = (String::with_capacity(text.len()), 0);
    for (start, end, new) in edits {
        result.push_str(&text[at..start]);
        result.push_str(&new);
        at = end;
    }
    result.push_str(&text[at..]);
    result
}
