//! Long documents and rewritten questions, with models that say what the test wants.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::sync::Mutex;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Message, Usage};
use slm_data::Document;
use slm_rag::{Error, Method, QueryWriter, Summarizer, SummaryConfig};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Answers with the first sentence of each paragraph that it is given, or with a fixed text, and keeps count.
#[derive(Default)]
struct Lead {
    fixed: Option<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Lead {
    fn fixed(text: &'static str) -> Self {
        Self { fixed: Some(text), ..Self::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

impl LanguageModel for Lead {
    fn name(&self) -> &str {
        "lead"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let given = request.last_user().to_owned();
        let lead = |paragraph: &str| paragraph.split_inclusive(". ").next().unwrap_or("").trim().to_owned();
        let said =
            given.split("\n\n").map(lead).filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
        let text = self.fixed.map_or(said, str::to_owned);
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(given);
        }
        let _ = on_text(&text);
        let usage = Usage { prompt_tokens: 10, completion_tokens: 2 };
        Ok(ChatResponse::new(text, "lead", FinishReason::Stop, usage))
    }
}

fn book(chapters: usize) -> Document {
    let names = ["harbour", "lantern", "orchard", "quarry", "viaduct", "weir", "kiln", "barge"];
    let chapter = |n: usize| {
        let name = names[n % names.len()];
        let filler = "Then the crew went on with the work of the day and said little. ".repeat(12);
        format!("# Chapter {n}\n\nChapter {n} tells of the {name} number {n}. {filler}\n\n")
    };
    Document { id: "book".into(), text: (0..chapters).map(chapter).collect() }
}

fn config() -> SummaryConfig {
    SummaryConfig { part_words: 200, summary_words: 40, ..SummaryConfig::default() }
}

#[test]
fn a_long_document_is_read_whole_and_in_parts_that_fit() -> Outcome {
    let document = book(40);
    for method in [Method::MapReduce, Method::Refine, Method::Tree] {
        let model = Lead::default();
        let mut steps = Vec::new();
        let summarizer = Summarizer::new(&model, SummaryConfig { method, ..config() })?;
        let summary =
            summarizer.summarize(&document, &mut |progress| steps.push((progress.done, progress.total)))?;
        let asked = model.asked();
        let all = asked.concat();
        assert!((0..40).all(|n| all.contains(&format!("number {n}."))), "{method:?}: a chapter was not read");
        let limit = 200 + 90;
        assert!(asked.iter().all(|text| text.split_whitespace().count() <= limit), "{method:?}");
        assert_eq!(steps.len(), asked.len());
        assert_eq!(steps.last().map(|(done, total)| done == total), Some(true), "{method:?}: {steps:?}");
        assert_eq!(summary.usage.prompt_tokens, 10 * asked.len());
        let top = summary.levels.last().and_then(|level| level.last()).ok_or("no summary")?;
        assert_eq!(top.text, summary.text);
        assert_eq!(top.parts, (0..summary.coverage.len()).collect::<Vec<_>>(), "{method:?}");
        assert!(!summary.text.is_empty() && summary.text.split_whitespace().count() <= 90);
    }
    Ok(())
}

#[test]
fn what_is_about_one_subject_is_joined_first() -> Outcome {
    // Two subjects in turn: by order each group would mix them.
    let kinds = ["orchard apples cider harvest", "boiler valve pressure steam"];
    let chapter = |n: usize| {
        let words = kinds[n % 2];
        let many = format!("There is {words} here. ").repeat(13);
        format!("# {n}\n\nAbout {words}, {words}, {words}, {words} {n}. {many}\n\n")
    };
    let document = Document { id: "two".into(), text: (0..12).map(chapter).collect() };
    let config = SummaryConfig { method: Method::Tree, part_words: 120, ..config() };
    let bag: slm_rag::retrieve::SharedEmbedder = std::sync::Arc::new(common::Bag);
    let plain = || Summarizer::new(Lead::default(), config.clone());
    for summarizer in [plain()?, plain()?.with_embedder(bag)] {
        let summary = summarizer.summarize(&document, &mut |_| ())?;
        assert!(summary.levels.len() > 2, "{:?}", summary.levels);
        for node in &summary.levels[1] {
            assert!(node.parts.iter().all(|part| part % 2 == node.parts[0] % 2), "{:?}", node.parts);
        }
    }
    Ok(())
}

/// Waits until as many others ask at the same time.
struct Together {
    inner: Lead,
    gate: std::sync::Barrier,
    first: usize,
}

impl LanguageModel for Together {
    fn name(&self) -> &str {
        "together"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let response = self.inner.stream(request, on_text);
        if self.inner.asked().len() <= self.first {
            self.gate.wait();
        }
        response
    }
}

#[test]
fn several_workers_ask_at_once_and_give_the_same_summary() -> Outcome {
    let document = book(40);
    let folder = tempfile::tempdir()?;
    for method in [Method::MapReduce, Method::Tree] {
        let config = SummaryConfig { method, ..config() };
        let alone = Summarizer::new(Lead::default(), config.clone())?.summarize(&document, &mut |_| ())?;
        // Would wait for ever if the first four were asked one after the other.
        let model = Together { inner: Lead::default(), gate: std::sync::Barrier::new(4), first: 4 };
        let cache = Some(folder.path().to_owned());
        let summarizer = Summarizer::new(model, SummaryConfig { cache, ..config })?.with_workers(4);
        let mut steps = Vec::new();
        let summary = summarizer.summarize(&document, &mut |progress| steps.push(progress.done))?;
        assert_eq!(summary, alone);
        assert_eq!(steps, (1..=steps.len()).collect::<Vec<_>>());
        let mut cached = 0;
        summarizer.summarize(&document, &mut |progress| cached = progress.cached)?;
        assert_eq!(cached, steps.len(), "a second run asks for nothing");
        fs::read_dir(folder.path())?.try_for_each(|entry| fs::remove_file(entry?.path()))?;
    }
    Ok(())
}

#[test]
fn the_first_failure_of_several_workers_is_told() -> Outcome {
    struct Broken;
    impl LanguageModel for Broken {
        fn name(&self) -> &str {
            "broken"
        }

        fn stream(
            &self,
            _: &ChatRequest,
            _: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> slm_core::Result<ChatResponse> {
            Err(slm_core::Error::model("broken", "out of order"))
        }
    }
    let summarizer = Summarizer::new(Broken, config())?.with_workers(3);
    let mut steps = 0;
    let failed = summarizer.summarize(&book(20), &mut |_| steps += 1).err().ok_or("it should fail")?;
    assert!(failed.to_string().contains("broken"), "{failed}");
    assert_eq!(steps, 0);
    Ok(())
}

#[test]
fn a_second_run_asks_only_for_what_changed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = SummaryConfig { cache: Some(folder.path().to_owned()), ..config() };
    let run = |document: &Document| -> Outcome<(usize, String)> {
        let model = Lead::default();
        let summary = Summarizer::new(&model, config.clone())?.summarize(document, &mut |_| ())?;
        Ok((model.asked().len(), summary.text))
    };
    let mut document = book(20);
    let (first, text) = run(&document)?;
    assert!(first > 10);
    assert_eq!(run(&document)?, (0, text));
    document.text = document.text.replace("number 19", "number nineteen");
    let (again, _) = run(&document)?;
    assert!(again > 0 && again < first / 2, "{again} of {first}");
    assert!(fs::read_dir(folder.path())?.count() >= first);
    Ok(())
}

#[test]
fn coverage_tells_what_a_summary_draws_on() -> Outcome {
    let text = "The harbour number 0 matters. Nobody mentions the lantern number 1. Elephants dance in Rome.";
    let model = Lead::fixed(text);
    let summary = Summarizer::new(&model, config())?.summarize(&book(6), &mut |_| ())?;
    let total: usize = summary.coverage.iter().map(|section| section.sentences).sum();
    assert_eq!(total, 2, "{:?}", summary.coverage);
    assert!(summary.coverage.iter().any(|section| section.sentences == 0));
    let ends: Vec<usize> = summary.coverage.iter().map(|section| section.end).collect();
    assert!(ends.is_sorted());
    Ok(())
}

#[test]
fn what_cannot_be_summarised_is_refused() -> Outcome {
    for config in [
        SummaryConfig { summary_words: 0, ..config() },
        SummaryConfig { part_words: 100, summary_words: 50, ..config() },
    ] {
        assert!(matches!(Summarizer::new(Lead::default(), config), Err(Error::Config { .. })));
    }
    let empty = Document { id: "a".into(), text: " \n".into() };
    let summarizer = Summarizer::new(Lead::default(), config())?;
    assert!(matches!(summarizer.summarize(&empty, &mut |_| ()), Err(Error::NoText { .. })));
    Ok(())
}

#[test]
fn questions_are_rewritten_and_never_lost() -> Outcome {
    let writer = QueryWriter::new(Lead::fixed(
        "1. How is a brake freed?\n- \"How is a brake freed?\"\n\n2) Brake stuck?",
    ));
    assert_eq!(writer.variants("What now?", 3)?, ["What now?", "How is a brake freed?", "Brake stuck?"]);
    assert_eq!(writer.variants("What now?", 1)?.len(), 2);
    let silent = QueryWriter::new(Lead::fixed(" \n"));
    assert_eq!(silent.variants("What now?", 3)?, ["What now?"]);
    assert_eq!(silent.hypothetical_answer("What now?")?, "What now?");
    let conversation = [
        Message::system("Be brief."),
        Message::user("What is the dome?"),
        Message::assistant("A shield."),
        Message::user("How is it opened?"),
    ];
    assert_eq!(silent.standalone(&conversation)?, "How is it opened?");
    let model = Lead::fixed("How is the dome opened?");
    let writer = QueryWriter::new(&model);
    assert_eq!(writer.standalone(&conversation)?, "How is the dome opened?");
    assert!(model.asked()[0].contains("Assistant: A shield.") && !model.asked()[0].contains("Be brief."));
    assert_eq!(writer.standalone(&conversation[..2])?, "What is the dome?");
    assert_eq!((writer.standalone(&[])?, model.asked().len()), (String::new(), 1));
    Ok(())
}
