//! What must survive a crash: the journal of money movements, its read model, and the registry of
//! merchants, accounts, terminals and bindings.
//!
//! Three traits, each with a SQLite back end (and memory for tests): [`JournalStore`] appends groups of
//! [`record`]s and is driven by the one writer thread of [`journal`]; [`ReadModel`] is projected from
//! those groups off the money path and can always be rebuilt; [`Registry`] holds what operators change.
//! They are blocking: callers bring their own thread.
//!
//! The store never decides anything and never sees track data, PIN blocks or clear card numbers.

pub mod audit;
pub mod batch;
pub mod command;
pub mod journal;
pub mod memory;
pub mod parcels;
pub mod projection;
pub mod read_model;
pub mod record;
pub mod registry;
pub mod room;
pub mod settlement;
pub mod sqlite;
pub mod tokens;
pub mod writes;

pub use crate::base::TxnId;
pub use journal::{Durable, Journal, JournalError};
pub use read_model::{Query, QueryError, ReadModel, TransactionReader, TransactionRow};
pub use record::{Intent, Intervention, Outcome, OutcomeKind, Record, Verb};
pub use registry::{BindingRow, ImportLine, ImportReport, Registry, RegistryError};

/// Why the store failed. The text is for operators; it names files and never a stored value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine said no.
    #[error("{doing}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// The engine's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk has no room. Nothing was written; the same may succeed later.
    #[error("{doing}: the disk is full")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// A file of the store is not what it has to be.
    #[error("{file} {problem}; {remedy}")]
    Unsound {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: String,
        /// What inspects and mends it.
        remedy: String,
    },
    /// Groups of the journal are not there and nobody deleted them on purpose.
    #[error(
        "journal.db lacks the groups {first} to {last}; inspect it with `posgate store check`, \
         mend it with `posgate store repair`"
    )]
    Gap {
        /// First group that is missing.
        first: u64,
        /// Last one.
        last: u64,
    },
    /// The files were written by a newer Posgate.
    #[error(
        "{file} has schema {found}, this build knows up to {known}: use the newer posgate, or restore a backup made before the upgrade"
    )]
    NewerSchema {
        /// Which file.
        file: String,
        /// Schema number found.
        found: u32,
        /// Newest schema number known here.
        known: u32,
    },
    /// The files were written by an older Posgate, or not at all yet.
    #[error(
        "{file} has schema {found}, reading it needs {known}: start posgate once, it brings the file up to date"
    )]
    OlderSchema {
        /// Which file.
        file: String,
        /// Schema number found.
        found: u32,
        /// Schema number needed.
        known: u32,
    },
    /// A group of the journal does not carry the checksum it was written with.
    #[error(
        "group {sequence} in journal.db is damaged: {problem}; inspect it with `posgate store check`, \
         mend it with `posgate store repair`"
    )]
    Damaged {
        /// Sequence number of the group.
        sequence: u64,
        /// What does not fit.
        problem: record::RecordError,
    },
}

impl StoreError {
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { doing },
            _ => Self::Engine {
                doing,
                source: Box::new(source),
            },
        }
    }
}

/// Appends groups of records. One writer at a time.
pub trait JournalStore: Send {
    /// Writes one group and syncs it. When this returns `Ok`, the group survives a crash and a power cut.
    ///
    /// # Errors
    /// When the group may not be durable. A failed sync is final: the caller stops taking work.
    fn append(&mut self, group: &[u8], records: u32) -> Result<u64, StoreError>;

    /// Sequence number of the last group, 0 for none.
    ///
    /// # Errors
    /// When reading fails.
    fn last_sequence(&mut self) -> Result<u64, StoreError>;

    /// Reads groups after `sequence`, oldest first, until `each` returns false.
    ///
    /// # Errors
    /// When reading fails or a group is damaged.
    fn replay(
        &mut self,
        after: u64,
        each: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), StoreError>;
}
