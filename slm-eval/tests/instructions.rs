//! Instructions against the checker of lm-evaluation-harness, on goldens of `goldens/make_instructions.py`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use slm_eval::instructions::{Followed, InstructionScores, InstructionTask, count_sentences};
use slm_eval::{Error, Result};

#[derive(Deserialize)]
struct Goldens {
    rows: Vec<Row>,
    sentences: Vec<(String, usize)>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    task: InstructionTask,
    answer: String,
    strict: Vec<bool>,
    loose: Vec<bool>,
}

fn goldens() -> Goldens {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/instructions.json");
    let text = std::fs::read_to_string(path).expect("the goldens");
    serde_json::from_str(&text).expect("goldens as the script writes them")
}

/// These ask a trained model, which is another one here: they may differ now and then.
const JUDGED: [&str; 4] = [
    "language:response_language",
    "change_case:english_capital",
    "change_case:english_lowercase",
    "length_constraints:number_sentences",
];

#[test]
fn verdicts_are_the_harnesss() -> Result<()> {
    let (mut judged, mut same, mut ids) = (0, 0, BTreeSet::new());
    for Row { task, answer, strict, loose } in goldens().rows {
        let found = task.check(&answer)?;
        for (got, expected) in [(&found.strict, strict), (&found.loose, loose)] {
            for ((id, got), expected) in task.ids.iter().zip(got).zip(expected) {
                ids.insert(id.clone());
                if JUDGED.contains(&id.as_str()) {
                    judged += 1;
                    same += usize::from(*got == Some(expected));
                } else {
                    assert_eq!(*got, Some(expected), "{task:?}\n{answer:?}");
                }
            }
        }
    }
    assert_eq!(ids.len(), 25, "the goldens hold every instruction");
    println!("judged by other models: {same} of {judged} the same");
    assert!(same * 100 >= judged * 97, "{same} of {judged}");
    Ok(())
}

#[test]
fn sentences_are_counted_much_as_nltk_does() {
    let sentences = goldens().sentences;
    let wrong = sentences.iter().filter(|(text, count)| count_sentences(text) != *count).count();
    println!("{wrong} of {} texts counted otherwise", sentences.len());
    assert!(wrong * 20 <= sentences.len(), "{wrong}");
}

fn task(instructions: &serde_json::Value) -> serde_json::Result<InstructionTask> {
    let (ids, kwargs): (Vec<_>, Vec<_>) = instructions
        .as_array()
        .expect("pairs of id and kwargs")
        .iter()
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .unzip();
    serde_json::from_value(serde_json::json!({"prompt": "p", "instruction_id_list": ids, "kwargs": kwargs}))
}

#[test]
fn accuracies_by_hand() -> Result<()> {
    let parse = |value: serde_json::Value| task(&value).expect("instructions");
    let commas =
        parse(serde_json::json!([["punctuation:no_comma", {}], ["startend:quotation", {"spare": null}]]));
    let swahili = parse(serde_json::json!([["language:response_language", {"language": "sw"}]]));
    let answers: Vec<Followed> = [
        commas.check("\"None\"")?,
        commas.check("Here, then:\n\"None\"")?,
        commas.check("")?,
        swahili.check("Habari ya asubuhi")?,
    ]
    .into();
    assert_eq!(answers[1].strict, [Some(false), Some(false)]);
    assert_eq!(answers[1].loose, [Some(true), Some(true)], "without its first line");
    assert_eq!(answers[3].strict, [None]);
    let scores = InstructionScores::of(&answers)?;
    assert_eq!((scores.prompt_strict, scores.prompt_loose), (1.0 / 3.0, 2.0 / 3.0));
    assert_eq!((scores.instruction_strict, scores.instruction_loose), (2.0 / 6.0, 4.0 / 6.0));
    assert_eq!((scores.unchecked, scores.by_id["punctuation:no_comma"]), (1, (1, 3)));
    assert!(matches!(InstructionScores::of(&answers[3..]), Err(Error::Empty { .. })));
    Ok(())
}

#[test]
fn unknown_instructions_are_refused_by_name() {
    for (bad, expected) in [
        (serde_json::json!([["startend:rhyme", {}]]), "startend:rhyme"),
        (serde_json::json!([["keywords:frequency", {"keyword": "a"}]]), "frequency"),
    ] {
        let error = task(&bad).expect_err("a bad instruction");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_public_prompts_are_understood() {
    let Some(data) = std::env::var_os("SLM_DATA") else {
        eprintln!("SLM_DATA is not set: nothing to read");
        return;
    };
    let text = std::fs::read_to_string(Path::new(&data).join("ifeval/prompts.jsonl")).expect("the prompts");
    let tasks: Vec<InstructionTask> =
        text.lines().map(|line| serde_json::from_str(line).expect("a prompt")).collect();
    assert!(tasks.len() > 200 && tasks.iter().all(|task| task.ids.len() == task.instructions.len()));
}
