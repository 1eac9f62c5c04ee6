//! What time alone brings about. Called every minute; each thing happens once, and none of them waits for another.

use rusqlite::params;
use serde_json::{Value, json};

use super::schema::reminder_due;
use super::{HELD, Step, Stopped, from_sql, held, to_sql};
use crate::binding::unbinding::CASE_DAYS;
use crate::binding::{BindingEvent, BindingState};
use crate::store::command::UnbindStep;

/// How long a binding may wait for re-verification, or for its approval, in microseconds: 30 days.
const PATIENCE: u64 = 30 * DAY;
/// In microseconds.
const DAY: u64 = 86_400_000_000;
/// Bindings taken up at a time; the others in the next minute.
const AT_A_TIME: u32 = 1_000;

impl Step<'_> {
    pub(super) fn tick(&mut self) -> Stopped<()> {
        self.overdue()?;
        self.remind()?;
        self.never_approved()?;
        let now = to_sql(self.now().0);
        self.db
            .prepare_cached(
                "UPDATE challenge SET state = 'expired', ended_at = ?1 WHERE expires_at < ?1 \
                 AND state IN ('created', 'sent', 'delivered')",
            )?
            .execute([now])?;
        let month_ago = self.now().0.saturating_sub(CASE_DAYS * DAY);
        for case in self.cases_before("unbinding", month_ago)? {
            self.apart(|step| step.expire_unbinding(case))?;
        }
        let opened = u64::try_from(self.rules.replacement.as_micros()).unwrap_or(u64::MAX);
        for case in self.cases_before("replacement", self.now().0.saturating_sub(opened))? {
            self.apart(|step| step.expire_replacement(case))?;
        }
        for case in self.cases_before("account-change", month_ago)? {
            self.apart(|step| step.expire_account_change(case))?;
        }
        for case in self.due_unbindings()? {
            self.apart(|step| step.unbinding(case, &UnbindStep::Start))?;
        }
        self.apart(Self::take_over_due)?;
        self.apart(Self::lapse_evidence)
    }

    /// Nobody gave evidence in time.
    fn overdue(&mut self) -> Stopped<()> {
        let before = to_sql(self.now().0.saturating_sub(PATIENCE));
        let due: Vec<_> = {
            let mut all = self.db.prepare_cached(&format!(
                "{HELD} WHERE b.pended_at IS NOT NULL AND b.pended_at <= ?1 ORDER BY b.pended_at LIMIT ?2"
            ))?;
            let rows = all.query_map(params![before, AT_A_TIME], held)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for held in due {
            if held.admission.state == BindingState::RePending {
                self.apart(|step| {
                    let why = "30 days without evidence";
                    step.event(&held, BindingEvent::Overdue, why, "")?;
                    let text = format!("terminal {} is suspended: {why}", held.key.terminal);
                    step.notify(held.merchant, BindingEvent::Overdue.name(), &text)
                })?;
            }
        }
        Ok(())
    }

    /// Nobody gave evidence yet.
    fn remind(&mut self) -> Stopped<()> {
        let now = self.now().0;
        let due: Vec<(u64, u64)> = {
            let mut all = self.db.prepare_cached(concat!(
                "SELECT id, pended_at FROM binding WHERE pended_at IS NOT NULL AND ",
                reminder_due!(),
                " <= ?1 LIMIT ?2"
            ))?;
            let rows = all.query_map(params![to_sql(now), AT_A_TIME], |row| {
                Ok((row.get(0).map(from_sql)?, row.get(1).map(from_sql)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (binding, pended_at) in due {
            self.db
                .prepare_cached("UPDATE binding SET reminded_at = ?2 WHERE id = ?1")?
                .execute(params![to_sql(binding), to_sql(now)])?;
            let waited = now.saturating_sub(pended_at);
            self.apart(|step| step.remind_one(binding, PATIENCE.saturating_sub(waited)))?;
        }
        Ok(())
    }

    /// Tells what is missing, and after how many days the terminal is suspended without it.
    fn remind_one(&mut self, binding: u64, left: u64) -> Stopped<()> {
        let held = self.binding_by_id(binding)?;
        let (terminal, reasons) = (held.key.terminal, held.admission.reasons);
        let days = left.div_ceil(DAY);
        let text = format!(
            "terminal {terminal} takes no new payments until this is verified: {reasons}; in {days} days it is suspended"
        );
        let subject = format!(
            "terminal {}/{terminal}",
            self.acquirer_name(held.key.acquirer)?
        );
        let details = json!({ "reasons": reasons.to_string(), "days_left": days });
        self.tell(
            "binding.reminded",
            subject,
            Value::Null,
            Value::Null,
            details,
        )?;
        self.notify(held.merchant, "binding.reminded", &text)
    }

    /// Asked for, and nobody went on with it.
    fn never_approved(&mut self) -> Stopped<()> {
        let before = to_sql(self.now().0.saturating_sub(PATIENCE));
        let due: Vec<_> = {
            let mut all = self.db.prepare_cached(&format!(
                "{HELD} WHERE b.closed_at IS NULL AND b.opened_by <> '' AND b.predecessor IS NULL \
                 AND b.state IN ('pending', 'activating') AND b.opened_at <= ?1 LIMIT ?2"
            ))?;
            let rows = all.query_map(params![before, AT_A_TIME], held)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for held in due {
            self.apart(|step| step.end_unused(&held, "30 days without activation"))?;
        }
        Ok(())
    }
}
