//! Batches in the read model: what was compared, uploaded and ended.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::read_model::row_of;
use super::{SqliteReadModel, SqliteReader, from_sql, to_sql};
use crate::base::{
    BatchLine, BatchNumber, BatchResult, BatchTotals, BindingId, Currency, LineCounts, LineVerdict,
    MaskedPan, Stan, Sum, Timestamp,
};
use crate::binding::TerminalKey;
use crate::store::batch::{BatchModel, BatchRecord, BatchStep, Closed, Closing, Settled};
use crate::store::{StoreError, TransactionRow};

/// Nothing is projected anew: an older journal has none of it.
pub(super) const MIGRATION: &str = "
CREATE TABLE batch_settled (
    binding  INTEGER NOT NULL,
    batch    INTEGER NOT NULL,
    stan     INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    currency TEXT NOT NULL,
    result   TEXT NOT NULL,
    totals   TEXT NOT NULL,   -- debit count and sum, credit count and sum: ours, then each claimed set
    PRIMARY KEY (binding, batch, stan)
);
CREATE INDEX batch_settled_at ON batch_settled(at);
CREATE TABLE batch_line (
    binding INTEGER NOT NULL,
    batch   INTEGER NOT NULL,
    stan    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    amount  INTEGER NOT NULL,
    pan     TEXT NOT NULL,    -- masked
    verdict TEXT NOT NULL,
    PRIMARY KEY (binding, batch, stan)
);
CREATE INDEX batch_line_at ON batch_line(at);
CREATE TABLE batch_closed (
    acquirer  INTEGER NOT NULL,
    terminal  TEXT NOT NULL,
    batch     INTEGER NOT NULL,
    binding   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    stan      INTEGER,        -- of the terminal's end; NULL when a person closed it
    announced INTEGER,
    equal     INTEGER,
    different INTEGER,
    unknown   INTEGER,
    missing   INTEGER,
    closed_by TEXT,
    note      TEXT,
    PRIMARY KEY (acquirer, terminal, batch)
);
CREATE INDEX batch_closed_at ON batch_closed(at);
";

/// Takes what a round brought.
pub(super) fn apply(step: &Connection, records: &[BatchRecord]) -> rusqlite::Result<()> {
    for record in records {
        let (binding, batch) = (to_sql(record.binding.0), record.batch.get());
        let at = to_sql(record.at.0);
        match &record.step {
            BatchStep::Settled(settled) => {
                step.prepare_cached(
                    "INSERT OR REPLACE INTO batch_settled VALUES (?1,?2,?3,?4,?5,?6,?7)",
                )?
                .execute(params![
                    binding,
                    batch,
                    settled.stan.get(),
                    at,
                    settled.currency.to_string(),
                    settled.result.name(),
                    totals_text(settled),
                ])?;
            }
            BatchStep::Uploaded(lines) => {
                let mut insert = step.prepare_cached(
                    "INSERT OR REPLACE INTO batch_line VALUES (?1,?2,?3,?4,?5,?6,?7)",
                )?;
                for (line, verdict) in lines {
                    insert.execute(params![
                        binding,
                        batch,
                        line.stan.get(),
                        at,
                        to_sql(line.minor),
                        line.pan.as_str(),
                        verdict.name(),
                    ])?;
                }
            }
            BatchStep::Closed(closed) => {
                insert_closed(step, record, closed)?;
            }
        }
    }
    Ok(())
}

fn insert_closed(
    step: &Connection,
    record: &BatchRecord,
    closed: &Closed,
) -> rusqlite::Result<usize> {
    let (stan, announced, counts) = match &closed.how {
        Closing::Terminal {
            stan,
            announced,
            counts,
        } => (Some(stan.get()), Some(to_sql(*announced)), Some(counts)),
        Closing::Operator { .. } => (None, None, None),
    };
    let (by, note) = match &closed.how {
        Closing::Operator { by, note } => (Some(by), Some(note)),
        Closing::Terminal { .. } => (None, None),
    };
    step.prepare_cached(
        "INSERT OR REPLACE INTO batch_closed VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    )?
    .execute(params![
        record.key.acquirer.0,
        record.key.terminal.as_str(),
        record.batch.get(),
        to_sql(record.binding.0),
        to_sql(record.at.0),
        closed.next.get(),
        stan,
        announced,
        counts.map(|c| to_sql(c.equal)),
        counts.map(|c| to_sql(c.different)),
        counts.map(|c| to_sql(c.unknown)),
        counts.map(|c| to_sql(c.missing)),
        by,
        note,
    ])
}

/// Deletes what is older, at most so many rows of each kind.
pub(super) fn delete(step: &Connection, before: i64, rows: u32) -> rusqlite::Result<()> {
    for table in ["batch_settled", "batch_line", "batch_closed"] {
        let delete = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE at < ?1 LIMIT ?2)"
        );
        step.prepare_cached(&delete)?
            .execute(params![before, rows])?;
    }
    Ok(())
}

fn totals_text(settled: &Settled) -> String {
    let all = std::iter::once(&settled.ours).chain(&settled.claimed);
    let numbers = all.flat_map(|t| [t.debit.count, t.debit.minor, t.credit.count, t.credit.minor]);
    let texts: Vec<_> = numbers.map(|number| number.to_string()).collect();
    texts.join(" ")
}

/// A value that this build did not write.
fn foreign(column: usize, name: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, name.to_owned(), Type::Text)
}

fn totals_of(text: &str) -> Option<Vec<BatchTotals>> {
    let numbers: Option<Vec<u64>> = text.split(' ').map(|word| word.parse().ok()).collect();
    let numbers = numbers?;
    let (sets, rest) = numbers.as_chunks::<4>();
    let one = |[debits, debit, credits, credit]: &[u64; 4]| BatchTotals {
        debit: Sum {
            count: *debits,
            minor: *debit,
        },
        credit: Sum {
            count: *credits,
            minor: *credit,
        },
    };
    rest.is_empty().then(|| sets.iter().map(one).collect())
}

fn settled_of(row: &Row<'_>) -> rusqlite::Result<(Timestamp, Settled)> {
    let (currency, result, totals): (String, String, String) =
        (row.get(2)?, row.get(3)?, row.get(4)?);
    let mut totals = totals_of(&totals).ok_or_else(|| foreign(4, "totals"))?;
    if totals.is_empty() {
        return Err(foreign(4, "totals"));
    }
    let ours = totals.remove(0);
    let settled = Settled {
        stan: stan_of(row, 0)?,
        currency: Currency::from_slice(currency.as_bytes())
            .ok_or_else(|| foreign(2, "currency"))?,
        ours,
        claimed: totals,
        result: BatchResult::from_name(&result).ok_or_else(|| foreign(3, "result"))?,
    };
    Ok((Timestamp(from_sql(row.get(1)?)), settled))
}

fn line_of(row: &Row<'_>) -> rusqlite::Result<(Timestamp, BatchLine, LineVerdict)> {
    let (pan, verdict): (String, String) = (row.get(3)?, row.get(4)?);
    let line = BatchLine {
        stan: stan_of(row, 0)?,
        minor: from_sql(row.get(2)?),
        pan: MaskedPan::from_stored(&pan),
    };
    let verdict = LineVerdict::from_name(&verdict).ok_or_else(|| foreign(4, "verdict"))?;
    Ok((Timestamp(from_sql(row.get(1)?)), line, verdict))
}

fn stan_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Stan> {
    Stan::new(row.get(column)?).ok_or_else(|| foreign(column, "stan"))
}

fn closed_of(row: &Row<'_>) -> rusqlite::Result<(Timestamp, BindingId, Closed)> {
    let number = |column| row.get(column).map(from_sql);
    let how = match row.get::<_, Option<u32>>(3)? {
        Some(stan) => Closing::Terminal {
            stan: Stan::new(stan).ok_or_else(|| foreign(3, "stan"))?,
            announced: number(4)?,
            counts: LineCounts {
                equal: number(5)?,
                different: number(6)?,
                unknown: number(7)?,
                missing: number(8)?,
            },
        },
        None => Closing::Operator {
            by: row.get::<_, String>(9)?.into(),
            note: row.get::<_, String>(10)?.into(),
        },
    };
    let next = BatchNumber::new(row.get(2)?).ok_or_else(|| foreign(2, "next"))?;
    let (binding, at) = (BindingId(number(0)?), Timestamp(number(1)?));
    Ok((at, binding, Closed { next, how }))
}

fn transactions(
    db: &Connection,
    binding: BindingId,
    batch: BatchNumber,
    each: &mut dyn FnMut(TransactionRow),
) -> rusqlite::Result<()> {
    let mut all =
        db.prepare_cached("SELECT * FROM txn WHERE binding = ?1 AND batch = ?2 ORDER BY stan, id")?;
    for row in all.query_map(params![to_sql(binding.0), batch.get()], row_of)? {
        each(row?);
    }
    Ok(())
}

fn settled(
    db: &Connection,
    binding: BindingId,
    batch: BatchNumber,
) -> rusqlite::Result<Vec<(Timestamp, Settled)>> {
    db.prepare_cached(
        "SELECT stan, at, currency, result, totals FROM batch_settled \
         WHERE binding = ?1 AND batch = ?2 ORDER BY at, stan",
    )?
    .query_map(params![to_sql(binding.0), batch.get()], settled_of)?
    .collect()
}

fn lines(
    db: &Connection,
    binding: BindingId,
    batch: BatchNumber,
) -> rusqlite::Result<Vec<(Timestamp, BatchLine, LineVerdict)>> {
    db.prepare_cached(
        "SELECT stan, at, amount, pan, verdict FROM batch_line \
         WHERE binding = ?1 AND batch = ?2 ORDER BY stan",
    )?
    .query_map(params![to_sql(binding.0), batch.get()], line_of)?
    .collect()
}

fn closed(
    db: &Connection,
    key: TerminalKey,
    batch: BatchNumber,
) -> rusqlite::Result<Option<(Timestamp, BindingId, Closed)>> {
    db.prepare_cached(
        "SELECT binding, at, next, stan, announced, equal, different, unknown, missing, closed_by, note \
         FROM batch_closed WHERE acquirer = ?1 AND terminal = ?2 AND batch = ?3",
    )?
    .query_row(
        params![key.acquirer.0, key.terminal.as_str(), batch.get()],
        closed_of,
    )
    .optional()
}

macro_rules! batch_model {
    ($kind:ty) => {
        impl BatchModel for $kind {
            fn batch_transactions(
                &mut self,
                binding: BindingId,
                batch: BatchNumber,
                each: &mut dyn FnMut(TransactionRow),
            ) -> Result<(), StoreError> {
                transactions(self.db(), binding, batch, each)
                    .map_err(StoreError::engine("reading a batch"))
            }

            fn settled(
                &mut self,
                binding: BindingId,
                batch: BatchNumber,
            ) -> Result<Vec<(Timestamp, Settled)>, StoreError> {
                settled(self.db(), binding, batch)
                    .map_err(StoreError::engine("reading compared totals"))
            }

            fn lines(
                &mut self,
                binding: BindingId,
                batch: BatchNumber,
            ) -> Result<Vec<(Timestamp, BatchLine, LineVerdict)>, StoreError> {
                lines(self.db(), binding, batch)
                    .map_err(StoreError::engine("reading uploaded lines"))
            }

            fn closed(
                &mut self,
                key: TerminalKey,
                batch: BatchNumber,
            ) -> Result<Option<(Timestamp, BindingId, Closed)>, StoreError> {
                closed(self.db(), key, batch)
                    .map_err(StoreError::engine("reading the end of a batch"))
            }
        }
    };
}

batch_model!(SqliteReadModel);
batch_model!(SqliteReader);

impl SqliteReader {
    /// The batch of a terminal and whether it is signed on; `None` when it never signed on.
    ///
    /// # Errors
    /// When reading fails.
    pub fn open_batch(&self, key: TerminalKey) -> Result<Option<(BatchNumber, bool)>, StoreError> {
        self.db()
            .query_row(
                "SELECT batch, signed_on FROM terminal WHERE acquirer = ?1 AND terminal = ?2",
                params![key.acquirer.0, key.terminal.as_str()],
                |row| {
                    let batch = BatchNumber::new(row.get(0)?).unwrap_or_default();
                    Ok((batch, row.get(1)?))
                },
            )
            .optional()
            .map_err(StoreError::engine("reading a terminal's batch"))
    }
}
