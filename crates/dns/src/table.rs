//! The name table: every owner name of the plan, every name between an owner and the root, and nothing else.
//!
//! Because all ancestors are present, "does this suffix exist" is monotone in the number of labels, so the closest
//! encloser (RFC 4592 §3.3.1) is found by binary search over the label count, capped at the deepest owner name: a name of
//! 127 labels costs no more than one of five. Walking up label by label was rejected for that reason.

use crate::name::Folded;
use crate::siphash;

/// "No node", "no zone" and so on: indexes are 32 bits wide.
pub(crate) const NONE: u32 = u32::MAX;

/// Immutable open-addressing hash table from folded wire names to their index.
#[derive(Debug)]
pub(crate) struct Table {
    key: [u64; 2],
    slots: Vec<Slot>,
    /// Names one after the other.
    bytes: Vec<u8>,
    /// Labels of the deepest name.
    deepest: usize,
    root: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    node: u32,
    start: u32,
    len: u32,
}

const EMPTY: Slot = Slot { tag: 0, node: NONE, start: 0, len: 0 };

impl Table {
    /// `names` in index order, distinct, the root among them.
    pub(crate) fn new<'a>(key: [u8; 16], names: impl ExactSizeIterator<Item = &'a [u8]>) -> Table {
        let size = (names.len() * 2).next_power_of_two().max(8);
        let key = siphash::key(key);
        let mut table = Table { key, slots: vec![EMPTY; size], bytes: Vec::new(), deepest: 0, root: NONE };
        for (node, name) in names.enumerate() {
            let hash = siphash::hash(key, name);
            let slot = Slot {
                tag: (hash >> 32) as u32,
                node: node as u32,
                start: table.bytes.len() as u32,
                len: name.len() as u32,
            };
            table.bytes.extend_from_slice(name);
            let mut at = hash as usize;
            while let Some(taken) = table.slots.get_mut(at & (size - 1)) {
                if taken.node == NONE {
                    *taken = slot;
                    break;
                }
                at = at.wrapping_add(1);
            }
            table.deepest = table.deepest.max(crate::name::depth(name));
            if name == [0] {
                table.root = node as u32;
            }
        }
        table
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        let hash = siphash::hash(self.key, name);
        let tag = (hash >> 32) as u32;
        let mut at = hash as usize;
        loop {
            let slot = self.slots.get(at & (self.slots.len() - 1))?;
            if slot.node == NONE {
                return None;
            }
            if slot.tag == tag && self.bytes.get(slot.start as usize..(slot.start + slot.len) as usize) == Some(name) {
                return Some(slot.node);
            }
            at = at.wrapping_add(1);
        }
    }

    /// The deepest existing ancestor of `name`, and whether it is `name` itself.
    pub(crate) fn deepest(&self, name: &Folded) -> Found {
        let labels = name.labels();
        let mut missing = labels.min(self.deepest + 1);
        if missing == labels
            && labels <= self.deepest
            && let Some(node) = self.find(name.suffix(labels))
        {
            return Found { node, exact: true };
        }
        let (mut node, mut depth) = (self.root, 0);
        if labels == 0 {
            return Found { node, exact: true };
        }
        while missing - depth > 1 {
            let middle = depth + (missing - depth) / 2;
            match self.find(name.suffix(middle)) {
                Some(found) => (node, depth) = (found, middle),
                None => missing = middle,
            }
        }
        Found { node, exact: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) node: u32,
    pub(crate) exact: bool,
}
