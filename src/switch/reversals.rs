//! What must be undone: a terminal's own reversals, and those owed because nobody answered.
//!
//! A reversal is owed from the moment its record is durable. The book of its group sends it, waits,
//! and sends it again with growing waits until the upstream acknowledges; nothing is dropped. What a
//! crash leaves owed stands in the journal.

use std::sync::Arc;

use bytes::Bytes;

use super::effects::Effect;
use super::local::replaced;
use super::lookup::Job;
use super::owed::Owed;
use super::{EnvelopeBytes, MAC_FIELDS, Switch, UpstreamGroup, Waiting, with_buffer};
use crate::base::clock::Moment;
use crate::base::{Fate, Stan, TxnId};
use crate::binding::TerminalKey;
use crate::iso8583::{
    self, DeclineCode, Envelope, FieldValue, Index, MatchKey, Message, Request, ResponseCode,
    Rewrite,
};
use crate::net::{Handled, Session};
use crate::store::{Outcome, OutcomeKind};
use crate::telemetry::metrics::{self, AnswerClass};
use crate::transaction::ReversalStep;

/// What a terminal's reversal came to while its lane was held.
enum Reversed {
    /// The lane's word, and nothing was changed.
    Step(ReversalStep),
    /// It is owed; `waiting` is the original if it was still in flight.
    Owed {
        kept: bool,
        group: usize,
        waiting: Option<Waiting>,
    },
    /// It cannot be written for the upstream; nothing was changed.
    Unwritable,
}

/// A reversal about to be owed.
#[derive(Debug)]
pub(super) struct NewlyOwed {
    group: usize,
    owed: Owed,
    frame: Bytes,
    /// Why, as the journal keeps it: DE39 of the reversal.
    code: [u8; 2],
}

impl Switch {
    /// A terminal's reversal: answered as soon as what it wants is durable, whatever the upstream does
    /// (invariant 6).
    pub(super) fn reverse(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
    ) -> Handled {
        let original = message.original().unwrap_or_default();
        let Some(stan) = original.stan else {
            metrics::declined("missing-field");
            return self.decline(session, message, Some(request), DeclineCode::Format);
        };
        let batch = original.batch.unwrap_or_default();
        let merchant = message.merchant();
        // The lane is held until the reversal is in the journal's queue: a second one of the same terminal
        // queues behind it.
        let taken = self.lanes.with(key, |lane| {
            let known = lane
                .find(batch, stan, merchant)
                .and_then(|t| Some((t.number?, t.group, t.match_key, t.upstream_stan)));
            let Some((txn, group, match_key, upstream_stan)) = known else {
                return Reversed::Step(lane.reverse(batch, stan, merchant));
            };
            // What cannot be written is found out before the lane changes.
            let new = self.reversal_for_terminal(message, key, group, txn, upstream_stan);
            let Some(mut new) = new else {
                return Reversed::Unwritable;
            };
            let step = lane.reverse(batch, stan, merchant);
            if !matches!(step, ReversalStep::Owe(_)) {
                return Reversed::Step(step);
            }
            let waiting = self.groups[group].pending.give_up(&match_key, txn.0);
            new.owed.after = waiting.as_ref().map(|waiting| waiting.choice);
            Reversed::Owed {
                kept: self.owe(new),
                group,
                waiting,
            }
        });
        match taken {
            Reversed::Owed {
                kept,
                group,
                waiting,
            } => {
                if let Some(waiting) = waiting {
                    // Its answer must not reach the terminal any more.
                    self.groups[group].metrics.in_flight.decrement(1.0);
                    waiting.session.give_up();
                }
                if kept {
                    self.answer_reversal(session, message, request)
                } else {
                    Handled::Close("journal-closed")
                }
            }
            Reversed::Step(ReversalStep::Repeated | ReversalStep::NothingToUndo) => {
                self.answer_reversal(session, message, request)
            }
            Reversed::Step(ReversalStep::Unknown | ReversalStep::Owe(_)) => {
                self.look_up(Job::reversal(session, message, key, batch, stan))
            }
            Reversed::Unwritable => {
                tracing::error!("a terminal's reversal cannot be written for its upstream");
                Handled::Close("unwritable")
            }
        }
    }

    /// Tells a terminal that its reversal is taken, when everything appended before is durable.
    pub(super) fn answer_reversal(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
    ) -> Handled {
        self.policy(session).metrics.answer(AnswerClass::Approved);
        self.answer_in_order(session, message, request, ResponseCode::APPROVED)
    }

    /// The reversal that a terminal asks for, ready to be owed.
    pub(super) fn reversal_for_terminal(
        &self,
        message: &Message<'_>,
        key: TerminalKey,
        group: usize,
        txn: TxnId,
        upstream_stan: Stan,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let frame = reversal_of_terminal(message, upstream, upstream_stan)?;
        let match_key = reversal_key(upstream, key, upstream_stan);
        let owed = Owed {
            txn,
            key,
            match_key,
            after: None,
        };
        Some(NewlyOwed {
            group,
            owed,
            frame,
            code: *b"00",
        })
    }

    /// The reversal of a request that nobody answered, if it wants one.
    pub(super) fn reversal_for_silence(
        &self,
        group: usize,
        waiting: &Waiting,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let row = upstream.dialect.requests().get(waiting.request)?;
        if row.fate != Fate::Reverse {
            return None;
        }
        let Some((frame, stan)) = reversal_of_request(upstream, waiting) else {
            tracing::error!(group = %upstream.name, txn = waiting.txn.0, "a reversal cannot be written");
            return None;
        };
        let match_key = reversal_key(upstream, waiting.key, stan);
        let owed = Owed {
            txn: waiting.txn,
            key: waiting.key,
            match_key,
            after: Some(waiting.choice),
        };
        let code = *upstream.dialect.reversal().timeout.as_bytes();
        Some(NewlyOwed {
            group,
            owed,
            frame,
            code,
        })
    }

    /// Hands the record of an owed reversal to the journal; it is sent when that is durable. `false` when
    /// the journal is closed. Called with the lane held.
    pub(super) fn owe(&self, new: NewlyOwed) -> bool {
        let NewlyOwed {
            group,
            owed,
            frame,
            code,
        } = new;
        self.groups[group].metrics.reversal("owed");
        let outcome = Outcome {
            txn: owed.txn,
            at: self.clock.wall(),
            kind: OutcomeKind::ReversalOwed,
            code,
            booked: 0,
            answer: Box::default(),
        };
        let effect = Effect::Owe {
            group,
            owed: Some(owed),
            frame,
        };
        self.journal
            .append(effect, |out| outcome.encode(out))
            .is_ok()
    }

    /// The upstream answered a reversal.
    pub(super) fn on_reversal_answer(
        &self,
        upstream: &UpstreamGroup,
        key: &MatchKey,
        message: &Message<'_>,
    ) {
        let acknowledges = message
            .response_code()
            .is_some_and(|code| message.dialect().acknowledges_reversal(code));
        if !acknowledges {
            if let Some((txn, attempts)) = upstream.owed.refused(key, self.clock.now()) {
                upstream.metrics.reversal("refused");
                tracing::warn!(
                    group = %upstream.name, txn = txn.0, attempts,
                    "the upstream did not acknowledge a reversal; it is sent again"
                );
            }
            return;
        }
        let Some(owed) = upstream
            .owed
            .acknowledged(key, message.terminal(), self.clock.now())
        else {
            upstream.metrics.unmatched("duplicate");
            tracing::warn!(
                group = %upstream.name,
                "the acknowledgement of a reversal belongs to none that is out"
            );
            return;
        };
        upstream.metrics.reversal("acknowledged");
        upstream.metrics.reversals_owed.decrement(1.0);
        self.lanes
            .with(owed.key, |lane| lane.acknowledged(owed.txn));
        let outcome = Outcome {
            txn: owed.txn,
            at: self.clock.wall(),
            kind: OutcomeKind::Reversed,
            code: message
                .response_code()
                .map_or(*b"  ", |code| *code.as_bytes()),
            booked: 0,
            answer: Box::default(),
        };
        // When the journal is closed the reversal stays owed there, and is repeated after a restart.
        if self
            .journal
            .append(Effect::Nothing, |out| outcome.encode(out))
            .is_err()
        {
            tracing::warn!(
                txn = owed.txn.0,
                "an acknowledged reversal could not be journalled"
            );
        }
    }

    /// Sends reversals that are due.
    pub(super) fn send_reversals(&self, now: Moment) {
        for upstream in self.groups.iter() {
            let repeated = |frame: Bytes| as_repeat(upstream, frame);
            let sent = upstream
                .owed
                .tick(&upstream.links, now, upstream.timeout, &repeated);
            for _ in 0..sent {
                upstream.metrics.reversal("sent");
            }
        }
    }
}

/// Key the answer to a reversal is found by.
fn reversal_key(upstream: &UpstreamGroup, key: TerminalKey, upstream_stan: Stan) -> MatchKey {
    let mti = upstream.dialect.reversal().mti;
    if upstream.stans.is_own() {
        MatchKey::own(mti.class_key(), upstream_stan)
    } else {
        MatchKey::new(mti, key.terminal, upstream_stan)
    }
}

/// A terminal's own reversal as it goes upstream.
fn reversal_of_terminal(
    message: &Message<'_>,
    upstream: &UpstreamGroup,
    upstream_stan: Stan,
) -> Option<Bytes> {
    let roles = upstream.dialect.roles();
    let mut envelope = EnvelopeBytes::new(message.envelope());
    envelope.set_start(&upstream.tpdu);
    let reference = match roles.reversed.stan {
        Some(part) if part.field != roles.stan => replaced(message, part, upstream_stan.get()),
        _ => None,
    };
    let mut set = vec![(
        roles.stan,
        FieldValue::Number(u64::from(upstream_stan.get())),
    )];
    if let (Some(part), Some(digits)) = (roles.reversed.stan, &reference) {
        set.push((part.field, FieldValue::Digits(digits)));
    }
    set.sort_by_key(|(de, _)| *de);
    let how = Rewrite {
        envelope: Envelope::Raw(envelope.as_slice()),
        drop: MAC_FIELDS,
        set: &set,
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(message, &how, out));
    made.ok().map(|()| frame)
}

/// The reversal of a request that was sent upstream: what the dialect says a reversal copies, the reason,
/// and the original's elements where the dialect names them. Also gives its STAN.
fn reversal_of_request(upstream: &UpstreamGroup, waiting: &Waiting) -> Option<(Bytes, Stan)> {
    let dialect = &upstream.dialect;
    let rules = dialect.reversal();
    let mut index = Index::new();
    let sent = waiting.sent.get(dialect.framing().length_bytes..)?;
    let original = dialect.decode(sent, &mut index).ok()?;
    let stan = original.stan()?;
    let copies = dialect.requests().get(waiting.request)?.reversal_copies;
    let elements = original_elements(&original);
    let (made, frame) = with_buffer(|out| {
        let mut writer = dialect.write(out);
        writer.envelope_raw(original.envelope());
        writer.mti(rules.mti);
        for de in 2..=128 {
            if de == rules.reason_field {
                writer.text(de, rules.timeout.as_bytes());
            } else if de == rules.original_field {
                writer.digits(de, &elements);
            } else if copies.contains(de) && !MAC_FIELDS.contains(de) {
                writer.copy(&original, de);
            }
        }
        writer.finish()
    });
    made.ok().map(|()| (frame, stan))
}

/// DE90 of a reversal (ISO 8583:1987): MTI, STAN, DE7, DE32 and DE33 of the original, zeros where absent.
fn original_elements(original: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(42);
    out.extend_from_slice(original.mti().to_string().as_bytes());
    for (de, width) in [(11, 6), (7, 10), (32, 11), (33, 11)] {
        let digits = original.digits(de);
        let digits = digits.as_deref().unwrap_or_default();
        out.extend(std::iter::repeat_n(b'0', width - digits.len().min(width)));
        out.extend_from_slice(&digits[..digits.len().min(width)]);
    }
    out
}

/// The same reversal under the message type that says "again".
fn as_repeat(upstream: &UpstreamGroup, frame: Bytes) -> Bytes {
    let dialect = &upstream.dialect;
    let rules = dialect.reversal();
    if rules.repeat_mti == rules.mti {
        return frame;
    }
    let mut index = Index::new();
    let sent = frame
        .get(dialect.framing().length_bytes..)
        .unwrap_or_default();
    let Ok(first) = dialect.decode(sent, &mut index) else {
        return frame;
    };
    let (made, again) = with_buffer(|out| {
        let mut writer = dialect.write(out);
        writer.envelope_raw(first.envelope());
        writer.mti(rules.repeat_mti);
        writer.copy_set(&first, first.fields().without(1));
        writer.finish()
    });
    if made.is_ok() { again } else { frame }
}
