//! Answers from small pages, with a model that says what the test wants.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Says, pages};
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Message, Role, ToolChoice};
use slm_rag::{
    Error, ExtractiveConfig, ExtractiveModel, GroundedAnswer, GroundedConfig, GroundedModel, Index,
    IndexConfig, Unmarked, Unsupported,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn index() -> Outcome<Arc<Index>> {
    Ok(Arc::new(Index::build(&pages(), &IndexConfig::default())?))
}

/// Streams, and checks that the pieces are the text.
fn ask(model: &impl LanguageModel, question: &str) -> Outcome<(ChatResponse, usize)> {
    let mut pieces = Vec::new();
    let response = model.stream(&ChatRequest::question(question), &mut |piece| {
        pieces.push(piece.to_owned());
        ControlFlow::Continue(())
    })?;
    assert_eq!(pieces.concat(), response.text);
    for citation in &response.citations {
        let page = pages().into_iter().find(|page| page.id == citation.source).ok_or("no such page")?;
        assert_eq!(page.text.get(citation.start..citation.end), Some(citation.text.as_str()));
    }
    Ok((response, pieces.len()))
}

fn extractive(config: ExtractiveConfig) -> Outcome<ExtractiveModel> {
    Ok(ExtractiveModel::new(index()?, config)?)
}

#[test]
fn extracts_the_answer_with_its_source() -> Outcome {
    let model = extractive(ExtractiveConfig::default())?;
    let (answer, _) = ask(&model, "Which groups must book ahead?")?;
    assert_eq!(answer.text, "Groups of more than twelve must book two weeks ahead.");
    assert_eq!((answer.finish_reason, answer.citations.len()), (FinishReason::Stop, 1));
    assert_eq!(answer.citations[0].source, "visits.md");
    assert_eq!(answer.citations[0].text, answer.text);
    Ok(())
}

#[test]
fn abstains_where_the_pages_are_silent() -> Outcome {
    let model = extractive(ExtractiveConfig { abstain_text: "No idea.".into(), ..Default::default() })?;
    for question in ["Who wrote the first opera?", "How do I bake bread on a Monday?", "What is it?", ""] {
        let (answer, _) = ask(&model, question)?;
        assert_eq!(answer.finish_reason, FinishReason::Abstained, "{question}: {}", answer.text);
        assert_eq!((answer.text.as_str(), answer.citations.len()), ("No idea.", 0));
    }
    Ok(())
}

#[test]
fn several_sentences_come_as_pieces_and_can_be_cancelled() -> Outcome {
    let config = ExtractiveConfig { max_sentences: 3, min_share: 0.0, ..Default::default() };
    let model = extractive(config)?;
    let question = "How is the camera cooled?";
    let (answer, pieces) = ask(&model, question)?;
    assert_eq!((pieces, answer.citations.len()), (3, 3));
    let cancelled = model.stream(&ChatRequest::question(question), &mut |_| ControlFlow::Break(()))?;
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
    assert_eq!((cancelled.citations.len(), cancelled.text), (1, answer.citations[0].text.clone()));
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused() -> Outcome {
    for config in [
        ExtractiveConfig { top_chunks: 0, ..Default::default() },
        ExtractiveConfig { min_coverage: 1.5, ..Default::default() },
    ] {
        assert!(matches!(ExtractiveModel::new(index()?, config), Err(Error::Config { .. })));
    }
    for config in [
        GroundedConfig { max_passage_words: 0, ..Default::default() },
        GroundedConfig { min_support: 0.0, ..Default::default() },
        GroundedConfig { unsupported: Unsupported::Flag, flag_text: String::new(), ..Default::default() },
    ] {
        assert!(matches!(GroundedModel::new(index()?, Says::new(""), config), Err(Error::Config { .. })));
    }
    Ok(())
}

const QUESTION: &str = "How do I release a stuck brake of the dome?";

/// What a grounded model makes of `says` on a question about the dome, whose page is the first passage.
fn grounded(says: &str, config: GroundedConfig) -> Outcome<GroundedAnswer> {
    let model = GroundedModel::new(index()?, Says::new(says), config)?;
    let answer = model.answer(&ChatRequest::question(QUESTION), &mut |_| ControlFlow::Continue(()))?;
    assert_eq!(answer.passages.first().map(|passage| passage.source.as_str()), Some("dome.md"));
    assert_eq!(ask(&model, QUESTION)?.0, answer.response, "streaming and answering differ");
    Ok(answer)
}

#[test]
fn supported_sentences_pass_with_their_citation() -> Outcome {
    let says = "Release the brake with the red lever [1]. Then wait 90 seconds. [1]";
    let answer = grounded(says, GroundedConfig::default())?;
    let response = answer.response;
    assert_eq!(response.text, "Release the brake with the red lever [1]. Then wait 90 seconds [1].");
    assert_eq!((response.model.as_str(), response.finish_reason), ("says", FinishReason::Stop));
    assert_eq!((response.citations.len(), response.usage.completion_tokens), (1, 9));
    assert!(response.citations[0].text.contains("red lever"));
    Ok(())
}

#[test]
fn invented_facts_and_numbers_do_not_pass() -> Outcome {
    let says =
        "Release the brake with the red lever [1]. Then wait 30 seconds [1]. Call the fire brigade [1].";
    let verdicts = [true, false, false];
    let removed = grounded(says, GroundedConfig::default())?;
    assert_eq!(removed.sentences.iter().map(|s| s.supported).collect::<Vec<_>>(), verdicts);
    assert_eq!(removed.response.text, "Release the brake with the red lever [1].");

    let flag =
        GroundedConfig { unsupported: Unsupported::Flag, flag_text: "(?)".into(), ..Default::default() };
    let expected =
        "Release the brake with the red lever [1]. Then wait 30 seconds. (?) Call the fire brigade. (?)";
    assert_eq!(grounded(says, flag)?.response.text, expected);

    let strict = GroundedConfig { unsupported: Unsupported::Abstain, ..Default::default() };
    let abstained = grounded(says, strict)?.response;
    assert_eq!((abstained.finish_reason, abstained.citations.len()), (FinishReason::Abstained, 0));
    assert_eq!(abstained.usage.completion_tokens, 9, "the model was paid for all the same");
    Ok(())
}

#[test]
fn nothing_slips_past_the_check() -> Outcome {
    for says in [
        "# The dome is made of cheese",
        "| cheese | 7 |",
        "```\nrm -rf /data\n```",
        "Yes.",
        "1. Eat the cheese [1].",
        "The dome is made\nof cheese [1]",
        "",
        "[1]",
    ] {
        let answer = grounded(says, GroundedConfig::default())?.response;
        assert_eq!(answer.finish_reason, FinishReason::Abstained, "{says}: {}", answer.text);
        assert_eq!(answer.text, GroundedConfig::default().abstain_text);
    }
    Ok(())
}

#[test]
fn marks_of_passages_that_do_not_exist_are_dropped() -> Outcome {
    let says = "Release the brake with the red lever [1][9].";
    let answer = grounded(says, GroundedConfig::default())?;
    assert_eq!(
        (answer.dropped_marks, answer.response.text.as_str()),
        (1, "Release the brake with the red lever [1].")
    );
    Ok(())
}

#[test]
fn marks_are_numbered_by_citation() -> Outcome {
    let model = Says::new("Faster cooling cracks the window [2]. A brake is stuck [1].");
    let model = GroundedModel::new(index()?, model, GroundedConfig::default())?;
    let question = "Which error means a stuck brake, and what cracks the window of the dome?";
    let answer = model.answer(&ChatRequest::question(question), &mut |_| ControlFlow::Continue(()))?;
    let sources: Vec<&str> = answer.passages.iter().map(|passage| passage.source.as_str()).collect();
    assert_eq!(sources, ["dome.md", "camera.md"]);
    assert_eq!(answer.response.text, "Faster cooling cracks the window [1]. A brake is stuck [2].");
    let cited: Vec<&str> =
        answer.response.citations.iter().map(|citation| citation.source.as_str()).collect();
    assert_eq!(cited, ["camera.md", "dome.md"]);
    Ok(())
}

#[test]
fn a_wrong_mark_is_no_support_and_a_missing_one_may_be_found() -> Outcome {
    let question = "What cracks the window of the camera, and how is the brake of the dome released?";
    let run = |says: &str, unmarked| -> Outcome<ChatResponse> {
        let config = GroundedConfig { unmarked, ..Default::default() };
        Ok(ask(&GroundedModel::new(index()?, Says::new(says), config)?, question)?.0)
    };
    let bare = "Faster cooling cracks the window.";
    let found = run(bare, Unmarked::Attribute)?;
    assert_eq!((found.text.as_str(), found.citations.len()), ("Faster cooling cracks the window [1].", 1));
    assert_eq!(found.citations[0].source, "camera.md");
    assert_eq!(run(bare, Unmarked::Reject)?.finish_reason, FinishReason::Abstained);
    for mark in ["[1]", "[2]"] {
        let answer = run(&format!("Faster cooling cracks the window {mark}."), Unmarked::Attribute)?;
        let is_right = answer.citations.iter().any(|citation| citation.source == "camera.md");
        assert_eq!(is_right, answer.finish_reason == FinishReason::Stop, "{mark}: {}", answer.text);
    }
    Ok(())
}

#[test]
fn the_prompt_holds_passages_question_and_conversation() -> Outcome {
    let says = Says::new("Release the brake with the red lever [1].");
    let model =
        GroundedModel::new(index()?, &says, GroundedConfig { max_passage_words: 60, ..Default::default() })?;
    let messages = vec![
        Message::system("Be brief."),
        Message::user("Hello"),
        Message::assistant("Hi."),
        Message::user(QUESTION),
    ];
    let request = ChatRequest { messages, ..Default::default() };
    model.chat(&request)?;
    let asked = says.asked();
    let roles: Vec<Role> = asked[0].messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    let [system, .., last] = asked[0].messages.as_slice() else { return Err("too few turns".into()) };
    assert!(system.content.contains("numbered passages") && system.content.ends_with("Be brief."));
    assert!(last.content.starts_with("[1] dome.md\n# Dome (D-12)"), "{}", last.content);
    assert!(last.content.ends_with(&format!("Question: {QUESTION}")), "{}", last.content);
    let passages = last.content.split("Question: ").next().unwrap_or_default();
    assert!(passages.split_whitespace().count() <= 80, "{passages}");
    assert!(passages.trim_end().ends_with('.'), "a passage was cut within a sentence: {passages}");
    Ok(())
}

#[test]
fn without_passages_the_model_is_not_asked() -> Outcome {
    let says = Says::new("Anything.");
    let model = GroundedModel::new(index()?, &says, GroundedConfig::default())?;
    let (answer, _) = ask(&model, "Who wrote this opera?")?;
    assert_eq!((answer.finish_reason, says.asked().len()), (FinishReason::Abstained, 0));
    let model =
        GroundedModel::new(index()?, &says, GroundedConfig { max_passage_words: 3, ..Default::default() })?;
    let error = ask(&model, QUESTION).err().ok_or("no passage fits, and nobody was told")?;
    assert!(
        std::error::Error::source(&*error)
            .is_some_and(|cause| cause.to_string().contains("max_passage_words"))
    );
    Ok(())
}

#[test]
fn an_inner_abstention_stays_one() -> Outcome {
    let shy = Says { finish_reason: FinishReason::Abstained, ..Says::new("The brake is stuck [1].") };
    let (answer, _) = ask(&GroundedModel::new(index()?, shy, GroundedConfig::default())?, QUESTION)?;
    assert_eq!((answer.finish_reason, answer.citations.len()), (FinishReason::Abstained, 0));
    Ok(())
}

#[test]
fn a_grounded_answer_can_be_cancelled_between_sentences() -> Outcome {
    let says = Says::new("Release the brake with the red lever [1]. Then wait 90 seconds [1].");
    let model = GroundedModel::new(index()?, says, GroundedConfig::default())?;
    let cancelled = model.stream(&ChatRequest::question(QUESTION), &mut |_| ControlFlow::Break(()))?;
    assert_eq!(cancelled.text, "Release the brake with the red lever [1].");
    assert_eq!((cancelled.finish_reason, cancelled.citations.len()), (FinishReason::Cancelled, 1));
    Ok(())
}

/// Says one thing first and another when it is asked again.
struct Learns(Says, Says);

impl LanguageModel for Learns {
    fn name(&self) -> &str {
        "learns"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let again = request.messages.iter().any(|message| message.role == Role::Assistant);
        if again { self.1.stream(request, on_text) } else { self.0.stream(request, on_text) }
    }
}

#[test]
fn what_is_not_supported_may_be_repaired_once() -> Outcome {
    let wrong = "Release the brake with the red lever [1]. Then wait 30 seconds [1].";
    let right = "Release the brake with the red lever [1]. Then wait 1.5 minutes [1].";
    let config = GroundedConfig { repair: true, ..Default::default() };
    let run = |first: &str, second: &str| -> Outcome<(ChatResponse, Vec<ChatRequest>)> {
        let model = Learns(Says::new(first), Says::new(second));
        let grounded = GroundedModel::new(index()?, &model, config.clone())?;
        let response = ask(&grounded, QUESTION)?.0;
        Ok((response, model.1.asked()))
    };
    let (repaired, asked) = run(wrong, right)?;
    assert_eq!(repaired.text, right);
    assert_eq!(repaired.usage.completion_tokens, 18, "both answers were paid for");
    let complaint = asked[0].last_user();
    let named =
        "- Then wait 30 seconds.\n  [1] says: Release it with the red lever, then wait 90 seconds.\n\n";
    assert!(complaint.contains(named), "what is wrong, and what the passage says: {complaint}");
    let (kept, _) = run(wrong, "Eat the cheese.")?;
    assert_eq!(kept.text, "Release the brake with the red lever [1].", "the worse answer does not count");
    assert_eq!(run(right, wrong)?.1.len(), 0, "nothing was to repair");
    Ok(())
}

/// A call states nothing that a document could carry.
#[test]
fn a_call_that_is_forced_passes_by_the_documents() -> Outcome {
    let says = Says::new("Look it up.");
    let grounded = GroundedModel::new(index()?, &says, GroundedConfig::default())?;
    let request = ChatRequest { tool_choice: ToolChoice::Required, ..ChatRequest::question(QUESTION) };
    assert_eq!(grounded.chat(&request)?.text, "Look it up.");
    assert_eq!(says.asked(), std::slice::from_ref(&request), "as it came");
    let refused = extractive(ExtractiveConfig::default())?.chat(&request);
    assert!(refused.is_err_and(|error| error.to_string().contains("tool_choice")));
    Ok(())
}
