//! Thoughts and tool calls taken out of what models write.

use serde_json::json;
use slm_core::text::{ReasoningSplitter, ReasoningTags, ToolCallFormat, parse_tool_calls};
use slm_core::{ChatRequest, ChatResponse, Message, ToolCall};

/// Splits a text that comes in pieces of `size` characters.
fn streamed(text: &str, opened: bool, size: usize) -> (String, String) {
    let mut splitter = ReasoningSplitter::new(ReasoningTags::default(), opened);
    let (mut reasoning, mut content) = (String::new(), String::new());
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(size) {
        let split = splitter.push(&piece.iter().collect::<String>());
        reasoning += &split.reasoning;
        content += &split.content;
    }
    let rest = splitter.finish();
    (reasoning + &rest.reasoning, content + &rest.content)
}

#[test]
fn thoughts_are_split_off_however_the_text_is_cut() {
    let cases = [
        (
            "<think>\nTwo and two.\n\nFour.\n</think>\n\nIt is 4.\n",
            false,
            "Two and two.\n\nFour.",
            "It is 4.\n",
        ),
        ("\n<think></think>\n\nIt is 4.", false, "", "It is 4."),
        ("Two and two.\n</think>\nIt is 4.", true, "Two and two.", "It is 4."),
        ("<think>\nagain\n</think>ok", true, "again", "ok"),
        ("No thoughts <think>here</think>.", false, "", "No thoughts <think>here</think>."),
        ("<thing>", false, "", "<thing>"),
        ("<think>never closed </thin", false, "never closed </thin", ""),
        ("<think>a < b </ c\n\n d</think>Größe 😀", false, "a < b </ c\n\n d", "Größe 😀"),
        ("<thi", false, "", "<thi"),
        ("", true, "", ""),
    ];
    for (text, opened, reasoning, content) in cases {
        for size in [1, 2, 3, 5, 7, 100] {
            let made = streamed(text, opened, size);
            assert_eq!(made, (reasoning.to_owned(), content.to_owned()), "{text:?} in pieces of {size}");
        }
        let whole = ReasoningTags::default().split(text, opened);
        assert_eq!((whole.reasoning.as_str(), whole.content.as_str()), (reasoning, content));
    }
}

#[test]
fn what_is_certain_is_not_held_back() {
    let mut splitter = ReasoningSplitter::new(ReasoningTags::default(), false);
    assert_eq!(splitter.push("<think>abc").reasoning, "abc");
    assert!(splitter.is_reasoning());
    assert_eq!(splitter.push(" d</").reasoning, " d");
    assert_eq!(splitter.push("think>\n\nyes").content, "yes");
    assert_eq!(splitter.push(" and no").content, " and no");
}

#[test]
fn a_prompt_may_open_the_thoughts() {
    let tags = ReasoningTags::detect("{{ '<|im_start|>assistant\\n<think>\\n' }}").expect("tags");
    assert!(tags.opened_by("<|im_start|>assistant\n<think>\n"));
    assert!(!tags.opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    assert_eq!(ReasoningTags::detect("{{ messages }}"), None);
}

fn calls(text: &str, format: ToolCallFormat) -> (String, Vec<(String, serde_json::Value)>) {
    let parsed = parse_tool_calls(text, format).unwrap_or_else(|e| panic!("{text}: {e}"));
    (parsed.content, parsed.calls.into_iter().map(|call| (call.name, call.arguments)).collect())
}

fn both_calls() -> [(String, serde_json::Value); 2] {
    let weather = ("weather".to_owned(), json!({"city": "Köln", "days": 2}));
    [weather, ("search".to_owned(), json!({"q": ["a", "b"]}))]
}

/// Format, answer, the text around the calls, and how many of [`both_calls`] there are.
type Case = (ToolCallFormat, &'static str, &'static str, usize);

fn answers_in_json() -> Vec<Case> {
    use ToolCallFormat as F;
    vec![
        (
            F::Hermes,
            "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}}\n</tool_call>",
            "Let me see.",
            1,
        ),
        (
            F::Hermes,
            "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}}</tool_call>\n<tool_call>{\"name\": \"search\", \"arguments\": \"{\\\"q\\\": [\\\"a\\\", \\\"b\\\"]}\"}",
            "",
            2,
        ),
        (
            F::QwenXml,
            "<tool_call>\n<function=weather>\n<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
            "",
            1,
        ),
        (F::Llama3Json, "{\"name\": \"weather\", \"parameters\": {\"city\": \"Köln\", \"days\": 2}}", "", 1),
        (
            F::Llama3Json,
            "<|python_tag|>{\"name\": \"weather\", \"parameters\": {\"city\": \"Köln\", \"days\": 2}}; {\"name\": \"search\", \"parameters\": {\"q\": [\"a\", \"b\"]}}",
            "",
            2,
        ),
        (F::Llama3Json, "<|python_tag|>weather.call(city=\"Köln\", days=2)", "", 1),
        (
            F::Mistral,
            "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}, \"id\": \"abc\"}, {\"name\": \"search\", \"arguments\": {\"q\": [\"a\", \"b\"]}}]",
            "",
            2,
        ),
        (
            F::Mistral,
            "Well. [TOOL_CALLS]weather[ARGS]{\"city\": \"Köln\", \"days\": 2}[TOOL_CALLS]search{\"q\": [\"a\", \"b\"]}",
            "Well.",
            2,
        ),
        (F::Mistral, "[{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}}]", "", 1),
    ]
}

fn answers_in_tags() -> Vec<Case> {
    use ToolCallFormat as F;
    vec![
        (
            F::FunctionTags,
            "Now: <function=weather>{\"city\": \"Köln\", \"days\": 2}</function>\n<function=search>{\"q\": [\"a\", \"b\"]}</function>",
            "Now:",
            2,
        ),
        (
            F::Recipients,
            ">>>all\nLet me see.\n>>>weather\n{\"city\": \"Köln\", \"days\": 2}\n>>>search\n{\"q\": [\"a\", \"b\"]}",
            "Let me see.",
            2,
        ),
        (F::Recipients, "weather\n{\"city\": \"Köln\", \"days\": 2}", "", 1),
        (
            F::DeepSeek,
            "Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Köln\", \"days\": 2}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>search<｜tool▁sep｜>{\"q\": [\"a\", \"b\"]}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "Hm.",
            2,
        ),
        (
            F::Functools,
            " functools[{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}}]",
            "",
            1,
        ),
        (
            F::Phi4,
            "<|tool_call|>[{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 2}}]<|/tool_call|>",
            "",
            1,
        ),
        (
            F::CommandR,
            "Action: ```json\n[\n  {\"tool_name\": \"weather\", \"parameters\": {\"city\": \"Köln\", \"days\": 2}},\n  {\"tool_name\": \"search\", \"parameters\": {\"q\": [\"a\", \"b\"]}}\n]```",
            "",
            2,
        ),
        (
            F::CommandR7b,
            "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": {\"city\": \"Köln\", \"days\": 2}}]<|END_ACTION|>",
            "",
            1,
        ),
    ]
}

#[test]
fn calls_are_found_in_every_format() {
    for (format, text, content, count) in answers_in_json().into_iter().chain(answers_in_tags()) {
        let want = both_calls()[..count].to_vec();
        assert_eq!(calls(text, format), (content.to_owned(), want), "{format:?}: {text}");
        let first = text.find(['{', '[', '<', '>']).unwrap_or(text.len());
        assert!(format.hold_from(text) <= first, "{format:?}: {text}");
    }
}

#[test]
fn text_without_calls_is_left_alone() {
    use ToolCallFormat as F;
    let all = [
        F::Hermes,
        F::QwenXml,
        F::Llama3Json,
        F::Mistral,
        F::FunctionTags,
        F::Recipients,
        F::DeepSeek,
        F::Functools,
        F::Phi4,
        F::CommandR,
        F::CommandR7b,
    ];
    for format in all {
        for text in ["It is 4.", "{\"answer\": 4}", "[1, 2]", "a b\n{c}", ""] {
            assert_eq!(calls(text, format), (text.to_owned(), Vec::new()), "{format:?}");
        }
    }
}

#[test]
fn malformed_calls_are_reported() {
    use ToolCallFormat as F;
    for (format, text) in [
        (F::Hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": }}</tool_call>"),
        (F::Hermes, "<tool_call>{\"arguments\": {}}</tool_call>"),
        (F::Hermes, "<tool_call></tool_call>"),
        (F::Llama3Json, "{\"name\": \"f\", \"parameters\": {"),
        (F::Mistral, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}"),
        (F::FunctionTags, "<function=f>not json</function>"),
        (F::DeepSeek, "<｜tool▁calls▁begin｜>nothing"),
        (F::CommandR, "Action: none"),
        (F::QwenXml, "<tool_call><function=f><parameter=a>1</tool_call>"),
    ] {
        let error = parse_tool_calls(text, format).expect_err(text).to_string();
        assert!(error.contains("tool call") && error.contains("the model wrote"), "{error}");
    }
}

#[test]
fn a_beginning_of_a_call_is_held() {
    let held = |text: &'static str| &text[ToolCallFormat::Hermes.hold_from(text)..];
    assert_eq!(held("Let me see. <tool"), "<tool");
    assert_eq!(held("Let me see. <tool_call>{"), "<tool_call>{");
    assert_eq!(held("a < b"), "");
    assert_eq!(held("a <"), "<");
}

#[test]
fn formats_are_told_by_templates() {
    let own = |name: &str| {
        let path = format!("{}/tests/goldens/text/templates/{name}.jinja", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a template")
    };
    assert_eq!(ToolCallFormat::detect(&own("chatml-tools")), Some(ToolCallFormat::Hermes));
    assert_eq!(ToolCallFormat::detect(&own("headers-json-tools")), Some(ToolCallFormat::Llama3Json));
    assert_eq!(ToolCallFormat::detect(&own("generation-blocks")), None);
    let Some(data) = std::env::var_os("SLM_DATA") else {
        eprintln!("SLM_DATA is not set: public templates are not asked");
        return;
    };
    use ToolCallFormat as F;
    for (name, want) in [
        ("chat-templates/Qwen-Qwen2.5-7B-Instruct.jinja", Some(F::Hermes)),
        ("tokenizers/qwen3/chat_template.jinja", Some(F::Hermes)),
        ("chat-templates/NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", Some(F::Hermes)),
        ("chat-templates/meta-llama-Llama-3.1-8B-Instruct.jinja", Some(F::Llama3Json)),
        ("chat-templates/meta-llama-Llama-3.2-3B-Instruct.jinja", Some(F::Llama3Json)),
        ("chat-templates/mistralai-Mistral-Nemo-Instruct-2407.jinja", Some(F::Mistral)),
        ("chat-templates/meetkai-functionary-medium-v3.1.jinja", Some(F::FunctionTags)),
        ("chat-templates/meetkai-functionary-medium-v3.2.jinja", Some(F::Recipients)),
        ("chat-templates/deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", Some(F::DeepSeek)),
        ("chat-templates/llama-cpp-deepseek-r1.jinja", Some(F::DeepSeek)),
        ("chat-templates/fireworks-ai-llama-3-firefunction-v2.jinja", Some(F::Functools)),
        ("chat-templates/CohereForAI-c4ai-command-r-plus-tool_use.jinja", Some(F::CommandR)),
        ("chat-templates/CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja", Some(F::CommandR7b)),
        ("chat-templates/google-gemma-2-2b-it.jinja", None),
        ("chat-templates/microsoft-Phi-3.5-mini-instruct.jinja", None),
    ] {
        let source = std::fs::read_to_string(std::path::Path::new(&data).join(name)).expect("a template");
        assert_eq!(ToolCallFormat::detect(&source), want, "{name}");
    }
}

#[test]
fn messages_have_the_shape_of_openai() {
    let wire = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]});
    let message: Message = serde_json::from_value(wire).expect("a message");
    let call = ToolCall { id: "a".into(), ..ToolCall::new("f", json!({"x": 1})) };
    assert_eq!(message.tool_calls, [call]);
    let back = serde_json::to_value(&message).expect("JSON");
    assert_eq!(
        back,
        json!({"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]})
    );
    let plain = serde_json::to_value(Message::user("hi")).expect("JSON");
    assert_eq!(plain, json!({"role": "user", "content": "hi"}));
    let bad = json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]});
    let error = serde_json::from_value::<Message>(bad).expect_err("not JSON").to_string();
    assert!(error.contains("arguments of tool call `f`"), "{error}");
    let old: ChatRequest =
        serde_json::from_value(json!({"messages": [{"role": "user", "content": "hi"}]})).expect("a request");
    assert!(old.tools.is_empty() && old.template_variables.is_empty());
    let response = json!({"text": "t", "model": "m", "finish_reason": "stop", "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let response: ChatResponse = serde_json::from_value(response).expect("a response");
    assert_eq!((response.reasoning, response.tool_calls.len()), (None, 0));
}
