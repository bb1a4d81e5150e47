//! Golden text cases: `testdata/*.txt`.
//!
//! A file holds plans (YAML up to the first `===`), each followed by cases: a line `=== words`, then what comes back.
//! `WAGGLE_BLESS=1` writes what came back into the files.
//!
//! Words: a name and a type (mnemonic or number), then any of `from=ADDRESS` `port=N` `subnet=PREFIX` `size=N` `version=N`
//! `plain` (no EDNS) `do` `cd` `tcp` `class=N` `opcode=N`; `mask=ROUTE:BITS`, `cap=ROUTE:SECONDS` and
//! `share=ROUTE:PERCENT,OWN+OTHERS…` (one per cluster) set health for the rest of the plan and stand alone; `raw HEX…` is a whole query; `ledger` and `compile` print that; `why NAME TYPE
//! ADDRESS` explains; `outage CLUSTER,CLUSTER… ROUTE@ADDRESS=RATE…` simulates one, asked by these client subnets.

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use support::{Edns, KEY, Query, Server, plan, show};
use waggle_dns::{Health, Ledger, Present, Question, Snapshot, Transport, asker, explain, outage};
use waggle_model::outage::Basis;
use waggle_model::plan::RoutePlan;
use waggle_model::routing::Share;

#[test]
fn answers_are_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let bless = std::env::var_os("WAGGLE_BLESS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let expected = std::fs::read_to_string(&path).unwrap();
        let got = run(&expected);
        if bless {
            std::fs::write(&path, got).unwrap();
        } else {
            let difference = expected.lines().zip(got.lines()).enumerate().find(|(_, (a, b))| a != b);
            assert!(
                expected == got,
                "{}: first difference (line from 0, expected, got): {difference:#?}",
                path.display()
            );
        }
    }
}

fn run(file: &str) -> String {
    let mut output = Vec::new();
    for (number, section) in file.split("--- plan\n").enumerate() {
        if number == 0 {
            output.push(section.to_owned());
            continue;
        }
        let mut cases = section.split("=== ");
        let yaml = cases.next().unwrap();
        let plan = plan(yaml);
        let mut done = yaml.to_owned();
        let compiled = Snapshot::compile(&plan, None, KEY);
        let server = compiled.map(|snapshot| {
            let (health, ledger) = (Health::new(&snapshot), Ledger::new(&snapshot));
            Server { snapshot, health, ledger }
        });
        for case in cases {
            let words = case.lines().next().unwrap();
            let result = match &server {
                Ok(server) => perform(server, &plan, words),
                Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
            };
            done.push_str(&format!("=== {words}\n{result}\n"));
        }
        output.push(done);
    }
    output.join("--- plan\n").trim_end().to_owned() + "\n"
}

fn perform(server: &Server, plan: &RoutePlan, words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    match words[..] {
        ["compile"] => "fine\n".into(),
        ["outage", lost, ref asked @ ..] => simulate(server, plan, lost, asked),
        ["ledger"] => {
            let entries = server.ledger.entries(&server.snapshot);
            let line = |entry: &waggle_model::plan::LedgerEntry| {
                format!(
                    "{} {} until +{} ms\n",
                    entry.route,
                    entry.cluster,
                    entry.cached_until.since(support::NOW).as_millis()
                )
            };
            entries.iter().map(line).collect()
        }
        ["why", name, kind, address] => {
            let address: IpAddr = address.parse().unwrap();
            let reasons = BTreeMap::from([("fra".parse().unwrap(), "so say its probes".to_owned())]);
            let explanation = explain(
                &server.snapshot,
                &server.health,
                &name.parse().unwrap(),
                number(kind),
                address,
                true,
                &reasons,
            );
            serde_json::to_string_pretty(&explanation).unwrap() + "\n"
        }
        ["raw", ref hex @ ..] => {
            let digits: String = hex.concat();
            let bytes = (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap());
            reply(server, &bytes.collect::<Vec<u8>>(), "192.0.2.53:5353".parse().unwrap(), Transport::Udp)
        }
        [word] if word.contains('=') => {
            health(server, word);
            String::new()
        }
        [name, kind, ref options @ ..] => ask(server, name, kind, options),
        _ => panic!("cannot read {words:?}"),
    }
}

fn health(server: &Server, word: &str) {
    let (what, rest) = word.split_once('=').unwrap();
    let (route, value) = rest.split_once(':').unwrap();
    let (index, _) = server.snapshot.route(&route.parse().unwrap()).unwrap();
    let (mask, cap) = server.health.get(index);
    match what {
        "mask" => server.health.set(index, u64::from_str_radix(value, 2).unwrap(), cap),
        "cap" => server.health.set(index, mask, value.parse().unwrap()),
        "share" => server.health.limit(index, &value.split(',').map(share).collect::<Vec<_>>()),
        _ => panic!("cannot read {word:?}"),
    }
}

/// Per cent of all clients, or `OWN+OTHERS`.
fn share(text: &str) -> Share {
    let (home, guests) = text.split_once('+').unwrap_or((text, text));
    let part = |percent: &str| Share::of(percent.parse::<f64>().unwrap() / 100.0).home;
    Share { home: part(home), guests: part(guests) }
}

fn ask(server: &Server, name: &str, kind: &str, options: &[&str]) -> String {
    let mut query = Query::new(name, number(kind));
    let (mut from, mut port, mut transport) = ("192.0.2.53".parse::<IpAddr>().unwrap(), 5353, Transport::Udp);
    let mut edns = Some(support::EDNS);
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "from" => from = value.parse().unwrap(),
            "port" => port = value.parse().unwrap(),
            "tcp" => transport = Transport::Tcp,
            "plain" => edns = None,
            "do" => edns = edns.map(|edns| Edns { dnssec_ok: true, ..edns }),
            "size" => edns = edns.map(|edns| Edns { size: value.parse().unwrap(), ..edns }),
            "version" => edns = edns.map(|edns| Edns { version: value.parse().unwrap(), ..edns }),
            "subnet" => {
                let (address, source) = value.split_once('/').unwrap();
                let subnet = Some((address.parse().unwrap(), source.parse().unwrap()));
                edns = edns.map(|edns| Edns { subnet, ..edns });
            }
            "cd" => query.flags[1] |= 0x10,
            "class" => query.class = value.parse().unwrap(),
            "opcode" => query.flags[0] |= value.parse::<u8>().unwrap() << 3,
            _ => panic!("cannot read {option:?}"),
        }
    }
    query.edns = edns;
    reply(server, &query.bytes(), SocketAddr::new(from, port), transport)
}

fn reply(server: &Server, query: &[u8], source: SocketAddr, transport: Transport) -> String {
    server.ask(query, source, transport).map_or("dropped\n".into(), |reply| show(&reply))
}

fn number(kind: &str) -> u16 {
    kind.parse().unwrap_or_else(|_| kind.parse::<hickory_proto::rr::RecordType>().unwrap().into())
}

fn simulate(server: &Server, plan: &RoutePlan, lost: &str, asked: &[&str]) -> String {
    let question = |word: &&str| {
        let (route, rest) = word.split_once('@').unwrap();
        let (client, rate) = rest.split_once('=').unwrap();
        let query = Query::new(route, 1).subnet(client.parse().unwrap(), 24).bytes();
        let asker = asker(&server.snapshot, &query, "203.0.113.53".parse().unwrap()).unwrap();
        let (client, placed, rate) = (asker.client.addr(), asker.order.placed, rate.parse().unwrap());
        Question { route: asker.route, client, placed, rate, basis: Basis::Samples }
    };
    let questions: Vec<Question> = asked.iter().map(question).collect();
    let lost = lost.split(',').map(|name| name.parse().unwrap()).collect();
    let found = outage(&server.snapshot, plan, &Present::of(Health::new(&server.snapshot)), &questions, &lost);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut text = format!("{} of {:.1}/s moves\n", percent(found.moved), found.per_second);
    for flow in &found.flows {
        text += &format!("  {flow}: {}\n", percent(flow.share));
    }
    for (name, route) in &found.routes {
        let noticed = route.noticed_ms.map_or("never".to_owned(), |time| format!("within {time} ms"));
        let (moved, rate, left) = (percent(route.moved), route.per_second, route.left);
        text += &format!("{name}: {moved} of {rate:.1}/s moves, {left} left, noticed {noticed}, ttl {} s\n", route.ttl);
    }
    for (name, cluster) in &found.clusters {
        let capacity = cluster.capacity.map(|capacity| format!(" of {capacity}")).unwrap_or_default();
        text += &format!("{name}: {:.1}/s, then {:.1}/s{capacity}\n", cluster.before, cluster.after);
    }
    found.broken.iter().for_each(|broken| text += &format!("breaks: {broken}\n"));
    found.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}
