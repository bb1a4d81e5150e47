use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{LogFormat, Telemetry, TelemetryConfig, TelemetryError, exporter, provider, subscriber};
use crate::tasks::{SPAN_TARGET, Tasks};
use crate::trace::current_traceparent;

#[test]
fn json_lines_carry_their_fields_and_obey_the_filter() {
    let config = TelemetryConfig { log_format: Some(LogFormat::Json), ..Default::default() };
    let lines = logged(&config, || {
        let _span = tracing::info_span!("session", cluster = "ams").entered();
        tracing::info!(generation = 7, "applied");
        tracing::debug!("unseen");
        tracing::info!(target: "hickory_server", "a line per query");
    });
    let [line] = lines.as_slice() else { panic!("one line, not {lines:?}") };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["message"], "applied");
    assert_eq!(line["generation"], 7);
    assert_eq!(line["span"]["cluster"], "ams");
}

#[test]
fn the_filter_is_configurable() {
    let config = TelemetryConfig { log: Some("warn,waggle_daemon=debug".to_owned()), ..Default::default() };
    let lines = logged(&config, || {
        tracing::debug!("ours");
        tracing::info!(target: "theirs", "unseen");
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("ours") && !lines[0].contains('\u{1b}'), "{lines:?}");
}

#[test]
fn a_quiet_log_does_not_tear_the_trace_and_a_loud_one_neither() {
    for log in ["off", "trace"] {
        let config = TelemetryConfig { log: Some(log.to_owned()), ..Default::default() };
        logged(&config, || {
            let outer = tracing::info_span!("request").entered();
            let above = current_traceparent().expect(log);
            let _inner = tracing::debug_span!("step").entered();
            let below = current_traceparent().expect(log);
            assert_eq!(above[..35], below[..35], "{log}");
            drop(outer);
        });
    }
}

#[test]
fn a_task_is_no_parent_of_what_it_does() {
    logged(&TelemetryConfig::default(), || {
        let _task = tracing::info_span!(target: SPAN_TARGET, "task").entered();
        assert_eq!(current_traceparent(), None);
        let first = tracing::info_span!("one").in_scope(current_traceparent).unwrap();
        let second = tracing::info_span!("two").in_scope(current_traceparent).unwrap();
        assert_ne!(first[..35], second[..35], "two traces");
    });
}

#[test]
fn a_bad_filter_is_refused_with_an_example() {
    let config = TelemetryConfig { log: Some("waggle=loud".to_owned()), ..Default::default() };
    let Err(error) = subscriber(&config, &SdkTracerProvider::builder().build(), io::sink) else {
        panic!("accepted");
    };
    assert_eq!(error.to_string(), "`waggle=loud` is not a log filter; an example of one: `info,waggle_agent=debug`");
}

#[tokio::test]
async fn an_exporter_takes_plain_and_tls_endpoints_and_refuses_others() {
    assert!(exporter("http://127.0.0.1:4317").is_ok());
    assert!(exporter("https://127.0.0.1:4317").is_ok());
    assert!(matches!(exporter("not an address"), Err(TelemetryError::Endpoint { .. })));
}

#[tokio::test]
async fn spans_reach_the_collector_at_shutdown_at_the_latest() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut exports) = mpsc::channel(1);
    let tasks = Tasks::new();
    tasks.spawn("collector", async move { axum::serve(listener, collector(sender)).await });

    let provider = provider("agent", "ams-1", Some(endpoint)).unwrap();
    let dispatch = subscriber(&TelemetryConfig::default(), &provider, io::sink).unwrap().into();
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("apply").in_scope(|| tracing::info!("done"));
        tracing::info_span!(target: "hyper", "connection").in_scope(|| {});
    });
    Telemetry { provider }.shutdown().await;

    let export = exports.recv().await.unwrap();
    let holds = |text: &str| export.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("waggle-agent") && holds("ams-1") && holds("apply") && holds("done"));
    assert!(!holds("connection"), "spans of libraries stay here");
    assert!(tasks.shutdown(Duration::ZERO).await.is_err(), "the collector has no other end");
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let provider = provider("agent", "ams-1", Some(endpoint)).unwrap();
    let dispatch = subscriber(&TelemetryConfig::default(), &provider, io::sink).unwrap().into();
    tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("apply").in_scope(|| {}));
    let start = tokio::time::Instant::now();
    // The socket listens and never answers.
    Telemetry { provider }.shutdown().await;
    assert!(start.elapsed() < super::FLUSH_DEADLINE * 2);
    drop(listener);
}

#[test]
fn an_exporter_outside_of_a_runtime_is_an_error_and_not_a_panic() {
    assert!(matches!(exporter("http://127.0.0.1:4317"), Err(TelemetryError::NoRuntime)));
}

/// Hands on the body of every export and answers that all was well.
fn collector(sender: mpsc::Sender<Bytes>) -> Router {
    let export = move |body: Bytes| async move {
        let _ = sender.send(body).await;
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let empty_message = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
        ([(CONTENT_TYPE, "application/grpc")], Body::new(empty_message))
    };
    Router::new().route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(export))
}

fn logged(config: &TelemetryConfig, test: impl FnOnce()) -> Vec<String> {
    let out = Out::default();
    let writer = out.clone();
    let subscriber = subscriber(config, &SdkTracerProvider::builder().build(), move || writer.clone()).unwrap();
    let dispatch: tracing::Dispatch = subscriber.into();
    tracing::dispatcher::with_default(&dispatch, test);
    let text = out.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
