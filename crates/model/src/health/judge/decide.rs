//! The rule for one endpoint: evidence in, verdict and reason out.
//!
//! An agent that says "my tasks are down" is believed at once: it stands inside and gains nothing by lying. Probes are
//! votes and need a strict majority of the observers that count, either way; a silent agent is one more vote for down, but
//! only beside a probe's, because a cut link between agent and nameservers says nothing about users. With two observers that
//! is "both, or one and the agent's silence", with three "two of three". A tie changes nothing.

use super::judgement::{Reason, Votes};
use crate::health::Verdict;

/// An agent's word on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgentWord {
    Serves,
    Down,
    /// It beats, but cannot say.
    Unsure,
    Silent,
}

pub(super) struct Evidence<'a> {
    pub agent: AgentWord,
    /// The route has a check, so that probes decide.
    pub checked: bool,
    pub votes: Votes,
    /// Why own votes are withheld, if they are.
    pub withheld: Option<Reason>,
    /// What the own probe says when it fails.
    pub why: Option<&'a str>,
}

pub(super) fn decide(evidence: &Evidence<'_>) -> (Verdict, Reason) {
    let votes = evidence.votes;
    let (up, down, of, silent) = (votes.up, votes.down, votes.of(), votes.silent);
    if evidence.agent == AgentWord::Down {
        return unfit(Reason::AgentSaysDown);
    }
    if !evidence.checked {
        return match evidence.agent {
            AgentWord::Serves => (Verdict::Fit, Reason::AgentServes),
            AgentWord::Silent => (Verdict::Unknown, Reason::AgentSilent),
            AgentWord::Unsure | AgentWord::Down => (Verdict::Unknown, Reason::AgentUnsure),
        };
    }
    if of == 0 {
        return (Verdict::Unknown, evidence.withheld.clone().unwrap_or(Reason::NotProbed));
    }
    let against = down + u16::from(silent && down > 0);
    if against > up {
        let why = evidence.why.map(str::to_owned);
        return unfit(Reason::ProbesDown { down, of, silent, why });
    }
    if up > against {
        return (Verdict::Fit, Reason::ProbesUp { up, of });
    }
    (Verdict::Unknown, Reason::Split { up, down, silent })
}

fn unfit(reason: Reason) -> (Verdict, Reason) {
    (Verdict::Unfit(reason.to_string()), reason)
}
