//! The registry: merchants, settlement accounts, terminals and the bindings between them, as operators
//! change them. Every change is durable when the call returns and gives back what the directory needs.
//! Between [`Writes::begin`] and [`Writes::commit`] several of them are durable together, or none.
//!
//! Each change writes its [audit event](super::audit) in its own transaction.

use super::StoreError;
use super::audit::AuditTrail;
use super::command::Affairs;
use super::parcels::ParcelBook;
use super::tokens::TokenBook;
use super::writes::Writes;
use crate::base::{AccountId, AcquirerId, BindingId, Counted, MerchantId, TerminalId, Timestamp};
use crate::binding::counters::LimitSet;
use crate::binding::hold::HoldSet;
use crate::binding::watch::BindingRules;
use crate::binding::{
    AccountStatus, Admission, BindingState, Limits, ReasonSet, Refusal, TerminalKey,
};

/// Why a change was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nothing with that name.
    #[error("no {what} {name} at acquirer {acquirer}")]
    Unknown {
        /// "terminal" or "account".
        what: &'static str,
        /// As asked for.
        name: String,
        /// Acquirer's name.
        acquirer: String,
    },
    /// The binding is closed; closed bindings never change.
    #[error(
        "the binding of terminal {terminal} is closed; bind the terminal anew: posgate binding request"
    )]
    Closed {
        /// Terminal.
        terminal: String,
    },
    /// A re-pending binding needs reasons, and some states have none: see [`Life::fits`](crate::binding::Life::fits).
    #[error(
        "state re-pending needs at least one reason; suspended and unbinding may have some, other states have none"
    )]
    Reasons,
    /// Someone else changed it since it was read.
    #[error(
        "{what} has version {found}, the change was made for version {expected}; look at it again"
    )]
    Stale {
        /// "the binding", "the account".
        what: &'static str,
        /// Version now.
        found: u32,
        /// Version the caller saw.
        expected: u32,
    },
    /// Nothing with that name; other than [`Self::Unknown`], it belongs to no acquirer.
    #[error("no {what} {name}")]
    NotThere {
        /// "token", "contact", "case" and so on.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// A state machine does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are as many as there may be.
    #[error("there are {max} {what} already; {remedy}")]
    TooMany {
        /// "tokens" and so on.
        what: &'static str,
        /// Most allowed.
        max: usize,
        /// What makes room.
        remedy: &'static str,
    },
    /// Lines of an import are wrong; nothing was changed.
    #[error("{} wrong; nothing was imported", Counted(.0.len(), "line").that("is", "are"))]
    Lines(Vec<LineProblem>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A wrong line of an import.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LineProblem {
    /// Line in the file, from 1; the header is line 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// One terminal to import, checked for form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportLine {
    /// Line in the file, from 1.
    pub line: u64,
    /// Acquirer.
    pub acquirer: AcquirerId,
    /// DE41.
    pub terminal: TerminalId,
    /// DE42.
    pub merchant: MerchantId,
    /// Merchant's name; empty leaves what is there.
    pub merchant_name: Box<str>,
    /// Merchant category code; empty leaves what is there.
    pub mcc: Box<str>,
    /// The acquirer's reference of the settlement account.
    pub account: Box<str>,
    /// "bank-card", "wechat", "alipay".
    pub account_kind: Box<str>,
    /// Status of a new account; an account that is there keeps its own.
    pub account_status: AccountStatus,
    /// Hardware serial number; may be empty.
    pub serial: Box<str>,
    /// State of the binding; `None` keeps what is there, and makes a new binding active.
    pub state: Option<BindingState>,
    /// Reasons of a re-pending binding.
    pub reasons: ReasonSet,
    /// How much the terminal may take; `None` keeps what is there.
    pub limits: Option<Limits>,
    /// Accounts of other kinds that the terminal has too; those of a binding that is there are kept.
    pub others: Vec<BoundAccount>,
    /// Where its device stands; empty leaves what is there, and only the first is taken.
    pub placement: Box<str>,
}

/// What an import did.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
pub struct ImportReport {
    /// Lines read.
    pub lines: u64,
    /// Terminals bound for the first time or anew.
    pub bound: u64,
    /// Bindings whose state changed.
    pub changed: u64,
    /// Lines that said what was there already.
    pub unchanged: u64,
    /// Merchants added.
    pub merchants: u64,
    /// Accounts added.
    pub accounts: u64,
}

/// An account that a binding has beside its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundAccount {
    /// The acquirer's reference.
    pub reference: String,
    /// "bank-card", "wechat", "alipay".
    pub kind: String,
    /// Its status; in an import that of a new one.
    pub status: AccountStatus,
}

/// A binding as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRow {
    /// Terminal.
    pub key: TerminalKey,
    /// What the gate needs.
    pub admission: Admission,
    /// Merchant's name.
    pub merchant_name: String,
    /// Merchant category code.
    pub mcc: String,
    /// Reference of the settlement account; of the first where there are others.
    pub account: String,
    /// Kind of the account.
    pub account_kind: String,
    /// Status of the account.
    pub account_status: AccountStatus,
    /// Hardware serial number.
    pub serial: String,
    /// When the binding was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// How much the terminal may take by itself.
    pub limits: Limits,
    /// Accounts of other kinds that it has too, in the order of the kinds.
    pub others: Vec<BoundAccount>,
    /// Where its device stands; empty where nobody said it.
    pub placement: String,
}

/// One change of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingChange {
    /// Version it led to.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// Who made it.
    pub actor: String,
    /// State from then on.
    pub state: BindingState,
    /// Reasons of a re-pending binding.
    pub reasons: ReasonSet,
    /// What happened, as `binding.suspended`; empty when it was set by hand.
    pub event: String,
    /// Why, or what shows it.
    pub note: String,
    /// The second person, where there has to be one.
    pub checker: String,
}

/// What a terminal was at a time that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingThen {
    /// Number of the binding.
    pub binding: BindingId,
    /// Merchant id.
    pub merchant: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed, if it was since.
    pub closed_at: Option<Timestamp>,
    /// Its version then; `None`, as the state, where it was changed for the first time before openings were kept.
    pub version: Option<u32>,
    /// Since when it was like that.
    pub since: Timestamp,
    /// State.
    pub state: Option<BindingState>,
    /// Reasons, if it was re-pending.
    pub reasons: ReasonSet,
    /// What was held.
    pub holds: HoldSet,
    /// The acquirer's references of its settlement accounts, the first one first.
    pub accounts: Vec<String>,
    /// Serial number of the device, where it is known.
    pub serial: Option<String>,
}

/// What the directory has to learn after a change.
#[derive(Clone, Debug, Default)]
pub struct DirectoryChanges {
    /// Bindings, newest version.
    pub bindings: Vec<(TerminalKey, Admission)>,
    /// Accounts and their status.
    pub accounts: Vec<(AccountId, AccountStatus)>,
    /// Terminals that took over from bindings of other terminals.
    pub successors: Vec<(TerminalKey, BindingId)>,
    /// Limits that were set.
    pub limits: Vec<LimitSet>,
}

impl DirectoryChanges {
    /// Takes in what came after.
    pub fn add(&mut self, later: Self) {
        self.bindings.extend(later.bindings);
        self.accounts.extend(later.accounts);
        self.successors.extend(later.successors);
        self.limits.extend(later.limits);
    }
}

/// Who changes something, when and from where; goes into the history and the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Name of the person or program.
    pub name: String,
    /// Now.
    pub at: Timestamp,
    /// From where.
    pub origin: Origin,
}

impl Actor {
    /// Something that Posgate does by itself, or a command on a store that nobody runs.
    #[must_use]
    pub fn program(name: impl Into<String>, at: Timestamp) -> Self {
        Self {
            name: name.into(),
            at,
            origin: Origin::default(),
        }
    }
}

/// From where a change comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The way in.
    pub channel: Channel,
    /// Peer's address over TCP; user and process of the socket's other end.
    pub address: String,
    /// What it may do: a role's name, or "all".
    pub rights: String,
    /// Number of the HTTP request, as its answer names it; empty for none.
    pub request: String,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            channel: Channel::Program,
            address: String::new(),
            rights: "all".into(),
            request: String::new(),
        }
    }
}

/// The way by which a change came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The Unix socket.
    Socket,
    /// HTTPS.
    Https,
    /// A terminal's message.
    Terminal,
    /// No connection: Posgate itself, or a command on the store.
    Program,
}

impl Channel {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Https => "https",
            Self::Terminal => "terminal",
            Self::Program => "program",
        }
    }
}

/// See the module.
pub trait Registry: Affairs + AuditTrail + ParcelBook + TokenBook + Writes + Send {
    /// Number of an acquirer, given out at its first appearance and kept for good.
    ///
    /// # Errors
    /// When the store fails.
    fn acquirer(&mut self, name: &str) -> Result<AcquirerId, StoreError>;

    /// What holds for all bindings from here on. Those of before keep what was decided then.
    fn keep_to(&mut self, rules: BindingRules);

    /// Names of all acquirers by number.
    ///
    /// # Errors
    /// When the store fails.
    fn acquirers(&mut self) -> Result<Vec<(AcquirerId, String)>, StoreError>;

    /// A second view of the registry, for long reads beside changes.
    ///
    /// # Errors
    /// When the store cannot be opened once more.
    fn reader(&self) -> Result<Box<dyn Registry>, StoreError>;

    /// How many bindings there are, closed ones too.
    ///
    /// # Errors
    /// When the store fails.
    fn binding_count(&mut self) -> Result<usize, StoreError>;

    /// Everything the directory holds: accounts first, then bindings, closed ones before open ones.
    ///
    /// # Errors
    /// When the store fails.
    fn load(
        &mut self,
        account: &mut dyn FnMut(AccountId, AccountStatus),
        binding: &mut dyn FnMut(TerminalKey, Admission),
    ) -> Result<(), StoreError>;

    /// Imports terminals with their merchants, accounts and bindings: all lines or none. Lines that could
    /// not be read count as wrong.
    ///
    /// `progress` is called now and then with the number of lines done.
    ///
    /// # Errors
    /// [`RegistryError::Lines`] with every line that contradicts another or what is there.
    fn import(
        &mut self,
        lines: &mut dyn Iterator<Item = Result<ImportLine, LineProblem>>,
        actor: &Actor,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(ImportReport, DirectoryChanges), RegistryError>;

    /// One terminal's current binding.
    ///
    /// # Errors
    /// When the store fails.
    fn show(&mut self, key: TerminalKey) -> Result<Option<BindingRow>, StoreError>;

    /// Calls `each` with every current binding, by acquirer and terminal id, until it returns false.
    ///
    /// # Errors
    /// When the store fails.
    fn export(&mut self, each: &mut dyn FnMut(BindingRow) -> bool) -> Result<(), StoreError>;

    /// Sets a binding's state. `expected` is the version the caller saw, `None` for any.
    ///
    /// # Errors
    /// When the terminal is unknown, its binding closed or changed meanwhile, or the reasons do not fit.
    fn set_state(
        &mut self,
        key: TerminalKey,
        state: BindingState,
        reasons: ReasonSet,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<DirectoryChanges, RegistryError>;

    /// Sets an account's status. `expected` is the version the caller saw, `None` for any.
    ///
    /// # Errors
    /// When the account is unknown or changed meanwhile.
    fn set_account(
        &mut self,
        acquirer: AcquirerId,
        account: &str,
        status: AccountStatus,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<DirectoryChanges, RegistryError>;

    /// An account's version: one more than it had changes.
    ///
    /// # Errors
    /// When the store fails.
    fn account_version(&mut self, account: AccountId) -> Result<u32, StoreError>;

    /// An account's number, kind and status.
    ///
    /// # Errors
    /// When the store fails.
    fn account(
        &mut self,
        acquirer: AcquirerId,
        account: &str,
    ) -> Result<Option<(AccountId, String, AccountStatus)>, StoreError>;

    /// Whose account has that number, and the reference it is known by there.
    ///
    /// # Errors
    /// When the store fails.
    fn account_name(
        &mut self,
        account: AccountId,
    ) -> Result<Option<(AcquirerId, String)>, StoreError>;

    /// A binding by its number, open or closed, as it is now.
    ///
    /// # Errors
    /// When the store fails.
    fn binding(&mut self, binding: BindingId) -> Result<Option<BindingRow>, StoreError>;

    /// The binding that a terminal had at a time, as it was then; `None` when it had none.
    ///
    /// # Errors
    /// When the store fails.
    fn binding_at(
        &mut self,
        key: TerminalKey,
        at: Timestamp,
    ) -> Result<Option<BindingThen>, StoreError>;

    /// What changed a binding, oldest first; how it was opened is before its first change.
    ///
    /// # Errors
    /// When the store fails.
    fn binding_changes(&mut self, binding: BindingId) -> Result<Vec<BindingChange>, StoreError>;
}
