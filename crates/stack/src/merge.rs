//! Several files → one, with docker/cli's rules (`cli/compose/loader/merge.go`): services are merged by name, other
//! top-level entries replaced; scalars replaced unless empty, maps merged per key, lists appended.
//!
//! Two deliberate differences. Ports are keyed by published port *and* protocol, so `53/tcp` and `53/udp` both stay;
//! ports without a published number are all kept. `healthcheck.test` is replaced, where Docker appends the second command
//! to the first one. And one warning of our own: an override cannot reset a value to `false` or empty text, as in
//! Docker, but it is said.

use crate::compose::{
    Deploy, File, FileReference, Healthcheck, Logging, Mount, Port, Resources, RestartPolicy, Service, Update,
};
use crate::problem::Report;
use crate::read::Spot;
use std::collections::BTreeMap;

/// Merges later files over earlier ones; `None` without files.
pub(crate) fn merge(files: Vec<File>, report: &Report<'_>) -> Option<File> {
    files.into_iter().reduce(|mut base, over| {
        for (name, service) in over.services {
            match base.services.get_mut(&name) {
                Some(base) => merge_service(base, service, report),
                None => {
                    base.services.insert(name, service);
                }
            }
        }
        base.networks.extend(over.networks);
        base.volumes.extend(over.volumes);
        base.secrets.extend(over.secrets);
        base.configs.extend(over.configs);
        keyed(&mut base.routes, over.routes, |route| Some(route.name.clone()));
        replace(&mut base.promotion, over.promotion);
        base.compat.extend(over.compat);
        replace(&mut base.upkeep.drift, over.upkeep.drift);
        replace(&mut base.upkeep.versions_kept, over.upkeep.versions_kept);
        replace(&mut base.upkeep.prune, over.upkeep.prune);
        base
    })
}

fn merge_service(base: &mut Service, over: Service, report: &Report<'_>) {
    replace(&mut base.image, over.image.filter(|image| !image.value.is_empty()));
    replace(&mut base.command, over.command.filter(|words| !words.is_empty()));
    replace(&mut base.entrypoint, over.entrypoint.filter(|words| !words.is_empty()));
    for (key, value) in over.environment {
        let loses = value.as_deref().unwrap_or_default().is_empty();
        let set = base.environment.get(&key).and_then(Option::as_deref).is_some_and(|old| !old.is_empty());
        if loses && set {
            report.warn(&over.at, format!("environment {key} stays as it was: an override cannot empty it"));
            continue;
        }
        base.environment.insert(key, value);
    }
    base.labels.extend(over.labels);
    base.sysctls.extend(over.sysctls);
    base.ulimits.extend(over.ulimits);
    for (base, over) in [
        (&mut base.hostname, over.hostname),
        (&mut base.user, over.user),
        (&mut base.working_dir, over.working_dir),
        (&mut base.stop_signal, over.stop_signal),
    ] {
        replace(base, over.filter(|text| !text.is_empty()));
    }
    replace(&mut base.stop_grace_period, over.stop_grace_period.filter(|nanos| *nanos != 0));
    for (base, over, key) in [
        (&mut base.init, over.init, "init"),
        (&mut base.read_only, over.read_only, "read_only"),
        (&mut base.tty, over.tty, "tty"),
        (&mut base.stdin_open, over.stdin_open, "stdin_open"),
    ] {
        switch(base, over, key, report);
    }
    base.cap_add.extend(over.cap_add);
    base.cap_drop.extend(over.cap_drop);
    merge_option(&mut base.dns, over.dns, |base, over| base.extend(over));
    merge_option(&mut base.dns_search, over.dns_search, |base, over| base.extend(over));
    base.extra_hosts.extend(over.extra_hosts);
    merge_logging(&mut base.logging, over.logging);
    merge_option(&mut base.healthcheck, over.healthcheck, |base, over| merge_healthcheck(&mut base.value, over.value));
    base.networks.extend(over.networks);
    keyed(&mut base.ports, over.ports, port_key);
    keyed(&mut base.volumes, over.volumes, |mount: &Mount| Some(mount.target.clone()));
    keyed(&mut base.secrets, over.secrets, |reference: &FileReference| Some(reference.source.clone()));
    keyed(&mut base.configs, over.configs, |reference: &FileReference| Some(reference.source.clone()));
    replace(&mut base.isolation, over.isolation.filter(|isolation| !isolation.value.is_empty()));
    replace(&mut base.credential_spec, over.credential_spec);
    if over.oom_score_adj.value != 0 {
        base.oom_score_adj = over.oom_score_adj;
    }
    replace(&mut base.restart, over.restart.filter(|restart| !restart.value.is_empty()));
    merge_deploy(&mut base.deploy, over.deploy);
}

fn port_key(port: &Port) -> Option<(u32, String)> {
    let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
    (port.published != 0).then(|| (port.published, protocol.to_owned()))
}

fn replace<T>(base: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *base = over;
    }
}

fn switch(base: &mut Option<Spot<bool>>, over: Option<Spot<bool>>, key: &str, report: &Report<'_>) {
    match (&base, over) {
        (_, None) => {}
        (Some(Spot { value: true, .. }), Some(Spot { value: false, at })) => {
            report.warn(&at, format!("{key} stays true: an override cannot reset it"));
        }
        (_, over) => *base = over,
    }
}

fn merge_option<T>(base: &mut Option<T>, over: Option<T>, merge: impl FnOnce(&mut T, T)) {
    match (base, over) {
        (_, None) => {}
        (Some(base), Some(over)) => merge(base, over),
        (base, over) => *base = over,
    }
}

/// Items of `over` replace those of `base` that have the same key, in place; others are appended.
fn keyed<T, K: Ord>(base: &mut Vec<Spot<T>>, over: Vec<Spot<T>>, key: impl Fn(&T) -> Option<K>) {
    let mut index: BTreeMap<K, usize> = BTreeMap::new();
    for (at, item) in base.iter().enumerate() {
        index.extend(key(&item.value).map(|key| (key, at)));
    }
    for item in over {
        match key(&item.value).and_then(|key| index.get(&key).copied()) {
            Some(at) => base[at] = item,
            None => base.push(item),
        }
    }
}

fn merge_logging(base: &mut Option<Logging>, over: Option<Logging>) {
    merge_option(base, over, |base, over| {
        let same = over.driver.is_none() || base.driver.is_none() || base.driver == over.driver;
        if same {
            replace(&mut base.driver, over.driver);
            merge_option(&mut base.options, over.options, |base, over| base.extend(over));
        } else {
            *base = over;
        }
    });
}

fn merge_healthcheck(base: &mut Healthcheck, over: Healthcheck) {
    let nonzero = |nanos: Option<i64>| nanos.filter(|nanos| *nanos != 0);
    if over.disable == Some(true) {
        base.test = None;
    } else if over.test.is_some() {
        base.disable = None;
    }
    replace(&mut base.test, over.test);
    replace(&mut base.interval, nonzero(over.interval));
    replace(&mut base.timeout, nonzero(over.timeout));
    replace(&mut base.start_period, nonzero(over.start_period));
    replace(&mut base.start_interval, nonzero(over.start_interval));
    replace(&mut base.retries, over.retries);
    replace(&mut base.disable, over.disable.filter(|disable| *disable));
}

fn merge_deploy(base: &mut Deploy, over: Deploy) {
    replace(&mut base.mode, over.mode.filter(|mode| !mode.value.is_empty()));
    replace(&mut base.endpoint_mode, over.endpoint_mode.filter(|mode| !mode.is_empty()));
    replace(&mut base.replicas, over.replicas);
    base.labels.extend(over.labels);
    merge_option(&mut base.update_config, over.update_config, |base, over| merge_update(&mut base.value, over.value));
    merge_option(&mut base.rollback_config, over.rollback_config, |base, over| {
        merge_update(&mut base.value, over.value)
    });
    merge_option(&mut base.restart_policy, over.restart_policy, merge_restart);
    merge_option(&mut base.limits, over.limits, merge_resources);
    merge_option(&mut base.reservations, over.reservations, merge_resources);
    base.constraints.extend(over.constraints);
    base.preferences.extend(over.preferences);
    replace(&mut base.max_replicas, over.max_replicas.filter(|max| *max != 0));
}

fn merge_update(base: &mut Update, over: Update) {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    replace(&mut base.parallelism, over.parallelism);
    replace(&mut base.delay, over.delay.filter(|nanos| *nanos != 0));
    replace(&mut base.failure_action, text(over.failure_action));
    replace(&mut base.monitor, over.monitor.filter(|nanos| *nanos != 0));
    replace(&mut base.max_failure_ratio, over.max_failure_ratio.filter(|ratio| *ratio != 0.0));
    replace(&mut base.order, text(over.order));
}

fn merge_restart(base: &mut RestartPolicy, over: RestartPolicy) {
    replace(&mut base.condition, over.condition.filter(|text| !text.is_empty()));
    replace(&mut base.delay, over.delay);
    replace(&mut base.max_attempts, over.max_attempts);
    replace(&mut base.window, over.window);
}

fn merge_resources(base: &mut Resources, over: Resources) {
    replace(&mut base.nano_cpus, over.nano_cpus.filter(|cpus| *cpus != 0));
    replace(&mut base.memory_bytes, over.memory_bytes.filter(|bytes| *bytes != 0));
    replace(&mut base.pids, over.pids.filter(|pids| *pids != 0));
    base.generic.extend(over.generic);
}
