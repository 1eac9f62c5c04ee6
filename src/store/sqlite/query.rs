//! Questions to the read model in SQLite, on connections that cannot write.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, params_from_iter};

use super::postings::{self, Dimension, PART_BITS, Wanted};
use super::read_model::{MIGRATIONS, key_of, row_of};
use super::{SqliteFolder, SqliteJournal, SqliteRegistry, from_sql, to_sql};
use crate::base::{
    AccountId, Amount, BindingId, Currency, MerchantId, Note, PersonName, RequestType, Timestamp,
    limits,
};
use crate::binding::TerminalKey;
use crate::store::read_model::{
    Cursor, Page, Query, QueryError, QueryState, Sold, TransactionReader,
};
use crate::store::{Intervention, StoreError, TransactionRow, TxnId, Verb};

/// What questions need beyond the first schema. What was projected before lacks the new columns: the table
/// is emptied, and the next start projects the journal once more. Its indexes did not stay, see `postings`.
///
/// `span` says when what is in a part was accepted, so that a question about a time looks into no other.
pub(super) const MIGRATION: &str = "
ALTER TABLE txn ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE txn ADD COLUMN groups TEXT NOT NULL DEFAULT '';  -- journal groups of its records
ALTER TABLE txn ADD COLUMN part INTEGER AS (id >> 14) VIRTUAL;
CREATE INDEX txn_account ON txn(part, account);
CREATE INDEX txn_terminal ON txn(part, terminal);
CREATE INDEX txn_merchant ON txn(part, merchant);
CREATE INDEX txn_rrn ON txn(part, rrn) WHERE rrn IS NOT NULL;
CREATE TABLE span (
    part     INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
);
DELETE FROM txn;
UPDATE mark SET sequence = 0;
";

/// Steps between two looks at how many there were.
const STEPS_A_LOOK: i32 = 10_000;

/// Opens a file that is there and up to date, for reading only.
pub(super) fn open_to_read(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let fail = StoreError::engine;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)
        .map_err(fail("opening a store file for reading"))?;
    db.busy_timeout(Duration::from_secs(10))
        .map_err(fail("setting the busy timeout"))?;
    let found: u32 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail("reading the schema number"))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let file = path.display().to_string();
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(StoreError::OlderSchema { file, found, known }),
        std::cmp::Ordering::Equal => Ok(db),
        std::cmp::Ordering::Greater => Err(StoreError::NewerSchema { file, found, known }),
    }
}

impl SqliteFolder {
    /// Opens the read model for questions. Nothing is created or brought up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, or has not the schema of this build.
    pub fn reader(&self) -> Result<SqliteReader, StoreError> {
        let db = open_to_read(&self.path().join("readmodel.db"), MIGRATIONS)?;
        Ok(SqliteReader {
            db,
            steps_max: limits::QUERY_STEPS_MAX,
        })
    }

    /// Opens the registry for reading only.
    ///
    /// # Errors
    /// When the file cannot be opened, or has not the schema of this build.
    pub fn registry_reader(&self) -> Result<SqliteRegistry, StoreError> {
        SqliteRegistry::open_to_read(&self.path().join("registry.db"))
    }

    /// Opens the journal for reading only.
    ///
    /// # Errors
    /// When the file cannot be opened, or has not the schema of this build.
    pub fn journal_reader(&self) -> Result<SqliteJournal, StoreError> {
        SqliteJournal::open_to_read(&self.path().join("journal.db"))
    }
}

/// See the module.
#[derive(Debug)]
pub struct SqliteReader {
    db: Connection,
    steps_max: u64,
}

impl SqliteReader {
    pub(super) const fn db(&self) -> &Connection {
        &self.db
    }
}

impl TransactionReader for SqliteReader {
    fn mark(&mut self) -> Result<u64, StoreError> {
        mark_of(&self.db).map_err(StoreError::engine("reading the projection's mark"))
    }

    fn page(
        &mut self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, QueryError> {
        let limit = limit.clamp(1, limits::QUERY_PAGE_MAX);
        self.count_steps()
            .map_err(StoreError::engine("setting up a question"))?;
        let read = read_page(&self.db, query, after, limit + 1).map_err(refusal);
        self.db
            .progress_handler(0, None::<fn() -> bool>)
            .map_err(StoreError::engine("ending a question"))?;
        let mut rows = read?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor(row.txn));
        Ok(Page {
            rows,
            next: last.filter(|_| more),
        })
    }

    fn transaction(&mut self, txn: TxnId) -> Result<Option<TransactionRow>, StoreError> {
        self.db
            .prepare_cached("SELECT * FROM txn WHERE id = ?1")
            .and_then(|mut one| one.query_row([to_sql(txn.0)], row_of).optional())
            .map_err(StoreError::engine("reading a transaction"))
    }

    fn parked(
        &mut self,
        group: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Page, u64), StoreError> {
        let limit = limit.clamp(1, limits::EXCEPTIONS_PAGE_MAX);
        let after = after.map_or(0, |Cursor(txn)| to_sql(txn.0));
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let read = || -> rusqlite::Result<(Vec<TransactionRow>, u64)> {
            // One transaction, so that rows and count are of one moment.
            let moment = self.db.unchecked_transaction()?;
            let count = moment
                .prepare_cached(&format!("SELECT count(*) {PARKED}"))?
                .query_row([group], |row| row.get(0).map(from_sql))?;
            let sql = format!("SELECT * {PARKED} AND id > ?2 ORDER BY id LIMIT ?3");
            let mut parked = moment.prepare_cached(&sql)?;
            let rows = parked.query_map((group, after, wanted), row_of)?;
            Ok((rows.collect::<rusqlite::Result<_>>()?, count))
        };
        let (mut rows, count) = read().map_err(StoreError::engine("reading what is parked"))?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor(row.txn));
        let page = Page {
            rows,
            next: last.filter(|_| more),
        };
        Ok((page, count))
    }

    fn interventions(&mut self, txn: TxnId) -> Result<Vec<Intervention>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Intervention>> {
            let mut done = self.db.prepare_cached(
                "SELECT at, verb, name, note FROM intervention WHERE txn = ?1 ORDER BY at",
            )?;
            let rows = done.query_map([to_sql(txn.0)], |row| {
                Ok(Intervention {
                    txn,
                    at: Timestamp(from_sql(row.get(0)?)),
                    verb: verb_of(row.get_ref(1)?.as_str()?)?,
                    name: PersonName::from_stored(row.get_ref(2)?.as_str()?),
                    note: Note::from_stored(row.get_ref(3)?.as_str()?),
                })
            })?;
            rows.collect()
        };
        read().map_err(StoreError::engine("reading what people did"))
    }

    fn sold(&mut self, from: Timestamp, each: &mut dyn FnMut(Sold)) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut all = self.db.prepare(SOLD)?;
            let mut rows = all.query([to_sql(from.0)])?;
            while let Some(row) = rows.next()? {
                let merchant = row.get_ref(6)?.as_str()?;
                let currency = Currency::from_slice(row.get_ref(8)?.as_bytes()?);
                each(Sold {
                    txn: TxnId(from_sql(row.get(0)?)),
                    at: Timestamp(from_sql(row.get(1)?)),
                    key: key_of(row, 2)?,
                    binding: BindingId(from_sql(row.get(4)?)),
                    account: AccountId(row.get(5)?),
                    merchant: MerchantId::parse(merchant)
                        .unwrap_or(MerchantId::from_padded([b' '; 15])),
                    amount: Amount {
                        minor: from_sql(row.get(7)?),
                        currency: currency.unwrap_or(Currency::NONE),
                    },
                });
            }
            Ok(())
        };
        read().map_err(StoreError::engine("reading what counts towards limits"))
    }

    fn money_of(
        &mut self,
        times: Range<Timestamp>,
        account: Option<AccountId>,
        earlier: &[(AccountId, TxnId)],
        each: &mut dyn FnMut(TransactionRow) -> bool,
    ) -> Result<u64, StoreError> {
        let mut read = || -> rusqlite::Result<u64> {
            // One transaction, so that the mark and the rows are of one moment.
            let moment = self.db.unchecked_transaction()?;
            let mark = mark_of(&moment)?;
            let mut earlier = Earlier {
                rows: moment.prepare(&money_sql(ONE_OF_BEFORE))?,
                left: earlier,
            };
            let mut goes_on = true;
            let mut in_place = |row: TransactionRow| -> rusqlite::Result<bool> {
                goes_on = earlier.up_to(AccountId(row.account), each)? && each(row);
                Ok(goes_on)
            };
            match account {
                Some(account) => money_of_account(&moment, &times, account, &mut in_place)?,
                None => {
                    let mut all = moment.prepare(&money_sql(ALL_OF_TIMES))?;
                    let mut rows = all.query([times.start.0, times.end.0].map(to_sql))?;
                    while let Some(row) = rows.next()? {
                        if !in_place(row_of(row)?)? {
                            break;
                        }
                    }
                }
            }
            if goes_on {
                earlier.up_to(AccountId(u32::MAX), each)?;
            }
            Ok(mark)
        };
        read().map_err(StoreError::engine("reading a day's transactions"))
    }

    fn taken_by(
        &mut self,
        key: TerminalKey,
        binding: BindingId,
        times: Range<Timestamp>,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut of_part = self.db.prepare(
                "SELECT * FROM txn NOT INDEXED WHERE id >= ?1 AND id < ?2 AND binding = ?3 \
                 AND at >= ?4 AND at < ?5 ORDER BY id",
            )?;
            let wanted = Wanted::text(Dimension::Terminal, key.terminal.as_str());
            let (from, to) = (to_sql(times.start.0), to_sql(times.end.0));
            each_range(&self.db, wanted, (from, to), &mut |first, end| {
                let bounds = [to_sql(first), to_sql(end), to_sql(binding.0), from, to];
                for row in of_part.query_map(bounds, row_of)? {
                    each(row?);
                }
                Ok(true)
            })
        };
        read().map_err(StoreError::engine("reading what a terminal took"))
    }

    fn followers(&mut self, original: TxnId) -> Result<Vec<TransactionRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<TransactionRow>> {
            let mut all = self.db.prepare_cached(
                "SELECT * FROM txn WHERE original = ?1 AND original > 0 ORDER BY id",
            )?;
            all.query_map([to_sql(original.0)], row_of)?.collect()
        };
        read().map_err(StoreError::engine("reading what follows a transaction"))
    }
}

/// What of an earlier time stands in a day's file too.
struct Earlier<'d, 'e> {
    rows: Statement<'d>,
    left: &'e [(AccountId, TxnId)],
}

impl Earlier<'_, '_> {
    /// Shows what belongs to the accounts up to that one, until `each` returns false.
    fn up_to(
        &mut self,
        account: AccountId,
        each: &mut dyn FnMut(TransactionRow) -> bool,
    ) -> rusqlite::Result<bool> {
        while let Some(((next, txn), left)) = self.left.split_first()
            && next.0 <= account.0
        {
            self.left = left;
            let one = [0, i64::MAX, to_sql(txn.0)];
            let row = self.rows.query_row(one, row_of).optional()?;
            if row.is_some_and(|row| !each(row)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What counts towards limits. What would be reversed if nobody answered does not count before it is approved: what
/// was in flight when the process ended is reversed.
const SOLD: &str = "SELECT id, at, acquirer, terminal, binding, account, merchant, \
    CASE outcome WHEN 'approved' THEN booked ELSE amount END, currency FROM txn NOT INDEXED \
    WHERE id >= (SELECT coalesce(min(part), 0) << 14 FROM span WHERE last_at >= ?1) AND at >= ?1 AND sign > 0 \
    AND kind IN ('new-money', 'completion', 'advice') AND (outcome = 'approved' \
    OR fate = 'repeat' AND (outcome IS NULL OR outcome IN ('repeat-owed', 'parked'))) \
    AND NOT EXISTS (SELECT 1 FROM txn AS void WHERE void.original = txn.id AND void.original > 0 \
    AND void.kind = 'void' AND void.outcome = 'approved')";

/// What is parked towards a group, or towards all when that is NULL.
const PARKED: &str = "FROM txn INDEXED BY txn_parked WHERE outcome = 'parked' \
    AND (?1 IS NULL OR upstream = ?1)";

/// The latest of what fits, part by part.
pub(super) fn read_page(
    db: &Connection,
    query: &Query,
    after: Option<Cursor>,
    rows: usize,
) -> rusqlite::Result<Vec<TransactionRow>> {
    let before = after.map_or(i64::MAX, |Cursor(txn)| to_sql(txn.0));
    let mut parts = db.prepare_cached(
        "SELECT part FROM span WHERE part <= ?1 AND last_at >= ?2 AND first_at < ?3 \
         ORDER BY part DESC",
    )?;
    let from = query.from.map_or(0, |at| to_sql(at.0));
    let to = query.to.map_or(i64::MAX, |at| to_sql(at.0));
    let mut parts = parts.query([before >> PART_BITS, from, to])?;
    let (conditions, mut values) = conditions(query);
    let mut all = db.prepare_cached(&all_of_part(&conditions))?;
    let mut one = db.prepare_cached(&one_of_part(&conditions))?;
    let wanted = wanted(query);
    let mut found = Vec::new();
    while let Some(part) = parts.next()? {
        let part = from_sql(part.get(0)?);
        let candidates = match wanted {
            Some(wanted) => postings::candidates(db, wanted, part)?,
            None => None,
        };
        let Some(candidates) = candidates else {
            let (first, end) = (part << PART_BITS, (part + 1) << PART_BITS);
            let left = i64::try_from(rows - found.len()).unwrap_or(i64::MAX);
            let bounds = [to_sql(first), before.min(to_sql(end)), left];
            values.splice(..3, bounds.map(Value::from));
            for row in all.query_map(params_from_iter(&values), row_of)? {
                found.push(row?);
            }
            if found.len() >= rows {
                break;
            }
            continue;
        };
        for txn in candidates.into_iter().rev().map(to_sql) {
            if txn >= before {
                continue;
            }
            values.splice(..3, [txn, txn + 1, 1].map(Value::from));
            found.extend(
                one.query_row(params_from_iter(&values), row_of)
                    .optional()?,
            );
            if found.len() >= rows {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

impl SqliteReader {
    /// Lets the next statement take so many steps and no more.
    fn count_steps(&mut self) -> rusqlite::Result<()> {
        let mut left = self.steps_max / u64::from(STEPS_A_LOOK.unsigned_abs());
        let look = move || {
            let over = left == 0;
            left = left.saturating_sub(1);
            over
        };
        self.db.progress_handler(STEPS_A_LOOK, Some(look))
    }
}

fn refusal(problem: rusqlite::Error) -> QueryError {
    if problem.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return QueryError::TooWide;
    }
    StoreError::engine("reading transactions")(problem).into()
}

fn mark_of(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT sequence FROM mark", [], |row| {
        row.get(0).map(from_sql)
    })
}

/// The rows of the parts that have something of the times, by their numbers.
const ALL_OF_TIMES: &str = "id >= (SELECT min(part) << 14 FROM span WHERE last_at >= ?1 AND first_at < ?2) \
    AND id < (SELECT (max(part) + 1) << 14 FROM span WHERE last_at >= ?1 AND first_at < ?2)";
const _: () = assert!(PART_BITS == 14, "stands in ALL_OF_TIMES");

/// One row.
const ONE_OF_BEFORE: &str = "id = ?3";

/// The rows of one account between two numbers.
const OF_ACCOUNT: &str = "id >= ?3 AND id < ?4 AND account = ?5";

/// Values: from, to, and what `within` names.
fn money_sql(within: &str) -> String {
    // A refund that was not answered is no longer in doubt once its repeat was taken, under the same numbers
    // here and upstream: what became of the repeat became of it.
    format!(
        "SELECT * FROM txn NOT INDEXED WHERE {within} AND at >= ?1 AND at < ?2 AND sign <> 0 \
         AND NOT (outcome IS 'expired' AND EXISTS (SELECT 1 FROM txn AS again \
         WHERE again.binding = txn.binding AND again.batch = txn.batch AND again.stan = txn.stan \
         AND again.id > txn.id AND again.upstream_stan = txn.upstream_stan \
         AND again.request = txn.request AND again.amount = txn.amount AND again.pan = txn.pan)) \
         ORDER BY account, id"
    )
}

fn money_of_account(
    moment: &Connection,
    times: &Range<Timestamp>,
    account: AccountId,
    each: &mut dyn FnMut(TransactionRow) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let (from, to) = (to_sql(times.start.0), to_sql(times.end.0));
    let mut within = moment.prepare(&money_sql(OF_ACCOUNT))?;
    let wanted = Wanted::account(account.0);
    each_range(moment, wanted, (from, to), &mut |first, end| {
        let bounds = [from, to, to_sql(first), to_sql(end), account.0.into()];
        let mut rows = within.query(bounds)?;
        while let Some(row) = rows.next()? {
            if !each(row_of(row)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Calls `each` with the numbers between which there may be something of a time that is wanted, until it returns
/// false.
fn each_range(
    db: &Connection,
    wanted: Wanted,
    (from, to): (i64, i64),
    each: &mut dyn FnMut(u64, u64) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut parts =
        db.prepare("SELECT part FROM span WHERE last_at >= ?1 AND first_at < ?2 ORDER BY part")?;
    let mut parts = parts.query([from, to])?;
    while let Some(part) = parts.next()? {
        let part = from_sql(part.get(0)?);
        let candidates = postings::candidates(db, wanted, part)?;
        let ranges = match candidates {
            Some(numbers) => numbers.into_iter().map(|txn| (txn, txn + 1)).collect(),
            None => vec![(part << PART_BITS, (part + 1) << PART_BITS)],
        };
        for (first, end) in ranges {
            if !each(first, end)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// By what a question is looked up, the rarest first; `None` when it names nothing that is posted.
fn wanted(query: &Query) -> Option<Wanted> {
    let text = Wanted::text;
    let rrn = query.rrn.as_deref();
    rrn.map(|rrn| text(Dimension::Rrn, rrn))
        .or_else(|| {
            let terminal = query.terminal.as_ref()?;
            Some(text(Dimension::Terminal, terminal.as_str()))
        })
        .or_else(|| Some(Wanted::account(query.account?.0)))
        .or_else(|| {
            let merchant = query.merchant.as_ref()?;
            Some(text(Dimension::Merchant, merchant.as_str()))
        })
}

/// The latest rows between two numbers that fit.
fn all_of_part(conditions: &str) -> String {
    format!(
        "SELECT * FROM txn NOT INDEXED WHERE id >= ?1 AND id < ?2 {conditions} \
         ORDER BY id DESC LIMIT ?3"
    )
}

/// The row with a number, if it fits. Takes the values of the other.
fn one_of_part(conditions: &str) -> String {
    format!("SELECT * FROM txn NOT INDEXED WHERE id = ?1 AND id < ?2 {conditions} LIMIT ?3")
}

/// What a question asks of a row, as SQL, and its values. The first three are bounds: the lowest number,
/// the number that rows are below, and how many are wanted. Only what this file writes gets into the
/// statement's text.
fn conditions(query: &Query) -> (String, Vec<Value>) {
    let mut sql = String::new();
    let mut values = vec![Value::Null; 3];
    let mut only = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {condition} ?{}", values.len()));
        }
    };
    let number = |value: u64| Value::from(to_sql(value));
    let text = |text: &str| Value::from(text.to_owned());
    only("acquirer =", query.acquirer.map(|id| id.0.into()));
    only("terminal =", query.terminal.map(|id| text(id.as_str())));
    only("merchant =", query.merchant.map(|id| text(id.as_str())));
    only("account =", query.account.map(|id| id.0.into()));
    only("binding =", query.binding.map(|id| number(id.0)));
    only("rrn =", query.rrn.as_deref().map(text));
    only("approval_code =", query.approval_code.as_deref().map(text));
    only("stan =", query.stan.map(|stan| stan.get().into()));
    only("batch =", query.batch.map(|batch| batch.get().into()));
    only("request =", query.request.as_deref().map(text));
    only("amount >=", query.amount_min.map(number));
    only("amount <=", query.amount_max.map(number));
    only("at >=", query.from.map(|at| number(at.0)));
    only("at <", query.to.map(|at| number(at.0)));
    let ended = match query.state {
        Some(QueryState::Ended(kind)) => Some(text(kind.name())),
        Some(QueryState::Open) | None => None,
    };
    only("outcome =", ended);
    if query.state == Some(QueryState::Open) {
        sql.push_str(" AND outcome IS NULL");
    }
    (sql, values)
}

/// Journal groups as the column has them: numbers with a space between.
pub(super) fn groups_text(groups: &[u64]) -> String {
    let numbers: Vec<_> = groups.iter().map(u64::to_string).collect();
    numbers.join(" ")
}

pub(super) fn groups_of(text: &str) -> Vec<u64> {
    text.split(' ')
        .filter_map(|group| group.parse().ok())
        .collect()
}

pub(super) fn kind_of(name: &str) -> rusqlite::Result<RequestType> {
    RequestType::from_name(name).ok_or_else(|| {
        let unknown = "a kind of request that this build does not know";
        rusqlite::Error::FromSqlConversionFailure(24, Type::Text, unknown.into())
    })
}

fn verb_of(name: &str) -> rusqlite::Result<Verb> {
    Verb::from_name(name).ok_or_else(|| {
        let unknown = "something done that this build does not know";
        rusqlite::Error::FromSqlConversionFailure(1, Type::Text, unknown.into())
    })
}

#[cfg(test)]
mod tests;
