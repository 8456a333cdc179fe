//! Filters, tests and functions where Jinja on Python differs from this engine's own.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over by value")]

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::{methods, number};

/// Replaces them.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.remove_global("debug");
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_function("dict", dict);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("string", |value: &Value| number::display(value));
    environment.add_filter("pprint", |value: &Value| number::repr(value));
    environment.add_test("sequence", |v: &Value| {
        matches!(v.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map) || is_range(v)
    });
    environment.add_test("iterable", |v: &Value| !v.is_none() && (v.is_undefined() || v.try_iter().is_ok()));
    environment.add_test("callable", |v: &Value| v.kind() == ValueKind::Plain);
}

/// What has a length without being a list is a range; generators have none.
fn is_range(value: &Value) -> bool {
    value.kind() == ValueKind::Iterable && value.len().is_some()
}

fn named(arguments: &Rest<Value>, named: &Kwargs, at: usize, name: &str) -> Result<Option<Value>, Error> {
    Ok(match arguments.get(at) {
        Some(value) => Some(value.clone()),
        None => named.get(name)?,
    })
}

/// `indent(width=4, first=false, blank=false)`; the width may be a string. A newline at the end stays.
fn indent(text: &Value, arguments: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let flag = |at, name| Ok::<_, Error>(named(&arguments, &kwargs, at, name)?.is_some_and(|v| v.is_true()));
    let by = match named(&arguments, &kwargs, 0, "width")? {
        Some(width) => match width.as_str() {
            Some(by) => by.to_owned(),
            None => " ".repeat(usize::try_from(width)?.min(1000)),
        },
        None => " ".repeat(4),
    };
    let (first, blank) = (flag(1, "first")?, flag(2, "blank")?);
    kwargs.assert_all_used()?;
    let text = number::display(text) + "\n";
    let lines = methods::lines(&text, false);
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(out)
}

fn int(value: &Value, arguments: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = named(&arguments, &kwargs, 0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = named(&arguments, &kwargs, 1, "base")?.map_or(Ok(10), u32::try_from)?;
    kwargs.assert_all_used()?;
    let parsed = match value.kind() {
        ValueKind::String => integer_of(value.as_str().unwrap_or_default(), base),
        ValueKind::Bool => Some(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncate),
        _ => None,
    };
    Ok(parsed.map_or(default, Value::from))
}

fn integer_of(text: &str, base: u32) -> Option<i64> {
    if !(2..=36).contains(&base) {
        return None;
    }
    let text = text.trim().replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefix = match base {
        16 => ["0x", "0X"],
        8 => ["0o", "0O"],
        2 => ["0b", "0B"],
        _ => ["", ""],
    };
    let digits = prefix.iter().find_map(|p| digits.strip_prefix(p)).unwrap_or(digits);
    i64::from_str_radix(digits, base).ok().map(|n| sign * n).or_else(|| truncate(text.parse().ok()?))
}

fn truncate(x: f64) -> Option<i64> {
    (x.is_finite() && x.abs() < 9e18).then_some(x as i64)
}

fn float(value: &Value, arguments: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = named(&arguments, &kwargs, 0, "default")?.unwrap_or_else(|| Value::from(0.0));
    kwargs.assert_all_used()?;
    let parsed = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().trim().parse().ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        _ => f64::try_from(value.clone()).ok(),
    };
    Ok(parsed.map_or(default, Value::from))
}

/// `dict(mapping or pairs, key=value, ..)`.
fn dict(arguments: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let mut entries: Vec<(Value, Value)> = Vec::new();
    let mut put = |key: Value, value: Value| match entries.iter_mut().find(|(k, _)| *k == key) {
        Some(entry) => entry.1 = value,
        None => entries.push((key, value)),
    };
    if let Some(first) = arguments.first() {
        for item in first.try_iter()? {
            if first.kind() == ValueKind::Map {
                let value = first.get_item(&item)?;
                put(item, value);
            } else {
                let pair: Vec<Value> = item.try_iter()?.collect();
                let [key, value] = pair.as_slice() else {
                    return Err(Error::new(ErrorKind::InvalidOperation, "dict: an element is not a pair"));
                };
                put(key.clone(), value.clone());
            }
        }
    }
    for name in kwargs.args() {
        put(Value::from(name), kwargs.peek(name)?);
    }
    Ok(Value::from_pairs(entries))
}
