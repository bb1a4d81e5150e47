use http::HeaderMap;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::metadata::MetadataMap;
use tracing_opentelemetry::layer;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_trace_runs_through_http_and_grpc_into_the_next_process() {
    traced(|| {
        let first = tracing::info_span!("command");
        let mut headers = HeaderMap::new();
        let sent = first.in_scope(|| {
            inject_http(&mut headers);
            current_traceparent().unwrap()
        });
        assert_eq!(extract_http(&headers), Some(sent.as_str()));

        let second = tracing::info_span!("control");
        set_parent(&second, extract_http(&headers).unwrap());
        let mut metadata = MetadataMap::new();
        second.in_scope(|| inject_grpc(&mut metadata));
        let passed_on = extract_grpc(&metadata).unwrap();

        assert_eq!(trace_id(passed_on), trace_id(&sent), "one trace");
        assert_ne!(passed_on, sent, "but another span");
        assert!(passed_on.ends_with("-01"), "still sampled");
    });
}

#[test]
fn a_remote_parent_is_taken_and_its_decision_not_to_sample_too() {
    traced(|| {
        let span = tracing::info_span!("work");
        set_parent(&span, &PARENT.replace("-01", "-00"));
        let own = span.in_scope(current_traceparent).unwrap();
        assert_eq!(trace_id(&own), trace_id(PARENT));
        assert!(own.ends_with("-00"));
    });
}

#[test]
fn what_is_no_traceparent_starts_a_new_trace() {
    let long = format!("{PARENT}-{}", "0".repeat(10_000));
    let cases = [
        "",
        "-",
        "garbage",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        long.as_str(),
    ];
    traced(|| {
        for case in cases {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, case.parse().unwrap());
            assert_eq!(extract_http(&headers), None, "{case}");
            let span = tracing::info_span!("work");
            set_parent(&span, case);
            let own = span.in_scope(current_traceparent).unwrap();
            assert_ne!(trace_id(&own), trace_id(PARENT), "{case}");
        }
    });
}

#[test]
fn a_later_version_with_more_fields_is_understood() {
    assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
}

#[test]
fn without_telemetry_nothing_is_sent() {
    let mut headers = HeaderMap::new();
    tracing::info_span!("work").in_scope(|| inject_http(&mut headers));
    assert!(headers.is_empty());
}

fn traced(test: impl FnOnce()) {
    use opentelemetry::trace::TracerProvider;
    let provider = SdkTracerProvider::builder().build();
    let subscriber = tracing_subscriber::registry().with(layer().with_tracer(provider.tracer("test")));
    tracing::subscriber::with_default(subscriber, test);
}

fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap_or_default()
}
