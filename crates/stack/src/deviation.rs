//! Where rendering differs from `docker stack deploy` on purpose, and the switches back.
//!
//! Every difference is one variant; code that differs asks for it, so that a search for the variant finds all of it. The
//! differences in applying (order of writes, retries, waiting) are not here: they do not change what is rendered.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One deliberate difference. Listing it in `compat` brings Docker's behaviour back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Deviation {
    /// `${VAR:?a-b}`: Docker takes the `-` of the message for the operator of a default.
    D2,
    /// Merged ports: Docker tells them apart by published number alone, so `53/tcp` and `53/udp` become one.
    D3,
    /// Bind mounts with a relative source: Docker resolves it on the machine that deploys; we refuse it.
    D5,
    /// Merged `healthcheck.test`: Docker appends the second command to the first one, and refuses it beside `disable` of
    /// the other file; we replace it, and one by the other.
    D13,
    /// Values that no task can run with, such as port 0 or a mount without target: Docker sends them; we refuse them.
    D14,
    /// A file without services: Docker deploys nothing and says nothing; a release of it would remove what the stack has,
    /// so we refuse it.
    D15,
}

/// Every id and name, and `all`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no known deviation: use all, {known}", known = known())]
pub struct UnknownDeviation(pub String);

impl Deviation {
    pub const ALL: [Deviation; 6] =
        [Deviation::D2, Deviation::D3, Deviation::D5, Deviation::D13, Deviation::D14, Deviation::D15];

    /// As the documentation numbers it.
    pub fn id(self) -> &'static str {
        match self {
            Deviation::D2 => "D2",
            Deviation::D3 => "D3",
            Deviation::D5 => "D5",
            Deviation::D13 => "D13",
            Deviation::D14 => "D14",
            Deviation::D15 => "D15",
        }
    }

    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Deviation::D2 => "required-messages",
            Deviation::D3 => "merge-ports",
            Deviation::D5 => "relative-binds",
            Deviation::D13 => "merge-healthcheck",
            Deviation::D14 => "impossible-values",
            Deviation::D15 => "empty-stacks",
        }
    }

    /// What one word switches: `all`, or one id or name.
    pub fn switched_by(word: &str) -> Result<BTreeSet<Deviation>, UnknownDeviation> {
        if word.eq_ignore_ascii_case("all") {
            return Ok(Deviation::ALL.into());
        }
        word.parse().map(|deviation| BTreeSet::from([deviation]))
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Deviation {
    type Err = UnknownDeviation;

    /// An id in any case, or a name.
    fn from_str(word: &str) -> Result<Deviation, UnknownDeviation> {
        let is = |deviation: &Deviation| deviation.id().eq_ignore_ascii_case(word) || deviation.name() == word;
        Deviation::ALL.into_iter().find(is).ok_or_else(|| UnknownDeviation(word.to_owned()))
    }
}

fn known() -> String {
    let words = Deviation::ALL.map(|deviation| format!("{} ({})", deviation.id(), deviation.name()));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_all() {
        for deviation in Deviation::ALL {
            assert_eq!(deviation.id().parse(), Ok(deviation));
            assert_eq!(deviation.id().to_lowercase().parse(), Ok(deviation));
            assert_eq!(deviation.name().parse(), Ok(deviation));
            assert_eq!(Deviation::switched_by(deviation.name()), Ok([deviation].into()));
        }
        assert_eq!(Deviation::switched_by("all").map(|all| all.len()), Ok(Deviation::ALL.len()));
        let error = "D1".parse::<Deviation>().unwrap_err().to_string();
        assert!(error.contains("\"D1\"") && error.contains("D3 (merge-ports)"), "{error}");
    }
}
