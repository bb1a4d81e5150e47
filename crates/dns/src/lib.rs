//! The authoritative engine: a route plan is compiled to a [`Snapshot`]; [`answer`] turns query bytes into reply bytes.
//!
//! Pure: no socket, no clock, no thread. The nameserver owns those and calls in, so the same code can be replayed,
//! explained, fuzzed and measured. Between query and reply there is no allocation, no lock and no panic:
//!
//! * the query is parsed in place (`request`) and its name looked up in an immutable hash table whose cost does not grow
//!   with hostile label counts (`table`);
//! * static record sets are wire fragments, copied behind the question (`snapshot`, `compile`);
//! * a route looks its client up in disjoint prefix ranges (`places`, `prefixes`), gets a ranking, and takes the first
//!   cluster whose bit is set in the health word beside the snapshot, and whose share takes the client (`choose`,
//!   `health`);
//! * what was answered, and until when it may be cached, goes into the `ledger` by an atomic maximum, and into the
//!   counters of the `tally`, whose number the plan decides and no client. Each thread has its own, as far as that goes.
//!
//! hickory's `Catalog` was rejected as the engine: its handlers see no EDNS, it never returns a client subnet's scope, and
//! truncation loses OPT. Its codec reads master files here, and checks our replies in tests.

mod answer;
mod choose;
mod compile;
mod explain;
mod geo;
mod health;
mod ledger;
mod name;
mod outage;
mod places;
mod prefixes;
mod replay;
mod reply;
mod request;
mod siphash;
mod snapshot;
mod table;
mod tally;

pub use answer::{Transport, answer};
pub use compile::{ADDRESSES_MAX, CompileError, ERRORS_MAX, Memo, NAMES_MAX, RRSET_BYTES_MAX};
pub use explain::{Basis, ClientSource, Decided, Explanation, Outcome, PoolEntry, explain};
pub use geo::{Geo, NETWORKS_MAX};
pub use health::Health;
pub use ledger::Ledger;
pub use outage::{Present, Question, outage};
pub use places::RANKINGS_MAX;
pub use replay::{Asker, asker, order, replay};
pub use reply::{KEEPALIVE, UDP_MAX};
pub use snapshot::{Route, Snapshot};
pub use tally::{ClientOrder, ORDERS_COUNTED, RouteTally, Tally};
