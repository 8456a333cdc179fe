//! Several ways to answer the same questions, side by side: a local model, retrieval, a cascade, a cloud service.

use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::load::LoadReport;
use crate::metrics::{Interval, PairedComparison, compare_paired};
use crate::payback::{CloudBill, Investment, Payback};
use crate::report::{Cell, KeyFigure, Report, Scatter, Section, Table, number, seconds};
use crate::{Error, Result};

/// A way to answer, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in the report.
    pub name: String,
    /// Its answers; the prices are in their configuration.
    pub evaluation: Evaluation,
    /// How it keeps up with many requests, where that was measured.
    pub load: Option<LoadReport>,
    /// What it takes besides the price of each query; the cloud service of today takes nothing.
    pub investment: Investment,
}

/// Contenders in figures, each against the same baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was asked, for the report's heading.
    pub title: String,
    /// Name of the contender that the others are compared with.
    pub baseline: String,
    /// Unit of all prices.
    pub currency: String,
    /// One per contender, in the order in which they were given.
    pub standings: Vec<Standing>,
}

/// A contender in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Mean score.
    pub score: f64,
    /// Interval of the score.
    pub interval: Interval,
    /// Share of the answers that are right with no part marks.
    pub right: f64,
    /// Share withheld.
    pub withheld: f64,
    /// Share failed.
    pub failed: f64,
    /// Median seconds of an answer, asked one at a time.
    pub median_seconds: f64,
    /// 99th percentile of the same.
    pub p99_seconds: f64,
    /// Price of a query.
    pub per_query: f64,
    /// Price of a right answer; `None` where none is right.
    pub per_correct: Option<f64>,
    /// The change from the baseline, over the same questions; `None` for the baseline itself.
    pub change: Option<PairedComparison>,
    /// Under load: answers per second that kept the promise.
    pub goodput: Option<f64>,
    /// Under load: most bytes held.
    pub peak_memory: Option<u64>,
    /// Under load: joules per request, with all that ran beside.
    pub joules_per_query: Option<f64>,
    /// What changing over to it saves, where today's bill is known.
    pub payback: Option<Payback>,
}

impl Comparison {
    /// Compares contenders that were asked the same, with the one named `baseline`, and with today's `bill`.
    ///
    /// # Errors
    /// When there is no such contender, or they differ in questions, metric or currency.
    pub fn of(
        title: impl Into<String>,
        contenders: &[Contender],
        baseline: &str,
        bill: Option<&CloudBill>,
    ) -> Result<Self> {
        let base = contenders.iter().find(|c| c.name == baseline).ok_or_else(|| Error::Setting {
            name: "baseline",
            expected: "the name of a contender",
            got: baseline.to_owned(),
        })?;
        let standings = contenders.iter().map(|c| Standing::of(c, base, bill)).collect::<Result<Vec<_>>>()?;
        let currency = base.evaluation.summary.cost.currency.clone();
        Ok(Self { title: title.into(), baseline: baseline.into(), currency, standings })
    }

    /// The comparison as a page: quality over cost and over latency, all figures, and what changing over saves.
    pub fn report(&self) -> Report {
        let cost = format!("{} per 1,000 queries", self.currency);
        let plot = |title: &str, label: &str, x: fn(&Standing) -> f64| {
            let chart = Scatter::new(title, label, "Mean score");
            self.standings.iter().fold(chart, |c, s| c.point(&s.name, x(s), s.score, Some(s.interval)))
        };
        let overview = Section::new("Quality, cost and latency")
            .with(self.figures())
            .text("The dotted line joins what no other contender beats in both.")
            .with(plot("Quality over cost", &cost, |s| 1e3 * s.per_query))
            .with(plot("Quality over latency", "Median seconds per answer", |s| s.median_seconds));
        let mut report = Report::new(&self.title, format!("Compared with {}.", self.baseline))
            .with(overview)
            .with(Section::new("All figures").with(self.quality()).with(self.speed()));
        if self.standings.iter().any(|s| s.payback.is_some()) {
            report = report.with(Section::new("Return on investment").with(self.savings()));
        }
        report
    }

    fn figures(&self) -> Vec<KeyFigure> {
        let best = self.standings.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        let priced = || self.standings.iter().filter_map(|s| Some((s, s.per_correct?)));
        let cheapest = priced().min_by(|a, b| a.1.total_cmp(&b.1));
        let fastest = self.standings.iter().min_by(|a, b| a.median_seconds.total_cmp(&b.median_seconds));
        let mut figures = Vec::new();
        figures.extend(best.map(|s| KeyFigure::new("Best score", format!("{:.3}", s.score), &s.name)));
        figures.extend(cheapest.map(|(s, cost)| {
            KeyFigure::new(
                format!("Least {} per 1,000 right answers", self.currency),
                number(1e3 * cost),
                &s.name,
            )
        }));
        figures
            .extend(fastest.map(|s| KeyFigure::new("Fastest, median", seconds(s.median_seconds), &s.name)));
        figures
    }

    fn quality(&self) -> Table {
        let change = format!("Change from {}", self.baseline);
        let header = ["Contender", "Mean score", "Interval", "Right", "Withheld", "Failed", &change];
        self.standings.iter().fold(Table::new("Quality", header), |table, s| {
            let change = s.change.as_ref().map_or_else(String::new, |c| {
                let [low, high] = [c.interval.low, c.interval.high].map(signed);
                whole(&format!("{} ({low} to {high})", signed(c.change)))
            });
            let interval = whole(&format!("{:.3} to {:.3}", s.interval.low, s.interval.high));
            let cells: [Cell; 3] = [s.name.as_str().into(), s.score.into(), interval.into()];
            let shares = [percent(s.right), percent(s.withheld), percent(s.failed), change];
            table.row(cells.into_iter().chain(shares.map(Cell::from)))
        })
    }

    fn speed(&self) -> Table {
        let query = format!("{} per 1,000 queries", self.currency);
        let right = format!("{} per 1,000 right answers", self.currency);
        let header = [
            "Contender",
            "Median",
            "p99",
            &query,
            &right,
            "Goodput per second",
            "Peak MiB",
            "Joules per query",
        ];
        let or_none = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
        self.standings.iter().fold(Table::new("Latency, cost and resources", header), |table, s| {
            let mebibytes = s.peak_memory.map(|bytes| (bytes as f64 / f64::from(1 << 20)).round());
            let cells = [
                s.name.clone(),
                whole(&seconds(s.median_seconds)),
                whole(&seconds(s.p99_seconds)),
                number(1e3 * s.per_query),
                s.per_correct.map_or_else(|| "none right".into(), |cost| number(1e3 * cost)),
                or_none(s.goodput),
                or_none(mebibytes),
                or_none(s.joules_per_query),
            ];
            table.row(cells.map(Cell::from))
        })
    }

    fn savings(&self) -> Table {
        let header = [
            "Contender",
            "Cost of a month",
            "Saved a month",
            "Months to pay back",
            "Break-even queries a month",
            "First year's return",
        ];
        let table = Table::new(format!("Against today's bill, in {}", self.currency), header);
        let paid = self.standings.iter().filter_map(|s| Some((s, s.payback?)));
        paid.fold(table, |table, (s, p)| {
            let never = |value: Option<f64>| {
                value.map_or_else(|| "never".to_owned(), |v| number((v * 10.0).round() / 10.0))
            };
            let cells = [
                s.name.clone(),
                number(p.then_per_month),
                number(p.saved_per_month),
                never(p.months),
                never(p.break_even_queries.map(f64::ceil)),
                p.first_year_return.map_or_else(|| "–".into(), percent),
            ];
            table.row(cells.map(Cell::from))
        })
    }
}

impl Standing {
    fn of(contender: &Contender, base: &Contender, bill: Option<&CloudBill>) -> Result<Self> {
        let Contender { name, evaluation, load, investment } = contender;
        same("metric", &base.evaluation.config.metric, &evaluation.config.metric)?;
        same("currency", &base.evaluation.summary.cost.currency, &evaluation.summary.cost.currency)?;
        same("number of examples", &base.evaluation.rows.len(), &evaluation.rows.len())?;
        for (index, (a, b)) in base.evaluation.rows.iter().zip(&evaluation.rows).enumerate() {
            same(&format!("question {index}"), &a.question, &b.question)?;
            same(&format!("expected answer {index}"), &a.gold, &b.gold)?;
        }
        let scores = |e: &Evaluation| e.rows.iter().map(|row| row.score).collect::<Vec<f64>>();
        let (s, config) = (&evaluation.summary, &base.evaluation.config);
        let compare =
            || compare_paired(&scores(&base.evaluation), &scores(evaluation), config.seed, config.level);
        let share = |part: usize| part as f64 / s.count as f64;
        let requests = load.as_ref().map(|load| load.timings.len() as f64);
        let joules = load.as_ref().and_then(|load| load.joules);
        Ok(Self {
            name: name.clone(),
            score: s.score,
            interval: s.interval,
            right: share(s.correct),
            withheld: s.abstention_rate,
            failed: share(s.failed),
            median_seconds: s.latency.p50,
            p99_seconds: s.latency.p99,
            per_query: s.cost.per_query,
            per_correct: s.cost.per_correct,
            change: if *name == base.name { None } else { Some(compare()?) },
            goodput: load.as_ref().map(|load| load.goodput),
            peak_memory: load.as_ref().and_then(|load| load.peak_memory),
            joules_per_query: joules.zip(requests).map(|(joules, requests)| joules / requests),
            payback: bill.map(|bill| Payback::of(bill, investment, s.cost.per_query)).transpose()?,
        })
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, before: &T, after: &T) -> Result<()> {
    if before == after {
        return Ok(());
    }
    Err(Error::Unpaired { what: what.into(), before: format!("{before:?}"), after: format!("{after:?}") })
}

/// A number and its unit, which stay on one line.
fn whole(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

fn percent(share: f64) -> String {
    whole(&format!("{:.1} %", 100.0 * share).replace('-', "−"))
}

fn signed(value: f64) -> String {
    format!("{value:+.3}").replace('-', "−")
}
