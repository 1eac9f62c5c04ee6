//! What was open when the process last ended is taken up, before the first terminal is.
//!
//! | the journal's last word | class | what is done |
//! |---|---|---|
//! | intent | reverse | a reversal is owed: the upstream may have approved |
//! | intent | repeat | it is owed once more, with the same identity |
//! | intent | expire | it is closed: it moved no money |
//! | reversal owed | reverse | the reversal is sent |
//! | repeat owed | repeat | the repeat is sent |
//! | approved, declined | any | nothing: it stands (invariant 4) |
//!
//! The read model, which was brought up to date before, names them; the journal holds what they are made
//! from. What cannot be written is parked for a person, what belongs to a group that is not configured
//! stays open and is named at every start.

use std::collections::BTreeMap;

use super::Switch;
use super::effects::Effect;
use super::exceptions::Parked;
use super::limits::tally_of;
use super::remake::Original;
use super::reversals::NewlyOwed;
use crate::base::Fate;
use crate::base::failpoint::{self, Point};
use crate::iso8583::ResponseCode;
use crate::store::record::{self, Intent, Record};
use crate::store::{JournalStore, OutcomeKind, ReadModel, StoreError, TransactionRow};
use crate::telemetry::metrics;
use crate::transaction::State;

/// What was taken up, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TakenUp {
    reversals: usize,
    repeats: usize,
    expired: usize,
    parked: usize,
}

impl Switch {
    /// Takes up everything unfinished. Its records and effects are in the journal's queue on return, before
    /// whatever a terminal may bring.
    ///
    /// # Errors
    /// When the journal or the read model cannot be read.
    pub(super) fn recover(
        &self,
        journal: &mut dyn JournalStore,
        model: &mut dyn ReadModel,
    ) -> Result<(), StoreError> {
        let mut unfinished = Vec::new();
        model.unfinished(&mut |row| unfinished.push(row))?;
        failpoint::pass(Point::RecoveryRead);
        let groups = self.groups.iter().map(|group| group.name.as_str());
        self.exceptions.begin(groups);
        model.parked(&mut |row| {
            let parked = Parked {
                group: row.group,
                attempts: None,
                owed: None,
            };
            self.exceptions.park(row.txn, parked);
        })?;
        let mut stranded: BTreeMap<String, usize> = BTreeMap::new();
        let mut taken_up = TakenUp::default();
        let mut intents = Intents::default();
        for row in unfinished {
            failpoint::pass(Point::RecoveryNext);
            let Some(group) = self.groups.iter().position(|group| group.name == row.group) else {
                metrics::recovered("stranded");
                *stranded.entry(row.group).or_default() += 1;
                continue;
            };
            let intent = intents.find(journal, &row)?;
            self.take_up(&row, group, intent, &mut taken_up);
        }
        failpoint::pass(Point::RecoveryQueued);
        for (group, transactions) in stranded {
            tracing::error!(
                group,
                transactions,
                "transactions are open towards a group that is no longer configured; configure it again"
            );
        }
        if taken_up != TakenUp::default() {
            let TakenUp {
                reversals,
                repeats,
                expired,
                parked,
            } = taken_up;
            tracing::info!(
                reversals,
                repeats,
                expired,
                parked,
                "what was open when the process last ended is taken up"
            );
        }
        Ok(())
    }

    fn take_up(
        &self,
        row: &TransactionRow,
        group: usize,
        intent: Option<&Intent<'_>>,
        taken_up: &mut TakenUp,
    ) {
        let known = row.outcome.as_ref();
        let (fate, reason) = match known.map(|outcome| outcome.kind) {
            Some(OutcomeKind::ReversalOwed) => {
                let code = known.map(|outcome| outcome.code.as_bytes());
                (Fate::Reverse, code.and_then(ResponseCode::from_slice))
            }
            Some(OutcomeKind::RepeatOwed) => (Fate::Repeat, None),
            _ => (row.fate, None),
        };
        let owed = match fate {
            Fate::Expire => {
                metrics::recovered("expired");
                taken_up.expired += 1;
                self.journal_end(row.txn, OutcomeKind::Expired, *b"  ");
                return;
            }
            Fate::Reverse | Fate::Repeat => {
                intent.and_then(|intent| self.owed_of_intent(row, group, intent, fate, reason))
            }
        };
        let Some(owed) = owed else {
            metrics::recovered("parked");
            taken_up.parked += 1;
            tracing::error!(
                txn = row.txn.0, terminal = %row.key.terminal,
                "what is owed for a transaction cannot be made from the journal; a person has to decide: see `posgate exception list`"
            );
            let parked = Parked {
                group: row.group.clone(),
                attempts: Some(0),
                owed: None,
            };
            self.exceptions.park(row.txn, parked);
            self.journal_end(row.txn, OutcomeKind::Parked, *b"  ");
            return;
        };
        let state = match fate {
            Fate::Reverse => {
                metrics::recovered("reversal");
                taken_up.reversals += 1;
                State::ReversalOwed
            }
            Fate::Repeat | Fate::Expire => {
                metrics::recovered("repeat");
                taken_up.repeats += 1;
                State::RepeatOwed
            }
        };
        let state_repeats = matches!(state, State::RepeatOwed);
        let window = self.groups[group].dialect.repeats().window;
        let until = self.until(Some(row.at), window);
        let mut transaction = self.stored_transaction(row, group, until);
        transaction.state = state;
        self.lanes.with(row.key, |lane| lane.take_up(transaction));
        if state_repeats && self.directory.counters().any() {
            self.counts_on(row.key, row.txn, tally_of(row));
        }
        let kept = if known.is_some() {
            self.owe_again(owed)
        } else {
            self.owe(owed)
        };
        if !kept {
            // The journal has failed already; the process is about to end.
            tracing::warn!(txn = row.txn.0, "what is owed could not be journalled");
        }
    }

    /// What is owed for a transaction, written from its intent. `None` when it cannot be, or nothing is.
    pub(super) fn owed_of_intent(
        &self,
        row: &TransactionRow,
        group: usize,
        intent: &Intent<'_>,
        fate: Fate,
        reason: Option<ResponseCode>,
    ) -> Option<NewlyOwed> {
        let original = Original::of_intent(&self.groups[group], intent, &self.keys)?;
        match fate {
            Fate::Reverse => self.reversal_of(group, row.txn, row.key, &original, reason),
            Fate::Repeat => self.repeat_of(group, row.txn, row.key, &original, row.amount),
            Fate::Expire => None,
        }
    }

    /// Puts on the book what the journal says is owed already.
    fn owe_again(&self, owed: NewlyOwed) -> bool {
        let effect = Effect::Owe {
            group: owed.group,
            owed: Some(owed.owed),
            frame: owed.frame,
        };
        self.journal.append(effect, |_nothing| {}).is_ok()
    }
}

/// Intents by their transaction, read a journal group at a time. Rows come in the order of their
/// transactions, which is nearly that of the groups.
#[derive(Debug, Default)]
struct Intents {
    group: Option<u64>,
    found: Vec<Intent<'static>>,
}

impl Intents {
    fn find(
        &mut self,
        journal: &mut dyn JournalStore,
        row: &TransactionRow,
    ) -> Result<Option<&Intent<'static>>, StoreError> {
        // Its intent is the first of its records.
        let group = row.groups.first().copied();
        if self.group != group {
            self.found = intents_of(journal, group.unwrap_or(0))?;
            self.group = group;
        }
        Ok(self.found.iter().find(|intent| intent.txn == row.txn))
    }
}

/// All intents of one journal group; none when the group is not there any more.
fn intents_of(
    journal: &mut dyn JournalStore,
    wanted: u64,
) -> Result<Vec<Intent<'static>>, StoreError> {
    let mut found = Vec::new();
    records_of(journal, wanted, &mut |record| {
        if let Record::Intent(intent) = record {
            found.push(*intent);
        }
    })?;
    Ok(found)
}

/// Calls `each` with every record of one journal group; with none when the group is not there any more.
///
/// # Errors
/// When the group cannot be read or is damaged.
pub(super) fn records_of(
    journal: &mut dyn JournalStore,
    wanted: u64,
    each: &mut dyn FnMut(Record),
) -> Result<(), StoreError> {
    let mut damaged = None;
    journal.replay(wanted.saturating_sub(1), &mut |sequence, group| {
        if sequence == wanted {
            let read = record::read_group(group, &mut *each);
            damaged = read
                .err()
                .map(|problem| StoreError::Damaged { sequence, problem });
        }
        false
    })?;
    damaged.map_or(Ok(()), Err)
}
