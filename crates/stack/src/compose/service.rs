//! One service of the merged file.

use super::{CredentialSpec, Healthcheck, Logging, Service, attach, deploy, ports, volumes};
use crate::problem::Place;
use crate::read::{At, Map, Spot};
use crate::yaml::Value;
use std::collections::BTreeMap;

pub(super) fn read(at: Place, node: &At<'_>) -> Option<Service> {
    let mut map = node.map()?;
    let spot_bool = |map: &mut Map<'_>, key: &str| map.take(key).and_then(|at| Some(at.spot(at.bool()?)));
    Some(Service {
        at,
        image: map.take("image").and_then(|at| Some(at.spot(at.string()?))),
        command: map.take("command").and_then(|at| at.strings()),
        entrypoint: map.take("entrypoint").and_then(|at| at.strings()),
        environment: map.take("environment").and_then(|at| at.pairs()).unwrap_or_default(),
        labels: map.labels("labels"),
        hostname: map.text("hostname"),
        user: map.text("user"),
        working_dir: map.text("working_dir"),
        stop_signal: map.text("stop_signal"),
        stop_grace_period: map.integer("stop_grace_period"),
        init: spot_bool(&mut map, "init"),
        read_only: spot_bool(&mut map, "read_only"),
        tty: spot_bool(&mut map, "tty"),
        stdin_open: spot_bool(&mut map, "stdin_open"),
        cap_add: map.strings("cap_add"),
        cap_drop: map.strings("cap_drop"),
        dns: map.take("dns").map(|at| at.strings().unwrap_or_default()),
        dns_search: map.take("dns_search").and_then(|at| at.strings()),
        extra_hosts: map.take("extra_hosts").map(|at| spots(&at)).unwrap_or_default(),
        sysctls: map.labels("sysctls"),
        ulimits: map.take("ulimits").map(|at| ulimits(&at)).unwrap_or_default(),
        logging: map.take("logging").and_then(|at| logging(&at)),
        healthcheck: map.take("healthcheck").and_then(|at| healthcheck(&at)),
        networks: map.take("networks").map(|at| attach::networks(&at)).unwrap_or_default(),
        ports: map.take("ports").map(|at| ports::read(&at)).unwrap_or_default(),
        volumes: map.take("volumes").map(|at| volumes::read(&at)).unwrap_or_default(),
        secrets: map.take("secrets").map(|at| attach::references(&at)).unwrap_or_default(),
        configs: map.take("configs").map(|at| attach::references(&at)).unwrap_or_default(),
        restart: map.take("restart").and_then(|at| Some(at.spot(at.string()?))),
        isolation: map.take("isolation").and_then(|at| Some(at.spot(at.string()?))),
        credential_spec: map.take("credential_spec").and_then(|at| credential_spec(&at)),
        oom_score_adj: Spot::default(),
        deploy: map.take("deploy").and_then(|at| deploy::read(&at)).unwrap_or_default(),
    })
}

fn spots(at: &At<'_>) -> Vec<Spot<String>> {
    at.items().unwrap_or_default().iter().filter_map(|item| Some(item.spot(item.string()?))).collect()
}

fn ulimits(at: &At<'_>) -> BTreeMap<String, (i64, i64)> {
    let Some(mut map) = at.map() else { return BTreeMap::new() };
    let read = |(name, _, at): (&str, Place, At<'_>)| {
        let limits = match &at.node.value {
            Value::Map(_) => {
                let mut map = at.map()?;
                (map.integer("soft").unwrap_or_default(), map.integer("hard").unwrap_or_default())
            }
            _ => at.int(i64::MIN, i64::MAX).map(|both| (both, both))?,
        };
        Some((name.to_owned(), limits))
    };
    map.rest().into_iter().filter_map(read).collect()
}

fn credential_spec(at: &At<'_>) -> Option<Spot<CredentialSpec>> {
    let mut map = at.map()?;
    let spec = CredentialSpec { config: map.text("config"), file: map.text("file"), registry: map.text("registry") };
    let empty = spec.config.is_none() && spec.file.is_none() && spec.registry.is_none();
    (!empty).then(|| at.spot(spec))
}

fn logging(at: &At<'_>) -> Option<Logging> {
    let mut map = at.map()?;
    Some(Logging { driver: map.text("driver"), options: map.take("options").and_then(|at| at.labels()) })
}

fn healthcheck(at: &At<'_>) -> Option<Spot<Healthcheck>> {
    let mut map = at.map()?;
    let healthcheck = Healthcheck {
        test: map.take("test").and_then(|at| at.strings()),
        interval: map.integer("interval"),
        timeout: map.integer("timeout"),
        start_period: map.integer("start_period"),
        start_interval: map.integer("start_interval"),
        retries: map.take("retries").and_then(|at| at.int(0, i64::MAX)).map(i64::unsigned_abs),
        disable: map.bool("disable"),
    };
    Some(at.spot(healthcheck))
}
