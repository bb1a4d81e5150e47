//! The servers of the comparison, each with the configuration its manual gives for speed: one thread for UDP, nothing logged
//! per query.

pub mod gdnsd;
pub mod hickory;
pub mod knot;
pub mod nsd;
pub mod powerdns;
pub mod waggle;

use super::scene::Rule;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// What a server needs to know to be set up.
pub struct Setup<'a> {
    /// Empty and its own.
    pub directory: &'a Path,
    pub port: u16,
    pub rules: &'a [Rule],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Waggle,
    Gdnsd,
    Knot,
    Nsd,
    PowerDns,
    Hickory,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Waggle => "waggle",
            Peer::Gdnsd => "gdnsd",
            Peer::Knot => "knot",
            Peer::Nsd => "nsd",
            Peer::PowerDns => "powerdns",
            Peer::Hickory => "hickory-server",
        }
    }

    /// Writes the configuration and says how to start the server with it.
    pub fn prepare(self, setup: &Setup<'_>) -> Result<Command> {
        match self {
            Peer::Waggle => waggle::prepare(setup),
            Peer::Gdnsd => gdnsd::prepare(setup),
            Peer::Knot => knot::prepare(setup),
            Peer::Nsd => nsd::prepare(setup),
            Peer::PowerDns => powerdns::prepare(setup),
            Peer::Hickory => hickory::prepare(setup),
        }
    }
}
