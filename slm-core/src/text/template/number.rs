//! Numbers and containers as Python writes them.

use minijinja::Value;
use minijinja::value::ValueKind;

/// What `str()` gives in Python.
pub(super) fn display(value: &Value) -> String {
    match value.kind() {
        ValueKind::Number | ValueKind::Seq | ValueKind::Map => repr(value),
        _ => value.to_string(),
    }
}

/// What `repr()` gives in Python.
pub(super) fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
        }
        ValueKind::Number => value.to_string(),
        ValueKind::Seq => sequence(value),
        ValueKind::Map => map(value),
        ValueKind::Undefined => "Undefined".into(),
        ValueKind::String if value.is_safe() => format!("Markup({value:?})"),
        _ => format!("{value:?}"),
    }
}

fn sequence(value: &Value) -> String {
    let Ok(items) = value.try_iter() else { return format!("{value:?}") };
    let items: Vec<String> = items.map(|v| repr(&v)).collect();
    match (value.is_tuple(), items.as_slice()) {
        (true, [only]) => format!("({only},)"),
        (true, _) => format!("({})", items.join(", ")),
        _ => format!("[{}]", items.join(", ")),
    }
}

fn map(value: &Value) -> String {
    // A namespace and other objects write themselves.
    let (Some(object), Ok(keys)) = (value.as_object(), value.try_iter()) else { return format!("{value:?}") };
    let entries = keys.map(|key| {
        let item = object.get_value(&key).unwrap_or_default();
        format!("{}: {}", repr(&key), repr(&item))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

/// The shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x < 0.0 { "-inf" } else { "inf" }.into();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => {
            let plain = x.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
    }
}
