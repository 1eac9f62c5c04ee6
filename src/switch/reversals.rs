//! What must be undone: a terminal's own reversals, and those owed because nobody answered.
//!
//! A reversal is owed from the moment its record is durable. The book of its group sends it, waits,
//! and sends it again with growing waits until the upstream acknowledges; nothing is dropped. What a
//! crash leaves owed stands in the journal.

use std::sync::Arc;

use bytes::Bytes;

use super::answers::fits_owed;
use super::effects::Effect;
use super::exceptions::Parked;
use super::lookup::Job;
use super::owed::{Answered, Doubt, Duty, Exhausted, Owed, Pace, Said};
use super::remake::{self, Original};
use super::{Switch, UpstreamGroup, Waiting};
use crate::base::clock::Moment;
use crate::base::{Fate, MaskedPan, Stan, TxnId};
use crate::binding::TerminalKey;
use crate::iso8583::{DeclineCode, MatchKey, Message, Mti, Request, ResponseCode};
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
        waiting: Option<Box<Waiting>>,
    },
    /// It cannot be written for the upstream; nothing was changed.
    Unwritable,
}

/// A reversal or a repeat about to be owed.
#[derive(Debug)]
pub(super) struct NewlyOwed {
    pub(super) group: usize,
    pub(super) owed: Owed,
    pub(super) frame: Bytes,
    /// Why, as the journal keeps it: DE39 of the reversal.
    pub(super) code: [u8; 2],
}

impl NewlyOwed {
    /// The same, sent no sooner than the original that may still be on a link.
    pub(super) fn behind(mut self, waiting: &Waiting) -> Self {
        self.owed.after = Some(waiting.choice);
        self
    }
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
            let Some(known) = lane.find(batch, stan, merchant).cloned() else {
                return Reversed::Step(ReversalStep::LookUp);
            };
            let Some(txn) = known.number else {
                return Reversed::Step(lane.reverse(batch, stan, merchant));
            };
            let (group, match_key, upstream_stan) =
                (known.group, known.match_key, known.upstream_stan);
            let pending = &self.groups[group].pending;
            // What cannot be written is found out before the lane changes.
            let new = if agrees(message, known.amount, known.card) {
                self.reversal_for_terminal(message, key, group, txn, upstream_stan, match_key)
            } else {
                metrics::repeated("reversal-differs");
                tracing::warn!(
                    txn = txn.0, terminal = %key.terminal,
                    "a terminal's reversal has another amount or card than its original; the original is undone as it was"
                );
                let written = pending.change(&match_key, txn.0, |waiting| {
                    self.reversal_of_waiting(group, waiting, message.response_code())
                });
                match written {
                    Some(written) => written,
                    // Only the journal has it.
                    None => return Reversed::Step(ReversalStep::LookUp),
                }
            };
            let Some(new) = new else {
                return Reversed::Unwritable;
            };
            let step = lane.reverse(batch, stan, merchant);
            if !matches!(step, ReversalStep::Owe(_)) {
                return Reversed::Step(step);
            }
            let waiting = pending.give_up(&match_key, txn.0);
            self.uncount_reversed(key, txn, waiting.as_ref());
            let new = match &waiting {
                Some(waiting) => new.behind(waiting),
                None => new,
            };
            Reversed::Owed {
                kept: self.owe(new),
                group,
                waiting: waiting.map(Box::new),
            }
        });
        match taken {
            Reversed::Owed {
                kept,
                group,
                waiting,
            } => {
                if let Some(waiting) = waiting {
                    self.gives_up(group, &waiting);
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
            Reversed::Step(ReversalStep::NotReversible) => {
                self.not_reversible(session, message, request)
            }
            Reversed::Step(ReversalStep::LookUp | ReversalStep::Owe(_)) => {
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
        let code = message.dialect().accepted(message.mti());
        self.answer_in_order(session, message, request, code)
    }

    /// A request that no longer waits: its answer must not reach the terminal any more.
    pub(super) fn gives_up(&self, group: usize, waiting: &Waiting) {
        self.groups[group].metrics.in_flight.decrement(1.0);
        waiting.session.give_up();
    }

    /// Tells a terminal that what it wants undone is not undone by a reversal, or no more, with a code at
    /// which it stops.
    pub(super) fn not_reversible(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
    ) -> Handled {
        metrics::repeated("reversal-refused");
        let dialect = &self.policy(session).dialect;
        let invalid = dialect.decline(DeclineCode::InvalidTransaction);
        let code = if dialect.acknowledges_reversal(invalid) {
            invalid
        } else {
            dialect.reversal().unknown_original
        };
        self.policy(session).metrics.answer(AnswerClass::Declined);
        self.answer_in_order(session, message, request, code)
    }

    /// The reversal of a request that still waits for its answer, as it was sent.
    fn reversal_of_waiting(
        &self,
        group: usize,
        waiting: &Waiting,
        reason: Option<ResponseCode>,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let row = upstream.dialect.requests().get(waiting.request)?;
        let original = Original::of_sent(upstream, &waiting.sent, row)?;
        self.reversal_of(group, waiting.txn, waiting.key, &original, reason)
    }

    /// The reversal that a terminal asks for, ready to be owed.
    pub(super) fn reversal_for_terminal(
        &self,
        message: &Message<'_>,
        key: TerminalKey,
        group: usize,
        txn: TxnId,
        upstream_stan: Stan,
        original: MatchKey,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let frame = remake::reversal_of_terminal(message, upstream, upstream_stan)?;
        let reason = message.response_code();
        Some(NewlyOwed {
            group,
            owed: self.reversal_owed(upstream, txn, key, upstream_stan, original),
            frame,
            code: reason.map_or(*b"00", |reason| *reason.as_bytes()),
        })
    }

    /// What the book holds of a reversal.
    pub(super) fn reversal_owed(
        &self,
        upstream: &UpstreamGroup,
        txn: TxnId,
        key: TerminalKey,
        upstream_stan: Stan,
        original: MatchKey,
    ) -> Owed {
        Owed {
            txn,
            key,
            duty: Duty::Reversal {
                original,
                doubt: Doubt::until(self.clock.now().after(upstream.timeout)),
            },
            match_key: reversal_key(upstream, key, upstream_stan),
            after: None,
        }
    }

    /// What is owed when nobody answered a request; `None` when nothing is.
    pub(super) fn owed_for_silence(&self, group: usize, waiting: &Waiting) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let row = upstream.dialect.requests().get(waiting.request)?;
        let original = Original::of_sent(upstream, &waiting.sent, row);
        let asked = waiting.amount.map_or(0, |amount| amount.minor);
        let new = original.and_then(|original| match row.fate {
            Fate::Reverse => {
                let new = self.reversal_of(group, waiting.txn, waiting.key, &original, None);
                Some(new?.behind(waiting))
            }
            // In memory the whole request is at hand, with what the journal may not keep.
            Fate::Repeat => Some(NewlyOwed {
                frame: remake::as_repeated_request(&upstream.dialect, &waiting.sent),
                ..self.repeat_of(group, waiting.txn, waiting.key, &original, asked)?
            }),
            Fate::Expire => None,
        });
        if new.is_none() && row.fate != Fate::Expire {
            tracing::error!(group = %upstream.name, txn = waiting.txn.0, "what is owed cannot be written");
        }
        new
    }

    /// Our own reversal of an original; without a reason because nobody answered in time.
    pub(super) fn reversal_of(
        &self,
        group: usize,
        txn: TxnId,
        key: TerminalKey,
        original: &Original<'_>,
        reason: Option<ResponseCode>,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let code = reason.unwrap_or_else(|| upstream.dialect.reversal().timeout);
        let stan = original.stan();
        let original_key = original_key(upstream, key, stan, original.mti());
        Some(NewlyOwed {
            group,
            owed: self.reversal_owed(upstream, txn, key, stan, original_key),
            frame: original.reversal(&upstream.dialect, code)?,
            code: *code.as_bytes(),
        })
    }

    /// An original to be sent once more.
    pub(super) fn repeat_of(
        &self,
        group: usize,
        txn: TxnId,
        key: TerminalKey,
        original: &Original<'_>,
        asked: u64,
    ) -> Option<NewlyOwed> {
        let upstream = &self.groups[group];
        let owed = Owed {
            txn,
            key,
            duty: Duty::Repeat { asked },
            match_key: original_key(upstream, key, original.stan(), original.mti()),
            after: None,
        };
        Some(NewlyOwed {
            group,
            owed,
            frame: original.repeat(&upstream.dialect)?,
            code: *b"  ",
        })
    }

    /// Hands the record of what is owed to the journal; it is sent when that is durable. `false` when
    /// the journal is closed. Called with the lane held.
    pub(super) fn owe(&self, new: NewlyOwed) -> bool {
        let NewlyOwed {
            group,
            mut owed,
            frame,
            code,
        } = new;
        // Whoever owes what was parked has decided: a person, or the terminal with its own reversal.
        if let Some(parked) = self
            .exceptions
            .take(owed.txn)
            .and_then(|parked| parked.owed)
        {
            let upstream = &self.groups[group];
            let settled = self.clock.now().after(upstream.timeout);
            owed.continue_from(&parked, &upstream.links, settled);
        }
        let kind = match owed.duty {
            Duty::Reversal { .. } => {
                self.groups[group].metrics.reversal("owed");
                OutcomeKind::ReversalOwed
            }
            Duty::Repeat { .. } => {
                self.groups[group].metrics.repeat("owed");
                OutcomeKind::RepeatOwed
            }
        };
        let outcome = Outcome {
            txn: owed.txn,
            at: self.clock.wall(),
            kind,
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
        let dialect = message.dialect();
        let said = match message.response_code() {
            Some(code) if dialect.finds_no_original(code) => Said::NoOriginal,
            Some(code) if dialect.acknowledges_reversal(code) => Said::Undone,
            Some(_) | None => Said::No,
        };
        let code = message.response_code().map(|code| *code.as_bytes());
        let fits = |owed: &Owed, frame: &[u8]| fits_owed(owed, frame, message);
        let answered = upstream
            .owed
            .reversal_answered(key, &fits, said, code, self.clock.now());
        let owed = match answered {
            Answered::Done(owed) => owed,
            Answered::Again(txn, attempts) => {
                upstream.metrics.reversal("refused");
                tracing::warn!(
                    group = %upstream.name, txn = txn.0, attempts, ?said,
                    "the upstream did not acknowledge a reversal, or the original may still reach it; it is sent again"
                );
                return;
            }
            Answered::Stray(nearest) => {
                upstream.metrics.unmatched(match nearest {
                    Some(_) => "unmatched",
                    None => "duplicate",
                });
                tracing::warn!(
                    group = %upstream.name, mti = %message.mti(),
                    nearest = nearest.map_or_else(|| "none".to_owned(), |nearest| nearest.to_string()),
                    "the acknowledgement of a reversal belongs to none that is out"
                );
                return;
            }
        };
        upstream.metrics.reversal("acknowledged");
        upstream.metrics.reversals_owed.decrement(1.0);
        self.lanes
            .with(owed.key, |lane| lane.acknowledged(owed.txn));
        self.journal_end(owed.txn, OutcomeKind::Reversed, code.unwrap_or(*b"  "));
    }

    /// An approval came for something that no longer waits for it. If its reversal had ended because the
    /// upstream knew no original, it is owed once more.
    pub(super) fn on_late_approval(&self, group: usize, key: &MatchKey, message: &Message<'_>) {
        let upstream = &self.groups[group];
        let Some((owed, frame)) = upstream.owed.found_after_all(key, message.terminal()) else {
            return;
        };
        tracing::warn!(
            group = %upstream.name, txn = owed.txn.0,
            "the upstream approved what it had not known when its reversal came; it is reversed again"
        );
        let code = *upstream.dialect.reversal().timeout.as_bytes();
        self.lanes
            .with(owed.key, |lane| lane.reversal_undone(owed.txn));
        self.owe(NewlyOwed {
            group,
            owed,
            frame,
            code,
        });
    }

    /// Sends what is due, and parks what was sent often enough.
    pub(super) fn send_owed(&self, now: Moment) {
        for upstream in self.groups.iter() {
            let dialect = &upstream.dialect;
            let repeated = |frame: Bytes| remake::as_repeated_reversal(dialect, &frame);
            let pace = Pace {
                timeout: upstream.timeout,
                attempts_max: upstream.attempts_max,
            };
            let round = upstream.owed.tick(&upstream.links, now, pace, &repeated);
            for _ in 0..round.reversals {
                upstream.metrics.reversal("sent");
            }
            for _ in 0..round.repeats {
                upstream.metrics.repeat("sent");
            }
            for exhausted in round.exhausted {
                self.park(upstream, &exhausted);
            }
        }
    }

    /// What was sent as often as it may be waits for a person.
    fn park(&self, upstream: &UpstreamGroup, exhausted: &Exhausted) {
        let Exhausted {
            owed,
            attempts,
            refusal,
        } = *exhausted;
        tracing::error!(
            group = %upstream.name, txn = owed.txn.0, terminal = %owed.key.terminal, attempts,
            "the upstream never acknowledged what it is owed; a person has to decide: see `posgate exception list`"
        );
        match owed.duty {
            Duty::Reversal { .. } => {
                upstream.metrics.reversal("parked");
                upstream.metrics.reversals_owed.decrement(1.0);
            }
            Duty::Repeat { .. } => {
                upstream.metrics.repeat("parked");
                upstream.metrics.repeats_owed.decrement(1.0);
            }
        }
        self.lanes.with(owed.key, |lane| {
            lane.parked(owed.txn);
            let parked = Parked {
                group: upstream.name.clone(),
                attempts: Some(attempts),
                owed: Some(owed),
            };
            self.exceptions.park(owed.txn, parked);
            self.journal_end(owed.txn, OutcomeKind::Parked, refusal.unwrap_or(*b"  "));
        });
    }

    /// Journals that something owed has ended, with nothing to do once that is durable. When the journal is
    /// closed it stays owed there, and is taken up after a restart.
    pub(super) fn journal_end(&self, txn: TxnId, kind: OutcomeKind, code: [u8; 2]) {
        let outcome = Outcome {
            txn,
            at: self.clock.wall(),
            kind,
            code,
            booked: 0,
            answer: Box::default(),
        };
        let kept = self
            .journal
            .append(Effect::Nothing, |out| outcome.encode(out));
        if kept.is_err() {
            tracing::warn!(
                txn = txn.0,
                kind = kind.name(),
                "an outcome could not be journalled"
            );
        }
    }
}

/// Whether a terminal's reversal has its original's amount and card, as far as it has them: the upstream gets it
/// then as the terminal wrote it. Otherwise what is undone is what the journal has, whatever the terminal says.
pub(super) fn agrees(message: &Message<'_>, amount: u64, card: MaskedPan) -> bool {
    let named = message.pan().map_or(MaskedPan::NONE, |pan| pan.masked());
    let same_card = named == MaskedPan::NONE || card == MaskedPan::NONE || named == card;
    same_card && message.amount().is_none_or(|named| named.minor == amount)
}

/// Key the answer to a reversal is found by.
fn reversal_key(upstream: &UpstreamGroup, key: TerminalKey, upstream_stan: Stan) -> MatchKey {
    original_key(
        upstream,
        key,
        upstream_stan,
        upstream.dialect.reversal().mti,
    )
}

/// Key the answer to a request is found by.
pub(super) fn original_key(
    upstream: &UpstreamGroup,
    key: TerminalKey,
    upstream_stan: Stan,
    mti: Mti,
) -> MatchKey {
    if upstream.stans.is_own() {
        MatchKey::own(mti.class_key(), upstream_stan)
    } else {
        MatchKey::new(mti, key.terminal, upstream_stan)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::iso8583::{Dialect, Index};

    const CARD: &[u8] = b"4761739001010010";

    #[test]
    fn a_reversal_agrees_with_its_original_as_far_as_it_says_anything() {
        let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
        let check = |named: Option<&[u8]>, amount: Option<u64>, card: Option<&[u8]>| {
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.mti(Mti::parse("0400").unwrap());
            if let Some(named) = named {
                writer.digits(2, named);
            }
            if let Some(amount) = amount {
                writer.number(4, amount);
            }
            writer.digits(49, b"156");
            writer.finish().unwrap();
            let mut index = Index::new();
            let message = dialect.decode(&out[2..], &mut index).unwrap();
            agrees(&message, 500, card.map_or(MaskedPan::NONE, MaskedPan::of))
        };
        let other: &[u8] = b"4761739001010028";
        assert!(check(Some(CARD), Some(500), Some(CARD)));
        assert!(check(None, Some(500), Some(CARD)));
        assert!(check(Some(CARD), Some(500), None));
        assert!(check(Some(CARD), None, Some(CARD)));
        assert!(!check(Some(other), Some(500), Some(CARD)));
        assert!(!check(Some(CARD), Some(501), Some(CARD)));
        assert!(!check(None, Some(501), None));
    }
}
