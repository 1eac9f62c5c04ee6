//! Sockets: listeners and terminal sessions on one side, upstream links on the other.
//!
//! This room moves frames and knows nothing of money. What a frame means is decided by whoever
//! implements [`Terminals`] (for sessions) and [`Upstream`] (for links); both are called from the task
//! that owns the socket and must not block.
//!
//! A broken or hostile peer costs one session or link, a counter and a log line.

pub mod group;
pub mod link;
pub mod listener;
pub mod mux;
pub mod notify;
pub mod outbox;
pub mod session;
pub mod socket;
pub mod tasks;

pub use group::{Group, LinkChoice};
pub use link::{LinkSettings, Upstream};
pub use listener::{Listener, ListenerSettings};
pub use mux::Pending;
pub use session::{Handled, Session, Terminals};
pub use tasks::Tasks;
