//! Deployments over what is there: what docker sends to `POST /services/{id}/update`, and what the agent would.
//!
//! Both get their digests from one registry, and find the services that docker made before, restarted by hand since. What
//! differs on purpose, and nothing else, is passed over here:
//!
//! * our own labels;
//! * docker writes services that are as wanted, we do not, and no job whose labels alone differ;
//! * docker writes a task template that says the same as the one that is there in other words; we leave it as it is, for
//!   the tasks to stay;
//! * docker 28 places tasks on the platform `unknown` of attestations too;
//! * docker ignores a changed network, we refuse it;
//! * docker is refused when bytes of a secret or config change, and ignores another driver; we give them another name.

use crate::case::{Case, STACK};
use crate::compare::{Difference, bodies};
use crate::docker::{Docker, Over};
use crate::ours::{messages, with_input};
use crate::told::Bodies;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use waggle_model::release::Upkeep;
use waggle_stack::diff::{
    Action, Conflict, Current, CurrentNetwork, CurrentPayload, CurrentService, Plan, Wanted, diff,
};
use waggle_stack::objects::service::{Platform, ServiceSpec};
use waggle_stack::objects::{Network, Payload};
use waggle_stack::{Bound, Deviation, Objects, Pin, image, labels};
use waggle_tests::engine_stub::{DIGEST, PLATFORMS, Recorded, VERSION, id_of, name_of};

/// What became of a pair of cases.
pub enum Compared {
    /// Nothing to compare, and why not.
    Passed(&'static str),
    Found(Vec<Difference>),
}

pub fn compared(docker: &Docker, first: &Case, second: &Case, api_version: &str) -> Result<Compared> {
    let Some(over) = docker.over(first, second, api_version)? else {
        return Ok(Compared::Passed("docker refuses the first"));
    };
    let mut bound = Bound::default();
    let mut rendered = |case: &Case| -> Result<Result<Option<Objects>, String>> {
        with_input(case, &docker.workdir(), &docker.home(), &Deviation::ALL, |input| {
            Ok(match waggle_stack::render(input) {
                Ok(rendered) => Ok(pinned(rendered.objects).map(|mut objects| {
                    objects.rotate(&mut bound);
                    objects
                })),
                Err(problems) => Err(messages(&problems)),
            })
        })
    };
    if let Ok(None) = rendered(first)? {
        return Ok(Compared::Passed("an image that cannot be pinned"));
    }
    let objects = match rendered(second)? {
        Ok(Some(objects)) => objects,
        Ok(None) => return Ok(Compared::Passed("an image that cannot be pinned")),
        Err(ours) => return refused(&over, &ours),
    };
    let current = current(&over.before, &objects)?;
    let none = BTreeMap::new();
    let wanted = Wanted { objects: &objects, release: None, upkeep: &Upkeep::default(), overrides: &none };
    match (diff(&STACK.parse()?, &wanted, &current), over.after) {
        (Ok(_), Ok(_)) if renamed(&objects) => Ok(Compared::Passed("another driver")),
        (Ok(plan), Ok(after)) => {
            let kept = |spec: &ServiceSpec| -> Result<bool> {
                let service = CurrentService { id: id_of(&spec.name), version: VERSION, spec: spec.clone() };
                let mut current = current.clone();
                current.services.retain(|other| other.spec.name != service.spec.name);
                current.services.push(service);
                let plan = diff(&STACK.parse()?, &wanted, &current).map_err(|conflicts| anyhow!("{}", conflicts[0]))?;
                Ok(!plan.actions.iter().any(|action| restarts(action, &spec.name)))
            };
            differences(&over.before, after, plan, kept).map(Compared::Found)
        }
        (Ok(_), Err(said)) if said.contains("only updates to Labels") => Ok(Compared::Passed("other bytes")),
        (Ok(_), Err(said)) => Ok(Compared::Found(vec![outcome(&said, "planned")])),
        (Err(conflicts), _) if conflicts.iter().any(|c| matches!(c, Conflict::NetworkChanged { .. })) => {
            Ok(Compared::Passed("a network changed"))
        }
        (Err(conflicts), Ok(_)) => Ok(Compared::Found(vec![outcome("accepted", &conflicts[0].to_string())])),
        (Err(_), Err(_)) => Ok(Compared::Passed("refused by both")),
    }
}

/// Whether a secret or config has another name than docker gives it.
fn renamed(objects: &Objects) -> bool {
    let other = |(name, payload): (&String, &Payload)| match payload {
        Payload::Managed { spec, .. } => spec.labels.get(labels::NAME).is_some_and(|plain| plain != name),
        Payload::External => false,
    };
    objects.secrets.iter().chain(&objects.configs).any(other)
}

fn restarts(action: &Action, service: &str) -> bool {
    matches!(action, Action::UpdateService { name, restarts: true, .. } if name == service)
}

fn refused(over: &Over, ours: &str) -> Result<Compared> {
    Ok(match &over.after {
        Ok(_) => Compared::Found(vec![outcome("accepted", ours)]),
        Err(_) => Compared::Passed("refused by both"),
    })
}

fn outcome(docker: &str, ours: &str) -> Difference {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let (docker, ours) = (first(docker), first(ours));
    Difference { cause: "one of the two refuses the second deployment".into(), place: "update".into(), docker, ours }
}

/// With what the stub's registry says of every image; `None` if one has no name in a registry.
fn pinned(mut objects: Objects) -> Option<Objects> {
    let platform = |(os, architecture): (&str, &str)| Platform { os: os.into(), architecture: architecture.into() };
    let mut pins = BTreeMap::new();
    for raw in objects.images() {
        let mut image = image::parse(&raw).ok()?;
        image.digest.get_or_insert_with(|| format!("sha256:{DIGEST}"));
        pins.insert(raw, Pin { reference: image.familiar(), platforms: PLATFORMS.map(platform).into() });
    }
    objects.pin(&pins).ok()?;
    Some(objects)
}

/// The swarm as an agent would read it.
fn current(swarm: &Recorded, wanted: &Objects) -> Result<Current> {
    let mut current = Current::default();
    for (name, body) in &swarm.networks {
        let subnets = body["IPAM"]["Config"].as_array().into_iter().flatten();
        current.networks.push(CurrentNetwork {
            id: id_of(name),
            name: name.clone(),
            scope: "swarm".into(),
            driver: body["Driver"].as_str().unwrap_or_default().into(),
            internal: body["Internal"].as_bool().unwrap_or_default(),
            attachable: body["Attachable"].as_bool().unwrap_or_default(),
            options: texts(&body["Options"]),
            subnets: subnets.filter_map(|config| config["Subnet"].as_str()).map(str::to_owned).collect(),
            labels: texts(&body["Labels"]),
        });
    }
    for name in wanted.networks.iter().filter(|(_, network)| **network == Network::External).map(|(name, _)| name) {
        let (id, scope) = (id_of(name), "swarm".into());
        current.networks.push(CurrentNetwork { id, name: name.clone(), scope, ..CurrentNetwork::default() });
    }
    current.secrets = payloads(&swarm.secrets, &wanted.secrets);
    current.configs = payloads(&swarm.configs, &wanted.configs);
    for (name, body) in &swarm.services {
        let spec: ServiceSpec = serde_json::from_value(body.clone()).with_context(|| body.to_string())?;
        current.services.push(CurrentService { id: id_of(name), version: VERSION, spec });
    }
    Ok(current)
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Those that were made, and every external one.
fn payloads(made: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Payload>) -> Vec<CurrentPayload> {
    let one = |name: &String, labels| CurrentPayload {
        id: id_of(name),
        version: VERSION,
        name: name.clone(),
        labels,
        ..CurrentPayload::default()
    };
    let external = wanted.iter().filter(|(name, payload)| **payload == Payload::External && !made.contains_key(*name));
    let made = made.iter().map(|(name, body)| one(name, texts(&body["Labels"])));
    made.chain(external.map(|(name, _)| one(name, BTreeMap::new()))).collect()
}

/// `as_wanted`: no task would have to go if the swarm had this spec.
fn differences(
    before: &Recorded,
    mut after: Recorded,
    plan: Plan,
    as_wanted: impl Fn(&ServiceSpec) -> Result<bool>,
) -> Result<Vec<Difference>> {
    after.services.retain(|name, _| !before.services.contains_key(name));
    after.services.values_mut().chain(after.updates.values_mut()).for_each(without_attestations);
    let mut ours = Recorded::default();
    for action in plan.actions {
        let kept = matches!(&action, Action::UpdateService { restarts: false, .. });
        match action {
            Action::CreateService { name, spec } => {
                ours.services.insert(name, body(*spec)?);
            }
            Action::UpdateService { id, version, name, spec, .. } => {
                ensure!(id == id_of(&name) && version == VERSION, "{name}: id {id}, version {version}");
                if let (true, Some(sent)) = (kept, after.updates.get_mut(&name)) {
                    let there = &before.services[&name];
                    if as_wanted(&serde_json::from_value(sent.clone())?)? {
                        sent["TaskTemplate"] = there["TaskTemplate"].clone();
                        sent["EndpointSpec"] = there["EndpointSpec"].clone();
                        without_attestations(sent);
                    }
                }
                let mut body = body(*spec)?;
                without_attestations(&mut body);
                ours.updates.insert(name, body);
            }
            Action::RemoveService { name, .. } => bail!("{name} would be removed"),
            _ => {}
        }
    }
    for name in after.updates.keys().cloned().collect::<Vec<_>>() {
        let sent = &after.updates[&name];
        let spec: ServiceSpec = serde_json::from_value(sent.clone())?;
        let mut there = before.services[&name].clone();
        without_attestations(&mut there);
        if !ours.updates.contains_key(&name) && (there == *sent || spec.is_job() && as_wanted(&spec)?) {
            after.updates.remove(&name);
        }
    }
    let only_services = |recorded: Recorded| {
        let Recorded { services, updates, .. } = recorded;
        Bodies::from_recorded(Recorded { services, updates, ..Recorded::default() })
    };
    let mut found = Vec::new();
    bodies(&only_services(after)?, &only_services(ours)?, &mut found);
    Ok(found)
}

fn without_attestations(body: &mut Value) {
    if let Some(Value::Array(platforms)) = body.pointer_mut("/TaskTemplate/Placement/Platforms") {
        platforms.retain(|platform| platform["OS"] != "unknown");
    }
}

/// As the agent sends it, but for our own labels.
fn body(mut spec: ServiceSpec) -> Result<Value> {
    spec.labels.retain(|key, _| !labels::is_own(key));
    // It knows no object whose name is an id.
    let id = |name: &str| if name_of(name).is_some() { String::new() } else { id_of(name) };
    spec.fill_ids(id, id);
    Ok(serde_json::from_str(&serde_json::to_string(&spec)?)?)
}
