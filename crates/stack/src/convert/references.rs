//! Secrets and configs of a service: named references, and the config that a credential spec is in.

use super::Converter;
use crate::compose::{CredentialSpec as Spec, FileObject, FileReference, Service};
use crate::objects::scoped;
use crate::objects::service::{ConfigReference, CredentialSpec, Empty, ReferenceFile, SecretReference};
use crate::problem::Place;
use crate::read::Spot;
use std::collections::{BTreeMap, BTreeSet};

impl Converter<'_> {
    pub(super) fn secret_references(&self, service: &Service) -> Vec<SecretReference> {
        let references = self.references("secret", &service.secrets, &self.file.secrets);
        let reference = |(name, file)| SecretReference { file: Some(file), id: String::new(), name };
        references.into_iter().map(reference).collect()
    }

    /// A credential spec's config is referred to for the runtime, besides.
    pub(super) fn config_references(&self, service: &Service) -> Vec<ConfigReference> {
        let references = self.references("config", &service.configs, &self.file.configs);
        let reference = |(name, file)| ConfigReference { file: Some(file), name, ..ConfigReference::default() };
        let mut references: Vec<ConfigReference> = references.into_iter().map(reference).collect();
        let spec = service.credential_spec.as_ref();
        if let Some(name) = spec.and_then(|spec| self.credential_config(&spec.value, &spec.at)) {
            references.push(ConfigReference { runtime: Some(Empty::default()), name, ..ConfigReference::default() });
            references.sort_by(|a, b| a.name.cmp(&b.name));
        }
        references
    }

    pub(super) fn credential_spec(&self, service: &Service) -> Option<CredentialSpec> {
        let Spot { value: spec, at } = service.credential_spec.as_ref()?;
        let given: Vec<&str> = [("config", &spec.config), ("file", &spec.file), ("registry", &spec.registry)]
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|_| name))
            .collect();
        match given[..] {
            [] => return None,
            [_] => {}
            _ => {
                let message = format!("credential_spec takes one of {}, not all", given.join(", "));
                self.report.error_help(at, message, "keep one of them");
            }
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let config = self.named_as_docker_looks_for_it(service, spec, at).unwrap_or_default();
        Some(CredentialSpec { config, file: text(&spec.file), registry: text(&spec.registry) })
    }

    fn config_name(&self, spec: &Spec) -> Option<String> {
        let key = spec.config.as_ref()?;
        let Spot { value: object, .. } = self.file.configs.get(key)?;
        Some(self.name(key, &object.name, object.external))
    }

    /// Docker looks for the config among the names in the swarm of all configs of the service: as written, else with the
    /// stack's prefix. One with a `name` of its own is not found.
    fn named_as_docker_looks_for_it(&self, service: &Service, spec: &Spec, at: &Place) -> Option<String> {
        let (key, own) = (spec.config.as_ref()?, self.config_name(spec)?);
        let name = |reference: &Spot<FileReference>| {
            let key = &reference.value.source;
            let Spot { value: object, .. } = self.file.configs.get(key)?;
            Some(self.name(key, &object.name, object.external))
        };
        let names: BTreeSet<String> = service.configs.iter().filter_map(name).chain([own]).collect();
        let found = [key.clone(), scoped(&self.input.stack, key)].into_iter().find(|name| names.contains(name));
        if found.is_none() {
            let help = format!("leave out name of config {key}: it is then called {}", scoped(&self.input.stack, key));
            let message = format!("credential_spec: docker does not find config {key}, because it has another name");
            self.report.error_help(at, message, help);
        }
        found
    }

    fn credential_config(&self, spec: &Spec, at: &Place) -> Option<String> {
        let key = spec.config.as_ref()?;
        let name = self.config_name(spec);
        if name.is_none() {
            self.undefined("config", key, at);
        }
        name
    }

    fn undefined(&self, what: &str, key: &str, at: &Place) {
        let help = format!("declare it at the top level: {what}s: {{{key}: {{file: PATH}}}}, or external: true");
        self.report.error_help(at, format!("undefined {what} {key:?}"), help);
    }

    /// Name in the swarm and file in the container, sorted by name.
    fn references(
        &self,
        what: &str,
        references: &[Spot<FileReference>],
        objects: &BTreeMap<String, Spot<FileObject>>,
    ) -> Vec<(String, ReferenceFile)> {
        let mut found = Vec::new();
        let mut targets = BTreeSet::new();
        for Spot { value: reference, at } in references {
            let source = &reference.source;
            let Some(Spot { value: object, .. }) = objects.get(source) else {
                self.undefined(what, source, at);
                continue;
            };
            let own = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let target = own(&reference.target).unwrap_or_else(|| source.clone());
            if !targets.insert(target.clone()) {
                let help = "give one of them another target";
                self.report.error_help(at, format!("two {what}s have the target {target}"), help);
            }
            let file = ReferenceFile {
                name: target,
                uid: own(&reference.uid).unwrap_or_else(|| "0".into()),
                gid: own(&reference.gid).unwrap_or_else(|| "0".into()),
                mode: reference.mode.unwrap_or(0o444),
            };
            found.push((self.name(source, &object.name, object.external), file));
        }
        found.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        found
    }
}
