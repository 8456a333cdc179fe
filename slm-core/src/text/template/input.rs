//! What a chat template is given.

use serde_json::{Map, Value as Json, json};

use crate::chat::{Message, Role};
use crate::{Error, Result};

/// How the rendered text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Ending {
    /// After the last message, with what closes it.
    #[default]
    Closed,
    /// With the beginning of the assistant's turn, for it to write (`add_generation_prompt`).
    Open,
    /// Inside the last message, for the assistant to go on with it (`continue_final_message`).
    Continue,
}

/// Everything a chat template may use. Messages, tools and documents are JSON, so that a template sees every field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateInput {
    /// The turns. Fields that are null are left out, as `transformers` does.
    pub messages: Vec<Json>,
    /// Tools by their JSON schema; empty where there are none (`none` to the template).
    pub tools: Vec<Json>,
    /// Documents to answer from, each with `title` and `text`; empty where there are none.
    pub documents: Vec<Json>,
    /// Further variables, such as `enable_thinking`; they take the place of special tokens of the same name.
    pub variables: Map<String, Json>,
    /// How the text ends.
    pub ending: Ending,
    /// Which of several templates; `None` for `tool_use` where tools are given, else the default.
    pub template: Option<String>,
    /// The time that `strftime_now` tells, in seconds since 1970 and as UTC; `None` for the local clock.
    pub now: Option<i64>,
}

impl TemplateInput {
    /// `messages` without anything else.
    pub(super) fn new(messages: &[Message], text_arguments: bool) -> Self {
        let messages = messages.iter().map(|m| to_json(m, text_arguments)).collect();
        Self { messages, ..Self::default() }
    }

    /// Adds what is not a special token.
    pub(super) fn add_to(&self, variables: &mut Map<String, Json>) {
        let list = |items: &[Json]| if items.is_empty() { Json::Null } else { items.into() };
        for (name, value) in &self.variables {
            variables.insert(name.clone(), value.clone());
        }
        variables.insert("messages".into(), self.messages.iter().map(normalized).collect());
        variables.insert("tools".into(), list(&self.tools));
        variables.insert("documents".into(), list(&self.documents));
        variables.insert("add_generation_prompt".into(), (self.ending == Ending::Open).into());
    }

    /// The same with a mark at the end of the last message, and that message's text.
    pub(super) fn tagged(&self) -> Result<(Self, String)> {
        let mut input = Self { ending: Ending::Closed, ..self.clone() };
        let refuse = |reason: &str| Error::Template { reason: reason.into() };
        let content = input
            .messages
            .last_mut()
            .and_then(|m| m.get_mut("content"))
            .ok_or_else(|| refuse("there is no last message whose content could be continued"))?;
        let text = match content {
            Json::String(_) => content,
            Json::Array(parts) => parts
                .iter_mut()
                .rev()
                .find_map(|p| p.get_mut("text"))
                .ok_or_else(|| refuse("the last message has no text to continue"))?,
            _ => return Err(refuse("the content of the last message is not text")),
        };
        let said =
            text.as_str().ok_or_else(|| refuse("the text of the last message is not a string"))?.to_owned();
        *text = format!("{said}{TAG}").into();
        Ok((input, said))
    }
}

/// As `transformers` has it: with the space that shows whether a template trims.
const TAG: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// The text up to the mark of [`TemplateInput::tagged`].
pub(super) fn cut_at_tag(mut text: String, content: &str) -> Result<String> {
    let at = text.rfind(TAG.trim_end()).filter(|_| text.contains(content.trim()));
    let Some(at) = at else {
        let reason = "the last message does not appear in the text, so that it cannot be continued";
        return Err(Error::Template { reason: reason.into() });
    };
    let kept = text[at..].starts_with(TAG);
    text.truncate(at);
    if !kept {
        text.truncate(text.trim_end().len());
    }
    Ok(text)
}

/// Without null fields, and with the reasoning under each name that templates read.
fn normalized(message: &Json) -> Json {
    let Json::Object(fields) = message else { return message.clone() };
    let present = |name: &&str| fields.get(*name).is_some_and(|v| !v.is_null());
    let reasoning = ["reasoning_content", "thinking", "reasoning"].into_iter().find(present);
    let mut result = Map::new();
    if let Some(name) = reasoning {
        result.insert("thinking".into(), fields[name].clone());
    }
    result.extend(fields.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    if let Some(name) = reasoning {
        result.insert("reasoning_content".into(), fields[name].clone());
    }
    result.into()
}

fn to_json(message: &Message, text_arguments: bool) -> Json {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut fields = Map::new();
    fields.insert("role".into(), role.into());
    fields.insert("content".into(), message.content.as_str().into());
    let optional = [
        ("reasoning_content", &message.reasoning_content),
        ("tool_call_id", &message.tool_call_id),
        ("name", &message.name),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            fields.insert(field.into(), value.as_str().into());
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments =
                if text_arguments { call.arguments.to_string().into() } else { call.arguments.clone() };
            let mut json =
                json!({"type": "function", "function": {"name": call.name, "arguments": arguments}});
            if !call.id.is_empty() {
                json["id"] = call.id.as_str().into();
            }
            json
        });
        fields.insert("tool_calls".into(), calls.collect());
    }
    fields.into()
}
