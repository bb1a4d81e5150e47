use super::*;
use std::time::Duration;

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn echo(server: &str) {
    let server = socket(server);
    let to = server.local_addr().unwrap();
    let clients: Vec<_> = (0..5).map(|_| socket(&format!("{}:0", ip(to)))).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8; 40], to).unwrap();
    }
    let mut batch = Batch::new();
    let mut seen = 0;
    while seen < clients.len() {
        let received = batch.receive(&server).unwrap();
        for at in 0..received {
            let (query, source, reply) = batch.exchange(at).unwrap();
            assert_eq!(source, clients[usize::from(query[0])].local_addr().unwrap());
            reply[..query.len()].copy_from_slice(query);
            let length = query.len();
            batch.reply(at, length);
        }
        seen += received;
        assert_eq!(batch.send(&server), Sent { sent: received as u64, lost: 0 });
    }
    for (number, client) in clients.iter().enumerate() {
        let mut reply = [0; 100];
        let (length, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!((&reply[..length], from), ([number as u8; 40].as_slice(), to));
    }
}

fn ip(address: SocketAddr) -> String {
    if address.is_ipv4() { address.ip().to_string() } else { format!("[{}]", address.ip()) }
}

#[test]
fn each_reply_goes_where_its_query_came_from() {
    echo("127.0.0.1:0");
}

#[test]
fn over_ipv6_as_well() {
    if UdpSocket::bind("[::1]:0").is_ok() {
        echo("[::1]:0");
    }
}

#[test]
fn waiting_ends_with_the_timeout() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = Batch::new().receive(&server).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn there_is_no_query_beyond_the_batch() {
    assert!(Batch::new().exchange(BATCH).is_none());
    assert!(Batch::new().exchange(0).is_none());
}
