//! `deploy` → mode, update, restart, resources, placement, endpoint.

use super::Converter;
use crate::compose::{Deploy, Service, Update};
use crate::objects::service::{
    DiscreteResource, Empty, EndpointSpec, GenericResource, Limit, Mode, Placement, PortConfig, Preference, Replicated,
    ReplicatedJob, Reservation, Resources as EngineResources, RestartPolicy, Spread, UpdateConfig, single,
};
use crate::read::Spot;

impl Converter<'_> {
    pub(super) fn mode(&self, service: &Service) -> Mode {
        let deploy = &service.deploy;
        let replicas = deploy.replicas.as_ref().map(|replicas| replicas.value);
        let word = deploy.mode.as_ref().map_or("", |mode| mode.value.as_str());
        if let ("global" | "global-job", Some(Spot { at, .. })) = (word, &deploy.replicas) {
            self.report.error(at, format!("replicas do not go with mode {word}"));
        }
        match word {
            "" | "replicated" => Mode { replicated: Some(Replicated { replicas }), ..Mode::default() },
            "global" => Mode { global: Some(Empty::default()), ..Mode::default() },
            "replicated-job" => {
                let job = ReplicatedJob { max_concurrent: replicas, total_completions: replicas };
                Mode { replicated_job: Some(job), ..Mode::default() }
            }
            "global-job" => Mode { global_job: Some(Empty::default()), ..Mode::default() },
            other => {
                if let Some(Spot { at, .. }) = &deploy.mode {
                    let known = "replicated, global, replicated-job, global-job";
                    self.report.error(at, format!("mode {other:?} is none of {known}"));
                }
                Mode::default()
            }
        }
    }

    pub(super) fn update_config(&self, update: Option<&Spot<Update>>) -> Option<UpdateConfig> {
        let Spot { value: update, .. } = update?;
        Some(UpdateConfig {
            parallelism: update.parallelism.unwrap_or(1),
            delay: update.delay.unwrap_or_default(),
            failure_action: update.failure_action.clone().unwrap_or_default(),
            monitor: update.monitor.unwrap_or_default(),
            max_failure_ratio: single(update.max_failure_ratio.unwrap_or_default()),
            order: update.order.clone().unwrap_or_default(),
        })
    }

    /// `deploy.restart_policy`, else the older `restart`.
    pub(super) fn restart_policy(&self, service: &Service) -> Option<RestartPolicy> {
        if let Some(policy) = &service.deploy.restart_policy {
            return Some(RestartPolicy {
                condition: policy.condition.clone().unwrap_or_default(),
                delay: policy.delay,
                max_attempts: policy.max_attempts,
                window: policy.window,
            });
        }
        let Spot { value, at } = service.restart.as_ref()?;
        let (word, attempts) = value.split_once(':').map_or((value.as_str(), None), |(word, n)| (word, Some(n)));
        let policy = |condition: &str| RestartPolicy { condition: condition.into(), ..RestartPolicy::default() };
        // Docker sends the count even when none was written, and reads one that it ignores.
        let attempts = attempts.filter(|n| !n.is_empty()).map_or(Ok(0), str::parse::<i64>);
        match (word, attempts) {
            ("", Ok(_)) if value.is_empty() => None,
            ("no", Ok(_)) => None,
            ("always" | "unless-stopped", Ok(_)) => Some(policy("any")),
            // As Go casts it: below zero is very often.
            ("on-failure", Ok(n)) => Some(RestartPolicy { max_attempts: Some(n as u64), ..policy("on-failure") }),
            _ => {
                self.report
                    .error(at, format!("restart {value:?} is none of no, always, unless-stopped, on-failure[:N]"));
                None
            }
        }
    }

    pub(super) fn resources(&self, deploy: &Deploy) -> EngineResources {
        EngineResources {
            limits: deploy.limits.as_ref().map(|limits| Limit {
                nano_cpus: limits.nano_cpus.unwrap_or_default(),
                memory_bytes: limits.memory_bytes.unwrap_or_default(),
                pids: limits.pids.unwrap_or_default(),
            }),
            reservations: deploy.reservations.as_ref().map(|reservations| Reservation {
                nano_cpus: reservations.nano_cpus.unwrap_or_default(),
                memory_bytes: reservations.memory_bytes.unwrap_or_default(),
                generic_resources: reservations.generic.iter().map(generic).collect(),
            }),
        }
    }

    pub(super) fn placement(&self, deploy: &Deploy) -> Placement {
        let spread = |descriptor: &String| Preference { spread: Some(Spread { descriptor: descriptor.clone() }) };
        Placement {
            constraints: deploy.constraints.clone(),
            preferences: deploy.preferences.iter().map(spread).collect(),
            max_replicas: deploy.max_replicas.unwrap_or_default(),
            platforms: Vec::new(),
        }
    }

    pub(super) fn endpoint(&self, service: &Service) -> EndpointSpec {
        let mode = service.deploy.endpoint_mode.as_deref().unwrap_or_default().to_lowercase();
        let port = |port: &Spot<crate::compose::Port>| PortConfig {
            name: String::new(),
            protocol: port.value.protocol.clone(),
            target_port: port.value.target,
            published_port: port.value.published,
            publish_mode: port.value.mode.clone(),
        };
        let mut ports: Vec<PortConfig> = service.ports.iter().map(port).collect();
        // Stable, as in docker for as many ports as people write.
        ports.sort_by_key(|port| port.published_port);
        EndpointSpec { mode, ports }
    }
}

/// One that says nothing is sent as such.
fn generic(resource: &Option<(String, i64)>) -> GenericResource {
    let discrete = |(kind, value): &(String, i64)| DiscreteResource { kind: kind.clone(), value: *value };
    GenericResource { discrete: resource.as_ref().map(discrete) }
}
