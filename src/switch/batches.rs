//! The end of a terminal's batch: totals compared, lines held against the journal, the batch closed.
//!
//! A request of these goes through the journal's queue first, so that everything the terminal was told before
//! it is durable and in the read model when it is looked at; then `lookup` brings it here. What is decided is
//! durable before the terminal hears it. A repeated request finds what was decided and is answered with it,
//! to the byte.
//!
//! While a request of the batch waits for its upstream nobody can say whether it counts: totals are undecided
//! then, and a batch does not end. That is over when the upstream answers or its time is. What is owed counts
//! nothing and holds up nothing (invariant 8).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::effects::Effect;
use super::forward::Passed;
use super::local::times;
use super::lookup::Job;
use super::requests::code_of;
use super::{ListenerPolicy, Switch, with_buffer};
use crate::base::calendar::Civil;
use crate::base::{
    BatchLine, BatchNumber, BatchResult, BatchTotals, BindingId, Currency, LineCounts, MaskedPan,
    Stan, Timestamp, limits,
};
use crate::binding::TerminalKey;
use crate::iso8583::{
    self, DeclineCode, FieldValue, Message, Request, ResponseCode, Served, SettlementRules, Uploads,
};
use crate::net::{Handled, Session};
use crate::store::batch::{self, BatchRecord, BatchStep, Closed, Closing, Settled};
use crate::store::{OutcomeKind, ReadModel, Record, StoreError, TransactionRow};
use crate::telemetry::log::chain;
use crate::telemetry::metrics::{self, AnswerClass};
use crate::transaction::Lane;
use crate::transaction::batch::{Known, LineClaim, compare, reconcile, told};

/// What a person's closing of a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchClosed {
    /// The batch that ended.
    pub batch: BatchNumber,
    /// The one that the terminal gets next.
    pub next: BatchNumber,
}

/// Why a person cannot close a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseRefused {
    /// It has none.
    #[error("the terminal has no open batch; it never signed on")]
    NoBatch,
    /// Another batch is open by now.
    #[error("batch {open} is open; look at it again")]
    OtherBatch {
        /// The one that is.
        open: BatchNumber,
    },
    /// Nobody can say yet what is in it.
    #[error("a request of the batch waits for its upstream; try again in some seconds")]
    InFlight,
    /// It cannot be made durable.
    #[error("the journal takes nothing new; make room on its disk, or start the gateway again")]
    NotDurable,
}

/// Why the batch that a request names cannot be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    /// It is not the open one, or the terminal is not signed on.
    NotOpen,
    /// A request of it is in flight.
    InFlight,
    /// The record cannot be made durable.
    NotDurable,
}

impl Switch {
    /// A terminal settles its batch, uploads it or ends it.
    pub(super) fn on_batch(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
    ) -> Handled {
        let (Some(batch), Some(stan)) = (message.batch(), message.stan()) else {
            metrics::declined("missing-field");
            return self.decline(session, message, Some(request), DeclineCode::Format);
        };
        let job = Job::batch(session, message, key, batch, stan);
        let effect = Effect::Ask(Some(Box::new(job)));
        match self.journal.append(effect, |_nothing| {}) {
            Ok(()) => Handled::Pending,
            Err(_closed) => Handled::Close("journal-closed"),
        }
    }

    /// Decides such a request. `None`: the store cannot say.
    pub(super) fn batch_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        model: &mut dyn ReadModel,
    ) -> Option<Handled> {
        let passed = match self.pass_again(job, message, request, None) {
            Ok(passed) => passed,
            Err(handled) => return Some(handled),
        };
        if let Some(reason) = passed.declined {
            return Some(self.refuse_batch(&passed, code_of(reason), reason.name()));
        }
        let Some(rules) = message.dialect().settlement() else {
            return Some(self.refuse_batch(&passed, DeclineCode::Unsupported, "unserved"));
        };
        let work = Work {
            switch: self,
            passed: &passed,
            policy: self.policy(&job.session),
            rules,
            binding: passed.admission.binding,
            batch: job.batch,
            stan: job.stan,
        };
        let done = match request.served {
            Served::Settlement => work.settle(model),
            Served::BatchUpload => work.upload(model),
            Served::BatchUploadEnd => work.end(model),
            Served::Forward
            | Served::SignOn
            | Served::SignOff
            | Served::Echo
            | Served::CodeEntry
            | Served::Unserved => Ok(Handled::Close("not-a-settlement")),
        };
        match done {
            Ok(handled) => Some(handled),
            Err(problem) => {
                let problem = chain(&problem);
                tracing::error!(problem, "a batch cannot be looked up");
                None
            }
        }
    }

    fn refuse_batch(&self, passed: &Passed<'_>, why: DeclineCode, reason: &'static str) -> Handled {
        metrics::declined(reason);
        self.decline(passed.session, passed.message, Some(passed.request), why)
    }

    /// Ends a terminal's open batch because a person says so. `expected` is the batch that was looked at. The
    /// receiver hears when that is durable; from then on, and already now, the batch takes nothing more.
    ///
    /// # Errors
    /// When there is none, another one, something of it in flight, or nothing can be made durable.
    pub fn close_batch(
        &self,
        key: TerminalKey,
        expected: Option<BatchNumber>,
        by: &str,
        note: &str,
    ) -> Result<(BatchClosed, oneshot::Receiver<()>), CloseRefused> {
        let binding = self.directory.find(key).ok().flatten();
        let binding = binding.map_or(BindingId(0), |admission| admission.binding);
        let (tell, told) = oneshot::channel();
        let closed = self.lanes.with(key, |lane| {
            let batch = lane.batch();
            if batch == BatchNumber::default() {
                return Err(CloseRefused::NoBatch);
            }
            if expected.is_some_and(|expected| expected != batch) {
                return Err(CloseRefused::OtherBatch { open: batch });
            }
            if lane.is_in_flight(batch) {
                return Err(CloseRefused::InFlight);
            }
            let how = Closing::Operator {
                by: by.into(),
                note: note.into(),
            };
            let next = batch.next();
            let record = Record::Batch(Box::new(BatchRecord {
                key,
                binding,
                batch,
                at: self.clock.wall(),
                step: BatchStep::Closed(Closed { next, how }),
            }));
            self.journal
                .append_new(Effect::Tell(Some(tell)), |out| record.encode(out))
                .map_err(|_refused| CloseRefused::NotDurable)?;
            lane.close_batch(batch);
            Ok(BatchClosed { batch, next })
        })?;
        metrics::batch_closed("operator");
        Ok((closed, told))
    }
}

/// One request that is decided.
struct Work<'a> {
    switch: &'a Switch,
    passed: &'a Passed<'a>,
    policy: &'a ListenerPolicy,
    rules: &'a SettlementRules,
    binding: BindingId,
    batch: BatchNumber,
    stan: Stan,
}

impl Work<'_> {
    /// Compares the terminal's totals with ours.
    fn settle(&self, model: &mut dyn ReadModel) -> Result<Handled, StoreError> {
        let message = self.passed.message;
        let currency = message.field(message.dialect().roles().currency);
        let currency = currency.map_or(Some(Currency::NONE), Currency::from_slice);
        let (Some(claimed), Some(currency)) = (self.rules.claimed(message), currency) else {
            return Ok(self.refuse(DeclineCode::Format, "format"));
        };
        let before = model.settled(self.binding, self.batch)?;
        let same = |known: &&(Timestamp, Settled)| {
            let settled = &known.1;
            (settled.stan, settled.currency) == (self.stan, currency) && settled.claimed == claimed
        };
        if let Some((at, settled)) = before.iter().find(same) {
            metrics::repeated("repeated");
            return Ok(self.answer(*at, self.totals_told(settled).as_deref()));
        }
        let ready = self.in_lane(|lane| self.ready(lane));
        match ready {
            Ok(()) => {}
            Err(Shut::InFlight) => return Ok(self.undecided(&claimed)),
            Err(shut) => return Ok(self.shut(shut)),
        }
        let mut ours = BatchTotals::ZERO;
        let of_currency = currency.to_string();
        model.batch_transactions(self.binding, self.batch, &mut |row| {
            if row.currency == of_currency {
                batch::count(&mut ours, &row);
            }
        })?;
        let settled = Settled {
            stan: self.stan,
            currency,
            ours,
            result: compare(&claimed, &ours),
            claimed,
        };
        metrics::settled(settled.result);
        if settled.result == BatchResult::NotBalanced {
            tracing::warn!(
                terminal = %self.passed.key.terminal, batch = %self.batch,
                "a terminal's totals are not those of the journal; `posgate batch show` tells both"
            );
        }
        let at = self.switch.clock.wall();
        let frame = self.frame(at, self.totals_told(&settled).as_deref(), self.accepted());
        let step = BatchStep::Settled(settled);
        Ok(self.answer_after(frame, &self.record(at, step)))
    }

    /// The totals as an answer tells them; `None` when ours are too large for it.
    fn totals_told(&self, settled: &Settled) -> Option<Vec<u8>> {
        let blocks = told(&settled.claimed, &settled.ours, settled.result);
        self.rules.written(&blocks).or_else(|| {
            let undecided = BatchResult::Undecided;
            self.rules
                .written(&told(&settled.claimed, &settled.ours, undecided))
        })
    }

    fn undecided(&self, claimed: &[BatchTotals]) -> Handled {
        metrics::settled(BatchResult::Undecided);
        metrics::declined("batch-in-flight");
        let blocks = told(claimed, &BatchTotals::ZERO, BatchResult::Undecided);
        let totals = self.rules.written(&blocks);
        let code = self
            .passed
            .message
            .dialect()
            .decline(DeclineCode::InProgress);
        let Some(frame) = self.frame(self.switch.clock.wall(), totals.as_deref(), code) else {
            return Handled::Close("unanswerable");
        };
        self.policy.metrics.answer(AnswerClass::Declined);
        // A peer that does not read its answers is closed by its session.
        let _taken = self.passed.session.answer(&frame);
        Handled::Pending
    }

    /// Holds uploaded lines against the journal. A line that came before changes nothing.
    fn upload(&self, model: &mut dyn ReadModel) -> Result<Handled, StoreError> {
        let message = self.passed.message;
        let (lines, claim) = match self.passed.request.uploads {
            Uploads::Listed => (self.rules.lines(message), LineClaim::Counts),
            Uploads::Itself => (self.line_itself(), LineClaim::Counts),
            Uploads::Failed => (self.line_itself(), LineClaim::Failed),
        };
        let Some(lines) = lines else {
            return Ok(self.refuse(DeclineCode::Format, "format"));
        };
        let known = model.lines(self.binding, self.batch)?;
        let before = |line: &BatchLine| known.iter().find(|(_, known, _)| known == line);
        let fresh: Vec<_> = lines.iter().filter(|line| before(line).is_none()).collect();
        if fresh.is_empty() {
            let first = lines.iter().filter_map(before).map(|(at, ..)| *at).min();
            return match (first, self.in_lane(|lane| self.open(lane))) {
                (Some(at), _) => {
                    metrics::repeated("repeated");
                    Ok(self.answer(at, None))
                }
                (None, Ok(())) => Ok(self.answer(self.switch.clock.wall(), None)),
                (None, Err(shut)) => Ok(self.shut(shut)),
            };
        }
        if let Err(shut) = self.in_lane(|lane| self.open(lane)) {
            return Ok(self.shut(shut));
        }
        if known.len() + fresh.len() > limits::BATCH_LINES_MAX {
            return Ok(self.refuse(DeclineCode::InvalidTransaction, "too-many-lines"));
        }
        let mut verdicts = Vec::with_capacity(fresh.len());
        for line in fresh {
            let row = model.find(self.binding, self.batch, line.stan)?;
            let verdict = reconcile(line, claim, known_of(row.as_ref()));
            verdicts.push((*line, verdict));
        }
        for (_, verdict) in &verdicts {
            metrics::batch_line(*verdict);
        }
        let at = self.switch.clock.wall();
        let frame = self.frame(at, None, self.accepted());
        let step = BatchStep::Uploaded(verdicts);
        Ok(self.answer_after(frame, &self.record(at, step)))
    }

    /// The transaction that the message itself is about.
    fn line_itself(&self) -> Option<Vec<BatchLine>> {
        let message = self.passed.message;
        let line = BatchLine {
            stan: self.stan,
            minor: message.number(message.dialect().roles().amount)?,
            pan: message.pan().map_or(MaskedPan::NONE, |pan| pan.masked()),
        };
        Some(vec![line])
    }

    /// The upload is complete: the batch ends.
    fn end(&self, model: &mut dyn ReadModel) -> Result<Handled, StoreError> {
        let key = self.passed.key;
        if let Some((at, binding, closed)) = model.closed(key, self.batch)?
            && binding == self.binding
            && matches!(closed.how, Closing::Terminal { .. })
        {
            metrics::repeated("repeated");
            return Ok(self.answer(at, None));
        }
        if model.settled(self.binding, self.batch)?.is_empty() {
            if let Err(shut) = self.in_lane(|lane| self.open(lane)) {
                return Ok(self.shut(shut));
            }
            return Ok(self.refuse(DeclineCode::InvalidTransaction, "not-settled"));
        }
        let counts = self.counts(model)?;
        let announced = self.passed.message.number(self.rules.field());
        let announced = announced.unwrap_or_else(|| counts.uploaded());
        if announced != counts.uploaded() {
            tracing::warn!(
                terminal = %key.terminal, batch = %self.batch, announced, came = counts.uploaded(),
                "a terminal ends an upload of which not everything came, or more"
            );
        }
        let at = self.switch.clock.wall();
        let how = Closing::Terminal {
            stan: self.stan,
            announced,
            counts,
        };
        let next = self.batch.next();
        let record = self.record(at, BatchStep::Closed(Closed { next, how }));
        let Some(frame) = self.frame(at, None, self.accepted()) else {
            return Ok(Handled::Close("unanswerable"));
        };
        let closed = self.in_lane(|lane| {
            self.ready(lane)?;
            self.append(frame, &record)?;
            lane.close_batch(self.batch);
            Ok(())
        });
        Ok(match closed {
            Ok(()) => {
                metrics::batch_closed("terminal");
                self.policy.metrics.answer(AnswerClass::Approved);
                Handled::Pending
            }
            Err(shut) => self.shut(shut),
        })
    }

    /// Lines that came, and what counts here and did not come.
    fn counts(&self, model: &mut dyn ReadModel) -> Result<LineCounts, StoreError> {
        let mut counts = LineCounts::default();
        let mut came = HashSet::new();
        for (_, line, verdict) in model.lines(self.binding, self.batch)? {
            counts.add(verdict);
            came.insert(line.stan);
        }
        model.batch_transactions(self.binding, self.batch, &mut |row| {
            let mut one = BatchTotals::ZERO;
            batch::count(&mut one, &row);
            if one != BatchTotals::ZERO && !came.contains(&row.stan) {
                counts.missing += 1;
            }
        })?;
        Ok(counts)
    }

    fn in_lane<T>(&self, work: impl FnOnce(&mut Lane) -> T) -> T {
        self.switch.lanes.with(self.passed.key, work)
    }

    /// Whether the batch is the open one, or the terminal's own where it never signs on.
    fn open(&self, lane: &Lane) -> Result<(), Shut> {
        let counts_itself = lane.batch() == BatchNumber::default();
        let signed_on = lane.is_signed_on() || !self.policy.sign_on_required;
        if signed_on && (counts_itself || lane.batch() == self.batch) {
            Ok(())
        } else {
            Err(Shut::NotOpen)
        }
    }

    /// Whether it is open and everything in it is decided.
    fn ready(&self, lane: &Lane) -> Result<(), Shut> {
        self.open(lane)?;
        if lane.is_in_flight(self.batch) {
            return Err(Shut::InFlight);
        }
        Ok(())
    }

    fn refuse(&self, why: DeclineCode, reason: &'static str) -> Handled {
        self.switch.refuse_batch(self.passed, why, reason)
    }

    fn shut(&self, shut: Shut) -> Handled {
        match shut {
            Shut::NotOpen => self.refuse(DeclineCode::NotSignedOn, "not-signed-on"),
            Shut::InFlight => self.refuse(DeclineCode::InProgress, "batch-in-flight"),
            Shut::NotDurable => self.refuse(DeclineCode::CannotDecide, "journal-closed"),
        }
    }

    fn record(&self, at: Timestamp, step: BatchStep) -> Record {
        Record::Batch(Box::new(BatchRecord {
            key: self.passed.key,
            binding: self.binding,
            batch: self.batch,
            at,
            step,
        }))
    }

    /// The answer to what was decided then: its time, date and reference number are of that time, so that a
    /// repeat gets the same bytes.
    fn frame(&self, at: Timestamp, totals: Option<&[u8]>, code: ResponseCode) -> Option<Bytes> {
        let message = self.passed.message;
        let now = Civil::local(at, self.switch.zone_offset.load(Ordering::Relaxed));
        let (time, stamp) = (now.time(), now.stamp());
        let mut extras = times(message, &stamp);
        let reference = format!("{}{}", time.escape_ascii(), self.stan);
        let roles = message.dialect().roles();
        if roles.rrn != 0 {
            extras.push((roles.rrn, FieldValue::Text(reference.as_bytes())));
        }
        if let Some(totals) = totals {
            extras.push((self.rules.field(), FieldValue::Digits(totals)));
        }
        extras.sort_by_key(|(de, _)| *de);
        let request = Some(self.passed.request);
        let (made, frame) =
            with_buffer(|out| iso8583::answer(message, request, code, &extras, out));
        if let Err(problem) = &made {
            tracing::error!(%problem, "an answer cannot be written");
        }
        made.is_ok().then_some(frame)
    }

    fn accepted(&self) -> ResponseCode {
        let message = self.passed.message;
        message.dialect().accepted(message.mti())
    }

    /// Answers what is durable already.
    fn answer(&self, at: Timestamp, totals: Option<&[u8]>) -> Handled {
        let Some(frame) = self.frame(at, totals, self.accepted()) else {
            return Handled::Close("unanswerable");
        };
        self.policy.metrics.answer(AnswerClass::Approved);
        // A peer that does not read its answers is closed by its session.
        let _taken = self.passed.session.answer(&frame);
        Handled::Pending
    }

    /// Answers once the record is durable.
    fn answer_after(&self, frame: Option<Bytes>, record: &Record) -> Handled {
        let Some(frame) = frame else {
            return Handled::Close("unanswerable");
        };
        match self.append(frame, record) {
            Ok(()) => {
                self.policy.metrics.answer(AnswerClass::Approved);
                Handled::Pending
            }
            Err(shut) => self.shut(shut),
        }
    }

    fn append(&self, frame: Bytes, record: &Record) -> Result<(), Shut> {
        let effect = Effect::Answer {
            session: Arc::clone(self.passed.session),
            frame,
            timed: None,
        };
        self.switch
            .journal
            .append_new(effect, |out| record.encode(out))
            .map_err(|_refused| Shut::NotDurable)
    }
}

/// What the journal knows of a line's transaction.
fn known_of(row: Option<&TransactionRow>) -> Known {
    let Some(row) = row else {
        return Known::Never;
    };
    match &row.outcome {
        Some(outcome) if outcome.kind == OutcomeKind::Approved => Known::Standing {
            minor: outcome.booked,
            pan: row.pan,
        },
        Some(_) | None => Known::Fallen,
    }
}
