//! `x-` keys of a service: mappings are merged at every depth, lists appended, everything else replaced.

use super::{Keyed, Merge, entries};
use crate::problem::Place;
use crate::yaml::{Entry, Node, Value};

impl Merge<'_> {
    /// `keys` has put the extensions of both one after the other; of those with one name, the second is merged over the
    /// first.
    pub(super) fn extensions(&self, service: Node, name: &str) -> Node {
        let node = Node { value: Value::Null, ..service.clone() };
        let mut merged = Keyed::new(Vec::new());
        for entry in entries(service) {
            match merged.find(&entry.key) {
                Some(own) => self.extension(own, entry, name),
                None => merged.push(entry),
            }
        }
        Node { value: merged.into_value(), ..node }
    }

    fn extension(&self, own: &mut Entry, more: Entry, name: &str) {
        match (&mut own.value.value, more.value.value) {
            (Value::Map(own), Value::Map(more)) => {
                let mut into = Keyed::new(std::mem::take(own));
                for more in more {
                    match into.find(&more.key) {
                        Some(own) => self.extension(own, more, name),
                        None => into.push(more),
                    }
                }
                *own = into.into_entries();
            }
            (Value::Seq(into), Value::Seq(more)) => into.extend(more),
            (Value::Null, value) => own.value.value = value,
            (_, Value::Seq(_)) => {
                let place = Place { source: more.value.source, span: more.value.span, key: more.key.clone() };
                let message = format!("cannot merge service {name}: {} is a list here and none before", more.key);
                self.report.error(&place, message);
            }
            (_, value) => own.value = Node { value, ..more.value },
        }
    }
}
