//! Challenges: sending is counted at submission, checking is counted when it fails, and neither ever touches
//! a binding.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::contacts::ContactRow;
use super::{Step, Stopped, from_sql, to_sql};
use crate::base::{Amount, Timestamp};
use crate::binding::Refusal;
use crate::binding::challenge::{
    Challenge, ChallengeState, CodeHash, Delivery, Payment, Purpose, Sends, Verdict, may_check,
    may_send,
};
use crate::binding::contact::{ContactEvent, ContactKind, ContactRole, ContactState};
use crate::binding::unbinding::UnbindStage;

/// Failures of one contact that are looked at.
const FAILURES_READ: u32 = 200;

/// A challenge as a command finds it.
#[derive(Clone, Debug)]
struct ChallengeRow {
    id: u64,
    purpose: Purpose,
    contact: u64,
    target: Vec<u8>,
    challenge: Challenge,
}

impl Step<'_> {
    pub(super) fn challenge(
        &mut self,
        contact: u64,
        (purpose, subject, payment): (Purpose, u64, Option<&Payment>),
        code: &CodeHash,
        number: u64,
        asked_from: &str,
    ) -> Stopped<()> {
        Payment::check(purpose, payment)?;
        let contact = self.contact(contact)?;
        may_carry(&contact, purpose)?;
        if purpose == Purpose::Bind && !contact.speaks_for_merchant(self.now()) {
            let what = "a phone of the owner that speaks for the merchant";
            let remedy =
                "a terminal is activated by a code that went there, and to no other contact";
            return Err(Refusal::Missing { what, remedy }.into());
        }
        let binding = self.binding_of_subject(purpose, subject, &contact)?;
        let now = self.now();
        may_check(now, &self.failures(&contact.hash)?)?;
        let to_contact = self.sent_since_yesterday("target = ?2", &contact.hash)?;
        let for_binding = match binding {
            // A shop has more payers than it has changes: each payer's number has its own limit.
            Some(_) if purpose == Purpose::PayerConfirm => Vec::new(),
            Some(binding) => {
                let of_shop = "binding = ?2 AND purpose <> 'payer-confirm'";
                self.sent_since_yesterday(of_shop, to_sql(binding))?
            }
            None => Vec::new(),
        };
        let from_place = if asked_from.is_empty() {
            Vec::new()
        } else {
            self.sent_since_yesterday("asked_from = ?2", asked_from)?
        };
        may_send(
            now,
            &[
                Sends {
                    at: &to_contact,
                    spaced: true,
                },
                Sends {
                    at: &for_binding,
                    spaced: false,
                },
                Sends {
                    at: &from_place,
                    spaced: false,
                },
            ],
        )?;
        // A newer code voids the older ones for the same thing.
        let (stan, amount, currency) = columns(payment);
        self.db
            .prepare_cached(
                "UPDATE challenge SET state = 'superseded', ended_at = ?4 WHERE contact = ?1 \
                 AND purpose = ?2 AND subject = ?3 AND stan IS ?5 AND amount IS ?6 AND currency IS ?7 \
                 AND state IN ('created', 'sent', 'delivered')",
            )?
            .execute(params![
                to_sql(contact.id),
                purpose.name(),
                to_sql(subject),
                to_sql(now.0),
                stan,
                amount,
                currency
            ])?;
        let ttl = purpose.ttl(contact.kind);
        let expires_at = now.0 + u64::try_from(ttl.as_micros()).unwrap_or(0);
        self.db
            .prepare_cached(
                "INSERT INTO challenge(id, purpose, contact, subject, target, binding, asked_from, code, \
                 state, sent_at, expires_at, stan, amount, currency) \
                 VALUES (?1,?2,?3,?4,?5,?6,?7,?8,'created',?9,?10,?11,?12,?13)",
            )?
            .execute(params![
                to_sql(number),
                purpose.name(),
                to_sql(contact.id),
                to_sql(subject),
                contact.hash,
                binding.map(to_sql),
                asked_from,
                code.0,
                to_sql(now.0),
                to_sql(expires_at),
                stan,
                amount,
                currency
            ])?;
        self.done.number = number;
        self.done.version = 1;
        self.tell_challenge("challenge.created", number, purpose, contact.id)
    }

    /// Judges a code. What it proves happens in the same step.
    pub(super) fn check_code(
        &mut self,
        number: u64,
        purpose: Purpose,
        code: &CodeHash,
    ) -> Stopped<()> {
        // It is good once, and nothing but an activation takes it: checked here it would be lost.
        if purpose == Purpose::Bind {
            return Err(Refusal::Value {
                what: "the purpose",
                problem: "is an activation: offer the code together with the device's serial number \
                          (`posgate binding activate`)",
            }
            .into());
        }
        let verdict = self.judge(number, purpose, code)?;
        self.done.number = number;
        self.done.version = 1;
        self.done.verdict = Some(verdict);
        if verdict != Verdict::Approved {
            return Ok(());
        }
        let row = self.challenge_row(number)?;
        let proves = matches!(
            row.purpose,
            Purpose::VerifyContact | Purpose::ChangePhoneNew
        );
        let contact = self.contact(row.contact)?;
        if proves && contact.state != ContactState::Verified {
            let note = format!("challenge {number}");
            self.verified(contact, &note, "")?;
        }
        self.done.number = number;
        Ok(())
    }

    /// Judges a code and keeps what came of it, without anything else.
    pub(super) fn judge(
        &mut self,
        number: u64,
        purpose: Purpose,
        code: &CodeHash,
    ) -> Stopped<Verdict> {
        let row = self.challenge_row(number)?;
        let now = self.now();
        may_check(now, &self.failures(&row.target)?)?;
        let (after, mut verdict) = row.challenge.check(now, code);
        // The hash holds the purpose already; a caller that names another one is told nothing else.
        if purpose != row.purpose && verdict == Verdict::Approved {
            verdict = Verdict::Used;
        }
        self.write_challenge(&row, after)?;
        match verdict {
            Verdict::Approved => {
                self.db
                    .prepare_cached("DELETE FROM wrong_code WHERE target = ?1")?
                    .execute([&row.target])?;
                self.tell_challenge("challenge.approved", number, row.purpose, row.contact)?;
            }
            Verdict::Wrong { .. } | Verdict::Exhausted => {
                self.db
                    .prepare_cached("INSERT INTO wrong_code VALUES (?1, ?2)")?
                    .execute(params![row.target, to_sql(now.0)])?;
                if verdict == Verdict::Exhausted {
                    self.tell_challenge("challenge.exhausted", number, row.purpose, row.contact)?;
                }
            }
            Verdict::Expired | Verdict::Used => {}
        }
        Ok(verdict)
    }

    pub(super) fn cancel_challenge(&mut self, number: u64) -> Stopped<()> {
        let row = self.challenge_row(number)?;
        let after = row.challenge.cancel()?;
        self.write_challenge(&row, after)?;
        self.done.number = number;
        self.tell_challenge("challenge.cancelled", number, row.purpose, row.contact)
    }

    /// What the carrier says of a message. One that will not arrive makes its contact suspect when it was
    /// verified; that the owner's phone is lost this way takes a second signal (a second bounce).
    pub(super) fn delivered(&mut self, number: u64, what: Delivery) -> Stopped<()> {
        let row = self.challenge_row(number)?;
        let after = row.challenge.reported(what);
        self.done.number = number;
        if after.state == row.challenge.state {
            return Ok(());
        }
        self.write_challenge(&row, after)?;
        let event = match what {
            Delivery::Sent => "challenge.sent",
            Delivery::Delivered => "challenge.delivered",
            Delivery::Failed => "challenge.failed",
        };
        self.tell_challenge(event, number, row.purpose, row.contact)?;
        if what == Delivery::Failed {
            let bounced: u32 = self.db.query_row(
                "SELECT count(*) FROM challenge WHERE contact = ?1 AND state = 'undelivered' \
                 AND id > coalesce((SELECT max(id) FROM challenge WHERE contact = ?1 \
                 AND state IN ('delivered', 'approved')), 0)",
                [to_sql(row.contact)],
                |one| one.get(0),
            )?;
            let contact = self.contact(row.contact)?;
            if bounced >= 2 && contact.state == ContactState::Verified {
                let note = "two messages in a row could not be delivered";
                self.contact_event(contact.id, ContactEvent::Suspect, note, None, true)?;
            }
        }
        Ok(())
    }

    /// Whether anybody may be asked for a code about this, and the binding that its limits count by.
    fn binding_of_subject(
        &self,
        purpose: Purpose,
        subject: u64,
        contact: &ContactRow,
    ) -> Stopped<Option<u64>> {
        if subject == 0 && purpose != Purpose::VerifyContact {
            return Err(Refusal::Missing {
                what: "the number of what the code is for",
                remedy: "name the binding (`posgate terminal show` has its number), the case (`posgate case list`) or \
                         the new contact (`posgate contact list`)",
            }
            .into());
        }
        let held = match purpose {
            Purpose::VerifyContact => return Ok(None),
            Purpose::ChangePhoneOld | Purpose::ChangePhoneNew => {
                self.contact(subject)?;
                return Ok(None);
            }
            Purpose::Unbind | Purpose::Replace => {
                let case: Option<(i64, bool)> = self
                    .db
                    .prepare_cached(
                        "SELECT binding, stage = ?2 FROM case_file WHERE id = ?1 AND is_over = 0",
                    )?
                    .query_row(params![to_sql(subject), UnbindStage::Draft.name()], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()?;
                let (binding, is_draft) = case.ok_or_else(|| Self::not_there("case", subject))?;
                // Who does not know what is on record has nobody disturbed by codes.
                if is_draft {
                    return Err(Refusal::State {
                        thing: "case",
                        state: UnbindStage::Draft.name(),
                        verb: "proven by a code",
                        remedy: "confirm what is on record first",
                    }
                    .into());
                }
                self.binding_by_id(from_sql(binding))?
            }
            Purpose::Bind
            | Purpose::ChangeAccount
            | Purpose::ReleaseHold
            | Purpose::PayerConfirm => self.binding_by_id(subject)?,
        };
        if contact.merchant != held.merchant {
            let what = "the contact";
            let problem = "is another merchant's than the terminal is";
            return Err(Refusal::Value { what, problem }.into());
        }
        Ok(Some(held.admission.binding.0))
    }

    fn failures(&self, target: &[u8]) -> Stopped<Vec<Timestamp>> {
        let mut all = self.db.prepare_cached(
            "SELECT at FROM (SELECT at FROM wrong_code WHERE target = ?1 ORDER BY at DESC LIMIT ?2) \
             ORDER BY at",
        )?;
        let rows = all.query_map(params![target, FAILURES_READ], |row| {
            row.get(0).map(|at| Timestamp(from_sql(at)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn sent_since_yesterday(
        &self,
        whose: &str,
        value: impl rusqlite::ToSql,
    ) -> Stopped<Vec<Timestamp>> {
        let since = to_sql(self.now().0.saturating_sub(86_400_000_000));
        let mut all = self.db.prepare_cached(&format!(
            "SELECT sent_at FROM challenge WHERE sent_at > ?1 AND {whose} ORDER BY sent_at"
        ))?;
        let rows = all.query_map(params![since, value], |row| {
            row.get(0).map(|at| Timestamp(from_sql(at)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn challenge_row(&self, number: u64) -> Stopped<ChallengeRow> {
        self.db
            .prepare_cached(
                "SELECT id, purpose, contact, target, code, state, tries, expires_at \
                 FROM challenge WHERE id = ?1",
            )?
            .query_row([to_sql(number)], challenge_row)
            .optional()?
            .ok_or_else(|| Self::not_there("challenge", number))
    }

    fn write_challenge(&self, row: &ChallengeRow, after: Challenge) -> Stopped<()> {
        let ended = (!after.state.is_open()).then(|| to_sql(self.now().0));
        self.db
            .prepare_cached(
                "UPDATE challenge SET state = ?2, tries = ?3, ended_at = coalesce(ended_at, ?4) WHERE id = ?1",
            )?
            .execute(params![
                to_sql(row.id),
                after.state.name(),
                after.tries,
                ended
            ])?;
        Ok(())
    }

    /// The payment that a challenge is for, as the trail shows it.
    fn payment_of(&self, number: u64) -> Stopped<Option<Value>> {
        let found = self
            .db
            .prepare_cached(
                "SELECT stan, amount, currency FROM challenge WHERE id = ?1 AND stan IS NOT NULL",
            )?
            .query_row([to_sql(number)], |row| {
                let (stan, amount): (u32, i64) = (row.get(0)?, row.get(1)?);
                let currency: String = row.get(2)?;
                Ok(json!({ "stan": stan, "amount": amount, "currency": currency }))
            })
            .optional()?;
        Ok(found)
    }

    fn tell_challenge(
        &mut self,
        event: &'static str,
        number: u64,
        purpose: Purpose,
        contact: u64,
    ) -> Stopped<()> {
        let mut after = json!({ "purpose": purpose.name(), "contact": contact });
        if let Some(payment) = self.payment_of(number)? {
            after["payment"] = payment;
        }
        let subject = format!("challenge {number}");
        // Its states come in this order; a later one is a later version.
        let version = match event {
            "challenge.created" => 1,
            "challenge.sent" => 2,
            "challenge.delivered" => 3,
            _its_end => 4,
        };
        self.outside(event, subject.clone(), version, after.clone());
        self.tell(event, subject, Value::Null, after, Value::Null)
    }
}

/// Whether a code for this may go to this contact.
fn may_carry(contact: &ContactRow, purpose: Purpose) -> Result<(), Refusal> {
    if contact.kind == ContactKind::Email && !purpose.allows_email() {
        let what = "a phone";
        let remedy = "an e-mail address alone does not carry this";
        return Err(Refusal::Missing { what, remedy });
    }
    let is_payer = contact.role == ContactRole::Payer;
    let concerns = match purpose {
        // Anybody's number is verified the same way.
        Purpose::VerifyContact | Purpose::ChangePhoneOld | Purpose::ChangePhoneNew => true,
        Purpose::PayerConfirm => is_payer,
        Purpose::Bind
        | Purpose::ChangeAccount
        | Purpose::Unbind
        | Purpose::Replace
        | Purpose::ReleaseHold => !is_payer,
    };
    if !concerns {
        let what = "the contact";
        let problem =
            "has another role: payers confirm payments and nothing else, and nobody else does";
        return Err(Refusal::Value { what, problem });
    }
    let proven = contact.state == ContactState::Verified;
    let to_be_proven = matches!(contact.state, ContactState::Pending | ContactState::Suspect);
    let fits = match purpose {
        Purpose::VerifyContact | Purpose::ChangePhoneNew => to_be_proven,
        // A doubted number may be a stranger's: what a code on it would show is not what is asked.
        Purpose::Bind
        | Purpose::ChangePhoneOld
        | Purpose::ChangeAccount
        | Purpose::Unbind
        | Purpose::Replace
        | Purpose::ReleaseHold
        | Purpose::PayerConfirm => proven,
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::State {
        thing: "contact",
        state: contact.state.name(),
        verb: "sent a code for this",
        remedy: "choose one that is verified, or verify it first",
    })
}

/// A payment as its columns: trace number, amount, currency.
pub(super) fn columns(payment: Option<&Payment>) -> (Option<u32>, Option<i64>, Option<String>) {
    payment.map_or((None, None, None), |payment| {
        let Amount { minor, currency } = payment.amount;
        let stan = payment.stan.get();
        (Some(stan), Some(to_sql(minor)), Some(currency.to_string()))
    })
}

fn challenge_row(row: &Row<'_>) -> rusqlite::Result<ChallengeRow> {
    Ok(ChallengeRow {
        id: from_sql(row.get(0)?),
        purpose: Purpose::from_name(row.get_ref(1)?.as_str()?).unwrap_or(Purpose::VerifyContact),
        contact: from_sql(row.get(2)?),
        target: row.get(3)?,
        challenge: Challenge {
            code: CodeHash(row.get(4)?),
            // A state that this build does not know is over.
            state: ChallengeState::from_name(row.get_ref(5)?.as_str()?)
                .unwrap_or(ChallengeState::Cancelled),
            tries: row.get(6)?,
            expires_at: Timestamp(from_sql(row.get(7)?)),
        },
    })
}
