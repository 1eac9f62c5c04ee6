//! The evidence bundle: all that the store knows of one transaction, from the journal's own records.
//!
//! Its `content` is closed by a SHA-256 over itself in canonical form (keys sorted, no spaces, as
//! `jq -cjS .content` writes it), so that a copy can be compared with another one. What would be secret is
//! not in it: of the card number there is the mask, and neither its keyed hash nor its sealed copy.

use aws_lc_rs::digest;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::bundle::{
    BindingShown, BindingStep, Bundle, Confirmation, Content, Elements, IntentShown,
    InterventionShown, JournalPlace, OutcomeShown, ReversalShown,
};
use super::inquiry::{Inquiry, InquiryError};
use super::transactions::{Money, as_value, unknown};
use super::when::written;
use crate::base::{BindingId, Timestamp, TxnId, limits};
use crate::binding::challenge::Payment;
use crate::binding::{BindingState, RependReason};
use crate::iso8583::ResponseCode;
use crate::store::projection::{SEALED_ELEMENTS, kept_element, kept_elements};
use crate::store::record::{ERASED, checksum_of, read_group};
use crate::store::{
    Intent, Intervention, JournalStore, Outcome, OutcomeKind, Record, StoreError, TransactionReader,
};

/// What the document is, for who finds one years later.
const FORMAT: &str = "posgate-evidence-1";

/// Elements that tell more of a card than its mask: number and expiry date.
const OF_THE_CARD: [u8; 2] = [2, 14];

/// A record and where it stands.
struct Found {
    record: Record,
    group: u64,
    /// Place in its group, from 0.
    place: usize,
    checksum: u32,
}

/// The bundle of a transaction: `content`, and `sha256` of it.
///
/// # Errors
/// When the transaction is not there, the read model is too far behind to say where its records are, or the
/// journal cannot be read.
pub fn bundle(inquiry: &mut Inquiry, txn: TxnId) -> Result<Value, InquiryError> {
    let records = records_of(inquiry, txn)?;
    let content = content(inquiry, txn, &records)?;
    // Keys are sorted in a value, not in a structure.
    let canonical = as_value(&content).to_string();
    let sum = digest::digest(&digest::SHA256, canonical.as_bytes());
    let sha256 = hex(sum.as_ref());
    Ok(as_value(Bundle { content, sha256 }))
}

/// All records of a transaction in the journal's order: those the read model knows the groups of, and those
/// of the groups that it has not got to.
fn records_of(inquiry: &mut Inquiry, txn: TxnId) -> Result<Vec<Found>, InquiryError> {
    let groups = inquiry.behind()?;
    if groups > limits::EVIDENCE_GROUPS_MAX {
        return Err(InquiryError::Behind { groups });
    }
    // The mark first: a group that is projected in between is read twice, never missed.
    let mark = inquiry.reader.mark()?;
    let row = inquiry.reader.transaction(txn)?;
    let mut known = row.map(|row| row.groups).unwrap_or_default();
    known.dedup();
    let mut found = Vec::new();
    for group in known.into_iter().filter(|group| *group <= mark) {
        read_groups(inquiry, group - 1, 1, txn, &mut found)?;
    }
    read_groups(inquiry, mark, limits::EVIDENCE_GROUPS_MAX, txn, &mut found)?;
    if found.is_empty() {
        return Err(unknown(txn));
    }
    Ok(found)
}

/// Takes a transaction's records out of at most so many groups after one.
fn read_groups(
    inquiry: &mut Inquiry,
    after: u64,
    most: u64,
    txn: TxnId,
    found: &mut Vec<Found>,
) -> Result<(), StoreError> {
    let mut left = most;
    let mut damaged = None;
    inquiry.journal.replay(after, &mut |group, bytes| {
        let checksum = checksum_of(bytes).unwrap_or(0);
        let mut place = 0;
        let read = read_group(bytes, |record| {
            if record.txn() == Some(txn) {
                found.push(Found {
                    record,
                    group,
                    place,
                    checksum,
                });
            }
            place += 1;
        });
        if let Err(problem) = read {
            let sequence = group;
            damaged = Some(StoreError::Damaged { sequence, problem });
            return false;
        }
        left -= 1;
        left > 0
    })?;
    damaged.map_or(Ok(()), Err)
}

fn content(inquiry: &mut Inquiry, txn: TxnId, records: &[Found]) -> Result<Content, InquiryError> {
    let intent = records.iter().find_map(|found| match &found.record {
        Record::Intent(intent) => Some((intent, found)),
        _ => None,
    });
    let currency = intent.map_or_else(String::new, |(i, _)| i.amount.currency.to_string());
    let outcomes: Vec<_> = records
        .iter()
        .filter_map(|found| match &found.record {
            Record::Outcome(outcome) => Some((outcome, found)),
            _ => None,
        })
        .collect();
    let mut told = Vec::new();
    let mut reversal = Vec::new();
    for (outcome, found) in &outcomes {
        let step = OutcomeShown::of(outcome, found, &currency);
        if matches!(
            outcome.kind,
            OutcomeKind::ReversalOwed | OutcomeKind::Reversed
        ) {
            reversal.push(ReversalShown {
                at: step.at.clone(),
                step: step.kind,
                code: step.code.clone(),
                journal: JournalPlace::of(found),
            });
        }
        told.push(step);
    }
    let interventions = records
        .iter()
        .filter_map(|found| match &found.record {
            Record::Intervention(done) => Some(InterventionShown::of(done, found)),
            _ => None,
        })
        .collect();
    let (intent, binding, confirmed) = match intent {
        Some((intent, found)) => (
            Some(intent_shown(inquiry, intent, found)?),
            binding_shown(inquiry, intent.binding, intent.version)?,
            confirmation_shown(inquiry, intent)?,
        ),
        None => (None, None, None),
    };
    Ok(Content {
        format: FORMAT,
        transaction: txn.0,
        state: outcomes.last().map_or("open", |(o, _)| o.kind.name()),
        intent,
        outcomes: told,
        reversal,
        interventions,
        binding,
        payer_confirmation: confirmed,
    })
}

/// The code by which its payer confirmed it, shortly before it was made.
fn confirmation_shown(
    inquiry: &mut Inquiry,
    intent: &Intent<'_>,
) -> Result<Option<Confirmation>, StoreError> {
    let payment = Payment {
        stan: intent.stan,
        amount: intent.amount,
    };
    let found = inquiry
        .registry
        .confirmation(intent.binding, &payment, intent.at)?;
    Ok(found.map(|challenge| Confirmation {
        challenge: challenge.challenge,
        contact: challenge.contact,
        sent_to: challenge.sent_to,
        approved_at: challenge.ended_at_us.map(|at| utc(Timestamp(at))),
    }))
}

impl JournalPlace {
    fn of(found: &Found) -> Self {
        Self {
            group: found.group,
            record: found.place,
            group_crc32c: format!("{:08x}", found.checksum),
        }
    }
}

fn intent_shown(
    inquiry: &mut Inquiry,
    intent: &Intent<'_>,
    found: &Found,
) -> Result<IntentShown, StoreError> {
    let account = inquiry.account(intent.account)?;
    Ok(IntentShown {
        journal: JournalPlace::of(found),
        at: utc(intent.at),
        at_us: intent.at.0,
        acquirer: inquiry.acquirer(intent.key.acquirer),
        terminal_id: intent.key.terminal.to_string(),
        merchant_id: intent.merchant.to_string(),
        account_id: account.reference,
        binding: intent.binding.0,
        binding_version: intent.version,
        held: intent.held,
        kind: intent.kind.name(),
        fate: intent.fate.name(),
        sign: intent.sign,
        request: intent.request.to_string(),
        dialect: intent.dialect.to_string(),
        batch: intent.batch.to_string(),
        stan: intent.stan.to_string(),
        upstream: intent.group.to_string(),
        upstream_stan: intent.upstream_stan.to_string(),
        amount: Money::of(
            intent.amount.minor.into(),
            &intent.amount.currency.to_string(),
        ),
        card: intent.pan.as_str().to_owned(),
        card_number_sealed: !intent.sealed_pan.is_empty() && *intent.sealed_pan != ERASED,
        card_number_erased: *intent.sealed_pan == ERASED,
        kept_for_reversal: elements(&intent.reversal),
        fields_sealed: kept_element(&intent.reversal, SEALED_ELEMENTS)
            .is_some_and(|kept| *kept != ERASED),
        envelope: hex(&intent.envelope),
    })
}

impl OutcomeShown {
    fn of(outcome: &Outcome, found: &Found, currency: &str) -> Self {
        Self {
            journal: JournalPlace::of(found),
            at: utc(outcome.at),
            at_us: outcome.at.0,
            kind: outcome.kind.name(),
            code: ResponseCode::new(outcome.code)
                .to_string()
                .trim()
                .to_owned(),
            booked: Money::of(outcome.booked.into(), currency),
            kept_of_answer: elements(&outcome.answer),
        }
    }
}

impl InterventionShown {
    fn of(done: &Intervention, found: &Found) -> Self {
        Self {
            journal: JournalPlace::of(found),
            at: utc(done.at),
            at_us: done.at.0,
            verb: done.verb.name(),
            name: done.name.as_str().to_owned(),
            note: done.note.as_str().to_owned(),
        }
    }
}

/// Data elements by number, their bytes as on the wire but EBCDIC as ASCII, in hexadecimal.
fn elements(kept: &[u8]) -> Elements {
    kept_elements(kept)
        .filter(|(de, _)| *de != SEALED_ELEMENTS && !OF_THE_CARD.contains(de))
        .map(|(de, bytes)| (format!("DE{de}"), hex(bytes)))
        .collect()
}

/// The binding that admitted it: what it is now, and every change of it.
fn binding_shown(
    inquiry: &mut Inquiry,
    binding: BindingId,
    version: u32,
) -> Result<Option<BindingShown>, StoreError> {
    let Some(row) = inquiry.registry.binding(binding)? else {
        return Ok(None);
    };
    let changes = inquiry.registry.binding_changes(binding)?;
    // What the first version was is not kept once it changed: a binding is opened, then changed.
    let state = changes
        .iter()
        .find(|change| change.version == version)
        .map(|change| change.state)
        .or_else(|| (row.admission.version == version).then_some(row.admission.state));
    let history = changes.iter().map(|change| BindingStep {
        version: change.version,
        at: utc(change.at),
        by: change.actor.clone(),
        state: change.state.name(),
        reasons: change.reasons.iter().map(RependReason::name).collect(),
    });
    Ok(Some(BindingShown {
        binding: binding.0,
        version,
        state_at_that_version: state.map(BindingState::name),
        acquirer: inquiry.acquirer(row.key.acquirer),
        terminal_id: row.key.terminal.to_string(),
        serial: row.serial,
        merchant_id: row.admission.merchant.to_string(),
        merchant_name: row.merchant_name,
        mcc: row.mcc,
        account_id: row.account,
        account_kind: row.account_kind,
        other_account_ids: row
            .others
            .into_iter()
            .map(|other| other.reference)
            .collect(),
        opened_at: utc(row.opened_at),
        closed_at: row.closed_at.map(utc),
        changes: history.collect(),
    }))
}

/// Times are in UTC: the same content has the same sum wherever it is asked for.
fn utc(at: Timestamp) -> String {
    written(at, &TimeZone::UTC)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
