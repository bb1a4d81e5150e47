//! Facts from control and from the DNS.

use super::dns::{self, Asked, Want};
use crate::client::Client;
use crate::exit::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use waggle_control::api::types::{RouteState, RouteSummary, StatusView};
use waggle_model::doctor::facts::{Direct, Facts, ProcessFacts, RouteFacts, ServerFacts, ShareFacts, ZoneFacts};
use waggle_model::fleet::{Federation, Zone};
use waggle_model::{DomainName, Timestamp};

/// Zones looked at in one run.
const ZONES_MAX: usize = 64;
/// Nameserver names looked at per zone.
const SERVERS_MAX: usize = 16;
/// Addresses asked per name.
const ADDRESSES_MAX: usize = 4;
/// Nameservers of a parent that are tried.
const PARENTS_MAX: usize = 3;
const PORT: u16 = 53;

pub async fn gather(
    client: &Client,
    zone: Option<&DomainName>,
    resolver: Option<SocketAddr>,
) -> Result<Facts, Failure> {
    let federation: Federation = client.get("/v1/federation").await?;
    let status: StatusView = client.get("/v1/status").await?;
    let summaries: Vec<RouteSummary> = client.get("/v1/routes").await?;
    let resolver = resolver.map_or_else(dns::system_resolver, Ok);
    let wanted = federation.zones.iter().filter(|(name, _)| zone.is_none_or(|zone| zone == *name)).take(ZONES_MAX);
    let mut zones = BTreeMap::new();
    for (name, zone) in wanted {
        zones.insert(name.clone(), look(name, zone, resolver.clone()).await);
    }
    if let Some(zone) = zone.filter(|_| zones.is_empty()) {
        let failure = Failure::refused(format!("the federation has no zone {zone}"));
        let names: Vec<_> = federation.zones.keys().map(|name| name.as_str()).collect();
        return Err(failure.with_help(format!("its zones are: {}", names.join(", "))));
    }
    Ok(facts(status, federation, summaries, zones))
}

fn facts(
    status: StatusView,
    federation: Federation,
    routes: Vec<RouteSummary>,
    zones: BTreeMap<DomainName, ZoneFacts>,
) -> Facts {
    let agents = status.clusters.into_iter().map(|one| {
        let (connected, version, skew_ms) = (one.connected, one.agent_version, one.skew_ms);
        let (certificate_until, clients) = (one.certificate_until_at, Vec::new());
        (one.name, ProcessFacts { connected, version, skew_ms, certificate_until, clients })
    });
    let nameservers = status.nameservers.into_iter().map(|one| {
        let (connected, version, skew_ms) = (one.connected, one.version, one.skew_ms);
        let (certificate_until, clients) = (one.certificate_until_at, one.clients);
        (one.name, ProcessFacts { connected, version, skew_ms, certificate_until, clients })
    });
    let routes = routes.into_iter().map(|route| {
        let clusters = route.clusters.into_iter().map(|(name, cluster)| {
            let drained = matches!(cluster.state, RouteState::Drained { .. });
            (name, ShareFacts { drained, answers: cluster.answers })
        });
        let (ttl, checked, all_down) = (route.ttl, route.checked, route.all_down);
        (route.name, RouteFacts { ttl, checked, all_down, clusters: clusters.collect() })
    });
    Facts {
        now: Timestamp(waggle_daemon::time::now()),
        version: status.version,
        plan_generation: status.plan_generation,
        attention: status.attention,
        agents: agents.collect(),
        nameservers: nameservers.collect(),
        federation,
        routes: routes.collect(),
        zones,
    }
}

async fn look(name: &DomainName, zone: &Zone, resolver: Result<SocketAddr, String>) -> ZoneFacts {
    let (resolved, referral) = match &resolver {
        Ok(resolver) => (nameservers(*resolver, name).await, referral(*resolver, name).await),
        Err(why) => (Err(why.clone()), Err(why.clone())),
    };
    let (delegated, delegated_ttl, glue) = match referral {
        Ok(said) => (Ok(said.nameservers), said.nameservers_ttl, said.addresses),
        Err(why) => (Err(why), None, BTreeMap::new()),
    };
    let mut servers = BTreeMap::new();
    for server in zone.nameservers.iter().take(SERVERS_MAX) {
        let addresses = addresses(server, zone, &glue, resolver.as_ref()).await;
        let mut answers = Vec::new();
        for address in addresses.iter().flatten().take(ADDRESSES_MAX) {
            answers.push(direct(SocketAddr::new(*address, PORT), name).await);
        }
        servers.insert(server.clone(), ServerFacts { addresses, answers });
    }
    ZoneFacts { resolved, delegated, delegated_ttl, glue, servers }
}

async fn direct(at: SocketAddr, name: &DomainName) -> Direct {
    let udp = dns::ask(at, name, Want::Soa, false).await.and_then(serial);
    let tcp = dns::ask_tcp(at, name, Want::Soa).await.and_then(serial);
    Direct { no_way: udp.is_err() && !dns::has_way_to(at), udp, tcp }
}

/// As a resolver finds them.
async fn nameservers(resolver: SocketAddr, zone: &DomainName) -> Result<Vec<DomainName>, String> {
    let said = dns::ask(resolver, zone, Want::Ns, true).await?.answered(resolver)?;
    Ok(said.nameservers)
}

fn serial(said: Asked) -> Result<u32, String> {
    match said.serial {
        Some(serial) if said.authoritative => Ok(serial),
        Some(_) => Err("the answer is not authoritative".into()),
        None => Err(format!("no SOA in the answer ({})", said.code)),
    }
}

/// What the closest zone above says, asked at its own nameservers.
async fn referral(resolver: SocketAddr, zone: &DomainName) -> Result<Asked, String> {
    let mut above = zone.as_str().split_once('.').map_or("", |(_, rest)| rest);
    loop {
        let parent = above.parse::<DomainName>().map_err(|error| error.to_string())?;
        let servers = nameservers(resolver, &parent).await?;
        if !servers.is_empty() {
            return referral_of(resolver, zone, &parent, &servers).await;
        }
        above = match above.split_once('.') {
            Some((_, rest)) => rest,
            None if above.is_empty() => return Err("no parent zone is found".into()),
            None => "",
        };
    }
}

/// From the first nameserver of the parent that says something.
async fn referral_of(
    resolver: SocketAddr,
    zone: &DomainName,
    parent: &DomainName,
    servers: &[DomainName],
) -> Result<Asked, String> {
    let mut outcome = Err(format!("{parent} has no nameserver"));
    for server in servers.iter().take(PARENTS_MAX) {
        let addresses = match resolved(resolver, server).await {
            Ok(addresses) => addresses,
            Err(why) => {
                outcome = Err(format!("{server}, a nameserver of the parent {parent}: {why}"));
                continue;
            }
        };
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let at = SocketAddr::new(address, PORT);
            outcome = dns::ask(at, zone, Want::Ns, false).await.and_then(|said| said.answered(at));
            if outcome.is_ok() {
                return outcome;
            }
        }
    }
    outcome
}

/// Addresses of both kinds, as a resolver finds them.
async fn resolved(resolver: SocketAddr, server: &DomainName) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for want in [Want::A, Want::Aaaa] {
        let mut said = dns::ask(resolver, server, want, true).await?.answered(resolver)?;
        found.extend(said.addresses.remove(server).unwrap_or_default());
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
}

/// From the zone's own records, the referral, or else a resolver.
async fn addresses(
    server: &DomainName,
    zone: &Zone,
    glue: &BTreeMap<DomainName, Vec<IpAddr>>,
    resolver: Result<&SocketAddr, &String>,
) -> Result<Vec<IpAddr>, String> {
    let own = zone.records.iter().filter(|record| record.name == *server).flat_map(|record| &record.values);
    let own: BTreeSet<IpAddr> = own.filter_map(|value| value.parse().ok()).collect();
    if !own.is_empty() {
        return Ok(own.into_iter().collect());
    }
    if let Some(found) = glue.get(server).filter(|found| !found.is_empty()) {
        return Ok(found.clone());
    }
    resolved(*resolver.map_err(Clone::clone)?, server).await
}

#[cfg(test)]
mod tests;
