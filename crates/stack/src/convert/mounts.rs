//! Volumes of a service → mounts. Bind sources must be absolute: a path relative to the caller's directory or home
//! means nothing in another cluster ([`Deviation::D5`]).

use super::Converter;
use crate::Deviation;
use crate::compose::{Mount, MountKind, Service};
use crate::objects::service::{BindOptions, Driver, Empty, Mount as EngineMount, TmpfsOptions, VolumeOptions};
use crate::problem::Place;
use crate::read::Spot;

/// Source of a cluster mount that names a group of volumes instead of one.
const GROUP: &str = "group:";

impl Converter<'_> {
    pub(super) fn mounts(&self, service: &Service) -> Vec<EngineMount> {
        service.volumes.iter().filter_map(|Spot { value, at }| self.mount(value, at)).collect()
    }

    fn mount(&self, mount: &Mount, at: &Place) -> Option<EngineMount> {
        self.check_options(mount, at);
        self.check_source(mount, at);
        let base = EngineMount {
            kind: word(mount.kind).into(),
            source: mount.source.clone(),
            target: mount.target.clone(),
            read_only: mount.read_only,
            consistency: mount.consistency.clone().unwrap_or_default(),
            ..EngineMount::default()
        };
        let bind_options = mount.bind.clone().map(|propagation| BindOptions { propagation });
        match mount.kind {
            MountKind::Volume => self.volume(mount, base, at),
            MountKind::Bind | MountKind::Npipe => Some(EngineMount { bind_options, ..base }),
            MountKind::Tmpfs => {
                Some(EngineMount { tmpfs_options: mount.tmpfs.map(|size_bytes| TmpfsOptions { size_bytes }), ..base })
            }
            MountKind::Image => {
                let help = "copy what is needed into the image of the service, or use a config";
                self.report.error_help(at, "Swarm has no mounts of type image", help);
                None
            }
            MountKind::Cluster => {
                let source = match mount.source.starts_with(GROUP) {
                    true => mount.source.clone(),
                    false => self.declared(&mount.source, at)?,
                };
                Some(EngineMount { source, cluster_options: Some(Empty::default()), ..base })
            }
        }
    }

    fn volume(&self, mount: &Mount, base: EngineMount, at: &Place) -> Option<EngineMount> {
        if mount.source.is_empty() {
            if mount.volume.is_some() {
                self.report
                    .warn(at, "volume options are ignored: docker does not send them for a volume without source");
            }
            return Some(base);
        }
        let source = self.declared(&mount.source, at)?;
        let own = mount.volume.clone().unwrap_or_default();
        let mut options = VolumeOptions { no_copy: own.nocopy, subpath: own.subpath, ..VolumeOptions::default() };
        if let Some(volume) = self.file.volumes.get(&mount.source).map(|volume| &volume.value)
            && !volume.external
        {
            options.labels = self.stack_labels(&volume.labels);
            options.driver_config = (volume.driver.is_some() || volume.driver_opts.is_some()).then(|| Driver {
                name: volume.driver.clone().unwrap_or_default(),
                options: volume.driver_opts.clone().unwrap_or_default(),
            });
        }
        Some(EngineMount { source, volume_options: Some(options), ..base })
    }

    /// Name in the swarm of a top-level volume.
    fn declared(&self, key: &str, at: &Place) -> Option<String> {
        let Some(Spot { value: volume, .. }) = self.file.volumes.get(key) else {
            let help = format!("declare it at the top level: volumes: {{{key}: {{}}}}");
            self.report.error_help(at, format!("undefined volume {key:?}"), help);
            return None;
        };
        Some(self.name(key, &volume.name, volume.external))
    }

    fn check_source(&self, mount: &Mount, at: &Place) {
        let kind = word(mount.kind);
        match mount.kind {
            MountKind::Tmpfs if !mount.source.is_empty() => self.report.error(at, "a tmpfs mount has no source"),
            MountKind::Volume | MountKind::Tmpfs => {}
            _ if mount.source.is_empty() => {
                let article = if kind == "image" { "an" } else { "a" };
                self.report.error(at, format!("{article} {kind} mount needs a source"));
            }
            MountKind::Bind if mount.relative.is_some() || !is_absolute(&mount.source) => self.relative(mount, at),
            _ => {}
        }
    }

    fn relative(&self, mount: &Mount, at: &Place) {
        if self.file.compat.contains(&Deviation::D5) {
            return;
        }
        let written = mount.relative.as_ref().unwrap_or(&mount.source);
        let message = format!("bind source {written:?} is relative: it means nothing in another cluster");
        let help = "write an absolute path, or use a config or a named volume; \
            or `x-waggle: {compat: [D5]}` for docker's behaviour";
        self.report.error_help(at, message, help);
    }

    /// Options of another type are an error to docker, or ignored by it.
    fn check_options(&self, mount: &Mount, at: &Place) {
        use MountKind::{Bind, Cluster, Image, Npipe, Tmpfs, Volume};
        let given = [
            ("bind", mount.bind.is_some(), &[Bind, Npipe][..], &[][..]),
            ("volume", mount.volume.is_some(), &[Volume], &[]),
            ("tmpfs", mount.tmpfs.is_some(), &[Tmpfs], &[]),
            ("image", mount.image.is_some(), &[Image], &[Cluster]),
            ("cluster", mount.cluster, &[Cluster], &[Npipe]),
        ];
        for (name, given, takes, ignores) in given {
            let kind = word(mount.kind);
            if !given || takes.contains(&mount.kind) {
                continue;
            }
            if ignores.contains(&mount.kind) {
                self.report.warn(at, format!("{name} options are ignored for type {kind}"));
            } else {
                self.report.error(at, format!("{name} options are incompatible with type {kind}"));
            }
        }
    }
}

fn word(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Volume => "volume",
        MountKind::Bind => "bind",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Npipe => "npipe",
        MountKind::Image => "image",
        MountKind::Cluster => "cluster",
    }
}

/// On the Engine's machine, Linux or Windows: `/x`, `C:\x`, `C:/x`, `\\host\share`.
fn is_absolute(path: &str) -> bool {
    let mut drive = path.chars();
    let has_drive = drive.next().is_some_and(|letter| letter.is_ascii_alphabetic()) && drive.next() == Some(':');
    path.starts_with('/')
        || path.starts_with(r"\\")
        || (has_drive && drive.next().is_some_and(|c| c == '\\' || c == '/'))
}
