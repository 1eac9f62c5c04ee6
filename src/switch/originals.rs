//! The original that a void, completion or refund names: found in the read model, and judged.
//!
//! Both on the thread that looks things up, and what was judged good is accepted there: so two requests that
//! name the same original never both see it as the other one found it ([`Claims`]).
//!
//! [`Claims`]: crate::transaction::originals::Claims

use super::Switch;
use super::forward::{Named, sign_of};
use super::limits::tally_of;
use super::lookup::Job;
use crate::base::calendar::Civil;
use crate::base::{
    AccountId, BatchNumber, Currency, MaskedPan, RequestType, Stan, Timestamp, TxnId,
};
use crate::binding::counters::Tally;
use crate::iso8583::{Message, Request};
use crate::store::read_model::Query;
use crate::store::{OutcomeKind, ReadModel, StoreError, TransactionRow};
use crate::transaction::originals::{
    FollowUps, Following, NotFollowing, Standing, follows, may_follow, meant_by,
};

/// Days that an original named without its date may be old.
const UNDATED_DAYS_MAX: u64 = 31;

/// Transactions with the same reference number or authorisation code that are looked at, the latest first.
const CANDIDATES_MAX: usize = 16;

const MICROS_A_DAY: u64 = 86_400_000_000;

/// How a request names an earlier transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OriginalName {
    /// By where this terminal sent it, or one that it took over from; the upstream's reference number, if that is
    /// named too, tells two at one place apart.
    Place {
        batch: BatchNumber,
        stan: Stan,
        rrn: Option<String>,
    },
    /// By the upstream's reference number.
    Rrn { rrn: String, date: Option<u16> },
    /// By the upstream's authorisation code, which is unique for a card at most.
    Approval { code: String, date: Option<u16> },
}

impl OriginalName {
    /// What the message names, in the way its dialect has for it. A place before a number, a number before
    /// a code.
    pub(super) fn of(message: &Message<'_>, kind: RequestType) -> Option<Self> {
        let original = message.original().unwrap_or_default();
        let roles = message.dialect().roles().original;
        let date = original.date;
        let text = |de: u8| {
            let bytes = (de != 0).then(|| message.value(de)).flatten()?;
            let text = str::from_utf8(&bytes).ok()?.trim();
            (!text.is_empty() && text.bytes().any(|b| b != b'0')).then(|| text.to_owned())
        };
        if let Some(stan) = original.stan {
            let batch = original.batch.unwrap_or_default();
            // A reversal names what this terminal sent, which is one thing.
            let rrn = follows(kind).then(|| text(roles.rrn)).flatten();
            return Some(Self::Place { batch, stan, rrn });
        }
        if !follows(kind) {
            return None;
        }
        text(roles.rrn)
            .map(|rrn| Self::Rrn { rrn, date })
            .or_else(|| text(roles.approval_code).map(|code| Self::Approval { code, date }))
    }
}

impl Switch {
    /// What was sent at a place under a binding that the terminal id has or had, of the merchant that the request
    /// names; and, for what is named on purpose, under those that it took over from, which number alike.
    pub(super) fn find_at(
        &self,
        job: &Job,
        message: &Message<'_>,
        (batch, stan, rrn): (BatchNumber, Stan, Option<&str>),
        kind: RequestType,
        model: &mut dyn ReadModel,
    ) -> Result<Option<TransactionRow>, StoreError> {
        let current = self
            .directory
            .find(job.key)
            .ok()
            .flatten()
            .map(|a| a.binding);
        let former = self.directory.former(job.key);
        let merchant = message.merchant();
        // Only what is named on purpose is looked for where the shop traded before: a reversal names what this
        // very terminal sent.
        let before = if follows(kind) {
            self.directory.predecessors(job.key)
        } else {
            Vec::new()
        };
        let own = current.into_iter().chain(former.into_iter().rev());
        let mut found = Vec::new();
        for binding in own.chain(before.into_iter().rev()) {
            let row = model.find(binding, batch, stan)?;
            found.extend(row.filter(|row| merchant.is_none_or(|m| m.as_str() == row.merchant)));
        }
        let numbers: Vec<_> = found.iter().map(rrn_of).collect();
        let meant = meant_by(&numbers, rrn);
        Ok(meant.map(|at| found.swap_remove(at)))
    }

    /// The original that a request names, and whether the request may follow it. `None` when it names none.
    pub(super) fn judge_original(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        model: &mut dyn ReadModel,
    ) -> Result<Option<Named>, StoreError> {
        let Some(name) = OriginalName::of(message, request.kind) else {
            return Ok(None);
        };
        let following = following(message, request);
        let found = match &name {
            // Whoever agreed to it said which one he means.
            _ if let Some(refund) = &job.staff => model.transaction(refund.original.txn)?,
            OriginalName::Place { batch, stan, rrn } => {
                let place = (*batch, *stan, rrn.as_deref());
                self.find_at(job, message, place, request.kind, model)?
            }
            OriginalName::Rrn { rrn, date } => {
                let query = Query {
                    rrn: Some(rrn.clone()),
                    ..Query::default()
                };
                self.find_by(job, message, &following, query, *date, model)?
            }
            OriginalName::Approval { code, date } => {
                let query = Query {
                    approval_code: Some(code.clone()),
                    ..Query::default()
                };
                let found = self.find_by(job, message, &following, query, *date, model)?;
                // Another card's transaction may have the same code.
                found.filter(|row| same_card(following.card, row.pan))
            }
        };
        // A group with STANs of its own cannot be told by STAN of an original that is not known here.
        let own_stans = self.group_of(self.policy(&job.session)).stans.is_own();
        let by_place = matches!(name, OriginalName::Place { .. });
        let unnameable = found.is_none() && own_stans && by_place;
        let standing = match &found {
            Some(row) => Some(self.standing(row, model)?),
            None => None,
        };
        Ok(Some(Named {
            txn: found.as_ref().map_or(TxnId(0), |row| row.txn),
            key: found.as_ref().map_or(job.key, |row| row.key),
            upstream_stan: found.as_ref().map(|row| row.upstream_stan),
            verdict: if unnameable {
                Err(NotFollowing::Unknown)
            } else {
                may_follow(&following, standing.as_ref())
            },
            account: found.as_ref().map(|row| AccountId(row.account)),
            held: found.as_ref().is_some_and(|row| row.held),
            counted: found
                .as_ref()
                .filter(|_| self.directory.counters().any())
                .and_then(tally_of)
                .and_then(Tally::added),
        }))
    }

    /// The shop's transaction with that number or code, the latest that a request of this kind and card can
    /// mean; if there is none, the latest of all, so that the request is told what is wrong with it.
    fn find_by(
        &self,
        job: &Job,
        message: &Message<'_>,
        following: &Following,
        query: Query,
        date: Option<u16>,
        model: &mut dyn ReadModel,
    ) -> Result<Option<TransactionRow>, StoreError> {
        let Some(merchant) = message.merchant() else {
            return Ok(None);
        };
        let Some(from) = self.not_before(date) else {
            return Ok(None);
        };
        let query = Query {
            acquirer: Some(job.key.acquirer),
            merchant: Some(merchant),
            from: Some(from),
            // The terminal's clock and ours may not agree about the day.
            to: date.map(|_| Timestamp(from.0.saturating_add(3 * MICROS_A_DAY))),
            ..query
        };
        let candidates = model.latest(&query, CANDIDATES_MAX)?;
        let means = |row: &&TransactionRow| {
            let standing = standing_of(row, FollowUps::default());
            let other = [NotFollowing::Kind, NotFollowing::Card];
            !may_follow(following, Some(&standing)).is_err_and(|why| other.contains(&why))
        };
        let meant = candidates.iter().find(means).or_else(|| candidates.first());
        Ok(meant.cloned())
    }

    /// When an original of that local date (month * 100 + day) was sent at the earliest: the day before its
    /// last occurrence. `None` for a day that no year has.
    fn not_before(&self, date: Option<u16>) -> Option<Timestamp> {
        let now = self.clock.wall();
        let Some(date) = date else {
            let age = UNDATED_DAYS_MAX * MICROS_A_DAY;
            return Some(Timestamp(now.0.saturating_sub(age)));
        };
        let offset = self.zone_offset.load(std::sync::atomic::Ordering::Relaxed);
        // Tomorrow where we are may be today where the terminal is.
        let tomorrow = now.0.saturating_add(MICROS_A_DAY);
        let day = (0..=366).find_map(|back| {
            let at = tomorrow.checked_sub(back * MICROS_A_DAY)?;
            let civil = Civil::local(Timestamp(at), offset);
            let same = u16::from(civil.month) * 100 + u16::from(civil.day) == date;
            let midnight = u64::from(civil.hour) * 3_600
                + u64::from(civil.minute) * 60
                + u64::from(civil.second);
            same.then(|| at.saturating_sub(midnight * 1_000_000))
        })?;
        Some(Timestamp(day.saturating_sub(MICROS_A_DAY)))
    }

    /// How an original stands: what the read model shows of it, and what was accepted since.
    pub(super) fn standing(
        &self,
        row: &TransactionRow,
        model: &mut dyn ReadModel,
    ) -> Result<Standing, StoreError> {
        Ok(standing_of(row, self.follow_ups(row.txn, model)?))
    }

    /// What follows a transaction.
    pub(super) fn follow_ups(
        &self,
        original: TxnId,
        model: &mut dyn ReadModel,
    ) -> Result<FollowUps, StoreError> {
        let mut follow_ups = model.follow_ups(original)?;
        let mut claims = self.claims();
        let mut shown = |txn| Ok(model.transaction(txn)?.is_some());
        claims.count_in(original, &mut follow_ups, &mut shown)?;
        claims.sweep(&mut shown)?;
        Ok(follow_ups)
    }
}

/// The request as what follows is judged.
fn following(message: &Message<'_>, request: &Request) -> Following {
    let amount = message.amount();
    Following {
        kind: request.kind,
        sign: sign_of(request),
        amount: amount.map_or(0, |amount| amount.minor),
        currency: amount.map(|amount| amount.currency).filter(is_named),
        card: message.pan().map_or(MaskedPan::NONE, |pan| pan.masked()),
    }
}

fn standing_of(row: &TransactionRow, follow_ups: FollowUps) -> Standing {
    let booked = row
        .outcome
        .as_ref()
        .filter(|outcome| outcome.kind == OutcomeKind::Approved)
        .map(|outcome| outcome.booked);
    Standing {
        approved: booked.is_some(),
        booked: booked.unwrap_or(row.amount),
        currency: Currency::from_slice(row.currency.as_bytes()).filter(is_named),
        kind: row.kind,
        sign: row.sign,
        card: row.pan,
        follow_ups,
    }
}

fn rrn_of(row: &TransactionRow) -> Option<&str> {
    row.outcome.as_ref()?.rrn.as_deref().map(str::trim)
}

fn is_named(currency: &Currency) -> bool {
    *currency != Currency::NONE
}

fn same_card(one: MaskedPan, other: MaskedPan) -> bool {
    one == MaskedPan::NONE || other == MaskedPan::NONE || one == other
}
