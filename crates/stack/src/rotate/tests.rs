use super::*;
use crate::objects::PayloadSpec;
use crate::objects::service::{ConfigReference, Driver, SecretReference, ServiceSpec};
use proptest::prelude::*;

/// A stack with these secrets and a config, all used by one service.
fn objects(secrets: &[(&str, &str)], config: &str) -> Objects {
    let payload = |name: &str, bytes: &str| {
        let spec = PayloadSpec { name: name.into(), ..PayloadSpec::default() };
        (name.to_owned(), Payload::Managed { sha256: sha256_hex(bytes.as_bytes()), spec })
    };
    let mut spec = ServiceSpec::default();
    let container = &mut spec.task_template.container_spec;
    let reference = |(name, _): &(&str, &str)| SecretReference { name: (*name).into(), ..SecretReference::default() };
    container.secrets = secrets.iter().map(reference).collect();
    container.configs = vec![ConfigReference { name: "shop_conf".into(), ..ConfigReference::default() }];
    Objects {
        secrets: secrets.iter().map(|(name, bytes)| payload(name, bytes)).collect(),
        configs: [payload("shop_conf", config)].into(),
        services: [("web".into(), spec)].into(),
        ..Objects::default()
    }
}

fn rotated(objects: &Objects, bound: &mut Bound) -> Objects {
    let mut objects = objects.clone();
    objects.rotate(bound);
    objects
}

fn names(objects: &Objects) -> Vec<&String> {
    objects.secrets.keys().chain(objects.configs.keys()).collect()
}

#[test]
fn first_bytes_keep_the_name_and_others_get_their_hash() {
    let mut bound = Bound::default();
    let first = objects(&[("shop_key", "one")], "a");
    assert_eq!(rotated(&first, &mut bound), first, "as docker would deploy it");
    let second = rotated(&objects(&[("shop_key", "two")], "a"), &mut bound);
    let name = format!("shop_key-{}", &sha256_hex(b"two")[..10]);
    assert_eq!(names(&second), [&name, "shop_conf"]);
    let Payload::Managed { spec, .. } = &second.secrets[&name] else { panic!() };
    assert_eq!((&spec.name, spec.labels[labels::NAME].as_str()), (&name, "shop_key"));
    let container = &second.services["web"].task_template.container_spec;
    assert_eq!((&container.secrets[0].name, container.configs[0].name.as_str()), (&name, "shop_conf"));
    assert_eq!(rotated(&first, &mut bound), first, "going back finds the first again");
    assert_eq!(bound.secrets, [("shop_key".into(), sha256_hex(b"one"))].into());
}

/// Swarm ignores another driver in an update of the labels.
#[test]
fn another_driver_is_another_content() {
    let driver = |name: &str, option: &str| {
        let options = BTreeMap::from([("path".to_owned(), option.to_owned())]);
        Some(Driver { name: name.into(), options })
    };
    let with = |driver: Option<Driver>, template: Option<Driver>| {
        let mut objects = objects(&[("shop_key", "")], "a");
        for payload in objects.secrets.values_mut().chain(objects.configs.values_mut()) {
            let Payload::Managed { spec, .. } = payload else { panic!() };
            (spec.driver, spec.templating) = (driver.clone(), template.clone());
        }
        objects
    };
    let all = [
        with(driver("vault", "a"), None),
        with(driver("vault", "b"), None),
        with(driver("other", "a"), None),
        with(None, driver("golang", "a")),
        with(None, None),
    ];
    let mut bound = Bound::default();
    let given: Vec<Objects> = all.iter().map(|objects| rotated(objects, &mut bound)).collect();
    assert_eq!(given[0], all[0], "as docker would deploy it");
    for kind in [|objects: &Objects| objects.secrets.clone(), |objects: &Objects| objects.configs.clone()] {
        let names: BTreeSet<_> = given.iter().flat_map(|objects| kind(objects).into_keys()).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
    }
    let again: Vec<Objects> = all.iter().map(|objects| rotated(objects, &mut bound)).collect();
    assert_eq!(again, given, "whatever order they come in");
}

#[test]
fn a_name_that_is_taken_gets_more_digits() {
    let mut bound = Bound::default();
    bound.secrets.insert("shop_key".into(), sha256_hex(b"one"));
    let hash = sha256_hex(b"two");
    let squatter = format!("shop_key-{}", &hash[..10]);
    let objects = rotated(&objects(&[("shop_key", "two"), (&squatter, "x")], "a"), &mut bound);
    assert_eq!(names(&objects), [&squatter, &format!("shop_key-{}", &hash[..11]), "shop_conf"]);
}

#[test]
fn what_is_external_keeps_its_name() {
    let mut objects = objects(&[], "a");
    objects.secrets.insert("shop_key".into(), Payload::External);
    let mut bound = Bound::default();
    bound.secrets.insert("shop_key".into(), "0".repeat(64));
    assert_eq!(rotated(&objects, &mut bound), objects);
}

#[test]
fn long_names_stay_within_swarms_limit_and_apart() {
    let (a, b) = (format!("{}a", "x".repeat(63)), format!("{}b", "x".repeat(63)));
    let mut bound = Bound::default();
    rotated(&objects(&[(&a, "old"), (&b, "old")], "c"), &mut bound);
    let objects = rotated(&objects(&[(&a, "new"), (&b, "new")], "c"), &mut bound);
    assert_eq!(objects.secrets.len(), 2);
    assert!(objects.secrets.keys().all(|name| name.len() == 64), "{:?}", objects.secrets.keys());
}

#[test]
fn what_is_remembered_is_bounded() {
    let secrets = (0..=BOUND_MAX).map(|n| (format!("old{n}"), "0".repeat(64))).collect();
    let mut bound = Bound { secrets, ..Bound::default() };
    rotated(&objects(&[("shop_key", "one")], "a"), &mut bound);
    assert_eq!(bound.secrets.keys().collect::<Vec<_>>(), ["shop_key"]);
}

proptest! {
    /// Over any history of releases, one name in the swarm never stands for two contents, and one content of one key
    /// always has one name, which Swarm takes.
    #[test]
    fn a_name_is_never_given_twice(history in prop::collection::vec((0..3usize, 0..4u8), 1..20)) {
        let keys = ["shop_key", "shop_key.with-a.very-long_name.that-has-to-be-cut.somewhere_1", "k"];
        let (mut bound, mut contents, mut given) = (Bound::default(), BTreeMap::new(), BTreeMap::new());
        for (key, bytes) in history {
            let bytes = bytes.to_string();
            let objects = rotated(&objects(&[(keys[key], &bytes)], "a"), &mut bound);
            let (name, payload) = objects.secrets.iter().next().unwrap();
            let sha256 = payload.sha256().unwrap().to_owned();
            prop_assert_eq!(contents.entry(name.clone()).or_insert_with(|| sha256.clone()), &sha256);
            prop_assert_eq!(given.entry((key, bytes)).or_insert_with(|| name.clone()), name);
            prop_assert!(name.len() <= 64 && name.ends_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert_eq!(&objects.services["web"].task_template.container_spec.secrets[0].name, name);
        }
    }
}
