//! Replacements: a shop moves to a new device under a new terminal id, and both trade until the cut-over.

use super::evidence::CaseRow;
use super::{Because, Held, Step, Stopped};
use crate::binding::challenge::Purpose;
use crate::binding::contact::ContactState;
use crate::binding::device::DeviceState;
use crate::binding::replacement::{Leaving, Replacement};
use crate::binding::tested::{TestSaid, journal_shows};
use crate::binding::{BindingEvent, BindingState, HoldSet, Refusal, TerminalKey};
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
        may_be_replaced(&old)?;
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
            ReplaceStep::Agreed(challenge) => {
                let merchant = old.merchant;
                self.approved_challenge(*challenge, Purpose::Replace, number, |contact| {
                    contact.merchant == merchant && contact.state == ContactState::Verified
                })?;
                case.agreed(*challenge)?;
                "replace.agreed"
            }
            ReplaceStep::Tested {
                test,
                passed,
                shown,
                evidence,
            } => {
                let mut said = TestSaid {
                    test: *test,
                    by,
                    transaction: shown.of(*test).map(|txn| txn.0),
                    second: None,
                };
                if *passed
                    && said.transaction.is_none()
                    && let Some(problem) = journal_shows(*test)
                {
                    said.second = Some(self.seen_elsewhere(number, problem, *evidence)?);
                }
                case.tested(said, *passed)?;
                if *passed {
                    "replace.test_passed"
                } else {
                    "replace.test_failed"
                }
            }
            ReplaceStep::CutOver(network, evidence) => {
                self.has_keys(number, &mut case, &new, *evidence)?;
                self.cut_over(&row, &mut case, &old, &new, network)?;
                "replace.cutover"
            }
            ReplaceStep::RollBack => {
                self.roll_back(&row, &mut case, &old, &new)?;
                "replace.rolled_back"
            }
            ReplaceStep::Cancel => {
                case.cancel()?;
                self.give_up(&new, "the replacement was cancelled")?;
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
        if matches!(step, ReplaceStep::CutOver(..) | ReplaceStep::RollBack) {
            let text = format!(
                "terminals {} and {}: the replacement is {}",
                old.key.terminal, new.key.terminal, case.stage
            );
            self.notify(old.merchant, event, &text)?;
        }
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    /// That the new device has keys, as at an activation: they are on record, or two persons say that they are in it.
    fn has_keys(
        &self,
        number: u64,
        case: &mut Replacement,
        new: &Held,
        evidence: Option<u64>,
    ) -> Stopped<()> {
        if !self.keys_on_record(new)?.is_empty() {
            return Ok(());
        }
        let about = format!("case {number}");
        if evidence.is_none() {
            return Err(Refusal::Unproven {
                problem: "no keys are on record for the new device".into(),
                about: about.into(),
                allows: Allows::Activate.name().into(),
            }
            .into());
        }
        let (second, _note) = self.use_evidence(evidence, &about, Allows::Activate)?;
        case.keys_seen_by = Some(second);
        Ok(())
    }

    /// Who filed evidence of a test that the journal would show if it had been made here.
    fn seen_elsewhere(&self, number: u64, problem: &str, evidence: Option<u64>) -> Stopped<String> {
        let about = format!("case {number}");
        if evidence.is_none() {
            return Err(Refusal::Unproven {
                problem: format!("the new terminal has {problem} here").into(),
                about: about.into(),
                allows: Allows::Activate.name().into(),
            }
            .into());
        }
        let (second, _note) = self.use_evidence(evidence, &about, Allows::Activate)?;
        Ok(second)
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
        self.give_up(&new, "nobody cut the replacement over in time")?;
        let body = serde_json::to_value(&case).unwrap_or_default();
        self.write_case(&row, case.stage.name(), true, &body, "replace.expired")?;
        let text = format!(
            "terminal {} is not replaced: nobody went on with it in time",
            old.key.terminal
        );
        self.notify(old.merchant, "replace.expired", &text)
    }

    /// Ends a new binding that never traded. One that was taken out of its case's hands, as by an import, stays as it
    /// is: the case is over all the same.
    fn give_up(&mut self, new: &Held, note: &str) -> Stopped<()> {
        match new.admission.state {
            BindingState::Pending | BindingState::Activating => self.end_unused(new, note),
            BindingState::Active
            | BindingState::RePending
            | BindingState::Suspended
            | BindingState::Unbinding
            | BindingState::Unbound => Ok(()),
        }
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
        // Asked again: somebody may have stopped it meanwhile, and the new device would trade on.
        may_be_replaced(old)?;
        case.cut_over(self.now(), network, &self.actor.name)?;
        let note = format!("case {}: replacement", row.id);
        if let Some(device) = new.device {
            let state = self.device_by_id(device)?.state;
            if state != DeviceState::Reserved {
                return Err(Refusal::State {
                    thing: "new device",
                    state: state.name(),
                    verb: "put to work",
                    remedy: "cancel the replacement, and open it with a device from stock",
                }
                .into());
            }
            self.deploy(new, device)?;
        }
        let mut new = new.clone();
        // What was changed or held meanwhile goes along; what was held on either is held on both from here on.
        let holds = new.admission.holds.iter();
        let holds = holds.fold(old.admission.holds, HoldSet::with);
        new.admission.accounts = old.admission.accounts;
        new.admission.holds = holds;
        self.inherit_limits(old, &new)?;
        let active = self.event(&new, BindingEvent::Activate, &note, &case.maker)?;
        let reasons = old.admission.reasons;
        if !reasons.is_empty() {
            self.event(&active, BindingEvent::Repend(reasons), &note, "")?;
        }
        let mut old = old.clone();
        old.admission.holds = holds;
        self.event(&old, BindingEvent::Unbind, &note, &case.maker)?;
        self.done
            .changes
            .successors
            .push((new.key, old.admission.binding));
        Ok(())
    }

    /// The old one is back, to be confirmed, with what happened to the new one meanwhile: its accounts, and what it
    /// still has to prove or was suspended for. Holds are on both. The new one drains to its end.
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
        let mut life = old.life();
        if !new.admission.reasons.is_empty() {
            life = life.apply(BindingEvent::Repend(new.admission.reasons))?;
        }
        if new.suspended && !life.suspended {
            life = life.apply(BindingEvent::Suspend)?;
        }
        let mut old = old.clone();
        old.admission.accounts = new.admission.accounts;
        let because = Because {
            event: BindingEvent::CancelUnbind.name(),
            note: &note,
            checker: &checker,
        };
        self.live(&old, life.apply(BindingEvent::CancelUnbind)?, because)?;
        // The old one is done with the case, and may have others at once.
        self.case_moves(row, new.admission.binding.0)?;
        // What the new one sold has to be settled: it is unbound like any other terminal.
        self.event(new, BindingEvent::Unbind, &note, &checker)?;
        Ok(())
    }
}

/// Only what trades, or waits to be verified, moves to another device: a suspension is not shaken off with the hardware.
fn may_be_replaced(old: &Held) -> Stopped<()> {
    if matches!(
        old.admission.state,
        BindingState::Active | BindingState::RePending
    ) {
        return Ok(());
    }
    let remedy = "only what trades, or waits to be verified, moves to another device; resume it first if it is \
                  suspended";
    Err(Refusal::State {
        thing: "binding",
        state: old.admission.state.name(),
        verb: "replaced",
        remedy,
    }
    .into())
}
