//! Sessions of agents and nameservers: what each last said, kept as a table; what each must know, pushed when it
//! changes.
//!
//! A session only moves whole documents: it decides nothing. What it hears goes into the table and wakes the
//! reconciler, what the reconciler wrote to the store is followed and sent. A session that ends leaves its last words
//! in the table, with the time.
//!
//! One session per identity: the newer of two is refused while the older one lives, since two agents under one name
//! would undo each other's work. An older one that is dead is noticed within [`SILENCE_MAX`].

pub mod agents;
mod follow;
pub mod nameservers;

use crate::identity::is_member;
use crate::reconcile::{Seen, Wake};
use crate::store::Store;
use std::time::Duration;
use tonic::Status;
use waggle_model::Timestamp;
use waggle_wire::identity::Identity;

/// Sessions of each kind.
pub const SESSIONS_MAX: usize = 2048;
/// Messages waiting to be sent to one peer.
pub const QUEUE_MAX: usize = 8;
/// A peer that says nothing for this long is gone; it sends a sign of life every second.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// A peer must say who it is within this.
pub const HELLO_MAX: Duration = Duration::from_secs(5);
/// A message must be taken within this, or the session ends.
pub const SEND_MAX: Duration = Duration::from_secs(10);
/// Signs of life to the peer.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// All sessions of this control.
pub struct Sessions {
    pub agents: agents::Agents,
    pub nameservers: nameservers::Nameservers,
    started: Timestamp,
}

impl Sessions {
    pub fn new(started: Timestamp, wake: Wake) -> Sessions {
        Sessions {
            agents: agents::Agents::new(wake.clone()),
            nameservers: nameservers::Nameservers::new(wake),
            started,
        }
    }

    /// A newer certificate of `identity` is known, which runs out then.
    pub fn certified(&self, identity: &Identity, until: Option<Timestamp>) {
        match identity {
            Identity::Agent(cluster) => self.agents.certified(cluster, until),
            Identity::Nameserver(name) => self.nameservers.certified(name, until),
            Identity::Control => {}
        }
    }

    /// What all peers last said.
    pub fn seen(&self) -> Seen {
        Seen { started: self.started, agents: self.agents.seen(), nameservers: self.nameservers.seen() }
    }
}

/// Whether a session may begin; asked again with each sign of life, so that who is forgotten is cut off.
async fn admit(store: &dyn Store, identity: &Identity, since: Timestamp) -> Result<(), Status> {
    match is_member(store, identity, since).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Status::permission_denied(format!("{identity} is not part of the federation any more; join again")))
        }
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}

fn now() -> Timestamp {
    Timestamp(waggle_daemon::time::now())
}

/// Waits for room in the peer's queue, but not for ever. `false`: the session is over.
async fn send<T>(out: &tokio::sync::mpsc::Sender<Result<T, Status>>, message: T) -> bool {
    matches!(tokio::time::timeout(SEND_MAX, out.send(Ok(message))).await, Ok(Ok(())))
}

/// Tells the peer why the session ends, if it still listens.
fn refuse<T>(out: &tokio::sync::mpsc::Sender<Result<T, Status>>, status: Status) {
    let _ = out.try_send(Err(status));
}
