//! Cases from a seed: some keys of the grammar with some values of theirs, in one to three files.
//!
//! Seeds walk through all values of all keys, round by round, so that any few hundred seeds in a row hit every key; what
//! stands beside the value in turn, and how it is written, is random.

use crate::case::Case;
use crate::grammar::{ANYTHING, KEYS, Key};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use waggle_tests::random::Random;

/// A case that can be made smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    pub files: Vec<Tree>,
    pub env: BTreeMap<String, String>,
    /// Paths of the grammar that were put in.
    pub hit: BTreeSet<&'static str>,
}

/// What the files may point to.
const OTHERS: &[(&str, &str)] = &[
    ("key.txt", "secret of the shop\n"),
    ("site.conf", "listen 80;\n"),
    ("empty.txt", ""),
    ("spec.json", "{}"),
    ("one.env", "# settings\nONE=1\nTWO=two words \nSET\nUNSET\nEMPTY=\n"),
    ("two.env", "\u{feff}ONE=other\n  LEADING=x\nQUOTED=\"q\"\nHASH=a # b\n"),
    ("odd.env", "A=$$x\nB=${SET}\n\tTAB=1\n"),
    ("bad.env", "A B=1\n"),
];

impl Generated {
    pub fn case(&self) -> Case {
        let name = |at: usize| if at == 0 { "compose.yml".to_owned() } else { format!("over-{at}.yml") };
        Case {
            files: self.files.iter().enumerate().map(|(at, tree)| (name(at), tree.print())).collect(),
            others: OTHERS.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect(),
            env: self.env.clone(),
        }
    }

    /// Cases with one thing less, the largest cuts first.
    pub fn smaller(&self) -> Vec<Generated> {
        let mut found = Vec::new();
        for at in (0..self.files.len()).filter(|_| self.files.len() > 1) {
            let mut less = self.clone();
            less.files.remove(at);
            found.push(less);
        }
        for (at, file) in self.files.iter().enumerate() {
            for tree in file.smaller() {
                let mut less = self.clone();
                less.files[at] = tree;
                found.push(less);
            }
        }
        for name in self.env.keys() {
            let mut less = self.clone();
            less.env.remove(name);
            found.push(less);
        }
        found
    }
}

pub fn generate(seed: u64) -> Generated {
    let mut random = Random::new(seed.wrapping_add(1));
    let count = KEYS.len() as u64;
    let key = &KEYS[(seed % count) as usize];
    let values: Vec<&str> = [key.good, key.edge, ANYTHING].concat();
    let value = values[((seed / count) % values.len() as u64) as usize];

    let mut made = Generated { files: Vec::new(), env: BTreeMap::new(), hit: BTreeSet::new() };
    let files = [1, 1, 2, 2, 3][random.below(5) as usize];
    made.files = vec![Tree::Map(Vec::new()); files];
    let alone = random.chance(40);
    if !alone {
        for _ in 0..2 + random.below(14) {
            let other = &KEYS[random.below(count) as usize];
            let good = random.chance(96);
            let Some(value) = random.pick(if good { other.good } else { other.edge }) else { continue };
            put(&mut made, &mut random, other, value);
        }
    }
    put(&mut made, &mut random, key, value);
    for at in 0..files {
        let all = made.clone();
        fill(&mut made.files[at], &all, at, &mut random);
    }
    version(&mut made, &mut random);
    if random.chance(35) {
        interpolate(&mut made, &mut random);
    }
    made
}

/// A case of good values only, and the same with a few more keys; some replace what is there.
pub fn pair(seed: u64) -> (Generated, Generated) {
    const OTHER_CHOICES: u64 = 1 << 40;
    let mut random = Random::new(seed.wrapping_add(OTHER_CHOICES));
    let mut first = Generated { files: Vec::new(), env: BTreeMap::new(), hit: BTreeSet::new() };
    first.files = vec![Tree::Map(Vec::new()); 1 + random.below(2) as usize];
    let keys = 4 + random.below(12);
    put_good(&mut first, &mut random, keys);
    let mut second = first.clone();
    let keys = 1 + random.below(4);
    put_good(&mut second, &mut random, keys);
    (first, second)
}

/// Adds keys that are taken, and what they need.
fn put_good(made: &mut Generated, random: &mut Random, keys: u64) {
    for _ in 0..keys {
        let Some(key) = random.pick(KEYS) else { continue };
        if let Some(value) = random.pick(key.good) {
            put(made, random, key, value);
        }
    }
    for at in 0..made.files.len() {
        let all = made.clone();
        fill(&mut made.files[at], &all, at, random);
    }
}

/// Names to stand for a `*`, by what is named.
fn name(parent: &str, random: &mut Random) -> &'static str {
    let names: &[&str] = match parent {
        "services" => &["web", "web", "web", "db", "job"],
        "networks" => &["front", "front", "back", "default", "away"],
        "volumes" => &["data", "data", "logs", "labelled", "away-volume"],
        "secrets" => &["key", "token"],
        "configs" => &["conf", "site"],
        "ulimits" => &["nofile", "nproc"],
        _ => &["a", "max-size", "z.y"],
    };
    random.pick(names).unwrap_or(&"a")
}

fn put(made: &mut Generated, random: &mut Random, key: &'static Key, value: &str) {
    let at = random.below(made.files.len() as u64) as usize;
    let mut path: Vec<String> = Vec::new();
    for step in key.path.split('.') {
        match step {
            "*" => path.push(name(path.last().map_or("", String::as_str), random).to_owned()),
            "x-cluster-spec" | "x-anything" | "x-y" | "x-mine" => path.push(step.to_owned()),
            // Half of the time one more property of the last item instead of a new item.
            _ => path.push(match step.strip_suffix("[]") {
                Some(list) if random.chance(50) => format!("{list}[=]"),
                _ => step.to_owned(),
            }),
        }
    }
    made.files[at].put(&path.join("."), Tree::Text(value.to_owned()));
    made.hit.insert(key.path);
}

/// Adds what must be there for the rest to be taken, most of the time.
fn fill(file: &mut Tree, all: &Generated, at: usize, random: &mut Random) {
    if at == 0 && file.get("services").is_none() {
        file.put("services.web.image", text("nginx"));
    }
    for service in names(file, "services") {
        let elsewhere = all.files[..at].iter().any(|file| names(file, "services").contains(&service));
        let prefix = format!("services.{service}");
        let Some(inner) = inside(file, &["services", &service]) else { continue };
        if inner.get("image").is_none() && !elsewhere && random.chance(98) {
            file.put(&format!("{prefix}.image"), text("nginx:1.27"));
        }
        items(file, &["services", &service, "ports"], &[("target", "8000")], random);
        items(file, &["services", &service, "volumes"], &[("target", "/made"), ("type", "volume")], random);
        items(file, &["services", &service, "secrets"], &[("source", "key")], random);
        items(file, &["services", &service, "configs"], &[("source", "conf")], random);
        for limit in names_below(file, &["services", &service, "ulimits"]) {
            if matches!(inside(file, &["services", &service, "ulimits", &limit]), Some(Tree::Map(_))) {
                for side in ["soft", "hard"] {
                    let path = ["services", &service, "ulimits", &limit, side];
                    if inside(file, &path).is_none() && random.chance(90) {
                        file.put(&path.join("."), text("64"));
                    }
                }
            }
        }
    }
    declare(file, all, at, random);
}

/// Entries that are named somewhere and declared nowhere; secrets and configs that have no source.
fn declare(file: &mut Tree, all: &Generated, at: usize, random: &mut Random) {
    let printed: String = all.files.iter().map(Tree::print).collect();
    let known: [(&str, &[(&str, &str)]); 4] = [
        ("networks", &[("front", "{}"), ("back", "{driver: overlay}"), ("away", "{external: true}")]),
        (
            "volumes",
            &[("data", "{}"), ("logs", ""), ("labelled", "{labels: {a: b}}"), ("away-volume", "{external: true}")],
        ),
        ("secrets", &[("key", "{file: key.txt}"), ("token", "{external: true}")]),
        ("configs", &[("conf", "{file: site.conf}"), ("site", "{file: site.conf, name: site}")]),
    ];
    for (section, entries) in known {
        for (name, value) in entries {
            let named = printed.contains(name);
            let declared = all.files.iter().any(|file| names(file, section).contains(&(*name).to_owned()));
            if at == 0 && named && !declared && random.chance(97) {
                file.put(&format!("{section}.{name}"), text(value));
            }
        }
        for name in names(file, section).iter().filter(|_| section == "secrets" || section == "configs") {
            let inner = inside(file, &[section, name]);
            let Some(Tree::Map(_)) = inner else { continue };
            let has =
                ["file", "external", "driver"].iter().any(|key| inner.is_some_and(|inner| inner.get(key).is_some()));
            if !has && random.chance(95) {
                file.put(&format!("{section}.{name}.file"), text("key.txt"));
            }
        }
    }
}

fn items(file: &mut Tree, path: &[&str], needed: &[(&str, &str)], random: &mut Random) {
    let Some(Tree::List(items)) = inside_mut(file, path) else { return };
    for item in items.iter_mut().filter(|item| matches!(item, Tree::Map(_))) {
        for (key, value) in needed {
            if item.get(key).is_none() && random.chance(95) {
                item.put(key, text(value));
            }
        }
    }
}

fn version(made: &mut Generated, random: &mut Random) {
    if made.hit.contains("version") || random.chance(45) {
        return;
    }
    let version = match random.below(4) {
        0 => format!("'3.{}'", random.below(14)),
        1 => "'3.13'".to_owned(),
        2 => "\"3.8\"".to_owned(),
        _ => "'3'".to_owned(),
    };
    for file in &mut made.files {
        if !random.chance(2) {
            file.put("version", text(&version));
        }
    }
}

/// Replaces some plain scalars by variables, in every spelling.
fn interpolate(made: &mut Generated, random: &mut Random) {
    let mut env = std::mem::take(&mut made.env);
    env.insert("SET".into(), "set".into());
    for file in &mut made.files {
        file.texts(&mut |value| {
            let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "./:_".contains(c));
            if !plain || value.is_empty() || value.ends_with(':') || !random.chance(20) {
                return;
            }
            let name = format!("V{}", env.len());
            let forms: [(&str, Option<&str>); 12] = [
                ("${N}", Some("V")),
                ("$N", Some("V")),
                ("${N:-V}", None),
                ("${N-V}", None),
                ("${N:-no}", Some("V")),
                ("${N:?must be set}", Some("V")),
                ("${N?a message}", Some("V")),
                ("${N:-V}", Some("")),
                ("${N-V}", Some("")),
                ("${N:?not-empty}", Some("V")),
                ("${N}", None),
                ("${N:?gone}", None),
            ];
            // The last ones change the meaning, or refuse the file.
            let among = if random.chance(93) { 9 } else { forms.len() as u64 };
            let (form, set) = forms[random.below(among) as usize];
            if let Some(set) = set {
                env.insert(name.clone(), set.replace('V', value));
            }
            *value = format!("\"{}\"", form.replace('V', value).replace('N', &name));
        });
    }
    made.env = env;
}

fn text(value: &str) -> Tree {
    Tree::Text(value.to_owned())
}

fn names(file: &Tree, section: &str) -> Vec<String> {
    names_below(file, &[section])
}

fn names_below(file: &Tree, path: &[&str]) -> Vec<String> {
    match inside(file, path) {
        Some(Tree::Map(entries)) => entries.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}

fn inside<'a>(file: &'a Tree, path: &[&str]) -> Option<&'a Tree> {
    path.iter().try_fold(file, |tree, name| tree.get(name))
}

fn inside_mut<'a>(file: &'a mut Tree, path: &[&str]) -> Option<&'a mut Tree> {
    path.iter().try_fold(file, |tree, name| match tree {
        Tree::Map(entries) => entries.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    })
}
