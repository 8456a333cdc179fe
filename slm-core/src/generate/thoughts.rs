//! Constraints on the answers of models that think first.

use serde_json::json;

use super::constraint::{Constraint, lark_json};
use super::{LocalModel, forced};
use crate::Result;
use crate::chat::ChatRequest;
use crate::text::{ChatTemplate, ReasoningTags};

/// What the text behind `prompt` has to match: the call of a tool where one is forced, else the request's constraint.
///
/// Where the prompt ends inside the model's thoughts, the constraint holds for what comes behind them. One that is a regular
/// expression or a grammar of the caller's holds for all of the text.
pub(super) fn constraint(
    request: &ChatRequest,
    model: &LocalModel,
    prompt: &str,
) -> Result<Option<Constraint>> {
    let call = forced::rules(request, model)?;
    let source = model.template.as_ref().map_or("", ChatTemplate::source);
    let opened = ReasoningTags::detect(source).filter(|tags| tags.opened_by(prompt));
    let (start, thoughts) = match &opened {
        Some(tags) => ("thoughts gap ", rules(tags, model)),
        None => ("", String::new()),
    };
    let json = |schema| {
        let rules = format!("start: {start}answer\n{thoughts}answer: {}\n", lark_json(schema));
        Some(Constraint::Grammar(rules))
    };
    Ok(match (call, request.generation.constraint.clone()) {
        (Some(rules), _) => Some(Constraint::Grammar(format!("start: {start}call\n{thoughts}{rules}"))),
        (None, Some(Constraint::JsonObject)) if opened.is_some() => json(json!({"type": "object"})),
        (None, Some(Constraint::JsonSchema(schema))) if opened.is_some() => json(schema),
        (None, own) => own,
    })
}

/// The rules `thoughts`, up to the closing tag, and `gap`, the space behind it.
fn rules(tags: &ReasoningTags, model: &LocalModel) -> String {
    let close = forced::literal(&tags.close, model);
    // A special token stands for itself; a tag in letters ends the thoughts where it ends first (lazy).
    let thoughts = match close.starts_with('<') {
        true => format!("thoughts: /(.|\\n)*/ {close}\n"),
        false => format!("thoughts[lazy]: /(.|\\n)*{}/\n", escaped(&tags.close)),
    };
    format!("{thoughts}gap: /[ \\n]{{0,4}}/\n")
}

/// A text in a regular expression between slashes.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| [r"\/.+*?()|[]{}^$".contains(c).then_some('\\'), Some(c)]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use serde_json::Value;

    use super::super::constraint::Progress;
    use super::*;
    use crate::ToolChoice;
    use crate::text::parse_tool_calls;

    fn thinking() -> LocalModel {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/base");
        let model = LocalModel::load(&base, &Device::default()).expect("the base loads");
        let source = "{#- <tool_call> #}{{ messages[0].content }}<think>\n";
        LocalModel { template: Some(ChatTemplate::new(source, "", "").expect("a template")), ..model }
    }

    /// Whether a whole answer can be `text`, and how many of its bytes can be said.
    fn accepts(model: &LocalModel, request: &ChatRequest, text: &str) -> (bool, usize) {
        let constraint = constraint(request, model, &model.prompt(request).expect("a prompt"));
        follows(model, &constraint.expect("it is understood").expect("a constraint"), text)
    }

    fn follows(model: &LocalModel, constraint: &Constraint, text: &str) -> (bool, usize) {
        let vocab = model.model.config.vocab_size;
        let started = model.grammars.start(constraint, &model.tokenizer, vocab, &model.eos);
        let mut progress = started.expect("it is understood");
        let (mut said, mut complete) = (Vec::new(), false);
        for id in model.tokenizer.encode(text, false).expect("ids") {
            if complete || !may_follow(&mut progress, vocab, id) {
                return (false, model.tokenizer.decode(&said).expect("a text").len());
            }
            complete = progress.push(id).expect("it follows");
            said.push(id);
        }
        (complete || may_follow(&mut progress, vocab, model.eos[0]), text.len())
    }

    fn may_follow(progress: &mut Progress, vocab: usize, id: u32) -> bool {
        let mut logits = vec![0.0; vocab];
        progress.mask(&mut logits).expect("a mask");
        logits[id as usize] == 0.0
    }

    #[test]
    fn a_schema_holds_behind_the_thoughts() {
        let (model, mut request) = (thinking(), ChatRequest::question("How many?"));
        let schema: Value = json!({
            "type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"],
            "additionalProperties": false,
        });
        let thoughts = "I count { and } and </ thinks:\n\n7.\n</think>\n\n";
        request.generation.constraint = Some(Constraint::JsonSchema(schema));
        let answer = format!("{thoughts}{{\"count\": 7}}");
        assert_eq!(accepts(&model, &request, &answer), (true, answer.len()));
        let wrong = format!("{thoughts}{{\"total\": 7}}");
        let (whole, said) = accepts(&model, &request, &wrong);
        assert!(!whole && said >= thoughts.len() && said < wrong.len(), "{said}");
        assert!(!accepts(&model, &request, "{\"count\": 7}").0, "nothing ends the thoughts");
        request.generation.constraint = Some(Constraint::JsonObject);
        assert!(accepts(&model, &request, &wrong).0, "any object");
    }

    #[test]
    fn a_call_is_made_behind_the_thoughts() {
        let (model, mut request) = (thinking(), ChatRequest::question("How warm is it?"));
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        request.tools = vec![tool("look"), tool("ask")];
        request.tool_choice = ToolChoice::Function("look".into());
        let call = |name: &str| {
            format!("So.</think>\n\n<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{}}}}\n</tool_call>")
        };
        let text = call("look");
        assert!(accepts(&model, &request, &text).0);
        assert_eq!(
            parse_tool_calls(&text, crate::text::ToolCallFormat::Hermes).expect("a call").calls.len(),
            1
        );
        assert!(!accepts(&model, &request, &call("ask")).0);
        request.tool_choice = ToolChoice::Required;
        assert!(accepts(&model, &request, &call("ask")).0);
        request.tool_choice = ToolChoice::Function("other".into());
        let error = model.prepare(&request).expect_err("there is no such tool").to_string();
        assert!(error.contains("tool_choice"), "{error}");
    }

    #[test]
    fn thoughts_may_end_by_a_special_token() {
        let model = thinking();
        let rules = rules(&ReasoningTags::new("<|system|>", "<|user|>"), &model);
        let constraint = Constraint::Grammar(format!("start: thoughts gap answer\n{rules}answer: \"yes\"\n"));
        assert!(rules.contains("<["), "a token by its id: {rules}");
        assert!(follows(&model, &constraint, "I think <|user|>\n\nyes").0);
        assert!(!follows(&model, &constraint, "I think <|user|>no").0);
        assert!(!follows(&model, &constraint, "I think yes").0);
    }
}
