//! Answers a question from a folder of Markdown or text files, in their own words and with the place.
//!
//! Run: `cargo run --release -p slm-rag --example ask_documents -- FOLDER "QUESTION"`
//! Without arguments it asks three pages of its own about a harbour.
//!
//! Expect: for each question the answer, the file and bytes it stands at, and how much of the question was found
//! there; or that the documents do not answer it. No model is needed.

use std::path::Path;

use slm_core::{ChatRequest, FinishReason, LanguageModel};
use slm_data::Document;
use slm_rag::{ExtractiveConfig, ExtractiveModel, Index, IndexConfig, read_folder};

const PAGES: [(&str, &str); 3] = [
    (
        "berths.md",
        "# Berths\n\n## Large ships\n\nBerth 4 takes ships of up to 180 metres. A pilot is required above 90 metres.\n\n\
         ## Yachts\n\nYachts moor at the east pier. The fee is 2 euros per metre and night.\n",
    ),
    (
        "storm.md",
        "# Storm warning\n\n1. Hoist the black ball at the signal mast.\n2. Close the flood gate.\n\
         3. Call every skipper on channel 12.\n\nThe warning ends six hours after the last gust above 70 km/h.\n",
    ),
    (
        "fuel.md",
        "# Fuel\n\nDiesel is sold at the north quay from 7 to 19 o'clock. Smoking is forbidden within 20 metres.\n",
    ),
];

const QUESTIONS: [&str; 4] = [
    "What is the fee for a yacht per night?",
    "What is the second step after a storm warning?",
    "Where is diesel sold?",
    "Who won the regatta in Lisbon?",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (documents, questions) = match arguments.as_slice() {
        [] => {
            let page = |(id, text): (&str, &str)| Document { id: id.into(), text: text.into() };
            (PAGES.map(page).to_vec(), QUESTIONS.map(String::from).to_vec())
        }
        [folder, question] => (read_folder(Path::new(folder))?, vec![question.clone()]),
        _ => return Err("expected a folder and a question, or nothing".into()),
    };

    // 1. Cut the documents into chunks and index their words.
    let index = Index::build(&documents, &IndexConfig::default())?;
    println!("{} documents, {} chunks\n", documents.len(), index.chunk_count());

    // 2. Ask. The answer is a sentence of a document, or an abstention.
    let model = ExtractiveModel::new(index, ExtractiveConfig::default())?;
    for question in questions {
        let answer = model.chat(&ChatRequest::question(question.as_str()))?;
        println!("Q: {question}\nA: {}", answer.text);
        let coverage = model.evidence(&question)?.first().map_or(0.0, |best| best.coverage);
        for citation in &answer.citations {
            println!("   {}, bytes {} to {}", citation.source, citation.start, citation.end);
        }
        let verdict = if answer.finish_reason == FinishReason::Abstained { "too little" } else { "enough" };
        println!("   {:.0} % of the question found: {verdict}\n", 100.0 * coverage);
    }
    Ok(())
}
