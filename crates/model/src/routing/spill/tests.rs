use super::*;
use proptest::prelude::*;

fn group(rate: f64, order: &[u16]) -> Group {
    Group { rate, order: order.to_vec() }
}

/// Loads, rounded, and the shares in per cent.
fn show(groups: &[Group], capacities: &[Option<f64>]) -> String {
    let shares = spill(groups, capacities);
    let percent = |part: u16| (f64::from(part) / 655.35).round();
    let loads = loads(groups, &shares);
    let one =
        |(load, share): (&f64, &Share)| format!("{} ({}+{})", load.round(), percent(share.home), percent(share.guests));
    loads.iter().zip(&shares).map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn nobody_is_refused_while_there_is_room() {
    let groups = [group(90.0, &[0, 1]), group(50.0, &[1, 0])];
    assert_eq!(show(&groups, &[Some(100.0), Some(60.0)]), "90 (100+100) 50 (100+100)");
    assert_eq!(show(&groups, &[None, None]), "90 (100+100) 50 (100+100)");
    assert_eq!(show(&[], &[Some(1.0)]), "0 (100+100)");
}

#[test]
fn overflow_goes_to_the_next_with_room() {
    // 150 like cluster 0, which takes 100. Cluster 1 has its own 90 and room for 10 more, cluster 2 takes the rest.
    let groups = [group(150.0, &[0, 1, 2]), group(90.0, &[1, 2, 0]), group(10.0, &[2, 1, 0])];
    let capacities = [Some(100.0), Some(100.0), Some(100.0)];
    assert_eq!(show(&groups, &capacities), "100 (67+0) 100 (100+20) 50 (100+100)");
}

#[test]
fn a_lost_neighbour_does_not_topple_the_next() {
    // Cluster 0 is gone; everybody who liked it likes cluster 1 next, which could take half of them.
    let groups = [group(100.0, &[1, 2]), group(50.0, &[1, 2]), group(10.0, &[2, 1])];
    assert_eq!(show(&groups, &[Some(100.0), Some(100.0), None]), "0 (100+100) 100 (67+0) 60 (100+100)");
}

#[test]
fn too_much_for_all_loads_all_in_proportion() {
    let groups = [group(300.0, &[0, 1, 2]), group(100.0, &[1, 0, 2])];
    assert_eq!(show(&groups, &[Some(100.0), Some(50.0), Some(50.0)]), "200 (67+0) 100 (100+0) 100 (100+100)");
}

#[test]
fn clusters_that_share_no_clients_do_not_pay_for_each_other() {
    let groups = [group(200.0, &[0]), group(10.0, &[1, 2])];
    assert_eq!(show(&groups, &[Some(100.0), Some(5.0), Some(50.0)]), "200 (100+0) 5 (50+0) 5 (100+100)");
}

#[test]
fn shares_fall_at_once_rise_slowly_and_do_not_flap() {
    let at = |home: u16| Share { home, guests: u16::MAX };
    assert_eq!(follow(Share::FULL, at(30_000)), at(30_000));
    assert_eq!(follow(at(30_000), at(30_500)), at(30_000));
    assert_eq!(follow(at(30_000), at(29_500)), at(30_000));
    assert_eq!(follow(at(30_000), at(60_000)), at(38_192));
    let mut share = at(20_000);
    for _ in 0..6 {
        share = follow(share, Share::FULL);
    }
    assert_eq!(share, Share::FULL);
}

fn world() -> impl Strategy<Value = (Vec<Group>, Vec<Option<f64>>)> {
    (2usize..7).prop_flat_map(|clusters| {
        let order = Just((0..clusters as u16).collect::<Vec<_>>()).prop_shuffle();
        let groups = prop::collection::vec((1u32..2000, order), 1..12);
        let groups = groups.prop_map(|groups| groups.into_iter().map(|(rate, order)| group(f64::from(rate), &order)));
        let capacity = prop::option::weighted(0.9, (1u32..4000).prop_map(f64::from));
        (groups.prop_map(Iterator::collect), prop::collection::vec(capacity, clusters))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Every client may go everywhere here, so capacities hold whenever they suffice together; a cluster that takes guests
    /// refuses none of its own; and with too little for all, all get the same multiple of their capacity.
    #[test]
    fn capacity_holds_if_it_can((groups, capacities) in world()) {
        let shares = spill(&groups, &capacities);
        let loads = loads(&groups, &shares);
        let demand: f64 = groups.iter().map(|group| group.rate).sum();
        let total: f64 = capacities.iter().map(|one| one.unwrap_or(f64::INFINITY)).sum();
        prop_assert!((loads.iter().sum::<f64>() - demand).abs() < 1e-6 * demand, "nobody is lost");
        let factor = (demand / total).max(1.0);
        for ((load, capacity), share) in loads.iter().zip(&capacities).zip(&shares) {
            let limit = capacity.unwrap_or(f64::INFINITY) * factor;
            // A thousandth of everything: shares are whole 65 536ths.
            prop_assert!(*load <= limit * 1.001 + demand * 0.001, "{loads:?} {shares:?} {factor}");
            if demand > total {
                prop_assert!(*load >= limit * 0.99 - demand * 0.01, "{loads:?} {shares:?} {factor}");
            }
            prop_assert!(share.home == u16::MAX || share.guests == 0, "own clients come first: {share:?}");
        }
    }

    /// Any pools: nobody is lost, and who has room for all of its own clients keeps them.
    #[test]
    fn clients_that_fit_stay_home((mut groups, capacities) in world(), lengths in prop::collection::vec(1usize..7, 12)) {
        for (group, length) in groups.iter_mut().zip(lengths) {
            group.order.truncate(length);
        }
        let shares = spill(&groups, &capacities);
        let demand: f64 = groups.iter().map(|group| group.rate).sum();
        prop_assert!((loads(&groups, &shares).iter().sum::<f64>() - demand).abs() < 1e-6 * demand);
        for (at, (share, capacity)) in shares.iter().zip(&capacities).enumerate() {
            let home: f64 = groups.iter().filter(|group| usize::from(group.order[0]) == at).map(|group| group.rate).sum();
            if capacity.is_none_or(|capacity| home <= capacity) {
                prop_assert_eq!(share.home, u16::MAX);
            }
        }
    }
}

/// More orders than are looked at, in the time of a turn.
#[test]
fn many_orders_are_bounded() {
    let order = |seed: u64| {
        let mut order: Vec<u16> = (0..64).collect();
        order.sort_by_key(|cluster| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(u32::from(*cluster)) ^ 7);
        order
    };
    let groups: Vec<Group> = (1..5000).map(|seed| Group { rate: 1.0, order: order(seed) }).collect();
    assert!(merged(&groups, 64).len() <= GROUPS_MAX + 64);
    let shares = spill(&groups, &vec![Some(90.0); 64]);
    let most = loads(&groups, &shares).into_iter().fold(0.0, f64::max);
    assert!(most < 120.0, "{most}");
}
