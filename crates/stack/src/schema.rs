//! What a Compose file of format 3.0 to 3.13 may hold: one table, one line per key.
//!
//! The table drives everything that is the same for all keys: what is accepted (docker/cli
//! `cli/compose/schema/data/config_schema_v3.*.json`, and what its typed reading refuses after that), how a value is
//! brought into its long form (`load::normal`), how two files are merged (`merge`), and in which order and form
//! `docker stack config` prints the result (`config`). Keys stand in the order in which Docker prints them. Fourteen JSON
//! schemas and a generic validator were rejected: they name no place, and the other three would repeat every key.

pub(crate) mod service;
pub(crate) mod top;

/// What a value may be, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text,
    /// Text or nothing.
    TextOrNull,
    /// Text or an integer, which is kept as text.
    TextOrInteger,
    /// One of some words.
    Word(&'static [&'static str]),
    Switch,
    /// Keeps a written `false`.
    OptionalSwitch,
    Number(Number),
    /// Go duration. Optional ones keep a written 0.
    Duration {
        optional: bool,
    },
    /// Text such as `64M`.
    Bytes,
    /// List of texts.
    Texts {
        unique: bool,
    },
    /// One text or a list of different ones.
    TextOrTexts,
    /// List of different texts and numbers, kept as texts.
    TextsOrNumbers,
    /// Shell words in one text, or a list of them.
    Command,
    /// Shell text, or a list.
    Test,
    /// Mapping or list of `key=value`. With `null`: a key without value keeps having none.
    Pairs {
        null: bool,
    },
    /// Mapping with scalar values; `null` values are allowed or not.
    Options {
        null: bool,
    },
    /// Mapping or list of `host:address`.
    Hosts,
    Ports,
    Mounts,
    /// Secrets or configs of a service.
    References,
    /// Networks of a service: list of names, or mapping.
    Attachments,
    Ulimits,
    /// Boolean, or a mapping with a name.
    External {
        open: bool,
    },
    /// A text, which is the context, or a mapping.
    Build,
    /// `logging` of a service, which is merged in its own way.
    Logging,
    /// `healthcheck` of a service, likewise.
    Healthcheck,
    Keys(&'static Keys),
    /// List of mappings.
    List(&'static Keys),
    /// Read and checked by nobody.
    Anything,
    /// Allowed, checked, and dropped.
    Dropped(&'static Shape),
}

/// The integer and float types of Docker's structs; a value outside wraps as Go's conversions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// Optional ones keep a written 0.
    U64 {
        optional: bool,
        integer: bool,
    },
    /// Optional file mode; fractions are cut off.
    Mode,
    U32,
    I64 {
        integer: bool,
    },
    /// At least 0.
    Size,
    F32,
}

/// One mapping.
#[derive(Debug)]
pub(crate) struct Keys {
    pub keys: &'static [Key],
    /// First minor version that takes (and drops) unknown keys; [`NEVER`] for most.
    pub open_since: u8,
    /// First minor version that takes `x-` keys; [`NEVER`] where they are unknown keys.
    pub extensions_since: u8,
    /// Nothing is allowed too.
    pub null: bool,
    /// Docker tells an empty one from none.
    pub optional: bool,
    /// Docker prints keys with empty values too.
    pub zeros: bool,
}

/// No minor version has it.
pub(crate) const NEVER: u8 = u8::MAX;

/// The newest minor version.
pub(crate) const LATEST: u8 = 13;

#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    /// First minor version that has it.
    pub since: u8,
    pub shape: Shape,
}

pub(crate) const fn key(name: &'static str, since: u8, shape: Shape) -> Key {
    Key { name, since, shape }
}

/// A mapping that takes its keys only.
const fn closed(keys: &'static [Key]) -> Keys {
    Keys { keys, open_since: NEVER, extensions_since: NEVER, null: false, optional: false, zeros: false }
}

/// A mapping that takes its keys only, and of which Docker tells an empty one from none.
const fn optional(keys: &'static [Key]) -> Keys {
    Keys { optional: true, ..closed(keys) }
}

/// A mapping that takes and drops other keys, and of which Docker tells an empty one from none.
const fn open(keys: &'static [Key]) -> Keys {
    Keys { open_since: 0, ..optional(keys) }
}

const OPTIONAL_DURATION: Shape = Shape::Duration { optional: true };
const DURATION: Shape = Shape::Duration { optional: false };
const OPTIONAL_COUNT: Shape = Shape::Number(Number::U64 { optional: true, integer: true });
const UNIQUE: Shape = Shape::Texts { unique: true };
const PAIRS: Shape = Shape::Pairs { null: false };
const OPTIONS: Shape = Shape::Options { null: false };

impl Keys {
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
