//! What the simulated Engine's API does: lists, creates, updates, removes, and refuses as the real one would.

use super::state::{Running, State};
use super::{Behaviour, Fake};
use crate::engine::{EngineError, Kind, Network, Service, Stored, Task};
use crate::logins::Login;
use bytes::Bytes;
use std::collections::BTreeSet;
use waggle_model::StackName;
use waggle_stack::ApiVersion;
use waggle_stack::labels;
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::objects::{NetworkSpec, PayloadSpec};
use waggle_stack::release::sha256_hex;

fn out_of_sequence() -> EngineError {
    EngineError::Conflict("rpc error: code = Unknown desc = update out of sequence".into())
}

impl State {
    pub(super) fn list_services(&self) -> Vec<Service> {
        let services = self.services.iter().map(|(id, running)| {
            let ports = running.spec.endpoint_spec.iter().flat_map(|endpoint| &endpoint.ports);
            let ports = ports.map(|p| format!("{}->{}/{}", p.published_port, p.target_port, p.protocol));
            Service {
                id: id.clone(),
                version: running.version,
                spec: running.spec.clone(),
                update: running.status.clone(),
                job_iteration: running.iteration,
                ports: ports.collect(),
            }
        });
        services.collect()
    }

    pub(super) fn list_tasks(&self) -> Vec<Task> {
        let tasks = self.tasks.iter().map(|(id, part)| Task {
            id: id.clone(),
            service: part.service.clone(),
            slot: part.slot.0,
            node: part.node.clone(),
            image: part.spec.container_spec.image.clone(),
            desired: part.desired.into(),
            state: part.state.into(),
            error: part.error.clone(),
            exit_code: part.exit_code,
            job_iteration: part.iteration,
            at: part.at,
            ports: Vec::new(),
            container: if part.running_since.is_some() || part.exit_code.is_some() {
                id.clone()
            } else {
                String::new()
            },
        });
        tasks.collect()
    }

    pub(super) fn up_to_date(&self) -> BTreeSet<String> {
        let current = self.tasks.iter().filter(|(_, part)| {
            self.services.get(&part.service).is_some_and(|running| {
                part.spec == running.spec.task_template && part.endpoint == running.spec.endpoint_spec
            })
        });
        current.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn create_network(&mut self, spec: &NetworkSpec) -> Result<String, EngineError> {
        if self.networks.values().any(|network| network.name == spec.name) {
            return Err(EngineError::Conflict(format!("network with name {} already exists", spec.name)));
        }
        let id = self.next_id("net");
        let network = Network {
            id: id.clone(),
            name: spec.name.clone(),
            scope: "swarm".into(),
            driver: spec.driver.clone(),
            internal: spec.internal,
            attachable: spec.attachable,
            options: spec.options.clone().unwrap_or_default(),
            subnets: spec
                .ipam
                .iter()
                .flat_map(|ipam| &ipam.config)
                .flatten()
                .map(|config| config.subnet.clone())
                .collect(),
            labels: spec.labels.clone(),
        };
        self.networks.insert(id.clone(), network);
        Ok(id)
    }

    pub(super) fn remove_network(&mut self, id: &str) -> Result<(), EngineError> {
        let attached = |spec: &ServiceSpec| spec.task_template.networks.iter().any(|network| network.target == id);
        let by_service = self.services.values().any(|running| attached(&running.spec));
        let by_task = self.tasks.values().any(|t| !t.is_over() && t.spec.networks.iter().any(|n| n.target == id));
        if by_service || by_task {
            return Err(EngineError::Refused(format!("rpc error: network {id} is in use by task or service")));
        }
        self.networks.remove(id).map(drop).ok_or_else(|| EngineError::NotFound(format!("network {id} not found")))
    }

    pub(super) fn create_stored(
        &mut self,
        kind: Kind,
        spec: &PayloadSpec,
        data: &Bytes,
    ) -> Result<String, EngineError> {
        if data.is_empty() {
            return Err(EngineError::Refused("secret data must be larger than 0 and less than 512000 bytes".into()));
        }
        if self.stored.iter().any(|((k, _), stored)| *k == kind && stored.name == spec.name) {
            return Err(EngineError::Conflict(format!("{} already exists", spec.name)));
        }
        let (id, version) = (self.next_id("obj"), self.next_version());
        let content = (kind == Kind::Config).then(|| sha256_hex(data));
        let (name, labels, created) = (spec.name.clone(), spec.labels.clone(), self.now);
        let stored = Stored { id: id.clone(), version, name, labels, created, updated: created, content };
        self.data.insert(id.clone(), data.clone());
        self.stored.insert((kind, id.clone()), stored);

        Ok(id)
    }

    pub(super) fn update_stored(
        &mut self,
        kind: Kind,
        id: &str,
        version: u64,
        spec: &PayloadSpec,
        data: Option<&Bytes>,
    ) -> Result<(), EngineError> {
        let other = |data: &Bytes| self.data.get(id) != Some(data);
        if data.is_some_and(other) {
            return Err(EngineError::Refused(
                "rpc error: code = InvalidArgument desc = only updates to Labels are allowed".into(),
            ));
        }
        let next = self.next_version();
        let stored = self.stored.get_mut(&(kind, id.to_owned()));
        let stored = stored.ok_or_else(|| EngineError::NotFound(format!("{id} not found")))?;
        if stored.version != version {
            return Err(out_of_sequence());
        }
        stored.labels = spec.labels.clone();
        stored.version = next;
        stored.updated = self.now;
        Ok(())
    }

    pub(super) fn remove_stored(&mut self, kind: Kind, id: &str) -> Result<(), EngineError> {
        let key = (kind, id.to_owned());
        let used = self.services.values().find(|running| {
            let container = &running.spec.task_template.container_spec;
            container.secrets.iter().any(|secret| secret.id == id)
                || container.configs.iter().any(|config| config.id == id)
        });
        if let Some(user) = used {
            return Err(EngineError::Refused(format!("{id} is in use by the following service: {}", user.spec.name)));
        }
        self.data.remove(id);
        self.stored.remove(&key).map(drop).ok_or_else(|| EngineError::NotFound(format!("{id} not found")))
    }

    pub(super) fn volumes_of(&self, stack: &StackName, used: bool) -> Vec<String> {
        let is_used = |name: &String| {
            let mut parts = self.tasks.values().filter(|part| !part.is_over());
            parts.any(|part| part.spec.container_spec.mounts.iter().any(|mount| mount.source == *name))
        };
        let of_stack = self.volumes.iter().filter(|(_, of)| *of == stack.as_str()).map(|(name, _)| name);
        of_stack.filter(|name| is_used(name) == used).cloned().collect()
    }

    pub(super) fn health_output(&self, container: &str) -> Option<String> {
        let part = self.tasks.get(container)?;
        let unhealthy = self.behaviour(&part.spec.container_spec.image) == Behaviour::Unhealthy;
        unhealthy.then(|| Fake::HEALTH_OUTPUT.to_owned())
    }

    /// As an ingress port belongs to one service of the swarm.
    fn ports_are_free(&self, spec: &ServiceSpec, own: Option<&str>) -> Result<(), EngineError> {
        let wanted: Vec<_> = ingress(spec).collect();
        for (id, other) in self.services.iter().filter(|(id, _)| own != Some(id.as_str())) {
            if let Some((port, _)) = ingress(&other.spec).find(|port| wanted.contains(port)) {
                let name = &other.spec.name;
                return Err(EngineError::Refused(format!(
                    "rpc error: code = InvalidArgument desc = port '{port}' is already in use by service '{name}' ({id}) as \
                     an ingress port"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn create_service(&mut self, spec: &ServiceSpec) -> Result<String, EngineError> {
        let spec = self.accepted(spec)?;
        self.ports_are_free(&spec, None)?;
        if self.services.values().any(|running| running.spec.name == spec.name) {
            return Err(EngineError::Conflict(
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object".into(),
            ));
        }
        let (id, version) = (self.next_id("svc"), self.next_version());
        let iteration = spec.is_job().then_some(0);
        let running = Running { version, spec, previous: None, status: None, update: None, iteration };
        self.services.insert(id.clone(), running);
        self.settle();
        Ok(id)
    }

    pub(super) fn update_service(&mut self, id: &str, version: u64, spec: &ServiceSpec) -> Result<(), EngineError> {
        let spec = self.accepted(spec)?;
        self.ports_are_free(&spec, Some(id))?;
        let next = self.next_version();
        let conflict = self.conflicts > 0;
        self.conflicts = self.conflicts.saturating_sub(1);
        let service = self.services.get_mut(id);
        let service = service.ok_or_else(|| EngineError::NotFound(format!("service {id} not found")))?;
        if conflict || service.version != version {
            service.version = next;
            return Err(out_of_sequence());
        }
        if service.spec.mode.name() != spec.mode.name() {
            return Err(EngineError::Refused("service mode change is not allowed".into()));
        }
        service.previous = Some(std::mem::replace(&mut service.spec, spec));
        service.version = next;
        service.status = None;
        service.iteration = service.iteration.map(|iteration| iteration + 1);
        self.start_update(id, false);
        self.settle();
        Ok(())
    }

    pub(super) fn renew_login(&mut self, id: &str, login: &Login) -> Result<(), EngineError> {
        let service = self.services.get(id);
        let service = service.ok_or_else(|| EngineError::NotFound(format!("service {id} not found")))?;
        let (version, mut spec) = (service.version, service.spec.clone());
        spec.labels.insert(labels::LOGIN.into(), login.version.to_string());
        self.update_service(id, version, &spec)
    }

    /// Without one the swarm keeps what it has.
    pub(super) fn keep_login(&mut self, id: &str, login: Option<&Login>) {
        if let Some(login) = login {
            self.logins.insert(id.to_owned(), login.version);
        }
    }

    pub(super) fn remove_service(&mut self, id: &str) -> Result<(), EngineError> {
        if self.services.remove(id).is_none() {
            return Err(EngineError::NotFound(format!("service {id} not found")));
        }
        for task in self.tasks_where(|task| task.service == id) {
            self.stop(&task);
        }
        Ok(())
    }

    pub(super) fn meddle(&mut self, service: &str, change: impl FnOnce(&mut ServiceSpec)) {
        let named = self.services.iter().find(|(_, running)| running.spec.name == service);
        let Some((id, mut spec)) = named.map(|(id, running)| (id.clone(), running.spec.clone())) else {
            return;
        };
        change(&mut spec);
        let version = self.services.get(&id).map_or(0, |running| running.version);
        let _ = self.update_service(&id, version, &spec);
    }

    /// The spec as the Engine stores it: networks by id, defaults filled in.
    fn accepted(&self, spec: &ServiceSpec) -> Result<ServiceSpec, EngineError> {
        let mut spec = spec.clone();
        for attachment in &mut spec.task_template.networks {
            let wanted = attachment.target.clone();
            let known = self.networks.values().find(|network| network.name == wanted || network.id == wanted);
            let known = known.ok_or_else(|| EngineError::NotFound(format!("network {wanted} not found")))?;
            attachment.target = known.id.clone();
        }
        let container = &spec.task_template.container_spec;
        let secrets = container.secrets.iter().map(|secret| (Kind::Secret, &secret.id, &secret.name));
        let configs = container.configs.iter().map(|config| (Kind::Config, &config.id, &config.name));
        for (kind, id, name) in secrets.chain(configs) {
            if !self.stored.contains_key(&(kind, id.clone())) {
                return Err(EngineError::Refused(format!("{kind:?} {name} ({id}) not found").to_lowercase()));
            }
        }
        if let Some(check) = spec.task_template.container_spec.healthcheck.as_mut()
            && self.api_version < ApiVersion(1, 44)
        {
            check.start_interval = 0;
        }
        if let Some(replicated) = &mut spec.mode.replicated {
            replicated.replicas.get_or_insert(1);
        }
        if let Some(endpoint) = &mut spec.endpoint_spec {
            fill(&mut endpoint.mode, "vip");
            for port in &mut endpoint.ports {
                fill(&mut port.protocol, "tcp");
                fill(&mut port.publish_mode, "ingress");
            }
        }
        Ok(spec)
    }
}

fn ingress(spec: &ServiceSpec) -> impl Iterator<Item = (u32, &str)> {
    let ports = spec.endpoint_spec.iter().flat_map(|endpoint| &endpoint.ports);
    let ports = ports.filter(|port| port.published_port != 0 && port.publish_mode != "host");
    ports.map(|port| (port.published_port, port.protocol.as_str()))
}

fn fill(text: &mut String, default: &str) {
    if text.is_empty() {
        *text = default.to_owned();
    }
}
