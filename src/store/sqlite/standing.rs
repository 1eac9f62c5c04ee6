//! What still hangs on a binding, from the read model.

use rusqlite::{Connection, params};

use super::read_model::row_of;
use super::{SqliteReader, from_sql, to_sql};
use crate::base::{AccountId, BatchNumber, BindingId, Timestamp};
use crate::binding::drain::Outstanding;
use crate::store::read_model::{BindingReader, Hanging, UnsettledSum};
use crate::store::{StoreError, TransactionRow};

/// What staff refund is no terminal's to settle, to have received, or to trade with.
const STAFF: u32 = BatchNumber::STAFF.get();

impl BindingReader for SqliteReader {
    fn hanging_on(&mut self, binding: BindingId) -> Result<Hanging, StoreError> {
        hanging_on(self.db(), to_sql(binding.0))
            .map_err(StoreError::engine("reading what hangs on a binding"))
    }

    fn approved_since(&mut self, binding: BindingId, since: Timestamp) -> Result<bool, StoreError> {
        // From the newest batch back: who trades is found at the first row.
        self.db()
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM (SELECT at, outcome FROM txn WHERE binding = ?1 AND batch <> ?3 \
                 ORDER BY batch DESC, stan DESC) WHERE outcome = 'approved' AND at >= ?2)",
            )
            .and_then(|mut one| {
                one.query_row(params![to_sql(binding.0), to_sql(since.0), STAFF], |row| {
                    row.get(0)
                })
            })
            .map_err(StoreError::engine("reading whether a binding traded"))
    }

    fn of_binding(
        &mut self,
        binding: BindingId,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut all = self
                .db()
                .prepare_cached("SELECT * FROM txn WHERE binding = ?1 ORDER BY id")?;
            let mut rows = all.query([to_sql(binding.0)])?;
            while let Some(row) = rows.next()? {
                each(row_of(row)?);
            }
            Ok(())
        };
        read().map_err(StoreError::engine("reading a binding's transactions"))
    }

    fn last_of_binding(
        &mut self,
        binding: BindingId,
        most: u32,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError> {
        last_of(self.db(), to_sql(binding.0), most, each)
            .map_err(StoreError::engine("reading a binding's last transactions"))
    }
}

fn last_of(
    db: &Connection,
    binding: i64,
    most: u32,
    each: &mut dyn FnMut(TransactionRow),
) -> rusqlite::Result<()> {
    // As the index on them stands, from its end.
    let mut last = db.prepare_cached(
        "SELECT * FROM txn WHERE binding = ?1 ORDER BY batch DESC, stan DESC LIMIT ?2",
    )?;
    let mut rows = last.query(params![binding, most])?;
    while let Some(row) = rows.next()? {
        each(row_of(row)?);
    }
    Ok(())
}

fn hanging_on(db: &Connection, binding: i64) -> rusqlite::Result<Hanging> {
    let (in_flight, owed, parked) = db
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE outcome IS NULL), \
             count(*) FILTER (WHERE outcome IN ('reversal-owed', 'repeat-owed')), \
             count(*) FILTER (WHERE outcome = 'parked') FROM txn WHERE binding = ?1",
        )?
        .query_row([binding], |row| {
            Ok((
                from_sql(row.get(0)?),
                from_sql(row.get(1)?),
                from_sql(row.get(2)?),
            ))
        })?;
    let unsettled = db
        .prepare_cached(
            "SELECT t.account, t.currency, count(*), sum(t.sign * t.booked) FROM txn t WHERE t.binding = ?1 \
             AND t.outcome = 'approved' AND t.sign <> 0 AND t.batch <> ?2 AND NOT EXISTS (SELECT 1 FROM batch_closed c \
             WHERE c.acquirer = t.acquirer AND c.terminal = t.terminal AND c.batch = t.batch) \
             GROUP BY t.account, t.currency ORDER BY t.account, t.currency",
        )?
        .query_map(params![binding, STAFF], |row| {
            Ok(UnsettledSum {
                account: AccountId(row.get(0)?),
                currency: row.get(1)?,
                count: from_sql(row.get(2)?),
                amount: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // What a void or a completion was approved for is no longer open.
    let preauthorised = db
        .prepare_cached(
            "SELECT count(*) FROM txn t WHERE t.binding = ?1 AND t.outcome = 'approved' \
             AND t.kind = 'new-money' AND t.request LIKE '%pre-authorisation' AND NOT EXISTS \
             (SELECT 1 FROM txn f WHERE f.original = t.id AND f.original > 0 AND f.outcome = 'approved')",
        )?
        .query_row([binding], |row| row.get(0).map(from_sql))?;
    // A later transaction of the terminal proves that it has gone on, because it sends a reversal that it holds first;
    // so does that it compares or ends a batch, whichever: an operator may have closed its own.
    let unproven = db
        .prepare_cached(
            "SELECT count(*) FROM (SELECT * FROM txn WHERE binding = ?1 AND batch <> ?2 ORDER BY id DESC LIMIT 1) t \
             WHERE t.outcome = 'approved' AND NOT EXISTS (SELECT 1 FROM batch_closed c \
             WHERE c.acquirer = t.acquirer AND c.terminal = t.terminal AND c.batch = t.batch \
             AND c.stan IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM batch_settled s \
             WHERE s.binding = t.binding AND s.at >= coalesce(t.outcome_at, t.at))",
        )?
        .query_row(params![binding, STAFF], |row| row.get(0).map(from_sql))?;
    // Only the last comparison counts, and none of the batch behind one that an operator closed: the terminal does not
    // know that, and compares both.
    let offline = db
        .prepare_cached(
            "SELECT count(*) FROM (SELECT * FROM batch_settled WHERE binding = ?1 ORDER BY at DESC, stan DESC LIMIT 1) s \
             WHERE s.result = 'not-balanced' AND NOT EXISTS (SELECT 1 FROM batch_closed c WHERE c.binding = s.binding \
             AND (c.batch = s.batch AND c.stan IS NOT NULL OR c.next = s.batch AND c.stan IS NULL))",
        )?
        .query_row([binding], |row| row.get(0).map(from_sql))?;
    let outstanding = Outstanding {
        in_flight,
        owed,
        parked,
        unproven,
        unsettled: unsettled.iter().map(|sum| sum.count).sum(),
        preauthorised,
        offline,
    };
    Ok(Hanging {
        outstanding,
        unsettled,
    })
}
