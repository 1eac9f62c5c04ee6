//! Refunds without the terminal: what one member of staff asks for and another approves. Money moves in the journal; here
//! is who wanted it, and why.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::super::SqliteRegistry;
use super::schema::line_from;
use super::views::before;
use super::{Step, Stopped, from_sql, said, to_sql};
use crate::base::{BindingId, Timestamp};
use crate::binding::gate::staff_may_refund;
use crate::binding::refusal::two_persons;
use crate::binding::{BindingState, DeclineReason, HoldScope, Refusal};
use crate::store::command::{Part, REFUND_GOOD_FOR, RefundAsked, RefundView};

const ASKED: &str = "asked";
const APPROVED: &str = "approved";
const REFUSED: &str = "refused";

/// A refund as it was asked for.
struct Found {
    binding: u64,
    transaction: u64,
    amount: u64,
    currency: String,
    state: String,
    version: u32,
    asked_by: String,
    asked_at: u64,
}

impl Step<'_> {
    pub(super) fn ask_refund(&mut self, asked: &RefundAsked, note: &str) -> Stopped<()> {
        said("why", note)?;
        if asked.amount == 0 {
            let (what, problem) = ("the amount", "has to be more than nothing");
            return Err(Refusal::Value { what, problem }.into());
        }
        self.refundable(asked.binding, asked.transaction)?;
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO staff_refund(binding, txn, amount, currency, state, version, note, asked_by, asked_at) \
                 VALUES (?1,?2,?3,?4,?5,1,?6,?7,?8)",
            )?
            .insert(params![
                to_sql(asked.binding.0),
                to_sql(asked.transaction),
                to_sql(asked.amount),
                asked.currency,
                ASKED,
                note.trim(),
                self.actor.name,
                to_sql(self.now().0)
            ])?;
        self.done.number = from_sql(number);
        self.done.version = 1;
        let data = shown(asked.transaction, asked.amount, &asked.currency);
        self.refund_told("refund.asked", (Value::Null, ASKED), data, note)
    }

    pub(super) fn approve_refund(&mut self, refund: u64, note: &str) -> Stopped<()> {
        let found = self.refund_as_seen(refund)?;
        if found.state == APPROVED {
            // It goes on its way once more, and finds what became of it. What was never taken must not be sent when the
            // money went back by a dispute meanwhile.
            return self.refundable(BindingId(found.binding), found.transaction);
        }
        self.still_asked(&found, "approved")?;
        two_persons(&found.asked_by, &self.actor.name)?;
        self.refundable(BindingId(found.binding), found.transaction)?;
        self.decide_refund(refund, &found, APPROVED, note)?;
        let data = shown(found.transaction, found.amount, &found.currency);
        self.refund_told("refund.approved", (ASKED.into(), APPROVED), data, note)?;
        let merchant = self.binding_by_id(found.binding)?.merchant;
        let text = format!(
            "transaction {} is refunded without its terminal, as agreed with you",
            found.transaction
        );
        self.notify(merchant, "refund.approved", &text)
    }

    pub(super) fn refuse_refund(&mut self, refund: u64, note: &str) -> Stopped<()> {
        said("why", note)?;
        let found = self.refund_as_seen(refund)?;
        if found.state != ASKED {
            return Err(Refusal::State {
                thing: "refund",
                state: static_state(&found.state),
                verb: "refused",
                remedy: "what was decided stands",
            }
            .into());
        }
        self.decide_refund(refund, &found, REFUSED, note)?;
        let event = match two_persons(&found.asked_by, &self.actor.name) {
            Ok(()) => "refund.refused",
            Err(_same) => "refund.withdrawn",
        };
        let data = shown(found.transaction, found.amount, &found.currency);
        self.refund_told(event, (ASKED.into(), REFUSED), data, note)
    }

    fn refund_as_seen(&mut self, refund: u64) -> Stopped<Found> {
        let found = self
            .db
            .prepare_cached(
                "SELECT binding, txn, amount, currency, state, version, asked_by, asked_at FROM staff_refund \
                 WHERE id = ?1",
            )?
            .query_row([to_sql(refund)], |row| {
                Ok(Found {
                    binding: from_sql(row.get(0)?),
                    transaction: from_sql(row.get(1)?),
                    amount: from_sql(row.get(2)?),
                    currency: row.get(3)?,
                    state: row.get(4)?,
                    version: row.get(5)?,
                    asked_by: row.get(6)?,
                    asked_at: from_sql(row.get(7)?),
                })
            })
            .optional()?
            .ok_or_else(|| Self::not_there("refund", refund))?;
        self.stale("the refund", found.version)?;
        self.done.number = refund;
        self.done.version = found.version;
        Ok(found)
    }

    fn still_asked(&self, found: &Found, verb: &'static str) -> Stopped<()> {
        let lapsed = self.now().0 > found.asked_at.saturating_add(REFUND_GOOD_FOR);
        let state = if lapsed && found.state == ASKED {
            "older than a week"
        } else if found.state == ASKED {
            return Ok(());
        } else {
            static_state(&found.state)
        };
        Err(Refusal::State {
            thing: "refund",
            state,
            verb,
            remedy: "ask for it anew",
        }
        .into())
    }

    fn decide_refund(
        &mut self,
        refund: u64,
        found: &Found,
        state: &'static str,
        note: &str,
    ) -> Stopped<()> {
        self.done.version = found.version + 1;
        self.db
            .prepare_cached(
                "UPDATE staff_refund SET state = ?2, version = ?3, decided_by = ?4, decided_at = ?5, \
                 decided_note = ?6 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(refund),
                state,
                self.done.version,
                self.actor.name,
                to_sql(self.now().0),
                note.trim()
            ])?;
        Ok(())
    }

    /// That staff may give back what was taken under a binding: see [`staff_may_refund`]; and that no hold is in force,
    /// which a closed binding no longer shows by itself.
    fn refundable(&self, binding: BindingId, transaction: u64) -> Stopped<()> {
        if let Some(dispute) = self.disputed(transaction)? {
            return Err(Refusal::Taken {
                what: "the transaction",
                holder: format!("dispute {dispute}").into(),
                remedy: "what is contested, or went back by a dispute, is not given back a second time",
            }
            .into());
        }
        let admission = self.binding_by_id(binding.0)?.admission;
        let held = match staff_may_refund(admission.state, admission.holds) {
            Ok(()) if admission.state == BindingState::Unbound => self.held_since(binding)?,
            Ok(()) => false,
            Err(DeclineReason::Held(_)) => true,
            Err(_of_state) => {
                return Err(Refusal::State {
                    thing: "terminal",
                    state: admission.state.name(),
                    verb: "refunded from",
                    remedy: "a suspended terminal has to be resumed or unbound first; one that never traded has \
                             nothing to refund",
                }
                .into());
            }
        };
        if held {
            return Err(Refusal::State {
                thing: "terminal",
                state: "held",
                verb: "refunded from",
                remedy: "see `posgate hold list`; another person than placed it lifts it",
            }
            .into());
        }
        Ok(())
    }

    fn held_since(&self, binding: BindingId) -> Stopped<bool> {
        let held = self
            .db
            .prepare_cached(concat!(
                line_from!("SELECT ?1"),
                "SELECT EXISTS (SELECT 1 FROM line l JOIN hold h ON h.binding = l.id \
                 WHERE h.scope IN (?2, ?3) AND h.state <> 'lifted')"
            ))?
            .query_row(
                params![
                    to_sql(binding.0),
                    HoldScope::Acceptance.name(),
                    HoldScope::Refund.name()
                ],
                |row| row.get(0),
            )?;
        Ok(held)
    }

    fn refund_told(
        &mut self,
        event: &'static str,
        (was, is): (Value, &'static str),
        mut data: Value,
        note: &str,
    ) -> Stopped<()> {
        let object = format!("refund {}", self.done.number);
        let before = if was.is_null() {
            Value::Null
        } else {
            json!({ "state": was })
        };
        self.tell(event, object.clone(), before, json!({ "state": is }), {
            let mut details = data.clone();
            details["note"] = note.trim().into();
            details
        })?;
        data["state"] = is.into();
        self.outside(event, object, self.done.version, data);
        Ok(())
    }
}

/// A state as a refusal has it.
fn static_state(state: &str) -> &'static str {
    match state {
        APPROVED => APPROVED,
        REFUSED => REFUSED,
        _other => ASKED,
    }
}

fn shown(transaction: u64, amount: u64, currency: &str) -> Value {
    json!({ "transaction": transaction, "amount": amount, "currency": currency })
}

const VIEW: &str = "SELECT id, binding, txn, amount, currency, state, version, note, asked_by, asked_at, decided_by, \
                    decided_at, decided_note FROM staff_refund";

fn view(row: &Row<'_>) -> rusqlite::Result<RefundView> {
    Ok(RefundView {
        refund: from_sql(row.get(0)?),
        binding: from_sql(row.get(1)?),
        transaction: from_sql(row.get(2)?),
        amount: from_sql(row.get(3)?),
        currency: row.get(4)?,
        state: row.get(5)?,
        version: row.get(6)?,
        note: row.get(7)?,
        asked_by: row.get(8)?,
        asked_at_us: from_sql(row.get(9)?),
        decided_by: row.get(10)?,
        decided_at_us: row.get::<_, Option<i64>>(11)?.map(from_sql),
        decided_note: row.get(12)?,
    })
}

impl SqliteRegistry {
    pub(super) fn read_refund(&self, refund: u64) -> rusqlite::Result<Option<RefundView>> {
        self.db()
            .prepare_cached(&format!("{VIEW} WHERE id = ?1"))?
            .query_row([to_sql(refund)], view)
            .optional()
    }

    pub(super) fn read_refunds(&self, part: Part) -> rusqlite::Result<Vec<RefundView>> {
        let mut all = self
            .db()
            .prepare_cached(&format!("{VIEW} WHERE id < ?1 ORDER BY id DESC LIMIT ?2"))?;
        let rows = all.query_map(params![before(part), part.most], view)?;
        rows.collect()
    }

    /// Refunds of a binding that were asked for and can still be approved.
    pub(super) fn count_refunds_asked(
        &self,
        binding: BindingId,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        self.db()
            .prepare_cached(
                "SELECT count(*) FROM staff_refund WHERE binding = ?1 AND state = ?2 AND asked_at >= ?3",
            )?
            .query_row(
                params![
                    to_sql(binding.0),
                    ASKED,
                    to_sql(now.0.saturating_sub(REFUND_GOOD_FOR))
                ],
                |row| row.get(0).map(from_sql),
            )
    }
}
