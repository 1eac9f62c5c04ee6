//! The journal's own books, added up from its records, and what differs between the three.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{TerminalId, TxnId};
use crate::iso8583::Books;
use crate::sim::ledger::{Booked, Difference, Ledger, Row, State};
use crate::store::projection::project_round;
use crate::store::record::{Intent, read_group};
use crate::store::sqlite::SqliteFolder;
use crate::store::{JournalStore, OutcomeKind, ReadModel, Record, StoreError};

/// What the journal says, read record by record and without the read model.
#[derive(Debug, Default)]
pub(super) struct JournalBooks {
    pub(super) ledger: Ledger,
    pub(super) records: u64,
    /// Transactions without an end, or with something owed.
    pub(super) open: u64,
    /// Transactions that a person would have to decide about.
    pub(super) parked: u64,
    /// Intents under a number that the terminal had used before.
    pub(super) numbers_twice: u64,
    /// Terminals of which the read model shows another sum.
    pub(super) model_differs: Vec<TerminalId>,
}

impl JournalBooks {
    /// Reads a store that nobody works on. The read model is brought up to date first.
    pub(super) fn read(folder: &SqliteFolder) -> Result<Self, StoreError> {
        let mut journal = folder.journal()?;
        let mut transactions: BTreeMap<TxnId, Transaction> = BTreeMap::new();
        let mut books = Self::default();
        let mut damaged = None;
        journal.replay(0, &mut |sequence, group| {
            let read = read_group(group, |record| {
                books.records += 1;
                take(&mut transactions, record);
            });
            damaged = read
                .err()
                .map(|problem| StoreError::Damaged { sequence, problem });
            damaged.is_none()
        })?;
        if let Some(damaged) = damaged {
            return Err(damaged);
        }
        for transaction in transactions.values() {
            books.add(transaction);
        }
        let mut model = folder.read_model()?;
        while project_round(&mut journal, &mut model)? > 0 {}
        books.model_differs = books.differing(&mut model)?;
        Ok(books)
    }

    fn add(&mut self, transaction: &Transaction) {
        let Transaction {
            terminal,
            row,
            last,
        } = *transaction;
        let state = match last {
            Some(OutcomeKind::Approved) => State::Approved,
            Some(OutcomeKind::Reversed) => State::Reversed,
            Some(OutcomeKind::Declined | OutcomeKind::Expired) => State::Declined,
            Some(OutcomeKind::Parked | OutcomeKind::Closed) => {
                self.parked += 1;
                State::InDoubt
            }
            Some(OutcomeKind::ReversalOwed | OutcomeKind::RepeatOwed) | None => {
                self.open += 1;
                State::InDoubt
            }
        };
        if row.books == Books::None {
            return;
        }
        let booked = self.ledger.book(terminal, Row { state, ..row });
        self.numbers_twice += u64::from(booked != Booked::New);
    }

    fn differing(&self, model: &mut dyn ReadModel) -> Result<Vec<TerminalId>, StoreError> {
        let shown: BTreeMap<_, _> = model
            .totals()?
            .into_iter()
            .map(|total| (total.key.terminal, (total.count, i128::from(total.net))))
            .collect();
        let mut terminals: BTreeSet<_> = self.ledger.terminals().into_iter().collect();
        terminals.extend(shown.keys());
        terminals.retain(|terminal| {
            let own = self.ledger.totals_of(*terminal);
            let shown = shown.get(terminal).copied().unwrap_or_default();
            (own.approved, own.net_minor) != shown
        });
        Ok(terminals.into_iter().collect())
    }
}

#[derive(Debug)]
struct Transaction {
    terminal: TerminalId,
    row: Row,
    last: Option<OutcomeKind>,
}

fn take(transactions: &mut BTreeMap<TxnId, Transaction>, record: Record) {
    match record {
        Record::Intent(intent) => {
            let transaction = Transaction {
                terminal: intent.key.terminal,
                row: row_of(&intent),
                last: None,
            };
            transactions.insert(intent.txn, transaction);
        }
        Record::Outcome(outcome) => {
            if let Some(transaction) = transactions.get_mut(&outcome.txn) {
                if outcome.kind == OutcomeKind::Approved {
                    transaction.row.minor = outcome.booked;
                }
                transaction.last = Some(outcome.kind);
            }
        }
        Record::Tombstone { .. }
        | Record::SignedOn { .. }
        | Record::SignedOff { .. }
        | Record::StanBlock { .. }
        | Record::Batch(_)
        | Record::Intervention(_) => {}
    }
}

fn row_of(intent: &Intent<'_>) -> Row {
    Row {
        merchant: intent.merchant,
        batch: intent.batch,
        stan: intent.stan,
        kind: intent.kind,
        books: match intent.sign {
            1 => Books::Debit,
            -1 => Books::Credit,
            _ => Books::None,
        },
        minor: intent.amount.minor,
        state: State::InDoubt,
    }
}

/// How two books differ, counted by what it means for the money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The terminal holds an approval that the other side does not have.
    pub(super) lost: u64,
    /// The other side has money that the terminal holds no approval for.
    pub(super) doubled: u64,
}

impl Wrong {
    /// Counts rows; terminals, where the two sides number differently and rows cannot be compared.
    pub(super) fn of(differences: &[Difference]) -> Self {
        let mut wrong = Self::default();
        for difference in differences {
            if difference.rows.is_empty() {
                let less = difference.theirs.approved < difference.ours.approved;
                wrong.lost += u64::from(less);
                wrong.doubled += u64::from(!less);
            }
            for row in &difference.rows {
                let held = row.ours.is_some_and(|row| row.state == State::Approved);
                wrong.lost += u64::from(held);
                wrong.doubled += u64::from(!held);
            }
        }
        wrong
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Stan, Timestamp};
    use crate::store::Outcome;
    use crate::store::record::{begin_group, end_group};

    fn terminal() -> TerminalId {
        TerminalId::parse("T0000001").unwrap()
    }

    fn intent(txn: u64, stan: u32, sign: i8) -> Record {
        Record::Intent(Box::new(Intent {
            stan: Stan::new(stan).unwrap(),
            sign,
            ..crate::store::record::tests::intent(txn)
        }))
    }

    fn outcome(txn: u64, kind: OutcomeKind) -> Record {
        Record::Outcome(Outcome {
            txn: TxnId(txn),
            at: Timestamp(2),
            kind,
            code: *b"00",
            booked: if kind == OutcomeKind::Approved {
                1_050
            } else {
                0
            },
            answer: Box::default(),
        })
    }

    fn read(records: &[Record]) -> JournalBooks {
        let folder = tempfile::tempdir().unwrap();
        let folder = SqliteFolder::open(folder.path()).unwrap();
        let mut group = Vec::new();
        begin_group(&mut group);
        records.iter().for_each(|record| record.encode(&mut group));
        end_group(&mut group);
        let count = u32::try_from(records.len()).unwrap();
        folder.journal().unwrap().append(&group, count).unwrap();
        JournalBooks::read(&folder).unwrap()
    }

    #[test]
    fn the_last_word_on_a_transaction_counts() {
        use OutcomeKind::{Approved, Declined, Parked, ReversalOwed, Reversed};
        let books = read(&[
            intent(1, 1, 1),
            outcome(1, Approved),
            intent(2, 2, 1),
            outcome(2, ReversalOwed),
            outcome(2, Reversed),
            intent(3, 3, -1),
            outcome(3, Approved),
            intent(4, 4, 1),
            outcome(4, Approved),
            outcome(4, ReversalOwed),
            intent(5, 5, 1),
            intent(6, 6, 1),
            outcome(6, Parked),
            intent(7, 7, 1),
            outcome(7, Declined),
            intent(8, 1, 1),
        ]);
        let totals = books.ledger.totals();
        assert_eq!((totals.approved, totals.reversed), (2, 1));
        assert_eq!(totals.net_minor, 0);
        assert_eq!((books.open, books.parked), (3, 1));
        assert_eq!((books.numbers_twice, books.records), (1, 16));
        assert_eq!(books.model_differs, []);
    }

    #[test]
    fn what_one_side_lacks_is_lost_and_what_it_has_too_much_is_doubled() {
        let row = |stan| Row {
            state: State::Approved,
            ..match intent(1, stan, 1) {
                Record::Intent(intent) => row_of(&intent),
                other => panic!("{other:?}"),
            }
        };
        let ledger = |stans: &[u32]| {
            let mut ledger = Ledger::default();
            for stan in stans {
                ledger.book(terminal(), row(*stan));
            }
            ledger
        };
        let (terminals, host) = (ledger(&[1, 2]), ledger(&[2, 3, 4]));
        let by_rows = Wrong::of(&terminals.diff(&host));
        assert_eq!((by_rows.lost, by_rows.doubled), (1, 2));
        let by_sums = Wrong::of(&terminals.diff_totals(&host));
        assert_eq!((by_sums.lost, by_sums.doubled), (0, 1));
        assert!(Wrong::of(&terminals.diff(&terminals)).is_none());
    }
}
