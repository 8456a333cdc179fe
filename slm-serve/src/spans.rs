//! Spans of answers for a collector of OpenTelemetry.

use serde::{Deserialize, Serialize};

use crate::journal::Record;
use crate::{Error, Result};

/// Where spans are sent: OTLP over HTTP, as JSON. Needs the feature `otel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtelConfig {
    /// Address of the collector, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// The service's name in spans.
    #[serde(default = "service")]
    pub service: String,
    /// Headers of each request to the collector.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
}

fn service() -> String {
    "slm-serve".into()
}

/// An answer, or what became of the request for it.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// `chat` or `text_completion`.
    pub(crate) operation: &'static str,
    /// The client's `traceparent`.
    pub(crate) parent: Option<&'a str>,
    /// The model that wrote it, where one did.
    pub(crate) model: Option<&'a str>,
    pub(crate) caller: &'a str,
    pub(crate) record: &'a Record,
}

/// Takes spans without waiting.
pub(crate) trait Spans: std::fmt::Debug + Send + Sync {
    fn record(&self, answered: &Answered<'_>);
}

/// Begins to send spans.
#[cfg(feature = "otel")]
pub(crate) fn start(config: &OtelConfig) -> Result<Box<dyn Spans>> {
    otel::start(config).map_err(|e| Error::config("otel", e.to_string()))
}

/// Says that this build sends none.
#[cfg(not(feature = "otel"))]
pub(crate) fn start(_config: &OtelConfig) -> Result<Box<dyn Spans>> {
    Err(Error::config("otel", "this build sends no spans\nhint: build it with the feature `otel`"))
}

#[cfg(feature = "otel")]
mod otel {
    use std::collections::HashMap;
    use std::time::{Duration, SystemTime};

    use axum::body::Bytes;
    use axum::http::{Request, Response};
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, Tracer, TracerProvider};
    use opentelemetry::{Context, KeyValue, StringValue};
    use opentelemetry_http::{HttpClient, HttpError};
    use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter};
    use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    use super::{Answered, OtelConfig, Spans};

    /// Sends in batches from a thread of its own; what is left is sent when it is dropped.
    #[derive(Debug)]
    struct Exporter {
        tracer: SdkTracer,
        _provider: SdkTracerProvider,
    }

    /// The client of HTTP that cloud models are asked with.
    #[derive(Debug)]
    struct Client(ureq::Agent);

    #[async_trait::async_trait]
    impl HttpClient for Client {
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (head, body) = request.into_parts();
            let answer = self.0.run(Request::from_parts(head, body.to_vec()))?;
            let (head, mut body) = answer.into_parts();
            Ok(Response::from_parts(head, Bytes::from(body.read_to_vec()?)))
        }
    }

    pub(super) fn start(config: &OtelConfig) -> Result<Box<dyn Spans>, ExporterBuildError> {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_headers(config.headers.clone().into_iter().collect::<HashMap<_, _>>())
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(config.service.clone()).build())
            .build();
        Ok(Box::new(Exporter { tracer: provider.tracer("slm-serve"), _provider: provider }))
    }

    impl Spans for Exporter {
        fn record(&self, answered: &Answered<'_>) {
            let record = answered.record;
            let end = SystemTime::now();
            let begin = end - Duration::from_secs_f64(record.seconds);
            let parent = answered.parent.map_or_else(Context::new, |parent| {
                let carrier = HashMap::from([("traceparent".to_owned(), parent.to_owned())]);
                TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
            });
            let span = SpanBuilder::from_name(format!("{} {}", answered.operation, record.model))
                .with_kind(SpanKind::Server)
                .with_start_time(begin)
                .with_attributes(attributes(answered));
            let mut span = self.tracer.build_with_context(span, &parent);
            if answered.model.is_none() {
                span.set_status(Status::error(record.outcome.clone()));
            }
            if let Some(first) = record.first_token {
                let at = begin + Duration::from_secs_f64(first);
                span.add_event_with_timestamp("first token", at, Vec::new());
            }
            span.end_with_timestamp(end);
        }
    }

    /// By the conventions for generative models, and this server's own as `slm.*`.
    fn attributes(answered: &Answered<'_>) -> Vec<KeyValue> {
        let record = answered.record;
        let mut all = vec![
            KeyValue::new("gen_ai.operation.name", answered.operation),
            KeyValue::new("gen_ai.provider.name", "slm"),
            KeyValue::new("gen_ai.request.model", record.model.clone()),
            KeyValue::new("gen_ai.response.id", record.id.clone()),
            KeyValue::new("gen_ai.usage.input_tokens", record.prompt_tokens as i64),
            KeyValue::new("gen_ai.usage.output_tokens", record.completion_tokens as i64),
            KeyValue::new("slm.caller", answered.caller.to_owned()),
            KeyValue::new("slm.cost", record.cost),
        ];
        match answered.model {
            Some(model) => {
                let reasons = vec![StringValue::from(record.outcome.clone())];
                let reasons = opentelemetry::Value::Array(reasons.into());
                all.push(KeyValue::new("gen_ai.response.model", model.to_owned()));
                all.push(KeyValue::new("gen_ai.response.finish_reasons", reasons));
                all.push(KeyValue::new("slm.route", record.route.clone()));
            }
            None => all.push(KeyValue::new("error.type", record.outcome.clone())),
        }
        if let Some(confidence) = record.confidence {
            all.push(KeyValue::new("slm.confidence", confidence));
        }
        all
    }
}
