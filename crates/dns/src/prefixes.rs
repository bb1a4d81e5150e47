//! A total map from addresses to small numbers, as disjoint ranges, with the exact prefix for which an answer holds.
//!
//! A trie keeps nested prefixes, and then the prefix that matched says nothing about exceptions inside it. Disjoint
//! ranges answer both questions with one binary search: which value, and how short a prefix around this address lies
//! wholly within the range. That prefix is the scope of RFC 7871, deaggregated around every exception.

/// Address as an integer.
pub(crate) trait Bits: Copy + Ord + std::fmt::Debug {
    const WIDTH: u8;
    const MIN: Self;
    const MAX: Self;
    fn succ(self) -> Option<Self>;
    fn pred(self) -> Option<Self>;
    /// Length of the shortest prefix that contains `self` and not `other`.
    fn apart(self, other: Self) -> u8;
    /// First 16 bits.
    fn top(self) -> usize;
}

macro_rules! bits {
    ($type:ty) => {
        impl Bits for $type {
            const WIDTH: u8 = <$type>::BITS as u8;
            const MIN: Self = 0;
            const MAX: Self = <$type>::MAX;
            fn succ(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn pred(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn apart(self, other: Self) -> u8 {
                ((self ^ other).leading_zeros() as u8).saturating_add(1).min(Self::WIDTH)
            }
            fn top(self) -> usize {
                (self >> (<$type>::BITS - 16)) as usize
            }
        }
    };
}
bits!(u32);
bits!(u128);

/// Ranges above which the table gets an index by the first 16 bits.
const INDEX_FROM: usize = 256;

/// Covers the whole address space; neighbours differ in value.
#[derive(Debug)]
pub(crate) struct Ranges<B> {
    starts: Vec<B>,
    values: Vec<u32>,
    /// For each first 16 bits, how many ranges start below; empty in small tables.
    index: Vec<u32>,
}

impl<B: Bits> Ranges<B> {
    /// From ranges that are sorted, disjoint and without holes.
    pub(crate) fn new(spans: &[Span<B>]) -> Ranges<B> {
        let mut ranges = Ranges { starts: Vec::new(), values: Vec::new(), index: Vec::new() };
        for span in spans {
            if ranges.values.last() != Some(&span.value) {
                ranges.starts.push(span.start);
                ranges.values.push(span.value);
            }
        }
        if ranges.starts.len() >= INDEX_FROM {
            let below = |top: usize| ranges.starts.partition_point(|start| start.top() < top) as u32;
            ranges.index = (0..=1 << 16).map(below).collect();
        }
        ranges
    }

    /// The value at `address`, and the length of the shortest prefix around it that has this value throughout.
    pub(crate) fn at(&self, address: B) -> (u32, u8) {
        let top = address.top();
        let low = self.index.get(top).map_or(0, |low| *low as usize);
        let high = self.index.get(top + 1).map_or(self.starts.len(), |high| *high as usize);
        let bucket = self.starts.get(low..high).unwrap_or_default();
        let next = low + bucket.partition_point(|start| *start <= address);
        let here = next.saturating_sub(1);
        let before = self.starts.get(here).and_then(|start| start.pred()).map_or(0, |other| address.apart(other));
        let after = self.starts.get(next).map_or(0, |other| address.apart(*other));
        (self.values.get(here).copied().unwrap_or(0), before.max(after))
    }
}

/// `start..=end` has `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<B> {
    pub(crate) start: B,
    pub(crate) end: B,
    pub(crate) value: u32,
}

/// Prefixes, nested or disjoint, to disjoint sorted spans: the longest prefix wins.
pub(crate) fn flatten<B: Bits>(mut prefixes: Vec<Span<B>>) -> Vec<Span<B>> {
    prefixes.sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    let mut flat = Vec::new();
    let mut open: Vec<Span<B>> = Vec::new();
    for prefix in prefixes {
        close(&mut open, &mut flat, |end| end < prefix.start);
        if let (Some(outer), Some(before)) = (open.last_mut(), prefix.start.pred())
            && outer.start <= before
        {
            flat.push(Span { end: before, ..*outer });
            outer.start = prefix.start;
        }
        open.push(prefix);
    }
    close(&mut open, &mut flat, |_| true);
    flat
}

/// Ends the innermost open prefixes; what follows an inner one belongs to the next outer one.
fn close<B: Bits>(open: &mut Vec<Span<B>>, flat: &mut Vec<Span<B>>, ended: impl Fn(B) -> bool) {
    while let Some(inner) = open.pop_if(|inner| ended(inner.end)) {
        if inner.start <= inner.end {
            flat.push(inner);
        }
        if let Some(outer) = open.last_mut() {
            match inner.end.succ() {
                Some(next) if next > outer.start => outer.start = next,
                Some(_) => {}
                None => {
                    open.clear();
                    return;
                }
            }
        }
    }
}

/// `top` where it says something, `base` elsewhere. Both sorted and disjoint.
pub(crate) fn overlay<B: Bits>(base: &[Span<B>], top: &[Span<B>]) -> Vec<Span<B>> {
    let mut merged = Vec::with_capacity(base.len() + top.len());
    let mut below = base.iter().copied().peekable();
    for span in top {
        while let Some(under) = below.next_if(|under| under.end < span.start) {
            merged.push(under);
        }
        while let Some(under) = below.next_if(|under| under.end <= span.end) {
            merged.extend(span.start.pred().filter(|end| under.start <= *end).map(|end| Span { end, ..under }));
        }
        if let Some(under) = below.peek_mut()
            && under.start <= span.end
        {
            merged.extend(span.start.pred().filter(|end| under.start <= *end).map(|end| Span { end, ..*under }));
            if let Some(next) = span.end.succ() {
                under.start = next;
            }
        }
        merged.push(*span);
    }
    merged.extend(below);
    merged
}

#[cfg(test)]
mod tests;
