//! The thoughts of a model, split off from its answer.

/// The tags that a family of models puts around its thoughts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReasoningTags {
    /// Before the thoughts.
    pub open: String,
    /// After the thoughts.
    pub close: String,
}

impl Default for ReasoningTags {
    /// `<think>` and `</think>`, as Qwen3 and DeepSeek write them.
    fn default() -> Self {
        Self::new("<think>", "</think>")
    }
}

impl ReasoningTags {
    /// Any two tags.
    pub fn new(open: impl Into<String>, close: impl Into<String>) -> Self {
        Self { open: open.into(), close: close.into() }
    }

    /// The tags that a chat template names; `None` for a model that does not think.
    pub fn detect(template: &str) -> Option<Self> {
        const KNOWN: [(&str, &str); 5] = [
            ("<think>", "</think>"),
            ("<thinking>", "</thinking>"),
            ("<reasoning>", "</reasoning>"),
            ("[THINK]", "[/THINK]"),
            ("<|START_THINKING|>", "<|END_THINKING|>"),
        ];
        let named = |(open, close): &&(&str, &str)| template.contains(*open) || template.contains(*close);
        KNOWN.iter().find(named).map(|(open, close)| Self::new(*open, *close))
    }

    /// Whether `prompt` ends inside the thoughts: some templates write the opening tag themselves.
    pub fn opened_by(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(&self.open)
    }

    /// Splits a whole text. `opened` says that the prompt opened the thoughts.
    pub fn split(&self, text: &str, opened: bool) -> Split {
        let mut splitter = ReasoningSplitter::new(self.clone(), opened);
        let mut all = splitter.push(text);
        let rest = splitter.finish();
        all.reasoning.push_str(&rest.reasoning);
        all.content.push_str(&rest.content);
        all
    }
}

/// What a piece of text adds to the thoughts and to the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Added to the thoughts.
    pub reasoning: String,
    /// Added to the answer.
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space and perhaps a part of the opening tag.
    Start,
    Reasoning,
    /// Behind the closing tag, in the line ends before the answer.
    Between,
    Content,
}

/// Splits a text that comes in pieces.
///
/// Thoughts stand at the beginning of a text or nowhere: a tag inside the answer is text. Line ends next to the tags
/// belong to neither side. Thoughts that are never closed are thoughts to the end.
#[derive(Debug, Clone)]
pub struct ReasoningSplitter {
    tags: ReasoningTags,
    state: State,
    /// Text that is not yet known to be the one or the other.
    held: String,
    /// Whether any thought was handed out.
    begun: bool,
}

impl ReasoningSplitter {
    /// A splitter at the beginning of a text; `opened` says that the prompt opened the thoughts.
    pub fn new(tags: ReasoningTags, opened: bool) -> Self {
        let state = if opened { State::Reasoning } else { State::Start };
        Self { tags, state, held: String::new(), begun: false }
    }

    /// Takes a piece of the text and gives what is certain with it.
    pub fn push(&mut self, text: &str) -> Split {
        self.held.push_str(text);
        let mut out = Split::default();
        while self.step(&mut out) {}
        out
    }

    /// What was held back, once no text follows.
    pub fn finish(&mut self) -> Split {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Start | State::Content => Split { content: held, ..Split::default() },
            State::Reasoning => Split { reasoning: held.trim_end_matches('\n').into(), ..Split::default() },
            State::Between => Split::default(),
        }
    }

    /// Whether the text so far ends in the thoughts.
    pub fn is_reasoning(&self) -> bool {
        self.state == State::Reasoning
    }

    /// One step on; false when more text is needed.
    fn step(&mut self, out: &mut Split) -> bool {
        match self.state {
            State::Start => self.start(),
            State::Reasoning => self.reasoning(out),
            State::Between => {
                let rest = self.held.trim_start_matches('\n').to_owned();
                self.held = rest;
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Content;
                true
            }
            State::Content => {
                out.content.push_str(&std::mem::take(&mut self.held));
                false
            }
        }
    }

    fn start(&mut self) -> bool {
        let text = self.held.trim_start();
        if let Some(rest) = text.strip_prefix(&self.tags.open) {
            self.held = rest.to_owned();
            self.state = State::Reasoning;
            return true;
        }
        if self.tags.open.starts_with(text) {
            return false;
        }
        self.state = State::Content;
        true
    }

    fn reasoning(&mut self, out: &mut Split) -> bool {
        if !self.begun {
            let rest = self.held.trim_start_matches('\n').to_owned();
            self.held = rest;
            // Models whose prompt opens the thoughts write the tag again at times.
            if let Some(rest) = self.held.strip_prefix(&self.tags.open) {
                self.held = rest.to_owned();
                return true;
            }
            if self.tags.open.starts_with(self.held.as_str()) {
                return false;
            }
        }
        if let Some(at) = self.held.find(&self.tags.close) {
            out.reasoning.push_str(self.held[..at].trim_end_matches('\n'));
            self.held.drain(..at + self.tags.close.len());
            self.begun = true;
            self.state = State::Between;
            return true;
        }
        let certain = self.held.len() - partial_end(&self.held, &self.tags.close);
        let certain = self.held[..certain].trim_end_matches('\n').len();
        if certain > 0 {
            out.reasoning.push_str(&self.held[..certain]);
            self.held.drain(..certain);
            self.begun = true;
        }
        false
    }
}

/// Length of the longest end of `text` that `tag` begins with.
pub(super) fn partial_end(text: &str, tag: &str) -> usize {
    let longest = tag.len().saturating_sub(1).min(text.len());
    (1..=longest).rev().find(|n| tag.is_char_boundary(*n) && text.ends_with(&tag[..*n])).unwrap_or(0)
}
