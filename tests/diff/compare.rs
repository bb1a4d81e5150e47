//! Differences between what two sides say, each with the key that it is sorted by.

use crate::told::{Bodies, Told};
use serde_json::Value;
use std::fmt;
use waggle_stack::Deviation;

/// Longest value that is printed.
const SHOWN_CHARS_MAX: usize = 300;

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where, without the names and numbers of the case: differences of one cause have the same one.
    pub cause: String,
    pub place: String,
    pub docker: String,
    pub ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}\n  docker: {}\n  ours:   {}", self.cause, self.place, self.docker, self.ours)
    }
}

impl Difference {
    /// Docker does not do what the description of a case says it does.
    pub fn expected(refused: bool, docker: &Told) -> Difference {
        let said = docker.deploy.as_ref().err().map_or("accepted", String::as_str);
        Difference {
            cause: "the case does not say what docker does".into(),
            place: "case.txt".into(),
            docker: said.to_owned(),
            ours: if refused { "refused" } else { "accepted" }.to_owned(),
        }
    }

    /// A case names a deviation that makes no difference in it.
    pub fn not_seen(deviation: Deviation) -> Difference {
        Difference {
            cause: format!("{deviation} makes no difference"),
            place: "case.txt".into(),
            docker: "the same".into(),
            ours: "the same".into(),
        }
    }
}

pub fn differences(docker: &Told, ours: &Told) -> Vec<Difference> {
    let mut found = Vec::new();
    match (&docker.deploy, &ours.deploy) {
        (Ok(docker), Ok(ours)) => bodies(docker, ours, &mut found),
        (docker, ours) => outcome("deploy", docker.as_ref().err(), ours.as_ref().err(), &mut found),
    }
    match (&docker.config, &ours.config) {
        (Ok(docker), Ok(ours)) => texts(docker, ours, &mut found),
        (docker, ours) => outcome("config", docker.as_ref().err(), ours.as_ref().err(), &mut found),
    }
    found
}

/// One accepts, the other refuses.
fn outcome(what: &str, docker: Option<&String>, ours: Option<&String>, found: &mut Vec<Difference>) {
    let cause = match (docker, ours) {
        (Some(message), None) => format!("{what}: only docker refuses: {}", general(message)),
        (None, Some(message)) => format!("{what}: only we refuse: {}", general(message)),
        _ => return,
    };
    let show =
        |message: Option<&String>| message.map_or("accepted".to_owned(), |message| format!("refused: {message}"));
    found.push(Difference { cause, place: what.to_owned(), docker: show(docker), ours: show(ours) });
}

/// A message without quoted words, places and numbers.
fn general(message: &str) -> String {
    let said = message.lines().find(|line| !line.starts_with("Ignoring ") && !line.is_empty());
    let line = said.unwrap_or_default();
    let line = line.split_once("daemon: ").map_or(line, |(_, why)| why);
    let line = line.split_once(".yml:").map_or(line, |(_, rest)| rest.split_once(": ").map_or(rest, |(_, text)| text));
    let mut text = String::new();
    let mut quoted = false;
    for c in without_names(line).chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => continue,
            '0'..='9' if text.ends_with('#') => continue,
            '0'..='9' => text.push('#'),
            _ => text.push(c),
        }
    }
    text
}

/// `services.web.ports` → `services.*.ports`.
fn without_names(line: &str) -> String {
    let mut steps: Vec<&str> = line.split('.').collect();
    for at in 1..steps.len() {
        let section = steps[at - 1].rsplit(' ').next().unwrap_or_default();
        if matches!(section, "services" | "networks" | "volumes" | "secrets" | "configs" | "ulimits") {
            steps[at] = steps[at].split_once(' ').map_or("*", |(_, rest)| rest);
        }
    }
    steps.join(".")
}

pub fn bodies(docker: &Bodies, ours: &Bodies, found: &mut Vec<Difference>) {
    let mut keys: Vec<&String> = docker.0.keys().chain(ours.0.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let kind = key.split('/').next().unwrap_or_default();
        values(kind, key, docker.0.get(key), ours.0.get(key), found);
    }
}

fn values(cause: &str, place: &str, docker: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (docker, ours) {
        (Some(Value::Object(docker)), Some(Value::Object(ours))) => {
            let mut keys: Vec<&String> = docker.keys().chain(ours.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let named =
                    ["Labels", "Options", "Sysctls", "DriverOpts", "Segments"].iter().any(|map| cause.ends_with(map));
                let general = if named { "*" } else { key.as_str() };
                let (cause, place) = (format!("{cause}.{general}"), format!("{place}.{key}"));
                values(&cause, &place, docker.get(key), ours.get(key), found);
            }
        }
        (Some(Value::Array(docker)), Some(Value::Array(ours))) if docker.len() == ours.len() => {
            for (at, (docker, ours)) in docker.iter().zip(ours).enumerate() {
                values(&format!("{cause}[]"), &format!("{place}[{at}]"), Some(docker), Some(ours), found);
            }
        }
        // 0 and 0.0 are one number.
        (Some(Value::Number(docker)), Some(Value::Number(ours))) if docker.as_f64() == ours.as_f64() => {}
        (docker, ours) if docker != ours => {
            let show = |value: Option<&Value>| value.map_or("absent".to_owned(), |value| shown(&value.to_string()));
            let word = match (docker, ours) {
                (None, _) => "only ours",
                (_, None) => "only docker",
                _ => "differs",
            };
            let (docker, ours) = (show(docker), show(ours));
            found.push(Difference { cause: format!("{cause}: {word}"), place: place.to_owned(), docker, ours });
        }
        _ => {}
    }
}

/// The first line that differs, sorted by its key.
fn texts(docker: &str, ours: &str, found: &mut Vec<Difference>) {
    if docker == ours {
        return;
    }
    let (mut left, mut right) = (docker.lines(), ours.lines());
    let mut number = 0;
    let (docker, ours) = loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => break ("(end)", "(end, another line end)"),
            (docker, ours) if docker == ours => continue,
            (docker, ours) => break (docker.unwrap_or("(end)"), ours.unwrap_or("(end)")),
        }
    };
    let key = |line: &str| line.trim_start_matches([' ', '-']).split(':').next().unwrap_or_default().to_owned();
    let cause = format!("config text: docker {} / ours {}", general(&key(docker)), general(&key(ours)));
    let show = |line: &str| shown(&format!("{line:?}"));
    found.push(Difference { cause, place: format!("line {number}"), docker: show(docker), ours: show(ours) });
}

fn shown(text: &str) -> String {
    match text.chars().count() > SHOWN_CHARS_MAX {
        true => text.chars().take(SHOWN_CHARS_MAX).chain("…".chars()).collect(),
        false => text.to_owned(),
    }
}
