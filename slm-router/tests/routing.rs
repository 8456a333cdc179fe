//! A router over models that note what they were asked.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Message, TokenLogprob, Usage};
use slm_router::{
    Calibration, Delivery, DetectorConfig, DomainDetector, Error, Escalation, Route, RouteConfig, RouteKind,
    Router, RouterConfig,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LIBRARY: &[&str] = &[
    "Is book B-204 on the shelf?",
    "Extend the loan of book B-77.",
    "Which loans are overdue?",
    "Reserve a copy of book B-31.",
];
const GARAGE: &[&str] = &[
    "When is the car due for service?",
    "Order brake pads for the car.",
    "Change the oil and both filters.",
    "Which tyres fit this car?",
];
const OTHERS: &[&str] =
    &["How do I bake bread?", "Why is the sky blue?", "Tell me a joke.", "Who painted this?", "Sing a song."];

/// Says "one two three" in pieces, with a fixed certainty.
#[derive(Clone)]
struct Model {
    name: &'static str,
    logprob: Option<f32>,
    finish: FinishReason,
    asked: Arc<Mutex<Vec<ChatRequest>>>,
}

fn model(name: &'static str) -> Model {
    Model { name, logprob: Some(-0.1), finish: FinishReason::Stop, asked: Arc::default() }
}

impl Model {
    fn calls(&self) -> usize {
        self.asked.lock().map(|asked| asked.len()).unwrap_or_default()
    }
}

impl LanguageModel for Model {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        if self.name == "broken" {
            return Err(slm_core::Error::model("broken", "out of order"));
        }
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(request.clone());
        }
        let (mut text, mut finish_reason) = (String::new(), self.finish);
        for piece in ["one ", "two ", "three"] {
            text.push_str(piece);
            if on_text(piece).is_break() {
                finish_reason = FinishReason::Cancelled;
                break;
            }
        }
        let logprobs = self.logprob.filter(|_| request.generation.logprobs);
        let logprobs =
            logprobs.map(|logprob| (0..3).map(|id| TokenLogprob { id, logprob, top: Vec::new() }).collect());
        let usage = Usage { prompt_tokens: 10, completion_tokens: 3 };
        Ok(ChatResponse { logprobs, ..ChatResponse::new(text, self.name, finish_reason, usage) })
    }
}

/// Held-out questions of both domains; those of the other domain do not fit and only count as refused.
const HELD_OUT: &[&str] = &["Extend the loan of book B-5 again.", "Order two tyres for the car."];

fn detector(texts: &[&str]) -> slm_router::Result<DomainDetector> {
    let mut detector =
        DomainDetector::fit(texts, &[], &DetectorConfig { neighbours: 1, ..Default::default() })?;
    detector.calibrate(HELD_OUT, OTHERS, &Calibration { max_false_accept: 0.2 })?;
    Ok(detector)
}

fn library(model: &Model, config: RouteConfig) -> slm_router::Result<Route> {
    Route::new("library", detector(LIBRARY)?, model.clone())?.with_config(config)
}

fn ask(router: &Router, question: &str) -> slm_core::Result<(slm_router::Routed, Vec<String>)> {
    let mut pieces = Vec::new();
    let routed = router.answer(&ChatRequest::question(question), &mut |piece| {
        pieces.push(piece.text().to_owned());
        ControlFlow::Continue(())
    })?;
    assert_eq!(pieces.concat(), routed.response.text);
    Ok((routed, pieces))
}

const IN_LIBRARY: &str = "Extend the loan of book B-9.";
const FLOOR: RouteConfig = RouteConfig { delivery: Delivery::Held, min_mean_logprob: Some(-0.5) };

#[test]
fn each_question_goes_to_its_own_expert() -> Outcome {
    let (books, cars, large) = (model("books"), model("cars"), model("large"));
    let garage = Route::new("garage", detector(GARAGE)?, cars.clone())?;
    let router =
        Router::new(vec![library(&books, RouteConfig::default())?, garage], RouterConfig::default())?
            .with_larger(large);
    for (question, name, route) in [
        (IN_LIBRARY, "books", RouteKind::Route(0)),
        ("Order new tyres for the car.", "cars", RouteKind::Route(1)),
        ("Why do stars twinkle?", "large", RouteKind::Larger),
    ] {
        let (routed, _) = ask(&router, question)?;
        assert_eq!((routed.response.model.as_str(), routed.answered_by), (name, route), "{question}");
        assert_eq!((routed.decision, routed.escalation), (router.route(question)?, None));
    }
    let decision = router.route(IN_LIBRARY)?;
    assert_eq!(decision.route_name(), Some("library"));
    assert!(decision.scores[0].margin > 0.0 && decision.scores[1].margin < 0.0, "{decision:?}");
    assert_eq!((books.calls(), cars.calls()), (1, 1));
    let stats = router.stats();
    assert_eq!(stats.routes, [("library".to_owned(), 1), ("garage".to_owned(), 1)]);
    assert_eq!((stats.larger, stats.abstained, stats.escalated), (1, 0, 0));
    Ok(())
}

#[test]
fn the_largest_margin_wins_and_not_the_first_route() -> Outcome {
    let both: Vec<&str> = LIBRARY.iter().chain(&GARAGE[..1]).copied().collect();
    let routes = || -> slm_router::Result<_> {
        let both = Route::new("both", detector(&both)?, model("both"))?;
        Ok([both, Route::new("garage", detector(GARAGE)?, model("garage"))?])
    };
    let [both, garage] = routes()?;
    let forwards = Router::new(vec![both, garage], RouterConfig::default())?;
    let [both, garage] = routes()?;
    let backwards = Router::new(vec![garage, both], RouterConfig::default())?;
    let question = "When is the car due for new brake pads?";
    let (first, second) = (forwards.route(question)?, backwards.route(question)?);
    assert!(first.scores.iter().all(|score| score.margin > 0.0), "{first:?}");
    let best =
        first.scores.iter().max_by(|a, b| a.margin.total_cmp(&b.margin)).map(|score| score.name.as_str());
    assert_eq!((first.route_name(), second.route_name()), (best, best));
    assert_ne!(first.route, second.route);
    Ok(())
}

#[test]
fn without_a_larger_model_it_says_that_it_does_not_know() -> Outcome {
    let books = model("books");
    let config = RouterConfig { name: "front desk".into(), abstain_text: "Not my field.".into() };
    let router = Router::new(vec![library(&books, RouteConfig::default())?], config)?;
    let (routed, pieces) = ask(&router, "Why do stars twinkle?")?;
    assert_eq!(pieces, ["Not my field."]);
    assert_eq!(routed.response.finish_reason, FinishReason::Abstained);
    assert_eq!((routed.response.model.as_str(), books.calls()), ("front desk", 0));
    assert_eq!((routed.decision.route, router.stats().abstained), (RouteKind::Abstain, 1));
    Ok(())
}

#[test]
fn an_uncertain_answer_is_withdrawn_before_anyone_sees_it() -> Outcome {
    let unsure = Model { logprob: Some(-2.0), ..model("books") };
    let router =
        Router::new(vec![library(&unsure, FLOOR)?], RouterConfig::default())?.with_larger(model("large"));
    let (routed, pieces) = ask(&router, IN_LIBRARY)?;
    assert_eq!(pieces, ["one ", "two ", "three"], "the larger model's pieces, once");
    assert_eq!((routed.response.model.as_str(), routed.answered_by), ("large", RouteKind::Larger));
    assert_eq!(routed.decision.route, RouteKind::Route(0));
    assert_eq!(routed.escalation, Some(Escalation::LowConfidence { mean_logprob: -2.0, floor: -0.5 }));
    assert_eq!(routed.response.usage, Usage { prompt_tokens: 20, completion_tokens: 6 });
    assert_eq!((router.stats().escalated, unsure.calls()), (1, 1));
    Ok(())
}

#[test]
fn a_certain_answer_stands_and_has_the_logprobs_that_were_asked_for() -> Outcome {
    let books = model("books");
    let router = Router::new(vec![library(&books, FLOOR)?], RouterConfig::default())?;
    let mut request = ChatRequest::question(IN_LIBRARY);
    assert_eq!(router.chat(&request)?.logprobs, None);
    request.generation.logprobs = true;
    assert_eq!(router.chat(&request)?.mean_logprob(), Some(-0.1));
    Ok(())
}

#[test]
fn a_floor_without_logprobs_is_an_error_and_not_a_pass() -> Outcome {
    let silent = Model { logprob: None, ..model("books") };
    let router =
        Router::new(vec![library(&silent, FLOOR)?], RouterConfig::default())?.with_larger(model("large"));
    let error = ask(&router, IN_LIBRARY).err().ok_or("an answer without log-probabilities passed")?;
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("library") && cause.contains("hint: "), "{cause}");
    Ok(())
}

#[test]
fn a_model_that_abstains_hands_on() -> Outcome {
    let shy = Model { finish: FinishReason::Abstained, ..model("books") };
    let router = Router::new(vec![library(&shy, RouteConfig::default())?], RouterConfig::default())?;
    let (routed, pieces) = ask(&router, IN_LIBRARY)?;
    assert_eq!(pieces, ["I don't know."]);
    assert_eq!((routed.answered_by, routed.escalation), (RouteKind::Abstain, Some(Escalation::Abstained)));
    let router = router.with_larger(model("large"));
    assert_eq!(ask(&router, IN_LIBRARY)?.0.response.model, "large");
    Ok(())
}

#[test]
fn streamed_routes_pass_pieces_on_and_can_be_cancelled() -> Outcome {
    let streamed = RouteConfig { delivery: Delivery::Streamed, min_mean_logprob: None };
    let router = Router::new(vec![library(&model("books"), streamed)?], RouterConfig::default())?;
    assert_eq!(ask(&router, IN_LIBRARY)?.1, ["one ", "two ", "three"]);
    let response = router.stream(&ChatRequest::question(IN_LIBRARY), &mut |_| ControlFlow::Break(()))?;
    assert_eq!((response.text.as_str(), response.finish_reason), ("one ", FinishReason::Cancelled));
    Ok(())
}

#[test]
fn held_answers_can_be_cancelled() -> Outcome {
    let router =
        Router::new(vec![library(&model("books"), RouteConfig::default())?], RouterConfig::default())?;
    assert_eq!(ask(&router, IN_LIBRARY)?.1, ["one two three"]);
    for question in [IN_LIBRARY, "Why do stars twinkle?"] {
        let mut seen = String::new();
        let response = router.stream(&ChatRequest::question(question), &mut |piece| {
            seen.push_str(piece);
            ControlFlow::Break(())
        })?;
        assert_eq!((response.finish_reason, response.text), (FinishReason::Cancelled, seen));
    }
    Ok(())
}

#[test]
fn a_failure_is_reported_and_not_covered_by_the_larger_model() -> Outcome {
    let router =
        Router::new(vec![library(&model("broken"), RouteConfig::default())?], RouterConfig::default())?
            .with_larger(model("large"));
    let error = ask(&router, IN_LIBRARY).err().ok_or("a failure was covered")?;
    assert!(error.to_string().contains("broken"));
    Ok(())
}

#[test]
fn the_last_user_turn_decides_and_the_whole_conversation_is_passed_on() -> Outcome {
    let books = model("books");
    let router = Router::new(vec![library(&books, RouteConfig::default())?], RouterConfig::default())?;
    let messages =
        vec![Message::user("Why do stars twinkle?"), Message::assistant("Air."), Message::user(IN_LIBRARY)];
    let request = ChatRequest { messages, ..Default::default() };
    assert_eq!(router.chat(&request)?.model, "books");
    let asked = books.asked.lock().map(|asked| asked.clone()).unwrap_or_default();
    assert_eq!(asked, [request]);
    Ok(())
}

#[test]
fn routers_nest() -> Outcome {
    let inner =
        Router::new(vec![Route::new("garage", detector(GARAGE)?, model("cars"))?], RouterConfig::default())?;
    let outer =
        Router::new(vec![library(&model("books"), RouteConfig::default())?], RouterConfig::default())?
            .with_larger(inner);
    for (question, name) in
        [(IN_LIBRARY, "books"), ("Order brake pads for the car.", "cars"), ("Sing!", "router")]
    {
        assert_eq!(outer.chat(&ChatRequest::question(question))?.model, name);
    }
    Ok(())
}

#[test]
fn routers_are_shared_between_threads() -> Outcome {
    let router =
        Router::new(vec![library(&model("books"), RouteConfig::default())?], RouterConfig::default())?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).all(|_| router.chat(&ChatRequest::question(IN_LIBRARY)).is_ok()));
        }
    });
    assert_eq!(router.stats().routes, [("library".to_owned(), 100)]);
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_when_it_is_set_up() -> Outcome {
    let bare = DomainDetector::fit(LIBRARY, &[], &DetectorConfig::default())?;
    let error = Route::new("library", bare, model("books")).err();
    assert!(matches!(&error, Some(Error::NotCalibrated { route: Some(name) }) if name == "library"));
    let routes = || -> slm_router::Result<_> {
        Ok(vec![library(&model("a"), RouteConfig::default())?, library(&model("b"), RouteConfig::default())?])
    };
    assert!(matches!(Router::new(routes()?, RouterConfig::default()), Err(Error::DuplicateRoute { .. })));
    for config in [
        RouteConfig { min_mean_logprob: Some(0.5), ..Default::default() },
        RouteConfig { min_mean_logprob: Some(f32::NAN), ..Default::default() },
        RouteConfig { min_mean_logprob: Some(-1.0), delivery: Delivery::Streamed },
    ] {
        assert!(matches!(library(&model("books"), config), Err(Error::Config { .. })), "{config:?}");
    }
    Ok(())
}
