//! What processes last said, as one value: taken from the session registries, or made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use waggle_model::observed::Observed;
use waggle_model::plan::NameserverStatus;
use waggle_model::rollout::NameserverFacts;
use waggle_model::traffic::QuerySamples;
use waggle_model::{ClusterName, Generation, NameserverName, Timestamp};
use waggle_stack::policy::Policy;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// When this control began to listen: what it has not heard of may have been there until then.
    pub started: Timestamp,
    pub agents: BTreeMap<ClusterName, SeenAgent>,
    pub nameservers: BTreeMap<NameserverName, SeenNameserver>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenAgent {
    pub connected: bool,
    /// By control's clock.
    pub last: Timestamp,
    pub version: String,
    /// What the cluster lets stacks have; `None` as long as its agent has not said so.
    pub policy: Option<Policy>,
    /// When the newest certificate that this control saw of it, or gave it, runs out.
    pub certificate_until: Option<Timestamp>,
    /// The newest report and when control received it.
    pub observed: Option<(Observed, Timestamp)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenNameserver {
    pub connected: bool,
    /// By control's clock.
    pub last: Timestamp,
    pub version: String,
    pub status: Option<NameserverStatus>,
    /// When the newest certificate that this control saw of it, or gave it, runs out.
    pub certificate_until: Option<Timestamp>,
    /// Who asked it for what lately.
    pub samples: Option<Arc<QuerySamples>>,
}

impl Seen {
    pub fn agent(&self, name: &ClusterName) -> (bool, Option<(&Observed, Timestamp)>) {
        let agent = self.agents.get(name);
        let observed = agent.and_then(|agent| agent.observed.as_ref()).map(|(observed, at)| (observed, *at));
        (agent.is_some_and(|agent| agent.connected), observed)
    }

    pub fn nameserver(&self, name: &NameserverName) -> NameserverFacts {
        match self.nameservers.get(name) {
            Some(seen) => {
                let heard = seen.last.max(self.started);
                NameserverFacts { connected: seen.connected, heard, status: seen.status.clone() }
            }
            None => NameserverFacts { connected: false, heard: self.started, status: None },
        }
    }

    /// Whether every connected nameserver answers from `plan` or a newer one.
    pub(super) fn all_answer_from(&self, plan: Generation) -> bool {
        let connected = self.nameservers.values().filter(|nameserver| nameserver.connected);
        connected.into_iter().all(|one| one.status.as_ref().is_some_and(|status| status.generation >= plan))
    }

    /// The connected nameserver that reported last, and what it said.
    pub fn newest_status(&self) -> Option<(&NameserverName, &NameserverStatus)> {
        let reporting = self.nameservers.iter().filter_map(|(name, seen)| Some((name, seen, seen.status.as_ref()?)));
        let newest = reporting.max_by_key(|(_, seen, _)| (seen.connected, seen.last))?;
        Some((newest.0, newest.2))
    }
}
