//! What Posgate shows of itself: metric names with their units and labels, each once, and log set-up.
//!
//! Handles are registered at start and kept by whoever counts, so that counting is one atomic add. No
//! label has unbounded values: never a terminal id, a merchant or a peer address.

pub mod log;
pub mod metrics;
