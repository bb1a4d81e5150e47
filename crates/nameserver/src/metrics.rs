//! Figures about this process. The answer path adds to plain atomics of its own thread; they are summed when asked for.

pub mod routes;

use crate::querylog::Samples;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use waggle_model::health::Verdict;
use waggle_model::plan::NameserverStatus;
use waggle_model::routing::Share;

/// Header response codes (RFC 1035 §4.1.1): four bits.
const RCODES: usize = 16;
pub const RCODE_NAMES: [&str; RCODES] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "11", "12", "13", "14", "15",
];

/// What one answering thread (or the TCP thread) counts. Its own cache lines: threads must not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    rcodes: [AtomicU64; RCODES],
    /// Datagrams and messages that deserve no reply, or came before the first plan.
    dropped: AtomicU64,
    panics: AtomicU64,
    unsent: AtomicU64,
}

/// What a batch comes to before it is counted: one addition that other processors see, instead of one per query.
#[derive(Debug, Default)]
pub struct Tally {
    rcodes: [u64; RCODES],
    dropped: u64,
    panics: u64,
}

impl Tally {
    /// A reply was made.
    pub fn answered(&mut self, reply: &[u8]) {
        let code = reply.get(3).map_or(0, |flags| flags & 0xf);
        if let Some(count) = self.rcodes.get_mut(usize::from(code)) {
            *count += 1;
        }
    }

    pub fn dropped(&mut self) {
        self.dropped += 1;
    }

    pub fn panicked(&mut self) {
        self.panics += 1;
    }
}

impl Counters {
    pub fn add(&self, tally: &Tally) {
        let codes = self.rcodes.iter().zip(tally.rcodes);
        for (counter, count) in codes.chain([(&self.dropped, tally.dropped), (&self.panics, tally.panics)]) {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    pub fn unsent(&self, count: u64) {
        if count > 0 {
            self.unsent.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn queries(&self) -> u64 {
        self.rcodes.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// TCP connections of clients.
#[derive(Debug, Default)]
pub struct Connections {
    opened: AtomicU64,
    closed: AtomicU64,
    evicted: AtomicU64,
}

impl Connections {
    pub fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody had to make room; it counts as closed too.
    pub fn evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    fn encode(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let (opened, closed) = (self.opened.load(Ordering::Relaxed), self.closed.load(Ordering::Relaxed));
        let open = ConstGauge::new(opened.saturating_sub(closed) as i64);
        open.encode(encoder.encode_descriptor("dns_connections", "Open TCP connections", None, MetricType::Gauge)?)?;
        let evicted = ConstCounter::new(self.evicted.load(Ordering::Relaxed));
        let totals = [
            ("dns_connections_opened", "TCP connections accepted", ConstCounter::new(opened)),
            ("dns_connections_evicted", "Silent TCP connections closed to make room for others", evicted),
        ];
        for (name, help, total) in totals {
            total.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

/// The counters of all threads.
#[derive(Debug, Default)]
pub struct Traffic {
    pub udp: Vec<Arc<Counters>>,
    pub tcp: Arc<Counters>,
    pub connections: Connections,
    pub threads_restarted: AtomicU64,
    pub samples: Samples,
}

impl Traffic {
    pub fn new(udp_threads: usize) -> Traffic {
        Traffic { udp: (0..udp_threads).map(|_| Arc::default()).collect(), ..Traffic::default() }
    }

    /// Queries answered since the start.
    pub fn queries(&self) -> u64 {
        self.each().map(|(_, counters)| counters.queries()).sum()
    }

    pub fn panics(&self) -> u64 {
        self.each().map(|(_, counters)| counters.panics.load(Ordering::Relaxed)).sum()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &Counters)> {
        let udp = self.udp.iter().map(|counters| ("udp", counters.as_ref()));
        udp.chain([("tcp", self.tcp.as_ref())])
    }

    fn sum(&self, transport: &str, read: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        let own = self.each().filter(|(name, _)| *name == transport);
        own.map(|(_, counters)| read(counters).load(Ordering::Relaxed)).sum()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    transport: &'static str,
    rcode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransport {
    transport: &'static str,
}

impl Collector for Traffic {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut family = encoder.encode_descriptor("dns_answers", "Queries answered", None, MetricType::Counter)?;
        for transport in ["udp", "tcp"] {
            for (code, rcode) in RCODE_NAMES.into_iter().enumerate() {
                let count = self.sum(transport, |counters| counters.rcodes.get(code).unwrap_or(&counters.dropped));
                if count > 0 {
                    ConstCounter::new(count).encode(family.encode_family(&Answered { transport, rcode })?)?;
                }
            }
        }
        type Read = fn(&Counters) -> &AtomicU64;
        let plain: [(&str, &str, Read); 3] = [
            ("dns_dropped", "Messages that got no reply", |counters| &counters.dropped),
            ("dns_panics", "Panics contained while answering", |counters| &counters.panics),
            ("dns_unsent", "Replies that could not be sent", |counters| &counters.unsent),
        ];
        for (name, help, read) in plain {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for transport in ["udp", "tcp"] {
                let count = ConstCounter::new(self.sum(transport, read));
                count.encode(family.encode_family(&ByTransport { transport })?)?;
            }
        }
        self.connections.encode(&mut encoder)?;
        let ((taken, missed), entries) = (self.samples.counts(), &self.samples.entries);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (name, help, count) in [
            ("query_samples", "Queries sampled", taken),
            ("query_samples_lost", "Samples lost because nobody read them in time, or too long", missed),
            ("query_log_entries", "Sampled queries written to the file", read(&entries.written)),
            ("query_log_entries_lost", "Sampled queries that the disk did not take", read(&entries.lost)),
        ] {
            ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let restarted = ConstCounter::new(self.threads_restarted.load(Ordering::Relaxed));
        let help = "Answering threads that ended and were started again";
        restarted.encode(encoder.encode_descriptor("dns_threads_restarted", help, None, MetricType::Counter)?)
    }
}

/// Verdicts of the newest status: 1 fit, 0 unfit, -1 unknown.
#[derive(Debug)]
pub struct Verdicts(pub watch::Receiver<Option<Arc<NameserverStatus>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEndpoint {
    route: String,
    cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareOf {
    route: String,
    cluster: String,
    clients: &'static str,
}

impl Collector for Verdicts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.0.borrow().clone();
        let Some(status) = status else { return Ok(()) };
        let help = "Whether an endpoint is fit: 1 yes, 0 no, -1 unknown";
        let mut family = encoder.encode_descriptor("endpoint_fit", help, None, MetricType::Gauge)?;
        for entry in &status.verdicts {
            let value: i64 = match entry.verdict {
                Verdict::Fit => 1,
                Verdict::Unfit(_) => 0,
                Verdict::Unknown => -1,
            };
            let labels = OfEndpoint { route: entry.route.as_str().to_owned(), cluster: entry.cluster.to_string() };
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        let help = "Part of the clients that an endpoint takes: of its own, and of those that others sent on";
        let mut family = encoder.encode_descriptor("endpoint_share", help, None, MetricType::Gauge)?;
        for entry in &status.verdicts {
            let share = entry.limited.map_or(Share::FULL, |limited| limited.share);
            for (clients, part) in [("own", share.home), ("others", share.guests)] {
                let (route, cluster) = (entry.route.as_str().to_owned(), entry.cluster.to_string());
                let value = f64::from(part) / f64::from(u16::MAX);
                ConstGauge::new(value).encode(family.encode_family(&ShareOf { route, cluster, clients })?)?;
            }
        }
        let help = "How long the newest probe of an endpoint took, whether or not it was good";
        let mut family = encoder.encode_descriptor("probe_latency_seconds", help, None, MetricType::Gauge)?;
        for entry in &status.verdicts {
            let Some(millis) = entry.probe_ms else { continue };
            let labels = OfEndpoint { route: entry.route.as_str().to_owned(), cluster: entry.cluster.to_string() };
            ConstGauge::new(f64::from(millis) / 1000.0).encode(family.encode_family(&labels)?)?;
        }
        let generation = ConstGauge::new(i64::try_from(status.generation.0).unwrap_or(i64::MAX));
        let help = "Generation of the plan in force";
        generation.encode(encoder.encode_descriptor("plan_generation", help, None, MetricType::Gauge)?)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub struct ProbeMetrics {
    seconds: Histogram,
    finished: Family<Outcome, Counter>,
    targets: Gauge,
}

impl ProbeMetrics {
    pub fn register(registry: &mut Registry) -> ProbeMetrics {
        let metrics = ProbeMetrics {
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            finished: Family::default(),
            targets: Gauge::default(),
        };
        registry.register("probe_duration_seconds", "How long probes took", metrics.seconds.clone());
        registry.register("probes", "Finished probes", metrics.finished.clone());
        registry.register("probe_targets", "Endpoints that are probed", metrics.targets.clone());
        metrics
    }

    pub fn probed(&self, took: Duration, good: bool) {
        self.seconds.observe(took.as_secs_f64());
        let outcome = if good { "good" } else { "failed" };
        self.finished.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn targets(&self, count: usize) {
        self.targets.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Message {
    kind: &'static str,
    outcome: &'static str,
}

/// Beats, views and plans that arrived.
#[derive(Clone, Debug)]
pub struct IntakeMetrics {
    messages: Family<Message, Counter>,
    swap_seconds: Histogram,
    judge_seconds: Histogram,
}

impl IntakeMetrics {
    pub fn register(registry: &mut Registry) -> IntakeMetrics {
        let metrics = IntakeMetrics {
            messages: Family::default(),
            swap_seconds: Histogram::new(exponential_buckets(0.000_1, 3.0, 10)),
            judge_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
        };
        registry.register("messages_received", "Beats, views and plans", metrics.messages.clone());
        let help = "From a compiled plan to the first answer out of it";
        registry.register("plan_swap_seconds", help, metrics.swap_seconds.clone());
        registry.register("judge_seconds", "How long one judgement took", metrics.judge_seconds.clone());
        metrics
    }

    /// `kind`: `beat`, `view` or `plan`.
    pub fn taken(&self, kind: &'static str) {
        self.messages.get_or_create(&Message { kind, outcome: "taken" }).inc();
    }

    pub fn refused(&self, kind: &'static str) {
        self.messages.get_or_create(&Message { kind, outcome: "refused" }).inc();
    }

    pub fn swapped(&self, took: Duration) {
        self.swap_seconds.observe(took.as_secs_f64());
    }

    pub fn judged(&self, took: Duration) {
        self.judge_seconds.observe(took.as_secs_f64());
    }
}
