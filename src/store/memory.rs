//! A store without a disk, for tests: it keeps groups as bytes, so that what is tested is what would be
//! written, and can be told to fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{JournalStore, Record, StoreError, record};

#[derive(Debug, Default)]
struct Kept {
    groups: Vec<Vec<u8>>,
    fail_from: Option<usize>,
    full: bool,
}

/// Groups in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<Mutex<Kept>>);

impl MemoryJournal {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every append from the `n`-th group on (from 0) fail.
    pub fn fail_from_group(&self, n: usize) {
        self.lock().fail_from = Some(n);
    }

    /// Makes every append find the disk full, or not any more.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// All records, in order. Damaged groups are left out; tests for damage read the groups themselves.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut found = Vec::new();
        for group in &self.lock().groups {
            let read = record::read_group(group, |r| found.push(r));
            debug_assert!(read.is_ok(), "a group written here is sound");
        }
        found
    }
}

impl JournalStore for MemoryJournal {
    fn append(&mut self, group: &[u8], _records: u32) -> Result<u64, StoreError> {
        let mut kept = self.lock();
        if kept.full {
            return Err(StoreError::Full {
                doing: "appending to the journal",
            });
        }
        if kept.fail_from.is_some_and(|n| kept.groups.len() >= n) {
            return Err(StoreError::Engine {
                doing: "appending to the journal",
                source: "told to fail".into(),
            });
        }
        kept.groups.push(group.to_vec());
        Ok(kept.groups.len() as u64)
    }

    fn last_sequence(&mut self) -> Result<u64, StoreError> {
        Ok(self.lock().groups.len() as u64)
    }

    fn replay(
        &mut self,
        after: u64,
        each: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for (at, group) in self.lock().groups.iter().enumerate() {
            let sequence = at as u64 + 1;
            if sequence > after && !each(sequence, group) {
                break;
            }
        }
        Ok(())
    }
}
