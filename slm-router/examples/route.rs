//! Routes questions between a local expert, a larger model and "I don't know".
//!
//! Run: `cargo run --release -p slm-router --example route`
//!
//! Expect: what calibration promises and costs, then one line per question with who answered and the
//! score that decided. The second run has a larger model to fall back on. Two small fakes stand for the models, so
//! that nothing has to be downloaded.

use std::ops::ControlFlow;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_router::{Calibration, DetectorConfig, DomainDetector, Route, Router, RouterConfig};

const DOMAIN: &[&str] = &[
    "Is pump P-101 running?",
    "What is the pressure behind valve V-12?",
    "When was pump P-204 serviced last?",
    "Close valve V-7 and drain the line.",
    "Why does tank T-3 overflow at night?",
    "Which pump feeds tank T-5?",
    "The flow meter F-9 shows nothing.",
    "How much water did we deliver on 2026-03-14?",
    "Raise the pressure of zone 4 to 3.5bar.",
    "List all alarms of the pumping station.",
];

const HELD_OUT: &[&str] = &[
    "When was valve V-40 serviced?",
    "What is the pressure in zone 2?",
    "Is tank T-8 full?",
    "Which valve drains the tank?",
    "Why did pump P-77 stop?",
];

const OTHERS: &[&str] = &[
    "How do I bake bread?",
    "Tell me a joke.",
    "What is the capital of Peru?",
    "How do I sort a list in Java?",
    "Who painted the ceiling?",
    "Is coffee healthy?",
    "Write a poem about rain.",
    "Why do cats purr?",
    "How far away is Mars?",
];

/// Stands for a model: it repeats what it was asked.
struct Echo(&'static str);

impl LanguageModel for Echo {
    fn name(&self) -> &str {
        self.0
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let text = format!("{} looks into: {}", self.0, request.last_user());
        let finish_reason =
            if on_text(&text).is_break() { FinishReason::Cancelled } else { FinishReason::Stop };
        let (model, usage) = (self.0.to_owned(), Usage::default());
        Ok(ChatResponse::new(text, model, finish_reason, usage))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 1. Learn the domain from its own questions alone.
    let mut detector = DomainDetector::fit(DOMAIN, &[], &DetectorConfig::default())?;

    // 2. Set the threshold: at most one off-domain question in ten may slip through.
    let report = detector.calibrate(HELD_OUT, OTHERS, &Calibration { max_false_accept: 0.1 })?;
    println!(
        "threshold {:.3}: AUROC {:.2}, refuses {:.0} % of the domain's own questions\n",
        report.threshold,
        report.auroc,
        100.0 * report.refusal_rate()
    );

    // 3. Route.
    let router = || {
        Router::new(
            vec![Route::new("waterworks", detector.clone(), Echo("expert"))?],
            RouterConfig::default(),
        )
    };
    for router in [router()?, router()?.with_larger(Echo("larger model"))] {
        for question in
            ["Which pump feeds zone 6?", "Drain the line behind valve V-31.", "How do magnets work?"]
        {
            let routed =
                router.answer(&ChatRequest::question(question), &mut |_| ControlFlow::Continue(()))?;
            let score = routed.decision.scores.first().map_or(0.0, |score| score.score);
            println!("{score:.3}  {question}\n       {}", routed.response.text);
        }
        println!("{:?}\n", router.stats());
    }
    Ok(())
}
