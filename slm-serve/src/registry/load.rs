//! From a configuration to what it names.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use slm_core::{CrossEncoder, LocalModel, TextEncoder};
use slm_lora::LoraAdapter;
use slm_rag::{ExtractiveModel, GroundedModel, Index, RetrieveConfig, Retriever, Store};
use slm_router::{DomainDetector, Route, RouteConfig, Router, RouterConfig};

use super::{Entry, Registry, fingerprint, now};
use crate::config::{DocumentsConfig, LocalEntry, ModelEntry, RouterEntry, ServeConfig};
use crate::engine::Engine;
use crate::{Error, Result};

pub(super) fn load(config: &ServeConfig) -> Result<Registry> {
    let device = Device::default();
    let mut registry = Registry { loaded: now(), ..Registry::default() };
    for encoder in &config.embedders {
        let loaded = TextEncoder::load(&encoder.path, &device)?;
        registry.embedders.push((encoder.name.clone(), Arc::new(loaded)));
    }
    for encoder in &config.rerankers {
        let loaded = CrossEncoder::load(&encoder.path, &device)?;
        registry.rerankers.push((encoder.name.clone(), Arc::new(loaded)));
    }
    for entry in &config.models {
        match entry {
            ModelEntry::Local(local) => load_local(&mut registry, local, &device)?,
            ModelEntry::Extractive(e) => {
                let retriever = retriever(&registry, &e.documents)?;
                let model = ExtractiveModel::new(retriever, e.extraction.clone())?;
                let hash = fingerprint(&e.documents.index)?;
                let entry = Entry::new(&e.name, "extractive", Arc::new(model));
                registry.models.push(Entry { model_hash: Some(hash), ..entry });
            }
            ModelEntry::Grounded(g) => {
                let inner = named(&registry, &g.model)?;
                let retriever = retriever(&registry, &g.documents)?;
                let model = GroundedModel::new(retriever, Arc::clone(&inner.model), g.grounding.clone())?;
                let entry = Entry { engine: None, kind: "grounded", ..inner };
                registry.models.push(Entry { name: g.name.clone(), model: Arc::new(model), ..entry });
            }
            ModelEntry::Router(router) => {
                let entry = load_router(&registry, router)?;
                registry.models.push(entry);
            }
        }
    }
    Ok(registry)
}

fn load_local(registry: &mut Registry, local: &LocalEntry, device: &Device) -> Result<()> {
    let mut model = LocalModel::load(&local.path, device)?;
    model.name.clone_from(&local.name);
    let load = |path: &Path| LoraAdapter::load(path, &model.model.config, device);
    let adapters = local.adapters.iter().map(|a| Ok((a.name.clone(), load(&a.path)?)));
    let adapters = adapters.collect::<Result<Vec<_>>>()?;
    let model_hash = fingerprint(&local.path)?;
    let engine = Arc::new(Engine::start(model, &adapters, local.engine)?);
    let variants = std::iter::once(None).chain(local.adapters.iter().map(Some));
    for adapter in variants {
        let name = adapter.map(|a| a.name.as_str());
        let Some(handle) = engine.model(name) else { continue };
        let kind = if adapter.is_some() { "adapter" } else { "local" };
        registry.models.push(Entry {
            engine: Some(handle.clone()),
            parent: adapter.map(|_| local.name.clone()),
            model_hash: Some(model_hash.clone()),
            adapter_hash: adapter.map(|a| fingerprint(&a.path)).transpose()?,
            temperature: local.temperature,
            confidence: local.confidence,
            prices: local.prices.clone(),
            ..Entry::new(name.unwrap_or(&local.name), kind, Arc::new(handle))
        });
    }
    registry.engines.push((local.name.clone(), engine));
    Ok(())
}

fn named(registry: &Registry, name: &str) -> Result<Entry> {
    registry.models.iter().find(|e| e.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = registry.models.iter().map(|e| e.name.as_str()).collect();
        Error::config("model", format!("\"{name}\" is none of those above it: {known:?}"))
    })
}

fn retriever(registry: &Registry, documents: &DocumentsConfig) -> Result<Retriever> {
    let path = &documents.index;
    let index =
        if path.is_dir() { Store::open_existing(path)?.index()? } else { Arc::new(Index::load(path)?) };
    let mut retriever = Retriever::new(index, RetrieveConfig::default())?;
    if let Some(name) = &documents.embedder {
        let unknown = || Error::config("embedder", format!("there is none of the name \"{name}\""));
        retriever = retriever.with_embedder(Arc::clone(registry.embedder(name).ok_or_else(unknown)?))?;
    }
    if let Some(name) = &documents.reranker {
        let unknown = || Error::config("reranker", format!("there is none of the name \"{name}\""));
        let encoder = Arc::clone(registry.reranker(name).ok_or_else(unknown)?);
        retriever = retriever.with_reranker(encoder);
    }
    Ok(retriever)
}

fn load_router(registry: &Registry, entry: &RouterEntry) -> Result<Entry> {
    let mut routes = Vec::new();
    for route in &entry.routes {
        let model = named(registry, &route.model)?.model;
        let config = RouteConfig { min_mean_logprob: route.min_mean_logprob, ..RouteConfig::default() };
        let detector = DomainDetector::load(&route.detector)?;
        routes.push(Route::new(&route.model, detector, model)?.with_config(config)?);
    }
    let defaults = RouterConfig::default();
    let config = RouterConfig {
        name: entry.name.clone(),
        abstain_text: entry.abstain_text.clone().unwrap_or(defaults.abstain_text),
    };
    let mut router = Router::new(routes, config)?;
    if let Some(larger) = &entry.larger {
        router = router.with_larger(named(registry, larger)?.model);
    }
    let first = entry.routes.first().map(|r| named(registry, &r.model)).transpose()?;
    let (prices, confidence) = first.map(|e| (e.prices, e.confidence)).unwrap_or_default();
    Ok(Entry { prices, confidence, ..Entry::new(&entry.name, "router", Arc::new(router)) })
}
