//! A grounded model with a policy: claims are dropped one by one, and citations resolve whatever the model writes.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Says, pages};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use slm_core::{ChatRequest, FinishReason};
use slm_rag::{
    GroundedAnswer, GroundedConfig, GroundedModel, Index, IndexConfig, SupportPolicy, Unmarked, Unsupported,
    Verifier,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const QUESTION: &str =
    "How do I release a stuck brake of the dome, and what cracks the window of the camera?";

fn index() -> Outcome<Arc<Index>> {
    Ok(Arc::new(Index::build(&pages(), &IndexConfig::default())?))
}

fn grounded(index: &Arc<Index>, says: &str, config: GroundedConfig) -> Outcome<GroundedAnswer> {
    let policy = SupportPolicy::new(Verifier::default(), 0.5)?;
    let model = GroundedModel::new(Arc::clone(index), Says::new(says), config)?.with_policy(policy);
    Ok(model.answer(&ChatRequest::question(QUESTION), &mut |_| ControlFlow::Continue(()))?)
}

#[test]
fn claims_are_dropped_and_the_rest_reads_on() -> Outcome {
    let index = index()?;
    for (says, expected, coverage) in [
        (
            "Error D403 means that a brake is stuck, but the mayor must sign for the repair.",
            "Error D403 means that a brake is stuck [1].",
            0.5,
        ),
        (
            "The mayor of Paris signs for every repair; release it with the red lever.",
            "Release it with the red lever [1].",
            0.5,
        ),
        (
            "Error D403 means that a brake is stuck, and faster cooling cracks the window.",
            "Error D403 means that a brake is stuck [1], and faster cooling cracks the window [2].",
            1.0,
        ),
    ] {
        let answer = grounded(&index, says, GroundedConfig::default())?;
        assert_eq!((answer.response.text.as_str(), answer.coverage()), (expected, coverage));
    }
    Ok(())
}

#[test]
fn values_decide_whatever_the_words() -> Outcome {
    let index = index()?;
    for (says, passes) in [
        ("Release it with the red lever, then wait 90 seconds [1].", true),
        ("Release it with the red lever, then wait 1.5 minutes [1].", true),
        ("Release it with the red lever, then wait 90 minutes [1].", false),
        ("Release it with the blue lever, then wait 30 seconds [1].", false),
    ] {
        let answer = grounded(&index, says, GroundedConfig::default())?;
        assert_eq!(answer.response.finish_reason == FinishReason::Stop, passes, "{says}: {answer:?}");
    }
    Ok(())
}

#[test]
fn the_marks_of_a_sentence_are_those_of_its_claims() -> Outcome {
    let says = "Error D403 means that a brake is stuck, and the red lever releases the brake [1].";
    let config = GroundedConfig { unmarked: Unmarked::Reject, ..GroundedConfig::default() };
    let answer = grounded(&index()?, says, config)?;
    assert_eq!(answer.sentences.iter().map(|claim| claim.passages.clone()).collect::<Vec<_>>(), [[0], [0]]);
    assert_eq!(answer.sentences.first().map(|claim| claim.supported), Some(true), "{answer:?}");
    let flag = GroundedConfig { unsupported: Unsupported::Flag, ..GroundedConfig::default() };
    let says = "Error D403 means that a brake is stuck, but the mayor must sign for the repair [1].";
    let flagged = grounded(&index()?, says, flag)?.response.text;
    let expected = "Error D403 means that a brake is stuck [1], but the mayor must sign for the repair. (not found in \
                    the documents)";
    assert_eq!(flagged, expected);
    Ok(())
}

/// What a model may write: sentences of the pages, halves of them, inventions, marks of all kinds.
fn answer() -> impl Strategy<Value = String> {
    let sentences: Vec<String> = pages()
        .iter()
        .flat_map(|page| page.text.split_inclusive(['.', '\n']).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let piece = prop_oneof![
        4 => prop::sample::select(sentences),
        1 => Just("The mayor signs for it; nobody knows why that is so, but he does it.".to_owned()),
        1 => Just(", and ".to_owned()),
        1 => Just("```\nrm -rf /\n```\n".to_owned()),
        1 => Just("| a | b |\n".to_owned()),
        3 => (0_usize..9).prop_map(|n| format!(" [{n}]")),
        1 => Just("[1, 2; 7] ".to_owned()),
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::with_cases(500)
    })]

    #[test]
    fn citations_resolve_whatever_the_model_writes(says in answer(), unsupported in prop_oneof![
        Just(Unsupported::Remove), Just(Unsupported::Flag), Just(Unsupported::Abstain),
    ]) {
        let config = GroundedConfig { unsupported, ..GroundedConfig::default() };
        let index = index().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let answer = grounded(&index, &says, config).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for citation in &answer.response.citations {
            let page = pages().into_iter().find(|page| page.id == citation.source);
            let bytes = page.as_ref().and_then(|page| page.text.get(citation.start..citation.end));
            prop_assert_eq!(bytes, Some(citation.text.as_str()));
        }
        // Every mark that the sentences brought is the number of a citation.
        let passing = answer.sentences.iter().filter(|sentence| sentence.supported);
        for sentence in passing {
            prop_assert!(!sentence.passages.is_empty(), "{sentence:?}");
            prop_assert!(sentence.passages.iter().all(|&passage| passage < answer.passages.len()));
        }
        if answer.response.finish_reason == FinishReason::Abstained {
            prop_assert!(answer.response.citations.is_empty());
        } else if unsupported != Unsupported::Flag {
            prop_assert!(answer.coverage() > 0.0 && !answer.response.citations.is_empty());
        }
    }
}
