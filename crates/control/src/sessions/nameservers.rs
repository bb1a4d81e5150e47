//! Nameservers: the table of what they said, and one session each.

mod session;

pub use session::Service;

use super::now;
use crate::reconcile::{SeenNameserver, Wake};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use waggle_model::plan::NameserverStatus;
use waggle_model::traffic::QuerySamples;
use waggle_model::{NameserverName, Timestamp};

pub struct Nameservers {
    table: Mutex<Table>,
    wake: Wake,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<NameserverName, SeenNameserver>,
    live: BTreeSet<NameserverName>,
}

/// The table's side of one session; dropping it ends the session there.
struct Attached<'a> {
    nameservers: &'a Nameservers,
    name: NameserverName,
}

impl Nameservers {
    pub(super) fn new(wake: Wake) -> Nameservers {
        Nameservers { table: Mutex::default(), wake }
    }

    pub fn seen(&self) -> BTreeMap<NameserverName, SeenNameserver> {
        self.table().rows.clone()
    }

    pub fn connected(&self) -> usize {
        self.table().live.len()
    }

    /// A newer certificate was seen of a nameserver, or given to it.
    pub fn certified(&self, name: &NameserverName, until: Option<Timestamp>) {
        if let Some(row) = self.table().rows.get_mut(name) {
            row.certificate_until = row.certificate_until.max(until);
        }
    }

    /// `None` while another session of the name lives.
    fn attach(&self, name: &NameserverName) -> Option<Attached<'_>> {
        let mut table = self.table();
        if !table.live.insert(name.clone()) {
            return None;
        }
        let row = table.rows.entry(name.clone()).or_default();
        row.connected = true;
        row.last = now();
        drop(table);
        self.wake.now();
        Some(Attached { nameservers: self, name: name.clone() })
    }

    fn is_live(&self, name: &NameserverName) -> bool {
        self.table().live.contains(name)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached<'_> {
    fn hello(&self, version: String) {
        if let Some(row) = self.nameservers.table().rows.get_mut(&self.name) {
            row.version = version;
            row.last = now();
        }
    }

    fn status(&self, status: NameserverStatus) {
        let mut table = self.nameservers.table();
        let Some(row) = table.rows.get_mut(&self.name) else { return };
        let news = row.status.as_ref().is_none_or(|before| {
            before.generation != status.generation
                || before.verdicts != status.verdicts
                || before.ledger != status.ledger
        });
        row.status = Some(status);
        row.last = now();
        drop(table);
        if news {
            self.nameservers.wake.now();
        }
    }

    /// Nothing is decided by them, so nobody is woken.
    fn samples(&self, samples: QuerySamples) {
        if let Some(row) = self.nameservers.table().rows.get_mut(&self.name) {
            row.samples = Some(Arc::new(samples));
            row.last = now();
        }
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        let mut table = self.nameservers.table();
        table.live.remove(&self.name);
        if let Some(row) = table.rows.get_mut(&self.name) {
            row.connected = false;
        }
        drop(table);
        self.nameservers.wake.now();
    }
}
