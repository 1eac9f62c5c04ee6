//! The book of a group's owed reversals: what to send when, and what to do with the answer.
//!
//! ```text
//! WAITING ──due──▶ OUT ──acknowledged──▶ off the book
//!    ▲              │ refused, no answer in time, link lost
//!    └──grown wait──┘
//! ```
//!
//! Under one match key one reversal is out at a time. The first sending follows the original on its link.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Moment;
use crate::base::{TerminalId, TxnId};
use crate::binding::TerminalKey;
use crate::iso8583::MatchKey;
use crate::net::{Group, LinkChoice};
use crate::store::Durable;

/// Reversals of one group that may wait for their answer at the same time.
const IN_FLIGHT_MAX: usize = 256;
/// First wait before a reversal is sent again; doubles up to the next.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Wait when no link can take it.
const NO_LINK_WAIT: Duration = Duration::from_millis(200);

/// One reversal that is owed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub(crate) txn: TxnId,
    pub(crate) key: TerminalKey,
    /// Key its answer is found by.
    pub(crate) match_key: MatchKey,
    /// The link its original may still be on. While that link is up the reversal follows on it, so that it
    /// cannot overtake.
    pub(crate) after: Option<LinkChoice>,
}

#[derive(Debug)]
struct Entry {
    owed: Owed,
    frame: Durable<Bytes>,
    attempts: u32,
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
    /// When to look at which; never one that waits for another of its key.
    schedule: BTreeSet<(Moment, TxnId)>,
    out: usize,
}

/// The reversals a group owes.
#[derive(Debug, Default)]
pub(crate) struct OwedBook(Mutex<Book>);

impl OwedBook {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Enters a reversal, to be sent at the next tick.
    pub(super) fn begin(&self, owed: Owed, frame: Durable<Bytes>, now: Moment) {
        let mut book = self.lock();
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
                out: None,
                wake_at: now,
            },
        );
    }

    /// Whether a transaction's reversal is on the book.
    pub(super) fn holds(&self, txn: TxnId) -> bool {
        self.lock().entries.contains_key(&txn)
    }

    /// Takes a reversal off the book: one that was sent, of the terminal that the answer names.
    pub(super) fn acknowledged(
        &self,
        key: &MatchKey,
        terminal: Option<TerminalId>,
        now: Moment,
    ) -> Option<Owed> {
        let mut book = self.lock();
        let txn = *book.by_key.get(key)?.front()?;
        let entry = book.entries.get(&txn)?;
        let same_terminal = terminal.is_none_or(|named| named == entry.owed.key.terminal);
        if entry.attempts == 0 || !same_terminal {
            return None;
        }
        let same = book.by_key.get_mut(key)?;
        same.pop_front();
        let next = same.front().copied();
        let entry = book.entries.remove(&txn)?;
        book.schedule.remove(&(entry.wake_at, txn));
        book.out -= usize::from(entry.out.is_some());
        match next {
            Some(next) => book.wake(next, now),
            None => drop(book.by_key.remove(key)),
        }
        Some(entry.owed)
    }

    /// The upstream did not acknowledge: it is sent again later. Returns which, and how often it was sent.
    pub(super) fn refused(&self, key: &MatchKey, now: Moment) -> Option<(TxnId, u32)> {
        let mut book = self.lock();
        let txn = *book.by_key.get(key)?.front()?;
        let attempts = book.put_back(txn, now)?;
        Some((txn, attempts))
    }

    /// What was out on a link that fell waits to be sent again.
    pub(super) fn link_lost(&self, link: usize, now: Moment) {
        let mut book = self.lock();
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

    /// Sends what is due, and puts back what was not answered in time. Returns how many were sent.
    pub(super) fn tick(
        &self,
        links: &Group,
        now: Moment,
        timeout: Duration,
        repeated: &dyn Fn(Bytes) -> Bytes,
    ) -> u64 {
        let mut book = self.lock();
        let mut sent = 0;
        while let Some(&(at, txn)) = book.schedule.first() {
            if at > now {
                break;
            }
            let Some(entry) = book.entries.get(&txn) else {
                book.schedule.pop_first();
                continue;
            };
            if entry.out.is_some() {
                book.put_back(txn, now);
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
                if entry.attempts == 1 {
                    entry.frame = entry.frame.map(repeated);
                }
                let taken = links.send(choice, &entry.frame);
                entry.attempts += u32::from(taken);
                entry.out = taken.then_some(choice);
                book.out += usize::from(taken);
                book.entries.insert(txn, entry);
                book.wake(txn, now.after(if taken { timeout } else { NO_LINK_WAIT }));
                sent += u64::from(taken);
            }
        }
        sent
    }
}

impl Book {
    fn wake(&mut self, txn: TxnId, at: Moment) {
        if let Some(entry) = self.entries.get_mut(&txn) {
            self.schedule.remove(&(entry.wake_at, txn));
            entry.wake_at = at;
            self.schedule.insert((at, txn));
        }
    }

    /// Takes a reversal back from its link, to be sent again after a wait that grows.
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
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stop_growing() {
        let wait = |attempts: u32| {
            RETRY_MIN
                .saturating_mul(1 << attempts.saturating_sub(1).min(6))
                .min(RETRY_MAX)
                .as_secs()
        };
        assert_eq!([0, 1, 2, 3, 6, 7, 50].map(wait), [1, 1, 2, 4, 32, 60, 60]);
    }
}
