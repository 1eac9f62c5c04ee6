//! A request on its way upstream: accepted into its terminal's lane, registered with the mux, journalled.
//! It is sent when the intent is durable, by `effects`.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::effects::Effect;
use super::kept::kept_for_later;
use super::local::replaced;
use super::lookup::Job;
use super::originals::OriginalName;
use super::payee::Paying;
use super::requests::{asked, code_of};
use super::staff::StaffRefund;
use super::{
    EnvelopeBytes, ListenerPolicy, MAC_FIELDS, Switch, UpstreamGroup, Waiting, with_buffer,
};
use crate::base::{
    AccountId, Amount, BatchNumber, Currency, Fate, MaskedPan, Pan, PayoutPart, RequestType, Stan,
    Timestamp, TxnId,
};
use crate::binding::counters::Counted;
use crate::binding::{Admission, Decision, DeclineReason, TerminalKey, decide};
use crate::iso8583::{
    self, Books, DeclineCode, Dialect, Envelope, FieldSet, FieldValue, Index, Message, Request,
    ResponseCode, Rewrite,
};
use crate::net::{Handled, LinkChoice, Session};
use crate::store::{Intent, JournalError, projection};
use crate::telemetry::metrics;
use crate::transaction::originals::{NotFollowing, follows};
use crate::transaction::{Acceptance, Lane, Proposal, Remembered, State, Transaction};

/// A request that the gate let pass, or that may repeat one, with all that it was decided on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) message: &'a Message<'a>,
    pub(super) request: &'a Request,
    pub(super) key: TerminalKey,
    pub(super) admission: Admission,
    /// What says whose its money is.
    pub(super) paying: Paying,
    /// Whose its money is.
    pub(super) account: AccountId,
    /// The directory's number of changes when the gate decided.
    pub(super) epoch: u64,
    /// Whether its settlement is held.
    pub(super) held: bool,
    /// Why the gate declines it now. It is taken all the same as far as it may repeat what the gate let pass
    /// before: what became of that, the terminal has a right to hear.
    pub(super) declined: Option<DeclineReason>,
    /// The refund of staff's that it is.
    pub(super) staff: Option<&'a Arc<StaffRefund>>,
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// What the lane knows. It may say that it cannot tell.
    Lane,
    /// The lane has learned what the store knows.
    LaneAndStore,
}

/// What is read out of a request once and needed in several places.
#[derive(Debug)]
struct Particulars {
    pan: Option<Pan>,
    amount: Option<Amount>,
    /// The field that names its original, with the upstream's STAN in it.
    reference: Option<Vec<u8>>,
    /// What the store says of its original.
    original: Option<Named>,
}

/// What the store says of the transaction that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its number; 0 when it is not known here.
    pub(super) txn: TxnId,
    /// The terminal that sent it.
    pub(super) key: TerminalKey,
    /// The upstream's STAN of it.
    pub(super) upstream_stan: Option<Stan>,
    /// Whether the request may follow it.
    pub(super) verdict: Result<(), NotFollowing>,
    /// The account that it belongs to.
    pub(super) account: Option<AccountId>,
    /// Whether its settlement is held.
    pub(super) held: bool,
    /// What it counts, where a limit may concern it.
    pub(super) counted: Option<Counted>,
}

impl Particulars {
    /// The code for a request that may not follow its original.
    fn refusal(&self) -> Option<(DeclineCode, &'static str)> {
        let why_not = self.original?.verdict.err()?;
        Some(match why_not {
            NotFollowing::Unknown => (DeclineCode::OriginalNotFound, "original-not-found"),
            NotFollowing::Kind => (DeclineCode::OriginalNotFound, "original-of-another-kind"),
            NotFollowing::Card => (DeclineCode::OriginalNotFound, "original-of-another-card"),
            NotFollowing::Currency => (
                DeclineCode::OriginalNotFound,
                "original-in-another-currency",
            ),
            NotFollowing::NotStanding => (DeclineCode::InvalidTransaction, "original-not-standing"),
            NotFollowing::Amount => (DeclineCode::OriginalAmount, "original-amount"),
        })
    }
}

/// Why a request is not forwarded.
enum Refused {
    /// It is declined here.
    With(DeclineCode, &'static str),
    /// It is not new.
    NotNew(Acceptance),
}

impl Switch {
    /// Takes a financial request that the gate let pass.
    ///
    /// `looked_up` is what the store says of the transaction it refers to, when it was asked.
    pub(super) fn forward(
        &self,
        passed: &Passed<'_>,
        looked_up: Option<Named>,
        memory: Memory,
    ) -> Handled {
        let policy = self.policy(passed.session);
        let group = self.group_of(policy);
        let refuse = |why, reason| self.refuse(passed, why, reason);
        let Some(stan) = passed.message.stan() else {
            return refuse(DeclineCode::Format, "missing-field");
        };
        // A reversal that came since may not be in the store yet; the lane of the original knows. One that comes
        // from here on asks the store, on this thread.
        let looked_up = looked_up.map(|named| {
            let follows = named.verdict.is_ok() && named.txn.0 > 0 && follows(passed.request.kind);
            let stands = !follows || self.lanes.with(named.key, |lane| lane.follow(named.txn));
            let verdict = if stands {
                named.verdict
            } else {
                Err(NotFollowing::NotStanding)
            };
            Named { verdict, ..named }
        });
        let reference = match self.reference_to_original(passed, group, looked_up) {
            Ok(reference) => reference,
            Err(handled) => return handled,
        };
        let particulars = Particulars {
            pan: passed.message.pan(),
            amount: passed.message.amount(),
            reference,
            original: looked_up,
        };
        let proposal = Proposal {
            binding: passed.admission.binding,
            batch: match passed.staff {
                Some(_) => BatchNumber::STAFF,
                None => passed.message.batch().unwrap_or_default(),
            },
            stan,
            content: self.content_of(passed.message, passed.request, &particulars),
            now: self.clock.now(),
        };
        // The lane is held until the intent is in the journal's queue: whatever a reversal or a repeat of
        // the same terminal appends, it appends behind it.
        let taken = self.lanes.with(passed.key, |lane| {
            self.take(lane, passed, policy, group, &proposal, &particulars, memory)
        });
        match taken {
            Ok(()) => Handled::Pending,
            Err(Refused::With(why, reason)) => refuse(why, reason),
            Err(Refused::NotNew(Acceptance::LookUp)) => {
                self.look_up(Job::acceptance(passed, &proposal, looked_up.is_some()))
            }
            Err(Refused::NotNew(acceptance)) => self.not_new(passed, acceptance, &proposal),
        }
    }

    fn refuse(&self, passed: &Passed<'_>, why: DeclineCode, reason: &'static str) -> Handled {
        metrics::declined(reason);
        if let Some(refund) = passed.staff {
            refund.note_refusal(reason);
        }
        self.decline(passed.session, passed.message, Some(passed.request), why)
    }

    /// One visit to the lane: signed on, right batch, new? If so it waits for its answer and its intent
    /// is on the way to the disk.
    fn take(
        &self,
        lane: &mut Lane,
        passed: &Passed<'_>,
        policy: &ListenerPolicy,
        group: &UpstreamGroup,
        proposal: &Proposal,
        particulars: &Particulars,
        memory: Memory,
    ) -> Result<(), Refused> {
        let (message, request) = (passed.message, passed.request);
        let unsigned = request.kind.needs_sign_on() && {
            let batch_agrees = message.batch().is_none_or(|batch| batch == lane.batch());
            // A batch that was ended takes nothing more from anybody, and that of staff nothing from a terminal.
            let ended = message
                .batch()
                .is_some_and(|batch| lane.has_closed(batch) || batch == BatchNumber::STAFF);
            ended || (policy.sign_on_required && !(lane.is_signed_on() && batch_agrees))
        };
        let unsigned = unsigned && passed.staff.is_none();
        let judged = match memory {
            Memory::Lane => lane.judge(proposal),
            Memory::LaneAndStore => lane.judge_looked_up(proposal),
        };
        let refused = match judged {
            // The gate's word on what is new. It is remembered as any other: the terminal may have its answer,
            // and a copy that comes when the binding is verified must not be taken.
            Acceptance::New | Acceptance::Busy if let Some(reason) = passed.declined => {
                Refused::With(code_of(reason), reason.name())
            }
            // A repeat gets its answer also when its batch has ended since.
            Acceptance::New | Acceptance::Busy | Acceptance::Duplicate if unsigned => {
                return Err(Refused::With(DeclineCode::NotSignedOn, "not-signed-on"));
            }
            // Only what is new needs a way to the upstream: a repeat has its answer here.
            Acceptance::New if let Some((why, reason)) = particulars.refusal() => {
                Refused::With(why, reason)
            }
            Acceptance::New => {
                let taken = self.still_passed(passed).and_then(|present| {
                    self.accept_new(lane, &present, policy, group, proposal, particulars)
                });
                match taken {
                    Ok(()) => return Ok(()),
                    Err(refused) => refused,
                }
            }
            Acceptance::Busy => Refused::With(DeclineCode::InProgress, "terminal-busy"),
            other => return Err(Refused::NotNew(other)),
        };
        // Staff send what was not taken once more when it can be.
        if let Refused::With(why, _) = refused
            && passed.staff.is_none()
            && is_final(policy, request, why)
        {
            // A copy of it that is still on its way must not be taken once the terminal has its answer.
            let code = *policy.dialect.decline(why).as_bytes();
            let until = proposal.now.after(policy.dialect.repeats().window);
            lane.refuse(proposal, code, until);
        }
        Err(refused)
    }

    /// The gate's word once more, when anything was changed since it was given. The lane is held: a change
    /// that ends a state waits for the lanes after it is in the directory, so that what is journalled under
    /// the old state is journalled before it has ended.
    fn still_passed<'a>(&self, passed: &Passed<'a>) -> Result<Passed<'a>, Refused> {
        let epoch = self.directory.epoch();
        if epoch == passed.epoch {
            return Ok(*passed);
        }
        if let Some(refund) = passed.staff {
            return match self.staff_decision(refund) {
                Ok(()) => Ok(Passed { epoch, ..*passed }),
                Err(reason) => Err(Refused::With(code_of(reason), reason.name())),
            };
        }
        let (found, payee) = self.present(passed.key, passed.paying);
        let asked = asked(passed.message, passed.request.kind);
        match decide(found, payee.status, asked) {
            // A terminal that was bound anew meanwhile: its lane was judged by the old binding.
            Decision::Pass { admission, .. } if admission.binding != passed.admission.binding => {
                Err(Refused::With(DeclineCode::NotSignedOn, "bound-anew"))
            }
            Decision::Pass { admission, held } => Ok(Passed {
                admission,
                account: payee.account,
                epoch,
                held,
                ..*passed
            }),
            Decision::Decline(reason) => Err(Refused::With(code_of(reason), reason.name())),
        }
    }

    /// Sends a new request on its way: registered with the mux, its intent handed to the journal.
    fn accept_new(
        &self,
        lane: &mut Lane,
        passed: &Passed<'_>,
        policy: &ListenerPolicy,
        group: &UpstreamGroup,
        proposal: &Proposal,
        particulars: &Particulars,
    ) -> Result<(), Refused> {
        let Passed {
            session,
            message,
            request,
            key,
            admission,
            ..
        } = *passed;
        let choice = group
            .links
            .choose()
            .ok_or(Refused::With(DeclineCode::Unreachable, "no-link"))?;
        if self.in_flight() >= self.in_flight_max {
            return Err(Refused::With(DeclineCode::Unreachable, "in-flight-full"));
        }
        let upstream_stan = group
            .stans
            .next(proposal.stan)
            .ok_or(Refused::With(DeclineCode::CannotDecide, "no-stan-reserved"))?;
        let match_key = group
            .stans
            .match_key(message, upstream_stan)
            .ok_or(Refused::With(DeclineCode::Format, "missing-field"))?;
        let reference = particulars.reference.as_deref();
        let frame = upstream_frame(message, group, upstream_stan, reference)
            .ok_or(Refused::With(DeclineCode::Format, "unwritable"))?;
        let txn = self.new_txn();
        let at = self.clock.wall();
        // The last that may refuse it: what is counted here waits for its answer, or is taken back below.
        let original = particulars
            .original
            .and_then(|named| Some((named.txn, named.counted?)));
        let tally = self
            .count(
                passed,
                txn,
                at,
                particulars.amount,
                sign_of(request),
                original,
            )
            .map_err(|over| Refused::With(code_of(over), over.name()))?;
        let named_by = message.dialect().roles().original.stan;
        let waiting = Waiting {
            txn,
            key,
            session: Arc::clone(session),
            envelope: EnvelopeBytes::new(message.envelope()),
            terminal: key.terminal,
            merchant: message.merchant(),
            stan: proposal.stan,
            amount: particulars.amount,
            choice,
            received: self.clock.now(),
            tally,
            reference: reference
                .and(named_by)
                .and_then(|part| Some(message.digits(part.field)?.as_str().as_bytes().into())),
            sent: frame.clone(),
            request: request_index(&policy.dialect, request),
        };
        let deadline = waiting.received.after(group.timeout);
        if group.pending.insert(match_key, deadline, waiting).is_err() {
            // Another terminal of the group waits under the same key (the same id at two acquirers).
            self.uncount(tally);
            return Err(Refused::With(DeclineCode::InProgress, "match-key-taken"));
        }
        group.metrics.in_flight.increment(1.0);
        if let Err(refused) = self.journal_intent(
            passed,
            policy,
            group,
            choice,
            proposal,
            particulars,
            txn,
            at,
            upstream_stan,
            frame,
            reference.is_some(),
        ) {
            self.uncount(tally);
            if group.pending.give_up(&match_key, txn.0).is_some() {
                group.metrics.in_flight.decrement(1.0);
            }
            return Err(Refused::With(DeclineCode::CannotDecide, refused.reason()));
        }
        let transaction = Transaction {
            number: Some(txn),
            binding: proposal.binding,
            merchant: admission.merchant,
            batch: proposal.batch,
            stan: proposal.stan,
            upstream_stan,
            group: policy.group,
            match_key,
            content: proposal.content,
            amount: particulars.amount.map_or(0, |amount| amount.minor),
            card: particulars
                .pan
                .as_ref()
                .map_or(MaskedPan::NONE, |pan| pan.masked()),
            followed: false,
            fate: request.fate,
            until: proposal.now.after(policy.dialect.repeats().window),
            state: State::InFlight,
        };
        lane.accept(proposal.now, transaction);
        if let Some(named) = &particulars.original
            && named.txn.0 > 0
            && follows(request.kind)
        {
            let asked = particulars.amount.map_or(0, |amount| amount.minor);
            self.claims().claim(named.txn, txn, request.kind, asked);
        }
        Ok(())
    }

    fn not_new(&self, passed: &Passed<'_>, acceptance: Acceptance, proposal: &Proposal) -> Handled {
        let refuse = |why, reason| self.refuse(passed, why, reason);
        match acceptance {
            Acceptance::Join(txn) => self.join(passed, proposal, txn),
            Acceptance::Again(answer) => self.again(passed, &answer),
            Acceptance::Repeating(txn) => {
                if let Some(txn) = txn {
                    let group = self.group_of(self.policy(passed.session));
                    group.owed.hurry(txn, self.clock.now());
                }
                refuse(DeclineCode::NoAnswer, "repeating")
            }
            Acceptance::Undone => refuse(DeclineCode::InvalidTransaction, "undone"),
            Acceptance::Duplicate => refuse(DeclineCode::Duplicate, "duplicate"),
            // The last two only when it was judged once more and had ended meanwhile: it may be sent again.
            Acceptance::Busy | Acceptance::New | Acceptance::LookUp => {
                refuse(DeclineCode::InProgress, "terminal-busy")
            }
        }
    }

    /// The same request is in flight: its answer goes where the terminal is now.
    fn join(&self, passed: &Passed<'_>, proposal: &Proposal, txn: TxnId) -> Handled {
        let place = self.lanes.with(passed.key, |lane| {
            lane.before(proposal)
                .map(|known| (known.group, known.match_key))
        });
        let moved = place.and_then(|(group, match_key)| {
            self.groups
                .get(group)?
                .pending
                .change(&match_key, txn.0, |waiting| {
                    waiting.envelope = EnvelopeBytes::new(passed.message.envelope());
                    std::mem::replace(&mut waiting.session, Arc::clone(passed.session))
                })
        });
        if let Some(before) = moved {
            before.give_up();
            metrics::repeated("joined");
            return Handled::Pending;
        }
        // It ended this very moment: what it ended with is what the repeat gets.
        match self.lanes.with(passed.key, |lane| lane.judge(proposal)) {
            Acceptance::Join(_) => self.refuse(passed, DeclineCode::InProgress, "terminal-busy"),
            ended => self.not_new(passed, ended, proposal),
        }
    }

    /// The same request was answered: the first answer again, behind everything not yet durable.
    fn again(&self, passed: &Passed<'_>, answer: &Remembered) -> Handled {
        let made = match answer {
            Remembered::Message(bytes) => first_answer(passed.message, bytes),
            Remembered::Kept { code, elements } => {
                answer_made_anew(passed.message, passed.request, *code, elements)
            }
        };
        let Some(frame) = made else {
            return Handled::Close("unanswerable");
        };
        let session = Arc::clone(passed.session);
        let effect = Effect::Answer {
            session,
            frame,
            timed: None,
        };
        if self.journal.append(effect, |_nothing| {}).is_err() {
            return Handled::Close("unanswerable");
        }
        metrics::repeated("repeated");
        Handled::Pending
    }

    /// The field that names the original, with the upstream's STAN in it, where the group has its own.
    fn reference_to_original(
        &self,
        passed: &Passed<'_>,
        group: &UpstreamGroup,
        looked_up: Option<Named>,
    ) -> Result<Option<Vec<u8>>, Handled> {
        let Passed {
            session,
            message,
            key,
            ..
        } = *passed;
        let part = message.dialect().roles().original.stan;
        let kind = passed.request.kind;
        let Some(name) = OriginalName::of(message, kind) else {
            // Whoever undoes something has to say what.
            if kind == RequestType::Void {
                let why = DeclineCode::OriginalNotFound;
                return Err(self.refuse(passed, why, "original-not-named"));
            }
            return Ok(None);
        };
        if follows(kind) && looked_up.is_none() {
            return Err(self.look_up(Job::original(session, message, key)));
        }
        // The upstream's own numbers and codes it knows itself.
        let (Some(part), OriginalName::Place { batch, stan, .. }) = (part, name) else {
            return Ok(None);
        };
        if !group.stans.is_own() {
            return Ok(None);
        }
        let known = looked_up.and_then(|named| named.upstream_stan).or_else(|| {
            self.lanes.with(key, |lane| {
                // A tombstone has no STAN of the upstream's.
                lane.find(batch, stan, message.merchant())
                    .filter(|known| known.number.is_some())
                    .map(|known| known.upstream_stan)
            })
        });
        match known {
            // Not known here: the host gets the terminal's own word, or nothing at all.
            None if looked_up.is_some() => Ok(None),
            Some(upstream) => Ok(replaced(message, part, upstream.get())),
            None => Err(self.look_up(Job::original(session, message, key))),
        }
    }

    /// Keyed hash of what makes two requests the same (invariant 5): never times, tracks, PIN or chip data.
    fn content_of(
        &self,
        message: &Message<'_>,
        request: &Request,
        particulars: &Particulars,
    ) -> u64 {
        let roles = message.dialect().roles();
        let Particulars { pan, amount, .. } = particulars;
        let original = roles
            .original
            .stan
            .and_then(|part| message.field(part.field));
        self.keys.hash_parts(&[
            request.name.as_bytes(),
            &message.processing_code().unwrap_or(0).to_le_bytes(),
            &amount.map_or(0, |a| a.minor).to_le_bytes(),
            amount.map_or(Currency::NONE, |a| a.currency).as_bytes(),
            original.unwrap_or_default(),
            pan.as_ref().map_or(&[][..], |pan| pan.expose()),
        ])
    }

    /// Hands the intent to the journal, with the frame to be sent once it is durable.
    fn journal_intent(
        &self,
        passed: &Passed<'_>,
        policy: &ListenerPolicy,
        group: &UpstreamGroup,
        choice: LinkChoice,
        proposal: &Proposal,
        particulars: &Particulars,
        txn: TxnId,
        at: Timestamp,
        upstream_stan: Stan,
        frame: Bytes,
        rewritten: bool,
    ) -> Result<(), JournalError> {
        let Passed {
            message,
            request,
            key,
            admission,
            account,
            held,
            ..
        } = *passed;
        let Particulars { pan, amount, .. } = particulars;
        let sealed = match pan {
            Some(pan)
                if request
                    .reversal_copies
                    .contains(message.dialect().roles().pan) =>
            {
                match self.keys.seal_pan(pan, txn) {
                    Ok(sealed) => Cow::Owned(sealed),
                    Err(problem) => {
                        tracing::error!(%problem, "a card number cannot be sealed");
                        return Err(JournalError::Closed);
                    }
                }
            }
            _ => Cow::Borrowed(&[][..]),
        };
        let copies = request.reversal_copies;
        let reversal = kept_for_later(message, &frame, copies, rewritten)
            .sealed(&self.keys, txn)
            .map_err(|problem| {
                tracing::error!(%problem, "what a reversal copies cannot be sealed");
                JournalError::Closed
            })?;
        let intent = Intent {
            txn,
            at,
            key,
            merchant: admission.merchant,
            binding: admission.binding,
            version: admission.version,
            account,
            held: settlement_held(request, held, particulars.original),
            kind: request.kind,
            fate: request.fate,
            sign: sign_of(request),
            mti: message.mti(),
            request: Cow::Borrowed(&request.name),
            dialect: Cow::Borrowed(policy.dialect.name()),
            batch: proposal.batch,
            stan: proposal.stan,
            group: Cow::Borrowed(&group.name),
            upstream_stan,
            amount: amount.unwrap_or(Amount {
                minor: 0,
                currency: Currency::NONE,
            }),
            pan: pan.as_ref().map_or(MaskedPan::NONE, |pan| pan.masked()),
            pan_hash: pan.as_ref().map_or([0; 16], |pan| self.keys.hash_pan(pan)),
            sealed_pan: sealed,
            content: proposal.content,
            original: particulars.original.map_or(TxnId(0), |named| named.txn),
            reversal: Cow::Owned(reversal),
            envelope: Cow::Borrowed(message.envelope()),
        };
        let effect = Effect::Forward {
            group: policy.group,
            choice,
            frame,
        };
        self.journal.append_new(effect, |out| intent.encode(out))
    }
}

/// Whether a terminal that is declined so takes it for the end. Otherwise it reverses, or asks again, and must
/// not hear the same for ever.
fn is_final(policy: &ListenerPolicy, request: &Request, why: DeclineCode) -> bool {
    let dialect = &policy.dialect;
    let asks_again = why == DeclineCode::InProgress && request.fate == Fate::Repeat;
    dialect.decline(why) != dialect.decline(DeclineCode::NoAnswer) && !asks_again
}

/// The request as it goes upstream: the group's TPDU, no MAC of the terminal's, the group's STAN.
fn upstream_frame(
    message: &Message<'_>,
    group: &UpstreamGroup,
    upstream_stan: Stan,
    reference: Option<&[u8]>,
) -> Option<Bytes> {
    let roles = group.dialect.roles();
    let mut envelope = EnvelopeBytes::new(message.envelope());
    envelope.set_start(&group.tpdu);
    let mut set = [(0, FieldValue::Number(0)); 2];
    let mut count = 0;
    if message.stan() != Some(upstream_stan) {
        set[count] = (
            roles.stan,
            FieldValue::Number(u64::from(upstream_stan.get())),
        );
        count += 1;
    }
    if let (Some(part), Some(digits)) = (roles.original.stan, reference) {
        set[count] = (part.field, FieldValue::Digits(digits));
        count += 1;
    }
    let how = Rewrite {
        envelope: Envelope::Raw(envelope.as_slice()),
        drop: MAC_FIELDS,
        set: &set[..count],
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(message, &how, out));
    made.ok().map(|()| frame)
}

/// The first answer, under the envelope of the repeated request.
fn first_answer(repeated: &Message<'_>, answer: &[u8]) -> Option<Bytes> {
    let mut index = Index::new();
    let first = repeated.dialect().decode(answer, &mut index).ok()?;
    let how = Rewrite {
        envelope: Envelope::Answering(repeated.envelope()),
        drop: FieldSet::EMPTY,
        set: &[],
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(&first, &how, out));
    made.ok().map(|()| frame)
}

/// The first answer as far as the store keeps it: the rest is echoed from the repeated request.
fn answer_made_anew(
    repeated: &Message<'_>,
    request: &Request,
    code: [u8; 2],
    elements: &[u8],
) -> Option<Bytes> {
    let extras: Vec<_> = (2..=FieldSet::LAST)
        .filter(|de| *de != repeated.dialect().roles().response_code)
        .filter_map(|de| {
            let element = projection::kept_element(elements, de)?;
            Some((de, FieldValue::Kept(element)))
        })
        .collect();
    let code = ResponseCode::new(code);
    let (made, frame) =
        with_buffer(|out| iso8583::answer(repeated, Some(request), code, &extras, out));
    made.ok().map(|()| frame)
}

/// Whether the payout of a request is held. What gives money back is where that money is: held with it, and where it is
/// paid out already taken off what is paid next.
fn settlement_held(request: &Request, held: bool, original: Option<Named>) -> bool {
    match request.kind.payout() {
        PayoutPart::WithOriginal => original.is_some_and(|named| named.held),
        PayoutPart::Adds | PayoutPart::Nothing => held,
    }
}

/// Whose favour an approval books.
pub(super) const fn sign_of(request: &Request) -> i8 {
    match request.books {
        Books::Debit => 1,
        Books::Credit => -1,
        Books::None => 0,
    }
}

/// Position of a request in its dialect's table.
fn request_index(dialect: &Dialect, request: &Request) -> usize {
    dialect
        .requests()
        .iter()
        .position(|each| std::ptr::eq(each, request))
        .unwrap_or(0)
}
