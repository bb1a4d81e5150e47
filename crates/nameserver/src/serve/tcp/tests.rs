use super::*;
use crate::tests::fixture::{ROUTE, plan, query};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use waggle_dns::Snapshot;

const PATIENCE: Duration = Duration::from_secs(10);
/// Nothing is expected to happen.
const MOMENT: Duration = Duration::from_millis(50);

/// A hall with one listener, moved on by hand.
struct Bench {
    server: Server,
    serving: Serving,
    address: SocketAddr,
}

impl Bench {
    fn new(max: usize) -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let snapshot = Snapshot::compile(&plan(1, &[("eu-1", "192.0.2.1")]), None, [7; 16]).unwrap();
        let (state, traffic) = (Arc::default(), Arc::new(Traffic::new(0)));
        let server = Server { listeners: vec![listener], state, traffic, answer: Serving::answer, max };
        Bench { server, serving: Serving::new(snapshot), address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Hall<'_> {
    fn go(&mut self, serving: &Serving, mut until: impl FnMut(&Hall<'_>) -> bool) {
        let began = Instant::now();
        while !until(self) {
            assert!(began.elapsed() < PATIENCE, "it never came to that");
            self.wait(MOMENT).unwrap();
            self.step(Some(serving)).unwrap();
        }
    }

    /// Until `bytes` have come back over `stream`.
    fn read(&mut self, serving: &Serving, stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        let mut filled = 0;
        stream.set_nonblocking(true).unwrap();
        self.go(serving, |_| {
            if let Ok(more) = stream.read(&mut got[filled..]) {
                assert_ne!(more, 0, "closed after {filled} octets");
                filled += more;
            }
            filled == bytes
        });
        got
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn queries_in_pieces_and_many_at_once_are_all_answered_in_order() {
    let bench = Bench::new(8);
    let mut hall = Hall::new(&bench.server).unwrap();
    let mut stream = bench.connect();
    let one = framed(&query(ROUTE, RecordType::A).to_vec().unwrap());
    // An octet at a time.
    for octet in &one {
        stream.write_all(&[*octet]).unwrap();
        hall.wait(MOMENT).unwrap();
        hall.step(Some(&bench.serving)).unwrap();
    }
    let reply = hall.read(&bench.serving, &mut stream, 2 + 12 + 22 + 16);
    assert_eq!(Message::from_vec(&reply[2..]).unwrap().answers.len(), 1);
    // More than fits into one read, each with an ID of its own, and cut in the middle of one.
    let mut many = Vec::new();
    for id in 0..2000u16 {
        let mut query = query(ROUTE, RecordType::A).to_vec().unwrap();
        query[..2].copy_from_slice(&id.to_be_bytes());
        many.extend(framed(&query));
    }
    let (first, second) = many.split_at(many.len() / 2 + 5);
    stream.set_nonblocking(false).unwrap();
    stream.write_all(first).unwrap();
    let before = hall.read(&bench.serving, &mut stream, 999 * reply.len());
    stream.set_nonblocking(false).unwrap();
    stream.write_all(second).unwrap();
    let after = hall.read(&bench.serving, &mut stream, 1001 * reply.len());
    let replies = [before, after].concat();
    let ids = replies.chunks(reply.len()).map(|reply| u16::from_be_bytes([reply[2], reply[3]]));
    assert!(ids.eq(0..2000));
}

#[test]
fn who_does_not_read_is_not_answered_until_it_does() {
    let bench = Bench::new(8);
    let mut hall = Hall::new(&bench.server).unwrap();
    let mut stream = bench.connect();
    let mut long = query("long.shop.example", RecordType::TXT);
    long.metadata.id = 9;
    let long = framed(&long.to_vec().unwrap());
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    hall.go(&bench.serving, |hall| {
        if sent < 100_000 && stream.write(&long).is_ok_and(|count| count == long.len()) {
            sent += 1;
        }
        hall.blocked == 1
    });
    let held = hall.connections[0].as_ref().unwrap();
    assert_eq!(held.left, Left::Blocked);
    // Replies: 20 texts of 100 octets.
    let mut length = [0; 2];
    stream.set_nonblocking(false).unwrap();
    stream.read_exact(&mut length).unwrap();
    let each = 2 + usize::from(u16::from_be_bytes(length));
    let rest = hall.read(&bench.serving, &mut stream, sent * each - 2);
    assert_eq!(rest.len() + 2, sent * each);
    assert_eq!(hall.blocked, 0);
}

#[test]
fn nothing_is_kept_for_a_connection_that_was_blocked_once() {
    let bench = Bench::new(8);
    let mut hall = Hall::new(&bench.server).unwrap();
    let mut stream = bench.connect();
    let long = framed(&query("long.shop.example", RecordType::TXT).to_vec().unwrap());
    let mut one = bench.connect();
    one.write_all(&long).unwrap();
    hall.go(&bench.serving, |hall| hall.crowd.len() == 2);
    let mut length = [0; 2];
    length.copy_from_slice(&hall.read(&bench.serving, &mut one, 2));
    let each = 2 + usize::from(u16::from_be_bytes(length));
    // All of them have come before the first is answered.
    let count = 4000;
    stream.write_all(&long.repeat(count)).unwrap();
    hall.go(&bench.serving, |hall| hall.blocked == 1);
    let held = |hall: &Hall<'_>| hall.connections.iter().flatten().map(Connection::held).max();
    assert!(held(&hall) > Some(1000), "{:?}", held(&hall));
    hall.read(&bench.serving, &mut stream, count * each);
    hall.go(&bench.serving, |hall| hall.blocked == 0);
    assert_eq!(held(&hall), Some(0));
}

#[test]
fn a_full_house_lets_newcomers_in_at_the_cost_of_the_longest_silent() {
    let bench = Bench::new(3);
    let mut hall = Hall::new(&bench.server).unwrap();
    let mut streams: Vec<_> = (0..3).map(|_| bench.connect()).collect();
    hall.go(&bench.serving, |hall| hall.crowd.len() == 3);
    let one = framed(&query(ROUTE, RecordType::A).to_vec().unwrap());
    streams[0].write_all(&one).unwrap();
    hall.read(&bench.serving, &mut streams[0], 52);
    let mut newcomer = bench.connect();
    newcomer.write_all(&one).unwrap();
    hall.read(&bench.serving, &mut newcomer, 52);
    assert_eq!(hall.crowd.len(), 3);
    let closed: Vec<bool> = streams.iter_mut().map(is_closed).collect();
    assert_eq!(closed.iter().filter(|closed| **closed).count(), 1);
    assert!(!closed[0], "it was active last");
}

#[test]
fn silence_and_nonsense_end_a_connection() {
    let bench = Bench::new(8);
    let mut hall = Hall::new(&bench.server).unwrap();
    let (mut idle, mut dripping, mut oversized) = (bench.connect(), bench.connect(), bench.connect());
    hall.go(&bench.serving, |hall| hall.crowd.len() == 3);
    oversized.write_all(&[0xff, 0xff, 1]).unwrap();
    hall.go(&bench.serving, |hall| hall.crowd.len() == 2);
    assert!(is_closed(&mut oversized));
    // Parts of a query are no sign of life.
    hall.now += KEEPALIVE / 2;
    dripping.write_all(&[0, 40, 1]).unwrap();
    hall.go(&bench.serving, |hall| hall.connections.iter().flatten().count() == 2 && hall.pending > 0);
    hall.now = Instant::now() + KEEPALIVE;
    hall.close_idle();
    assert_eq!(hall.crowd.len(), 0);
    assert!(is_closed(&mut idle) && is_closed(&mut dripping));
}
