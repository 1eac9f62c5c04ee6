//! Originals that the lane no longer remembers: found in the read model, on a thread of their own.
//!
//! The journal is projected first, so that whatever was durable when the question came is seen.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::Switch;
use super::effects::Effect;
use super::forward::{Memory, Passed};
use super::payee::Paying;
use super::requests::{asked, code_of, may_have_passed};
use super::reversals::{agrees, original_key};
use super::staff::StaffRefund;
use crate::base::clock::Moment;
use crate::base::{
    AccountId, BatchNumber, BindingId, Fate, MaskedPan, MerchantId, Stan, Timestamp,
};
use crate::binding::{Decision, TerminalKey, decide};
use crate::iso8583::{DeclineCode, Index, MatchKey, Message, Mti, Request, ResponseCode};
use crate::net::{Handled, Session};
use crate::store::{JournalStore, OutcomeKind, ReadModel, Record, StoreError, TransactionRow};
use crate::telemetry::log::chain;
use crate::telemetry::metrics;
use crate::transaction::originals::Undoing;
use crate::transaction::{Proposal, Reach, Remembered, ReversalStep, State, Transaction};

/// What the answer to a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A terminal's reversal looks for its original.
    Reversal,
    /// A request refers to an original.
    Reference,
    /// A request may have been here before. `named`: what it refers to was judged, and is judged again.
    Acceptance { named: bool },
    /// A terminal settles its batch, uploads it or ends it.
    Batch,
}

/// A question: what became of the transaction with this batch and STAN?
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) session: Arc<Session>,
    frame: Box<[u8]>,
    pub(super) key: TerminalKey,
    pub(super) batch: BatchNumber,
    pub(super) stan: Stan,
    purpose: Purpose,
    /// Staff's refund that it is about.
    pub(super) staff: Option<Arc<StaffRefund>>,
}

impl Job {
    /// For a terminal's reversal.
    pub(super) fn reversal(
        session: &Arc<Session>,
        message: &Message<'_>,
        key: TerminalKey,
        batch: BatchNumber,
        stan: Stan,
    ) -> Self {
        Self::new(session, message, key, batch, stan, Purpose::Reversal)
    }

    /// For a request that refers to an original.
    pub(super) fn original(
        session: &Arc<Session>,
        message: &Message<'_>,
        key: TerminalKey,
    ) -> Self {
        let (batch, stan) = (BatchNumber::default(), Stan::FIRST);
        Self::new(session, message, key, batch, stan, Purpose::Reference)
    }

    /// For a refund of staff's, whose original is known by its number.
    pub(super) fn staff(
        session: &Arc<Session>,
        message: &Message<'_>,
        refund: &Arc<StaffRefund>,
    ) -> Self {
        let (batch, stan) = (BatchNumber::STAFF, refund.number);
        let key = refund.original.key;
        let job = Self::new(session, message, key, batch, stan, Purpose::Reference);
        Self {
            staff: Some(Arc::clone(refund)),
            ..job
        }
    }

    /// For a request that its lane cannot tell from an earlier one.
    pub(super) fn acceptance(passed: &Passed<'_>, proposal: &Proposal, named: bool) -> Self {
        let job = Self::new(
            passed.session,
            passed.message,
            passed.key,
            proposal.batch,
            proposal.stan,
            Purpose::Acceptance { named },
        );
        Self {
            staff: passed.staff.cloned(),
            ..job
        }
    }

    /// For a terminal that settles, uploads or ends its batch.
    pub(super) fn batch(
        session: &Arc<Session>,
        message: &Message<'_>,
        key: TerminalKey,
        batch: BatchNumber,
        stan: Stan,
    ) -> Self {
        Self::new(session, message, key, batch, stan, Purpose::Batch)
    }

    fn new(
        session: &Arc<Session>,
        message: &Message<'_>,
        key: TerminalKey,
        batch: BatchNumber,
        stan: Stan,
        purpose: Purpose,
    ) -> Self {
        let frame = message.frame().into();
        Self {
            session: Arc::clone(session),
            frame,
            key,
            batch,
            stan,
            purpose,
            staff: None,
        }
    }
}

/// Where questions go.
#[derive(Clone, Debug)]
pub(crate) struct Lookups(SyncSender<Job>);

impl Lookups {
    /// Room for so many questions; beyond, a session is closed and its terminal asks again.
    pub(super) fn new(waiting_max: usize) -> (Self, Receiver<Job>) {
        let (ask, asked) = sync_channel(waiting_max);
        (Self(ask), asked)
    }

    /// Asks, where there is room for the question.
    ///
    /// # Errors
    /// The question, where there is none.
    pub(super) fn ask(&self, job: Job) -> Result<(), Box<Job>> {
        self.0.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => Box::new(job),
        })
    }

    /// Asks on behalf of a session that waits already.
    pub(super) fn ask_or_give_up(&self, job: Job) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.0.try_send(job)
        {
            job.session.give_up();
            job.session.close_when_settled();
        }
    }
}

impl Switch {
    /// Asks; the terminal's answer comes from the look-up's thread.
    pub(super) fn look_up(&self, job: Job) -> Handled {
        match self.lookups.0.try_send(job) {
            Ok(()) => Handled::Pending,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                Handled::Close("lookups-full")
            }
        }
    }

    /// Answers one question. `model` shows everything that was durable when it was asked.
    pub(super) fn looked_up(
        &self,
        job: &Job,
        model: &mut dyn ReadModel,
        journal: &mut dyn JournalStore,
    ) {
        let policy = self.policy(&job.session);
        let mut index = Index::new();
        // Decoded in full when it came in.
        let decoded = policy.dialect.decode_structure(&job.frame, &mut index);
        let Ok(message) = decoded else {
            job.session.give_up();
            return;
        };
        let Some(request) = policy.dialect.classify(&message) else {
            job.session.give_up();
            return;
        };
        let handled = match job.purpose {
            Purpose::Reversal => self.reverse_found(job, &message, request, model, journal),
            Purpose::Reference => self.forward_found(job, &message, request, model),
            Purpose::Acceptance { named } => {
                self.accept_found(job, &message, request, named, model)
            }
            Purpose::Batch => Ok(self.batch_found(job, &message, request, model)),
        };
        let handled = handled.unwrap_or_else(|problem| {
            let problem = chain(&problem);
            tracing::error!(problem, "an earlier transaction cannot be looked up");
            None
        });
        // Not knowing is no reason to say that there is nothing: the terminal asks again.
        match handled.unwrap_or(Handled::Close("store-cannot-tell")) {
            Handled::Pending => {}
            Handled::Ignored | Handled::Close(_) => {
                job.session.give_up();
                job.session.close_when_settled();
            }
        }
    }

    /// The read model is behind and cannot be brought up to date: nothing can be said of an original.
    pub(super) fn cannot_look_up(&self, job: &Job) {
        tracing::error!(listener = %self.policy(&job.session).name, "an original cannot be looked up now");
        job.session.give_up();
        job.session.close_when_settled();
    }

    /// The terminal's current binding if it is the shop's that the request names; 0 for a former one.
    fn binding_of(&self, job: &Job, message: &Message<'_>) -> BindingId {
        let current = self.directory.find(job.key).ok().flatten();
        current
            .filter(|a| message.merchant().is_none_or(|m| m == a.merchant))
            .map_or(BindingId(0), |a| a.binding)
    }

    /// What a terminal's reversal comes to whose original the lane does not know, or not what follows it.
    fn reverse_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        model: &mut dyn ReadModel,
        journal: &mut dyn JournalStore,
    ) -> Result<Option<Handled>, StoreError> {
        let found = self.find_at(
            job,
            message,
            (job.batch, job.stan, None),
            request.kind,
            model,
        )?;
        let Some(row) = &found else {
            return Ok(Some(self.reverse_unseen(job, message, request)));
        };
        let policy = self.policy(&job.session);
        // Only what is reversed when its fate is unknown can be reversed at all.
        match policy.dialect.request(&row.request).map(|row| row.fate) {
            Some(Fate::Reverse) => {}
            Some(Fate::Repeat) => {
                return Ok(Some(self.not_reversible(&job.session, message, request)));
            }
            Some(Fate::Expire) | None => {
                return Ok(Some(self.answer_reversal(&job.session, message, request)));
            }
        }
        match Undoing::of(&self.follow_ups(row.txn, model)?) {
            Undoing::Free => {}
            Undoing::Voided => {
                metrics::repeated("reversal-of-voided");
                return Ok(Some(self.answer_reversal(&job.session, message, request)));
            }
            Undoing::Followed => {
                return Ok(Some(self.not_reversible(&job.session, message, request)));
            }
            // The terminal sends it again, as it does with every reversal that nobody answered.
            Undoing::Open => return Ok(Some(Handled::Close("original-being-followed"))),
        }
        let group = self.groups.iter().position(|g| g.name == row.group);
        let Some(group) = group else {
            if !self.is_to_be_undone(row) {
                return Ok(Some(self.answer_reversal(&job.session, message, request)));
            }
            tracing::error!(
                group = row.group.as_str(),
                "a reversal belongs to a group that is no longer configured; configure it again"
            );
            return Ok(Some(Handled::Close("group-gone")));
        };
        let tally = self.tally_found(row, model)?;
        let known = self.owed_transaction(message, row, group);
        let match_key = known.match_key;
        let new = if agrees(message, row.amount, row.pan) {
            let stan = row.upstream_stan;
            self.reversal_for_terminal(message, job.key, group, row.txn, stan, match_key)
        } else {
            self.owed_of_journal(row, group, message.response_code(), journal)?
        };
        let Some(new) = new else {
            return Ok(Some(Handled::Close("unwritable")));
        };
        let (kept, waiting) = self.lanes.with(job.key, |lane| {
            let owe = match lane.reverse_looked_up(row.txn) {
                ReversalStep::Owe(_) => true,
                ReversalStep::Repeated
                | ReversalStep::NothingToUndo
                | ReversalStep::NotReversible => false,
                ReversalStep::LookUp => {
                    let owe = self.is_to_be_undone(row);
                    if owe {
                        lane.take_up(known);
                    }
                    owe
                }
            };
            if !owe {
                return (true, None);
            }
            let waiting = self.groups[group].pending.give_up(&match_key, row.txn.0);
            let counters = self.directory.counters();
            let remembered = counters.recall(job.key, row.txn);
            if let Some(tally) = remembered.or(tally) {
                counters.undone(tally);
            }
            let kept = self.owe(match &waiting {
                Some(waiting) => new.behind(waiting),
                None => new,
            });
            (kept, waiting)
        });
        if let Some(waiting) = waiting {
            self.gives_up(group, &waiting);
        }
        Ok(Some(if kept {
            self.answer_reversal(&job.session, message, request)
        } else {
            Handled::Close("journal-closed")
        }))
    }

    /// Whether there is something to undo of a transaction that its lane has forgotten.
    fn is_to_be_undone(&self, row: &TransactionRow) -> bool {
        match row.outcome.as_ref().map(|outcome| outcome.kind) {
            None | Some(OutcomeKind::Approved) => true,
            // Owed before a restart, and on no book since: it is owed anew.
            Some(OutcomeKind::ReversalOwed) => {
                !self.groups.iter().any(|group| group.owed.holds(row.txn))
            }
            // The terminal decides what a person has not.
            Some(OutcomeKind::Parked) => true,
            Some(
                OutcomeKind::Closed
                | OutcomeKind::Declined
                | OutcomeKind::Reversed
                | OutcomeKind::Expired
                | OutcomeKind::RepeatOwed,
            ) => false,
        }
    }

    /// A reversal whose original was never seen: a tombstone waits for it.
    fn reverse_unseen(&self, job: &Job, message: &Message<'_>, request: &Request) -> Handled {
        let policy = self.policy(&job.session);
        let window = policy.dialect.repeats().window;
        let binding = self.binding_of(job, message);
        let step = self.lanes.with(job.key, |lane| {
            // The lane may have learned of the original meanwhile.
            if let Some(known) = lane.find(job.batch, job.stan, message.merchant()) {
                return match known.state {
                    State::Approved { .. } | State::Parked if known.followed => Found::NotShown,
                    _ => Found::InLane,
                };
            }
            let until = self.until(Some(self.clock.wall()), window);
            // Accepted like a request: the original must be looked up even when the lane has forgotten this.
            let now = self.clock.now();
            lane.accept(now, tombstone(job, message, binding, until));
            let record = Record::Tombstone {
                key: job.key,
                binding,
                batch: job.batch,
                stan: job.stan,
                at: self.clock.wall(),
            };
            let kept = self
                .journal
                .append(Effect::Nothing, |out| record.encode(out));
            Found::Nowhere { kept: kept.is_ok() }
        });
        match step {
            Found::InLane => self.reverse(&job.session, message, request, job.key),
            // What it is the store will show soon; the terminal sends its reversal again.
            Found::NotShown => Handled::Close("store-cannot-tell"),
            Found::Nowhere { kept: true } => {
                metrics::repeated("reversal-of-unknown");
                let code = policy.dialect.reversal().unknown_original;
                self.answer_in_order(&job.session, message, request, code)
            }
            Found::Nowhere { kept: false } => Handled::Close("journal-closed"),
        }
    }

    fn forward_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        model: &mut dyn ReadModel,
    ) -> Result<Option<Handled>, StoreError> {
        let named = self.judge_original(job, message, request, model)?;
        let original = named.and_then(|named| named.account);
        Ok(Some(
            match self.pass_again(job, message, request, original) {
                Ok(passed) => self.forward(&passed, named, Memory::Lane),
                Err(handled) => handled,
            },
        ))
    }

    /// Time has passed while it was looked up: the gate decides on the present. `original`: the account of what it
    /// follows, if that is known here.
    pub(super) fn pass_again<'a>(
        &self,
        job: &'a Job,
        message: &'a Message<'a>,
        request: &'a Request,
        original: Option<AccountId>,
    ) -> Result<Passed<'a>, Handled> {
        if let Some(refund) = &job.staff {
            return self
                .staff_passed(job, refund, message, request)
                .map_err(|reason| {
                    refund.note_refusal(reason.name());
                    metrics::declined(reason.name());
                    self.decline(&job.session, message, Some(request), code_of(reason))
                });
        }
        let epoch = self.directory.epoch();
        let paying = Paying::behind(message, original);
        let (present, payee) = self.present(job.key, paying);
        let passed = |admission, held, declined| Passed {
            session: &job.session,
            message,
            request,
            key: job.key,
            admission,
            paying,
            account: payee.account,
            epoch,
            held,
            declined,
            staff: None,
        };
        match decide(present, payee.status, asked(message, request.kind)) {
            Decision::Pass { admission, held } => Ok(passed(admission, held, None)),
            Decision::Decline(reason)
                if let Ok(Some(admission)) = present
                    && may_have_passed(reason) =>
            {
                Ok(passed(admission, false, Some(reason)))
            }
            Decision::Decline(reason) => {
                metrics::declined(reason.name());
                Err(self.decline(&job.session, message, Some(request), code_of(reason)))
            }
        }
    }

    /// Teaches the lane what the store knows of the batch and of this STAN, and judges the request again.
    /// `None`: the store cannot say.
    fn accept_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        named: bool,
        model: &mut dyn ReadModel,
    ) -> Result<Option<Handled>, StoreError> {
        // Something else may follow the original since it was judged.
        let named = if named {
            self.judge_original(job, message, request, model)?
        } else {
            None
        };
        let original = named.and_then(|named| named.account);
        let passed = match self.pass_again(job, message, request, original) {
            Ok(passed) => passed,
            Err(handled) => return Ok(Some(handled)),
        };
        Ok(match self.learn(job, &passed, model)? {
            Learned::Lane => Some(self.forward(&passed, named, Memory::LaneAndStore)),
            Learned::GroupGone(group) => {
                tracing::error!(
                    group,
                    "a repeated request belongs to a group that is no longer configured; configure it again"
                );
                metrics::declined("group-gone");
                let code = DeclineCode::CannotDecide;
                Some(self.decline(&job.session, message, Some(request), code))
            }
        })
    }

    fn learn(
        &self,
        job: &Job,
        passed: &Passed<'_>,
        model: &mut dyn ReadModel,
    ) -> Result<Learned, StoreError> {
        let window = self.policy(&job.session).dialect.repeats().window;
        let (binding, batch, stan) = (passed.admission.binding, job.batch, job.stan);
        let highest = model.highest_stan(binding, batch)?;
        let reach = Reach {
            binding,
            batch,
            highest: highest.map(|(stan, _)| stan),
            // An empty batch is known to be empty from here on.
            until: self.until(highest.map(|(_, at)| at), window),
        };
        let now = self.clock.now();
        let found = match model.find(binding, batch, stan)? {
            Some(row) => {
                let until = self.until(Some(row.at), window);
                let group = self.groups.iter().position(|group| group.name == row.group);
                match group {
                    _ if until < now => None,
                    None => return Ok(Learned::GroupGone(row.group)),
                    Some(group) => {
                        let tally = self.tally_found(&row, model)?;
                        self.counts_on(row.key, row.txn, tally);
                        Some(self.stored_transaction(&row, group, until))
                    }
                }
            }
            None => model.tombstone(binding, batch, stan)?.and_then(|at| {
                let until = self.until(Some(at), window);
                (until >= now).then(|| tombstone(job, passed.message, binding, until))
            }),
        };
        self.lanes.with(job.key, |lane| lane.learn(reach, found));
        Ok(Learned::Lane)
    }

    /// A transaction as its lane remembers it, from the read model.
    pub(super) fn stored_transaction(
        &self,
        row: &TransactionRow,
        group: usize,
        until: Moment,
    ) -> Transaction {
        let upstream = &self.groups[group];
        let request = upstream.dialect.request(&row.request);
        let mti = request.and_then(|request| request.mtis.first().copied());
        let mti = mti.unwrap_or(Mti::FINANCIAL_REQUEST);
        let answer = || {
            let outcome = row.outcome.as_ref();
            let code =
                outcome.and_then(|outcome| ResponseCode::from_slice(outcome.code.as_bytes()));
            Remembered::Kept {
                code: code.map_or(*b"  ", |code| *code.as_bytes()),
                elements: outcome.map_or_else(Box::default, |outcome| outcome.answer.clone()),
            }
        };
        let state = match row.outcome.as_ref().map(|outcome| outcome.kind) {
            None => State::InFlight,
            Some(OutcomeKind::Approved) => State::Approved { answer: answer() },
            Some(OutcomeKind::Declined) => State::Declined { answer: answer() },
            Some(OutcomeKind::ReversalOwed) => State::ReversalOwed,
            Some(OutcomeKind::Reversed) => State::Reversed,
            Some(OutcomeKind::Expired) => State::Expired,
            Some(OutcomeKind::RepeatOwed) => State::RepeatOwed,
            Some(OutcomeKind::Parked) => State::Parked,
            // A person has decided: it is neither forwarded nor undone by a terminal.
            Some(OutcomeKind::Closed) => State::Reversed,
        };
        Transaction {
            number: Some(row.txn),
            binding: row.binding,
            merchant: MerchantId::parse(&row.merchant).unwrap_or_else(|_| unknown_merchant()),
            batch: row.batch,
            stan: row.stan,
            upstream_stan: row.upstream_stan,
            group,
            match_key: original_key(upstream, row.key, row.upstream_stan, mti),
            content: row.content,
            amount: row.amount,
            card: row.pan,
            followed: true,
            fate: row.fate,
            until,
            state,
        }
    }

    /// An original out of the read model whose reversal is owed now.
    fn owed_transaction(
        &self,
        message: &Message<'_>,
        row: &TransactionRow,
        group: usize,
    ) -> Transaction {
        let window = self.groups[group].dialect.repeats().window;
        let until = self.until(Some(row.at), window);
        Transaction {
            merchant: message.merchant().unwrap_or_else(unknown_merchant),
            state: State::ReversalOwed,
            ..self.stored_transaction(row, group, until)
        }
    }

    /// The end of a window that began then; of one that begins now without a beginning.
    pub(super) fn until(&self, began: Option<Timestamp>, window: Duration) -> Moment {
        let wall = self.clock.wall();
        let age = wall.0.saturating_sub(began.unwrap_or(wall).0);
        let left = window.checked_sub(Duration::from_micros(age));
        // A window that has ended ended before now.
        left.map_or(Moment(0), |left| self.clock.now().after(left))
    }
}

/// What looking up a request came to.
enum Learned {
    /// The lane knows what the store does.
    Lane,
    /// It belongs to an upstream group that is not there any more.
    GroupGone(String),
}

fn unknown_merchant() -> MerchantId {
    MerchantId::from_padded([b' '; 15])
}

/// What the search for a reversal's original came to that the store does not show.
enum Found {
    /// The lane knows it after all.
    InLane,
    /// The lane knows it, and what became of it.
    NotShown,
    /// It was never seen; a tombstone waits for it.
    Nowhere { kept: bool },
}

fn tombstone(job: &Job, message: &Message<'_>, binding: BindingId, until: Moment) -> Transaction {
    Transaction {
        number: None,
        binding,
        merchant: message.merchant().unwrap_or_else(unknown_merchant),
        batch: job.batch,
        stan: job.stan,
        upstream_stan: job.stan,
        group: 0,
        match_key: MatchKey::own(0, job.stan),
        content: 0,
        amount: 0,
        card: MaskedPan::NONE,
        followed: false,
        fate: Fate::Reverse,
        until,
        state: State::Tombstone,
    }
}
