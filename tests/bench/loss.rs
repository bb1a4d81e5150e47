//! How long clients of a lost cluster are still sent there: three real swarms, two nameservers, a question every 5 ms to each
//! of them, to the resolver in front of them, and to gdnsd with its fastest settings on the same network.
//!
//! Each trial starts with everybody sent to the victim, breaks one thing, watches until all have moved or for some seconds,
//! mends it, and waits until everybody is sent there again. The time of an answerer is that of its first answer with
//! another cluster; a trial's time is that of the slower nameserver. Trials in which a nameserver named the victim again
//! while it was watched are counted too.

mod asker;
mod breaks;
mod rival;

use anyhow::{Context, Result, bail, ensure};
use asker::Asker;
use breaks::Break;
use rival::Rival;
use std::time::Duration;
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::{self, Bed, PATIENCE, interrupt, wait_for};
use waggle_tests::dns_client::Subnet;
use waggle_tests::shop::Shop;

/// The region that is broken; the resolver's clients are sent there too.
pub const VICTIM: &str = "eu-1";
/// Watched after each break, at most: what the resolver may keep, and more than any of the deadlines after it.
const WATCH: Duration = Duration::from_millis(6_500);
/// Watched after the last one has moved: whether answers go back.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// TTL of the route: what a resolver may keep.
const TTL: &str = "5s";

pub fn run(trials: usize, named: &[&str]) -> Result<()> {
    let chosen = |one: &Break| named.is_empty() || named.contains(&one.name());
    let breaks: Vec<Break> = Break::ALL.into_iter().filter(chosen).collect();
    if breaks.is_empty() {
        bail!("no such break; there are {}", Break::ALL.map(Break::name).join(", "));
    }
    interrupt::catch()?;
    let bed = Bed::make(bed::DEMO)?;
    let binary = std::env::current_exe()?.with_file_name("waggle");
    ensure!(binary.exists(), "{} is missing; run tests/bench/failover, which builds it", binary.display());
    let mut federation = Federation::start(&bed, &binary, Vec::new())?;
    quick_to_return(&federation)?;
    let image = format!("{}/web:v1", Registry::name(&federation.hosts.hub));
    let file = federation.write_file("shop.yml", &Shop { ttl: TTL, ..Shop::good(&image) }.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "shop"])?;
    let rival = Rival::start(&federation)?;

    println!("seconds from the break to the first answer with another cluster; {trials} trials each");
    println!("{:<34}{:>18}{:>20}{:>18}{:>9}{:>6}", "", "nameservers", "resolver, TTL 5", "gdnsd", "stayed", "back");
    println!("{:<34}{:>9}{:>9}{:>11}{:>9}{:>9}{:>9}", "", "p50", "p99", "p50", "p99", "p50", "p99");
    for one in breaks {
        let mut table = Times::default();
        for trial in 1..=trials {
            let context = || format!("{}, trial {trial}", one.name());
            self::trial(&mut federation, &rival, one, &mut table).with_context(context)?;
        }
        table.print(one.what());
    }
    Ok(())
}

/// A trial must not wait for the last one's hold-down, nor for a ramp: returning is not what is measured.
fn quick_to_return(federation: &Federation) -> Result<()> {
    let file = federation.hosts.plot.dir().join("federation.yaml");
    let text = std::fs::read_to_string(&file)?;
    let quick = "health: {hold_down: 200ms, hold_down_max: 200ms, ramp: 0s}\n";
    let file = federation.write_file("quick.yaml", &format!("{text}{quick}"))?;
    federation.waggle(&["apply", "-f", &file]).map(drop)
}

/// Per trial, seconds; `None` when nobody was sent elsewhere while it was watched.
#[derive(Default)]
struct Times {
    nameservers: Vec<Option<f64>>,
    resolver: Vec<Option<f64>>,
    rival: Vec<Option<f64>>,
    /// Trials in which a nameserver went back to the victim.
    back: usize,
}

impl Times {
    fn print(&self, what: &str) {
        let column = |times: &[Option<f64>]| {
            let mut moved: Vec<f64> = times.iter().flatten().copied().collect();
            moved.sort_by(f64::total_cmp);
            let at = |share: f64| moved.get((moved.len().saturating_sub(1) as f64 * share).round() as usize);
            let text = |value: Option<&f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
            (text(at(0.5)), text(at(0.99)))
        };
        let ((a, b), (c, d), (e, f)) = (column(&self.nameservers), column(&self.resolver), column(&self.rival));
        let stayed = self.nameservers.iter().filter(|time| time.is_none()).count();
        println!("{what:<34}{a:>9}{b:>9}{c:>11}{d:>9}{e:>9}{f:>9}{stayed:>9}{:>6}", self.back);
    }
}

fn trial(federation: &mut Federation, rival: &Rival, one: Break, times: &mut Times) -> Result<()> {
    everybody_is_sent_to_the_victim(federation, rival)?;
    let (_, _, [a, b, c]) = REGIONS.iter().find(|(name, ..)| *name == VICTIM).context("the victim")?;
    let subnet = Subnet { address: [*a, *b, *c, 0].into(), prefix: 24 };
    let victim = federation.hosts.region(VICTIM)?.address;
    let servers = [federation.nameserver(0), federation.nameserver(1)];
    let direct = servers.map(|server| Asker::start(server, Some(subnet), victim));
    let resolver = Asker::start(federation.resolver.address, None, victim);
    let other = Asker::start(rival.address, None, victim);
    let struck = one.strike(federation)?;
    let all = || direct.iter().chain([&resolver, &other]).all(|asker| asker.elsewhere().is_some());
    while struck.at.elapsed() < WATCH && !all() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(AFTERWARDS);
    let moved = |asker: &Asker| asker.elsewhere().map(|at| at.saturating_duration_since(struck.at).as_secs_f64());
    times.back += usize::from(direct.iter().any(Asker::came_back));
    let direct: Vec<Option<f64>> = direct.iter().map(moved).collect();
    let slower = match direct[..] {
        [Some(a), Some(b)] => Some(a.max(b)),
        _ => None,
    };
    times.nameservers.push(slower);
    times.resolver.push(moved(&resolver));
    times.rival.push(moved(&other));
    one.mend(federation, &struck)
}

fn everybody_is_sent_to_the_victim(federation: &Federation, rival: &Rival) -> Result<()> {
    let sent_there = |server| -> Result<()> {
        ensure!(asker::ask(server)? == federation.hosts.region(VICTIM)?.address, "{server} sends elsewhere");
        Ok(())
    };
    wait_for("everybody to be sent to the victim", 2 * PATIENCE, || {
        for nameserver in 0..2 {
            let got = federation.region_for(nameserver, VICTIM)?;
            ensure!(got == VICTIM, "clients of {VICTIM} get {got}");
        }
        sent_there(rival.address)
    })?;
    // The trial before left it another answer for up to a TTL.
    federation.resolver.forget()?;
    wait_for("the resolver to be sent to the victim", PATIENCE, || sent_there(federation.resolver.address))
}
