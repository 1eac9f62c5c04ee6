//! By which day's file a transaction is paid: the read model says what was taken and what follows what, the
//! registry when it may be paid out.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::tz::TimeZone;

use super::inquiry::{Inquiry, InquiryError};
use super::when::{business_day, date_of};
use crate::base::{AccountId, BindingId, Timestamp, TxnId};
use crate::binding::payout::PayoutHistory;
use crate::store::settlement::{Class, Payout, held_under, waits_with_original};
use crate::store::{OutcomeKind, StoreError, TransactionReader, TransactionRow};

/// Histories that are remembered during one question.
const HISTORIES_MAX: usize = 10_000;

/// How many transactions may follow one another: a completion, its refund, the void of that.
const FOLLOWING_MAX: usize = 4;

/// The payouts of one day.
pub(super) struct Payouts {
    day: Range<Timestamp>,
    zone: TimeZone,
    /// Bindings that payouts of before were stopped for at any time.
    stopped: HashSet<BindingId>,
    histories: HashMap<BindingId, PayoutHistory>,
}

impl Payouts {
    pub(super) fn of(inquiry: &mut Inquiry, day: Range<Timestamp>) -> Result<Self, StoreError> {
        Ok(Self {
            day,
            zone: inquiry.zone.clone(),
            stopped: inquiry.registry.payouts_stopped()?.into_iter().collect(),
            histories: HashMap::new(),
        })
    }

    /// What was accepted on an earlier day and is paid by this one, by account and then by acceptance; of one account
    /// if that is asked for.
    pub(super) fn released(
        &mut self,
        inquiry: &mut Inquiry,
        account: Option<AccountId>,
    ) -> Result<Vec<(AccountId, TxnId)>, InquiryError> {
        let mut found = Vec::new();
        for binding in inquiry.registry.payouts_changed(self.day.clone())? {
            let zone = self.zone.clone();
            let start = self.day.start;
            let history = self.history(inquiry, binding)?;
            let day_of = |at| day_of(at, &zone);
            let Some(since) = history.waiting_since(start, &day_of) else {
                continue;
            };
            let Some(bound) = inquiry.registry.binding(binding)? else {
                continue;
            };
            let mut taken = Vec::new();
            inquiry
                .reader
                .taken_by(bound.key, binding, since..start, &mut |row| {
                    if row.sign != 0 && !waits_with_original(&row) {
                        taken.push(row);
                    }
                })?;
            for row in taken {
                self.with_followers(inquiry, row, &mut found)?;
            }
        }
        found.retain(|(of, _)| account.is_none_or(|only| only == *of));
        found.sort_unstable_by_key(|(account, txn)| (account.0, txn.0));
        found.dedup();
        Ok(found)
    }

    /// Adds a transaction that this day pays, and what followed it on earlier days.
    fn with_followers(
        &mut self,
        inquiry: &mut Inquiry,
        row: TransactionRow,
        found: &mut Vec<(AccountId, TxnId)>,
    ) -> Result<(), InquiryError> {
        if self.paid_in(inquiry, &row)?.as_ref() != Some(&self.day) {
            return Ok(());
        }
        let mut rows = vec![row];
        while let Some(row) = rows.pop() {
            found.push((AccountId(row.account), row.txn));
            let followers = inquiry.reader.followers(row.txn)?;
            let start = self.day.start;
            rows.extend(followers.into_iter().filter(|follower| {
                waits_with_original(follower) && follower.txn > row.txn && follower.at < start
            }));
        }
        Ok(())
    }

    /// When a transaction that is shown on this day is paid; `None` when it is not to be shown: it came to nothing
    /// before the day began that would pay it.
    pub(super) fn payout(
        &mut self,
        inquiry: &mut Inquiry,
        row: &TransactionRow,
    ) -> Result<Option<Payout>, InquiryError> {
        if row.at < self.day.start {
            let is_over = row.outcome.as_ref().is_some_and(|outcome| {
                let nothing = matches!(outcome.kind, OutcomeKind::Reversed | OutcomeKind::Closed);
                nothing && outcome.at < self.day.start
            });
            return Ok((!is_over).then_some(Payout::Late));
        }
        // What is not approved is shown as that.
        let is_net = Class::of(row).is_some_and(|(class, _)| class.is_net());
        let root = if is_net {
            self.root(inquiry, row)?
        } else {
            None
        };
        let day = match &root {
            Some(root) => self.paid_in(inquiry, root)?,
            None => return Ok(Some(Payout::OnItsDay)),
        };
        // What was released before waits for nothing any more.
        let paid = day.is_some_and(|day| day.start <= self.day.start);
        Ok(Some(if paid {
            Payout::OnItsDay
        } else {
            Payout::Waits
        }))
    }

    /// The transaction whose payout decides: itself, or what it follows in the end. `None` when that is not known here:
    /// what lowers the payout does not wait then.
    fn root(
        &self,
        inquiry: &mut Inquiry,
        row: &TransactionRow,
    ) -> Result<Option<TransactionRow>, StoreError> {
        let mut root = row.clone();
        for _ in 0..FOLLOWING_MAX {
            if !waits_with_original(&root) {
                return Ok(Some(root));
            }
            let original = match root.original {
                TxnId(0) => None,
                original => inquiry.reader.transaction(original)?,
            };
            let Some(original) = original else {
                return Ok(None);
            };
            root = original;
        }
        Ok(None)
    }

    /// The day that pays a transaction which follows none.
    fn paid_in(
        &mut self,
        inquiry: &mut Inquiry,
        row: &TransactionRow,
    ) -> Result<Option<Range<Timestamp>>, InquiryError> {
        let zone = self.zone.clone();
        let day_of = |at| day_of(at, &zone);
        let held_under = held_under(row);
        let may_wait =
            row.sign > 0 && (held_under.is_some() || self.stopped.contains(&row.binding));
        if !may_wait {
            return Ok(day_of(row.at));
        }
        let history = self.history(inquiry, row.binding)?;
        Ok(history.paid_in(held_under, row.at, &day_of))
    }

    fn history(
        &mut self,
        inquiry: &mut Inquiry,
        binding: BindingId,
    ) -> Result<&PayoutHistory, StoreError> {
        if self.histories.len() >= HISTORIES_MAX {
            self.histories.clear();
        }
        Ok(match self.histories.entry(binding) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => {
                empty.insert(inquiry.registry.payout_history(binding)?)
            }
        })
    }
}

/// The business day that a moment is in; `None` at the end of the calendar.
fn day_of(at: Timestamp, zone: &TimeZone) -> Option<Range<Timestamp>> {
    business_day(date_of(at, zone)?, zone).ok()
}
