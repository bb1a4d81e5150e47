//! What an Engine is too old for. It drops a field that it does not know without a word, so that a service with one would
//! never be as wanted, and be written again at every look.
//!
//! Docker sends them all the same. Dropping them here was rejected: a mount of a part of a volume would become one of all
//! of it.

use crate::ApiVersion;
use crate::objects::Objects;
use crate::objects::service::ServiceSpec;
use std::fmt;

/// A field, and whether a service has it (moby/moby: daemon/server/router/swarm/helpers.go).
type Field = (&'static str, ApiVersion, fn(&ServiceSpec) -> bool);

/// Those that came after the oldest version that is supported.
const FIELDS: [Field; 3] = [
    ("volumes: type: cluster", ApiVersion(1, 42), |spec| {
        spec.task_template.container_spec.mounts.iter().any(|mount| mount.kind == "cluster")
    }),
    ("healthcheck.start_interval", ApiVersion(1, 44), |spec| {
        spec.task_template.container_spec.healthcheck.as_ref().is_some_and(|check| check.start_interval != 0)
    }),
    ("volumes: volume.subpath", ApiVersion(1, 45), |spec| {
        let options = spec.task_template.container_spec.mounts.iter().filter_map(|mount| mount.volume_options.as_ref());
        options.into_iter().any(|options| !options.subpath.is_empty())
    }),
];

/// One field that an Engine does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// As in the file.
    pub service: String,
    /// Key of the Compose file.
    pub key: &'static str,
    /// First version that knows it.
    pub since: ApiVersion,
    /// That of the Engine.
    pub has: ApiVersion,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Need { service, key, since, has } = self;
        write!(f, "service {service}: {key} needs Engine API {since}, and the Engine of this cluster has {has}, ")?;
        f.write_str("which would drop it: leave it out, or update the Engine")
    }
}

/// Everything in `objects` that an Engine of this version does not know.
pub fn check(api: ApiVersion, objects: &Objects) -> Vec<Need> {
    let of_service = |(service, spec): (&String, &ServiceSpec)| {
        let unknown = FIELDS.iter().filter(|(_, since, has)| api < *since && has(spec));
        let need = |(key, since, _): &Field| Need { service: service.clone(), key, since: *since, has: api };
        unknown.map(need).collect::<Vec<_>>()
    };
    objects.services.iter().flat_map(of_service).collect()
}
