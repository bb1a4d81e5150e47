//! The merged file → Engine API objects (docker/cli `cli/compose/convert`), everything resolved and checked before
//! anything is written anywhere.

mod deploy;
mod impossible;
mod mounts;
mod references;
mod refused;
mod service;
mod top;

use crate::compose::File;
use crate::objects::{Objects, scoped};
use crate::problem::Report;
use crate::read::Spot;
use crate::{Input, Rendered, labels};
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::release::{Promotion, Route, Upkeep};

/// The network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// Longest service or network name (moby/swarmkit manager/controlapi/common.go).
const SERVICE_NAME_BYTES_MAX: usize = 63;

pub(crate) struct Converter<'a> {
    pub input: &'a Input<'a>,
    pub report: &'a Report<'a>,
    pub file: &'a File,
}

/// `None` if an error was reported that leaves nothing to show.
pub(crate) fn convert(input: &Input<'_>, file: File, report: &Report<'_>) -> Option<Rendered> {
    let converter = Converter { input, report, file: &file };
    let mut payloads = BTreeMap::new();
    let objects = Objects {
        networks: converter.networks(),
        secrets: converter.payloads("secret", &file.secrets, top::SECRET_BYTES_MAX, &mut payloads),
        configs: converter.payloads("config", &file.configs, top::CONFIG_BYTES_MAX, &mut payloads),
        services: converter.services(),
    };
    converter.check_ports();
    converter.warn_unused();
    let routes = converter.routes();
    let promotion = file.promotion.clone().unwrap_or_default();
    let upkeep = converter.upkeep();
    Some(Rendered { objects, payloads, routes, promotion: checked(promotion), upkeep, warnings: Vec::new() })
}

fn checked(promotion: Promotion) -> Promotion {
    let stages = promotion.stages.into_iter().filter(|stage| !stage.is_empty()).collect();
    Promotion { stages, ..promotion }
}

impl Converter<'_> {
    fn upkeep(&self) -> Upkeep {
        let (keys, default) = (&self.file.upkeep, Upkeep::default());
        let mut keep_replicas = BTreeSet::new();
        for (name, keep) in &keys.replicas {
            let mode = self.file.services.get(name).map(|service| service.deploy.mode.as_ref());
            let mode = mode.map(|mode| mode.map_or("", |mode| mode.value.as_str()));
            match mode {
                None => self.report.error(&keep.at, format!("replicas names the undefined service {name:?}")),
                Some("" | "replicated") if keep.value => {
                    keep_replicas.insert(name.clone());
                }
                Some(mode) if keep.value => {
                    self.report
                        .error(&keep.at, format!("service {name} is {mode}: it has no number of replicas to keep"));
                }
                Some(_) => {}
            }
        }
        Upkeep {
            drift: keys.drift.unwrap_or(default.drift),
            versions_kept: keys.versions_kept.unwrap_or(default.versions_kept),
            prune: keys.prune.unwrap_or(default.prune),
            keep_replicas,
        }
    }

    /// Name in the swarm of a top-level entry.
    pub fn name(&self, key: &str, name: &Option<String>, external: bool) -> String {
        match name {
            Some(name) => name.clone(),
            None if external => key.to_owned(),
            None => scoped(&self.input.stack, key),
        }
    }

    /// Labels of the file plus the stack's own.
    pub fn stack_labels(&self, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = own.clone();
        all.insert(labels::NAMESPACE.into(), self.input.stack.to_string());
        all
    }

    fn routes(&self) -> Vec<Route> {
        let mut names = BTreeSet::new();
        for Spot { value: route, at } in &self.file.routes {
            if !self.file.services.contains_key(&route.service) {
                self.report.error(at, format!("route {} names the undefined service {:?}", route.name, route.service));
            }
            if !names.insert(&route.name) {
                self.report.error(at, format!("route {} is defined twice", route.name));
            }
        }
        self.file.routes.iter().map(|route| route.value.clone()).collect()
    }

    fn warn_unused(&self) {
        let services = || self.file.services.values();
        for (key, network) in &self.file.networks {
            let by_default = key == DEFAULT_NETWORK && services().any(|service| service.networks.is_empty());
            if !by_default && !services().any(|service| service.networks.contains_key(key)) {
                self.report.warn(&network.at, format!("network {key} is not used by any service; it is not created"));
            }
        }
        for (key, volume) in &self.file.volumes {
            if volume.value.cluster {
                let message =
                    format!("x-cluster-spec of volume {key} is ignored: a stack does not create cluster volumes");
                self.report.warn(&volume.at, message);
            }
            let used = services().flat_map(|service| &service.volumes).any(|mount| mount.value.source == *key);
            if !used {
                self.report.warn(&volume.at, format!("volume {key} is not used by any service"));
            }
        }
    }
}
