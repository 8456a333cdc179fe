//! Strategies and triage around models that answer by a script.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use slm_core::{
    ChatRequest, ChatResponse, Citation, Embedder, FinishReason, LanguageModel, ToolChoice, Usage,
};
use slm_router::{
    Action, Calibration, ChainOfThought, Decompose, DecomposeConfig, IntentConfig, IntentDetector,
    Outcome as Record, OutcomeConfig, OutcomeRouter, Planner, Sample, SelfConsistency, SelfConsistencyConfig,
    Triage, TriageModel,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Answer = dyn Fn(&ChatRequest) -> String + Send + Sync;

/// Answers by a function, withholds where that says "?", and notes what it was asked.
#[derive(Clone)]
struct Script {
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn script(answer: impl Fn(&ChatRequest) -> String + Send + Sync + 'static) -> Script {
    Script { answer: Arc::new(answer), asked: Arc::default() }
}

impl Script {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

impl LanguageModel for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(request.last_user().to_owned());
        }
        let text = (self.answer)(request);
        if text == "?" {
            return Ok(ChatResponse::abstained("script", "No idea."));
        }
        let finish = if on_text(&text).is_break() { FinishReason::Cancelled } else { FinishReason::Stop };
        let usage = Usage { prompt_tokens: 10, completion_tokens: 1 };
        let citations = vec![Citation { source: text.clone(), start: 0, end: 1, text: "x".into() }];
        Ok(ChatResponse { citations, cost: Some(0.25), ..ChatResponse::new(text, "script", finish, usage) })
    }
}

/// The answer, and what was streamed of it.
fn ask(model: &dyn LanguageModel, question: &str) -> slm_core::Result<ChatResponse> {
    let mut said = String::new();
    let response = model.stream(&ChatRequest::question(question), &mut |piece| {
        said.push_str(piece);
        ControlFlow::Continue(())
    })?;
    assert_eq!(said, response.text);
    Ok(response)
}

/// To call a tool is no question to think about, to vote on or to take apart.
#[test]
fn a_call_that_is_forced_passes_through_as_it_is() -> Outcome {
    let question = "Who wrote it, and when was it printed?";
    let tool = serde_json::json!({"type": "function", "function": {"name": "look"}});
    let request = ChatRequest {
        tools: vec![tool],
        tool_choice: ToolChoice::Required,
        ..ChatRequest::question(question)
    };
    let inner = script(|request| format!("{:?} of {}", request.tool_choice, request.tools.len()));
    let models: [Box<dyn LanguageModel>; 3] = [
        Box::new(ChainOfThought::new(inner.clone())),
        Box::new(SelfConsistency::new(inner.clone(), SelfConsistencyConfig::default())?),
        Box::new(Decompose::new(Planner::Rules, inner.clone(), inner.clone(), DecomposeConfig::default())?),
    ];
    for model in &models {
        assert_eq!(model.chat(&request)?.text, "Required of 1");
    }
    assert_eq!(inner.asked(), [question; 3], "once each, word for word");
    Ok(())
}

#[test]
fn thoughts_are_kept_apart_from_the_answer() -> Outcome {
    let inner = script(|_| "Two and two.\nAnswer: is it 5?\nNo.\nAnswer: **4**\n".into());
    let response = ask(&ChainOfThought::new(inner.clone()), "2 + 2?")?;
    assert_eq!(response.text, "4");
    assert_eq!(response.reasoning.as_deref(), Some("Two and two.\nAnswer: is it 5?\nNo."));
    assert!(inner.asked()[0].starts_with("2 + 2?\n\nThink step by step."));
    assert_eq!(ask(&ChainOfThought::new(script(|_| "4".into())), "2 + 2?")?.text, "4");
    Ok(())
}

fn voting(answers: &'static [&'static str], min_agreement: f32) -> slm_router::Result<SelfConsistency> {
    let inner = script(|request| answers[request.generation.seed as usize % answers.len()].to_owned());
    let config =
        SelfConsistencyConfig { samples: answers.len(), min_agreement, ..SelfConsistencyConfig::default() };
    SelfConsistency::new(inner, config)
}

#[test]
fn the_majority_answers_and_says_how_large_it_is() -> Outcome {
    let response = ask(&voting(&["5", "The 4.", "4", "?", "4"], 0.5)?, "2 + 2?")?;
    assert!(response.text.contains('4') && response.agreement == Some(0.6));
    assert_eq!((response.usage.completion_tokens, response.cost), (4, Some(1.0)));
    let response = ask(&voting(&["1", "2", "3", "4", "4"], 0.5)?, "2 + 2?")?;
    assert_eq!((response.finish_reason, response.agreement), (FinishReason::Abstained, Some(0.4)));
    let response = ask(&voting(&["?", "?", "4"], 0.0)?, "2 + 2?")?;
    assert_eq!(response.finish_reason, FinishReason::Abstained);
    let frozen = SelfConsistencyConfig { temperature: 0.0, ..SelfConsistencyConfig::default() };
    assert!(SelfConsistency::new(script(|_| String::new()), frozen).is_err());
    Ok(())
}

/// Knows where Ann lives and that country's capital.
fn atlas() -> Script {
    script(|request| match request.last_user() {
        "What is the country where Ann lives?" => "Peru.".into(),
        "What is the capital of Peru?" => "Lima".into(),
        _ => "?".into(),
    })
}

const CAPITAL: &str = "What is the capital of the country where Ann lives?";

#[test]
fn parts_are_answered_in_turn_and_composed() -> Outcome {
    let (parts, composer) = (atlas(), script(|_| "Lima.".into()));
    let model = Decompose::new(Planner::Rules, parts.clone(), composer.clone(), DecomposeConfig::default())?;
    let response = ask(&model, CAPITAL)?;
    assert_eq!((response.text.as_str(), response.cost), ("Lima.", Some(0.75)));
    let steps = "1. What is the country where Ann lives? Peru.\n2. What is the capital of Peru? Lima\n";
    assert_eq!(response.reasoning.as_deref(), Some(steps));
    let sources: Vec<&str> = response.citations.iter().map(|citation| citation.source.as_str()).collect();
    assert_eq!(sources, ["Peru.", "Lima"]);
    assert!(composer.asked()[0].ends_with(&format!("{steps}\nQuestion: {CAPITAL}")));

    let simple = ask(&model, "What is the capital of Peru?")?;
    assert_eq!((simple.text.as_str(), composer.asked().len()), ("Lima", 1));
    let unknown = ask(&model, "What is the colour of the house that Bob has?")?;
    assert_eq!((unknown.finish_reason, composer.asked().len()), (FinishReason::Abstained, 1));
    Ok(())
}

#[test]
fn a_model_may_plan() -> Outcome {
    let plan = |text: &'static str| Planner::Model(Box::new(script(move |_| text.into())));
    let decompose = |planner| {
        Decompose::new(
            planner,
            atlas(),
            script(|request| request.last_user().lines().count().to_string()),
            DecomposeConfig::default(),
        )
    };
    let written = "1. What is the country where Ann lives?\n\n2) What is the capital of #1?\n- Who is #7?";
    let response = ask(&decompose(plan(written))?, CAPITAL)?;
    let reasoning = response.reasoning.unwrap_or_default();
    assert!(reasoning.contains("2. What is the capital of Peru? Lima\n3. Who is #7? unknown"), "{reasoning}");
    let long = "a?\nb?\nc?\nd?\ne?\nf?";
    assert_eq!(ask(&decompose(plan(long))?, "What is the capital of Peru?")?.text, "Lima", "asked whole");
    Ok(())
}

/// Two numbers: whether a text is about pumps, and whether it is long.
struct Measure;

impl Embedder for Measure {
    fn dimension(&self) -> usize {
        3
    }

    fn embed(&self, texts: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        let one = |text: &&str| {
            let (domain, hard) = (f32::from(text.contains("pump")), f32::from(text.contains("whose")));
            vec![domain, 1.0 - domain, hard]
        };
        Ok(texts.iter().map(one).collect())
    }
}

/// Numbered texts and their vectors.
fn numbered(texts: &[&str]) -> slm_core::Result<Vec<(String, Vec<f32>)>> {
    let texts: Vec<String> = (0..80).map(|n| format!("{} {n}", texts[n % texts.len()])).collect();
    let vectors = Measure.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(texts.into_iter().zip(vectors).collect())
}

fn samples(texts: &[(String, Vec<f32>)]) -> Vec<Sample<'_>> {
    texts.iter().map(|(text, vector)| Sample { vector, text }).collect()
}

fn triage() -> Result<Triage, Box<dyn std::error::Error>> {
    let (own, other) = (numbered(&["is pump on", "pump whose valve leaks"])?, numbered(&["poem"])?);
    let (own, other) = (samples(&own), samples(&other));
    let mut detector = IntentDetector::fit(&own, &vec!["pumps"; own.len()], &IntentConfig::default())?;
    detector.calibrate(&own, &other, &Calibration { max_false_accept: 0.1 })?;
    let outcomes: Vec<Record<'_>> = own
        .iter()
        .map(|&sample| Record {
            sample,
            local_is_right: !sample.text.contains("whose"),
            larger_is_right: true,
        })
        .collect();
    let mut router = OutcomeRouter::fit(&outcomes, &OutcomeConfig::default())?;
    let curve = router.calibrate_quality(&outcomes, 1.0)?;
    assert_eq!((curve.local(), curve.larger(), curve.calls_for_accuracy(1.0)), (0.5, 1.0, 0.5));
    Ok(Triage::new().with_domain(detector, Action::Abstain)?.with_remedy(Action::Escalate, router)?)
}

#[test]
fn one_decision_explains_itself_and_is_followed() -> Outcome {
    let triage = triage()?;
    let decided = |text: &str| triage.decide_text(text, &Measure);
    let easy = decided("is pump on 7")?;
    assert_eq!((easy.action, easy.scores.intent.as_deref()), (Action::Answer, Some("pumps")));
    assert_eq!((easy.reasons.len(), easy.scores.gains.len()), (3, 1), "{:?}", easy.reasons);
    let hard = decided("pump whose valve leaks 7")?;
    assert_eq!(hard.action, Action::Escalate);
    assert!(hard.reasons[1].contains("above its threshold"), "{:?}", hard.reasons);
    let off = decided("poem 7")?;
    assert_eq!((off.action, off.reasons.len()), (Action::Abstain, 1));

    let model = TriageModel::new(triage, std::sync::Arc::new(Measure), script(|_| "on".into()))
        .with_model(Action::Escalate, script(|_| "large".into()));
    for (text, answer, route) in [
        ("is pump on 7", "on", "answer"),
        ("pump whose valve leaks 7", "large", "escalate"),
        ("poem 7", "I don't know.", "abstain"),
    ] {
        let response = ask(&model, text)?;
        assert_eq!((response.text.as_str(), response.route.as_deref()), (answer, Some(route)));
    }
    Ok(())
}
