//! What a person can do about what the Engine says: the way out, by the words in which Docker tells of the trouble
//! (moby/swarmkit: manager/scheduler/filter.go, moby/moby: daemon). Words that are not known get no advice.

const WAYS_OUT: [(&str, &str); 16] = [
    ("unhealthy container", "see what its health check does, or give it a longer `start_period`"),
    ("No such image", "see that the cluster's nodes reach the registry and are logged in to it"),
    ("pull access denied", "see that the cluster's nodes are logged in to the registry"),
    ("manifest unknown", "see that the image is still in its registry"),
    (
        "host-mode port already in use",
        "another task has the port on every node that fits: free it, or run fewer tasks than there are nodes",
    ),
    ("port is already allocated", "something else on the node has the port: free it or publish another"),
    ("address already in use", "something else on the node has the port: free it or publish another"),
    ("as an ingress port", "publish another port, or remove the service that has it"),
    (
        "insufficient resources",
        "lower `deploy.resources.reservations`, run fewer tasks, or give the swarm more or larger nodes",
    ),
    ("max replicas per node", "raise `deploy.placement.max_replicas_per_node` or give the swarm more nodes"),
    ("unsupported platform", "the image has no variant for the platform of any node that fits"),
    (
        "scheduling constraints not satisfied",
        "compare `deploy.placement.constraints` with the nodes and their labels (`docker node inspect`)",
    ),
    ("not available for new tasks", "nodes are paused or drained: make one active"),
    ("bind source path does not exist", "make the path on every node, or constrain the service to those that have it"),
    ("executable file not found", "see `command` and `entrypoint`, and that the image has the program"),
    ("non-zero exit", "see the service's log"),
];

/// The way out of what `said` tells.
pub fn advice(said: &str) -> Option<&'static str> {
    WAYS_OUT.iter().find(|(word, _)| said.contains(word)).map(|(_, way)| *way)
}
