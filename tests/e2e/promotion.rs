//! A release goes through the regions without a failed request; a bad one is held and taken back.

use crate::{deploy, image, with_federation};
use anyhow::{Result, ensure};
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::shop::Shop;

#[test]
fn a_promotion_fails_no_request_and_a_bad_release_is_taken_back() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        every_network_gets_its_region(federation)?;
        unchanged_deploy_changes_nothing(federation)?;

        let client = federation.client();
        deploy(federation, &Shop::good(&image(federation, "v2")))?;
        wait_for("the client to see v2", PATIENCE, || {
            ensure!(client.tally().bodies.contains_key("v2"));
            Ok(())
        })?;
        let tally = client.take();
        ensure!(tally.failed == 0 && tally.ok > 500, "{tally:?}");
        ensure!(tally.addresses.len() > 1, "the client was never moved: {tally:?}");

        let bad = deploy(federation, &Shop::bad(&image(federation, "v3")));
        ensure!(bad.is_err(), "a release whose health check fails was rolled out");
        wait_for("the failed cluster to be reverted", PATIENCE * 6, || {
            let steps = federation.waggle_json(&["rollout", "show", "shop"])?["rollout"]["clusters"].to_string();
            ensure!(steps.contains("reverted"), "{steps}");
            Ok(())
        })?;
        let tally = client.take();
        ensure!(tally.failed == 0 && tally.ok > 0, "{tally:?}");
        ensure!(!tally.bodies.contains_key("v3"), "{tally:?}");
        every_cluster_runs(federation, "web:v2@sha256:")?;
        every_network_gets_its_region(federation)?;

        federation.waggle(&["stack", "rm", "shop"])?;
        wait_for("the services to be gone", PATIENCE, || {
            for engine in &federation.engines {
                let services = engine.docker(&["service", "ls", "-q"])?;
                ensure!(services.trim().is_empty(), "{services}");
            }
            Ok(())
        })
    })
}

fn every_network_gets_its_region(federation: &Federation) -> Result<()> {
    for (region, _, _) in REGIONS {
        wait_for("each client network to get its region", PATIENCE, || {
            for nameserver in 0..2 {
                let got = federation.region_for(nameserver, region)?;
                ensure!(got == region, "clients of {region} get {got}");
            }
            let scope = federation.ask_from(0, region)?.scope;
            ensure!(scope == Some(24), "scope {scope:?} instead of the map's 24");
            Ok(())
        })?;
    }
    Ok(())
}

fn every_cluster_runs(federation: &Federation, wanted: &str) -> Result<()> {
    for engine in &federation.engines {
        let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
        let image = engine.docker(&["service", "inspect", "shop_web", "-f", format])?;
        ensure!(image.contains(wanted), "{} runs {image}", engine.host.name);
    }
    Ok(())
}

fn unchanged_deploy_changes_nothing(federation: &Federation) -> Result<()> {
    let versions = || -> Result<Vec<String>> {
        let format = "{{.Version.Index}} {{.UpdatedAt}}";
        federation.engines.iter().map(|e| e.docker(&["service", "inspect", "shop_web", "-f", format])).collect()
    };
    let before = versions()?;
    deploy(federation, &Shop::good(&image(federation, "v1")))?;
    ensure!(versions()? == before, "an unchanged deploy updated a service");
    Ok(())
}
