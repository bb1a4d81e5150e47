//! Names of registries: as image references have them, and as docker's configuration keys them.
//!
//! One form is used everywhere else: the host, with its port if there is one, that stands in front of an image's path.

use crate::image::{self, check_domain};

/// Registry of images that name none.
pub const DEFAULT: &str = "docker.io";
/// How docker's configuration and its credential helpers call [`DEFAULT`] (docker/cli: cli/config/credentials).
pub const DEFAULT_KEY: &str = "https://index.docker.io/v1/";
/// Other hosts that mean [`DEFAULT`].
const DEFAULT_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = image::NAME_BYTES_MAX;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a registry: {why}; write HOST or HOST:PORT, as in image names")]
pub struct InvalidRegistry {
    pub text: String,
    pub why: &'static str,
}

/// The one form of a name that may be written as a URL or as docker's own key.
pub fn normal(text: &str) -> Result<String, InvalidRegistry> {
    let bad = |why| InvalidRegistry { text: text.chars().take(NAME_BYTES_MAX).collect(), why };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Err(bad("it is empty"));
    }
    if host.len() > NAME_BYTES_MAX {
        return Err(bad("it is longer than 255 characters"));
    }
    check_domain(host).map_err(bad)?;
    Ok(canonical(host).to_owned())
}

/// Registry of an image reference; `None` if that cannot be read.
pub fn of(image: &str) -> Option<String> {
    image::parse(image).ok().map(|image| image.domain)
}

/// How docker's configuration, its credential helpers and its Engine call a registry.
pub fn docker_key(registry: &str) -> &str {
    if registry == DEFAULT { DEFAULT_KEY } else { registry }
}

pub(crate) fn canonical(host: &str) -> &str {
    if DEFAULT_ALIASES.contains(&host) { DEFAULT } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        for (text, want) in [
            (DEFAULT_KEY, "docker.io"),
            ("docker.io", "docker.io"),
            ("https://registry-1.docker.io", "docker.io"),
            ("registry.example:5000", "registry.example:5000"),
            ("http://registry.example:5000/v2/", "registry.example:5000"),
            ("localhost", "localhost"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(want), "{text}");
        }
        for text in ["", "https://", "a b", "host:port", "-x.example", &"a".repeat(300)] {
            assert!(normal(text).is_err(), "{text}");
        }
        assert_eq!(of("nginx").as_deref(), Some(DEFAULT));
        assert_eq!(of("registry.example:5000/a/b:1").as_deref(), Some("registry.example:5000"));
        assert_eq!((docker_key(DEFAULT), docker_key("r.example")), (DEFAULT_KEY, "r.example"));
    }
}
