//! Turns journal groups into changes of the read model, in rounds.
//!
//! Most transactions begin and end within one round and become a single insert. The round's size is
//! bounded, so that a projection that fell behind catches up in steps and its memory stays small.

use std::collections::HashMap;

// Keys are our own running numbers.
use foldhash::fast::RandomState;

use super::read_model::{Changes, ReadModel, RowOutcome, TombstoneRow, TransactionRow};
use super::record::{self, Intent, Outcome, Record};
use super::{JournalStore, StoreError};
use crate::base::failpoint::{self, Point};
use crate::base::limits;
use crate::iso8583::ResponseCode;

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
        if let Err(problem) = record::read_group(group, |record| fold.add(record, sequence)) {
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
    /// Where among the inserted a transaction is.
    place: HashMap<u64, usize, RandomState>,
    records: usize,
}

impl Fold {
    fn add(&mut self, record: Record, group: u64) {
        self.records += 1;
        match record {
            Record::Intent(intent) => {
                self.place.insert(intent.txn.0, self.changes.inserted.len());
                self.changes.inserted.push(row_of(*intent, group));
            }
            Record::Outcome(outcome) => {
                let txn = outcome.txn;
                let row = row_outcome(outcome);
                match self.place.get(&txn.0) {
                    Some(&at) => {
                        let known = &mut self.changes.inserted[at];
                        let before = known.outcome.take();
                        known.outcome = Some(row.after(before));
                        known.groups.push(group);
                    }
                    None => self.changes.updated.push((txn, Some(row), group)),
                }
            }
            Record::Intervention(intervention) => {
                let txn = intervention.txn;
                match self.place.get(&txn.0) {
                    Some(&at) => self.changes.inserted[at].groups.push(group),
                    None => self.changes.updated.push((txn, None, group)),
                }
                self.changes.interventions.push(intervention);
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
            Record::Batch(record) => {
                if let Some(next) = record.next_batch() {
                    self.changes.terminals.push((record.key, next, false));
                }
                self.changes.batches.push(*record);
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

fn row_of(intent: Intent<'_>, group: u64) -> TransactionRow {
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
        currency: text_of(intent.amount.currency.as_bytes()),
        pan: intent.pan,
        content: intent.content,
        original: intent.original,
        outcome: None,
        kind: intent.kind,
        groups: vec![group],
    }
}

fn row_outcome(outcome: Outcome) -> RowOutcome {
    let text = |de| kept_element(&outcome.answer, de).map(text_of);
    RowOutcome {
        at: outcome.at,
        kind: outcome.kind,
        code: text_of(&ResponseCode::new(outcome.code).characters()),
        booked: outcome.booked,
        rrn: text(37),
        approval_code: text(38),
        answer: outcome.answer,
    }
}

/// Bytes of a message as text. What is printable, and that is nearly everything, is taken as it is.
fn text_of(bytes: &[u8]) -> String {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'\'' | b'"');
    match str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(plain) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// Number under which a list of kept elements has those that are sealed.
pub const SEALED_ELEMENTS: u8 = 0;

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

/// All data elements of a list of kept ones, in its order. What does not fit ends it.
pub fn kept_elements(kept: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = kept;
    std::iter::from_fn(move || {
        let (&[number, low, high], after) = rest.split_first_chunk::<3>()?;
        let (element, next) =
            after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
        rest = next;
        Some((number, element))
    })
}

/// Appends a data element to a list of kept ones.
pub fn keep_element(kept: &mut Vec<u8>, de: u8, element: &[u8]) {
    let Ok(len) = u16::try_from(element.len()) else {
        return;
    };
    let [low, high] = len.to_le_bytes();
    kept.extend_from_slice(&[de, low, high]);
    kept.extend_from_slice(element);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_a_whole_or_not_at_all() {
        assert_eq!(text_of(b"00 ~"), "00 ~");
        for byte in 0..=u8::MAX {
            let bytes = [b'A', byte];
            assert_eq!(text_of(&bytes), bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn kept_elements_are_found_by_number() {
        let mut kept = Vec::new();
        keep_element(&mut kept, 37, b"123456789012");
        keep_element(&mut kept, 38, b"");
        assert_eq!(kept_element(&kept, 37), Some(b"123456789012".as_slice()));
        assert_eq!(kept_element(&kept, 38), Some(b"".as_slice()));
        assert_eq!(kept_element(&kept, 39), None);
        assert_eq!(kept_element(&kept[..6], 37), None);
        let all: Vec<_> = kept_elements(&kept).collect();
        assert_eq!(all, [(37, b"123456789012".as_slice()), (38, b"")]);
        assert_eq!(kept_elements(&kept[..6]).count(), 0);
    }
}
