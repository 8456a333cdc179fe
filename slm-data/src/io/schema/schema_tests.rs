//! Every schema is recognised, and comes back as it was.

use super::*;
use crate::Role::{Assistant, System, Tool, User};
use crate::{Message, Role};

fn row(text: &str) -> Result<Row, String> {
    to_row(serde_json::from_str(text).map_err(|error| error.to_string())?, || "file:1".to_owned())
}

fn turns(text: &str) -> Vec<(Role, String)> {
    match row(text) {
        Ok(Row::Conversation(example)) => example.messages.into_iter().map(|m| (m.role, m.content)).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn owned(turns: &[(Role, &str)]) -> Vec<(Role, String)> {
    turns.iter().map(|(role, text)| (*role, (*text).to_owned())).collect()
}

#[test]
fn conversations() {
    for (text, expected) in [
        (
            r#"{"instruction":"Add.","input":"1, 2","output":"3","system":"Be brief."}"#,
            vec![(System, "Be brief."), (User, "Add.\n\n1, 2"), (Assistant, "3")],
        ),
        (r#"{"instruction":"","input":"Hi","output":"Ho"}"#, vec![(User, "Hi"), (Assistant, "Ho")]),
        (
            r#"{"instruction":"Sum up.","context":"Long.","response":"Short."}"#,
            vec![(User, "Sum up.\n\nLong."), (Assistant, "Short.")],
        ),
        (r#"{"prompt":"2+2?","completion":"4"}"#, vec![(User, "2+2?"), (Assistant, "4")]),
        (
            r#"{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}"#,
            vec![(User, "a"), (Assistant, "b")],
        ),
        (
            r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"system":"s"}"#,
            vec![(System, "s"), (User, "a"), (Assistant, "b")],
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":"c"}]}"#,
            vec![(User, "ab"), (Assistant, "c")],
        ),
    ] {
        assert_eq!(turns(text), owned(&expected), "{text}");
    }
}

#[test]
fn tool_calls_of_both_kinds_are_the_same_text() {
    let call = "<tool_call>\n{\"name\":\"add\",\"arguments\":{\"a\":1}}\n</tool_call>";
    let expected = owned(&[
        (System, "<tools>\n{\"name\":\"add\"}\n</tools>"),
        (User, "1+?"),
        (Assistant, call),
        (Tool, "2"),
        (Assistant, "Two."),
    ]);
    let sharegpt = r#"{"conversations":[{"from":"human","value":"1+?"},
        {"from":"function_call","value":"{\"name\":\"add\",\"arguments\":{\"a\":1}}"},
        {"from":"observation","value":"2"},{"from":"gpt","value":"Two."}],"tools":"[{\"name\": \"add\"}]"}"#;
    assert_eq!(turns(sharegpt), expected);
    let openai = r#"{"messages":[{"role":"user","content":"1+?"},{"role":"assistant","content":null,
        "tool_calls":[{"id":"1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},
        {"role":"tool","tool_call_id":"1","content":"2"},{"role":"assistant","content":"Two."}],
        "tools":[{"name":"add"}]}"#;
    assert_eq!(turns(openai), expected);
}

#[test]
fn preference_pairs() {
    let expected = |prompt: &[(Role, &str)]| {
        let prompt = prompt.iter().map(|(role, text)| Message::new(*role, *text)).collect();
        let (chosen, rejected, source) = ("good".into(), "bad".into(), "file:1".into());
        Ok(Row::Preference(Preference { prompt, chosen, rejected, source, ..Preference::default() }))
    };
    for text in [
        r#"{"prompt":"q","chosen":"good","rejected":"bad"}"#,
        r#"{"instruction":"q","input":"","chosen":"good","rejected":"bad"}"#,
        r#"{"conversations":[{"from":"human","value":"q"}],"chosen":{"from":"gpt","value":"good"},
            "rejected":{"from":"gpt","value":"bad"}}"#,
        r#"{"prompt":"q","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"good"}],
            "rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"bad"}]}"#,
        r#"{"chosen":"\n\nHuman: q\n\nAssistant: good","rejected":"\n\nHuman: q\n\nAssistant: bad"}"#,
    ] {
        assert_eq!(row(text), expected(&[(User, "q")]), "{text}");
    }
    for bad in [
        r#"{"chosen":"good","rejected":"bad"}"#,
        r#"{"prompt":"q","chosen":1,"rejected":"bad"}"#,
        r#"{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: r\n\nAssistant: b"}"#,
        r#"{"chosen":"\n\nHuman: q","rejected":"\n\nHuman: q\n\nAssistant: b"}"#,
    ] {
        assert!(row(bad).is_err(), "{bad}");
    }
}

#[test]
fn judged_answers_and_raw_text() {
    for text in [
        r#"{"prompt":"q","completion":"a","label":true}"#,
        r#"{"question":"q","answer":"a","label":"True"}"#,
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"kto_tag":true}"#,
    ] {
        let expected = Feedback { example: Example::pair("q", "a", "file:1"), label: true };
        assert_eq!(row(text), Ok(Row::Feedback(expected)), "{text}");
    }
    assert!(matches!(row(r#"{"prompt":"q","completion":"a","label":3}"#), Ok(Row::Conversation(_))));
    assert!(row(r#"{"prompt":"q","completion":"a","label":[]}"#).is_err());
    let document = |id: &str| Ok(Row::Document(Document { id: id.into(), text: "t".into() }));
    assert_eq!(row(r#"{"text":"t"}"#), document("file:1"));
    assert_eq!(row(r#"{"path":"a/b","text":"t"}"#), document("a/b"));
}

#[test]
fn what_is_written_is_read_again() {
    let mut example = Example::pair("q\n", "a", "s").in_group("g");
    example.licence = Some("MIT".to_owned());
    let mut with_system = example.clone();
    with_system.messages.insert(0, Message::new(System, "Be brief."));
    let prompt = example.messages[..1].to_vec();
    let preference = Preference {
        prompt,
        chosen: "a".into(),
        rejected: "b".into(),
        source: "s".into(),
        ..Preference::default()
    };
    for layout in [Layout::Messages, Layout::ShareGpt, Layout::Alpaca, Layout::PromptCompletion] {
        let rows = [
            Row::Conversation(example.clone()),
            Row::Conversation(with_system.clone()),
            Row::Feedback(Feedback { example: example.clone(), label: false }),
            Row::Preference(preference.clone()),
            Row::Document(Document { id: "d".into(), text: "t".into() }),
        ];
        for row in rows {
            match to_record(&row, layout) {
                Ok(record) => assert_eq!(to_row(Value::Object(record), String::new), Ok(row)),
                Err(reason) => assert!(layout == Layout::PromptCompletion && reason.contains("system")),
            }
        }
    }
    let mut long = example;
    long.messages.extend(long.messages.clone());
    assert!(to_record(&Row::Conversation(long), Layout::Alpaca).is_err());
}
