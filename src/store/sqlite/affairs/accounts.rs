//! Settlement accounts, and the account that a binding settles into.

use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::evidence::CaseRow;
use super::{Because, Step, Stopped, from_sql, said, to_sql};
use crate::base::{AccountId, AcquirerId, MerchantId, Timestamp};
use crate::binding::account::{self, AccountChange, AccountEvent, AccountKind, Accounts};
use crate::binding::challenge::Purpose;
use crate::binding::refusal::two_persons;
use crate::binding::{AccountStatus, BindingState, Refusal, TerminalKey};
use crate::store::command::{AccountName, Allows, MerchantsWord, status_told};

/// An account as a command finds it.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub(super) id: AccountId,
    pub(super) merchant: i64,
    pub(super) kind: AccountKind,
    pub(super) status: AccountStatus,
    verified: bool,
    version: u32,
}

impl Step<'_> {
    pub(super) fn account(&self, name: &AccountName) -> Stopped<AccountRow> {
        self.db
            .prepare_cached(
                "SELECT id, merchant, status, verified, \
                 (SELECT 1 + count(*) FROM account_change WHERE account = a.id), kind \
                 FROM account a WHERE acquirer = ?1 AND reference = ?2",
            )?
            .query_row(params![name.acquirer.0, name.reference], |row| {
                let status = row.get_ref(2)?.as_str()?;
                Ok(AccountRow {
                    id: AccountId(row.get(0)?),
                    merchant: row.get(1)?,
                    status: AccountStatus::from_name(status).unwrap_or(AccountStatus::Unverified),
                    verified: row.get(3)?,
                    version: row.get(4)?,
                    kind: AccountKind::from_name(row.get_ref(5)?.as_str()?)
                        .unwrap_or(AccountKind::BankCard),
                })
            })
            .optional()?
            .ok_or_else(|| self.unknown("account", &name.reference, name.acquirer))
    }

    pub(super) fn add_account(
        &mut self,
        name: &AccountName,
        merchant: MerchantId,
        kind: AccountKind,
    ) -> Stopped<()> {
        let reference = name.reference.trim();
        let printable = |c: char| c.is_ascii_graphic();
        if reference.is_empty() || reference.len() > 50 || !reference.chars().all(printable) {
            let what = "the account's reference";
            let problem = "has to have 1 to 50 letters, digits and signs, without spaces";
            return Err(Refusal::Value { what, problem }.into());
        }
        // The reference is shown everywhere: a card number must not be one.
        if crate::base::Note::parse(reference).is_err() {
            let what = "the account's reference";
            let problem = "looks like a card number; use the acquirer's own reference";
            return Err(Refusal::Value { what, problem }.into());
        }
        let merchant = self.merchant(name.acquirer, merchant)?;
        let added = self
            .db
            .prepare_cached(
                "INSERT OR IGNORE INTO account(acquirer, reference, merchant, kind, status) \
                 VALUES (?1,?2,?3,?4,'unverified')",
            )?
            .execute(params![name.acquirer.0, reference, merchant, kind.name()])?;
        if added == 0 {
            return Err(Refusal::Taken {
                what: "the reference",
                holder: "an account that is there".into(),
                remedy: "one reference is one account",
            }
            .into());
        }
        let account = self.account(name)?;
        self.done.number = u64::from(account.id.0);
        self.done.version = account.version;
        self.done
            .changes
            .accounts
            .push((account.id, account.status));
        let subject = format!("account {}/{reference}", self.acquirer_name(name.acquirer)?);
        let after = json!({ "version": 1, "kind": kind.name(), "status": account.status.name() });
        self.outside("account.added", subject.clone(), 1, after.clone());
        self.tell("account.added", subject, Value::Null, after, Value::Null)
    }

    pub(super) fn account_event(
        &mut self,
        name: &AccountName,
        event: AccountEvent,
        note: &str,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        let account = self.account(name)?;
        self.stale("the account", account.version)?;
        let after = account::apply(account.status, account.verified, event)?;
        let subject = format!(
            "account {}/{}",
            self.acquirer_name(name.acquirer)?,
            name.reference
        );
        let allowed = match event {
            AccountEvent::Verify => Some(Allows::VerifyAccount),
            AccountEvent::Unfreeze => Some(Allows::UnfreezeAccount),
            AccountEvent::Invalidate | AccountEvent::Freeze | AccountEvent::Close => None,
        };
        let (checker, note) = match allowed {
            Some(allows) => {
                let began = self.account_since(&account)?;
                self.use_evidence_since(began, evidence, &subject, allows)?
            }
            None => {
                said("why", note)?;
                (String::new(), note.to_owned())
            }
        };
        self.db
            .prepare_cached(
                // What was found invalid has to be verified anew, whatever happens to it meanwhile.
                "UPDATE account SET status = ?2, verified = (verified OR ?3) AND ?2 <> 'invalid' WHERE id = ?1",
            )?
            .execute(params![account.id.0, after.name(), after.is_usable()])?;
        let because = Because {
            event: event.event(),
            note: &note,
            checker: &checker,
        };
        self.account_changed(account.id, after, because)?;
        self.done.number = u64::from(account.id.0);
        self.done.version = account.version + 1;
        self.done.changes.accounts.push((account.id, after));
        let shown =
            |status: AccountStatus, version| json!({ "status": status.name(), "version": version });
        self.outside(
            event.event(),
            subject.clone(),
            self.done.version,
            status_told(account.status, after),
        );
        self.tell(
            event.event(),
            subject,
            shown(account.status, account.version),
            shown(after, account.version + 1),
            json!({ "note": note, "checker": checker }),
        )?;
        let text = format!("your settlement account is {after}");
        self.notify(account.merchant, event.event(), &text)
    }

    /// Since when an account has had its status without a break.
    fn account_since(&self, account: &AccountRow) -> Stopped<Timestamp> {
        let at: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(at) FROM account_change WHERE account = ?1 AND rowid > coalesce((SELECT max(rowid) \
                 FROM account_change WHERE account = ?1 AND status <> ?2), 0)",
            )?
            .query_row(params![account.id.0, account.status.name()], |row| row.get(0))?;
        Ok(Timestamp(at.map_or(0, from_sql)))
    }

    /// Says which account gets what a closed one cannot be paid: another person files the evidence.
    pub(super) fn release_suspense(
        &mut self,
        name: &AccountName,
        to: &str,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        let account = self.account(name)?;
        self.stale("the account", account.version)?;
        if account.status != AccountStatus::Closed {
            return Err(Refusal::State {
                thing: "account",
                state: account.status.name(),
                verb: "relieved of its money",
                remedy: "only a closed account's money goes elsewhere; verify or unfreeze any other",
            }
            .into());
        }
        let target = self.account_of(name.acquirer, to, account.merchant)?;
        let subject = format!(
            "account {}/{}",
            self.acquirer_name(name.acquirer)?,
            name.reference
        );
        let (checker, note) = self.use_evidence(evidence, &subject, Allows::ReleaseSuspense)?;
        self.db
            .prepare_cached("UPDATE account SET released_to = ?2 WHERE id = ?1")?
            .execute(params![account.id.0, target.id.0])?;
        let event = "account.suspense_released";
        let because = Because {
            event,
            note: &format!("to {to}: {note}"),
            checker: &checker,
        };
        self.account_changed(account.id, account.status, because)?;
        self.done.number = u64::from(account.id.0);
        self.done.version = account.version + 1;
        let told = json!({ "to": to, "note": note, "checker": checker });
        self.outside(event, subject.clone(), self.done.version, told.clone());
        self.tell(event, subject, Value::Null, told, Value::Null)?;
        let text = format!("what account {} was not paid goes to {to}", name.reference);
        self.notify(account.merchant, event, &text)
    }

    /// Writes a change of an account into its history, which counts its versions.
    fn account_changed(
        &self,
        account: AccountId,
        status: AccountStatus,
        because: Because<'_>,
    ) -> Stopped<()> {
        self.db
            .prepare_cached(
                "INSERT INTO account_change(account, at, actor, status, event, note, checker) \
                 VALUES (?1,?2,?3,?4,?5,?6,?7)",
            )?
            .execute(params![
                account.0,
                to_sql(self.now().0),
                self.actor.name,
                status.name(),
                because.event,
                because.note,
                because.checker
            ])?;
        Ok(())
    }

    pub(super) fn request_account_change(
        &mut self,
        key: TerminalKey,
        reference: &str,
        note: &str,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("why the account is changed", note)?;
        let account = self.account_for_change(key, reference, held.merchant)?;
        if held.admission.accounts.contains(account.id) {
            let what = "the account";
            let problem = "is the one that the terminal settles into already";
            return Err(Refusal::Value { what, problem }.into());
        }
        let change = self.asked_change(reference, note);
        let body = serde_json::to_value(&change).unwrap_or_default();
        self.open_case("account-change", &held, "requested", &body)?;
        let text = "a change of the settlement account was asked for";
        self.notify(held.merchant, "account.change_requested", text)
    }

    pub(super) fn request_account_end(
        &mut self,
        key: TerminalKey,
        reference: &str,
        note: &str,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        said("why the terminal has no account of the kind any more", note)?;
        let account = self.own_account(key.acquirer, reference, held.merchant)?;
        one_of_several(held.admission.accounts, account.id)?;
        let change = AccountChange {
            ends: true,
            ..self.asked_change(reference, note)
        };
        let body = serde_json::to_value(&change).unwrap_or_default();
        self.open_case("account-change", &held, "requested", &body)?;
        let text = format!(
            "it was asked for that {} payments are taken no longer",
            account.kind
        );
        self.notify(held.merchant, "account.end_requested", &text)
    }

    fn asked_change(&self, reference: &str, note: &str) -> AccountChange {
        AccountChange {
            account: reference.into(),
            ends: false,
            maker: self.actor.name.clone(),
            note: note.into(),
            agreed: None,
            checker: None,
            network: None,
            cancelled: None,
        }
    }

    /// The merchant's own word: nobody's staff alone says where a shop's money goes.
    pub(super) fn confirm_account_change(
        &mut self,
        key: TerminalKey,
        word: MerchantsWord,
    ) -> Stopped<()> {
        let held = self.open_binding(key)?;
        let case = self.open_case_of(&held, "account-change")?;
        self.stale("the case", case.version)?;
        let agreed = match word {
            MerchantsWord::Challenge(number) => {
                let (binding, merchant) = (held.admission.binding.0, held.merchant);
                let now = self.now();
                self.approved_challenge(number, Purpose::ChangeAccount, binding, |contact| {
                    contact.merchant == merchant && contact.speaks_for_merchant(now)
                })?;
                self.newer_than_case(number, &case)?;
                format!("challenge {number}")
            }
            MerchantsWord::Evidence(number) => {
                let about = self.subject(key)?;
                let asked: i64 = self.db.query_row(
                    "SELECT opened_at FROM case_file WHERE id = ?1",
                    [case.id],
                    |row| row.get(0),
                )?;
                // What was seen before was of another change.
                let (asked, allows) = (Timestamp(from_sql(asked)), Allows::ChangeAccount);
                let (by, note) = self.use_evidence_since(asked, Some(number), &about, allows)?;
                format!("{note} ({by})")
            }
        };
        let mut body = case.body.clone();
        body["agreed"] = agreed.into();
        self.write_case(&case, "confirmed", false, &body, "account.change_confirmed")
    }

    /// A code that came back before the change was asked for was for another one.
    fn newer_than_case(&self, challenge: u64, case: &CaseRow) -> Stopped<()> {
        let newer: bool = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM challenge h JOIN case_file f ON f.id = ?2 \
                 WHERE h.id = ?1 AND h.sent_at >= f.opened_at)",
            )?
            .query_row(params![to_sql(challenge), case.id], |row| row.get(0))?;
        if newer {
            return Ok(());
        }
        Err(Refusal::Value {
            what: "the code",
            problem: "was sent before this change was asked for; send another one",
        }
        .into())
    }

    pub(super) fn approve_account_change(
        &mut self,
        key: TerminalKey,
        network: &str,
    ) -> Stopped<()> {
        let held = self.open_binding(key)?;
        let case = self.open_case_of(&held, "account-change")?;
        self.stale("the case", case.version)?;
        let maker = case.body["maker"].as_str().unwrap_or_default();
        two_persons(maker, &self.actor.name)?;
        said("the network's acknowledgement of the new account", network)?;
        if matches!(
            held.admission.state,
            BindingState::Unbinding | BindingState::Unbound
        ) {
            return Err(Refusal::State {
                thing: "binding",
                state: held.admission.state.name(),
                verb: "given another account",
                remedy: "what it sold settles where it was sold for",
            }
            .into());
        }
        let reference = case.body["account"].as_str().unwrap_or_default();
        let ends = case.body["ends"].as_bool().unwrap_or(false);
        if !ends && case.body["agreed"].is_null() {
            return Err(Refusal::Missing {
                what: "the merchant's own word on the new account",
                remedy: "send a code (`change-account`) to a phone of the owner and name it, or act on evidence of another \
                         person: `posgate binding confirm-account`",
            }
            .into());
        }
        let accounts = held.admission.accounts;
        let (account, accounts, event) = if ends {
            let account = self.own_account(key.acquirer, reference, held.merchant)?;
            one_of_several(accounts, account.id)?;
            let left = accounts.without(account.id);
            (account, left, "account.ended")
        } else {
            let account = self.account_for_change(key, reference, held.merchant)?;
            let with = accounts.with(account.kind, account.id);
            (account, with, "account.cutover")
        };
        let mut after = held.clone();
        after.admission.accounts = accounts;
        let maker = maker.to_owned();
        let because = Because {
            event,
            note: network,
            checker: &maker,
        };
        self.write_binding(&held, &after, because)?;
        let (number, version) = (self.done.number, self.done.version);
        let mut body = case.body.clone();
        body["checker"] = self.actor.name.as_str().into();
        body["network"] = network.into();
        self.write_case(&case, "approved", true, &body, event)?;
        (self.done.number, self.done.version) = (number, version);
        let text = if ends {
            format!("{} payments are taken no longer from now on", account.kind)
        } else {
            format!(
                "new {} payments settle into the new account from now on",
                account.kind
            )
        };
        self.notify(held.merchant, event, &text)
    }

    pub(super) fn cancel_account_change(&mut self, key: TerminalKey, note: &str) -> Stopped<()> {
        let held = self.open_binding(key)?;
        let case = self.open_case_of(&held, "account-change")?;
        self.stale("the case", case.version)?;
        said("why", note)?;
        let mut body = case.body.clone();
        body["cancelled"] = note.into();
        self.write_case(&case, "cancelled", true, &body, "account.change_cancelled")
    }

    /// A change that nobody agreed to in time is over: it would be in the way of every other case of its terminal.
    pub(super) fn expire_account_change(&mut self, number: u64) -> Stopped<()> {
        let case = self.case(number, "account-change")?;
        let mut body = case.body.clone();
        body["cancelled"] = "nobody agreed to it in time".into();
        self.write_case(&case, "expired", true, &body, "account.change_expired")?;
        let held = self.binding_by_id(case.binding)?;
        let text = "the settlement account is not changed: nobody agreed to it in time";
        self.notify(held.merchant, "account.change_expired", text)
    }

    /// An account of the merchant that money may go to.
    fn account_for_change(
        &self,
        key: TerminalKey,
        reference: &str,
        merchant: i64,
    ) -> Stopped<AccountRow> {
        self.account_of(key.acquirer, reference, merchant)
    }

    /// A verified account of a merchant.
    fn account_of(
        &self,
        acquirer: AcquirerId,
        reference: &str,
        merchant: i64,
    ) -> Stopped<AccountRow> {
        let account = self.own_account(acquirer, reference, merchant)?;
        if !account.status.is_usable() {
            return Err(Refusal::State {
                thing: "account",
                state: account.status.name(),
                verb: "settled into",
                remedy: "verify it first",
            }
            .into());
        }
        Ok(account)
    }

    /// An account of a merchant, in whatever state.
    pub(super) fn own_account(
        &self,
        acquirer: AcquirerId,
        reference: &str,
        merchant: i64,
    ) -> Stopped<AccountRow> {
        let account = self.account(&AccountName {
            acquirer,
            reference: reference.to_owned(),
        })?;
        if account.merchant == merchant {
            return Ok(account);
        }
        Err(Refusal::Taken {
            what: "the account",
            holder: "another merchant".into(),
            remedy: "money goes to an account of the merchant's own",
        }
        .into())
    }
}

/// An account that a terminal can do without.
fn one_of_several(accounts: Accounts, account: AccountId) -> Result<(), Refusal> {
    let what = "the account";
    if !accounts.contains(account) {
        let problem = "is none that the terminal settles into";
        return Err(Refusal::Value { what, problem });
    }
    if accounts.only().is_some() {
        let problem = "is the terminal's only one: add another, or unbind the terminal";
        return Err(Refusal::Value { what, problem });
    }
    Ok(())
}
