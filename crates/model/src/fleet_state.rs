//! Everything control knows that decides what clusters should run and nameservers should answer: the input of
//! [`federate`](crate::federate). Control fills it from its store; nothing here is learnt from a running process.

use crate::desired::Override;
use crate::fleet::{BeatPolicy, Federation, NameserverPeer};
use crate::health::forced::Forced;
use crate::plan::hold::Hold;
use crate::release::{ReleaseBody, ReleaseId};
use crate::rollout::{Rollout, State as RolloutState, Step};
use crate::{ClusterName, DomainName, StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub federation: Federation,
    pub nameservers: Vec<NameserverPeer>,
    pub beat: BeatPolicy,
    pub drains: BTreeMap<ClusterName, OperatorDrain>,
    /// Verdicts that people set, by route.
    pub forced: BTreeMap<DomainName, BTreeMap<ClusterName, Forced>>,
    /// An earlier route plan that a person put back in force.
    pub hold: Option<Hold>,
    pub stacks: BTreeMap<StackName, StackState>,
}

/// A whole cluster taken out of answers by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDrain {
    pub reason: String,
    pub by: String,
    /// Over by itself from then on; `None`: until it is lifted.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackState {
    /// Every release that a cluster runs, ran before the present rollout, or is to run.
    pub releases: BTreeMap<ReleaseId, ReleaseBody>,
    /// The newest rollout, finished or not.
    pub rollout: Option<Rollout>,
    /// What each cluster runs apart from that rollout.
    pub settled: BTreeMap<ClusterName, Settled>,
    /// What people changed since the release: cluster → service as in the file.
    pub overrides: BTreeMap<ClusterName, BTreeMap<String, Override>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// `None`: the stack is not there.
    pub release: Option<ReleaseId>,
    /// Attempt number last given to the agent.
    pub attempt: u32,
}

impl State {
    /// Why an operator keeps `cluster` out of answers at `now`, if so.
    pub fn operator_drain(&self, cluster: &ClusterName, now: Timestamp) -> Option<&OperatorDrain> {
        self.drains.get(cluster).filter(|drain| drain.until.is_none_or(|until| now < until))
    }

    /// The verdict that an operator forces for an endpoint at `now`, if so.
    pub fn forced_verdict(&self, route: &DomainName, cluster: &ClusterName, now: Timestamp) -> Option<&Forced> {
        self.forced.get(route)?.get(cluster).filter(|forced| forced.holds(now))
    }

    /// Routes of all stacks but `except`, and whose they are.
    pub fn claimed(&self, except: &StackName) -> BTreeMap<DomainName, StackName> {
        let others = self.stacks.iter().filter(|(name, _)| *name != except);
        let routes = others.flat_map(|(name, stack)| stack.live().map(move |body| (name, body)));
        routes.flat_map(|(name, body)| body.routes.iter().map(|route| (route.name.clone(), name.clone()))).collect()
    }
}

impl StackState {
    /// What `cluster` should run just now, with its attempt number.
    pub fn wanted(&self, cluster: &ClusterName) -> Settled {
        if let Some((rollout, progress)) = self.in_rollout(cluster) {
            return Settled { release: progress.wanted(rollout.release), attempt: progress.attempt };
        }
        self.settled.get(cluster).copied().unwrap_or_default()
    }

    /// Whether the rollout keeps `cluster` out of answers.
    pub fn is_drained(&self, cluster: &ClusterName) -> bool {
        self.in_rollout(cluster).is_some_and(|(_, progress)| progress.is_drained())
    }

    /// Writes what the rollout achieved into `settled`; to be called before a newer rollout takes its place, harmless at any
    /// other time.
    pub fn settle(&mut self) {
        let Some(rollout) = &self.rollout else { return };
        for (cluster, progress) in &rollout.clusters {
            let release = match progress.step {
                Step::Done | Step::Readmitting { .. } => Some(rollout.release),
                _ => progress.previous,
            };
            self.settled.insert(cluster.clone(), Settled { release, attempt: progress.attempt });
        }
    }

    /// Bodies that some cluster runs or is to run.
    fn live(&self) -> impl Iterator<Item = &ReleaseBody> {
        let target = self.active().map(|rollout| rollout.release);
        let running = self.clusters().filter_map(|cluster| self.wanted(cluster).release);
        let ids: std::collections::BTreeSet<_> = running.chain(target).collect();
        ids.into_iter().filter_map(|id| self.releases.get(&id))
    }

    /// Every cluster that has or is to have the stack.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        let rolling = self.rollout.iter().flat_map(|rollout| rollout.clusters.keys());
        let all: std::collections::BTreeSet<_> = self.settled.keys().chain(rolling).collect();
        all.into_iter()
    }

    /// The rollout, unless it has ended or a newer one took over.
    pub fn active(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|rollout| !rollout.state.is_final())
    }

    fn in_rollout(&self, cluster: &ClusterName) -> Option<(&Rollout, &crate::rollout::ClusterRollout)> {
        let rollout = self.rollout.as_ref();
        let rollout = rollout.filter(|rollout| !matches!(rollout.state, RolloutState::Superseded { .. }))?;
        Some((rollout, rollout.clusters.get(cluster)?))
    }
}
