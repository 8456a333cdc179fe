//! A model that summarises by choosing sentences, and keeps time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Role, Usage};

/// What the model did.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) calls: usize,
    pub(crate) time: Duration,
    /// Words of the longest prompt, and the prompt.
    pub(crate) longest: (usize, String),
}

/// Chooses sentences whose words are frequent in the text and not yet in the summary, each half as much once it is
/// (SumBasic, Nenkova & Vanderwende 2005), words of the focus counting more. It does as the instructions say: so many
/// words, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    pub(crate) work: Mutex<Work>,
}

impl LanguageModel for StandIn {
    fn name(&self) -> &str {
        "stand-in"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let start = Instant::now();
        let system = request.messages.iter().find(|message| message.role == Role::System);
        let instructions = system.map_or("", |message| message.content.as_str());
        let wanted = between(instructions, "in about ", " words").and_then(|n| n.parse().ok()).unwrap_or(100);
        let focus = between(instructions, "Keep what bears on this: ", " Answer with").unwrap_or("");
        let text = choose(request.last_user(), wanted, focus);
        if let Ok(mut work) = self.work.lock() {
            let prompt = format!("{instructions}\n{}", request.last_user());
            let words = prompt.split_whitespace().count();
            if words > work.longest.0 {
                work.longest = (words, prompt);
            }
            work.calls += 1;
            work.time += start.elapsed();
        }
        let _ = on_text(&text);
        Ok(ChatResponse::new(text, "stand-in", FinishReason::Stop, Usage::default()))
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}

/// Words of asking and glue, which say nothing about a subject.
const GLUE: &str = "a about after all also am an and any are as at be because been before but by can could did do does for \
    from get go got had has have he her him his how i if in into is it its just know like me more mr mrs much my no not now \
    of on one or our out over own said say see she so some than that the their them then there these they this to uh um up \
    us very was we well were what when where which who why will with would yeah you your";

fn content(text: &str, glue: &BTreeSet<&str>) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| word.len() > 1 && !glue.contains(word)).map(str::to_owned).collect()
}

pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '\n');
    text.split_inclusive(ends).map(str::trim).filter(|s| s.split_whitespace().count() > 3).collect()
}

fn choose(text: &str, wanted: usize, focus: &str) -> String {
    let glue: BTreeSet<&str> = GLUE.split_whitespace().collect();
    let sentences = sentences(text);
    let words: Vec<Vec<String>> = sentences.iter().map(|sentence| content(sentence, &glue)).collect();
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    words.iter().flatten().for_each(|word| *weights.entry(word).or_insert(0.0) += 1.0);
    let focus = content(focus, &glue);
    for word in &focus {
        weights.entry(word.as_str()).and_modify(|weight| *weight *= 5.0);
        // Other forms of the word, too.
        let stem = word.get(..word.len().saturating_sub(2).max(4)).unwrap_or(word).to_owned();
        weights.iter_mut().filter(|(other, _)| other.starts_with(&stem)).for_each(|(_, w)| *w *= 2.0);
    }
    let mut chosen = BTreeSet::new();
    let mut length = 0;
    while length < wanted {
        let value = |n: usize| {
            let own = &words[n];
            let sum: f64 = own.iter().filter_map(|word| weights.get(word.as_str())).sum();
            sum / (own.len() as f64 + 3.0)
        };
        let rest = (0..sentences.len()).filter(|n| !chosen.contains(n));
        let Some(best) = rest.max_by(|a, b| value(*a).total_cmp(&value(*b)).then(b.cmp(a))) else { break };
        length += sentences[best].split_whitespace().count();
        words[best].iter().for_each(|word| {
            weights.entry(word.as_str()).and_modify(|weight| *weight *= 0.5);
        });
        chosen.insert(best);
    }
    chosen.into_iter().map(|n| sentences[n]).collect::<Vec<_>>().join("\n")
}
