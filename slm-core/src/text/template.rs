//! Chat templates: Jinja, rendered as `transformers` does.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::Value as Json;

use super::Tokenizer;
use crate::chat::{Message, Role};
use crate::{Error, Result};

const PLAIN: &str = "\
{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\
{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}\
{% if add_generation_prompt %}assistant: {% endif %}";

/// A compiled chat template with the special tokens it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos_token: String,
    eos_token: String,
}

/// A rendered conversation as token ids, with the tokens to learn marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingText {
    /// All token ids.
    pub ids: Vec<u32>,
    /// For each token, whether the assistant says it.
    pub learned: Vec<bool>,
}

impl ChatTemplate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// When the template does not parse; the error names its line.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(&e))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned("chat", source.to_owned()).map_err(|e| template_error(&e))?;
        Ok(Self {
            environment,
            source: source.into(),
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
        })
    }

    /// A template of plain words for the model of a directory that was never taught one: `user: ..`,
    /// `assistant: ..`, each turn on its own line, and the end of sequence after what the assistant says.
    ///
    /// # Errors
    /// When `tokenizer_config.json` is unreadable.
    pub fn plain(directory: &Path) -> Result<Self> {
        let config = tokenizer_config(directory)?;
        Self::new(PLAIN, &special_token(&config["bos_token"]), &special_token(&config["eos_token"]))
    }

    /// Reads the template of a model directory: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json`. `None` where the model has none.
    ///
    /// # Errors
    /// When a file is unreadable or the template does not parse.
    pub fn load(directory: &Path) -> Result<Option<Self>> {
        let config = tokenizer_config(directory)?;
        let separate = directory.join("chat_template.jinja");
        let source = if separate.exists() {
            Some(std::fs::read_to_string(&separate).map_err(|e| Error::io(&separate, e))?)
        } else {
            template_of(&config["chat_template"])
        };
        let Some(source) = source else { return Ok(None) };
        let token = |name: &str| special_token(&config[name]);
        Self::new(&source, &token("bos_token"), &token("eos_token")).map(Some)
    }

    /// The token that may begin a text; empty where there is none.
    pub fn bos_token(&self) -> &str {
        &self.bos_token
    }

    /// The token that ends a text or a turn; empty where there is none.
    pub fn eos_token(&self) -> &str {
        &self.eos_token
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `messages`; `open` adds the beginning of the assistant's turn.
    ///
    /// # Errors
    /// When the template refuses the conversation or fails; the error names its line.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        let template = self.environment.get_template("chat").map_err(|e| template_error(&e))?;
        let variables = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => open,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        };
        template.render(variables).map_err(|e| template_error(&e))
    }

    /// Renders a conversation for training. What is learned is exactly what the model would have to write
    /// after the prompt that serving renders: each assistant turn with the tokens that end it.
    ///
    /// # Errors
    /// When the template fails, or does not render a conversation as an extension of its beginning.
    pub fn training_text(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<TrainingText> {
        let mut text = TrainingText { ids: Vec::new(), learned: Vec::new() };
        let mut done = String::new();
        for (turn, _) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
            let prompt = self.render(&messages[..turn], true)?;
            let full = self.render(&messages[..=turn], false)?;
            let extends = |longer: &str, shorter: &str| longer.strip_prefix(shorter).map(str::to_owned);
            let (Some(before), Some(answer)) = (extends(&prompt, &done), extends(&full, &prompt)) else {
                let reason = format!("turn {turn} does not extend the rendering of the turns before it");
                return Err(Error::Template { reason });
            };
            for (part, learned) in [(before, false), (answer, true)] {
                let ids = tokenizer.encode(&part, false)?;
                text.learned.extend(std::iter::repeat_n(learned, ids.len()));
                text.ids.extend(ids);
            }
            done = full;
        }
        Ok(text)
    }
}

/// `tokenizer_config.json`, or null where there is none.
fn tokenizer_config(directory: &Path) -> Result<Json> {
    let path = directory.join("tokenizer_config.json");
    if path.exists() { read_json(&path) } else { Ok(Json::Null) }
}

fn template_of(value: &Json) -> Option<String> {
    match value {
        Json::String(s) => Some(s.clone()),
        Json::Array(items) => items
            .iter()
            .find(|i| i["name"] == "default")
            .and_then(|i| i["template"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}

pub(super) fn special_token(value: &Json) -> String {
    value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
}

pub(crate) fn read_json(path: &Path) -> Result<Json> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })
}

fn template_error(e: &minijinja::Error) -> Error {
    let line = e.line().map_or(String::new(), |l| format!("line {l}: "));
    Error::Template { reason: format!("{line}{e}") }
}
