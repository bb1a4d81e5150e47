//! Paths as Go's `filepath` on Linux treats them: as texts, never looked up.

use std::path::Path;

/// `name` if it starts at the root, as written; else below `workdir`, without `.`, `..` and double slashes.
pub fn absolute(workdir: &Path, name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    let joined = format!("{}/{name}", workdir.display());
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// With a drive letter, or `\\server\share`, and a slash or backslash after it.
pub fn is_absolute_on_windows(name: &str) -> bool {
    let slash = |b: Option<&u8>| matches!(b, Some(b'\\' | b'/'));
    let bytes = name.as_bytes();
    let volume = match bytes {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => 2,
        [_, _, ..] => share(bytes).unwrap_or(0),
        _ => 0,
    };
    volume > 0 && slash(bytes.get(volume))
}

/// Length of `\\server\share`.
fn share(bytes: &[u8]) -> Option<usize> {
    let slash = |at: usize| matches!(bytes.get(at), Some(b'\\' | b'/'));
    let dot = |at: usize| bytes.get(at) == Some(&b'.');
    if bytes.len() < 5 || !slash(0) || !slash(1) || slash(2) || dot(2) {
        return None;
    }
    let after_server = (3..bytes.len() - 1).find(|at| slash(*at))? + 1;
    if slash(after_server) || dot(after_server) {
        return None;
    }
    Some((after_server..bytes.len()).find(|at| slash(*at)).unwrap_or(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_and_cleaned() {
        for (name, expected) in
            [("a", "/w/d/a"), ("./a//b/.", "/w/d/a/b"), ("../../../x", "/x"), ("", "/w/d"), ("/a/../b//", "/a/../b//")]
        {
            assert_eq!(absolute(Path::new("/w/d"), name), expected);
        }
        for name in [r"C:\x", "c:/x", r"\\server\share\x", "//server/share/"] {
            assert!(is_absolute_on_windows(name), "{name}");
        }
        for name in ["c:", "C:x", r"\\server\share", r"\\.\pipe\x", "é:/x", "", "a", r"\\a"] {
            assert!(!is_absolute_on_windows(name), "{name}");
        }
    }
}
