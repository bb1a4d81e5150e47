//! What the planner says about a rollout: one line per cluster with what it waits for, and what has just changed.

use super::{Rollout, State, Step};
use crate::release::ReleaseId;
use crate::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub rollout: u64,
    pub stack: StackName,
    pub release: ReleaseId,
    pub state: State,
    /// By stage, then by name.
    pub lines: Vec<Line>,
    /// Facts for the record, in the order they came about in this plan; empty when nothing changed.
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub cluster: ClusterName,
    pub stage: u16,
    pub step: Step,
    pub in_place: bool,
    pub why: Why,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    pub cluster: ClusterName,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Entered(Step),
    /// It cannot be drained, as it is the only one that could serve this route.
    OnlyOne {
        route: DomainName,
    },
    /// Another cluster fell meanwhile; this one is needed and nothing had been changed in it.
    Needed {
        route: DomainName,
    },
    /// It did not acknowledge the drain; taken for gone after this time.
    AssumedGone {
        nameserver: NameserverName,
        heard: Timestamp,
    },
    AlreadyThere,
    FirstDeployment,
    LeftFederation,
}

/// What a cluster waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Nothing,
    Stage {
        waits_for: Vec<ClusterName>,
    },
    NotRunning {
        state: State,
    },
    MaxParallel {
        out: Vec<ClusterName>,
        max: u16,
    },
    /// The other clusters of the route that are out must be back first.
    LastInService {
        route: DomainName,
        out: Vec<ClusterName>,
    },
    /// No other cluster is fit since the rollout began here.
    Needed {
        route: DomainName,
    },
    VerdictsUnknown {
        route: DomainName,
    },
    AgentLost {
        since: Option<Timestamp>,
    },
    NoReport,
    NoQuorum {
        reachable: u32,
        managers: u32,
    },
    Engine {
        error: String,
    },
    PlanNotWritten,
    /// An operator put an earlier route plan back in force.
    PlanHeld {
        by: String,
        until: Timestamp,
    },
    Behind {
        generation: Generation,
        nameservers: Vec<Behind>,
    },
    Cached {
        until: Timestamp,
        left_ms: u64,
    },
    Agent {
        doing: Option<String>,
        left_ms: u64,
    },
    NoNameserver,
    Probes {
        route: DomainName,
        seen: Seen,
    },
    Monitor {
        left_ms: u64,
    },
    NotFit {
        route: DomainName,
        why: Option<String>,
    },
    Failed {
        why: String,
    },
    OperatorDrained {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    pub nameserver: NameserverName,
    /// What it answers from; `None`: not known.
    pub generation: Option<Generation>,
    /// Not connected: waited for until then.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    NotYet,
    Down(NameserverName),
    OtherRelease(NameserverName, ReleaseId),
}

impl Step {
    pub fn word(&self) -> &'static str {
        match self {
            Step::Waiting => "waiting",
            Step::Draining { .. } => "draining",
            Step::Proving { .. } => "proving",
            Step::Updating => "updating",
            Step::Verifying => "verifying",
            Step::Readmitting { .. } => "readmitting",
            Step::Done => "done",
            Step::Failed { .. } => "failed",
            Step::Reverting { .. } => "reverting",
            Step::Reverted { .. } => "reverted",
        }
    }

    fn failure(&self) -> Option<&str> {
        match self {
            Step::Failed { why } | Step::Reverting { why } | Step::Reverted { why } => Some(why),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Running => write!(f, "running"),
            State::Paused { by } => write!(f, "paused by {by}"),
            State::Held { why } => write!(f, "held: {why}"),
            State::Aborting { by } => write!(f, "aborting by {by}"),
            State::Aborted { by } => write!(f, "aborted by {by}"),
            State::Done => write!(f, "done"),
            State::Superseded { by } => write!(f, "superseded by rollout {by}"),
        }
    }
}

impl Report {
    pub(super) fn of(rollout: &Rollout, mut lines: Vec<Line>, notes: Vec<Note>) -> Report {
        lines.sort_by(|a, b| (a.stage, &a.cluster).cmp(&(b.stage, &b.cluster)));
        let (stack, state) = (rollout.stack.clone(), rollout.state.clone());
        Report { rollout: rollout.id, stack, release: rollout.release, state, lines, notes }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rollout {} of {} to {}: {}", self.rollout, self.stack, self.release.short(), self.state)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  * {note}"))?;
        self.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cluster, self.step.word())?;
        if self.in_place && self.step != Step::Done {
            write!(f, " in place")?;
        }
        if let Some(why) = self.step.failure() {
            write!(f, " ({why})")?;
        }
        if self.why != Why::Nothing {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.cluster)?;
        match &self.what {
            What::Entered(step) => write!(f, "now {}", step.word()),
            What::OnlyOne { route } => write!(f, "updated in place: no other cluster is fit to serve {route}"),
            What::Needed { route } => write!(f, "back in service unchanged: no other cluster is fit to serve {route}"),
            What::AssumedGone { nameserver, heard } => {
                write!(
                    f,
                    "nameserver {nameserver}, last heard {}, never acknowledged the drain; taken for gone",
                    heard.clock()
                )
            }
            What::AlreadyThere => write!(f, "runs this release already"),
            What::FirstDeployment => write!(f, "serves nothing of this stack yet: nothing to drain"),
            What::LeftFederation => write!(f, "left the federation"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Nothing => Ok(()),
            Why::Stage { waits_for } => write!(f, "an earlier stage is not done: {}", list(waits_for)),
            Why::NotRunning { state } => write!(f, "rollout is {state}"),
            Why::MaxParallel { out, max } => {
                let is = if out.len() == 1 { "is" } else { "are" };
                write!(f, "{} {is} out of service (max_parallel {max})", list(out))
            }
            Why::LastInService { route, out } => {
                write!(f, "the last one in service for {route} while {} is under way", list(out))
            }
            Why::Needed { route } => write!(f, "no other cluster is fit to serve {route}; goes on when one is"),
            Why::VerdictsUnknown { route } => {
                write!(f, "no nameserver says whether another cluster is fit to serve {route}")
            }
            Why::AgentLost { since: Some(since) } => write!(f, "its agent is not connected since {}", since.clock()),
            Why::AgentLost { since: None } => write!(f, "its agent is not connected"),
            Why::NoReport => write!(f, "its agent has not reported yet"),
            Why::NoQuorum { reachable, managers } => {
                write!(f, "the swarm has no quorum: {reachable} of {managers} managers are reachable")
            }
            Why::Engine { error } => write!(f, "its Engine cannot be asked: {error}"),
            Why::PlanNotWritten => write!(f, "the route plan does not say so yet"),
            Why::PlanHeld { by, until } => write!(
                f,
                "{by} put an earlier route plan back in force until {} UTC; `waggle route resume` ends it",
                until.utc()
            ),
            Why::Behind { generation, nameservers } => {
                let all: Vec<_> = nameservers.iter().map(ToString::to_string).collect();
                write!(f, "route plan {generation} is not acknowledged by {}", all.join(", "))
            }
            Why::Cached { until, left_ms } => write!(f, "cached until {}, {} left", until.clock(), seconds(*left_ms)),
            Why::Agent { doing, left_ms } => {
                let doing = doing.as_deref().unwrap_or("waiting for the agent to take it up");
                write!(f, "{doing}; {} left", seconds(*left_ms))
            }
            Why::NoNameserver => write!(f, "no nameserver is connected that could say"),
            Why::Probes { route, seen } => match seen {
                Seen::NotYet => write!(f, "no nameserver has reached {route} there yet"),
                Seen::Down(nameserver) => write!(f, "nameserver {nameserver} fails to reach {route} there"),
                Seen::OtherRelease(nameserver, release) => {
                    write!(f, "nameserver {nameserver} still hears release {} there for {route}", release.short())
                }
            },
            Why::Monitor { left_ms } => write!(f, "good so far, watched for another {}", seconds(*left_ms)),
            Why::NotFit { route, why } => {
                write!(f, "not judged fit for {route} yet")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Why::Failed { why } => f.write_str(why),
            Why::OperatorDrained { reason } => write!(f, "stays drained by an operator: {reason}"),
        }
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.nameserver)?;
        match (self.generation, self.until) {
            (Some(generation), None) => write!(f, " (answers from {generation})"),
            (None, None) => write!(f, " (has not reported)"),
            (_, Some(until)) => write!(f, " (not connected, waited for until {})", until.clock()),
        }
    }
}

fn list(names: &[ClusterName]) -> String {
    names.iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", ")
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
