//! Four ways to answer the same questions, in one report: the expert alone, with its documents, with the cloud behind it, and
//! the cloud alone.
//!
//! ```console
//! cargo run --release --example domain_expert
//! cargo run --release --example contenders -- out/expert out/contenders
//! ```
//!
//! The expert is the one that the example `domain_expert` left in `out/expert`. The questions are log lines that it was not
//! trained on, questions about the runbooks, and general ones. **The cloud is a stand-in**: a server of this program behind
//! OpenAI's protocol that knows 19 of 20 answers and takes the time and the prices of a large model; put the address of a real
//! one in its place. Two thirds of the questions teach and calibrate the cascade's trust, the last third is measured. Writes
//! `comparison.html` and `comparison.json`. Expect the cascade near the cloud's score at a tenth of its price, and the expert
//! with documents to withhold what is general: its router refuses whatever is not its domain.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use serde_json::{Value, json};
use slm::expert::{Expert, ExpertConfig, Material};
use slm_core::{ChatRequest, FinishReason, GenerationConfig, LanguageModel, LocalModel};
use slm_eval::load::{Arrivals, LoadConfig, Objective, measure_load};
use slm_eval::{
    CloudBill, Comparison, Contender, CostModel, EvalConfig, Investment, Item, Metric, evaluate_items,
};
use slm_router::{
    AnswerSignals, Cascade, CascadeConfig, CloudConfig, CloudModel, Prices, RiskLimit, TrustModel,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Serves the stand-in on a free port, by OpenAI's protocol.
fn stand_in(items: &[Item]) -> Outcome<SocketAddr> {
    let answers: HashMap<String, String> =
        items.iter().map(|i| (i.messages[0].content.clone(), i.golds[0].clone())).collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let answers = Arc::new(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || {
                // A client that leaves is nothing to a stand-in.
                let _ = answer(stream, &answers);
            });
        }
    });
    Ok(address)
}

/// Knows 19 of 20 answers, and takes the time of a large model far away.
fn answer(stream: TcpStream, answers: &HashMap<String, String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let head = line.to_lowercase();
        length = head.strip_prefix("content-length:").and_then(|n| n.trim().parse().ok()).unwrap_or(length);
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let turns = body["messages"].as_array();
    let question = turns.and_then(|t| t.last()).and_then(|m| m["content"].as_str()).unwrap_or_default();
    let is_known = question.bytes().map(u64::from).sum::<u64>() % 20 != 0;
    let text = answers.get(question).filter(|_| is_known).map_or("I think it is another", String::as_str);
    let mut stream = reader.into_inner();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    std::thread::sleep(Duration::from_millis(200));
    for word in text.split_inclusive(' ') {
        std::thread::sleep(Duration::from_millis(8));
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}]});
        write!(stream, "data: {chunk}\n\n")?;
    }
    let usage = json!({"prompt_tokens": 400 + question.len() / 4, "completion_tokens": 1 + text.len() / 4});
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage});
    write!(stream, "data: {last}\n\ndata: [DONE]\n\n")
}

/// Log lines, questions about the documents and general ones, in turns.
fn questions(device: &Device) -> Outcome<Vec<Item>> {
    let config = ExpertConfig { test_questions: 240, suite_questions: 80, ..ExpertConfig::default() };
    let material = Material::gather(&config, device)?;
    let pair = |e: &slm_data::Example, kind: &str| {
        Item::new(&e.messages[0].content, [&e.messages[e.messages.len() - 1].content], kind)
    };
    let mut items: Vec<Item> = material.test.iter().map(|e| pair(e, "log lines")).collect();
    items.extend(material.document_questions.iter().map(|q| Item::new(&q.question, [&q.answer], "runbooks")));
    items.extend(material.suite.iter().map(|e| pair(e, "general")));
    // Whoever is measured is so on all kinds.
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|n| n * 7919 % items.len());
    Ok(order.into_iter().map(|n| items[n].clone()).collect())
}

fn generation() -> GenerationConfig {
    GenerationConfig { max_new_tokens: 96, logprobs: true, ..GenerationConfig::default() }
}

/// Trust in the answers of `model`: learned from the first third of `items`, calibrated on the second.
fn trust(model: &dyn LanguageModel, items: &[Item]) -> Outcome<TrustModel> {
    let judge = |item: &Item| -> slm_core::Result<Option<(AnswerSignals, bool)>> {
        let request = ChatRequest {
            messages: item.messages.clone(),
            generation: generation(),
            ..ChatRequest::default()
        };
        let response = model.chat(&request)?;
        let right = Metric::ExactMatch.best(&response.text, &[&item.golds[0]]).is_ok_and(|s| s == 1.0);
        let said = response.finish_reason != FinishReason::Abstained;
        Ok(said.then(|| (AnswerSignals::of(&response), right)))
    };
    let (learn, hold) = items.split_at(items.len() / 2);
    let judged =
        |items: &[Item]| items.iter().filter_map(|i| judge(i).transpose()).collect::<Result<Vec<_>, _>>();
    let mut trust = TrustModel::fit(&judged(learn)?)?;
    trust.calibrate(&judged(hold)?, &RiskLimit { max_error: 0.1, delta: 0.1 })?;
    Ok(trust)
}

/// Quality, cost and load of a contender. Its machine costs so much an hour; what the cloud charges is in its answers.
fn contender(
    name: &str,
    model: &(dyn LanguageModel + Sync),
    items: &[Item],
    per_hour: f64,
    investment: Investment,
) -> Outcome<Contender> {
    let cost = CostModel { per_hour, ..CostModel::default() };
    let config =
        EvalConfig { metric: Metric::TokenF1, generation: generation(), cost, ..EvalConfig::default() };
    let evaluation = evaluate_items(model, items, &config, &mut |_, _| {})?;
    let requests: Vec<ChatRequest> = items
        .iter()
        .map(|i| ChatRequest {
            messages: i.messages.clone(),
            generation: generation(),
            ..ChatRequest::default()
        })
        .collect();
    let load = LoadConfig {
        arrivals: Arrivals::Open { per_second: 5.0, clients: 4 },
        requests: 50,
        objective: Objective { first_text: Some(0.5), between: None, total: Some(2.0) },
        seed: 7,
    };
    let load = Some(measure_load(model, &requests, &load)?);
    Ok(Contender { name: name.into(), evaluation, load, investment })
}

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let expert = arguments.next().unwrap_or_else(|| "out/expert".into());
    let folder = arguments.next().unwrap_or_else(|| "out/contenders".into());
    let device = Device::flex();
    let items = questions(&device)?;
    let (known, measured) = items.split_at(items.len() / 3 * 2);
    let mut cloud = CloudConfig::new(format!("http://{}/v1", stand_in(&items)?), "large");
    cloud.prices = Prices { per_million_prompt_tokens: 2.0, per_million_completion_tokens: 8.0 };
    let cloud = Arc::new(CloudModel::new(cloud)?);

    let local = LocalModel::load(&expert.join("int4"), &device)?;
    let documents = Expert::load(&expert, &device)?;
    let trust = trust(&local, known)?;
    let cascade = Cascade::new(local.clone(), Arc::clone(&cloud), trust, CascadeConfig::default())?;

    let own = |upfront| Investment { upfront, per_month: 60.0 };
    let contenders = [
        contender("expert alone", &local, measured, 0.10, own(1000.0))?,
        contender("expert with documents", documents.router(), measured, 0.10, own(1500.0))?,
        contender("cascade", &cascade, measured, 0.10, own(2000.0))?,
        contender("cloud (stand-in)", &cloud, measured, 0.0, Investment::default())?,
    ];
    let bill = CloudBill { per_month: 590.0, queries_per_month: 600_000.0 };
    let title = "Log lines, runbooks and general questions";
    let comparison = Comparison::of(title, &contenders, "cloud (stand-in)", Some(&bill))?;
    for s in &comparison.standings {
        println!(
            "{:<22} F1 {:.3}  right {:.3}  {:.6} {} per query",
            s.name, s.score, s.right, s.per_query, comparison.currency
        );
    }
    comparison.report().write_html(&folder.join("comparison.html"))?;
    std::fs::write(folder.join("comparison.json"), serde_json::to_string_pretty(&comparison)?)?;
    println!("wrote {}", folder.join("comparison.html").display());
    Ok(())
}
