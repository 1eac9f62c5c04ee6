//! The end of a device, by whichever case it leaves its shop.

use super::{Held, Step, Stopped};
use crate::base::calendar::Civil;
use crate::binding::device::{DeviceEvent, DeviceState};
use crate::binding::wipe::{DeviceEnd, KeyMark, WipeResult};

impl Step<'_> {
    /// Check values on record for a binding's device.
    pub(super) fn keys_on_record(&self, held: &Held) -> Stopped<Vec<KeyMark>> {
        let Some(device) = held.device else {
            return Ok(Vec::new());
        };
        let device = self.device_by_id(device)?;
        Ok(device
            .check_values()
            .iter()
            .map(|(name, value)| KeyMark::new(name, value))
            .collect())
    }

    /// Writes the end of a device's keys into its history.
    pub(super) fn keys_ended(&mut self, held: &Held, case: u64, end: &DeviceEnd) -> Stopped<()> {
        let (Some(device), Some(end)) = (held.device, &end.keys) else {
            return Ok(());
        };
        let device = self.device_by_id(device)?;
        let listed = |marks: &[KeyMark]| {
            let each = |mark: &KeyMark| format!("{}={}", mark.name, mark.check_value);
            marks.iter().map(each).collect::<Vec<_>>().join(" ")
        };
        let mut note = format!("case {case}: destroyed here: {}", listed(&end.destroyed));
        if let Some(until) = end.kept_until {
            let until = Civil::utc(until).date_text();
            note.push_str(&format!(
                "; kept to verify reversals until {until}: {}",
                listed(&end.kept)
            ));
        }
        self.note_device(held.key.acquirer, device, "device.keys_destroyed", &note)
    }

    /// What came of wiping a binding's device.
    pub(super) fn wiped(&mut self, held: &Held, case: u64, result: WipeResult) -> Stopped<()> {
        let Some(device) = held.device else {
            return Ok(());
        };
        let device = self.device_by_id(device)?;
        let event = match result {
            WipeResult::Done => DeviceEvent::Wiped,
            WipeResult::Failed => DeviceEvent::WipeFailed,
            WipeResult::Unreachable => DeviceEvent::Lose,
        };
        let note = format!("case {case}");
        let waits = matches!(
            device.state,
            DeviceState::WipePending | DeviceState::WipeFailed
        );
        if waits {
            self.move_device(held.key.acquirer, device, event, "", &note)?;
        }
        Ok(())
    }
}
