//! Real collections, where `SLM_DATA` names a folder with them; otherwise nothing is checked.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use slm_data::{
    Compared, ContradictionConfig, ContradictionScope, CurateConfig, DropReason, Example,
    NearDuplicateConfig, NearRule, PiiKind, Row, Similarity, Step, Switch, curate, find_pii,
    near_duplicate_texts, near_duplicates, read_examples, read_rows, support,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SLM_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SLM_DATA is not set: skipped");
    }
    folder
}

fn lines(path: &Path) -> Result<Vec<String>, std::io::Error> {
    let file = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path)?));
    let text = |line: Result<Vec<u8>, _>| line.map(|line| String::from_utf8_lossy(&line).trim().to_owned());
    file.split(b'\n').map(text).collect()
}

/// Upstream dropped, at each similarity, the instructions that are as similar to an earlier one that stayed.
#[test]
fn near_duplicates_agree_with_published_labels() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let mut rows = Vec::new();
    let mut labels = Vec::new();
    for line in lines(&folder.join("gpteacher-toolformer-dedup/records.jsonl.gz"))? {
        let value: Value = serde_json::from_str(&line)?;
        // The labels are about answers, so these are compared here.
        rows.push(Example::pair("-", value["record"]["output"].as_str().unwrap_or_default(), ""));
        labels.push(["0.9", "0.8", "0.7", "0.6"].map(|at| value["kept_at"][at] == Value::Bool(false)));
    }
    // The labels are of another measure; the threshold that fits each is found on the first half of the rows.
    let measure = |label: usize, threshold: f64| -> Result<[f64; 3], slm_data::Error> {
        let (compared, rule) = (Compared::Answer, NearRule::SimilarQuestion);
        let config = NearDuplicateConfig { threshold, compared, rule, ..NearDuplicateConfig::default() };
        let found = near_duplicates(&rows, &config)?;
        let score = |range: std::ops::Range<usize>| {
            let count = |want: fn(bool, bool) -> bool| {
                range.clone().filter(|&at| want(found[at].is_some(), labels[at][label])).count() as f64
            };
            let hits = count(|found, dropped| found && dropped);
            let (precision, recall) = (hits / count(|found, _| found), hits / count(|_, dropped| dropped));
            [precision, recall, 2.0 * precision * recall / (precision + recall)]
        };
        let half = rows.len() / 2;
        let [precision, recall, f1] = score(half..rows.len());
        eprintln!(
            "  Jaccard {threshold}: first half F1 {:.3}; second half precision {precision:.3}, recall {recall:.3}, F1 {f1:.3}",
            score(0..half)[2]
        );
        Ok([score(0..half)[2], f1, threshold])
    };
    for (label, least) in [(0, 0.75), (1, 0.75), (2, 0.75), (3, 0.75)] {
        eprintln!("labels at {}", ["0.9", "0.8", "0.7", "0.6"][label]);
        let mut best = [0.0; 3];
        for threshold in [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85] {
            let found = measure(label, threshold)?;
            if found[0] > best[0] {
                best = found;
            }
        }
        eprintln!("  chosen: Jaccard {}, F1 {:.3}", best[2], best[1]);
        assert!(best[1] >= least, "{best:?}");
    }
    Ok(())
}

/// 500 abstracts, none of which is a copy of another.
#[test]
fn distinct_abstracts_are_not_lost() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let mut texts = Vec::new();
    for line in lines(&folder.join("pubmedqa/train_dev.jsonl.gz"))?.iter().filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_str(line)?;
        let contexts = value["contexts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.push(contexts.collect::<Vec<_>>().join(" "));
        texts.push(value["question"].as_str().unwrap_or_default().to_owned());
    }
    for threshold in [0.6, 0.7, 0.8, 0.9] {
        let found = near_duplicate_texts(&texts, &Similarity { threshold, ..Similarity::default() })?;
        let lost = found.iter().flatten().count();
        eprintln!("threshold {threshold}: {lost} of {} distinct texts lost", texts.len());
        assert!(lost * 1000 <= texts.len());
    }
    Ok(())
}

/// Answers of XQuAD stand in their paragraph; those of the next paragraph mostly do not.
#[test]
fn answers_are_told_from_those_of_other_passages() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let mut paragraphs = Vec::new();
    for line in lines(&folder.join("xquad-en/paragraphs.jsonl.gz"))?.iter().filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_str(line)?;
        let answers = value["qas"].as_array().into_iter().flatten();
        let answers =
            answers.filter_map(|qa| qa["answers"][0]["text"].as_str().or(qa["answers"][0].as_str()));
        let answers: Vec<String> = answers.map(str::to_owned).collect();
        paragraphs.push((value["context"].as_str().unwrap_or_default().to_owned(), answers));
    }
    let supported =
        |answer: &str, passage: &str| support(answer, passage).is_some_and(|(share, _)| share >= 0.7);
    let (mut right, mut wrong, mut all) = (0, 0, 0);
    for (at, (passage, answers)) in paragraphs.iter().enumerate() {
        let other = &paragraphs[(at + 60) % paragraphs.len()].0;
        // One word of three letters has no content to be judged by.
        for answer in answers.iter().filter(|answer| support(answer, answer).is_some()) {
            all += 1;
            right += usize::from(supported(answer, passage));
            wrong += usize::from(supported(answer, other));
        }
    }
    eprintln!("{right} of {all} answers supported by their passage, {wrong} by another");
    assert!(all > 400 && right * 100 >= 97 * all && wrong * 100 <= 5 * all);
    Ok(())
}

#[test]
fn every_schema_of_a_trainer_is_read() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let folder = folder.join("llamafactory-demo");
    for (name, kind, rows) in [
        ("alpaca_en_demo", "a conversation", 999),
        ("c4_demo", "raw text", 300),
        ("dpo_en_demo", "a preference pair", 300),
        ("glaive_toolcall_en_demo", "a conversation", 300),
        ("identity", "a conversation", 91),
        ("kto_en_demo", "a judged answer", 300),
    ] {
        let loaded = read_rows::<Row>(folder.join(format!("{name}.jsonl.gz")))?;
        assert_eq!(
            (loaded.items.len(), loaded.skipped.len()),
            (rows, 0),
            "{name}: {:?}",
            loaded.skipped.first()
        );
        assert!(loaded.items.iter().all(|row| row.kind() == kind), "{name}");
    }
    Ok(())
}

#[test]
fn good_collections_lose_little_to_heuristics() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    for name in ["medquad/qa.jsonl.gz", "dolly-3k/dolly_3k.jsonl.gz", "gsm8k/train.jsonl.gz"] {
        let loaded = read_examples(folder.join(name))?;
        assert!(loaded.skipped.is_empty());
        let n = loaded.items.len();
        let report = curate(loaded.items, &[], &CurateConfig::default())?.report;
        let heuristics = [Step::Structure, Step::Refusal, Step::Quality, Step::Language, Step::Truncation];
        let lost: usize = report
            .steps
            .iter()
            .filter(|step| heuristics.contains(&step.step))
            .map(|step| step.dropped())
            .sum();
        eprintln!("{name}: {lost} of {n} lost to heuristics\n{report}");
        assert!(lost * 1000 <= 2 * n, "{name}: {lost} of {n}");
    }
    Ok(())
}

#[test]
fn real_log_lines_are_neither_dropped_nor_redacted() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    for system in ["Android", "BGL", "HPC", "HealthApp", "Mac", "OpenStack", "Spark", "Windows"] {
        let lines = lines(&folder.join(format!("loghub-2k/{system}.log.gz")))?;
        let asked = lines.iter().map(|line| Example::pair(line.as_str(), "{\"ok\":true}", system));
        let told = lines.iter().map(|line| Example::pair("What does the log say?", line.as_str(), system));
        let rows: Vec<Example> =
            asked.chain(told).filter(|row| row.messages.iter().all(|m| !m.content.is_empty())).collect();
        let n = rows.len();
        let config = CurateConfig {
            contradictions: None,
            exact_duplicates: Switch::Off,
            near_duplicates: None,
            ..CurateConfig::default()
        };
        let curated = curate(rows, &[], &config)?;
        eprintln!(
            "{system}: {} of {n} kept, {} redacted: {:?}",
            curated.kept.len(),
            curated.redacted,
            curated.report.redactions
        );
        assert!(curated.kept.len() * 1000 >= 999 * n, "{}", curated.report);
        // One line of the Mac logs holds an e-mail address.
        assert!(curated.redacted <= 2, "{:?}", curated.report.redactions);
    }
    Ok(())
}

/// Answers of real rows with another number or a "not" in them, to a question in other words: found, and nothing else.
#[test]
fn planted_contradictions_are_found_in_text() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let mut rows = read_examples(folder.join("medquad/qa.jsonl.gz"))?.items;
    rows.extend(read_examples(folder.join("dolly-3k/dolly_3k.jsonl.gz"))?.items);
    let real = rows.len();
    let sentence = |row: &Example| {
        let text = row.answer().split_inclusive(['.', '\n']).map(str::trim);
        text.filter(|part| part.split_whitespace().count() > 9).map(str::to_owned).next()
    };
    let mut planted = 0;
    for at in (0..real).step_by(20) {
        let (row, Some(answer)) = (&rows[at], sentence(&rows[at])) else { continue };
        let number = answer.split_whitespace().find(|word| word.parse::<u32>().is_ok()).map(str::to_owned);
        let other = match number {
            Some(number) => answer.replacen(&number, &format!("{number}7"), 1),
            None if answer.contains(" is ") => answer.replacen(" is ", " is not ", 1),
            None => continue,
        };
        let question = format!("{} (planted {at} and {})", row.question().trim_end_matches('?'), at * 31);
        rows.push(Example::pair(format!("{question}?"), answer, format!("first:{at}")));
        rows.push(Example::pair(format!("Please tell me: {question}"), other, format!("second:{at}")));
        planted += 2;
    }
    let contradictions =
        Some(ContradictionConfig { answers: ContradictionScope::Facts, ..Default::default() });
    let found = curate(rows, &[], &CurateConfig { contradictions, ..CurateConfig::none() })?;
    let found: Vec<_> = found.dropped.iter().filter(|row| row.reason == DropReason::Contradiction).collect();
    let right = found.iter().filter(|row| row.example.source.starts_with(['f', 's'])).count();
    let wrong: Vec<_> =
        found.iter().filter(|row| row.example.question().find("(planted").is_none()).collect();
    for row in wrong.iter().take(6) {
        let answer: String = row.example.answer().chars().take(150).collect();
        eprintln!("  {}: {} -> {answer}", row.detail, row.example.question());
    }
    eprintln!("  found {right} of {planted} planted rows, and {} of {real} real ones", wrong.len());
    assert!(right * 20 >= planted * 19 && wrong.len() * 100 <= real);
    Ok(())
}

/// Names in collections that are about things: what is taken for one.
#[test]
fn names_are_rare_in_collections_about_things() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let kinds = [PiiKind::Name].into_iter().collect();
    for file in ["medquad/qa.jsonl.gz", "dolly-3k/dolly_3k.jsonl.gz", "nl2bash/pairs.jsonl.gz"] {
        let rows = read_examples(folder.join(file))?.items;
        let found = rows.iter().filter_map(|row| {
            let found = find_pii(row.answer(), &kinds);
            found.first().map(|first| row.answer()[first.start..first.end].to_owned())
        });
        let found: Vec<String> = found.collect();
        let some = &found[..found.len().min(12)];
        eprintln!("  {file}: a name in {} of {} answers, such as {some:?}", found.len(), rows.len());
        assert!(found.len() * 20 <= rows.len());
    }
    Ok(())
}
