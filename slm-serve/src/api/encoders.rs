//! `POST /v1/embeddings` and `POST /v1/rerank`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use super::request::Incoming;

#[derive(Debug, Deserialize)]
struct EmbeddingBody {
    model: Option<String>,
    input: Value,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// Most texts of a request.
const MOST: usize = 2048;

pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    incoming: Incoming,
) -> Result<Json<Value>, ApiError> {
    let body: EmbeddingBody = incoming.json()?;
    let registry = app.registry();
    let name = body.model.as_deref().unwrap_or("default");
    let encoder = registry.embedder(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = registry.embedders.iter().map(|(n, _)| n.as_str()).collect();
        ApiError::no_model(name, &known)
    })?;
    let texts = texts(body.input)?;
    if texts.is_empty() || texts.len() > MOST {
        return Err(ApiError::parameter("input", format!("{} texts; expected 1 to {MOST}", texts.len())));
    }
    if let Some(asked) = body.dimensions.filter(|d| *d != encoder.model.dimension()) {
        let message = format!("the model has {} dimensions, not {asked}", encoder.model.dimension());
        return Err(ApiError::parameter("dimensions", message));
    }
    let (vectors, tokens) = blocking(&app, move || {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok((encoder.model.embed(&texts)?, encoder.tokens(&texts)?))
    })
    .await?;
    app.access.settle(&incoming.caller, tokens, 0.0);
    let format = body.encoding_format.unwrap_or(Encoding::Float);
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match format {
            Encoding::Float => json!(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            }
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let data: Vec<Value> = data.collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Json(json!({"object": "list", "data": data, "model": name, "usage": usage})))
}

/// The texts of `input`. Ids of tokens are those of another model's tokenizer: they are refused.
fn texts(input: Value) -> Result<Vec<String>, ApiError> {
    let refused = |_| {
        let message = "expected a text or a list of texts\nhint: LangChain's `OpenAIEmbeddings` sends ids of OpenAI's \
                       tokens unless `check_embedding_ctx_length=False`";
        ApiError::parameter("input", message)
    };
    match input {
        Value::String(text) => Ok(vec![text]),
        many => serde_json::from_value(many).map_err(refused),
    }
}

#[derive(Debug, Deserialize)]
struct RerankBody {
    model: Option<String>,
    query: String,
    documents: Vec<Passage>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Passage {
    Text(String),
    Object { text: String },
}

pub(super) async fn rerank(State(app): State<Arc<App>>, incoming: Incoming) -> Result<Json<Value>, ApiError> {
    let body: RerankBody = incoming.json()?;
    let registry = app.registry();
    let name = body.model.as_deref().unwrap_or("default");
    let reranker = registry.reranker(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = registry.rerankers.iter().map(|(n, _)| n.as_str()).collect();
        ApiError::no_model(name, &known)
    })?;
    let text = |passage: Passage| match passage {
        Passage::Text(text) | Passage::Object { text } => text,
    };
    let texts: Arc<Vec<String>> = Arc::new(body.documents.into_iter().map(text).collect());
    if texts.is_empty() || texts.len() > MOST {
        let message = format!("{} documents; expected 1 to {MOST}", texts.len());
        return Err(ApiError::parameter("documents", message));
    }
    let (query, shared) = (body.query, Arc::clone(&texts));
    let scores = blocking(&app, move || {
        let texts: Vec<&str> = shared.iter().map(String::as_str).collect();
        reranker.score(&query, &texts)
    })
    .await?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(body.top_n.unwrap_or(scores.len()));
    let results = order.iter().map(|&index| {
        let relevance = 1.0 / (1.0 + (-f64::from(scores[index])).exp());
        let mut result = json!({"index": index, "relevance_score": relevance});
        if body.return_documents {
            result["document"] = json!({"text": texts[index]});
        }
        result
    });
    Ok(Json(json!({"model": name, "results": results.collect::<Vec<_>>()})))
}

/// Runs an encoder on a thread that may wait.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce() -> slm_core::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = app.permit()?;
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    let done = tokio::time::timeout(app.limits.request_time(), task).await;
    let done = done.map_err(|_| ApiError::timeout(app.limits.request_time()))?;
    Ok(done.map_err(|e| ApiError::internal(e.to_string()))??)
}
