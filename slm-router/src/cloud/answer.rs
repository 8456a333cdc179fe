//! An answer put together from its pieces.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use slm_core::{ChatResponse, Confidence, FinishReason, ToolCall, Usage};

/// A piece of an answer, or all of it. Unknown fields are ignored: every server adds its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
    logprobs: Option<WireLogprobs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireCall {
    index: Option<usize>,
    id: Option<String>,
    function: Option<WireFunction>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireLogprobs {
    content: Option<Vec<WireLogprob>>,
}

#[derive(Debug, Deserialize)]
struct WireLogprob {
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<WireTop>,
}

#[derive(Debug, Deserialize)]
struct WireTop {
    logprob: f32,
}

/// What has arrived so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) usage: Option<Usage>,
    pub(super) pieces: usize,
    finish_reason: Option<FinishReason>,
    refused: bool,
    reasoning: String,
    calls: BTreeMap<usize, (String, String, String)>,
    certainty: Certainty,
}

impl Answer {
    /// Takes in a piece and returns its text, or what the server says went wrong.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<String, String> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        if let Some(usage) = chunk.usage {
            let WireUsage { prompt_tokens, completion_tokens } = usage;
            self.usage = Some(Usage { prompt_tokens, completion_tokens });
        }
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(String::new());
        };
        if let Some(reason) = choice.finish_reason.as_deref().filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(finish_reason(reason));
        }
        for logprob in choice.logprobs.and_then(|logprobs| logprobs.content).into_iter().flatten() {
            self.certainty.add(&logprob);
        }
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        let mut text = delta.content.unwrap_or_default();
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            text.push_str(&refusal);
        }
        let thought = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
        self.pieces += usize::from(!(text.is_empty() && thought.is_empty()));
        self.reasoning.push_str(&thought);
        self.text.push_str(&text);
        for call in delta.tool_calls.into_iter().flatten() {
            self.take_call(call);
        }
        Ok(text)
    }

    fn take_call(&mut self, call: WireCall) {
        // Whole answers number their calls by their place.
        let index = call.index.unwrap_or(self.calls.len());
        let (id, name, arguments) = self.calls.entry(index).or_default();
        let function = call.function.unwrap_or_default();
        for (part, more) in [(id, call.id), (name, function.name), (arguments, function.arguments)] {
            part.push_str(&more.unwrap_or_default());
        }
    }

    /// Whether the server has said that the answer is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The answer; `cancelled` if the caller wanted no more of it.
    pub(super) fn finish(self, model: &str, cancelled: bool, usage: Usage) -> Result<ChatResponse, String> {
        let finish_reason = match self.finish_reason {
            _ if cancelled => FinishReason::Cancelled,
            _ if self.refused => FinishReason::Abstained,
            reason => reason.unwrap_or(FinishReason::Stop),
        };
        // A call that was cut short is no call.
        let calls = if cancelled { BTreeMap::new() } else { self.calls };
        let calls = calls.into_values().map(|(id, name, arguments)| {
            let call = json!({"id": id, "function": {"name": name, "arguments": arguments}});
            serde_json::from_value::<ToolCall>(call).map_err(|error| error.to_string())
        });
        Ok(ChatResponse {
            confidence: self.certainty.confidence(),
            reasoning: (!self.reasoning.is_empty()).then_some(self.reasoning),
            tool_calls: calls.collect::<Result<_, _>>()?,
            ..ChatResponse::new(self.text, model, finish_reason, usage)
        })
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" | "max_tokens" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::Abstained,
        _ => FinishReason::Stop,
    }
}

/// What a server says went wrong, in its own words.
pub(super) fn error_text(error: &Value) -> String {
    let inner = error.get("error").unwrap_or(error);
    let message = inner.get("message").or(Some(inner)).and_then(Value::as_str);
    message.map_or_else(|| inner.to_string(), str::to_owned)
}

/// Sums over the tokens of an answer.
#[derive(Debug, Default)]
struct Certainty {
    tokens: usize,
    logprob: f32,
    lowest: f32,
    margin: f32,
    entropy: f32,
}

impl Certainty {
    fn add(&mut self, token: &WireLogprob) {
        self.tokens += 1;
        self.logprob += token.logprob;
        self.lowest = self.lowest.min(token.logprob);
        let mut top: Vec<f32> = token.top_logprobs.iter().map(|top| top.logprob.exp()).collect();
        if top.is_empty() {
            top.push(token.logprob.exp());
        }
        top.sort_by(|a, b| b.total_cmp(a));
        let first = top.first().copied().unwrap_or(0.0);
        let second = top.get(1).copied().unwrap_or(1.0 - first);
        self.margin += (first - second).max(0.0);
        // What is not listed counts as one more token, which makes the entropy a lower bound.
        top.push((1.0 - top.iter().sum::<f32>()).max(0.0));
        self.entropy += top.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum::<f32>();
    }

    fn confidence(&self) -> Option<Confidence> {
        let tokens = self.tokens as f32;
        (self.tokens > 0).then(|| Confidence {
            mean_logprob: self.logprob / tokens,
            min_logprob: self.lowest,
            mean_margin: self.margin / tokens,
            mean_entropy: self.entropy / tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(chunks: &[Value]) -> Result<ChatResponse, String> {
        let mut answer = Answer::default();
        for chunk in chunks {
            answer.take(serde_json::from_value(chunk.clone()).map_err(|error| error.to_string())?)?;
        }
        let usage = answer.usage.unwrap_or_default();
        answer.finish("m", false, usage)
    }

    #[test]
    fn calls_of_tools_come_in_fragments() -> Result<(), String> {
        let call = |call: Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
        let response = put_together(&[
            call(json!({"index": 0, "id": "c1", "function": {"name": "mail", "arguments": ""}})),
            call(json!({"index": 1, "id": "c2", "function": {"name": "call", "arguments": "{}"}})),
            call(json!({"index": 0, "function": {"arguments": "{\"to\":"}})),
            call(json!({"index": 0, "function": {"arguments": "\"ann\"}"}})),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        ])?;
        assert_eq!(response.finish_reason, FinishReason::ToolCalls);
        let first = ToolCall { id: "c1".into(), ..ToolCall::new("mail", json!({"to": "ann"})) };
        let second = ToolCall { id: "c2".into(), ..ToolCall::new("call", json!({})) };
        assert_eq!(response.tool_calls, [first, second]);
        let broken = call(json!({"index": 0, "function": {"name": "mail", "arguments": "{\"to"}}));
        assert!(put_together(&[broken]).is_err());
        Ok(())
    }

    #[test]
    fn log_probabilities_become_a_confidence() -> Result<(), String> {
        let half = 0.5_f32.ln();
        let logprobs = json!({"content": [
            {"token": "a", "logprob": 0.0, "top_logprobs": []},
            {"token": "b", "logprob": half, "top_logprobs": [{"logprob": half}, {"logprob": 0.25_f32.ln()}]},
        ]});
        let response =
            put_together(&[json!({"choices": [{"delta": {"content": "ab"}, "logprobs": logprobs}]})])?;
        let confidence = response.confidence.ok_or("no confidence")?;
        assert!((confidence.mean_logprob - half / 2.0).abs() < 1e-6 && confidence.min_logprob == half);
        assert!((confidence.mean_margin - (1.0 + 0.25) / 2.0).abs() < 1e-6);
        assert!((confidence.mean_entropy - 1.5 * 2_f32.ln() / 2.0).abs() < 1e-6, "{confidence:?}");
        assert_eq!(response.mean_logprob(), Some(confidence.mean_logprob));
        Ok(())
    }

    #[test]
    fn refusals_abstain_and_errors_say_what_is_wrong() -> Result<(), String> {
        let refused = put_together(&[json!({"choices": [{"delta": {"refusal": "I can't."}}]})])?;
        assert_eq!((refused.text.as_str(), refused.finish_reason), ("I can't.", FinishReason::Abstained));
        let filtered =
            put_together(&[json!({"choices": [{"delta": {}, "finish_reason": "content_filter"}]})])?;
        assert_eq!(filtered.finish_reason, FinishReason::Abstained);
        for error in [json!({"message": "overloaded"}), json!("overloaded")] {
            assert_eq!(put_together(&[json!({"error": error})]), Err("overloaded".into()));
        }
        Ok(())
    }
}
