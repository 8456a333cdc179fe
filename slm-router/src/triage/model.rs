//! [`TriageModel`]: does what a [`Triage`] decides.

use std::collections::BTreeMap;

use slm_core::{ChatRequest, ChatResponse, LanguageModel, OnDelta};

use super::{Action, Triage, Triaged};
use crate::router::deliver;
use crate::{SharedEmbedder, SharedModel};

/// A model for each action, and a [`Triage`] that chooses among them.
///
/// An action without a model is done by the one for [`Action::Answer`], except for [`Action::Abstain`]. The last user turn
/// decides; the answer says in its [route](ChatResponse::route) what was decided.
pub struct TriageModel {
    triage: Triage,
    embedder: SharedEmbedder,
    direct: SharedModel,
    others: BTreeMap<Action, SharedModel>,
    abstain_text: String,
}

impl std::fmt::Debug for TriageModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let others: Vec<(&Action, &str)> =
            self.others.iter().map(|(action, model)| (action, model.name())).collect();
        f.debug_struct("TriageModel")
            .field("direct", &self.direct.name())
            .field("others", &others)
            .finish_non_exhaustive()
    }
}

impl TriageModel {
    /// One with a model for direct answers only.
    pub fn new(
        triage: Triage,
        embedder: SharedEmbedder,
        direct: impl LanguageModel + Send + Sync + 'static,
    ) -> Self {
        Self {
            triage,
            embedder,
            direct: Box::new(direct),
            others: BTreeMap::new(),
            abstain_text: "I don't know.".to_owned(),
        }
    }

    /// The same with a model for `action`.
    #[must_use]
    pub fn with_model(mut self, action: Action, model: impl LanguageModel + Send + Sync + 'static) -> Self {
        self.others.insert(action, Box::new(model));
        self
    }

    /// The same with another text for [`Action::Abstain`].
    #[must_use]
    pub fn with_abstain_text(self, text: impl Into<String>) -> Self {
        Self { abstain_text: text.into(), ..self }
    }

    /// Answers as [`LanguageModel::stream`], and tells what was decided and why.
    ///
    /// # Errors
    /// When the embedder or the chosen model fails.
    pub fn answer(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<(ChatResponse, Triaged)> {
        let triaged = self.triage.decide_text(request.last_user(), self.embedder.as_ref())?;
        let mut response = match (triaged.action, self.others.get(&triaged.action)) {
            (_, Some(model)) => model.stream_deltas(request, on_delta)?,
            (Action::Abstain, None) => {
                deliver(ChatResponse::abstained(self.name(), &self.abstain_text), on_delta)
            }
            (_, None) => self.direct.stream_deltas(request, on_delta)?,
        };
        let (name, inner) = (triaged.action.name(), response.route.take());
        response.route = Some(inner.map_or_else(|| name.to_owned(), |inner| format!("{name}: {inner}")));
        Ok((response, triaged))
    }
}

impl LanguageModel for TriageModel {
    fn name(&self) -> &str {
        "triage"
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        self.answer(request, on_delta).map(|(response, _)| response)
    }
}
