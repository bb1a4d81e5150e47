//! W3C trace context on the wire, so that one trace runs through every process that a request touches.
//!
//! Only `traceparent` travels. `tracestate` and baggage are left out: nothing here reads them, and what a stranger puts
//! into them would be carried from process to process.
//!
//! Without an exporter spans have identities all the same, so a process that exports nothing still hands the trace on.

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tonic::metadata::{MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The name of the header, in HTTP and in gRPC metadata (W3C Trace Context §3.2).
pub const TRACEPARENT: &str = "traceparent";

/// The `traceparent` of the current span; `None` outside of any span or without telemetry.
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return None;
    }
    let flags = (span.trace_flags() & TraceFlags::SAMPLED).to_u8();
    Some(format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

/// Makes `span` a child of the remote one. Anything that is not a `traceparent` leaves the span as it is: a trace is
/// never a reason to refuse work. To be called before the span is entered.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Some(parent) = parse(traceparent) else {
        return;
    };
    let context = opentelemetry::Context::new().with_remote_span_context(parent);
    let _ = span.set_parent(context);
}

/// Adds the current `traceparent`, if there is one.
pub fn inject_http(headers: &mut HeaderMap) {
    let value = current_traceparent().and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(value) = value {
        headers.insert(TRACEPARENT, value);
    }
}

/// The `traceparent` of a request, if it carries a valid one.
pub fn extract_http(headers: &HeaderMap) -> Option<&str> {
    headers.get(TRACEPARENT)?.to_str().ok().filter(|text| parse(text).is_some())
}

/// Adds the current `traceparent`, if there is one.
pub fn inject_grpc(metadata: &mut MetadataMap) {
    let value = current_traceparent().and_then(|text| MetadataValue::try_from(text).ok());
    if let Some(value) = value {
        metadata.insert(TRACEPARENT, value);
    }
}

/// The `traceparent` of a call, if it carries a valid one.
pub fn extract_grpc(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(TRACEPARENT)?.to_str().ok().filter(|text| parse(text).is_some())
}

/// W3C Trace Context §3.2.2: `00-<32 hex>-<16 hex>-<2 hex>` in lower case, ids not all zero. Later versions may append
/// fields, `ff` is forbidden.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let version = u8::from_str_radix(hex(parts.next()?, 2)?, 16).ok()?;
    let trace = TraceId::from_hex(hex(parts.next()?, 32)?).ok()?;
    let span = SpanId::from_hex(hex(parts.next()?, 16)?).ok()?;
    let flags = u8::from_str_radix(hex(parts.next()?, 2)?, 16).ok()?;
    if version == u8::MAX || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

fn hex(text: &str, length: usize) -> Option<&str> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == length && text.bytes().all(lower_hex)).then_some(text)
}

#[cfg(test)]
mod tests;
