//! Who can reach whom. A link is one way: cutting both ways takes two entries.

use std::collections::BTreeSet;

/// A place that messages leave and reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Control,
    Cluster(usize),
    Nameserver(usize),
    Users,
}

#[derive(Clone, Debug, Default)]
pub struct Links {
    cut: BTreeSet<(Place, Place)>,
}

impl Links {
    pub fn carries(&self, from: Place, to: Place) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// A request and its answer get through.
    pub fn connects(&self, one: Place, other: Place) -> bool {
        self.carries(one, other) && self.carries(other, one)
    }

    pub fn cut(&mut self, from: Place, to: Place) {
        self.cut.insert((from, to));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }
}
