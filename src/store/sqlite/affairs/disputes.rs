//! Disputes: what a card's holder or issuer contests, as staff record it. It moves no money here; it stands with the
//! transaction and its merchant, whatever becomes of the terminal, and what is contested is not refunded as well.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::super::SqliteRegistry;
use super::views::before;
use super::{Step, Stopped, from_sql, said, to_sql};
use crate::base::BindingId;
use crate::binding::Refusal;
use crate::binding::dispute::DisputeEnd;
use crate::store::command::{DisputeView, Part};

const OPEN: &str = "open";

impl Step<'_> {
    pub(super) fn open_dispute(
        &mut self,
        (binding, transaction): (BindingId, u64),
        reference: &str,
        note: &str,
    ) -> Stopped<()> {
        said("the network's or the issuer's reference", reference)?;
        said("what is contested", note)?;
        let open: Option<u64> = self
            .db
            .prepare_cached("SELECT id FROM dispute WHERE txn = ?1 AND state = ?2")?
            .query_row(params![to_sql(transaction), OPEN], |row| {
                row.get(0).map(from_sql)
            })
            .optional()?;
        if let Some(dispute) = open {
            return Err(Refusal::Taken {
                what: "the transaction",
                holder: format!("dispute {dispute}").into(),
                remedy: "close that one first, or go on with it",
            }
            .into());
        }
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO dispute(binding, txn, reference, note, state, version, opened_by, opened_at) \
                 VALUES (?1,?2,?3,?4,?5,1,?6,?7)",
            )?
            .insert(params![
                to_sql(binding.0),
                to_sql(transaction),
                reference.trim(),
                note.trim(),
                OPEN,
                self.actor.name,
                to_sql(self.now().0)
            ])?;
        self.done.number = from_sql(number);
        self.done.version = 1;
        let data =
            json!({ "transaction": transaction, "reference": reference.trim(), "state": OPEN });
        self.dispute_told("dispute.opened", Value::Null, data, note)?;
        let merchant = self.binding_by_id(binding.0)?.merchant;
        let text = format!("transaction {transaction} is contested: {}", note.trim());
        self.notify(merchant, "dispute.opened", &text)
    }

    pub(super) fn close_dispute(
        &mut self,
        dispute: u64,
        end: DisputeEnd,
        note: &str,
    ) -> Stopped<()> {
        said("how it ended", note)?;
        let found: Option<(u64, u64, String, u32)> = self
            .db
            .prepare_cached("SELECT binding, txn, state, version FROM dispute WHERE id = ?1")?
            .query_row([to_sql(dispute)], |row| {
                Ok((
                    from_sql(row.get(0)?),
                    from_sql(row.get(1)?),
                    row.get(2)?,
                    row.get(3)?,
                ))
            })
            .optional()?;
        let (binding, transaction, state, version) =
            found.ok_or_else(|| Self::not_there("dispute", dispute))?;
        self.stale("the dispute", version)?;
        if state != OPEN {
            return Err(Refusal::State {
                thing: "dispute",
                state: "over",
                verb: "closed",
                remedy: "open another one",
            }
            .into());
        }
        self.done.number = dispute;
        self.done.version = version + 1;
        self.db
            .prepare_cached(
                "UPDATE dispute SET state = ?2, version = ?3, closed_by = ?4, closed_at = ?5, closed_note = ?6 \
                 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(dispute),
                end.name(),
                self.done.version,
                self.actor.name,
                to_sql(self.now().0),
                note.trim()
            ])?;
        let data = json!({ "transaction": transaction, "state": end.name() });
        self.dispute_told("dispute.closed", json!({ "state": OPEN }), data, note)?;
        let merchant = self.binding_by_id(binding)?.merchant;
        let text = format!("the dispute about transaction {transaction} is over: {end}");
        self.notify(merchant, "dispute.closed", &text)
    }

    /// The dispute that stands in the way of giving a transaction back once more: one that is open, or by which the
    /// money went back already.
    pub(super) fn disputed(&self, transaction: u64) -> Stopped<Option<u64>> {
        let found = self
            .db
            .prepare_cached("SELECT id FROM dispute WHERE txn = ?1 AND state IN (?2, ?3)")?
            .query_row(
                params![to_sql(transaction), OPEN, DisputeEnd::Lost.name()],
                |row| row.get(0).map(from_sql),
            )
            .optional()?;
        Ok(found)
    }

    fn dispute_told(
        &mut self,
        event: &'static str,
        was: Value,
        data: Value,
        note: &str,
    ) -> Stopped<()> {
        let object = format!("dispute {}", self.done.number);
        let details = json!({ "note": note.trim() });
        self.tell(event, object.clone(), was, data.clone(), details)?;
        self.outside(event, object, self.done.version, data);
        Ok(())
    }
}

const VIEW: &str = "SELECT id, binding, txn, reference, note, state, version, opened_by, opened_at, closed_by, \
                    closed_at, closed_note FROM dispute";

fn view(row: &Row<'_>) -> rusqlite::Result<DisputeView> {
    Ok(DisputeView {
        dispute: from_sql(row.get(0)?),
        binding: from_sql(row.get(1)?),
        transaction: from_sql(row.get(2)?),
        reference: row.get(3)?,
        note: row.get(4)?,
        state: row.get(5)?,
        version: row.get(6)?,
        opened_by: row.get(7)?,
        opened_at_us: from_sql(row.get(8)?),
        closed_by: row.get(9)?,
        closed_at_us: row.get::<_, Option<i64>>(10)?.map(from_sql),
        closed_note: row.get(11)?,
    })
}

impl SqliteRegistry {
    pub(super) fn read_disputes(
        &self,
        open_only: bool,
        part: Part,
    ) -> rusqlite::Result<Vec<DisputeView>> {
        let mut all = self.db().prepare_cached(&format!(
            "{VIEW} WHERE id < ?1 AND (state = 'open' OR NOT ?3) ORDER BY id DESC LIMIT ?2"
        ))?;
        let rows = all.query_map(params![before(part), part.most, open_only], view)?;
        rows.collect()
    }

    pub(super) fn read_disputes_of(&self, transaction: u64) -> rusqlite::Result<Vec<DisputeView>> {
        let mut all = self
            .db()
            .prepare_cached(&format!("{VIEW} WHERE txn = ?1 ORDER BY id"))?;
        let rows = all.query_map([to_sql(transaction)], view)?;
        rows.collect()
    }

    pub(super) fn count_disputes(&self, binding: i64) -> rusqlite::Result<u64> {
        self.db()
            .prepare_cached("SELECT count(*) FROM dispute WHERE binding = ?1 AND state = 'open'")?
            .query_row([binding], |row| row.get(0).map(from_sql))
    }
}
