//! Agents: the table of what they said, and one session each.

mod ask;
mod resolve;
mod session;

pub use ask::{ASK_DEADLINE, Answers, AskError};
pub use resolve::{RESOLVE_DEADLINE, Resolution, ResolveError};
pub use session::Service;

use self::ask::Desk;
use self::resolve::Ask;
use super::{QUEUE_MAX, now};
use crate::reconcile::{SeenAgent, Wake};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use waggle_model::observed::Observed;
use waggle_model::{ClusterName, Timestamp};
use waggle_stack::policy::Policy;
use waggle_wire::proto::agent::Hello;

pub struct Agents {
    table: Mutex<Table>,
    wake: Wake,
}

#[derive(Default)]
struct Table {
    next: u64,
    rows: BTreeMap<ClusterName, Row>,
}

#[derive(Default)]
struct Row {
    seen: SeenAgent,
    live: Option<Live>,
}

struct Live {
    id: u64,
    asks: mpsc::Sender<Ask>,
    desk: Arc<Desk>,
}

/// The table's side of one session; dropping it ends the session there.
struct Attached<'a> {
    agents: &'a Agents,
    cluster: ClusterName,
    id: u64,
    desk: Arc<Desk>,
}

impl Agents {
    pub(super) fn new(wake: Wake) -> Agents {
        Agents { table: Mutex::default(), wake }
    }

    pub fn seen(&self) -> BTreeMap<ClusterName, SeenAgent> {
        self.table().rows.iter().map(|(name, row)| (name.clone(), row.seen.clone())).collect()
    }

    pub fn connected(&self) -> usize {
        self.table().rows.values().filter(|row| row.live.is_some()).count()
    }

    /// What an agent said is not to be remembered any more.
    pub fn forget(&self, cluster: &ClusterName) {
        let mut table = self.table();
        if table.rows.get(cluster).is_some_and(|row| row.live.is_none()) {
            table.rows.remove(cluster);
        }
    }

    /// A newer certificate was seen of an agent, or given to it.
    pub fn certified(&self, cluster: &ClusterName, until: Option<Timestamp>) {
        if let Some(row) = self.table().rows.get_mut(cluster) {
            row.seen.certificate_until = row.seen.certificate_until.max(until);
        }
    }

    /// `None` while another session of the cluster lives.
    fn attach(&self, cluster: &ClusterName) -> Option<(Attached<'_>, mpsc::Receiver<Ask>)> {
        let mut table = self.table();
        let id = table.next;
        let row = table.rows.entry(cluster.clone()).or_default();
        if row.live.is_some() {
            return None;
        }
        let (asks, asked) = mpsc::channel(QUEUE_MAX);
        let desk = Arc::<Desk>::default();
        row.live = Some(Live { id, asks, desk: desk.clone() });
        row.seen.connected = true;
        row.seen.last = now();
        table.next += 1;
        drop(table);
        self.wake.now();
        Some((Attached { agents: self, cluster: cluster.clone(), id, desk }, asked))
    }

    fn is_live(&self, cluster: &ClusterName) -> bool {
        self.table().rows.get(cluster).is_some_and(|row| row.live.is_some())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached<'_> {
    /// A policy of a form that is not known here is nobody's: the agent itself refuses what it must.
    fn hello(&self, hello: Hello) {
        let policy = serde_json::from_slice::<Policy>(&hello.policy).ok();
        self.change(|seen| (seen.version, seen.policy) = (hello.version, policy));
    }

    fn alive(&self) {
        self.change(|_| {});
    }

    fn observed(&self, observed: Observed) {
        let news = self.change(|seen| {
            let same = seen.observed.as_ref().is_some_and(|(before, _)| same_but_time(before, &observed));
            seen.observed = Some((observed, now()));
            !same
        });
        if news == Some(true) {
            self.agents.wake.now();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut SeenAgent) -> T) -> Option<T> {
        let mut table = self.agents.table();
        let row = table.rows.get_mut(&self.cluster)?;
        row.seen.last = now();
        Some(change(&mut row.seen))
    }
}

fn same_but_time(before: &Observed, after: &Observed) -> bool {
    *after == Observed { at: after.at, ..before.clone() }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(row) = self.agents.table().rows.get_mut(&self.cluster)
            && row.live.as_ref().is_some_and(|live| live.id == self.id)
        {
            row.live = None;
            row.seen.connected = false;
        }
        self.agents.wake.now();
    }
}
