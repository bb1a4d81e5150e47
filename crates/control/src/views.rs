//! What people see of the state: the bodies of the API, computed anew from what is stored and seen. Nothing is kept for
//! display, so nothing shown can be older than what decides.

pub mod routes;

use crate::api::types::{
    ClusterStackView, ClusterView, DrainView, NameserverView, ReleaseView, RolloutView, StackView,
};
use crate::reconcile::{Loaded, Seen};
use crate::records::RolloutRecord;
use crate::store::Result;
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::observed::{ObservedStack, Phase};
use waggle_model::release::Release;
use waggle_model::rollout::{Facts, Rollout, State, Step, plan::plan};
use waggle_model::{ClusterName, StackName, Timestamp};

pub fn cluster(loaded: &Loaded, seen: &Seen, name: &ClusterName) -> ClusterView {
    let agent = seen.agents.get(name);
    let observed = agent.and_then(|agent| agent.observed.as_ref()).map(|(observed, _)| observed);
    let stack = |(name, stack): (&StackName, &ObservedStack)| {
        let (release, phase) = (stack.release, stack.phase.clone());
        let (serving, drift) = (stack.serving.clone(), stack.drift.clone());
        (name.clone(), ClusterStackView { release, phase, serving, drift })
    };
    ClusterView {
        name: name.clone(),
        configured: loaded.state.federation.clusters.get(name).cloned(),
        connected: agent.is_some_and(|agent| agent.connected),
        last_seen_at: agent.map(|agent| agent.last),
        agent_version: agent.map(|agent| agent.version.clone()).filter(|version| !version.is_empty()),
        skew_ms: agent.and_then(|agent| agent.observed.as_ref()).map(|(observed, at)| ahead(observed.at, *at)),
        certificate_until_at: agent.and_then(|agent| agent.certificate_until),
        swarm: observed.map(|observed| observed.swarm.clone()),
        drain: loaded.drains.get(name).map(|drain| DrainView {
            reason: drain.reason.clone(),
            by: drain.by.clone(),
            since_at: drain.since,
        }),
        desired_generation: loaded.desired_generation(name),
        observed_generation: observed.map(|observed| observed.generation),
        stacks: observed.map(|observed| observed.stacks.iter().map(stack).collect()).unwrap_or_default(),
    }
}

/// Milliseconds by which `there`, said by another clock, is ahead of `here`.
fn ahead(there: Timestamp, here: Timestamp) -> i64 {
    i64::try_from(i128::from(there.0) - i128::from(here.0)).unwrap_or(i64::MAX)
}

pub fn nameservers(loaded: &Loaded, seen: &Seen) -> Vec<NameserverView> {
    let view = |peer: &waggle_model::fleet::NameserverPeer| {
        let one = seen.nameservers.get(&peer.name);
        let status = one.and_then(|one| one.status.as_ref());
        NameserverView {
            name: peer.name.clone(),
            peer: peer.clone(),
            connected: one.is_some_and(|one| one.connected),
            last_seen_at: one.map(|one| one.last),
            plan_generation: status.map(|status| status.generation),
            version: one.map(|one| one.version.clone()).filter(|version| !version.is_empty()),
            skew_ms: status.zip(one).map(|(status, one)| ahead(status.at, one.last)),
            certificate_until_at: one.and_then(|one| one.certificate_until),
            clients: status.map(|status| routes::clients(&status.traffic)).unwrap_or_default(),
            queries: status.map(|status| status.queries),
            verdicts: status.map(|status| status.verdicts.clone()).unwrap_or_default(),
        }
    };
    loaded.state.nameservers.iter().map(view).collect()
}

pub fn stack(loaded: &Loaded, seen: &Seen, name: &StackName) -> Option<StackView> {
    let (stack, record) = (loaded.state.stacks.get(name)?, loaded.stacks.get(name)?);
    let release = stack.rollout.as_ref().map(|rollout| rollout.release);
    let body = release.and_then(|release| stack.releases.get(&release));
    let clusters: BTreeSet<&ClusterName> = loaded.state.federation.clusters.keys().collect();
    let runs = |cluster: &&&ClusterName| {
        let agent = seen.agents.get(**cluster).and_then(|agent| agent.observed.as_ref());
        let observed = agent.and_then(|(observed, _)| observed.stacks.get(name));
        observed.is_some_and(|observed| observed.release == release && observed.phase == Phase::Converged)
    };
    let objects = body.and_then(|body| waggle_stack::Objects::from_json(&body.objects).ok());
    Some(StackView {
        name: name.clone(),
        release,
        services: objects.map_or(0, |objects| objects.services.len()),
        routes: body.map(|body| body.routes.iter().map(|route| route.name.clone()).collect()).unwrap_or_default(),
        converged: clusters.iter().filter(runs).count(),
        clusters: clusters.len(),
        rollout: stack.active().map(|rollout| rollout.id),
        removing: record.removing.is_some(),
    })
}

pub fn release(loaded: &Loaded, release: &Release, with_objects: bool) -> ReleaseView {
    let stack = loaded.state.stacks.get(&release.body.stack);
    let runs = |cluster: &&ClusterName| stack.is_some_and(|stack| stack.wanted(cluster).release == Some(release.id));
    let clusters = loaded.state.federation.clusters.keys().filter(runs).cloned().collect();
    ReleaseView {
        id: release.id,
        stack: release.body.stack.clone(),
        created_at: release.created,
        author: release.author.clone(),
        images: release.body.images.clone(),
        routes: release.body.routes.clone(),
        clusters,
        objects: with_objects.then(|| serde_json::from_str(&release.body.objects).unwrap_or_default()),
    }
}

/// With what the planner would say now. It is asked without effect: nothing of its decision is kept.
pub fn rollout(loaded: &Loaded, seen: &Seen, record: &RolloutRecord, now: Timestamp) -> Result<RolloutView> {
    let rollout = &record.rollout;
    let is_newest = loaded.rollouts.contains_key(&rollout.id);
    let facts = if is_newest && !rollout.state.is_final() {
        let plan = loaded.route_plan()?;
        Facts::gather(
            &loaded.state,
            &rollout.stack,
            |cluster| seen.agent(cluster),
            |nameserver| Some(seen.nameserver(nameserver)),
            plan.as_ref(),
            now,
        )
    } else {
        Facts::default()
    };
    let (_, report) = plan(rollout, &facts, now);
    let lines: BTreeMap<ClusterName, String> = report
        .lines
        .iter()
        .map(|line| {
            let text = line.to_string();
            let rest = text.strip_prefix(&format!("{}: ", line.cluster)).map(str::to_owned);
            (line.cluster.clone(), rest.unwrap_or(text))
        })
        .collect();
    let summary =
        format!("rollout {} of {} to {}: {}", rollout.id, rollout.stack, rollout.release.short(), rollout.state);
    Ok(RolloutView { rollout: rollout.clone(), report: lines, summary, percent: percent(rollout) })
}

fn percent(rollout: &Rollout) -> u8 {
    if rollout.state == State::Done {
        return 100;
    }
    let share = |step: &Step| match step {
        Step::Waiting | Step::Failed { .. } | Step::Reverting { .. } | Step::Reverted { .. } => 0,
        Step::Draining { .. } => 10,
        Step::Proving { .. } => 25,
        Step::Updating => 45,
        Step::Verifying => 70,
        Step::Readmitting { .. } => 90,
        Step::Done => 100,
    };
    let total: usize = rollout.clusters.values().map(|cluster| share(&cluster.step)).sum();
    u8::try_from(total / rollout.clusters.len().max(1)).unwrap_or(100)
}

/// Changes named of one stack in one cluster; the rest is counted.
const DRIFT_SHOWN: usize = 3;

fn drifted(cluster: &ClusterName, stack: &StackName, drift: &[String]) -> Vec<String> {
    let said = |text: &str| format!("stack {stack} in {cluster} was changed by hand: {text}");
    let mut lines: Vec<String> = drift.iter().take(DRIFT_SHOWN).map(|change| said(change)).collect();
    if drift.len() > DRIFT_SHOWN {
        lines.push(said(&format!("and {} more changes", drift.len() - DRIFT_SHOWN)));
    }
    lines
}

/// What needs a person.
pub fn attention(loaded: &Loaded, seen: &Seen, problems: &[String], now: Timestamp) -> Vec<String> {
    let mut found: Vec<String> = problems.to_vec();
    for name in loaded.state.federation.clusters.keys() {
        match seen.agents.get(name) {
            None => found.push(format!(
                "cluster {name}: no agent has connected; join one with `waggle cluster join-token {name}`"
            )),
            Some(agent) if !agent.connected => {
                found.push(format!("cluster {name}: its agent is not connected since {}", agent.last.clock()));
            }
            Some(agent) => {
                let Some((observed, _)) = &agent.observed else { continue };
                let error = observed.swarm.error.as_ref();
                found.extend(error.map(|error| format!("cluster {name}: its Engine cannot be asked: {error}")));
                for (stack, seen) in &observed.stacks {
                    found.extend(drifted(name, stack, &seen.drift));
                }
            }
        }
    }
    for peer in &loaded.state.nameservers {
        if !seen.nameservers.get(&peer.name).is_some_and(|one| one.connected) {
            found.push(format!("nameserver {} is not connected", peer.name));
        }
        let status = seen.nameservers.get(&peer.name).and_then(|one| one.status.as_ref());
        if let Some(refused) = status.and_then(|status| status.refused.as_ref()) {
            found.push(format!(
                "nameserver {} answers from an earlier route plan, for it refuses plan {}: {}; if it is meant, say \
                 `waggle apply -f FILE --force`",
                peer.name, refused.generation, refused.why
            ));
        }
    }
    for record in loaded.rollouts.values() {
        if let State::Held { .. } | State::Paused { .. } = record.rollout.state {
            let rollout = &record.rollout;
            found.push(format!("rollout {} of {} is {}", rollout.id, rollout.stack, rollout.state));
        }
    }
    found.extend(overrides(seen));
    for (route, clusters) in &loaded.state.forced {
        let holds = clusters.iter().filter(|(_, forced)| forced.holds(now));
        found.extend(holds.map(|(cluster, forced)| format!("route {route} in {cluster} is {forced}")));
    }
    if let Some(hold) = &loaded.state.hold {
        let (generation, until) = (hold.generation, hold.until.utc());
        found.push(format!(
            "the route plan of generation {generation} is held by {} until {until} UTC: {}; `waggle route resume` ends it",
            hold.by, hold.reason
        ));
    }
    for (cluster, drain) in &loaded.drains {
        found.push(format!("cluster {cluster} is drained by {}: {}", drain.by, drain.reason));
    }
    found
}

/// What operators told nameservers directly, and who obeys.
fn overrides(seen: &Seen) -> Vec<String> {
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, one) in seen.nameservers.iter().filter(|(_, one)| one.connected) {
        for active in one.status.iter().flat_map(|status| &status.overrides) {
            told.entry(active.to_string()).or_default().push(name.as_str());
        }
    }
    told.into_iter().map(|(text, by)| format!("override at {}: {text}", by.join(", "))).collect()
}
