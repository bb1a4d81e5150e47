use super::*;
use crate::tests::fixture::{ROUTE, plan, query};
use hickory_proto::op::Edns;
use hickory_proto::rr::RecordType;
use waggle_dns::{Snapshot, asker};

fn serving() -> Serving {
    let plan = plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")]);
    Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap())
}

/// As the nameserver would sample it.
pub(in crate::querylog) fn sampled(serving: &Serving, query: &Message, source: &str) -> Sampled {
    let (query, source) = (query.to_vec().unwrap(), source.parse().unwrap());
    let mut out = [0; 1280];
    let length = serving.answer(&query, source, Transport::Udp, Timestamp(1_000), &mut out).unwrap();
    let reply = out[..length].to_vec();
    Sampled {
        at: Timestamp(1_000),
        source,
        transport: Transport::Udp,
        weight: 3,
        took: 250,
        query,
        reply_len: length,
        reply,
    }
}

pub(in crate::querylog) fn with_subnet(mut query: Message, subnet: &str) -> Message {
    let subnet: IpNet = subnet.parse().unwrap();
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    let option = ClientSubnet::new(subnet.addr(), subnet.prefix_len(), 0);
    edns.options_mut().insert(EdnsOption::Subnet(option));
    query.edns = Some(edns);
    query
}

fn entry(message: &Message, source: &str) -> Entry {
    let serving = serving();
    let sampled = sampled(&serving, message, source);
    let asker = asker(&serving.snapshot, &sampled.query, sampled.source.ip());
    Entry::new(sampled, Some(&serving), asker)
}

#[test]
fn an_entry_says_who_asked_and_what_was_answered() {
    let asked = with_subnet(query("wWw.Shop.example", RecordType::A), "198.51.100.0/24");
    let entry = entry(&asked, "203.0.113.53:4711");
    let json = serde_json::to_value(&entry).unwrap();
    let wanted = serde_json::json!({
        "at": 1000, "source": "203.0.113.53/32", "subnet": "198.51.100.0/24", "transport": "udp",
        "name": ROUTE, "type": "A", "rcode": "NOERROR", "answers": 1, "addresses": ["192.0.2.1"], "scope": 0,
        "route": ROUTE, "clusters": ["eu-1"], "query_bytes": 56, "reply_bytes": 72, "took_ns": 250, "weight": 3,
    });
    assert_eq!(json, wanted);
}

#[test]
fn what_no_route_decides_is_logged_too() {
    let missing = entry(&query("nothing.shop.example", RecordType::AAAA), "[2001:db8::7]:53");
    assert_eq!((missing.rcode, missing.answers, missing.route), ("NXDOMAIN", 0, None));
    assert_eq!((missing.kind.as_deref(), missing.source.to_string().as_str()), (Some("AAAA"), "2001:db8::7/128"));
    let mut newer = query(ROUTE, RecordType::A);
    newer.edns = Some(Edns::new());
    newer.edns.as_mut().unwrap().set_version(7);
    assert_eq!(entry(&newer, "192.0.2.7:53").rcode, "BADVERS");
    // A message that no decoder takes.
    let serving = serving();
    let mut broken = sampled(&serving, &query(ROUTE, RecordType::A), "192.0.2.7:53");
    broken.query.truncate(13);
    broken.reply.truncate(12);
    let broken = Entry::new(broken, Some(&serving), None);
    assert_eq!((broken.rcode, broken.name, broken.query_bytes), ("NOERROR", None, 13));
}

#[test]
fn no_octet_of_a_cut_entry_names_the_client() {
    for (subnet, source, wanted) in [
        ("198.51.100.77/32", "203.0.113.53:4711", ["198.51.100.0/24", "203.0.113.0/24"]),
        ("2001:db8:1:2:3::77/128", "[2001:db8:9:8:7::1]:4711", ["2001:db8:1::/56", "2001:db8:9::/56"]),
    ] {
        let whole: IpNet = subnet.parse().unwrap();
        let octets = match whole.addr() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let names = |message: &[u8]| message.windows(octets.len()).any(|window| window == octets);
        let entry = entry(&with_subnet(query(ROUTE, RecordType::A), subnet), source);
        assert!(names(&entry.raw.query) && names(&entry.raw.reply));
        let cut = entry.cut();
        assert_eq!([cut.subnet.unwrap().to_string(), cut.source.to_string()], wanted);
        assert!(!names(&cut.raw.query) && !names(&cut.raw.reply));
        assert!(Message::from_vec(&cut.raw.query).is_ok() && Message::from_vec(&cut.raw.reply).is_ok());
        assert_eq!((cut.raw.source.ip(), cut.raw.source.port()), (cut.source.addr(), 0));
    }
}
