//! What a swarm has of a stack in comparable form: equal texts are equal objects, in whatever cluster.

use super::{Current, Wanted, normal};
use crate::labels;
use crate::objects::service::ServiceSpec;
use crate::objects::{Labels, Network, NetworkSpec, Payload};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Object (`service shop_web`) → its form as the swarm has it. Objects that the swarm lacks are left out.
///
/// Of a network only what `desired` says of it counts: the Engine chooses subnets and options by itself, and others in
/// each cluster. Of secrets the hash they were created with counts, since their bytes are never given back. A number of
/// replicas that people or `replicas: keep` gave this cluster is put back to that of the file, and told beside: otherwise
/// a service scaled in one place could not be proven to be the same anywhere.
pub fn forms(wanted: &Wanted<'_>, current: &Current) -> Forms {
    let (desired, over) = (wanted.objects, wanted.over(current));
    let (mut forms, mut overridden) = (BTreeMap::new(), Vec::new());
    for (key, spec) in &desired.services {
        if let Some(found) = current.services.iter().find(|service| service.spec.name == spec.name) {
            let mut form = normal::current(&found.spec, current);
            let meant = over.services.get(key).map(normal::desired);
            let file = normal::desired(spec);
            if meant.is_some_and(|meant| meant.mode == form.mode) && form.mode != file.mode {
                overridden.push(format!("service {}: {} instead of {}", spec.name, replicas(&form), replicas(&file)));
                form.mode = file.mode;
            }
            forms.insert(format!("service {}", spec.name), text(&form));
        }
    }
    for (name, network) in &desired.networks {
        if let Some(found) = current.networks.iter().find(|found| found.name == *name) {
            let form = match network {
                Network::External => Form::External { name },
                Network::Managed(spec) => managed(spec, found),
            };
            forms.insert(format!("network {name}"), text(&form));
        }
    }
    let kinds = [("secret", &desired.secrets, &current.secrets), ("config", &desired.configs, &current.configs)];
    for (what, payloads, found) in kinds {
        for (name, payload) in payloads {
            let Some(found) = found.iter().find(|found| found.name == *name) else { continue };
            let form = match payload {
                Payload::External => Form::External { name },
                Payload::Managed { .. } => {
                    let sha256 = found.content.as_ref().or(found.labels.get(labels::SHA256)).map(String::as_str);
                    Form::Payload { name, sha256, labels: plain(&found.labels) }
                }
            };
            forms.insert(format!("{what} {name}"), text(&form));
        }
    }
    Forms { objects: forms, overridden }
}

fn replicas(spec: &ServiceSpec) -> String {
    let replicas = spec.mode.replicated.as_ref().and_then(|replicated| replicated.replicas).unwrap_or(1);
    format!("{replicas} {}", if replicas == 1 { "replica" } else { "replicas" })
}

/// What [`forms`] finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    /// Object (`service shop_web`) → its form.
    pub objects: BTreeMap<String, String>,
    /// Numbers of replicas that are other than the file's, and may be, in words.
    pub overridden: Vec<String>,
}

#[derive(Serialize)]
enum Form<'a> {
    External {
        name: &'a str,
    },
    Network {
        name: &'a str,
        driver: &'a str,
        internal: bool,
        attachable: bool,
        options: BTreeMap<&'a str, &'a str>,
        subnets: BTreeSet<&'a str>,
        labels: BTreeMap<&'a str, &'a str>,
    },
    Payload {
        name: &'a str,
        sha256: Option<&'a str>,
        labels: BTreeMap<&'a str, &'a str>,
    },
}

fn managed<'a>(spec: &NetworkSpec, found: &'a super::CurrentNetwork) -> Form<'a> {
    let configs = spec.ipam.iter().flat_map(|ipam| &ipam.config).flatten();
    let wanted: BTreeSet<&str> = configs.map(|config| config.subnet.as_str()).collect();
    let named = |key: &String| spec.options.as_ref().is_some_and(|options| options.contains_key(key));
    let options = found.options.iter().filter(|(key, _)| named(key));
    Form::Network {
        name: &found.name,
        driver: &found.driver,
        internal: found.internal,
        attachable: found.attachable,
        options: options.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        subnets: found.subnets.iter().map(String::as_str).filter(|subnet| wanted.contains(subnet)).collect(),
        labels: plain(&found.labels),
    }
}

/// Without our own labels, which say when an object was written and not what it is.
fn plain(labels: &Labels) -> BTreeMap<&str, &str> {
    let others = labels.iter().filter(|(key, _)| !labels::is_own(key));
    others.map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn text(form: &impl Serialize) -> String {
    // Strings, numbers and string-keyed maps only: there is nothing that could fail.
    serde_json::to_string(form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::{CurrentNetwork, CurrentService};
    use crate::objects::Objects;
    use crate::objects::service::{Mode, Replicated};
    use waggle_model::desired::Override;
    use waggle_model::release::Upkeep;

    fn desired() -> Objects {
        let spec = ServiceSpec { name: "shop_web".into(), ..ServiceSpec::default() };
        let network = NetworkSpec { name: "shop_default".into(), driver: "overlay".into(), ..NetworkSpec::default() };
        Objects {
            services: [("web".to_owned(), spec)].into(),
            networks: [("shop_default".to_owned(), Network::Managed(network))].into(),
            ..Objects::default()
        }
    }

    fn current(id: &str, subnet: &str, release: &str) -> Current {
        let mut spec = ServiceSpec { name: "shop_web".into(), ..ServiceSpec::default() };
        spec.labels.insert(labels::RELEASE.into(), release.into());
        let attachment = crate::objects::service::Attachment { target: id.into(), ..Default::default() };
        spec.task_template.networks.push(attachment);
        let network = CurrentNetwork {
            id: id.into(),
            name: "shop_default".into(),
            driver: "overlay".into(),
            subnets: vec![subnet.into()],
            ..CurrentNetwork::default()
        };
        let service = CurrentService { id: format!("s{id}"), version: 1, spec };
        Current { networks: vec![network], services: vec![service], ..Current::default() }
    }

    #[test]
    fn what_a_cluster_chose_by_itself_makes_no_difference() {
        let (eu, us) = (current("n1", "10.0.1.0/24", "aa"), current("n2", "10.0.7.0/24", "bb"));
        let (desired, upkeep, overrides) = (desired(), Upkeep::default(), BTreeMap::new());
        let wanted = Wanted { objects: &desired, release: None, upkeep: &upkeep, overrides: &overrides };
        let forms_of = |current: &Current| forms(&wanted, current).objects;
        assert_eq!(forms_of(&eu), forms_of(&us));
        assert_eq!(forms_of(&eu).keys().collect::<Vec<_>>(), ["network shop_default", "service shop_web"]);
        let mut other = us.clone();
        other.services[0].spec.task_template.container_spec.env = vec!["TZ=UTC".into()];
        assert_ne!(forms_of(&eu)["service shop_web"], forms_of(&other)["service shop_web"]);
        assert_eq!(forms_of(&Current::default()), BTreeMap::new());
    }

    #[test]
    fn replicas_that_people_chose_are_told_and_not_hashed() {
        let replicated = |replicas| Mode { replicated: Some(Replicated { replicas }), ..Mode::default() };
        let mut desired = desired();
        desired.services.get_mut("web").unwrap().mode = replicated(None);
        let running = |replicas| {
            let mut current = current("n1", "10.0.1.0/24", "aa");
            current.services[0].spec.mode = replicated(Some(replicas));
            current
        };
        let form = |upkeep: &Upkeep, scaled: Option<u64>, has: u64| {
            let overrides = scaled.map(|n| ("web".to_owned(), Override { replicas: Some(n), force: 0 }));
            let overrides = overrides.into_iter().collect();
            let wanted = Wanted { objects: &desired, release: None, upkeep, overrides: &overrides };
            let Forms { objects, overridden } = forms(&wanted, &running(has));
            (objects["service shop_web"].clone(), overridden)
        };
        let plain = Upkeep::default();
        let (file, none) = form(&plain, None, 1);
        assert!(none.is_empty());
        let told = vec!["service shop_web: 3 replicas instead of 1 replica".to_owned()];
        assert_eq!(form(&plain, Some(3), 3), (file.clone(), told.clone()));
        let kept = Upkeep { keep_replicas: ["web".to_owned()].into(), ..Upkeep::default() };
        assert_eq!(form(&kept, None, 3), (file.clone(), told));
        // What nobody chose counts, also where something else was chosen.
        assert_ne!(form(&plain, None, 3).0, file);
        assert_ne!(form(&plain, Some(2), 3), (file, vec![]));
    }
}
