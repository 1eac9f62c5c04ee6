//! The in-memory directory of bindings: what the gate looks up for every request.
//!
//! A look-up reads one map entry and one account slot and returns copies; no guard leaves this file, so
//! none can live across an await. The key is (acquirer, DE41): the same terminal id at two acquirers is
//! two terminals. Closed bindings stay, so that a terminal that was once bound here is told apart from
//! one that never was.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::account::Accounts;
use super::counters::{Counters, LimitSet};
use super::device::SerialPrint;
use super::gate::Undecidable;
use super::hold::{HoldScope, HoldSet};
use super::state::{AccountStatus, BindingState, ReasonSet};
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, TerminalId, TxnId};

/// Names a terminal: the acquirer of the listener it speaks to, and its DE41.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TerminalKey {
    /// Acquirer.
    pub acquirer: AcquirerId,
    /// DE41.
    pub terminal: TerminalId,
}

/// A binding as the gate sees it at one moment. A transaction keeps its copy: later changes never move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Binding.
    pub binding: BindingId,
    /// Version of the binding, counted up by every change.
    pub version: u32,
    /// Settlement accounts, one of a kind.
    pub accounts: Accounts,
    /// DE42 that belongs to the terminal.
    pub merchant: MerchantId,
    /// State.
    pub state: BindingState,
    /// Why it has to be verified anew: of a re-pending binding, or of one that was suspended meanwhile.
    pub reasons: ReasonSet,
    /// What is held for it.
    pub holds: HoldSet,
    /// Its device.
    pub device: SerialPrint,
}

impl Admission {
    /// Whether new money may be taken for it, its account aside.
    #[must_use]
    pub const fn takes_new_money(&self) -> bool {
        matches!(self.state, BindingState::Active) && !self.holds.contains(HoldScope::Acceptance)
    }
}

/// Statuses of accounts, indexed by account number: a byte each. Blocks are added and never move.
type Block = Arc<[AtomicU8; BLOCK]>;
const BLOCK: usize = 4_096;
/// Beside an account's status: whether a limit may concern who settles into it. It is never taken away, because it
/// only says that it is worth looking.
const LIMITED: u8 = 0x80;

/// See the module.
pub struct Directory {
    terminals: DashMap<TerminalKey, Admission, RandomState>,
    former: DashMap<TerminalKey, Vec<BindingId>>,
    /// Bindings of other terminals that a terminal's own took over from.
    predecessors: DashMap<TerminalKey, Vec<BindingId>>,
    accounts: RwLock<Vec<Block>>,
    counters: Counters,
    /// So many have limits that it is worth looking for everybody's.
    most_limited: AtomicBool,
    trusted: AtomicBool,
    epoch: AtomicU64,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("terminals", &self.terminals.len())
            .finish()
    }
}

impl Directory {
    /// An empty directory, not yet trusted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminals: DashMap::with_hasher(RandomState::default()),
            former: DashMap::new(),
            predecessors: DashMap::new(),
            accounts: RwLock::new(Vec::new()),
            counters: Counters::default(),
            most_limited: AtomicBool::new(false),
            trusted: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
        }
    }

    /// Number of changes so far. Whoever decides something reads it *before* the look-up; when it is still
    /// the same later, nothing in the directory has changed since and the decision holds.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Behind every change: whoever sees the new number sees the change.
    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Says whether the directory may be believed. Until it is loaded, and while its store is cut off,
    /// money is declined with "cannot decide" instead of "unknown terminal".
    pub fn set_trusted(&self, trusted: bool) {
        self.trusted.store(trusted, Ordering::Release);
        self.changed();
    }

    /// Whether the directory may be believed.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// The terminal's current binding, open or closed.
    ///
    /// # Errors
    /// [`Undecidable`] while the directory is not trusted.
    pub fn find(&self, key: TerminalKey) -> Result<Option<Admission>, Undecidable> {
        if !self.is_trusted() {
            return Err(Undecidable);
        }
        Ok(self.terminals.get(&key).map(|entry| *entry))
    }

    /// What is held for a terminal, believed or not: for whoever changes it.
    #[must_use]
    pub fn held(&self, key: TerminalKey) -> Option<Admission> {
        self.terminals.get(&key).map(|entry| *entry)
    }

    /// Bindings the terminal id had before its current one, oldest first.
    #[must_use]
    pub fn former(&self, key: TerminalKey) -> Vec<BindingId> {
        self.former
            .get(&key)
            .map(|list| list.clone())
            .unwrap_or_default()
    }

    /// Takes a binding in, or its newer version. An older version than the one held is ignored, so that
    /// changes may arrive in any order. A new binding of the same terminal id makes the old one former.
    pub fn put(&self, key: TerminalKey, admission: Admission) {
        // Before anybody can look the binding up.
        self.mark_if_limited(key, &admission);
        self.load(key, admission);
    }

    fn mark_if_limited(&self, key: TerminalKey, admission: &Admission) {
        if self.counters.concern(key, admission) {
            for (_, account) in admission.accounts.iter() {
                self.mark(account);
            }
        }
    }

    /// Looks for everybody whom a limit concerns. To be done behind [`load`](Self::load), before anybody is let in. Where
    /// there is a limit for every fourth terminal or more, finding out whose takes longer than looking each time.
    pub fn mark_limited(&self) {
        if !self.counters.any() {
            return;
        }
        if self.counters.len() >= self.terminals.len().div_ceil(4) {
            self.most_limited.store(true, Ordering::Release);
            return;
        }
        for entry in &self.terminals {
            self.mark_if_limited(*entry.key(), entry.value());
        }
    }

    /// As [`put`](Self::put), at a start, while the limits may not be here yet.
    pub fn load(&self, key: TerminalKey, admission: Admission) {
        let replaced = match self.terminals.entry(key) {
            dashmap::Entry::Occupied(mut held) => {
                let before = *held.get();
                let newer = if before.binding == admission.binding {
                    admission.version >= before.version
                } else {
                    admission.binding > before.binding
                };
                if !newer {
                    return;
                }
                held.insert(admission);
                (before.binding != admission.binding).then_some(before.binding)
            }
            dashmap::Entry::Vacant(free) => {
                free.insert(admission);
                None
            }
        };
        if let Some(before) = replaced {
            self.former.entry(key).or_default().push(before);
        }
        self.changed();
    }

    /// Takes a binding back to what it was before a change that was put in and then not kept. Only whoever
    /// put it in may do this, before anybody else can change the binding.
    pub fn restore(&self, key: TerminalKey, before: Admission) {
        self.terminals.insert(key, before);
        self.changed();
    }

    /// Lets nothing of a terminal's binding pass but reversals and line tests, until it is opened again or changed: what
    /// the binding was, or `None` where there is nothing to be shut.
    pub fn shut(&self, key: TerminalKey, binding: BindingId) -> Option<Admission> {
        let mut held = self.terminals.get_mut(&key)?;
        let before = *held;
        if before.binding != binding || before.state != BindingState::Unbinding {
            return None;
        }
        // The state of what nobody approved yet: the gate needs no other way to say no.
        held.state = BindingState::Pending;
        drop(held);
        self.changed();
        Some(before)
    }

    /// Whether it is shut as it was by [`Self::shut`], and not changed since.
    #[must_use]
    pub fn is_shut(&self, key: TerminalKey, before: &Admission) -> bool {
        let shut = Admission {
            state: BindingState::Pending,
            ..*before
        };
        self.terminals.get(&key).is_some_and(|held| *held == shut)
    }

    /// Opens what was shut, unless it was changed since.
    pub fn open_again(&self, key: TerminalKey, before: Admission) {
        if self.is_shut(key, &before) {
            self.terminals.alter(&key, |_, held| {
                let same = held.binding == before.binding && held.version == before.version;
                if same { before } else { held }
            });
            self.changed();
        }
    }

    /// Says that a terminal's binding took over from a binding of another terminal: what was sold there can be
    /// voided and refunded here.
    pub fn succeed(&self, key: TerminalKey, predecessor: BindingId) {
        let mut list = self.predecessors.entry(key).or_default();
        if !list.contains(&predecessor) {
            list.push(predecessor);
        }
    }

    /// Bindings of other terminals that this terminal's took over from, oldest first.
    #[must_use]
    pub fn predecessors(&self, key: TerminalKey) -> Vec<BindingId> {
        self.predecessors
            .get(&key)
            .map(|list| list.clone())
            .unwrap_or_default()
    }

    /// Makes room for so many more terminals, so that it is not made again and again while they come.
    pub fn make_room(&self, more: usize) {
        make_room(&self.terminals, more);
    }

    /// Number of terminals held, bound or once bound.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terminals.len()
    }

    /// Whether no terminal is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terminals.is_empty()
    }

    /// Status of an account; an account never heard of is unverified.
    #[must_use]
    pub fn account(&self, account: AccountId) -> AccountStatus {
        AccountStatus::ALL
            .get(usize::from(self.byte(account) & !LIMITED))
            .copied()
            .unwrap_or(AccountStatus::Unverified)
    }

    fn byte(&self, account: AccountId) -> u8 {
        let (block, slot) = place(account);
        let blocks = self
            .accounts
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        blocks
            .get(block)
            .map_or(0, |b| b[slot].load(Ordering::Acquire))
    }

    /// Sets an account's status, for every terminal that settles into it, at once.
    pub fn set_account(&self, account: AccountId, status: AccountStatus) {
        self.change_account(account, |byte| byte & LIMITED | status as u8);
        self.changed();
    }

    fn mark(&self, account: AccountId) {
        self.change_account(account, |byte| byte | LIMITED);
    }

    fn change_account(&self, account: AccountId, change: impl Fn(u8) -> u8) {
        let (block, slot) = place(account);
        let set = |blocks: &[Block]| {
            let Some(block) = blocks.get(block) else {
                return false;
            };
            let update = |byte| Some(change(byte));
            let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
            // It fails only when there is nothing to change to.
            block[slot].fetch_update(set, fetch, update).is_ok()
        };
        {
            let blocks = self
                .accounts
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if set(&blocks) {
                return;
            }
        }
        let mut blocks = self
            .accounts
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while blocks.len() <= block {
            blocks.push(Arc::new([const { AtomicU8::new(0) }; BLOCK]));
        }
        set(&blocks);
    }

    /// Whether a limit may concern who settles into an account.
    #[must_use]
    pub fn is_limited(&self, account: AccountId) -> bool {
        let most = || self.most_limited.load(Ordering::Acquire);
        self.counters.any() && (self.byte(account) & LIMITED != 0 || most())
    }

    /// Takes a limit in, counting from that transaction on.
    pub fn limit(&self, set: &LimitSet, from: TxnId) {
        self.counters.set(set, from);
        for account in &set.accounts {
            self.mark(*account);
        }
    }

    /// What is counted for those who have a limit.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Makes room in a map for so many more entries, each shard for its share.
pub(super) fn make_room<K: Eq + Hash, V>(map: &DashMap<K, V, RandomState>, more: usize) {
    let shards = map.shards();
    let share = more.div_ceil(shards.len());
    // Chance gives some shards more than their share.
    let share = share + share / 16;
    for shard in shards {
        let hash = |(key, _): &(K, _)| map.hasher().hash_one(key);
        shard.write().reserve(share, hash);
    }
}

const fn place(account: AccountId) -> (usize, usize) {
    let at = account.0 as usize;
    (at / BLOCK, at % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::account::AccountKind;

    fn key(terminal: &str) -> TerminalKey {
        TerminalKey {
            acquirer: AcquirerId(0),
            terminal: TerminalId::parse(terminal).unwrap(),
        }
    }

    fn admission(binding: u64, version: u32, state: BindingState) -> Admission {
        Admission {
            binding: BindingId(binding),
            version,
            accounts: Accounts::one(AccountKind::BankCard, AccountId(1)),
            merchant: MerchantId::parse("M1").unwrap(),
            state,
            reasons: ReasonSet::EMPTY,
            holds: HoldSet::EMPTY,
            device: SerialPrint::NONE,
        }
    }

    fn trusted() -> Directory {
        let directory = Directory::new();
        directory.set_trusted(true);
        directory
    }

    #[test]
    fn making_room_loses_nothing() {
        let directory = trusted();
        let terminal = |n: u32| key(&format!("T{n:07}"));
        for n in 0..1_000 {
            directory.put(terminal(n), admission(n.into(), 1, BindingState::Active));
        }
        directory.make_room(10_000);
        let found = |n: u32| directory.find(terminal(n)).unwrap().unwrap().binding;
        assert!((0..1_000).all(|n| found(n) == BindingId(n.into())));
        assert_eq!(directory.len(), 1_000);
    }

    #[test]
    fn an_untrusted_directory_does_not_answer() {
        let directory = Directory::new();
        directory.put(key("T1"), admission(1, 1, BindingState::Active));
        assert_eq!(directory.find(key("T1")), Err(Undecidable));
        directory.set_trusted(true);
        assert!(directory.find(key("T1")).unwrap().is_some());
        assert_eq!(directory.find(key("T2")), Ok(None));
    }

    #[test]
    fn an_older_version_never_overwrites_a_newer_one() {
        let directory = trusted();
        directory.put(key("T1"), admission(1, 2, BindingState::Suspended));
        directory.put(key("T1"), admission(1, 1, BindingState::Active));
        assert_eq!(
            directory.find(key("T1")).unwrap().unwrap().state,
            BindingState::Suspended
        );
    }

    #[test]
    fn a_new_binding_of_the_same_terminal_id_makes_the_old_one_former() {
        let directory = trusted();
        directory.put(key("T1"), admission(1, 5, BindingState::Unbound));
        directory.put(key("T1"), admission(9, 1, BindingState::Active));
        assert_eq!(
            directory.find(key("T1")).unwrap().unwrap().binding,
            BindingId(9)
        );
        assert_eq!(directory.former(key("T1")), [BindingId(1)]);
        assert!(directory.former(key("T2")).is_empty());
    }

    #[test]
    fn account_status_reaches_every_terminal_through_its_number() {
        let directory = trusted();
        let far = AccountId(1_000_000);
        assert_eq!(directory.account(far), AccountStatus::Unverified);
        directory.set_account(far, AccountStatus::Frozen);
        assert_eq!(directory.account(far), AccountStatus::Frozen);
        assert_eq!(directory.account(AccountId(0)), AccountStatus::Unverified);
    }

    #[test]
    fn a_limit_marks_the_accounts_of_whom_it_concerns_and_of_who_comes_later() {
        use crate::binding::counters::{CounterName, Subject};
        use crate::binding::limit::{LimitScope, Limits};
        let directory = trusted();
        directory.put(key("T1"), admission(1, 1, BindingState::Active));
        let set = LimitSet {
            name: CounterName {
                scope: LimitScope::Merchant,
                number: 1,
            },
            limits: Limits::NONE,
            subjects: vec![Subject::Merchant(
                AcquirerId(0),
                MerchantId::parse("M1").unwrap(),
            )],
            accounts: vec![AccountId(1)],
        };
        assert!(!directory.is_limited(AccountId(1)));
        directory.limit(&set, TxnId(1));
        assert!(directory.is_limited(AccountId(1)));
        // The mark is no status, and a status no mark.
        directory.set_account(AccountId(1), AccountStatus::Frozen);
        assert_eq!(directory.account(AccountId(1)), AccountStatus::Frozen);
        assert!(directory.is_limited(AccountId(1)) && !directory.is_limited(AccountId(2)));
        let moved = Admission {
            accounts: Accounts::one(AccountKind::BankCard, AccountId(1))
                .with(AccountKind::WeChat, AccountId(2)),
            ..admission(1, 2, BindingState::Active)
        };
        directory.put(key("T1"), moved);
        assert!(directory.is_limited(AccountId(2)));
        assert_eq!(directory.account(AccountId(2)), AccountStatus::Unverified);
    }

    #[test]
    fn at_a_start_limits_and_bindings_come_in_any_order() {
        use crate::binding::counters::{CounterName, Subject};
        use crate::binding::limit::{LimitScope, Limits};
        let directory = trusted();
        let set = |number| LimitSet {
            name: CounterName {
                scope: LimitScope::Terminal,
                number,
            },
            limits: Limits::NONE,
            subjects: vec![Subject::Binding(BindingId(number))],
            accounts: Vec::new(),
        };
        let settles = |number, account| Admission {
            accounts: Accounts::one(AccountKind::BankCard, AccountId(account)),
            ..admission(number, 1, BindingState::Active)
        };
        directory.limit(&set(1), TxnId(1));
        for number in 1..=20 {
            let account = u32::try_from(number).unwrap();
            directory.load(key(&format!("T{number}")), settles(number, account));
        }
        directory.limit(&set(2), TxnId(1));
        directory.mark_limited();
        let limited = |account| directory.is_limited(AccountId(account));
        assert!(limited(1) && limited(2) && !(3..=20).any(limited));
        // With so many, everybody's are looked for.
        (3..=5).for_each(|number| directory.limit(&set(number), TxnId(1)));
        directory.mark_limited();
        assert!((1..=20).all(limited));
    }

    #[test]
    fn every_change_is_seen_in_the_epoch_and_can_be_taken_back() {
        let directory = trusted();
        let active = admission(1, 1, BindingState::Active);
        directory.put(key("T1"), active);
        let before = directory.epoch();
        directory.put(key("T1"), admission(1, 2, BindingState::Suspended));
        assert_ne!(directory.epoch(), before);
        let before = directory.epoch();
        directory.restore(key("T1"), active);
        assert_ne!(directory.epoch(), before);
        assert_eq!(directory.find(key("T1")), Ok(Some(active)));
        let before = directory.epoch();
        directory.set_account(AccountId(1), AccountStatus::Verified);
        assert_ne!(directory.epoch(), before);
    }

    #[test]
    fn what_is_shut_lets_nothing_in_until_it_is_opened_or_changed() {
        let directory = Directory::new();
        let key = key("T1");
        let draining = admission(1, 4, BindingState::Unbinding);
        for state in [BindingState::Active, BindingState::Unbound] {
            directory.restore(key, admission(1, 4, state));
            assert_eq!(directory.shut(key, BindingId(1)), None, "{state}");
        }
        directory.restore(key, draining);
        assert_eq!(directory.shut(key, BindingId(2)), None, "another binding");
        assert_eq!(directory.shut(key, BindingId(1)), Some(draining));
        assert!(directory.is_shut(key, &draining));
        let shut = directory.held(key).unwrap();
        assert_eq!(shut.state, BindingState::Pending);
        directory.open_again(key, draining);
        assert_eq!(directory.held(key), Some(draining));
        // What was changed meanwhile stays as it was changed.
        directory.shut(key, BindingId(1));
        let later = admission(1, 5, BindingState::Unbound);
        directory.put(key, later);
        assert!(!directory.is_shut(key, &draining));
        directory.open_again(key, draining);
        assert_eq!(directory.held(key), Some(later));
    }

    #[test]
    fn a_successor_names_whom_it_took_over_from() {
        let directory = trusted();
        directory.succeed(key("T2"), BindingId(1));
        directory.succeed(key("T2"), BindingId(1));
        assert_eq!(directory.predecessors(key("T2")), [BindingId(1)]);
        assert!(directory.predecessors(key("T1")).is_empty());
    }

    #[test]
    fn entries_stay_small() {
        assert!(size_of::<TerminalKey>() + size_of::<Admission>() <= 72);
    }
}
