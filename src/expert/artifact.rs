//! A finished expert on disk: written at the end of the road, loaded to answer.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use slm_core::{ChatRequest, GenerationConfig, LocalModel};
use slm_rag::{ExtractiveConfig, ExtractiveModel, Index};
use slm_router::{DomainDetector, Route, Routed, Router, RouterConfig};

use super::Guard;
use crate::{Error, Result};

/// Name of the route to the tuned model.
pub const DOMAIN: &str = "domain";
/// Name of the route to the documents.
pub const DOCUMENTS: &str = "documents";

/// The files of an expert.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.into())
    }

    pub(super) fn adapter(&self) -> PathBuf {
        self.0.join("adapter")
    }

    pub(super) fn merged(&self) -> PathBuf {
        self.0.join("merged")
    }

    pub(super) fn packed(&self) -> PathBuf {
        self.0.join("int4")
    }

    pub(super) fn gguf(&self) -> PathBuf {
        self.0.join("gguf")
    }

    pub(super) fn index(&self) -> PathBuf {
        self.0.join("documents.index")
    }

    pub(super) fn detector(&self, route: &str) -> PathBuf {
        self.0.join(format!("{route}.detector.json"))
    }

    pub(super) fn report(&self, ending: &str) -> PathBuf {
        self.0.join(format!("report.{ending}"))
    }

    pub(super) fn curated(&self) -> PathBuf {
        self.0.join("curated.jsonl")
    }

    pub(super) fn save_guard(&self, guard: &Guard) -> Result<()> {
        guard.domain.save(&self.detector(DOMAIN))?;
        if let Some(documents) = &guard.documents {
            documents.save(&self.detector(DOCUMENTS))?;
        }
        Ok(())
    }
}

/// A finished expert, ready to answer: the packed model, the documents, and the router before them.
#[derive(Debug)]
pub struct Expert {
    router: Router,
    max_new_tokens: usize,
}

impl Expert {
    /// Loads what [`build`](super::build) left in `folder`.
    ///
    /// # Errors
    /// When the folder holds no expert, or a file of it is corrupt.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let files = Files::new(folder);
        if !files.packed().exists() {
            let reason = "there is no finished expert in it".into();
            return Err(Error::NoExpert { path: folder.into(), reason });
        }
        let model = LocalModel::load(&files.packed(), device)?;
        let domain = DomainDetector::load(&files.detector(DOMAIN))?;
        let documents = if files.index().exists() {
            let model = ExtractiveModel::new(Index::load(&files.index())?, ExtractiveConfig::default())?;
            Some((DomainDetector::load(&files.detector(DOCUMENTS))?, model))
        } else {
            None
        };
        Self::assemble(model, domain, documents)
    }

    /// Puts an expert together.
    ///
    /// # Errors
    /// When a detector is not calibrated.
    pub fn assemble(
        model: LocalModel,
        domain: DomainDetector,
        documents: Option<(DomainDetector, ExtractiveModel)>,
    ) -> Result<Self> {
        let mut routes = vec![Route::new(DOMAIN, domain, model)?];
        if let Some((detector, model)) = documents {
            routes.push(Route::new(DOCUMENTS, detector, model)?);
        }
        Ok(Self { router: Router::new(routes, RouterConfig::default())?, max_new_tokens: 96 })
    }

    /// Answers a question, and tells who answered and why.
    ///
    /// # Errors
    /// When the model asked fails.
    pub fn ask(&self, question: &str) -> Result<Routed> {
        let generation =
            GenerationConfig { max_new_tokens: self.max_new_tokens, ..GenerationConfig::default() };
        let request = ChatRequest { generation, ..ChatRequest::question(question) };
        Ok(self.router.answer(&request, &mut |_| std::ops::ControlFlow::Continue(()))?)
    }

    /// The router, a [`LanguageModel`](slm_core::LanguageModel).
    pub fn router(&self) -> &Router {
        &self.router
    }
}
