//! A frame from a terminal: decode, gate, and on to whoever serves it.

use std::sync::Arc;

use super::attendant::Heard;
use super::forward::{Memory, Passed};
use super::payee::Paying;
use super::{ListenerPolicy, Switch};
use crate::base::{RequestType, limits};
use crate::binding::{
    Asked, Decision, DeclineReason, SerialPrint, SerialRule, TerminalKey, check_device, decide,
};
use crate::iso8583::{DeclineCode, DecodeError, Index, Message, Misshapen, Request, Served};
use crate::net::{Handled, Session, Terminals};
use crate::telemetry::metrics::{self, AnswerClass};

impl Terminals for Switch {
    fn on_frame(&self, session: &Arc<Session>, frame: &[u8]) -> Handled {
        let policy = self.policy(session);
        let mut index = Index::new();
        match policy.dialect.decode(frame, &mut index) {
            Ok(message) => self.on_request(session, &message),
            Err(problem) => self.on_undecodable(session, frame, problem),
        }
    }
}

impl Switch {
    fn on_request(&self, session: &Arc<Session>, message: &Message<'_>) -> Handled {
        let policy = self.policy(session);
        if !message.mti().is_request() {
            policy.metrics.rejected("answer-from-terminal");
            return Handled::Ignored;
        }
        let Some(request) = policy.dialect.classify(message) else {
            let management = message.mti().class_key() & 0x0f == 8;
            let code = if management {
                DeclineCode::Unsupported
            } else {
                DeclineCode::InvalidTransaction
            };
            metrics::declined("unknown-request");
            return self.decline(session, message, None, code);
        };
        policy.metrics.request(request.kind);
        if let Some(wrong) = request.misshapen(message) {
            metrics::declined(match wrong {
                Misshapen::Missing(_) => "missing-field",
                Misshapen::Unexpected(_) => "unexpected-field",
            });
            return self.decline(session, message, Some(request), DeclineCode::Format);
        }
        let Some(terminal) = message.terminal() else {
            metrics::declined("missing-field");
            return self.decline(session, message, Some(request), DeclineCode::Format);
        };
        let key = TerminalKey {
            acquirer: policy.acquirer,
            terminal,
        };
        // Read before the look-up: whether anything changed since is asked again where it is accepted.
        let epoch = self.directory.epoch();
        let paying = Paying::before(message, request);
        let (found, payee) = self.present(key, paying);
        let decision = decide(found, payee.status, asked(message, request.kind));
        let decision = self.look_at_device(policy, message, request, key, decision);
        match decision {
            Decision::Decline(reason)
                if let Ok(Some(admission)) = found
                    && request.served == Served::Forward
                    && may_have_passed(reason) =>
            {
                let passed = Passed {
                    session,
                    message,
                    request,
                    key,
                    admission,
                    paying,
                    account: payee.account,
                    epoch,
                    held: false,
                    declined: Some(reason),
                    staff: None,
                };
                self.forward(&passed, None, Memory::Lane)
            }
            Decision::Decline(reason) => {
                metrics::declined(reason.name());
                self.decline(session, message, Some(request), code_of(reason))
            }
            Decision::Pass { admission, held } => match request.served {
                Served::SignOn => self.sign_on(session, message, request, key),
                Served::SignOff => self.sign_off(session, message, request, key),
                Served::Echo => self.echo(session, message, request),
                Served::CodeEntry => self.enter_code(session, message, request, key),
                Served::Settlement | Served::BatchUpload | Served::BatchUploadEnd => {
                    self.on_batch(session, message, request, key)
                }
                Served::Unserved => {
                    metrics::declined("unserved");
                    self.decline(session, message, Some(request), DeclineCode::Unsupported)
                }
                Served::Forward if request.kind == RequestType::Reversal => {
                    self.reverse(session, message, request, key)
                }
                Served::Forward => {
                    let passed = Passed {
                        session,
                        message,
                        request,
                        key,
                        admission,
                        paying,
                        account: payee.account,
                        epoch,
                        held,
                        declined: None,
                        staff: None,
                    };
                    self.forward(&passed, None, Memory::Lane)
                }
            },
        }
    }

    /// Compares the device that a message names with the bound one, and reports who is heard of after the end.
    fn look_at_device(
        &self,
        policy: &ListenerPolicy,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
        decision: Decision,
    ) -> Decision {
        let named = policy
            .dialect
            .device()
            .filter(|_| policy.serials != SerialRule::Ignore);
        let text = |serial: &[u8]| String::from_utf8_lossy(serial).into();
        match decision {
            Decision::Decline(DeclineReason::Unbound) => {
                let serial = named.and_then(|device| device.serial(message, text));
                self.alerts.tell(Heard::AfterEnd(key, serial));
                decision
            }
            Decision::Decline(_) => decision,
            Decision::Pass { admission, .. } => {
                let Some(device) = named else {
                    return decision;
                };
                let said = device.serial(message, SerialPrint::of);
                let said = said.unwrap_or(SerialPrint::NONE);
                if !admission.device.agrees(said)
                    && let Some(serial) = device.serial(message, text)
                {
                    self.alerts
                        .tell(Heard::OtherDevice(key, serial, policy.authentic));
                }
                match check_device(policy.serials, request.kind, admission.device, said) {
                    Ok(()) => decision,
                    Err(reason) => Decision::Decline(reason),
                }
            }
        }
    }

    /// A frame that breaks its dialect. What could be read of it is answered with "format error"; when
    /// not even the message type could be, the peer speaks something else.
    fn on_undecodable(
        &self,
        session: &Arc<Session>,
        frame: &[u8],
        problem: DecodeError,
    ) -> Handled {
        let policy = self.policy(session);
        policy.metrics.rejected(problem.label());
        if session.count_bad_frame() > limits::BAD_FRAMES_MAX {
            return Handled::Close("too-many-bad-frames");
        }
        tracing::info!(
            listener = %policy.name, peer = %session.peer, %problem, offset = problem.offset(),
            "a terminal's message breaks its dialect"
        );
        let mut index = Index::new();
        match policy.dialect.decode_partial(frame, &mut index) {
            (Some(message), _) if message.mti().is_request() => {
                metrics::declined("format");
                self.decline(session, &message, None, DeclineCode::Format)
            }
            _ => Handled::Close("undecodable"),
        }
    }

    /// Answers a request here and now with a decline.
    pub(super) fn decline(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: Option<&Request>,
        why: DeclineCode,
    ) -> Handled {
        let class = match why {
            DeclineCode::CannotDecide | DeclineCode::Unreachable | DeclineCode::NoAnswer => {
                AnswerClass::Failed
            }
            DeclineCode::Format
            | DeclineCode::UnknownTerminal
            | DeclineCode::WrongMerchant
            | DeclineCode::NotAllowed
            | DeclineCode::NotSignedOn
            | DeclineCode::Unsupported
            | DeclineCode::InvalidTransaction
            | DeclineCode::Duplicate
            | DeclineCode::InProgress
            | DeclineCode::OriginalNotFound
            | DeclineCode::OriginalAmount
            | DeclineCode::AmountLimit
            | DeclineCode::CountLimit => AnswerClass::Declined,
        };
        self.policy(session).metrics.answer(class);
        let code = message.dialect().decline(why);
        self.answer_now(session, message, request, code)
    }
}

/// A request as the gate looks at it.
pub(super) fn asked(message: &Message<'_>, kind: RequestType) -> Asked {
    Asked {
        kind,
        merchant: message.merchant(),
        amount: message.amount().map(|amount| amount.minor),
    }
}

/// Whether what the gate declines for this reason it may have let pass a moment ago.
pub(super) const fn may_have_passed(reason: DeclineReason) -> bool {
    match reason {
        DeclineReason::Unbound
        | DeclineReason::State(_)
        | DeclineReason::Account(_)
        | DeclineReason::NoAccount(_)
        | DeclineReason::Held(_) => true,
        DeclineReason::UnknownTerminal
        | DeclineReason::WrongMerchant
        | DeclineReason::OtherDevice
        | DeclineReason::OverLimit(_)
        | DeclineReason::CannotDecide => false,
    }
}

/// The gate's reasons in the dialect's words.
pub(super) const fn code_of(reason: DeclineReason) -> DeclineCode {
    match reason {
        DeclineReason::UnknownTerminal | DeclineReason::Unbound => DeclineCode::UnknownTerminal,
        DeclineReason::WrongMerchant => DeclineCode::WrongMerchant,
        DeclineReason::State(_)
        | DeclineReason::Account(_)
        | DeclineReason::NoAccount(_)
        | DeclineReason::Held(_)
        | DeclineReason::OtherDevice => DeclineCode::NotAllowed,
        DeclineReason::OverLimit(kind) if kind.is_amount() => DeclineCode::AmountLimit,
        DeclineReason::OverLimit(_) => DeclineCode::CountLimit,
        DeclineReason::CannotDecide => DeclineCode::CannotDecide,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{
        AccountKind, AccountStatus, BindingState, HoldScope, LimitKind, NoAccount,
    };
    use crate::iso8583::Dialect;

    /// bindings test 12: for no reason of the gate's, in no dialect, does a shop keep the customer's card.
    #[test]
    fn t12_no_refusal_makes_a_shop_keep_a_card() {
        const KEEPS: [&[u8; 2]; 13] = [
            b"04", b"07", b"33", b"34", b"35", b"36", b"37", b"38", b"41", b"43", b"67", b"P4",
            b"P7",
        ];
        let mut reasons = vec![
            DeclineReason::UnknownTerminal,
            DeclineReason::Unbound,
            DeclineReason::WrongMerchant,
            DeclineReason::OtherDevice,
            DeclineReason::CannotDecide,
        ];
        reasons.extend(BindingState::ALL.iter().map(|s| DeclineReason::State(*s)));
        reasons.extend(
            AccountStatus::ALL
                .iter()
                .map(|s| DeclineReason::Account(*s)),
        );
        let none = AccountKind::ALL.iter().map(|kind| NoAccount::Of(*kind));
        let none = none.chain([NoAccount::UnknownMeans]);
        reasons.extend(none.map(DeclineReason::NoAccount));
        reasons.extend(HoldScope::ALL.iter().map(|s| DeclineReason::Held(*s)));
        reasons.extend(LimitKind::ALL.iter().map(|k| DeclineReason::OverLimit(*k)));
        let mut looked_at = 0;
        for name in Dialect::shipped_names() {
            let dialect = Dialect::shipped(name).unwrap();
            if !dialect.serves() {
                continue;
            }
            let own = reasons
                .iter()
                .map(|reason| dialect.decline(code_of(*reason)));
            let entered = dialect.code_entry().into_iter();
            let entered = entered.flat_map(|rules| [rules.wrong, rules.exhausted, rules.over]);
            for code in own.chain(entered) {
                looked_at += 1;
                assert!(!KEEPS.contains(&code.as_bytes()), "{name}: {code}");
                assert!(!dialect.is_approval(code), "{name}: {code}");
            }
        }
        assert!(looked_at > 2 * reasons.len());
    }
}
