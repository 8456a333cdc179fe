//! Load and sureness as sections and charts.

use super::{Histogram, KeyFigure, LineChart, Section, Table, number, seconds};
use crate::Result;
use crate::evaluate::Evaluation;
use crate::latency::LatencyStats;
use crate::load::{Arrivals, LoadReport};
use crate::metrics::RiskCoverage;

impl LoadReport {
    /// The load as a section of a report: throughput, percentiles, and how the time to the first text is distributed.
    pub fn section(&self) -> Section {
        let load = match self.config.arrivals {
            Arrivals::Closed { clients } => format!("{clients} clients that ask without a pause"),
            Arrivals::Open { per_second, clients } => {
                format!("{} requests per second at random, {clients} at a time", number(per_second))
            }
        };
        let asked = format!("{} requests, {} failed", self.timings.len(), self.failed);
        let mut figures = vec![
            KeyFigure::new("Answers per second", number(self.requests_per_second), asked),
            KeyFigure::new("Goodput per second", number(self.goodput), "answers that kept the promise"),
            KeyFigure::new("Tokens per second", number(self.tokens_per_second), "written, all together"),
        ];
        if let Some(bytes) = self.peak_memory {
            let mebibytes = (bytes as f64 / f64::from(1 << 20)).round();
            figures.push(KeyFigure::new("Peak memory", format!("{} MiB", number(mebibytes)), ""));
        }
        if let Some(joules) = self.joules {
            let each = joules / self.timings.len() as f64;
            figures.push(KeyFigure::new("Joules per request", number(each), "whole processors"));
        }
        let first: Vec<f64> = self.timings.iter().filter_map(|t| t.first_text).map(|s| s * 1e3).collect();
        Section::new(format!("{} under load", self.model))
            .text(format!("{load}."))
            .with(figures)
            .with(self.percentiles())
            .with(Histogram::of("Time to the first text", "Milliseconds", &first, 20))
    }

    fn percentiles(&self) -> Table {
        let rows: [(&str, Option<&LatencyStats>); 4] = [
            ("until the first text (TTFT)", self.first_text.as_ref()),
            ("between texts (ITL)", self.between.as_ref()),
            ("whole answer", Some(&self.total)),
            ("waiting for a free client", Some(&self.queued)),
        ];
        let table = Table::new("Times", ["What", "Mean", "Median", "p90", "p99", "Longest"]);
        rows.into_iter().filter_map(|(name, stats)| Some((name, stats?))).fold(table, |table, (name, s)| {
            let times = [s.mean, s.p50, s.p90, s.p99, s.max].map(|time| seconds(time).into());
            table.row([name.into()].into_iter().chain(times))
        })
    }
}

impl Evaluation {
    /// The share of wrong answers among the surest, where the model said how sure it was, and was right at times
    /// and wrong at others.
    pub(super) fn risk_over_coverage(&self) -> Result<Option<LineChart>> {
        let sure = self.rows.iter().filter_map(|row| Some((row.confidence()?, row.correct)));
        let (confidence, correct): (Vec<f64>, Vec<bool>) = sure.unzip();
        if !correct.contains(&true) || !correct.contains(&false) {
            return Ok(None);
        }
        let found = RiskCoverage::of(&confidence, &correct)?;
        let points = |risk: Vec<f64>| {
            let count = risk.len() as f64;
            risk.into_iter().enumerate().map(move |(at, risk)| ((at + 1) as f64 / count, risk))
        };
        // As good as can be: every right answer is surer than every wrong one.
        let best: Vec<f64> = correct.iter().map(|right| f64::from(u8::from(*right))).collect();
        let best = RiskCoverage::of(&best, &correct)?;
        let title = format!("Wrong answers if only the surest are given (AURC {:.3})", found.aurc);
        let chart = LineChart::new(title, "Share of the questions answered", "Share of wrong answers");
        Ok(Some(
            chart.series("as sure as the model was", points(found.risk)).series("at best", points(best.risk)),
        ))
    }
}
