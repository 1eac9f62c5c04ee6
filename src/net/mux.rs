//! Requests waiting for an upstream's answer, by match key. Answers may come in any order.
//!
//! An entry is taken out exactly once: by its answer, by its deadline, by a reversal or by a lost link.
//! Whoever takes it decides what happens. What was taken is remembered for a while, so that a late or a
//! duplicate answer is told apart from a stray one.

use std::collections::VecDeque;
use std::hash::BuildHasher;
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

/// What was taken lately, oldest first: a hash of the key, its lowest bit told how. Written for every request
/// and read for hardly any, so writing is one step forward in memory and reading looks through all.
#[derive(Debug, Default)]
struct Memory(VecDeque<u64>);

impl Memory {
    const GIVEN_UP: u64 = 1;

    fn add(&mut self, hash: u64, how: Taken) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(match how {
            Taken::Answered => hash & !Self::GIVEN_UP,
            Taken::GivenUp => hash | Self::GIVEN_UP,
        });
    }

    /// How the last one with that hash was taken. Two keys with one hash, by a chance of 2^48 among those
    /// remembered, would have an answer counted under the other's word.
    fn find(&self, hash: u64) -> Option<Taken> {
        let last = |known: &&u64| (**known ^ hash) & !Self::GIVEN_UP == 0;
        let known = self.0.iter().rev().find(last)?;
        Some(if known & Self::GIVEN_UP == 0 {
            Taken::Answered
        } else {
            Taken::GivenUp
        })
    }
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
                self.remember(key, Taken::Answered);
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
        self.remember(key, Taken::GivenUp);
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
        let hash = self.waiting.hasher().hash_one(key);
        let memory = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        memory.find(hash)
    }

    /// The first waiting request that `near` accepts, for a report of the nearest miss. Looks at a
    /// bounded number.
    pub fn nearest<R>(&self, near: impl Fn(&MatchKey, &V) -> Option<R>) -> Option<R> {
        self.waiting
            .iter()
            .take(1_000)
            .find_map(|entry| near(entry.key(), entry.value()))
    }

    fn remember(&self, key: &MatchKey, how: Taken) {
        let hash = self.waiting.hasher().hash_one(key);
        let mut memory = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        memory.add(hash, how);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Stan;

    #[derive(Debug)]
    struct Asked(u64);

    impl Waiting for Asked {
        fn number(&self) -> u64 {
            self.0
        }
    }

    fn key(stan: u32) -> MatchKey {
        MatchKey::own(2, Stan::new(stan).unwrap())
    }

    #[test]
    fn what_was_taken_last_under_a_key_is_remembered_for_a_while() {
        let pending = Pending::new();
        let fits = |_: &Asked| Ok::<_, ()>(());
        let kept = u32::try_from(REMEMBERED).unwrap();
        for n in 1..=kept {
            pending.insert(key(n), Moment(0), Asked(n.into())).unwrap();
            assert!(pending.take(&key(n), fits).is_ok());
        }
        assert_eq!(pending.was_taken(&key(1)), Some(Taken::Answered));
        assert_eq!(pending.was_taken(&key(kept + 1)), None);
        pending.insert(key(2), Moment(0), Asked(0)).unwrap();
        assert!(pending.give_up(&key(2), 0).is_some());
        assert_eq!(pending.was_taken(&key(2)), Some(Taken::GivenUp));
        assert_eq!(pending.was_taken(&key(1)), None);
        assert_eq!(pending.was_taken(&key(kept)), Some(Taken::Answered));
    }
}
