//! What came of the road, as data and as one table.

use std::fmt;
use std::path::PathBuf;

use slm_data::CurationReport;
use slm_lora::StepLog;
use slm_quant::QuantReport;

use super::{CitationScores, GuardReport, Scores};

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
    /// What quantization lost, layer by layer.
    pub quantized: QuantReport,
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

    /// The figures of the whole: a name and a value.
    pub fn figures(&self) -> Vec<(String, String)> {
        let percent = |v: f64| format!("{:.1} %", 100.0 * v);
        let mut figures = vec![
            (
                "curation".to_owned(),
                format!(
                    "{} of {} pairs kept, {} redacted",
                    self.curation.kept, self.curation.input, self.curation.redacted_rows
                ),
            ),
            ("router AUROC, domain against the rest".to_owned(), format!("{:.3}", self.guard.auroc)),
            ("in-domain questions refused (test)".to_owned(), percent(self.guard.tested.refusal_rate())),
            (
                "in-domain questions refused (calibration)".to_owned(),
                percent(self.guard.calibrated.refusal_rate()),
            ),
            (
                "off-domain questions taken for the domain's".to_owned(),
                percent(self.guard.tested.false_accept_rate()),
            ),
            ("\"I don't know\" on off-domain questions".to_owned(), percent(self.dont_know)),
        ];
        if let Some(c) = &self.citations {
            let share = |n: usize, of: usize| format!("{n} of {of}");
            figures
                .push(("citations of the right document".to_owned(), share(c.right_document, c.questions)));
            figures
                .push(("citations of the right sentence".to_owned(), share(c.right_sentence, c.questions)));
            figures.push(("citations equal to the document's bytes".to_owned(), share(c.exact, c.citations)));
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
        for (name, value) in self.figures() {
            writeln!(f, "{name:<48}{value:>30}")?;
        }
        writeln!(f, "{:<48}{:>28.0} s", "the whole road took", self.seconds)?;
        write!(f, "report: {}", self.out.join("report.html").display())
    }
}
