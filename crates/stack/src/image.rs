//! Image references: `[domain/]path[:tag][@digest]` with Docker's defaults (distribution/reference): domain `docker.io`,
//! path `library/` in front of a single word, tag `latest`.

use crate::registry;
use std::fmt;
use std::str::FromStr;

/// Longest name without tag and digest.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest tag.
pub const TAG_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("image reference {text:?} is not valid: {why}")]
pub struct InvalidImage {
    pub text: String,
    pub why: &'static str,
}

/// A reference in full; `Display` writes the long form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry, with port if given: `docker.io`, `registry.example:5000`.
    pub domain: String,
    /// Repository within the registry: `library/nginx`.
    pub path: String,
    /// Absent only if there is a digest.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl Image {
    /// The short form that people write and the Engine stores: `nginx:latest`, `nginx:latest@sha256:…`.
    pub fn familiar(&self) -> String {
        let name = match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            (registry::DEFAULT, Some(word)) if !word.contains('/') => word.to_owned(),
            (registry::DEFAULT, _) => self.path.clone(),
            (domain, _) => format!("{domain}/{}", self.path),
        };
        name + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Image {
    type Err = InvalidImage;
    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        parse(text)
    }
}

/// Reads a reference as written in a file; `latest` is added when there is neither tag nor digest.
pub fn parse(text: &str) -> Result<Image, InvalidImage> {
    let bad = |why| InvalidImage { text: text.to_owned(), why };
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(digest) = digest {
        check_digest(digest).map_err(bad)?;
    }
    if let Some(tag) = tag {
        check_tag(tag).map_err(bad)?;
    }
    if name.is_empty() {
        return Err(bad("the name is empty"));
    }
    let (domain, path) = split_domain(name);
    check_domain(&domain).map_err(bad)?;
    check_path(&path).map_err(bad)?;
    if domain.len() + path.len() > NAME_BYTES_MAX {
        return Err(bad("the name is longer than 255 characters"));
    }
    if is_id(name) {
        return Err(bad("it is an image id; name a repository"));
    }
    let tag = match (tag, digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    Ok(Image { domain, path, tag, digest: digest.map(str::to_owned) })
}

/// Whether this is the id of an image on one node, which docker takes for a reference too.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What stands before the first `/` is a domain if it looks like one: a dot, a port, `localhost`, or upper case.
fn split_domain(name: &str) -> (String, String) {
    let is_domain = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => (first, rest),
        _ => (registry::DEFAULT, name),
    };
    let domain = registry::canonical(domain);
    let official = domain == registry::DEFAULT && !path.contains('/');
    (domain.to_owned(), if official { format!("library/{path}") } else { path.to_owned() })
}

pub(crate) fn check_domain(domain: &str) -> Result<(), &'static str> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the registry's port is not a number");
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| "the registry's address is not valid");
    }
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.split('.').all(label) { Ok(()) } else { Err("the registry's name is not valid") }
}

/// Components of `[a-z0-9]+`, joined by one `.`, one or two `_`, or any number of `-`.
fn check_path(path: &str) -> Result<(), &'static str> {
    for component in path.split('/') {
        if !component.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)) {
            return Err("the repository may only hold a-z, 0-9, '.', '_', '-' and '/'");
        }
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
            return Err("each part of the repository must start and end with a-z or 0-9");
        }
        let separators = component.split(alphanumeric).filter(|run| !run.is_empty());
        if separators.into_iter().any(|run| !matches!(run, "." | "_" | "__") && run.bytes().any(|b| b != b'-')) {
            return Err("separators in the repository are '.', '_', '__' or dashes");
        }
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let first_ok = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if first_ok && tag.len() <= TAG_BYTES_MAX && tag.bytes().all(ok) { Ok(()) } else { Err("the tag is not valid") }
}

fn check_digest(digest: &str) -> Result<(), &'static str> {
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match digest.split_once(':') {
        Some(("sha256", text)) if hex(text, 64) => Ok(()),
        Some(("sha512", text)) if hex(text, 128) => Ok(()),
        _ => Err("the digest is not sha256 or sha512 in lower-case hex"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full, familiar) in [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/library/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
            ("index.docker.io/me/app:1", "docker.io/me/app:1", "me/app:1"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
            ("127.0.0.1:5000/a/b:v", "127.0.0.1:5000/a/b:v", "127.0.0.1:5000/a/b:v"),
            ("[::1]:5000/a:v", "[::1]:5000/a:v", "[::1]:5000/a:v"),
            ("registry.example/a__b.c--d", "registry.example/a__b.c--d:latest", "registry.example/a__b.c--d:latest"),
        ] {
            let image = parse(text).unwrap();
            assert_eq!(image.to_string(), full, "{text}");
            assert_eq!(image.familiar(), familiar, "{text}");
            assert_eq!(parse(familiar).unwrap(), image, "{text}");
        }
        let pinned = parse(&format!("nginx@{digest}")).unwrap();
        assert_eq!(pinned.tag, None);
        assert_eq!(pinned.familiar(), format!("nginx@{digest}"));
        assert_eq!(parse(&format!("nginx:1@{digest}")).unwrap().familiar(), format!("nginx:1@{digest}"));
    }

    #[test]
    fn refused() {
        let id = "a".repeat(64);
        for text in
            ["", ":tag", "Nginx", "a//b", "a/", "-a", "a..b", "a:", "a:-x", "a@sha256:12", "a b", "h:x/a", "a___b", &id]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
