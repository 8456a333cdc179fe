//! Log-probabilities in OpenAI's two shapes.

use serde_json::{Value, json};
use slm_core::ChatResponse;

use super::chat::Head;
use crate::registry::Entry;

/// The text of a token, where the model's tokenizer is at hand.
pub(super) fn text_of(entry: &Entry, id: u32) -> String {
    let text = entry.engine.as_ref().and_then(|e| e.local().tokenizer.decode_with_special(&[id]).ok());
    text.unwrap_or_else(|| format!("token_id:{id}"))
}

/// A token with its log-probability. A part of a character has no bytes of its own here.
fn token(entry: &Entry, id: u32, logprob: f32) -> Value {
    let text = text_of(entry, id);
    let bytes = (!text.contains('\u{fffd}')).then(|| text.as_bytes().to_vec());
    json!({"token": text, "logprob": logprob, "bytes": bytes})
}

/// `logprobs` of a chat's choice.
pub(super) fn of_chat(head: &Head, response: &ChatResponse) -> Value {
    let Some(tokens) = response.logprobs.as_ref().filter(|_| head.logprobs) else { return Value::Null };
    let content = tokens.iter().map(|t| {
        let mut value = token(&head.entry, t.id, t.logprob);
        let top = t.top.iter().map(|top| token(&head.entry, top.id, top.logprob));
        value["top_logprobs"] = top.collect();
        value
    });
    json!({"content": content.collect::<Vec<_>>()})
}
