//! Chat templates: Jinja, rendered as `transformers` does.

mod clock;
mod environment;
mod filters;
mod input;
mod json;
mod markup;
mod methods;
mod number;
mod rewrite;
mod training;

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use crate::chat::{ChatRequest, Message};
use crate::text::gguf::GgufVocab;
use crate::{Error, Result};
pub use input::{Ending, TemplateInput};
pub use training::TrainingText;

const PLAIN: &str = "\
{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\
{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}\
{% if add_generation_prompt %}assistant: {% endif %}";

/// Name of the template that is used unless another is asked for.
const DEFAULT: &str = "default";
/// Name of the template that takes its place where tools are given.
const TOOL_USE: &str = "tool_use";
/// Where `transformers` keeps the templates that are not the default.
const ADDITIONAL: &str = "additional_chat_templates";

/// The compiled chat templates of a model with the special tokens they may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    sources: BTreeMap<String, String>,
    bos_token: String,
    eos_token: String,
    /// Other special tokens, by the variable that holds them: `pad_token`, say.
    special: BTreeMap<String, String>,
    /// Whether the template wants a call's arguments as text.
    text_arguments: bool,
}

impl ChatTemplate {
    /// Compiles `source`. A special token that is empty is one that the model does not have.
    ///
    /// # Errors
    /// When the template does not parse; the error names its line and shows it.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self> {
        let sources = BTreeMap::from([(DEFAULT.to_owned(), source.to_owned())]);
        Self::named(sources, bos_token, eos_token)
    }

    /// Compiles several templates by name. `default` is rendered, or `tool_use` where tools are given, or the
    /// one that [`TemplateInput::template`] names.
    ///
    /// # Errors
    /// When a template does not parse.
    pub fn named(sources: BTreeMap<String, String>, bos_token: &str, eos_token: &str) -> Result<Self> {
        let mut environment = environment::new().map_err(|e| environment::describe(&e, ""))?;
        for (name, source) in &sources {
            let rewritten = rewrite::rewrite(source);
            environment
                .add_template_owned(name.clone(), rewritten)
                .map_err(|e| environment::describe(&e, source))?;
        }
        let mut template = Self {
            environment,
            sources,
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
            special: BTreeMap::new(),
            text_arguments: false,
        };
        template.text_arguments = template.wants_text_arguments();
        Ok(template)
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

    /// Reads the templates of a model directory: `chat_template.jinja` with `additional_chat_templates/*.jinja`,
    /// or `chat_template` in `tokenizer_config.json` or `chat_template.json`. `None` where the model has none.
    ///
    /// # Errors
    /// When a file is unreadable or a template does not parse.
    pub fn load(directory: &Path) -> Result<Option<Self>> {
        let config = tokenizer_config(directory)?;
        let mut sources = templates_of(&config["chat_template"]);
        let legacy = directory.join("chat_template.json");
        if sources.is_empty() && legacy.exists() {
            sources = templates_of(&read_json(&legacy)?["chat_template"]);
        }
        let separate = directory.join("chat_template.jinja");
        if separate.exists() {
            sources.insert(DEFAULT.into(), read_text(&separate)?);
        }
        sources.extend(additional(&directory.join(ADDITIONAL))?);
        if sources.is_empty() {
            return Ok(None);
        }
        let token = |name: &str| special_token(&config[name]);
        let mut template = Self::named(sources, &token("bos_token"), &token("eos_token"))?;
        for name in ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
            if !token(name).is_empty() {
                template.special.insert(name.into(), token(name));
            }
        }
        Ok(Some(template))
    }

    /// The templates of a GGUF file; `None` where it has none.
    ///
    /// # Errors
    /// When a template does not parse.
    pub fn from_gguf(vocab: &GgufVocab) -> Result<Option<Self>> {
        if vocab.chat_templates.is_empty() {
            return Ok(None);
        }
        let token = |name: &str| vocab.special(name).unwrap_or_default();
        Self::named(vocab.chat_templates.clone(), token("bos"), token("eos")).map(Some)
    }

    /// Writes the templates beside a model as `transformers` does: the default as `chat_template.jinja`, others
    /// into `additional_chat_templates`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        for (name, source) in &self.sources {
            let path = if name == DEFAULT {
                directory.join("chat_template.jinja")
            } else {
                let folder = directory.join(ADDITIONAL);
                std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
                folder.join(format!("{name}.jinja"))
            };
            crate::model::write_atomically(&path, source.as_bytes())?;
        }
        Ok(())
    }

    /// The token that may begin a text; empty where there is none.
    pub fn bos_token(&self) -> &str {
        &self.bos_token
    }

    /// The token that ends a text or a turn; empty where there is none.
    pub fn eos_token(&self) -> &str {
        &self.eos_token
    }

    /// The Jinja source of the default template, or of the first by name where none is the default.
    pub fn source(&self) -> &str {
        self.sources.get(DEFAULT).or_else(|| self.sources.values().next()).map_or("", String::as_str)
    }

    /// The Jinja sources of all templates, by name.
    pub fn sources(&self) -> &BTreeMap<String, String> {
        &self.sources
    }

    /// The prompt for `messages`; `open` adds the beginning of the assistant's turn.
    ///
    /// # Errors
    /// When the template refuses the conversation or fails; the error names its line.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        let ending = if open { Ending::Open } else { Ending::Closed };
        self.render_with(&TemplateInput { ending, ..self.input(messages) })
    }

    /// The prompt of a request, with its tools and variables.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_with`].
    pub fn prompt(&self, request: &ChatRequest) -> Result<String> {
        self.render_with(&TemplateInput {
            tools: request.tools.clone(),
            variables: request.template_variables.clone(),
            ending: Ending::Open,
            ..self.input(&request.messages)
        })
    }

    /// `messages` as this template wants them: arguments of tool calls as objects, or as text where it joins
    /// them to text.
    pub fn input(&self, messages: &[Message]) -> TemplateInput {
        TemplateInput::new(messages, self.text_arguments)
    }

    /// Renders a conversation with tools, documents and variables.
    ///
    /// # Errors
    /// When the template refuses the conversation or fails; the error names the line and shows it. With
    /// [`Ending::Continue`] also when the last message does not appear in the text.
    pub fn render_with(&self, input: &TemplateInput) -> Result<String> {
        if input.ending != Ending::Continue {
            return self.render_marked(input, None);
        }
        let (tagged, content) = input.tagged()?;
        let text = self.render_marked(&tagged, None)?;
        input::cut_at_tag(text, &content)
    }

    /// The text and the byte ranges of its `{% generation %}` blocks, in order.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_with`]; also when the ending is [`Ending::Continue`], or when the template works on
    /// the text of a block, so that it is not found in what is rendered.
    pub fn render_spans(&self, input: &TemplateInput) -> Result<(String, Vec<std::ops::Range<usize>>)> {
        if input.ending == Ending::Continue {
            let reason = "a turn that is to be continued has no generation block yet";
            return Err(Error::Template { reason: reason.into() });
        }
        let text = self.render_with(input)?;
        let marks = environment::unused_marks(&text).ok_or_else(|| Error::Template {
            reason: "the conversation holds every code point that could mark generation blocks".into(),
        })?;
        let marked = self.render_marked(input, Some(marks))?;
        let (plain, spans) = environment::strip_marks(&marked, marks);
        if plain != text {
            let reason = "the template works on the text of its own generation blocks: what the assistant \
                          says cannot be located";
            return Err(Error::Template { reason: reason.into() });
        }
        Ok((text, spans))
    }

    /// Whether the template marks what the assistant says with `{% generation %}` blocks.
    pub fn has_generation_blocks(&self) -> bool {
        rewrite::rewrite(self.source()).contains(rewrite::GENERATION)
    }

    fn render_marked(&self, input: &TemplateInput, marks: Option<environment::Marks>) -> Result<String> {
        let name = self.choose(input)?;
        let source = self.sources[name].as_str();
        let template = self.environment.get_template(name).map_err(|e| environment::describe(&e, source))?;
        let mut variables = Map::new();
        for (name, token) in [("bos_token", &self.bos_token), ("eos_token", &self.eos_token)]
            .into_iter()
            .chain(self.special.iter().map(|(name, token)| (name.as_str(), token)))
        {
            if !token.is_empty() {
                variables.insert(name.into(), token.as_str().into());
            }
        }
        input.add_to(&mut variables);
        environment::add_internal(&mut variables, marks, input.now);
        template.render(Value::from(Serde(&variables))).map_err(|e| environment::describe(&e, source))
    }

    fn choose(&self, input: &TemplateInput) -> Result<&str> {
        let known = |name: &str| self.sources.get_key_value(name).map(|(name, _)| name.as_str());
        if let Some(name) = &input.template {
            return known(name).ok_or_else(|| {
                let names: Vec<&str> = self.sources.keys().map(String::as_str).collect();
                Error::Template { reason: format!("no template `{name}`; there are: {}", names.join(", ")) }
            });
        }
        let tools = if input.tools.is_empty() { None } else { known(TOOL_USE) };
        let only = || self.sources.keys().next().map(String::as_str).filter(|_| self.sources.len() == 1);
        tools.or_else(|| known(DEFAULT)).or_else(only).ok_or_else(|| {
            let names: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            let reason = format!("several templates and no default; name one of: {}", names.join(", "));
            Error::Template { reason }
        })
    }

    /// Tries a call with its arguments as an object, as `transformers` asks of templates; a template that fails
    /// with that but not with text, joins them to text.
    fn wants_text_arguments(&self) -> bool {
        if !self.sources.values().any(|source| source.contains("arguments")) {
            return false;
        }
        let mut call = Message::new(crate::Role::Assistant, "");
        call.tool_calls = vec![crate::chat::ToolCall {
            id: "call12345".into(),
            name: "name".into(),
            arguments: serde_json::json!({"key": 1}),
        }];
        let result = Message { tool_call_id: Some("call12345".into()), ..Message::tool("name", "1") };
        let turns = [Message::user("a"), call, result, Message::assistant("b")];
        let renders = |text| self.render_with(&TemplateInput::new(&turns, text)).is_ok();
        !renders(false) && renders(true)
    }
}

/// `tokenizer_config.json`, or null where there is none.
fn tokenizer_config(directory: &Path) -> Result<Json> {
    let path = directory.join("tokenizer_config.json");
    if path.exists() { read_json(&path) } else { Ok(Json::Null) }
}

fn templates_of(value: &Json) -> BTreeMap<String, String> {
    match value {
        Json::String(source) => BTreeMap::from([(DEFAULT.into(), source.clone())]),
        Json::Array(items) => items
            .iter()
            .filter_map(|i| Some((i["name"].as_str()?.to_owned(), i["template"].as_str()?.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn additional(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut sources = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(sources);
    }
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|e| e == "jinja")
            && let Some(name) = path.file_stem()
        {
            sources.insert(name.to_string_lossy().into_owned(), read_text(&path)?);
        }
    }
    Ok(sources)
}

pub(super) fn special_token(value: &Json) -> String {
    value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
}

pub(super) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

pub(crate) fn read_json(path: &Path) -> Result<Json> {
    serde_json::from_str(&read_text(path)?).map_err(|source| Error::Json { path: path.into(), source })
}
