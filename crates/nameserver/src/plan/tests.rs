use super::*;
use crate::tests::fixture::{offer, plan};
use std::fs;
use std::path::Path;

fn keeper(directory: &Path) -> Keeper {
    Keeper::new(Shelf::open(directory).unwrap(), None, [1; 16])
}

fn two(generation: u64) -> RoutePlan {
    plan(generation, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])
}

fn file(directory: &Path, generation: u64) -> std::path::PathBuf {
    directory.join(format!("{generation:020}.json"))
}

#[test]
fn nothing_moves_to_a_lower_generation() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    assert!(keeper.offer(&offer(&two(5))).unwrap().is_some());
    assert!(keeper.offer(&offer(&two(5))).unwrap().is_none(), "the same again changes nothing");
    let older = keeper.offer(&offer(&two(4))).unwrap_err();
    assert!(matches!(older, Refusal::Generation(_)), "{older}");
    let other = plan(5, &[("eu-1", "192.0.2.9")]);
    let other = keeper.offer(&offer(&other)).unwrap_err();
    assert!(matches!(other, Refusal::Generation(_)), "{other}");
    assert_eq!(keeper.generation(), Generation(5));
}

#[test]
fn also_not_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    keeper(directory.path()).offer(&offer(&two(5))).unwrap();
    let mut restarted = keeper(directory.path());
    assert_eq!(restarted.start().unwrap().plan.generation, Generation(5));
    assert!(restarted.offer(&offer(&two(4))).is_err());
    assert!(restarted.offer(&offer(&two(5))).unwrap().is_none());
}

#[test]
fn a_plan_that_does_not_compile_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    keeper.offer(&offer(&two(1))).unwrap();
    let mut mixed = two(2);
    let pool = &mut mixed.routes.values_mut().next().unwrap().pool;
    pool[1].addresses.push("2001:db8::1".parse().unwrap());
    let refusal = keeper.offer(&offer(&mixed)).unwrap_err();
    assert!(matches!(refusal, Refusal::Compile(_)), "{refusal}");
    let mut emptied = two(3);
    emptied.routes.values_mut().next().unwrap().pool.clear();
    assert!(matches!(keeper.offer(&offer(&emptied)), Err(Refusal::Compile(_))));
    assert_eq!(keeper.generation(), Generation(1));
    assert_eq!(Shelf::open(directory.path()).unwrap().generations().unwrap(), [Generation(1)]);
}

#[test]
fn damaged_and_mislabelled_documents_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    let mut bent = offer(&two(1));
    bent.json = b"{}".to_vec().into();
    assert!(matches!(keeper.offer(&bent), Err(Refusal::Document(_))));
    let mut mislabelled = offer(&two(1));
    mislabelled.generation = 9;
    assert!(matches!(keeper.offer(&mislabelled), Err(Refusal::Mismatch { .. })));
    assert_eq!(keeper.generation(), Generation(0));
}

#[test]
fn the_last_five_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    for generation in 1..=8 {
        keeper.offer(&offer(&two(generation))).unwrap();
    }
    let kept = Shelf::open(directory.path()).unwrap().generations().unwrap();
    assert_eq!(kept, [8, 7, 6, 5, 4].map(Generation));
}

#[test]
fn torn_and_corrupt_files_are_passed_over_for_the_plan_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = keeper(directory.path());
    for generation in 1..=3 {
        first.offer(&offer(&two(generation))).unwrap();
    }
    let newest = file(directory.path(), 3);
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let mut bent = fs::read(file(directory.path(), 2)).unwrap();
    let last = bent.len() - 5;
    bent[last] ^= 1;
    fs::write(file(directory.path(), 2), bent).unwrap();
    assert_eq!(keeper(directory.path()).start().unwrap().plan.generation, Generation(1));
    fs::write(file(directory.path(), 1), "").unwrap();
    assert!(keeper(directory.path()).start().is_none());
}

#[test]
fn without_its_geo_database_a_plan_still_works() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("geo.mmdb");
    let shelf = Shelf::open(&directory.path().join("plans")).unwrap();
    let mut keeper = Keeper::new(shelf, Some(GeoFile::new(path.clone())), [1; 16]);
    assert!(keeper.offer(&offer(&two(1))).unwrap().is_some());
    assert!(keeper.refresh().is_none(), "there is still no file");
    fs::write(&path, "no database").unwrap();
    assert!(keeper.refresh().is_some(), "a file appeared");
    assert!(keeper.refresh().is_none(), "it did not change since");
}

fn three(generation: u64) -> RoutePlan {
    let mut plan = plan(generation, &[("ap-1", "192.0.2.3"), ("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")]);
    plan.change.after = Generation(generation - 1);
    plan
}

fn drained(mut plan: RoutePlan, clusters: &[&str]) -> RoutePlan {
    let pool = plan.routes.values_mut().flat_map(|route| &mut route.pool);
    let out = pool.filter(|endpoint| clusters.contains(&endpoint.cluster.as_str()));
    out.for_each(|endpoint| endpoint.drained = Some("power".into()));
    plan
}

#[test]
fn a_plan_that_takes_too_much_away_changes_nothing_unless_it_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    keeper.offer(&offer(&three(1))).unwrap();
    for (generation, out) in [(2, ["eu-1", "us-1", "ap-1"].as_slice()), (3, &["eu-1", "us-1"])] {
        let refusal = keeper.offer(&offer(&drained(three(generation), out))).unwrap_err();
        assert!(matches!(refusal, Refusal::Loss(_)), "{refusal}");
    }
    let mut gone = three(4);
    gone.routes.clear();
    assert!(matches!(keeper.offer(&offer(&gone)), Err(Refusal::Loss(_))));
    assert_eq!(keeper.generation(), Generation(1));
    assert_eq!(Shelf::open(directory.path()).unwrap().generations().unwrap(), [Generation(1)]);
    assert!(keeper.offer(&offer(&drained(three(5), &["us-1"]))).unwrap().is_some(), "one may go");
    let mut meant = drained(three(6), &["ap-1", "eu-1", "us-1"]);
    let (by, reason) = ("ops".to_owned(), "evacuation".to_owned());
    meant.change.force = Some(waggle_model::plan::intake::Force { generation: Generation(6), by, reason });
    assert!(keeper.offer(&offer(&meant)).unwrap().is_some());
}

#[test]
fn a_restart_does_not_forget_what_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = ["eu-1", "us-1"];
    let mut first = keeper(directory.path());
    first.offer(&offer(&three(1))).unwrap();
    assert!(matches!(first.offer(&offer(&drained(three(2), &out))), Err(Refusal::Loss(_))));
    // The same loss in the next plan is not one step of many that were missed.
    let mut restarted = keeper(directory.path());
    assert_eq!(restarted.start().unwrap().plan.generation, Generation(1));
    let refusal = restarted.offer(&offer(&drained(three(3), &out))).unwrap_err();
    assert!(matches!(refusal, Refusal::Loss(_)), "{refusal}");
    // Without the file it is as after steps that nobody here saw.
    fs::write(directory.path().join("refused.json"), "torn").unwrap();
    let _ = fs::remove_file(directory.path().join("refused.json.prev"));
    let mut forgetful = keeper(directory.path());
    assert_eq!(forgetful.start().unwrap().plan.generation, Generation(1));
    assert!(forgetful.offer(&offer(&drained(three(4), &out))).unwrap().is_some());
    assert_eq!(Shelf::open(directory.path()).unwrap().generations().unwrap(), [4, 1].map(Generation));
}

/// As at AWS in October 2025: a delayed writer comes with a stale plan, and cleanup must not take the one in force for it.
#[test]
fn cleanup_never_removes_the_plan_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = keeper(directory.path());
    let late = offer(&two(1));
    for generation in 1..=9 {
        keeper.offer(&offer(&two(generation))).unwrap();
        assert!(matches!(keeper.offer(&late), Ok(None) | Err(Refusal::Generation(_))));
        assert!(file(directory.path(), generation).exists());
    }
    // Files of higher numbers that nobody can read, as many as are kept and more.
    for generation in 20..30 {
        fs::write(file(directory.path(), generation), "torn").unwrap();
    }
    let mut restarted = self::keeper(directory.path());
    assert_eq!(restarted.start().unwrap().plan.generation, Generation(9));
    restarted.offer(&offer(&two(10))).unwrap();
    let kept: Vec<_> = Shelf::open(directory.path()).unwrap().generations().unwrap();
    assert!([10, 9, 8, 7, 6].iter().all(|kept_one| kept.contains(&Generation(*kept_one))), "{kept:?}");
    assert!(kept.len() <= 2 * super::shelf::KEPT, "{kept:?}");
    assert_eq!(self::keeper(directory.path()).start().unwrap().plan.generation, Generation(10));
}
