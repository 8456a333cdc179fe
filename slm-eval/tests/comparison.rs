//! Contenders side by side, from rows made by hand.

use slm_core::{FinishReason, Usage};
use slm_eval::{
    CloudBill, Comparison, Contender, CostModel, Error, EvalConfig, Evaluation, Investment, Outcome, Result,
    Row,
};

/// Ten questions of which the first `right` are answered rightly, in `seconds` each.
fn contender(name: &str, right: usize, seconds: f64, cost: CostModel) -> Result<Contender> {
    let row = |n: usize| Row {
        question: format!("question {n}"),
        gold: "yes".into(),
        also_right: Vec::new(),
        source: "test".into(),
        outcome: Outcome::Answered {
            answer: if n < right { "yes" } else { "no" }.into(),
            finish_reason: FinishReason::Stop,
            usage: Usage { prompt_tokens: 1000, completion_tokens: 100 },
            citations: Vec::new(),
            first_text_seconds: Some(seconds / 2.0),
            confidence: None,
            charged: None,
            route: None,
        },
        score: f64::from(u8::from(n < right)),
        correct: n < right,
        citation_score: None,
        seconds,
    };
    let config = EvalConfig { cost, ..EvalConfig::default() };
    let evaluation = Evaluation::of(name, (0..10).map(row).collect(), &config)?;
    Ok(Contender { name: name.into(), evaluation, load: None, investment: Investment::default() })
}

fn contenders() -> Result<[Contender; 2]> {
    let own = CostModel { per_hour: 3.6, ..CostModel::default() };
    let rented = CostModel {
        per_million_prompt_tokens: 10.0,
        per_million_completion_tokens: 100.0,
        ..CostModel::default()
    };
    let investment = Investment { upfront: 57.0, per_month: 0.0 };
    Ok([
        Contender { investment, ..contender("local", 6, 1.0, own)? },
        contender("cloud <script>", 9, 0.5, rented)?,
    ])
}

#[test]
fn standings_by_hand() -> Result<()> {
    let bill = CloudBill { per_month: 20.0, queries_per_month: 1000.0 };
    let found = Comparison::of("Ten questions", &contenders()?, "cloud <script>", Some(&bill))?;
    let [local, cloud] = &found.standings[..] else { panic!("{found:?}") };
    // A second at 3.6 an hour; 1000 tokens at 10 and 100 at 100 a million.
    assert!((local.per_query - 0.001).abs() < 1e-12 && (cloud.per_query - 0.02).abs() < 1e-12);
    assert!(local.per_correct.is_some_and(|c| (c - 0.01 / 6.0).abs() < 1e-12));
    assert_eq!((local.score, local.right, cloud.score), (0.6, 0.6, 0.9));
    let change = local.change.as_ref().expect("against the cloud");
    assert!((change.change + 0.3).abs() < 1e-12 && (change.rose, change.fell) == (0, 3));
    assert!(cloud.change.is_none());
    let payback = local.payback.expect("a bill");
    assert!((payback.saved_per_month - 19.0).abs() < 1e-9);
    assert!(payback.months.is_some_and(|months| (months - 3.0).abs() < 1e-9));
    let json = serde_json::to_string(&found).expect("JSON");
    assert_eq!(serde_json::from_str::<Comparison>(&json).expect("a comparison"), found);
    Ok(())
}

#[test]
fn the_page_shows_both_plots_and_escapes_names() -> Result<()> {
    let bill = CloudBill { per_month: 20.0, queries_per_month: 1000.0 };
    let page = Comparison::of("Ten questions", &contenders()?, "local", Some(&bill))?.report().to_html()?;
    for part in [
        "Quality over cost",
        "Quality over latency",
        "Return on investment",
        "Change from local",
        "cloud &lt;script&gt;",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script>"));
    let mut reader = quick_xml::Reader::from_str(page.trim_start_matches("<!DOCTYPE html>"));
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return Ok(()),
            Ok(_) => {}
            Err(error) => panic!("not well-formed: {error}"),
        }
    }
}

#[test]
fn contenders_that_were_asked_something_else_are_refused() -> Result<()> {
    let [local, mut cloud] = contenders()?;
    let of =
        |a: &Contender, b: &Contender, baseline| Comparison::of("t", &[a.clone(), b.clone()], baseline, None);
    assert!(matches!(of(&local, &cloud, "nobody"), Err(Error::Setting { name: "baseline", .. })));
    cloud.evaluation.rows[3].question = "another".into();
    let error = of(&local, &cloud, "local").expect_err("another question");
    assert!(error.to_string().contains("question 3"), "{error}");
    Ok(())
}
