//! Examples as JSON lines.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value};

use super::lines::for_each_line;
use super::{BadLine, Loaded, write_atomically};
use crate::{Error, Example, Message, Result, Role};

/// Reads examples from a JSONL file, plain or gzip, line by line.
///
/// The schema is recognised on each line, in this order: `messages` (a list of `role` and `content`),
/// `instruction` with `output` and perhaps `input`, `prompt` with `completion`, `question` with `answer`.
/// `source` and `group` are taken over where they are; without `source` it is the file's name and the line:
/// `train.jsonl:7`. An `input` follows its `instruction` after a blank line. Blank lines do not count.
///
/// # Errors
/// When the file cannot be read, or no line is an example.
pub fn read_examples(path: impl AsRef<Path>) -> Result<Loaded<Example>> {
    let path = path.as_ref();
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut loaded = Loaded { items: Vec::new(), skipped: Vec::new(), lines: 0 };
    for_each_line(path, |line, text| {
        loaded.lines += 1;
        match text.and_then(|text| parse(text, || format!("{file}:{line}"))) {
            Ok(example) => loaded.items.push(example),
            Err(reason) => loaded.skipped.push(BadLine { file: path.to_owned(), line, reason }),
        }
    })?;
    if loaded.items.is_empty() {
        let first = loaded.skipped.first();
        let first = first.map_or(String::new(), |bad| format!("; line {}: {}", bad.line, bad.reason));
        return Err(Error::NoExamples { path: path.to_owned(), lines: loaded.lines, first });
    }
    Ok(loaded)
}

/// Writes examples as JSON lines in the `messages` schema; gzip where the name ends in `.gz`.
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// When the file cannot be written.
pub fn write_examples(path: impl AsRef<Path>, examples: &[Example]) -> Result<()> {
    write_atomically(path.as_ref(), |out: &mut dyn Write| {
        for example in examples {
            serde_json::to_writer(&mut *out, example)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

fn parse(text: &str, default_source: impl Fn() -> String) -> Result<Example, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(object) = value else {
        return Err("not a JSON object".to_owned());
    };
    let messages = match object.get("messages") {
        Some(messages) => conversation(messages)?,
        None => pair(&object)?,
    };
    let source = label(&object, "source")?.filter(|source| !source.is_empty());
    let group = label(&object, "group")?;
    Ok(Example { messages, source: source.unwrap_or_else(default_source), group })
}

fn conversation(value: &Value) -> Result<Vec<Message>, String> {
    let turns = value.as_array().ok_or("`messages` is not a list")?;
    if turns.is_empty() {
        return Err("`messages` is empty".to_owned());
    }
    turns.iter().map(turn).collect()
}

fn turn(value: &Value) -> Result<Message, String> {
    let field = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("a message has no text `{name}`"))
    };
    let role = match field("role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(format!("role `{other}` is not system, user or assistant")),
    };
    Ok(Message { role, content: field("content")?.to_owned() })
}

fn pair(object: &Map<String, Value>) -> Result<Vec<Message>, String> {
    const SCHEMAS: [(&str, &str); 3] =
        [("instruction", "output"), ("prompt", "completion"), ("question", "answer")];
    let Some((ask, reply)) =
        SCHEMAS.into_iter().find(|(ask, reply)| object.contains_key(*ask) && object.contains_key(*reply))
    else {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        return Err(format!("no known schema in the keys [{}]", keys.join(", ")));
    };
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(format!("`{name}` is not a text")),
    };
    let mut question = text(ask)?;
    if ask == "instruction" && object.get("input").is_some_and(|input| !input.is_null()) {
        let input = text("input")?;
        if !input.trim().is_empty() {
            question = format!("{question}\n\n{input}");
        }
    }
    Ok(Example::pair(question, text(reply)?, "").messages)
}

/// A text or a number, as text.
fn label(object: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("`{name}` is neither a text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn every_schema_is_recognised_and_bad_lines_are_counted() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("mixed.jsonl");
        let lines = [
            r#"{"instruction":"Add.","input":"1 and 2","output":"3","source":"sums","group":7}"#,
            r#"{"instruction":"Greet.","input":"","output":"Hello."}"#,
            r#"{"prompt":"2+2?","completion":"4"}"#,
            "",
            r#"{"question":"Who?","answer":"Nobody.","group":"g"}"#,
            r#"{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hi."}]}"#,
            r#"{"prompt":"cut"#,
            r#"{"messages":[{"role":"tool","content":"x"}]}"#,
            r#"{"text":"no schema"}"#,
            r#"{"prompt":"2+2?","completion":4}"#,
            "[1]",
        ];
        fs::write(&path, format!("\u{feff}{}\r\n", lines.join("\r\n")))?;
        let loaded = read_examples(&path)?;
        assert_eq!((loaded.items.len(), loaded.skipped.len(), loaded.lines), (5, 5, 10));
        assert_eq!(loaded.items[0].question(), "Add.\n\n1 and 2");
        assert_eq!((loaded.items[0].source.as_str(), loaded.items[0].group.as_deref()), ("sums", Some("7")));
        assert_eq!(loaded.items[1].question(), "Greet.");
        assert_eq!(loaded.items[2].source, "mixed.jsonl:3");
        assert_eq!(loaded.items[3].source, "mixed.jsonl:5");
        assert_eq!(loaded.items[4].messages.len(), 3);
        let bad: Vec<usize> = loaded.skipped.iter().map(|bad| bad.line).collect();
        assert_eq!(bad, [7, 8, 9, 10, 11]);
        assert!(loaded.skipped[1].reason.contains("`tool`"), "{}", loaded.skipped[1].reason);
        assert!(loaded.skipped[2].reason.contains("[text]"), "{}", loaded.skipped[2].reason);
        Ok(())
    }

    #[test]
    fn a_line_in_another_encoding_is_skipped() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("latin1.jsonl");
        let mut bytes = b"{\"prompt\":\"caf\xe9\",\"completion\":\"x\"}\n".to_vec();
        bytes.extend(br#"{"prompt":"tea","completion":"x"}"#);
        fs::write(&path, bytes)?;
        let loaded = read_examples(&path)?;
        assert_eq!((loaded.items.len(), loaded.skipped.len()), (1, 1));
        assert!(loaded.skipped[0].reason.starts_with("not UTF-8"));
        Ok(())
    }

    #[test]
    fn written_files_read_back_equal_also_as_gzip() -> Outcome {
        let dir = tempdir()?;
        let examples = [Example::pair("a\nb", "c \"d\" é", "s").in_group("g"), Example::pair("q", "a", "t")];
        for name in ["plain.jsonl", "packed.jsonl.gz"] {
            let path = dir.path().join(name);
            write_examples(&path, &examples)?;
            assert_eq!(read_examples(&path)?.items, examples);
        }
        assert_eq!(fs::read(dir.path().join("packed.jsonl.gz"))?[..2], [0x1f, 0x8b]);
        assert_eq!(fs::read_dir(dir.path())?.count(), 2, "temporary files are left over");
        Ok(())
    }

    #[test]
    fn missing_and_useless_files_are_errors() -> Outcome {
        let dir = tempdir()?;
        let missing = dir.path().join("missing.jsonl");
        assert!(matches!(read_examples(&missing), Err(Error::Io { path, .. }) if path == missing));
        for (name, text) in [("empty.jsonl", "\n\n"), ("useless.jsonl", "{\"a\":1}\n")] {
            let path = dir.path().join(name);
            fs::write(&path, text)?;
            assert!(matches!(read_examples(&path), Err(Error::NoExamples { .. })), "{name}");
        }
        let cut = dir.path().join("cut.jsonl.gz");
        write_examples(&cut, &[Example::pair("q", "a", "s")])?;
        let bytes = fs::read(&cut)?;
        fs::write(&cut, &bytes[..bytes.len() - 10])?;
        assert!(matches!(read_examples(&cut), Err(Error::Io { .. })));
        assert!(matches!(write_examples(dir.path().join("no/such"), &[]), Err(Error::Io { .. })));
        Ok(())
    }
}
