//! Jinja set up as `transformers` sets it up, and the marks of `{% generation %}` blocks.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

use super::{clock, filters, json, markup, methods, number, rewrite};
use crate::Error;

/// Steps after which a template is stopped: a request never comes near, an endless loop does.
const FUEL: u64 = 20_000_000;
/// Depth of calls and blocks; macros that call themselves without end stop here.
const RECURSION: usize = 200;
const OPEN: &str = "_generation_open";
const CLOSE: &str = "_generation_close";
const NOW: &str = "_now";

pub(super) fn new() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            out.write_str(&number::display(value)).map_err(minijinja::Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSES}{message}")))
    });
    environment.add_function("strftime_now", |state: &State<'_, '_>, format: &str| {
        clock::format(state.lookup(NOW).and_then(|v| v.as_i64()), format)
    });
    environment.add_filter(rewrite::GENERATION, generation);
    environment.add_filter(rewrite::ADD, markup::add);
    environment.add_filter(rewrite::PERCENT, markup::percent);
    environment.add_filter("tojson", json::tojson);
    filters::add(&mut environment);
    Ok(environment)
}

const REFUSES: &str = "the template refuses the conversation: ";

/// The error of a template with its line.
pub(super) fn describe(error: &minijinja::Error, source: &str) -> Error {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let message = if detail.starts_with(REFUSES) || error.detail().is_none() {
        detail
    } else {
        format!("{}: {detail}", error.kind())
    };
    let reason = match error.line() {
        Some(line) => match source.lines().nth(line.saturating_sub(1)) {
            Some(shown) => format!("line {line}: {message}\n  {line} | {}", shorten(shown)),
            None => format!("line {line}: {message}"),
        },
        None => message,
    };
    Error::Template { reason }
}

fn shorten(line: &str) -> String {
    const LONGEST: usize = 160;
    let mut shown: String = line.chars().take(LONGEST).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// The characters that stand around generated text while it is located.
pub(super) type Marks = (char, char);

/// Two noncharacters that `text` does not hold.
pub(super) fn unused_marks(text: &str) -> Option<Marks> {
    let mut free = ('\u{FDD0}'..='\u{FDEF}').filter(|c| !text.contains(*c));
    Some((free.next()?, free.next()?))
}

/// The text without marks, and the byte ranges between them.
pub(super) fn strip_marks(text: &str, (open, close): Marks) -> (String, Vec<std::ops::Range<usize>>) {
    let (mut plain, mut spans, mut start) = (String::with_capacity(text.len()), Vec::new(), None);
    for c in text.chars() {
        if c == open {
            start = Some(plain.len());
        } else if c == close {
            spans.extend(start.take().map(|start| start..plain.len()));
        } else {
            plain.push(c);
        }
    }
    (plain, spans)
}

/// Adds what functions of the environment look up.
pub(super) fn add_internal(variables: &mut Map<String, Json>, marks: Option<Marks>, now: Option<i64>) {
    if let Some((open, close)) = marks {
        variables.insert(OPEN.into(), open.to_string().into());
        variables.insert(CLOSE.into(), close.to_string().into());
    }
    if let Some(now) = now {
        variables.insert(NOW.into(), now.into());
    }
}

fn generation(state: &State<'_, '_>, text: String) -> String {
    let mark = |name| state.lookup(name).filter(|v| !v.is_undefined());
    match (mark(OPEN), mark(CLOSE)) {
        (Some(open), Some(close)) => format!("{open}{text}{close}"),
        _ => text,
    }
}
