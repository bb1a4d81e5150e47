//! What holds for any two plans.

use super::*;
use crate::plan::PlanCluster;
use proptest::prelude::*;

const CLUSTERS: [&str; 4] = ["ap-1", "eu-1", "sa-1", "us-1"];
const ROUTES: [&str; 3] = ["api.shop.example", "img.shop.example", "www.shop.example"];

/// Per endpoint: in service, out by a rollout, out by an operator, not in the pool.
fn plan(generation: u64) -> impl Strategy<Value = RoutePlan> {
    let endpoint = prop::sample::select(vec![0u8, 0, 0, 1, 2, 3]);
    let route = prop::option::weighted(0.8, prop::collection::vec(endpoint, CLUSTERS.len()));
    let weights = prop::collection::vec(1..5u32, CLUSTERS.len());
    (prop::collection::vec(route, ROUTES.len()), weights, 0..=100u8).prop_map(move |(routes, weights, percent)| {
        let known = |weight| PlanCluster { region: None, location: None, weight, capacity: None };
        let clusters = CLUSTERS.iter().zip(weights).map(|(name, weight)| (name.parse().unwrap(), known(weight)));
        let routes =
            ROUTES.iter().zip(routes).filter_map(|(name, pool)| Some((name.parse().unwrap(), route_of(&pool?))));
        RoutePlan {
            generation: Generation(generation),
            clusters: clusters.collect(),
            routes: routes.collect(),
            safety: Safety { max_loss_percent: percent },
            change: Change { after: Generation(generation.saturating_sub(1)), ..Change::default() },
            ..RoutePlan::default()
        }
    })
}

fn route_of(pool: &[u8]) -> PlanRoute {
    let endpoints = CLUSTERS.iter().zip(pool).filter(|(_, state)| **state != 3).map(|(name, state)| {
        let drained = [None, Some(DRAINED_BY_ROLLOUT), Some("power")][usize::from(*state)].map(str::to_owned);
        Endpoint { cluster: name.parse().unwrap(), addresses: Vec::new(), drained, release: None, forced: None }
    });
    PlanRoute {
        stack: "shop".parse().unwrap(),
        policy: Default::default(),
        ttl: 5,
        check: None,
        all_down: Default::default(),
        https: None,
        pool: endpoints.collect(),
    }
}

proptest! {
    #[test]
    fn what_is_taken_leaves_every_route_somebody_or_says_why_not(before in plan(1), after in plan(2)) {
        let taken = check(&before, Generation(0), &after).is_ok();
        for (name, route) in before.routes.iter().filter(|(_, route)| in_service(route).next().is_some()) {
            let left = after.routes.get(name).is_some_and(|route| in_service(route).next().is_some());
            prop_assert!(left || !taken, "{} has nobody left", name);
            prop_assert!(taken || !route.pool.is_empty());
        }
    }

    #[test]
    fn one_cluster_may_always_go_while_others_are_left(before in plan(1), out in prop::sample::select(CLUSTERS.to_vec())) {
        let mut after = RoutePlan { generation: Generation(2), ..before.clone() };
        after.change.after = Generation(1);
        for route in after.routes.values_mut() {
            let others = route.pool.iter().any(|one| one.drained.is_none() && one.cluster.as_str() != out);
            let mine = route.pool.iter_mut().filter(|one| others && one.cluster.as_str() == out);
            mine.for_each(|one| one.drained = Some("power".into()));
        }
        prop_assert_eq!(check(&before, Generation(0), &after), Ok(()));
    }

    #[test]
    fn nothing_out_by_a_rollout_counts_as_long_as_somebody_is_left(before in plan(1), keep in 0..CLUSTERS.len()) {
        let mut after = RoutePlan { generation: Generation(2), ..before.clone() };
        for route in after.routes.values_mut() {
            let kept = route.pool.iter().filter(|one| one.drained.is_none()).nth(keep).map(|one| one.cluster.clone());
            let Some(kept) = kept else { continue };
            let others = route.pool.iter_mut().filter(|one| one.cluster != kept && one.drained.is_none());
            others.for_each(|one| one.drained = Some(DRAINED_BY_ROLLOUT.into()));
        }
        prop_assert_eq!(check(&before, Generation(0), &after), Ok(()));
    }

    #[test]
    fn what_is_said_to_be_meant_is_taken(before in plan(1), after in plan(2)) {
        let mut forced = after.clone();
        forced.change.force = Some(Force { generation: Generation(2), by: "ops".into(), reason: "move".into() });
        prop_assert_eq!(check(&before, Generation(0), &forced), Ok(()));
        // An earlier force says nothing about this step.
        forced.change.force = Some(Force { generation: Generation(1), by: "ops".into(), reason: "move".into() });
        prop_assert_eq!(check(&before, Generation(0), &forced), check(&before, Generation(0), &after));
        let mut withdrawn = after.clone();
        let leaving = before.routes.keys().map(|route| (route.clone(), "removed".to_owned())).collect();
        withdrawn.change = Change::following(&before, &after, leaving);
        prop_assert_eq!(check(&before, Generation(0), &withdrawn), Ok(()));
    }

    #[test]
    fn a_refusal_by_share_names_several_clusters_and_more_than_is_allowed(before in plan(1), after in plan(2)) {
        let Err(TooMuchLost(losses)) = check(&before, Generation(0), &after) else { return Ok(()) };
        prop_assert!(!losses.is_empty());
        for loss in losses {
            if let Loss::Share { leave, shrink, percent, allowed, .. } = loss {
                prop_assert!(leave.len() + shrink.len() > 1 && percent > allowed && percent <= 100);
            }
        }
        prop_assert_eq!(check(&before, Generation(0), &before), Ok(()), "a plan loses nothing against itself");
    }
}
