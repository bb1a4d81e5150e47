//! Logins go along with what is written, and are renewed without a restart.

use super::*;

fn logins(version: u64) -> Logins {
    let auth = Bytes::from_static(br#"{"username":"ann","password":"p"}"#);
    Logins::checked([RegistryLogin { registry: "docker.io".into(), version, auth }]).unwrap()
}

#[tokio::test]
async fn a_newer_login_is_handed_on_once_and_restarts_nothing() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    assert_eq!(bed.fake.login_of("shop_web"), None);
    let tasks = bed.fake.tasks().await.unwrap();
    for version in [3, 8] {
        let writes = bed.fake.writes();
        bed.logins = logins(version);
        let report = bed.pass().await;
        assert_eq!((report.writes, bed.fake.login_of("shop_web")), (1, Some(version)));
        assert_eq!(report.observed.stacks[&"shop".parse().unwrap()].phase, Phase::Converged);
        for _ in 0..10 {
            bed.pass().await;
        }
        assert_eq!(bed.fake.writes(), writes + 1, "once");
    }
    // An older one, as after control was set up anew, and none at all, change nothing.
    let writes = bed.fake.writes();
    for logins in [logins(5), Logins::default()] {
        bed.logins = logins;
        bed.pass().await;
    }
    assert_eq!(bed.fake.writes(), writes);
    assert_eq!(bed.fake.tasks().await.unwrap(), tasks, "no task was touched");
}

#[tokio::test]
async fn what_is_written_takes_the_login_along() {
    let mut bed = Bed::new();
    bed.logins = logins(3);
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    assert_eq!((bed.fake.login_of("shop_web"), bed.fake.writes()), (Some(3), 3), "network, secret, service");
    bed.logins = logins(4);
    bed.want(2, 1, &objects(service("shop:2", 2)));
    bed.converge().await;
    assert_eq!((bed.fake.login_of("shop_web"), bed.fake.writes()), (Some(4), 4), "with the update, not after it");
}

#[tokio::test]
async fn a_job_is_never_run_again_for_a_login() {
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.mode = Mode { replicated_job: Some(Default::default()), ..Mode::default() };
    spec.update_config = None;
    spec.endpoint_spec = None;
    bed.want(1, 1, &objects(spec));
    bed.converge().await;
    bed.logins = logins(3);
    for _ in 0..5 {
        bed.pass().await;
    }
    assert_eq!(bed.fake.services().await.unwrap()[0].job_iteration, Some(0));
}
