//! `waggle doctor`: what a person would check by hand before trusting a federation with users.
//!
//! Only gathering ([`gather`], [`dns`]) is here: what is concluded from which facts is a pure function,
//! [`waggle_model::doctor::examine`]. The DNS is asked from here, the machine of the one who asks, since that is where the Internet can be seen
//! from; control may be behind a firewall.

mod dns;
#[cfg(test)]
mod fake;
mod gather;

use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::output::{self, Style};
use std::net::SocketAddr;
use waggle_model::doctor::{Finding, Level, examine};
use waggle_model::{DomainName, Timestamp};

/// Check delegation, nameservers, TTLs, certificates, clocks, versions and spare capacity, and say what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks control, the zone's parent and each nameserver (over UDP and TCP), from this machine. Ends with code 1 when there is
a problem; warnings alone are code 0.

Examples:
  waggle doctor
  waggle doctor --zone shop.example --resolver 192.0.2.53:53
  waggle doctor --format json | jq -r '.[] | select(.level == \"problem\") | .text'")]
pub struct Args {
    /// Only this zone
    #[arg(long, value_name = "ZONE")]
    zone: Option<DomainName>,
    /// Resolver that is asked for the delegation; the system's unless given
    #[arg(long, value_name = "IP:PORT")]
    resolver: Option<SocketAddr>,
    /// Also list what is in order
    #[arg(long)]
    all: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let now = Timestamp(waggle_daemon::time::now());
    let facts = gather::gather(&global.client()?, args.zone.as_ref(), args.resolver).await?;
    let findings = examine(&facts);
    output::show(global.format, &findings, |colour| text(&findings, args.all, colour))?;
    tracing::debug!(took_ms = Timestamp(waggle_daemon::time::now()).since(now).as_millis(), "examined");
    let bad = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

/// Problems first.
fn text(findings: &[Finding], all: bool, colour: bool) -> String {
    let mut text = String::new();
    for level in [Level::Problem, Level::Warning, Level::Ok] {
        let (word, style) = match level {
            Level::Problem => ("problem", Style::Bad),
            Level::Warning => ("warning", Style::Warning),
            Level::Ok => ("ok", Style::Good),
        };
        for finding in findings.iter().filter(|finding| finding.level == level && (all || level != Level::Ok)) {
            let place = clean(&finding.place);
            text += &format!("{}: {place}: {}\n", style.paint(word, colour), clean(&finding.text));
            if let Some(help) = &finding.help {
                text += &format!("  {}\n", clean(help));
            }
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings, fine) = (count(Level::Problem), count(Level::Warning), count(Level::Ok));
    text + &format!("{problems} problems, {warnings} warnings, {fine} checks in order\n")
}
