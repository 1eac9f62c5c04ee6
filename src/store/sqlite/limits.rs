//! Limits in `registry.db`: what may be taken, by whom together, and every change of it.
//!
//! A limit belongs to a counter, which is named after what had it first. Every binding of a line of replacements, and
//! every merchant with the same identity document, has a row of its own that names the counter: so no shop gets a
//! second limit with a new device, and no person with a second shop.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{from_sql, to_sql};
use crate::base::{AccountId, AcquirerId, BindingId, Currency, MerchantId};
use crate::binding::counters::{CounterName, LimitSet, Subject};
use crate::binding::limit::{LimitScope, Limits};
use crate::store::registry::Actor;

pub(super) const MIGRATION: &str = "
CREATE TABLE sales_limit (
    scope        TEXT NOT NULL,     -- terminal, account, merchant
    subject      INTEGER NOT NULL,  -- binding, account or merchant
    counter      INTEGER NOT NULL,  -- the subject that had it first; several share one
    version      INTEGER NOT NULL,
    currency     TEXT NOT NULL,     -- DE49
    day_amount   INTEGER,           -- smallest unit; NULL: no limit
    day_count    INTEGER,
    month_amount INTEGER,
    month_count  INTEGER,
    PRIMARY KEY (scope, subject)
) WITHOUT ROWID;
CREATE INDEX sales_limit_counter ON sales_limit(scope, counter);
CREATE TABLE sales_limit_change (
    scope        TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    currency     TEXT NOT NULL,
    day_amount   INTEGER,
    day_count    INTEGER,
    month_amount INTEGER,
    month_count  INTEGER,
    note         TEXT NOT NULL,
    checker      TEXT NOT NULL,
    PRIMARY KEY (scope, counter, version)
) WITHOUT ROWID;
CREATE TRIGGER sales_limit_change_fixed BEFORE UPDATE ON sales_limit_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER sales_limit_change_kept BEFORE DELETE ON sales_limit_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
";

/// A limit as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: CounterName,
    pub(super) version: u32,
    pub(super) limits: Limits,
}

/// The columns of limits, from that one on; [`Limits::NONE`] where there is no row.
pub(super) fn limits_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Limits> {
    let currency = row.get_ref(at)?.as_str_or_null()?;
    let number = |at: usize| row.get::<_, Option<i64>>(at).map(|held| held.map(from_sql));
    Ok(Limits {
        currency: currency
            .and_then(|text| Currency::from_slice(text.as_bytes()))
            .unwrap_or(Currency::NONE),
        day_amount: number(at + 1)?,
        day_count: number(at + 2)?,
        month_amount: number(at + 3)?,
        month_count: number(at + 4)?,
    })
}

/// The limit of the first of these that has one.
pub(super) fn find(
    db: &Connection,
    scope: LimitScope,
    subjects: &[i64],
) -> rusqlite::Result<Option<Found>> {
    let mut one = db.prepare_cached(
        "SELECT counter, version, currency, day_amount, day_count, month_amount, month_count \
         FROM sales_limit WHERE scope = ?1 AND subject = ?2",
    )?;
    for subject in subjects {
        let found = one
            .query_row(params![scope.name(), subject], |row| {
                Ok(Found {
                    name: CounterName {
                        scope,
                        number: from_sql(row.get(0)?),
                    },
                    version: row.get(1)?,
                    limits: limits_of(row, 2)?,
                })
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Writes a limit for all who share it, with its history. Gives what the gate has to learn.
pub(super) fn write(
    db: &Connection,
    actor: &Actor,
    found: &Found,
    subjects: &[i64],
    (note, checker): (&str, &str),
) -> rusqlite::Result<LimitSet> {
    let Found {
        name,
        version,
        limits,
    } = *found;
    let (scope, counter) = (name.scope.name(), to_sql(name.number));
    let currency = limits.currency.to_string();
    let [day_amount, day_count, month_amount, month_count] = [
        limits.day_amount,
        limits.day_count,
        limits.month_amount,
        limits.month_count,
    ]
    .map(|most| most.map(to_sql));
    let mut insert = db
        .prepare_cached("INSERT OR REPLACE INTO sales_limit VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?;
    let mut all: Vec<i64> = subjects.to_vec();
    all.extend(sharing(db, name)?);
    all.sort_unstable();
    all.dedup();
    for subject in &all {
        insert.execute(params![
            scope,
            subject,
            counter,
            version,
            currency,
            day_amount,
            day_count,
            month_amount,
            month_count
        ])?;
    }
    db.prepare_cached(
        "INSERT INTO sales_limit_change VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    )?
    .execute(params![
        scope,
        counter,
        version,
        to_sql(actor.at.0),
        actor.name,
        currency,
        day_amount,
        day_count,
        month_amount,
        month_count,
        note,
        checker
    ])?;
    set_of(db, name, limits, &all)
}

/// One more shares the limit that another has. `None` when the other has none.
pub(super) fn share(
    db: &Connection,
    scope: LimitScope,
    with: i64,
    one_more: i64,
) -> rusqlite::Result<Option<LimitSet>> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO sales_limit SELECT scope, ?3, counter, version, currency, day_amount, \
         day_count, month_amount, month_count FROM sales_limit WHERE scope = ?1 AND subject = ?2",
    )?
    .execute(params![scope.name(), with, one_more])?;
    match find(db, scope, &[one_more])? {
        Some(found) => set_of(db, found.name, found.limits, &[one_more]).map(Some),
        None => Ok(None),
    }
}

/// All who share a counter.
fn sharing(db: &Connection, name: CounterName) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT subject FROM sales_limit WHERE scope = ?1 AND counter = ?2")?
        .query_map(params![name.scope.name(), to_sql(name.number)], |row| {
            row.get(0)
        })?
        .collect()
}

/// What the gate has to learn of a limit that was set for these.
fn set_of(
    db: &Connection,
    name: CounterName,
    limits: Limits,
    rows: &[i64],
) -> rusqlite::Result<LimitSet> {
    let mut subjects = Vec::with_capacity(rows.len());
    let mut accounts = Vec::new();
    for row in rows {
        subjects.extend(subject_of(db, name.scope, *row)?);
        let of = match name.scope {
            LimitScope::Terminal => {
                "SELECT account FROM binding WHERE id = ?1 \
                 UNION SELECT account FROM account_beside WHERE binding = ?1"
            }
            LimitScope::Account => "SELECT id FROM account WHERE id = ?1",
            LimitScope::Merchant => {
                "SELECT account FROM binding WHERE merchant = ?1 AND closed_at IS NULL \
                 UNION SELECT z.account FROM binding b JOIN account_beside z ON z.binding = b.id \
                 WHERE b.merchant = ?1 AND b.closed_at IS NULL"
            }
        };
        let mut of = db.prepare_cached(of)?;
        for account in of.query_map([row], |row| row.get(0).map(AccountId))? {
            accounts.push(account?);
        }
    }
    Ok(LimitSet {
        name,
        limits,
        subjects,
        accounts,
    })
}

fn subject_of(db: &Connection, scope: LimitScope, row: i64) -> rusqlite::Result<Option<Subject>> {
    Ok(match scope {
        LimitScope::Terminal => Some(Subject::Binding(BindingId(from_sql(row)))),
        LimitScope::Account => u32::try_from(row)
            .ok()
            .map(|number| Subject::Account(AccountId(number))),
        LimitScope::Merchant => db
            .prepare_cached("SELECT acquirer, merchant_id FROM merchant WHERE id = ?1")?
            .query_row([row], |row| {
                let merchant = MerchantId::parse(row.get_ref(1)?.as_str()?);
                Ok((AcquirerId(row.get(0)?), merchant.ok()))
            })
            .optional()?
            .and_then(|(acquirer, merchant)| Some(Subject::Merchant(acquirer, merchant?))),
    })
}

/// All limits, one for each who has it. Which accounts they concern is not among it: it is found when the bindings are
/// here.
pub(super) fn load(db: &Connection, each: &mut dyn FnMut(LimitSet)) -> rusqlite::Result<()> {
    // In the order of the table: a million of them are looked up one by one in any other.
    let mut all = db.prepare(
        "SELECT scope, subject, counter, currency, day_amount, day_count, month_amount, month_count \
         FROM sales_limit ORDER BY scope, subject",
    )?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        // One of a scope that this build does not know was set by a newer one.
        let Some(scope) = LimitScope::from_name(row.get_ref(0)?.as_str()?) else {
            continue;
        };
        let name = CounterName {
            scope,
            number: from_sql(row.get(2)?),
        };
        let subject = subject_of(db, scope, row.get(1)?)?;
        each(LimitSet {
            name,
            limits: limits_of(row, 3)?,
            subjects: subject.into_iter().collect(),
            accounts: Vec::new(),
        });
    }
    Ok(())
}

/// Limits in the audit trail and in events.
pub(super) fn shown(limits: &Limits, version: u32) -> Value {
    if version == 0 {
        return Value::Null;
    }
    json!({
        "version": version,
        "currency": limits.currency.to_string(),
        "day_amount": limits.day_amount,
        "day_count": limits.day_count,
        "month_amount": limits.month_amount,
        "month_count": limits.month_count,
    })
}
