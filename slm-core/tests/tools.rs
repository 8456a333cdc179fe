//! A model that thinks and calls tools: the parts of its answer.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use serde_json::json;
use slm_core::generate::Constraint;
use slm_core::{ChatRequest, ChatResponse, ChatTemplate, FinishReason, LanguageModel, LocalModel, Result};

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
    {% if tools %}{{ tools | tojson }} answer as <tool_call>{\"name\": .., \"arguments\": ..}</tool_call>\n{% endif %}\
    {# thoughts stand in <think></think> #}{% if add_generation_prompt %}assistant: {% endif %}";

/// A model of random weights that is made to say `text`.
fn say(text: &str, tools: bool, on_text: &mut dyn FnMut(&str)) -> Result<ChatResponse> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen3");
    let mut model = LocalModel::load(&folder, &Device::flex())?;
    model.template = Some(ChatTemplate::new(TEMPLATE, "", "<|endoftext|>")?);
    let mut request = ChatRequest::question("How warm is it in Rome?");
    request.generation.constraint = Some(Constraint::Regex(regex_of(text)));
    if tools {
        request.tools = vec![json!({"type": "function", "function": {"name": "weather", "parameters": {}}})];
    }
    model.stream(&request, &mut |piece| {
        on_text(piece);
        ControlFlow::Continue(())
    })
}

fn regex_of(text: &str) -> String {
    let escape = |c: char| {
        if c.is_alphanumeric() || " <>/\":,\n".contains(c) { c.to_string() } else { format!("\\{c}") }
    };
    text.chars().map(escape).collect()
}

#[test]
fn thoughts_and_calls_are_taken_out_of_the_text() -> Result<()> {
    let said = "<think>\nRome, so ask.\n</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"weather\", \
                \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
    let mut shown = String::new();
    let answer = say(said, true, &mut |piece| shown.push_str(piece))?;
    assert_eq!(answer.reasoning.as_deref(), Some("Rome, so ask."));
    assert_eq!(answer.text.trim(), "Let me look.");
    assert_eq!(shown, answer.text, "what was streamed is the text");
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
    assert_eq!(answer.tool_calls.len(), 1);
    assert_eq!(
        (answer.tool_calls[0].name.as_str(), &answer.tool_calls[0].arguments["city"]),
        ("weather", &json!("Rome"))
    );
    Ok(())
}

#[test]
fn without_tools_a_call_is_text() -> Result<()> {
    let said = "Use <tool_call> for that.";
    let mut shown = String::new();
    let answer = say(said, false, &mut |piece| shown.push_str(piece))?;
    assert_eq!((answer.text.as_str(), shown.as_str()), (said, said));
    assert_eq!(
        (answer.reasoning, answer.tool_calls.len(), answer.finish_reason),
        (None, 0, FinishReason::Stop)
    );
    Ok(())
}

#[test]
fn a_broken_call_is_an_error_that_shows_it() {
    let error = say("<tool_call>\n{\"name\": \"weather\", oops}\n</tool_call>", true, &mut |_| {});
    let error = error.expect_err("malformed").to_string();
    assert!(error.contains("oops"), "{error}");
}
