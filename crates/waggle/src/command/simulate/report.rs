//! A simulated outage for people.

use crate::output::table::clean;
use crate::output::{Cell, Style, Table};
use std::fmt::Write;
use waggle_control::api::types::OutageView;
use waggle_model::outage::{Basis, ClusterOutage, Flow, Outage, RouteOutage};

/// Routes shown: those of which most moves; JSON has all.
const ROUTES_SHOWN: usize = 20;

pub fn text(view: &OutageView, colour: bool) -> String {
    let outage = &view.outage;
    let lost: Vec<&str> = outage.lost.iter().map(|cluster| cluster.as_str()).collect();
    let mut text = format!(
        "Without {}, {} of {:.1} questions/s would get another answer{}.\n",
        lost.join(", "),
        percent(outage.moved),
        outage.per_second,
        if view.at_rate == 1.0 { String::new() } else { format!(", at {} times the present rate", view.at_rate) },
    );
    for flow in &outage.flows {
        let _ = writeln!(text, "  {flow}: {}", percent(flow.share));
    }
    let _ = write!(text, "\n{}\n{}", clusters(outage).render(colour), routes(outage, colour));
    text.push('\n');
    for broken in &outage.broken {
        let _ = writeln!(text, "{} {}", Style::Bad.paint("BREAKS", colour), clean(&broken.to_string()));
    }
    for note in &outage.notes {
        let _ = writeln!(text, "{} {}", Style::Warning.paint("note", colour), clean(&note.to_string()));
    }
    if outage.broken.is_empty() {
        let _ = writeln!(text, "{}", Style::Good.paint("Nothing breaks.", colour));
    }
    text + &sources(view)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn clusters(outage: &Outage) -> Table {
    let mut table = Table::new(&["CLUSTER", "ANSWERS/S", "THEN", "CAPACITY", "LOAD"]);
    for (name, cluster) in &outage.clusters {
        let ClusterOutage { before, after, capacity } = cluster;
        let then = if outage.lost.contains(name) {
            Cell::new("lost", Style::Faint)
        } else {
            Cell::from(format!("{after:.1}"))
        };
        let load = capacity.map(|capacity| after / f64::from(capacity.max(1)));
        let style = load.map_or(Style::Plain, |load| if load > 1.02 { Style::Bad } else { Style::Plain });
        table.row([
            name.as_str().into(),
            format!("{before:.1}").into(),
            then,
            capacity.map(|capacity| capacity.to_string()).unwrap_or_default().into(),
            Cell::new(load.map(|load| format!("{:.0} %", load * 100.0)).unwrap_or_default(), style),
        ]);
    }
    table
}

fn routes(outage: &Outage, colour: bool) -> String {
    let mut table = Table::new(&["ROUTE", "QUESTIONS/S", "MOVED", "TO", "LEFT", "NOTICED", "TTL", "BASIS"]);
    let mut routes: Vec<_> = outage.routes.iter().collect();
    routes.sort_by(|a, b| (b.1.moved * b.1.per_second).total_cmp(&(a.1.moved * a.1.per_second)).then(a.0.cmp(b.0)));
    for (name, route) in routes.iter().take(ROUTES_SHOWN) {
        let basis = match route.basis {
            Basis::Samples => Cell::from("samples"),
            Basis::Demand => Cell::new("demand", Style::Warning),
            Basis::Weights => Cell::new("weights", Style::Warning),
        };
        table.row([
            name.as_str().into(),
            format!("{:.1}", route.per_second).into(),
            percent(route.moved).into(),
            destinations(route).into(),
            route.left.to_string().into(),
            route.noticed_ms.map_or("never".to_owned(), |time| format!("{:.1}s", time as f64 / 1000.0)).into(),
            format!("{}s", route.ttl).into(),
            basis,
        ]);
    }
    let mut text = table.render(colour);
    if routes.len() > ROUTES_SHOWN {
        let _ = writeln!(text, "and {} more routes; --format json has all", routes.len() - ROUTES_SHOWN);
    }
    text
}

fn destinations(route: &RouteOutage) -> String {
    let mut to: Vec<(&str, f64)> = Vec::new();
    for Flow { to: cluster, share, .. } in &route.flows {
        let name = cluster.as_ref().map_or("nobody", |cluster| cluster.as_str());
        match to.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += share,
            None => to.push((name, *share)),
        }
    }
    to.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    to.iter().map(|(name, share)| format!("{name} {}", percent(*share))).collect::<Vec<_>>().join(", ")
}

/// What all this is known from.
fn sources(view: &OutageView) -> String {
    let mut text = String::new();
    let basis = |basis| view.outage.routes.values().filter(|route| route.basis == basis).count();
    if view.samples > 0 {
        let names: Vec<&str> = view.nameservers.iter().map(|name| name.as_str()).collect();
        let seconds = view.window_ms / 1000;
        let _ = writeln!(text, "from {} sampled queries of {} within {seconds} s", view.samples, names.join(", "));
    } else {
        text += "no query was sampled lately\n";
    }
    for other in [Basis::Demand, Basis::Weights] {
        match basis(other) {
            0 => {}
            1 => text += &format!("1 route by {other}\n"),
            count => text += &format!("{count} routes by {other}\n"),
        }
    }
    let whose = view.verdicts_of.as_ref().map(|name| format!(", verdicts of {name}")).unwrap_or_default();
    text + &format!("route plan {}{whose}\n", view.plan_generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_says_who_moves_what_breaks_and_what_it_is_known_from() {
        let share = |from: &str, to: serde_json::Value, share: f64| json!({ "from": from, "to": to, "share": share });
        let flows = json!([share("eu-1", json!("us-1"), 0.3), share("eu-1", json!(null), 0.1)]);
        let view: OutageView = serde_json::from_value(json!({
            "outage": {
                "lost": ["eu-1"], "per_second": 100.0, "moved": 0.4, "flows": flows,
                "routes": { "www.shop.example": {
                    "basis": "samples", "per_second": 100.0, "moved": 0.4, "before": { "eu-1": 0.4, "us-1": 0.6 },
                    "after": { "us-1": 0.9 }, "flows": flows, "left": 1, "noticed_ms": 1500, "ttl": 5,
                }, "api.shop.example": {
                    "basis": "weights", "per_second": 0.0, "moved": 0.0, "before": {}, "after": {}, "flows": [],
                    "left": 2, "noticed_ms": null, "ttl": 30,
                }},
                "clusters": {
                    "eu-1": { "before": 40.0, "after": 0.0, "capacity": null },
                    "us-1": { "before": 60.0, "after": 90.0, "capacity": 80 },
                },
                "broken": [{ "capacity": { "cluster": "us-1", "per_second": 90.0, "capacity": 80 } }],
                "notes": [{ "last_one": { "route": "www.shop.example", "cluster": "us-1" } }],
            },
            "at_rate": 2.0, "samples": 600, "nameservers": ["ns1", "ns2"], "window_ms": 30_000, "plan_generation": 7,
            "verdicts_of": "ns1",
        }))
        .unwrap();
        let want = "\
Without eu-1, 40.0 % of 100.0 questions/s would get another answer, at 2 times the present rate.
  eu-1 → us-1: 30.0 %
  eu-1 → nobody: 10.0 %

CLUSTER   ANSWERS/S   THEN   CAPACITY   LOAD
eu-1      40.0        lost
us-1      60.0        90.0   80         112 %

ROUTE              QUESTIONS/S   MOVED    TO                           LEFT   NOTICED   TTL   BASIS
www.shop.example   100.0         40.0 %   us-1 30.0 %, nobody 10.0 %   1      1.5s      5s    samples
api.shop.example   0.0           0.0 %                                 2      never     30s   weights

BREAKS us-1 would get 90.0 answers/s and has capacity for 80: 10.0/s too many (112 %)
note www.shop.example would have only us-1 left
from 600 sampled queries of ns1, ns2 within 30 s
1 route by weights only: nobody asked lately
route plan 7, verdicts of ns1
";
        assert_eq!(text(&view, false), want);
    }
}
