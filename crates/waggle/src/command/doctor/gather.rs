//! Facts from control and from the DNS.

use super::dns::{self, Asked, Want};
use super::facts::{Direct, Facts, ServerFacts, ZoneFacts};
use crate::client::Client;
use crate::exit::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use waggle_model::DomainName;
use waggle_model::fleet::{Federation, Zone};

/// Zones looked at in one run.
const ZONES_MAX: usize = 64;
/// Nameserver names looked at per zone.
const SERVERS_MAX: usize = 16;
/// Addresses asked per name.
const ADDRESSES_MAX: usize = 4;
const PORT: u16 = 53;

pub async fn gather(
    client: &Client,
    zone: Option<&DomainName>,
    resolver: Option<SocketAddr>,
) -> Result<Facts, Failure> {
    let federation: Federation = client.get("/v1/federation").await?;
    let (status, routes) = (client.get("/v1/status").await?, client.get("/v1/routes").await?);
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
    Ok(Facts { status, federation, routes, zones })
}

async fn look(name: &DomainName, zone: &Zone, resolver: Result<SocketAddr, String>) -> ZoneFacts {
    let resolved = match &resolver {
        Ok(resolver) => dns::ask(*resolver, name, Want::Ns, true).await.map(|said| said.nameservers),
        Err(why) => Err(why.clone()),
    };
    let referral = match &resolver {
        Ok(resolver) => referral(*resolver, name).await,
        Err(why) => Err(why.clone()),
    };
    let (delegated, glue) = match referral {
        Ok(said) => (Ok(said.nameservers), said.addresses),
        Err(why) => (Err(why), BTreeMap::new()),
    };
    let mut servers = BTreeMap::new();
    for server in zone.nameservers.iter().take(SERVERS_MAX) {
        let addresses = addresses(server, zone, &glue, resolver.as_ref()).await;
        let mut answers = Vec::new();
        for address in addresses.iter().flatten().take(ADDRESSES_MAX) {
            let at = SocketAddr::new(*address, PORT);
            let udp = dns::ask(at, name, Want::Soa, false).await.and_then(serial);
            let tcp = dns::ask_tcp(at, name, Want::Soa).await.and_then(serial);
            answers.push(Direct { udp, tcp });
        }
        servers.insert(server.clone(), ServerFacts { addresses, answers });
    }
    ZoneFacts { resolved, delegated, glue, servers }
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
    let mut parent = zone.as_str().split_once('.').map_or("", |(_, rest)| rest).to_owned();
    loop {
        let name = parent.parse::<DomainName>().map_err(|error| error.to_string())?;
        let said = dns::ask(resolver, &name, Want::Ns, true).await?;
        if let Some(server) = said.nameservers.first() {
            let addresses = dns::ask(resolver, server, Want::A, true).await?.addresses;
            let address = addresses.get(server).and_then(|found| found.first());
            let address =
                address.ok_or_else(|| format!("{server}, a nameserver of the parent {parent:?}, has no address"))?;
            return dns::ask(SocketAddr::new(*address, PORT), zone, Want::Ns, false).await;
        }
        match parent.split_once('.') {
            Some((_, rest)) => parent = rest.to_owned(),
            None if parent.is_empty() => return Err("no parent zone is found".into()),
            None => parent = String::new(),
        }
    }
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
    let said = dns::ask(*resolver.map_err(Clone::clone)?, server, Want::A, true).await?;
    match said.addresses.get(server).filter(|found| !found.is_empty()) {
        Some(found) => Ok(found.clone()),
        None => Err(format!("it has no address ({})", said.code)),
    }
}
