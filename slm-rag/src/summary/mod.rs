//! [`Summarizer`]: documents longer than a model's context.

mod cache;
mod coverage;

use std::path::PathBuf;

use cache::Cache;
pub use coverage::SectionCoverage;
use coverage::coverage;
use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, LanguageModel, Message, Usage};
use slm_data::Document;

use crate::chunk::{ChunkConfig, Sections, chunk};
use crate::text::word_count;
use crate::{Error, Result};

/// In which order a long document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Each part alone, then the summaries in groups, then theirs, until one is left.
    #[default]
    MapReduce,
    /// Part after part, each with the summary of all before it.
    Refine,
}

/// How a [`Summarizer`] works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummaryConfig {
    /// In which order a document is read.
    pub method: Method,
    /// Most words of text given to the model at once; a token is about three quarters of an English word, and the
    /// instructions and the summary need room, too.
    pub part_words: usize,
    /// About how many words a summary is to have.
    pub summary_words: usize,
    /// What the summary is to be about; empty for everything.
    pub focus: String,
    /// Where summaries are kept, by what they are of: a second run asks the model only for what changed.
    pub cache: Option<PathBuf>,
}

impl Default for SummaryConfig {
    /// For a context of 4096 tokens: parts of 2000 words, summaries of 150.
    fn default() -> Self {
        Self {
            method: Method::MapReduce,
            part_words: 2000,
            summary_words: 150,
            focus: String::new(),
            cache: None,
        }
    }
}

/// How far a summary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryProgress {
    /// Texts that the model has read.
    pub done: usize,
    /// About how many there are to be.
    pub total: usize,
    /// How many of them were in the cache.
    pub cached: usize,
}

/// A document in short.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The summary.
    pub text: String,
    /// Summaries of the parts, then of groups of these, and so on up to the summary itself; one list of the states of
    /// the summary with [`Method::Refine`].
    pub levels: Vec<Vec<String>>,
    /// What the summary draws on.
    pub coverage: Vec<SectionCoverage>,
    /// Tokens that the model read and wrote; what came from the cache cost none.
    pub usage: Usage,
}

/// Summarises documents of any length with a model of any context.
///
/// A document is cut at its sections, paragraphs and sentences; memory holds the document and the summaries. What the
/// model wrote is kept by a hash of what it was asked, so that a run that was ended goes on where it was.
#[derive(Debug, Clone)]
pub struct Summarizer<M> {
    model: M,
    config: SummaryConfig,
}

/// One run.
struct Run<'a, M> {
    model: &'a M,
    config: &'a SummaryConfig,
    cache: Option<Cache>,
    progress: SummaryProgress,
    usage: Usage,
    on_progress: &'a mut dyn FnMut(SummaryProgress),
}

impl<M: LanguageModel> Summarizer<M> {
    /// A summarizer that asks `model`.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(model: M, config: SummaryConfig) -> Result<Self> {
        if config.summary_words == 0 {
            return Err(Error::config("summary_words", "expected at least 1, got 0"));
        }
        if config.part_words < 3 * config.summary_words {
            let reason = format!(
                "expected at least three summaries, {}, got {}",
                3 * config.summary_words,
                config.part_words
            );
            return Err(Error::config("part_words", reason));
        }
        Ok(Self { model, config })
    }

    /// The model that it asks.
    pub fn into_model(self) -> M {
        self.model
    }

    /// Summarises a document; `on_progress` is called after each text that the model read.
    ///
    /// # Errors
    /// When the document has no words, the model fails, or the cache cannot be read or written.
    pub fn summarize(
        &self,
        document: &Document,
        on_progress: &mut dyn FnMut(SummaryProgress),
    ) -> Result<Summary> {
        let config =
            ChunkConfig { max_size: self.config.part_words, overlap_sentences: 0, sections: Sections::Join };
        let chunks = chunk(document, &config);
        if chunks.is_empty() {
            return Err(Error::NoText { documents: 1, hint: "give a document with words" });
        }
        let parts: Vec<String> = chunks
            .iter()
            .map(|chunk| chunk.with_context(document.text.get(chunk.range()).unwrap_or("")))
            .collect();
        let mut run = Run {
            model: &self.model,
            config: &self.config,
            cache: self.config.cache.as_deref().map(Cache::open).transpose()?,
            progress: SummaryProgress {
                done: 0,
                total: parts.len() + higher(parts.len(), &self.config),
                cached: 0,
            },
            usage: Usage::default(),
            on_progress,
        };
        let levels = match self.config.method {
            Method::MapReduce => run.map_reduce(&parts)?,
            Method::Refine => vec![run.refine(&parts)?],
        };
        let text = levels.last().and_then(|level| level.last()).cloned().unwrap_or_default();
        let coverage = coverage(&text, document, &chunks);
        Ok(Summary { text, levels, coverage, usage: run.usage })
    }
}

/// About how many summaries are written of `level` summaries until one is left.
fn higher(level: usize, config: &SummaryConfig) -> usize {
    let mut level = level;
    let mut total = 0;
    while config.method == Method::MapReduce && level > 1 {
        level = level.div_ceil((config.part_words / config.summary_words).max(2));
        total += level;
    }
    total
}

impl<M: LanguageModel> Run<'_, M> {
    fn map_reduce(&mut self, parts: &[String]) -> Result<Vec<Vec<String>>> {
        let mut level = Vec::with_capacity(parts.len());
        for part in parts {
            level.push(self.ask("Summarise the text", part)?);
        }
        let mut levels = vec![level];
        while let Some(last) = levels.last().filter(|level| level.len() > 1).cloned() {
            let mut next = Vec::new();
            let groups = groups(&last, self.config.part_words);
            self.progress.total = self.progress.done + groups.len() + higher(groups.len(), self.config);
            for group in groups {
                let joined = last.get(group).unwrap_or_default().join("\n\n");
                next.push(
                    self.ask("Join these summaries of one document's parts into one summary", &joined)?,
                );
            }
            levels.push(next);
        }
        Ok(levels)
    }

    fn refine(&mut self, parts: &[String]) -> Result<Vec<String>> {
        let mut states: Vec<String> = Vec::with_capacity(parts.len());
        for part in parts {
            let state = match states.last() {
                None => self.ask("Summarise the text", part)?,
                Some(before) => {
                    let text = format!("Summary so far:\n{before}\n\nThe text goes on:\n{part}");
                    self.ask("Extend the summary by what the text adds", &text)?
                }
            };
            states.push(state);
        }
        Ok(states)
    }

    fn ask(&mut self, task: &str, text: &str) -> Result<String> {
        let focus = match self.config.focus.trim() {
            "" => String::new(),
            focus => format!(" Keep what bears on this: {focus}"),
        };
        let words = self.config.summary_words;
        let instructions = format!(
            "{task} in about {words} words. Use only what it says.{focus} Answer with the summary alone."
        );
        let key = [self.model.name(), &instructions, text];
        let known = self.cache.as_ref().map(|cache| cache.get(&key)).transpose()?.flatten();
        self.progress.cached += usize::from(known.is_some());
        let summary = match known {
            Some(summary) => summary,
            None => {
                let messages = vec![Message::system(instructions.clone()), Message::user(text)];
                let response = self.model.chat(&ChatRequest { messages, ..ChatRequest::default() })?;
                self.usage += response.usage;
                // A model that goes on and on must not fill the context of the next step.
                let summary = shortened(&response.text, 2 * words);
                if let Some(cache) = &self.cache {
                    cache.put(&key, &summary)?;
                }
                summary
            }
        };
        self.progress.done += 1;
        self.progress.total = self.progress.total.max(self.progress.done);
        (self.on_progress)(self.progress);
        Ok(summary)
    }
}

/// Neighbours that fit into `max_words` together, at least two of them, so that there is an end.
fn groups(texts: &[String], max_words: usize) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut words) = (0, 0);
    for (n, text) in texts.iter().enumerate() {
        let own = word_count(text);
        if words + own > max_words && n - start >= 2 {
            groups.push(start..n);
            (start, words) = (n, 0);
        }
        words += own;
    }
    groups.push(start..texts.len());
    groups
}

fn shortened(text: &str, max_words: usize) -> String {
    use unicode_segmentation::UnicodeSegmentation;
    let end = text.unicode_word_indices().nth(max_words).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text).trim().to_owned()
}
