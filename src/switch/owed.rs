//! The book of what a group is owed, reversals and repeats: what to send when, and what to do with the
//! answer.
//!
//! ```text
//! WAITING ──due──▶ OUT ──acknowledged, answered──▶ off the book
//!    ▲              │ refused, no answer in time, link lost,
//!    │              │ "no such original" while it may still arrive
//!    ├──grown wait──┤
//!                   └──sent as often as it may be──▶ off the book, to be parked
//! ```
//!
//! Under one match key one is out at a time. A reversal first follows the original on its link. An
//! original that the upstream said it does not know, and then approves, puts its reversal back on the
//! book.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Moment;
use crate::base::{TerminalId, TxnId};
use crate::binding::TerminalKey;
use crate::iso8583::{MatchKey, Mismatch};
use crate::net::{Group, LinkChoice};
use crate::store::Durable;

/// Entries of one group that may wait for their answer at the same time.
const IN_FLIGHT_MAX: usize = 256;
/// First wait before a reversal is sent again; doubles up to the next.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// So many time-outs an answer may be late.
const ANSWERS_LATE_BY: u32 = 3;
/// Reversals remembered that ended because the upstream knew no original.
const UNFOUND_REMEMBERED: usize = 4_096;
/// Wait when no link can take it.
const NO_LINK_WAIT: Duration = Duration::from_millis(200);

/// What has to be sent until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Undo the transaction. Done when the upstream acknowledges.
    Reversal {
        /// Key the original's answer is found by: should it still come, it is noticed.
        original: MatchKey,
        /// Whether "no such original" is the truth.
        doubt: Doubt,
    },
    /// Ask once more. Done when the upstream answers, whatever it says.
    Repeat {
        /// Amount that was asked for, minor units.
        asked: u64,
    },
}

/// When an upstream's "no such original" is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// To what is sent before it proves nothing, because the original may still arrive.
    until: Moment,
    /// From then on it cannot be the late answer to a sending that proved nothing.
    trusted_from: Moment,
    /// The original was approved: it is there, whatever is said of it.
    approved: bool,
}

impl Doubt {
    /// Of an original that may be on its way until then.
    pub(crate) fn until(until: Moment) -> Self {
        Self {
            until,
            trusted_from: Moment::default(),
            approved: false,
        }
    }
}

/// One reversal or repeat that is owed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub(crate) txn: TxnId,
    pub(crate) key: TerminalKey,
    pub(crate) duty: Duty,
    /// Key its answer is found by.
    pub(crate) match_key: MatchKey,
    /// The link its original may still be on. While that link is up the reversal follows on it, so that it
    /// cannot overtake.
    pub(crate) after: Option<LinkChoice>,
}

impl Owed {
    /// Goes on with the doubts of the same reversal that was parked. Without them each new start would doubt anew
    /// and, with few attempts, never come to an end. `settled`: when what a fallen link carried has arrived or
    /// is lost.
    pub(super) fn continue_from(&mut self, parked: &Self, links: &Group, settled: Moment) {
        if let Duty::Reversal { doubt, .. } = &mut self.duty
            && let Duty::Reversal { doubt: before, .. } = parked.duty
        {
            *doubt = before;
            self.after = parked.after.filter(|choice| links.is_current(*choice));
            if parked.after.is_some() && self.after.is_none() {
                doubt.until = settled.max(doubt.until);
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    owed: Owed,
    frame: Durable<Bytes>,
    attempts: u32,
    /// DE39 of the last answer that did not end it.
    refusal: Option<[u8; 2]>,
    /// When it was last sent.
    sent_at: Moment,
    /// The link it is out on; `None` while it waits to be sent.
    out: Option<LinkChoice>,
    wake_at: Moment,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<TxnId, Entry>,
    /// Under one key one is out at a time, the first; the others wait for its acknowledgement, since an
    /// answer could not say whose it is. Never an empty list.
    by_key: HashMap<MatchKey, VecDeque<TxnId>>,
    /// When to send which; never one that waits for another of its key.
    schedule: BTreeSet<(Moment, TxnId)>,
    /// Until when which is out. Apart from the schedule: what waits for its turn must not hide what never is answered.
    overdue: BTreeSet<(Moment, TxnId)>,
    out: usize,
    /// Reversals that ended with "no such original", by the key of the original's answer.
    unfound: HashMap<MatchKey, (Owed, Durable<Bytes>)>,
    unfound_order: VecDeque<MatchKey>,
    /// Reversals on the book, by the key of their original's answer; the latest under a key.
    originals: HashMap<MatchKey, TxnId>,
}

/// What is sent how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Wait for an answer.
    pub(crate) timeout: Duration,
    /// Times an entry is sent before a person has to decide.
    pub(crate) attempts_max: u32,
}

/// What came of an answer to a reversal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered {
    /// Nothing of the kind is out; what is out under its key differs so.
    Stray(Option<Mismatch>),
    /// It stays on the book and is sent again; so often it was sent.
    Again(TxnId, u32),
    /// It is off the book.
    Done(Owed),
}

/// Whether an answer fits what was sent: the entry, and its frame.
pub(crate) type Fits<'a> = &'a dyn Fn(&Owed, &[u8]) -> Result<(), Mismatch>;

/// What an upstream says to a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is undone, or there is nothing left to undo.
    Undone,
    /// It knows no such original.
    NoOriginal,
    /// Anything else.
    No,
}

/// What a look at the book came to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Reversals sent.
    pub(crate) reversals: u64,
    /// Repeats sent.
    pub(crate) repeats: u64,
    /// Off the book, because they were sent as often as they may be.
    pub(crate) exhausted: Vec<Exhausted>,
}

/// Something that was sent as often as it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exhausted {
    pub(crate) owed: Owed,
    pub(crate) attempts: u32,
    /// DE39 of the last answer, if there ever was one.
    pub(crate) refusal: Option<[u8; 2]>,
}

/// What a group is owed.
#[derive(Debug, Default)]
pub(crate) struct OwedBook(Mutex<Book>);

impl OwedBook {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Enters what is owed, to be sent at the next tick.
    pub(super) fn begin(&self, owed: Owed, frame: Durable<Bytes>, now: Moment) {
        let mut book = self.lock();
        if book.entries.contains_key(&owed.txn) {
            return;
        }
        if let Duty::Reversal { original, .. } = owed.duty {
            book.originals.insert(original, owed.txn);
        }
        let same = book.by_key.entry(owed.match_key).or_default();
        same.push_back(owed.txn);
        if same.len() == 1 {
            book.schedule.insert((now, owed.txn));
        }
        book.entries.insert(
            owed.txn,
            Entry {
                owed,
                frame,
                attempts: 0,
                refusal: None,
                sent_at: Moment::default(),
                out: None,
                wake_at: now,
            },
        );
    }

    /// Whether a transaction is on the book.
    pub(super) fn holds(&self, txn: TxnId) -> bool {
        self.lock().entries.contains_key(&txn)
    }

    /// The upstream answered a reversal.
    pub(super) fn reversal_answered(
        &self,
        key: &MatchKey,
        fits: Fits<'_>,
        said: Said,
        code: Option<[u8; 2]>,
        now: Moment,
    ) -> Answered {
        let mut book = self.lock();
        let txn = match book.sent(key, fits) {
            Ok(txn) => txn,
            Err(miss) => return Answered::Stray(miss),
        };
        let done = match said {
            Said::Undone => true,
            Said::NoOriginal => book
                .entries
                .get(&txn)
                .is_some_and(|entry| entry.believes_there_is_none(now)),
            Said::No => false,
        };
        if !done {
            if let Some(entry) = book.entries.get_mut(&txn) {
                entry.refusal = code.or(entry.refusal);
            }
            return match book.put_back(txn, now) {
                Some(attempts) => Answered::Again(txn, attempts),
                None => Answered::Stray(None),
            };
        }
        let Some(entry) = book.take_off(txn, now) else {
            return Answered::Stray(None);
        };
        let owed = entry.owed;
        if said == Said::NoOriginal {
            book.remember_unfound(entry);
        }
        Answered::Done(owed)
    }

    /// The upstream answered a request that may be one of our repeats: that is off the book then.
    ///
    /// # Errors
    /// `None` when no repeat is out under the key; in what the answer differs from the one that is.
    pub(super) fn repeat_answered(
        &self,
        key: &MatchKey,
        fits: Fits<'_>,
        now: Moment,
    ) -> Result<Owed, Option<Mismatch>> {
        let mut book = self.lock();
        let txn = book.sent(key, fits)?;
        let is_repeat = |entry: &Entry| matches!(entry.owed.duty, Duty::Repeat { .. });
        if !book.entries.get(&txn).is_some_and(is_repeat) {
            return Err(None);
        }
        book.take_off(txn, now).map(|entry| entry.owed).ok_or(None)
    }

    /// Somebody waits for it: it is sent at the next tick, unless it is out.
    pub(super) fn hurry(&self, txn: TxnId, now: Moment) {
        let mut book = self.lock();
        let waits = |entry: &Entry| entry.out.is_none() && entry.wake_at > now;
        let first = |book: &Book, entry: &Entry| {
            let same = book.by_key.get(&entry.owed.match_key);
            same.and_then(VecDeque::front) == Some(&txn)
        };
        if book
            .entries
            .get(&txn)
            .is_some_and(|entry| waits(entry) && first(&book, entry))
        {
            book.wake(txn, now);
        }
    }

    /// An original was approved after all. If its reversal is on the book, it is not believed any more that
    /// there is none; if it had ended because of that, gives it back to be owed once more.
    pub(super) fn found_after_all(
        &self,
        original: &MatchKey,
        terminal: Option<TerminalId>,
    ) -> Option<(Owed, Bytes)> {
        let mut book = self.lock();
        if let Some(txn) = book.originals.get(original).copied()
            && let Some(entry) = book.entries.get_mut(&txn)
            && let Duty::Reversal { doubt, .. } = &mut entry.owed.duty
        {
            doubt.approved = true;
        }
        let (owed, _) = book.unfound.get(original)?;
        if terminal.is_some_and(|named| named != owed.key.terminal) {
            return None;
        }
        let (owed, frame) = book.unfound.remove(original)?;
        book.unfound_order.retain(|key| key != original);
        Some((owed, frame.into_inner()))
    }

    /// What was out on a link that fell waits to be sent again. What had its original on it must not
    /// believe before `settled` that there was none.
    pub(super) fn link_lost(&self, link: usize, now: Moment, settled: Moment) {
        let mut book = self.lock();
        book.entries.values_mut().for_each(|entry| {
            if let Duty::Reversal { doubt, .. } = &mut entry.owed.duty
                && entry.owed.after.is_some_and(|choice| choice.link == link)
            {
                doubt.until = settled.max(doubt.until);
                entry.owed.after = None;
            }
        });
        let mut lost: Vec<_> = book
            .entries
            .values()
            .filter(|entry| entry.out.is_some_and(|choice| choice.link == link))
            .map(|entry| entry.owed.txn)
            .collect();
        lost.sort_unstable();
        for txn in lost {
            book.put_back(txn, now);
        }
    }

    /// Sends what is due, puts back what was not answered in time, and gives up what was sent as often as
    /// it may be.
    pub(super) fn tick(
        &self,
        links: &Group,
        now: Moment,
        pace: Pace,
        repeated: &dyn Fn(Bytes) -> Bytes,
    ) -> Round {
        let mut book = self.lock();
        let mut round = Round::default();
        while let Some(&(at, txn)) = book.overdue.first()
            && at <= now
        {
            if book.put_back(txn, now).is_none() {
                book.overdue.pop_first();
            }
        }
        while let Some(&(at, txn)) = book.schedule.first() {
            if at > now {
                break;
            }
            let Some(entry) = book.entries.get(&txn) else {
                book.schedule.pop_first();
                continue;
            };
            if entry.attempts >= pace.attempts_max {
                let taken = book.take_off(txn, now).map(|entry| Exhausted {
                    owed: entry.owed,
                    attempts: entry.attempts,
                    refusal: entry.refusal,
                });
                round.exhausted.extend(taken);
                continue;
            }
            if book.out >= IN_FLIGHT_MAX {
                break;
            }
            let behind = entry.owed.after.filter(|choice| links.is_current(*choice));
            let Some(choice) = behind.or_else(|| links.choose()) else {
                book.wake(txn, now.after(NO_LINK_WAIT));
                continue;
            };
            // From the second time on it says that it is a repeat, where the dialect has a way to.
            if let Some(mut entry) = book.entries.remove(&txn) {
                let duty = entry.owed.duty;
                if entry.attempts == 1 && matches!(duty, Duty::Reversal { .. }) {
                    entry.frame = entry.frame.map(repeated);
                }
                let taken = links.send(choice, &entry.frame);
                if taken {
                    entry.attempts += 1;
                    entry.was_sent(now, pace.timeout);
                }
                entry.out = taken.then_some(choice);
                book.out += usize::from(taken);
                book.entries.insert(txn, entry);
                let wait = if taken { pace.timeout } else { NO_LINK_WAIT };
                book.wake(txn, now.after(wait));
                match duty {
                    Duty::Reversal { .. } => round.reversals += u64::from(taken),
                    Duty::Repeat { .. } => round.repeats += u64::from(taken),
                }
            }
        }
        round
    }
}

impl Entry {
    /// Whether "no such original" is the truth: it answers a sending that the original cannot have been
    /// behind, and nothing shows that there is one.
    fn believes_there_is_none(&self, now: Moment) -> bool {
        match self.owed.duty {
            Duty::Reversal { doubt, .. } => {
                !doubt.approved && self.sent_at >= doubt.until && now >= doubt.trusted_from
            }
            Duty::Repeat { .. } => false,
        }
    }

    fn was_sent(&mut self, now: Moment, timeout: Duration) {
        self.sent_at = now;
        if let Duty::Reversal { doubt, .. } = &mut self.owed.duty
            && now < doubt.until
        {
            doubt.trusted_from = now.after(timeout.saturating_mul(ANSWERS_LATE_BY));
        }
    }
}

impl Book {
    fn wake(&mut self, txn: TxnId, at: Moment) {
        if let Some(entry) = self.entries.get_mut(&txn) {
            self.schedule.remove(&(entry.wake_at, txn));
            self.overdue.remove(&(entry.wake_at, txn));
            entry.wake_at = at;
            if entry.out.is_some() {
                self.overdue.insert((at, txn));
            } else {
                self.schedule.insert((at, txn));
            }
        }
    }

    /// The entry that an answer under this key is for: one that was sent and that it fits.
    fn sent(&self, key: &MatchKey, fits: Fits<'_>) -> Result<TxnId, Option<Mismatch>> {
        let first = self.by_key.get(key).and_then(VecDeque::front);
        let entry = first.and_then(|txn| self.entries.get(txn));
        let entry = entry.filter(|entry| entry.attempts > 0).ok_or(None)?;
        fits(&entry.owed, entry.frame.get()).map_err(Some)?;
        Ok(entry.owed.txn)
    }

    /// Takes an entry off the book; the next one under its key may be sent.
    fn take_off(&mut self, txn: TxnId, now: Moment) -> Option<Entry> {
        let entry = self.entries.remove(&txn)?;
        self.schedule.remove(&(entry.wake_at, txn));
        self.overdue.remove(&(entry.wake_at, txn));
        self.out -= usize::from(entry.out.is_some());
        if let Duty::Reversal { original, .. } = entry.owed.duty
            && self.originals.get(&original) == Some(&txn)
        {
            self.originals.remove(&original);
        }
        let key = entry.owed.match_key;
        let same = self.by_key.get_mut(&key)?;
        let was_first = same.front() == Some(&txn);
        same.retain(|other| *other != txn);
        match same.front().copied() {
            Some(next) if was_first => self.wake(next, now),
            Some(_) => {}
            None => drop(self.by_key.remove(&key)),
        }
        Some(entry)
    }

    fn remember_unfound(&mut self, entry: Entry) {
        let Duty::Reversal { original, .. } = entry.owed.duty else {
            return;
        };
        if self
            .unfound
            .insert(original, (entry.owed, entry.frame))
            .is_none()
        {
            self.unfound_order.push_back(original);
        }
        if self.unfound_order.len() > UNFOUND_REMEMBERED
            && let Some(oldest) = self.unfound_order.pop_front()
        {
            self.unfound.remove(&oldest);
        }
    }

    /// Takes an entry back from its link, to be sent again after a wait that grows.
    fn put_back(&mut self, txn: TxnId, now: Moment) -> Option<u32> {
        let entry = self.entries.get_mut(&txn)?;
        self.out -= usize::from(entry.out.take().is_some());
        let attempts = entry.attempts;
        let doubled = RETRY_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(6));
        self.wake(txn, now.after(doubled.min(RETRY_MAX)));
        Some(attempts)
    }
}

#[cfg(test)]
mod tests;
