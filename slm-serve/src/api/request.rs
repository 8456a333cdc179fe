//! What every request brings: who sends it, and a body within the limits.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::App;
use super::error::ApiError;
use crate::access::Caller;

/// Somebody with a key, where one is needed.
#[derive(Debug)]
pub(super) struct Known(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
        app.access.identify(header).map(Self).ok_or_else(ApiError::unauthorized)
    }
}

/// A body and who sent it: admitted by the limits of the key.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) caller: Caller,
    /// The client's trace, where it sends one.
    pub(super) traceparent: Option<String>,
    body: Bytes,
}

impl FromRequest<Arc<App>> for Incoming {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Known(caller) = Known::from_request_parts(&mut parts, app).await?;
        if app.is_draining() {
            return Err(ApiError::draining());
        }
        let refused = |e: ApiError| {
            app.metrics.refused("", e.code);
            e
        };
        app.access.admit(&caller).map_err(|r| refused(r.into()))?;
        let limit = app.limits.max_body_bytes;
        let read = tokio::time::timeout(app.limits.read_time(), to_bytes(body, limit)).await;
        let body = match read {
            Err(_) => return Err(refused(ApiError::slow_body())),
            Ok(Err(_)) => return Err(refused(ApiError::too_large(limit))),
            Ok(Ok(body)) => body,
        };
        let traceparent = parts.headers.get("traceparent").and_then(|h| h.to_str().ok()).map(str::to_owned);
        Ok(Self { caller, traceparent, body })
    }
}

impl Incoming {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|e| ApiError::invalid(format!("the body: {e}")))
    }

    /// Whose share a request counts against: the key's, and the user's behind it.
    pub(super) fn tenant(&self, user: Option<&str>) -> String {
        format!("{}/{}", self.caller.name, user.unwrap_or_default())
    }
}
