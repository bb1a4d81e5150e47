//! The test bed: several hosts on one machine, with real Docker Swarms, a real registry and a real resolver, for the
//! end-to-end tests and the demo alike.

pub mod bed;
pub mod dns_client;
pub mod engine_stub;
pub mod http_client;
pub mod kit;
pub mod random;
pub mod said;
pub mod shop;
pub mod steady_client;
