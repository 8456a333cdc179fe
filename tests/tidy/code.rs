//! Rules on code, blind to what stands in comments, strings and characters.

use crate::repository::File;

/// `text` with the content of comments, strings and character literals blanked; lines stay where they are.
pub(crate) fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = blank_length(&text[at..], out.last().copied());
        let end = at + length.unwrap_or(1);
        let keep = |b: &u8| if length.is_none() || *b == b'\n' { *b } else { b' ' };
        out.extend(bytes[at..end].iter().map(keep));
        at = end;
        while !text.is_char_boundary(at) {
            out.push(b' ');
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Length of the comment or literal at the start of `rest`, if there is one.
fn blank_length(rest: &str, before: Option<u8>) -> Option<usize> {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if !in_word && let Some(length) = raw_string(rest) {
        return Some(length);
    }
    // A quote and one character (or escape) and a quote is a character; anything else is a lifetime.
    let mut inner = rest.strip_prefix('\'')?.chars();
    match (inner.next()?, inner.next()?) {
        ('\\', _) => Some(quoted(rest, '\'')),
        (c, '\'') => Some(c.len_utf8() + 2),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = ["br", "cr", "r"].into_iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let body = after.trim_start_matches('#');
    let hashes = after.len() - body.len();
    let start = rest.len() - body.strip_prefix('"')?.len();
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&end).map_or(rest.len(), |found| start + found + end.len()))
}

/// Whether the word `word` stands in `code`, and at which line (from 1).
fn word_lines<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = move |line: &str| {
        line.match_indices(word)
            .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
    };
    code.lines().enumerate().filter(move |(_, line)| whole(line)).map(|(index, _)| index + 1)
}

/// Lines of Rust files that hold one of `words` in code.
fn offenders(files: &[File], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        let code = code_of(&file.text);
        for word in words {
            found.extend(word_lines(&code, word).map(|line| format!("{}:{line}", file.path)));
        }
    }
    found
}

/// Places of unsafe code in files whose path does not start with `home`.
pub(crate) fn unsafe_outside(files: &[File], home: &str) -> Vec<String> {
    let mut found = offenders(files, &["unsafe"]);
    found.retain(|place| !place.starts_with(home));
    found
}

/// Tests that do not run.
pub(crate) fn ignored_tests(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        let code: String = code_of(&file.text);
        let lines = code.lines().enumerate();
        let ignored = |line: &str| {
            let line: String = line.split_whitespace().collect();
            line.contains("#[ignore") || line.contains("#[cfg_attr(") && line.contains(",ignore")
        };
        found.extend(lines.filter(|(_, l)| ignored(l)).map(|(i, _)| format!("{}:{}", file.path, i + 1)));
    }
    found
}

/// Macros that stand for code that is not there.
pub(crate) fn unwritten(files: &[File]) -> Vec<String> {
    offenders(files, &["todo!", "unimplemented!"])
}

/// Functions of more than `most` lines, from `fn` to the closing brace.
pub(crate) fn long_functions(files: &[File], most: usize) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        for (name, line, length) in functions(&code_of(&file.text)) {
            if length > most {
                found.push(format!("{}:{line} `{name}`, {length} lines,", file.path));
            }
        }
    }
    found
}

/// Name, first line and number of lines of each function with a body in `code`.
pub(crate) fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let line_of = |at: usize| code[..at].matches('\n').count();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let name: String = code[at + 3..].trim_start().chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[at..]) {
            let (first, last) = (line_of(at), line_of(at + end));
            found.push((name, first + 1, last - first + 1));
        }
    }
    found
}

/// Where the body of the function at the start of `code` ends; `None` where it has none.
fn body_end(code: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0_i32, 0_i32);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
