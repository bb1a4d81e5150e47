//! Clusters for people.

use crate::output::table::clean;
use crate::output::{Cell, Style, Table, age, cut};
use waggle_control::api::types::{ClusterStackView, ClusterView};
use waggle_model::Timestamp;
use waggle_model::observed::Phase;

pub fn table(clusters: &[ClusterView], now: Timestamp) -> Table {
    let mut table = Table::new(&["CLUSTER", "REGION", "AGENT", "NODES", "MANAGERS", "STACKS", "NOTE"]);
    for cluster in clusters {
        let region = cluster.configured.as_ref().and_then(|c| c.region.clone()).unwrap_or_default();
        let (nodes, managers) = match &cluster.swarm {
            Some(s) => (
                format!("{}/{}", s.nodes_ready, s.nodes_ready + s.nodes_down + s.nodes_drained),
                format!("{}/{}", s.managers_reachable, s.managers),
            ),
            None => Default::default(),
        };
        let converged = cluster.stacks.values().filter(|stack| stack.phase == Phase::Converged).count();
        let stacks = format!("{converged}/{}", cluster.stacks.len());
        table.row([
            cluster.name.as_str().into(),
            region.into(),
            agent(cluster, now),
            nodes.into(),
            managers.into(),
            stacks.into(),
            Cell::new(cut(&note(cluster)), Style::Warning),
        ]);
    }
    table
}

/// One cluster on many lines.
pub fn details(cluster: &ClusterView, now: Timestamp, colour: bool) -> String {
    let mut head = Table::plain();
    let mut line = |name: &str, value: Cell| head.row([format!("{name}:").into(), value]);
    line("Name", cluster.name.as_str().into());
    line("Agent", agent(cluster, now));
    if let Some(version) = &cluster.agent_version {
        line("Agent version", version.as_str().into());
    }
    if let Some(configured) = &cluster.configured {
        line("Region", configured.region.clone().unwrap_or_default().into());
        let addresses: Vec<String> = configured.addresses.iter().map(ToString::to_string).collect();
        line("Addresses", addresses.join(", ").into());
        line("Weight", configured.weight.to_string().into());
    }
    if let Some(swarm) = &cluster.swarm {
        line("Swarm", swarm.id.as_str().into());
        line("Engine", swarm.engine_version.as_str().into());
        line("Managers", format!("{} of {} reachable", swarm.managers_reachable, swarm.managers).into());
        let nodes = format!("{} ready, {} down, {} drained", swarm.nodes_ready, swarm.nodes_down, swarm.nodes_drained);
        line("Nodes", nodes.into());
    }
    let observed = cluster.observed_generation.map_or("none".to_owned(), |g| g.to_string());
    line("Generation", format!("{} desired, {observed} observed", cluster.desired_generation).into());
    if !note(cluster).is_empty() {
        line("Note", Cell::new(note(cluster), Style::Warning));
    }
    let mut text = head.render(colour);
    if !cluster.stacks.is_empty() {
        text += &format!("\n{}", stacks(cluster).render(colour));
    }
    text + &drift(cluster, colour)
}

/// What somebody changed behind releases' backs, line by line.
fn drift(cluster: &ClusterView, colour: bool) -> String {
    let changes = cluster.stacks.iter().flat_map(|(name, stack)| stack.drift.iter().map(move |what| (name, what)));
    let line = |(name, what)| Style::Warning.paint(&clean(&format!("! {name} was changed by hand: {what}")), colour);
    let lines: String = changes.map(line).map(|line| line + "\n").collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn stacks(cluster: &ClusterView) -> Table {
    let mut table = Table::new(&["STACK", "RELEASE", "PHASE", "SERVING"]);
    for (name, stack) in &cluster.stacks {
        let release = stack.release.map(|id| id.short()).unwrap_or_default();
        table.row([name.as_str().into(), release.into(), phase(&stack.phase), serving(stack)]);
    }
    table
}

fn serving(stack: &ClusterStackView) -> Cell {
    let down: Vec<&str> = stack.serving.iter().filter(|(_, up)| !**up).map(|(name, _)| name.as_str()).collect();
    match (stack.serving.len(), down.len()) {
        (0, _) => "".into(),
        (all, 0) => Cell::new(format!("{all}/{all}"), Style::Good),
        (all, n) => Cell::new(format!("{}/{all}, not {}", all - n, down.join(", ")), Style::Bad),
    }
}

pub fn phase(phase: &Phase) -> Cell {
    match phase {
        Phase::Applying(what) => Cell::new(format!("applying: {what}"), Style::Warning),
        Phase::Converged => Cell::new("converged", Style::Good),
        Phase::Failed(why) => Cell::new(format!("failed: {why}"), Style::Bad),
        Phase::Removing => Cell::new("removing", Style::Warning),
    }
}

fn agent(cluster: &ClusterView, now: Timestamp) -> Cell {
    match (cluster.connected, cluster.last_seen_at) {
        (true, _) => Cell::new("connected", Style::Good),
        (false, Some(seen)) => Cell::new(format!("lost {}", age::ago(now, seen).to_lowercase()), Style::Bad),
        (false, None) => Cell::new("never joined", Style::Warning),
    }
}

fn note(cluster: &ClusterView) -> String {
    let drain = cluster.drain.as_ref().map(|drain| format!("drained by {}: {}", drain.by, drain.reason));
    let unlisted = cluster.configured.is_none().then(|| "not in the federation file".to_owned());
    let engine = cluster.swarm.as_ref().and_then(|swarm| swarm.error.clone());
    [drain, unlisted, engine].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
