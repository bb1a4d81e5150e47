//! Questions to the DNS: one at a time, over UDP or TCP, each within [`PATIENCE`].

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use waggle_model::DomainName;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions sent again over UDP, which may lose them.
const ATTEMPTS: usize = 2;
const RESOLV_CONF: &str = "/etc/resolv.conf";

#[derive(Clone, Copy, Debug)]
pub enum Want {
    A,
    Aaaa,
    Ns,
    Soa,
}

/// What an answer says, in whichever section.
#[derive(Clone, Debug)]
pub struct Asked {
    pub code: ResponseCode,
    pub authoritative: bool,
    /// Of the name that was asked for.
    pub nameservers: Vec<DomainName>,
    /// Seconds, the shortest of theirs.
    pub nameservers_ttl: Option<u32>,
    pub addresses: BTreeMap<DomainName, Vec<IpAddr>>,
    pub serial: Option<u32>,
}

impl Asked {
    /// Unless the other one could not or would not say.
    pub fn answered(self, by: SocketAddr) -> Result<Asked, String> {
        match self.code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(self),
            code => Err(format!("{by} answers {code}")),
        }
    }
}

/// Whether this machine has a way to addresses of that kind. Nothing is sent.
pub fn has_way_to(at: SocketAddr) -> bool {
    std::net::UdpSocket::bind((any(at), 0)).and_then(|socket| socket.connect(at)).is_ok()
}

fn any(at: SocketAddr) -> IpAddr {
    if at.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// The first one of the system.
pub fn system_resolver() -> Result<SocketAddr, String> {
    let way_out = "name a resolver with --resolver IP:PORT";
    let text = std::fs::read_to_string(RESOLV_CONF).map_err(|error| format!("{RESOLV_CONF}: {error}; {way_out}"))?;
    let mut words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let address = words.find_map(|word| word.trim().parse::<IpAddr>().ok());
    let address = address.ok_or_else(|| format!("{RESOLV_CONF} names no resolver; {way_out}"))?;
    Ok(SocketAddr::new(address, 53))
}

/// `recursive`: the other one is a resolver. What does not fit into UDP is asked for again over TCP.
pub async fn ask(at: SocketAddr, name: &DomainName, want: Want, recursive: bool) -> Result<Asked, String> {
    let mut outcome = Err(String::new());
    for _ in 0..ATTEMPTS {
        let asked = within(at, "UDP", udp(at, name, want, recursive)).await;
        match asked {
            Ok(Some(asked)) => return Ok(asked),
            Ok(None) => return within(at, "TCP", tcp(at, name, want, recursive)).await,
            Err(why) => outcome = Err(why),
        }
    }
    outcome
}

pub async fn ask_tcp(at: SocketAddr, name: &DomainName, want: Want) -> Result<Asked, String> {
    within(at, "TCP", tcp(at, name, want, false)).await
}

async fn within<T>(at: SocketAddr, how: &str, asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(outcome) => outcome.map_err(|why| format!("{at} over {how}: {why}")),
        Err(_) => Err(format!("{at} over {how}: no answer within {} s", PATIENCE.as_secs())),
    }
}

/// `None`: the answer is cut short.
async fn udp(at: SocketAddr, name: &DomainName, want: Want, recursive: bool) -> Result<Option<Asked>, String> {
    let (id, question) = question(name, want, recursive)?;
    let socket = UdpSocket::bind((any(at), 0)).await.map_err(text)?;
    socket.connect(at).await.map_err(text)?;
    socket.send(&question).await.map_err(text)?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(text)?;
        if let Some((asked, truncated)) = read(buffer.get(..length).unwrap_or_default(), id, name)? {
            return Ok((!truncated).then_some(asked));
        }
    }
}

async fn tcp(at: SocketAddr, name: &DomainName, want: Want, recursive: bool) -> Result<Asked, String> {
    let (id, question) = question(name, want, recursive)?;
    let mut stream = TcpStream::connect(at).await.map_err(text)?;
    let length = u16::try_from(question.len()).map_err(text)?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await.map_err(text)?;
    let length = stream.read_u16().await.map_err(text)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(text)?;
    let read = read(&answer, id, name)?.ok_or_else(|| "it answered another question".to_owned());
    read.map(|(asked, _)| asked)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn question(name: &DomainName, want: Want, recursive: bool) -> Result<(u16, Vec<u8>), String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed) ^ (waggle_daemon::time::now() as u16).rotate_left(7);
    let kind = match want {
        Want::A => RecordType::A,
        Want::Aaaa => RecordType::AAAA,
        Want::Ns => RecordType::NS,
        Want::Soa => RecordType::SOA,
    };
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = recursive;
    message.add_query(Query::query(Name::from_ascii(format!("{}.", name.as_str())).map_err(text)?, kind));
    Ok((id, message.to_vec().map_err(text)?))
}

/// With whether it is cut short. `None`: it answers something else.
fn read(bytes: &[u8], id: u16, name: &DomainName) -> Result<Option<(Asked, bool)>, String> {
    let message = Message::from_vec(bytes).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if message.metadata.id != id {
        return Ok(None);
    }
    let mut asked = Asked {
        code: message.metadata.response_code,
        authoritative: message.metadata.authoritative,
        nameservers: Vec::new(),
        nameservers_ttl: None,
        addresses: BTreeMap::new(),
        serial: None,
    };
    for record in message.answers.iter().chain(&message.authorities).chain(&message.additionals) {
        let Some(owner) = domain(&record.name) else { continue };
        match &record.data {
            RData::NS(target) if owner == *name => {
                asked.nameservers.extend(domain(&target.0));
                asked.nameservers_ttl = Some(asked.nameservers_ttl.map_or(record.ttl, |ttl| ttl.min(record.ttl)));
            }
            RData::A(address) => asked.addresses.entry(owner).or_default().push(address.0.into()),
            RData::AAAA(address) => asked.addresses.entry(owner).or_default().push(address.0.into()),
            RData::SOA(soa) if owner == *name => asked.serial = Some(soa.serial),
            _ => {}
        }
    }
    asked.nameservers.sort();
    asked.nameservers.dedup();
    Ok(Some((asked, message.metadata.truncation)))
}

fn domain(name: &Name) -> Option<DomainName> {
    name.to_ascii().to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests;
