//! What an agent counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::time::Duration;
use waggle_daemon::Status;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    call: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Clones share the figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    passes: Family<Outcome, Counter>,
    pub writes: Counter,
    engine_seconds: Family<Call, Histogram, fn() -> Histogram>,
    engine_errors: Family<Call, Counter>,
    pub beats_sent: Counter,
    /// 1 while a session with control is open.
    pub session: Gauge,
    pub generation: Gauge,
}

/// Seconds; a local Engine answers in milliseconds, `/distribution` asks a registry far away.
fn histogram() -> Histogram {
    Histogram::new([0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            passes: Family::default(),
            writes: Counter::default(),
            engine_seconds: Family::new_with_constructor(histogram),
            engine_errors: Family::default(),
            beats_sent: Counter::default(),
            session: Gauge::default(),
            generation: Gauge::default(),
        }
    }
}

impl Metrics {
    /// New figures, shown by `status`.
    pub fn registered(status: &Status) -> Metrics {
        let metrics = Metrics::default();
        let m = metrics.clone();
        status.register(|registry| {
            registry.register("agent_passes", "Passes over the swarm", m.passes);
            registry.register("agent_engine_writes", "Objects created, updated or removed", m.writes);
            registry.register("agent_engine_seconds", "Time the Engine took to answer", m.engine_seconds);
            registry.register("agent_engine_errors", "Calls that the Engine did not answer well", m.engine_errors);
            registry.register("agent_beats_sent", "Beats sent to nameservers", m.beats_sent);
            registry.register("agent_session_open", "Whether a session with control is open", m.session);
            registry.register("agent_generation", "Generation of the desired state in force", m.generation);
        });
        metrics
    }

    pub fn pass(&self, outcome: &'static str) {
        self.passes.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn engine_call(&self, call: &'static str, took: Duration, ok: bool) {
        self.engine_seconds.get_or_create(&Call { call }).observe(took.as_secs_f64());
        if !ok {
            self.engine_errors.get_or_create(&Call { call }).inc();
        }
    }
}
