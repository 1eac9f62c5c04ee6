//! A store without a disk, for tests and simulations: it keeps groups as bytes, so that what is tested is
//! what would be written, and can be told to fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{BatchModel, BatchStep, Closed, Settled};
use super::read_model::{Changes, ReadModel, RowOutcome, TerminalTotal, TransactionRow};
use super::{JournalStore, OutcomeKind, Record, StoreError, TxnId, record};
use crate::base::{BatchLine, BatchNumber, BindingId, LineVerdict, Stan, Timestamp};
use crate::binding::TerminalKey;
use crate::transaction::originals::FollowUps;

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

    /// Calls `each` with every group from that one on (from 0), as bytes.
    pub fn groups_from(&self, first: usize, mut each: impl FnMut(&[u8])) {
        self.lock()
            .groups
            .iter()
            .skip(first)
            .for_each(|group| each(group));
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

type Place = (BindingId, BatchNumber, Stan);

#[derive(Debug, Default)]
struct Shown {
    rows: BTreeMap<TxnId, TransactionRow>,
    places: BTreeMap<Place, TxnId>,
    tombstones: BTreeMap<Place, Timestamp>,
    terminals: BTreeMap<TerminalKey, (BatchNumber, bool)>,
    stan_blocks: HashMap<String, (u32, u64)>,
    settled: BTreeMap<Place, (Timestamp, Settled)>,
    lines: BTreeMap<Place, (Timestamp, BatchLine, LineVerdict)>,
    closed: BTreeMap<(TerminalKey, BatchNumber), (Timestamp, BindingId, Closed)>,
    mark: u64,
}

/// The read model in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryReadModel(Arc<Mutex<Shown>>);

impl MemoryReadModel {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: it is projected again.
    pub fn clear(&self) {
        *self.lock() = Shown::default();
    }
}

const fn is_unfinished(outcome: Option<&RowOutcome>) -> bool {
    match outcome {
        None => true,
        Some(outcome) => match outcome.kind {
            OutcomeKind::ReversalOwed | OutcomeKind::RepeatOwed => true,
            OutcomeKind::Approved
            | OutcomeKind::Declined
            | OutcomeKind::Reversed
            | OutcomeKind::Expired
            | OutcomeKind::Parked
            | OutcomeKind::Closed => false,
        },
    }
}

impl ReadModel for MemoryReadModel {
    fn mark(&mut self) -> Result<u64, StoreError> {
        Ok(self.lock().mark)
    }

    fn apply(&mut self, changes: &Changes, mark: u64) -> Result<(), StoreError> {
        let mut shown = self.lock();
        for row in &changes.inserted {
            let place = (row.binding, row.batch, row.stan);
            // As the index of the SQL store: the latest under a place is the one found.
            let latest = shown.places.entry(place).or_insert(row.txn);
            *latest = row.txn.max(*latest);
            shown.rows.entry(row.txn).or_insert_with(|| row.clone());
        }
        for (txn, outcome, group) in &changes.updated {
            if let Some(row) = shown.rows.get_mut(txn) {
                if let Some(outcome) = outcome {
                    row.outcome = Some(outcome.clone().after(row.outcome.take()));
                }
                row.groups.push(*group);
            }
        }
        for (key, batch, signed_on) in &changes.terminals {
            shown.terminals.insert(*key, (*batch, *signed_on));
        }
        for (group, date, next) in &changes.stan_blocks {
            shown.stan_blocks.insert(group.clone(), (*date, *next));
        }
        for tomb in &changes.tombstones {
            let place = (tomb.binding, tomb.batch, tomb.stan);
            shown.tombstones.insert(place, tomb.at);
        }
        for record in &changes.batches {
            let (binding, batch, at) = (record.binding, record.batch, record.at);
            match &record.step {
                BatchStep::Settled(settled) => {
                    let place = (binding, batch, settled.stan);
                    shown.settled.insert(place, (at, settled.clone()));
                }
                BatchStep::Uploaded(lines) => {
                    for (line, verdict) in lines {
                        let place = (binding, batch, line.stan);
                        shown.lines.insert(place, (at, *line, *verdict));
                    }
                }
                BatchStep::Closed(closed) => {
                    let end = (at, binding, closed.clone());
                    shown.closed.insert((record.key, batch), end);
                }
            }
        }
        shown.mark = mark;
        Ok(())
    }

    fn last_txn(&mut self) -> Result<TxnId, StoreError> {
        let last = self.lock().rows.last_key_value().map(|(txn, _)| *txn);
        Ok(last.unwrap_or(TxnId(0)))
    }

    fn terminals(
        &mut self,
        each: &mut dyn FnMut(TerminalKey, BatchNumber, bool),
    ) -> Result<(), StoreError> {
        for (key, (batch, signed_on)) in &self.lock().terminals {
            each(*key, *batch, *signed_on);
        }
        Ok(())
    }

    fn find(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<TransactionRow>, StoreError> {
        let shown = self.lock();
        let txn = shown.places.get(&(binding, batch, stan));
        Ok(txn.and_then(|txn| shown.rows.get(txn)).cloned())
    }

    fn transaction(&mut self, txn: TxnId) -> Result<Option<TransactionRow>, StoreError> {
        Ok(self.lock().rows.get(&txn).cloned())
    }

    fn unfinished(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError> {
        let rows = &self.lock().rows;
        rows.values()
            .filter(|row| is_unfinished(row.outcome.as_ref()))
            .for_each(|row| each(row.clone()));
        Ok(())
    }

    fn parked(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError> {
        let is_parked = |row: &&TransactionRow| {
            let outcome = row.outcome.as_ref();
            outcome.is_some_and(|outcome| outcome.kind == OutcomeKind::Parked)
        };
        let rows = &self.lock().rows;
        rows.values()
            .filter(is_parked)
            .for_each(|row| each(row.clone()));
        Ok(())
    }

    fn tombstone(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().tombstones.get(&(binding, batch, stan)).copied())
    }

    fn highest_stan(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Option<(Stan, Timestamp)>, StoreError> {
        let shown = self.lock();
        let last = Stan::new(Stan::MAX).unwrap_or(Stan::FIRST);
        let highest = shown
            .places
            .range(..=(binding, batch, last))
            .next_back()
            .filter(|(place, _)| (place.0, place.1) == (binding, batch));
        let highest = highest.and_then(|((.., stan), txn)| Some((*stan, shown.rows.get(txn)?.at)));
        let mut tombstones = shown.tombstones.range(..=(binding, batch, last));
        let tombstone = tombstones
            .next_back()
            .filter(|(place, _)| (place.0, place.1) == (binding, batch))
            .map(|((.., stan), at)| (*stan, *at));
        Ok(highest.max(tombstone))
    }

    fn follow_ups(&mut self, original: TxnId) -> Result<FollowUps, StoreError> {
        let mut follow_ups = FollowUps::default();
        for row in self.lock().rows.values() {
            if row.original == original && original.0 > 0 {
                row.count_in(&mut follow_ups);
            }
        }
        Ok(follow_ups)
    }

    fn stan_block(&mut self, group: &str) -> Result<Option<(u32, u64)>, StoreError> {
        Ok(self.lock().stan_blocks.get(group).copied())
    }

    fn totals(&mut self) -> Result<Vec<TerminalTotal>, StoreError> {
        let mut totals: BTreeMap<TerminalKey, (i64, u64)> = BTreeMap::new();
        for row in self.lock().rows.values().filter(|row| row.sign != 0) {
            if let Some(outcome) = &row.outcome
                && outcome.kind == OutcomeKind::Approved
            {
                let (net, count) = totals.entry(row.key).or_default();
                let booked = i64::try_from(outcome.booked).unwrap_or(i64::MAX);
                *net = net.saturating_add(booked.saturating_mul(row.sign.into()));
                *count += 1;
            }
        }
        let total = |(key, (net, count))| TerminalTotal { key, net, count };
        Ok(totals.into_iter().map(total).collect())
    }
}

/// Everything under a binding's batch.
fn of_batch<T>(
    all: &BTreeMap<Place, T>,
    binding: BindingId,
    batch: BatchNumber,
) -> impl Iterator<Item = &T> {
    all.iter()
        .filter(move |(place, _)| (place.0, place.1) == (binding, batch))
        .map(|(_, one)| one)
}

impl BatchModel for MemoryReadModel {
    fn batch_transactions(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError> {
        let shown = self.lock();
        let mut rows: Vec<_> = shown
            .rows
            .values()
            .filter(|row| (row.binding, row.batch) == (binding, batch))
            .collect();
        rows.sort_by_key(|row| (row.stan, row.txn));
        rows.into_iter().for_each(|row| each(row.clone()));
        Ok(())
    }

    fn settled(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Vec<(Timestamp, Settled)>, StoreError> {
        let shown = self.lock();
        let mut found: Vec<_> = of_batch(&shown.settled, binding, batch).cloned().collect();
        found.sort_by_key(|(at, settled)| (*at, settled.stan));
        Ok(found)
    }

    fn lines(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Vec<(Timestamp, BatchLine, LineVerdict)>, StoreError> {
        let shown = self.lock();
        Ok(of_batch(&shown.lines, binding, batch).copied().collect())
    }

    fn closed(
        &mut self,
        key: TerminalKey,
        batch: BatchNumber,
    ) -> Result<Option<(Timestamp, BindingId, Closed)>, StoreError> {
        Ok(self.lock().closed.get(&(key, batch)).cloned())
    }
}
