//! Replacements: a shop moves to a new device under a new terminal id, and both trade until the cut-over.

use super::evidence::CaseRow;
use super::{Held, Step, Stopped, to_sql};
use crate::binding::device::DeviceState;
use crate::binding::replacement::{Leaving, Replacement};
use crate::binding::{BindingEvent, BindingState, Refusal, TerminalKey};
use crate::store::command::{Allows, ReplaceStep};

const KIND: &str = "replacement";

impl Step<'_> {
    pub(super) fn open_replacement(
        &mut self,
        key: TerminalKey,
        new_key: TerminalKey,
        serial: &str,
        note: &str,
    ) -> Stopped<()> {
        let old = self.open_binding_as_seen(key)?;
        super::said("why the device is replaced", note)?;
        may_move(&old)?;
        if key == new_key || key.acquirer != new_key.acquirer {
            let what = "the new terminal id";
            let problem = "has to be another one at the same acquirer: two devices under one id would \
                           collide in STAN and batch";
            return Err(Refusal::Value { what, problem }.into());
        }
        let terminal = self.free_terminal(new_key, serial, None)?;
        let new = self.new_binding(
            new_key,
            terminal,
            (old.merchant, old.admission.merchant),
            old.admission.accounts,
            serial,
            Some(old.admission.binding),
        )?;
        // The merchant is known and the account is the same: what is left is the device's own tests.
        let maker = self.actor.name.clone();
        self.event(&new, BindingEvent::Approve, "replacement", &maker)?;
        let case = Replacement::open(self.now(), &maker, note, new.admission.binding.0);
        let body = serde_json::to_value(&case).unwrap_or_default();
        self.open_case(KIND, &old, case.stage.name(), &body)?;
        let (number, version) = (self.done.number, self.done.version);
        let text = format!(
            "terminal {} is to be replaced by {}",
            key.terminal, new_key.terminal
        );
        self.notify(old.merchant, "replace.opened", &text)?;
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    pub(super) fn replacement(&mut self, number: u64, step: &ReplaceStep) -> Stopped<()> {
        let row = self.case(number, KIND)?;
        let mut case: Replacement =
            serde_json::from_value(row.body.clone()).map_err(|_unreadable| Refusal::Value {
                what: "the case",
                problem: "was written by a newer posgate",
            })?;
        let old = self.binding_by_id(row.binding)?;
        let new = self.binding_by_id(case.new_binding)?;
        let leaves = match case.leaving() {
            Leaving::Old => &old,
            Leaving::New => &new,
        };
        let by = self.actor.name.clone();
        let event = match step {
            ReplaceStep::Tested(test, passed) => {
                case.tested(*test, *passed)?;
                if *passed {
                    "replace.test_passed"
                } else {
                    "replace.test_failed"
                }
            }
            ReplaceStep::CutOver(network) => {
                self.cut_over(&row, &mut case, &old, &new, network)?;
                "replace.cutover"
            }
            ReplaceStep::RollBack => {
                self.roll_back(&row, &mut case, &old, &new)?;
                "replace.rolled_back"
            }
            ReplaceStep::Cancel => {
                case.cancel()?;
                self.end_if_unused(&new, "the replacement was cancelled")?;
                "replace.cancelled"
            }
            ReplaceStep::Drained(left) => {
                case.drained(left)?;
                let note = format!("case {number}: drained");
                self.close_binding(leaves, &note, "")?;
                "replace.drained"
            }
            ReplaceStep::Force(left, evidence) => {
                let about = format!("case {number}");
                let (first, why) =
                    self.use_evidence(Some(*evidence), &about, Allows::ForceDrain)?;
                case.force(*left, &first, &by, &why)?;
                let note = format!("case {number}: forced: {why}");
                self.close_binding(leaves, &note, &first)?;
                "replace.forced"
            }
            ReplaceStep::KeysDestroyed(said) => {
                let recorded = self.keys_on_record(leaves)?;
                case.keys_destroyed(self.now(), &recorded, said, &by)?;
                self.keys_ended(leaves, number, &case.end)?;
                "replace.keys_destroyed"
            }
            ReplaceStep::Wiped(result) => {
                let recorded = self.keys_on_record(leaves)?;
                case.wiped(*result, &recorded)?;
                self.wiped(leaves, number, *result)?;
                "replace.closed"
            }
        };
        let body = serde_json::to_value(&case).unwrap_or_default();
        self.write_case(&row, case.stage.name(), case.stage.is_over(), &body, event)?;
        let (number, version) = (self.done.number, self.done.version);
        if matches!(step, ReplaceStep::CutOver(_) | ReplaceStep::RollBack) {
            let text = format!(
                "terminals {} and {}: the replacement is {}",
                old.key.terminal, new.key.terminal, case.stage
            );
            self.notify(old.merchant, event, &text)?;
        }
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    /// A case that nobody cut over in time: the new device is free, and the old one goes on.
    pub(super) fn expire_replacement(&mut self, number: u64) -> Stopped<()> {
        let row = self.case(number, KIND)?;
        let Ok(mut case) = serde_json::from_value::<Replacement>(row.body.clone()) else {
            return Ok(());
        };
        if case.expire(self.now(), self.rules.replacement).is_err() {
            return Ok(());
        }
        let old = self.binding_by_id(row.binding)?;
        let new = self.binding_by_id(case.new_binding)?;
        self.end_if_unused(&new, "nobody cut the replacement over in time")?;
        let body = serde_json::to_value(&case).unwrap_or_default();
        self.write_case(&row, case.stage.name(), true, &body, "replace.expired")?;
        let text = format!(
            "terminal {} is not replaced: nobody went on with it in time",
            old.key.terminal
        );
        self.notify(old.merchant, "replace.expired", &text)
    }

    /// Ends the new binding of a case that is over. Somebody may have ended it by hand, or let it trade: then it stays
    /// what it is.
    fn end_if_unused(&mut self, new: &Held, note: &str) -> Stopped<()> {
        match new.admission.state {
            BindingState::Pending | BindingState::Activating => self.end_unused(new, note),
            BindingState::Active
            | BindingState::RePending
            | BindingState::Suspended
            | BindingState::Unbinding
            | BindingState::Unbound => Ok(()),
        }
    }

    /// What is held for a binding is held for another from now on: it can be seen, appealed against and lifted there.
    fn move_holds(&self, from: &Held, to: &mut Held) -> Stopped<()> {
        let [from, binding] = [from, &*to].map(|held| held.admission.binding.0);
        self.db
            .prepare_cached(
                "UPDATE hold SET binding = ?2 WHERE binding = ?1 AND state <> 'lifted'",
            )?
            .execute([from, binding].map(to_sql))?;
        to.admission.holds = self.holds_in_force(binding)?;
        Ok(())
    }

    /// In one step: the new one trades, the old one drains.
    fn cut_over(
        &mut self,
        row: &CaseRow,
        case: &mut Replacement,
        old: &Held,
        new: &Held,
        network: &str,
    ) -> Stopped<()> {
        case.cut_over(self.now(), network, &self.actor.name)?;
        // It may have been suspended since the case was opened.
        may_move(old)?;
        let note = format!("case {}: replacement", row.id);
        if let Some(device) = new.device {
            self.deploy(new, device)?;
        }
        let mut new = new.clone();
        // What was changed or held meanwhile goes along.
        new.admission.accounts = old.admission.accounts;
        self.move_holds(old, &mut new)?;
        self.inherit_limits(old, &new)?;
        let active = self.event(&new, BindingEvent::Activate, &note, &case.maker)?;
        let reasons = old.admission.reasons;
        if !reasons.is_empty() {
            self.event(&active, BindingEvent::Repend(reasons), &note, "")?;
        }
        self.event(old, BindingEvent::Unbind, &note, &case.maker)?;
        self.done
            .changes
            .successors
            .push((new.key, old.admission.binding));
        Ok(())
    }

    /// The old one is back, to be confirmed; the new one drains to its end.
    fn roll_back(
        &mut self,
        row: &CaseRow,
        case: &mut Replacement,
        old: &Held,
        new: &Held,
    ) -> Stopped<()> {
        let wiped = match old.device {
            Some(device) => !matches!(
                self.device_by_id(device)?.state,
                DeviceState::Deployed | DeviceState::InRepair
            ),
            None => false,
        };
        let gone = old.admission.state != BindingState::Unbinding;
        case.roll_back(self.now(), wiped || gone, &self.actor.name)?;
        let note = format!("case {}: rolled back", row.id);
        let checker = case.checker.clone().unwrap_or_default();
        let mut back = old.clone();
        // What was changed, held or doubted since goes back along.
        back.admission.accounts = new.admission.accounts;
        self.move_holds(new, &mut back)?;
        let mut back = self.comes_back(&back, &note, &checker)?;
        let reasons = new.admission.reasons;
        if !reasons.is_empty() {
            back = self.event(&back, BindingEvent::Repend(reasons), &note, &checker)?;
        }
        if new.admission.state == BindingState::Suspended {
            self.event(&back, BindingEvent::Suspend, &note, &checker)?;
        }
        // What the new one sold has to be settled: it is unbound like any other terminal.
        self.event(new, BindingEvent::Unbind, &note, &checker)?;
        Ok(())
    }
}

/// Only what trades, or waits to be verified, moves to another device.
fn may_move(old: &Held) -> Result<(), Refusal> {
    match old.admission.state {
        BindingState::Active | BindingState::RePending => Ok(()),
        BindingState::Pending
        | BindingState::Activating
        | BindingState::Suspended
        | BindingState::Unbinding
        | BindingState::Unbound => Err(Refusal::State {
            thing: "binding",
            state: old.admission.state.name(),
            verb: "replaced",
            remedy: "only what trades, or waits to be verified, moves to another device",
        }),
    }
}
