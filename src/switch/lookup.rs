//! Originals that the lane no longer remembers: found in the read model, on a thread of their own.
//!
//! The journal is projected first, so that whatever was durable when the question came is seen.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::Switch;
use super::effects::Effect;
use super::forward::Passed;
use super::requests::code_of;
use crate::base::{BatchNumber, BindingId, Fate, Stan};
use crate::binding::{AccountStatus, Decision, TerminalKey, decide};
use crate::iso8583::{Index, MatchKey, Message, Request};
use crate::net::{Handled, Session};
use crate::store::{OutcomeKind, ReadModel, Record, TransactionRow};
use crate::telemetry::log::chain;
use crate::telemetry::metrics;
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
        let Some(found) = self.find_original(job, &message, model) else {
            // Not knowing is no reason to say that there is nothing: the terminal asks again.
            job.session.give_up();
            job.session.close_when_settled();
            return;
        };
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

    /// Among the bindings the terminal id has or had, the one whose merchant the request names. The outer
    /// `None`: the read model cannot say.
    fn find_original(
        &self,
        job: &Job,
        message: &Message<'_>,
        model: &mut dyn ReadModel,
    ) -> Option<Option<TransactionRow>> {
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
                    return Some(Some(row));
                }
                Ok(_) => {}
                Err(problem) => {
                    let problem = chain(&problem);
                    tracing::error!(problem, "an original cannot be looked up");
                    return None;
                }
            }
        }
        Some(None)
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

    fn reverse_found(
        &self,
        job: &Job,
        message: &Message<'_>,
        request: &Request,
        found: Option<&TransactionRow>,
    ) -> Handled {
        let policy = self.policy(&job.session);
        let binding = self.binding_of(job, message);
        // Only what is reversed when its fate is unknown can be reversed at all.
        let reversible = found
            .and_then(|row| policy.dialect.request(&row.request))
            .is_some_and(|row| row.fate == Fate::Reverse);
        let undo = reversible
            && found.is_some_and(
                |row| match row.outcome.as_ref().map(|outcome| outcome.kind) {
                    None | Some(OutcomeKind::Approved) => true,
                    // Owed before a restart, and on no book since: it is owed anew.
                    Some(OutcomeKind::ReversalOwed) => {
                        !self.groups.iter().any(|group| group.owed.holds(row.txn))
                    }
                    Some(OutcomeKind::Declined | OutcomeKind::Reversed | OutcomeKind::Expired) => {
                        false
                    }
                },
            );
        let group = found.and_then(|row| self.groups.iter().position(|g| g.name == row.group));
        let step = self.lanes.with(job.key, |lane| {
            // The lane may have learned of the original meanwhile.
            if lane.find(job.batch, job.stan, message.merchant()).is_some() {
                return Found::InLane;
            }
            let Some(row) = found else {
                lane.accept(tombstone(job, message, binding));
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
                return Found::Nowhere { kept: kept.is_ok() };
            };
            match (undo, group) {
                (false, _) => Found::Settled,
                (true, None) => Found::GroupGone,
                (true, Some(group)) => {
                    let new = self.reversal_for_terminal(
                        message,
                        job.key,
                        group,
                        row.txn,
                        row.upstream_stan,
                    );
                    let Some(new) = new else {
                        return Found::Owed { kept: false };
                    };
                    lane.accept(owed_transaction(job, message, row, group));
                    Found::Owed {
                        kept: self.owe(new),
                    }
                }
            }
        });
        match step {
            Found::InLane => self.reverse(&job.session, message, request, job.key),
            Found::Settled | Found::Owed { kept: true } => {
                self.answer_reversal(&job.session, message, request)
            }
            Found::Nowhere { kept: true } => {
                metrics::repeated("reversal-of-unknown");
                let code = policy.dialect.reversal().unknown_original;
                self.answer_in_order(&job.session, message, request, code)
            }
            Found::Nowhere { kept: false } | Found::Owed { kept: false } => {
                Handled::Close("journal-closed")
            }
            Found::GroupGone => {
                tracing::error!(
                    group = found.map_or("", |row| row.group.as_str()),
                    "a reversal belongs to a group that is no longer configured; configure it again"
                );
                Handled::Close("group-gone")
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
            Decision::Pass { admission, held } => {
                let passed = Passed {
                    session: &job.session,
                    message,
                    request,
                    key: job.key,
                    admission,
                    held,
                };
                self.forward(&passed, Some(row.upstream_stan))
            }
            Decision::Decline(reason) => refuse(code_of(reason), reason.name()),
        }
    }
}

fn unknown_merchant() -> crate::base::MerchantId {
    crate::base::MerchantId::from_padded([b' '; 15])
}

/// What the search for a reversal's original came to.
enum Found {
    /// The lane knows it after all.
    InLane,
    /// There is nothing to undo, or it is undone already.
    Settled,
    /// It is undone from here on.
    Owed { kept: bool },
    /// It was never seen; a tombstone waits for it.
    Nowhere { kept: bool },
    /// Its group is no longer configured.
    GroupGone,
}

/// An original out of the read model whose reversal is owed now.
fn owed_transaction(
    job: &Job,
    message: &Message<'_>,
    row: &TransactionRow,
    group: usize,
) -> Transaction {
    Transaction {
        number: Some(row.txn),
        binding: row.binding,
        merchant: message.merchant().unwrap_or_else(unknown_merchant),
        batch: job.batch,
        stan: job.stan,
        upstream_stan: row.upstream_stan,
        group,
        match_key: MatchKey::own(0, row.upstream_stan),
        content: 0,
        fate: Fate::Reverse,
        state: State::ReversalOwed,
    }
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
