//! Answers questions from the documentation of Prometheus, with citations, and withholds what it does not say.
//!
//! Run: `cargo run --release -p slm-rag --example prometheus_docs -- DATA/prometheus-docs/docs.jsonl.gz
//! [--encoder DIRECTORY] [--model DIRECTORY] [--question "..."]`
//!
//! Expect: for each question an answer and the bytes of the pages that it rests on, or an abstention where the pages say
//! nothing. Without a model the sentences of the pages answer. With one it writes the answer with marks `[1]`, and each
//! claim that the passages do not support is removed. An encoder such as MiniLM also finds passages that say it in other
//! words.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use slm_core::{ChatRequest, ChatResponse, LanguageModel, LocalModel, TextEncoder};
use slm_data::{Document, read_rows};
use slm_rag::{
    ExtractiveConfig, ExtractiveModel, GroundedConfig, GroundedModel, Index, IndexConfig, RetrieveConfig,
    Retriever, SupportPolicy, Verifier,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const QUESTIONS: [&str; 7] = [
    "What is a histogram?",
    "When should I use the Pushgateway?",
    "On which port does the node exporter listen?",
    "What does a metric name have to match?",
    "How often are LTS releases maintained?",
    "What is the base unit of time in metric names?",
    "Who won the chess championship in Lisbon?",
];
/// Probability of support above which a claim of a model passes.
const LIMIT: f64 = 0.5;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let Some(path) = arguments.first().filter(|path| !path.starts_with("--")) else {
        println!("usage: prometheus_docs DOCS.jsonl.gz [--encoder DIR] [--model DIR] [--question TEXT]");
        return Ok(());
    };

    // 1. Index the pages: cut at their headings, which are searched with the text below them.
    let pages: Vec<Document> = read_rows(path)?.items;
    let device = Device::flex();
    let retriever = match option("--encoder") {
        Some(folder) => {
            let encoder = Arc::new(TextEncoder::load(Path::new(folder), &device)?);
            let index = Index::build_with_vectors(&pages, &IndexConfig::default(), encoder.as_ref())?;
            Retriever::new(index, RetrieveConfig::default())?.with_embedder(encoder)?
        }
        None => Retriever::from(Index::build(&pages, &IndexConfig::default())?),
    };
    println!("{} pages, {} passages\n", pages.len(), retriever.index().chunk_count());

    // 2. Who answers: the pages themselves, or a model that is held to them.
    let model: Box<dyn LanguageModel> = match option("--model") {
        Some(folder) => {
            let writer = LocalModel::load(Path::new(folder), &device)?;
            let config = room(writer.model.config.context_length());
            let policy = SupportPolicy::new(Verifier::default(), LIMIT)?;
            Box::new(GroundedModel::new(retriever, writer, config)?.with_policy(policy))
        }
        None => {
            let config = ExtractiveConfig { min_coverage: 0.6, ..ExtractiveConfig::default() };
            Box::new(ExtractiveModel::new(retriever, config)?)
        }
    };
    for question in option("--question").map_or(QUESTIONS.to_vec(), |question| vec![question]) {
        let answer = model.chat(&ChatRequest::question(question))?;
        print(question, &answer, &pages)?;
    }
    Ok(())
}

/// Passages that leave room in a context of so many tokens, of which a word may have five.
fn room(context: usize) -> GroundedConfig {
    let config = GroundedConfig::default();
    if context >= 4096 {
        return config;
    }
    let instructions = "Answer from the passages only, with their numbers, as in [1].".to_owned();
    GroundedConfig { max_passage_words: context / 8, instructions, ..config }
}

/// 3. The answer, and each place that it rests on, which is looked up in the page as anybody could.
fn print(question: &str, answer: &ChatResponse, pages: &[Document]) -> Outcome {
    println!("Q: {question}\nA: {}", answer.text);
    for (number, citation) in (1..).zip(&answer.citations) {
        let page =
            pages.iter().find(|page| page.id == citation.source).ok_or("a page that does not exist")?;
        let bytes = page.text.get(citation.start..citation.end).ok_or("bytes that do not exist")?;
        assert_eq!(bytes, citation.text);
        println!("   [{number}] {}, bytes {} to {}", citation.source, citation.start, citation.end);
    }
    if let Some(support) = answer.support {
        println!("   {:.0} % of what the model wrote is supported", 100.0 * support);
    }
    println!();
    Ok(())
}
