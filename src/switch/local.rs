//! Requests that end here: sign-on, sign-off, line tests, and every answer we make ourselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::effects::Effect;
use super::{Switch, with_buffer};
use crate::base::BatchNumber;
use crate::binding::TerminalKey;
use crate::iso8583::{self, DeclineCode, FieldValue, Message, Request, ResponseCode, SubField};
use crate::net::{Handled, Session};
use crate::store::Record;
use crate::telemetry::metrics::AnswerClass;

impl Switch {
    /// Signs a terminal on. The answer carries date, time and the open batch, and is given when the
    /// batch is durable.
    pub(super) fn sign_on(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
    ) -> Handled {
        let batch = self.lanes.with(key, |lane| lane.sign_on());
        let record = Record::SignedOn {
            key,
            batch,
            at: self.clock.wall(),
        };
        self.answer_after(session, message, request, Some(batch), &record)
    }

    /// Signs a terminal off, which ends its batch.
    pub(super) fn sign_off(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
    ) -> Handled {
        let batch = self.lanes.with(key, |lane| lane.sign_off());
        let record = Record::SignedOff {
            key,
            batch,
            at: self.clock.wall(),
        };
        self.answer_after(session, message, request, None, &record)
    }

    /// Answers a line test.
    pub(super) fn echo(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
    ) -> Handled {
        self.policy(session).metrics.answer(AnswerClass::Approved);
        self.answer_now(
            session,
            message,
            Some(request),
            message.dialect().accepted(message.mti()),
        )
    }

    /// Answers at once, without a record.
    pub(super) fn answer_now(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: Option<&Request>,
        code: ResponseCode,
    ) -> Handled {
        let (made, frame) = self.own_answer(message, request, code, None);
        if made {
            // A peer that does not read its answers is closed by its session.
            let _taken = session.answer(&frame);
            return Handled::Pending;
        }
        Handled::Close("unanswerable")
    }

    /// Answers once everything handed to the journal before is durable.
    pub(super) fn answer_in_order(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        code: ResponseCode,
    ) -> Handled {
        let (made, frame) = self.own_answer(message, Some(request), code, None);
        if !made {
            return Handled::Close("unanswerable");
        }
        let effect = Effect::Answer {
            session: Arc::clone(session),
            frame,
            timed: None,
        };
        match self.journal.append(effect, |_nothing| {}) {
            Ok(()) => Handled::Pending,
            Err(_closed) => Handled::Close("journal-closed"),
        }
    }

    fn answer_after(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        batch: Option<BatchNumber>,
        record: &Record,
    ) -> Handled {
        let (made, frame) = self.own_answer(
            message,
            Some(request),
            message.dialect().accepted(message.mti()),
            batch,
        );
        if !made {
            return Handled::Close("unanswerable");
        }
        let effect = Effect::Answer {
            session: Arc::clone(session),
            frame,
            timed: None,
        };
        match self.journal.append_new(effect, |out| record.encode(out)) {
            Ok(()) => {
                self.policy(session).metrics.answer(AnswerClass::Approved);
                Handled::Pending
            }
            Err(_closed) => {
                self.decline(session, message, Some(request), DeclineCode::CannotDecide)
            }
        }
    }

    /// Builds an answer of our own: echoed fields, date and time, and for a sign-on the batch and a
    /// reference number.
    fn own_answer(
        &self,
        message: &Message<'_>,
        request: Option<&Request>,
        code: ResponseCode,
        batch: Option<BatchNumber>,
    ) -> (bool, bytes::Bytes) {
        let roles = message.dialect().roles();
        let now = self.local_time();
        let (time, stamp) = (now.time(), now.stamp());
        let mut extras = times(message, &stamp);
        let reference;
        let with_batch;
        if let Some(batch) = batch {
            reference = self.reference(time);
            if roles.rrn != 0 {
                extras.push((roles.rrn, FieldValue::Text(&reference)));
            }
            with_batch = roles
                .batch
                .and_then(|part| replaced(message, part, batch.get()));
            if let (Some(part), Some(digits)) = (roles.batch, &with_batch) {
                extras.push((part.field, FieldValue::Digits(digits)));
            }
        }
        extras.sort_by_key(|(de, _)| *de);
        let (made, frame) =
            with_buffer(|out| iso8583::answer(message, request, code, &extras, out));
        if let Err(problem) = &made {
            tracing::error!(%problem, "an answer cannot be written");
        }
        (made.is_ok(), frame)
    }

    /// A retrieval reference number: time of day and a running number.
    fn reference(&self, time: [u8; 6]) -> [u8; 12] {
        let running = self.rrn.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        let mut out = *b"000000000000";
        out[..6].copy_from_slice(&time);
        let mut rest = running;
        for slot in out[6..].iter_mut().rev() {
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        out
    }
}

/// Local time and date as an answer carries them, where the request did not bring them; `stamp` is
/// `YYYYMMDDhhmmss`.
pub(super) fn times<'t>(message: &Message<'_>, stamp: &'t [u8; 14]) -> Vec<(u8, FieldValue<'t>)> {
    let dialect = message.dialect();
    let roles = dialect.roles();
    let mut extras: Vec<(u8, FieldValue<'_>)> = Vec::with_capacity(4);
    for de in [roles.time, roles.date] {
        if !message.has(de)
            && extras.iter().all(|(before, _)| *before != de)
            && let Some(digits) = dialect.local_digits(de, stamp)
        {
            extras.push((de, FieldValue::Digits(digits)));
        }
    }
    extras
}

/// A field's digits with one of its parts replaced by a number. `None` when the message lacks the field
/// or the field ends before the part does.
pub(super) fn replaced(message: &Message<'_>, part: SubField, number: u32) -> Option<Vec<u8>> {
    let mut digits = message.digits(part.field)?.to_vec();
    let (from, count) = (usize::from(part.from), usize::from(part.count));
    let slots = digits.get_mut(from..from + count)?;
    let mut rest = number;
    for slot in slots.iter_mut().rev() {
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    Some(digits)
}
