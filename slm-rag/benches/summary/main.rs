//! Long documents: what the pipeline of summaries keeps, costs and needs, with a model that chooses sentences.
//!
//! ```console
//! cargo bench -p slm-rag --bench summary -- DATA [tokenizer=DIRECTORY] [texts=FILE] [out=FILE]
//! ```
//!
//! ROUGE on SQuALITY (the plot of a story, four references) and QMSum (questions about a meeting) against the first words
//! of the text, and against as many words from the beginnings of its equal parts; the pipeline's own time per call; and
//! War and Peace by each method: calls, time, memory and the longest prompt. `texts` writes the summaries of the first set with their
//! references, to be scored by another ROUGE.

mod rouge;
mod stand_in;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use flate2::read::GzDecoder;
use rouge::rouge;
use serde_json::{Value, json};
use slm_core::Tokenizer;
use slm_data::Document;
use slm_rag::{Method, Summarizer, SummaryConfig};
use stand_in::{StandIn, Work, sentences};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A text, what is asked about it, and what people wrote.
struct Task {
    document: Document,
    focus: String,
    references: Vec<String>,
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let options: BTreeMap<&str, &str> = arguments.iter().filter_map(|a| a.split_once('=')).collect();
    let Some(data) = arguments.iter().find(|a| !a.contains('=')).map(Path::new) else {
        println!("usage: cargo bench -p slm-rag --bench summary -- DATA [tokenizer=DIRECTORY] [out=FILE]");
        return Ok(());
    };
    let mut figures = Vec::new();
    for (set, words, tasks) in [("squality", 400, squality(data)?), ("qmsum", 70, qmsum(data)?)] {
        let (rows, texts) = judge(set, words, &tasks)?;
        figures.extend(rows);
        if let Some(path) = options.get("texts").filter(|_| set == "squality") {
            std::fs::write(path, serde_json::to_string(&texts)?)?;
        }
    }
    let tokenizer =
        options.get("tokenizer").map(|path| Tokenizer::load_directory(Path::new(path))).transpose()?;
    for method in [Method::MapReduce, Method::Refine, Method::Tree] {
        figures.push(book(data, method, tokenizer.as_ref())?);
    }
    if let Some(path) = options.get("out") {
        std::fs::write(path, serde_json::to_string_pretty(&json!({ "figures": figures }))? + "\n")?;
    }
    Ok(())
}

fn judge(set: &str, words: usize, tasks: &[Task]) -> Outcome<(Vec<Value>, Value)> {
    let names = ["map and reduce", "tree", "lead", "cover"];
    let mut scores = [[0.0; 3]; 4];
    let mut texts = Vec::new();
    let (mut calls, mut own_time) = (0, 0.0);
    for task in tasks {
        let mut summary = |method: Method| -> Outcome<String> {
            let focus = task.focus.clone();
            let config = SummaryConfig { method, summary_words: words, focus, ..SummaryConfig::default() };
            let summarizer = Summarizer::new(StandIn::default(), config)?;
            let start = Instant::now();
            let text = summarizer.summarize(&task.document, &mut |_| {})?.text;
            let all = start.elapsed();
            let work = summarizer.into_model().work.into_inner().unwrap_or_default();
            calls += work.calls;
            own_time += all.saturating_sub(work.time).as_secs_f64();
            Ok(text)
        };
        let candidates = [
            summary(Method::MapReduce)?,
            summary(Method::Tree)?,
            lead(&task.document.text, words),
            cover(&task.document.text, words),
        ];
        for (sums, candidate) in scores.iter_mut().zip(&candidates) {
            let got = rouge(candidate, &task.references);
            sums.iter_mut().zip(got).for_each(|(sum, value)| *sum += value);
        }
        texts.push(json!({ "summaries": candidates, "references": task.references }));
    }
    let mut figures = Vec::new();
    for (name, sums) in names.iter().zip(scores) {
        let [one, two, long] = sums.map(|sum| (1e4 * sum / tasks.len() as f64).round() / 1e4);
        figures
            .push(json!({ "set": set, "summary": name, "texts": tasks.len(), "words": words, "rouge_1": one,
            "rouge_2": two, "rouge_l": long }));
    }
    if let Some(first) = figures.first_mut() {
        first["calls"] = json!(calls);
        first["own_ms_per_call"] = json!(1e3 * own_time / f64::from(u32::try_from(calls)?));
    }
    figures.iter().for_each(|figure| println!("{figure}"));
    Ok((figures, json!(texts)))
}

/// The first words, to the end of a sentence.
fn lead(text: &str, words: usize) -> String {
    let mut count = 0;
    let fits = |sentence: &&str| {
        let before = count;
        count += sentence.split_whitespace().count();
        before < words
    };
    sentences(text).into_iter().take_while(fits).collect::<Vec<_>>().join("\n")
}

/// The beginnings of ten equal parts, as many words of each.
fn cover(text: &str, words: usize) -> String {
    const PARTS: usize = 10;
    let all = sentences(text);
    let parts = all.chunks(all.len().div_ceil(PARTS).max(1));
    parts.map(|part| lead(&part.join("\n"), words / PARTS)).collect::<Vec<_>>().join("\n")
}

/// War and Peace for a model of 4,096 tokens.
fn book(data: &Path, method: Method, tokenizer: Option<&Tokenizer>) -> Outcome<Value> {
    let mut text = String::new();
    GzDecoder::new(File::open(data.join("war-and-peace/war-and-peace.txt.gz"))?).read_to_string(&mut text)?;
    let bytes = text.len();
    let document = Document { id: "war-and-peace".into(), text };
    let before = status("VmRSS");
    let config = SummaryConfig { method, ..SummaryConfig::default() };
    let summarizer = Summarizer::new(StandIn::default(), config)?;
    let start = Instant::now();
    let summary = summarizer.summarize(&document, &mut |_| {})?;
    let all = start.elapsed().as_secs_f64();
    let grown = status("VmHWM").saturating_sub(before);
    let covered = summary.coverage.iter().filter(|section| section.sentences > 0).count();
    let Work { calls, time, longest } = summarizer.into_model().work.into_inner().unwrap_or_default();
    let tokens =
        tokenizer.map(|tokenizer| tokenizer.encode(&longest.1, false).map(|ids| ids.len())).transpose()?;
    let own = all - time.as_secs_f64();
    let figure = json!({ "set": "war-and-peace", "method": method, "bytes": bytes, "calls": calls, "levels": summary.levels.len(),
        "summary_words": summary.text.split_whitespace().count(), "longest_prompt_words": longest.0,
        "longest_prompt_tokens": tokens, "grown_bytes": grown, "seconds": all,
        "own_ms_per_call": 1e3 * own / f64::from(u32::try_from(calls)?), "sections": summary.coverage.len(), "covered": covered });
    println!("{figure}");
    Ok(figure)
}

/// A line of the state of this process in bytes; 0 where the system does not say.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0, |kb: u64| 1024 * kb)
}

fn records(path: &Path) -> Outcome<Vec<Value>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    BufReader::new(GzDecoder::new(file)).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

fn field(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or("").to_owned()
}

/// Each story with its first question, which is about the plot.
fn squality(data: &Path) -> Outcome<Vec<Task>> {
    let task = |record: &Value| {
        let question = &record["questions"][0];
        let written = question["responses"].as_array().into_iter().flatten();
        Task {
            document: Document { id: field(&record["metadata"], "uid"), text: field(record, "document") },
            focus: String::new(),
            references: written.map(|response| field(response, "response_text")).collect(),
        }
    };
    Ok(records(&data.join("squality/dev.jsonl.gz"))?.iter().map(task).collect())
}

/// Each question about a meeting, whose turns are paragraphs.
fn qmsum(data: &Path) -> Outcome<Vec<Task>> {
    let mut tasks = Vec::new();
    for (n, record) in records(&data.join("qmsum/val.jsonl.gz"))?.iter().enumerate() {
        let turns = record["meeting_transcripts"].as_array().into_iter().flatten();
        let turn = |turn: &Value| format!("{}: {}", field(turn, "speaker"), field(turn, "content"));
        let text = turns.map(turn).collect::<Vec<_>>().join("\n\n");
        for list in ["general_query_list", "specific_query_list"] {
            for query in record[list].as_array().into_iter().flatten() {
                tasks.push(Task {
                    document: Document { id: n.to_string(), text: text.clone() },
                    focus: field(query, "query"),
                    references: vec![field(query, "answer")],
                });
            }
        }
    }
    Ok(tasks)
}
