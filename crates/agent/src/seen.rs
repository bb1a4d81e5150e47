//! Everything the Engine says at one moment.

use crate::engine::{Engine, EngineError, Info, Kind, Network, Node, Service, Stored, Task};
use futures_util::future::{try_join, try_join4};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;
use waggle_model::StackName;
use waggle_model::observed::Swarm;
use waggle_stack::diff::{Current, CurrentNetwork, CurrentPayload, CurrentService};
use waggle_stack::labels;

/// One look at the whole swarm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub info: Info,
    pub nodes: Vec<Node>,
    pub networks: Vec<Network>,
    pub secrets: Vec<Stored>,
    pub configs: Vec<Stored>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    /// Ids of tasks of the current spec of their service.
    pub up_to_date: BTreeSet<String>,
    /// What the last health check of a failed task's container said, by the container's id. Only of this node.
    pub health: BTreeMap<String, String>,
}

/// Containers asked for their health check in one look.
pub const HEALTH_ASKED_MAX: usize = 4;
/// How long one is waited for: the Engine may hold its lock.
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);

/// Looks. Services are listed before tasks, so that no task belongs to a spec that is newer than its service here.
pub async fn look(engine: &dyn Engine) -> Result<Seen, EngineError> {
    let info = engine.info().await?;
    let things =
        try_join4(engine.networks(), engine.stored(Kind::Secret), engine.stored(Kind::Config), engine.services());
    let (nodes, (networks, secrets, configs, services)) = try_join(engine.nodes(), things).await?;
    let (tasks, up_to_date) = try_join(engine.tasks(), engine.tasks_up_to_date()).await?;
    Ok(Seen { info, nodes, networks, secrets, configs, services, tasks, up_to_date, health: BTreeMap::new() })
}

/// Asks containers that failed their health check what it said, as far as `known` has not got it. Nothing depends on the
/// answers but words, so whatever goes wrong is passed over.
pub async fn ask_health(engine: &dyn Engine, seen: &mut Seen, known: Option<&Seen>) {
    let is_unhealthy = |task: &&Task| task.state == "failed" && task.error.contains("unhealthy");
    let mut unhealthy: Vec<&Task> =
        seen.tasks.iter().filter(is_unhealthy).filter(|task| !task.container.is_empty()).collect();
    unhealthy.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let mut health = BTreeMap::new();
    for container in unhealthy.into_iter().take(HEALTH_ASKED_MAX).map(|task| &task.container) {
        let said = match known.and_then(|known| known.health.get(container)) {
            Some(said) => said.clone(),
            // An empty text: asked in vain.
            None => match timeout(HEALTH_PATIENCE, engine.health_output(container)).await {
                Ok(Ok(said)) => said.unwrap_or_default(),
                _ => String::new(),
            },
        };
        health.insert(container.clone(), said);
    }
    seen.health = health;
}

impl Seen {
    /// The service of a name in the swarm.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.spec.name == name)
    }

    pub fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |task| task.service == service)
    }

    /// Runs, is meant to, and its node is not lost. With a health check, Swarm says `running` only of healthy ones.
    pub fn is_serving(&self, task: &Task) -> bool {
        task.state == "running" && task.desired == "running" && !self.is_lost(&task.node)
    }

    fn is_lost(&self, node: &str) -> bool {
        self.nodes.iter().any(|n| n.id == node && n.state == "down")
    }

    pub fn node_name<'a>(&'a self, id: &'a str) -> &'a str {
        self.nodes.iter().find(|node| node.id == id).map_or(id, |node| node.name.as_str())
    }

    /// Stacks of which something bears our label.
    pub fn managed(&self) -> BTreeSet<StackName> {
        let services = self.services.iter().map(|service| &service.spec.labels);
        let stored = self.secrets.iter().chain(&self.configs).map(|stored| &stored.labels);
        let networks = self.networks.iter().map(|network| &network.labels);
        let ours = services.chain(stored).chain(networks).filter(|labels| is_managed(labels));
        ours.filter_map(|labels| labels.get(labels::NAMESPACE)?.parse().ok()).collect()
    }

    /// Whether anything bears the label of `stack`, whoever made it.
    pub fn has(&self, stack: &StackName) -> bool {
        let services = self.services.iter().map(|service| &service.spec.labels);
        let stored = self.secrets.iter().chain(&self.configs).map(|stored| &stored.labels);
        let mut labels = services.chain(stored).chain(self.networks.iter().map(|network| &network.labels));
        labels.any(|labels| labels.get(labels::NAMESPACE).is_some_and(|of| of == stack.as_str()))
    }

    /// As differences are computed on it.
    pub fn current(&self) -> Current {
        let network = |n: &Network| CurrentNetwork {
            id: n.id.clone(),
            name: n.name.clone(),
            scope: n.scope.clone(),
            driver: n.driver.clone(),
            internal: n.internal,
            attachable: n.attachable,
            options: n.options.clone(),
            subnets: n.subnets.clone(),
            labels: n.labels.clone(),
        };
        let payload = |s: &Stored| CurrentPayload {
            id: s.id.clone(),
            version: s.version,
            name: s.name.clone(),
            labels: s.labels.clone(),
            created: s.created,
            content: s.content.clone(),
        };
        let service = |s: &Service| CurrentService { id: s.id.clone(), version: s.version, spec: s.spec.clone() };
        Current {
            networks: self.networks.iter().map(network).collect(),
            secrets: self.secrets.iter().map(payload).collect(),
            configs: self.configs.iter().map(payload).collect(),
            services: self.services.iter().map(service).collect(),
        }
    }

    pub fn swarm(&self) -> Swarm {
        let count = |wanted: &dyn Fn(&Node) -> bool| {
            u32::try_from(self.nodes.iter().filter(|node| wanted(node)).count()).unwrap_or(u32::MAX)
        };
        Swarm {
            id: self.info.swarm_id.clone(),
            engine_version: self.info.engine_version.clone(),
            managers: count(&|node| node.reachable.is_some()),
            managers_reachable: count(&|node| node.reachable == Some(true)),
            nodes_ready: count(&|node| node.is_ready()),
            nodes_down: count(&|node| !node.is_ready()),
            nodes_drained: count(&|node| node.availability == "drain"),
            error: None,
        }
    }
}

fn is_managed(labels: &BTreeMap<String, String>) -> bool {
    labels.get(labels::MANAGED).is_some_and(|managed| managed == "true")
}
