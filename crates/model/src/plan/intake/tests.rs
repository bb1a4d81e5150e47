//! Scripts: a draft is changed and offered; what is taken is in force from then on.

use super::*;
use crate::plan::PlanCluster;
use crate::script::{Command, World};

#[derive(Default)]
struct Receiver {
    draft: RoutePlan,
    in_force: Option<RoutePlan>,
    refused: Generation,
    leaving: BTreeMap<DomainName, String>,
}

impl Receiver {
    fn route(&mut self, command: &Command<'_>) {
        let all = |key: &str| command.options.get(key).map_or(vec![], |names| names.split(',').collect());
        // `drained=eu-1:rollout,us-1:power`
        let drained: BTreeMap<&str, &str> = all("drained").into_iter().filter_map(|one| one.split_once(':')).collect();
        let endpoints = all("clusters").into_iter().map(|name| Endpoint {
            cluster: name.parse().unwrap(),
            addresses: Vec::new(),
            drained: drained.get(name).map(|why| why.replace('_', " ")),
            release: None,
            forced: None,
        });
        let route = PlanRoute {
            stack: "shop".parse().unwrap(),
            policy: Default::default(),
            ttl: 5,
            check: None,
            all_down: Default::default(),
            https: None,
            pool: endpoints.collect(),
        };
        self.draft.routes.insert(command.word(1).parse().unwrap(), route);
    }

    /// As control writes it after the draft before; `after=` and `force=` say otherwise.
    fn offer(&mut self, command: &Command<'_>) -> String {
        let before = self.draft.clone();
        self.draft.change = Change::following(&before, &self.draft, std::mem::take(&mut self.leaving));
        self.draft.generation = before.generation.next();
        if let Some(after) = command.options.get("after") {
            self.draft.change.after = Generation(after.parse().unwrap());
        }
        if let Some(reason) = command.options.get("force") {
            let (by, reason) = ("ops".to_owned(), (*reason).to_owned());
            self.draft.change.force = Some(Force { generation: self.draft.generation, by, reason });
        }
        if command.options.get("lost") == Some(&"yes") {
            return format!("plan {} does not arrive", self.draft.generation);
        }
        let checked = self.in_force.as_ref().map_or(Ok(()), |before| check(before, self.refused, &self.draft));
        match checked {
            Ok(()) => {
                self.in_force = Some(self.draft.clone());
                format!("plan {} is in force", self.draft.generation)
            }
            Err(lost) => {
                self.refused = self.draft.generation;
                format!("plan {} is refused: {lost}", self.draft.generation)
            }
        }
    }
}

impl World for Receiver {
    fn run(&mut self, command: &Command<'_>) -> String {
        let number = |key| command.options.get(key).map(|text| text.parse().unwrap());
        match command.word(0) {
            "cluster" => {
                let (weight, capacity) = (number("weight").unwrap_or(1), number("capacity"));
                let cluster = PlanCluster { region: None, location: None, weight, capacity };
                self.draft.clusters.insert(command.word(1).parse().unwrap(), cluster);
            }
            "no-cluster" => {
                let name: ClusterName = command.word(1).parse().unwrap();
                self.draft.clusters.remove(&name);
                self.draft.routes.values_mut().for_each(|route| route.pool.retain(|one| one.cluster != name));
            }
            "route" => self.route(command),
            "no-route" => drop(self.draft.routes.remove(&command.word(1).parse::<DomainName>().unwrap())),
            "leaving" => {
                self.leaving.insert(command.word(1).parse().unwrap(), command.rest(2));
            }
            "safety" => self.draft.safety.max_loss_percent = number("max_loss_percent").unwrap() as u8,
            "offer" => return self.offer(command),
            other => panic!("no such command: {other}"),
        }
        String::new()
    }
}

#[test]
fn cases() {
    crate::script::check("intake", 6, Receiver::default);
}

#[test]
fn what_was_withdrawn_is_remembered_up_to_a_number_but_never_forgotten_within_its_step() {
    let name = |at: usize| format!("r{at}.shop.example").parse::<DomainName>().unwrap();
    let many = |from: usize, count: usize| (from..from + count).map(|at| (name(at), "removed".to_owned())).collect();
    let empty = RoutePlan { generation: Generation(2), ..RoutePlan::default() };
    let mut before = RoutePlan { generation: Generation(1), ..RoutePlan::default() };
    before.change = Change::following(&before, &empty, many(0, WITHDRAWN_KEPT + 50));
    assert_eq!(before.change.withdrawn.len(), WITHDRAWN_KEPT, "routes that no plan had are only remembered");
    let mut routes = Receiver::default();
    (1000..1000 + WITHDRAWN_KEPT + 9).for_each(|at| {
        crate::script::run_line(&mut routes, &format!("route {} clusters=eu-1", name(at)));
    });
    let full = RoutePlan { generation: Generation(2), change: before.change, ..routes.draft };
    let next = Change::following(&full, &empty, many(1000, WITHDRAWN_KEPT + 9));
    assert!((1000..1000 + WITHDRAWN_KEPT + 9).all(|at| next.withdrawn.contains_key(&name(at))));
    assert_eq!(next.withdrawn.len(), WITHDRAWN_KEPT + 9);
}
