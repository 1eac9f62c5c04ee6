//! Bindings: which merchant and which settlement account a terminal belongs to, and whether it may act.
//!
//! [`gate`] decides every request with one pure function over a table of state × request type;
//! [`directory`] is the in-memory look-up it decides from. Nothing here knows a socket, a clock or a
//! store: `switch` loads the directory, `admin` changes store and directory together.
//!
//! What may go wrong: an unknown terminal and a closed binding are answers of the gate, not errors.

pub mod directory;
pub mod gate;
pub mod state;

pub use directory::{Admission, Directory, TerminalKey};
pub use gate::{Decision, DeclineReason, decide};
pub use state::{AccountStatus, BindingState, ReasonSet, RependReason};
