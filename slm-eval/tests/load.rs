//! Load on a model that takes the time it is told.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use burn::tensor::Device;
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, LocalModel, Usage};
use slm_eval::load::{Arrivals, LoadConfig, LoadReport, Objective, Timing};
use slm_eval::{Error, Report, Result, measure_load};

/// Waits 20 ms, then writes a piece every 5 ms for each word of the question; breaks on `fail`.
#[derive(Default)]
struct Steady {
    busy: AtomicUsize,
    busiest: AtomicUsize,
}

impl LanguageModel for Steady {
    fn name(&self) -> &str {
        "steady"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        let _ = on_text("");
        std::thread::sleep(Duration::from_millis(20));
        let words: Vec<&str> = request.last_user().split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            if at > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = on_text(word);
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if words.contains(&"fail") {
            return Err(slm_core::Error::Request { reason: "told to".into() });
        }
        let usage = Usage { prompt_tokens: 1, completion_tokens: words.len() };
        Ok(ChatResponse::new(words.concat(), "steady", FinishReason::Stop, usage))
    }
}

fn config(arrivals: Arrivals, requests: usize) -> LoadConfig {
    LoadConfig { arrivals, requests, objective: Objective::default(), seed: 1 }
}

#[test]
fn a_closed_load_keeps_its_clients_busy() -> Result<()> {
    let model = Steady::default();
    let questions = [ChatRequest::question("a b c d"), ChatRequest::question("a fail")];
    let report = measure_load(&model, &questions, &config(Arrivals::Closed { clients: 3 }, 12))?;
    assert_eq!(model.busiest.load(Ordering::SeqCst), 3);
    assert_eq!((report.timings.len(), report.failed), (12, 6));
    let first = report.first_text.expect("text came");
    assert!(first.count == 12 && first.p50 >= 0.020, "{first:?}");
    // Of each pair of questions one has three gaps and one has one.
    let between = report.between.expect("gaps");
    assert!(between.count == 24 && between.p50 >= 0.005, "{between:?}");
    assert!(report.total.max >= 0.035 && report.queued.p50 < 0.020);
    assert!((report.requests_per_second - 6.0 / report.seconds).abs() < 1e-9);
    assert!((report.tokens_per_second - 24.0 / report.seconds).abs() < 1e-9);
    assert_eq!(report.goodput, report.requests_per_second, "nothing was promised but an answer");
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<LoadReport>(&json).expect("a report"), report);
    Ok(())
}

#[test]
fn an_open_load_counts_from_when_requests_come() -> Result<()> {
    // One client of 20 ms can answer 50 a second; 400 come.
    let model = Steady::default();
    let report = measure_load(
        &model,
        &[ChatRequest::question("a")],
        &config(Arrivals::Open { per_second: 400.0, clients: 1 }, 20),
    )?;
    assert_eq!(model.busiest.load(Ordering::SeqCst), 1);
    let last = report.timings.last().expect("twenty requests");
    assert!(last.queued > 0.2 && last.total >= last.queued + 0.02, "{last:?}");
    assert!(report.total.p99 > 0.25, "{:?}", report.total);
    // So slow a rate that nobody waits.
    let config = config(Arrivals::Open { per_second: 20.0, clients: 8 }, 5);
    let report = measure_load(&model, &[ChatRequest::question("a")], &config)?;
    assert!(report.queued.p50 < 0.05 && report.seconds > 0.05, "{report:?}");
    Ok(())
}

#[test]
fn a_local_model_answers_several_at_once() -> Result<()> {
    let llama = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/llama");
    let model = LocalModel::load(&llama, &Device::flex())?;
    let mut request = ChatRequest::question("One two three");
    request.generation.max_new_tokens = 6;
    let report = measure_load(&model, &[request], &config(Arrivals::Closed { clients: 2 }, 4))?;
    assert_eq!((report.failed, report.timings.len()), (0, 4));
    let written: usize = report.timings.iter().map(|t| t.usage.completion_tokens).sum();
    assert!(written > 0 && report.tokens_per_second > 0.0);
    assert_eq!(report.peak_memory.is_some(), cfg!(target_os = "linux"));
    Ok(())
}

#[test]
fn goodput_counts_kept_promises() -> Result<()> {
    let timing = |first_text, between: &[f64], total, error: Option<&str>| Timing {
        queued: 0.0,
        first_text,
        between: between.to_vec(),
        total,
        usage: Usage { prompt_tokens: 3, completion_tokens: 10 },
        error: error.map(str::to_owned),
    };
    let timings = vec![
        timing(Some(0.1), &[0.01, 0.03], 0.5, None),
        timing(Some(0.3), &[0.01], 0.5, None),       // late to begin
        timing(Some(0.1), &[0.01, 0.09], 0.5, None), // slow on average
        timing(Some(0.1), &[], 2.0, None),           // too long in all
        timing(None, &[], 0.1, None),                // nothing said
        timing(Some(0.1), &[0.01], 0.2, Some("x")),
    ];
    let objective = Objective { first_text: Some(0.2), between: Some(0.04), total: Some(1.0) };
    let config = LoadConfig { objective, ..config(Arrivals::Closed { clients: 1 }, 6) };
    let report = LoadReport::of("m", &config, timings, 4.0)?;
    assert_eq!((report.goodput, report.requests_per_second), (0.25, 1.25));
    assert_eq!((report.tokens_per_second, report.failed), (15.0, 1));
    let page = Report::new("Load", "").with(report.section()).to_html()?;
    for part in ["m under load", "6 requests, 1 failed", "between texts (ITL)", "Time to the first text"] {
        assert!(page.contains(part), "{part}");
    }
    Ok(())
}

#[test]
fn loads_that_make_no_sense_are_refused() {
    let ask =
        |config: &LoadConfig, questions: &[ChatRequest]| measure_load(&Steady::default(), questions, config);
    let question = [ChatRequest::question("a")];
    assert!(matches!(ask(&config(Arrivals::Closed { clients: 1 }, 0), &question), Err(Error::Empty { .. })));
    assert!(matches!(ask(&config(Arrivals::Closed { clients: 1 }, 1), &[]), Err(Error::Empty { .. })));
    for arrivals in [
        Arrivals::Closed { clients: 0 },
        Arrivals::Open { per_second: 0.0, clients: 1 },
        Arrivals::Open { per_second: f64::NAN, clients: 1 },
    ] {
        assert!(matches!(ask(&config(arrivals, 1), &question), Err(Error::Setting { .. })), "{arrivals:?}");
    }
}
