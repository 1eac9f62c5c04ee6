//! Limits at work: what a request is to the counters from its acceptance to its end.
//!
//! Every step is made with the terminal's lane held, so that what a reversal takes back is what was counted.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::effects::Effect;
use super::forward::Passed;
use super::{Switch, Waiting};
use crate::base::calendar::Civil;
use crate::base::{Amount, Currency, MerchantId, Timestamp, TxnId};
use crate::binding::counters::{Counted, Tally, Told};
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
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    let offset = jiff::Timestamp::from_microsecond(micros)
        .map_or(0, |at| jiff::tz::TimeZone::system().to_offset(at).seconds());
    let civil = Civil::local(at, offset);
    let year = u32::try_from(civil.year).unwrap_or(0);
    Day(year * 10_000 + u32::from(civil.month) * 100 + u32::from(civil.day))
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
        let counters = self.directory.counters();
        let now = self.clock.wall();
        let begun: BTreeSet<_> = counters.begin_past(day_of(now)).into_iter().collect();
        if begun.is_empty() {
            return Ok(());
        }
        let from = Timestamp(now.0.saturating_sub(MONTH_MICROS));
        let read = reader.sold(from, &mut |sold: Sold| {
            let counted = Counted {
                key: sold.key,
                binding: sold.binding,
                account: sold.account,
                merchant: sold.merchant,
                amount: sold.amount,
                day: day_of(sold.at),
            };
            counters.tell_past(&begun, &counted, sold.txn);
        });
        let all = match read {
            Ok(()) => Told::Everything,
            Err(_) => Told::NotEverything,
        };
        counters.end_past(&begun, all);
        read
    }
}
