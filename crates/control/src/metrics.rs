//! Metrics and readiness.

use crate::reconcile::Activation;
use crate::sessions::Sessions;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waggle_daemon::Status;

#[derive(Clone, Default)]
struct Metrics {
    agents: Gauge,
    nameservers: Gauge,
    rollouts: Gauge,
    problems: Gauge,
    plan: Gauge,
    commits: Counter,
    failures: Counter,
}

impl Metrics {
    fn register(status: &Status) -> Metrics {
        let metrics = Metrics::default();
        status.register(|registry| {
            registry.register("control_agents", "Agents connected", metrics.agents.clone());
            registry.register("control_nameservers", "Nameservers connected", metrics.nameservers.clone());
            registry.register("control_rollouts", "Rollouts that are not final", metrics.rollouts.clone());
            registry.register("control_problems", "What needs a person", metrics.problems.clone());
            registry.register("control_plan_generation", "Generation of the route plan", metrics.plan.clone());
            registry.register("control_reconciled", "Reconciliations that changed something", metrics.commits.clone());
            registry.register("control_reconcile_failures", "Reconciliations that failed", metrics.failures.clone());
        });
        metrics
    }
}

/// Keeps metrics and readiness in line with the reconciler until `stop`.
pub(crate) async fn follow(
    status: Status,
    sessions: Arc<Sessions>,
    mut latest: watch::Receiver<Result<Activation, String>>,
    stop: CancellationToken,
) {
    let metrics = Metrics::register(&status);
    let following = async {
        while latest.changed().await.is_ok() {
            metrics.agents.set(count(sessions.agents.connected()));
            metrics.nameservers.set(count(sessions.nameservers.connected()));
            match &*latest.borrow_and_update() {
                Ok(activation) => {
                    let active = activation.reports.iter().filter(|report| !report.state.is_final());
                    metrics.rollouts.set(count(active.count()));
                    metrics.problems.set(count(activation.problems.len()));
                    metrics.plan.set(i64::try_from(activation.plan_generation.0).unwrap_or(i64::MAX));
                    metrics.commits.inc_by(u64::from(activation.committed));
                    status.ready("store", Ok(()));
                }
                Err(error) => {
                    metrics.failures.inc();
                    status.ready("store", Err(error.clone()));
                }
            }
        }
    };
    stop.run_until_cancelled(following).await;
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
