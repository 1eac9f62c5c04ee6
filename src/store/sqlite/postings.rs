//! Which transactions an account, terminal, merchant or reference number has, part by part.
//!
//! A part is the transactions of 16,384 following numbers. An index of the table would be kept with every
//! row: four of them doubled what projecting a transaction costs. Here a part is posted once, when all
//! its numbers are given out: one look at its rows, and for each of four dimensions 64 short lists of
//! (hash of the value, place in the part), written at the end of a table. That is a tenth of the work.
//!
//! Until then a question looks at every row of the part, some milliseconds' work. What changes in a part
//! after it was posted goes into a small table of late comers.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::{from_sql, to_sql};
use crate::base::Timestamp;
use crate::store::TxnId;
use crate::store::read_model::{Changes, TransactionRow};

/// Takes the place of four indexes and of the column that they began with.
pub(super) const MIGRATION: &str = "
DROP INDEX txn_account;
DROP INDEX txn_terminal;
DROP INDEX txn_merchant;
DROP INDEX txn_rrn;
ALTER TABLE txn DROP COLUMN part;
ALTER TABLE span ADD COLUMN posted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX span_open ON span(part) WHERE posted = 0;
CREATE TABLE posting (
    id      INTEGER PRIMARY KEY,  -- part, dimension, bucket
    entries BLOB NOT NULL         -- sorted: 4 bytes of hash, 2 of place, both big endian
);
CREATE TABLE late (
    dimension INTEGER NOT NULL,
    hash      INTEGER NOT NULL,
    txn       INTEGER NOT NULL,
    PRIMARY KEY (dimension, hash, txn)
) WITHOUT ROWID;
";

/// Transactions of a part, as a power of two. Stands in the files: another number needs all posted anew.
pub(super) const PART_BITS: u32 = 14;
const PLACE_MASK: u64 = (1 << PART_BITS) - 1;
/// Lists of a part and dimension, as a power of two.
const BUCKET_BITS: u32 = 6;
const DIMENSION_BITS: u32 = 2;
const ENTRY: usize = 6;

/// How many numbers beyond its end are given out when a part is posted: answers that bring a reference number
/// have mostly come by then.
const SETTLED_AFTER: u64 = 8_192;
/// Parts posted in one round of the projection: after an upgrade there are many, and a round is short.
const PARTS_A_ROUND: usize = 4;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Account,
    Terminal,
    Merchant,
    Rrn,
}

const DIMENSIONS: [Dimension; 4] = [
    Dimension::Account,
    Dimension::Terminal,
    Dimension::Merchant,
    Dimension::Rrn,
];

impl Dimension {
    const fn number(self) -> u8 {
        match self {
            Self::Account => 0,
            Self::Terminal => 1,
            Self::Merchant => 2,
            Self::Rrn => 3,
        }
    }
}

/// A value of a dimension, hashed. Different values may share a hash: whoever finds a row compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    dimension: Dimension,
    hash: u32,
}

impl Wanted {
    pub(super) fn account(account: u32) -> Self {
        Self::of(Dimension::Account, &account.to_le_bytes())
    }

    pub(super) fn text(dimension: Dimension, text: &str) -> Self {
        Self::of(dimension, text.as_bytes())
    }

    fn of(dimension: Dimension, value: &[u8]) -> Self {
        let hash = crc32c::crc32c(value);
        Self { dimension, hash }
    }

    /// Number of the list that has it.
    fn list(self, part: u64) -> u64 {
        let bucket = u64::from(self.hash) & ((1 << BUCKET_BITS) - 1);
        (((part << DIMENSION_BITS) | u64::from(self.dimension.number())) << BUCKET_BITS) | bucket
    }
}

/// The lists of a part are those from the first number to before the second.
const fn lists_of(part: u64) -> (u64, u64) {
    const BITS: u32 = DIMENSION_BITS + BUCKET_BITS;
    (part << BITS, (part + 1) << BITS)
}

/// Widens a part's span.
const WIDEN: &str = "INSERT INTO span(part, first_at, last_at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (part) DO UPDATE SET \
    first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)";

/// The parts that rows are in, and from when to when each of them was accepted.
fn spans(rows: &[TransactionRow]) -> BTreeMap<u64, (Timestamp, Timestamp)> {
    let mut spans = BTreeMap::new();
    for row in rows {
        let (first, last) = spans
            .entry(row.txn.0 >> PART_BITS)
            .or_insert((row.at, row.at));
        (*first, *last) = (row.at.min(*first), row.at.max(*last));
    }
    spans
}

/// Keeps spans and lists true to what a round changes, after its rows are written.
pub(super) fn keep_up(step: &Connection, changes: &Changes) -> rusqlite::Result<()> {
    let mut posted = Posted::default();
    let mut widen = step.prepare_cached(WIDEN)?;
    for (part, (first, last)) in spans(&changes.inserted) {
        widen.execute([part, first.0, last.0].map(to_sql))?;
        if posted.is(step, part)? {
            let of_part = |row: &&TransactionRow| row.txn.0 >> PART_BITS == part;
            for row in changes.inserted.iter().filter(of_part) {
                comes_late(step, row)?;
            }
        }
    }
    for (txn, outcome, _) in &changes.updated {
        let rrn = outcome.as_ref().and_then(|outcome| outcome.rrn.as_deref());
        if let Some(rrn) = rrn
            && posted.is(step, txn.0 >> PART_BITS)?
        {
            add_late(step, Wanted::text(Dimension::Rrn, rrn), *txn)?;
        }
    }
    let newest = changes.inserted.iter().map(|row| row.txn.0).max();
    match newest {
        Some(newest) => post_settled(step, newest.saturating_sub(SETTLED_AFTER), PARTS_A_ROUND),
        None => Ok(()),
    }
}

/// Which parts are posted, each asked for once.
#[derive(Default)]
struct Posted(BTreeMap<u64, bool>);

impl Posted {
    fn is(&mut self, db: &Connection, part: u64) -> rusqlite::Result<bool> {
        if let Some(&known) = self.0.get(&part) {
            return Ok(known);
        }
        let found = is_posted(db, part)?;
        self.0.insert(part, found);
        Ok(found)
    }
}

fn is_posted(db: &Connection, part: u64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT posted FROM span WHERE part = ?1")?
        .query_row([to_sql(part)], |row| row.get(0))
        .optional()
        .map(|posted| posted.unwrap_or(false))
}

fn comes_late(step: &Connection, row: &TransactionRow) -> rusqlite::Result<()> {
    let rrn = row
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.rrn.as_deref());
    let values = [
        Some(Wanted::account(row.account)),
        Some(Wanted::text(Dimension::Terminal, row.key.terminal.as_str())),
        Some(Wanted::text(Dimension::Merchant, &row.merchant)),
        rrn.map(|rrn| Wanted::text(Dimension::Rrn, rrn)),
    ];
    for wanted in values.into_iter().flatten() {
        add_late(step, wanted, row.txn)?;
    }
    Ok(())
}

fn add_late(step: &Connection, wanted: Wanted, txn: TxnId) -> rusqlite::Result<()> {
    step.prepare_cached("INSERT OR IGNORE INTO late VALUES (?1, ?2, ?3)")?
        .execute(params![
            wanted.dimension.number(),
            wanted.hash,
            to_sql(txn.0)
        ])?;
    Ok(())
}

/// Posts parts of which every number is below `settled`, oldest first, so many at most.
pub(super) fn post_settled(
    step: &Connection,
    settled: u64,
    parts_max: usize,
) -> rusqlite::Result<()> {
    for _ in 0..parts_max {
        let oldest: Option<i64> = step
            .prepare_cached("SELECT min(part) FROM span WHERE posted = 0 AND part < ?1")?
            .query_row([to_sql(settled >> PART_BITS)], |row| row.get(0))?;
        let Some(part) = oldest else {
            break;
        };
        post(step, from_sql(part))?;
    }
    Ok(())
}

fn post(step: &Connection, part: u64) -> rusqlite::Result<()> {
    let mut entries: Vec<(u64, u32, u16)> = Vec::with_capacity(DIMENSIONS.len() << PART_BITS);
    let mut all = step.prepare_cached(
        "SELECT id, account, terminal, merchant, rrn FROM txn NOT INDEXED WHERE id >= ?1 AND id < ?2",
    )?;
    let mut rows = all.query([part << PART_BITS, (part + 1) << PART_BITS].map(to_sql))?;
    while let Some(row) = rows.next()? {
        let txn = from_sql(row.get(0)?);
        let place = u16::try_from(txn & PLACE_MASK).unwrap_or(u16::MAX);
        for (column, dimension) in (1..).zip(DIMENSIONS) {
            let wanted = match row.get_ref(column)? {
                ValueRef::Integer(number) => Wanted::of(
                    dimension,
                    &u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes(),
                ),
                ValueRef::Text(text) => Wanted::of(dimension, text),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => continue,
            };
            entries.push((wanted.list(part), wanted.hash, place));
        }
    }
    entries.sort_unstable();
    let mut write = step.prepare_cached("INSERT OR REPLACE INTO posting VALUES (?1, ?2)")?;
    for list in entries.chunk_by(|one, next| one.0 == next.0) {
        let mut bytes = Vec::with_capacity(list.len() * ENTRY);
        for (_, hash, place) in list {
            bytes.extend_from_slice(&hash.to_be_bytes());
            bytes.extend_from_slice(&place.to_be_bytes());
        }
        write.execute(params![to_sql(list[0].0), bytes])?;
    }
    step.prepare_cached("UPDATE span SET posted = 1 WHERE part = ?1")?
        .execute([to_sql(part)])?;
    Ok(())
}

/// Numbers of a part's transactions that may have the value, ascending; `None` when the part is not posted
/// yet and all its rows must be looked at.
pub(super) fn candidates(
    db: &Connection,
    wanted: Wanted,
    part: u64,
) -> rusqlite::Result<Option<Vec<u64>>> {
    if !is_posted(db, part)? {
        return Ok(None);
    }
    let first = part << PART_BITS;
    let mut found: Vec<u64> = db
        .prepare_cached("SELECT entries FROM posting WHERE id = ?1")?
        .query_row([to_sql(wanted.list(part))], |row| {
            let entries = row.get_ref(0)?.as_blob()?;
            let places = places_in(entries, wanted.hash);
            Ok(places.map(|place| first | u64::from(place)).collect())
        })
        .optional()?
        .unwrap_or_default();
    let mut late = db.prepare_cached(
        "SELECT txn FROM late WHERE dimension = ?1 AND hash = ?2 AND txn >= ?3 AND txn < ?4",
    )?;
    let (from, to) = (to_sql(first), to_sql(first + (1 << PART_BITS)));
    let number = wanted.dimension.number();
    let mut rows = late.query(params![number, wanted.hash, from, to])?;
    while let Some(row) = rows.next()? {
        found.push(from_sql(row.get(0)?));
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

/// The places under a hash, in a sorted list.
fn places_in(entries: &[u8], hash: u32) -> impl Iterator<Item = u16> {
    let (entries, _) = entries.as_chunks::<ENTRY>();
    let hash = hash.to_be_bytes();
    let first = entries.partition_point(|entry| entry[..4] < hash[..]);
    let same = entries[first..]
        .iter()
        .take_while(move |entry| entry[..4] == hash[..]);
    same.map(|&[.., high, low]| u16::from_be_bytes([high, low]))
}

/// Posts nothing less than everything anew, when rows came that no round brought.
pub(super) fn post_again(step: &Connection) -> rusqlite::Result<()> {
    step.execute_batch("DELETE FROM posting; DELETE FROM late; UPDATE span SET posted = 0;")?;
    let newest: i64 =
        step.query_row("SELECT coalesce(max(id), 0) FROM txn", [], |row| row.get(0))?;
    post_settled(
        step,
        from_sql(newest).saturating_sub(SETTLED_AFTER),
        usize::MAX,
    )
}

/// Forgets the parts between two numbers of which no row is left.
pub(super) fn forget_empty(step: &Connection, from: u64, to: u64) -> rusqlite::Result<()> {
    let known: Vec<i64> = {
        let mut parts =
            step.prepare_cached("SELECT part FROM span WHERE part >= ?1 AND part < ?2")?;
        let parts = parts.query_map([from, to].map(|txn| to_sql(txn >> PART_BITS)), |row| {
            row.get(0)
        })?;
        parts.collect::<rusqlite::Result<_>>()?
    };
    for part in known.into_iter().map(from_sql) {
        let (first, end) = (to_sql(part << PART_BITS), to_sql((part + 1) << PART_BITS));
        let left: bool = step
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM txn WHERE id >= ?1 AND id < ?2)")?
            .query_row([first, end], |row| row.get(0))?;
        if left {
            continue;
        }
        let (list, after) = lists_of(part);
        step.prepare_cached("DELETE FROM posting WHERE id >= ?1 AND id < ?2")?
            .execute([list, after].map(to_sql))?;
        step.prepare_cached("DELETE FROM late WHERE txn >= ?1 AND txn < ?2")?
            .execute([first, end])?;
        step.prepare_cached("DELETE FROM span WHERE part = ?1")?
            .execute([to_sql(part)])?;
    }
    Ok(())
}
