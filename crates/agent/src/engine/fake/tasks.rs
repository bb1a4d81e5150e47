//! Tasks: which there should be, where they run, and what becomes of them.

use super::Behaviour;
use super::state::{HISTORY, Part, Slot, State};
use crate::engine::Node;
use std::collections::BTreeMap;
use std::time::Duration;
use waggle_model::Timestamp;
use waggle_stack::labels::NAMESPACE;
use waggle_stack::objects::service::{ServiceSpec, TaskSpec};

/// Swarm's default pause before a replacement starts.
const RESTART_DELAY: Duration = Duration::from_secs(5);

impl State {
    /// Makes the slots of a service what its spec asks for: surplus ones end, empty ones get a task.
    pub(super) fn orchestrate(&mut self, id: &str) {
        let Some(service) = self.services.get(id) else {
            return;
        };
        let (spec, iteration) = (service.spec.clone(), service.iteration);
        let busy: Vec<Slot> = service.update.as_ref().map(|update| update.slots()).unwrap_or_default();
        let slots = self.slots(&spec);
        let surplus = self.tasks_where(|t| {
            t.service == id && t.is_wanted() && (!slots.contains(&t.slot) || t.iteration != iteration)
        });
        for task in surplus {
            self.stop(&task);
        }
        for slot in slots {
            let of_slot = |t: &Part| t.service == id && t.slot == slot && t.iteration == iteration;
            let taken =
                self.tasks.values().any(|t| of_slot(t) && t.is_wanted() && (!t.is_over() || t.state == "complete"));
            if taken || busy.contains(&slot) {
                continue;
            }
            let ended = self.tasks.values().filter(|t| of_slot(t) && t.is_over() && t.desired != "remove");
            let last = ended.max_by_key(|t| t.at).map(|t| (t.exit_code, t.state, t.desired));
            if let Some((code, state, _)) =
                last.filter(|(_, state, desired)| *desired == "running" || *state == "rejected")
            {
                let failures =
                    self.tasks.values().filter(|t| of_slot(t) && matches!(t.state, "failed" | "rejected")).count();
                if !restarts(&spec, code == Some(0) && state != "rejected", failures) {
                    continue;
                }
                let delay = restart_delay(&spec);
                self.retire(id, &slot);
                self.create_task(id, &slot, delay);
            } else {
                self.create_task(id, &slot, Duration::ZERO);
            }
        }
        self.place();
    }

    /// A task of the service's current spec. It starts after `delay`.
    pub(super) fn create_task(&mut self, service: &str, slot: &Slot, delay: Duration) -> Option<String> {
        let running = self.services.get(service)?;
        let (spec, endpoint) = (running.spec.task_template.clone(), running.spec.endpoint_spec.clone());
        let (iteration, job) = (running.iteration, running.spec.is_job());
        let id = self.next_id("task");
        let due = Some(self.now.after(delay));
        let part = Part {
            service: service.to_owned(),
            slot: slot.clone(),
            node: slot.1.clone(),
            spec,
            endpoint,
            desired: if job { "complete" } else { "running" },
            state: "new",
            error: String::new(),
            exit_code: None,
            iteration,
            at: self.now,
            due,
            running_since: None,
        };
        self.tasks.insert(id.clone(), part);
        self.forget_history(service, slot);
        Some(id)
    }

    /// Asks a task to end.
    pub(super) fn stop(&mut self, id: &str) {
        let due = self.soon(self.timing.stop);
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        task.desired = "shutdown";
        if !task.is_over() {
            task.due = Some(due);
        }
    }

    /// Ended tasks of a slot are wanted no more: their replacement is.
    fn retire(&mut self, service: &str, slot: &Slot) {
        let ended = self.tasks.values_mut().filter(|t| t.service == service && t.slot == *slot && t.is_over());
        ended.for_each(|task| task.desired = "shutdown");
    }

    fn forget_history(&mut self, service: &str, slot: &Slot) {
        let ended = self.tasks_where(|t| t.service == service && t.slot == *slot && t.is_over() && !t.is_wanted());
        for id in ended.iter().take(ended.len().saturating_sub(HISTORY)) {
            self.tasks.remove(id);
        }
    }

    pub(super) fn leave_node(&mut self, node: &str) {
        let now = self.now;
        for task in self.tasks.values_mut().filter(|task| task.node == node && !task.is_over()) {
            task.desired = "shutdown";
            task.due = Some(now.after(Duration::from_secs(24 * 3600)));
        }
    }

    pub(super) fn kill(&mut self, service: &str, code: i64) -> usize {
        let named = self.services.iter().find(|(_, running)| running.spec.name == service);
        let Some(id) = named.map(|(id, _)| id.clone()) else {
            return 0;
        };
        let running = self.tasks_where(|t| t.service == id && t.state == "running");
        for task in &running {
            self.exit(task, code);
        }
        self.settle();
        running.len()
    }

    /// Gives tasks without a node one, if any fits.
    fn place(&mut self) {
        let waiting = self.tasks_where(|task| matches!(task.state, "new" | "pending") && task.is_wanted());
        for id in waiting {
            let Some(task) = self.tasks.get(&id) else { continue };
            let (mut fitting, mut unfit) = (Vec::new(), BTreeMap::<&str, usize>::new());
            for node in self.nodes.values() {
                match self.unfit(task, node) {
                    None => fitting.push(node),
                    Some(why) => *unfit.entry(why).or_default() += 1,
                }
            }
            let load = |node: &str| self.tasks.values().filter(|t| t.node == node && !t.is_over()).count();
            let chosen =
                fitting.into_iter().min_by_key(|node| (load(&node.id), node.id.clone())).map(|node| node.id.clone());
            let nodes = |count: &usize| if *count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
            let said: Vec<String> = unfit.iter().map(|(why, count)| format!("{why} on {}", nodes(count))).collect();
            let (now, due) = (self.now, task.due.unwrap_or(self.now).max(self.now));
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            match chosen {
                Some(node) => {
                    task.node = node;
                    task.error.clear();
                    (task.state, task.at, task.due) = ("assigned", now, Some(due));
                }
                None => {
                    task.error = format!("no suitable node ({})", said.join("; "));
                    (task.state, task.due) = ("pending", None);
                }
            }
        }
    }

    /// Why a node cannot take a task, in Swarm's words (moby/swarmkit: manager/scheduler/filter.go).
    fn unfit(&self, task: &Part, node: &Node) -> Option<&'static str> {
        let others = || self.tasks.values().filter(|other| other.node == node.id && !other.is_over());
        let reserved = |spec: &TaskSpec| {
            let reservations = spec.resources.as_ref().and_then(|resources| resources.reservations.as_ref());
            reservations.map_or(0, |reservation| reservation.memory_bytes)
        };
        let taken: i64 = others().map(|other| reserved(&other.spec)).sum();
        let memory = self.memory.get(&node.name).copied().unwrap_or(i64::MAX);
        let host_ports = |part: &Part| -> Vec<(u32, String)> {
            let ports = part.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
            let ports = ports.filter(|port| port.publish_mode == "host" && port.published_port != 0);
            ports.map(|port| (port.published_port, port.protocol.clone())).collect()
        };
        let ports = host_ports(task);
        let limit = task.spec.placement.as_ref().map_or(0, |placement| placement.max_replicas);
        let alike = others().filter(|other| other.service == task.service).count() as u64;
        if !node.is_ready() || node.availability != "active" {
            Some("not available for new tasks")
        } else if !(task.node.is_empty() || task.node == node.id) || !satisfies(&task.spec, node) {
            Some("scheduling constraints not satisfied")
        } else if reserved(&task.spec) > memory.saturating_sub(taken) {
            Some("insufficient resources")
        } else if others().any(|other| host_ports(other).iter().any(|port| ports.contains(port))) {
            Some("host-mode port already in use")
        } else if limit > 0 && alike >= limit {
            Some("max replicas per node limit exceed")
        } else {
            None
        }
    }

    /// Everything that is due for tasks now.
    pub(super) fn task_events(&mut self) {
        let now = self.now;
        for id in self.tasks_where(|task| task.due.is_some_and(|due| due <= now)) {
            self.task_event(&id);
        }
    }

    fn task_event(&mut self, id: &str) {
        let Some(task) = self.tasks.get(id) else { return };
        let (state, image) = (task.state, task.spec.container_spec.image.clone());
        let (wanted, job) = (task.is_wanted(), task.desired == "complete");
        let behaviour = self.behaviour(&image);
        if !wanted {
            return self.turn(id, "shutdown", None);
        }
        match (state, behaviour) {
            ("assigned", _) => {
                let due = self.soon(self.timing.prepare);
                self.turn(id, "preparing", Some(due));
            }
            ("preparing", Behaviour::Hangs) => self.turn(id, "preparing", None),
            ("preparing", Behaviour::Missing) => {
                self.turn(id, "rejected", None);
                self.explain(id, format!("No such image: {image}"), None);
            }
            ("preparing", _) => {
                self.make_volumes(id);
                let due = self.soon(self.timing.start);
                self.turn(id, "starting", Some(due));
            }
            ("starting", Behaviour::Unhealthy) => {
                self.turn(id, "failed", None);
                self.explain(id, "task: non-zero exit (137): dockerexec: unhealthy container".into(), Some(137));
            }
            ("starting", behaviour) => {
                let end = match behaviour {
                    Behaviour::Exits { after, .. } => Some(self.soon(after)),
                    _ if job => Some(self.soon(self.timing.job)),
                    _ => None,
                };
                self.turn(id, "running", end);
            }
            ("running", Behaviour::Exits { code, .. }) => self.exit(id, code),
            ("running", _) if job => self.exit(id, 0),
            _ => self.turn(id, state, None),
        }
    }

    fn make_volumes(&mut self, id: &str) {
        let Some(task) = self.tasks.get(id) else { return };
        for mount in task.spec.container_spec.mounts.iter().filter(|mount| mount.kind != "bind") {
            let labels = mount.volume_options.iter().flat_map(|options| &options.labels);
            let stack = labels.into_iter().find(|(key, _)| *key == NAMESPACE).map(|(_, stack)| stack.clone());
            self.volumes.insert(mount.source.clone(), stack.unwrap_or_default());
        }
    }

    fn exit(&mut self, id: &str, code: i64) {
        self.turn(id, if code == 0 { "complete" } else { "failed" }, None);
        let error = if code == 0 { String::new() } else { format!("task: non-zero exit ({code})") };
        self.explain(id, error, Some(code));
    }

    fn turn(&mut self, id: &str, state: &'static str, due: Option<Timestamp>) {
        self.changed();
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(id) {
            (task.state, task.at, task.due) = (state, now, due);
            if state == "running" {
                task.running_since = Some(now);
            }
        }
    }

    fn explain(&mut self, id: &str, error: String, code: Option<i64>) {
        if let Some(task) = self.tasks.get_mut(id) {
            (task.error, task.exit_code) = (error, code);
        }
    }

    fn slots(&self, spec: &ServiceSpec) -> Vec<Slot> {
        let mode = &spec.mode;
        if mode.global.is_some() || mode.global_job.is_some() {
            let usable = self.nodes.values().filter(|n| n.is_ready() && n.availability == "active");
            let usable = usable.filter(|node| satisfies(&spec.task_template, node));
            return usable.map(|node| (0, node.id.clone())).collect();
        }
        let job = mode.replicated_job.as_ref().map(|job| job.total_completions.unwrap_or(1));
        let replicas = mode.replicated.as_ref().and_then(|replicated| replicated.replicas).unwrap_or(1);
        (1..=job.unwrap_or(replicas)).map(|slot| (slot, String::new())).collect()
    }
}

fn restarts(spec: &ServiceSpec, went_well: bool, failures: usize) -> bool {
    if spec.is_job() && went_well {
        return false;
    }
    let Some(policy) = &spec.task_template.restart_policy else {
        return true;
    };
    let attempts = policy.max_attempts.unwrap_or(0);
    let allowed = attempts == 0 || (failures as u64) <= attempts;
    match policy.condition.as_str() {
        "none" => false,
        "on-failure" => !went_well && allowed,
        _ => allowed,
    }
}

fn restart_delay(spec: &ServiceSpec) -> Duration {
    let delay = spec.task_template.restart_policy.as_ref().and_then(|policy| policy.delay);
    delay.map_or(RESTART_DELAY, |ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
}

/// `node.hostname`, `node.id` and `node.role`; any other constraint is not satisfied.
fn satisfies(spec: &TaskSpec, node: &crate::engine::Node) -> bool {
    let constraints = spec.placement.iter().flat_map(|placement| &placement.constraints);
    constraints.into_iter().all(|constraint| {
        let equal = constraint.split_once("==").map(|(key, value)| (key, value, true));
        let Some((key, value, wanted)) = equal.or_else(|| constraint.split_once("!=").map(|(k, v)| (k, v, false)))
        else {
            return false;
        };
        let have = match key.trim() {
            "node.hostname" => node.name.as_str(),
            "node.id" => node.id.as_str(),
            "node.role" if node.reachable.is_some() => "manager",
            "node.role" => "worker",
            _ => return false,
        };
        (have == value.trim()) == wanted
    })
}
