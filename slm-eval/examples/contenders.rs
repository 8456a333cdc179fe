//! Compares four ways to answer the same questions in one report: quality, latency, cost, load and payback.
//!
//! ```text
//! cargo run --release -p slm-eval --example contenders -- out
//! ```
//!
//! The four are stand-ins that answer by rule and take a stated time, so that the example needs no model and no key;
//! anything that implements `LanguageModel` can take their place. Writes `comparison.html` and `comparison.json` into
//! the folder `out`. Expect the cascade to come close to the cloud at about a fifth of its price.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Result, Usage};
use slm_eval::load::{Arrivals, LoadConfig, Objective, measure_load};
use slm_eval::{CloudBill, Comparison, Contender, CostModel, EvalConfig, Investment, Item, evaluate_items};

/// Knows so many of a hundred answers; waits until the first word and between words.
struct StandIn {
    name: &'static str,
    knows: usize,
    first: Duration,
    between: Duration,
}

impl LanguageModel for StandIn {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatResponse> {
        let number: usize = request.last_user().trim_start_matches("What is number ").parse().unwrap_or(0);
        // Which ones are known is scattered, and whoever knows more knows all that others know.
        let known = number * 37 % 100 < self.knows;
        let text =
            if known { format!("It is entry {number} of the list") } else { "I think it is another".into() };
        sleep(self.first);
        for word in text.split_inclusive(' ') {
            let _ = on_text(word);
            sleep(self.between);
        }
        let usage = Usage { prompt_tokens: 900, completion_tokens: text.split(' ').count() * 40 };
        Ok(ChatResponse::new(text, self.name, FinishReason::Stop, usage))
    }
}

/// A stand-in, what it costs, and what it takes to have it.
fn contender(model: &StandIn, cost: CostModel, investment: Investment) -> slm_eval::Result<Contender> {
    let gold = |n: usize| format!("It is entry {n} of the list");
    let items: Vec<Item> =
        (0..100).map(|n| Item::new(format!("What is number {n}"), [gold(n)], "list")).collect();
    let config = EvalConfig { cost, ..EvalConfig::default() };
    let evaluation = evaluate_items(model, &items, &config, &mut |_, _| {})?;
    let requests: Vec<ChatRequest> =
        (0..20).map(|n| ChatRequest::question(format!("What is number {n}"))).collect();
    let load = LoadConfig {
        arrivals: Arrivals::Open { per_second: 20.0, clients: 4 },
        requests: 40,
        objective: Objective { first_text: Some(0.1), between: Some(0.02), total: None },
        seed: 7,
    };
    let load = Some(measure_load(model, &requests, &load)?);
    Ok(Contender { name: model.name.into(), evaluation, load, investment })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "out".into()));
    let model = |name, knows, first, between| StandIn {
        name,
        knows,
        first: Duration::from_millis(first),
        between: Duration::from_millis(between),
    };
    let own = |per_hour| CostModel { per_hour, ..CostModel::default() };
    let tokens = |read, written| CostModel {
        per_million_prompt_tokens: read,
        per_million_completion_tokens: written,
        ..CostModel::default()
    };
    let cascade = CostModel { per_hour: 0.5, ..tokens(0.5, 2.0) };
    let invest = |upfront| Investment { upfront, per_month: 120.0 };
    let contenders = [
        contender(&model("local", 58, 8, 2), own(0.5), invest(1500.0))?,
        contender(&model("local with documents", 74, 20, 2), own(0.5), invest(2200.0))?,
        contender(&model("cascade", 88, 30, 3), cascade, invest(2500.0))?,
        contender(&model("cloud", 92, 60, 4), tokens(2.5, 10.0), Investment::default())?,
    ];
    let bill = CloudBill { per_month: 900.0, queries_per_month: 200_000.0 };
    let comparison = Comparison::of("A list of a hundred entries", &contenders, "cloud", Some(&bill))?;
    for s in &comparison.standings {
        println!("{:<22} score {:.2}  {:.6} {} per query", s.name, s.score, s.per_query, comparison.currency);
    }
    let report = comparison.report();
    report.write_html(&folder.join("comparison.html"))?;
    std::fs::write(folder.join("comparison.json"), serde_json::to_string_pretty(&comparison)?)?;
    println!("wrote {}", folder.join("comparison.html").display());
    Ok(())
}
