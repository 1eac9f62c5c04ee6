//! Turns journal groups into changes of the read model, in rounds.
//!
//! Most transactions begin and end within one round and become a single insert. The round's size is
//! bounded, so that a projection that fell behind catches up in steps and its memory stays small.

use std::collections::HashMap;

use super::read_model::{Changes, ReadModel, RowOutcome, TombstoneRow, TransactionRow};
use super::record::{self, Intent, Outcome, Record};
use super::{JournalStore, StoreError};
use crate::base::failpoint::{self, Point};
use crate::base::limits;

/// Projects at most one round of what the journal has beyond the mark.
///
/// Returns how many groups it took; 0 means that the read model is up to date.
///
/// # Errors
/// When reading the journal or writing the read model fails, or a group is damaged.
pub fn project_round(
    journal: &mut dyn JournalStore,
    model: &mut dyn ReadModel,
) -> Result<u64, StoreError> {
    let mut mark = model.mark()?;
    let mut fold = Fold::default();
    let mut groups = 0;
    let mut damaged = None;
    journal.replay(mark, &mut |sequence, group| {
        if let Err(problem) = record::read_group(group, |record| fold.add(sequence, record)) {
            damaged = Some(StoreError::Damaged { sequence, problem });
            return false;
        }
        mark = sequence;
        groups += 1;
        fold.records < limits::PROJECTION_ROUND_RECORDS
    })?;
    if let Some(damaged) = damaged {
        return Err(damaged);
    }
    if groups > 0 {
        failpoint::pass(Point::ProjectionRead);
        model.apply(&fold.changes, mark)?;
        failpoint::pass(Point::ProjectionCommitted);
    }
    Ok(groups)
}

#[derive(Default)]
struct Fold {
    changes: Changes,
    place: HashMap<u64, usize>,
    records: usize,
}

impl Fold {
    fn add(&mut self, sequence: u64, record: Record) {
        self.records += 1;
        match record {
            Record::Intent(intent) => {
                self.place.insert(intent.txn.0, self.changes.inserted.len());
                self.changes.inserted.push(row_of(sequence, *intent));
            }
            Record::Outcome(outcome) => {
                let txn = outcome.txn;
                let mut row = row_outcome(outcome);
                match self.place.get(&txn.0) {
                    Some(&at) => {
                        let known = &mut self.changes.inserted[at].outcome;
                        if let Some(earlier) = known.take() {
                            row.keep_from(earlier);
                        }
                        *known = Some(row);
                    }
                    None => self.changes.updated.push((txn, row)),
                }
            }
            Record::Tombstone {
                binding,
                batch,
                stan,
                at,
                key: _,
            } => self.changes.tombstones.push(TombstoneRow {
                binding,
                batch,
                stan,
                at,
            }),
            Record::SignedOn { key, batch, at: _ } => {
                self.changes.terminals.push((key, batch, true));
            }
            Record::StanBlock { group, date, end } => {
                self.changes.stan_blocks.push((group.into(), date, end));
            }
            Record::SignedOff { key, batch, at: _ } => {
                self.changes.terminals.push((key, batch, false));
            }
        }
    }
}

fn row_of(sequence: u64, intent: Intent<'_>) -> TransactionRow {
    TransactionRow {
        txn: intent.txn,
        at: intent.at,
        key: intent.key,
        merchant: intent.merchant.as_str().to_owned(),
        binding: intent.binding,
        version: intent.version,
        account: intent.account.0,
        held: intent.held,
        fate: intent.fate,
        request: intent.request.into(),
        sign: intent.sign,
        batch: intent.batch,
        stan: intent.stan,
        group: intent.group.into(),
        upstream_stan: intent.upstream_stan,
        amount: intent.amount.minor,
        currency: intent.amount.currency.to_string(),
        pan: intent.pan,
        content: intent.content,
        journal_group: sequence,
        outcome: None,
    }
}

fn row_outcome(outcome: Outcome) -> RowOutcome {
    let text = |de| kept_element(&outcome.answer, de).map(|b| b.escape_ascii().to_string());
    RowOutcome {
        at: outcome.at,
        kind: outcome.kind,
        code: outcome.code.escape_ascii().to_string(),
        booked: outcome.booked,
        rrn: text(37),
        approval_code: text(38),
        answer: outcome.answer,
    }
}

/// A data element out of a list of kept ones: number, two bytes of length, bytes.
#[must_use]
pub fn kept_element(kept: &[u8], de: u8) -> Option<&[u8]> {
    let mut rest = kept;
    while let Some((&[number, low, high], after)) = rest.split_first_chunk::<3>() {
        let (element, next) =
            after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
        if number == de {
            return Some(element);
        }
        rest = next;
    }
    None
}

/// Appends a data element to a list of kept ones.
pub fn keep_element(kept: &mut Vec<u8>, de: u8, element: &[u8]) {
    let Ok(len) = u16::try_from(element.len()) else {
        return;
    };
    kept.push(de);
    kept.extend_from_slice(&len.to_le_bytes());
    kept.extend_from_slice(element);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_elements_are_found_by_number() {
        let mut kept = Vec::new();
        keep_element(&mut kept, 37, b"123456789012");
        keep_element(&mut kept, 38, b"");
        assert_eq!(kept_element(&kept, 37), Some(b"123456789012".as_slice()));
        assert_eq!(kept_element(&kept, 38), Some(b"".as_slice()));
        assert_eq!(kept_element(&kept, 39), None);
        assert_eq!(kept_element(&kept[..6], 37), None);
    }
}
