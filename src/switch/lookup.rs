//! Originals that the lane no longer remembers: found in the read model, on a thread of their own.
//!
//! The journal is projected first, so that whatever was durable when the question came is seen.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::Switch;
use super::effects::Effect;
use crate::base::{BatchNumber, BindingId, Fate, Stan};
use crate::binding::{AccountStatus, Decision, TerminalKey, decide};
use crate::iso8583::{Index, MatchKey, Message, Request};
use crate::net::{Handled, Session};
use crate::store::{OutcomeKind, ReadModel, Record, TransactionRow};
use crate::telemetry::metrics::{self, AnswerClass};
use crate::transaction::{State, Transaction};

/// Questions that may wait; beyond, the session is closed and the terminal asks again.
const WAITING_MAX: usize = 10_000;

/// What the answer to a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Reversal,
    Reference,
}

/// A question: what became of the transaction with this batch and STAN?
#[derive(Debug)]
pub(crate) struct Job {
    session: Arc<Session>,
    frame: Box<[u8]>,
    key: TerminalKey,
    batch: BatchNumber,
    stan: Stan,
    purpose: Purpose,
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

    /// For a request that refers to an original, towards a group with STANs of its own.
    pub(super) fn original(
        session: &Arc<Session>,
        message: &Message<'_>,
        key: TerminalKey,
        batch: BatchNumber,
        stan: Stan,
    ) -> Self {
        Self::new(session, message, key, batch, stan, Purpose::Reference)
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
        }
    }
}

/// Where questions go.
#[derive(Debug)]
pub(crate) struct Lookups(SyncSender<Job>);

impl Lookups {
    pub(super) fn new() -> (Self, Receiver<Job>) {
        let (ask, asked) = sync_channel(WAITING_MAX);
        (Self(ask), asked)
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
    pub(super) fn looked_up(&self, job: &Job, model: &mut dyn ReadModel) {
        let policy = self.policy(&job.session);
        let mut index = Index::new();
        let decoded = policy.dialect.decode(&job.frame, &mut index);
        let Ok(message) = decoded else {
            job.session.give_up();
            return;
        };
        let Some(request) = policy.dialect.classify(&message) else {
            job.session.give_up();
            return;
        };
        let found = self.find_original(job, &message, model);
        let handled = match job.purpose {
            Purpose::Reversal => self.reverse_found(job, &message, request, found.as_ref()),
            Purpose::Reference => self.forward_found(job, &message, request, found.as_ref()),
        };
        match handled {
            Handled::Pending => {}
            Handled::Ignored | Handled::Close(_) => {
                job.session.give_up();
                job.session.close_when_settled();
            }
        }
    }

    /// Among the bindings the terminal id has or had, the one whose merchant the request names.
    fn find_original(
        &self,
        job: &Job,
        message: &Message<'_>,
        model: &mut dyn ReadModel,
    ) -> Option<TransactionRow> {
        let current = self
            .directory
            .find(job.key)
            .ok()
            .flatten()
            .map(|a| a.binding);
        let former = self.directory.former(job.key);
        let merchant = message.merchant();
        for binding in current.into_iter().chain(former.into_iter().rev()) {
            match model.find(binding, job.batch, job.stan) {
                Ok(Some(row)) if merchant.is_none_or(|m| m.as_str() == row.merchant) => {
                    return Some(row);
                }
                Ok(_) => {}
                Err(problem) => tracing::error!(%problem, "an original cannot be looked up"),
            }
        }
        None
    }

    /// The terminal's current binding if it is the shop's that the request names; 0 for a former one.
    fn binding_of(&self, job: &Job, message: &Message<'_>) -> BindingId {
        let current = self.directory.find(job.key).ok().flatten();
        current
            .filter(|a| message.merchant().is_none_or(|m| m == a.merchant))
            .map_or(BindingId(0), |a| a.binding)
    }

    fn reverse_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        found: Option<&TransactionRow>,
    ) -> Handled {
        let policy = self.policy(&job.session);
        let binding = self.binding_of(job, message);
        // The lane is asked once more: it may have learned of the original meanwhile.
        let known = self.lanes.with(job.key, |lane| {
            let known = lane.find(job.batch, job.stan).is_some();
            if !known && found.is_none() {
                lane.accept(tombstone(job, message, binding));
            }
            known
        });
        if known {
            return self.reverse(&job.session, message, request, job.key);
        }
        let Some(row) = found else {
            let record = Record::Tombstone {
                key: job.key,
                binding,
                batch: job.batch,
                stan: job.stan,
                at: self.clock.wall(),
            };
            if self
                .journal
                .append(Effect::Nothing, |out| record.encode(out))
                .is_err()
            {
                return Handled::Close("journal-closed");
            }
            metrics::declined("reversal-of-unknown");
            let code = policy.dialect.reversal().unknown_original;
            return self.answer_in_order(&job.session, message, request, code);
        };
        let undo = match row.outcome.as_ref().map(|outcome| outcome.kind) {
            Some(OutcomeKind::Approved) | None => true,
            Some(
                OutcomeKind::Declined
                | OutcomeKind::ReversalOwed
                | OutcomeKind::Reversed
                | OutcomeKind::Expired,
            ) => false,
        };
        let group = self.groups.iter().position(|group| group.name == row.group);
        match (undo, group) {
            (true, Some(group)) => {
                self.lanes.with(job.key, |lane| {
                    let state = State::ReversalOwed;
                    let stan = job.stan;
                    lane.accept(Transaction {
                        number: Some(row.txn),
                        binding: row.binding,
                        merchant: message.merchant().unwrap_or_else(unknown_merchant),
                        batch: job.batch,
                        stan,
                        upstream_stan: row.upstream_stan,
                        group,
                        match_key: MatchKey::own(0, row.upstream_stan),
                        content: 0,
                        fate: Fate::Reverse,
                        state,
                    });
                });
                self.owe_for_terminal(
                    &job.session,
                    message,
                    request,
                    job.key,
                    group,
                    row.txn,
                    row.upstream_stan,
                )
            }
            (true, None) => {
                tracing::error!(
                    group = %row.group, txn = row.txn.0,
                    "a reversal belongs to a group that is no longer configured; configure it again"
                );
                Handled::Close("group-gone")
            }
            (false, _) => {
                policy.metrics.answer(AnswerClass::Approved);
                let approved = crate::iso8583::ResponseCode::APPROVED;
                self.answer_in_order(&job.session, message, request, approved)
            }
        }
    }

    fn forward_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        found: Option<&TransactionRow>,
    ) -> Handled {
        let refuse = |why, reason| {
            metrics::declined(reason);
            self.decline(&job.session, message, Some(request), why)
        };
        let Some(row) = found else {
            return refuse(
                crate::iso8583::DeclineCode::OriginalNotFound,
                "original-not-found",
            );
        };
        // Time has passed: the gate decides on the present.
        let present = self.directory.find(job.key);
        let account = match present {
            Ok(Some(admission)) => self.directory.account(admission.account),
            Ok(None) | Err(_) => AccountStatus::Unverified,
        };
        match decide(present, account, request.kind, message.merchant()) {
            Decision::Pass { admission, held } => self.forward(
                &job.session,
                message,
                request,
                job.key,
                &admission,
                held,
                Some(row.upstream_stan),
            ),
            Decision::Decline(reason) => {
                refuse(crate::iso8583::DeclineCode::NotAllowed, reason.name())
            }
        }
    }
}

fn unknown_merchant() -> crate::base::MerchantId {
    crate::base::MerchantId::from_padded([b' '; 15])
}

fn tombstone(job: &Job, message: &Message<'_>, binding: BindingId) -> Transaction {
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
        fate: Fate::Reverse,
        state: State::Tombstone,
    }
}
