//! The desired state as an agent has it: taken in by its generation, kept on disk, worked on from there.
//!
//! The bytes that came are the bytes that are kept, so that after a restart "the same generation with other bytes" is still
//! told apart. Payloads of secrets and configs, and logins for registries, are never on disk: after a restart they come
//! with the whole document, which control sends at the start of each session.

use crate::logins::{Logins, TooManyLogins};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use waggle_daemon::file;
use waggle_model::desired::{Desired, STACKS_MAX};
use waggle_model::{ClusterName, Generation};
use waggle_stack::objects::Objects;
use waggle_wire::document::{self, Intake, InvalidDocument, MESSAGE_BYTES_MAX, hex};
use waggle_wire::proto::agent::DesiredState;
use waggle_wire::proto::document::Document;

/// Payloads of one desired state.
pub const PAYLOADS_MAX: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("control sent a desired state that cannot be used")]
    Document(#[from] InvalidDocument),
    #[error("control sent the desired state of cluster {0}")]
    Cluster(ClusterName),
    #[error("the document says generation {said}, its envelope {envelope}")]
    Generation { said: Generation, envelope: Generation },
    #[error("{0} stacks, at most {STACKS_MAX} are allowed")]
    Stacks(usize),
    #[error("payloads are over a limit: {PAYLOADS_MAX} in number, {MESSAGE_BYTES_MAX} bytes together")]
    Payloads,
    #[error(transparent)]
    Logins(#[from] TooManyLogins),
    #[error("the desired state was refused: {0}")]
    Refused(&'static str),
    #[error("the desired state on disk cannot be read")]
    Corrupt(#[from] file::Corrupt),
    #[error("the desired state on disk has a form this version does not know")]
    Form(#[source] serde_json::Error),
    #[error("the desired state cannot be kept")]
    Write(#[from] file::WriteError),
    #[error("the desired state cannot be kept")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Bytes of secrets and configs by their SHA-256 (hex). `Debug` shows the hashes only.
#[derive(Clone, Default, PartialEq)]
pub struct Payloads(BTreeMap<String, Bytes>);

impl Payloads {
    /// Takes what matches its hash; anything else is left out with a warning.
    pub fn checked(offered: impl IntoIterator<Item = (String, Bytes)>) -> Result<Payloads, OrderError> {
        let mut taken = BTreeMap::new();
        let mut bytes = 0;
        for (hash, payload) in offered {
            bytes += payload.len();
            if taken.len() >= PAYLOADS_MAX || bytes > MESSAGE_BYTES_MAX {
                return Err(OrderError::Payloads);
            }
            if hex(&document::digest(&payload)) == hash {
                taken.insert(hash, payload);
            } else {
                tracing::warn!(hash, "a payload does not match its hash and is left out");
            }
        }
        Ok(Payloads(taken))
    }

    pub fn get(&self, hash: &str) -> Option<&Bytes> {
        self.0.get(hash)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A desired state in force.
#[derive(Clone, Debug)]
pub struct Order {
    pub desired: Desired,
    pub payloads: Payloads,
    pub logins: Logins,
    /// SHA-256 of the document's bytes.
    pub sha256: [u8; 32],
    /// Trace of the change that led to it; may be empty.
    pub traceparent: String,
}

impl Order {
    /// Whether some secret's or config's bytes are not at hand.
    pub fn lacks_payloads(&self) -> bool {
        let objects = self.desired.stacks.values().filter_map(|stack| Objects::from_json(&stack.objects).ok());
        let mut hashes = objects.flat_map(|objects| objects.payload_hashes());
        hashes.any(|hash| self.payloads.get(&hash).is_none())
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    generation: Generation,
    traceparent: String,
    json: String,
}

/// What became of an offered desired state.
pub enum Taken {
    New(Arc<Order>),
    /// The one in force, with payloads that it had lacked or other logins.
    Completed(Arc<Order>),
    Same,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("desired")
}

/// The desired state that was in force when the agent last ran.
pub fn load(data_dir: &Path, cluster: &ClusterName) -> Result<Option<Order>, OrderError> {
    let Some(content) = file::read_document(&path(data_dir))? else {
        return Ok(None);
    };
    let kept: Kept = serde_json::from_slice(&content).map_err(OrderError::Form)?;
    let document = document::from_json(kept.generation, kept.json.into_bytes(), kept.traceparent);
    read(cluster, &document, Payloads::default(), Logins::default()).map(Some)
}

/// Takes `offered` in if the rules allow it. When this returns a new order, it is on disk.
pub async fn take(
    data_dir: &Path,
    cluster: &ClusterName,
    current: Option<&Arc<Order>>,
    offered: DesiredState,
) -> Result<Taken, OrderError> {
    let document = offered.document.ok_or(InvalidDocument::Missing)?;
    let have = current.map(|order| (order.desired.generation, order.sha256.as_slice()));
    let intake = document::intake(have, &document);
    if let Intake::Refuse(why) = intake {
        return Err(OrderError::Refused(why));
    }
    let payloads = Payloads::checked(offered.payloads)?;
    let logins = Logins::checked(offered.logins)?;
    if let (Intake::Same, Some(order)) = (&intake, current) {
        let payloads = if payloads.is_empty() { order.payloads.clone() } else { payloads };
        if order.payloads == payloads && order.logins == logins {
            return Ok(Taken::Same);
        }
        return Ok(Taken::Completed(Arc::new(Order { payloads, logins, ..Order::clone(order) })));
    }
    let order = read(cluster, &document, payloads, logins)?;
    keep(data_dir, &document).await?;
    Ok(Taken::New(Arc::new(order)))
}

fn read(cluster: &ClusterName, document: &Document, payloads: Payloads, logins: Logins) -> Result<Order, OrderError> {
    let desired: Desired = document::decode(document)?;
    let envelope = Generation(document.generation);
    if desired.cluster != *cluster {
        return Err(OrderError::Cluster(desired.cluster));
    }
    if desired.generation != envelope {
        return Err(OrderError::Generation { said: desired.generation, envelope });
    }
    if desired.stacks.len() > STACKS_MAX {
        return Err(OrderError::Stacks(desired.stacks.len()));
    }
    let sha256 = document::digest(&document.json);
    Ok(Order { desired, payloads, logins, sha256, traceparent: document.traceparent.clone() })
}

async fn keep(data_dir: &Path, document: &Document) -> Result<(), OrderError> {
    let kept = Kept {
        version: 1,
        generation: Generation(document.generation),
        traceparent: document.traceparent.clone(),
        json: String::from_utf8_lossy(&document.json).into_owned(),
    };
    let content = serde_json::to_vec(&kept).map_err(OrderError::Form)?;
    let path = path(data_dir);
    let written = tokio::task::spawn_blocking(move || file::write_document(&path, &content)).await;
    Ok(written.map_err(OrderError::Interrupted)??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_model::fleet::BeatPolicy;
    use waggle_wire::proto::agent::RegistryLogin;

    fn offer(generation: u64, nameservers: bool) -> DesiredState {
        let peer =
            waggle_model::fleet::NameserverPeer { name: "ns1".parse().unwrap(), address: ([127, 0, 0, 1], 1).into() };
        let desired = Desired {
            cluster: "eu-1".parse().unwrap(),
            generation: Generation(generation),
            stacks: BTreeMap::new(),
            nameservers: if nameservers { vec![peer] } else { Vec::new() },
            beat: BeatPolicy::default(),
        };
        let document = document::encode(Generation(generation), &desired).unwrap();
        DesiredState { document: Some(document), payloads: Default::default(), logins: Vec::new() }
    }

    async fn new(dir: &Path, current: Option<&Arc<Order>>, offered: DesiredState) -> Arc<Order> {
        match take(dir, &"eu-1".parse().unwrap(), current, offered).await {
            Ok(Taken::New(order)) => order,
            Ok(_) => panic!("not new"),
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn nothing_moves_to_a_lower_generation_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = "eu-1".parse().unwrap();
        new(dir.path(), None, offer(7, false)).await;
        let order = Arc::new(load(dir.path(), &cluster).unwrap().unwrap());
        assert_eq!(order.desired.generation, Generation(7));
        for refused in [offer(6, false), offer(7, true)] {
            let answer = take(dir.path(), &cluster, Some(&order), refused).await;
            assert!(matches!(answer, Err(OrderError::Refused(_))));
        }
        assert!(matches!(take(dir.path(), &cluster, Some(&order), offer(7, false)).await, Ok(Taken::Same)));
        new(dir.path(), Some(&order), offer(8, true)).await;
        assert_eq!(load(dir.path(), &cluster).unwrap().unwrap().desired.generation, Generation(8));
    }

    #[tokio::test]
    async fn payloads_are_checked_and_stay_off_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let secret = Bytes::from_static(b"swordfish");
        let hash = hex(&document::digest(&secret));
        let mut first = offer(1, false);
        first.payloads = [(hash.clone(), secret), ("00".repeat(32), Bytes::from_static(b"bent"))].into();
        let order = new(dir.path(), None, first.clone()).await;
        assert!(order.payloads.get(&hash).is_some());
        assert!(order.payloads.get(&"00".repeat(32)).is_none());
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&content).contains("swordfish"));
        }
        let restarted = Arc::new(load(dir.path(), &"eu-1".parse().unwrap()).unwrap().unwrap());
        assert!(restarted.payloads.is_empty());
        let completed = take(dir.path(), &"eu-1".parse().unwrap(), Some(&restarted), first).await;
        assert!(matches!(completed, Ok(Taken::Completed(order)) if order.payloads.get(&hash).is_some()));
    }

    #[tokio::test]
    async fn another_login_comes_without_a_new_generation_and_stays_off_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = "eu-1".parse().unwrap();
        let with = |version: u64| {
            let auth = Bytes::from_static(br#"{"password":"swordfish"}"#);
            let login = RegistryLogin { registry: "registry.example".into(), version, auth };
            DesiredState { logins: vec![login], ..offer(1, false) }
        };
        let first = new(dir.path(), None, with(1)).await;
        assert!(matches!(take(dir.path(), &cluster, Some(&first), with(1)).await, Ok(Taken::Same)));
        let Ok(Taken::Completed(second)) = take(dir.path(), &cluster, Some(&first), with(2)).await else {
            panic!("the newer login is not taken");
        };
        assert_eq!(second.logins.of("registry.example/a").map(|login| login.version), Some(2));
        let Ok(Taken::Completed(none)) = take(dir.path(), &cluster, Some(&second), offer(1, false)).await else {
            panic!("the login is not forgotten");
        };
        assert!(none.logins.of("registry.example/a").is_none());
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&content).contains("swordfish"));
        }
    }

    #[tokio::test]
    async fn anothers_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let answer = take(dir.path(), &"us-1".parse().unwrap(), None, offer(1, false)).await;
        assert!(matches!(answer, Err(OrderError::Cluster(_))));
    }
}
