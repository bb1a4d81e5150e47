use super::*;
use crate::Generation;
use crate::plan::{Endpoint, PlanCluster, PlanRoute};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const KEY: PublicKey = PublicKey(Hex([7; 32]));

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

fn plan() -> RoutePlan {
    let endpoint = |name: &str| Endpoint {
        cluster: name.parse().unwrap(),
        addresses: Vec::new(),
        drained: None,
        release: None,
        forced: None,
    };
    let route = |pool: &[&str]| PlanRoute {
        stack: "shop".parse().unwrap(),
        policy: Default::default(),
        ttl: 5,
        check: None,
        all_down: Default::default(),
        https: None,
        pool: pool.iter().map(|name| endpoint(name)).collect(),
    };
    let known = PlanCluster { region: None, location: None, weight: 1, capacity: None };
    RoutePlan {
        generation: Generation(1),
        clusters: ["eu-1", "us-1"].map(|name| (name.parse().unwrap(), known.clone())).into(),
        routes: [("www.shop.example", route(&["eu-1", "us-1"])), ("api.shop.example", route(&["us-1"]))]
            .map(|(name, route)| (name.parse().unwrap(), route))
            .into(),
        override_keys: vec![KEY],
        ..RoutePlan::default()
    }
}

/// `all` or a route; issued so many seconds after NOW, for an hour.
fn signed(route: &str, cluster: &str, effect: Effect, after: u64) -> Signed {
    let target = Target { route: route.parse().ok().filter(|_| route != "all"), cluster: cluster.parse().unwrap() };
    let issued = NOW.after(Duration::from_secs(after));
    let order = Order { target, effect, reason: "fire".into(), issued, expires: issued.after(hours(1)) };
    Signed { order, key: KEY, signature: Hex([1; 64]) }
}

fn offer(overrides: &mut Overrides, signed: &Signed, at: Timestamp) -> Result<bool, Refused> {
    overrides.offer(signed, &plan(), |signed| signed.signature == Hex([1; 64]), at)
}

fn effect(overrides: &Overrides, route: &str, cluster: &str, at: Timestamp) -> Option<Effect> {
    let found = overrides.on(&route.parse().unwrap(), &cluster.parse().unwrap(), &[KEY], at);
    found.map(|signed| signed.order.effect)
}

#[test]
fn what_is_wrong_with_a_document_is_said() {
    let mut overrides = Overrides::default();
    let good = || signed("www.shop.example", "eu-1", Effect::Unfit, 0);
    let with = |change: &dyn Fn(&mut Signed)| {
        let mut bent = good();
        change(&mut bent);
        bent
    };
    let cases: [(Signed, &str); 9] = [
        (with(&|bent| bent.key = PublicKey(Hex([8; 32]))), "is not among override_keys"),
        (with(&|bent| bent.signature = Hex([2; 64])), "was changed on the way"),
        (with(&|bent| bent.order.expires = NOW.after(hours(25))), "more than 24 hours"),
        (with(&|bent| bent.order.expires = bent.order.issued), "ends before it begins"),
        (with(&|bent| bent.order.reason = " ".into()), "reason"),
        (signed("www.shop.example", "ap-1", Effect::Unfit, 0), "no cluster ap-1"),
        (signed("api.shop.example", "eu-1", Effect::Unfit, 0), "the route does not have it"),
        (signed("blog.example", "eu-1", Effect::Unfit, 0), "no route blog.example"),
        (signed("all", "eu-1", Effect::Unfit, 301), "in the future"),
    ];
    for (document, wanted) in cases {
        let why = offer(&mut overrides, &document, NOW).unwrap_err().to_string();
        assert!(why.contains(wanted), "{why}");
    }
    let late = offer(&mut overrides, &good(), NOW.after(hours(1))).unwrap_err();
    assert!(matches!(late, Refused::Expired { .. }), "{late}");
    assert_eq!(overrides, Overrides::default(), "none of it left a trace");
    assert_eq!(offer(&mut overrides, &good(), NOW), Ok(true));
    assert_eq!(offer(&mut overrides, &good(), NOW), Ok(false), "the same again is no news");
}

#[test]
fn an_older_document_cannot_be_played_again() {
    let mut overrides = Overrides::default();
    let (first, second) = (signed("all", "eu-1", Effect::Drained, 0), signed("all", "eu-1", Effect::Fit, 10));
    let revoked = signed("all", "eu-1", Effect::None, 20);
    for (document, wanted) in [(&first, Some(Effect::Drained)), (&second, Some(Effect::Fit)), (&revoked, None)] {
        let at = document.order.issued;
        assert_eq!(offer(&mut overrides, document, at), Ok(true));
        assert_eq!(effect(&overrides, "www.shop.example", "eu-1", at), wanted);
    }
    let later = NOW.after(Duration::from_secs(30));
    for old in [&first, &second] {
        assert!(matches!(offer(&mut overrides, old, later), Err(Refused::NotNewer { .. })));
    }
    // Long after the revocation itself is forgotten, over a restart: something issued before it may still hold.
    let mut long = first.clone();
    long.order.expires = long.order.issued.after(OVERRIDE_MAX);
    let kept = serde_json::to_string(&overrides).unwrap();
    let mut restarted: Overrides = serde_json::from_str(&kept).unwrap();
    let much_later = NOW.after(hours(23));
    restarted.forget(much_later);
    assert!(restarted.held().is_empty());
    assert!(matches!(offer(&mut restarted, &long, much_later), Err(Refused::NotNewer { .. })));
    let again =
        Signed { order: Order { issued: much_later, expires: much_later.after(hours(1)), ..first.order }, ..first };
    assert_eq!(offer(&mut restarted, &again, much_later), Ok(true));
}

#[test]
fn the_newest_word_counts_where_two_targets_cover_an_endpoint() {
    let mut overrides = Overrides::default();
    offer(&mut overrides, &signed("www.shop.example", "us-1", Effect::Fit, 0), NOW).unwrap();
    offer(&mut overrides, &signed("all", "us-1", Effect::Drained, 5), NOW).unwrap();
    assert_eq!(effect(&overrides, "www.shop.example", "us-1", NOW), Some(Effect::Drained));
    offer(&mut overrides, &signed("www.shop.example", "us-1", Effect::Unfit, 9), NOW).unwrap();
    assert_eq!(effect(&overrides, "www.shop.example", "us-1", NOW), Some(Effect::Unfit));
    assert_eq!(effect(&overrides, "api.shop.example", "us-1", NOW), Some(Effect::Drained));
    assert_eq!(effect(&overrides, "www.shop.example", "eu-1", NOW), None);
    assert_eq!(effect(&overrides, "api.shop.example", "us-1", NOW.after(hours(2))), None, "it is over");
    let target = &overrides.held()[0].order.target;
    assert_eq!(routes_of(target, &plan()).count(), 2);
    assert!(overrides.on(&"api.shop.example".parse().unwrap(), &"us-1".parse().unwrap(), &[], NOW).is_none(), "no key");
}

#[test]
fn there_are_so_many_and_no_more() {
    let mut overrides = Overrides::default();
    let mut wide = plan();
    let route = wide.routes.values().next().unwrap().clone();
    let name = |at: usize| format!("r{at}.shop.example");
    wide.routes.extend((0..OVERRIDES_MAX + 2).map(|at| (name(at).parse().unwrap(), route.clone())));
    let mut give = |at: usize, effect, after| {
        overrides.offer(&signed(&name(at), "us-1", effect, after), &wide, |_| true, NOW.after(hours(after / 3600)))
    };
    for at in 0..OVERRIDES_MAX {
        assert_eq!(give(at, Effect::Unfit, 0), Ok(true));
    }
    assert_eq!(give(OVERRIDES_MAX, Effect::Unfit, 1), Err(Refused::TooMany));
    assert_eq!(give(3, Effect::Fit, 1), Ok(true), "one for the same target takes its place");
    assert_eq!(give(3, Effect::None, 2), Ok(true));
    assert_eq!(give(OVERRIDES_MAX, Effect::Unfit, 3), Ok(true), "what was revoked makes room");
    assert!(matches!(give(3, Effect::Fit, 1), Err(Refused::NotNewer { .. })), "and is still remembered");
    assert_eq!(give(OVERRIDES_MAX + 1, Effect::Unfit, 7200), Ok(true), "what ran out does too");
}

#[test]
fn keys_and_documents_are_written_in_one_way() {
    let key = "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    assert_eq!(key.parse::<PublicKey>().unwrap().to_string(), key);
    assert_eq!(key.parse::<PublicKey>().unwrap().short(), "19bf4409");
    for wrong in ["", "19bf", "ed25519:19bf", &key.to_uppercase(), &key.replace("19", "1é"), &key.replace("19", "+9")]
    {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
    }
    let document = signed("all", "eu-1", Effect::Drained, 0);
    assert_eq!(document.to_string(), "eu-1 for all routes: drained until 2023-11-14 23:13 UTC (key 07070707): fire");
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Signed>(&json).unwrap(), document);
    assert!(serde_json::from_str::<Signed>(&json.replacen('{', "{\"more\":1,", 1)).is_err());
}
