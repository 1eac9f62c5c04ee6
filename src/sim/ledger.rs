//! The books of a simulator: what each terminal or host believes to have moved money.
//!
//! The host and the terminals each keep one of their own, from what *they* saw. When both agree, the
//! gateway between them has neither lost nor doubled money: that is what the demo and the tests compare.
//! Rows are only added; a row's state is the only thing that changes.

use std::collections::HashMap;

use crate::base::limits::SIM_LEDGER_ROWS_MAX;
use crate::base::{BatchNumber, MerchantId, RequestType, Stan, TerminalId};
use crate::iso8583::Books;

/// What became of a request that moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Sent, and its fate is not known (terminals only).
    InDoubt,
    /// Approved and standing.
    Approved,
    /// Declined, or known never to have been approved.
    Declined,
    /// Undone by a reversal.
    Reversed,
    /// A reversal came before its original: the original must never be booked (hosts only).
    Barred,
}

/// One request that moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Merchant it was made for.
    pub merchant: MerchantId,
    /// Batch it was made in, zero where the dialect has none.
    pub batch: BatchNumber,
    /// Its trace number.
    pub stan: Stan,
    /// What it wanted.
    pub kind: RequestType,
    /// In whose favour it is booked.
    pub books: Books,
    /// Amount in minor units.
    pub minor: u64,
    /// What became of it.
    pub state: State,
}

impl Row {
    /// What the row moves in the merchant's favour, in minor units: zero unless it stands.
    #[must_use]
    pub fn net(&self) -> i128 {
        match (self.state, self.books) {
            (State::Approved, Books::Debit) => i128::from(self.minor),
            (State::Approved, Books::Credit) => -i128::from(self.minor),
            (State::Approved, Books::None)
            | (State::InDoubt | State::Declined | State::Reversed | State::Barred, _) => 0,
        }
    }

    fn same_request(&self, other: &Self) -> bool {
        (self.kind, self.minor, self.merchant) == (other.kind, other.minor, other.merchant)
    }
}

/// Sums over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows that stand.
    pub approved: u64,
    /// Rows undone by a reversal.
    pub reversed: u64,
    /// Rows whose fate is not known.
    pub in_doubt: u64,
    /// Sum in the merchants' favour, in minor units.
    pub net_minor: i128,
}

impl Totals {
    fn add(&mut self, row: &Row) {
        match row.state {
            State::Approved => self.approved += 1,
            State::Reversed => self.reversed += 1,
            State::InDoubt => self.in_doubt += 1,
            State::Declined | State::Barred => {}
        }
        self.net_minor += row.net();
    }

    fn merge(&mut self, other: &Self) {
        self.approved += other.approved;
        self.reversed += other.reversed;
        self.in_doubt += other.in_doubt;
        self.net_minor += other.net_minor;
    }
}

/// What [`Ledger::book`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// The row is new and now stands in the ledger.
    New,
    /// The same request was booked before; nothing changed.
    Repeat(State),
    /// Another request has this batch and trace number; nothing changed.
    Conflict,
    /// A reversal for it came first; it must not be booked.
    Barred,
    /// The ledger holds as many rows as it may; nothing changed.
    Full,
}

/// What [`Ledger::reverse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// The original stood and is now undone.
    Now,
    /// The original was undone or declined before; nothing changed.
    Before,
    /// No original is known; one that comes later will be barred.
    Unknown,
}

/// Rows by terminal.
#[derive(Clone, Debug)]
pub struct Ledger {
    terminals: HashMap<TerminalId, Account>,
    rows: usize,
    rows_max: usize,
}

#[derive(Clone, Debug, Default)]
struct Account {
    rows: Vec<Row>,
    places: HashMap<(BatchNumber, Stan), u32>,
}

impl Account {
    fn place(&self, batch: BatchNumber, stan: Stan) -> Option<usize> {
        usize::try_from(*self.places.get(&(batch, stan))?).ok()
    }

    fn find(&mut self, batch: BatchNumber, stan: Stan) -> Option<&mut Row> {
        let place = self.place(batch, stan)?;
        self.rows.get_mut(place)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_rows_max(SIM_LEDGER_ROWS_MAX)
    }
}

impl Ledger {
    /// An empty ledger that refuses more than `rows_max` rows.
    #[must_use]
    pub fn with_rows_max(rows_max: usize) -> Self {
        Self {
            terminals: HashMap::new(),
            rows: 0,
            rows_max: rows_max.min(SIM_LEDGER_ROWS_MAX),
        }
    }

    /// Adds a request, unless it is there already.
    pub fn book(&mut self, terminal: TerminalId, row: Row) -> Booked {
        let account = self.terminals.entry(terminal).or_default();
        if let Some(known) = account.find(row.batch, row.stan) {
            return match known.state {
                State::Barred => Booked::Barred,
                state if known.same_request(&row) => Booked::Repeat(state),
                _ => Booked::Conflict,
            };
        }
        if self.rows >= self.rows_max {
            return Booked::Full;
        }
        self.rows += 1;
        let place = u32::try_from(account.rows.len()).unwrap_or(u32::MAX);
        account.places.insert((row.batch, row.stan), place);
        account.rows.push(row);
        Booked::New
    }

    /// Undoes a request. One that is not known is barred from then on, so that an original that was
    /// overtaken by its reversal never counts. `fallback` says what the barred row shows.
    pub fn reverse(&mut self, terminal: TerminalId, fallback: Row) -> Undone {
        let account = self.terminals.entry(terminal).or_default();
        let Some(known) = account.find(fallback.batch, fallback.stan) else {
            let state = State::Barred;
            self.book(terminal, Row { state, ..fallback });
            return Undone::Unknown;
        };
        match known.state {
            State::Approved | State::InDoubt => {
                known.state = State::Reversed;
                Undone::Now
            }
            State::Reversed | State::Declined => Undone::Before,
            State::Barred => Undone::Unknown,
        }
    }

    /// Records the fate of a row. False when there is no such row.
    pub fn settle(
        &mut self,
        terminal: TerminalId,
        (batch, stan): (BatchNumber, Stan),
        state: State,
    ) -> bool {
        let row = self
            .terminals
            .get_mut(&terminal)
            .and_then(|account| account.find(batch, stan));
        row.map(|row| row.state = state).is_some()
    }

    /// One row.
    #[must_use]
    pub fn row(&self, terminal: TerminalId, batch: BatchNumber, stan: Stan) -> Option<&Row> {
        let account = self.terminals.get(&terminal)?;
        account.rows.get(account.place(batch, stan)?)
    }

    /// Terminals with at least one row, ascending.
    #[must_use]
    pub fn terminals(&self) -> Vec<TerminalId> {
        let mut all: Vec<_> = self.terminals.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// The rows of one terminal, in the order in which they were added.
    #[must_use]
    pub fn rows(&self, terminal: TerminalId) -> &[Row] {
        self.terminals
            .get(&terminal)
            .map_or(&[], |account| &account.rows)
    }

    /// Sums over one terminal.
    #[must_use]
    pub fn totals_of(&self, terminal: TerminalId) -> Totals {
        let mut totals = Totals::default();
        self.rows(terminal).iter().for_each(|row| totals.add(row));
        totals
    }

    /// Sums over all terminals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for terminal in self.terminals() {
            totals.merge(&self.totals_of(terminal));
        }
        totals
    }

    /// Where two ledgers differ in what stands, row by row: empty when they agree to the cent. Rows are
    /// compared by batch and trace number, so both sides must see the same ones.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Vec<Difference> {
        self.compare(other, |ours, theirs| {
            let mut rows = row_differences(ours, theirs);
            rows.sort_unstable_by_key(|row| (row.batch, row.stan));
            (!rows.is_empty()).then_some(rows)
        })
    }

    /// Where two ledgers differ in count and sum of what stands per terminal. For a host that sees other
    /// trace numbers than its terminals do, because the gateway puts its own.
    #[must_use]
    pub fn diff_totals(&self, other: &Self) -> Vec<Difference> {
        let sums = |rows: &[Row]| {
            let mut totals = Totals::default();
            rows.iter().for_each(|row| totals.add(row));
            (totals.approved, totals.net_minor)
        };
        self.compare(other, |ours, theirs| {
            (sums(ours) != sums(theirs)).then(Vec::new)
        })
    }

    fn compare(
        &self,
        other: &Self,
        differ: impl Fn(&[Row], &[Row]) -> Option<Vec<RowDifference>>,
    ) -> Vec<Difference> {
        let mut terminals = self.terminals();
        terminals.extend(other.terminals());
        terminals.sort_unstable();
        terminals.dedup();
        let found = terminals.into_iter().filter_map(|terminal| {
            let rows = differ(self.rows(terminal), other.rows(terminal))?;
            Some(Difference {
                terminal,
                ours: self.totals_of(terminal),
                theirs: other.totals_of(terminal),
                rows,
            })
        });
        found.collect()
    }
}

/// One terminal on which two ledgers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The terminal.
    pub terminal: TerminalId,
    /// Sums of the ledger that was asked.
    pub ours: Totals,
    /// Sums of the other.
    pub theirs: Totals,
    /// The rows that differ, ascending by batch and trace number; empty from [`Ledger::diff_totals`].
    pub rows: Vec<RowDifference>,
}

/// One row on which two ledgers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// Batch of the row.
    pub batch: BatchNumber,
    /// Trace number of the row.
    pub stan: Stan,
    /// The row in the ledger that was asked.
    pub ours: Option<Row>,
    /// The row in the other.
    pub theirs: Option<Row>,
}

fn row_differences(ours: &[Row], theirs: &[Row]) -> Vec<RowDifference> {
    let by_key = |rows: &[Row]| -> HashMap<_, _> {
        rows.iter()
            .map(|row| ((row.batch, row.stan), *row))
            .collect()
    };
    let standing = |row: Option<&Row>| {
        row.filter(|r| r.state == State::Approved)
            .map(|r| (r.net(), r.kind))
    };
    let (left, right) = (by_key(ours), by_key(theirs));
    let mut keys: Vec<_> = left.keys().chain(right.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let differing = keys.into_iter().filter_map(|key| {
        let (mine, other) = (left.get(&key), right.get(&key));
        (standing(mine) != standing(other)).then(|| RowDifference {
            batch: key.0,
            stan: key.1,
            ours: mine.copied(),
            theirs: other.copied(),
        })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> TerminalId {
        TerminalId::parse("T0000001").unwrap()
    }

    fn row(stan: u32, minor: u64) -> Row {
        Row {
            merchant: MerchantId::parse("M1").unwrap(),
            batch: BatchNumber::FIRST,
            stan: Stan::new(stan).unwrap(),
            kind: RequestType::NewMoney,
            books: Books::Debit,
            minor,
            state: State::Approved,
        }
    }

    fn ledger(rows: &[Row]) -> Ledger {
        let mut ledger = Ledger::default();
        for row in rows {
            assert_eq!(ledger.book(terminal(), *row), Booked::New);
        }
        ledger
    }

    #[test]
    fn credits_and_reversals_take_away() {
        let void = Row {
            books: Books::Credit,
            kind: RequestType::Void,
            ..row(2, 500)
        };
        let mut ledger = ledger(&[row(1, 500), void, row(3, 70)]);
        assert_eq!(ledger.totals().net_minor, 70);
        assert_eq!(ledger.reverse(terminal(), row(3, 70)), Undone::Now);
        assert_eq!(ledger.reverse(terminal(), row(3, 70)), Undone::Before);
        let want = Totals {
            approved: 2,
            reversed: 1,
            in_doubt: 0,
            net_minor: 0,
        };
        assert_eq!(ledger.totals(), want);
    }

    #[test]
    fn repeat_is_booked_once_and_other_content_is_a_conflict() {
        let mut ledger = ledger(&[row(1, 500)]);
        let again = ledger.book(terminal(), row(1, 500));
        assert_eq!(again, Booked::Repeat(State::Approved));
        assert_eq!(ledger.book(terminal(), row(1, 501)), Booked::Conflict);
        assert_eq!(ledger.totals().net_minor, 500);
    }

    #[test]
    fn original_after_its_reversal_is_barred() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.reverse(terminal(), row(1, 500)), Undone::Unknown);
        assert_eq!(ledger.reverse(terminal(), row(1, 500)), Undone::Unknown);
        assert_eq!(ledger.book(terminal(), row(1, 500)), Booked::Barred);
        assert_eq!(ledger.totals(), Totals::default());
    }

    #[test]
    fn full_ledger_books_nothing_more() {
        let mut ledger = Ledger::with_rows_max(1);
        assert_eq!(ledger.book(terminal(), row(1, 5)), Booked::New);
        assert_eq!(ledger.book(terminal(), row(2, 5)), Booked::Full);
        let again = ledger.book(terminal(), row(1, 5));
        assert_eq!(again, Booked::Repeat(State::Approved));
    }

    #[test]
    fn rows_that_do_not_stand_agree_with_missing_ones() {
        let mut ours = ledger(&[row(1, 5), row(2, 7)]);
        let theirs = ledger(&[row(1, 5)]);
        let found = ours.diff(&theirs);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rows.len(), 1);
        assert_eq!(found[0].rows[0].theirs, None);
        assert_eq!(ours.diff_totals(&theirs).len(), 1);

        let key = (BatchNumber::FIRST, Stan::new(2).unwrap());
        assert!(ours.settle(terminal(), key, State::Declined));
        assert_eq!(ours.diff(&theirs), []);
        assert_eq!(ours.diff_totals(&theirs), []);
    }

    #[test]
    fn equal_sums_over_other_rows_still_differ() {
        let (ours, theirs) = (ledger(&[row(1, 5)]), ledger(&[row(2, 5)]));
        assert_eq!(ours.diff_totals(&theirs), []);
        assert_eq!(ours.diff(&theirs)[0].rows.len(), 2);
    }
}
