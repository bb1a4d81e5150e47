//! Which services should get a newer login. Pure.
//!
//! Swarm keeps a login with each service and needs it whenever a task starts on a node without the image. It does not
//! show what it has; the label [`labels::LOGIN`] says which version was written last. Jobs are left out: any update runs
//! them again. So are services whose update is under way or stands still: another write would make the spec that Swarm
//! would roll back to, or set the update going.

use crate::engine::Service;
use crate::logins::{Login, Logins};
use crate::seen::Seen;
use waggle_stack::{Objects, labels};

/// A service of which Swarm has an older login.
#[derive(Debug, PartialEq)]
pub(super) struct Due<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub login: &'a Login,
}

pub(super) fn due<'a>(objects: &Objects, seen: &'a Seen, logins: &'a Logins) -> Vec<Due<'a>> {
    let services = objects.services.values().filter_map(|spec| seen.service(&spec.name));
    let due = services.filter_map(|service| {
        let login = logins.of(&service.spec.task_template.container_spec.image)?;
        let outdated = written(service).is_none_or(|version| version < login.version);
        let due = outdated && login.version > 0 && !service.spec.is_job() && is_calm(service);
        due.then_some(Due { id: &service.id, name: &service.spec.name, login })
    });
    due.collect()
}

fn written(service: &Service) -> Option<u64> {
    service.spec.labels.get(labels::LOGIN)?.parse().ok()
}

/// No update, or one that ended.
fn is_calm(service: &Service) -> bool {
    service.update.as_ref().is_none_or(|update| update.state.ends_with("completed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::UpdateStatus;
    use bytes::Bytes;
    use waggle_stack::objects::service::{Mode, ServiceSpec};
    use waggle_wire::proto::agent::RegistryLogin;

    fn case(image: &str, label: Option<&str>, update: &str, job: bool) -> Vec<u64> {
        let mut spec = ServiceSpec { name: "shop_web".into(), ..ServiceSpec::default() };
        spec.task_template.container_spec.image = image.into();
        spec.labels.extend(label.map(|version| (labels::LOGIN.to_owned(), version.to_owned())));
        if job {
            spec.mode = Mode { replicated_job: Some(Default::default()), ..Mode::default() };
        }
        let objects = Objects { services: [("web".into(), spec.clone())].into(), ..Objects::default() };
        let update = UpdateStatus { state: update.into(), ..UpdateStatus::default() };
        let update = (!update.state.is_empty()).then_some(update);
        let service = Service { id: "s1".into(), spec, update, ..Service::default() };
        let seen = Seen { services: vec![service], ..Seen::default() };
        let login = RegistryLogin { registry: "r.example".into(), version: 5, auth: Bytes::from_static(b"{}") };
        let logins = Logins::checked([login]).unwrap();
        due(&objects, &seen, &logins).iter().map(|due| due.login.version).collect()
    }

    #[test]
    fn only_an_older_login_of_a_calm_service_is_renewed() {
        for (image, label, update, job, want) in [
            ("r.example/a:1", None, "", false, true),
            ("r.example/a:1", Some("4"), "", false, true),
            ("r.example/a:1", Some("x"), "", false, true),
            ("r.example/a:1", Some("5"), "", false, false),
            ("r.example/a:1", Some("6"), "", false, false),
            ("r.example/a:1", Some("4"), "completed", false, true),
            ("r.example/a:1", Some("4"), "rollback_completed", false, true),
            ("r.example/a:1", Some("4"), "updating", false, false),
            ("r.example/a:1", Some("4"), "paused", false, false),
            ("r.example/a:1", Some("4"), "rollback_started", false, false),
            ("r.example/a:1", Some("4"), "rollback_paused", false, false),
            ("r.example/a:1", Some("4"), "", true, false),
            ("other.example/a:1", None, "", false, false),
        ] {
            assert_eq!(!case(image, label, update, job).is_empty(), want, "{image} {label:?} {update} {job}");
        }
    }
}
