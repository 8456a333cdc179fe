//! Errors in OpenAI's shape.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::Refusal;

/// An error as clients of OpenAI's protocol expect it: `{"error": {"message", "type", "param", "code"}}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, message: message.into(), param: None, retry_after: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request", message)
    }

    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..Self::invalid(message) }
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "no API key, or one that is not known; send `Authorization: Bearer KEY`";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", message)
    }

    pub(crate) fn forbidden() -> Self {
        let message = "this needs a key with `admin = true`";
        Self::new(StatusCode::FORBIDDEN, "permission_error", "forbidden", message)
    }

    pub(crate) fn no_model(name: &str, known: &[&str]) -> Self {
        let message = format!("the model `{name}` is none of {known:?}");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message);
        Self { param: Some("model".into()), ..error }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message)
    }

    pub(crate) fn slow_body() -> Self {
        let message = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "request_timeout", message)
    }

    pub(crate) fn timeout(limit: Duration) -> Self {
        let message = format!("the answer was not finished within {} s", limit.as_secs());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "timeout", message)
    }

    pub(crate) fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "server_error", "overloaded", message);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub(crate) fn draining() -> Self {
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "shutting_down",
            "the server is shutting down",
        );
        Self { retry_after: Some(Duration::from_secs(5)), ..error }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    pub(crate) fn body(&self) -> serde_json::Value {
        let Self { kind, code, message, param, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let limited = |code, message: &str, wait| {
            let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", code, message);
            Self { retry_after: Some(wait), ..error }
        };
        match refusal {
            Refusal::Rate(wait) => {
                limited("rate_limit_exceeded", "the key's limit per minute is reached", wait)
            }
            Refusal::Budget(wait) => {
                limited("insufficient_quota", "the key's budget of this day is spent", wait)
            }
        }
    }
}

impl From<slm_core::Error> for ApiError {
    fn from(error: slm_core::Error) -> Self {
        match error {
            slm_core::Error::Request { reason } => Self::invalid(reason),
            slm_core::Error::Template { reason } => Self::invalid(format!("chat template: {reason}")),
            slm_core::Error::Model { source, name } => match source.downcast::<crate::Error>() {
                Ok(own) => (*own).into(),
                Err(source) => Self::internal(format!("model {name} failed: {source}")),
            },
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<crate::Error> for ApiError {
    fn from(error: crate::Error) -> Self {
        let message = error.to_string();
        match error {
            crate::Error::Model(e) => e.into(),
            crate::Error::Overloaded { retry_after, .. } => Self::overloaded(message, retry_after),
            crate::Error::TooLong { .. } => {
                Self { code: "context_length_exceeded", ..Self::parameter("messages", message) }
            }
            _ => Self::internal(message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}
