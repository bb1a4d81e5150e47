//! Volumes of a service → mounts. Bind sources must be absolute: a path relative to the caller's directory or home
//! means nothing in another cluster.

use super::Converter;
use crate::compose::{Mount, MountKind, Service};
use crate::objects::service::{BindOptions, Driver, Mount as EngineMount, TmpfsOptions, VolumeOptions};
use crate::problem::Place;
use crate::read::Spot;

impl Converter<'_> {
    pub(super) fn mounts(&self, service: &Service) -> Vec<EngineMount> {
        service.volumes.iter().filter_map(|Spot { value, at }| self.mount(value, at)).collect()
    }

    fn mount(&self, mount: &Mount, at: &Place) -> Option<EngineMount> {
        self.check_options(mount, at);
        let kind = match mount.kind {
            MountKind::Volume => "volume",
            MountKind::Bind => "bind",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Npipe => "npipe",
            MountKind::Image => "image",
            MountKind::Cluster => "cluster",
        };
        let base = EngineMount {
            kind: kind.into(),
            source: mount.source.clone(),
            target: mount.target.clone(),
            read_only: mount.read_only,
            consistency: mount.consistency.clone().unwrap_or_default(),
            ..EngineMount::default()
        };
        match mount.kind {
            MountKind::Volume => self.volume(mount, base, at),
            MountKind::Bind => {
                self.check_bind(mount, at);
                let bind_options = mount.bind.clone().map(|propagation| BindOptions { propagation });
                Some(EngineMount { bind_options, ..base })
            }
            MountKind::Npipe | MountKind::Image | MountKind::Cluster => {
                self.report.error(at, format!("volumes of type {kind} are not supported"));
                None
            }
            MountKind::Tmpfs => {
                if !mount.source.is_empty() {
                    self.report.error(at, "a tmpfs mount has no source");
                }
                Some(EngineMount { tmpfs_options: mount.tmpfs.map(|size_bytes| TmpfsOptions { size_bytes }), ..base })
            }
        }
    }

    fn volume(&self, mount: &Mount, base: EngineMount, at: &Place) -> Option<EngineMount> {
        if mount.source.is_empty() {
            let options = mount.volume.as_ref();
            let options = options.map(|own| VolumeOptions { no_copy: own.nocopy, ..VolumeOptions::default() });
            return Some(EngineMount { volume_options: options, ..base });
        }
        let Some(Spot { value: volume, .. }) = self.file.volumes.get(&mount.source) else {
            self.report.error(at, format!("undefined volume {:?}", mount.source));
            return None;
        };
        let mut options =
            VolumeOptions { no_copy: mount.volume.as_ref().is_some_and(|own| own.nocopy), ..VolumeOptions::default() };
        if !volume.external {
            options.labels = self.stack_labels(&volume.labels);
            let has_driver = volume.driver.is_some() || !volume.driver_opts.is_empty();
            options.driver_config = has_driver.then(|| Driver {
                name: volume.driver.clone().unwrap_or_default(),
                options: volume.driver_opts.clone(),
            });
        }
        let source = self.name(&mount.source, &volume.name, volume.external);
        Some(EngineMount { source, volume_options: Some(options), ..base })
    }

    fn check_bind(&self, mount: &Mount, at: &Place) {
        if mount.source.is_empty() {
            self.report.error(at, "a bind mount needs a source");
        } else if !mount.source.starts_with('/') {
            let message = format!("bind source {:?} is relative: it means nothing in another cluster", mount.source);
            self.report.error_help(at, message, "write an absolute path, or use a config or a named volume");
        }
    }

    fn check_options(&self, mount: &Mount, at: &Place) {
        let given = [
            (MountKind::Bind, mount.bind.is_some(), "bind"),
            (MountKind::Volume, mount.volume.is_some(), "volume"),
            (MountKind::Tmpfs, mount.tmpfs.is_some(), "tmpfs"),
        ];
        for (kind, given, name) in given {
            if given && kind != mount.kind {
                self.report.error(at, format!("{name} options do not go with this type of mount"));
            }
        }
    }
}
