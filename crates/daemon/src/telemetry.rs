//! Logs to stderr, spans to a collector.
//!
//! Spans get their identity even when nothing is exported, so that a trace passes through a process without a collector
//! and arrives whole at the next one (see [`trace`]). Logs and spans are filtered apart: turning the log
//! down must not tear holes into traces.

use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::tasks;
pub use crate::trace;

/// What is logged when the configuration says nothing: the DNS library logs a line per query at `info`.
pub const DEFAULT_LOG: &str = "info,hickory_server=warn";

/// How long [`Telemetry::shutdown`] waits for the collector to take what is left.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// How long one export, and the connection it needs, may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The name under which the OpenTelemetry specification knows the collector's address in the environment.
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The part of a role's configuration that is about telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Directives as in `info,waggle_agent=debug`; [`DEFAULT_LOG`] if absent.
    pub log: Option<String>,
    /// Text if absent.
    pub log_format: Option<LogFormat>,
    /// Where spans go over OTLP/gRPC, as in `http://collector:4317`. Else `OTEL_EXPORTER_OTLP_ENDPOINT` of the
    /// environment; else they go nowhere.
    pub otlp_endpoint: Option<String>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{directives}` is not a log filter; an example of one: `info,waggle_agent=debug`")]
    Filter { directives: String, source: ParseError },
    #[error("`{endpoint}` is not the address of a collector; an example of one: `http://127.0.0.1:4317`")]
    Endpoint { endpoint: String, source: tonic::transport::Error },
    #[error("spans cannot be exported to `{endpoint}`")]
    Exporter { endpoint: String, source: ExporterBuildError },
    #[error("spans can only be exported from within a tokio runtime")]
    NoRuntime,
    #[error("telemetry runs already in this process")]
    Running(#[source] tracing_subscriber::util::TryInitError),
}

/// Telemetry of this process. Keep it until the end, then [`shutdown`](Telemetry::shutdown).
#[must_use = "spans are lost unless it is shut down at the end"]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Starts logging, tracing and, given an endpoint, exporting. Once per process, within a tokio runtime.
///
/// `role` names the service (`waggle-<role>`), `instance` tells this process from its likes. A collector that cannot be
/// reached is no error: spans are dropped until it can.
pub fn init(role: &'static str, instance: &str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let provider = provider(role, instance, endpoint(config))?;
    subscriber(config, &provider, io::stderr)?.try_init().map_err(TelemetryError::Running)?;
    if config.log_format == Some(LogFormat::Json) {
        log_panics();
    }
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Hands what is left to the collector, for [`FLUSH_DEADLINE`] at most.
    pub async fn shutdown(self) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_DEADLINE);
        match tokio::time::timeout(FLUSH_DEADLINE, tokio::task::spawn_blocking(flush)).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans were not exported"),
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(_) => tracing::warn!("the last spans were not exported in time"),
        }
    }
}

fn endpoint(config: &TelemetryConfig) -> Option<String> {
    let configured = config.otlp_endpoint.clone();
    configured.or_else(|| std::env::var(OTLP_ENDPOINT).ok()).filter(|endpoint| !endpoint.is_empty())
}

fn provider(role: &'static str, instance: &str, endpoint: Option<String>) -> Result<SdkTracerProvider, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(format!("waggle-{role}"))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
    let builder = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
    let Some(endpoint) = endpoint else {
        return Ok(builder.build());
    };
    Ok(builder.with_batch_exporter(exporter(&endpoint)?).build())
}

fn exporter(endpoint: &str) -> Result<SpanExporter, TelemetryError> {
    SpanExporter::builder()
        .with_tonic()
        .with_channel(channel(endpoint)?)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })
}

fn channel(endpoint: &str) -> Result<Channel, TelemetryError> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(TelemetryError::NoRuntime);
    }
    let refuse = |source| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), source };
    let mut channel = Endpoint::from_shared(endpoint.to_owned()).map_err(refuse)?.connect_timeout(EXPORT_TIMEOUT);
    if channel.uri().scheme_str() == Some("https") {
        channel = channel.tls_config(ClientTlsConfig::new().ca_certificates(machine_roots())).map_err(refuse)?;
    }
    Ok(channel.connect_lazy())
}

/// The roots that the machine trusts. Those it cannot read are left out: the handshake will say so.
fn machine_roots() -> Vec<Certificate> {
    use base64::Engine;
    let roots = rustls_native_certs::load_native_certs().certs;
    let pem = |der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    roots.iter().map(|root| Certificate::from_pem(pem(root))).collect()
}

fn subscriber<W>(
    config: &TelemetryConfig,
    provider: &SdkTracerProvider,
    out: W,
) -> Result<impl SubscriberInitExt + use<W>, TelemetryError>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let directives = config.log.as_deref().unwrap_or(DEFAULT_LOG);
    let filter = EnvFilter::try_new(directives)
        .map_err(|source| TelemetryError::Filter { directives: directives.to_owned(), source })?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("waggle"))
        .with_tracked_inactivity(false)
        .with_threads(false)
        .with_location(false)
        .with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::DEBUG));
    let lines = tracing_subscriber::fmt::layer().with_writer(out);
    let lines = match config.log_format.unwrap_or_default() {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    Ok(Registry::default().with(spans).with(lines.with_filter(filter)))
}

/// Our own spans down to `debug`, with their events down to `info`. What packets trigger is `trace`, and costs nothing.
/// The libraries are left out, above all the exporter, whose calls would export themselves for ever. So are tasks, whose
/// spans last as long as the process.
fn is_traced(what: &Metadata<'_>) -> bool {
    let ours = what.target().starts_with("waggle") && what.target() != tasks::SPAN_TARGET;
    let deepest = if what.is_span() { Level::DEBUG } else { Level::INFO };
    ours && *what.level() <= deepest
}

/// A panic becomes a line of JSON, in the place of text that breaks the stream.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = tasks::panic_message(panic.payload());
        tracing::error!(location, message, "panic");
    }));
}

#[cfg(test)]
mod tests;
