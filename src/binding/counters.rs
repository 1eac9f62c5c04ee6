//! What was taken by whoever has a limit: counted in memory, asked for every new request that it concerns.
//!
//! A request that fits is counted when it is accepted, so that of two which race only one gets what is left; what
//! comes to nothing is taken back, and so is what is voided or reversed. Everything a request concerns (its
//! terminal, its account, its merchant) is looked at together, always in this order, with all of it held.
//!
//! The counters are no record: the journal is. At a start, and when a limit is set, what was taken in the month is
//! read from what the journal says. A counter counts transactions from a number on and gets the sums of those
//! before it, so that nothing is counted twice. What was in flight when its limit was set, or is reversed out of
//! memory afterwards though it was taken before, is not noticed until the next start.
//!
//! A terminal without a limit costs one look at a flag, and whoever has no limit of a kind none at what is counted
//! of that kind.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::directory::{Admission, TerminalKey, make_room};
use super::gate::DeclineReason;
use super::limit::{Counts, Day, LimitScope, Limits, Used, check_limits, counts};
use crate::base::{AccountId, AcquirerId, Amount, BindingId, MerchantId, RequestType, TxnId};

/// What a transaction counts towards, with how much, and on which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Terminal.
    pub key: TerminalKey,
    /// Binding that admitted it.
    pub binding: BindingId,
    /// Account it settles into.
    pub account: AccountId,
    /// DE42.
    pub merchant: MerchantId,
    /// How much.
    pub amount: Amount,
    /// Local date of its acceptance.
    pub day: Day,
}

impl Counted {
    fn subjects(&self) -> [Subject; 3] {
        [
            Subject::Binding(self.binding),
            Subject::Account(self.account),
            Subject::Merchant(self.key.acquirer, self.merchant),
        ]
    }
}

/// What a transaction does to the counters while it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// It is counted.
    Adds(Counted),
    /// It takes back what it voids, which is this transaction.
    TakesBack(TxnId, Counted),
}

impl Tally {
    /// What a transaction of this kind does that was accepted with `own`, and voids `original` if it voids something
    /// that counts.
    #[must_use]
    pub fn of(
        kind: RequestType,
        sign: i8,
        own: Counted,
        original: Option<(TxnId, Counted)>,
    ) -> Option<Self> {
        match counts(kind, sign) {
            Counts::No => None,
            Counts::IfItFits | Counts::Always => Some(Self::Adds(own)),
            Counts::TakesBack => original.map(|(txn, counted)| Self::TakesBack(txn, counted)),
        }
    }

    /// What it adds, if it does.
    #[must_use]
    pub const fn added(self) -> Option<Counted> {
        match self {
            Self::Adds(counted) => Some(counted),
            Self::TakesBack(..) => None,
        }
    }
}

/// Whom a counter counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A binding.
    Binding(BindingId),
    /// An account.
    Account(AccountId),
    /// A merchant.
    Merchant(AcquirerId, MerchantId),
}

impl Subject {
    /// A bit of its kind.
    const fn kind(&self) -> u8 {
        match self {
            Self::Binding(_) => 1,
            Self::Account(_) => 2,
            Self::Merchant(..) => 4,
        }
    }

    /// The counter that is named after it. Merchants are numbered where nobody looks for a request.
    fn own_counter(&self) -> Option<CounterName> {
        let (scope, number) = match self {
            Self::Binding(binding) => (LimitScope::Terminal, binding.0),
            Self::Account(account) => (LimitScope::Account, account.0.into()),
            Self::Merchant(..) => return None,
        };
        Some(CounterName { scope, number })
    }
}

/// Beside the bits of kinds: of some of them a counter has another name than theirs.
const SHARED: u32 = 4;

/// Names a counter: several subjects may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterName {
    /// What it is of.
    pub scope: LimitScope,
    /// Number of what had it first.
    pub number: u64,
}

/// A limit as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSet {
    /// Its counter.
    pub name: CounterName,
    /// The limits from now on.
    pub limits: Limits,
    /// Who is counted together.
    pub subjects: Vec<Subject>,
    /// Accounts that they settle into now.
    pub accounts: Vec<AccountId>,
}

/// Where a counter is with what was taken before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// Nobody has looked yet.
    Unknown,
    /// Somebody is looking: the look of that number.
    Looking(u64),
    /// It is counted.
    Counted,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    used: Used,
    /// It counts transactions from this number on by itself.
    from: TxnId,
    past: Past,
    /// What was told of the past so far, if anything: most are told nothing at a start.
    told: Option<Box<Used>>,
}

impl State {
    fn minor(&self, amount: Amount) -> u64 {
        if self.limits.measures(amount) {
            amount.minor
        } else {
            0
        }
    }

    fn add(&mut self, counted: &Counted) {
        let minor = self.minor(counted.amount);
        self.used.roll(counted.day);
        self.used.add(counted.day, minor, 1);
    }

    fn take(&mut self, counted: &Counted, count: u64) {
        let minor = self.minor(counted.amount);
        self.used.take(counted.day, minor, count);
    }
}

#[derive(Debug)]
struct Counter {
    state: Mutex<State>,
}

impl Counter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Transactions of a terminal that are remembered so that they can be taken back: as many as its lane remembers.
const RECENT: usize = 8;

#[derive(Debug, Default)]
struct Recent {
    entries: [Option<(TxnId, Tally)>; RECENT],
    next: usize,
}

/// A look at what was taken before counters began: those of which nobody knew it yet.
#[derive(Debug)]
pub struct PastLook {
    number: u64,
    /// What is told is told as of this day.
    day: Day,
    counters: Vec<Arc<Counter>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bits of the [kinds](Subject::kind) of subjects of which some have a limit.
    kinds: AtomicU8,
    /// Whether the past of some counter may be unknown.
    unknown: AtomicBool,
    looks: AtomicU64,
    /// Those who have a counter that is not named after them.
    shared: DashMap<Subject, Arc<Counter>, RandomState>,
    counters: DashMap<CounterName, Arc<Counter>, RandomState>,
    recent: DashMap<TerminalKey, Recent, RandomState>,
}

impl Counters {
    /// Makes room for so many more, so that it is not made again and again while they come.
    pub fn make_room(&self, more: usize) {
        make_room(&self.counters, more);
    }

    /// Whether there is any limit at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.kinds.load(Ordering::Acquire) != 0
    }

    /// Whose counter that is.
    fn find(&self, subject: Subject) -> Option<Arc<Counter>> {
        let kinds = self.kinds.load(Ordering::Acquire);
        if kinds & subject.kind() == 0 {
            return None;
        }
        if kinds & subject.kind() << SHARED != 0
            && let Some(found) = self.shared.get(&subject)
        {
            return Some(Arc::clone(&found));
        }
        let own = subject.own_counter()?;
        self.counters.get(&own).map(|found| Arc::clone(&found))
    }

    /// Says whose counter one is.
    fn give(&self, subject: Subject, name: CounterName, counter: &Arc<Counter>) {
        let mut kinds = subject.kind();
        if subject.own_counter() == Some(name) {
            // It may have shared another one before.
            self.shared.remove(&subject);
        } else {
            self.shared.insert(subject, Arc::clone(counter));
            kinds |= subject.kind() << SHARED;
        }
        self.kinds.fetch_or(kinds, Ordering::AcqRel);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Whether a terminal is concerned by a limit, its own or its account's or its merchant's.
    #[must_use]
    pub fn concern(&self, key: TerminalKey, admission: &Admission) -> bool {
        let accounts = admission.accounts.iter();
        let accounts = accounts.map(|(_, account)| Subject::Account(account));
        let others = [
            Subject::Binding(admission.binding),
            Subject::Merchant(key.acquirer, admission.merchant),
        ];
        self.any()
            && accounts
                .chain(others)
                .any(|subject| self.find(subject).is_some())
    }

    /// Sets a limit. A counter that was there goes on with what it counted; a new one, or one in another currency,
    /// counts from that transaction on, and what was taken before is to be [told](Self::begin_past).
    pub fn set(&self, set: &LimitSet, from: TxnId) {
        let counter = Arc::clone(&self.counters.entry(set.name).or_insert_with(|| {
            Arc::new(Counter {
                state: Mutex::new(State {
                    limits: set.limits,
                    used: Used::default(),
                    from,
                    past: Past::Unknown,
                    told: None,
                }),
            })
        }));
        {
            let mut state = counter.lock();
            if state.limits.currency != set.limits.currency {
                state.used = Used::default();
                state.from = from;
                state.past = Past::Unknown;
            }
            if state.past == Past::Unknown {
                self.unknown.store(true, Ordering::Release);
            }
            state.limits = set.limits;
        }
        for subject in &set.subjects {
            self.give(*subject, set.name, &counter);
        }
    }

    /// A limit and what was taken of it, as of a day.
    #[must_use]
    pub fn used(&self, name: CounterName, day: Day) -> Option<(Limits, Used)> {
        let counter = self.counters.get(&name)?;
        let state = counter.lock();
        let mut used = state.used;
        used.roll(day);
        Some((state.limits, used))
    }

    fn of(&self, counted: &Counted) -> [Option<Arc<Counter>>; 3] {
        counted.subjects().map(|subject| self.find(subject))
    }

    /// Counts a new transaction towards everything that it concerns, or, when it is asked whether it fits and does
    /// not, towards nothing.
    ///
    /// # Errors
    /// The first limit that it does not fit.
    pub fn reserve(
        &self,
        counted: &Counted,
        txn: TxnId,
        when: Counts,
    ) -> Result<(), DeclineReason> {
        let concerned = self.of(counted);
        // Held all together, each kind behind the one before: nobody waits in a circle.
        let mut held = concerned
            .each_ref()
            .map(|counter| counter.as_ref().map(|counter| counter.lock()));
        if when == Counts::IfItFits {
            for state in held.iter_mut().flatten() {
                state.used.roll(counted.day);
                check_limits(&state.limits, &state.used, counted.amount)?;
            }
        }
        for state in held.iter_mut().flatten() {
            if txn >= state.from {
                state.add(counted);
            }
        }
        Ok(())
    }

    fn take(&self, counted: &Counted, count: u64) {
        for counter in self.of(counted).iter().flatten() {
            counter.lock().take(counted, count);
        }
    }

    fn add(&self, counted: &Counted) {
        for counter in self.of(counted).iter().flatten() {
            counter.lock().add(counted);
        }
    }

    /// A transaction came to nothing before it was approved.
    pub fn failed(&self, tally: Tally) {
        match tally {
            Tally::Adds(counted) => self.take(&counted, 1),
            Tally::TakesBack(..) => {}
        }
    }

    /// A transaction was approved over `booked` minor units.
    pub fn approved(&self, key: TerminalKey, txn: TxnId, tally: Tally, booked: u64) {
        let tally = match tally {
            Tally::Adds(counted) => {
                let left = counted.amount.minor.saturating_sub(booked);
                if left > 0 {
                    self.take(&counted.over(left), 0);
                }
                Tally::Adds(counted.over(counted.amount.minor - left))
            }
            Tally::TakesBack(original, counted) => {
                self.take(&counted, 1);
                // It is taken back already, should it be reversed too.
                let _known = self.recall(counted.key, original);
                tally
            }
        };
        self.remember(key, txn, tally);
    }

    /// Remembers what a transaction did, or may do when it is answered after all.
    pub fn remember(&self, key: TerminalKey, txn: TxnId, tally: Tally) {
        let mut recent = self.recent.entry(key).or_default();
        let known = recent
            .entries
            .iter()
            .position(|entry| entry.is_some_and(|(known, _)| known == txn));
        let at = known.unwrap_or(recent.next % RECENT);
        recent.entries[at] = Some((txn, tally));
        if known.is_none() {
            recent.next = (at + 1) % RECENT;
        }
    }

    /// What a transaction did, once.
    pub fn recall(&self, key: TerminalKey, txn: TxnId) -> Option<Tally> {
        if !self.any() {
            return None;
        }
        let mut recent = self.recent.get_mut(&key)?;
        let entry = recent
            .entries
            .iter_mut()
            .find(|entry| entry.is_some_and(|(known, _)| known == txn))?;
        entry.take().map(|(_, tally)| tally)
    }

    /// An approved transaction is reversed.
    pub fn undone(&self, tally: Tally) {
        match tally {
            Tally::Adds(counted) => self.take(&counted, 1),
            // What was voided stands again. It is not asked whether it fits: it was taken.
            Tally::TakesBack(original, counted) => {
                self.add(&counted);
                self.remember(counted.key, original, Tally::Adds(counted));
            }
        }
    }

    /// Whether the past of some counter may be unknown.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.unknown.load(Ordering::Acquire)
    }

    /// Begins to tell what was taken before counters began, where nobody knows it yet.
    #[must_use]
    pub fn begin_past(&self, day: Day) -> Option<PastLook> {
        if !self.unknown.swap(false, Ordering::AcqRel) {
            return None;
        }
        let number = self.looks.fetch_add(1, Ordering::Relaxed);
        let mut counters = Vec::new();
        for counter in &self.counters {
            let mut state = counter.lock();
            if state.past == Past::Unknown {
                state.past = Past::Looking(number);
                state.told = None;
                counters.push(Arc::clone(&counter));
            }
        }
        let look = PastLook {
            number,
            day,
            counters,
        };
        Some(look).filter(|look| !look.counters.is_empty())
    }

    /// Tells one transaction that was taken before; counters that are none of this look's do not hear of it.
    pub fn tell_past(&self, look: &PastLook, counted: &Counted, txn: TxnId) {
        for counter in self.of(counted).iter().flatten() {
            let mut state = counter.lock();
            if txn < state.from && state.past == Past::Looking(look.number) {
                let minor = state.minor(counted.amount);
                let told = state.told.get_or_insert_with(|| {
                    let mut none = Used::default();
                    none.roll(look.day);
                    Box::new(none)
                });
                told.add(counted.day, minor, 1);
            }
        }
    }

    /// All was told, or could not be.
    pub fn end_past(&self, look: PastLook, all: Told) {
        for counter in look.counters {
            let mut state = counter.lock();
            // Otherwise it was set anew in another currency meanwhile.
            if state.past != Past::Looking(look.number) {
                continue;
            }
            let told = state.told.take();
            match all {
                Told::Everything => {
                    if let Some(mut told) = told {
                        let day = told.day.max(state.used.day);
                        told.roll(day);
                        state.used.roll(day);
                        state.used.include(&told);
                    }
                    state.past = Past::Counted;
                }
                Told::NotEverything => {
                    state.past = Past::Unknown;
                    self.unknown.store(true, Ordering::Release);
                }
            }
        }
    }
}

/// Whether the past of a counter is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All of it.
    Everything,
    /// Reading it failed: none of it is counted, and it is to be told once more.
    NotEverything,
}

impl Counted {
    fn over(self, minor: u64) -> Self {
        let currency = self.amount.currency;
        Self {
            amount: Amount { minor, currency },
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
