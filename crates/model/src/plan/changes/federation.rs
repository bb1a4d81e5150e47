//! Clusters, zones, client map, health policy and nameservers.

use super::{Change, list, moved};
use crate::fleet::Zone;
use crate::plan::{PlanCluster, RoutePlan};
use std::collections::BTreeMap;

pub(super) fn changes(before: &RoutePlan, after: &RoutePlan) -> Vec<Change> {
    let mut found: Vec<String> = Vec::new();
    each(&before.clusters, &after.clusters, "cluster", cluster, &mut found);
    each(&before.zones, &after.zones, "zone", zone, &mut found);
    found.extend(client_map(before, after));
    if before.health != after.health {
        found.push("health policy changed".into());
    }
    let percent = |plan: &RoutePlan| plan.safety.max_loss_percent;
    found.extend(moved("safety.max_loss_percent", &percent(before), &percent(after)));
    found.extend(keys(before, after));
    let peers = |plan: &RoutePlan| -> BTreeMap<_, _> {
        plan.nameservers.iter().map(|peer| (peer.name.clone(), peer.address)).collect()
    };
    let address = |old: &_, new: &_| moved("address", old, new).into_iter().collect();
    each(&peers(before), &peers(after), "nameserver", address, &mut found);
    found.into_iter().map(Change::whole).collect()
}

/// Entries that came, went, or differ by what `differ` says.
fn each<K: Ord + std::fmt::Display, V>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    kind: &str,
    differ: impl Fn(&V, &V) -> Vec<String>,
    found: &mut Vec<String>,
) {
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        found.push(format!("{kind} {name} removed"));
    }
    for (name, new) in after {
        match before.get(name) {
            None => found.push(format!("{kind} {name} added")),
            Some(old) => found.extend(differ(old, new).into_iter().map(|text| format!("{kind} {name}: {text}"))),
        }
    }
}

fn cluster(old: &PlanCluster, new: &PlanCluster) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
    let capacity = |value: Option<u32>| value.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
    let parts = [
        moved("weight", &old.weight, &new.weight),
        moved("capacity", &capacity(old.capacity), &capacity(new.capacity)),
        moved("region", &text(&old.region), &text(&new.region)),
        (old.location != new.location).then(|| "location changed".into()),
    ];
    parts.into_iter().flatten().collect()
}

fn zone(old: &Zone, new: &Zone) -> Vec<String> {
    let gone = old.records.iter().filter(|record| !new.records.contains(record)).count();
    let come = new.records.iter().filter(|record| !old.records.contains(record)).count();
    let seconds = |ttl: u32| format!("{ttl} s");
    let parts = [
        moved("nameservers", &list(&old.nameservers), &list(&new.nameservers)),
        moved("contact", &old.contact, &new.contact),
        moved("ttl", &seconds(old.ttl), &seconds(new.ttl)),
        moved("negative_ttl", &seconds(old.negative_ttl), &seconds(new.negative_ttl)),
        (gone + come > 0).then(|| format!("records: {come} new, {gone} gone")),
        (old.master != new.master).then(|| "master file changed".into()),
    ];
    parts.into_iter().flatten().collect()
}

/// Whose overrides are obeyed.
fn keys(before: &RoutePlan, after: &RoutePlan) -> Vec<String> {
    let (old, new) = (&before.override_keys, &after.override_keys);
    let gone = old.iter().filter(|key| !new.contains(key));
    let gone = gone.map(|key| format!("key {} may no longer sign overrides", key.short()));
    let come = new.iter().filter(|key| !old.contains(key));
    gone.chain(come.map(|key| format!("key {} may sign overrides", key.short()))).collect()
}

fn client_map(before: &RoutePlan, after: &RoutePlan) -> Option<String> {
    let (old, new) = (&before.client_map, &after.client_map);
    let gone = old.keys().filter(|prefix| !new.contains_key(prefix)).count();
    let come = new.keys().filter(|prefix| !old.contains_key(prefix)).count();
    let other = new.iter().filter(|(prefix, to)| old.get(prefix).is_some_and(|was| was != *to)).count();
    let parts = [(come, "new"), (gone, "gone"), (other, "with other clusters")];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| format!("client map: prefixes {}", parts.join(", ")))
}
