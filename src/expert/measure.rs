//! The measurements: the domain, the general suite, the documents.

use slm_core::{ChatRequest, GenerationConfig, LanguageModel};
use slm_data::Example;
use slm_eval::{EvalConfig, Evaluation, Metric, evaluate};
use slm_rag::ExtractiveModel;

use super::{DocumentQuestion, ExpertConfig, Material};
use crate::{Result, progress};

/// A model on the domain test and on the general suite.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Name of the column.
    pub name: String,
    /// The domain test.
    pub domain: Evaluation,
    /// The general suite.
    pub general: Evaluation,
}

/// Asks `model` the domain test and the general suite.
///
/// # Errors
/// When a setting is out of range; a single request that fails is a wrong answer, with its error in the row.
pub fn measure(
    name: &str,
    model: &dyn LanguageModel,
    material: &Material,
    config: &ExpertConfig,
) -> Result<Scores> {
    let ask = |suite: &[Example], metric: Metric, what: &str| {
        let bar = progress::bar(&format!("{name}, {what}"), suite.len());
        let generation =
            GenerationConfig { max_new_tokens: config.max_new_tokens, ..GenerationConfig::default() };
        let settings = EvalConfig { metric, generation, cost: config.cost.clone(), ..EvalConfig::default() };
        let evaluation = evaluate(model, suite, &settings, &mut |done, _| bar.set_position(done as u64));
        bar.finish();
        evaluation
    };
    Ok(Scores {
        name: name.to_owned(),
        domain: ask(&material.test, material.metric, "domain")?,
        general: ask(&material.suite, Metric::ExactMatch, "general")?,
    })
}

/// How answers from documents did on questions whose source is known.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CitationScores {
    /// Questions asked.
    pub questions: usize,
    /// Answers that cite the right document.
    pub right_document: usize,
    /// Answers whose cited bytes hold the expected sentence.
    pub right_sentence: usize,
    /// Citations whose text equals the bytes of the document that they point to.
    pub exact: usize,
    /// Citations given.
    pub citations: usize,
}

/// Asks the questions and checks every citation against the documents' bytes.
///
/// # Errors
/// When the model fails.
pub fn measure_citations(model: &ExtractiveModel, questions: &[DocumentQuestion]) -> Result<CitationScores> {
    let mut scores = CitationScores {
        questions: questions.len(),
        right_document: 0,
        right_sentence: 0,
        exact: 0,
        citations: 0,
    };
    for q in questions {
        let answer = model.chat(&ChatRequest::question(q.question.as_str()))?;
        scores.citations += answer.citations.len();
        for c in &answer.citations {
            let document = model.document(&c.source)?;
            let said = document.as_ref().and_then(|document| document.text.get(c.start..c.end));
            scores.exact += usize::from(said == Some(c.text.as_str()));
        }
        let cited: Vec<_> = answer.citations.iter().filter(|c| c.source == q.document).collect();
        scores.right_document += usize::from(!cited.is_empty());
        scores.right_sentence += usize::from(cited.iter().any(|c| c.text.contains(&q.answer)));
    }
    Ok(scores)
}
