//! Routes: which came and went, and what is different about those that stay.

use super::{Change, ROUTES_NAMED_MAX, TEXT_CHARS_MAX, list, moved};
use crate::plan::{Endpoint, PlanRoute, RoutePlan};
use crate::{DomainName, StackName};
use std::collections::BTreeMap;

pub(super) fn changes(before: &RoutePlan, after: &RoutePlan) -> Vec<Change> {
    let mut texts = Texts::default();
    for (name, old) in before.routes.iter().filter(|(name, _)| !after.routes.contains_key(name)) {
        texts.add(name, &old.stack, "route removed".into());
    }
    for (name, new) in &after.routes {
        match before.routes.get(name) {
            None => texts.add(name, &new.stack, format!("route added, in {}", list(pool(new)))),
            Some(old) => differences(old, new).into_iter().for_each(|text| texts.add(name, &new.stack, text)),
        }
    }
    let sizes = [sizes(before), sizes(after)];
    texts.found.into_iter().map(|((stack, text), routes)| change(stack, text, &routes, &sizes)).collect()
}

/// What is said, and of which routes, in the order of first mention.
#[derive(Default)]
struct Texts<'a> {
    found: Vec<((&'a StackName, String), Vec<&'a DomainName>)>,
    at: BTreeMap<(&'a StackName, String), usize>,
}

impl<'a> Texts<'a> {
    fn add(&mut self, route: &'a DomainName, stack: &'a StackName, text: String) {
        let key = (stack, text.chars().take(TEXT_CHARS_MAX).collect::<String>());
        let at = *self.at.entry(key.clone()).or_insert(self.found.len());
        match self.found.get_mut(at) {
            Some((_, routes)) => routes.push(route),
            None => self.found.push((key, vec![route])),
        }
    }
}

/// Routes of each stack.
fn sizes(plan: &RoutePlan) -> BTreeMap<&StackName, usize> {
    let mut sizes = BTreeMap::new();
    plan.routes.values().for_each(|route| *sizes.entry(&route.stack).or_default() += 1);
    sizes
}

fn change(stack: &StackName, text: String, routes: &[&DomainName], sizes: &[BTreeMap<&StackName, usize>; 2]) -> Change {
    let whole_stack = sizes.iter().all(|sizes| sizes.get(stack) == Some(&routes.len()));
    let named = routes.iter().take(ROUTES_NAMED_MAX);
    Change {
        stack: Some(stack.clone()),
        routes: named.map(|name| (*name).clone()).collect(),
        more: routes.len().saturating_sub(ROUTES_NAMED_MAX),
        whole_stack,
        text,
    }
}

fn pool(route: &PlanRoute) -> Vec<String> {
    let text = |endpoint: &Endpoint| match &endpoint.drained {
        Some(why) => format!("{} (drained: {why})", endpoint.cluster),
        None => endpoint.cluster.to_string(),
    };
    route.pool.iter().map(text).collect()
}

fn differences(old: &PlanRoute, new: &PlanRoute) -> Vec<String> {
    let check = |route: &PlanRoute| route.check.as_ref().map_or_else(|| "none".into(), ToString::to_string);
    let https = |route: &PlanRoute| route.https.as_ref().map_or_else(|| "none".into(), ToString::to_string);
    let terms = [
        moved("stack", &old.stack, &new.stack),
        moved("policy", &old.policy, &new.policy),
        moved("ttl", &format!("{} s", old.ttl), &format!("{} s", new.ttl)),
        moved("check", &check(old), &check(new)),
        moved("all_down", &old.all_down, &new.all_down),
        moved("https", &https(old), &https(new)),
    ];
    let mut found: Vec<String> = terms.into_iter().flatten().collect();
    let of = |route: &PlanRoute| -> BTreeMap<_, _> {
        route.pool.iter().map(|endpoint| (endpoint.cluster.clone(), endpoint.clone())).collect()
    };
    let (was, is) = (of(old), of(new));
    found.extend(was.keys().filter(|name| !is.contains_key(name)).map(|name| format!("{name} left the pool")));
    for (name, endpoint) in &is {
        match was.get(name) {
            None => found.push(match &endpoint.drained {
                Some(why) => format!("{name} joined the pool, drained ({why})"),
                None => format!("{name} joined the pool"),
            }),
            Some(before) => found.extend(moves(before, endpoint)),
        }
    }
    found
}

fn moves(old: &Endpoint, new: &Endpoint) -> Vec<String> {
    let name = &new.cluster;
    let drain = match (&old.drained, &new.drained) {
        (None, Some(why)) => Some(format!("{name} drained ({why})")),
        (Some(why), None) => Some(format!("{name} back (was drained: {why})")),
        (Some(was), Some(why)) if was != why => Some(format!("{name} drained ({why}), before ({was})")),
        _ => None,
    };
    let release = (old.release != new.release).then(|| match new.release {
        Some(release) => format!("{name} is to serve release {}", release.short()),
        None => format!("{name} is to serve no release"),
    });
    let addresses = (old.addresses != new.addresses)
        .then(|| format!("{name} addresses {} → {}", list(&old.addresses), list(&new.addresses)));
    let forced = (old.forced != new.forced).then(|| match &new.forced {
        Some(forced) => format!("{name} {forced}"),
        None => format!("{name} is judged by what is observed again"),
    });
    [drain, release, addresses, forced].into_iter().flatten().collect()
}
