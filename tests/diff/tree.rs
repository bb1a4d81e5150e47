//! A Compose file that can be built key by key, taken apart again for shrinking, and printed.

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// YAML as it is to stand in the file: a scalar, or a collection in flow style.
    Text(String),
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

impl Tree {
    /// Puts `value` at `path`: names with dots between them; `name[]` is a new item of the list `name`, `name[=]` the last
    /// one. Whatever else stands in the way is replaced.
    pub fn put(&mut self, path: &str, value: Tree) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let (name, item) = match first.split_once('[') {
            Some((name, item)) => (name, Some(item)),
            None => (first, None),
        };
        let mut slot = self.entry(name);
        if let Some(item) = item {
            slot = slot.item(item.starts_with('='));
        }
        match rest {
            Some(rest) => slot.put(rest, value),
            None => *slot = value,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Tree> {
        let Tree::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn entry(&mut self, name: &str) -> &mut Tree {
        if !matches!(self, Tree::Map(_)) {
            *self = Tree::Map(Vec::new());
        }
        let Tree::Map(entries) = self else { unreachable!("made one above") };
        let at = entries.iter().position(|(key, _)| key == name).unwrap_or_else(|| {
            entries.push((name.to_owned(), Tree::Text(String::new())));
            entries.len() - 1
        });
        &mut entries[at].1
    }

    fn item(&mut self, last: bool) -> &mut Tree {
        if !matches!(self, Tree::List(_)) {
            *self = Tree::List(Vec::new());
        }
        let Tree::List(items) = self else { unreachable!("made one above") };
        let fits = matches!(items.last(), Some(Tree::Map(_)));
        if !(last && fits) {
            items.push(Tree::Text(String::new()));
        }
        items.last_mut().expect("pushed one above")
    }

    /// Every tree with one entry or item less, the largest cuts first.
    pub fn smaller(&self) -> Vec<Tree> {
        let mut found = Vec::new();
        match self {
            Tree::Text(_) => {}
            Tree::Map(entries) => {
                for at in 0..entries.len() {
                    let mut less = entries.clone();
                    less.remove(at);
                    found.push(Tree::Map(less));
                }
                for (at, (_, value)) in entries.iter().enumerate() {
                    for smaller in value.smaller() {
                        let mut less = entries.clone();
                        less[at].1 = smaller;
                        found.push(Tree::Map(less));
                    }
                }
            }
            Tree::List(items) => {
                for at in 0..items.len() {
                    let mut less = items.clone();
                    less.remove(at);
                    found.push(Tree::List(less));
                }
                for (at, value) in items.iter().enumerate() {
                    for smaller in value.smaller() {
                        let mut less = items.clone();
                        less[at] = smaller;
                        found.push(Tree::List(less));
                    }
                }
            }
        }
        found
    }

    /// Every text, to be changed in place.
    pub fn texts(&mut self, change: &mut impl FnMut(&mut String)) {
        match self {
            Tree::Text(text) => change(text),
            Tree::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.texts(change)),
            Tree::List(items) => items.iter_mut().for_each(|value| value.texts(change)),
        }
    }

    /// As a file, in block style.
    pub fn print(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        if text.is_empty() { "{}\n".into() } else { text }
    }

    fn write(&self, text: &mut String, depth: usize) {
        let margin = "  ".repeat(depth);
        match self {
            Tree::Text(value) => *text += &format!("{margin}{value}\n"),
            Tree::Map(entries) => {
                for (key, value) in entries {
                    *text += &format!("{margin}{key}:");
                    value.write_below(text, depth + 1);
                }
            }
            Tree::List(items) => {
                for value in items {
                    *text += &format!("{margin}-");
                    value.write_below(text, depth + 1);
                }
            }
        }
    }

    fn write_below(&self, text: &mut String, depth: usize) {
        match self {
            Tree::Text(value) if value.is_empty() => *text += "\n",
            Tree::Text(value) => *text += &format!(" {value}\n"),
            Tree::Map(entries) if entries.is_empty() => *text += " {}\n",
            Tree::List(items) if items.is_empty() => *text += " []\n",
            _ => {
                *text += "\n";
                self.write(text, depth);
            }
        }
    }
}
