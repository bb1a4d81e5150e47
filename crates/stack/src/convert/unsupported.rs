//! What can be read and is not converted yet: dropping it would change what runs, so it is refused.

use super::Converter;

impl Converter<'_> {
    pub(super) fn refuse_unsupported(&self) {
        for (name, service) in &self.file.services {
            let refuse = |at, what: &str| self.report.error(at, format!("{what} of service {name} is not supported"));
            if let Some(spec) = &service.credential_spec {
                refuse(&spec.at, "credential_spec");
            }
            if let Some(isolation) = &service.isolation {
                refuse(&isolation.at, "isolation");
            }
            if service.oom_score_adj.value != 0 {
                refuse(&service.oom_score_adj.at, "oom_score_adj");
            }
            if let Some(check) = service.healthcheck.as_ref().filter(|check| check.value.start_interval.is_some()) {
                refuse(&check.at, "start_interval");
            }
            for mount in &service.volumes {
                if mount.value.volume.as_ref().is_some_and(|own| !own.subpath.is_empty()) {
                    refuse(&mount.at, "subpath");
                }
            }
        }
        for (name, volume) in self.file.volumes.iter().filter(|(_, volume)| volume.value.cluster) {
            self.report.error(&volume.at, format!("x-cluster-spec of volume {name} is not supported"));
        }
        for (what, objects) in [("secret", &self.file.secrets), ("config", &self.file.configs)] {
            for (name, object) in objects {
                for driver in object.value.driver.iter().chain(&object.value.template_driver) {
                    self.report.error(&driver.at, format!("drivers of {what} {name} are not supported"));
                }
            }
        }
    }
}
