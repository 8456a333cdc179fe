//! Ready-made sections for the results of this crate.

use std::collections::BTreeMap;

use super::{Bar, BarChart, Cell, Histogram, KeyFigure, Section, Table, number, seconds};
use crate::Result;
use crate::evaluate::{Evaluation, Outcome, Row};
use crate::forgetting::{Changed, Forgetting};
use crate::metrics::{Interval, PairedComparison, mean_ci};

/// Most rows of a table of examples, and most bars of a chart; the rest is counted in a sentence.
const SHOWN: usize = 20;

impl Evaluation {
    /// The evaluation as a section of a report: the figures, scores by source, latency, and the examples that
    /// went wrong.
    ///
    /// # Errors
    /// When a score in the rows is not finite.
    pub fn section(&self) -> Result<Section> {
        let mut section =
            Section::new(format!("{}: {}", self.model, self.config.metric)).with(self.figures());
        if let Some(chart) = self.by_source()? {
            section = section.with(chart);
        }
        let (unit, per_second) = match self.summary.latency.max {
            max if max >= 10.0 => ("s", 1.0),
            max if max >= 1e-3 => ("ms", 1e3),
            _ => ("µs", 1e6),
        };
        let latencies: Vec<f64> = self.rows.iter().map(|r| r.seconds * per_second).collect();
        section =
            section.with(Histogram::of("Latency of answers", format!("Latency in {unit}"), &latencies, 20));
        if let Some(chart) = self.risk_over_coverage()? {
            section = section.with(chart);
        }
        let wrong: Vec<&Row> = self.rows.iter().filter(|r| !r.correct).collect();
        if wrong.is_empty() {
            return Ok(section.text("Every answer is right."));
        }
        let caption = caption("Answers that are not fully right", wrong.len());
        let table = Table::new(caption, ["Question", "Expected", "Answer", "Score"]);
        let rows = wrong.into_iter().take(SHOWN);
        let row = |r: &Row| -> [Cell; 4] {
            [r.question.as_str().into(), r.gold.as_str().into(), said(r).into(), r.score.into()]
        };
        Ok(section.with(rows.fold(table, |t, r| t.row(row(r)))))
    }

    fn figures(&self) -> Vec<KeyFigure> {
        let s = &self.summary;
        let percent = |part: usize| format!("{:.1} %", 100.0 * part as f64 / s.count as f64);
        let cost = &s.cost;
        let mut figures = vec![
            KeyFigure::new("Mean score", format!("{:.3}", s.score), interval(&s.interval)),
            KeyFigure::new("Fully right", percent(s.correct), format!("{} of {}", s.correct, s.count)),
            KeyFigure::new("Withheld", percent(s.abstained), format!("{} of {}", s.abstained, s.count)),
            KeyFigure::new("Failed", percent(s.failed), format!("{} of {}, scored 0", s.failed, s.count)),
            KeyFigure::new(
                "Latency, median",
                seconds(s.latency.p50),
                format!("p90 {}, p99 {}", seconds(s.latency.p90), seconds(s.latency.p99)),
            ),
        ];
        if let Some(rate) = s.tokens_per_second {
            let note = format!(
                "{} written, {} read",
                number_of(s.usage.completion_tokens),
                number_of(s.usage.prompt_tokens)
            );
            figures.push(KeyFigure::new("Tokens per second", number(rate), note));
        }
        if cost.total > 0.0 {
            let value = cost.per_correct.map_or_else(|| "none right".into(), number);
            let note = format!("{} per query", number(cost.per_query));
            figures.push(KeyFigure::new(format!("{} per right answer", cost.currency), value, note));
        }
        figures
    }

    /// Mean score per source; `None` where there is but one.
    fn by_source(&self) -> Result<Option<BarChart>> {
        let mut sources: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for row in &self.rows {
            sources.entry(&row.source).or_default().push(row.score);
        }
        if sources.len() < 2 {
            return Ok(None);
        }
        let bar = |scores: &Vec<f64>| -> Result<Bar> {
            let interval = mean_ci(scores, self.config.seed, self.config.level)?;
            let value = scores.iter().sum::<f64>() / scores.len() as f64;
            Ok(Bar { value, interval: Some(interval) })
        };
        let title = caption("Mean score by source", sources.len());
        let bars = sources.values().take(SHOWN).map(bar).collect::<Result<Vec<_>>>()?;
        let names = sources.keys().take(SHOWN).copied();
        Ok(Some(BarChart::new(title, "Mean score", names).series(self.model.as_str(), bars)))
    }
}

impl Forgetting {
    /// The comparison as a section of a report: the change, by source, and the examples lost and won.
    pub fn section(&self) -> Section {
        let o = &self.overall;
        let p = if o.p_value < 0.001 { "p < 0.001".into() } else { format!("p = {:.3}", o.p_value) };
        let figures = vec![
            KeyFigure::new("Before", format!("{:.3}", o.before), self.before.as_str()),
            KeyFigure::new("After", format!("{:.3}", o.after), self.after.as_str()),
            KeyFigure::new("Change of the mean", signed(o.change), interval(&o.interval)),
            KeyFigure::new("Lost", self.lost.len().to_string(), "right before, wrong after"),
            KeyFigure::new("Won", self.won.len().to_string(), "wrong before, right after"),
            KeyFigure::new("Sign test", p, format!("{} rose, {} fell, {} stayed", o.rose, o.fell, o.stayed)),
        ];
        let mut section = Section::new(format!("Forgetting: {}", self.metric)).with(figures);
        if self.groups.len() > 1 {
            section = section.with(self.chart()).with(self.table());
        }
        for (what, examples) in [("Lost examples", &self.lost), ("Won examples", &self.won)] {
            if !examples.is_empty() {
                section = section.with(changed(&caption(what, examples.len()), examples));
            }
        }
        section
    }

    fn chart(&self) -> BarChart {
        let bars = |value: fn(&PairedComparison) -> f64| -> Vec<f64> {
            self.groups.values().take(SHOWN).map(value).collect()
        };
        let title = caption("Mean score by source, before and after", self.groups.len());
        BarChart::new(title, "Mean score", self.groups.keys().take(SHOWN).map(String::as_str))
            .series(format!("before: {}", self.before), bars(|c| c.before))
            .series(format!("after: {}", self.after), bars(|c| c.after))
    }

    fn table(&self) -> Table {
        let interval_of = format!("{:.0} % interval of the change", self.overall.interval.level * 100.0);
        let header = ["Source", "Examples", "Before", "After", "Change", &interval_of];
        let table = Table::new("Change by source", header);
        self.groups.iter().fold(table, |table, (source, c)| {
            let count = c.rose + c.fell + c.stayed;
            let (source, interval): (Cell, Cell) = (source.as_str().into(), range(&c.interval).into());
            table.row([source, count.into(), c.before.into(), c.after.into(), c.change.into(), interval])
        })
    }
}

fn changed(caption: &str, examples: &[Changed]) -> Table {
    let table = Table::new(caption, ["Source", "Question", "Expected", "Before", "After"]);
    let said = |answer: &Option<String>| -> Cell { answer.as_deref().unwrap_or("(failed)").into() };
    examples.iter().take(SHOWN).fold(table, |t, e| {
        let texts: [Cell; 3] = [e.source.as_str().into(), e.question.as_str().into(), e.gold.as_str().into()];
        t.row(texts.into_iter().chain([said(&e.before), said(&e.after)]))
    })
}

/// What a row's model said.
fn said(row: &Row) -> String {
    match &row.outcome {
        Outcome::Answered { answer, .. } if row.abstained() => format!("(withheld) {answer}"),
        Outcome::Answered { answer, .. } => answer.clone(),
        Outcome::Failed { error } => format!("(failed) {error}"),
    }
}

fn caption(what: &str, count: usize) -> String {
    if count > SHOWN { format!("{what} ({SHOWN} of {count} shown)") } else { what.into() }
}

fn interval(i: &Interval) -> String {
    format!("{:.0} % interval {}", i.level * 100.0, range(i))
}

fn range(i: &Interval) -> String {
    format!("{:.3} to {:.3}", i.low, i.high).replace('-', "−")
}

fn signed(value: f64) -> String {
    format!("{value:+.3}").replace('-', "−")
}

fn number_of(count: usize) -> String {
    number(count as f64)
}
