//! What a judgement says, for the answer path and for people.

use crate::health::Verdict;
use crate::health::forced::Forced;
use crate::release::ReleaseId;
use crate::routing::Limited;
use crate::{ClusterName, DomainName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Everything one nameserver concludes at one instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub at: Timestamp,
    /// This observer suspects itself since then; its own votes are withheld.
    pub self_suspect: Option<Timestamp>,
    /// Not every endpoint has been probed since the start; own votes are withheld.
    pub warming_up: bool,
    pub routes: BTreeMap<DomainName, RouteJudgement>,
    /// Judge again at this instant even if nothing is heard until then.
    pub next: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteJudgement {
    /// Bit n: pool endpoint n may be answered. 0: the fallback addresses if the route has any, else the whole pool.
    pub mask: u64,
    pub rule: Rule,
    /// Seconds; `u32::MAX` when nothing is suspect.
    pub ttl_cap: u32,
    /// In the order of the pool.
    pub endpoints: Vec<EndpointJudgement>,
}

/// Where a route's mask comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The fit endpoints.
    Fit,
    /// Nothing but the rejoin gate kept the fit endpoints out, and nothing else is left: they are answered.
    Ungated,
    /// None is fit: those that were fit last.
    LastGood,
    /// None is fit: all that are not drained.
    All,
    /// None is fit: the route's fallback addresses.
    Fallback,
    /// Every endpoint is drained: the whole pool, or the fallback addresses.
    AllDrained,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointJudgement {
    pub cluster: ClusterName,
    /// What the evidence says now. While it is `Unknown`, `fit` holds what was concluded before.
    pub verdict: Verdict,
    pub fit: bool,
    pub answered: bool,
    pub votes: Votes,
    pub reason: Reason,
    pub drained: Option<String>,
    pub gate: Option<Gate>,
    /// It is answered, but not to all of its clients yet.
    pub limited: Option<Limited>,
}

/// Observers that count and have probed the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Votes {
    pub up: u16,
    pub down: u16,
    /// This observer's own probe, whether or not it counts.
    pub own: Option<bool>,
    /// The agent is silent: one more vote for down, beside at least one probe's.
    pub silent: bool,
}

impl Votes {
    pub fn of(&self) -> u16 {
        self.up + self.down
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    AgentSaysDown,
    AgentServes,
    AgentSilent,
    /// The agent beats, but has no word on this route or cannot ask its Engine.
    AgentUnsure,
    ProbesUp {
        up: u16,
        of: u16,
    },
    ProbesDown {
        down: u16,
        of: u16,
        silent: bool,
        why: Option<String>,
    },
    Split {
        up: u16,
        down: u16,
        silent: bool,
    },
    NotProbed,
    SelfSuspect,
    WarmingUp,
    /// A person said so.
    Forced(Forced),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silence = |silent: &bool| if *silent { ", and its agent is silent" } else { "" };
        match self {
            Reason::AgentSaysDown => write!(f, "its agent says no task serves it"),
            Reason::AgentServes => write!(f, "its agent says it serves"),
            Reason::AgentSilent => write!(f, "its agent is silent and no check is configured"),
            Reason::AgentUnsure => write!(f, "its agent cannot say and no check is configured"),
            Reason::ProbesUp { up, of } => write!(f, "{up} of {of} observers reach it"),
            Reason::ProbesDown { down, of, silent, why } => {
                write!(f, "{down} of {of} observers fail to reach it{}", silence(silent))?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Reason::Split { up, down, silent } => {
                write!(f, "observers disagree: {up} reach it, {down} do not{}", silence(silent))
            }
            Reason::Forced(forced) => write!(f, "{forced}"),
            Reason::NotProbed => write!(f, "no probe has ended yet"),
            Reason::SelfSuspect => write!(f, "this observer suspects itself and no other has a vote"),
            Reason::WarmingUp => write!(f, "this observer has just started and no other has a vote"),
        }
    }
}

/// Why an endpoint that is fit is not taken back yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Release { runs: Option<ReleaseId>, wanted: ReleaseId },
    NotConverged,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Release { runs: Some(runs), wanted } => {
                write!(f, "not taken back: runs release {}, {} is current", runs.short(), wanted.short())
            }
            Gate::Release { runs: None, wanted } => {
                write!(f, "not taken back: runs no release, {} is current", wanted.short())
            }
            Gate::NotConverged => write!(f, "not taken back: not converged on its release"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Fit => "fit",
            Rule::Ungated => "fit, rejoin gate waived as nothing else is left",
            Rule::LastGood => "none fit: last good",
            Rule::All => "none fit: all",
            Rule::Fallback => "none fit: fallback addresses",
            Rule::AllDrained => "all drained: whole pool",
        })
    }
}

impl fmt::Display for EndpointJudgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (&self.verdict, self.fit) {
            (Verdict::Fit, _) => "fit",
            (Verdict::Unfit(_), _) => "unfit",
            (Verdict::Unknown, true) => "unknown, counts as fit",
            (Verdict::Unknown, false) => "unknown, counts as unfit",
        };
        write!(f, "{}: {word}: {}", self.cluster, self.reason)?;
        if let Some(why) = &self.drained {
            write!(f, "; drained: {why}")?;
        }
        if let Some(gate) = &self.gate {
            write!(f, "; {gate}")?;
        }
        if let Some(limited) = &self.limited {
            write!(f, "; {limited}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(since) = self.self_suspect {
            writeln!(f, "self-suspect since {}: own votes are withheld", since.clock())?;
        }
        if self.warming_up {
            writeln!(f, "warming up: own votes are withheld")?;
        }
        for (name, route) in &self.routes {
            write!(f, "{name}: answers")?;
            let answered = route.endpoints.iter().enumerate().filter(|(at, _)| bit(*at) & route.mask != 0);
            answered.map(|(_, endpoint)| &endpoint.cluster).try_for_each(|cluster| write!(f, " {cluster}"))?;
            if route.mask == 0 {
                write!(f, " no cluster by choice")?;
            }
            write!(f, " ({})", route.rule)?;
            if route.ttl_cap != u32::MAX {
                write!(f, ", ttl at most {} s", route.ttl_cap)?;
            }
            writeln!(f)?;
            route.endpoints.iter().try_for_each(|endpoint| writeln!(f, "  {endpoint}"))?;
        }
        Ok(())
    }
}

/// Bit of the pool endpoint at `index`; 0 beyond a word.
pub(super) fn bit(index: usize) -> u64 {
    if index < crate::plan::POOL_MAX { 1 << index } else { 0 }
}
