//! What an outage of clusters would do to clients: the report of a simulation, for people and programs.
//!
//! Shares are fractions of 1. A question whose answer names several clusters counts for each of them in equal parts, so
//! that shares add up; rates of clusters count every answer that names them, as their capacities do.

use crate::{ClusterName, DomainName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    pub lost: BTreeSet<ClusterName>,
    /// Questions replayed, and those whose answer changes, of all routes.
    pub per_second: f64,
    pub moved: f64,
    pub flows: Vec<Flow>,
    pub routes: BTreeMap<DomainName, RouteOutage>,
    pub clusters: BTreeMap<ClusterName, ClusterOutage>,
    /// What the federation was meant to stand and would not.
    pub broken: Vec<Broken>,
    /// What would hold, but deserves to be known.
    pub notes: Vec<Note>,
}

/// Clients that are sent elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    pub from: ClusterName,
    /// `None`: nobody serves them.
    pub to: Option<ClusterName>,
    /// Of the questions that this is about.
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteOutage {
    pub basis: Basis,
    pub per_second: f64,
    pub moved: f64,
    /// Part of the questions answered with each cluster.
    pub before: BTreeMap<ClusterName, f64>,
    pub after: BTreeMap<ClusterName, f64>,
    pub flows: Vec<Flow>,
    /// Clusters that may still be answered.
    pub left: usize,
    /// Longest time until nameservers answer otherwise, if nothing speaks against it; `None`: they would not.
    pub noticed_ms: Option<u64>,
    /// Seconds for which caches may keep the answer before.
    pub ttl: u32,
}

/// Where it is known from who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Sampled queries, each with its client's network.
    Samples,
    /// Rates by the order in which clients prefer the clusters.
    Demand,
    /// Nobody asked lately: clients of unknown place, without a rate.
    Weights,
}

/// Answers per second that name a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterOutage {
    pub before: f64,
    pub after: f64,
    pub capacity: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// All clusters that share these clients have too little together.
    Capacity { cluster: ClusterName, per_second: f64, capacity: u32 },
    /// No cluster is left, and what its rule answers then.
    AllDown { route: DomainName, rule: String },
    /// The route has no check, and an agent that is lost says nothing.
    Unnoticed { route: DomainName, lost: ClusterName },
    /// A person said that it is fit, and that counts over what nameservers see.
    ForcedFit { route: DomainName, lost: ClusterName },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// It is not answered now, so losing it changes nothing.
    OutAlready { route: DomainName, cluster: ClusterName },
    /// Losing this one, too, would bring the route down.
    LastOne { route: DomainName, cluster: ClusterName },
    /// Nothing else would be left than clusters that the rejoin gate keeps out now: they would be answered.
    HeldBack { route: DomainName, cluster: ClusterName },
    /// More goes to others than would like them best.
    Spilled { cluster: ClusterName },
    /// Most of all endpoints would fail in one moment: a nameserver then suspects itself first.
    SelfSuspicion { failing: usize, of: usize },
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(to) => write!(f, "{} → {to}", self.from),
            None => write!(f, "{} → nobody", self.from),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Basis::Samples => "sampled queries",
            Basis::Demand => "rates by preference, without single clients",
            Basis::Weights => "weights only: nobody asked lately",
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Capacity { cluster, per_second, capacity } => {
                let (over, load) =
                    (per_second - f64::from(*capacity), per_second * 100.0 / f64::from(*capacity).max(1.0));
                write!(f, "{cluster} would get {per_second:.1} answers/s and has capacity for {capacity}: ")?;
                write!(f, "{over:.1}/s too many ({load:.0} %)")
            }
            Broken::AllDown { route, rule } => write!(f, "{route} would have no cluster left: {rule}"),
            Broken::Unnoticed { route, lost } => {
                write!(
                    f,
                    "{route} has no check: nobody would notice that {lost} is gone, and its clients would stay there"
                )
            }
            Broken::ForcedFit { route, lost } => write!(
                f,
                "{lost} is forced fit for {route}: its clients would stay there until somebody ends that, or its time does"
            ),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::OutAlready { route, cluster } => write!(f, "{route} is not answered with {cluster} now"),
            Note::LastOne { route, cluster } => write!(f, "{route} would have only {cluster} left"),
            Note::HeldBack { route, cluster } => write!(
                f,
                "{route} would be answered with {cluster}, though it does not run the release that is current for it"
            ),
            Note::Spilled { cluster } => {
                write!(f, "{cluster} would be at its capacity; clients beyond it go to the next with room")
            }
            Note::SelfSuspicion { failing, of } => write!(
                f,
                "{failing} of {of} probed endpoints would fail at once: each nameserver suspects itself until the others \
                 or the silent agents confirm it, so it may take longer"
            ),
        }
    }
}
