//! The life of one transaction, in pure code: is it new, what became of it, what does a reversal find.
//!
//! A [`Lane`] is what Posgate remembers of one terminal: its open batch, whether it is signed on, and
//! its latest transactions with their [`State`]. `switch` asks a lane before it journals and tells it
//! what happened; nothing here waits, sends, stores or reads a clock.
//!
//! Changes are made when their record is handed to the journal, effects run when it is durable, and the
//! journal keeps their order: so a lane may say "answered" while the sync is still running, because
//! whoever acts on it queues behind that sync.

pub mod batch;
pub mod lane;
pub mod lanes;
pub mod originals;

pub use lane::{Acceptance, Lane, Proposal, Reach, Remembered, ReversalStep, State, Transaction};
pub use lanes::Lanes;
