//! Answers of upstreams, and answers that do not come.

use std::sync::Arc;

use bytes::Bytes;

use super::effects::Effect;
use super::kept::kept;
use super::owed::{Duty, Owed};
use super::{MAC_FIELDS, Switch, UpstreamGroup, Waiting, with_buffer};
use crate::base::Fate;
use crate::base::clock::Moment;
use crate::iso8583::{
    self, DeclineCode, DecodeError, Envelope, FieldSet, FieldValue, Index, MatchKey, Message,
    Mismatch, ResponseCode, Rewrite,
};
use crate::net::Upstream;
use crate::net::mux::Taken;
use crate::store::{Outcome, OutcomeKind};
use crate::telemetry::metrics::AnswerClass;
use crate::transaction::Remembered;

/// Fields of an answer that are stored, so that a repeat can be answered after a restart.
const KEPT_OF_ANSWER: FieldSet = FieldSet::EMPTY
    .with(12)
    .with(13)
    .with(15)
    .with(32)
    .with(37)
    .with(38)
    .with(39);

impl Upstream for Switch {
    fn on_message(&self, group: usize, link: usize, message: &Message<'_>) {
        let upstream = &self.groups[group];
        if message.mti().is_request() {
            upstream.metrics.unmatched("request");
            tracing::info!(group = %upstream.name, mti = %message.mti(), "an upstream's request is not served");
            return;
        }
        let Some(key) = upstream.stans.answer_key(message) else {
            let roles = message.dialect().roles();
            let missing = if message.stan().is_none() {
                roles.stan
            } else {
                roles.terminal
            };
            let nearest = Mismatch::Missing(missing);
            upstream.metrics.unmatched("unmatched");
            tracing::warn!(
                group = %upstream.name, link, mti = %message.mti(), %nearest,
                "an answer cannot be matched"
            );
            return;
        };
        if message.mti().class_key() & 0x0f == 4 {
            self.on_reversal_answer(upstream, &key, message);
            return;
        }
        match upstream
            .pending
            .take(&key, |waiting| fits(waiting, message))
        {
            Ok(waiting) => {
                upstream.metrics.in_flight.decrement(1.0);
                self.on_answer(group, &waiting, message);
            }
            Err(miss) => self.on_unawaited(group, link, &key, message, miss),
        }
    }

    fn on_undecodable(&self, group: usize, link: usize, problem: &DecodeError) {
        let upstream = &self.groups[group];
        upstream.metrics.unmatched("undecodable");
        tracing::warn!(
            group = %upstream.name, link, %problem, offset = problem.offset(),
            "an upstream's message breaks its dialect"
        );
    }

    fn on_up(&self, _group: usize, _link: usize) {}

    fn on_down(&self, group: usize, link: usize) {
        let upstream = &self.groups[group];
        let lost = upstream
            .pending
            .take_lost(|waiting| waiting.choice.link == link);
        if !lost.is_empty() {
            tracing::warn!(
                group = %upstream.name, link, requests = lost.len(),
                "requests were in flight on the link that fell"
            );
        }
        for (_, waiting) in lost {
            upstream.metrics.in_flight.decrement(1.0);
            self.on_unanswered(group, &waiting);
        }
        let now = self.clock.now();
        upstream
            .owed
            .link_lost(link, now, now.after(upstream.timeout));
    }
}

/// Whether an answer belongs to a request: everything that must be equal is.
fn fits(waiting: &Waiting, answer: &Message<'_>) -> Result<(), Mismatch> {
    let dialect = answer.dialect();
    let roles = dialect.roles();
    if answer
        .terminal()
        .is_some_and(|terminal| terminal != waiting.terminal)
    {
        return Err(Mismatch::Differs(roles.terminal));
    }
    if let (Some(theirs), Some(ours)) = (answer.merchant(), waiting.merchant)
        && theirs != ours
    {
        return Err(Mismatch::Differs(roles.merchant));
    }
    let partial = answer
        .response_code()
        .is_some_and(|c| dialect.is_partial_approval(c));
    if let (Some(theirs), Some(ours), false) = (answer.amount(), waiting.amount, partial)
        && theirs.minor != ours.minor
    {
        return Err(Mismatch::Differs(roles.amount));
    }
    if answer.response_code().is_none() {
        return Err(Mismatch::Missing(roles.response_code));
    }
    like_sent(&waiting.sent, answer)
}

/// Whether an answer has what its dialect matches answers by as in the frame that was sent.
fn like_sent(frame: &[u8], answer: &Message<'_>) -> Result<(), Mismatch> {
    let dialect = answer.dialect();
    let fields = dialect.matched(answer.mti());
    if fields.is_empty() {
        return Ok(());
    }
    let mut index = Index::new();
    let sent = frame.get(dialect.framing().prefix_bytes()..);
    // This process wrote it from a message that it had checked.
    let sent = sent.and_then(|bytes| dialect.decode_structure(bytes, &mut index).ok());
    sent.map_or(Ok(()), |sent| answer.agrees(&sent, fields))
}

/// Whether an answer is to what the book sent: of the terminal that it names, and like the frame.
pub(super) fn fits_owed(owed: &Owed, frame: &[u8], answer: &Message<'_>) -> Result<(), Mismatch> {
    if answer
        .terminal()
        .is_some_and(|terminal| terminal != owed.key.terminal)
    {
        return Err(Mismatch::Differs(answer.dialect().roles().terminal));
    }
    like_sent(frame, answer)
}

impl Switch {
    /// The answer to a request that waited: journal the outcome, then tell the terminal.
    fn on_answer(&self, group: usize, waiting: &Waiting, message: &Message<'_>) {
        let upstream = &self.groups[group];
        let policy = self.policy(&waiting.session);
        upstream
            .metrics
            .answered_after(self.clock.now().since(waiting.received));
        let code = message.response_code().unwrap_or(ResponseCode::APPROVED);
        let approved = message.dialect().is_approval(code);
        let Some(frame) = terminal_frame(waiting, message) else {
            tracing::error!(group = %upstream.name, "an upstream's answer cannot be written for the terminal");
            self.on_unanswered(group, waiting);
            return;
        };
        let prefix = message.dialect().framing().prefix_bytes();
        let remembered = Remembered::Message(frame.get(prefix..).unwrap_or_default().into());
        let outcome = Outcome {
            txn: waiting.txn,
            at: self.clock.wall(),
            kind: if approved {
                OutcomeKind::Approved
            } else {
                OutcomeKind::Declined
            },
            code: *code.as_bytes(),
            booked: if approved {
                booked(waiting.amount.map_or(0, |asked| asked.minor), message, code)
            } else {
                0
            },
            answer: kept(message, KEPT_OF_ANSWER).open.into(),
        };
        let effect = Effect::Answer {
            session: Arc::clone(&waiting.session),
            frame,
            timed: Some((Arc::clone(&policy.metrics), waiting.received)),
        };
        // The lane is held until the outcome is in the journal's queue: a repeat that finds it answered
        // queues behind it.
        let taken = self.lanes.with(waiting.key, |lane| {
            lane.answered(waiting.txn, approved, remembered).then(|| {
                self.counted(waiting, approved.then_some(outcome.booked));
                self.journal.append(effect, |out| outcome.encode(out))
            })
        });
        match taken {
            Some(Ok(())) => policy.metrics.answer(if approved {
                AnswerClass::Approved
            } else {
                AnswerClass::Declined
            }),
            // A closed journal means that the process is ending; what is not durable is not delivered.
            Some(Err(_closed)) => waiting.session.give_up(),
            None => {
                // A reversal took the transaction while the answer was being matched.
                self.uncount(waiting.tally);
                upstream.metrics.unmatched("late");
                waiting.session.give_up();
            }
        }
    }

    /// An answer that no terminal waits for: to one of our repeats, or to something that was given up.
    fn on_unawaited(
        &self,
        group: usize,
        link: usize,
        key: &MatchKey,
        message: &Message<'_>,
        miss: Option<Mismatch>,
    ) {
        let upstream = &self.groups[group];
        let mut miss = miss;
        if let Some(code) = message.response_code() {
            let fits = |owed: &Owed, frame: &[u8]| fits_owed(owed, frame, message);
            match upstream.owed.repeat_answered(key, &fits, self.clock.now()) {
                Ok(owed) => {
                    self.on_repeat_answered(upstream, &owed, message, code);
                    return;
                }
                Err(difference) => miss = miss.or(difference),
            }
            if message.dialect().is_approval(code) {
                self.on_late_approval(group, key, message);
            }
        }
        self.on_unmatched(upstream, link, key, message, miss);
    }

    /// One of our repeats was answered. The terminal gets the answer when it repeats its request.
    fn on_repeat_answered(
        &self,
        upstream: &UpstreamGroup,
        owed: &Owed,
        message: &Message<'_>,
        code: ResponseCode,
    ) {
        upstream.metrics.repeat("answered");
        upstream.metrics.repeats_owed.decrement(1.0);
        let approved = message.dialect().is_approval(code);
        let asked = match owed.duty {
            Duty::Repeat { asked } => asked,
            Duty::Reversal { .. } => 0,
        };
        let (kind, booked) = if approved {
            (OutcomeKind::Approved, booked(asked, message, code))
        } else {
            (OutcomeKind::Declined, 0)
        };
        let elements = kept(message, KEPT_OF_ANSWER).open;
        let outcome = Outcome {
            txn: owed.txn,
            at: self.clock.wall(),
            kind,
            code: *code.as_bytes(),
            booked,
            answer: elements.clone().into(),
        };
        let answer = Remembered::Kept {
            code: *code.as_bytes(),
            elements: elements.into(),
        };
        self.lanes.with(owed.key, |lane| {
            lane.answered(owed.txn, approved, answer);
            self.counted_late(owed.key, owed.txn, approved.then_some(booked));
            // A closed journal means that the process is ending; it is repeated after the restart.
            let kept = self
                .journal
                .append(Effect::Nothing, |out| outcome.encode(out));
            if kept.is_err() {
                tracing::warn!(
                    txn = owed.txn.0,
                    "the answer to a repeat could not be journalled"
                );
            }
        });
    }

    /// An answer that belongs to no waiting request: counted, reported, never delivered.
    fn on_unmatched(
        &self,
        upstream: &UpstreamGroup,
        link: usize,
        key: &MatchKey,
        message: &Message<'_>,
        miss: Option<Mismatch>,
    ) {
        let (kind, nearest) = match (miss, upstream.pending.was_taken(key)) {
            (Some(difference), _) => ("unmatched", Some(difference)),
            (None, Some(Taken::Answered)) => ("duplicate", None),
            (None, Some(Taken::GivenUp)) => ("late", None),
            (None, None) => ("unmatched", nearest_miss(upstream, message)),
        };
        upstream.metrics.unmatched(kind);
        tracing::warn!(
            group = %upstream.name, link, mti = %message.mti(), kind,
            nearest = nearest.map_or_else(|| "none".to_owned(), |nearest| nearest.to_string()),
            "an answer belongs to no waiting request"
        );
    }

    /// No answer will come: owe the reversal if the request wants one, and tell the terminal.
    pub(super) fn on_unanswered(&self, group: usize, waiting: &Waiting) {
        let owed = self.owed_for_silence(group, waiting);
        let kept = self
            .lanes
            .with(waiting.key, |lane| match lane.unanswered(waiting.txn)? {
                fate @ (Fate::Reverse | Fate::Repeat) => {
                    match fate {
                        Fate::Repeat => self.counts_on(waiting.key, waiting.txn, waiting.tally),
                        Fate::Reverse | Fate::Expire => self.uncount(waiting.tally),
                    }
                    Some(owed.is_some_and(|owed| self.owe(owed)))
                }
                Fate::Expire => {
                    self.uncount(waiting.tally);
                    self.journal_end(waiting.txn, OutcomeKind::Expired, *b"  ");
                    Some(true)
                }
            });
        match kept {
            Some(true) => self.answer_unanswered(waiting),
            // The process is ending.
            Some(false) => waiting.session.give_up(),
            // The terminal's own reversal was first.
            None => {
                self.uncount(waiting.tally);
                waiting.session.give_up();
            }
        }
    }

    /// Tells the terminal that nobody answered, behind the record that says so.
    fn answer_unanswered(&self, waiting: &Waiting) {
        let policy = self.policy(&waiting.session);
        let dialect = &policy.dialect;
        let prefix = dialect.framing().prefix_bytes();
        let mut index = Index::new();
        let sent = waiting.sent.get(prefix..).unwrap_or_default();
        // This process wrote it from a message that it had checked.
        let Ok(request) = dialect.decode_structure(sent, &mut index) else {
            waiting.session.give_up();
            return;
        };
        let row = dialect.requests().get(waiting.request);
        let code = dialect.decline(DeclineCode::NoAnswer);
        let echoed = row.map_or_else(|| dialect.answer_echo(), |row| row.answer_echo);
        let extras = terminals_numbers(dialect, waiting, echoed);
        let (made, answer) = with_buffer(|out| iso8583::answer(&request, row, code, &extras, out));
        let frame = made
            .ok()
            .and_then(|()| with_envelope(dialect, &answer, waiting));
        policy.metrics.answer(AnswerClass::Failed);
        let Some(frame) = frame else {
            waiting.session.give_up();
            return;
        };
        let session = Arc::clone(&waiting.session);
        let effect = Effect::Answer {
            session,
            frame,
            timed: None,
        };
        if self.journal.append(effect, |_nothing| {}).is_err() {
            waiting.session.give_up();
        }
    }

    /// Gives up every request whose deadline passed.
    pub(super) fn expire(&self, now: Moment) {
        for (at, upstream) in self.groups.iter().enumerate() {
            for (_, waiting) in upstream.pending.expired(now) {
                upstream.metrics.in_flight.decrement(1.0);
                upstream.metrics.timeouts.increment(1);
                self.on_unanswered(at, &waiting);
            }
        }
    }
}

/// Amount that counts: the answer's for a partial approval, the request's otherwise.
fn booked(asked: u64, answer: &Message<'_>, code: ResponseCode) -> u64 {
    if answer.dialect().is_partial_approval(code) {
        answer
            .amount()
            .map_or(asked, |amount| amount.minor.min(asked))
    } else {
        asked
    }
}

/// The upstream's answer as the terminal gets it: its own envelope turned round, its own numbers, no MAC
/// of the upstream's.
fn terminal_frame(waiting: &Waiting, answer: &Message<'_>) -> Option<Bytes> {
    let set;
    let differs = answer.stan() != Some(waiting.stan) || waiting.reference.is_some();
    let how = Rewrite {
        envelope: Envelope::Answering(waiting.envelope.as_slice()),
        drop: MAC_FIELDS,
        set: if differs {
            set = terminals_numbers(answer.dialect(), waiting, answer.fields());
            &set
        } else {
            &[]
        },
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(answer, &how, out));
    made.ok().map(|()| frame)
}

/// The terminal's own STAN, and the reference to an earlier one as it wrote it, where `present` has the
/// field: the group's numbers are nothing to a terminal.
fn terminals_numbers<'w>(
    dialect: &iso8583::Dialect,
    waiting: &'w Waiting,
    present: FieldSet,
) -> Vec<(u8, FieldValue<'w>)> {
    let roles = dialect.roles();
    let stan = FieldValue::Number(u64::from(waiting.stan.get()));
    let mut set = vec![(roles.stan, stan)];
    if let (Some(part), Some(digits)) = (roles.original.stan, &waiting.reference)
        && present.contains(part.field)
    {
        set.push((part.field, FieldValue::Digits(digits)));
        set.sort_by_key(|(de, _)| *de);
    }
    set
}

/// An answer of our own, made from the request as it went upstream, under the terminal's envelope.
fn with_envelope(dialect: &iso8583::Dialect, answer: &Bytes, waiting: &Waiting) -> Option<Bytes> {
    let prefix = dialect.framing().prefix_bytes();
    let mut index = Index::new();
    let answer = answer.get(prefix..)?;
    let message = dialect.decode_structure(answer, &mut index).ok()?;
    let how = Rewrite {
        envelope: Envelope::Answering(waiting.envelope.as_slice()),
        drop: FieldSet::EMPTY,
        set: &[],
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(&message, &how, out));
    made.ok().map(|()| frame)
}

/// What the nearest waiting request differs in.
fn nearest_miss(upstream: &UpstreamGroup, answer: &Message<'_>) -> Option<Mismatch> {
    let roles = answer.dialect().roles();
    let (stan, terminal) = (answer.stan()?, answer.terminal());
    upstream.pending.nearest(|key, waiting| {
        // The number that the upstream was sent: a group may count by itself.
        let same_stan = key.stan() == Some(stan);
        let same_terminal = Some(waiting.terminal) == terminal;
        match (same_stan, same_terminal) {
            (true, true) => Some(Mismatch::Mti),
            (true, false) => Some(Mismatch::Differs(roles.terminal)),
            (false, true) => Some(Mismatch::Differs(roles.stan)),
            (false, false) => None,
        }
    })
}
