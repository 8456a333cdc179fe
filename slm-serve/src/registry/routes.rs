//! Routers and triage, from what a configuration names.

use slm_router::{
    Action, DomainDetector, IntentDetector, OutcomeRouter, Route, RouteConfig, RouteDetector, Router,
    RouterConfig, Triage, TriageModel,
};

use super::load::{embedder, named};
use super::{Entry, Registry};
use crate::config::{RouteEntry, RouterEntry, TriageEntry};
use crate::{Error, Result};

pub(super) fn load_router(registry: &Registry, entry: &RouterEntry) -> Result<Entry> {
    let mut routes = Vec::new();
    for route in &entry.routes {
        let model = named(registry, &route.model)?.model;
        let config = RouteConfig { min_mean_logprob: route.min_mean_logprob, ..RouteConfig::default() };
        routes.push(Route::new(&route.model, detector(registry, route)?, model)?.with_config(config)?);
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
    Ok(Entry { prices, confidence, ..Entry::new(&entry.name, "router", std::sync::Arc::new(router)) })
}

fn detector(registry: &Registry, route: &RouteEntry) -> Result<RouteDetector> {
    let Some(name) = &route.embedder else {
        if !route.intents.is_empty() {
            return Err(Error::config("intents", "they are told apart by vectors: name the `embedder`, too"));
        }
        return Ok(DomainDetector::load(&route.detector)?.into());
    };
    let intents: Vec<&str> = route.intents.iter().map(String::as_str).collect();
    let detector = IntentDetector::load(&route.detector)?;
    Ok(RouteDetector::vectors(detector, embedder(registry, name)?, &intents)?)
}

pub(super) fn load_triage(registry: &Registry, entry: &TriageEntry) -> Result<Entry> {
    let direct = named(registry, &entry.model)?;
    let mut triage = Triage::new();
    if let Some(domain) = &entry.domain {
        let is_done = matches!(domain.otherwise, Action::Answer | Action::Abstain)
            || entry.actions.iter().any(|a| a.action == domain.otherwise);
        if !is_done {
            let reason = format!("no model of `actions` does \"{}\"", domain.otherwise.name());
            return Err(Error::config("domain.otherwise", reason));
        }
        triage = triage.with_domain(IntentDetector::load(&domain.detector)?, domain.otherwise)?;
    }
    for action in &entry.actions {
        if let Some(router) = &action.router {
            triage = triage.with_remedy(action.action, OutcomeRouter::load(router)?)?;
        }
    }
    let embedder = embedder(registry, &entry.embedder)?;
    let mut model = TriageModel::new(triage, embedder, std::sync::Arc::clone(&direct.model));
    for action in &entry.actions {
        model = model.with_model(action.action, named(registry, &action.model)?.model);
    }
    if let Some(text) = &entry.abstain_text {
        model = model.with_abstain_text(text);
    }
    let (name, model) = (entry.name.clone(), std::sync::Arc::new(model));
    Ok(Entry { engine: None, kind: "triage", name, model, ..direct })
}
