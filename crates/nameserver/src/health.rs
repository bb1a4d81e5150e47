//! The judge's loop: the single owner of everything known about health.
//!
//! Probes, beats, views and plans arrive through bounded channels; after each the judge concludes, and what it concludes is
//! one atomic store per route on the answer path. Everything else (status for control, view for peers, readiness, the
//! file of verdicts) follows from the same conclusion. A lock around the judge was rejected: with several writers nobody
//! could say which conclusion was published last.

mod overrides;
mod spill;
mod verdicts;

pub use verdicts::{VerdictError, VerdictFile};

use crate::demand::Meter;
use crate::metrics::{IntakeMetrics, Traffic};
use crate::overrides::{Given, OverrideFile};
use crate::plan::{Compiled, News};
use crate::probe::Report;
use crate::state::{Serving, State, Swapper};
use overrides::OverrideSaver;
use spill::Spill;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use verdicts::Saver;
use waggle_daemon::Status;
use waggle_model::health::judge::{Judge, Judgement, Persisted};
use waggle_model::health::{Beat, Verdict, View};
use waggle_model::plan::{EndpointVerdict, NameserverStatus, RefusedPlan, RoutePlan};
use waggle_model::routing::{Limited, Share};
use waggle_model::{NameserverName, Timestamp};

/// Beats and views waiting for the judge.
pub const HEARD_MAX: usize = 4096;
/// Messages of one kind that are taken before concluding.
const TAKEN_AT_ONCE: usize = 256;
/// Longest time between two judgements.
const TICK: Duration = Duration::from_millis(100);
/// While threads still leave the old snapshot.
const SETTLE_TICK: Duration = Duration::from_millis(10);
/// Status and view are published this often even if nothing changed.
const PUBLISH: Duration = Duration::from_secs(1);

/// Counters of the answer path are read this often.
const METER: Duration = Duration::from_secs(1);

/// What others say, with the sender's identity already checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Beat(Beat),
    View(View),
}

/// Where the loop hears from.
pub struct Inputs {
    pub probes: mpsc::Receiver<Report>,
    pub heard: mpsc::Receiver<Heard>,
    pub plans: mpsc::Receiver<News>,
    pub overrides: mpsc::Receiver<Given>,
}

/// What others read. Each value is whole and replaces the one before.
pub struct Outputs {
    pub plan: watch::Sender<Option<Arc<RoutePlan>>>,
    pub status: watch::Sender<Option<Arc<NameserverStatus>>>,
    pub view: watch::Sender<Option<Arc<View>>>,
    pub ready: Status,
}

pub struct HealthLoop {
    name: NameserverName,
    started: Timestamp,
    judge: Judge,
    swapper: Swapper,
    serving: Option<Arc<Serving>>,
    /// The newest plan, if it was not taken.
    refused: Option<RefusedPlan>,
    /// From before the start, until the first plan.
    kept: Option<Persisted>,
    saver: Saver,
    override_saver: OverrideSaver,
    /// The next override is looked at no earlier.
    next_override: Instant,
    outputs: Outputs,
    traffic: Arc<Traffic>,
    metrics: IntakeMetrics,
    published: Published,
    meter: Meter,
    spill: Spill,
    metered: Option<Instant>,
    /// Not before then, so that judging takes at most half of the time however much is heard.
    next_judgement: Instant,
}

/// What was published last.
#[derive(Default)]
struct Published {
    status_at: Option<Instant>,
    view_at: Option<Instant>,
    verdicts: Vec<EndpointVerdict>,
}

impl HealthLoop {
    /// Reads the verdicts from before the start; blocks.
    pub fn new(
        name: NameserverName,
        state: Arc<State>,
        file: VerdictFile,
        outputs: Outputs,
        traffic: Arc<Traffic>,
        metrics: IntakeMetrics,
        now: Timestamp,
    ) -> HealthLoop {
        let kept = file.read().unwrap_or_else(|error| {
            let error = waggle_daemon::tasks::chain(&error);
            tracing::error!(
                error,
                "verdicts from before the start are lost; every endpoint counts as fit until probed"
            );
            None
        });
        // Grows with each start even if the clock was set back.
        let boot = kept.as_ref().map_or(now.0, |kept| now.0.max(kept.at.0.saturating_add(1)));
        outputs.ready.ready("plan", Err("no plan yet: none on disk, and control has not sent one".to_owned()));
        HealthLoop {
            judge: Judge::new(name.clone(), boot, now),
            name,
            started: now,
            swapper: Swapper::new(state),
            serving: None,
            refused: None,
            kept,
            override_saver: OverrideSaver::new(OverrideFile(file.0.with_file_name("overrides.json"))),
            next_override: Instant::now(),
            saver: Saver::new(file),
            outputs,
            traffic,
            metrics,
            published: Published::default(),
            meter: Meter::default(),
            spill: Spill::default(),
            metered: None,
            next_judgement: Instant::now(),
        }
    }

    /// Reads overrides from before the start; blocks.
    pub fn restore_overrides(&mut self, file: OverrideFile) {
        match file.read() {
            Ok(kept) => self.judge.restore_overrides(kept),
            Err(error) => {
                let error = waggle_daemon::tasks::chain(&error);
                tracing::error!(error, "overrides from before the start are lost; send them again");
            }
        }
        self.override_saver = OverrideSaver::new(file);
    }

    /// Answers from a plan from now on, with verdicts as far as they are known.
    pub fn take_plan(&mut self, compiled: Compiled, now: Timestamp) {
        let began = Instant::now();
        self.judge.turn(now);
        if let Err(refused) = self.judge.plan(&compiled.plan) {
            tracing::warn!(%refused, "a compiled plan is not taken");
            return;
        }
        if let Some(kept) = self.kept.take() {
            self.judge.restore(&kept, now);
        }
        let serving = Arc::new(Serving::new(compiled.snapshot));
        let judgement = self.judge.judge(now);
        store(&serving, &judgement, &self.spill);
        self.swapper.swap(serving.clone(), Instant::now());
        self.serving = Some(serving);
        self.refused = None;
        self.metrics.swapped(began.elapsed());
        self.outputs.plan.send_replace(Some(compiled.plan.clone()));
        self.outputs.ready.ready("plan", Ok(()));
        self.publish(true, now);
        let plan = &compiled.plan;
        tracing::info!(generation = %plan.generation, routes = plan.routes.len(), zones = plan.zones.len(), "answering from a plan");
    }

    /// One turn begins: the judge is told how time passes before it hears anything.
    fn turn(&mut self) -> Timestamp {
        let now = now();
        self.judge.turn(now);
        now
    }

    fn tell_refused(&mut self, refused: RefusedPlan, now: Timestamp) {
        self.refused = Some(refused);
        if self.serving.is_some() {
            self.publish(true, now);
        }
    }

    /// Runs until `stop`, and saves the last verdicts then.
    pub async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut settle = interval(SETTLE_TICK);
        settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut reports, mut heard) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(news) = inputs.plans.recv() => match news {
                    News::Compiled(compiled) => self.take_plan(compiled, now()),
                    News::Refused(refused) => self.tell_refused(refused, now()),
                },
                1.. = inputs.probes.recv_many(&mut reports, TAKEN_AT_ONCE) => {
                    let now = self.turn();
                    self.take_reports(&mut reports, now);
                }
                1.. = inputs.heard.recv_many(&mut heard, TAKEN_AT_ONCE) => {
                    let now = self.turn();
                    self.take_heard(&mut heard, now);
                }
                Some(given) = inputs.overrides.recv() => self.take_override(given),
                _ = ticks.tick() => {}
                _ = settle.tick(), if !self.swapper.is_settled() => {}
            }
            let in_force = self.swapper.settle(Instant::now());
            let now = self.turn();
            self.conclude(in_force, now);
            self.saver.turn(&self.judge, now);
            self.override_saver.turn(&self.judge);
            self.judge.rest(self::now());
        }
        self.override_saver.finish(&self.judge).await;
        self.saver.finish(&self.judge, now()).await;
    }

    fn take_reports(&mut self, reports: &mut Vec<Report>, now: Timestamp) {
        for mut report in reports.drain(..) {
            // Stamped before the clock was set back, it would outdate all that follow.
            report.result.at = report.result.at.min(now);
            if let Err(refused) = self.judge.probe(&report.route, &report.cluster, &report.result) {
                tracing::debug!(%refused, "a probe's result is not used");
            }
        }
    }

    fn take_heard(&mut self, heard: &mut Vec<Heard>, now: Timestamp) {
        for message in heard.drain(..) {
            let mut passed_on = Vec::new();
            let (kind, outcome) = match message {
                Heard::Beat(beat) => ("beat", self.judge.beat(now, beat)),
                Heard::View(mut view) => {
                    passed_on = std::mem::take(&mut view.overrides);
                    ("view", self.judge.view(now, view))
                }
            };
            match outcome {
                Ok(()) => {
                    self.metrics.taken(kind);
                    self.take_passed_on(passed_on, now);
                }
                Err(refused) => {
                    self.metrics.refused(kind);
                    tracing::debug!(%refused, "a {kind} is not used");
                }
            }
        }
    }

    fn conclude(&mut self, in_force: bool, now: Timestamp) {
        let began = Instant::now();
        let Some(serving) = &self.serving else { return };
        if began < self.next_judgement && !in_force {
            return;
        }
        let judgement = self.judge.judge(now);
        if self.metered.is_none_or(|last| began.duration_since(last) >= METER) {
            self.metered = Some(began);
            self.meter.turn(serving, began);
            let (plan, elsewhere) = (self.outputs.plan.borrow().clone(), self.judge.demand_elsewhere(now));
            if let Some(plan) = plan {
                self.spill.turn(&plan.clusters, serving, &self.meter, &judgement, &elsewhere);
            }
        }
        store(serving, &judgement, &self.spill);
        self.publish(in_force, now);
        let took = began.elapsed();
        self.metrics.judged(took);
        self.next_judgement = Instant::now() + took;
    }

    /// Status and view, each if it changed, is due, or `at_once`.
    fn publish(&mut self, at_once: bool, now: Timestamp) {
        let instant = Instant::now();
        let due = |last: Option<Instant>| last.is_none_or(|last| instant.duration_since(last) >= PUBLISH);
        let mut verdicts = self.judge.verdicts(now);
        for entry in verdicts.iter_mut().filter(|entry| !matches!(entry.verdict, Verdict::Unfit(_))) {
            entry.limited = limited(entry.limited, self.spill.share(&entry.cluster));
        }
        let changed = !same_conclusions(&verdicts, &self.published.verdicts);
        if at_once || changed || due(self.published.status_at) {
            self.swapper.forget(now);
            let traffic = self.serving.as_ref().map(|serving| self.meter.told(serving)).unwrap_or_default();
            self.outputs.status.send_replace(Some(Arc::new(NameserverStatus {
                name: self.name.clone(),
                generation: self.swapper.in_force(),
                at: now,
                ledger: self.swapper.ledger(),
                verdicts: verdicts.clone(),
                queries: self.traffic.queries(),
                started: self.started,
                traffic,
                refused: self.refused.clone(),
                overrides: self.judge.active_overrides(now),
            })));
            self.published.status_at = Some(instant);
            self.published.verdicts = verdicts;
        }
        let view = View { demand: self.spill.demand().clone(), ..self.judge.own_view(now) };
        let changed = self.outputs.view.borrow().as_ref().is_none_or(|last| {
            let same = last.entries == view.entries && last.overrides == view.overrides;
            !same || last.self_suspect != view.self_suspect
        });
        if changed || due(self.published.view_at) {
            self.outputs.view.send_replace(Some(Arc::new(view)));
            self.published.view_at = Some(instant);
        }
    }
}

fn now() -> Timestamp {
    Timestamp(waggle_daemon::time::now())
}

/// The moment of failover: from here on queries are answered by the new conclusion.
fn store(serving: &Serving, judgement: &Judgement, spill: &Spill) {
    for (name, route) in &judgement.routes {
        if let Some((index, _)) = serving.snapshot.route(name) {
            let shares = route.endpoints.iter().map(|endpoint| {
                limited(endpoint.limited, spill.share(&endpoint.cluster)).map_or(Share::FULL, |limited| limited.share)
            });
            serving.health.limit(index, &shares.collect::<Vec<_>>());
            serving.health.set(index, route.mask, route.ttl_cap);
        }
    }
}

fn limited(returning: Option<Limited>, capacity: Share) -> Option<Limited> {
    Limited::of(returning.map_or(Share::FULL, |limited| limited.share), capacity)
}

/// Reasons carry counts and texts that change all the time; only what a receiver acts on counts as a change.
fn same_conclusions(a: &[EndpointVerdict], b: &[EndpointVerdict]) -> bool {
    let kind = |entry: &EndpointVerdict| std::mem::discriminant(&entry.verdict);
    let same = |(a, b): (&EndpointVerdict, &EndpointVerdict)| {
        kind(a) == kind(b)
            && (a.probe_up, a.release) == (b.probe_up, b.release)
            && (&a.route, &a.cluster) == (&b.route, &b.cluster)
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[cfg(test)]
mod tests;
