//! What files say is what three real swarms run.

use crate::{image, with_federation};
use anyhow::{Context, Result, ensure};

#[test]
fn both_protocols_of_a_port_stay_when_a_second_file_is_merged() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        let base = format!(
            "version: \"3.8\"\nservices:\n  names:\n    image: {image}\n    command: [\"/bin/sleep\", \"100000\"]\n    \
             stop_signal: SIGKILL\n    ports:\n      - {{target: 53, published: 53, protocol: tcp, mode: host}}\n      - \
             {{target: 53, published: 53, protocol: udp, mode: host}}\n    deploy: {{endpoint_mode: dnsrr}}\nx-waggle:\n  \
             promotion: {{max_parallel: 3, strategy: in_place, monitor: 300ms, progress_deadline: 60s}}\n"
        );
        let base = federation.write_file("names.yml", &base)?;
        let second = "version: \"3.8\"\nservices:\n  names:\n    environment: {TZ: UTC}\n";
        let second = federation.write_file("names.prod.yml", second)?;
        federation.waggle(&["stack", "deploy", "-c", &base, "-c", &second, "names"])?;
        for engine in &federation.engines {
            let format = "{{range .Spec.EndpointSpec.Ports}}{{.PublishedPort}}/{{.Protocol}} {{end}}";
            let ports = engine.docker(&["service", "inspect", "names_names", "-f", format])?;
            let mut ports: Vec<&str> = ports.split_whitespace().collect();
            ports.sort_unstable();
            ensure!(ports == ["53/tcp", "53/udp"], "{ports:?}");
            let format = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";
            let env = engine.docker(&["service", "inspect", "names_names", "-f", format])?;
            ensure!(env.contains("TZ=UTC"), "the second file was not merged: {env}");
        }
        federation.waggle(&["stack", "rm", "names"]).context("cannot remove the stack").map(|_| ())
    })
}
