//! Probes: each endpoint of the plan, through its public addresses, on a schedule of its own.
//!
//! One target is one task: it begins at a phase drawn from a hash of its names, so that probes spread over the interval,
//! and it ends when its endpoint leaves the plan or changes. The first address of each family is probed, and the endpoint is
//! up only if all of these are: a client picks the family, so half an endpoint fails half of its clients. A family that
//! this machine has no route for proves nothing about the endpoint and is left out, unless no family is left.
//! Further addresses of a family are not probed: they are the same cluster's, and a probe's cost would grow with them.

mod grpc;
mod http;
mod tcp;
mod tls;

use crate::metrics::ProbeMetrics;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use waggle_model::health::ProbeResult;
use waggle_model::plan::RoutePlan;
use waggle_model::release::{Check, CheckKind};
use waggle_model::{ClusterName, DomainName, Timestamp};

/// Endpoints that are probed; those of a larger plan beyond it are not, and stay without an own vote.
pub const TARGETS_MAX: usize = 20_000;
/// Probes under way at once. One that finds no place counts its wait as part of its deadline.
pub const IN_FLIGHT_MAX: usize = 1024;
/// Finished probes waiting for the judge.
pub const REPORTS_MAX: usize = 4096;
/// Shortest interval and deadline that are honoured, whatever the plan says.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// One finished probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub route: DomainName,
    pub cluster: ClusterName,
    pub result: ProbeResult,
}

/// What is probed and how; a change of anything here starts the target anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    route: DomainName,
    cluster: ClusterName,
    /// At most one per family.
    addresses: Vec<IpAddr>,
    check: Check,
}

type Key = (DomainName, ClusterName);

/// One probe of an endpoint: how long its slowest address took, and what came of it.
struct Probed {
    took: Duration,
    outcome: Result<(), String>,
}

/// How one address fared.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// This machine cannot reach that family at all.
    NoRoute,
    Failed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => Failure::NoRoute,
            _ => Failure::Failed(format!("cannot connect: {error}")),
        }
    }
}

/// What all probes share.
struct Shared {
    tls: tls::Clients,
    permits: Semaphore,
    metrics: ProbeMetrics,
    reports: mpsc::Sender<Report>,
}

/// Probes whatever the newest plan lists until `stop`.
pub async fn run(
    mut plans: watch::Receiver<Option<Arc<RoutePlan>>>,
    reports: mpsc::Sender<Report>,
    metrics: ProbeMetrics,
    stop: CancellationToken,
) {
    let permits = Semaphore::new(IN_FLIGHT_MAX);
    let shared = Arc::new(Shared { tls: tls::Clients::default(), permits, metrics, reports });
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Key, (Target, AbortHandle)> = BTreeMap::new();
    loop {
        let wanted = plans.borrow_and_update().as_deref().map(targets).unwrap_or_default();
        running.retain(|key, (target, task)| {
            let keep = wanted.get(key) == Some(target);
            if !keep {
                task.abort();
            }
            keep
        });
        for (key, target) in wanted {
            running.entry(key).or_insert_with(|| {
                let task = tasks.spawn(repeat(target.clone(), shared.clone()));
                (target, task)
            });
        }
        shared.metrics.targets(running.len());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = plans.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(ended) = tasks.join_next() => if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a probe panicked and is started again");
                    running.retain(|_, (_, task)| !task.is_finished());
                    break;
                },
            }
        }
    }
}

fn targets(plan: &RoutePlan) -> BTreeMap<Key, Target> {
    let checked = plan.routes.iter().filter_map(|(name, route)| Some((name, route, route.check.as_ref()?)));
    let all = checked.flat_map(|(name, route, check)| {
        route.pool.iter().map(move |endpoint| Target {
            route: name.clone(),
            cluster: endpoint.cluster.clone(),
            addresses: one_per_family(&endpoint.addresses),
            check: check.clone(),
        })
    });
    let count = plan.routes.values().filter(|route| route.check.is_some()).map(|route| route.pool.len()).sum::<usize>();
    if count > TARGETS_MAX {
        tracing::warn!(endpoints = count, limit = TARGETS_MAX, "more endpoints than can be probed; the last are not");
    }
    all.take(TARGETS_MAX).map(|target| ((target.route.clone(), target.cluster.clone()), target)).collect()
}

fn one_per_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let v6 = addresses.iter().find(|address| address.is_ipv6());
    v4.into_iter().chain(v6).copied().collect()
}

async fn repeat(target: Target, shared: Arc<Shared>) {
    let every = target.check.interval.max(INTERVAL_MIN);
    let mut ticks = interval_at(Instant::now() + phase(&target, every), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Probed { took, outcome } = probe(&target, &shared).await;
        shared.metrics.probed(took, outcome.is_ok());
        let result = ProbeResult { at: Timestamp(waggle_daemon::time::now()), took, outcome };
        let report = Report { route: target.route.clone(), cluster: target.cluster.clone(), result };
        if shared.reports.send(report).await.is_err() {
            return;
        }
    }
}

fn phase(target: &Target, every: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (&target.route, &target.cluster).hash(&mut hasher);
    let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(hasher.finish() % nanos)
}

/// One probe of all families at once, within the check's deadline. Waiting for a place is no part of the time it took: that
/// is this machine's, not the endpoint's.
async fn probe(target: &Target, shared: &Shared) -> Probed {
    if target.addresses.is_empty() {
        return Probed { took: Duration::ZERO, outcome: Err("the endpoint has no address".to_owned()) };
    }
    let deadline = target.check.timeout.max(INTERVAL_MIN);
    let all = async {
        let _permit = shared.permits.acquire().await;
        let began = Instant::now();
        let each = target.addresses.iter().map(|ip| {
            let address = SocketAddr::new(*ip, target.check.port);
            async move {
                let outcome = once(target, address, shared).await;
                (address, outcome.and_then(|()| in_time(began.elapsed(), target.check.latency)))
            }
        });
        let outcomes = join_all(each).await;
        Probed { took: began.elapsed(), outcome: conclude(&outcomes) }
    };
    timeout(deadline, all).await.unwrap_or_else(|_| {
        let why = format!("no answer within {} ms", deadline.as_millis());
        Probed { took: deadline, outcome: Err(why) }
    })
}

/// A right answer may still be too slow for users.
fn in_time(took: Duration, limit: Option<Duration>) -> Result<(), Failure> {
    match limit.filter(|limit| took > *limit) {
        Some(limit) => {
            Err(Failure::Failed(format!("answered in {} ms, limit {} ms", took.as_millis(), limit.as_millis())))
        }
        None => Ok(()),
    }
}

fn conclude(outcomes: &[(SocketAddr, Result<(), Failure>)]) -> Result<(), String> {
    let mut seen = false;
    for (address, outcome) in outcomes {
        match outcome {
            Ok(()) => seen = true,
            Err(Failure::Failed(why)) => return Err(format!("{address}: {why}")),
            Err(Failure::NoRoute) => {}
        }
    }
    if seen { Ok(()) } else { Err("this nameserver has no route to any of its addresses".to_owned()) }
}

async fn once(target: &Target, address: SocketAddr, shared: &Shared) -> Result<(), Failure> {
    let stream = tcp::connect(address, target.check.second_try()).await?;
    match &target.check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http(check) => {
            let host = check.host.as_deref().unwrap_or(target.route.as_str());
            http::exchange(stream, check, host, target.check.port, &shared.tls).await.map_err(Failure::Failed)
        }
        CheckKind::Grpc(check) => {
            let host = check.host.as_deref().unwrap_or(target.route.as_str());
            grpc::exchange(stream, check, host, target.check.port, &shared.tls).await.map_err(Failure::Failed)
        }
    }
}

#[cfg(test)]
mod tests;
