//! From a configuration to what it names.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use slm_core::generate::PrefillState;
use slm_core::{CrossEncoder, LocalModel};
use slm_data::{PiiAction, redact};
use slm_lora::LoraAdapter;
use slm_rag::{ExtractiveModel, GroundedModel, Index, RetrieveConfig, Retriever, Store};
use slm_router::{Budget, CachedModel, Cascade, CascadeConfig, CloudModel, TrustModel};

use super::routes::{load_router, load_triage};
use super::{Encoder, Entry, Registry, SharedEmbedder, SharedModel, fingerprint, now};
use crate::config::{CloudEntry, DocumentsConfig, EmbedderConfig, LocalEntry, ModelEntry, ServeConfig};
use crate::engine::Engine;
use crate::{Error, Result};

pub(super) fn load(config: &ServeConfig) -> Result<Registry> {
    let device = Device::default();
    let mut registry = Registry { loaded: now(), ..Registry::default() };
    for encoder in &config.embedders {
        if let Some(path) = &encoder.path {
            registry.embedders.push((encoder.name.clone(), Encoder::load(path, &device)?));
        }
    }
    for encoder in &config.rerankers {
        let loaded = CrossEncoder::load(&encoder.path, &device)?;
        registry.rerankers.push((encoder.name.clone(), Arc::new(loaded)));
    }
    for entry in &config.models {
        match entry {
            ModelEntry::Local(local) => {
                load_local(&mut registry, local, &device)?;
                load_states(&mut registry, &local.name, &config.embedders);
            }
            other => {
                let entry = load_entry(&registry, other)?;
                registry.models.push(entry);
            }
        }
    }
    Ok(registry)
}

/// A model that is made of others, or lies elsewhere.
fn load_entry(registry: &Registry, entry: &ModelEntry) -> Result<Entry> {
    match entry {
        ModelEntry::Extractive(e) => {
            let retriever = retriever(registry, &e.documents)?;
            let model = ExtractiveModel::new(retriever, e.extraction.clone())?;
            let hash = fingerprint(&e.documents.index)?;
            Ok(Entry { model_hash: Some(hash), ..Entry::new(&e.name, "extractive", Arc::new(model)) })
        }
        ModelEntry::Grounded(g) => {
            let inner = named(registry, &g.model)?;
            let retriever = retriever(registry, &g.documents)?;
            let model = GroundedModel::new(retriever, Arc::clone(&inner.model), g.grounding.clone())?;
            let (name, model) = (g.name.clone(), Arc::new(model));
            Ok(Entry { engine: None, kind: "grounded", name, model, ..inner })
        }
        ModelEntry::Router(router) => load_router(registry, router),
        ModelEntry::Triage(triage) => load_triage(registry, triage),
        ModelEntry::Cloud(cloud) => load_cloud(cloud),
        ModelEntry::Cascade(cascade) => {
            let inner = named(registry, &cascade.local)?;
            let larger = named(registry, &cascade.larger)?.model;
            let config = CascadeConfig { name: cascade.name.clone(), ..cascade.cascade.clone() };
            let trust = TrustModel::load(&cascade.trust)?;
            let model = Cascade::new(Arc::clone(&inner.model), larger, trust, config)?;
            let (name, model) = (cascade.name.clone(), Arc::new(model));
            Ok(Entry { engine: None, kind: "cascade", name, model, ..inner })
        }
        ModelEntry::Local(local) => Err(Error::config("kind", format!("{} is local", local.name))),
    }
}

fn load_cloud(entry: &CloudEntry) -> Result<Entry> {
    let kinds = entry.redact.kinds.clone();
    let mut model = CloudModel::new(entry.client.clone())?;
    if entry.redact.action != PiiAction::Keep {
        model = model.with_redactor(move |text| redact(text, &kinds));
    }
    if let Some(per_day) = entry.budget_per_day {
        let mut budget = Budget::new(per_day)?;
        if let Some(file) = &entry.budget_file {
            budget = budget.with_file(file)?;
        }
        model = model.with_budget(Arc::new(budget));
    }
    let model: SharedModel = match entry.cache {
        Some(cache) => Arc::new(CachedModel::new(model, cache)?),
        None => Arc::new(model),
    };
    Ok(Entry::new(&entry.name, "cloud", model))
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

/// The embedders that are states of the model `name`.
fn load_states(registry: &mut Registry, name: &str, embedders: &[EmbedderConfig]) {
    let Some(engine) = registry.models.iter().find_map(|e| e.engine.clone().filter(|_| e.name == name))
    else {
        return;
    };
    for embedder in embedders.iter().filter(|e| e.model.as_deref() == Some(name)) {
        let kv_cache = engine.engine().config().kv_cache;
        let states = PrefillState::new(engine.local().clone(), embedder.pooling.unwrap_or_default())
            .with_kv_cache(kv_cache);
        registry.embedders.push((embedder.name.clone(), Encoder::of_states(states)));
    }
}

pub(super) fn named(registry: &Registry, name: &str) -> Result<Entry> {
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
        retriever = retriever.with_embedder(embedder(registry, name)?)?;
    }
    if let Some(name) = &documents.reranker {
        let unknown = || Error::config("reranker", format!("there is none of the name \"{name}\""));
        let encoder = Arc::clone(registry.reranker(name).ok_or_else(unknown)?);
        retriever = retriever.with_reranker(encoder);
    }
    Ok(retriever)
}

pub(super) fn embedder(registry: &Registry, name: &str) -> Result<SharedEmbedder> {
    let unknown = || Error::config("embedder", format!("there is none of the name \"{name}\""));
    Ok(Arc::clone(&registry.embedder(name).ok_or_else(unknown)?.model))
}
