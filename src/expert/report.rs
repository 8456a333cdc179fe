//! The page to look at.

use slm_data::CurationReport;
use slm_eval::report::{
    Bar, BarChart, Cell, Histogram, KeyFigure, LineChart, Report, RocCurve, Section, Table,
};
use slm_eval::{Evaluation, Forgetting};
use slm_lora::{Point, StepLog, pareto_front};

use super::artifact::Files;
use super::stages::column;
use super::{Aligned, Outcome, Trial};
use crate::Result;

/// Writes `report.html`, and `report.json` with the same content.
pub(super) fn write(outcome: &Outcome, files: &Files) -> Result<()> {
    let report = report(outcome)?;
    report.write_html(&files.report("html"))?;
    report.write_json(&files.report("json"))?;
    Ok(())
}

fn report(outcome: &Outcome) -> Result<Report> {
    let c = &outcome.curation;
    let subtitle = format!(
        "{} raw pairs, {} kept, {} trained on with replay; {} off-domain questions; {:.0} s in all",
        c.input,
        c.kept,
        outcome.trained_on,
        outcome.guard.off_domain.len(),
        outcome.seconds
    );
    let mut report = Report::new("A domain expert and how it was made", subtitle)
        .with(overview(outcome))
        .with(curation(c, outcome.bad_lines))
        .with(training(outcome))
        .with(retention(outcome))
        .with(quantization(outcome))
        .with(guard(outcome)?);
    if let Some(aligned) = &outcome.aligned {
        report = report.with(alignment(aligned));
    }
    if let (Some(base), Some(tuned)) = (column(&outcome.columns, "base"), column(&outcome.columns, "+ LoRA"))
    {
        report = report.with(Forgetting::compare(&base.general, &tuned.general)?.section());
    }
    if let Some(last) = outcome.columns.last() {
        report = report.with(last.domain.section()?);
    }
    Ok(report)
}

fn overview(outcome: &Outcome) -> Section {
    let names = || outcome.columns.iter().map(|c| c.name.as_str());
    let bar = |e: &Evaluation| Bar { value: 100.0 * e.summary.score, interval: None };
    let chart = BarChart::new("What each stage gives", "Exact match in %", names())
        .series("domain", outcome.columns.iter().map(|c| bar(&c.domain)))
        .series("general", outcome.columns.iter().map(|c| bar(&c.general)));
    let header = std::iter::once("").chain(names());
    let table = outcome.rows().into_iter().fold(Table::new("By model", header), |table, (name, values)| {
        table.row(std::iter::once(Cell::from(name)).chain(values.into_iter().map(Cell::from)))
    });
    let figures: Vec<KeyFigure> = outcome
        .figures()
        .into_iter()
        .map(|[label, value, note]| KeyFigure::new(label, value, note))
        .collect();
    Section::new("The road at a glance").with(figures).with(chart).with(table)
}

fn curation(report: &CurationReport, bad_lines: usize) -> Section {
    let header = ["Step", "Reason", "Dropped", "For example", "What gave it away"];
    let mut table = Table::new("Why rows were dropped", header);
    for step in &report.steps {
        for reason in &step.reasons {
            let sample = reason.samples.first();
            table = table.row([
                Cell::from(step.step.to_string()),
                reason.reason.to_string().into(),
                reason.count.into(),
                sample
                    .map_or(String::new(), |s| format!("{} → {}", short(&s.question), short(&s.answer)))
                    .into(),
                sample.map_or(String::new(), |s| s.detail.clone()).into(),
            ]);
        }
    }
    let redactions: Vec<String> =
        report.redactions.iter().map(|(kind, n)| format!("{}: {n}", kind.label())).collect();
    Section::new("Curation")
        .text(format!(
            "{} rows came in and {} stayed; {bad_lines} lines could not be read. Personal data was replaced in {} \
             rows ({}).",
            report.input,
            report.kept,
            report.redacted_rows,
            if redactions.is_empty() { "none".to_owned() } else { redactions.join(", ") }
        ))
        .with(table)
}

/// The beginning and the end of a text, so that a row of a table stays a row.
fn short(text: &str) -> String {
    const KEPT: usize = 40;
    let count = text.chars().count();
    if count <= 2 * KEPT {
        return text.to_owned();
    }
    let (first, last) = (text.chars().take(KEPT), text.chars().skip(count - KEPT));
    first.chain(['…']).chain(last).collect()
}

fn training(outcome: &Outcome) -> Section {
    let points =
        |logs: &[StepLog]| logs.iter().map(|l| (l.step as f64, f64::from(l.loss))).collect::<Vec<_>>();
    let loss = LineChart::new("Training loss", "step", "nats per answer token")
        .series("curated data", points(&outcome.loss))
        .series("raw data", points(&outcome.raw_loss));
    let tokens: usize = outcome.loss.iter().map(|l| l.tokens).sum();
    let seconds: f64 = outcome.loss.iter().map(|l| l.seconds).sum();
    Section::new("Training")
        .text(format!("{tokens} tokens in {seconds:.0} s: {:.0} tokens per second.", tokens as f64 / seconds))
        .with(loss)
}

/// What the domain gained against what the base forgot.
fn retention(outcome: &Outcome) -> Section {
    let Some(base) = outcome.points.first() else { return Section::new("What it forgot") };
    let at = |p: &Point| {
        (f64::from(p.general_loss - base.general_loss), f64::from(base.domain_loss - p.domain_loss))
    };
    let front =
        LineChart::new("Gain against forgetting", "rise of the general loss, nats", "domain gain, nats")
            .series("best of all measurements", pareto_front(&outcome.points).iter().map(at))
            .series("taken", [at(&outcome.chosen)]);
    let mut table = Table::new(
        "All measurements",
        ["Step", "Part of the way", "Weight of the divergence", "Domain loss", "General loss"],
    );
    for p in &outcome.points {
        table = table.row([
            Cell::from(p.step),
            format!("{:.1}", p.scale).into(),
            format!("{:.3}", p.kl_weight).into(),
            format!("{:.4}", p.domain_loss).into(),
            format!("{:.4}", p.general_loss).into(),
        ]);
    }
    let [rise, gain] = [at(&outcome.chosen).0, at(&outcome.chosen).1];
    Section::new("What it forgot")
        .text(format!(
            "Step {} was taken, {:.1} of the way from the base: the domain's loss fell by {gain:.3} nats, the general one rose \
             by {rise:.4}.",
            outcome.chosen.step, outcome.chosen.scale
        ))
        .with(front)
        .with(table)
}

fn alignment(aligned: &Aligned) -> Section {
    let by_step = |f: &dyn Fn(&slm_lora::GrpoLog) -> f64| {
        aligned.logs.iter().map(|log| (log.step.step as f64, f(log))).collect::<Vec<_>>()
    };
    let rewards = LineChart::new("Reward", "step", "share of samples that are right")
        .series("samples of the step", by_step(&|log| log.reward));
    let lengths = LineChart::new("Length", "step", "tokens of an answer")
        .series("samples of the step", by_step(&|log| log.length));
    let [right, before, after] = aligned.lengths;
    let table = Table::new("Samples for questions that it did not learn from", ["", "Before", "After"])
        .row([
            Cell::from("Right, word for word"),
            format!("{:.1} %", 100.0 * aligned.right[0]).into(),
            format!("{:.1} %", 100.0 * aligned.right[1]).into(),
        ])
        .row([Cell::from("Tokens"), format!("{before:.1}").into(), format!("{after:.1}").into()]);
    Section::new("Alignment by its own answers")
        .text(format!(
            "Right answers have {right:.1} tokens. The aligned model was {}.",
            if aligned.taken { "taken" } else { "not taken: no more of its samples were right" }
        ))
        .with(rewards)
        .with(lengths)
        .with(table)
}

fn quantization(outcome: &Outcome) -> Section {
    let Some(taken) = outcome.quantized.first() else { return Section::new("Quantization") };
    let layers = &taken.layers.layers;
    let names = layers.keys().map(|path| path.trim_start_matches("model.layers."));
    let chart = BarChart::new("Signal to noise of each packed layer", "dB", names)
        .series("signal to noise", layers.values().map(|s| s.snr_db));
    let bits = layers.values().map(|s| s.bits_per_weight).fold(0.0, f64::max);
    Section::new("Quantization")
        .text(format!("{} layers packed at {bits:.2} bits per weight, scales included.", layers.len()))
        .with(trials(&outcome.quantized))
        .with(chart)
}

fn trials(trials: &[Trial]) -> Table {
    let header =
        ["Method", "Mean KL, nats", "99th percentile", "Same top token", "Bits per weight of the model"];
    trials.iter().fold(
        Table::new("Methods on texts that none was calibrated on; the first was taken", header),
        |table, t| {
            let q = &t.quality;
            table.row([
                Cell::from(format!("{:?}", t.method)),
                Cell::from(format!("{:.6}", q.kl_mean)),
                Cell::from(format!("{:.5}", q.kl_p99)),
                Cell::from(format!("{:.2} %", 100.0 * q.same_top)),
                Cell::from(format!("{:.2}", q.bits_per_weight)),
            ])
        },
    )
}

fn guard(outcome: &Outcome) -> Result<Section> {
    let g = &outcome.guard;
    let roc = RocCurve::new("Domain and document questions against off-domain ones").series(
        "both detectors",
        &g.in_domain,
        &g.off_domain,
    )?;
    Ok(Section::new("What the expert refuses")
        .with(roc)
        .with(Histogram::of("In-domain questions", "margin above the nearest threshold", &g.in_domain, 20))
        .with(Histogram::of("Off-domain questions", "margin above the nearest threshold", &g.off_domain, 20)))
}
