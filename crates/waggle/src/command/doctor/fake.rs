//! A DNS server for tests: real sockets on loopback, replies from a function.

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, NS};
use hickory_proto::rr::{Name, RData, Record};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The question, whether it came over TCP, and the reply to fill.
type Script = dyn Fn(&Query, bool, &mut Message) + Send + Sync;

pub struct Fake {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Fake {
    pub async fn start(script: impl Fn(&Query, bool, &mut Message) + Send + Sync + 'static) -> Fake {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        tasks.spawn(answer_datagrams(udp, script.clone()));
        tasks.spawn(answer_connections(tcp, script));
        Fake { address, _tasks: tasks }
    }
}

fn reply(script: &Script, query: &[u8], over_tcp: bool) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    let question = query.queries.first().unwrap();
    reply.add_query(question.clone());
    script(question, over_tcp, &mut reply);
    reply.to_vec().unwrap()
}

async fn answer_datagrams(socket: UdpSocket, script: Arc<Script>) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(&reply(&*script, &buffer[..length], false), from).await.unwrap();
    }
}

async fn answer_connections(listener: TcpListener, script: Arc<Script>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await.unwrap();
        let reply = reply(&*script, &query, true);
        stream.write_u16(reply.len() as u16).await.unwrap();
        stream.write_all(&reply).await.unwrap();
    }
}

/// All records live for so many seconds.
const TTL: u32 = 7;

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(format!("{owner}.")).unwrap(), TTL, data)
}

pub fn ns(owner: &str, target: &str) -> Record {
    record(owner, RData::NS(NS(Name::from_ascii(format!("{target}.")).unwrap())))
}

pub fn a(owner: &str, address: [u8; 4]) -> Record {
    record(owner, RData::A(A(address.into())))
}

pub fn aaaa(owner: &str, address: &str) -> Record {
    record(owner, RData::AAAA(AAAA(address.parse().unwrap())))
}
