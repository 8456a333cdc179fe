//! Answers that must match: JSON schema, regular expression or grammar, by
//! [llguidance](https://github.com/guidance-ai/llguidance).
//!
//! Before each token the grammar says which tokens may follow, and all others lose. What comes out is therefore
//! always the beginning of a match, and a whole one unless the token limit cut it.

mod vocabulary;

use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::TokEnv;
use llguidance::{Matcher, ParserFactory};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text::Tokenizer;
use crate::{Error, Result};

/// What an answer has to match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that is valid under this schema, with a space, or a line's end and at most 16 more, between its tokens. A schema that llguidance
    /// does not support is refused; its options are read from the schema's field `x-guidance`.
    JsonSchema(Value),
    /// A regular expression for all of the answer, in the syntax of the `regex` crate, without look-around.
    Regex(String),
    /// A context-free grammar in llguidance's variant of the Lark syntax.
    Grammar(String),
}

impl Constraint {
    fn grammar(&self) -> TopLevelGrammar {
        match self {
            Self::JsonObject => {
                TopLevelGrammar::from_json_schema(with_bounded_space(json!({"type": "object"})))
            }
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(with_bounded_space(schema.clone())),
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::Grammar(lark) => TopLevelGrammar::from_lark(lark.clone()),
        }
    }
}

/// JSON allows any amount of space between its tokens, and a small model may never stop writing it.
fn with_bounded_space(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema
        && !fields.contains_key("x-guidance")
    {
        fields.insert("x-guidance".into(), json!({"whitespace_pattern": r" |\n[ \t]{0,16}"}));
    }
    schema
}

/// The vocabulary in the form that grammars walk over, made at the first constrained request and shared by the
/// clones of a model.
#[derive(Clone, Default)]
pub struct Grammars(Arc<Mutex<Option<Made>>>);

/// For which end-of-sequence tokens, and the factory of parsers.
type Made = (Vec<u32>, Arc<ParserFactory>);

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl Grammars {
    /// Starts an answer under `constraint`.
    pub(super) fn start(
        &self,
        constraint: &Constraint,
        tokenizer: &Tokenizer,
        vocab_size: usize,
        eos: &[u32],
    ) -> Result<Progress> {
        let factory = self.factory(tokenizer, vocab_size, eos)?;
        let parser = factory.create_parser(constraint.grammar()).map_err(|e| refused(&e))?;
        Ok(Progress(Matcher::new(Ok(parser))))
    }

    fn factory(&self, tokenizer: &Tokenizer, vocab_size: usize, eos: &[u32]) -> Result<Arc<ParserFactory>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_for, factory)) = slot.as_ref()
            && made_for == eos
        {
            return Ok(Arc::clone(factory));
        }
        let environment: TokEnv = vocabulary::environment(tokenizer, vocab_size, eos)?;
        let mut factory = ParserFactory::new_simple(&environment).map_err(|e| refused(&e))?;
        factory.quiet();
        let factory = Arc::new(factory);
        *slot = Some((eos.to_vec(), Arc::clone(&factory)));
        Ok(factory)
    }
}

/// How far an answer has come in its grammar.
pub(super) struct Progress(Matcher);

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("stopped", &self.0.is_stopped()).finish()
    }
}

impl Progress {
    /// Takes the tokens that may not follow out of the running.
    pub(super) fn mask(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.0.compute_mask_or_eos().map_err(|e| refused(&e))?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if id >= allowed.len() || !allowed.is_allowed(id as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on by a token; true where nothing more can follow.
    pub(super) fn push(&mut self, id: u32) -> Result<bool> {
        self.0.consume_token(id).map_err(|e| refused(&e))?;
        Ok(self.0.is_stopped())
    }
}

/// JSON of a schema, in llguidance's variant of the Lark syntax.
pub(super) fn lark_json(schema: Value) -> String {
    format!("%json {}", with_bounded_space(schema))
}

fn refused(reason: &impl ToString) -> Error {
    Error::Request { reason: format!("constraint: {}", reason.to_string()) }
}
