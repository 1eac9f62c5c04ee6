//! Stand-ins for every peer: upstream hosts, fleets of terminals, load, and the bare proxy to compare with.
//!
//! Simulators see the gateway as the real peers do, over sockets and in its dialects, and keep ledgers of
//! their own, so that they can judge it without believing anything it says. They draw all randomness from a
//! seed. They print nothing: the commands do. Used by `cli` (`host`, `load`, `demo`, `simulate`) and by the
//! tests; the gateway never uses them. [`world`] is the exception: it holds the switch itself, on virtual time.

pub mod certs;
pub mod chance;
pub mod fleet;
pub mod host;
mod inbox;
pub mod ledger;
pub mod load;
pub mod message;
pub mod process;
pub mod proxy;
pub mod roll;
pub mod rules;
mod time;
pub mod transport;
pub mod world;
