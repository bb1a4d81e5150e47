//! Route plans of the past, and going back to one of them.

use crate::client::Client;
use crate::client::url::encode;
use crate::command::Global;
use crate::exit::Failure;
use crate::output::table::clean;
use crate::output::{self, Style, Table, age};
use crate::terminal;
use http::Method;
use std::time::Duration;
use waggle_control::api::types::{Applied, PlanView, PlansView, RevertRequest, Reverted};
use waggle_model::plan::hold::Hold;
use waggle_model::{DomainName, Timestamp};

pub async fn show(
    client: &Client,
    global: &Global,
    name: Option<&DomainName>,
    last: usize,
    now: Timestamp,
) -> Result<(), Failure> {
    let query = name.map(|name| format!("?route={}", encode(name.as_str()))).unwrap_or_default();
    let mut plans: PlansView = client.get(&format!("/v1/plans{query}")).await?;
    plans.plans.truncate(last);
    output::show(global.format, &plans, |colour| text(&plans, now, colour))
}

pub async fn revert(
    client: &Client,
    global: &Global,
    generation: u64,
    reason: String,
    time: Duration,
    dry_run: bool,
    force: bool,
) -> Result<(), Failure> {
    let request = RevertRequest { reason, for_ms: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)) };
    let path = format!("/v1/plans/{generation}/revert?dry_run={dry_run}&force={force}");
    let reverted: Reverted = client.post(&path, &request).await?;
    output::show(global.format, &reverted, |_| match reverted.changes.as_slice() {
        [] => "Nothing changes for users.\n".to_owned(),
        changes => changes.iter().map(|change| clean(change) + "\n").collect(),
    })?;
    if !dry_run {
        let (now, until) = (reverted.plan_generation, reverted.hold.until.utc());
        terminal::note(&format!(
            "Route plan {now} is in force, as {generation} was, until {until} UTC; `waggle route resume` ends it."
        ));
    }
    Ok(())
}

pub async fn resume(client: &Client, global: &Global, force: bool) -> Result<(), Failure> {
    let applied: Applied = client.ask(Method::DELETE, &format!("/v1/plans/hold?force={force}")).await?;
    output::show(global.format, &applied, |_| match applied.changed {
        true => format!("Route plan {} follows clusters and releases again.\n", applied.plan_generation),
        false => "No earlier route plan is held.\n".to_owned(),
    })
}

fn text(plans: &PlansView, now: Timestamp, colour: bool) -> String {
    let held = plans.hold.as_ref().map(|hold| Style::Warning.paint(&clean(&held(hold)), colour) + "\n\n");
    held.unwrap_or_default() + &table(&plans.plans, now).render(colour)
}

fn held(hold: &Hold) -> String {
    let until = hold.until.utc();
    format!("! held as generation {} was, by {} until {until} UTC: {}", hold.generation, hold.by, hold.reason)
}

/// A row per change.
fn table(plans: &[PlanView], now: Timestamp) -> Table {
    let mut table = Table::new(&["PLAN", "SINCE", "BY", "WHY", "CHANGE"]);
    for plan in plans {
        let mut changes = plan.changes.clone();
        if plan.more > 0 {
            changes.push(format!("and {} more", plan.more));
        }
        let first = changes.first().cloned().unwrap_or_default();
        table.row([
            plan.generation.to_string().into(),
            age::ago(now, plan.issued_at).into(),
            plan.by.as_str().into(),
            output::cut(&plan.what).into(),
            first.into(),
        ]);
        for change in changes.into_iter().skip(1) {
            table.row(["".into(), "".into(), "".into(), "".into(), change.into()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plans_and_what_each_changed() {
        let plan = |generation: u64, by: &str, what: &str, changes: &[&str], more: usize| {
            json!({"generation": generation, "issued_at": 0, "by": by, "what": what, "traceparent": "", "held": null,
                   "changes": changes, "more": more, "kept": true})
        };
        let hold = json!({"generation": 3, "by": "ann", "reason": "oops", "since": 0, "until": 3_600_000});
        let plans = json!({"hold": hold, "plans": [
            plan(5, "ann", "back to generation 3: oops", &["shop: eu-1 back (was drained: power)", "shop: ttl 60 s → 5 s"], 0),
            plan(4, "", "nameserver ns1 joined", &["nameserver ns1 added"], 7),
        ]});
        let want = "\
! held as generation 3 was, by ann until 1970-01-01 01:00 UTC: oops

PLAN   SINCE           BY    WHY                          CHANGE
5      9 seconds ago   ann   back to generation 3: oops   shop: eu-1 back (was drained: power)
                                                          shop: ttl 60 s → 5 s
4      9 seconds ago         nameserver ns1 joined        nameserver ns1 added
                                                          and 7 more
";
        let plans: PlansView = serde_json::from_value(plans).unwrap();
        assert_eq!(text(&plans, Timestamp(9_000), false), want);
    }
}
