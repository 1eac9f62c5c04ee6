//! Commands over bindings and what hangs on them, in `registry.db`.
//!
//! A [`Step`] is one command under way, inside its transaction: it reads what the command is about, asks the
//! state machines, writes the new version with its history, and collects what the audit trail, the contacts
//! and the gate have to learn.

mod accounts;
mod bindings;
mod challenges;
mod contacts;
mod devices;
mod disputes;
mod evidence;
mod holds;
mod limits;
mod payouts;
mod refunds;
mod replacements;
pub(super) mod schema;
#[cfg(test)]
mod tests;
mod time;
mod unbindings;
mod views;
mod watch;
mod wipe;

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::registry::{accounts_of_b, admission_of, keep_opening, write_accounts};
use super::{SqliteRegistry, audit, from_sql, to_sql};
use crate::base::note::words;
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, Timestamp};
use crate::binding::challenge::{Payment, Purpose};
use crate::binding::counters::LimitSet;
use crate::binding::device::DeviceState;
use crate::binding::drain::Impact;
use crate::binding::payout::PayoutHistory;
use crate::binding::watch::BindingRules;
use crate::binding::{Admission, Life, Refusal, TerminalKey};
use crate::store::audit::Entry;
use crate::store::command::{
    AcquirerView, Affairs, AlertView, CaseView, ChallengeView, Command, ContactView, DeviceName,
    DeviceView, DisputeView, Done, EvidenceView, HoldView, LimitRow, Limited, MerchantView, Notice,
    Part, RefundView, Told, admission_shown,
};
use crate::store::registry::{Actor, DirectoryChanges, RegistryError};
use crate::store::{BindingRow, StoreError};
use views::ROWS_MAX;

impl Affairs for SqliteRegistry {
    fn carry_out(
        &mut self,
        command: &Command,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<Done, RegistryError> {
        let fail = StoreError::engine;
        let rules = self.rules();
        let savepoint = self
            .db_mut()
            .savepoint()
            .map_err(fail("beginning a command"))?;
        let mut step = Step {
            db: &savepoint,
            actor,
            expected,
            rules,
            done: Done::default(),
        };
        // A wrong code is counted although it opens nothing; only a refusal takes everything back.
        let run = step.run(command);
        let done = step.done;
        run.map_err(RegistryError::from)?;
        savepoint.commit().map_err(fail("ending a command"))?;
        Ok(done)
    }

    fn next_challenge(&mut self) -> Result<u64, StoreError> {
        self.db()
            .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM challenge")
            .and_then(|mut one| one.query_row([], |row| row.get(0).map(from_sql)))
            .map_err(StoreError::engine("numbering a challenge"))
    }

    fn challenge_at(
        &mut self,
        key: TerminalKey,
        purpose: Purpose,
        payment: Option<&Payment>,
    ) -> Result<Option<ChallengeView>, StoreError> {
        self.read_challenge_at(key, purpose, payment)
            .map_err(StoreError::engine("reading a challenge"))
    }

    fn confirmation(
        &mut self,
        binding: BindingId,
        payment: &Payment,
        at: Timestamp,
    ) -> Result<Option<ChallengeView>, StoreError> {
        self.read_confirmation(binding, payment, at)
            .map_err(StoreError::engine("reading a payer's confirmation"))
    }

    fn idle_candidates(
        &mut self,
        range: (BindingId, BindingId),
        before: Timestamp,
    ) -> Result<(Vec<(TerminalKey, BindingId, u32)>, bool), StoreError> {
        self.read_idle_candidates(range, before)
            .map_err(StoreError::engine("reading who may be idle"))
    }

    fn successors(&mut self) -> Result<Vec<(TerminalKey, BindingId)>, StoreError> {
        self.read_successors()
            .map_err(StoreError::engine("reading who took over"))
    }

    fn payee(&mut self, account: AccountId) -> Result<Option<String>, StoreError> {
        self.read_payee(account)
            .map_err(StoreError::engine("reading who is paid"))
    }

    fn payout_history(&mut self, binding: BindingId) -> Result<PayoutHistory, StoreError> {
        payouts::history(self.db(), binding).map_err(StoreError::engine("reading who may be paid"))
    }

    fn payouts_stopped(&mut self) -> Result<Vec<BindingId>, StoreError> {
        payouts::stopped(self.db()).map_err(StoreError::engine("reading whose payout was stopped"))
    }

    fn payouts_changed(&mut self, times: Range<Timestamp>) -> Result<Vec<BindingId>, StoreError> {
        payouts::changed(self.db(), &times)
            .map_err(StoreError::engine("reading whose payout may go on"))
    }

    fn account_reference(&mut self, account: AccountId) -> Result<Option<String>, StoreError> {
        self.read_account_reference(account)
            .map_err(StoreError::engine("reading an account"))
    }

    fn limit_count(&mut self) -> Result<usize, StoreError> {
        self.db()
            .query_row("SELECT count(*) FROM sales_limit", [], |row| {
                row.get(0).map(|count: u32| count as usize)
            })
            .map_err(StoreError::engine("counting the limits"))
    }

    fn each_limit(&mut self, each: &mut dyn FnMut(LimitSet)) -> Result<(), StoreError> {
        super::limits::load(self.db(), each).map_err(StoreError::engine("reading the limits"))
    }

    fn limit_row(&mut self, of: &Limited) -> Result<Option<LimitRow>, StoreError> {
        self.read_limit(of)
            .map_err(StoreError::engine("reading a limit"))
    }

    fn acquirer_view(&mut self, acquirer: AcquirerId) -> Result<Option<AcquirerView>, StoreError> {
        self.read_acquirer(acquirer)
            .map_err(StoreError::engine("reading an acquirer"))
    }

    fn merchant_view(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
    ) -> Result<Option<MerchantView>, StoreError> {
        self.read_merchant(acquirer, merchant)
            .map_err(StoreError::engine("reading a merchant"))
    }

    fn merchant_terminals(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
    ) -> Result<(Vec<BindingRow>, bool), StoreError> {
        self.read_merchant_terminals(acquirer, merchant, ROWS_MAX)
            .map_err(StoreError::engine("reading a merchant's terminals"))
    }

    fn device_view(&mut self, name: &DeviceName) -> Result<Option<DeviceView>, StoreError> {
        self.read_device(name)
            .map_err(StoreError::engine("reading a device"))
    }

    fn device_views(
        &mut self,
        acquirer: AcquirerId,
        state: Option<DeviceState>,
        part: Part,
    ) -> Result<Vec<(u64, DeviceView)>, StoreError> {
        self.read_devices(acquirer, state, part)
            .map_err(StoreError::engine("reading devices"))
    }

    fn contact_view(&mut self, contact: u64) -> Result<Option<ContactView>, StoreError> {
        self.read_contact(contact)
            .map_err(StoreError::engine("reading a contact"))
    }

    fn contact_views(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        part: Part,
    ) -> Result<Vec<ContactView>, StoreError> {
        self.read_contacts(acquirer, merchant, part)
            .map_err(StoreError::engine("reading contacts"))
    }

    fn hold_views(&mut self, key: TerminalKey, part: Part) -> Result<Vec<HoldView>, StoreError> {
        self.read_holds(key, part)
            .map_err(StoreError::engine("reading holds"))
    }

    fn challenge_view(&mut self, challenge: u64) -> Result<Option<ChallengeView>, StoreError> {
        self.read_challenge(challenge)
            .map_err(StoreError::engine("reading a challenge"))
    }

    fn case_view(&mut self, case: u64) -> Result<Option<CaseView>, StoreError> {
        self.read_case(case)
            .map_err(StoreError::engine("reading a case"))
    }

    fn case_views(&mut self, open_only: bool, part: Part) -> Result<Vec<CaseView>, StoreError> {
        self.read_cases(open_only, part)
            .map_err(StoreError::engine("reading cases"))
    }

    fn evidence_views(
        &mut self,
        now: Timestamp,
        part: Part,
    ) -> Result<Vec<EvidenceView>, StoreError> {
        self.read_evidence(now, part)
            .map_err(StoreError::engine("reading evidence"))
    }

    fn dispute_views(
        &mut self,
        open_only: bool,
        part: Part,
    ) -> Result<Vec<DisputeView>, StoreError> {
        self.read_disputes(open_only, part)
            .map_err(StoreError::engine("reading disputes"))
    }

    fn disputes_of(&mut self, transaction: u64) -> Result<Vec<DisputeView>, StoreError> {
        self.read_disputes_of(transaction)
            .map_err(StoreError::engine("reading the disputes of a transaction"))
    }

    fn refund_view(&mut self, refund: u64) -> Result<Option<RefundView>, StoreError> {
        self.read_refund(refund)
            .map_err(StoreError::engine("reading a refund"))
    }

    fn refund_views(&mut self, part: Part) -> Result<Vec<RefundView>, StoreError> {
        self.read_refunds(part)
            .map_err(StoreError::engine("reading refunds"))
    }

    fn refunds_asked(&mut self, binding: BindingId, now: Timestamp) -> Result<u64, StoreError> {
        self.count_refunds_asked(binding, now)
            .map_err(StoreError::engine("counting the refunds of a terminal"))
    }

    fn alert_views(&mut self, part: Part) -> Result<Vec<AlertView>, StoreError> {
        self.read_alerts(part)
            .map_err(StoreError::engine("reading alerts"))
    }

    fn impact(&mut self, binding: BindingId) -> Result<Impact, StoreError> {
        self.read_impact(binding)
            .map_err(StoreError::engine("reading what a terminal hangs on"))
    }
}

/// Why a command stops: it is refused, or the engine failed.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(RegistryError),
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(problem: rusqlite::Error) -> Self {
        Self::Engine(problem)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<RegistryError> for Stop {
    fn from(refused: RegistryError) -> Self {
        Self::Refused(refused)
    }
}

impl From<Stop> for RegistryError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refused) => refused,
            Stop::Engine(problem) => StoreError::engine("carrying out a command")(problem).into(),
        }
    }
}

type Stopped<T> = Result<T, Stop>;

/// The device of a binding that was closed by hand or by an import leaves as at the end of a case.
pub(super) fn let_device_go(
    db: &Connection,
    binding: BindingId,
    actor: &Actor,
    rules: BindingRules,
) -> rusqlite::Result<()> {
    let mut step = Step {
        db,
        actor,
        expected: None,
        rules,
        done: Done::default(),
    };
    let gone = step.binding_by_id(binding.0).and_then(|held| {
        let note = "its terminal was unbound by hand";
        step.device_leaves(&held, note)
    });
    match gone {
        Ok(()) | Err(Stop::Refused(_)) => Ok(()),
        Err(Stop::Engine(problem)) => Err(problem),
    }
}

/// An import says where a device stands of which nobody said it.
pub(super) fn place(
    db: &Connection,
    key: TerminalKey,
    address: &str,
    actor: &Actor,
    rules: BindingRules,
) -> rusqlite::Result<Result<DirectoryChanges, RegistryError>> {
    let mut step = Step {
        db,
        actor,
        expected: None,
        rules,
        done: Done::default(),
    };
    match step.place(key, address, "imported") {
        Ok(()) => Ok(Ok(step.done.changes)),
        Err(Stop::Refused(refused)) => Ok(Err(refused)),
        Err(Stop::Engine(problem)) => Err(problem),
    }
}

/// A command under way.
pub(super) struct Step<'c> {
    db: &'c Connection,
    actor: &'c Actor,
    /// Version that the caller saw of what the command is about.
    expected: Option<u32>,
    rules: BindingRules,
    done: Done,
}

/// A binding as a command finds it.
#[derive(Clone, Debug)]
struct Held {
    key: TerminalKey,
    admission: Admission,
    /// Row of its terminal.
    terminal: i64,
    /// Row of its merchant.
    merchant: i64,
    /// Row of its device.
    device: Option<i64>,
    opened_by: String,
    /// As [`Life`] has it.
    suspended: bool,
}

/// What a change of a binding is recorded with.
#[derive(Clone, Copy, Debug, Default)]
struct Because<'a> {
    event: &'static str,
    note: &'a str,
    checker: &'a str,
}

impl Step<'_> {
    fn run(&mut self, command: &Command) -> Stopped<()> {
        match command {
            Command::SetAcquirer { acquirer, details } => self.set_acquirer(*acquirer, details),
            Command::SetMerchant {
                acquirer,
                merchant,
                name,
                mcc,
                kind,
                identity,
            } => self.set_merchant(*acquirer, *merchant, name, mcc, *kind, identity.as_ref()),
            Command::AddDevice {
                device,
                model,
                custody,
            } => self.add_device(device, model, custody),
            Command::Device {
                device,
                event,
                custody,
                note,
            } => self.device_event(device, *event, custody, note),
            Command::LoadKeys {
                device,
                check_values,
            } => self.load_keys(device, check_values),
            Command::FileEvidence {
                about,
                allows,
                note,
                sha256,
            } => self.file_evidence(about, *allows, note, sha256),
            Command::RefuseEvidence { evidence, note } => self.refuse_evidence(*evidence, note),
            Command::AddContact {
                acquirer,
                merchant,
                kind,
                role,
                value,
                replaces,
            } => self.add_contact(*acquirer, *merchant, *kind, *role, value, *replaces),
            Command::ConsentToChange {
                contact,
                word,
                effective_at,
            } => self.consent(*contact, *word, *effective_at),
            Command::Contact {
                contact,
                event,
                note,
                evidence,
                last_too,
            } => self.contact_event(*contact, *event, note, *evidence, *last_too),
            Command::AddAccount {
                account,
                merchant,
                kind,
            } => self.add_account(account, *merchant, *kind),
            Command::Account {
                account,
                event,
                note,
                evidence,
            } => self.account_event(account, *event, note, *evidence),
            Command::ReleaseSuspense {
                account,
                to,
                evidence,
            } => self.release_suspense(account, to, *evidence),
            Command::OpenDispute {
                binding,
                transaction,
                reference,
                note,
            } => self.open_dispute((*binding, *transaction), reference, note),
            Command::CloseDispute { dispute, end, note } => {
                self.close_dispute(*dispute, *end, note)
            }
            Command::AskRefund { asked, note } => self.ask_refund(asked, note),
            Command::ApproveRefund { refund, note } => self.approve_refund(*refund, note),
            Command::RefuseRefund { refund, note } => self.refuse_refund(*refund, note),
            Command::RequestBinding {
                key,
                merchant,
                accounts,
                serial,
                evidence,
            } => self.request_binding(*key, *merchant, accounts, serial, *evidence),
            Command::ApproveBinding { key, network } => self.approve_binding(*key, network),
            Command::RejectBinding { key, note } => self.reject_binding(*key, note),
            Command::ActivateBinding {
                key,
                serial,
                challenge,
                code,
                shown,
                evidence,
            } => self.activate_binding(*key, serial, (*challenge, code), shown, *evidence),
            Command::Repend { key, reasons, note } => self.repend(*key, *reasons, note),
            Command::ClearReason {
                key,
                reason,
                evidence,
            } => self.clear_reason(*key, *reason, *evidence),
            Command::SetSpare { key, spare, note } => self.set_spare(*key, *spare, note),
            Command::Place { key, address, note } => self.place(*key, address, note),
            Command::Dormant {
                key,
                binding,
                version,
                months,
            } => self.dormant(*key, (*binding, *version), *months),
            Command::Suspend { key, note } => self.suspend(*key, note),
            Command::Resume { key, evidence } => self.resume(*key, *evidence),
            Command::RequestAccountChange { key, account, note } => {
                self.request_account_change(*key, account, note)
            }
            Command::RequestAccountEnd { key, account, note } => {
                self.request_account_end(*key, account, note)
            }
            Command::ConfirmAccountChange { key, word } => self.confirm_account_change(*key, *word),
            Command::ApproveAccountChange { key, network } => {
                self.approve_account_change(*key, network)
            }
            Command::CancelAccountChange { key, note } => self.cancel_account_change(*key, note),
            Command::SetLimits {
                of,
                limits,
                note,
                evidence,
            } => self.set_limits(of, limits, note, *evidence),
            Command::PlaceHold {
                key,
                scope,
                explained,
            } => self.place_hold(*key, *scope, explained),
            Command::AppealHold {
                hold,
                note,
                challenge,
            } => self.appeal_hold(*hold, note, *challenge),
            Command::LiftHold { hold, note } => self.lift_hold(*hold, note),
            Command::Challenge {
                contact,
                purpose,
                subject,
                payment,
                code,
                number,
                asked_from,
            } => {
                let about = (*purpose, *subject, payment.as_ref());
                self.challenge(*contact, about, code, *number, asked_from)
            }
            Command::CheckCode {
                challenge,
                purpose,
                code,
            } => self.check_code(*challenge, *purpose, code),
            Command::CancelChallenge { challenge } => self.cancel_challenge(*challenge),
            Command::Delivered { challenge, what } => self.delivered(*challenge, *what),
            Command::OpenUnbinding {
                key,
                channel,
                reason,
                note,
                effective_at,
            } => self.open_unbinding(*key, *channel, *reason, note, *effective_at),
            Command::Unbinding { case, step } => self.unbinding(*case, step),
            Command::OpenReplacement {
                key,
                new_key,
                serial,
                note,
            } => self.open_replacement(*key, *new_key, serial, note),
            Command::Replacement { case, step } => self.replacement(*case, step),
            Command::HeardOf { key, times, serial } => {
                self.heard_of(*key, *times, serial.as_deref())
            }
            Command::OtherDevice {
                key,
                times,
                serial,
                authentic,
            } => self.other_device(*key, serial, *times, *authentic),
            Command::Tick => self.tick(),
        }
    }

    const fn now(&self) -> Timestamp {
        self.actor.at
    }

    /// Does something by itself among other things: when it is refused, it alone is taken back, and the others go on.
    fn apart(&mut self, work: impl FnOnce(&mut Self) -> Stopped<()>) -> Stopped<()> {
        self.db.execute_batch("SAVEPOINT apart")?;
        let before = std::mem::take(&mut self.done);
        let worked = work(self);
        let made = std::mem::replace(&mut self.done, before);
        match worked {
            Ok(()) => {
                self.db.execute_batch("RELEASE apart")?;
                self.done.add(made);
                Ok(())
            }
            Err(Stop::Refused(problem)) => {
                self.db.execute_batch("ROLLBACK TO apart; RELEASE apart")?;
                tracing::warn!(%problem, "something is due and is refused; a person has to look at it");
                Ok(())
            }
            Err(broken) => Err(broken),
        }
    }

    /// Writes an audit event.
    fn tell(
        &self,
        event: &'static str,
        subject: String,
        before: Value,
        after: Value,
        details: Value,
    ) -> Stopped<()> {
        let entry = Entry::new(event, subject)
            .change(before, after)
            .with(details);
        audit::append(self.db, self.actor, &entry)?;
        Ok(())
    }

    /// Tells programs of it.
    fn outside(&mut self, event: &'static str, object: String, version: u32, data: Value) {
        let at = self.now();
        self.done.told.push(Told {
            event,
            object,
            version,
            at,
            data,
        });
    }

    fn stale(&self, what: &'static str, found: u32) -> Stopped<()> {
        match self.expected {
            Some(expected) if expected != found => Err(RegistryError::Stale {
                what,
                found,
                expected,
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn acquirer_name(&self, acquirer: AcquirerId) -> Stopped<String> {
        let name = self
            .db
            .prepare_cached("SELECT name FROM acquirer WHERE id = ?1")?
            .query_row([acquirer.0], |row| row.get(0))
            .optional()?;
        Ok(name.unwrap_or_else(|| acquirer.0.to_string()))
    }

    fn unknown(&self, what: &'static str, name: &str, acquirer: AcquirerId) -> Stop {
        match self.acquirer_name(acquirer) {
            Ok(acquirer) => RegistryError::Unknown {
                what,
                name: name.to_owned(),
                acquirer,
            }
            .into(),
            Err(stop) => stop,
        }
    }

    /// A thing that belongs to no acquirer by itself.
    fn not_there(what: &'static str, number: u64) -> Stop {
        RegistryError::NotThere {
            what,
            name: number.to_string(),
        }
        .into()
    }

    /// The terminal's open binding.
    fn open_binding(&self, key: TerminalKey) -> Stopped<Held> {
        let found = self
            .db
            .prepare_cached(&format!(
                "{HELD} WHERE t.acquirer = ?1 AND t.terminal_id = ?2 ORDER BY b.id DESC LIMIT 1"
            ))?
            .query_row(params![key.acquirer.0, key.terminal.as_str()], held)
            .optional()?;
        let found =
            found.ok_or_else(|| self.unknown("terminal", key.terminal.as_str(), key.acquirer))?;
        if !found.admission.state.is_open() {
            let terminal = key.terminal.to_string();
            return Err(RegistryError::Closed { terminal }.into());
        }
        Ok(found)
    }

    /// The same, in the version that the caller saw.
    fn open_binding_as_seen(&self, key: TerminalKey) -> Stopped<Held> {
        let found = self.open_binding(key)?;
        self.stale("the binding", found.admission.version)?;
        Ok(found)
    }

    fn binding_by_id(&self, binding: u64) -> Stopped<Held> {
        self.db
            .prepare_cached(&format!("{HELD} WHERE b.id = ?1"))?
            .query_row([to_sql(binding)], held)
            .optional()?
            .ok_or_else(|| Self::not_there("binding", binding))
    }

    /// Open bindings of a merchant.
    fn bindings_of(&self, merchant: i64) -> Stopped<Vec<Held>> {
        let mut all = self.db.prepare_cached(&format!(
            "{HELD} WHERE b.merchant = ?1 AND b.closed_at IS NULL ORDER BY b.id"
        ))?;
        let rows = all.query_map([merchant], held)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes the next version of a binding with its history and its audit event.
    fn write_binding(&mut self, before: &Held, after: &Held, because: Because<'_>) -> Stopped<u32> {
        let version = before.admission.version + 1;
        let admission = Admission {
            version,
            ..after.admission
        };
        let (id, at) = (to_sql(admission.binding.0), to_sql(self.now().0));
        let closed_at = (!admission.state.is_open()).then_some(at);
        keep_opening(self.db, id)?;
        write_accounts(self.db, id, admission.accounts)?;
        let others: Vec<_> = admission
            .accounts
            .iter()
            .skip(1)
            .map(|(kind, account)| format!("{kind}:{}", account.0))
            .collect();
        self.db
            .prepare_cached(
                "UPDATE binding SET state = ?2, reasons = ?3, version = ?4, closed_at = ?5, account = ?6, \
                 device = ?7, holds = ?8, suspended = ?10, pended_at = CASE WHEN ?2 <> 're-pending' THEN NULL \
                 ELSE coalesce(pended_at, ?9) END WHERE id = ?1",
            )?
            .execute(params![
                id,
                admission.state.name(),
                admission.reasons.bits(),
                version,
                closed_at,
                admission.accounts.first().0,
                after.device,
                admission.holds.bits(),
                at,
                after.suspended
            ])?;
        self.db
            .prepare_cached(
                "INSERT INTO binding_change(binding, version, at, actor, state, reasons, event, account, \
                 device, holds, note, checker, others) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            )?
            .execute(params![
                id,
                version,
                at,
                self.actor.name,
                admission.state.name(),
                admission.reasons.bits(),
                because.event,
                admission.accounts.first().0,
                after.device,
                admission.holds.bits(),
                because.note,
                because.checker,
                others.join(" ")
            ])?;
        let acquirer = self.acquirer_name(after.key.acquirer)?;
        let mut data = admission_shown(admission);
        data["terminal"] = format!("{acquirer}/{}", after.key.terminal).into();
        self.outside(
            because.event,
            format!("binding {}", admission.binding.0),
            version,
            data,
        );
        let mut details = json!({});
        for (name, text) in [("note", because.note), ("checker", because.checker)] {
            if !text.is_empty() {
                details[name] = text.into();
            }
        }
        self.tell(
            because.event,
            format!("terminal {acquirer}/{}", after.key.terminal),
            admission_shown(before.admission),
            admission_shown(admission),
            if details == json!({}) {
                Value::Null
            } else {
                details
            },
        )?;
        self.done.number = admission.binding.0;
        self.done.version = version;
        self.done.changes.bindings.push((after.key, admission));
        Ok(version)
    }

    /// Gives a binding's state a new life.
    fn live(&mut self, held: &Held, life: Life, because: Because<'_>) -> Stopped<Held> {
        let mut after = held.clone();
        after.admission.state = life.state;
        after.admission.reasons = life.reasons;
        after.suspended = life.suspended;
        after.admission.version = self.write_binding(held, &after, because)?;
        Ok(after)
    }

    /// Tells the merchant's contacts that are verified now.
    fn notify(&mut self, merchant: i64, event: &'static str, text: &str) -> Stopped<()> {
        let mut all = self.db.prepare_cached(
            "SELECT id FROM contact WHERE merchant = ?1 AND state = 'verified' AND role <> 'payer'",
        )?;
        let rows = all.query_map([merchant], |row| row.get(0).map(from_sql))?;
        for contact in rows {
            let contact = contact?;
            self.done.notices.push(Notice {
                contact,
                event,
                text: text.to_owned(),
            });
        }
        Ok(())
    }
}

const HELD: &str = concat!(
    "SELECT t.acquirer, t.terminal_id, b.id, b.version, ",
    accounts_of_b!(),
    ", m.merchant_id, b.state, \
    b.reasons, b.holds, b.terminal, b.merchant, b.device, b.opened_by, coalesce(d.serial, t.serial), \
    b.suspended OR b.state = 'suspended' \
    FROM binding b JOIN terminal t ON t.id = b.terminal JOIN merchant m ON m.id = b.merchant \
    LEFT JOIN device d ON d.id = b.device"
);

fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    let (key, admission) = admission_of(row, 13)?;
    Ok(Held {
        key,
        admission,
        terminal: row.get(9)?,
        merchant: row.get(10)?,
        device: row.get(11)?,
        opened_by: row.get(12)?,
        suspended: row.get(14)?,
    })
}

impl Held {
    const fn life(&self) -> Life {
        Life {
            state: self.admission.state,
            reasons: self.admission.reasons,
            suspended: self.suspended,
        }
    }
}

/// What a person has to say: it goes into the audit trail, to the merchant and into events, for good.
fn said(what: &'static str, text: &str) -> Stopped<()> {
    words(what, text).map_err(Refusal::from)?;
    Ok(())
}
