use super::*;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../../config/federation.yaml");

fn no_file(_: &str) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// `line:column: message`, and the help if there is one.
fn problems(text: &str) -> Vec<String> {
    let problems = parse("f.yaml", text, &no_file).unwrap_err();
    let line = |p: &Problem| {
        assert_eq!(p.file, "f.yaml");
        let help = p.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{}:{}: {}{help}", p.line, p.column, p.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn the_example_is_valid() {
    let federation = parse("config/federation.yaml", EXAMPLE, &no_file).unwrap();
    let names: Vec<&str> = federation.clusters.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["ap-1", "eu-1", "us-1"]);
    let zone = &federation.zones[&"shop.example".parse().unwrap()];
    assert_eq!((zone.ttl, zone.negative_ttl), (300, 5));
    assert_eq!(zone.records[0].name.as_str(), "ns1.shop.example");
    assert_eq!(federation.health, HealthPolicy::default(), "the example shows the defaults");
}

#[test]
fn human_forms() {
    let text = "
clusters:
  eu-1: {region: europe, location: [50, 8.7], addresses: [192.0.2.1, \"2001:db8::1\"], weight: 2, capacity: 500, labels: {tier: 1}}
zones:
  Shop.Example.:
    nameservers: [ns1.shop.example]
    contact: dns@shop.example
    ttl: 1h
    negative_ttl: 7
    file: zones/shop.zone
    records:
      - {name: '@', type: mx, ttl: 90s, values: [10 mail.shop.example.]}
      - {name: a, type: A, values: [192.0.2.9]}
      - {name: b.shop.example., type: TXT, values: [x]}
client_map:
  198.51.100.0/24: [eu-1]
health: {beat_deadline: 1.5s, ramp: 0s}
";
    let read = |file: &str| Ok(format!("; {file}"));
    let federation = parse("f.yaml", text, &read).unwrap();
    let cluster = federation.clusters.values().next().unwrap();
    assert_eq!(cluster.location, Some(Location { latitude: 50.0, longitude: 8.7 }));
    assert_eq!((cluster.weight, cluster.capacity, cluster.labels["tier"].as_str()), (2, Some(500), "1"));
    let zone = &federation.zones[&"shop.example".parse().unwrap()];
    assert_eq!((zone.contact.as_str(), zone.ttl, zone.negative_ttl), ("dns.shop.example", 3600, 7));
    assert_eq!(zone.master.as_deref(), Some("; zones/shop.zone"));
    let names: Vec<&str> = zone.records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["shop.example", "a.shop.example", "b.shop.example"]);
    assert_eq!((zone.records[0].kind.as_str(), zone.records[0].ttl), ("MX", Some(90)));
    assert_eq!(federation.health.beat_deadline, Duration::from_millis(1500));
    assert!(federation.health.ramp.is_zero());
}

#[test]
fn every_problem_has_its_place() {
    let text = "\
clusters:
  EU: {addresses: [192.0.2.1]}
  eu-1:
    adresses: [192.0.2.1]
    addresses: [192.0.2.300]
    location: [1]
    weight: -1
zones:
  shop.example:
    nameservers: ns1
    ttl: 1.5s
    file: gone.zone
    records:
      - {name: www.shop.example, type: A, values: [192.0.2.1]}
      - {type: A}
client_map:
  198.51.100.7: [eu-1]
health: {fall: 300}
more: 1
";
    let want = [
        "2:3: cluster name \"EU\" is not valid: only a-z, 0-9 and - are allowed",
        "4:5: unknown key \"adresses\" | known here: region, location, labels, addresses, weight, capacity",
        "5:17: \"192.0.2.300\": invalid IP address syntax",
        "6:15: a location is [latitude, longitude] in degrees north and east",
        "7:13: expected a whole number from 0 to 4294967295",
        "10:18: expected a list, found a string",
        "11:10: a time to live has whole seconds",
        "12:11: cannot read gone.zone: entity not found",
        "14:16: \"www.shop.example\" is relative to the zone, and would be www.shop.example.shop.example \
         | write www.shop.example. with a final dot, or only the part before shop.example",
        "15:9: the record has no name",
        "17:3: invalid IP address syntax",
        "18:16: expected a whole number from 0 to 255",
        "19:1: unknown key \"more\" | known here: clusters, zones, client_map, health, safety, override_keys",
    ];
    assert_eq!(problems(text), want);
}

#[test]
fn what_the_model_finds_has_its_place_too() {
    let text = "\
clusters:
  eu-1: {addresses: [192.0.2.1], weight: 0}
  us-1: {}
zones:
  shop.example:
    nameservers: [ns1.shop.example]
    records:
      - {name: www.other., type: A, values: [192.0.2.1]}
client_map:
  198.51.100.7/24: [eu-2]
";
    let places: Vec<String> = problems(text).iter().map(|p| p.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["2:34", "3:3", "10:3", "10:3", "8:9"]);
}

#[test]
fn not_yaml_at_all() {
    assert_eq!(problems("- a\n")[0], "1:1: expected a mapping, found a list");
    assert!(problems("clusters: [\n")[0].starts_with("1:11: unclosed"));
    assert!(problems("a: 1\na: 2\n")[0].starts_with("2:1: key \"a\" is defined twice"));
}
