//! Questions put in other words by a model, before the search.

use slm_core::{ChatRequest, LanguageModel, Message, Role};

use crate::Result;

/// Lets a model rewrite questions. Where it writes nothing of use, the question stays as it was.
///
/// ```no_run
/// # fn main() -> slm_rag::Result<()> {
/// # let (model, retriever): (slm_core::LocalModel, slm_rag::Retriever) = loop {};
/// use slm_rag::{Filter, QueryWriter};
///
/// let writer = QueryWriter::new(model);
/// let mut forms = writer.variants("How do I free a stuck brake?", 3)?;
/// forms.push(writer.hypothetical_answer("How do I free a stuck brake?")?);
/// let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
/// let hits = retriever.search_all(&forms, 5, &Filter::Any)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct QueryWriter<M> {
    model: M,
}

impl<M: LanguageModel> QueryWriter<M> {
    /// A writer that asks `model`.
    pub fn new(model: M) -> Self {
        Self { model }
    }

    /// The question first, then up to `count` other ways to ask it.
    ///
    /// # Errors
    /// When the model fails.
    pub fn variants(&self, question: &str, count: usize) -> Result<Vec<String>> {
        let instructions = format!(
            "Write {count} other ways to ask the question, with other words for the same things. One per line, \
             nothing else."
        );
        let answer = self.ask(instructions, question.to_owned())?;
        let mut forms = vec![question.to_owned()];
        for line in answer.lines() {
            let line = bare(line);
            if !line.is_empty() && !forms.iter().any(|form| form == line) && forms.len() <= count {
                forms.push(line.to_owned());
            }
        }
        Ok(forms)
    }

    /// A short answer that may be wrong, whose words and meaning are nearer to those of the right passage than the
    /// question's (HyDE, Gao et al. 2023). It is to be searched with, never shown.
    ///
    /// # Errors
    /// When the model fails.
    pub fn hypothetical_answer(&self, question: &str) -> Result<String> {
        let instructions = "Write a short passage, as a manual would have it, that answers the question.";
        let answer = self.ask(instructions.to_owned(), question.to_owned())?;
        Ok(if answer.trim().is_empty() { question.to_owned() } else { answer })
    }

    /// The last question of a conversation, so that it can be understood without the turns before it. The first
    /// question of a conversation is left alone, and no model asked.
    ///
    /// # Errors
    /// When the model fails.
    pub fn standalone(&self, conversation: &[Message]) -> Result<String> {
        let turns: Vec<&Message> =
            conversation.iter().filter(|turn| matches!(turn.role, Role::User | Role::Assistant)).collect();
        let Some(last) = turns.iter().rposition(|turn| turn.role == Role::User) else {
            return Ok(String::new());
        };
        let (before, after) = turns.split_at(last);
        let question = after.first().map_or("", |turn| turn.content.as_str());
        if before.is_empty() {
            return Ok(question.to_owned());
        }
        let said = before.iter().map(|turn| {
            let who = if turn.role == Role::User { "User" } else { "Assistant" };
            format!("{who}: {}\n", turn.content)
        });
        let instructions = "Rewrite the last question so that it can be understood without the conversation: put names \
                            for \"it\", \"that\" and the like. Answer with the question alone.";
        let text = format!("{}Last question: {question}", said.collect::<String>());
        let answer = self.ask(instructions.to_owned(), text)?;
        let rewritten = answer.lines().map(bare).find(|line| !line.is_empty());
        Ok(rewritten.unwrap_or(question).to_owned())
    }

    fn ask(&self, instructions: String, text: String) -> Result<String> {
        let messages = vec![Message::system(instructions), Message::user(text)];
        Ok(self.model.chat(&ChatRequest { messages, ..ChatRequest::default() })?.text)
    }
}

/// A line without the number or the mark of a list before it and quotes around it.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if digits.len() < line.len() { digits.strip_prefix(['.', ')']).unwrap_or(line) } else { line };
    rest.trim_start_matches(['-', '*', '•', ' ']).trim_matches('"').trim()
}
