//! The few changes that are no part of any release: nodes, services that others made, unused images.

use super::look::node_named;
use super::{Asked, Refusal, conflict, invalid};
use crate::engine::{EngineError, Node};
use serde_json::{Value, json};
use waggle_model::ask::{Answer, NodeChange, ObjectKind, Role, ServiceChange};

/// Attempts at a write that somebody else's overtakes.
const ATTEMPTS_MAX: u32 = 3;

impl Asked {
    pub(super) async fn update_node(&self, name: &str, change: NodeChange) -> Result<String, Refusal> {
        for _ in 0..ATTEMPTS_MAX {
            let nodes = self.engine.nodes().await?;
            let node = node_named(&nodes, name)?;
            let (field, value, done) = match change {
                NodeChange::Active => ("Availability", "active", "takes tasks"),
                NodeChange::Pause => ("Availability", "pause", "takes no new tasks"),
                NodeChange::Drain => ("Availability", "drain", "is drained: its tasks move to other nodes"),
                NodeChange::Promote => ("Role", "manager", "becomes a manager"),
                NodeChange::Demote => ("Role", "worker", "becomes a worker"),
            };
            may_change(&nodes, node, change)?;
            let object = self.engine.inspect(ObjectKind::Node, &node.id).await?;
            let (version, mut spec) = version_and_spec(&object)?;
            if spec[field] == value {
                return Ok(format!("node {} was so already: it {done}", node.name));
            }
            spec[field] = json!(value);
            match self.engine.write_node(&node.id, version, &spec).await {
                Err(EngineError::Conflict(_)) => continue,
                written => written?,
            }
            return Ok(format!("node {} {done}", node.name));
        }
        Err(conflict("others keep changing the node".into(), "try again"))
    }

    pub(super) async fn update_service(&self, name: &str, change: ServiceChange) -> Result<String, Refusal> {
        for _ in 0..ATTEMPTS_MAX {
            let service = self.service_named(name).await?;
            if let (Some(stack), true) = self.stack_of(&service.spec.labels) {
                let message = format!("service {} belongs to stack {stack} of the federation", service.spec.name);
                return Err(conflict(message, "change it through control, which keeps all clusters alike"));
            }
            let object = self.engine.inspect(ObjectKind::Service, &service.id).await?;
            let (version, mut spec) = version_and_spec(&object)?;
            let done = match change {
                ServiceChange::Scale(replicas) => scale(&mut spec, service.spec.mode.name(), replicas)?,
                ServiceChange::Force => {
                    let times = spec["TaskTemplate"]["ForceUpdate"].as_u64().unwrap_or(0) + 1;
                    spec["TaskTemplate"]["ForceUpdate"] = json!(times);
                    "restarts its tasks".to_owned()
                }
                ServiceChange::Rollback => "goes back to its previous spec".to_owned(),
            };
            let rollback = change == ServiceChange::Rollback;
            match self.engine.write_service(&service.id, version, &spec, rollback).await {
                Err(EngineError::Conflict(_)) => continue,
                written => written?,
            }
            return Ok(format!("service {} {done}", service.spec.name));
        }
        Err(conflict("others keep changing the service".into(), "try again"))
    }

    pub(super) async fn prune_images(&self, all: bool) -> Result<Answer, Refusal> {
        let node = self.engine.own_node().await?;
        let pruned = self.engine.prune_images(all).await?;
        Ok(Answer::Pruned { node, images: pruned.images, bytes: pruned.bytes })
    }

    pub(super) async fn join_token(&self, role: Role) -> Result<Answer, Refusal> {
        let tokens = self.engine.join_tokens().await?;
        let token = match role {
            Role::Worker => tokens.worker,
            Role::Manager => tokens.manager,
        };
        let nodes = self.engine.nodes().await?;
        let reachable = nodes.into_iter().filter(|node| node.reachable == Some(true));
        Ok(Answer::JoinToken { token, managers: reachable.filter_map(|node| node.address).collect() })
    }
}

fn scale(spec: &mut Value, mode: &str, replicas: u64) -> Result<String, Refusal> {
    if mode != "replicated" {
        return Err(invalid(format!("a service of mode {mode} has no number of replicas to change")));
    }
    spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
    Ok(format!("is scaled to {replicas}"))
}

/// Refuses what would leave the swarm without a manager, or without a place for anything.
fn may_change(nodes: &[Node], node: &Node, change: NodeChange) -> Result<(), Refusal> {
    let managers = || nodes.iter().filter(|node| node.reachable.is_some());
    let takes_tasks = |node: &&Node| node.availability == "active" && node.is_ready();
    match change {
        NodeChange::Demote if node.reachable.is_some() && managers().count() == 1 => {
            let message = format!("{} is the last manager of its swarm", node.name);
            Err(conflict(message, "promote another node first"))
        }
        NodeChange::Demote if node.reachable == Some(true) => {
            // Removing a voter needs a majority of the managers before and after.
            let (all, up) = (managers().count(), managers().filter(|node| node.reachable == Some(true)).count());
            if up - 1 > (all - 1) / 2 {
                return Ok(());
            }
            let message = format!("without {} only {} of {} managers would be reachable", node.name, up - 1, all - 1);
            Err(conflict(message, "bring the unreachable managers back, or demote those first"))
        }
        NodeChange::Drain if node.availability != "drain" && node.reachable.is_some() => {
            let others = managers().filter(|other| other.id != node.id);
            let left = nodes.iter().filter(|other| other.id != node.id).filter(takes_tasks).count();
            if others.filter(|other| other.availability != "drain").count() == 0 && left == 0 {
                let message = format!("{} is the last manager and nothing else would take its tasks", node.name);
                return Err(conflict(message, "join or activate another node first"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn version_and_spec(object: &Value) -> Result<(u64, Value), Refusal> {
    match (object["Version"]["Index"].as_u64(), object["Spec"].is_object()) {
        (Some(version), true) => Ok((version, object["Spec"].clone())),
        _ => Err(EngineError::Answer("an object without version or spec".into()).into()),
    }
}
