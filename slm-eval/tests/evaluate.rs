//! Whole evaluations of models that are right, wrong, failing and abstaining by rule.

use std::ops::ControlFlow;

use slm_core::{ChatRequest, ChatResponse, Citation, FinishReason, LanguageModel, Role, Usage};
use slm_data::{Example, Message};
use slm_eval::{CostModel, Error, EvalConfig, Evaluation, Forgetting, Metric, Outcome, Result, evaluate};

/// Answers with what stands after `say` in the last turn; breaks on `fail`, withholds on `hold`.
struct Obedient;

impl LanguageModel for Obedient {
    fn name(&self) -> &str {
        "obedient"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let (order, rest) = request.last_user().split_once(' ').unwrap_or_default();
        match order {
            "fail" => {
                let cause = std::io::Error::other("out of paper");
                return Err(slm_core::Error::model("printer", cause));
            }
            "hold" => return Ok(ChatResponse::abstained("obedient", rest)),
            _ => {}
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
        for piece in rest.split_inclusive(' ') {
            let _ = on_text(piece);
        }
        let turns = request.messages.len();
        let usage = Usage { prompt_tokens: 10 * turns, completion_tokens: 5 };
        Ok(ChatResponse {
            citations: vec![Citation { source: "book".into(), start: 0, end: 3, text: "abc".into() }],
            ..ChatResponse::new(rest, "obedient", FinishReason::Stop, usage)
        })
    }
}

fn suite() -> Vec<Example> {
    vec![
        Example::pair("say The Cat", "cat", "right"),
        Example::pair("say a cat sat", "the cat", "partly"),
        Example::pair("say dog", "cat", "wrong"),
        Example::pair("fail now", "cat", "broken"),
        Example::pair("hold I know no cat", "cat", "silent"),
    ]
}

fn run(examples: &[Example], config: &EvalConfig) -> Result<Evaluation> {
    evaluate(&Obedient, examples, config, &mut |_, _| {})
}

#[test]
fn right_wrong_failing_and_abstaining() -> Result<()> {
    let cost = CostModel { per_million_prompt_tokens: 1e6, ..CostModel::default() };
    let config = EvalConfig { metric: Metric::TokenF1, cost, ..EvalConfig::default() };
    let mut seen = Vec::new();
    let evaluation = evaluate(&Obedient, &suite(), &config, &mut |done, all| seen.push((done, all)))?;
    assert_eq!(seen, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);

    let scores: Vec<f64> = evaluation.rows.iter().map(|r| r.score).collect();
    // "cat sat" against "cat": P = 1/2, R = 1. An answer that is withheld gets no marks for its words.
    let expected = [1.0, 2.0 / 3.0, 0.0, 0.0, 0.0];
    assert!(scores.iter().zip(expected).all(|(s, e)| (s - e).abs() < 1e-12), "{scores:?}");
    let correct: Vec<bool> = evaluation.rows.iter().map(|r| r.correct).collect();
    assert_eq!(correct, [true, false, false, false, false]);

    let s = &evaluation.summary;
    assert_eq!((s.count, s.correct, s.failed, s.abstained), (5, 1, 1, 1));
    assert!((s.score - 1.0 / 3.0).abs() < 1e-12 && (s.abstention_rate - 0.2).abs() < 1e-12);
    assert!(s.score_when_answered.is_some_and(|score| (score - 5.0 / 9.0).abs() < 1e-12));
    assert!(s.interval.contains(s.score) && s.interval.high - s.interval.low > 0.2, "{:?}", s.interval);
    assert_eq!(s.usage, Usage { prompt_tokens: 30, completion_tokens: 15 });
    assert!(
        (s.cost.per_query - 6.0).abs() < 1e-9 && s.cost.per_correct.is_some_and(|c| (c - 30.0).abs() < 1e-9)
    );
    assert!(s.latency.count == 5 && s.latency.max >= 0.002 && s.latency.p50 <= s.latency.p90);
    assert_eq!(s.first_text.map(|f| f.count), Some(3));
    assert!(s.tokens_per_second.is_some_and(|rate| rate > 0.0 && rate <= 5.0 / 0.002));
    Ok(())
}

/// Charges for the one answer that it gets from elsewhere.
struct Charging;

impl LanguageModel for Charging {
    fn name(&self) -> &str {
        "charging"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let response = Obedient.stream(request, on_text)?;
        let is_remote = response.text == "The Cat";
        let (cost, route) = (is_remote.then_some(2.0), is_remote.then(|| "larger".into()));
        Ok(ChatResponse { cost, route, ..response })
    }
}

#[test]
fn what_an_answer_says_it_costs_counts_and_its_tokens_do_not() -> Result<()> {
    let cost = CostModel { per_million_prompt_tokens: 1e6, ..CostModel::default() };
    let config = EvalConfig { cost, ..EvalConfig::default() };
    let evaluation = evaluate(&Charging, &suite(), &config, &mut |_, _| {})?;
    // Two answers of ten tokens at 1, and one that says 2.
    let bill = &evaluation.summary.cost;
    assert!((bill.total - 22.0).abs() < 1e-9 && (bill.per_query - 4.4).abs() < 1e-9, "{bill:?}");
    assert!(bill.per_correct.is_some_and(|cost| (cost - 22.0).abs() < 1e-9));
    let Outcome::Answered { route, .. } = &evaluation.rows[0].outcome else { panic!("it answered") };
    assert_eq!(route.as_deref(), Some("larger"));
    Ok(())
}

#[test]
fn rows_tell_what_happened() -> Result<()> {
    let evaluation = run(&suite(), &EvalConfig::default())?;
    let row = &evaluation.rows[0];
    assert_eq!(
        (row.question.as_str(), row.gold.as_str(), row.answer()),
        ("say The Cat", "cat", Some("The Cat"))
    );
    let Outcome::Answered { citations, finish_reason, .. } = &row.outcome else { panic!("{row:?}") };
    assert_eq!((citations[0].source.as_str(), *finish_reason), ("book", FinishReason::Stop));
    let row = &evaluation.rows[3];
    let Outcome::Failed { error } = &row.outcome else { panic!("{row:?}") };
    assert_eq!(error, "model printer failed: out of paper");
    assert!(row.failed() && row.answer().is_none() && evaluation.rows[4].abstained());
    Ok(())
}

#[test]
fn an_abstention_is_right_where_it_is_expected() -> Result<()> {
    let evaluation = run(&[Example::pair("hold I don't know.", "I don't know", "")], &EvalConfig::default())?;
    assert_eq!((evaluation.summary.score, evaluation.summary.abstained), (1.0, 1));
    assert_eq!(evaluation.summary.score_when_answered, None);
    Ok(())
}

#[test]
fn the_turns_before_the_last_answer_are_the_prompt() -> Result<()> {
    let turn = |role, content: &str| Message { role, content: content.into() };
    use slm_data::Role::{Assistant, System, User};
    let messages = vec![
        turn(System, "obey"),
        turn(User, "say one"),
        turn(Assistant, "one"),
        turn(User, "say two"),
        turn(Assistant, "two"),
        turn(User, "thanks"),
    ];
    struct Reader;
    impl LanguageModel for Reader {
        fn name(&self) -> &str {
            "reader"
        }
        fn stream(
            &self,
            request: &ChatRequest,
            on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> slm_core::Result<ChatResponse> {
            let roles: Vec<Role> = request.messages.iter().map(|m| m.role).collect();
            assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
            assert_eq!(request.generation.max_new_tokens, 7);
            Obedient.stream(request, on_text)
        }
    }
    let example = Example { messages, source: "chat".into(), ..Example::default() };
    let mut config = EvalConfig::default();
    config.generation.max_new_tokens = 7;
    let evaluation = evaluate(&Reader, &[example], &config, &mut |_, _| {})?;
    assert_eq!((evaluation.rows[0].question.as_str(), evaluation.summary.score), ("say two", 1.0));
    Ok(())
}

#[test]
fn json_answers_are_compared_by_value() -> Result<()> {
    let examples = [
        Example::pair(r#"say Sure: {"b": 2, "a": 1}"#, r#"{"a": 1, "b": 2}"#, ""),
        Example::pair(r#"say {"a": 1, "b": 3}"#, r#"{"a": 1, "b": 2}"#, ""),
        Example::pair("say nothing of the kind", r#"{"a": 1, "b": 2}"#, ""),
    ];
    let score =
        |metric| run(&examples, &EvalConfig { metric, ..EvalConfig::default() }).map(|e| e.summary.score);
    assert_eq!(score(Metric::JsonExactMatch)?, 1.0 / 3.0);
    assert_eq!(score(Metric::JsonFieldAccuracy)?, 0.5);
    Ok(())
}

#[test]
fn a_suite_that_cannot_be_scored_is_refused_before_it_is_asked() {
    let json = EvalConfig { metric: Metric::JsonExactMatch, ..EvalConfig::default() };
    let level = EvalConfig { level: 1.0, ..EvalConfig::default() };
    let price = CostModel { per_hour: f64::NAN, ..CostModel::default() };
    let good = Example::pair("say x", "x", "");
    let mute =
        Example { messages: good.messages[..1].to_vec(), source: "file:7".into(), ..Example::default() };
    let sudden = Example { messages: good.messages[1..].to_vec(), ..Example::default() };
    for (examples, config, expected) in [
        (vec![good.clone(), mute], EvalConfig::default(), "example 1 (file:7): it has no assistant turn"),
        (vec![sudden], EvalConfig::default(), "no turn before the answer"),
        (vec![good.clone()], json, "not JSON"),
        (vec![good.clone()], level, "`level` is 1"),
        (vec![good], EvalConfig { cost: price, ..EvalConfig::default() }, "`per_hour` is NaN"),
        (vec![], EvalConfig::default(), "no values to measure"),
    ] {
        let mut asked = 0;
        let error = evaluate(&Obedient, &examples, &config, &mut |_, _| asked += 1).expect_err(expected);
        assert!(error.to_string().contains(expected) && asked == 0, "{error}");
    }
}

#[test]
fn an_evaluation_survives_its_file() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("deep/evaluation.json");
    let evaluation = run(&suite(), &EvalConfig { metric: Metric::TokenF1, ..EvalConfig::default() })?;
    evaluation.save(&path)?;
    assert_eq!(Evaluation::load(&path)?, evaluation);
    let files = std::fs::read_dir(folder.path().join("deep")).expect("the folder").count();
    assert_eq!(files, 1, "a temporary file was left behind");
    std::fs::write(&path, "{}").expect("a file");
    assert!(matches!(Evaluation::load(&path), Err(Error::Parse { what: "evaluation", .. })));
    assert!(matches!(Evaluation::load(&folder.path().join("none")), Err(Error::Core(_))));
    Ok(())
}

/// Says what it is told in capitals, and nothing but `x` to questions about dogs.
struct Trained;

impl LanguageModel for Trained {
    fn name(&self) -> &str {
        "trained"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let question = request.last_user();
        let told = if question.contains("dog") { "say x" } else { "say cat" };
        Obedient.stream(&ChatRequest::question(told), on_text)
    }
}

#[test]
fn forgetting_finds_what_was_lost_and_won() -> Result<()> {
    let examples: Vec<Example> = (0..12)
        .map(|i| match i % 3 {
            0 => Example::pair("say dog", "dog", "old"),
            1 => Example::pair("say cow", "cat", "new"),
            _ => Example::pair("say cat", "cat", "kept"),
        })
        .chain([Example::pair("fail", "cat", "new")])
        .collect();
    let config = EvalConfig::default();
    let before = run(&examples, &config)?;
    let after = evaluate(&Trained, &examples, &config, &mut |_, _| {})?;
    let forgetting = Forgetting::compare(&before, &after)?;
    assert_eq!((forgetting.lost.len(), forgetting.won.len()), (4, 5));
    assert_eq!(forgetting.lost.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 3, 6, 9]);
    assert_eq!(forgetting.lost[0].after.as_deref(), Some("x"));
    assert!((forgetting.overall.change - 1.0 / 13.0).abs() < 1e-12);
    assert!(forgetting.overall.interval.contains(0.0), "nine changes either way prove nothing");
    let changes: Vec<(&str, f64)> = forgetting.groups.iter().map(|(s, c)| (s.as_str(), c.change)).collect();
    assert_eq!(changes, [("kept", 0.0), ("new", 1.0), ("old", -1.0)]);
    assert_eq!(forgetting.groups["old"].p_value, 2.0 / 16.0);

    let shorter = run(&examples[..5], &config)?;
    let error = Forgetting::compare(&before, &shorter).expect_err("fewer rows");
    assert!(error.to_string().contains("number of examples: 13 before, 5 after"), "{error}");
    let mut other = examples;
    other[2] = Example::pair("say cat", "dog", "kept");
    let error = Forgetting::compare(&before, &run(&other, &config)?).expect_err("another answer");
    assert!(error.to_string().contains("expected answer of example 2"), "{error}");
    Ok(())
}
