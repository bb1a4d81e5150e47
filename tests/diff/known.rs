//! Differences that are known and not mended yet.

/// Beginnings of causes.
const KNOWN: &[&str] = &[
    "deploy: only docker refuses: ",
    "deploy: only we refuse: ",
    "D3 makes no difference",
    "D5 makes no difference",
    "service.TaskTemplate.ContainerSpec.Healthcheck.Test: differs",
    "service.TaskTemplate.ContainerSpec.Image: differs",
    "service.TaskTemplate.ContainerSpec.Labels.*: differs",
    "service.TaskTemplate.ContainerSpec.Mounts[].Source: differs",
    "service.TaskTemplate.Resources.Reservations.GenericResources: only docker",
    "service.EndpointSpec.Ports: differs",
    "service.Labels.*: differs",
];

pub fn is(cause: &str) -> bool {
    KNOWN.iter().any(|known| cause.starts_with(known))
}
