//! Routes for people.

use crate::output::{Cell, Style, Table, age};
use waggle_control::api::types::{RouteCluster, RouteState, RouteSummary, RouteView};
use waggle_model::health::Verdict;
use waggle_model::plan::EndpointVerdict;
use waggle_model::{NameserverName, Timestamp};

/// A row per cluster of each route.
pub fn table(routes: &[RouteSummary]) -> Table {
    let mut table = Table::new(&["ROUTE", "STACK", "POLICY", "TTL", "CLUSTER", "ANSWERS/S", "STATE"]);
    for route in routes {
        for (name, cluster) in &route.clusters {
            table.row([
                route.name.as_str().into(),
                route.stack.as_str().into(),
                route.policy.to_string().into(),
                format!("{} s", route.ttl).into(),
                name.as_str().into(),
                rate(cluster.answers).into(),
                state(cluster),
            ]);
        }
    }
    table
}

/// Routes that are asked for, in few columns.
pub fn traffic(routes: &[RouteSummary]) -> Table {
    let mut table = Table::new(&["ROUTE", "CLUSTER", "ANSWERS/S", "STATE"]);
    for route in routes {
        for (name, cluster) in &route.clusters {
            let (route, rate) = (route.name.as_str(), rate(cluster.answers));
            table.row([route.into(), name.as_str().into(), rate.into(), state(cluster)]);
        }
    }
    table
}

/// One route on many lines.
pub fn details(view: &RouteView, now: Timestamp, colour: bool) -> String {
    let route = &view.route;
    let mut head = Table::plain();
    let mut line = |name: &str, value: Cell| head.row([format!("{name}:").into(), value]);
    line("Route", route.name.as_str().into());
    line("Stack", route.stack.as_str().into());
    line("Policy", route.policy.to_string().into());
    line("TTL", format!("{} s", route.ttl).into());
    let check = view.check.as_ref().map(ToString::to_string);
    line("Check", check.map_or(Cell::new("none: only agents say what is fit", Style::Warning), Cell::from));
    line("All down", view.all_down.to_string().into());
    if route.all_down {
        line("", Cell::new("no cluster is in and fit: this is answered now", Style::Bad));
    }
    let since = age::ago(now, view.plan_issued_at).to_lowercase();
    line("Route plan", format!("{}, since {since}", view.plan_generation).into());
    let mut text = head.render(colour);
    for table in [pool(view), verdicts(view), orders(view), clients(view)].into_iter().flatten() {
        text += &format!("\n{}", table.render(colour));
    }
    text
}

fn pool(view: &RouteView) -> Option<Table> {
    let mut table = Table::new(&["CLUSTER", "ADDRESSES", "RELEASE", "ANSWERS/S", "DEMAND/S", "STATE"]);
    for endpoint in &view.pool {
        let Some(cluster) = view.route.clusters.get(&endpoint.cluster) else { continue };
        let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
        table.row([
            endpoint.cluster.as_str().into(),
            addresses.join(", ").into(),
            endpoint.release.map(|release| release.short()).unwrap_or_default().into(),
            rate(cluster.answers).into(),
            rate(cluster.demand).into(),
            state(cluster),
        ]);
    }
    Some(table)
}

fn verdicts(view: &RouteView) -> Option<Table> {
    let mut table = Table::new(&["NAMESERVER", "CLUSTER", "VERDICT", "PROBE", "SERVES", "NOTE"]);
    for endpoint in &view.pool {
        for (nameserver, said) in &endpoint.verdicts {
            table.row(verdict(nameserver, said));
        }
    }
    view.pool.iter().any(|endpoint| !endpoint.verdicts.is_empty()).then_some(table)
}

fn verdict(nameserver: &NameserverName, said: &EndpointVerdict) -> [Cell; 6] {
    let (word, style, why) = match &said.verdict {
        Verdict::Fit => ("fit", Style::Good, ""),
        Verdict::Unfit(why) => ("unfit", Style::Bad, why.as_str()),
        Verdict::Unknown => ("unknown", Style::Warning, "the last good verdict goes on counting"),
    };
    let probe = match said.probe_up {
        Some(true) => Cell::new("up", Style::Good),
        Some(false) => Cell::new("down", Style::Bad),
        None => "".into(),
    };
    let limited = said.limited.as_ref().map(ToString::to_string);
    [
        nameserver.as_str().into(),
        said.cluster.as_str().into(),
        Cell::new(word, style),
        probe,
        said.release.map(|release| release.short()).unwrap_or_default().into(),
        limited.unwrap_or_else(|| why.to_owned()).into(),
    ]
}

fn orders(view: &RouteView) -> Option<Table> {
    let mut table = Table::new(&["CLIENTS PREFER", "QUESTIONS/S"]);
    for order in &view.orders {
        let clusters: Vec<_> = order.clusters.iter().map(|cluster| cluster.as_str()).collect();
        let text = if clusters.is_empty() { "by weight".to_owned() } else { clusters.join(", ") };
        table.row([text.into(), rate(Some(order.per_second)).into()]);
    }
    (!view.orders.is_empty()).then_some(table)
}

fn clients(view: &RouteView) -> Option<Table> {
    let mut table = Table::new(&["BUSIEST CLIENTS", "QUESTIONS LATELY"]);
    for client in &view.clients {
        table.row([client.prefix.to_string().into(), client.questions.to_string().into()]);
    }
    (!view.clients.is_empty()).then_some(table)
}

fn state(cluster: &RouteCluster) -> Cell {
    let at = |names: &[NameserverName]| match names {
        [] => String::new(),
        names => format!(" ({} only)", names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")),
    };
    match &cluster.state {
        RouteState::Answered => Cell::new("answered", Style::Good),
        RouteState::Unknown => Cell::new("not known to a nameserver", Style::Warning),
        RouteState::Limited { percent, why, at: names } => {
            let why = why.rsplit(": ").next().unwrap_or(why);
            Cell::new(format!("limited to {percent} %: {why}{}", at(names)), Style::Warning)
        }
        RouteState::HeldBack { why, at: names } => Cell::new(format!("{why}{}", at(names)), Style::Warning),
        RouteState::Unfit { why, at: names } => Cell::new(format!("unfit: {why}{}", at(names)), Style::Bad),
        RouteState::Drained { reason } => Cell::new(format!("drained: {reason}"), Style::Warning),
    }
}

/// One digit after the point as long as it says something.
fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => String::new(),
        Some(rate) if rate > 0.0 && rate < 0.1 => "<0.1".to_owned(),
        Some(rate) if rate > 0.0 && rate < 99.95 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view() -> RouteView {
        serde_json::from_value(json!({
            "route": {
                "name": "www.shop.example", "stack": "shop", "policy": {"failover": ["eu-1", "us-1"]}, "ttl": 5,
                "all_down": false,
                "clusters": {
                    "ap-1": {"state": {"unfit": {"why": "refused", "at": ["ns2"]}}, "answers": 0.0, "demand": 12.34},
                    "eu-1": {"state": "answered", "answers": 250.4, "demand": 0.04},
                    "us-1": {"state": {"limited": {"percent": 30, "why": "takes 30 %: its capacity", "at": []}},
                             "answers": null, "demand": null},
                },
            },
            "check": {"kind": {"http": {"path": "/health"}}, "port": 80},
            "all_down": "last_good",
            "pool": [
                {"cluster": "ap-1", "addresses": ["192.0.2.3"], "release": "ab".repeat(32), "drained": null,
                 "verdicts": {"ns2": {"route": "www.shop.example", "cluster": "ap-1", "verdict": {"unfit": "refused"},
                              "probe_up": false, "release": null}}},
                {"cluster": "eu-1", "addresses": ["192.0.2.1", "2001:db8::1"], "release": null, "drained": null,
                 "verdicts": {}},
            ],
            "orders": [{"clusters": ["eu-1", "ap-1"], "per_second": 7.0}, {"clusters": [], "per_second": 1.0}],
            "clients": [{"prefix": "198.51.100.0/24", "questions": 300}],
            "plan_generation": 12, "plan_issued_at": 0,
        }))
        .unwrap()
    }

    #[test]
    fn every_cluster_has_a_row() {
        let want = "\
ROUTE              STACK   POLICY                TTL   CLUSTER   ANSWERS/S   STATE
www.shop.example   shop    failover eu-1, us-1   5 s   ap-1      0           unfit: refused (ns2 only)
www.shop.example   shop    failover eu-1, us-1   5 s   eu-1      250         answered
www.shop.example   shop    failover eu-1, us-1   5 s   us-1                  limited to 30 %: its capacity
";
        assert_eq!(table(&[view().route]).render(false), want);
    }

    #[test]
    fn one_route_tells_everything() {
        let want = "\
Route:        www.shop.example
Stack:        shop
Policy:       failover eu-1, us-1
TTL:          5 s
Check:        http /health on port 80 every 500 ms, 400 ms at most
All down:     last_good
Route plan:   12, since 9 seconds ago

CLUSTER   ADDRESSES                RELEASE        ANSWERS/S   DEMAND/S   STATE
ap-1      192.0.2.3                abababababab   0           12.3       unfit: refused (ns2 only)
eu-1      192.0.2.1, 2001:db8::1                  250         <0.1       answered

NAMESERVER   CLUSTER   VERDICT   PROBE   SERVES   NOTE
ns2          ap-1      unfit     down             refused

CLIENTS PREFER   QUESTIONS/S
eu-1, ap-1       7.0
by weight        1.0

BUSIEST CLIENTS   QUESTIONS LATELY
198.51.100.0/24   300
";
        assert_eq!(details(&view(), Timestamp(9_000), false), want);
    }
}
