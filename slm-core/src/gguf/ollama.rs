//! The `Modelfile` with which Ollama makes a model of a GGUF file.

use std::path::Path;

use crate::model::write_atomically;
use crate::{ChatTemplate, Error, LocalModel, Message, Result, Role};

/// Stand-ins for what Ollama fills in; control characters, so that no template holds or trims them.
const SYSTEM: &str = "\u{1}system\u{1}";
const USER: &str = "\u{1}user\u{1}";
const ANSWER: &str = "\u{1}answer\u{1}";

impl LocalModel {
    /// Writes a `Modelfile` beside the GGUF file `gguf`: its template in Ollama's own language, worked out from the
    /// chat template, the texts that end an answer, and the length of the context.
    ///
    /// # Errors
    /// When the chat template refuses a conversation of a question and an answer, or the file cannot be written.
    pub fn save_modelfile(&self, gguf: &Path) -> Result<()> {
        let name = gguf.file_name().map(|n| n.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Error::gguf(gguf, "the path names no file"))?;
        let mut text = format!("FROM ./{name}\n");
        if let Some(template) = &self.template {
            text += &format!("TEMPLATE \"\"\"{}\"\"\"\n", go_template(template)?);
        }
        for id in &self.eos {
            let end = self.tokenizer.decode_with_special(&[*id])?;
            if !end.is_empty() {
                text += &format!("PARAMETER stop {end:?}\n");
            }
        }
        text += &format!("PARAMETER num_ctx {}\n", self.model.config.context_length());
        write_atomically(&gguf.with_file_name("Modelfile"), text.as_bytes())
    }
}

/// The template of one exchange, which Ollama repeats for each.
fn go_template(template: &ChatTemplate) -> Result<String> {
    let (user, answer) = (Message::user(USER), Message::new(Role::Assistant, ANSWER));
    let open = render(template, std::slice::from_ref(&user), true)?;
    let closed = render(template, &[user.clone(), answer.clone()], false)?;
    let (before, prompt) = cut(&open, USER)?;
    let (_, end) = cut(&closed, ANSWER)?;
    // A template without a place for the system message refuses it, or leaves it out.
    let with_system = render(template, &[Message::new(Role::System, SYSTEM), user], true).ok();
    let system = with_system.as_deref().and_then(|text| {
        let (before_system, rest) = text.split_once(SYSTEM)?;
        let (between, _) = rest.split_once(USER)?;
        Some((before_system.to_owned(), between.to_owned()))
    });
    let head = match system {
        None => before.to_owned(),
        Some((before_system, between)) => {
            // Where the user's turn begins alike, it is written once.
            let between_own = between.strip_suffix(before);
            match between_own {
                Some(own) => {
                    format!("{{{{ if .System }}}}{before_system}{{{{ .System }}}}{own}{{{{ end }}}}{before}")
                }
                None => format!(
                    "{{{{ if .System }}}}{before_system}{{{{ .System }}}}{between}{{{{ else }}}}{before}{{{{ end }}}}"
                ),
            }
        }
    };
    Ok(format!("{head}{{{{ .Prompt }}}}{prompt}{{{{ .Response }}}}{end}"))
}

fn cut<'a>(text: &'a str, mark: &str) -> Result<(&'a str, &'a str)> {
    text.split_once(mark).ok_or_else(|| Error::Template {
        reason: "the conversation does not appear in what the template renders".into(),
    })
}

/// The text without the token that begins it, which Ollama puts there itself.
fn render(template: &ChatTemplate, messages: &[Message], open: bool) -> Result<String> {
    let text = template.render(messages, open)?;
    let bos = template.bos_token();
    Ok(text.strip_prefix(bos).filter(|_| !bos.is_empty()).map_or(text.clone(), str::to_owned))
}
