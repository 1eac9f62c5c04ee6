//! Bindings: which merchant and which settlement account a terminal belongs to, and whether it may act.
//!
//! [`gate`] decides every request with one pure function over a table of state × request type;
//! [`directory`] is the in-memory look-up it decides from. [`life`] says how a binding gets from state to
//! state; [`account`], [`device`], [`contact`], [`hold`] and [`challenge`] say it of what hangs on it;
//! [`unbinding`] and [`replacement`] are the cases that end one, [`documents`], [`tested`] and [`wipe`] what they have in them, and
//! [`watch`] is what is heard afterwards. [`limit`]
//! says how much may be taken, and [`counters`] count it; [`payout`] says when it may be paid out. Every event that cannot happen is answered
//! with a [`Refusal`] that says what to do instead. Nothing here knows a socket, a clock, randomness or a
//! store: `switch` loads the directory, `admin` changes store and directory together.
//!
//! What may go wrong: an unknown terminal and a closed binding are answers of the gate, not errors.

pub mod account;
pub mod challenge;
pub mod contact;
pub mod counters;
pub mod device;
pub mod directory;
pub mod dispute;
pub mod documents;
pub mod dormancy;
pub mod drain;
pub mod gate;
pub mod hold;
pub mod life;
pub mod limit;
pub mod merchant;
mod named;
pub mod payout;
pub mod refusal;
pub mod replacement;
pub mod state;
pub mod tested;
pub mod unbinding;
pub mod watch;
pub mod wipe;

pub use account::{AccountKind, Accounts};
pub use device::SerialPrint;
pub use directory::{Admission, Directory, TerminalKey};
pub use gate::{Asked, Decision, DeclineReason, NoAccount, SerialRule, check_device, decide};
pub use hold::{HoldScope, HoldSet};
pub use life::{BindingEvent, Life};
pub use limit::{LimitKind, LimitScope, Limits, check_limits};
pub use refusal::Refusal;
pub use state::{AccountStatus, BindingState, ReasonSet, RependReason};
