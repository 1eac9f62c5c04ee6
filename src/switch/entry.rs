//! Codes that are entered at terminals.
//!
//! Only a message whose MAC was verified may change a binding, so that a listener takes codes only where it
//! verifies them (`authentic`). The session's thread hands the message over and goes on; the attendant judges the
//! code, and the answer is given when what it proves is durable and in the gate.

use std::sync::Arc;

use super::Switch;
use super::attendant::{Heard, Teller};
use super::codes::{Matter, hash};
use super::idle::IdleScan;
use super::shared::SharedRegistry;
use crate::base::Timestamp;
use crate::binding::challenge::{Code, Payment, Purpose, Verdict};
use crate::binding::tested::TestsShown;
use crate::binding::{BindingState, Refusal, TerminalKey};
use crate::iso8583::{
    CodeEntryRules, DeclineCode, EnteredCode, Index, Message, Request, ResponseCode,
};
use crate::net::{Handled, Session};
use crate::security::DataKeys;
use crate::store::command::{Command, Done};
use crate::store::read_model::BindingReader;
use crate::store::registry::{Actor, Channel, Origin};
use crate::store::{Registry, RegistryError, StoreError};
use crate::telemetry::log::chain;
use crate::telemetry::metrics::{self, AnswerClass};

/// A message that brings a code, on its way to the attendant.
pub(crate) struct Entry {
    session: Arc<Session>,
    frame: zeroize::Zeroizing<Vec<u8>>,
    key: TerminalKey,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The frame holds a code.
        f.debug_struct("Entry")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What came of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is the right one; what it proves is in force.
    Right,
    /// It is not.
    Wrong,
    /// It is not, and no more are taken.
    Exhausted,
    /// There is nothing to enter.
    Over,
    /// The terminal's state or its device does not allow it.
    NotAllowed,
    /// It has not the form of a code.
    Form,
    /// The store cannot say.
    CannotDecide,
}

impl Came {
    const fn code(
        self,
        rules: &CodeEntryRules,
        accepted: ResponseCode,
    ) -> Result<ResponseCode, DeclineCode> {
        match self {
            Self::Right => Ok(accepted),
            Self::Wrong => Ok(rules.wrong),
            Self::Exhausted => Ok(rules.exhausted),
            Self::Over => Ok(rules.over),
            Self::NotAllowed => Err(DeclineCode::NotAllowed),
            Self::Form => Err(DeclineCode::Format),
            Self::CannotDecide => Err(DeclineCode::CannotDecide),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Exhausted => "exhausted",
            Self::Over => "over",
            Self::NotAllowed => "not-allowed",
            Self::Form => "form",
            Self::CannotDecide => "cannot-decide",
        }
    }

    fn of(judged: &Result<Done, RegistryError>) -> Self {
        match judged {
            Ok(done) => match done.verdict {
                Some(Verdict::Approved) => Self::Right,
                Some(Verdict::Wrong { .. }) => Self::Wrong,
                Some(Verdict::Exhausted) => Self::Exhausted,
                Some(Verdict::Expired | Verdict::Used) | None => Self::Over,
            },
            Err(RegistryError::Refused(Refusal::Locked { .. })) => Self::Exhausted,
            Err(RegistryError::NotThere { .. }) => Self::Over,
            Err(RegistryError::Store(_)) => Self::CannotDecide,
            Err(_refused) => Self::NotAllowed,
        }
    }
}

impl Switch {
    /// Hands a code over. Never waits.
    pub(super) fn enter_code(
        &self,
        session: &Arc<Session>,
        message: &Message<'_>,
        request: &Request,
        key: TerminalKey,
    ) -> Handled {
        let policy = self.policy(session);
        if !(policy.code_entry && policy.authentic) {
            metrics::declined("unserved");
            return self.decline(session, message, Some(request), DeclineCode::Unsupported);
        }
        let entry = Entry {
            session: Arc::clone(session),
            frame: zeroize::Zeroizing::new(message.frame().to_vec()),
            key,
        };
        if self.alerts.tell(Heard::Code(entry)) {
            return Handled::Pending;
        }
        metrics::declined("codes-full");
        self.decline(session, message, Some(request), DeclineCode::CannotDecide)
    }

    /// Judges a code and answers its terminal. Blocks on the store.
    pub(super) fn code_entered(
        &self,
        entry: &Entry,
        registry: &SharedRegistry,
        teller: &Teller,
        idle: &IdleScan,
    ) {
        let policy = self.policy(&entry.session);
        let mut index = Index::new();
        let rules = policy.dialect.code_entry();
        let decoded = policy.dialect.decode(&entry.frame, &mut index);
        let (Ok(message), Some(rules)) = (decoded, rules) else {
            entry.session.give_up();
            return;
        };
        let came = match asked(rules, &message) {
            Ok(asked) => {
                let actor = of_terminal(entry, self.clock.wall());
                let came = match tests_shown(registry, idle, entry.key, asked.purpose) {
                    Ok(shown) => {
                        let asked = (&asked, shown);
                        Came::of(&self.change(entry, asked, registry, teller, &actor))
                    }
                    Err(problem) => {
                        tracing::error!(
                            problem = chain(&problem),
                            "a device's tests cannot be read"
                        );
                        Came::CannotDecide
                    }
                };
                tracing::info!(
                    terminal = %entry.key.terminal, purpose = asked.purpose.name(), came = came.name(),
                    "a code was entered at a terminal"
                );
                came
            }
            Err(came) => came,
        };
        self.answer_entry(entry, &message, rules, came);
    }

    fn change(
        &self,
        entry: &Entry,
        (asked, shown): (&Asked, TestsShown),
        registry: &SharedRegistry,
        teller: &Teller,
        actor: &Actor,
    ) -> Result<Done, RegistryError> {
        let dispatcher = teller.get();
        let judged = registry.change(|registry| {
            let mut done = judge(registry, &self.keys, entry.key, (asked, shown), actor)?;
            if let Some(dispatcher) = &dispatcher {
                dispatcher.tell(registry, &done)?;
            }
            let changes = std::mem::take(&mut done.changes);
            Ok::<_, RegistryError>((done, changes))
        });
        if let Some(dispatcher) = dispatcher {
            dispatcher.wake();
        }
        if let Err(RegistryError::Store(problem)) = &judged {
            tracing::error!(problem = chain(problem), "a code cannot be judged");
        }
        judged
    }

    fn answer_entry(
        &self,
        entry: &Entry,
        message: &Message<'_>,
        rules: &CodeEntryRules,
        came: Came,
    ) {
        let request = message.dialect().classify(message);
        let accepted = message.dialect().accepted(message.mti());
        let handled = match came.code(rules, accepted) {
            Ok(code) => {
                let class = if came == Came::Right {
                    AnswerClass::Approved
                } else {
                    metrics::declined("wrong-code");
                    AnswerClass::Declined
                };
                self.policy(&entry.session).metrics.answer(class);
                self.answer_now(&entry.session, message, request, code)
            }
            Err(why) => {
                metrics::declined("code-not-taken");
                self.decline(&entry.session, message, request, why)
            }
        };
        if let Handled::Ignored | Handled::Close(_) = handled {
            entry.session.give_up();
            entry.session.close_when_settled();
        }
    }
}

/// What a message asks for.
struct Asked {
    purpose: Purpose,
    code: Code,
    /// The device's, where the message says it.
    serial: Option<String>,
    payment: Option<Payment>,
}

fn asked(rules: &CodeEntryRules, message: &Message<'_>) -> Result<Asked, Came> {
    let EnteredCode { purpose, code } = rules.entered(message).ok_or(Came::Form)?;
    let purpose = Purpose::from_name(&purpose).ok_or(Came::Form)?;
    let code = Code::parse(&code).map_err(|_not_one| Came::Form)?;
    let device = message.dialect().device();
    let serial = device.and_then(|device| {
        let text = |serial: &[u8]| String::from_utf8_lossy(serial).into_owned();
        device.serial(message, text)
    });
    let payment = match purpose {
        Purpose::PayerConfirm => {
            let stan = message.original().and_then(|original| original.stan);
            let (stan, amount) = stan.zip(message.amount()).ok_or(Came::Form)?;
            Some(Payment { stan, amount })
        }
        _for_no_payment => None,
    };
    Ok(Asked {
        purpose,
        code,
        serial,
        payment,
    })
}

/// What the device has shown, where a code is to activate it. What it did in the last half second may be missing: then
/// the code is not taken yet, and is good when it is entered again.
fn tests_shown(
    registry: &SharedRegistry,
    idle: &IdleScan,
    key: TerminalKey,
    purpose: Purpose,
) -> Result<TestsShown, StoreError> {
    if purpose != Purpose::Bind {
        return Ok(TestsShown::default());
    }
    // Nobody waits for the registry while the read model is asked.
    let row = registry.lock().show(key)?;
    match row {
        Some(row) if row.admission.state == BindingState::Activating => {
            idle.reader()?.tests_of(row.admission.binding)
        }
        // What may not be activated is refused as that, whatever it has shown.
        Some(_) | None => Ok(TestsShown::default()),
    }
}

/// Finds the challenge that the code can belong to, and judges it: what it proves happens with it.
fn judge(
    registry: &mut dyn Registry,
    keys: &DataKeys,
    key: TerminalKey,
    (asked, shown): (&Asked, TestsShown),
    actor: &Actor,
) -> Result<Done, RegistryError> {
    let payment = asked.payment.as_ref();
    let Some(challenge) = registry.challenge_at(key, asked.purpose, payment)? else {
        return Err(RegistryError::NotThere {
            what: "challenge for",
            name: asked.purpose.words().to_owned(),
        });
    };
    let matter = Matter {
        purpose: asked.purpose,
        subject: challenge.subject,
        payment,
    };
    let code = hash(keys, challenge.challenge, matter, &asked.code);
    let challenge = challenge.challenge;
    let command = match asked.purpose {
        Purpose::Bind => Command::ActivateBinding {
            key,
            serial: asked.serial.clone().unwrap_or_default(),
            challenge,
            code,
            shown,
            // Who stands at a terminal has nobody's evidence: there the device itself shows that it works.
            evidence: None,
        },
        purpose => Command::CheckCode {
            challenge,
            purpose,
            code,
        },
    };
    registry.carry_out(&command, None, actor)
}

/// The terminal, as histories and the audit trail name it.
fn of_terminal(entry: &Entry, at: Timestamp) -> Actor {
    Actor {
        name: format!("terminal {}", entry.key.terminal),
        at,
        origin: Origin {
            channel: Channel::Terminal,
            address: entry.session.peer.to_string(),
            rights: "code-entry".into(),
            request: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Dialect;

    #[test]
    fn every_purpose_that_a_dialect_names_is_one_and_none_is_missing() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut named: Vec<_> = dialect.code_entry().unwrap().purposes().collect();
        let mut known: Vec<_> = Purpose::ALL.iter().map(|purpose| purpose.name()).collect();
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn what_the_store_says_is_told_apart() {
        let verdict = |verdict| {
            Ok(Done {
                verdict: Some(verdict),
                ..Done::default()
            })
        };
        let locked = Refusal::Locked {
            until: Timestamp(2),
            now: Timestamp(1),
        };
        let missing = Refusal::Missing {
            what: "a",
            remedy: "b",
        };
        let not_there = RegistryError::NotThere {
            what: "challenge",
            name: String::new(),
        };
        for (judged, came) in [
            (verdict(Verdict::Approved), Came::Right),
            (verdict(Verdict::Wrong { left: 1 }), Came::Wrong),
            (verdict(Verdict::Exhausted), Came::Exhausted),
            (verdict(Verdict::Expired), Came::Over),
            (verdict(Verdict::Used), Came::Over),
            (Err(locked.into()), Came::Exhausted),
            (Err(missing.into()), Came::NotAllowed),
            (Err(not_there), Came::Over),
            (Err(RegistryError::Reasons), Came::NotAllowed),
        ] {
            assert_eq!(Came::of(&judged), came, "{judged:?}");
        }
    }
}
