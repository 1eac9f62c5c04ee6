//! Refunds that members of staff make for a terminal that does not.
//!
//! What two persons agreed to is written as the terminal would have written it, and then goes the way of every refund:
//! looked up with its original on the thread that judges originals, accepted into the terminal's lane, journalled before
//! it is sent, repeated until it is answered. Only the gate asks something else of it ([`staff_may_refund`]), and its
//! batch is the one that belongs to staff, where the number of the request for it makes its trace number: so whoever sends
//! the same once more finds what became of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::forward::Passed;
use super::lookup::Job;
use super::payee::Paying;
use super::remake::{Original, message_of};
use super::{ListenerPolicy, Switch};
use crate::base::calendar::Civil;
use crate::base::{AccountId, BatchNumber, RequestType, Stan};
use crate::binding::gate::staff_may_refund;
use crate::binding::{Admission, BindingState, DeclineReason};
use crate::iso8583::{
    Books, Dialect, FieldValue, Index, Message, Misshapen, Request, Served, StaffRefundRules,
    SubField, original_elements,
};
use crate::net::Session;
use crate::store::{JournalStore, StoreError, TransactionRow};

/// DE7: it says when a message was sent, in every edition.
const TRANSMITTED: u8 = 7;

/// Why a refund of staff's is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaffRefundError {
    /// No listener of the acquirer has the original's dialect and group.
    #[error(
        "no listener of its acquirer speaks {dialect} and sends to the group {group}, as the original did; configure one"
    )]
    NoListener {
        /// Name of the dialect.
        dialect: String,
        /// Name of the group.
        group: String,
    },
    /// The dialect has no word for it.
    #[error(
        "its dialect {0} does not say how staff refund ([staff_refund]); refund it with the acquirer"
    )]
    Dialect(String),
    /// What it takes of the original is gone.
    #[error(
        "what a refund takes from its original is not kept any more (store.card_numbers_keep); refund it with the acquirer"
    )]
    NotKept,
    /// What can be written is no refund of the dialect's.
    #[error("the refund cannot be written in its dialect: {0}")]
    Unwritable(String),
    /// Too much is asked at the same time.
    #[error("too much is looked up at the moment; try again")]
    Busy,
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A refund that two persons agreed to, on its way.
#[derive(Debug)]
pub(crate) struct StaffRefund {
    /// Its trace number, from the number of the request for it.
    pub(crate) number: Stan,
    /// What it gives back.
    pub(crate) original: TransactionRow,
    /// How much, minor units.
    pub(crate) amount: u64,
    /// The original's binding as it is known to whoever sends it.
    pub(crate) admission: Admission,
    /// Why it was not taken here.
    refused: OnceLock<&'static str>,
}

impl StaffRefund {
    pub(crate) fn new(
        number: Stan,
        original: TransactionRow,
        amount: u64,
        admission: Admission,
    ) -> Self {
        Self {
            number,
            original,
            amount,
            admission,
            refused: OnceLock::new(),
        }
    }

    /// Why it was not taken here, if it was not.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.refused.get().copied()
    }

    pub(super) fn note_refusal(&self, why: &'static str) {
        // The first reason is the one that counts.
        let _known = self.refused.set(why);
    }
}

impl Switch {
    /// Sends a refund that two persons agreed to. The session that is returned has the answer, or ends without one when
    /// nothing can be said: what became of it the read model shows, under the original's binding and [`BatchNumber::STAFF`].
    ///
    /// # Errors
    /// When it cannot be written; nothing is journalled then.
    pub(crate) fn refund_by_staff(
        &self,
        refund: &Arc<StaffRefund>,
        journal: &mut dyn JournalStore,
    ) -> Result<Arc<Session>, StaffRefundError> {
        let original = &refund.original;
        let intent = self
            .intent_of(original, journal)?
            .ok_or(StaffRefundError::NotKept)?;
        let fits = |policy: &ListenerPolicy| {
            policy.acquirer == original.key.acquirer
                && policy.dialect.name() == intent.dialect
                && self.groups[policy.group].name == original.group
        };
        let listener = self.listeners.iter().position(fits);
        let listener = listener.ok_or_else(|| StaffRefundError::NoListener {
            dialect: intent.dialect.clone().into_owned(),
            group: original.group.clone(),
        })?;
        let policy = &self.listeners[listener];
        let dialect = &policy.dialect;
        let rules = dialect
            .staff_refund()
            .ok_or_else(|| StaffRefundError::Dialect(dialect.name().to_owned()))?;
        let group = self.group_of(policy);
        let kept = Original::of_intent(group, &intent, &self.keys);
        let kept = kept.ok_or(StaffRefundError::NotKept)?;
        let frame = kept.as_message(dialect).ok_or(StaffRefundError::NotKept)?;
        let frame = self.written(refund, dialect, rules, &frame)?;
        let mut index = Index::new();
        let message = message_of(dialect, &frame, &mut index);
        let message = message.ok_or_else(|| unwritable("it does not decode"))?;
        checked(dialect, &message)?;
        let session = Arc::new(Session::unconnected(listener));
        let job = Job::staff(&session, &message, refund);
        self.lookups
            .ask(job)
            .map_err(|_full| StaffRefundError::Busy)?;
        Ok(session)
    }

    /// The refund's frame, with its length prefix.
    fn written(
        &self,
        refund: &StaffRefund,
        dialect: &Dialect,
        rules: &StaffRefundRules,
        original: &Bytes,
    ) -> Result<Bytes, StaffRefundError> {
        let mut index = Index::new();
        let original =
            message_of(dialect, original, &mut index).ok_or(StaffRefundError::NotKept)?;
        let roles = dialect.roles();
        if roles.amount_parts.is_some() {
            return Err(unwritable("its amount has its currency in it"));
        }
        let stamp = self.local_time().stamp();
        let outcome = refund.original.outcome.as_ref();
        let named = Naming::of(
            dialect,
            &original,
            refund,
            self.local_date_of(&refund.original),
        );
        let batch = roles.batch.and_then(|part| {
            let fixed = rules.fixed.iter().find(|(de, _)| *de == part.field);
            let before = match fixed {
                Some((_, value)) => value.clone(),
                None => original.digits(part.field)?.to_vec(),
            };
            overlaid(before, part, BatchNumber::STAFF.get()).map(|digits| (part.field, digits))
        });
        let mut set: Vec<(u8, FieldValue<'_>)> = Vec::with_capacity(12);
        let mut put = |de: u8, value| {
            if de != 0 && dialect.field(de).is_some() {
                set.retain(|(known, _)| *known != de);
                set.push((de, value));
            }
        };
        for de in rules.copies.intersection(original.fields()).iter() {
            let digits = match de {
                TRANSMITTED => stamp.get(4..),
                _ => dialect.local_digits(de, &stamp),
            };
            if let Some(digits) = digits {
                put(de, FieldValue::Digits(digits));
            }
        }
        for (de, value) in &rules.fixed {
            put(*de, FieldValue::Text(value));
        }
        put(roles.amount, FieldValue::Number(refund.amount));
        put(roles.stan, FieldValue::Number(refund.number.get().into()));
        let text = |text: &Option<String>| text.as_ref().map(|text| text.trim().to_owned());
        let rrn = outcome.and_then(|outcome| text(&outcome.rrn));
        let code = outcome.and_then(|outcome| text(&outcome.approval_code));
        for (de, known) in [(roles.rrn, &rrn), (roles.approval_code, &code)] {
            if let Some(known) = known.as_ref().filter(|known| !known.is_empty()) {
                put(de, FieldValue::Text(known.as_bytes()));
            }
        }
        if let Some((de, digits)) = &batch {
            put(*de, FieldValue::Digits(digits));
        }
        if let Some((de, digits)) = &named {
            put(*de, FieldValue::Digits(digits));
        }
        set.sort_by_key(|(de, _)| *de);
        let made = super::remake::made_from(&original, rules.mti, rules.copies, &set);
        made.map_err(|problem| unwritable(&problem.to_string()))
    }

    /// Local date on which a transaction was accepted.
    fn local_date_of(&self, row: &TransactionRow) -> Civil {
        let offset = self.zone_offset.load(std::sync::atomic::Ordering::Relaxed);
        Civil::local(row.at, offset)
    }

    /// What staff's refund is decided on now: by the binding of its original, whatever the terminal is by now.
    pub(super) fn staff_decision(&self, refund: &StaffRefund) -> Result<(), DeclineReason> {
        let of = refund.admission.binding;
        let present = self.directory.held(refund.original.key);
        let own = present.filter(|admission| admission.binding == of);
        match own {
            Some(admission) => staff_may_refund(admission.state, admission.holds),
            // What is closed never changes; its holds were asked for by whoever agreed.
            None if refund.admission.state == BindingState::Unbound => Ok(()),
            // Closed since it was agreed to: it will be known as that when it is sent again.
            None => Err(DeclineReason::CannotDecide),
        }
    }

    /// What the gate lets pass of staff's refund.
    pub(super) fn staff_passed<'a>(
        &self,
        job: &'a Job,
        refund: &'a Arc<StaffRefund>,
        message: &'a Message<'a>,
        request: &'a Request,
    ) -> Result<Passed<'a>, DeclineReason> {
        // Read before the look-up, as for a terminal's request.
        let epoch = self.directory.epoch();
        self.staff_decision(refund)?;
        let account = AccountId(refund.original.account);
        Ok(Passed {
            session: &job.session,
            message,
            request,
            key: refund.original.key,
            admission: refund.admission,
            paying: Paying::behind(message, Some(account)),
            account,
            epoch,
            held: false,
            declined: None,
            staff: Some(refund),
        })
    }
}

/// How a refund names its original: where the upstream's number names it, only the day beside; else by its elements, or
/// by where the terminal sent it.
struct Naming;

impl Naming {
    fn of(
        dialect: &Dialect,
        original: &Message<'_>,
        refund: &StaffRefund,
        day: Civil,
    ) -> Option<(u8, Vec<u8>)> {
        let named = dialect.roles().original;
        let place = named.stan?;
        if place.field == dialect.reversal().original_field {
            return Some((place.field, original_elements(original)));
        }
        let parts = [named.batch, named.stan, named.date];
        let of_field = |part: &SubField| part.field == place.field;
        let ends = parts.iter().flatten().filter(|part| of_field(part));
        let width = ends
            .map(|part| part.from.saturating_add(part.count))
            .max()?;
        let mut digits = vec![b'0'; usize::from(width)];
        let outcome = refund.original.outcome.as_ref();
        let by_number = named.rrn != 0 && outcome.is_some_and(|outcome| outcome.rrn.is_some());
        if !by_number {
            if let Some(part) = named.batch.filter(of_field) {
                digits = overlaid(digits, part, refund.original.batch.get())?;
            }
            digits = overlaid(digits, place, refund.original.stan.get())?;
        }
        if let Some(part) = named.date.filter(of_field) {
            let date = u32::from(day.month) * 100 + u32::from(day.day);
            digits = overlaid(digits, part, date)?;
        }
        Some((place.field, digits))
    }
}

/// Digits with a number in one of their parts.
fn overlaid(mut digits: Vec<u8>, part: SubField, number: u32) -> Option<Vec<u8>> {
    let (from, count) = (usize::from(part.from), usize::from(part.count));
    let slots = digits.get_mut(from..from.checked_add(count)?)?;
    let text = format!("{number:0count$}");
    slots.copy_from_slice(text.as_bytes().get(text.len().checked_sub(count)?..)?);
    Some(digits)
}

/// Refuses what the dialect takes for anything but a whole refund.
fn checked(dialect: &Dialect, message: &Message<'_>) -> Result<(), StaffRefundError> {
    let row = dialect
        .classify(message)
        .ok_or_else(|| unwritable("its dialect knows no such refund"))?;
    let refunds = row.kind == RequestType::Refund
        && row.books == Books::Credit
        && row.served == Served::Forward;
    if !refunds {
        return Err(unwritable(&format!("it would be \"{}\"", row.name)));
    }
    match row.misshapen(message) {
        None => Ok(()),
        Some(Misshapen::Missing(de)) => Err(unwritable(&format!("it has no DE{de}"))),
        Some(Misshapen::Unexpected(de)) => Err(unwritable(&format!("it must not have DE{de}"))),
    }
}

fn unwritable(why: &str) -> StaffRefundError {
    StaffRefundError::Unwritable(why.to_owned())
}
