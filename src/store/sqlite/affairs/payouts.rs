//! When what bindings took may be paid out, read from their histories, which never change.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::registry::state_of;
use super::schema::line_from;
use super::{from_sql, to_sql};
use crate::base::{BindingId, Timestamp};
use crate::binding::payout::{PayoutHistory, Stood, Turn, Waiting, turns_of};
use crate::binding::{BindingState, HoldScope, HoldSet, ReasonSet, RependReason};

pub(super) fn history(db: &Connection, binding: BindingId) -> rusqlite::Result<PayoutHistory> {
    let mut line = db.prepare_cached(concat!(
        line_from!("SELECT ?1"),
        "SELECT id FROM line WHERE id <> ?1 ORDER BY id"
    ))?;
    let mut history = PayoutHistory {
        own: turns(db, to_sql(binding.0))?,
        others: Vec::new(),
    };
    for other in line.query_map([to_sql(binding.0)], id_of)? {
        history.others.push(turns(db, to_sql(other?.0))?);
    }
    Ok(history)
}

pub(super) fn stopped(db: &Connection) -> rusqlite::Result<Vec<BindingId>> {
    let mut all = db.prepare_cached(concat!(
        line_from!(
            "SELECT id FROM binding WHERE state = ?1 OR holds & ?2 OR reasons & ?3 \
             UNION SELECT binding FROM binding_change WHERE state = ?1 OR holds & ?2 OR reasons & ?3"
        ),
        "SELECT id FROM line ORDER BY id"
    ))?;
    let rows = all.query_map(
        params![
            BindingState::Suspended.name(),
            HoldSet::EMPTY.with(HoldScope::Settlement).bits(),
            ReasonSet::EMPTY.with(RependReason::Account).bits()
        ],
        id_of,
    )?;
    rows.collect()
}

pub(super) fn changed(
    db: &Connection,
    times: &Range<Timestamp>,
) -> rusqlite::Result<Vec<BindingId>> {
    let mut all = db.prepare_cached(concat!(
        line_from!(
            "SELECT binding FROM binding_change WHERE at >= ?1 AND at < ?2 \
             UNION SELECT binding FROM hold WHERE lifted_at >= ?1 AND lifted_at < ?2"
        ),
        "SELECT id FROM line ORDER BY id"
    ))?;
    let rows = all.query_map([times.start.0, times.end.0].map(to_sql), id_of)?;
    rows.collect()
}

fn id_of(row: &Row<'_>) -> rusqlite::Result<BindingId> {
    row.get(0).map(from_sql).map(BindingId)
}

/// One binding's turns. How it was opened is the first of its changes once it has any; where an earlier version changed it
/// first that is missing, which matters only for bindings that were opened stopped, and those had sold nothing by then.
fn turns(db: &Connection, binding: i64) -> rusqlite::Result<Vec<Turn>> {
    let stood = |row: &Row<'_>| -> rusqlite::Result<Stood> {
        Ok(Stood {
            version: row.get(0)?,
            at: Timestamp(from_sql(row.get(1)?)),
            state: state_of(row.get_ref(2)?.as_str()?),
            reasons: ReasonSet::from_bits(row.get(3)?),
            holds: HoldSet::from_bits(row.get(4)?),
        })
    };
    let opened = db
        .prepare_cached(
            "SELECT version, opened_at, state, reasons, holds FROM binding \
             WHERE id = ?1 AND version = 1",
        )?
        .query_row([binding], stood)
        .optional()?;
    let mut changes = db.prepare_cached(
        "SELECT version, at, state, reasons, holds FROM binding_change WHERE binding = ?1 \
         ORDER BY version",
    )?;
    let mut all: Vec<_> = opened.into_iter().collect();
    for change in changes.query_map([binding], stood)? {
        all.push(change?);
    }
    let mut turns = turns_of(&all);
    // A closed binding never changes, and what held it may be lifted all the same.
    if let Some(last) = all.last()
        && !last.state.is_open()
        && last.holds.contains(HoldScope::Settlement)
        && let Some(lifted) = lifted_at(db, binding, last.at)?
    {
        turns.push(Turn {
            at: last.at.max(lifted),
            waiting: Waiting::Nothing,
            version: last.version + 1,
        });
    }
    Ok(turns)
}

/// When the last of the holds on settlement was lifted that a binding had when it was closed; `None` while one is in
/// force.
fn lifted_at(
    db: &Connection,
    binding: i64,
    closed: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let (in_force, lifted): (bool, Option<i64>) = db
        .prepare_cached(concat!(
            line_from!("SELECT ?1"),
            "SELECT coalesce(max(h.state <> 'lifted'), 0), max(h.lifted_at) \
             FROM line l JOIN hold h ON h.binding = l.id WHERE h.scope = ?2 AND h.placed_at <= ?3"
        ))?
        .query_row(
            params![binding, HoldScope::Settlement.name(), to_sql(closed.0)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    let lifted = Timestamp(lifted.map_or(0, from_sql));
    Ok((!in_force).then_some(lifted))
}
