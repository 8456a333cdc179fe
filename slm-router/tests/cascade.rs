//! Cascades and caches over models that note how often they are asked.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_router::{
    AnswerSignals, CacheConfig, CachedModel, Cascade, CascadeConfig, CascadeRoute, Clock, Error, Fallback,
    RiskLimit, TrustModel,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Says its name, and is as sure as it was told to be.
#[derive(Clone)]
struct Model {
    name: &'static str,
    support: Option<f32>,
    finish: FinishReason,
    cost: Option<f64>,
    fails: Arc<Mutex<Option<&'static str>>>,
    calls: Arc<AtomicUsize>,
}

fn model(name: &'static str) -> Model {
    Model {
        name,
        support: Some(1.0),
        finish: FinishReason::Stop,
        cost: None,
        fails: Arc::default(),
        calls: Arc::default(),
    }
}

impl Model {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Lets it fail before it says anything, or after its first word.
    fn breaks(&self, when: &'static str) {
        if let Ok(mut fails) = self.fails.lock() {
            *fails = Some(when);
        }
    }
}

impl LanguageModel for Model {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(
        &self,
        _: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let fails = self.fails.lock().map(|fails| *fails).unwrap_or_default();
        if fails == Some("before") {
            return Err(slm_core::Error::model(self.name, "down"));
        }
        let stops = on_text(self.name).is_break();
        if fails == Some("midway") {
            return Err(slm_core::Error::model(self.name, "broke off"));
        }
        let finish = if stops { FinishReason::Cancelled } else { self.finish };
        let usage = Usage { prompt_tokens: 5, completion_tokens: 2 };
        let response = ChatResponse::new(self.name, self.name, finish, usage);
        Ok(ChatResponse { support: self.support, cost: self.cost, ..response })
    }
}

/// Right where the support is high; nine in ten.
fn judged(n: usize) -> Vec<(AnswerSignals, bool)> {
    let one = |i: usize| {
        let support = (i % 10) as f32 / 9.0;
        let right = if i % 7 == 3 { support < 0.5 } else { support > 0.5 };
        (AnswerSignals { support: Some(support), tokens: Some(2.0), ..AnswerSignals::default() }, right)
    };
    (0..n).map(one).collect()
}

fn trust() -> slm_router::Result<TrustModel> {
    let mut trust = TrustModel::fit(&judged(400))?;
    let report = trust.calibrate(&judged(401)[1..], &RiskLimit { max_error: 0.25, delta: 0.05 })?;
    assert!(report.error_rate() <= 0.25 && report.coverage() > 0.4, "{report:?}");
    Ok(trust)
}

fn cascade(local: &Model, larger: &Model, fallback: Fallback) -> slm_router::Result<Cascade> {
    let config = CascadeConfig { fallback, ..CascadeConfig::default() };
    Cascade::new(local.clone(), larger.clone(), trust()?, config)
}

/// What was said, by which way, and whether the larger model failed.
fn ask(cascade: &Cascade) -> slm_core::Result<(String, CascadeRoute, bool)> {
    let mut said = String::new();
    let cascaded = cascade.answer(&ChatRequest::question("?"), &mut |piece| {
        said.push_str(piece.text());
        ControlFlow::Continue(())
    })?;
    assert_eq!(said, cascaded.response.text);
    assert_eq!(cascaded.response.route.as_deref(), Some(cascaded.route.name()));
    assert!(!cascaded.reason.is_empty());
    Ok((said, cascaded.route, cascaded.failure.is_some()))
}

#[test]
fn a_trusted_answer_stands_and_another_goes_to_the_larger_model() -> Outcome {
    let (local, larger) = (model("small"), Model { cost: Some(0.5), ..model("large") });
    let sure = cascade(&local, &larger, Fallback::Local)?;
    assert_eq!(ask(&sure)?, ("small".into(), CascadeRoute::Local, false));
    assert_eq!((larger.calls(), sure.stats().cost), (0, 0.0));

    let unsure = Model { support: Some(0.1), ..local };
    let cascade = cascade(&unsure, &larger, Fallback::Local)?;
    assert_eq!(ask(&cascade)?, ("large".into(), CascadeRoute::Larger, false));
    let response = cascade.chat(&ChatRequest::question("?"))?;
    assert_eq!(response.cost, Some(0.5));
    assert_eq!(response.usage, Usage { prompt_tokens: 10, completion_tokens: 4 }, "of both");
    assert_eq!((cascade.stats().larger, cascade.stats().cost), (2, 1.0));
    Ok(())
}

#[test]
fn a_local_model_that_does_not_know_hands_on() -> Outcome {
    let shy = Model { finish: FinishReason::Abstained, ..model("small") };
    let larger = model("large");
    let shy_first = cascade(&shy, &larger, Fallback::Local)?;
    assert_eq!(ask(&shy_first)?.1, CascadeRoute::Larger);
    larger.breaks("before");
    assert_eq!(ask(&shy_first)?, ("I don't know.".into(), CascadeRoute::Abstained, true));
    Ok(())
}

#[test]
fn what_happens_without_the_larger_model_is_a_policy() -> Outcome {
    let (local, larger) = (Model { support: Some(0.1), ..model("small") }, model("large"));
    larger.breaks("before");
    let asked = |fallback| -> Result<_, Box<dyn std::error::Error>> {
        Ok(ask(&cascade(&local, &larger, fallback)?)?)
    };
    assert_eq!(asked(Fallback::Local)?, ("small".into(), CascadeRoute::LocalAfterFailure, true));
    assert_eq!(asked(Fallback::Abstain)?, ("I don't know.".into(), CascadeRoute::Abstained, true));
    assert!(asked(Fallback::Fail).is_err());
    larger.breaks("midway");
    assert!(asked(Fallback::Local).is_err(), "what was said cannot be withdrawn");
    Ok(())
}

#[test]
fn some_go_straight_to_the_larger_model_and_come_back_if_it_is_down() -> Outcome {
    let (local, larger) = (model("small"), model("large"));
    let cascade =
        cascade(&local, &larger, Fallback::Local)?.with_straight(|request| request.last_user() == "?");
    assert_eq!(ask(&cascade)?.1, CascadeRoute::Larger);
    assert_eq!(local.calls(), 0);
    larger.breaks("before");
    assert_eq!(ask(&cascade)?, ("small".into(), CascadeRoute::LocalAfterFailure, true));
    Ok(())
}

#[test]
fn what_cannot_work_is_an_error() -> Outcome {
    let bare = TrustModel::fit(&judged(400))?;
    let made = Cascade::new(model("small"), model("large"), bare, CascadeConfig::default());
    assert!(matches!(made.err(), Some(Error::NotCalibrated { .. })));
    let silent = Model { support: None, ..model("small") };
    assert!(ask(&cascade(&silent, &model("large"), Fallback::Local)?).is_err());
    assert!(TrustModel::fit(&judged(10)).is_err());
    Ok(())
}

#[test]
fn trust_is_the_same_after_saving() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trust.json");
    let trust = trust()?;
    trust.save(&path)?;
    assert_eq!(TrustModel::load(&path)?, trust);
    std::fs::write(&path, std::fs::read_to_string(&path)?.replacen("\"classes\":2", "\"classes\":3", 1))?;
    assert!(TrustModel::load(&path).is_err());
    Ok(())
}

#[derive(Default)]
struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {}
}

fn question(text: &str) -> ChatRequest {
    ChatRequest::question(text)
}

#[test]
fn the_same_is_asked_once_until_it_is_old() -> Outcome {
    let model = Model { cost: Some(0.5), ..model("large") };
    let clock = Arc::new(At::default());
    let cached = CachedModel::new(model.clone(), CacheConfig { answers: 10, seconds: 60.0 })?
        .with_clock(clock.clone());
    let first = cached.chat(&question("a"))?;
    let mut pieces = Vec::new();
    let second = cached.stream(&question("a"), &mut |piece| {
        pieces.push(piece.to_owned());
        ControlFlow::Continue(())
    })?;
    assert_eq!((pieces.concat(), model.calls()), (first.text.clone(), 1));
    assert_eq!((first.cost, second.cost, second.usage), (Some(0.5), Some(0.0), Usage::default()));
    assert_eq!(second.route.as_deref(), Some("cache"));
    let other = ChatRequest {
        generation: slm_core::GenerationConfig { seed: 7, ..Default::default() },
        ..question("a")
    };
    cached.chat(&other)?;
    assert_eq!(model.calls(), 2, "another seed is another question");
    clock.0.store(60, Ordering::Relaxed);
    cached.chat(&question("a"))?;
    assert_eq!(model.calls(), 3);
    assert_eq!((cached.stats().hits, cached.stats().misses), (1, 3));
    Ok(())
}

#[test]
fn the_order_of_fields_does_not_count() -> Outcome {
    let model = model("large");
    let cached = CachedModel::new(model.clone(), CacheConfig::default())?;
    for text in [
        r#"{"type": "function", "function": {"name": "f"}}"#,
        r#"{"function": {"name": "f"}, "type": "function"}"#,
    ] {
        cached.chat(&ChatRequest { tools: vec![serde_json::from_str(text)?], ..question("a") })?;
    }
    assert_eq!(model.calls(), 1);
    Ok(())
}

#[test]
fn the_least_recently_asked_goes_first() -> Outcome {
    let model = model("large");
    let cached = CachedModel::new(model.clone(), CacheConfig { answers: 2, seconds: 60.0 })?;
    for text in ["a", "b", "a", "c", "a"] {
        cached.chat(&question(text))?;
    }
    assert_eq!((model.calls(), cached.stats().answers), (3, 2));
    cached.chat(&question("b"))?;
    assert_eq!(model.calls(), 4);
    Ok(())
}

#[test]
fn only_whole_answers_are_kept() -> Outcome {
    for finish in [FinishReason::Abstained, FinishReason::ToolCalls] {
        let model = Model { finish, ..model("large") };
        let cached = CachedModel::new(model.clone(), CacheConfig::default())?;
        cached.chat(&question("a"))?;
        cached.chat(&question("a"))?;
        assert_eq!(model.calls(), 2, "{finish:?}");
    }
    let (unsure, down) = (Model { support: Some(0.1), ..model("small") }, model("large"));
    down.breaks("before");
    let cached = CachedModel::new(cascade(&unsure, &down, Fallback::Local)?, CacheConfig::default())?;
    cached.chat(&question("a"))?;
    assert_eq!(cached.stats().answers, 0, "it only stands in");
    let model = model("large");
    let cached = CachedModel::new(model.clone(), CacheConfig::default())?;
    cached.stream(&question("a"), &mut |_| ControlFlow::Break(()))?;
    model.breaks("before");
    assert!(cached.chat(&question("a")).is_err());
    assert_eq!((model.calls(), cached.stats().answers), (2, 0));
    Ok(())
}
