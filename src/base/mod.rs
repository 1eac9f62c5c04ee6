//! The words of the domain: identifiers, amounts, card data that cannot be printed, time, limits.
//!
//! Nothing here does I/O, knows a dialect or has a clock of its own (except [`clock::SystemClock`],
//! which is handed in from the outside). Every other room may use this one; it uses none.

pub mod alike;
pub mod amount;
pub mod batch;
pub mod calendar;
pub mod card;
pub mod clock;
pub mod counted;
pub mod document;
pub mod failpoint;
pub mod ids;
pub mod limits;
pub mod means;
pub mod note;
pub mod notice;
pub mod request;

pub use amount::{Amount, Currency};
pub use batch::{BatchLine, BatchResult, BatchTotals, LineCounts, LineVerdict, Sum};
pub use card::{MaskedPan, Pan};
pub use clock::{Clock, ManualClock, Moment, SystemClock, Timestamp};
pub use counted::Counted;
pub use ids::{AccountId, AcquirerId, BatchNumber, BindingId, MerchantId, Stan, TerminalId, TxnId};
pub use means::Means;
pub use note::{Note, PersonName};
pub use request::{Fate, PayoutPart, RequestType};
