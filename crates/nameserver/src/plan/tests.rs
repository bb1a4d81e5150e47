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
