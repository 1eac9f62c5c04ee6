//! Limits at work: what a request is to the counters from its acceptance to its end.
//!
//! Every step is made with the terminal's lane held, so that what a reversal takes back is what was counted.

use std::ops::Range;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;

use super::effects::Effect;
use super::forward::Passed;
use super::{Switch, Waiting};
use crate::base::calendar::Civil;
use crate::base::{Amount, Currency, MerchantId, Timestamp, TxnId};
use crate::binding::counters::{Counted, Counters, Tally, Told};
use crate::binding::limit::{Day, counts};
use crate::binding::{DeclineReason, TerminalKey};
use crate::store::read_model::Sold;
use crate::store::{
    JournalError, OutcomeKind, ReadModel, StoreError, TransactionReader, TransactionRow,
};

/// Longer than any month, and the day before it: zones differ.
const MONTH_MICROS: u64 = 33 * 86_400 * 1_000_000;

/// The local date of a moment, as the settlement file has it.
#[must_use]
pub fn day_of(at: Timestamp) -> Day {
    day_and_offset(&TimeZone::system(), at).0
}

/// The date of a moment in a zone, and how many seconds that is ahead of UTC then.
fn day_and_offset(zone: &TimeZone, at: Timestamp) -> (Day, i32) {
    let offset = moment(at).map_or(0, |at| zone.to_offset(at).seconds());
    let civil = Civil::local(at, offset);
    // What no calendar has is the year 0.
    let year = u32::try_from(civil.year).ok().filter(|year| *year < 10_000);
    let day = Day(year.unwrap_or(0) * 10_000 + u32::from(civil.month) * 100 + u32::from(civil.day));
    (day, offset)
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(at.0).ok()?).ok()
}

/// Dates of many moments, most of which lie near the one before: the zone is asked once for a day of them.
#[derive(Debug)]
struct Days {
    zone: TimeZone,
    day: Day,
    /// Microseconds that have this date, not all of them.
    range: Range<u64>,
}

impl Days {
    const fn of_zone(zone: TimeZone) -> Self {
        Self {
            zone,
            day: Day(0),
            range: 0..0,
        }
    }

    fn of(&mut self, at: Timestamp) -> Day {
        if !self.range.contains(&at.0) {
            let (day, offset) = day_and_offset(&self.zone, at);
            self.day = day;
            self.range = self.same_day(at, offset);
        }
        self.day
    }

    /// From one midnight to the next, cut where the offset changes. Days may have 23 or 25 hours, and an hour around
    /// midnight may come twice.
    fn same_day(&self, at: Timestamp, offset: i32) -> Range<u64> {
        const DAY_MICROS: i64 = 86_400 * 1_000_000;
        let (Some(moment), Ok(micros)) = (moment(at), i64::try_from(at.0)) else {
            return 0..0;
        };
        let since_midnight = (micros + i64::from(offset) * 1_000_000).rem_euclid(DAY_MICROS);
        let midnight = micros - since_midnight;
        // A change at this very moment is behind it.
        let behind = moment.checked_add(SignedDuration::from_nanos(1));
        let changed = self.zone.preceding(behind.unwrap_or(moment)).next();
        let changes = self.zone.following(moment).next();
        let micros = |at: jiff::tz::TimeZoneTransition<'_>| at.timestamp().as_microsecond();
        let first = changed.map_or(midnight, |at| midnight.max(micros(at)));
        let end = midnight + DAY_MICROS;
        let end = changes.map_or(end, |at| end.min(micros(at)));
        u64::try_from(first).unwrap_or(0)..u64::try_from(end).unwrap_or(0)
    }
}

/// What a transaction of the read model counts, over that many minor units.
pub(super) fn counted_of(row: &TransactionRow, minor: u64) -> Counted {
    let currency = Currency::from_slice(row.currency.as_bytes()).unwrap_or(Currency::NONE);
    Counted {
        key: row.key,
        binding: row.binding,
        account: crate::base::AccountId(row.account),
        merchant: MerchantId::parse(&row.merchant).unwrap_or(MerchantId::from_padded([b' '; 15])),
        amount: Amount { minor, currency },
        day: day_of(row.at),
    }
}

/// What a transaction of the read model did to the counters, if it was counted by itself.
pub(super) fn tally_of(row: &TransactionRow) -> Option<Tally> {
    let booked = row
        .outcome
        .as_ref()
        .filter(|outcome| outcome.kind == OutcomeKind::Approved)
        .map_or(row.amount, |outcome| outcome.booked);
    Tally::of(row.kind, row.sign, counted_of(row, booked), None)
}

impl Switch {
    /// Counts a request that is about to be accepted as this transaction, where a limit concerns its terminal.
    /// `original` is what it voids, where that counts.
    ///
    /// # Errors
    /// The limit that it does not fit; it is not counted then.
    pub(super) fn count(
        &self,
        passed: &Passed<'_>,
        txn: TxnId,
        at: Timestamp,
        amount: Option<Amount>,
        sign: i8,
        original: Option<(TxnId, Counted)>,
    ) -> Result<Option<Tally>, DeclineReason> {
        let admission = passed.admission;
        // What an account that is no longer the binding's counts may be limited for the terminal or its merchant.
        let own = admission.accounts.iter().map(|(_, account)| account);
        let mut concerned = own.chain([passed.account]);
        if !concerned.any(|account| self.directory.is_limited(account)) {
            return Ok(None);
        }
        let own = Counted {
            key: passed.key,
            binding: admission.binding,
            account: passed.account,
            merchant: admission.merchant,
            amount: amount.unwrap_or(Amount {
                minor: 0,
                currency: Currency::NONE,
            }),
            day: day_of(at),
        };
        let kind = passed.request.kind;
        let tally = Tally::of(kind, sign, own, original);
        if let Some(Tally::Adds(counted)) = tally {
            let counters = self.directory.counters();
            counters.reserve(&counted, txn, counts(kind, sign))?;
        }
        Ok(tally)
    }

    /// What was accepted came to nothing.
    pub(super) fn uncount(&self, tally: Option<Tally>) {
        if let Some(tally) = tally {
            self.directory.counters().failed(tally);
        }
    }

    /// What was accepted was answered, and `booked` is what counts of it when it was approved.
    pub(super) fn counted(&self, waiting: &Waiting, booked: Option<u64>) {
        let Some(tally) = waiting.tally else {
            return;
        };
        let counters = self.directory.counters();
        match booked {
            Some(booked) => counters.approved(waiting.key, waiting.txn, tally, booked),
            None => counters.failed(tally),
        }
    }

    /// What was accepted is sent again until it is answered: it counts until then.
    pub(super) fn counts_on(&self, key: TerminalKey, txn: TxnId, tally: Option<Tally>) {
        if let Some(tally) = tally {
            self.directory.counters().remember(key, txn, tally);
        }
    }

    /// A repeat was answered, and `booked` is what counts of it when it was approved.
    pub(super) fn counted_late(&self, key: TerminalKey, txn: TxnId, booked: Option<u64>) {
        let counters = self.directory.counters();
        let Some(tally) = counters.recall(key, txn) else {
            return;
        };
        match booked {
            Some(booked) => counters.approved(key, txn, tally, booked),
            None => counters.failed(tally),
        }
    }

    /// What its lane remembers is reversed. `waiting`: it was not answered yet.
    pub(super) fn uncount_reversed(&self, key: TerminalKey, txn: TxnId, waiting: Option<&Waiting>) {
        match waiting {
            Some(waiting) => self.uncount(waiting.tally),
            None => {
                let counters = self.directory.counters();
                if let Some(tally) = counters.recall(key, txn) {
                    counters.undone(tally);
                }
            }
        }
    }

    /// What a transaction of the read model did to the counters; of a void what it voids.
    ///
    /// # Errors
    /// When reading fails.
    pub(super) fn tally_found(
        &self,
        row: &TransactionRow,
        model: &mut dyn ReadModel,
    ) -> Result<Option<Tally>, StoreError> {
        let approved = row
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.kind == OutcomeKind::Approved);
        if !approved || !self.directory.counters().any() {
            return Ok(None);
        }
        if row.original.0 == 0 {
            return Ok(tally_of(row));
        }
        let own = counted_of(
            row,
            row.outcome.as_ref().map_or(0, |outcome| outcome.booked),
        );
        let original = model.transaction(row.original)?;
        let original = original.as_ref().and_then(tally_of);
        let voided = original.and_then(Tally::added);
        let voided = voided.map(|counted| (row.original, counted));
        Ok(Tally::of(row.kind, row.sign, own, voided))
    }

    /// Tells when everything that was accepted up to now is durable.
    ///
    /// # Errors
    /// When nothing more is written.
    pub(crate) fn flushed(&self) -> Result<oneshot::Receiver<()>, JournalError> {
        let (tell, told) = oneshot::channel();
        self.journal
            .append(Effect::Tell(Some(tell)), |_nothing| {})?;
        Ok(told)
    }

    /// Tells counters that do not know it yet what was taken before they began: at a start, and behind a limit that
    /// was set. What is durable now has to be in the read model already.
    ///
    /// # Errors
    /// When reading fails; it is to be told once more then.
    pub(crate) fn tell_past(&self, reader: &mut dyn TransactionReader) -> Result<(), StoreError> {
        tell_past(self.directory.counters(), self.clock.wall(), reader)
    }
}

/// [`Switch::tell_past`], also while there is no switch yet.
///
/// # Errors
/// When reading fails; it is to be told once more then.
pub(super) fn tell_past(
    counters: &Counters,
    now: Timestamp,
    reader: &mut dyn TransactionReader,
) -> Result<(), StoreError> {
    let Some(look) = counters.begin_past(day_of(now)) else {
        return Ok(());
    };
    let from = Timestamp(now.0.saturating_sub(MONTH_MICROS));
    let mut days = Days::of_zone(TimeZone::system());
    let read = reader.sold(from, &mut |sold: Sold| {
        let counted = Counted {
            key: sold.key,
            binding: sold.binding,
            account: sold.account,
            merchant: sold.merchant,
            amount: sold.amount,
            day: days.of(sold.at),
        };
        counters.tell_past(&look, &counted, sold.txn);
    });
    let all = match read {
        Ok(()) => Told::Everything,
        Err(_) => Told::NotEverything,
    };
    counters.end_past(look, all);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments of two years, every seven minutes and around each change of the offset, in one order and in any.
    #[test]
    fn dates_of_many_moments_are_those_of_each() {
        // The clock goes back at two in the night, and at midnight, so that a date comes again.
        const ZONES: [&str; 4] = [
            "CST-8",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
            "EST5EDT,M3.2.0,M11.1.0",
        ];
        const FIRST: u64 = 1_767_225_600_000_000;
        const STEP: u64 = 7 * 60_000_000;
        const STEPS: u64 = 2 * 366 * 24 * 60 / 7;
        for zone in ZONES {
            let zone = TimeZone::posix(zone).unwrap();
            let mut all: Vec<_> = (0..STEPS).map(|n| FIRST + n * STEP).collect();
            let year = moment(Timestamp(FIRST)).unwrap();
            for change in zone.following(year).take(4) {
                let at = u64::try_from(change.timestamp().as_microsecond()).unwrap();
                all.extend([at - 1, at, at + 1]);
            }
            let mut shuffled = all.clone();
            fastrand::Rng::with_seed(1).shuffle(&mut shuffled);
            all.sort_unstable();
            all.extend(shuffled);
            let mut days = Days::of_zone(zone.clone());
            for at in all.into_iter().map(Timestamp) {
                let expect = day_and_offset(&zone, at).0;
                assert_eq!(days.of(at), expect, "{at:?} {zone:?}");
            }
            // What no calendar has is some day all the same.
            days.of(Timestamp(u64::MAX));
        }
    }

    #[test]
    fn the_zone_is_asked_once_a_day() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let mut days = Days::of_zone(zone);
        // 22 November 2026, noon.
        let noon = 1_795_345_200_000_000;
        assert_eq!(days.of(Timestamp(noon)), Day(20_261_122));
        assert_eq!(days.range, noon - 43_200_000_000..noon + 43_200_000_000);
    }
}
