//! What came of the road, as data and as one table.

use std::fmt;
use std::path::PathBuf;

use slm_data::CurationReport;
use slm_lora::{Point, StepLog};

use super::{Aligned, CitationScores, GuardReport, Scores, Trial};

/// What came of the road.
#[derive(Debug)]
pub struct Outcome {
    /// The models measured: base, tuned on raw data, tuned, packed.
    pub columns: Vec<Scores>,
    /// What the curation dropped, and why.
    pub curation: CurationReport,
    /// Training on the raw data.
    pub raw_loss: Vec<StepLog>,
    /// Training on the curated data.
    pub loss: Vec<StepLog>,
    /// Losses of the domain and of general texts during training on the curated data, the base first.
    pub points: Vec<Point>,
    /// The one that was taken.
    pub chosen: Point,
    /// The alignment by the tuned model's own answers.
    pub aligned: Option<Aligned>,
    /// Methods of quantization, the one that was taken first.
    pub quantized: Vec<Trial>,
    /// Why there are no GGUF files; `None` where there are.
    pub no_gguf: Option<String>,
    /// How well off-domain questions are told.
    pub guard: GuardReport,
    /// Share of off-domain questions answered with "I don't know".
    pub dont_know: f64,
    /// Answers from the documents; `None` where no questions with known sources are at hand.
    pub citations: Option<CitationScores>,
    /// Lines of the user's file that could not be read.
    pub bad_lines: usize,
    /// Pairs trained on, general ones included.
    pub trained_on: usize,
    /// Wall-clock time of the whole road.
    pub seconds: f64,
    /// Where everything is.
    pub out: PathBuf,
}

impl Outcome {
    /// The rows of the table that differ by model: a name, and a value for each column.
    pub fn rows(&self) -> Vec<(String, Vec<String>)> {
        let row = |name: &str, value: &dyn Fn(&Scores) -> String| {
            (name.to_owned(), self.columns.iter().map(value).collect())
        };
        let percent = |v: f64| format!("{:.1} %", 100.0 * v);
        let ms = |v: f64| format!("{:.0} ms", 1000.0 * v);
        let metric = self.columns.first().map_or(String::new(), |c| c.domain.config.metric.to_string());
        vec![
            row(&format!("domain, {metric}"), &|c| percent(c.domain.summary.score)),
            row("  95 % interval", &|c| {
                let i = c.domain.summary.interval;
                format!("{:.1} to {:.1}", 100.0 * i.low, 100.0 * i.high)
            }),
            row("general suite, exact match", &|c| percent(c.general.summary.score)),
            row("latency p50", &|c| ms(c.domain.summary.latency.p50)),
            row("latency p99", &|c| ms(c.domain.summary.latency.p99)),
            row("cost per 1000 queries", &|c| {
                let cost = &c.domain.summary.cost;
                format!("{:.4} {}", 1000.0 * cost.per_query, cost.currency)
            }),
            row("cost per 1000 right answers", &|c| {
                let cost = &c.domain.summary.cost;
                cost.per_correct
                    .map_or("none right".into(), |p| format!("{:.4} {}", 1000.0 * p, cost.currency))
            }),
        ]
    }

    /// The figures of the whole: a name, a value and small print.
    pub fn figures(&self) -> Vec<[String; 3]> {
        let percent = |v: f64| format!("{:.1} %", 100.0 * v);
        let figure = |name: &str, value: String, note: String| [name.to_owned(), value, note];
        let (c, guard) = (&self.curation, &self.guard);
        let rate = format!("tolerated {}", percent(guard.max_false_accept));
        let calibrated = format!("{} when calibrated", percent(guard.calibrated.refusal_rate()));
        let mut figures = vec![
            figure(
                "raw pairs kept",
                format!("{} of {}", c.kept, c.input),
                format!("{} redacted", c.redacted_rows),
            ),
            figure(
                "router AUROC",
                format!("{:.3}", guard.auroc),
                "domain and documents against the rest".into(),
            ),
            figure("domain questions refused", percent(guard.tested.refusal_rate()), calibrated),
            figure("off-domain taken for the domain", percent(guard.tested.false_accept_rate()), rate),
            figure("\"I don't know\" off-domain", percent(self.dont_know), String::new()),
        ];
        if let Some(base) = self.points.first() {
            let rise = self.chosen.general_loss - base.general_loss;
            let gain = base.domain_loss - self.chosen.domain_loss;
            let value = format!("{rise:+.4} nats");
            figures.push(figure("general loss after training", value, format!("{gain:.3} nats gained")));
        }
        if let Some(aligned) = &self.aligned {
            let [before, after] = aligned.right.map(percent);
            let taken = if aligned.taken { "taken" } else { "not taken" };
            figures.push(figure("samples that are right", format!("{before} to {after}"), taken.into()));
        }
        let kl = |t: &Trial| format!("{:?} {:.4}", t.method, t.quality.kl_mean);
        if let Some((taken, others)) = self.quantized.split_first() {
            let others: Vec<String> = others.iter().map(kl).collect();
            figures.push(figure("KL of packing, nats", kl(taken), others.join(", ")));
        }
        figures.push(match &self.no_gguf {
            None => {
                figure("for llama.cpp and Ollama", "expert.gguf".into(), "and adapter.gguf, Modelfile".into())
            }
            Some(reason) => figure("for llama.cpp and Ollama", "not written".into(), reason.clone()),
        });
        let share = |n: usize, of: usize| format!("{n} of {of}");
        if let Some(c) = &self.citations {
            let [routed, unseen] = guard.document_questions;
            figures.push(figure(
                "document questions routed there",
                share(routed, unseen),
                "unseen ones".into(),
            ));
            figures.extend([
                figure(
                    "citations of the right document",
                    share(c.right_document, c.questions),
                    String::new(),
                ),
                figure(
                    "citations of the right sentence",
                    share(c.right_sentence, c.questions),
                    String::new(),
                ),
                figure("citations equal to the bytes", share(c.exact, c.citations), String::new()),
            ]);
        }
        figures
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<30}", "")?;
        for column in &self.columns {
            write!(f, "{:>18}", column.name)?;
        }
        writeln!(f)?;
        for (name, values) in self.rows() {
            write!(f, "{name:<30}")?;
            for value in values {
                write!(f, "{value:>18}")?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for [name, value, note] in self.figures() {
            let note = if note.is_empty() { note } else { format!("  ({note})") };
            writeln!(f, "{name:<34}{value:>14}{note}")?;
        }
        writeln!(f, "{:<34}{:>12.0} s", "the whole road took", self.seconds)?;
        write!(f, "report: {}", self.out.join("report.html").display())
    }
}
