//! Chat templates against what `transformers` renders. `goldens/text` has the scripts that made the goldens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use slm_core::text::{ChatTemplate, Ending, TemplateInput};

/// 2024-07-26 13:45:09, the time of the goldens.
const NOW: i64 = 1_722_001_509;

fn golden(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a golden")).expect("JSON")
}

/// A context as the scripts write it: reserved names, and variables beside them.
fn input(context: &Json) -> TemplateInput {
    let list = |name: &str| context[name].as_array().cloned().unwrap_or_default();
    let reserved =
        ["name", "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "now"];
    let variables: Map<String, Json> = context
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, _)| !reserved.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    TemplateInput {
        messages: list("messages"),
        tools: list("tools"),
        documents: list("documents"),
        ending: match (context["add_generation_prompt"] == true, context["continue_final_message"] == true) {
            (_, true) => Ending::Continue,
            (true, _) => Ending::Open,
            _ => Ending::Closed,
        },
        variables,
        now: Some(NOW),
        ..TemplateInput::default()
    }
}

fn render(source: &str, input: &TemplateInput) -> Result<String, slm_core::Error> {
    ChatTemplate::new(source, "", "")?.render_with(input)
}

/// All but what `different.json` lists, with the reason; what it lists must still differ.
#[test]
fn jinja_means_what_it_means_in_python() {
    let (golden, different) = (golden("snippets.json"), golden("different.json"));
    let input = input(&golden["context"]);
    let known: BTreeSet<&str> = different
        .as_object()
        .expect("reasons")
        .values()
        .flat_map(|sources| sources.as_array().expect("templates"))
        .map(|source| source.as_str().expect("a template"))
        .collect();
    let cases = golden["cases"].as_array().expect("cases");
    let (mut wrong, mut differ) = (Vec::new(), BTreeSet::new());
    for case in cases {
        let source = case["template"].as_str().expect("a template");
        let made = render(source, &input);
        let same = match (case["text"].as_str(), &made) {
            (Some(text), Ok(made)) => text == made,
            (None, made) => made.is_err(),
            _ => false,
        };
        if !same {
            differ.insert(source);
            if !known.contains(source) {
                wrong.push(format!("{source}\n    want {}\n    made {made:?}", case["text"]));
            }
        }
    }
    assert!(cases.len() > 600, "{} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let equal: Vec<_> = known.difference(&differ).collect();
    assert!(equal.is_empty(), "no longer different, or no longer a snippet: {equal:?}");
}

#[test]
fn generation_blocks_are_where_transformers_finds_them() {
    let (golden, contexts) = (golden("templates.json"), contexts());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text/templates");
    let source = std::fs::read_to_string(folder.join("generation-blocks.jinja")).expect("a template");
    let template = ChatTemplate::new(&source, "", "").expect("a template");
    assert!(template.has_generation_blocks());
    let mut found = 0;
    for (name, case) in golden["own"]["generation-blocks.jinja"].as_object().expect("cases") {
        if name == "continued" {
            template.render_spans(&input(&contexts[name])).expect_err("the turn is not over");
            continue;
        }
        let (text, spans) = template.render_spans(&input(&contexts[name])).expect("a text");
        assert_eq!(case["text"], text, "{name}");
        let character = |byte: usize| text[..byte].chars().count();
        let made: Vec<[usize; 2]> = spans.iter().map(|s| [character(s.start), character(s.end)]).collect();
        assert_eq!(case["spans"], serde_json::json!(made), "{name}");
        found += made.len();
    }
    assert!(found > 20, "{found} spans");
}

#[test]
fn an_error_names_the_line_and_shows_it() {
    let hi = TemplateInput {
        messages: vec![serde_json::json!({"role": "user", "content": "hi"})],
        ..Default::default()
    };
    let report = |source: &str| render(source, &hi).expect_err("a failure").to_string();
    let refused =
        report("a\n{% for m in messages %}\n  {{ raise_exception('not ' ~ m.role) }}\n{% endfor %}");
    assert!(refused.contains("line 3: the template refuses the conversation: not user"), "{refused}");
    assert!(refused.contains("3 |   {{ raise_exception("), "{refused}");
    let missing = report("one\ntwo {{ messages[0].nothing.more }}");
    assert!(
        missing.contains("line 2") && missing.contains("2 | two {{ messages[0].nothing.more }}"),
        "{missing}"
    );
    let syntax = report("{% if x %}\n{{ 1 + }}\n{% endif %}");
    assert!(syntax.contains("line 2") && syntax.contains("2 | {{ 1 + }}"), "{syntax}");
}

#[test]
fn arguments_of_calls_come_as_the_template_takes_them() {
    let mut call = slm_core::Message::assistant("");
    call.tool_calls = vec![slm_core::ToolCall::new("f", serde_json::json!({"b": 1, "a": "é"}))];
    let said = |filter: &str| {
        let source = format!(
            "{{% for m in messages %}}{{% for c in m.tool_calls or [] %}}{{{{ '<' + c.function.arguments{filter} + '>' }}}}\
             {{% endfor %}}{{% endfor %}}"
        );
        let template = ChatTemplate::new(&source, "", "").expect("a template");
        template.render(std::slice::from_ref(&call), false).expect("a text")
    };
    assert_eq!(said("|tojson"), "<{\"b\": 1, \"a\": \"é\"}>", "an object");
    assert_eq!(said(""), "<{\"b\":1,\"a\":\"é\"}>", "text, where an object could not be added to text");
}

#[test]
fn endless_templates_are_stopped() {
    let never = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}\
                 {% endfor %}{% endfor %}{% endfor %}";
    render(never, &TemplateInput::default()).expect_err("out of fuel");
    let deep = "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}";
    render(deep, &TemplateInput::default()).expect_err("too deep");
}

/// Compares every text of `cases`, by context, and says which differ.
fn compare(
    name: &str,
    source: &str,
    contexts: &BTreeMap<String, Json>,
    cases: &Json,
    same: impl Fn(&Json, &str) -> bool,
) -> Vec<String> {
    let template = ChatTemplate::new(source, "", "").unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut wrong = Vec::new();
    for (context, want) in cases.as_object().expect("contexts") {
        let made = template.render_with(&input(&contexts[context]));
        match &made {
            Ok(text) if !want.is_null() && same(want, text) => {}
            Err(_) if want.is_null() => {}
            // Python refuses to go through what is none; see the script.
            _ if want == "lenient" => {}
            _ => wrong.push(format!("{name} with {context}\n    want {want}\n    made {made:?}")),
        }
    }
    wrong
}

fn contexts() -> BTreeMap<String, Json> {
    let all = golden("contexts.json");
    let name = |c: &Json| c["name"].as_str().expect("a name").to_owned();
    all.as_array().expect("contexts").iter().map(|c| (name(c), c.clone())).collect()
}

#[test]
fn own_templates_render_as_in_transformers() {
    let (golden, contexts) = (golden("templates.json"), contexts());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text/templates");
    let mut texts = 0;
    let mut wrong = Vec::new();
    for (name, cases) in golden["own"].as_object().expect("templates") {
        let source = std::fs::read_to_string(folder.join(name)).expect("a template");
        texts += cases.as_object().map_or(0, Map::len);
        wrong.extend(compare(name, &source, &contexts, cases, |want, text| want["text"] == text));
    }
    assert!(texts >= 100, "{texts} texts");
    assert!(wrong.is_empty(), "{} of {texts} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn public_templates_render_as_in_transformers() {
    let Some(data) = std::env::var_os("SLM_DATA").map(PathBuf::from) else {
        eprintln!("SLM_DATA is not set: no public template is rendered");
        return;
    };
    let (golden, mut contexts) = (golden("templates.json"), contexts());
    for name in ["simple", "system", "tool_use"] {
        let path = format!("chat-templates/contexts/{name}.json");
        let text = std::fs::read_to_string(data.join(&path)).expect("a context");
        contexts.insert(path, serde_json::from_str(&text).expect("JSON"));
    }
    let digest = |text: &str| {
        let hash = Sha256::digest(text.as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{hex}", text.len())
    };
    let (mut texts, mut wrong) = (0, Vec::new());
    for (path, cases) in golden["public"].as_object().expect("templates") {
        let source = std::fs::read_to_string(data.join(path)).expect("a template");
        texts += cases.as_object().map_or(0, Map::len);
        wrong.extend(compare(path, &source, &contexts, cases, |want, text| *want == digest(text)));
    }
    println!("{texts} texts of public templates compared");
    let hint = "make_templates.py DATA TEMPLATE CONTEXT prints what is wanted";
    assert!(wrong.is_empty(), "{} of {texts} differ; {hint}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Pieces that templates are made of, and pieces that break them.
fn source() -> impl Strategy<Value = String> {
    let pieces = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{%-",
        "-%}",
        "{{-",
        "-}}",
        "{% generation %}",
        "{% endgeneration %}",
        "if ",
        "endif ",
        "for m in messages ",
        "endfor ",
        "set x = ",
        "macro m(a) ",
        "endmacro ",
        "m(1)",
        "'",
        "\"",
        "'%s' % ",
        "|safe + ",
        "|tojson",
        "(",
        ")",
        "[",
        "]",
        "[-1]",
        "[::-1]",
        "{",
        "}",
        "messages",
        ".content",
        ".split('a')",
        " + ",
        "~",
        "==",
        " in ",
        " not ",
        " is defined ",
        "namespace()",
        "loop.index",
        "x",
        "1",
        "9999999999",
        "2.5",
        "\n",
        "é",
        "😀",
        "\\",
        "raw ",
        "endraw ",
        "|int",
        "|indent(",
        "strftime_now('%Y",
        "raise_exception('",
        "|join(",
        "|map(",
        "range(9)",
        "-",
        "%",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..25).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_templates_do_no_harm(source in source()) {
        let message = serde_json::json!({"role": "user", "content": "a b"});
        let input = TemplateInput { messages: vec![message], now: Some(NOW), ..TemplateInput::default() };
        if let Ok(template) = ChatTemplate::new(&source, "<s>", "") {
            let _ = template.render_with(&input);
            let _ = template.render_spans(&input);
        }
    }

    #[test]
    fn damaged_templates_do_no_harm(cut in any::<prop::sample::Index>(), paste in source(), length in 0_usize..30) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text/templates/everything.jinja");
        let whole: Vec<char> = std::fs::read_to_string(path).expect("a template").chars().collect();
        let at = cut.index(whole.len());
        let after = whole[(at + length).min(whole.len())..].iter();
        let source: String = whole[..at].iter().copied().chain(paste.chars()).chain(after.copied()).collect();
        let contexts = golden("contexts.json");
        if let Ok(template) = ChatTemplate::new(&source, "<s>", "") {
            let _ = template.render_with(&input(&contexts[13]));
        }
    }
}
