//! A binding from its request to its end.

use rusqlite::{OptionalExtension, params};

use super::{Because, Held, Step, Stopped, from_sql, said, to_sql, write_accounts};
use crate::base::{BindingId, MerchantId, Timestamp};
use crate::binding::challenge::{CodeHash, Purpose, Verdict};
use crate::binding::device::{DeviceEvent, DeviceState};
use crate::binding::refusal::two_persons;
use crate::binding::tested::TestsShown;
use crate::binding::watch::WATCH;
use crate::binding::{
    Accounts, Admission, BindingEvent, BindingState, HoldSet, Life, ReasonSet, Refusal,
    RependReason, SerialPrint, TerminalKey,
};
use crate::store::command::{Allows, DeviceName, admission_shown};

impl Step<'_> {
    pub(super) fn request_binding(
        &mut self,
        key: TerminalKey,
        merchant: MerchantId,
        accounts: &[String],
        serial: &str,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        let merchant_row = self.merchant(key.acquirer, merchant)?;
        let mut all: Option<Accounts> = None;
        for reference in accounts {
            let account = self.own_account(key.acquirer, reference, merchant_row)?;
            if all.is_some_and(|all| all.of(account.kind).is_some()) {
                let what = "the accounts";
                let problem = "have two of one kind; a binding has one account of a kind";
                return Err(Refusal::Value { what, problem }.into());
            }
            all = Some(match all {
                None => Accounts::one(account.kind, account.id),
                Some(all) => all.with(account.kind, account.id),
            });
        }
        let Some(accounts) = all else {
            let what = "a settlement account";
            let remedy = "name one";
            return Err(Refusal::Missing { what, remedy }.into());
        };
        let terminal = self.free_terminal(key, serial, evidence)?;
        let whose = (merchant_row, merchant);
        let held = self.new_binding(key, terminal, whose, accounts, serial, None)?;
        self.done.number = held.admission.binding.0;
        self.done.version = held.admission.version;
        Ok(())
    }

    /// A binding in PENDING with a device that is reserved for it.
    pub(super) fn new_binding(
        &mut self,
        key: TerminalKey,
        terminal: i64,
        (merchant, merchant_id): (i64, MerchantId),
        accounts: Accounts,
        serial: &str,
        predecessor: Option<BindingId>,
    ) -> Stopped<Held> {
        let name = DeviceName {
            acquirer: key.acquirer,
            serial: serial.to_owned(),
        };
        let device = self.device(&name)?;
        let device_id = device.id;
        if device.state != DeviceState::Stocked
            && let Some(holder) = self.terminal_of(device.id)?
        {
            return Err(Refusal::Taken {
                what: "the device",
                holder: format!("terminal {holder}").into(),
                remedy: "a device serves one terminal",
            }
            .into());
        }
        self.move_device(key.acquirer, device, DeviceEvent::Reserve, "", "")?;
        let id = self
            .db
            .prepare_cached(
                // What takes over stands where the other one stood.
                "INSERT INTO binding(terminal, merchant, account, version, state, reasons, opened_at, device, \
                 opened_by, predecessor, placement) VALUES (?1,?2,?3,1,'pending',0,?4,?5,?6,?7, \
                 coalesce((SELECT placement FROM binding WHERE id = ?7), ''))",
            )?
            .insert(params![
                terminal,
                merchant,
                accounts.first().0,
                to_sql(self.now().0),
                device_id,
                self.actor.name,
                predecessor.map(|binding| to_sql(binding.0))
            ])?;
        write_accounts(self.db, id, accounts)?;
        let admission = Admission {
            binding: BindingId(from_sql(id)),
            version: 1,
            accounts,
            merchant: merchant_id,
            state: Life::REQUESTED.state,
            reasons: Life::REQUESTED.reasons,
            holds: HoldSet::EMPTY,
            device: SerialPrint::of(serial.as_bytes()),
        };
        self.done.changes.bindings.push((key, admission));
        let acquirer = self.acquirer_name(key.acquirer)?;
        self.tell(
            "binding.requested",
            format!("terminal {acquirer}/{}", key.terminal),
            serde_json::Value::Null,
            admission_shown(admission),
            serde_json::json!({ "serial": serial, "predecessor": predecessor.map(|b| b.0) }),
        )?;
        Ok(Held {
            key,
            admission,
            terminal,
            merchant,
            device: Some(device_id),
            opened_by: self.actor.name.clone(),
            suspended: Life::REQUESTED.suspended,
        })
    }

    /// The row of a terminal id that nobody has. One that is kept from others after its end is given with evidence
    /// that another person filed.
    pub(super) fn free_terminal(
        &self,
        key: TerminalKey,
        serial: &str,
        evidence: Option<u64>,
    ) -> Stopped<i64> {
        let found: Option<(i64, u64, bool)> = self
            .db
            .prepare_cached(
                "SELECT t.id, t.quarantined_until, EXISTS (SELECT 1 FROM binding b WHERE b.terminal = t.id \
                 AND b.closed_at IS NULL) FROM terminal t WHERE t.acquirer = ?1 AND t.terminal_id = ?2",
            )?
            .query_row(params![key.acquirer.0, key.terminal.as_str()], |row| {
                Ok((row.get(0)?, from_sql(row.get(1)?), row.get(2)?))
            })
            .optional()?;
        match found {
            None => {
                let id = self
                    .db
                    .prepare_cached(
                        "INSERT INTO terminal(acquirer, terminal_id, serial) VALUES (?1,?2,?3)",
                    )?
                    .insert(params![key.acquirer.0, key.terminal.as_str(), serial])?;
                Ok(id)
            }
            Some((_, _, true)) => Err(Refusal::Taken {
                what: "the terminal id",
                holder: "an open binding".into(),
                remedy: "unbind or replace that terminal first",
            }
            .into()),
            Some((_, until, false)) if self.now().0 < until && evidence.is_none() => {
                Err(Refusal::Early {
                    what: "giving the terminal id away without evidence that another person filed",
                    at: Timestamp(until),
                    now: self.now(),
                }
                .into())
            }
            Some((id, until, false)) => {
                if self.now().0 < until {
                    let about = self.subject(key)?;
                    self.use_evidence(evidence, &about, Allows::ReuseTerminal)?;
                }
                self.db
                    .prepare_cached("UPDATE terminal SET serial = ?2 WHERE id = ?1")?
                    .execute(params![id, serial])?;
                Ok(id)
            }
        }
    }

    pub(super) fn approve_binding(&mut self, key: TerminalKey, network: &str) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        self.not_under_replacement(&held)?;
        two_persons(&held.opened_by, &self.actor.name)?;
        said("the network's acknowledgement", network)?;
        self.may_trade(&held)?;
        let opened_by = held.opened_by.clone();
        self.event(&held, BindingEvent::Approve, network, &opened_by)?;
        Ok(())
    }

    /// What a terminal needs of its merchant before it trades: asked when it is approved, and again when it is activated.
    fn may_trade(&self, held: &Held) -> Stopped<()> {
        let is_identified: bool = self.db.query_row(
            "SELECT identity_hash IS NOT NULL FROM merchant WHERE id = ?1",
            [held.merchant],
            |row| row.get(0),
        )?;
        if !is_identified {
            let what = "the merchant's licence or identity document";
            let remedy =
                "enter what was seen of it (`posgate merchant set --identity-kind … --identity …`)";
            return Err(Refusal::Missing { what, remedy }.into());
        }
        self.accounts_usable(held)?;
        let has_phone: bool = self.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM contact WHERE merchant = ?1 AND state = 'verified' \
             AND kind = 'phone' AND role = 'owner' AND replaces IS NULL AND speaks_from <= ?2)",
            params![held.merchant, to_sql(self.now().0)],
            |row| row.get(0),
        )?;
        if !has_phone {
            let what = "a verified phone of the owner";
            let remedy = "enter one and verify it; its activation code goes there. One that came when none was left \
                          has to be confirmed by another person (`posgate contact confirm`)";
            return Err(Refusal::Missing { what, remedy }.into());
        }
        Ok(())
    }

    /// That money may go to every account of a binding.
    fn accounts_usable(&self, held: &Held) -> Stopped<()> {
        for (_, account) in held.admission.accounts.iter() {
            let usable: bool = self.db.query_row(
                "SELECT status = 'verified' FROM account WHERE id = ?1",
                [account.0],
                |row| row.get(0),
            )?;
            if !usable {
                let what = "a verified settlement account";
                let remedy = "verify each account of the binding first";
                return Err(Refusal::Missing { what, remedy }.into());
            }
        }
        Ok(())
    }

    pub(super) fn reject_binding(&mut self, key: TerminalKey, note: &str) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        self.not_under_replacement(&held)?;
        said("why", note)?;
        self.end_unused(&held, note)
    }

    /// A binding that never traded ends, and its device is free.
    pub(super) fn end_unused(&mut self, held: &Held, note: &str) -> Stopped<()> {
        self.event(held, BindingEvent::Reject, note, "")?;
        let (number, version) = (self.done.number, self.done.version);
        self.device_leaves(held, note)?;
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    /// The device of a binding that is over: what is at the merchant's is to be wiped, what is only meant for it is free.
    pub(super) fn device_leaves(&mut self, held: &Held, note: &str) -> Stopped<()> {
        let Some(device) = held.device else {
            return Ok(());
        };
        let device = self.device_by_id(device)?;
        let event = match device.state {
            DeviceState::Reserved => DeviceEvent::Release,
            DeviceState::Deployed | DeviceState::InRepair => DeviceEvent::OrderWipe,
            DeviceState::Stocked
            | DeviceState::Lost
            | DeviceState::WipePending
            | DeviceState::Wiped
            | DeviceState::WipeFailed
            | DeviceState::Retired => return Ok(()),
        };
        self.move_device(held.key.acquirer, device, event, "", note)
    }

    pub(super) fn activate_binding(
        &mut self,
        key: TerminalKey,
        serial: &str,
        (challenge, code): (u64, &CodeHash),
        shown: &TestsShown,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        self.not_under_replacement(&held)?;
        let life = held.life().apply(BindingEvent::Activate)?;
        // The code is good still when this is mended.
        self.may_trade(&held)?;
        let unproven = self.unproven_device(&held, shown)?;
        let about = self.subject(key)?;
        if let (Some(problem), None) = (unproven, evidence) {
            return Err(Refusal::Unproven {
                problem: problem.into(),
                about: about.into(),
                allows: Allows::Activate.name().into(),
            }
            .into());
        }
        let verdict = self.judge(challenge, Purpose::Bind, code)?;
        self.done.verdict = Some(verdict);
        self.done.number = held.admission.binding.0;
        self.done.version = held.admission.version;
        if verdict != Verdict::Approved {
            return Ok(());
        }
        let device = held.device.map(|id| self.device_by_id(id)).transpose()?;
        let Some(device) = device.filter(|device| device.serial == serial) else {
            let what = "the serial number";
            let problem = "is not that of the device that is reserved for this terminal";
            return Err(Refusal::Value { what, problem }.into());
        };
        if device.state != DeviceState::Reserved {
            return Err(Refusal::State {
                thing: "device",
                state: device.state.name(),
                verb: "put to work",
                remedy: "reject the binding, and ask for it with a device from stock",
            }
            .into());
        }
        self.deploy(&held, device.id)?;
        // Evidence is used up by what it allows, and not by a wrong code.
        let (checker, note) = match (unproven, shown.approved) {
            (None, Some(txn)) => (
                String::new(),
                format!("{serial}; tested by transaction {}", txn.0),
            ),
            (Some(_) | None, _) => {
                let (by, note) = self.use_evidence(evidence, &about, Allows::Activate)?;
                (by, format!("{serial}; {note}"))
            }
        };
        let because = Because {
            event: BindingEvent::Activate.name(),
            note: &note,
            checker: &checker,
        };
        self.live(&held, life, because)?;
        let text = format!("terminal {} is active", key.terminal);
        self.notify(held.merchant, BindingEvent::Activate.name(), &text)
    }

    /// What does not show that a device works: no test of its own was approved here, or nobody said that it has keys.
    fn unproven_device(&self, held: &Held, shown: &TestsShown) -> Stopped<Option<&'static str>> {
        if shown.approved.is_none() {
            let problem = "no test of the terminal was approved here (a sale of the smallest unit)";
            return Ok(Some(problem));
        }
        let has_keys = !self.keys_on_record(held)?.is_empty();
        Ok((!has_keys).then_some("no keys are on record for the device"))
    }

    pub(super) fn deploy(&mut self, held: &Held, device: i64) -> Stopped<()> {
        let device = self.device_by_id(device)?;
        self.move_device(held.key.acquirer, device, DeviceEvent::Deploy, "", "")
    }

    pub(super) fn repend(
        &mut self,
        key: TerminalKey,
        reasons: ReasonSet,
        note: &str,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("why", note)?;
        self.event(&held, BindingEvent::Repend(reasons), note, "")?;
        let text = format!(
            "terminal {} takes no new payments until this is verified: {reasons}",
            key.terminal
        );
        self.notify(held.merchant, "binding.repended", &text)
    }

    /// Says whether a terminal is a spare.
    pub(super) fn set_spare(&mut self, key: TerminalKey, spare: bool, note: &str) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("why", note)?;
        let is_spare: bool = self.db.query_row(
            "SELECT spare FROM binding WHERE id = ?1",
            [to_sql(held.admission.binding.0)],
            |row| row.get(0),
        )?;
        if is_spare == spare {
            let (what, problem) = ("whether it is a spare", "is known already");
            return Err(Refusal::Value { what, problem }.into());
        }
        self.db
            .prepare_cached("UPDATE binding SET spare = ?2 WHERE id = ?1")?
            .execute(params![to_sql(held.admission.binding.0), spare])?;
        let event = if spare {
            "binding.spare_begun"
        } else {
            "binding.spare_ended"
        };
        let because = Because {
            event,
            note,
            checker: "",
        };
        self.write_binding(&held, &held, because)?;
        Ok(())
    }

    /// Says where a terminal's device stands: one of the five things that the network knows of it, and so verified anew
    /// when it changes under a terminal that trades.
    pub(super) fn place(&mut self, key: TerminalKey, address: &str, note: &str) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("the address where the device stands", address)?;
        said("why", note)?;
        let (address, id) = (address.trim(), to_sql(held.admission.binding.0));
        let before: String =
            self.db
                .query_row("SELECT placement FROM binding WHERE id = ?1", [id], |row| {
                    row.get(0)
                })?;
        if before == address {
            let (what, problem) = ("that address", "is on record already");
            return Err(Refusal::Value { what, problem }.into());
        }
        self.db
            .prepare_cached("UPDATE binding SET placement = ?2 WHERE id = ?1")?
            .execute(params![id, address])?;
        let (event, told) = ("binding.placed", format!("{address}: {note}"));
        let because = Because {
            event,
            note: &told,
            checker: "",
        };
        if before.is_empty() || !held.life().may_repend() {
            self.write_binding(&held, &held, because)?;
            return Ok(());
        }
        let reasons = ReasonSet::EMPTY.with(RependReason::Location);
        self.renewed(&held, reasons)?;
        let life = held.life().apply(BindingEvent::Repend(reasons))?;
        self.live(&held, life, because)?;
        let text = format!(
            "terminal {} takes no new payments until its new address is verified",
            key.terminal
        );
        self.notify(held.merchant, "binding.repended", &text)
    }

    /// A binding was found idle: it waits for somebody to look, unless something happened to it since.
    pub(super) fn dormant(
        &mut self,
        key: TerminalKey,
        (binding, version): (BindingId, u32),
        months: u32,
    ) -> Stopped<()> {
        let held = self.binding_by_id(binding.0)?;
        let admission = held.admission;
        if admission.version != version || admission.state != BindingState::Active {
            return Ok(());
        }
        let note = format!("no approved transaction for {months} months");
        let reasons = ReasonSet::EMPTY.with(RependReason::Dormant);
        self.event(&held, BindingEvent::Repend(reasons), &note, "")?;
        let text = format!(
            "terminal {} takes no new payments: {note}; have it confirmed that it is still yours",
            key.terminal
        );
        self.notify(held.merchant, "binding.repended", &text)
    }

    pub(super) fn clear_reason(
        &mut self,
        key: TerminalKey,
        reason: RependReason,
        evidence: u64,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        held.life().apply(BindingEvent::Clear(reason))?;
        if reason == RependReason::Device {
            self.has_keys_and_data(&held)?;
        }
        let about = self.subject(key)?;
        let allows = Allows::ClearReason(reason);
        let began = self.binding_since(&held, |_, reasons| reasons.contains(reason))?;
        let (by, note) = self.use_evidence_since(began, Some(evidence), &about, allows)?;
        let note = format!("{reason}: {note}");
        self.event(&held, BindingEvent::Clear(reason), &note, &by)?;
        Ok(())
    }

    pub(super) fn suspend(&mut self, key: TerminalKey, note: &str) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("why", note)?;
        self.event(&held, BindingEvent::Suspend, note, "")?;
        let text = format!("terminal {} is suspended: {note}", key.terminal);
        self.notify(held.merchant, "binding.suspended", &text)
    }

    pub(super) fn resume(&mut self, key: TerminalKey, evidence: u64) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        held.life().apply(BindingEvent::Resume)?;
        self.not_lost(&held)?;
        let about = self.subject(key)?;
        let began = self.binding_since(&held, |state, _| state == BindingState::Suspended)?;
        let (by, note) = self.use_evidence_since(began, Some(evidence), &about, Allows::Resume)?;
        self.event(&held, BindingEvent::Resume, &note, &by)?;
        let text = format!("terminal {} may go on", key.terminal);
        self.notify(held.merchant, "binding.resumed", &text)
    }

    /// Nobody is let go on with a device that may be in anybody's hands.
    fn not_lost(&self, held: &Held) -> Stopped<()> {
        let device = held.device.map(|id| self.device_by_id(id)).transpose()?;
        if device.is_none_or(|device| device.state != DeviceState::Lost) {
            return Ok(());
        }
        Err(Refusal::State {
            thing: "device",
            state: DeviceState::Lost.name(),
            verb: "traded with",
            remedy: "say that it was found (`posgate device event`), or unbind the terminal",
        }
        .into())
    }

    /// A device that is wiped, or is to be, is none to trade with, whatever anybody saw of it.
    fn has_keys_and_data(&self, held: &Held) -> Stopped<()> {
        let device = held.device.map(|id| self.device_by_id(id)).transpose()?;
        let state = device.map_or(DeviceState::Deployed, |device| device.state);
        let remedy = match state {
            DeviceState::Deployed | DeviceState::Reserved | DeviceState::InRepair => return Ok(()),
            DeviceState::Lost => {
                "say that it was found (`posgate device event`), or replace it (`posgate case replace`)"
            }
            DeviceState::WipePending | DeviceState::WipeFailed => {
                "say what came of the wipe (`posgate device event`), or replace it (`posgate case replace`)"
            }
            DeviceState::Wiped | DeviceState::Stocked | DeviceState::Retired => {
                "replace it (`posgate case replace`)"
            }
        };
        Err(Refusal::State {
            thing: "device",
            state: state.name(),
            verb: "traded with",
            remedy,
        }
        .into())
    }

    /// One event of a binding's life.
    pub(super) fn event(
        &mut self,
        held: &Held,
        event: BindingEvent,
        note: &str,
        checker: &str,
    ) -> Stopped<Held> {
        let because = Because {
            event: event.name(),
            note,
            checker,
        };
        if let BindingEvent::Repend(reasons) = event {
            self.renewed(held, reasons)?;
        }
        self.live(held, held.life().apply(event)?, because)
    }

    /// A binding's end: its device is to be wiped, its terminal id is watched and kept from others.
    pub(super) fn close_binding(&mut self, held: &Held, note: &str, checker: &str) -> Stopped<()> {
        self.event(held, BindingEvent::Drained, note, checker)?;
        let (number, version) = (self.done.number, self.done.version);
        let until = |span: std::time::Duration| {
            to_sql(self.now().0 + u64::try_from(span.as_micros()).unwrap_or(0))
        };
        self.db
            .prepare_cached(
                "UPDATE terminal SET watched_until = ?2, quarantined_until = ?3 WHERE id = ?1",
            )?
            .execute(params![
                held.terminal,
                until(WATCH),
                until(self.rules.quarantine)
            ])?;
        self.device_leaves(held, note)?;
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    /// The audit trail's name of a terminal.
    pub(super) fn subject(&self, key: TerminalKey) -> Stopped<String> {
        Ok(format!(
            "terminal {}/{}",
            self.acquirer_name(key.acquirer)?,
            key.terminal
        ))
    }

    /// What belongs to a replacement is decided there.
    fn not_under_replacement(&self, held: &Held) -> Stopped<()> {
        let replaces: bool = self.db.query_row(
            "SELECT predecessor IS NOT NULL FROM binding WHERE id = ?1",
            [to_sql(held.admission.binding.0)],
            |row| row.get(0),
        )?;
        let waits = matches!(
            held.admission.state,
            BindingState::Pending | BindingState::Activating
        );
        if replaces && waits {
            return Err(Refusal::State {
                thing: "binding",
                state: "part of a replacement",
                verb: "decided by itself",
                remedy: "cut the replacement over, or cancel it",
            }
            .into());
        }
        Ok(())
    }
}
