//! One trace from the command through control and the agents to their Docker Engines, as a collector gets to see it.

use crate::{deploy, image, with_federation_and};
use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Runtime;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use waggle_tests::bed::federation::REGIONS;
use waggle_tests::bed::{self, PATIENCE, wait_for};
use waggle_tests::shop::Shop;

/// Spans that the collector keeps; it refuses more.
const SPANS_MAX: usize = 100_000;

#[test]
fn one_trace_runs_from_the_command_to_the_engines() -> Result<()> {
    let collect = |bed: &bed::Bed| {
        let collector = Collector::start(bed.plot.address(1).into())?;
        let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address))];
        Ok((collector, environment))
    };
    with_federation_and(bed::TRACE, collect, |federation, collector| {
        deploy(federation, &Shop::quick(&image(federation, "v1")))?;
        wait_for("one trace from the command to every Engine", PATIENCE, || {
            let spans = collector.spans();
            let of = |service: &str, name: &str| {
                let found = spans.values().filter(|span| span.service == service && span.name == name);
                found.cloned().collect::<Vec<Seen>>()
            };
            let commands = of("waggle-cli", "command");
            let command = commands.iter().find(|span| span.attribute("name") == Some("stack"));
            let command = command.context("no span of `waggle stack deploy`")?;
            let below = |span: &&Seen| span.trace == command.trace && path(&spans, span).first() == Some(&command);
            let writes = of("waggle-agent", "engine write");
            for (region, _, _) in REGIONS {
                let own = writes.iter().filter(below).find(|span| span.instance == region);
                let own = own.with_context(|| format!("no Engine call of {region} below the command"))?;
                ensure!(own.attribute("call").is_some(), "{own:?} does not say which call it was");
                let services: Vec<&str> = path(&spans, own).iter().map(|span| span.service.as_str()).collect();
                let wanted = ["waggle-cli", "waggle-control", "waggle-agent"];
                ensure!(deduplicated(&services) == wanted, "{region}: {services:?}");
            }
            let asked = of("waggle-agent", "resolve images").iter().any(|span| below(&span));
            ensure!(asked, "the question for the images' digests is not below the command");
            let plans = of("waggle-nameserver", "plan");
            ensure!(plans.iter().any(|span| below(&span)), "no plan of a nameserver is below the command");
            Ok(())
        })
        .with_context(|| collector.summary())
    })
}

/// What matters of one span.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    service: String,
    instance: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }
}

/// From the outermost span that has arrived down to `span`.
fn path<'a>(spans: &'a BTreeMap<Vec<u8>, Seen>, span: &'a Seen) -> Vec<&'a Seen> {
    let mut path = vec![span];
    let mut at = span;
    while let Some(parent) = spans.get(&at.parent) {
        path.insert(0, parent);
        at = parent;
    }
    path
}

fn deduplicated<'a>(services: &[&'a str]) -> Vec<&'a str> {
    let mut services = services.to_vec();
    services.dedup();
    services
}

/// Takes spans over OTLP/gRPC until it is dropped.
struct Collector {
    address: SocketAddr,
    spans: Spans,
    _runtime: Runtime,
}

/// By the span's id.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<Vec<u8>, Seen>>>);

impl Collector {
    fn start(address: IpAddr) -> Result<Collector> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let spans = Spans::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind((address, 0)))?;
        let address = listener.local_addr()?;
        let service = TraceServiceServer::new(spans.clone());
        runtime.spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        Ok(Collector { address, spans, _runtime: runtime })
    }

    fn spans(&self) -> BTreeMap<Vec<u8>, Seen> {
        self.spans.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many spans of which name have arrived.
    fn summary(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for span in self.spans().into_values() {
            *counts.entry(format!("{} {}", span.service, span.name)).or_default() += 1;
        }
        format!("spans that arrived: {counts:?}")
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in request.into_inner().resource_spans.into_iter().flat_map(read) {
            if spans.len() >= SPANS_MAX {
                return Err(Status::resource_exhausted("too many spans"));
            }
            spans.insert(seen.id.clone(), seen);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(group: ResourceSpans) -> Vec<Seen> {
    let resource = texts(group.resource.map(|resource| resource.attributes).unwrap_or_default());
    let of_resource = |key: &str| resource.get(key).cloned().unwrap_or_default();
    let (service, instance) = (of_resource("service.name"), of_resource("service.instance.id"));
    let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans
        .map(|span| Seen {
            service: service.clone(),
            instance: instance.clone(),
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            attributes: texts(span.attributes),
        })
        .collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: KeyValue| match pair.value?.value? {
        Value::StringValue(text) => Some((pair.key, text)),
        _ => None,
    };
    attributes.into_iter().filter_map(text).collect()
}
