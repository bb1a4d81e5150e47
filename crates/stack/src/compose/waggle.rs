//! The `x-waggle:` blocks: routes, promotion and upkeep at the top, `replicas` in a service. Docker ignores them; here
//! unknown keys are errors.

use crate::Deviation;
use crate::compose::UpkeepKeys;
use crate::problem::Report;
use crate::read::{At, Map, Spot};
use crate::yaml::{Node, Value};
use std::str::FromStr;
use std::time::Duration;
use waggle_model::release::{
    self, AllDown, Check, CheckKind, Drift, GRPC_SERVICE_MAX, GrpcCheck, HttpCheck, Https, OnFailure, Policy,
    Promotion, Prune, Route, Strategy,
};
use waggle_model::{ClusterName, DomainName};

/// Longest `ttl` of a route, in seconds.
const TTL_MAX: u32 = 86_400;
/// Most earlier versions of a secret or config that can be kept.
const VERSIONS_KEPT_MAX: i64 = 100;

/// The blocks of all files together.
#[derive(Debug, Default)]
pub(crate) struct Waggle {
    pub routes: Vec<Spot<Route>>,
    pub promotion: Option<Promotion>,
    pub upkeep: UpkeepKeys,
}

/// Reads the blocks of the files, each in its long form. Of routes with one name the last counts, and of other keys.
pub(crate) fn read_all(files: &[Node], report: &Report<'_>) -> Waggle {
    let mut all = Waggle::default();
    for file in files {
        let Value::Map(entries) = &file.value else { continue };
        let at = At::new(file, report);
        let block = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| at.child(entry));
        let mut own = Waggle::default();
        if let Some(at) = block("x-waggle") {
            read(&at, &mut own);
        }
        if let Some(at) = block("services") {
            read_services(&at, &mut own.upkeep);
        }
        all.routes.retain(|old| !own.routes.iter().any(|new| new.value.name == old.value.name));
        all.routes.append(&mut own.routes);
        all.upkeep.replicas.append(&mut own.upkeep.replicas);
        all.promotion = own.promotion.or(all.promotion);
        all.upkeep = UpkeepKeys {
            drift: own.upkeep.drift.or(all.upkeep.drift),
            versions_kept: own.upkeep.versions_kept.or(all.upkeep.versions_kept),
            prune: own.upkeep.prune.or(all.upkeep.prune),
            replicas: all.upkeep.replicas,
        };
    }
    all
}

/// The blocks of a file's services. They come after that of the file itself, so what they say of a service counts.
fn read_services(at: &At<'_>, upkeep: &mut UpkeepKeys) {
    let Value::Map(services) = &at.node.value else { return };
    for service in services {
        let at = at.child(service);
        let Value::Map(entries) = &at.node.value else { continue };
        let Some(block) = entries.iter().find(|entry| entry.key == "x-waggle") else { continue };
        let Some(mut map) = at.child(block).map() else { continue };
        if let Some(at) = map.take("replicas") {
            upkeep.replicas.extend(replicas(&at).map(|keep| (service.key.clone(), keep)));
        }
        strict(map, &["replicas"]);
    }
}

/// Whether a service's number of replicas stays as the swarm has it.
fn replicas(at: &At<'_>) -> Option<Spot<bool>> {
    match at.string()?.as_str() {
        "keep" => Some(at.spot(true)),
        "file" => Some(at.spot(false)),
        word => unknown(at, word, "keep or file"),
    }
}

fn read(at: &At<'_>, file: &mut Waggle) {
    let Some(mut map) = at.map() else { return };
    for item in map.take("routes").and_then(|at| at.items()).unwrap_or_default() {
        file.routes.extend(route(&item).map(|route| item.spot(route)));
    }
    file.promotion = map.take("promotion").and_then(|at| promotion(&at));
    if let Some(at) = map.take("compat") {
        check_compat(&at);
    }
    file.upkeep = upkeep(&mut map);
    strict(map, &["routes", "promotion", "compat", "drift", "versions_kept", "prune", "replicas"]);
}

/// The loader has taken the words that it knows.
fn check_compat(at: &At<'_>) {
    for item in at.items().unwrap_or_default() {
        if let Some(Err(error)) = item.string().map(|word| Deviation::switched_by(&word)) {
            item.error(error.to_string());
        }
    }
}

/// How agents look after the objects.
fn upkeep(map: &mut Map<'_>) -> UpkeepKeys {
    let drift = map.take("drift").and_then(|at| match at.string()?.as_str() {
        "heal" => Some(Drift::Heal),
        "observe" => Some(Drift::Observe),
        word => unknown(&at, word, "heal or observe"),
    });
    let prune = map.take("prune").and_then(|at| match at.string()?.as_str() {
        "none" => Some(Prune::None),
        "objects" => Some(Prune::Objects),
        "volumes" => Some(Prune::Volumes),
        word => unknown(&at, word, "none, objects or volumes"),
    });
    let versions_kept = map.take("versions_kept").and_then(|at| at.int(0, VERSIONS_KEPT_MAX)).map(|kept| kept as u16);
    let services = map.take("replicas").and_then(|at| at.map()).map(|mut map| map.rest()).unwrap_or_default();
    let replicas = services.into_iter().filter_map(|(name, _, at)| Some((name.to_owned(), replicas(&at)?)));
    UpkeepKeys { drift, versions_kept, prune, replicas: replicas.collect() }
}

/// Unlike elsewhere, `x-` keys have no meaning here either.
fn strict(mut map: Map<'_>, known: &[&str]) {
    for (key, place, _) in map.rest() {
        let message = format!("unknown key {key:?}");
        map.at.report.error_help(&place, message, format!("known keys here: {}", known.join(", ")));
    }
}

fn parsed<T: FromStr>(at: &At<'_>) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    at.string()?.parse().map_err(|error: T::Err| at.error(error.to_string())).ok()
}

/// Values of a list that can be read; the others are reported.
fn parsed_list<T: FromStr>(at: &At<'_>) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    at.items().unwrap_or_default().iter().filter_map(parsed).collect()
}

fn span(at: &At<'_>) -> Option<Duration> {
    let nanos = at.nanos()?;
    match u64::try_from(nanos) {
        Ok(nanos) if nanos >= 1_000_000 => Some(Duration::from_nanos(nanos)),
        _ => {
            at.error("it must be at least 1ms");
            None
        }
    }
}

fn required<'a>(map: &mut Map<'a>, key: &str) -> Option<At<'a>> {
    let found = map.take(key);
    if found.is_none() {
        map.at.error(format!("{key} is missing"));
    }
    found
}

fn route(at: &At<'_>) -> Option<Route> {
    let mut map = at.map()?;
    let name = required(&mut map, "name").and_then(|at| parsed::<DomainName>(&at));
    let service = required(&mut map, "service").and_then(|at| at.string());
    let ttl = map.take("ttl").map(|at| ttl(&at));
    let policy = map.take("policy").map(|at| policy(&at));
    let check = map.take("check").map(|at| check(&at));
    let all_down = map.take("all_down").map(|at| all_down(&at));
    let clusters = map.take("clusters").map(|at| parsed_list::<ClusterName>(&at)).unwrap_or_default();
    let https = map.take("https").map(|at| https(&at));
    strict(map, &["name", "service", "policy", "ttl", "clusters", "check", "all_down", "https"]);
    Some(Route {
        name: name?,
        service: service?,
        policy: policy.unwrap_or_else(|| Some(Policy::default()))?,
        ttl: ttl.unwrap_or(Some(5))?,
        clusters,
        check: check.map_or(Some(None), |check| check.map(Some))?,
        all_down: all_down.unwrap_or_else(|| Some(AllDown::default()))?,
        https: https.map_or(Some(None), |https| https.map(Some))?,
    })
}

fn https(at: &At<'_>) -> Option<Https> {
    let mut map = at.map()?;
    let alpn = map.take("alpn").map(|at| parsed_list::<String>(&at)).unwrap_or_default();
    let port = map.take("port").map(|at| at.int(1, 65_535));
    strict(map, &["alpn", "port"]);
    let https = Https { alpn, port: port.map_or(Some(None), |port| Some(Some(port? as u16)))? };
    if let Some(why) = https.fault() {
        at.error(why);
        return None;
    }
    Some(https)
}

/// Whole seconds: DNS knows no others.
fn ttl(at: &At<'_>) -> Option<u32> {
    let nanos = at.nanos()?;
    let seconds = u32::try_from(nanos / 1_000_000_000).ok().filter(|s| nanos % 1_000_000_000 == 0 && *s <= TTL_MAX);
    if seconds.is_none() {
        at.error(format!("a TTL is whole seconds, from 0s to {TTL_MAX}s"));
    }
    seconds
}

/// A word, or a mapping with one key.
fn choice<'a>(at: &At<'a>, known: &str) -> Option<(String, Option<At<'a>>)> {
    if let Value::String(word) = &at.node.value {
        return Some((word.clone(), None));
    }
    let Value::Map(_) = at.node.value else { return at.wrong(known) };
    let mut entries = at.map()?.rest();
    match (entries.pop(), entries.is_empty()) {
        (Some((key, _, value)), true) => Some((key.to_owned(), Some(value))),
        _ => at.wrong(known),
    }
}

fn policy(at: &At<'_>) -> Option<Policy> {
    const KNOWN: &str = "nearest, or a mapping with one of weighted, failover, multivalue";
    let (word, value) = choice(at, KNOWN)?;
    match (word.as_str(), value) {
        ("nearest", None) => Some(Policy::Nearest),
        ("weighted", Some(at)) => {
            let weight = |(name, place, at): (&str, crate::problem::Place, At<'_>)| {
                let cluster = name.parse::<ClusterName>().map_err(|error| at.report.error(&place, error.to_string()));
                Some((cluster.ok()?, at.int(0, i64::from(u32::MAX))? as u32))
            };
            Some(Policy::Weighted(at.map()?.rest().into_iter().filter_map(weight).collect()))
        }
        ("failover", Some(at)) => Some(Policy::Failover(parsed_list(&at))),
        ("multivalue", Some(at)) => Some(Policy::Multivalue(at.int(1, i64::from(u8::MAX))? as u8)),
        _ => unknown(at, &word, KNOWN),
    }
}

fn all_down(at: &At<'_>) -> Option<AllDown> {
    const KNOWN: &str = "last_good, all, or fallback with a list of addresses";
    let (word, value) = choice(at, KNOWN)?;
    match (word.as_str(), value) {
        ("last_good", None) => Some(AllDown::LastGood),
        ("all", None) => Some(AllDown::All),
        ("fallback", Some(at)) => {
            let addresses = parsed_list(&at);
            if addresses.is_empty() {
                at.error("fallback needs at least one address");
            }
            Some(AllDown::Fallback(addresses))
        }
        _ => unknown(at, &word, KNOWN),
    }
}

fn unknown<T>(at: &At<'_>, word: &str, known: &str) -> Option<T> {
    at.error(format!("{word:?} is not possible here: use {known}"));
    None
}

fn check(at: &At<'_>) -> Option<Check> {
    let mut map = at.map()?;
    let interval = map.take("interval").map_or_else(|| Some(release::check_interval()), |at| span(&at));
    let timeout = map.take("timeout").map_or_else(|| Some(release::check_timeout()), |at| span(&at));
    let latency = map.take("latency").map(|at| (span(&at), at));
    let kind = match (map.take("http"), map.take("tcp"), map.take("grpc")) {
        (Some(http), None, None) => http_check(&http),
        (None, Some(tcp), None) => tcp_check(&tcp),
        (None, None, Some(grpc)) => grpc_check(&grpc),
        _ => {
            at.error("a check has one of http, tcp and grpc");
            None
        }
    };
    strict(map, &["http", "tcp", "grpc", "interval", "timeout", "latency"]);
    let latency = match (latency, timeout) {
        (Some((Some(limit), at)), Some(timeout)) if limit >= timeout => {
            at.error(format!(
                "it must be shorter than the timeout of {} ms, or no answer could be too slow",
                timeout.as_millis()
            ));
            None
        }
        (Some((limit, _)), _) => limit.map(Some),
        (None, _) => Some(None),
    };
    let (kind, port) = kind?;
    Some(Check { kind, port, interval: interval?, timeout: timeout?, latency: latency? })
}

fn port(map: &mut Map<'_>) -> Option<u16> {
    Some(required(map, "port")?.int(1, 65_535)? as u16)
}

fn tcp_check(at: &At<'_>) -> Option<(CheckKind, u16)> {
    let mut map = at.map()?;
    let port = port(&mut map);
    strict(map, &["port"]);
    Some((CheckKind::Tcp, port?))
}

fn http_check(at: &At<'_>) -> Option<(CheckKind, u16)> {
    let mut map = at.map()?;
    let port = port(&mut map);
    let path = map.take("path").map_or_else(|| Some("/".to_owned()), |at| path(&at));
    let check = HttpCheck {
        path: path.unwrap_or_default(),
        host: map.string("host"),
        tls: map.bool("tls").unwrap_or(false),
        tls_insecure: map.bool("tls_insecure").unwrap_or(false),
        status: map.take("status").and_then(|at| at.int(100, 599)).map(|status| status as u16),
        contains: map.string("contains"),
    };
    strict(map, &["path", "port", "host", "tls", "tls_insecure", "status", "contains"]);
    Some((CheckKind::Http(check), port?))
}

fn grpc_check(at: &At<'_>) -> Option<(CheckKind, u16)> {
    let mut map = at.map()?;
    let port = port(&mut map);
    let service = map.take("service").map_or_else(|| Some(String::new()), |at| grpc_service(&at));
    let check = GrpcCheck {
        service: service.unwrap_or_default(),
        host: map.string("host"),
        tls: map.bool("tls").unwrap_or(false),
        tls_insecure: map.bool("tls_insecure").unwrap_or(false),
    };
    strict(map, &["port", "service", "host", "tls", "tls_insecure"]);
    Some((CheckKind::Grpc(check), port?))
}

fn grpc_service(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    if text.len() <= GRPC_SERVICE_MAX && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(text);
    }
    at.error(format!("the name of a gRPC service has at most {GRPC_SERVICE_MAX} letters, without spaces"));
    None
}

fn path(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(text);
    }
    at.error("a path starts with / and holds no spaces or control characters");
    None
}

fn promotion(at: &At<'_>) -> Option<Promotion> {
    let mut map = at.map()?;
    let mut promotion = Promotion::default();
    let stages = map.take("stages").and_then(|at| at.items()).unwrap_or_default();
    promotion.stages = stages.iter().map(parsed_list::<ClusterName>).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (stage, at) in promotion.stages.iter().zip(&stages) {
        for name in stage.iter().filter(|name| !seen.insert((*name).clone())) {
            at.error(format!("cluster {name} is in two stages"));
        }
    }
    if let Some(max) = map.take("max_parallel").and_then(|at| at.int(1, i64::from(u16::MAX))) {
        promotion.max_parallel = max as u16;
    }
    if let Some(at) = map.take("strategy") {
        promotion.strategy = match at.string().as_deref() {
            Some("in_place") => Strategy::InPlace,
            Some("drain") | None => Strategy::Drain,
            Some(word) => unknown(&at, word, "drain or in_place").unwrap_or_default(),
        };
    }
    if let Some(at) = map.take("on_failure") {
        promotion.on_failure = match at.string().as_deref() {
            Some("hold") => OnFailure::Hold,
            Some("revert") | None => OnFailure::Revert,
            Some(word) => unknown(&at, word, "revert or hold").unwrap_or_default(),
        };
    }
    if let Some(deadline) = map.take("progress_deadline").and_then(|at| span(&at)) {
        promotion.progress_deadline = deadline;
    }
    if let Some(monitor) = map.take("monitor").and_then(|at| span(&at)) {
        promotion.monitor = monitor;
    }
    strict(map, &["stages", "max_parallel", "strategy", "progress_deadline", "monitor", "on_failure"]);
    Some(promotion)
}
