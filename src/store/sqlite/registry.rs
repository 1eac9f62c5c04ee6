//! The registry in SQLite.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::import::Import;
use super::query::open_to_read;
use super::{
    StoreFile, Sync, affairs, audit, from_sql, limits, open, parcels, to_sql, tokens, writes,
};
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, TerminalId, Timestamp};
use crate::binding::watch::BindingRules;
use crate::binding::watch::WATCH;
use crate::binding::{
    AccountKind, AccountStatus, Accounts, Admission, BindingState, HoldSet, Life, ReasonSet,
    Refusal, RependReason, SerialPrint, TerminalKey,
};
use crate::store::StoreError;
use crate::store::audit::Entry;
use crate::store::registry::{
    Actor, BindingChange, BindingRow, BindingThen, BoundAccount, DirectoryChanges, ImportLine,
    ImportReport, LineProblem, Registry, RegistryError,
};

pub(super) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE acquirer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE merchant (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    merchant_id TEXT NOT NULL,      -- DE42
    name        TEXT NOT NULL,
    mcc         TEXT NOT NULL,
    UNIQUE (acquirer, merchant_id)
);
CREATE TABLE account (
    id        INTEGER PRIMARY KEY,
    acquirer  INTEGER NOT NULL REFERENCES acquirer,
    reference TEXT NOT NULL,        -- the acquirer's own; never a card number
    merchant  INTEGER NOT NULL REFERENCES merchant,
    kind      TEXT NOT NULL,
    status    TEXT NOT NULL,
    UNIQUE (acquirer, reference)
);
CREATE TABLE terminal (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    terminal_id TEXT NOT NULL,      -- DE41
    serial      TEXT NOT NULL,
    UNIQUE (acquirer, terminal_id)
);
CREATE TABLE binding (
    id        INTEGER PRIMARY KEY,
    terminal  INTEGER NOT NULL REFERENCES terminal,
    merchant  INTEGER NOT NULL REFERENCES merchant,
    account   INTEGER NOT NULL REFERENCES account,
    version   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    reasons   INTEGER NOT NULL,     -- a bit each
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
);
-- At most one open binding a terminal.
CREATE UNIQUE INDEX binding_open ON binding(terminal) WHERE closed_at IS NULL;
CREATE INDEX binding_terminal ON binding(terminal);
-- What every version but the first changed; the first is the binding's opening.
CREATE TABLE binding_change (
    binding INTEGER NOT NULL REFERENCES binding,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    state   TEXT NOT NULL,
    reasons INTEGER NOT NULL,
    PRIMARY KEY (binding, version)
) WITHOUT ROWID;
CREATE TABLE account_change (
    account INTEGER NOT NULL REFERENCES account,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    status  TEXT NOT NULL
);
",
    "
-- Which store this is; the other files carry the same number.
CREATE TABLE store (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    id            BLOB NOT NULL,
    journal_begun INTEGER NOT NULL  -- whether there must be a journal
);
INSERT INTO store VALUES (1, randomblob(16), 0);
",
    affairs::schema::MIGRATION,
    audit::MIGRATION,
    writes::MIGRATION,
    tokens::MIGRATION,
    parcels::MIGRATION,
    affairs::schema::PAYMENTS,
    affairs::schema::ALERTS,
    affairs::schema::SPARES,
    limits::MIGRATION,
    affairs::schema::RELEASES,
    affairs::schema::ACCOUNTS,
    affairs::schema::ACQUIRERS,
    affairs::schema::SUSPENSIONS,
    affairs::schema::PAYOUTS,
    affairs::schema::REMINDERS,
    affairs::schema::SECOND_PERSONS,
    affairs::schema::PLANNED,
    affairs::schema::PLACES,
    affairs::schema::REFUNDS,
];

/// See the module.
#[derive(Debug)]
pub struct SqliteRegistry {
    db: Connection,
    path: PathBuf,
    rules: BindingRules,
}

impl SqliteRegistry {
    /// For reading only: the engine refuses what would write.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            db: open_to_read(path, MIGRATIONS)?,
            path: path.to_owned(),
            rules: BindingRules::default(),
        })
    }

    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let db = open(path, StoreFile::Registry, Sync::Full, MIGRATIONS)?;
        // An import of a million terminals touches its indexes at random: with room for them in memory
        // it reads nothing back.
        db.pragma_update(None, "cache_size", -65_536)
            .map_err(StoreError::engine("setting up the registry"))?;
        Ok(Self {
            db,
            path: path.to_owned(),
            rules: BindingRules::default(),
        })
    }

    pub(super) const fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) const fn rules(&self) -> BindingRules {
        self.rules
    }

    pub(super) const fn db_mut(&mut self) -> &mut Connection {
        &mut self.db
    }
}

/// The accounts of a binding `b`, as `bank-card:3 wechat:7`.
macro_rules! accounts_of_b {
    () => {
        "(SELECT z.kind || ':' || z.id FROM account z WHERE z.id = b.account) || coalesce((SELECT \
         group_concat(' ' || z.kind || ':' || z.account, '') FROM account_beside z \
         WHERE z.binding = b.id), '')"
    };
}
pub(super) use accounts_of_b;

const SHOW: &str = concat!(
    "SELECT a.id, t.terminal_id, b.id, b.version, ",
    accounts_of_b!(),
    ", m.merchant_id, b.state, \
    b.reasons, b.holds, m.name, m.mcc, c.reference, c.kind, c.status, coalesce(d.serial, t.serial), \
    b.opened_at, b.closed_at, l.currency, l.day_amount, l.day_count, l.month_amount, l.month_count, (SELECT json_group_array(json_array(y.reference, \
    y.kind, y.status)) FROM account_beside z JOIN account y ON y.id = z.account WHERE z.binding = b.id), \
    b.placement FROM binding b JOIN terminal t ON t.id = b.terminal \
    JOIN acquirer a ON a.id = t.acquirer JOIN merchant m ON m.id = b.merchant \
    JOIN account c ON c.id = b.account LEFT JOIN device d ON d.id = b.device \
    LEFT JOIN sales_limit l ON l.scope = 'terminal' AND l.subject = b.id "
);

impl Registry for SqliteRegistry {
    fn keep_to(&mut self, rules: BindingRules) {
        self.rules = rules;
    }

    fn acquirer(&mut self, name: &str) -> Result<AcquirerId, StoreError> {
        let add = |db: &Connection| -> rusqlite::Result<AcquirerId> {
            db.execute("INSERT OR IGNORE INTO acquirer(name) VALUES (?1)", [name])?;
            db.query_row("SELECT id FROM acquirer WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .map(AcquirerId)
        };
        add(&self.db).map_err(StoreError::engine("naming an acquirer"))
    }

    fn acquirers(&mut self) -> Result<Vec<(AcquirerId, String)>, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = db.prepare("SELECT id, name FROM acquirer ORDER BY id")?;
            let rows = all.query_map([], |row| Ok((AcquirerId(row.get(0)?), row.get(1)?)))?;
            rows.collect()
        };
        read(&self.db).map_err(StoreError::engine("reading the acquirers"))
    }

    fn reader(&self) -> Result<Box<dyn Registry>, StoreError> {
        Ok(Box::new(Self::open(&self.path)?))
    }

    fn binding_count(&mut self) -> Result<usize, StoreError> {
        self.db
            .query_row("SELECT count(*) FROM binding", [], |row| {
                row.get(0).map(|count: u32| count as usize)
            })
            .map_err(StoreError::engine("counting the bindings"))
    }

    fn load(
        &mut self,
        account: &mut dyn FnMut(AccountId, AccountStatus),
        binding: &mut dyn FnMut(TerminalKey, Admission),
    ) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut accounts = self.db.prepare("SELECT id, status FROM account")?;
            let mut rows = accounts.query([])?;
            while let Some(row) = rows.next()? {
                account(AccountId(row.get(0)?), status_of(row, 1)?);
            }
            let mut bindings = self.db.prepare(concat!(
                "SELECT t.acquirer, t.terminal_id, b.id, b.version, ",
                accounts_of_b!(),
                ", m.merchant_id, \
                 b.state, b.reasons, b.holds, coalesce(d.serial, t.serial) FROM binding b \
                 JOIN terminal t ON t.id = b.terminal JOIN merchant m ON m.id = b.merchant \
                 LEFT JOIN device d ON d.id = b.device ORDER BY b.id",
            ))?;
            let mut rows = bindings.query([])?;
            while let Some(row) = rows.next()? {
                let (key, admission) = admission_of(row, 9)?;
                binding(key, admission);
            }
            Ok(())
        };
        read().map_err(StoreError::engine("loading the bindings"))
    }

    fn import(
        &mut self,
        lines: &mut dyn Iterator<Item = Result<ImportLine, LineProblem>>,
        actor: &Actor,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(ImportReport, DirectoryChanges), RegistryError> {
        let fail = StoreError::engine;
        let rules = self.rules;
        let step = self.db.savepoint().map_err(fail("starting an import"))?;
        let mut import = Import::new(&step, actor, rules);
        for line in lines {
            match line {
                Ok(line) => import.line(&line).map_err(fail("importing a terminal"))?,
                Err(LineProblem { line, reason }) => import.problem(line, reason),
            }
            if import.report.lines.is_multiple_of(10_000) {
                progress(import.report.lines);
            }
        }
        let Import {
            report,
            changes,
            problems,
            ..
        } = import;
        if !problems.is_empty() {
            // Dropping the transaction takes everything back.
            return Err(RegistryError::Lines(problems));
        }
        audit::append(&step, actor, &imported(&report)).map_err(fail("importing terminals"))?;
        step.commit().map_err(fail("committing an import"))?;
        Ok((report, changes))
    }

    fn show(&mut self, key: TerminalKey) -> Result<Option<BindingRow>, StoreError> {
        self.db
            .prepare_cached(&format!(
                "{SHOW} WHERE t.acquirer = ?1 AND t.terminal_id = ?2 ORDER BY b.id DESC LIMIT 1"
            ))
            .and_then(|mut one| {
                one.query_row(params![key.acquirer.0, key.terminal.as_str()], binding_row)
                    .optional()
            })
            .map_err(StoreError::engine("reading a binding"))
    }

    fn export(&mut self, each: &mut dyn FnMut(BindingRow) -> bool) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut all = self.db.prepare(&format!(
                "{SHOW} WHERE b.id = (SELECT max(id) FROM binding WHERE terminal = t.id) \
                 ORDER BY t.acquirer, t.terminal_id"
            ))?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                if !each(binding_row(row)?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(StoreError::engine("exporting the bindings"))
    }

    fn set_state(
        &mut self,
        key: TerminalKey,
        state: BindingState,
        reasons: ReasonSet,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<DirectoryChanges, RegistryError> {
        if !Life::fits(state, reasons) {
            return Err(RegistryError::Reasons);
        }
        let Some(before) = self.show(key)? else {
            return Err(self.unknown("terminal", key.terminal.as_str(), key.acquirer)?);
        };
        if !before.admission.state.is_open() {
            return Err(RegistryError::Closed {
                terminal: key.terminal.to_string(),
            });
        }
        let found = before.admission.version;
        if let Some(expected) = expected.filter(|e| *e != found) {
            let what = "the binding";
            return Err(RegistryError::Stale {
                what,
                found,
                expected,
            });
        }
        let life = Life::new(before.admission.state, before.admission.reasons);
        let set = life.by_hand(state, reasons);
        if !life.only_stops(set) || ends(set.state) {
            let case = case_that_decides(&self.db, before.admission.binding, set.state);
            let case = case.map_err(StoreError::engine("looking for a case"))?;
            if let Some(case) = case {
                return Err(Refusal::Taken {
                    what: "the terminal's state",
                    holder: format!("case {case}").into(),
                    remedy: "go on with the case, or cancel it (`posgate case show`)",
                }
                .into());
            }
        }
        let after = Admission {
            state: set.state,
            reasons: set.reasons,
            version: found + 1,
            ..before.admission
        };
        let acquirer = self.acquirer_name(key.acquirer)?;
        let rules = self.rules;
        let step = self
            .db
            .savepoint()
            .map_err(StoreError::engine("starting a change"))?;
        write_state(&step, after, actor, rules)
            .and_then(|()| {
                let told = state_told(&acquirer, key, before.admission, after);
                audit::append(&step, actor, &told)
            })
            .map_err(StoreError::engine("changing a binding"))?;
        step.commit()
            .map_err(StoreError::engine("committing a change"))?;
        Ok(DirectoryChanges {
            bindings: vec![(key, after)],
            ..DirectoryChanges::default()
        })
    }

    fn set_account(
        &mut self,
        acquirer: AcquirerId,
        account: &str,
        status: AccountStatus,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<DirectoryChanges, RegistryError> {
        let Some((id, _, before)) = self.account(acquirer, account)? else {
            return Err(self.unknown("account", account, acquirer)?);
        };
        let found = self.account_version(id)?;
        if let Some(expected) = expected.filter(|e| *e != found) {
            return Err(RegistryError::Stale {
                what: "the account",
                found,
                expected,
            });
        }
        if before == AccountStatus::Closed && status != AccountStatus::Closed {
            let (thing, state) = ("account", before.name());
            let (verb, remedy) = (
                "opened again",
                "closed accounts never change; open another one",
            );
            return Err(RegistryError::Refused(Refusal::State {
                thing,
                state,
                verb,
                remedy,
            }));
        }
        let subject = format!("account {}/{account}", self.acquirer_name(acquirer)?);
        let shown =
            |status: AccountStatus, version| json!({ "status": status.name(), "version": version });
        let told = Entry::new("account.status_set", subject)
            .change(shown(before, found), shown(status, found + 1));
        self.within("changing an account", |db| {
            db.execute(
                "UPDATE account SET status = ?2, verified = (verified OR ?3) AND ?2 <> 'invalid' WHERE id = ?1",
                params![id.0, status.name(), status.is_usable()],
            )?;
            db.execute(
                "INSERT INTO account_change(account, at, actor, status) VALUES (?1, ?2, ?3, ?4)",
                params![id.0, to_sql(actor.at.0), actor.name, status.name()],
            )?;
            audit::append(db, actor, &told)
        })?;
        Ok(DirectoryChanges {
            accounts: vec![(id, status)],
            ..DirectoryChanges::default()
        })
    }

    fn account_version(&mut self, account: AccountId) -> Result<u32, StoreError> {
        self.db
            .prepare_cached("SELECT 1 + count(*) FROM account_change WHERE account = ?1")
            .and_then(|mut one| one.query_row([account.0], |row| row.get(0)))
            .map_err(StoreError::engine("reading an account's version"))
    }

    fn account(
        &mut self,
        acquirer: AcquirerId,
        account: &str,
    ) -> Result<Option<(AccountId, String, AccountStatus)>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT id, kind, status FROM account WHERE acquirer = ?1 AND reference = ?2",
            )
            .and_then(|mut one| {
                one.query_row(params![acquirer.0, account], |row| {
                    Ok((AccountId(row.get(0)?), row.get(1)?, status_of(row, 2)?))
                })
                .optional()
            })
            .map_err(StoreError::engine("reading an account"))
    }

    fn account_name(
        &mut self,
        account: AccountId,
    ) -> Result<Option<(AcquirerId, String)>, StoreError> {
        self.db
            .prepare_cached("SELECT acquirer, reference FROM account WHERE id = ?1")
            .and_then(|mut one| {
                one.query_row([account.0], |row| {
                    Ok((AcquirerId(row.get(0)?), row.get(1)?))
                })
                .optional()
            })
            .map_err(StoreError::engine("reading an account's name"))
    }

    fn binding(&mut self, binding: BindingId) -> Result<Option<BindingRow>, StoreError> {
        self.db
            .prepare_cached(&format!("{SHOW} WHERE b.id = ?1"))
            .and_then(|mut one| one.query_row([to_sql(binding.0)], binding_row).optional())
            .map_err(StoreError::engine("reading a binding"))
    }

    fn binding_at(
        &mut self,
        key: TerminalKey,
        at: Timestamp,
    ) -> Result<Option<BindingThen>, StoreError> {
        self.read_binding_at(key, at)
            .map_err(StoreError::engine("reading what a binding was"))
    }

    fn binding_changes(&mut self, binding: BindingId) -> Result<Vec<BindingChange>, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = db.prepare_cached(
                "SELECT version, at, actor, state, reasons, event, note, checker FROM binding_change \
                 WHERE binding = ?1 ORDER BY version",
            )?;
            let rows = all.query_map([to_sql(binding.0)], |row| {
                Ok(BindingChange {
                    version: row.get(0)?,
                    at: Timestamp(from_sql(row.get(1)?)),
                    actor: row.get(2)?,
                    state: state_of(row.get_ref(3)?.as_str()?),
                    reasons: ReasonSet::from_bits(row.get(4)?),
                    event: row.get(5)?,
                    note: row.get(6)?,
                    checker: row.get(7)?,
                })
            })?;
            rows.collect()
        };
        read(&self.db).map_err(StoreError::engine("reading a binding's changes"))
    }
}

impl SqliteRegistry {
    fn unknown(
        &mut self,
        what: &'static str,
        name: &str,
        acquirer: AcquirerId,
    ) -> Result<RegistryError, StoreError> {
        Ok(RegistryError::Unknown {
            what,
            name: name.to_owned(),
            acquirer: self.acquirer_name(acquirer)?,
        })
    }

    fn acquirer_name(&mut self, acquirer: AcquirerId) -> Result<String, StoreError> {
        let names = self.acquirers()?;
        let name = names.into_iter().find(|(id, _)| *id == acquirer);
        Ok(name.map_or_else(|| acquirer.0.to_string(), |(_, name)| name))
    }
}

/// What the audit trail says of a binding's new state.
pub(super) fn state_told(
    acquirer: &str,
    key: TerminalKey,
    before: Admission,
    after: Admission,
) -> Entry {
    let shown = |admission: Admission| {
        let reasons: Vec<_> = admission.reasons.iter().map(RependReason::name).collect();
        json!({
            "binding": admission.binding.0,
            "version": admission.version,
            "state": admission.state.name(),
            "reasons": reasons,
        })
    };
    let subject = format!("terminal {acquirer}/{}", key.terminal);
    Entry::new("binding.state_set", subject).change(shown(before), shown(after))
}

/// What the audit trail says of an import as a whole. Bindings that it changed have events of their own; what
/// is new is told by number, and is in the registry with the time of the import.
fn imported(report: &ImportReport) -> Entry {
    Entry::new("terminals.imported", "registry").with(json!({
        "lines": report.lines,
        "bound": report.bound,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "merchants": report.merchants,
        "accounts": report.accounts,
    }))
}

/// Whether it is what an unbinding comes to.
const fn ends(state: BindingState) -> bool {
    matches!(state, BindingState::Unbinding | BindingState::Unbound)
}

/// The open case that a binding's state is decided in: a change to `after` by hand under it would leave it without an
/// end. Of an unbinding that has not begun to drain that is its own end only.
pub(super) fn case_that_decides(
    db: &Connection,
    binding: BindingId,
    after: BindingState,
) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached(
        "SELECT id FROM case_file WHERE is_over = 0 AND (kind = 'replacement' \
         AND (binding = ?1 OR json_extract(body, '$.new_binding') = ?1) \
         OR kind = 'unbinding' AND binding = ?1 AND (?2 OR stage = 'draining'))",
    )?
    .query_row(params![to_sql(binding.0), ends(after)], |row| {
        row.get(0).map(from_sql)
    })
    .optional()
}

/// Writes down how a binding was opened, before its first change is written over it: most bindings never change, and a
/// million of them are opened by one import.
pub(super) fn keep_opening(db: &Connection, binding: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO binding_change(binding, version, at, actor, state, reasons, event, account, device, \
         holds, others) SELECT id, 1, opened_at, opened_by, state, reasons, 'binding.opened', account, device, holds, \
         coalesce((SELECT group_concat(kind || ':' || account, ' ') FROM account_beside \
         WHERE binding = ?1), '') FROM binding WHERE id = ?1 AND version = 1",
    )?
    .execute([binding])?;
    Ok(())
}

/// Writes a new version of a binding with its history.
pub(super) fn write_state(
    db: &Connection,
    after: Admission,
    actor: &Actor,
    rules: BindingRules,
) -> rusqlite::Result<()> {
    let (id, at) = (to_sql(after.binding.0), to_sql(actor.at.0));
    let closed_at = (!after.state.is_open()).then_some(at);
    let (state, reasons) = (after.state.name(), after.reasons.bits());
    keep_opening(db, id)?;
    db.prepare_cached(
        "UPDATE binding SET state = ?2, reasons = ?3, version = ?4, closed_at = ?5, \
         suspended = CASE ?2 WHEN 'suspended' THEN 1 WHEN 'unbinding' THEN suspended ELSE 0 END, \
         pended_at = CASE WHEN ?2 <> 're-pending' THEN NULL ELSE coalesce(pended_at, ?6) END WHERE id = ?1",
    )?
    .execute(params![id, state, reasons, after.version, closed_at, at])?;
    db.prepare_cached(
        "INSERT INTO binding_change(binding, version, at, actor, state, reasons, event, account, device, holds, \
         others) SELECT id, version, ?2, ?3, state, reasons, 'binding.state_set', account, device, holds, \
         coalesce((SELECT group_concat(kind || ':' || account, ' ') FROM account_beside \
         WHERE binding = ?1), '') FROM binding WHERE id = ?1",
    )?
    .execute(params![id, at, actor.name])?;
    if !after.state.is_open() {
        // As at the end of a case.
        let until = |span| to_sql(actor.at.after(span).0);
        db.prepare_cached(
            "UPDATE terminal SET watched_until = ?2, quarantined_until = ?3 \
             WHERE id = (SELECT terminal FROM binding WHERE id = ?1)",
        )?
        .execute(params![id, until(WATCH), until(rules.quarantine)])?;
        affairs::let_device_go(db, after.binding, actor, rules)?;
    }
    Ok(())
}

fn status_of(row: &Row<'_>, at: usize) -> rusqlite::Result<AccountStatus> {
    let name: String = row.get(at)?;
    // A status this build does not know is no reason to take money.
    Ok(AccountStatus::from_name(&name).unwrap_or(AccountStatus::Unverified))
}

/// A state this build does not know is no reason to take money either.
pub(super) fn state_of(name: &str) -> BindingState {
    BindingState::from_name(name).unwrap_or(BindingState::Suspended)
}

/// Accounts as SQL gives them: [`accounts_of_b`].
pub(super) fn accounts_of(text: &str) -> Accounts {
    let listed = text.split(' ').filter_map(|word| {
        let (kind, account) = word.split_once(':')?;
        let kind = AccountKind::from_name(kind).unwrap_or(AccountKind::BankCard);
        Some((kind, AccountId(account.parse().ok()?)))
    });
    let none = Accounts::one(AccountKind::BankCard, AccountId(0));
    listed.fold(none, |all, (kind, account)| all.with(kind, account))
}

/// Writes down which accounts a binding has beside its first.
pub(super) fn write_accounts(
    db: &Connection,
    binding: i64,
    accounts: Accounts,
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM account_beside WHERE binding = ?1")?
        .execute([binding])?;
    let mut add = db.prepare_cached("INSERT INTO account_beside VALUES (?1, ?2, ?3)")?;
    for (kind, account) in accounts.iter().skip(1) {
        add.execute(params![binding, kind.name(), account.0])?;
    }
    Ok(())
}

/// Columns: acquirer, terminal id, binding, version, accounts, merchant id, state, reasons, holds; and the device's
/// serial number at `serial`.
pub(super) fn admission_of(
    row: &Row<'_>,
    serial: usize,
) -> rusqlite::Result<(TerminalKey, Admission)> {
    let terminal = row.get_ref(1)?.as_str()?;
    let merchant = row.get_ref(5)?.as_str()?;
    let state = row.get_ref(6)?.as_str()?;
    let key = TerminalKey {
        acquirer: AcquirerId(row.get(0)?),
        terminal: TerminalId::parse(terminal).unwrap_or(TerminalId::from_padded([b' '; 8])),
    };
    let admission = Admission {
        binding: BindingId(from_sql(row.get(2)?)),
        version: row.get(3)?,
        accounts: accounts_of(row.get_ref(4)?.as_str()?),
        merchant: MerchantId::parse(merchant).unwrap_or(MerchantId::from_padded([b' '; 15])),
        state: state_of(state),
        reasons: ReasonSet::from_bits(row.get(7)?),
        holds: HoldSet::from_bits(row.get(8)?),
        device: SerialPrint::of(row.get_ref(serial)?.as_bytes_or_null()?.unwrap_or_default()),
    };
    Ok((key, admission))
}

impl SqliteRegistry {
    /// Open bindings of a merchant by terminal id, at most so many, and whether there are more.
    pub(super) fn read_merchant_terminals(
        &self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        most: u32,
    ) -> rusqlite::Result<(Vec<BindingRow>, bool)> {
        let mut all = self.db.prepare_cached(&format!(
            "{SHOW} WHERE m.acquirer = ?1 AND m.merchant_id = ?2 AND b.closed_at IS NULL \
             ORDER BY t.terminal_id LIMIT ?3 + 1"
        ))?;
        let rows = all.query_map(params![acquirer.0, merchant.as_str(), most], binding_row)?;
        let mut found: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        let more = found.len() > most as usize;
        found.truncate(most as usize);
        Ok((found, more))
    }
}

/// What a terminal was at a time: the binding that was open then, and the last that had changed it.
const THEN: &str = "SELECT b.id, m.merchant_id, b.opened_at, b.closed_at, \
    coalesce(c.version, iif(b.version = 1, 1, NULL)), coalesce(c.at, b.opened_at), \
    iif(b.version = 1, b.state, c.state), iif(b.version = 1, b.reasons, c.reasons), \
    iif(b.version = 1, b.holds, c.holds), a.reference, d.serial, \
    coalesce((SELECT json_group_array(o.reference) FROM account o \
        WHERE instr(' ' || c.others || ' ', ':' || o.id || ' ') \
        OR (b.version = 1 AND o.id IN (SELECT account FROM account_beside WHERE binding = b.id))), '[]') \
    FROM binding b JOIN terminal t ON t.id = b.terminal JOIN merchant m ON m.id = b.merchant \
    LEFT JOIN binding_change c ON c.binding = b.id AND c.version = \
        (SELECT max(version) FROM binding_change WHERE binding = b.id AND at <= ?3) \
    LEFT JOIN account a ON a.id = iif(b.version = 1, b.account, c.account) \
    LEFT JOIN device d ON d.id = iif(b.version = 1, b.device, c.device) \
    WHERE t.acquirer = ?1 AND t.terminal_id = ?2 AND b.opened_at <= ?3 \
    AND (b.closed_at IS NULL OR b.closed_at > ?3) ORDER BY b.id DESC LIMIT 1";

impl SqliteRegistry {
    fn read_binding_at(
        &self,
        key: TerminalKey,
        at: Timestamp,
    ) -> rusqlite::Result<Option<BindingThen>> {
        let of = params![key.acquirer.0, key.terminal.as_str(), to_sql(at.0)];
        let then = |row: &Row<'_>| {
            let closed_at: Option<i64> = row.get(3)?;
            let state: Option<String> = row.get(6)?;
            let (reasons, holds): (Option<u8>, Option<u8>) = (row.get(7)?, row.get(8)?);
            let others: Vec<String> =
                serde_json::from_str(row.get_ref(11)?.as_str()?).unwrap_or_default();
            let account: Option<String> = row.get(9)?;
            Ok(BindingThen {
                binding: BindingId(from_sql(row.get(0)?)),
                merchant: row.get(1)?,
                opened_at: Timestamp(from_sql(row.get(2)?)),
                closed_at: closed_at.map(|at| Timestamp(from_sql(at))),
                version: row.get(4)?,
                since: Timestamp(from_sql(row.get(5)?)),
                state: state.map(|name| state_of(&name)),
                reasons: ReasonSet::from_bits(reasons.unwrap_or_default()),
                holds: HoldSet::from_bits(holds.unwrap_or_default()),
                accounts: account.into_iter().chain(others).collect(),
                serial: row.get(10)?,
            })
        };
        let mut one = self.db.prepare_cached(THEN)?;
        one.query_row(of, then).optional()
    }
}

fn binding_row(row: &Row<'_>) -> rusqlite::Result<BindingRow> {
    let (key, admission) = admission_of(row, 14)?;
    let closed_at: Option<i64> = row.get(16)?;
    Ok(BindingRow {
        key,
        admission,
        merchant_name: row.get(9)?,
        mcc: row.get(10)?,
        account: row.get(11)?,
        account_kind: row.get(12)?,
        account_status: status_of(row, 13)?,
        serial: row.get(14)?,
        opened_at: Timestamp(from_sql(row.get(15)?)),
        closed_at: closed_at.map(|at| Timestamp(from_sql(at))),
        limits: limits::limits_of(row, 17)?,
        others: others_of(row.get_ref(22)?.as_str()?),
        placement: row.get(23)?,
    })
}

/// Accounts beside the first, in the order of their kinds.
fn others_of(json: &str) -> Vec<BoundAccount> {
    let listed: Vec<(String, String, String)> = serde_json::from_str(json).unwrap_or_default();
    let mut all: Vec<_> = listed
        .into_iter()
        .map(|(reference, kind, status)| BoundAccount {
            reference,
            kind,
            status: AccountStatus::from_name(&status).unwrap_or(AccountStatus::Unverified),
        })
        .collect();
    all.sort_by_key(|account| AccountKind::from_name(&account.kind));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::RependReason;

    fn registry() -> (tempfile::TempDir, SqliteRegistry) {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = SqliteRegistry::open(&folder.path().join("registry.db")).unwrap();
        assert_eq!(registry.acquirer("acme").unwrap(), AcquirerId(1));
        (folder, registry)
    }

    fn actor() -> Actor {
        Actor::program("test", Timestamp(1_000))
    }

    fn line(number: u64, terminal: &str, merchant: &str, account: &str) -> ImportLine {
        ImportLine {
            line: number,
            acquirer: AcquirerId(1),
            terminal: TerminalId::parse(terminal).unwrap(),
            merchant: MerchantId::parse(merchant).unwrap(),
            merchant_name: "Shop".into(),
            mcc: "5411".into(),
            account: account.into(),
            account_kind: "bank-card".into(),
            account_status: AccountStatus::Verified,
            serial: "".into(),
            state: None,
            limits: None,
            others: Vec::new(),
            placement: "".into(),
            reasons: ReasonSet::EMPTY,
        }
    }

    fn import(
        registry: &mut SqliteRegistry,
        lines: Vec<ImportLine>,
    ) -> Result<(ImportReport, DirectoryChanges), RegistryError> {
        registry.import(&mut lines.into_iter().map(Ok), &actor(), &mut |_| {})
    }

    fn key(terminal: &str) -> TerminalKey {
        let terminal = TerminalId::parse(terminal).unwrap();
        TerminalKey {
            acquirer: AcquirerId(1),
            terminal,
        }
    }

    /// As with limits: what another person would have to agree to is no matter for an import.
    #[test]
    fn an_import_says_where_a_device_stands_where_nobody_did() {
        let (_folder, mut registry) = registry();
        let at = |place: &str| {
            let mut line = line(2, "T1", "M1", "A1");
            line.placement = place.into();
            vec![line]
        };
        let (report, _) = import(&mut registry, at("")).unwrap();
        assert_eq!(report.bound, 1);
        let (report, changes) = import(&mut registry, at("1 Long Street")).unwrap();
        assert_eq!((report.changed, report.unchanged), (1, 0));
        assert_eq!(changes.bindings.len(), 1, "the gate learns the version");
        let row = registry.show(key("T1")).unwrap().unwrap();
        assert_eq!(
            (&*row.placement, row.admission.version),
            ("1 Long Street", 2)
        );
        assert_eq!(row.admission.state, BindingState::Active);
        for same in ["1 Long Street", ""] {
            let (report, _) = import(&mut registry, at(same)).unwrap();
            assert_eq!(report.unchanged, 1, "{same}");
        }
        let refused = import(&mut registry, at("2 Short Street")).unwrap_err();
        assert!(
            format!("{refused:?}").contains("posgate binding place"),
            "{refused:?}"
        );
        // A new binding has it from the beginning.
        let mut other = at("3 High Street");
        other[0].terminal = TerminalId::parse("T2").unwrap();
        import(&mut registry, other).unwrap();
        let row = registry.show(key("T2")).unwrap().unwrap();
        assert_eq!(
            (&*row.placement, row.admission.version),
            ("3 High Street", 1)
        );
    }

    #[test]
    fn what_drains_at_an_upgrade_gets_back_what_it_had() {
        let db = Connection::open_in_memory().unwrap();
        for step in &MIGRATIONS[..14] {
            db.execute_batch(step).unwrap();
        }
        db.execute_batch(
            "INSERT INTO acquirer(id, name) VALUES (1, 'acme');
             INSERT INTO merchant(id, acquirer, merchant_id, name, mcc) VALUES (1, 1, 'M', '', '');
             INSERT INTO account(id, acquirer, reference, merchant, kind, status)
                 VALUES (1, 1, 'A', 1, 'bank-card', 'verified');
             INSERT INTO terminal(id, acquirer, terminal_id, serial) VALUES (1, 1, 'T1', ''), (2, 1, 'T2', '');
             INSERT INTO binding(id, terminal, merchant, account, version, state, reasons, opened_at)
                 VALUES (1, 1, 1, 1, 4, 'unbinding', 0, 0), (2, 2, 1, 1, 1, 'suspended', 1, 0);
             INSERT INTO binding_change(binding, version, at, actor, state, reasons)
                 VALUES (1, 2, 0, '', 're-pending', 1), (1, 3, 0, '', 'suspended', 33), (1, 4, 0, '', 'unbinding', 0);",
        )
        .unwrap();
        db.execute_batch(MIGRATIONS[14]).unwrap();
        let mut all = db
            .prepare("SELECT reasons, suspended FROM binding ORDER BY id")
            .unwrap();
        let found = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let found: Vec<(u8, bool)> = found.unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [(33, true), (1, true)]);
    }

    #[test]
    fn importing_again_changes_nothing() {
        let (_folder, mut registry) = registry();
        let lines = || vec![line(2, "T1", "M1", "A1"), line(3, "T2", "M1", "A1")];
        let (first, changes) = import(&mut registry, lines()).unwrap();
        assert_eq!((first.bound, first.merchants, first.accounts), (2, 1, 1));
        assert_eq!((changes.bindings.len(), changes.accounts.len()), (2, 1));
        let (second, changes) = import(&mut registry, lines()).unwrap();
        assert_eq!((second.bound, second.unchanged, second.changed), (0, 2, 0));
        assert!(changes.bindings.is_empty());
    }

    #[test]
    fn one_bad_line_takes_everything_back_and_every_bad_line_is_named() {
        let (_folder, mut registry) = registry();
        import(&mut registry, vec![line(2, "T0", "M0", "A0")]).unwrap();
        let refused = import(
            &mut registry,
            vec![
                line(2, "T1", "M1", "A1"),
                line(3, "T1", "M1", "A1"),
                line(4, "T2", "M2", "A1"),
                line(5, "T0", "M1", "A1"),
            ],
        );
        let Err(RegistryError::Lines(problems)) = refused else {
            panic!("accepted")
        };
        let named: Vec<_> = problems
            .iter()
            .map(|p| (p.line, p.reason.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                (3, "terminal T1 is on line 2 already"),
                (4, "account A1 belongs to another merchant"),
                (
                    5,
                    "terminal T0 is bound to another merchant; set its state to unbound first"
                ),
            ]
        );
        assert_eq!(registry.show(key("T1")).unwrap(), None);
    }

    #[test]
    fn a_state_change_is_a_new_version_and_stale_callers_are_told() {
        let (_folder, mut registry) = registry();
        import(&mut registry, vec![line(2, "T1", "M1", "A1")]).unwrap();
        let reasons = ReasonSet::EMPTY.with(RependReason::Phone);
        let changes = registry
            .set_state(
                key("T1"),
                BindingState::RePending,
                reasons,
                Some(1),
                &actor(),
            )
            .unwrap();
        assert_eq!(changes.bindings[0].1.version, 2);
        let stale = registry.set_state(
            key("T1"),
            BindingState::Active,
            ReasonSet::EMPTY,
            Some(1),
            &actor(),
        );
        assert!(matches!(
            stale,
            Err(RegistryError::Stale {
                found: 2,
                expected: 1,
                ..
            })
        ));
        let without = registry.set_state(
            key("T1"),
            BindingState::RePending,
            ReasonSet::EMPTY,
            None,
            &actor(),
        );
        assert!(matches!(without, Err(RegistryError::Reasons)));
    }

    #[test]
    fn a_line_without_a_state_leaves_the_state_alone() {
        let (_folder, mut registry) = registry();
        let again = || vec![line(2, "T1", "M1", "A1")];
        import(&mut registry, again()).unwrap();
        let suspended = BindingState::Suspended;
        registry
            .set_state(key("T1"), suspended, ReasonSet::EMPTY, None, &actor())
            .unwrap();
        let (report, changes) = import(&mut registry, again()).unwrap();
        assert_eq!((report.unchanged, changes.bindings.len()), (1, 0));
        let shown = registry.show(key("T1")).unwrap().unwrap();
        assert_eq!(shown.admission.state, suspended);
    }

    #[test]
    fn a_closed_binding_stays_closed_and_the_terminal_can_be_bound_anew() {
        let (_folder, mut registry) = registry();
        import(&mut registry, vec![line(2, "T1", "M1", "A1")]).unwrap();
        let close = |r: &mut SqliteRegistry| {
            r.set_state(
                key("T1"),
                BindingState::Unbound,
                ReasonSet::EMPTY,
                None,
                &actor(),
            )
        };
        close(&mut registry).unwrap();
        assert!(matches!(
            close(&mut registry),
            Err(RegistryError::Closed { .. })
        ));
        let (report, _) = import(&mut registry, vec![line(2, "T1", "M2", "A2")]).unwrap();
        assert_eq!(
            (report.bound, report.unchanged),
            (0, 1),
            "a file without states revives nothing"
        );
        let anew = |merchant: &str, account: &str| ImportLine {
            state: Some(BindingState::Active),
            ..line(2, "T1", merchant, account)
        };
        // Its own merchant may have it back, others not before its quarantine is over.
        let Err(RegistryError::Lines(problems)) = import(&mut registry, vec![anew("M2", "A2")])
        else {
            panic!("it is given away");
        };
        assert!(problems[0].reason.contains("goes to nobody else before"));
        let (report, _) = import(&mut registry, vec![anew("M1", "A1")]).unwrap();
        assert_eq!(report.bound, 1);
        let mut loaded = Vec::new();
        registry
            .load(&mut |_, _| {}, &mut |_, a| {
                loaded.push((a.binding.0, a.state));
            })
            .unwrap();
        assert_eq!(
            loaded,
            [(1, BindingState::Unbound), (2, BindingState::Active)]
        );
    }

    #[test]
    fn accounts_change_by_their_reference() {
        let (_folder, mut registry) = registry();
        import(&mut registry, vec![line(2, "T1", "M1", "A1")]).unwrap();
        let acquirer = AcquirerId(1);
        let changes = registry
            .set_account(acquirer, "A1", AccountStatus::Frozen, None, &actor())
            .unwrap();
        assert_eq!(changes.accounts, [(AccountId(1), AccountStatus::Frozen)]);
        let (_, kind, status) = registry.account(acquirer, "A1").unwrap().unwrap();
        assert_eq!(
            (kind.as_str(), status),
            ("bank-card", AccountStatus::Frozen)
        );
        let unknown = registry.set_account(acquirer, "A9", AccountStatus::Frozen, None, &actor());
        assert_eq!(
            unknown.unwrap_err().to_string(),
            "no account A9 at acquirer acme"
        );
    }
}
