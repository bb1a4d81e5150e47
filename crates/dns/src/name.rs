//! Domain names as the engine sees them: wire form, folded to lower case, with the offset of every label.

use hickory_proto::rr::Name;
use waggle_model::DomainName;

/// Octets of a name with its root (RFC 1035 §2.3.4).
pub(crate) const NAME_MAX: usize = 255;
/// Labels of a name without its root: each takes two octets at least.
const LABELS_MAX: usize = 127;

/// A name parsed in place. Suffixes of it are looked up without copying.
pub(crate) struct Folded {
    bytes: [u8; NAME_MAX],
    /// Where each label starts, and where the root does.
    starts: [u8; LABELS_MAX + 1],
    len: usize,
    labels: usize,
}

impl Folded {
    /// The root.
    pub(crate) fn new() -> Folded {
        Folded { bytes: [0; NAME_MAX], starts: [0; LABELS_MAX + 1], len: 1, labels: 0 }
    }

    /// Reads an uncompressed name at the start of `wire`. `None` for compression, over-long names and truncated ones.
    pub(crate) fn parse(wire: &[u8]) -> Option<Folded> {
        let mut name = Folded::new();
        name.read(wire)?;
        Some(name)
    }

    /// As [`Folded::parse`], into a new name of the caller's: a name is too large to be moved for every query.
    pub(crate) fn read(&mut self, wire: &[u8]) -> Option<()> {
        let mut at = 0;
        let mut labels = 0;
        loop {
            let size = *wire.get(at)?;
            *self.starts.get_mut(labels)? = at as u8;
            at += 1 + usize::from(size);
            match size {
                0 => break,
                // Beyond 255 octets the next start is out of `bytes`, and would not fit an octet.
                1..=63 if at < NAME_MAX => labels += 1,
                _ => return None,
            }
        }
        // Length octets are below `A`, so all of the name can be folded at once.
        for (to, from) in self.bytes.get_mut(..at)?.iter_mut().zip(wire.get(..at)?) {
            *to = from.to_ascii_lowercase();
        }
        (self.len, self.labels) = (at, labels);
        Some(())
    }

    /// The last `labels` labels and the root.
    pub(crate) fn suffix(&self, labels: usize) -> &[u8] {
        let skip = self.labels.saturating_sub(labels);
        let start = self.starts.get(skip).map_or(0, |start| usize::from(*start));
        self.bytes.get(start..self.len).unwrap_or(&[0])
    }

    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    /// Octets on the wire.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Wire form of a model name: lower case already.
pub(crate) fn wire(name: &DomainName) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.as_str().len() + 2);
    for label in name.labels() {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Wire form of a parsed name, folded.
pub(crate) fn wire_of(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    wire
}

/// `name` itself, its parent, and so on up to the root.
pub(crate) fn ancestors(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| parent(name))
}

fn parent(name: &[u8]) -> Option<&[u8]> {
    let size = *name.first().filter(|size| **size != 0)?;
    name.get(1 + usize::from(size)..).filter(|rest| !rest.is_empty())
}

/// Labels without the root.
pub(crate) fn depth(name: &[u8]) -> usize {
    ancestors(name).count().saturating_sub(1)
}

/// For messages to people.
pub(crate) fn text(name: &[u8]) -> String {
    let mut text = String::new();
    for suffix in ancestors(name) {
        let size = usize::from(suffix.first().copied().unwrap_or(0));
        for byte in suffix.get(1..1 + size).unwrap_or_default() {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b'!'..=b'~' => text.push(char::from(*byte)),
                other => text.push_str(&format!("\\{other:03}")),
            }
        }
        if size > 0 {
            text.push('.');
        }
    }
    if text.is_empty() { ".".into() } else { text }
}
