//! The registry as a running gateway shares it: one change at a time, each in the gate when its call returns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::failpoint::{self, Point};
use crate::base::{AccountId, BindingId, TxnId};
use crate::binding::{Admission, Directory, TerminalKey};
use crate::store::registry::DirectoryChanges;
use crate::store::writes::{Answer, Keyed, Known, Written};
use crate::store::{Registry, StoreError};
use crate::transaction::Lanes;

/// The registry together with the directory it feeds: a change is in the gate when its call returns.
///
/// What a change takes away is in the gate before it is durable, what it gives is durable before it is in the
/// gate; and when the call returns, every request that was accepted under what ended is in the journal's queue
/// already. So nothing is ever journalled under a state that had ended, and nobody trades on what a crash
/// might take back.
pub struct SharedRegistry {
    registry: Mutex<Box<dyn Registry>>,
    directory: Arc<Directory>,
    /// Where requests are accepted; none where nobody trades.
    lanes: Option<Arc<Lanes>>,
    /// Number of the next transaction: limits that are set count from there on.
    next_txn: Arc<AtomicU64>,
}

impl std::fmt::Debug for SharedRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRegistry")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl SharedRegistry {
    /// A registry that feeds a directory.
    #[must_use]
    pub fn new(registry: Box<dyn Registry>, directory: Arc<Directory>) -> Self {
        Self {
            registry: Mutex::new(registry),
            directory,
            lanes: None,
            next_txn: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The same for a switch at work, whose requests are accepted in these lanes.
    #[must_use]
    pub fn before_lanes(self, lanes: Arc<Lanes>) -> Self {
        Self {
            lanes: Some(lanes),
            ..self
        }
    }

    /// The same for a switch that gives out the numbers of its transactions from here.
    #[must_use]
    pub fn counting_with(self, next_txn: Arc<AtomicU64>) -> Self {
        Self { next_txn, ..self }
    }

    /// The registry, for reading. Blocks while another change is under way.
    pub fn lock(&self) -> MutexGuard<'_, Box<dyn Registry>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change and takes it into the directory before anybody else can make one. It is durable and in the
    /// gate when this returns. Blocks.
    ///
    /// # Errors
    /// The change's own, and the store's; nothing is changed then.
    pub fn change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut dyn Registry) -> Result<(T, DirectoryChanges), E>,
    ) -> Result<T, E> {
        let mut registry = self.lock();
        let registry = registry.as_mut();
        registry.begin()?;
        match change(registry) {
            Ok((result, changes)) => {
                self.commit(registry, changes)?;
                Ok(result)
            }
            Err(refused) => {
                registry.roll_back();
                Err(refused)
            }
        }
    }

    /// Makes a change durable and takes it into the gate, in the order that is safe for each part of it.
    fn commit(
        &self,
        registry: &mut dyn Registry,
        changes: DirectoryChanges,
    ) -> Result<(), StoreError> {
        let narrowed = self.narrow(&changes);
        if let Err(problem) = registry.commit() {
            self.as_stored(registry, &narrowed);
            return Err(problem);
        }
        self.take_in(changes);
        Ok(())
    }

    /// Takes what a change takes away out of the gate, and waits for what was let in before.
    fn narrow(&self, changes: &DirectoryChanges) -> Narrowed {
        let mut narrowed = Narrowed::default();
        for (account, status) in &changes.accounts {
            if !status.is_usable() && self.directory.account(*account).is_usable() {
                self.directory.set_account(*account, *status);
                narrowed.accounts.push(*account);
            }
        }
        // What counts is where a terminal ends up.
        let last: BTreeMap<TerminalKey, Admission> = changes.bindings.iter().copied().collect();
        for (key, after) in last {
            let held = self.directory.held(key);
            let same = held.is_some_and(|before| before.binding == after.binding);
            if same && !after.takes_new_money() {
                self.directory.put(key, after);
                narrowed.bindings.push(key);
            }
        }
        if !narrowed.accounts.is_empty() || !narrowed.bindings.is_empty() {
            self.pass_lanes();
        }
        narrowed
    }

    /// A change could not be made durable: the gate gets what is stored. What cannot be read stays narrow.
    fn as_stored(&self, registry: &mut dyn Registry, narrowed: &Narrowed) {
        for key in &narrowed.bindings {
            if let Ok(Some(row)) = registry.show(*key) {
                self.directory.restore(*key, row.admission);
            }
        }
        for account in &narrowed.accounts {
            let Ok(Some((acquirer, name))) = registry.account_name(*account) else {
                continue;
            };
            if let Ok(Some((account, _, status))) = registry.account(acquirer, &name) {
                self.directory.set_account(account, status);
            }
        }
    }

    fn pass_lanes(&self) {
        if let Some(lanes) = &self.lanes {
            lanes.pass();
        }
    }

    /// Makes several changes as one, keeps what is answered under the caller's key, and takes them into the
    /// directory: all of it is durable when this returns [`Written::Now`], and none of it otherwise. A write
    /// whose key is known is not made again. Blocks.
    ///
    /// # Errors
    /// The work's own, and the store's; nothing is changed then.
    pub fn write<E: From<StoreError>>(
        &self,
        keyed: &Keyed,
        work: impl FnOnce(&mut dyn Registry) -> Result<(Answer, DirectoryChanges), E>,
    ) -> Result<Written, E> {
        let mut registry = self.lock();
        let registry = registry.as_mut();
        registry.begin()?;
        match written(registry, keyed, work) {
            Ok(Made::New(answer, changes)) => {
                self.commit(registry, changes)?;
                Ok(Written::Now(answer))
            }
            Ok(Made::Not(written)) => {
                registry.roll_back();
                Ok(written)
            }
            Err(refused) => {
                registry.roll_back();
                Err(refused)
            }
        }
    }

    /// Shuts the gate for a terminal whose binding is to be closed, while somebody looks whether anything is left.
    /// What was let in before is in the journal's queue when this returns. Only one that unbinds is shut.
    #[must_use]
    pub fn shut(self: &Arc<Self>, key: TerminalKey, binding: BindingId) -> Shut {
        let before = self.directory.shut(key, binding);
        if before.is_some() {
            self.pass_lanes();
        }
        Shut {
            shared: Arc::clone(self),
            key,
            before,
        }
    }

    /// Feeds the directory, while the registry is held.
    fn take_in(&self, changes: DirectoryChanges) {
        // Accounts first: a binding must not be met with a status of before it was there. Nor without its limit.
        for set in changes.limits {
            let next = TxnId(self.next_txn.load(Ordering::Relaxed));
            self.directory.limit(&set, next);
        }
        for (account, status) in changes.accounts {
            self.directory.set_account(account, status);
        }
        for (key, admission) in changes.bindings {
            self.directory.put(key, admission);
        }
        for (key, predecessor) in changes.successors {
            self.directory.succeed(key, predecessor);
        }
        // Whoever was let in under what was before is in the journal's queue when this returns.
        self.pass_lanes();
        failpoint::pass(Point::RegistryInGate);
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// A terminal at the gate that is shut; it is opened again when this is dropped, unless its binding was changed.
pub struct Shut {
    shared: Arc<SharedRegistry>,
    key: TerminalKey,
    /// What is shut; `None` where nothing had to be.
    before: Option<Admission>,
}

impl std::fmt::Debug for Shut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shut").field("key", &self.key).finish()
    }
}

impl Shut {
    /// How many requests of the terminal have no outcome yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let lanes = self.shared.lanes.as_ref();
        lanes.map_or(0, |lanes| {
            lanes.with(self.key, |lane| lane.in_flight_count())
        })
    }

    /// Whether nothing was let in meanwhile: another change of the binding opens it.
    #[must_use]
    pub fn holds(&self) -> bool {
        let directory = &self.shared.directory;
        self.before
            .is_none_or(|before| directory.is_shut(self.key, &before))
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            self.shared.directory.open_again(self.key, before);
        }
    }
}

/// What was taken out of the gate before it was durable.
#[derive(Debug, Default)]
struct Narrowed {
    bindings: Vec<TerminalKey>,
    accounts: Vec<AccountId>,
}

/// What came of a write before it is committed.
enum Made {
    New(Answer, DirectoryChanges),
    Not(Written),
}

fn written<E: From<StoreError>>(
    registry: &mut dyn Registry,
    keyed: &Keyed,
    work: impl FnOnce(&mut dyn Registry) -> Result<(Answer, DirectoryChanges), E>,
) -> Result<Made, E> {
    match registry.known(keyed)? {
        Known::Nothing => {
            let (answer, changes) = work(registry)?;
            registry.remember(keyed, Some(&answer))?;
            Ok(Made::New(answer, changes))
        }
        Known::Answered(answer) => Ok(Made::Not(Written::Before(answer))),
        known @ (Known::Begun | Known::Other | Known::Full) => Ok(Made::Not(Written::Not(known))),
    }
}
