//! Looks once a day which bindings have been idle for too long: beside the money path, a few at a time, on
//! connections of its own that cannot write.

use crate::base::calendar::Civil;
use crate::base::{BindingId, Timestamp};
use crate::binding::dormancy::idle_before;
use crate::store::command::Command;
use crate::store::read_model::BindingReader;
use crate::store::sqlite::{SqliteFolder, SqliteReader};
use crate::store::{JournalStore, Registry, StoreError, TransactionReader};

/// Numbers of bindings that are looked at together.
const WINDOW: u64 = 1_000;
/// How many times in one step. A million bindings take 50 steps: less than an hour.
const WINDOWS: u32 = 20;

/// The pass of a day, and how far it got.
#[derive(Debug)]
pub(super) struct IdleScan {
    folder: SqliteFolder,
    months: u32,
    /// The day that was looked at last.
    day: String,
    /// Up to which binding; `None` when the day's pass is over.
    at: Option<BindingId>,
    /// Last group of the journal when it was looked at before. What is shown of it is shown by now, or the read
    /// model is behind, and nobody is called idle.
    durable: Option<u64>,
}

impl IdleScan {
    /// For bindings without an approved transaction for so many months; 0 for never.
    pub(super) const fn new(folder: SqliteFolder, months: u32) -> Self {
        Self {
            folder,
            months,
            day: String::new(),
            at: None,
            durable: None,
        }
    }

    /// The read model as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn reader(&self) -> Result<SqliteReader, StoreError> {
        self.folder.reader()
    }

    /// The read model, when it shows everything that is durable.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn reader_up_to_date(&self) -> Result<Option<SqliteReader>, StoreError> {
        let durable = self.folder.journal_reader()?.last_sequence()?;
        let mut reader = self.folder.reader()?;
        let shown = reader.mark()? >= durable;
        Ok(shown.then_some(reader))
    }

    /// One step: what to do with those that were found. To be called every minute.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn step(&mut self, now: Timestamp) -> Result<Vec<Command>, StoreError> {
        if self.months == 0 {
            return Ok(Vec::new());
        }
        let day = Civil::utc(now).date_text();
        if self.day != day {
            (self.day, self.at, self.durable) = (day, Some(BindingId(0)), None);
        }
        let Some(mut at) = self.at else {
            return Ok(Vec::new());
        };
        let durable = self.folder.journal()?.last_sequence()?;
        let mut reader = self.folder.reader()?;
        let shown = match self.durable.replace(durable) {
            Some(before) => reader.mark()? >= before,
            None => false,
        };
        if !shown {
            return Ok(Vec::new());
        }
        let mut registry = self.folder.registry_reader()?;
        let mut found = Vec::new();
        for _ in 0..WINDOWS {
            let Some(next) = self.window(&mut registry, &mut reader, now, at, &mut found)? else {
                self.at = None;
                return Ok(found);
            };
            at = next;
        }
        self.at = Some(at);
        Ok(found)
    }

    /// Looks at the next bindings; where to go on, or `None` behind the last one.
    fn window(
        &self,
        registry: &mut dyn Registry,
        reader: &mut SqliteReader,
        now: Timestamp,
        after: BindingId,
        found: &mut Vec<Command>,
    ) -> Result<Option<BindingId>, StoreError> {
        let before = idle_before(now, self.months);
        let up_to = BindingId(after.0 + WINDOW);
        let (candidates, more) = registry.idle_candidates((after, up_to), before)?;
        for (key, binding, version) in candidates {
            if !reader.approved_since(binding, before)? {
                let months = self.months;
                found.push(Command::Dormant {
                    key,
                    binding,
                    version,
                    months,
                });
            }
        }
        Ok(more.then_some(up_to))
    }
}
