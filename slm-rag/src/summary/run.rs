//! One summary in the making.

use slm_core::{ChatRequest, LanguageModel, Message, Usage};
use unicode_segmentation::UnicodeSegmentation;

use super::cache::Cache;
use super::tree::{neighbours, subjects, word_vectors};
use super::{Method, Summarizer, SummaryConfig, SummaryNode, SummaryProgress};
use crate::Result;

const READ: &str = "Summarise the text";
const EXTEND: &str = "Extend the summary by what the text adds";
const JOIN: &str = "Join these summaries of one document's parts into one summary";

/// Gives the text of a part of the document.
pub(super) type Part<'a> = &'a (dyn Fn(usize) -> String + Sync);

/// One run.
pub(super) struct Run<'a, M> {
    of: &'a Summarizer<M>,
    cache: Option<Cache>,
    tally: Tally<'a>,
}

/// What was done so far.
struct Tally<'a> {
    progress: SummaryProgress,
    usage: Usage,
    on_progress: &'a mut dyn FnMut(SummaryProgress),
}

/// What the model is to do.
struct Task {
    instructions: String,
    text: String,
}

/// What came of it.
pub(super) struct Done {
    summary: String,
    usage: Usage,
    /// What was asked, where the summary is not in the cache.
    new: Option<Task>,
}

impl Task {
    fn new(config: &SummaryConfig, task: &str, text: String) -> Self {
        let focus = match config.focus.trim() {
            "" => String::new(),
            focus => format!(" Keep what bears on this: {focus}"),
        };
        let words = config.summary_words;
        let instructions = format!(
            "{task} in about {words} words. Use only what it says.{focus} Answer with the summary alone."
        );
        Self { instructions, text }
    }

    fn key<'k>(&'k self, model: &'k str) -> [&'k str; 3] {
        [model, &self.instructions, &self.text]
    }

    /// Out of the cache, or by the model.
    fn done<M: LanguageModel>(self, model: &M, max_words: usize, cache: Option<&Cache>) -> Result<Done> {
        if let Some(summary) = cache.map(|cache| cache.get(&self.key(model.name()))).transpose()?.flatten() {
            return Ok(Done { summary, usage: Usage::default(), new: None });
        }
        let messages = vec![Message::system(self.instructions.clone()), Message::user(self.text.clone())];
        let response = model.chat(&ChatRequest { messages, ..ChatRequest::default() })?;
        // A model that goes on and on must not fill the context of the next step.
        let summary = shortened(&response.text, max_words);
        Ok(Done { summary, usage: response.usage, new: Some(self) })
    }
}

impl Tally<'_> {
    fn count(&mut self, done: Done, model: &str, cache: Option<&Cache>) -> Result<String> {
        self.usage += done.usage;
        self.progress.cached += usize::from(done.new.is_none());
        if let (Some(cache), Some(task)) = (cache, &done.new) {
            cache.put(&task.key(model), &done.summary)?;
        }
        self.progress.done += 1;
        self.progress.total = self.progress.total.max(self.progress.done);
        (self.on_progress)(self.progress);
        Ok(done.summary)
    }
}

impl<'a, M: LanguageModel> Run<'a, M> {
    pub(super) fn new(
        of: &'a Summarizer<M>,
        parts: usize,
        on_progress: &'a mut dyn FnMut(SummaryProgress),
    ) -> Result<Self> {
        let cache = of.config.cache.as_deref().map(Cache::open).transpose()?;
        let total = parts + higher(parts, &of.config);
        let progress = SummaryProgress { done: 0, total, cached: 0 };
        Ok(Self { of, cache, tally: Tally { progress, usage: Usage::default(), on_progress } })
    }

    pub(super) fn usage(&self) -> Usage {
        self.tally.usage
    }

    /// Levels of summaries, each of several of the level below, until one is left.
    pub(super) fn climb(&mut self, count: usize, part: Part<'_>) -> Result<Vec<Vec<SummaryNode>>> {
        let texts = self.ask_all(READ, count, part)?;
        let leaf = |(n, text)| SummaryNode { text, parts: vec![n] };
        let mut levels: Vec<Vec<SummaryNode>> = vec![texts.into_iter().enumerate().map(leaf).collect()];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            let next = self.joined(last)?;
            levels.push(next);
        }
        Ok(levels)
    }

    /// The level above. A summary that is alone in its group goes up as it is.
    fn joined(&mut self, level: &[SummaryNode]) -> Result<Vec<SummaryNode>> {
        let groups: Vec<Vec<&SummaryNode>> = self.groups(level)?;
        let several: Vec<&Vec<&SummaryNode>> = groups.iter().filter(|group| group.len() > 1).collect();
        self.tally.progress.total =
            self.tally.progress.done + several.len() + higher(groups.len(), &self.of.config);
        let text = |n: usize| {
            let group = several.get(n).into_iter().flat_map(|group| group.iter());
            group.map(|node| node.text.as_str()).collect::<Vec<_>>().join("\n\n")
        };
        let mut texts = self.ask_all(JOIN, several.len(), &text)?.into_iter();
        let node = |group: &Vec<&SummaryNode>| {
            let mut parts: Vec<usize> = group.iter().flat_map(|node| node.parts.iter().copied()).collect();
            parts.sort_unstable();
            let text = match group.as_slice() {
                [alone] => Some(alone.text.clone()),
                _ => texts.next(),
            };
            SummaryNode { text: text.unwrap_or_default(), parts }
        };
        Ok(groups.iter().map(node).collect())
    }

    /// Which summaries are read together.
    fn groups<'n>(&self, level: &'n [SummaryNode]) -> Result<Vec<Vec<&'n SummaryNode>>> {
        let Summarizer { config, embedder, .. } = self.of;
        let texts: Vec<&str> = level.iter().map(|node| node.text.as_str()).collect();
        let numbers: Vec<Vec<usize>> = match (config.method, embedder) {
            (Method::Tree, Some(embedder)) => subjects(&texts, &embedder.embed(&texts)?, config.part_words),
            (Method::Tree, None) => subjects(&texts, &word_vectors(&texts), config.part_words),
            _ => neighbours(&texts, config.part_words).into_iter().map(Iterator::collect).collect(),
        };
        Ok(numbers.iter().map(|group| group.iter().filter_map(|&n| level.get(n)).collect()).collect())
    }

    /// The states of the summary as part after part is read.
    pub(super) fn refine(&mut self, count: usize, part: Part<'_>) -> Result<Vec<SummaryNode>> {
        let Summarizer { config, model, .. } = self.of;
        let mut states: Vec<SummaryNode> = Vec::with_capacity(count);
        for n in 0..count {
            let task = match states.last() {
                None => Task::new(config, READ, part(n)),
                Some(SummaryNode { text, .. }) => {
                    let text = format!("Summary so far:\n{text}\n\nThe text goes on:\n{}", part(n));
                    Task::new(config, EXTEND, text)
                }
            };
            let done = task.done(model, longest(config), self.cache.as_ref())?;
            let text = self.tally.count(done, model.name(), self.cache.as_ref())?;
            states.push(SummaryNode { text, parts: (0..=n).collect() });
        }
        Ok(states)
    }

    fn ask_all(&mut self, task: &str, count: usize, text: Part<'_>) -> Result<Vec<String>> {
        let Summarizer { config, model, do_all, workers, .. } = self.of;
        let (cache, tally) = (self.cache.as_ref(), &mut self.tally);
        let mut texts = vec![String::new(); count];
        let job = |model: &M, n: usize| Task::new(config, task, text(n)).done(model, longest(config), cache);
        do_all(model, *workers, count, &job, &mut |n, done| {
            let summary = tally.count(done, model.name(), cache)?;
            texts.get_mut(n).into_iter().for_each(|place| place.clone_from(&summary));
            Ok(())
        })?;
        Ok(texts)
    }
}

/// About how many summaries are written of `level` summaries until one is left.
fn higher(level: usize, config: &SummaryConfig) -> usize {
    let mut level = level;
    let mut total = 0;
    while config.method != Method::Refine && level > 1 {
        level = level.div_ceil((config.part_words / config.summary_words).max(2));
        total += level;
    }
    total
}

/// Words after which a summary is cut off.
fn longest(config: &SummaryConfig) -> usize {
    2 * config.summary_words
}

fn shortened(text: &str, max_words: usize) -> String {
    let end = text.unicode_word_indices().nth(max_words).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text).trim().to_owned()
}
