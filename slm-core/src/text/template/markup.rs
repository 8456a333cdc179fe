//! Operators of Python that [`rewrite`](super::rewrite) turns into filters.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// `a + b` where markup may be among them: markup escapes the other side, and the sum is markup again.
pub(super) fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    let (Some(left), Some(right)) = (a.as_str(), b.as_str()) else {
        let detail = format!("tried to add {} and {}", a.kind(), b.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    };
    Ok(match (a.is_safe(), b.is_safe()) {
        (false, false) => Value::from(format!("{left}{right}")),
        (true, true) => Value::from_safe_string(format!("{left}{right}")),
        (true, false) => Value::from_safe_string(format!("{left}{}", escape(right))),
        (false, true) => Value::from_safe_string(format!("{}{right}", escape(left))),
    })
}

fn escape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '\'' => result.push_str("&#39;"),
            '"' => result.push_str("&#34;"),
            c => result.push(c),
        }
    }
    result
}

/// `pattern % arguments`: a tuple is the arguments, anything else is the only one.
pub(super) fn percent(pattern: &str, arguments: &Value) -> Result<String, Error> {
    let arguments: Vec<Value> =
        if arguments.is_tuple() { arguments.try_iter()?.collect() } else { vec![arguments.clone()] };
    // Named fields take the mapping as keyword arguments.
    if let [only] = arguments.as_slice()
        && only.kind() == ValueKind::Map
        && pattern.contains("%(")
    {
        let named: minijinja::value::Kwargs = only
            .try_iter()?
            .map(|key| Ok((key.to_string(), only.get_item(&key)?)))
            .collect::<Result<Vec<_>, Error>>()?
            .into_iter()
            .collect();
        return format(FormatStyle::Printf, pattern, &[named.into()]);
    }
    format(FormatStyle::Printf, pattern, &arguments)
}
