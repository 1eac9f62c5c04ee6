//! Limits as people set them.

use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::super::limits::{self, Found};
use super::super::{SqliteRegistry, from_sql, to_sql};
use super::{Held, Step, Stopped, said};
use crate::base::Currency;
use crate::binding::Refusal;
use crate::binding::counters::{CounterName, LimitSet};
use crate::binding::limit::{LimitScope, Limits};
use crate::store::command::{Allows, LimitRow, Limited};

/// What a limit is of, with all that share it.
struct Group {
    scope: LimitScope,
    /// Rows of all that share it, whose limit it is first.
    rows: Vec<i64>,
    /// As the audit trail names it.
    subject: String,
    /// Row of the merchant.
    merchant: i64,
}

impl Step<'_> {
    pub(super) fn set_limits(
        &mut self,
        of: &Limited,
        limits: &Limits,
        note: &str,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        if limits.has_amounts() && limits.currency == Currency::NONE {
            let what = "the currency of the limits";
            let remedy = "say it as in DE49, 156 for the yuan";
            return Err(Refusal::Missing { what, remedy }.into());
        }
        let group = self.group(of)?;
        let found = limits::find(self.db, group.scope, &group.rows)?;
        let version = found.map_or(0, |found| found.version);
        let before = found.map_or(Limits::NONE, |found| found.limits);
        self.stale("the limits", version)?;
        if found.is_none() && limits.is_empty() {
            let (what, problem) = ("the limits", "are none, and there are none");
            return Err(Refusal::Value { what, problem }.into());
        }
        let (checker, note) = if limits.is_looser_than(&before) {
            self.use_evidence(evidence, &group.subject, Allows::RaiseLimit)?
        } else {
            said("why", note)?;
            (String::new(), note.to_owned())
        };
        let first = group.rows.iter().min().copied().map_or(0, from_sql);
        let name = CounterName {
            scope: group.scope,
            number: first,
        };
        let after = Found {
            name: found.map_or(name, |found| found.name),
            version: version + 1,
            limits: *limits,
        };
        let set = limits::write(self.db, self.actor, &after, &group.rows, (&note, &checker))?;
        self.done.changes.limits.push(set);
        let told = limits::shown(limits, after.version);
        self.tell(
            "limit.set",
            group.subject.clone(),
            limits::shown(&before, version),
            told.clone(),
            json!({ "scope": group.scope.name(), "note": note, "checker": checker }),
        )?;
        let object = format!("limit {}/{}", group.scope, after.name.number);
        self.outside("limit.set", object, after.version, told);
        let text = format!("what may be taken is limited anew: {}", group.subject);
        self.notify(group.merchant, "limit.set", &text)?;
        self.done.number = after.name.number;
        self.done.version = after.version;
        Ok(())
    }

    fn group(&self, of: &Limited) -> Stopped<Group> {
        match of {
            Limited::Terminal(key) => {
                let held = self.open_binding(*key)?;
                Ok(Group {
                    scope: LimitScope::Terminal,
                    rows: self.line_of(&held)?,
                    subject: self.subject(*key)?,
                    merchant: held.merchant,
                })
            }
            Limited::Account(name) => {
                let account = self.account(name)?;
                let acquirer = self.acquirer_name(name.acquirer)?;
                Ok(Group {
                    scope: LimitScope::Account,
                    rows: vec![i64::from(account.id.0)],
                    subject: format!("account {acquirer}/{}", name.reference),
                    merchant: account.merchant,
                })
            }
            Limited::Merchant(acquirer, merchant) => {
                let row = self.merchant(*acquirer, *merchant)?;
                let name = self.acquirer_name(*acquirer)?;
                Ok(Group {
                    scope: LimitScope::Merchant,
                    rows: self.same_person(row)?,
                    subject: format!("merchant {name}/{}", merchant.as_str()),
                    merchant: row,
                })
            }
        }
    }

    /// A binding and those that it took over from, itself first.
    fn line_of(&self, held: &Held) -> Stopped<Vec<i64>> {
        let mut line = self.db.prepare_cached(
            "WITH RECURSIVE line(id, depth) AS (SELECT ?1, 0 UNION ALL \
             SELECT b.predecessor, depth + 1 FROM binding b JOIN line ON b.id = line.id \
             WHERE b.predecessor IS NOT NULL) SELECT id FROM line ORDER BY depth",
        )?;
        let rows = line.query_map([to_sql(held.admission.binding.0)], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A merchant and all others of its acquirer that showed the same identity document, itself first.
    fn same_person(&self, merchant: i64) -> Stopped<Vec<i64>> {
        let mut others = self.db.prepare_cached(
            "SELECT o.id FROM merchant m JOIN merchant o ON o.identity_hash = m.identity_hash \
             AND o.acquirer = m.acquirer WHERE m.id = ?1 AND o.id <> m.id ORDER BY o.id",
        )?;
        let rows = others.query_map([merchant], |row| row.get(0))?;
        let mut all = vec![merchant];
        for row in rows {
            all.push(row?);
        }
        Ok(all)
    }

    /// A binding that takes over shares the limit of whom it takes over from, and what was taken of it.
    pub(super) fn inherit_limits(&mut self, old: &Held, new: &Held) -> Stopped<()> {
        let row = |held: &Held| to_sql(held.admission.binding.0);
        match limits::share(self.db, LimitScope::Terminal, row(old), row(new))? {
            Some(set) => self.shared(set, self.subject(new.key)?),
            None => Ok(()),
        }
    }

    /// A merchant that turns out to be somebody who has a limit shares it. One that has a limit of its own keeps it.
    pub(super) fn share_limit_of_person(&mut self, merchant: i64, subject: &str) -> Stopped<()> {
        if limits::find(self.db, LimitScope::Merchant, &[merchant])?.is_some() {
            return Ok(());
        }
        for other in self.same_person(merchant)? {
            if let Some(set) = limits::share(self.db, LimitScope::Merchant, other, merchant)? {
                return self.shared(set, subject.to_owned());
            }
        }
        Ok(())
    }

    fn shared(&mut self, set: LimitSet, subject: String) -> Stopped<()> {
        let told = json!({
            "scope": set.name.scope.name(), "counter": set.name.number, "limits": limits::shown(&set.limits, 1),
        });
        self.done.changes.limits.push(set);
        self.tell("limit.shared", subject, Value::Null, told, Value::Null)
    }
}

impl SqliteRegistry {
    pub(super) fn read_limit(&self, of: &Limited) -> rusqlite::Result<Option<LimitRow>> {
        let (scope, row): (_, Option<i64>) = match of {
            Limited::Terminal(key) => {
                let row = self
                    .db()
                    .prepare_cached(
                        "SELECT max(b.id) FROM binding b JOIN terminal t ON t.id = b.terminal \
                         WHERE t.acquirer = ?1 AND t.terminal_id = ?2",
                    )?
                    .query_row(params![key.acquirer.0, key.terminal.as_str()], |row| {
                        row.get(0)
                    })?;
                (LimitScope::Terminal, row)
            }
            Limited::Account(name) => {
                let row = self
                    .db()
                    .prepare_cached(
                        "SELECT id FROM account WHERE acquirer = ?1 AND reference = ?2",
                    )?
                    .query_row(params![name.acquirer.0, name.reference], |row| row.get(0))
                    .optional()?;
                (LimitScope::Account, row)
            }
            Limited::Merchant(acquirer, merchant) => {
                let row = self
                    .db()
                    .prepare_cached(
                        "SELECT id FROM merchant WHERE acquirer = ?1 AND merchant_id = ?2",
                    )?
                    .query_row(params![acquirer.0, merchant.as_str()], |row| row.get(0))
                    .optional()?;
                (LimitScope::Merchant, row)
            }
        };
        let Some(row) = row else {
            return Ok(None);
        };
        let found = limits::find(self.db(), scope, &[row])?;
        let row = match found {
            Some(found) => LimitRow {
                name: found.name,
                version: found.version,
                limits: found.limits,
            },
            None => LimitRow {
                name: CounterName {
                    scope,
                    number: from_sql(row),
                },
                version: 0,
                limits: Limits::NONE,
            },
        };
        Ok(Some(row))
    }
}
