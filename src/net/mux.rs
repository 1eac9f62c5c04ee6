//! Requests waiting for an upstream's answer, by match key. Answers may come in any order.
//!
//! An entry is taken out exactly once: by its answer, by its deadline, by a reversal or by a lost link.
//! Whoever takes it decides what happens. What was taken is remembered for a while, so that a late or a
//! duplicate answer is told apart from a stray one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
// Keys are terminals that are bound here and STANs: nobody outside chooses them freely.
use foldhash::fast::RandomState;

use crate::base::clock::Moment;
use crate::iso8583::MatchKey;

/// Keys remembered after they were taken.
const REMEMBERED: usize = 32_768;

/// How an entry was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// By its answer: another one is a duplicate.
    Answered,
    /// By a deadline, a reversal or a lost link: an answer now is late.
    GivenUp,
}

/// See the module.
#[derive(Debug)]
pub struct Pending<V> {
    waiting: DashMap<MatchKey, V, RandomState>,
    count: AtomicUsize,
    deadlines: Mutex<VecDeque<(Moment, MatchKey, u64)>>,
    taken: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    order: VecDeque<MatchKey>,
    how: HashMap<MatchKey, Taken, RandomState>,
}

/// What waits under a key, with the number that tells it from a later one under the same key.
pub trait Waiting {
    /// Unique number of the request.
    fn number(&self) -> u64;
}

impl<V> Default for Pending<V> {
    fn default() -> Self {
        Self {
            waiting: DashMap::with_hasher(RandomState::default()),
            count: AtomicUsize::new(0),
            deadlines: Mutex::default(),
            taken: Mutex::default(),
        }
    }
}

impl<V: Waiting> Pending<V> {
    /// Nothing waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests waiting now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a request. Deadlines are given in the order requests are added, all with the same timeout.
    ///
    /// # Errors
    /// The request comes back when another one waits under the same key: it is never overwritten.
    pub fn insert(&self, key: MatchKey, deadline: Moment, value: V) -> Result<(), V> {
        let number = value.number();
        match self.waiting.entry(key) {
            Entry::Occupied(_) => return Err(value),
            Entry::Vacant(free) => drop(free.insert(value)),
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut deadlines = self
            .deadlines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deadlines.push_back((deadline, key, number));
        Ok(())
    }

    /// Takes the request out if `fits` says so; otherwise it stays and `fits`'s reason comes back.
    ///
    /// # Errors
    /// `None` when nothing waits under the key; the reason when what waits does not fit.
    pub fn take<R>(
        &self,
        key: &MatchKey,
        fits: impl FnOnce(&V) -> Result<(), R>,
    ) -> Result<V, Option<R>> {
        match self.waiting.entry(*key) {
            Entry::Vacant(_) => Err(None),
            Entry::Occupied(held) => {
                fits(held.get()).map_err(Some)?;
                let value = held.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
                self.remember(*key, Taken::Answered);
                Ok(value)
            }
        }
    }

    /// Takes one request out, whatever it waits for, if it has that number.
    pub fn give_up(&self, key: &MatchKey, number: u64) -> Option<V> {
        let (_, value) = self
            .waiting
            .remove_if(key, |_, held| held.number() == number)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.remember(*key, Taken::GivenUp);
        Some(value)
    }

    /// Changes one waiting request. `None` when it no longer waits.
    pub fn change<R>(
        &self,
        key: &MatchKey,
        number: u64,
        work: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let mut held = self.waiting.get_mut(key)?;
        (held.number() == number).then(|| work(held.value_mut()))
    }

    /// Takes out every request whose deadline has passed.
    pub fn expired(&self, now: Moment) -> Vec<(MatchKey, V)> {
        let mut due = Vec::new();
        {
            let mut deadlines = self
                .deadlines
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            while deadlines
                .front()
                .is_some_and(|(deadline, ..)| *deadline <= now)
            {
                due.extend(deadlines.pop_front());
            }
        }
        due.into_iter()
            .filter_map(|(_, key, number)| self.give_up(&key, number).map(|value| (key, value)))
            .collect()
    }

    /// Takes out every request that `lost` says is lost. Walks over all: for lost links, not for requests.
    pub fn take_lost(&self, mut lost: impl FnMut(&V) -> bool) -> Vec<(MatchKey, V)> {
        let keys: Vec<_> = self
            .waiting
            .iter()
            .filter(|entry| lost(entry.value()))
            .map(|entry| (*entry.key(), entry.value().number()))
            .collect();
        keys.into_iter()
            .filter_map(|(key, number)| self.give_up(&key, number).map(|value| (key, value)))
            .collect()
    }

    /// How a request under this key was taken, if that is remembered.
    #[must_use]
    pub fn was_taken(&self, key: &MatchKey) -> Option<Taken> {
        let memory = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        memory.how.get(key).copied()
    }

    /// The first waiting request that `near` accepts, for a report of the nearest miss. Looks at a
    /// bounded number.
    pub fn nearest<R>(&self, near: impl Fn(&MatchKey, &V) -> Option<R>) -> Option<R> {
        self.waiting
            .iter()
            .take(1_000)
            .find_map(|entry| near(entry.key(), entry.value()))
    }

    fn remember(&self, key: MatchKey, how: Taken) {
        let mut memory = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.how.insert(key, how).is_none() {
            memory.order.push_back(key);
        }
        if memory.order.len() > REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.how.remove(&oldest);
        }
    }
}
