//! Methods of Python's strings, dictionaries and lists that templates call.
//!
//! What `minijinja_contrib` has and does as Python does is left to it.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Calls `method` of `value`.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => string(value.as_str().unwrap_or_default(), method, &Arguments::new(arguments)?)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        ValueKind::Seq => sequence(value, method, &Arguments::new(arguments)?)?,
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
    }
}

struct Arguments<'a> {
    positional: &'a [Value],
    named: Kwargs,
}

impl<'a> Arguments<'a> {
    fn new(all: &'a [Value]) -> Result<Self, Error> {
        match all.split_last() {
            Some((last, before)) if last.is_kwargs() => {
                Ok(Self { positional: before, named: Kwargs::try_from(last.clone())? })
            }
            _ => {
                Ok(Self { positional: all, named: Kwargs::from_iter(std::iter::empty::<(String, Value)>()) })
            }
        }
    }

    fn get(&self, at: usize, name: &str) -> Option<Value> {
        let given = self.positional.get(at).cloned().or_else(|| self.named.get(name).ok());
        given.filter(|v: &Value| !v.is_none() && !v.is_undefined())
    }

    fn text(&self, at: usize, name: &str) -> Result<Option<String>, Error> {
        match self.get(at, name) {
            Some(v) => match v.as_str() {
                Some(s) => Ok(Some(s.to_owned())),
                None => Err(invalid(format!("argument `{name}` is {}, not a string", v.kind()))),
            },
            None => Ok(None),
        }
    }

    fn required(&self, at: usize, name: &str) -> Result<String, Error> {
        self.text(at, name)?.ok_or_else(|| invalid(format!("argument `{name}` is missing")))
    }

    fn integer(&self, at: usize, name: &str) -> Result<Option<i64>, Error> {
        self.get(at, name).map(i64::try_from).transpose()
    }
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

fn string(s: &str, method: &str, arguments: &Arguments<'_>) -> Result<Option<Value>, Error> {
    if let Some(answer) = classify(s, method) {
        return Ok(Some(answer.into()));
    }
    Ok(Some(match method {
        "split" | "rsplit" => split(s, method == "rsplit", arguments)?,
        "partition" | "rpartition" => partition(s, method == "rpartition", &arguments.required(0, "sep")?)?,
        "find" | "rfind" | "index" | "rindex" => find(s, method, arguments)?,
        "startswith" | "endswith" if arguments.positional.len() > 1 => {
            let part = slice(s, arguments.integer(1, "start")?, arguments.integer(2, "end")?).1;
            let what = arguments.required(0, "prefix")?;
            Value::from(if method == "startswith" { part.starts_with(&what) } else { part.ends_with(&what) })
        }
        "removeprefix" => {
            let prefix = arguments.required(0, "prefix")?;
            s.strip_prefix(prefix.as_str()).unwrap_or(s).into()
        }
        "removesuffix" => {
            let suffix = arguments.required(0, "suffix")?;
            s.strip_suffix(suffix.as_str()).unwrap_or(s).into()
        }
        "swapcase" => s.chars().flat_map(swap_case).collect::<String>().into(),
        "casefold" => s.to_lowercase().replace('ß', "ss").into(),
        "center" | "ljust" | "rjust" => justify(s, method, arguments)?,
        "zfill" => zero_fill(s, arguments)?,
        "expandtabs" => expand_tabs(s, arguments)?,
        "splitlines" => {
            let keep = arguments.get(0, "keepends").is_some_and(|v| v.is_true());
            lines(s, keep).into_iter().map(Value::from).collect()
        }
        _ => return Ok(None),
    }))
}

fn classify(s: &str, method: &str) -> Option<bool> {
    let all = |test: fn(char) -> bool| !s.is_empty() && s.chars().all(test);
    // Rust's `is_numeric` is Python's `isnumeric` but for ideographs; decimals are the runs of ten in category Nd.
    Some(match method {
        "isdecimal" => all(|c| c.is_numeric() && (c.is_ascii_digit() || is_other_decimal(c))),
        "isdigit" => all(|c| c.is_ascii_digit() || is_other_decimal(c) || is_superscript(c)),
        "istitle" => is_title(s),
        "isidentifier" => {
            s.starts_with(|c: char| c == '_' || c.is_alphabetic()) && all(|c| c == '_' || c.is_alphanumeric())
        }
        _ => return None,
    })
}

fn is_superscript(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨')
}

/// Decimal digits of scripts whose blocks keep them together, ten from a code point.
fn is_other_decimal(c: char) -> bool {
    const ZEROS: [u32; 12] =
        [0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xE50, 0xED0, 0xF20, 0xFF10];
    ZEROS.iter().any(|zero| (*zero..*zero + 10).contains(&(c as u32)))
}

fn is_title(s: &str) -> bool {
    let (mut cased, mut any) = (false, false);
    for c in s.chars() {
        if c.is_uppercase() == cased && (c.is_uppercase() || c.is_lowercase()) {
            return false;
        }
        cased = c.is_uppercase() || c.is_lowercase();
        any |= cased;
    }
    any
}

fn swap_case(c: char) -> Vec<char> {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

fn split(s: &str, from_right: bool, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let limit = arguments.integer(1, "maxsplit")?.and_then(|n| usize::try_from(n).ok());
    let parts = match arguments.text(0, "sep")? {
        Some(sep) if sep.is_empty() => return Err(invalid("split: empty separator")),
        Some(sep) => match (limit, from_right) {
            (None, _) => s.split(sep.as_str()).collect(),
            (Some(n), false) => s.splitn(n.saturating_add(1), sep.as_str()).collect(),
            (Some(n), true) => {
                let mut parts: Vec<&str> = s.rsplitn(n.saturating_add(1), sep.as_str()).collect();
                parts.reverse();
                parts
            }
        },
        None => split_words(s, limit.unwrap_or(usize::MAX), from_right),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// At runs of white space, none of which is kept at either end of what is split off.
fn split_words(s: &str, limit: usize, from_right: bool) -> Vec<&str> {
    let mut rest = if from_right { s.trim_end() } else { s.trim_start() };
    let mut parts = Vec::new();
    while !rest.is_empty() && parts.len() < limit {
        let cut = if from_right { rest.rfind(char::is_whitespace) } else { rest.find(char::is_whitespace) };
        let Some(at) = cut else { break };
        if from_right {
            parts.push(rest[at..].trim_start());
            rest = rest[..at].trim_end();
        } else {
            parts.push(&rest[..at]);
            rest = rest[at..].trim_start();
        }
    }
    let rest = if parts.len() < limit { rest.trim() } else { rest };
    if !rest.is_empty() {
        parts.push(rest);
    }
    if from_right {
        parts.reverse();
    }
    parts
}

fn partition(s: &str, from_right: bool, sep: &str) -> Result<Value, Error> {
    if sep.is_empty() {
        return Err(invalid("partition: empty separator"));
    }
    let found = if from_right { s.rsplit_once(sep) } else { s.split_once(sep) };
    let parts = match found {
        Some((before, after)) => [before, sep, after],
        None if from_right => ["", "", s],
        None => [s, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// The part of `s` between two character positions, negative ones from the end, and where it begins.
fn slice(s: &str, start: Option<i64>, end: Option<i64>) -> (i64, &str) {
    let length = s.chars().count() as i64;
    let clamp = |at: i64| if at < 0 { (length + at).max(0) } else { at.min(length) };
    let (start, end) = (clamp(start.unwrap_or(0)), clamp(end.unwrap_or(length)));
    let byte = |at: i64| s.char_indices().nth(at as usize).map_or(s.len(), |(i, _)| i);
    (start, &s[byte(start)..byte(end.max(start))])
}

fn find(s: &str, method: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let what = arguments.required(0, "sub")?;
    let (start, part) = slice(s, arguments.integer(1, "start")?, arguments.integer(2, "end")?);
    let at = if method.starts_with('r') { part.rfind(&what) } else { part.find(&what) };
    match at {
        Some(at) => Ok(Value::from(start + part[..at].chars().count() as i64)),
        None if method.ends_with("index") => Err(invalid("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

/// Longest text that padding makes.
const WIDEST: i64 = 100_000;

fn justify(s: &str, method: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.ok_or_else(|| invalid("argument `width` is missing"))?;
    let fill = arguments.text(1, "fillchar")?.unwrap_or_else(|| " ".into());
    let length = s.chars().count() as i64;
    let pad = (width.min(WIDEST) - length).max(0);
    let left = match method {
        "ljust" => 0,
        "rjust" => pad,
        // As CPython rounds it.
        _ => pad / 2 + (pad & width & 1),
    };
    let fill = |n: i64| fill.repeat(usize::try_from(n).unwrap_or(0));
    Ok(Value::from(format!("{}{s}{}", fill(left), fill(pad - left))))
}

fn zero_fill(s: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.unwrap_or(0).min(WIDEST);
    let pad = "0".repeat(usize::try_from(width - s.chars().count() as i64).unwrap_or(0));
    let sign = if s.starts_with(['+', '-']) { 1 } else { 0 };
    Ok(Value::from(format!("{}{pad}{}", &s[..sign], &s[sign..])))
}

fn expand_tabs(s: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let size = arguments.integer(0, "tabsize")?.unwrap_or(8).clamp(0, 64) as usize;
    let (mut out, mut column) = (String::new(), 0);
    for c in s.chars() {
        match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                out.push_str(&" ".repeat(n));
                column += n;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(Value::from(out))
}

/// Lines as `str.splitlines` has them: at every line boundary of Unicode.
pub(super) fn lines(s: &str, keep_ends: bool) -> Vec<&str> {
    const ENDS: [char; 10] =
        ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    let (mut result, mut rest) = (Vec::new(), s);
    while let Some(at) = rest.find(ENDS) {
        let first = rest[at..].chars().next().map_or(0, char::len_utf8);
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { first };
        result.push(&rest[..if keep_ends { end } else { at }]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        result.push(rest);
    }
    result
}

fn sequence(value: &Value, method: &str, arguments: &Arguments<'_>) -> Result<Option<Value>, Error> {
    match method {
        "copy" => Ok(Some(value.clone())),
        "index" => {
            let what = arguments.positional.first().ok_or_else(|| invalid("index: nothing to look for"))?;
            let at = value.try_iter()?.position(|item| item == *what);
            let at = at.ok_or_else(|| invalid(format!("{what:?} is not in list")))?;
            Ok(Some(Value::from(at)))
        }
        _ => Ok(None),
    }
}
