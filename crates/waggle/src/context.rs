//! Contexts: which control service the command line talks to, and with which token.
//!
//! One file, readable by its owner only, because it holds bearer tokens. A pipeline needs no file: `WAGGLE_URL` and
//! `WAGGLE_TOKEN` together stand for a context.

use crate::exit::{Exit, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};
use waggle_daemon::file::{create_private_dir, write_atomic};
use waggle_wire::token::{Kind, Token};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a context's name.
const NAME_BYTES_MAX: usize = 63;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Name of the selected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// `Debug` hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub url: String,
    /// In the form `waggle1.api.…`, which pins the CA of the control service.
    pub token: String,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({}, …)", self.url)
    }
}

impl Context {
    /// The token, checked to be one for the API.
    pub fn api_token(&self) -> Result<Token, Failure> {
        api_token(&self.token)
    }
}

/// Reads a token for the API.
pub fn api_token(text: &str) -> Result<Token, Failure> {
    let token: Token = text.parse().map_err(|error| {
        Failure::new(Exit::Refused, format!("{error}")).with_help(
            "an API token starts with waggle1.api; `waggle control` writes the first one to its data directory",
        )
    })?;
    if token.kind != Kind::Api {
        let failure = Failure::refused("this token is for joining, not for the API");
        return Err(failure.with_help("an API token starts with waggle1.api"));
    }
    Ok(token)
}

/// Where the contexts are kept: `$WAGGLE_CONFIG`, else `waggle/config.toml` below `$XDG_CONFIG_HOME` or `~/.config`.
pub fn path() -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("WAGGLE_CONFIG") {
        return Ok(path);
    }
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let base = base.ok_or_else(|| Failure::new(Exit::Failed, "neither HOME nor WAGGLE_CONFIG is set"))?;
    Ok(base.join("waggle").join("config.toml"))
}

impl Contexts {
    /// The contexts in `path`; none if there is no such file.
    pub fn load(path: &Path) -> Result<Contexts, Failure> {
        let shown = path.display();
        let meta = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            meta => meta.map_err(|error| Failure::from(error).context(format!("cannot read {shown}")))?,
        };
        if meta.permissions().mode() & 0o077 != 0 {
            let failure = Failure::new(Exit::Denied, format!("{shown} holds tokens, but others can read it"));
            return Err(
                failure.with_help(format!("run `chmod 600 {shown}`; make new tokens if others use this machine"))
            );
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(Failure::refused(format!("{shown} is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| Failure::refused(format!("{shown}: {}", error.message())))
    }

    /// Replaces the file; it is readable by its owner only.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_private_dir(parent)?;
        }
        Ok(write_atomic(path, toml::to_string(self)?.as_bytes(), 0o600)?)
    }

    /// Adds or replaces a context and selects it.
    pub fn put(&mut self, name: &str, context: Context) -> Result<(), Failure> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(ok) {
            return Err(Failure::refused(format!(
                "context name {name:?}: only letters, digits, -, _ and . are allowed"
            )));
        }
        self.contexts.insert(name.to_owned(), context);
        self.current = Some(name.to_owned());
        Ok(())
    }

    pub fn find(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let help =
                if known.is_empty() { "run `waggle login`".to_owned() } else { format!("known: {}", known.join(", ")) };
            Failure::refused(format!("there is no context {name}")).with_help(help)
        })
    }

    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.find(name)?;
        self.contexts.remove(name);
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        Ok(())
    }
}

/// The context to use: the named one; else `WAGGLE_URL` with `WAGGLE_TOKEN`; else the selected one.
pub fn chosen(name: Option<&str>) -> Result<Context, Failure> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if name.is_none()
        && let (Some(url), Some(token)) = (set("WAGGLE_URL"), set("WAGGLE_TOKEN"))
    {
        return Ok(Context { url, token });
    }
    let contexts = Contexts::load(&path()?)?;
    let none = || {
        Failure::new(Exit::Denied, "not logged in to any control service")
            .with_help("run `waggle login https://HOST:PORT`, or `waggle up` to try Waggle on this machine")
    };
    let name = name.or(contexts.current.as_deref()).ok_or_else(none)?;
    contexts.find(name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(url: &str) -> Context {
        let token = Token::generate(Kind::Api, [7; 32]).unwrap().expose();
        Context { url: url.into(), token }
    }

    #[test]
    fn only_the_owner_can_read_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waggle/config.toml");
        let mut contexts = Contexts::load(&path).unwrap();
        contexts.put("prod", context("https://a:1")).unwrap();
        contexts.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Contexts::load(&path).unwrap(), contexts);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = Contexts::load(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Denied);
        assert!(failure.help.unwrap().contains("chmod 600"));
    }

    #[test]
    fn selecting_and_removing() {
        let mut contexts = Contexts::default();
        contexts.put("a", context("https://a:1")).unwrap();
        contexts.put("b", context("https://b:1")).unwrap();
        assert_eq!(contexts.current.as_deref(), Some("b"));
        assert_eq!(contexts.find("c").unwrap_err().help.unwrap(), "known: a, b");
        contexts.remove("b").unwrap();
        assert_eq!(contexts.current, None);
        assert!(contexts.put("a b", context("https://a:1")).is_err());
    }

    #[test]
    fn tokens_are_checked_and_never_printed() {
        let join = Token::generate(Kind::Cluster, [7; 32]).unwrap().expose();
        assert!(api_token(&join).unwrap_err().message.contains("joining"));
        let context = context("https://a:1");
        assert!(context.api_token().is_ok());
        assert!(!format!("{context:?}").contains("waggle1"));
    }
}
