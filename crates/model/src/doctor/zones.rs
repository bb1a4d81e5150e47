//! One zone: where its nameservers are, who delegates to them, and what they answer.

use super::super::facts::{Facts, ServerFacts, ZoneFacts};
use super::{Findings, list};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use waggle_model::DomainName;
use waggle_model::fleet::Zone;

/// Seconds. Longer lives of NS records keep a lost nameserver in caches.
const NS_TTL_MAX: u32 = 86_400;
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
    found.check("ttl", &at, "records live as long as they should", |f| ttls(name, zone, f));
}

fn placement(facts: &Facts, name: &DomainName, zone: &Zone, said: &ZoneFacts, found: &mut Findings) {
    if zone.nameservers.len() < 2 {
        let help = "run a second nameserver elsewhere and list it in the zone's `nameservers`";
        return found.problem(name, "has a single nameserver: when it is lost, every route is", help);
    }
    let addresses: BTreeSet<IpAddr> =
        said.servers.values().flat_map(|one| one.addresses.iter().flatten()).copied().collect();
    if addresses.is_empty() || said.servers.values().any(|one| one.addresses.is_err()) {
        return;
    }
    let help = "put at least one nameserver into another place, outside of any one failure domain";
    let networks: BTreeSet<IpNet> = addresses.iter().map(|address| network(*address)).collect();
    if let (1, Some(network)) = (networks.len(), networks.first()) {
        found.warning(name, format!("all nameservers are in {network}: one failure domain"), help);
    }
    let clusters = &facts.federation.clusters;
    let within = |address: &IpAddr| clusters.iter().find(|(_, cluster)| cluster.addresses.contains(address));
    let homes: Option<BTreeSet<_>> = addresses.iter().map(|address| within(address).map(|(name, _)| name)).collect();
    if let Some((1, Some(cluster))) = homes.map(|homes| (homes.len(), homes.first().copied())) {
        found.problem(name, format!("all nameservers live in cluster {cluster} and are lost with it"), help);
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
    for (server, addresses) in &said.glue {
        let own = zone.records.iter().filter(|record| record.name == *server).flat_map(|record| &record.values);
        let own: BTreeSet<IpAddr> = own.filter_map(|value| value.parse().ok()).collect();
        let stale: Vec<_> = addresses.iter().filter(|address| !own.contains(address)).collect();
        if !own.is_empty() && !stale.is_empty() {
            let text = format!("the parent's glue says {}, the zone {}", list(stale), list(&own));
            found.problem(server, text, "correct the addresses (glue) where the zone is registered");
        }
    }
}

fn answers(name: &DomainName, said: &ZoneFacts, found: &mut Findings) {
    for (server, ServerFacts { addresses, answers }) in &said.servers {
        if let Err(why) = addresses {
            let help = "give it an A or AAAA record in the zone, or in the zone it lies in";
            found.problem(server, format!("its address is not found: {why}"), help);
        }
        for direct in answers {
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
    let plan = facts.status.plan_generation;
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

fn ttls(name: &DomainName, zone: &Zone, found: &mut Findings) {
    if zone.ttl > NS_TTL_MAX {
        let text = format!("its ttl of {} s keeps old NS records in caches for long", zone.ttl);
        found.warning(name, text, "a day is enough");
    }
    if zone.negative_ttl > NEGATIVE_TTL_MAX {
        let text = format!("negative_ttl is {} s: so long may a new route seem not to exist", zone.negative_ttl);
        found.warning(name, text, "5 s is the default");
    }
}
