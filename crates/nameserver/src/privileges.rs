//! Becoming an ordinary user once everything that needs more has been done: ports bound, token read.

use nix::errno::Errno;
use nix::unistd::{Uid, User, chown, geteuid, setgid, setgroups, setuid};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("there is no user {0} on this machine; create it, or leave user out")]
    NoUser(String),
    #[error("user {user} cannot be looked up")]
    Lookup { user: String, source: Errno },
    #[error("{} cannot be given to user {user}", path.display())]
    Own { path: PathBuf, user: String, source: Errno },
    #[error("cannot become user {user}; only root can: leave user out when not started as root")]
    Become { user: String, source: Errno },
    #[error("root could be regained after becoming {0}")]
    Regained(String),
}

/// Gives `data_dir` to `user`, then becomes that user for good: group, no further groups, user. glibc does it for all
/// threads of the process. Capabilities go with the user id.
pub fn drop_to(user: &str, data_dir: &Path) -> Result<(), PrivilegeError> {
    let name = || user.to_owned();
    let found = User::from_name(user).map_err(|source| PrivilegeError::Lookup { user: name(), source })?;
    let found = found.ok_or_else(|| PrivilegeError::NoUser(name()))?;
    if geteuid() == found.uid {
        return Ok(());
    }
    own(data_dir, &found)?;
    let change = || {
        setgroups(&[])?;
        setgid(found.gid)?;
        setuid(found.uid)
    };
    change().map_err(|source| PrivilegeError::Become { user: name(), source })?;
    if !found.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::Regained(name()));
    }
    Ok(())
}

/// The directory, what lies in it, and what lies in its directories: all that this role ever writes.
fn own(data_dir: &Path, user: &User) -> Result<(), PrivilegeError> {
    let inside = list(data_dir);
    let deeper: Vec<_> = inside.iter().flat_map(|path| list(path)).collect();
    for path in inside.into_iter().chain(deeper).chain([data_dir.to_owned()]) {
        let owned = chown(&path, Some(user.uid), Some(user.gid));
        owned.map_err(|source| PrivilegeError::Own { path, user: user.name.clone(), source })?;
    }
    Ok(())
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
