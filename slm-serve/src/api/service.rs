//! Everything about the server itself: models, health, figures, the page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use super::request::{Incoming, Known};
use crate::registry::{Entry, Registry};

fn card(registry: &Registry, entry: &Entry) -> Value {
    json!({
        "id": entry.name,
        "object": "model",
        "created": registry.loaded,
        "owned_by": "slm",
        "root": entry.parent.as_ref().unwrap_or(&entry.name),
        "parent": entry.parent,
        "kind": entry.kind,
        "max_model_len": entry.engine.as_ref().map(|e| e.local().model.config.context_length()),
        "model_hash": entry.model_hash,
        "adapter_hash": entry.adapter_hash,
    })
}

fn encoder(registry: &Registry, name: &str, kind: &str) -> Value {
    json!({"id": name, "object": "model", "created": registry.loaded, "owned_by": "slm", "kind": kind})
}

fn all(registry: &Registry) -> Vec<Value> {
    let models = registry.models.iter().map(|e| card(registry, e));
    let embedders = registry.embedders.iter().map(|(n, _)| encoder(registry, n, "embedder"));
    let rerankers = registry.rerankers.iter().map(|(n, _)| encoder(registry, n, "reranker"));
    models.chain(embedders).chain(rerankers).collect()
}

pub(super) async fn models(State(app): State<Arc<App>>, _caller: Known) -> Json<Value> {
    Json(json!({"object": "list", "data": all(&app.registry())}))
}

pub(super) async fn model(
    State(app): State<Arc<App>>,
    _caller: Known,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let registry = app.registry();
    let found = all(&registry).into_iter().find(|card| card["id"] == json!(id));
    found.map(Json).ok_or_else(|| ApiError::no_model(&id, &[]))
}

/// Whether the process and its engines live.
pub(super) async fn health(State(app): State<Arc<App>>) -> StatusCode {
    if app.registry().is_alive() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// Whether it takes requests.
pub(super) async fn ready(State(app): State<Arc<App>>) -> StatusCode {
    let takes = !app.is_draining() && app.registry().is_alive();
    if takes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(&app.registry())).into_response()
}

/// Minutes that the page shows.
const MINUTES: usize = 60;
/// Requests that the page lists.
const LISTED: usize = 50;

pub(super) async fn stats(State(app): State<Arc<App>>, _caller: Known) -> Json<Value> {
    let registry = app.registry();
    let engines = registry.engines.iter().map(|(name, e)| json!({"model": name, "status": e.status()}));
    Json(json!({
        "engines": engines.collect::<Vec<_>>(),
        "in_flight": app.in_flight(),
        "minutes": app.journal.minutes(MINUTES),
        "last": app.journal.last(LISTED),
    }))
}

#[derive(Debug, Deserialize)]
struct Feedback {
    id: String,
    good: bool,
}

/// What a reader thought of an answer.
pub(super) async fn feedback(
    State(app): State<Arc<App>>,
    incoming: Incoming,
) -> Result<StatusCode, ApiError> {
    let Feedback { id, good } = incoming.json()?;
    if app.journal.judge(&id, good) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(format!("no answer `{id}` is remembered")))
}

/// Loads models anew.
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Known(caller): Known,
) -> Result<Json<Value>, ApiError> {
    if !caller.admin {
        return Err(ApiError::forbidden());
    }
    let loading = Arc::clone(&app);
    let loaded = tokio::task::spawn_blocking(move || loading.reload()).await;
    let registry = loaded.map_err(|e| ApiError::internal(e.to_string()))??;
    Ok(Json(json!({"object": "list", "data": all(&registry)})))
}

/// The page has no assets but itself, and may call nobody but this server.
pub(super) async fn page() -> Response {
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Html(include_str!("../page.html"))).into_response()
}

pub(super) async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing is served at {} with this method", uri.path()))
}
