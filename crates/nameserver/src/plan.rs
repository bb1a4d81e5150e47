//! Plan intake: what is offered is checked, compiled, kept on disk, and handed on to be answered from.
//!
//! Nothing moves to a lower generation, and a plan that does not compile or takes too much away
//! ([`waggle_model::plan::intake`]) changes nothing: the one in force stays, and control is told. A plan
//! is on disk before it is in force, so that a restart cannot bring an older one back; but a disk that is full or broken
//! does not stop it, since an answer that follows the world is worth more than a durable one.

pub mod geo;
pub mod shelf;

use crate::metrics::IntakeMetrics;
use geo::{Database, GeoFile};
use shelf::Shelf;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use waggle_dns::{Geo, Memo, Snapshot};
use waggle_model::Generation;
use waggle_model::plan::intake::{self, TooMuchLost};
use waggle_model::plan::{RefusedPlan, RoutePlan};
use waggle_wire::document::{self, Intake};
use waggle_wire::proto::document::Document;

/// Plans offered and not looked at yet.
pub const OFFERS_MAX: usize = 4;
/// Compiled plans that the judge has not taken yet.
pub const COMPILED_MAX: usize = 1;
/// How often the GeoIP file is looked at.
const GEO_CHECK: Duration = Duration::from_secs(5);
/// Problems of one plan that are written to the log.
const PROBLEMS_SHOWN: usize = 10;

/// A plan ready to be answered from.
#[derive(Debug)]
pub struct Compiled {
    pub plan: Arc<RoutePlan>,
    pub snapshot: Snapshot,
}

/// What the judge hears about plans.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub enum News {
    Compiled(Compiled),
    Refused(RefusedPlan),
}

/// Why a plan is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Generation(&'static str),
    #[error("its document is not valid")]
    Document(#[from] document::InvalidDocument),
    #[error("its document says generation {outer}, the plan in it {inner}")]
    Mismatch { outer: Generation, inner: Generation },
    #[error("it cannot be answered from: {0}")]
    Compile(Problems),
    #[error("too much would leave the answers at once: {0}")]
    Loss(TooMuchLost),
}

/// What keeps a plan from being compiled.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(PROBLEMS_SHOWN).map(String::as_str).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Decides about plans and remembers the one in force. Its methods block: they hash, compile and touch the disk.
pub struct Keeper {
    shelf: Shelf,
    geo: Option<GeoFile>,
    /// Key of the snapshot's hash table: a client must not be able to choose names that collide.
    key: [u8; 16],
    /// Of the last compilation.
    memo: Memo,
    current: Option<Current>,
    /// The newest plan that would have taken too much away, on disk as well.
    refused: Generation,
}

struct Current {
    generation: Generation,
    sha256: [u8; 32],
    plan: Arc<RoutePlan>,
}

impl Keeper {
    pub fn new(shelf: Shelf, geo: Option<GeoFile>, key: [u8; 16]) -> Keeper {
        let refused = shelf.refused();
        Keeper { shelf, geo, key, memo: Memo::default(), current: None, refused }
    }

    /// Generation of the plan that was taken last.
    pub fn generation(&self) -> Generation {
        self.current.as_ref().map_or(Generation(0), |current| current.generation)
    }

    /// The newest plan on disk that can be read and compiled; what cannot is logged and passed over.
    pub fn start(&mut self) -> Option<Compiled> {
        let generations = match self.shelf.generations() {
            Ok(generations) => generations,
            Err(error) => {
                tracing::error!(error = %waggle_daemon::tasks::chain(&error), "no plan can be read from disk");
                return None;
            }
        };
        for generation in generations {
            let json = match self.shelf.read(generation) {
                Ok(Some(json)) => json,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%generation, %error, "a kept plan is damaged, the one before it is tried");
                    continue;
                }
            };
            let offered = document::from_json(generation, json, String::new());
            match self.compile(&offered) {
                Ok(compiled) => {
                    self.remember(&offered, &compiled);
                    return Some(compiled);
                }
                Err(error) => {
                    let error = waggle_daemon::tasks::chain(&error);
                    tracing::error!(%generation, error, "a kept plan cannot be used, the one before it is tried");
                }
            }
        }
        None
    }

    /// Takes a plan if it is newer; `None`: it is the one in force already.
    pub fn offer(&mut self, offered: &Document) -> Result<Option<Compiled>, Refusal> {
        let current = self.current.as_ref().map(|current| (current.generation, current.sha256.as_slice()));
        match document::intake(current, offered) {
            Intake::Same => return Ok(None),
            Intake::Refuse(why) => return Err(Refusal::Generation(why)),
            Intake::Take => {}
        }
        let compiled = self.compile(offered)?;
        if let Some(current) = &self.current
            && let Err(lost) = intake::check(&current.plan, self.refused, &compiled.plan)
        {
            self.refuse(compiled.plan.generation);
            return Err(Refusal::Loss(lost));
        }
        if let Err(error) = self.shelf.keep(compiled.plan.generation, &offered.json) {
            let error = waggle_daemon::tasks::chain(&error);
            tracing::error!(
                error,
                "a plan is answered from but not kept on disk; a restart would fall back to an older one"
            );
        }
        self.remember(offered, &compiled);
        Ok(Some(compiled))
    }

    /// Remembers it, also over a restart.
    fn refuse(&mut self, generation: Generation) {
        if generation <= self.refused {
            return;
        }
        self.refused = generation;
        if let Err(error) = self.shelf.keep_refused(generation) {
            let error = waggle_daemon::tasks::chain(&error);
            tracing::warn!(error, "that a plan is refused is not kept on disk");
        }
    }

    /// The plan in force compiled anew, if the GeoIP file was replaced.
    pub fn refresh(&mut self) -> Option<Compiled> {
        let plan = self.current.as_ref()?.plan.clone();
        if !self.geo.as_ref()?.has_changed() {
            return None;
        }
        match self.snapshot(&plan) {
            Ok(snapshot) => Some(Compiled { plan, snapshot }),
            Err(error) => {
                tracing::error!(%error, "the plan does not compile with the new GeoIP database");
                None
            }
        }
    }

    fn compile(&mut self, offered: &Document) -> Result<Compiled, Refusal> {
        let plan: RoutePlan = document::decode(offered)?;
        let (outer, inner) = (Generation(offered.generation), plan.generation);
        if outer != inner {
            return Err(Refusal::Mismatch { outer, inner });
        }
        let snapshot = self.snapshot(&plan)?;
        Ok(Compiled { plan: Arc::new(plan), snapshot })
    }

    fn snapshot(&mut self, plan: &RoutePlan) -> Result<Snapshot, Refusal> {
        let database = self.database(plan);
        let geo = database.as_ref().map(|database| database as &dyn Geo);
        // A plan that makes the compiler panic would come again after every restart.
        let memo = &mut self.memo;
        let compiled = catch_unwind(AssertUnwindSafe(|| Snapshot::compile_with(plan, geo, self.key, memo)));
        let problems = match compiled {
            Ok(Ok(snapshot)) => return Ok(snapshot),
            Ok(Err(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(_) => vec!["compiling it panicked; this is a bug".to_owned()],
        };
        Err(Refusal::Compile(Problems(problems)))
    }

    /// `None` if there is none, or if what it says about this plan is known.
    fn database(&mut self, plan: &RoutePlan) -> Option<Database> {
        let file = self.geo.as_mut()?;
        if self.memo.knows_places(plan) && !file.has_changed() {
            return None;
        }
        self.memo.forget_places();
        let loaded = file.load();
        loaded
            .inspect_err(|error| {
                let error = waggle_daemon::tasks::chain(error);
                tracing::error!(error, "answers are chosen without GeoIP");
            })
            .ok()
    }

    fn remember(&mut self, document: &Document, compiled: &Compiled) {
        let plan = compiled.plan.clone();
        let sha256 = document::digest(&document.json);
        self.current = Some(Current { generation: plan.generation, sha256, plan });
    }
}

/// Looks at everything offered until `stop`; what comes of it goes to `taken`.
pub async fn run(
    mut keeper: Keeper,
    mut offers: mpsc::Receiver<Document>,
    taken: mpsc::Sender<News>,
    metrics: IntakeMetrics,
    stop: CancellationToken,
) -> Result<(), tokio::task::JoinError> {
    let mut geo = interval_at(Instant::now() + GEO_CHECK, GEO_CHECK);
    geo.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let offered = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            offered = offers.recv() => match offered {
                Some(document) => Some(document),
                None => return Ok(()),
            },
            _ = geo.tick() => None,
        };
        let metrics = metrics.clone();
        let work = move || {
            let news = match offered {
                Some(document) => offer(&mut keeper, &document, &metrics),
                None => keeper.refresh().map(News::Compiled),
            };
            (keeper, news)
        };
        let (back, news) = tokio::task::spawn_blocking(work).await?;
        keeper = back;
        if let Some(news) = news
            && taken.send(news).await.is_err()
        {
            return Ok(());
        }
    }
}

fn offer(keeper: &mut Keeper, document: &Document, metrics: &IntakeMetrics) -> Option<News> {
    let span = tracing::info_span!("plan", generation = document.generation);
    waggle_daemon::trace::set_parent(&span, &document.traceparent);
    let _entered = span.enter();
    match keeper.offer(document) {
        Ok(Some(compiled)) => {
            metrics.taken("plan");
            Some(News::Compiled(compiled))
        }
        Ok(None) => None,
        Err(refusal) => {
            metrics.refused("plan");
            let why = waggle_daemon::tasks::chain(&refusal);
            tracing::warn!(offered = document.generation, in_force = %keeper.generation(), why, "a plan is refused");
            // One that is merely late is nobody's concern.
            let late = matches!(refusal, Refusal::Generation(_)) && document.generation < keeper.generation().0;
            let generation = Generation(document.generation);
            (!late).then_some(News::Refused(RefusedPlan { generation, why }))
        }
    }
}

#[cfg(test)]
mod tests;
