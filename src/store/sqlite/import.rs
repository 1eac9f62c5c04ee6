//! An import of terminals under way, inside its transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::limits as stored;
use super::registry::{
    accounts_of, accounts_of_b, case_that_decides, state_told, write_accounts, write_state,
};
use super::{affairs, audit, from_sql, to_sql};
use crate::base::calendar::Civil;
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, Timestamp, limits};
use crate::binding::counters::CounterName;
use crate::binding::limit::LimitScope;
use crate::binding::watch::BindingRules;
use crate::binding::{
    AccountKind, AccountStatus, Accounts, Admission, BindingState, HoldSet, ReasonSet, SerialPrint,
    TerminalKey,
};
use crate::store::audit::Entry as Event;
use crate::store::registry::{Actor, DirectoryChanges, ImportLine, ImportReport, LineProblem};

/// An account that was met already.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: AccountId,
    owner: i64,
    kind: AccountKind,
}

/// What of a line says which account.
#[derive(Clone, Copy, Debug)]
struct Said<'l> {
    reference: &'l str,
    kind: &'l str,
    status: AccountStatus,
}

/// See the module.
pub(super) struct Import<'c> {
    db: &'c Connection,
    actor: &'c Actor,
    rules: BindingRules,
    merchants: HashMap<(AcquirerId, MerchantId), i64>,
    accounts: HashMap<(AcquirerId, Box<str>), Known>,
    seen: HashMap<TerminalKey, u64>,
    pub(super) report: ImportReport,
    pub(super) changes: DirectoryChanges,
    pub(super) problems: Vec<LineProblem>,
}

impl<'c> Import<'c> {
    pub(super) fn new(db: &'c Connection, actor: &'c Actor, rules: BindingRules) -> Self {
        Self {
            db,
            actor,
            rules,
            merchants: HashMap::new(),
            accounts: HashMap::new(),
            seen: HashMap::new(),
            report: ImportReport::default(),
            changes: DirectoryChanges::default(),
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, line: u64, reason: String) {
        if self.problems.len() < limits::IMPORT_PROBLEMS_MAX {
            self.problems.push(LineProblem { line, reason });
        }
    }

    /// Takes one line. What contradicts becomes a problem, and the rest of the file is still checked.
    pub(super) fn line(&mut self, line: &ImportLine) -> rusqlite::Result<()> {
        self.report.lines += 1;
        let key = TerminalKey {
            acquirer: line.acquirer,
            terminal: line.terminal,
        };
        match self.seen.entry(key) {
            Entry::Occupied(first) => {
                let reason = format!(
                    "terminal {} is on line {} already",
                    key.terminal,
                    first.get()
                );
                self.problem(line.line, reason);
                return Ok(());
            }
            Entry::Vacant(free) => {
                free.insert(line.line);
            }
        }
        let merchant = self.merchant(line)?;
        let Some(accounts) = self.accounts(line, merchant)? else {
            return Ok(());
        };
        self.bind(line, key, merchant, accounts)
    }

    /// All accounts of a line; none when one of them is a problem.
    fn accounts(&mut self, line: &ImportLine, merchant: i64) -> rusqlite::Result<Option<Accounts>> {
        let first = Said {
            reference: &line.account,
            kind: &line.account_kind,
            status: line.account_status,
        };
        let Some(first) = self.account(line, merchant, first)? else {
            return Ok(None);
        };
        let mut all = Accounts::one(first.kind, first.id);
        for other in &line.others {
            let said = Said {
                reference: &other.reference,
                kind: &other.kind,
                status: other.status,
            };
            let Some(known) = self.account(line, merchant, said)? else {
                return Ok(None);
            };
            let kind = known.kind;
            let reason = if kind.name() != other.kind {
                format!("account {} is of kind {kind}", other.reference)
            } else if all.of(kind).is_some() {
                format!("a binding has one account of a kind, and two here are of kind {kind}")
            } else {
                all = all.with(kind, known.id);
                continue;
            };
            self.problem(line.line, reason);
            return Ok(None);
        }
        Ok(Some(all))
    }

    fn merchant(&mut self, line: &ImportLine) -> rusqlite::Result<i64> {
        let name = (line.acquirer, line.merchant);
        if let Some(id) = self.merchants.get(&name) {
            return Ok(*id);
        }
        let text = line.merchant.as_str();
        let found: Option<i64> = self
            .db
            .prepare_cached("SELECT id FROM merchant WHERE acquirer = ?1 AND merchant_id = ?2")?
            .query_row(params![line.acquirer.0, text], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => {
                self.db
                    .prepare_cached(
                        "UPDATE merchant SET name = CASE ?2 WHEN '' THEN name ELSE ?2 END, \
                         mcc = CASE ?3 WHEN '' THEN mcc ELSE ?3 END WHERE id = ?1",
                    )?
                    .execute(params![id, line.merchant_name, line.mcc])?;
                id
            }
            None => {
                self.report.merchants += 1;
                self.db
                    .prepare_cached(
                        "INSERT INTO merchant(acquirer, merchant_id, name, mcc) VALUES (?1,?2,?3,?4)",
                    )?
                    .insert(params![line.acquirer.0, text, line.merchant_name, line.mcc])?
            }
        };
        self.merchants.insert(name, id);
        Ok(id)
    }

    fn account(
        &mut self,
        line: &ImportLine,
        merchant: i64,
        said: Said<'_>,
    ) -> rusqlite::Result<Option<Known>> {
        let kind_of = |name: &str| AccountKind::from_name(name).unwrap_or(AccountKind::BankCard);
        let name = (line.acquirer, said.reference.into());
        let known = match self.accounts.get(&name) {
            Some(known) => Some(*known),
            None => self
                .db
                .prepare_cached(
                    "SELECT id, merchant, kind FROM account WHERE acquirer = ?1 AND reference = ?2",
                )?
                .query_row(params![line.acquirer.0, said.reference], |row| {
                    Ok(Known {
                        id: AccountId(row.get(0)?),
                        owner: row.get(1)?,
                        kind: kind_of(row.get_ref(2)?.as_str()?),
                    })
                })
                .optional()?,
        };
        let known = match known {
            Some(known) => known,
            None => {
                self.report.accounts += 1;
                let id = self
                    .db
                    .prepare_cached(
                        "INSERT INTO account(acquirer, reference, merchant, kind, status, verified) \
                         VALUES (?1,?2,?3,?4,?5,?5 = 'verified')",
                    )?
                    .insert(params![
                        line.acquirer.0,
                        said.reference,
                        merchant,
                        said.kind,
                        said.status.name()
                    ])?;
                let id = AccountId(u32::try_from(id).unwrap_or(u32::MAX));
                self.changes.accounts.push((id, said.status));
                Known {
                    id,
                    owner: merchant,
                    kind: kind_of(said.kind),
                }
            }
        };
        self.accounts.insert(name, known);
        if known.owner == merchant {
            return Ok(Some(known));
        }
        let reason = format!("account {} belongs to another merchant", said.reference);
        self.problem(line.line, reason);
        Ok(None)
    }

    fn bind(
        &mut self,
        line: &ImportLine,
        key: TerminalKey,
        merchant: i64,
        accounts: Accounts,
    ) -> rusqlite::Result<()> {
        let terminal = self.terminal(line)?;
        // `None`: the terminal is new in this import, so it has no binding to look for.
        let open: Option<(i64, i64, Accounts, u32, String, u8)> = match terminal {
            (id, false) => self
                .db
                .prepare_cached(concat!(
                    "SELECT b.id, b.merchant, ",
                    accounts_of_b!(),
                    ", b.version, b.state, b.reasons FROM binding b \
                     WHERE b.terminal = ?1 AND b.closed_at IS NULL",
                ))?
                .query_row([id], |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        accounts_of(row.get_ref(2)?.as_str()?),
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ))
                })
                .optional()?,
            (_, true) => None,
        };
        let mut admission = Admission {
            binding: BindingId(0),
            version: 1,
            accounts,
            merchant: line.merchant,
            state: line.state.unwrap_or(BindingState::Active),
            reasons: line.reasons,
            holds: HoldSet::EMPTY,
            device: SerialPrint::of(line.serial.as_bytes()),
        };
        match open {
            // The terminal was bound once and its binding is closed: a line that names no state does not
            // open a new one.
            None if !terminal.1 && line.state.is_none() => self.report.unchanged += 1,
            None if !admission.state.is_open()
                && self.was_closed(terminal.0, merchant, accounts)? =>
            {
                self.report.unchanged += 1;
            }
            None if admission.state.is_open()
                && let Some(reason) = self.quarantined(line, terminal, merchant)? =>
            {
                self.problem(line.line, reason);
            }
            None => {
                let closed_at = (!admission.state.is_open()).then(|| to_sql(self.actor.at.0));
                let device = match self.device(line, admission.state)? {
                    Ok(device) => device,
                    Err(reason) => {
                        self.problem(line.line, reason);
                        return Ok(());
                    }
                };
                let id = self
                    .db
                    .prepare_cached(
                        "INSERT INTO binding(terminal, merchant, account, version, state, reasons, \
                         opened_at, closed_at, device, pended_at, placement) VALUES (?1,?2,?3,1,?4,?5,?6,?7,?8, \
                         CASE ?4 WHEN 're-pending' THEN ?6 END, ?9)",
                    )?
                    .insert(params![
                        terminal.0,
                        merchant,
                        accounts.first().0,
                        admission.state.name(),
                        admission.reasons.bits(),
                        to_sql(self.actor.at.0),
                        closed_at,
                        device,
                        line.placement
                    ])?;
                if accounts.only().is_none() {
                    write_accounts(self.db, id, accounts)?;
                }
                admission.binding = BindingId(from_sql(id));
                self.report.bound += 1;
                self.changes.bindings.push((key, admission));
                if admission.state.is_open() {
                    self.limit(line, id)?;
                }
            }
            Some((_, bound_merchant, bound, ..))
                if bound_merchant != merchant
                    || accounts.iter().any(|(_, account)| !bound.contains(account)) =>
            {
                let lacks = accounts.iter().find(|(kind, _)| bound.of(*kind).is_none());
                let reason = match lacks {
                    _ if bound_merchant != merchant => format!(
                        "terminal {} is bound to another merchant; set its state to unbound first",
                        key.terminal
                    ),
                    Some((kind, _)) => format!(
                        "terminal {} has no {kind} account; two persons give it one: `posgate binding \
                         request-account`",
                        key.terminal
                    ),
                    None => format!(
                        "terminal {} is bound to another account; set its state to unbound first",
                        key.terminal
                    ),
                };
                self.problem(line.line, reason);
            }
            Some((id, ..)) if let Some(reason) = self.other_device(line, id)? => {
                self.problem(line.line, reason);
            }
            Some((id, _, _, _, state, reasons))
                if line.state.is_none()
                    || state == admission.state.name() && reasons == admission.reasons.bits() =>
            {
                let placed = self.place(line, key, id)?;
                if self.limit(line, id)? || placed {
                    self.report.changed += 1;
                } else {
                    self.report.unchanged += 1;
                }
            }
            Some((id, ..))
                if let Some(case) =
                    case_that_decides(self.db, BindingId(from_sql(id)), admission.state)? =>
            {
                let reason = format!(
                    "the state of terminal {} is decided in case {case}; go on with the case, or cancel it",
                    key.terminal
                );
                self.problem(line.line, reason);
            }
            Some((id, _, bound, version, state, reasons)) => {
                admission.binding = BindingId(from_sql(id));
                admission.accounts = bound;
                admission.version = version + 1;
                admission.device = self.bound_device(id)?;
                write_state(self.db, admission, self.actor, self.rules)?;
                let before = Admission {
                    version,
                    state: BindingState::from_name(&state).unwrap_or(BindingState::Suspended),
                    reasons: ReasonSet::from_bits(reasons),
                    ..admission
                };
                let acquirer = self.acquirer_name(key.acquirer)?;
                let told = state_told(&acquirer, key, before, admission);
                audit::append(self.db, self.actor, &told)?;
                self.report.changed += 1;
                self.changes.bindings.push((key, admission));
                if admission.state.is_open() {
                    self.place(line, key, id)?;
                    self.limit(line, id)?;
                }
            }
        }
        Ok(())
    }

    /// Says where the device stands, where nobody did; whether that is new. Another place than before has to be verified,
    /// and so is no matter for an import.
    fn place(
        &mut self,
        line: &ImportLine,
        key: TerminalKey,
        binding: i64,
    ) -> rusqlite::Result<bool> {
        if line.placement.is_empty() {
            return Ok(false);
        }
        let before: String = self
            .db
            .prepare_cached("SELECT placement FROM binding WHERE id = ?1")?
            .query_row([binding], |row| row.get(0))?;
        if before == *line.placement {
            return Ok(false);
        }
        if !before.is_empty() {
            let reason = format!(
                "terminal {} stands elsewhere by what is on record; say so with `posgate binding place`, and have it \
                 verified",
                key.terminal
            );
            self.problem(line.line, reason);
            return Ok(false);
        }
        match affairs::place(self.db, key, &line.placement, self.actor, self.rules)? {
            Ok(changes) => {
                self.changes.bindings.extend(changes.bindings);
                Ok(true)
            }
            Err(refused) => {
                self.problem(line.line, refused.to_string());
                Ok(false)
            }
        }
    }

    /// Sets what the terminal may take, as the line says; whether that is new. More than before takes two persons,
    /// and so is no matter for an import.
    fn limit(&mut self, line: &ImportLine, binding: i64) -> rusqlite::Result<bool> {
        let Some(limits) = line.limits else {
            return Ok(false);
        };
        let found = stored::find(self.db, LimitScope::Terminal, &[binding])?;
        let (version, before) = found.map_or((0, crate::binding::Limits::NONE), |found| {
            (found.version, found.limits)
        });
        if before == limits || version == 0 && limits.is_empty() {
            return Ok(false);
        }
        if limits.is_looser_than(&before) {
            let reason = format!(
                "terminal {} may take less by now; raise its limit with `posgate limit set` and evidence (raise-limit) \
                 that another person filed",
                line.terminal
            );
            self.problem(line.line, reason);
            return Ok(false);
        }
        let name = CounterName {
            scope: LimitScope::Terminal,
            number: from_sql(binding),
        };
        let after = stored::Found {
            name: found.map_or(name, |found| found.name),
            version: version + 1,
            limits,
        };
        let set = stored::write(self.db, self.actor, &after, &[binding], ("imported", ""))?;
        self.changes.limits.push(set);
        let subject = format!(
            "terminal {}/{}",
            self.acquirer_name(line.acquirer)?,
            line.terminal
        );
        let told = Event::new("limit.set", subject)
            .change(
                stored::shown(&before, version),
                stored::shown(&limits, after.version),
            )
            .with(serde_json::json!({ "scope": "terminal", "note": "imported" }));
        audit::append(self.db, self.actor, &told)?;
        Ok(true)
    }

    fn acquirer_name(&self, id: AcquirerId) -> rusqlite::Result<String> {
        self.db
            .prepare_cached("SELECT name FROM acquirer WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
    }

    /// Why a terminal id cannot go to this merchant yet.
    fn quarantined(
        &self,
        line: &ImportLine,
        (terminal, is_new): (i64, bool),
        merchant: i64,
    ) -> rusqlite::Result<Option<String>> {
        if is_new {
            return Ok(None);
        }
        let until: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT quarantined_until FROM terminal WHERE id = ?1 AND quarantined_until > ?2 \
                 AND ?3 <> (SELECT merchant FROM binding WHERE terminal = ?1 ORDER BY id DESC LIMIT 1)",
            )?
            .query_row(params![terminal, to_sql(self.actor.at.0), merchant], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(until.map(|until| {
            let until = Civil::utc(Timestamp(from_sql(until))).date_text();
            format!(
                "terminal {} was another merchant's and goes to nobody else before {until}; request a binding \
                 with evidence (reuse-terminal) that another person filed",
                line.terminal
            )
        }))
    }

    /// The device of a binding, as the gate compares it.
    fn bound_device(&self, binding: i64) -> rusqlite::Result<SerialPrint> {
        self.db
            .prepare_cached(
                "SELECT coalesce(d.serial, t.serial) FROM binding b JOIN terminal t ON t.id = b.terminal \
                 LEFT JOIN device d ON d.id = b.device WHERE b.id = ?1",
            )?
            .query_row([binding], |row| {
                Ok(SerialPrint::of(row.get_ref(0)?.as_str()?.as_bytes()))
            })
    }

    /// Whether the terminal's latest binding was this one and is closed: nothing is left to say.
    fn was_closed(
        &self,
        terminal: i64,
        merchant: i64,
        accounts: Accounts,
    ) -> rusqlite::Result<bool> {
        let latest: Option<(i64, Accounts)> = self
            .db
            .prepare_cached(concat!(
                "SELECT b.merchant, ",
                accounts_of_b!(),
                " FROM binding b WHERE b.terminal = ?1 ORDER BY b.id DESC LIMIT 1",
            ))?
            .query_row([terminal], |row| {
                Ok((row.get(0)?, accounts_of(row.get_ref(1)?.as_str()?)))
            })
            .optional()?;
        Ok(latest.is_some_and(|(was, had)| {
            was == merchant && accounts.iter().all(|(_, account)| had.contains(account))
        }))
    }

    /// The row of the device with the line's serial number, which is put on the inventory when it is new. A
    /// text for a device that serves another terminal.
    fn device(
        &self,
        line: &ImportLine,
        state: BindingState,
    ) -> rusqlite::Result<Result<Option<i64>, String>> {
        if line.serial.is_empty() || !state.is_open() {
            return Ok(Ok(None));
        }
        let added = self
            .db
            .prepare_cached(
                "INSERT OR IGNORE INTO device(acquirer, serial, state) VALUES (?1, ?2, 'deployed')",
            )?
            .execute(params![line.acquirer.0, line.serial])?;
        if added == 1 {
            return Ok(Ok(Some(self.db.last_insert_rowid())));
        }
        let (id, holder): (i64, Option<String>) = self
            .db
            .prepare_cached(
                "SELECT d.id, (SELECT t.terminal_id FROM binding b JOIN terminal t ON t.id = b.terminal \
                 WHERE b.device = d.id AND b.closed_at IS NULL) FROM device d \
                 WHERE d.acquirer = ?1 AND d.serial = ?2",
            )?
            .query_row(params![line.acquirer.0, line.serial], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok(match holder {
            Some(holder) => Err(format!(
                "the device with serial number {} serves terminal {holder}; a device serves one terminal",
                line.serial
            )),
            None => {
                self.db
                    .prepare_cached(
                        "UPDATE device SET state = 'deployed' WHERE id = ?1 AND state <> 'deployed'",
                    )?
                    .execute([id])?;
                Ok(Some(id))
            }
        })
    }

    /// A text when an open binding is with another device than the line says. A binding that has none yet
    /// gets the line's.
    fn other_device(&self, line: &ImportLine, binding: i64) -> rusqlite::Result<Option<String>> {
        if line.serial.is_empty() {
            return Ok(None);
        }
        let serial: Option<String> = self
            .db
            .prepare_cached(
                "SELECT d.serial FROM binding b JOIN device d ON d.id = b.device WHERE b.id = ?1",
            )?
            .query_row([binding], |row| row.get(0))
            .optional()?;
        match serial {
            Some(serial) if *serial == *line.serial => Ok(None),
            Some(_) => Ok(Some(format!(
                "terminal {} is with another device; open a replacement to move it",
                line.terminal
            ))),
            None => match self.device(line, BindingState::Active)? {
                Ok(device) => {
                    self.db
                        .prepare_cached("UPDATE binding SET device = ?2 WHERE id = ?1")?
                        .execute(params![binding, device])?;
                    Ok(None)
                }
                Err(reason) => Ok(Some(reason)),
            },
        }
    }

    /// The terminal's row number, and whether it was added just now.
    fn terminal(&self, line: &ImportLine) -> rusqlite::Result<(i64, bool)> {
        let text = line.terminal.as_str();
        let added = self
            .db
            .prepare_cached(
                "INSERT OR IGNORE INTO terminal(acquirer, terminal_id, serial) VALUES (?1,?2,?3)",
            )?
            .execute(params![line.acquirer.0, text, line.serial])?;
        if added == 1 {
            return Ok((self.db.last_insert_rowid(), true));
        }
        let id = self
            .db
            .prepare_cached("SELECT id FROM terminal WHERE acquirer = ?1 AND terminal_id = ?2")?
            .query_row(params![line.acquirer.0, text], |row| row.get(0))?;
        if !line.serial.is_empty() {
            self.db
                .prepare_cached("UPDATE terminal SET serial = ?2 WHERE id = ?1")?
                .execute(params![id, line.serial])?;
        }
        Ok((id, false))
    }
}
