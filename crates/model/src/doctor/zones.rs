//! One zone: where its nameservers are, who delegates to them, and what they answer.

use super::facts::{Facts, ServerFacts, ZoneFacts};
use super::{Findings, list};
use crate::DomainName;
use crate::fleet::Zone;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Seconds. Longer lives of NS records keep a lost nameserver in caches.
const NS_TTL_MAX: u32 = 86_400;
/// Seconds. What large registries have, and nobody below them can change.
const PARENT_TTL_MAX: u32 = 172_800;
/// Seconds. A new route does not exist for resolvers that asked before.
const NEGATIVE_TTL_MAX: u32 = 60;
/// Plans that a nameserver may be behind while one is on its way.
const BEHIND_MAX: u64 = 1;

pub(super) fn examine(facts: &Facts, name: &DomainName, said: &ZoneFacts, found: &mut Findings) {
    let Some(zone) = facts.federation.zones.get(name) else { return };
    let at = name.to_string();
    found.check("nameservers", &at, "has two or more nameservers in different places", |f| {
        placement(facts, name, zone, said, f)
    });
    found.check("delegation", &at, "is delegated to its nameservers", |f| delegation(name, zone, said, f));
    found.check("answers", &at, "every nameserver answers over UDP and TCP", |f| answers(name, said, f));
    found.check("serials", &at, "all answer from the present route plan", |f| serials(facts, name, said, f));
    found.check("ttl", &at, "records live as long as they should", |f| ttls(name, zone, said, f));
}

fn placement(facts: &Facts, name: &DomainName, zone: &Zone, said: &ZoneFacts, found: &mut Findings) {
    if zone.nameservers.len() < 2 {
        let help = "run a second nameserver elsewhere and list it in the zone's `nameservers`";
        return found.problem(name, "has a single nameserver: when it is lost, every route is", help);
    }
    let known = said.servers.values().map(|one| one.addresses.as_ref().ok().filter(|found| !found.is_empty()));
    let Some(servers) = known.collect::<Option<Vec<&Vec<IpAddr>>>>() else { return };
    let addresses: BTreeSet<IpAddr> = servers.iter().flat_map(|addresses| addresses.iter()).copied().collect();
    let help = "put at least one nameserver into another place, outside of any one failure domain";
    let clusters = &facts.federation.clusters;
    let home = |addresses: &&Vec<IpAddr>| {
        let is_there = |address: &IpAddr| clusters.iter().find(|(_, cluster)| cluster.addresses.contains(address));
        addresses.iter().find_map(is_there).map(|(name, _)| name)
    };
    let homes: Option<BTreeSet<_>> = servers.iter().map(home).collect();
    if let Some((1, Some(cluster))) = homes.map(|homes| (homes.len(), homes.first().copied())) {
        return found.problem(name, format!("all nameservers live in cluster {cluster} and are lost with it"), help);
    }
    if let (1, Some(address)) = (addresses.len(), addresses.first()) {
        let text = format!("all nameservers have the address {address}: they are one machine, and lost together");
        return found.problem(name, text, "run a second nameserver elsewhere");
    }
    // One of each kind is still one place: a machine has both.
    let networks: BTreeSet<IpNet> = addresses.iter().map(|address| network(*address)).collect();
    let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = networks.iter().partition(|network| network.addr().is_ipv4());
    if v4.len() <= 1 && v6.len() <= 1 && !networks.is_empty() {
        found.warning(name, format!("all nameservers are in {}: one failure domain", list(&networks)), help);
    }
}

/// /24, or /48 of IPv6.
fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or_else(|_| address.into(), |network| network.trunc())
}

fn delegation(name: &DomainName, zone: &Zone, said: &ZoneFacts, found: &mut Findings) {
    let ours: BTreeSet<_> = zone.nameservers.iter().collect();
    let mut compare = |theirs: &[DomainName], who: &str, help: &str| {
        let theirs: BTreeSet<_> = theirs.iter().collect();
        if theirs.is_empty() {
            return found.problem(name, format!("{who} knows no nameserver of it"), help);
        }
        let lacking: Vec<_> = ours.difference(&theirs).collect();
        if !lacking.is_empty() {
            found.warning(name, format!("{who} does not name {}", list(lacking)), help);
        }
        let foreign: Vec<_> = theirs.difference(&ours).collect();
        if !foreign.is_empty() {
            let text = format!("{who} names {}, not listed in the zone's `nameservers`", list(foreign));
            found.problem(name, text, help);
        }
    };
    let registrar = "set the NS records where the zone is registered to its `nameservers`";
    match (&said.delegated, &said.resolved) {
        (Ok(theirs), _) => compare(theirs, "the parent zone", registrar),
        (Err(_), Ok(theirs)) => compare(theirs, "the resolver", registrar),
        (Err(parent), Err(resolver)) => {
            let text = format!("not known: the parent: {parent}; the resolver: {resolver}");
            return found.warning(name, text, "try another resolver with --resolver IP:PORT");
        }
    }
    for server in said.delegated.iter().flatten().filter(|server| server.is_within(name)) {
        if said.glue.get(server).is_none_or(Vec::is_empty) {
            let text =
                "the parent names it without an address (glue), and it lies in the zone itself: nobody can find it";
            found.problem(server, text, "add its addresses (glue) where the zone is registered");
        }
    }
    said.glue.iter().for_each(|(server, addresses)| glue(server, addresses, zone, found));
}

/// The parent's addresses of a nameserver against the zone's own.
fn glue(server: &DomainName, addresses: &[IpAddr], zone: &Zone, found: &mut Findings) {
    let own = zone.records.iter().filter(|record| record.name == *server).flat_map(|record| &record.values);
    let own: BTreeSet<IpAddr> = own.filter_map(|value| value.parse().ok()).collect();
    let help = "correct the addresses (glue) where the zone is registered";
    let stale: Vec<_> = addresses.iter().filter(|address| !own.contains(address)).collect();
    if own.is_empty() {
        return;
    }
    if !stale.is_empty() {
        let text = format!("the parent's glue says {}, the zone {}", list(stale), list(&own));
        return found.problem(server, text, help);
    }
    let lacking: Vec<_> = own.iter().filter(|address| !addresses.contains(address)).collect();
    if !lacking.is_empty() {
        found.warning(server, format!("the parent's glue lacks {}", list(lacking)), help);
    }
}

fn answers(name: &DomainName, said: &ZoneFacts, found: &mut Findings) {
    for (server, ServerFacts { addresses, answers }) in &said.servers {
        if let Err(why) = addresses {
            let help = "give it an A or AAAA record in the zone, or in the zone it lies in";
            found.problem(server, format!("its address is not found: {why}"), help);
        }
        for direct in answers {
            if let (true, Err(why)) = (direct.no_way, &direct.udp) {
                let text = format!("cannot be asked from this machine: {why}");
                found.warning(server, text, "run `waggle doctor` where there is IPv6");
                continue;
            }
            match (&direct.udp, &direct.tcp) {
                (Ok(_), Ok(_)) => {}
                (Err(udp), Err(_)) => {
                    let text = format!("is lame for {name}: {udp}");
                    found.problem(
                        server,
                        text,
                        "start it, let port 53 through, or take it from the zone's `nameservers`",
                    );
                }
                (Ok(_), Err(tcp)) => {
                    let text = format!("does not answer over TCP: {tcp}");
                    found.problem(server, text, "let TCP port 53 through: long and retried answers need it");
                }
                (Err(udp), Ok(_)) => {
                    let text = format!("does not answer over UDP: {udp}");
                    found.problem(server, text, "let UDP port 53 through, both ways");
                }
            }
        }
    }
}

fn serials(facts: &Facts, name: &DomainName, said: &ZoneFacts, found: &mut Findings) {
    let plan = facts.plan_generation;
    // The serial of a zone is the generation modulo 2³².
    let behind = |serial: u32| u64::from((plan.0 as u32).wrapping_sub(serial));
    for (server, one) in &said.servers {
        let serials = one.answers.iter().filter_map(|direct| direct.udp.as_ref().ok());
        for serial in serials.filter(|serial| (BEHIND_MAX + 1..1 << 31).contains(&behind(**serial))) {
            let text = format!("answers {name} from route plan {serial}; control has {plan}");
            found.problem(server, text, "see `waggle nameserver ls`: is it connected to control?");
        }
    }
}

fn ttls(name: &DomainName, zone: &Zone, said: &ZoneFacts, found: &mut Findings) {
    if let Some(ttl) = said.delegated_ttl.filter(|ttl| *ttl != zone.ttl) {
        let own = zone.ttl;
        if ttl > PARENT_TTL_MAX {
            let text = format!(
                "the parent's NS records live {ttl} s, the zone's {own} s: a nameserver that leaves is asked for so long"
            );
            found.warning(name, text, "keep a nameserver that leaves the zone running for that time");
        } else {
            found.fine(name, format!("the parent's NS records live {ttl} s, the zone's {own} s"));
        }
    }
    if zone.ttl > NS_TTL_MAX {
        let text = format!("its ttl of {} s keeps old NS records in caches for long", zone.ttl);
        found.warning(name, text, "a day is enough");
    }
    if zone.negative_ttl > NEGATIVE_TTL_MAX {
        let text = format!("negative_ttl is {} s: so long may a new route seem not to exist", zone.negative_ttl);
        found.warning(name, text, "5 s is the default");
    }
}
