//! One input: Compose files in their order, files beside them, and the environment.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Name of every stack that is deployed here.
pub const STACK: &str = "shop";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Name and text; later ones are merged over earlier ones.
    pub files: Vec<(String, String)>,
    /// What the files point to: env files, secrets, configs.
    pub others: BTreeMap<String, Vec<u8>>,
    /// On top of [`environment`].
    pub env: BTreeMap<String, String>,
}

impl Case {
    /// Writes everything into an empty `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let texts = self.files.iter().map(|(name, text)| (name, text.as_bytes()));
        for (name, bytes) in texts.chain(self.others.iter().map(|(name, bytes)| (name, &bytes[..]))) {
            let path = dir.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// Everything that a person needs to see it again.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.env {
            text += &format!("--- {name}={value}\n");
        }
        for (name, file) in &self.files {
            text += &format!("--- {name}\n{file}\n");
        }
        text
    }
}

/// What both sides see of the environment: fixed, so that nothing of the machine changes a result.
pub fn environment(case: &Case, home: &Path) -> BTreeMap<String, String> {
    let mut env = case.env.clone();
    env.insert("HOME".into(), home.display().to_string());
    env.insert("PATH".into(), std::env::var("PATH").unwrap_or_default());
    env
}
