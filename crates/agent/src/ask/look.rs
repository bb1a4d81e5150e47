//! Looks into the swarm: rows as the docker command line has them.

use super::{Asked, Refusal, is_of, not_found};
use crate::engine::{Kind, Node, Service, Task, Whose};
use crate::judge;
use crate::seen::look;
use futures_util::future::try_join;
use std::collections::BTreeMap;
use waggle_model::StackName;
use waggle_model::ask::{NodeRow, ObjectKind, ROWS_MAX, Rows, ServiceRow, StoredRow, TaskRow};

impl Asked {
    pub(super) async fn services(&self, stack: Option<&StackName>) -> Result<Rows<ServiceRow>, Refusal> {
        let mut seen = look(self.engine.as_ref()).await?;
        // Tasks of services without a stack count as well.
        seen.tasks = self.engine.tasks_of(&Whose::Everybodys).await?;
        let current = |service: &Service, task: &&Task| {
            task.service == service.id && !service.spec.labels.contains_key(waggle_stack::labels::NAMESPACE)
        };
        for service in &seen.services {
            seen.up_to_date.extend(seen.tasks.iter().filter(|task| current(service, task)).map(|task| task.id.clone()));
        }
        let wanted = |service: &&Service| stack.is_none_or(|stack| is_of(&service.spec.labels, stack));
        let row = |service: &Service| {
            let count = judge::count(&seen, service);
            let running = match service.spec.is_job() {
                true => count.have,
                false => seen.tasks_of(&service.id).filter(|task| seen.is_serving(task)).count() as u64,
            };
            let (stack, managed) = self.stack_of(&service.spec.labels);
            ServiceRow {
                id: service.id.clone(),
                name: service.spec.name.clone(),
                stack,
                managed,
                mode: service.spec.mode.name().to_owned(),
                desired: count.wanted,
                running,
                image: service.spec.task_template.container_spec.image.clone(),
                ports: service.ports.clone(),
                update: service.update.as_ref().map(|update| update.state.clone()),
            }
        };
        let mut found: Vec<ServiceRow> = seen.services.iter().filter(wanted).map(row).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows(found))
    }

    pub(super) async fn tasks(
        &self,
        stack: Option<&StackName>,
        service: Option<&str>,
        node: Option<&str>,
    ) -> Result<Rows<TaskRow>, Refusal> {
        let (services, nodes) = try_join(self.engine.services(), self.engine.nodes()).await?;
        let whose = match (service, node) {
            (Some(name), _) => Whose::Service(named(&services, name)?.id.clone()),
            (None, Some(name)) => Whose::Node(node_named(&nodes, name)?.id.clone()),
            (None, None) => Whose::Everybodys,
        };
        let tasks = self.engine.tasks_of(&whose).await?;
        let on_node = match node {
            Some(name) => Some(node_named(&nodes, name)?.id.as_str()),
            None => None,
        };
        let services: BTreeMap<&str, &Service> = services.iter().map(|one| (one.id.as_str(), one)).collect();
        let wanted = |task: &&Task| {
            let of_stack = |stack: &StackName| {
                services.get(task.service.as_str()).is_some_and(|service| is_of(&service.spec.labels, stack))
            };
            stack.is_none_or(of_stack) && on_node.is_none_or(|node| task.node == node)
        };
        let mut wanted: Vec<&Task> = tasks.iter().filter(wanted).collect();
        wanted.sort_by(|a, b| {
            let slot = |task: &Task| {
                (name(&services, task).to_owned(), task.slot, task.slot.eq(&0).then(|| task.node.clone()))
            };
            slot(a).cmp(&slot(b)).then_with(|| (b.at, &b.id).cmp(&(a.at, &a.id)))
        });
        let row = |task: &&Task| TaskRow {
            id: task.id.clone(),
            name: task_name(name(&services, task), task),
            service: name(&services, task).to_owned(),
            image: task.image.clone(),
            node: nodes.iter().find(|node| node.id == task.node).map_or(task.node.clone(), |node| node.name.clone()),
            desired_state: task.desired.clone(),
            state: task.state.clone(),
            at: task.at,
            error: Some(task.error.clone()).filter(|error| !error.is_empty()),
            ports: task.ports.clone(),
        };
        Ok(rows(wanted.iter().map(row).collect()))
    }

    pub(super) async fn nodes(&self) -> Result<Rows<NodeRow>, Refusal> {
        let manager = |node: &Node| match (node.leader, node.reachable?) {
            (true, _) => Some("leader"),
            (false, true) => Some("reachable"),
            (false, false) => Some("unreachable"),
        };
        let row = |node: Node| NodeRow {
            manager: manager(&node).map(str::to_owned),
            id: node.id,
            hostname: node.name,
            status: node.state,
            availability: node.availability,
            engine_version: node.engine_version,
        };
        let mut found: Vec<NodeRow> = self.engine.nodes().await?.into_iter().map(row).collect();
        found.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        Ok(rows(found))
    }

    pub(super) async fn stored(&self, kind: Kind) -> Result<Rows<StoredRow>, Refusal> {
        let row = |stored: crate::engine::Stored| {
            let (stack, managed) = self.stack_of(&stored.labels);
            let (created, updated) = (stored.created, stored.updated);
            StoredRow { id: stored.id, name: stored.name, stack, managed, created, updated }
        };
        let mut found: Vec<StoredRow> = self.engine.stored(kind).await?.into_iter().map(row).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows(found))
    }

    pub(super) async fn inspect(&self, kind: ObjectKind, name: &str) -> Result<serde_json::Value, Refusal> {
        let name = match kind {
            // The Engine knows nodes by their id only.
            ObjectKind::Node => node_named(&self.engine.nodes().await?, name)?.id.clone(),
            _ => name.to_owned(),
        };
        Ok(self.engine.inspect(kind, &name).await?)
    }
}

fn name<'a>(services: &'a BTreeMap<&str, &Service>, task: &'a Task) -> &'a str {
    services.get(task.service.as_str()).map_or(&task.service, |service| &service.spec.name)
}

fn rows<T>(mut rows: Vec<T>) -> Rows<T> {
    let left_out = rows.len().saturating_sub(ROWS_MAX) as u64;
    rows.truncate(ROWS_MAX);
    Rows { rows, left_out }
}

/// `service.slot`; a global service's tasks are told apart by their node.
pub(super) fn task_name(service: &str, task: &Task) -> String {
    match task.slot {
        0 => format!("{service}.{}", task.node),
        slot => format!("{service}.{slot}"),
    }
}

/// A service by name, id, or the beginning of an id that is nobody else's.
pub(super) fn named<'a>(services: &'a [Service], name: &str) -> Result<&'a Service, Refusal> {
    let exact = services.iter().find(|service| service.spec.name == name || service.id == name);
    let found = exact.map(Ok).unwrap_or_else(|| only(services.iter().filter(|one| one.id.starts_with(name))));
    found.map_err(|many| missing("service", name, many))
}

pub(super) fn node_named<'a>(nodes: &'a [Node], name: &str) -> Result<&'a Node, Refusal> {
    if let Some(node) = nodes.iter().find(|node| node.id == name) {
        return Ok(node);
    }
    // Hostnames need not be unique.
    let found = match only(nodes.iter().filter(|node| node.name == name)) {
        Err(false) => only(nodes.iter().filter(|node| node.id.starts_with(name))),
        found => found,
    };
    found.map_err(|many| missing("node", name, many))
}

/// The one there is; `Err` says whether there are several.
fn only<'a, T>(mut found: impl Iterator<Item = &'a T>) -> Result<&'a T, bool> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (first, _) => Err(first.is_some()),
    }
}

fn missing(what: &str, name: &str, many: bool) -> Refusal {
    match many {
        true => super::invalid(format!("several {what}s are called {name}; name one by its id")),
        false => not_found(format!("there is no {what} {name}")),
    }
}

impl Asked {
    pub(super) async fn service_named(&self, name: &str) -> Result<Service, Refusal> {
        let services = self.engine.services().await?;
        named(&services, name).cloned()
    }
}
