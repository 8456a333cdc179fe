//! Passages and question as a prompt.

use slm_core::{ChatRequest, Citation, Message, Role};

use super::{CheckedSentence, GroundedAnswer};
use crate::chunk::statements;
use crate::index::Hit;
use crate::text::word_count;
use crate::verify::Verifier;

/// A passage as the model sees it.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) citation: Citation,
    /// Source and headings: `disk.md > Disk full > Steps`.
    pub(super) title: String,
}

/// The passages of the hits, best first, with at most `max_words` words; the last one may be cut.
pub(super) fn passages(hits: &[Hit], max_words: usize) -> Vec<Passage> {
    let mut room = max_words;
    let mut out = Vec::new();
    for hit in hits {
        let Some(citation) = hit.excerpt(room) else {
            break;
        };
        room = room.saturating_sub(word_count(&citation.text));
        let above = hit.chunk.heading.iter().take(hit.chunk.inherited).map(String::as_str);
        let title: Vec<&str> = std::iter::once(hit.chunk.source.as_str()).chain(above).collect();
        out.push(Passage { title: title.join(" > "), citation });
    }
    out
}

/// The request for the inner model: instructions first, the passages before the last question.
pub(super) fn prompt(request: &ChatRequest, passages: &[Passage], instructions: &str) -> ChatRequest {
    let question = request.messages.iter().rposition(|message| message.role == Role::User);
    let mut messages = vec![Message::system(instructions)];
    for (n, message) in request.messages.iter().enumerate() {
        match (messages.first_mut(), message.role) {
            // Many chat templates take one system turn only.
            (Some(first), Role::System) => {
                first.content = format!("{}\n\n{}", first.content, message.content);
            }
            _ if Some(n) == question => {
                messages.push(Message::user(with_passages(passages, &message.content)));
            }
            _ => messages.push(message.clone()),
        }
    }
    ChatRequest { messages, ..request.clone() }
}

/// The request with the first answer, what is wrong with it, and what the passages say that is nearest to it.
pub(super) fn repair(asked: &ChatRequest, answer: &GroundedAnswer, passages: &[Passage]) -> ChatRequest {
    let verifier = Verifier::default();
    let complain = |sentence: &CheckedSentence| {
        let near = (1..).zip(passages).filter(|(n, _)| match sentence.passages.as_slice() {
            [] => true,
            cited => cited.contains(&(n - 1)),
        });
        let quoted: String = near
            .map(|(n, passage)| (n, verifier.nearest(&sentence.text, &quotable(&passage.citation.text))))
            .map(|(n, nearest)| format!("  [{n}] says: {nearest}\n"))
            .collect();
        format!("- {}\n{quoted}", sentence.text)
    };
    let wrong = answer.sentences.iter().filter(|sentence| !sentence.supported);
    let listed: String = wrong.map(complain).collect();
    let complaint = format!(
        "The passages do not say this:\n{listed}\nAnswer the question again, from the passages only, with their numbers."
    );
    let mut messages = asked.messages.clone();
    messages.push(Message::assistant(answer.response.text.clone()));
    messages.push(Message::user(complaint));
    ChatRequest { messages, ..asked.clone() }
}

/// The sentences of a passage, without headings.
fn quotable(text: &str) -> Vec<&str> {
    let quotes = statements(text).into_iter().filter(|statement| !statement.is_heading);
    quotes.filter_map(|statement| text.get(statement.range)).collect()
}

fn with_passages(passages: &[Passage], question: &str) -> String {
    let numbered = (1..)
        .zip(passages)
        .map(|(n, passage)| format!("[{n}] {}\n{}\n\n", passage.title, passage.citation.text));
    format!("{}Question: {question}", numbered.collect::<String>())
}
