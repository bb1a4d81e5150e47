//! Conversions between messages and the model. `TryFrom` with typed errors: the model never sees a half-filled value.

use crate::document::canonical;
use crate::proto::route as wire;
use waggle_model::health::overrides::OVERRIDES_MAX;
use waggle_model::health::{Beat, BeatStack, View, ViewEntry};
use waggle_model::name::InvalidName;
use waggle_model::release::ReleaseId;

/// Bytes of one override in a view; a larger one is passed over.
pub const OVERRIDE_BYTES_MAX: usize = 8 * 1024;
/// Entries a beat or view may carry; a larger one is refused.
pub const ENTRIES_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    #[error("{0}")]
    Name(#[from] InvalidName),
    #[error("a release id has {0} bytes instead of 32")]
    Release(usize),
    #[error("{0} entries, at most {ENTRIES_MAX} are allowed")]
    TooMany(usize),
}

fn bounded(count: usize) -> Result<(), InvalidMessage> {
    if count > ENTRIES_MAX { Err(InvalidMessage::TooMany(count)) } else { Ok(()) }
}

fn release(bytes: &[u8]) -> Result<Option<ReleaseId>, InvalidMessage> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = bytes.try_into().map_err(|_| InvalidMessage::Release(bytes.len()))?;
    Ok(Some(ReleaseId(id)))
}

impl From<&Beat> for wire::Beat {
    fn from(beat: &Beat) -> Self {
        let stacks = beat.stacks.iter().map(|(stack, s)| wire::BeatStack {
            stack: stack.to_string(),
            release: s.release.map(|id| id.0.to_vec()).unwrap_or_default().into(),
            converged: s.converged,
            serving: s
                .serving
                .iter()
                .map(|(route, serving)| wire::Serving { route: route.as_str().to_owned(), serving: *serving })
                .collect(),
        });
        wire::Beat {
            cluster: beat.cluster.to_string(),
            boot: beat.boot,
            seq: beat.seq,
            engine_ok: beat.engine_ok,
            stacks: stacks.collect(),
        }
    }
}

impl TryFrom<wire::Beat> for Beat {
    type Error = InvalidMessage;

    fn try_from(beat: wire::Beat) -> Result<Self, InvalidMessage> {
        bounded(beat.stacks.iter().map(|s| 1 + s.serving.len()).sum())?;
        let stacks = beat.stacks.into_iter().map(|s| {
            let serving = s.serving.into_iter().map(|x| Ok((x.route.parse()?, x.serving)));
            let stack = BeatStack {
                release: release(&s.release)?,
                converged: s.converged,
                serving: serving.collect::<Result<_, InvalidMessage>>()?,
            };
            Ok((s.stack.parse()?, stack))
        });
        Ok(Beat {
            cluster: beat.cluster.parse()?,
            boot: beat.boot,
            seq: beat.seq,
            engine_ok: beat.engine_ok,
            stacks: stacks.collect::<Result<_, InvalidMessage>>()?,
        })
    }
}

impl From<&View> for wire::View {
    fn from(view: &View) -> Self {
        let entries = view.entries.iter().map(|e| wire::ViewEntry {
            route: e.route.as_str().to_owned(),
            cluster: e.cluster.to_string(),
            up: e.up,
        });
        let demand =
            view.demand.iter().map(|(cluster, rate)| wire::Demand { cluster: cluster.to_string(), per_second: *rate });
        wire::View {
            from: view.from.to_string(),
            boot: view.boot,
            seq: view.seq,
            self_suspect: view.self_suspect,
            entries: entries.collect(),
            demand: demand.collect(),
            overrides: view.overrides.iter().filter_map(|one| Some(canonical(one).ok()?.into())).collect(),
        }
    }
}

impl TryFrom<wire::View> for View {
    type Error = InvalidMessage;

    fn try_from(view: wire::View) -> Result<Self, InvalidMessage> {
        bounded(view.entries.len())?;
        bounded(view.demand.len())?;
        // One that cannot be read is no reason to be deaf to the rest of the view.
        let overrides = view.overrides.iter().take(OVERRIDES_MAX).filter(|one| one.len() <= OVERRIDE_BYTES_MAX);
        let overrides = overrides.filter_map(|one| serde_json::from_slice(one).ok());
        let demand = view.demand.into_iter().map(|one| Ok((one.cluster.parse()?, one.per_second)));
        let entries = view
            .entries
            .into_iter()
            .map(|e| Ok(ViewEntry { route: e.route.parse()?, cluster: e.cluster.parse()?, up: e.up }));
        Ok(View {
            from: view.from.parse()?,
            boot: view.boot,
            seq: view.seq,
            self_suspect: view.self_suspect,
            entries: entries.collect::<Result<_, InvalidMessage>>()?,
            demand: demand.collect::<Result<_, InvalidMessage>>()?,
            overrides: overrides.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_survive_the_wire() {
        let beat = Beat {
            cluster: "eu-1".parse().unwrap(),
            boot: 7,
            seq: 9,
            engine_ok: true,
            stacks: [(
                "shop".parse().unwrap(),
                BeatStack {
                    release: Some(ReleaseId([5; 32])),
                    converged: true,
                    serving: [("www.shop.example".parse().unwrap(), true)].into(),
                },
            )]
            .into(),
        };
        assert_eq!(Beat::try_from(wire::Beat::from(&beat)).unwrap(), beat);
    }

    #[test]
    fn bad_names_are_refused() {
        let beat = wire::Beat { cluster: "EU 1".into(), ..Default::default() };
        assert!(matches!(Beat::try_from(beat), Err(InvalidMessage::Name(_))));
    }
}
