//! What a question of people's reads: read model, registry and journal, each through a connection of its
//! own. Used by the API while the gateway runs, and by the commands on a store that nobody runs.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::base::{AccountId, AcquirerId, BindingId};
use crate::binding::TerminalKey;
use crate::store::sqlite::{SqliteFolder, SqliteJournal, SqliteReader};
use crate::store::{JournalStore, QueryError, Registry, StoreError, TransactionReader};

/// Names of accounts that are remembered during one question.
const NAMES_MAX: usize = 10_000;

/// Why a question has no answer. The text is for who asked.
#[derive(Debug, thiserror::Error)]
pub enum InquiryError {
    /// It is not asked right.
    #[error("{0}")]
    Bad(String),
    /// What it names is not there.
    #[error("no {what} {name}")]
    Unknown {
        /// "transaction", "account" and so on.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// The read model does not show yet what is durable.
    #[error(
        "the read model is {groups} journal groups behind; posgate_projection_lag_groups shows when it is not"
    )]
    Behind {
        /// How far.
        groups: u64,
    },
    /// The read model cannot answer it.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was found could not be written down.
    #[error("the answer cannot be written")]
    Write(#[from] std::io::Error),
}

/// An account as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    /// Acquirer's name.
    pub acquirer: String,
    /// The acquirer's reference; the account's number with a `#` when the registry does not know it.
    pub reference: String,
}

/// See the module.
pub struct Inquiry {
    /// The read model.
    pub reader: SqliteReader,
    /// The registry, for reading.
    pub registry: Box<dyn Registry>,
    /// The journal, for reading.
    pub journal: SqliteJournal,
    /// Where dates begin and end.
    pub zone: TimeZone,
    folder: SqliteFolder,
    acquirers: Vec<(AcquirerId, String)>,
    names: HashMap<AccountId, AccountName>,
}

impl std::fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

impl Inquiry {
    /// Opens a store for one question.
    ///
    /// # Errors
    /// When a file cannot be opened or has not the schema of this build.
    pub fn open(folder: &SqliteFolder) -> Result<Self, StoreError> {
        let mut registry: Box<dyn Registry> = Box::new(folder.registry_reader()?);
        let acquirers = registry.acquirers()?;
        Ok(Self {
            reader: folder.reader()?,
            registry,
            journal: folder.journal_reader()?,
            zone: TimeZone::system(),
            folder: folder.clone(),
            acquirers,
            names: HashMap::new(),
        })
    }

    /// The read model once more, for what names things while it reads.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn another_reader(&self) -> Result<SqliteReader, StoreError> {
        self.folder.reader()
    }

    /// The journal's last group: what is durable now.
    ///
    /// # Errors
    /// When reading fails.
    pub fn last_group(&mut self) -> Result<u64, StoreError> {
        self.journal.last_sequence()
    }

    /// How many journal groups the read model is behind.
    ///
    /// # Errors
    /// When reading fails.
    pub fn behind(&mut self) -> Result<u64, StoreError> {
        let last = self.journal.last_sequence()?;
        Ok(last.saturating_sub(self.reader.mark()?))
    }

    /// An acquirer's name.
    #[must_use]
    pub fn acquirer(&self, id: AcquirerId) -> String {
        let known = self.acquirers.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| format!("#{}", id.0), |(_, name)| name.clone())
    }

    /// The acquirer with that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn acquirer_named(&self, name: &str) -> Result<AcquirerId, InquiryError> {
        let known = self.acquirers.iter().find(|(_, known)| known == name);
        known.map(|(id, _)| *id).ok_or(InquiryError::Unknown {
            what: "acquirer",
            name: name.to_owned(),
        })
    }

    /// The terminal that a binding is, or was, of.
    ///
    /// # Errors
    /// When there is none with that number, or reading fails.
    pub fn binding_numbered(&mut self, binding: BindingId) -> Result<TerminalKey, InquiryError> {
        let row = self.registry.binding(binding)?;
        row.map(|row| row.key).ok_or(InquiryError::Unknown {
            what: "binding",
            name: binding.0.to_string(),
        })
    }

    /// What people call an account.
    ///
    /// # Errors
    /// When reading fails.
    pub fn account(&mut self, id: AccountId) -> Result<AccountName, StoreError> {
        if let Some(known) = self.names.get(&id) {
            return Ok(known.clone());
        }
        let name = match self.registry.account_name(id)? {
            Some((acquirer, reference)) => AccountName {
                acquirer: self.acquirer(acquirer),
                reference,
            },
            None => AccountName {
                acquirer: String::new(),
                reference: format!("#{}", id.0),
            },
        };
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(id, name.clone());
        Ok(name)
    }

    /// The account that people call so, at that acquirer or at the only one that has it.
    ///
    /// # Errors
    /// When there is none, or several have it.
    pub fn account_named(
        &mut self,
        acquirer: Option<AcquirerId>,
        reference: &str,
    ) -> Result<AccountId, InquiryError> {
        // No reference holds a #: this is how an account is shown that the registry does not know.
        if let Some(number) = reference.strip_prefix('#').and_then(|n| n.parse().ok()) {
            return Ok(AccountId(number));
        }
        let (mut found, mut at) = (None, Vec::new());
        for (id, name) in &self.acquirers {
            if acquirer.is_some_and(|only| only != *id) {
                continue;
            }
            if let Some((account, _, _)) = self.registry.account(*id, reference)? {
                found = Some(account);
                at.push(name.as_str());
            }
        }
        if at.len() > 1 {
            let at = at.join(" and ");
            let several = format!("account {reference} is at {at}; name the acquirer too");
            return Err(InquiryError::Bad(several));
        }
        found.ok_or_else(|| InquiryError::Unknown {
            what: "account",
            name: reference.to_owned(),
        })
    }
}
