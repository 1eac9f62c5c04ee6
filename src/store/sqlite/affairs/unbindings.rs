//! Cases of unbinding.

use rusqlite::{OptionalExtension, params};

use super::evidence::CaseRow;
use super::{Held, Step, Stopped, to_sql};
use crate::base::Timestamp;
use crate::binding::challenge::Purpose;
use crate::binding::contact::ContactState;
use crate::binding::merchant::MerchantKind;
use crate::binding::unbinding::{Channel, Claim, Proof, UnbindReason, UnbindStage, Unbinding};
use crate::binding::{BindingEvent, BindingState, Refusal, TerminalKey};
use crate::store::command::{Allows, MerchantsWord, Notice, UnbindStep};

const KIND: &str = "unbinding";

/// Furthest day of an unbinding from now, in microseconds: ten years. What is further is a mistake.
const PLANNED_MAX: u64 = 3_653 * 86_400_000_000;

impl Step<'_> {
    pub(super) fn open_unbinding(
        &mut self,
        key: TerminalKey,
        channel: Channel,
        reason: UnbindReason,
        note: &str,
        effective_at: Timestamp,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        if effective_at.0 > self.now().0.saturating_add(PLANNED_MAX) {
            let (what, problem) = ("the day of the unbinding", "is more than ten years ahead");
            return Err(Refusal::Value { what, problem }.into());
        }
        // Whether it could be unbound at all is said now, not after the documents.
        held.life().apply(BindingEvent::Unbind)?;
        let merchant = self.merchant_kind(held.merchant)?;
        let maker = &self.actor.name;
        let case = Unbinding::open(
            self.now(),
            channel,
            reason,
            note,
            maker,
            merchant,
            effective_at,
        )?;
        let body = serde_json::to_value(&case).unwrap_or_default();
        self.open_case(KIND, &held, case.stage.name(), &body)?;
        let (number, version) = (self.done.number, self.done.version);
        let text = format!("unbinding of terminal {} was asked for", key.terminal);
        self.notify(held.merchant, "unbind.opened", &text)?;
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    pub(super) fn unbinding(&mut self, number: u64, step: &UnbindStep) -> Stopped<()> {
        let row = self.case(number, KIND)?;
        let mut case: Unbinding =
            serde_json::from_value(row.body.clone()).map_err(|_unreadable| Refusal::Value {
                what: "the case",
                problem: "was written by a newer posgate",
            })?;
        let held = self.binding_by_id(row.binding)?;
        let event = self.unbind_step(number, &held, &mut case, step)?;
        self.keep_unbinding(&row, &case, event)?;
        if let UnbindStep::Approve(_) = step
            && case.stage == UnbindStage::Documents
        {
            return Ok(());
        }
        let text = match case.stage {
            UnbindStage::Draining => "takes no new payments: it is being unbound",
            UnbindStage::Wiping => "is unbound",
            UnbindStage::Cancelled => "is not unbound: the case was cancelled",
            UnbindStage::Rejected => "is not unbound: the case was rejected",
            UnbindStage::Completed => "is unbound, and the network knows it",
            UnbindStage::Draft
            | UnbindStage::Identity
            | UnbindStage::Documents
            | UnbindStage::Review
            | UnbindStage::Scheduled
            | UnbindStage::Reporting
            | UnbindStage::Expired => return Ok(()),
        };
        let text = format!("terminal {} {text}", held.key.terminal);
        self.notify(held.merchant, event, &text)?;
        self.notify_former(held.merchant, case.opened_at, event, &text)
    }

    /// Tells those contacts too that were verified when a case began and were given up since.
    fn notify_former(
        &mut self,
        merchant: i64,
        opened_at: Timestamp,
        event: &'static str,
        text: &str,
    ) -> Stopped<()> {
        let mut former = self.db.prepare_cached(
            "SELECT id FROM contact c WHERE merchant = ?1 AND role <> 'payer' AND state <> 'verified' \
             AND (SELECT state FROM contact_change WHERE contact = c.id AND at <= ?2 \
             ORDER BY version DESC LIMIT 1) = 'verified'",
        )?;
        let rows = former.query_map(params![merchant, to_sql(opened_at.0)], |row| {
            row.get(0).map(super::from_sql)
        })?;
        for contact in rows {
            self.done.notices.push(Notice {
                contact: contact?,
                event,
                text: text.to_owned(),
            });
        }
        Ok(())
    }

    /// The step itself, with what it does to the binding; the event that tells of it.
    fn unbind_step(
        &mut self,
        number: u64,
        held: &Held,
        case: &mut Unbinding,
        step: &UnbindStep,
    ) -> Stopped<&'static str> {
        let by = self.actor.name.clone();
        Ok(match step {
            UnbindStep::Confirm(claim) => {
                let record = self.record_of(held, claim)?;
                case.confirm(claim, &record)?;
                "unbind.confirmed"
            }
            UnbindStep::Prove(word) => {
                let proof = self.proof_of(number, held, case, *word)?;
                case.prove(proof)?;
                "unbind.identity_proven"
            }
            UnbindStep::AddDocument(kind, sha256) => {
                case.add_document(*kind, sha256, &by)?;
                "unbind.doc_added"
            }
            UnbindStep::Review(kind, approved) => {
                case.review(*kind, *approved, &by)?;
                "unbind.doc_reviewed"
            }
            UnbindStep::Acknowledge(hash, impact) => {
                case.acknowledge(hash, (**impact).clone())?;
                "unbind.impact_acked"
            }
            UnbindStep::Exported(export) => {
                case.exported(export.clone())?;
                "unbind.exported"
            }
            UnbindStep::Submit => {
                case.submit()?;
                "unbind.submitted"
            }
            UnbindStep::Approve(impact) => match case.approve(impact, &by) {
                Ok(()) => "unbind.approved",
                // The case went back to the merchant, and that is kept.
                Err(Refusal::Changed { .. }) => {
                    self.done.returned = true;
                    "unbind.returned"
                }
                Err(refusal) => return Err(refusal.into()),
            },
            UnbindStep::Reject => {
                case.reject(&by)?;
                "unbind.rejected"
            }
            UnbindStep::Start => {
                case.start(self.now())?;
                let checker = case.checker.clone().unwrap_or_default();
                let note = format!("case {number}: {}", case.note);
                self.event(held, BindingEvent::Unbind, &note, &checker)?;
                "unbind.draining"
            }
            UnbindStep::Drained(left, export) => {
                case.drained(left, export)?;
                let note = format!("case {number}: drained");
                self.close_binding(held, &note, "")?;
                "unbind.drained"
            }
            UnbindStep::Force(left, export, evidence) => {
                let about = format!("case {number}");
                let (first, why) =
                    self.use_evidence(Some(*evidence), &about, Allows::ForceDrain)?;
                case.force(*left, export, (&first, &by), &why)?;
                let note = format!("case {number}: forced: {why}");
                self.close_binding(held, &note, &first)?;
                "unbind.forced"
            }
            UnbindStep::KeysDestroyed(said) => {
                let recorded = self.keys_on_record(held)?;
                case.keys_destroyed(self.now(), &recorded, said, &by)?;
                self.keys_ended(held, number, &case.end)?;
                "unbind.keys_destroyed"
            }
            UnbindStep::Wiped(result) => {
                let recorded = self.keys_on_record(held)?;
                case.wiped(*result, &recorded)?;
                self.wiped(held, number, *result)?;
                "unbind.wiped"
            }
            UnbindStep::Reported(reference) => {
                case.reported(reference)?;
                "unbind.completed"
            }
            UnbindStep::Cancel(note) => {
                super::said("why", note)?;
                if case.cancel()? && held.admission.state == BindingState::Unbinding {
                    let note = format!("case {number}: {note}");
                    self.event(held, BindingEvent::CancelUnbind, &note, "")?;
                }
                "unbind.cancelled"
            }
        })
    }

    /// Who proved that it is the merchant who asks.
    fn proof_of(
        &self,
        number: u64,
        held: &Held,
        case: &Unbinding,
        word: MerchantsWord,
    ) -> Stopped<Proof> {
        match word {
            MerchantsWord::Challenge(challenge) => {
                case.takes_codes()?;
                let (merchant, now) = (held.merchant, self.now());
                let contact =
                    self.approved_challenge(challenge, Purpose::Unbind, number, |contact| {
                        contact.merchant == merchant && contact.speaks_for_merchant(now)
                    })?;
                self.was_verified(contact, case.opened_at)?;
                Ok(Proof::Challenge(challenge))
            }
            MerchantsWord::Evidence(evidence) => {
                case.takes_staff()?;
                self.seen_by_two(evidence, &format!("case {number}"), Allows::ProveIdentity)
            }
        }
    }

    /// That a contact was verified already when a case began.
    fn was_verified(&self, contact: u64, opened_at: Timestamp) -> Stopped<()> {
        let state: Option<String> = self
            .db
            .prepare_cached(
                "SELECT state FROM contact_change WHERE contact = ?1 AND at <= ?2 ORDER BY version DESC LIMIT 1",
            )?
            .query_row([to_sql(contact), to_sql(opened_at.0)], |row| row.get(0))
            .optional()?;
        if state.as_deref() == Some(ContactState::Verified.name()) {
            return Ok(());
        }
        Err(Refusal::Missing {
            what: "a contact that was verified before the case was opened",
            remedy: "send the code to one that was, or prove it at the counter",
        }
        .into())
    }

    fn keep_unbinding(
        &mut self,
        row: &CaseRow,
        case: &Unbinding,
        event: &'static str,
    ) -> Stopped<()> {
        let body = serde_json::to_value(case).unwrap_or_default();
        self.write_case(row, case.stage.name(), case.stage.is_over(), &body, event)
    }

    /// A case that nobody finished in time.
    pub(super) fn expire_unbinding(&mut self, number: u64) -> Stopped<()> {
        let row = self.case(number, KIND)?;
        let Ok(mut case) = serde_json::from_value::<Unbinding>(row.body.clone()) else {
            return Ok(());
        };
        if case.expire(self.now()).is_ok() {
            self.keep_unbinding(&row, &case, "unbind.expired")?;
        }
        Ok(())
    }

    /// What is on record, to be compared with what the applicant says. A merchant has several phones, and a binding
    /// may have several accounts: the one whose tail was said counts.
    fn record_of(&self, held: &Held, said: &Claim) -> Stopped<Claim> {
        let said_tail = &said.phone_tail;
        let known: bool = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM contact WHERE merchant = ?1 AND kind = 'phone' \
                 AND state = 'verified' AND substr(masked, -4) = ?2)",
            )?
            .query_row(params![held.merchant, said_tail], |row| row.get(0))?;
        let serial = match held.device {
            Some(device) => self.device_by_id(device)?.serial,
            None => String::new(),
        };
        let mut tails = Vec::new();
        for (_, account) in held.admission.accounts.iter() {
            let reference: String = self.db.query_row(
                "SELECT reference FROM account WHERE id = ?1",
                [account.0],
                |row| row.get(0),
            )?;
            let tail = reference.chars().count().saturating_sub(4);
            tails.push(reference.chars().skip(tail).collect::<String>());
        }
        let account_tail = if tails.contains(&said.account_tail) {
            said.account_tail.clone()
        } else {
            tails.into_iter().next().unwrap_or_default()
        };
        Ok(Claim {
            phone_tail: if known {
                said_tail.clone()
            } else {
                "none".into()
            },
            serial,
            merchant: held.admission.merchant.to_string(),
            account_tail,
        })
    }

    fn merchant_kind(&self, merchant: i64) -> Stopped<MerchantKind> {
        let kind: Option<String> = self
            .db
            .query_row(
                "SELECT kind FROM merchant WHERE id = ?1",
                [merchant],
                |row| row.get(0),
            )
            .optional()?;
        Ok(kind
            .and_then(|kind| MerchantKind::from_name(&kind))
            .unwrap_or(MerchantKind::Unknown))
    }

    /// Numbers of cases of unbinding that were approved and whose day has come.
    pub(super) fn due_unbindings(&self) -> Stopped<Vec<u64>> {
        let mut all = self.db.prepare_cached(
            "SELECT id FROM case_file WHERE is_over = 0 AND kind = ?1 AND stage = ?2 \
             AND json_extract(body, '$.effective_at') <= ?3",
        )?;
        let of = params![KIND, UnbindStage::Scheduled.name(), to_sql(self.now().0)];
        let rows = all.query_map(of, |row| row.get(0).map(super::from_sql))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Numbers of cases of this kind that were opened before.
    pub(super) fn cases_before(&self, kind: &str, at: u64) -> Stopped<Vec<u64>> {
        let mut all = self.db.prepare_cached(
            "SELECT id FROM case_file WHERE is_over = 0 AND kind = ?1 AND opened_at <= ?2",
        )?;
        let rows = all.query_map(params![kind, to_sql(at)], |row| {
            row.get(0).map(super::from_sql)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
