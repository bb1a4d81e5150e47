//! Rows of the clusters in docker's columns and words, with the cluster in front.

use crate::output::{Cell, Style, Table, age, cut};
use waggle_model::ask::{NodeRow, ServiceRow, StoredRow, TaskRow};
use waggle_model::{ClusterName, Timestamp};

pub fn services(rows: &[(ClusterName, ServiceRow)]) -> Table {
    let mut table = Table::new(&["CLUSTER", "ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]);
    for (cluster, row) in rows {
        table.row([
            cluster.as_str().into(),
            short(&row.id).into(),
            row.name.as_str().into(),
            mode(&row.mode).into(),
            replicas(row.running, row.desired, row.update.as_deref()),
            tag(&row.image).into(),
            ports(&row.ports).into(),
        ]);
    }
    table
}

pub fn tasks(rows: &[(ClusterName, TaskRow)], now: Timestamp) -> Table {
    let headings = ["CLUSTER", "ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"];
    let mut table = Table::new(&headings);
    let mut before = None;
    for (cluster, row) in rows {
        // Earlier tasks of the same slot hang below the newest.
        let again = before.replace((cluster, &row.name)) == Some((cluster, &row.name));
        let name = if again { format!(" \\_ {}", row.name) } else { row.name.clone() };
        table.row([
            cluster.as_str().into(),
            short(&row.id).into(),
            name.into(),
            tag(&row.image).into(),
            row.node.as_str().into(),
            capital(&row.desired_state).into(),
            current(&row.state, row.at, now),
            Cell::new(cut(row.error.as_deref().unwrap_or_default()), Style::Bad),
            ports(&row.ports).into(),
        ]);
    }
    table
}

pub fn nodes(rows: &[(ClusterName, NodeRow)]) -> Table {
    let headings = ["CLUSTER", "ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"];
    let mut table = Table::new(&headings);
    for (cluster, row) in rows {
        let status = if row.status == "ready" { Style::Good } else { Style::Bad };
        let availability = if row.availability == "active" { Style::Plain } else { Style::Warning };
        let manager = row.manager.as_deref().unwrap_or_default();
        let manager_style = if manager == "unreachable" { Style::Bad } else { Style::Plain };
        table.row([
            cluster.as_str().into(),
            row.id.as_str().into(),
            row.hostname.as_str().into(),
            Cell::new(capital(&row.status), status),
            Cell::new(capital(&row.availability), availability),
            Cell::new(capital(manager), manager_style),
            row.engine_version.as_str().into(),
        ]);
    }
    table
}

pub fn secrets(rows: &[(ClusterName, StoredRow)], now: Timestamp) -> Table {
    let mut table = Table::new(&["CLUSTER", "ID", "NAME", "DRIVER", "CREATED", "UPDATED"]);
    for (cluster, row) in rows {
        let (created, updated) = (age::ago(now, row.created), age::ago(now, row.updated));
        let name = row.name.as_str().into();
        table.row([cluster.as_str().into(), row.id.as_str().into(), name, "".into(), created.into(), updated.into()]);
    }
    table
}

pub fn configs(rows: &[(ClusterName, StoredRow)], now: Timestamp) -> Table {
    let mut table = Table::new(&["CLUSTER", "ID", "NAME", "CREATED", "UPDATED"]);
    for (cluster, row) in rows {
        let (created, updated) = (age::ago(now, row.created), age::ago(now, row.updated));
        table.row([
            cluster.as_str().into(),
            row.id.as_str().into(),
            row.name.as_str().into(),
            created.into(),
            updated.into(),
        ]);
    }
    table
}

/// First twelve characters, as docker shows ids.
pub fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

pub fn replicas(running: u64, desired: u64, update: Option<&str>) -> Cell {
    let style = if running >= desired { Style::Good } else { Style::Bad };
    let update = update.filter(|update| *update != "completed");
    let update = update.map(|update| format!(" ({update})")).unwrap_or_default();
    Cell::new(format!("{running}/{desired}{update}"), style)
}

/// An image without its digest.
fn tag(image: &str) -> &str {
    image.split_once('@').map_or(image, |(tag, _)| tag)
}

fn ports(ports: &[String]) -> String {
    let star = |port: &String| if port.starts_with('*') { port.clone() } else { format!("*:{port}") };
    ports.iter().map(star).collect::<Vec<_>>().join(", ")
}

/// docker's words for jobs have a space.
fn mode(mode: &str) -> String {
    mode.replace("-job", " job")
}

fn current(state: &str, at: Timestamp, now: Timestamp) -> Cell {
    let style = match state {
        "running" | "complete" => Style::Good,
        "failed" | "rejected" | "orphaned" => Style::Bad,
        _ => Style::Plain,
    };
    Cell::new(format!("{} {}", capital(state), age::ago(now, at).to_lowercase()), style)
}

pub fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Vec<(ClusterName, T)> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn services_look_as_docker_shows_them() {
        let rows = rows(json!([["eu-1", {
            "id": "abcdefghijklmnop", "name": "shop_web", "stack": "shop", "managed": true, "mode": "replicated",
            "desired": 2, "running": 1, "image": "nginx:1.27@sha256:00", "ports": ["80->80/tcp"], "update": "updating"
        }]]));
        let want = "CLUSTER   ID             NAME       MODE         REPLICAS         IMAGE        PORTS\n\
                    eu-1      abcdefghijkl   shop_web   replicated   1/2 (updating)   nginx:1.27   *:80->80/tcp\n";
        assert_eq!(services(&rows).render(false), want);
    }

    #[test]
    fn tasks_that_were_replaced_hang_below() {
        let task = |id: &str, state: &str, error: Option<&str>| {
            json!(["eu-1", { "id": id, "name": "shop_web.1", "service": "shop_web", "image": "nginx:1.27", "node": "n1",
                "desired_state": if state == "running" { "running" } else { "shutdown" }, "state": state, "at": 1000,
                "error": error, "ports": [] }])
        };
        let rows = rows(json!([task("t2", "running", None), task("t1", "failed", Some("exit 1"))]));
        let want = "\
CLUSTER   ID   NAME             IMAGE        NODE   DESIRED STATE   CURRENT STATE           ERROR    PORTS
eu-1      t2   shop_web.1       nginx:1.27   n1     Running         Running 9 seconds ago
eu-1      t1    \\_ shop_web.1   nginx:1.27   n1     Shutdown        Failed 9 seconds ago    exit 1
";
        assert_eq!(tasks(&rows, Timestamp(10_000)).render(false), want);
    }

    #[test]
    fn nodes_and_what_is_stored() {
        let node = json!([["eu-1", { "id": "n1id", "hostname": "n1", "status": "ready", "availability": "drain",
            "manager": "leader", "engine_version": "20.10.24" }]]);
        let want = "CLUSTER   ID     HOSTNAME   STATUS   AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n\
                    eu-1      n1id   n1         Ready    Drain          Leader           20.10.24\n";
        assert_eq!(nodes(&rows(node)).render(false), want);
        let stored = json!([["eu-1", { "id": "s1", "name": "shop_key", "stack": null, "managed": false, "created": 0,
            "updated": 5000 }]]);
        let want = "CLUSTER   ID   NAME       DRIVER   CREATED          UPDATED\n\
                    eu-1      s1   shop_key            10 seconds ago   5 seconds ago\n";
        assert_eq!(secrets(&rows(stored), Timestamp(10_000)).render(false), want);
    }
}
