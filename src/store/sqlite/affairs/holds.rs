//! Holds.

use rusqlite::{OptionalExtension, params};
use serde_json::json;

use super::schema::line_from;
use super::{Because, Step, Stopped, from_sql, said, to_sql};
use crate::binding::challenge::Purpose;
use crate::binding::contact::ContactState;
use crate::binding::hold::{Explained, HoldState};
use crate::binding::{HoldScope, HoldSet, TerminalKey};

impl Step<'_> {
    pub(super) fn place_hold(
        &mut self,
        key: TerminalKey,
        scope: HoldScope,
        explained: &Explained,
    ) -> Stopped<()> {
        let held = self.open_binding_as_seen(key)?;
        explained.check()?;
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO hold(binding, scope, state, reason, remedy, documents, appeal, placed_at, \
                 placed_by) VALUES (?1,?2,'placed',?3,?4,?5,?6,?7,?8)",
            )?
            .insert(params![
                to_sql(held.admission.binding.0),
                scope.name(),
                explained.reason,
                explained.remedy,
                explained.documents,
                explained.appeal,
                to_sql(self.now().0),
                self.actor.name
            ])?;
        let note = format!("hold {number} on {scope}: {}", explained.reason);
        let because = Because {
            event: "hold.placed",
            note: &note,
            checker: "",
        };
        self.hold_line(held.admission.binding.0, because)?;
        self.done.number = from_sql(number);
        self.done.version = 1;
        let data = json!({
            "binding": held.admission.binding.0, "scope": scope.name(), "reason": explained.reason,
            "remedy": explained.remedy, "documents": explained.documents, "appeal": explained.appeal,
        });
        self.outside("hold.placed", format!("hold {number}"), 1, data);
        let text = format!(
            "{scope} is held: {}; it ends with: {}; documents: {}; appeal: {}",
            explained.reason, explained.remedy, explained.documents, explained.appeal
        );
        self.notify(held.merchant, "hold.placed", &text)
    }

    pub(super) fn appeal_hold(
        &mut self,
        hold: u64,
        note: &str,
        challenge: Option<u64>,
    ) -> Stopped<()> {
        let (binding, _, state, _) = self.hold(hold)?;
        let state = state.appeal()?;
        said("what the merchant says against it", note)?;
        if let Some(challenge) = challenge {
            let merchant = self.binding_by_id(binding)?.merchant;
            self.approved_challenge(challenge, Purpose::ReleaseHold, binding, |contact| {
                contact.merchant == merchant && contact.state == ContactState::Verified
            })?;
        }
        self.db
            .prepare_cached(
                "UPDATE hold SET state = ?2, appealed_at = ?3, appeal_note = ?4 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(hold),
                state.name(),
                to_sql(self.now().0),
                note
            ])?;
        self.done.number = hold;
        self.outside(
            "hold.appealed",
            format!("hold {hold}"),
            2,
            json!({ "note": note, "challenge": challenge }),
        );
        self.tell(
            "hold.appealed",
            format!("hold {hold}"),
            json!({ "state": "placed" }),
            json!({ "state": state.name() }),
            json!({ "note": note, "challenge": challenge }),
        )
    }

    pub(super) fn lift_hold(&mut self, hold: u64, note: &str) -> Stopped<()> {
        let (binding, scope, state, placed_by) = self.hold(hold)?;
        let state = state.lift(&placed_by, &self.actor.name)?;
        said("why it is lifted", note)?;
        self.db
            .prepare_cached(
                "UPDATE hold SET state = ?2, lifted_at = ?3, lifted_by = ?4, lift_note = ?5 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(hold),
                state.name(),
                to_sql(self.now().0),
                self.actor.name,
                note
            ])?;
        let held = self.binding_by_id(binding)?;
        let told = format!("hold {hold} on {scope}: {note}");
        let because = Because {
            event: "hold.lifted",
            note: &told,
            checker: &placed_by,
        };
        if self.hold_line(binding, because)? == 0 {
            self.tell(
                "hold.lifted",
                format!("hold {hold}"),
                json!({ "state": "placed" }),
                json!({ "state": state.name() }),
                json!({ "note": note }),
            )?;
        }
        self.done.number = hold;
        let data = json!({ "scope": scope.name(), "note": note });
        self.outside("hold.lifted", format!("hold {hold}"), 3, data);
        let text = format!("the hold on {scope} is lifted");
        self.notify(held.merchant, "hold.lifted", &text)
    }

    /// Binding, scope, state and who placed it.
    fn hold(&self, hold: u64) -> Stopped<(u64, HoldScope, HoldState, String)> {
        self.db
            .prepare_cached("SELECT binding, scope, state, placed_by FROM hold WHERE id = ?1")?
            .query_row([to_sql(hold)], |row| {
                Ok((
                    from_sql(row.get(0)?),
                    scope_of(row.get_ref(1)?.as_str()?),
                    HoldState::from_name(row.get_ref(2)?.as_str()?).unwrap_or(HoldState::Placed),
                    row.get(3)?,
                ))
            })
            .optional()?
            .ok_or_else(|| Self::not_there("hold", hold))
    }

    /// Writes what is held now to every open binding of this one's line: a shop that moved to another device is held
    /// there too, and what the old device sold is still held. Says how many are open.
    fn hold_line(&mut self, binding: u64, because: Because<'_>) -> Stopped<usize> {
        let holds = self.holds_in_force(binding)?;
        let open: Vec<_> = {
            let mut all = self.db.prepare_cached(concat!(
                line_from!("SELECT ?1"),
                "SELECT b.id FROM line l JOIN binding b ON b.id = l.id WHERE b.closed_at IS NULL ORDER BY b.id"
            ))?;
            let rows = all.query_map([to_sql(binding)], |row| row.get(0).map(from_sql))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for binding in &open {
            let held = self.binding_by_id(*binding)?;
            let mut after = held.clone();
            after.admission.holds = holds;
            self.write_binding(&held, &after, because)?;
        }
        Ok(open.len())
    }

    /// What is held for a binding by all holds of its line together.
    fn holds_in_force(&self, binding: u64) -> Stopped<HoldSet> {
        let mut all = self.db.prepare_cached(concat!(
            line_from!("SELECT ?1"),
            "SELECT h.scope FROM line l JOIN hold h ON h.binding = l.id WHERE h.state <> 'lifted'"
        ))?;
        let rows = all.query_map([to_sql(binding)], |row| {
            Ok(scope_of(row.get_ref(0)?.as_str()?))
        })?;
        let mut set = HoldSet::EMPTY;
        for scope in rows {
            set = set.with(scope?);
        }
        Ok(set)
    }
}

/// A scope that this build does not know stops everything.
fn scope_of(name: &str) -> HoldScope {
    HoldScope::from_name(name).unwrap_or(HoldScope::Acceptance)
}
