//! Interpolation exactly as docker/cli does it (`cli/compose/template`), where that differs from what its documentation
//! says: deviation D2.
//!
//! * Operators are looked for one after the other anywhere in the text, `:-` and `-` first: a `-` in the message of `:?`
//!   makes a default of it.
//! * `$NAME` without braces takes an operator too, up to the next `}` or the end: `$A-$B` is `$A` with the default `$B`.
//! * An error is forgotten if a later variable of the same text can be read.

use super::Failure;
use std::collections::BTreeMap;

/// Substitutes all variables of `text`.
pub(super) fn interpolate(text: &str, env: &BTreeMap<String, String>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut outcome = Ok(());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(tail) = tail.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let (inner, after) = expression(tail);
        rest = after;
        outcome = match inner {
            "" => Err(Failure::Invalid(text.to_owned())),
            inner => substitute(inner, env).map(|value| out.push_str(&value)),
        };
        super::check_size(&out)?;
    }
    out.push_str(rest);
    outcome.map(|()| out)
}

/// Name with operator, and what follows; empty if there is none.
fn expression(tail: &str) -> (&str, &str) {
    let named = |text: &str| {
        let (name, _) = super::split_name(text);
        if name.is_empty() {
            return 0;
        }
        let operator = text[name.len()..].strip_prefix(':').unwrap_or(&text[name.len()..]);
        match operator.starts_with(['-', '?']) {
            true => text.find('}').unwrap_or(text.len()),
            false => name.len(),
        }
    };
    if let Some(inner) = tail.strip_prefix('{') {
        let end = named(inner);
        return match inner[end..].strip_prefix('}') {
            Some(after) if end > 0 => (&inner[..end], after),
            _ => ("", tail),
        };
    }
    tail.split_at(named(tail))
}

fn substitute(inner: &str, env: &BTreeMap<String, String>) -> Result<String, Failure> {
    let filled = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let required = |name: &str, message: &str, value: Option<&String>| {
        let missing = || Failure::Required { name: name.to_owned(), message: message.to_owned() };
        value.cloned().ok_or_else(missing)
    };
    if let Some((name, default)) = inner.split_once(":-") {
        return Ok(filled(name).cloned().unwrap_or_else(|| default.to_owned()));
    }
    if let Some((name, default)) = inner.split_once('-') {
        return Ok(env.get(name).cloned().unwrap_or_else(|| default.to_owned()));
    }
    if let Some((name, message)) = inner.split_once(":?") {
        return required(name, message, filled(name));
    }
    if let Some((name, message)) = inner.split_once('?') {
        return required(name, message, env.get(name));
    }
    Ok(env.get(inner).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_does_it() {
        let env = [("HOME", "/root"), ("EMPTY", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        for (text, expected) in [
            ("$HOME-foo ${B}", Some("/root}")),
            ("$UNSET-x $HOME", Some("x $HOME")),
            ("$ ${HOME}", Some(" /root")),
            ("${X:?no} $HOME", Some(" /root")),
            ("$$ $1 $HOME", Some("$ 1 /root")),
            ("$HOME.x", Some("/root.x")),
            ("${HOME:?must be non-empty}", Some("empty")),
            ("${HOME?a-b}", Some("b")),
            ("${HOME?x}${EMPTY-y}${EMPTY:-z}", Some("/rootz")),
            ("$HOME $", None),
            ("${HOME", None),
            ("${HOME:+x}", None),
            ("${UNSET?x}", None),
            ("$$", Some("$")),
        ] {
            assert_eq!(interpolate(text, &env).ok().as_deref(), expected, "{text}");
        }
    }
}
