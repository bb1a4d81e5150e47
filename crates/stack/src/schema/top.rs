//! Keys of top-level networks, volumes, secrets and configs.

use super::{Key, Keys, OPTIONS, PAIRS, Shape, closed, key, open};

const fn entry(keys: &'static [Key], null: bool) -> Keys {
    Keys { extensions_since: 7, null, ..closed(keys) }
}

pub(crate) const NETWORK: Keys = entry(
    &[
        key("name", 5, Shape::Text),
        key("driver", 0, Shape::Text),
        key("driver_opts", 0, OPTIONS),
        key("ipam", 0, Shape::Keys(&IPAM)),
        key("external", 0, Shape::External { open: false }),
        key("internal", 0, Shape::Switch),
        key("attachable", 2, Shape::Switch),
        key("labels", 0, PAIRS),
    ],
    true,
);

/// Docker does not check the networks whose names are no names.
pub(crate) const MISNAMED_NETWORK: Keys = Keys { open_since: 0, ..NETWORK };

const IPAM: Keys = closed(&[key("driver", 0, Shape::Text), key("config", 0, Shape::List(&IPAM_CONFIG))]);
const IPAM_CONFIG: Keys = closed(&[key("subnet", 0, Shape::Text)]);

pub(crate) const VOLUME: Keys = entry(
    &[
        key("name", 4, Shape::Text),
        key("driver", 0, Shape::Text),
        key("driver_opts", 0, OPTIONS),
        key("external", 0, Shape::External { open: false }),
        key("labels", 0, PAIRS),
        key("x-cluster-spec", 7, Shape::Keys(&CLUSTER_SPEC)),
    ],
    true,
);

const CLUSTER_SPEC: Keys = open(&[
    key("group", 7, Shape::Text),
    key("access_mode", 7, Shape::Keys(&ACCESS_MODE)),
    key("accessibility_requirements", 7, Shape::Keys(&TOPOLOGY)),
    key("capacity_range", 7, Shape::Keys(&CAPACITY)),
    key("secrets", 7, Shape::List(&VOLUME_SECRET)),
    key("availability", 7, Shape::Text),
]);

const ACCESS_MODE: Keys = open(&[
    key("scope", 7, Shape::Text),
    key("sharing", 7, Shape::Text),
    key("mount_volume", 7, Shape::Keys(&MOUNT_VOLUME)),
    key("block_volume", 7, Shape::Keys(&BLOCK_VOLUME)),
]);

const MOUNT_VOLUME: Keys =
    open(&[key("fs_type", 7, Shape::Text), key("mount_flags", 7, Shape::Texts { unique: false })]);
const BLOCK_VOLUME: Keys = open(&[]);

const TOPOLOGY: Keys =
    open(&[key("requisite", 7, Shape::List(&SEGMENTS)), key("preferred", 7, Shape::List(&SEGMENTS))]);
const SEGMENTS: Keys = Keys { open_since: 0, ..closed(&[key("segments", 7, PAIRS)]) };
const CAPACITY: Keys = open(&[key("required_bytes", 7, Shape::Bytes), key("limit_bytes", 7, Shape::Bytes)]);
const VOLUME_SECRET: Keys =
    Keys { open_since: 0, ..closed(&[key("key", 7, Shape::Text), key("secret", 7, Shape::Text)]) };

pub(crate) const SECRET: Keys = entry(
    &[
        key("name", 5, Shape::Text),
        key("file", 0, Shape::Text),
        key("external", 0, Shape::External { open: true }),
        key("labels", 0, PAIRS),
        key("driver", 8, Shape::Text),
        key("driver_opts", 8, OPTIONS),
        key("template_driver", 8, Shape::Text),
    ],
    false,
);

pub(crate) const CONFIG: Keys = entry(
    &[
        key("name", 5, Shape::Text),
        key("file", 0, Shape::Text),
        key("external", 0, Shape::External { open: true }),
        key("labels", 0, PAIRS),
        key("template_driver", 8, Shape::Text),
    ],
    false,
);
