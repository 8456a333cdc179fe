//! Evaluates a tiny rule-based model before and after it "learns" a rule, and reports what changed.
//!
//! ```text
//! cargo run --release -p slm-eval --example report -- out
//! ```
//!
//! Writes `report.html` (open it in any browser) and `report.json` into the folder `out`. Expect a mean score
//! of 0.75, two examples won and one lost. Anything that implements `LanguageModel` can take the rule's place.

use std::ops::ControlFlow;
use std::path::PathBuf;

use slm_core::{ChatRequest, ChatResponse, Error, FinishReason, LanguageModel, Result, Usage};
use slm_data::Example;
use slm_eval::metrics::auroc;
use slm_eval::report::{LineChart, RocCurve, Table};
use slm_eval::{CostModel, EvalConfig, Forgetting, Report, Section, evaluate};

/// Adds and subtracts two numbers; `Learned` also multiplies, and has forgotten how to subtract from ten.
#[derive(Clone, Copy, PartialEq)]
enum Calculator {
    Base,
    Learned,
}

impl LanguageModel for Calculator {
    fn name(&self) -> &str {
        match self {
            Self::Base => "calculator",
            Self::Learned => "calculator-learned",
        }
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatResponse> {
        let words: Vec<&str> = request.last_user().split_whitespace().collect();
        let [left, sign, right] = words[..] else {
            return Err(Error::Request { reason: format!("{words:?} is not `number sign number`") });
        };
        let number = |text: &str| text.parse::<i64>().map_err(|e| Error::model(self.name(), e));
        let (left, right) = (number(left)?, number(right)?);
        let answer = match sign {
            "+" => left + right,
            "-" if *self == Self::Learned && left == 10 => left,
            "-" => left - right,
            "*" if *self == Self::Learned => left * right,
            _ => return Ok(ChatResponse::abstained(self.name(), "I don't know.")),
        };
        let text = answer.to_string();
        let _ = on_text(&text);
        let usage = Usage { prompt_tokens: words.len(), completion_tokens: text.len() };
        let (model, finish_reason) = (self.name().to_owned(), FinishReason::Stop);
        Ok(ChatResponse::new(text, model, finish_reason, usage))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "out".into()));
    let suite = [
        Example::pair("2 + 3", "5", "addition"),
        Example::pair("40 + 2", "42", "addition"),
        Example::pair("9 - 4", "5", "subtraction"),
        Example::pair("10 - 4", "6", "subtraction"),
        Example::pair("6 * 7", "42", "multiplication"),
        Example::pair("3 * 3", "9", "multiplication"),
        Example::pair("8 / 2", "4", "division"),
        Example::pair("1 + 1", "2", "addition"),
    ];
    let cost = CostModel { per_hour: 0.4, per_million_completion_tokens: 2.0, ..CostModel::default() };
    let config = EvalConfig { cost, ..EvalConfig::default() };
    let mut progress = |done, all| eprintln!("{done} of {all}");
    let before = evaluate(&Calculator::Base, &suite, &config, &mut progress)?;
    let after = evaluate(&Calculator::Learned, &suite, &config, &mut progress)?;
    let forgetting = Forgetting::compare(&before, &after)?;
    println!(
        "mean score {:.2}, {} won, {} lost",
        after.summary.score,
        forgetting.won.len(),
        forgetting.lost.len()
    );

    // The same charts serve for anything else that was measured, such as the losses of a training run.
    let losses =
        |floor: f64| (0..=40).map(move |i| (f64::from(i) * 25.0, floor + 3.0 * (-f64::from(i) / 8.0).exp()));
    let training = Section::new("Training").text("Curves of made-up losses.").with(
        LineChart::new("Loss", "Step", "Nats per token")
            .series("training", losses(0.4))
            .series("validation", losses(0.7)),
    );

    // A score that should tell questions the model can answer from those that it cannot.
    let (can, cannot) = ([0.9, 0.8, 0.85, 0.6, 0.7], [0.2, 0.4, 0.65, 0.3]);
    let settings = Table::new("How it was asked", ["Setting", "Value"])
        .row(["metric".into(), config.metric.to_string().into()])
        .row(["most new tokens".into(), config.generation.max_new_tokens.into()]);
    let knowing = Section::new("Knowing what it knows")
        .text(format!("A random pair is in the right order with probability {:.2}.", auroc(&can, &cannot)?))
        .with(RocCurve::new("Answerable or not").series("confidence", &can, &cannot)?)
        .with(settings);

    let report = Report::new("A calculator learns to multiply", "Eight questions, asked before and after.")
        .with(after.section()?)
        .with(forgetting.section())
        .with(training)
        .with(knowing);
    report.write_html(&folder.join("report.html"))?;
    report.write_json(&folder.join("report.json"))?;
    println!("wrote {}", folder.join("report.html").display());
    Ok(())
}
