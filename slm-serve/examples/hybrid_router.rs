//! Simple questions of the domain stay on this machine; others go to a larger model, with a budget and without personal data.
//!
//! Run: `cargo run --release -p slm-serve --example hybrid_router`
//!
//! The larger model is a stand-in: a second server in this process, so that nothing leaves and nothing is charged. Put the
//! address of a real one in its place. Expect: who answered each question, why, what it cost, and what the stand-in got to see.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::channel;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_data::{PiiConfig, redact};
use slm_router::{
    Budget, Calibration, CloudConfig, CloudModel, DetectorConfig, DomainDetector, Prices, Route, Router,
    RouterConfig,
};
use slm_serve::{App, Entry, Registry, ServeConfig, Server};

/// A model by rule, in the place of a real one.
struct Clerk {
    name: &'static str,
    says: fn(&str) -> String,
}

impl LanguageModel for Clerk {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let text = (self.says)(request.last_user());
        let usage = Usage {
            prompt_tokens: request.last_user().split(' ').count(),
            completion_tokens: text.split(' ').count(),
        };
        let finish = if on_text(&text).is_break() { FinishReason::Cancelled } else { FinishReason::Stop };
        Ok(ChatResponse::new(text, self.name, finish, usage))
    }
}

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The server of the larger model, on a free port.
fn stand_in() -> Outcome<SocketAddr> {
    let (sender, bound) = channel();
    std::thread::spawn(move || -> Result<(), String> {
        let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let larger = Clerk { name: "large", says: |question| format!("I was asked: {question}") };
            let config = ServeConfig { listen: ([127, 0, 0, 1], 0).into(), ..ServeConfig::default() };
            let registry = Registry::of(vec![Entry::new("large", "program", Arc::new(larger))]);
            let server =
                Server::bind(&config, App::new(&config, registry)).await.map_err(|e| e.to_string())?;
            sender.send(server.address().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
            server.run(std::future::pending()).await;
            Ok(())
        })
    });
    Ok(bound.recv()?)
}

fn main() -> Outcome {
    // 1. The domain, and a threshold that lets at most a quarter of other questions in.
    let domain = [
        "Which loans are overdue?",
        "Extend the loan of book B-204.",
        "Who reserved book B-77?",
        "Is book B-3 on loan?",
        "Reserve book B-12 for me.",
    ];
    let mut detector = DomainDetector::fit(&domain, &[], &DetectorConfig::default())?;
    let held_out = ["Is book B-5 reserved?", "How long is a loan?"];
    let others = ["How hot is the sun?", "Tell me a joke.", "What goes well with rice?"];
    detector.calibrate(&held_out, &others, &Calibration { max_false_accept: 0.25 })?;

    // 2. The larger model: at most 5 a day, and no address leaves this machine.
    let mut config = CloudConfig::new(format!("http://{}/v1", stand_in()?), "large");
    config.prices = Prices { per_million_prompt_tokens: 2_000.0, per_million_completion_tokens: 8_000.0 };
    let budget = Arc::new(Budget::new(5.0)?);
    let larger = CloudModel::new(config)?
        .with_redactor(|text| redact(text, &PiiConfig::default().kinds))
        .with_budget(Arc::clone(&budget));

    // 3. One model that asks the other where the first is not at home.
    let local = Clerk { name: "clerk", says: |question| format!("Looked up {question}") };
    let router = Router::new(vec![Route::new("library", detector, local)?], RouterConfig::default())?
        .with_larger(larger);
    let questions = [
        "Extend the loan of book B-9.",
        "Write to jo@example.org why the sky is blue.",
        "Who reserved book B-31?",
        "Compare the economies of two countries.",
    ];
    for question in questions {
        let response = router.chat(&ChatRequest::question(question))?;
        let route = response.route.as_deref().unwrap_or("-");
        println!("{route:8} {:.4}  {question}\n         {}", response.cost.unwrap_or(0.0), response.text);
    }
    println!("spent today: {:.4} of 5", budget.spent_today());
    Ok(())
}
