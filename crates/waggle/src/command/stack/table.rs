//! Stacks, services and tasks for people.

use crate::output::{Cell, Style, Table, age, cut};
use waggle_control::api::types::{StackServices, StackView};
use waggle_model::observed::{ObservedService, ObservedTask};
use waggle_model::{StackName, Timestamp};

pub fn table(stacks: &[StackView]) -> Table {
    let mut table = Table::new(&["STACK", "SERVICES", "ROUTES", "RELEASE", "UP TO DATE", "ROLLOUT"]);
    for stack in stacks {
        let style = if stack.converged == stack.clusters { Style::Good } else { Style::Warning };
        let routes: Vec<&str> = stack.routes.iter().map(|name| name.as_str()).collect();
        table.row([
            stack.name.as_str().into(),
            stack.services.to_string().into(),
            routes.join(", ").into(),
            stack.release.map(|id| id.short()).unwrap_or_default().into(),
            Cell::new(format!("{}/{}", stack.converged, stack.clusters), style),
            match (stack.removing, stack.rollout) {
                (true, _) => Cell::new("being removed", Style::Warning),
                (false, Some(id)) => id.to_string().into(),
                (false, None) => "".into(),
            },
        ]);
    }
    table
}

pub fn services(stack: &StackName, services: &StackServices) -> Table {
    let mut table = Table::new(&["CLUSTER", "ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]);
    for (cluster, services) in &services.clusters {
        for (name, service) in services {
            table.row([
                cluster.as_str().into(),
                short(&service.id).into(),
                format!("{stack}_{name}").into(),
                service.mode.as_str().into(),
                replicas(service),
                tag(&service.image).into(),
                service.ports.join(", ").into(),
            ]);
        }
    }
    table
}

pub fn tasks(stack: &StackName, services: &StackServices, now: Timestamp) -> Table {
    let headings = ["CLUSTER", "ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR"];
    let mut table = Table::new(&headings);
    for (cluster, services) in &services.clusters {
        for (name, service) in services {
            for task in &service.tasks {
                let which = if task.slot == 0 { task.node.clone() } else { task.slot.to_string() };
                table.row([
                    cluster.as_str().into(),
                    short(&task.id).into(),
                    format!("{stack}_{name}.{which}").into(),
                    tag(&task.image).into(),
                    task.node.as_str().into(),
                    capital(&task.desired_state).into(),
                    current(task, now),
                    Cell::new(cut(task.error.as_deref().unwrap_or_default()), Style::Bad),
                ]);
            }
        }
    }
    table
}

fn replicas(service: &ObservedService) -> Cell {
    let style = if service.running >= service.desired { Style::Good } else { Style::Bad };
    let update = service.update.as_deref().filter(|update| *update != "completed");
    let update = update.map(|update| format!(" ({update})")).unwrap_or_default();
    Cell::new(format!("{}/{}{update}", service.running, service.desired), style)
}

fn current(task: &ObservedTask, now: Timestamp) -> Cell {
    let style = match task.state.as_str() {
        "running" | "complete" => Style::Good,
        "failed" | "rejected" | "orphaned" => Style::Bad,
        _ => Style::Plain,
    };
    Cell::new(format!("{} {}", capital(&task.state), age::ago(now, task.at).to_lowercase()), style)
}

/// First twelve characters, as docker shows ids.
fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// An image without its digest.
fn tag(image: &str) -> &str {
    image.split_once('@').map_or(image, |(tag, _)| tag)
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services_of_shop() -> StackServices {
        serde_json::from_value(serde_json::json!({"clusters": {"eu-1": {"web": {
            "id": "abcdefghijklmnop", "image": "nginx:1.27@sha256:00", "mode": "replicated", "desired": 2, "running": 1,
            "update": "updating", "ports": ["*:80->80/tcp"],
            "tasks": [{"id": "t1", "slot": 1, "node": "n1", "image": "nginx:1.27@sha256:00", "desired_state": "running",
                       "state": "failed", "error": "exit 1", "at": 1000}]
        }}}}))
        .unwrap()
    }

    #[test]
    fn services_and_tasks() {
        let shop: StackName = "shop".parse().unwrap();
        let want = "CLUSTER   ID             NAME       MODE         REPLICAS         IMAGE        PORTS\n\
                    eu-1      abcdefghijkl   shop_web   replicated   1/2 (updating)   nginx:1.27   *:80->80/tcp\n";
        assert_eq!(services(&shop, &services_of_shop()).render(false), want);
        let want = "CLUSTER   ID   NAME         IMAGE        NODE   DESIRED STATE   CURRENT STATE          ERROR\n\
                    eu-1      t1   shop_web.1   nginx:1.27   n1     Running         Failed 9 seconds ago   exit 1\n";
        assert_eq!(tasks(&shop, &services_of_shop(), Timestamp(10_000)).render(false), want);
    }
}
