//! What time alone brings about. Called every minute; each thing happens once, and none of them waits for another.

use rusqlite::params;

use super::{HELD, Step, Stopped, held, to_sql};
use crate::binding::unbinding::{CASE_DAYS, UnbindStage};
use crate::binding::{BindingEvent, BindingState};
use crate::store::command::UnbindStep;

/// How long a binding may wait for re-verification, or for its approval, in microseconds: 30 days.
const PATIENCE: u64 = 30 * 86_400_000_000;
/// Bindings taken up at a time; the others in the next minute.
const AT_A_TIME: u32 = 1_000;

impl Step<'_> {
    pub(super) fn tick(&mut self) -> Stopped<()> {
        self.overdue()?;
        self.never_approved()?;
        let now = to_sql(self.now().0);
        self.db
            .prepare_cached(
                "UPDATE challenge SET state = 'expired', ended_at = ?1 WHERE expires_at < ?1 \
                 AND state IN ('created', 'sent', 'delivered')",
            )?
            .execute([now])?;
        let month_ago = self.now().0.saturating_sub(CASE_DAYS * 86_400_000_000);
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
        for case in self.cases_in("unbinding", UnbindStage::Scheduled.name())? {
            self.apart(|step| step.unbinding(case, &UnbindStep::Start))?;
        }
        self.apart(Self::take_over_cooled)
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
                    step.event(&held, BindingEvent::Overdue, "30 days without evidence", "")?;
                    Ok(())
                })?;
            }
        }
        Ok(())
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
