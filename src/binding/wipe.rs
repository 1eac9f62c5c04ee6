//! The end of a device that leaves its shop, by an unbinding or a replacement: first the keys that the host has for it,
//! then its own word. In this order nothing hangs on whether the device can be reached. Each step is taken once.

use super::drain::Forced;
use super::named::named_enum;
use super::refusal::Refusal;
use super::watch::WATCH;
use crate::base::Timestamp;

named_enum!(
    /// What came of wiping the device.
    WipeResult {
        /// It confirmed.
        Done = "done",
        /// It refused.
        Failed = "failed",
        /// It was not reached; it counts as lost and is reported so.
        Unreachable = "unreachable",
    }
);

/// A key, by what is on record of it: never the key.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
pub struct KeyMark {
    /// Its name.
    pub name: String,
    /// Its check value, in capitals.
    pub check_value: String,
}

impl KeyMark {
    /// A key by its name and check value.
    #[must_use]
    pub fn new(name: &str, check_value: &str) -> Self {
        Self {
            name: name.into(),
            check_value: check_value.to_ascii_uppercase(),
        }
    }
}

/// What a key custodian says of a device's keys at the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysSaid {
    /// All keys of the device.
    pub keys: Vec<KeyMark>,
    /// Names of those that are kept for a while; the others are destroyed.
    pub kept: Vec<String>,
}

/// The keys that the host had for a device are destroyed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct KeysDestroyed {
    /// When.
    #[schema(value_type = u64)]
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Which.
    pub destroyed: Vec<KeyMark>,
    /// The last generation, kept to verify reversals that the device may still have.
    pub kept: Vec<KeyMark>,
    /// Until when; none when nothing is kept.
    #[schema(value_type = Option<u64>)]
    pub kept_until: Option<Timestamp>,
}

/// How far the end of a device has come.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct DeviceEnd {
    /// The end of its keys at the host.
    #[serde(default)]
    pub keys: Option<KeysDestroyed>,
    /// What came of wiping it.
    #[serde(default)]
    pub wipe: Option<WipeResult>,
}

impl DeviceEnd {
    /// The host's keys of the device are destroyed: all that are `recorded` for it, by their check values, so that
    /// nobody destroys another device's. After a drain that was `forced` the device may still have a reversal: then
    /// the last generation may be kept to verify it, as long as its terminal is [watched](WATCH).
    ///
    /// # Errors
    /// When other keys are named than are on record, or more is kept than may be.
    pub fn keys_destroyed(
        &mut self,
        now: Timestamp,
        recorded: &[KeyMark],
        said: &KeysSaid,
        forced: Option<&Forced>,
        by: &str,
    ) -> Result<(), Refusal> {
        let wrong = |what, problem| Err(Refusal::Value { what, problem });
        if self.keys.is_some() {
            return wrong("the end of the keys", "is on record already");
        }
        if recorded.is_empty() {
            return wrong(
                "the device",
                "has no check values on record: there is nothing to destroy",
            );
        }
        let sorted = |marks: &[KeyMark]| {
            let mut marks = marks.to_vec();
            marks.sort();
            marks
        };
        if sorted(recorded) != sorted(&said.keys) {
            return wrong(
                "the list of check values",
                "is not the one on record for the device; `posgate device show` has it",
            );
        }
        if !said.kept.is_empty() && forced.is_none() {
            return wrong(
                "the list of kept keys",
                "has to be empty: the drain came to its end, so nothing is left to be verified",
            );
        }
        let has = |name: &String| said.keys.iter().any(|mark| mark.name == *name);
        if !said.kept.iter().all(has) {
            return wrong("the list of kept keys", "names one that the device has not");
        }
        let (kept, destroyed): (Vec<_>, Vec<_>) = sorted(&said.keys)
            .into_iter()
            .partition(|mark| said.kept.contains(&mark.name));
        if destroyed.is_empty() {
            return wrong(
                "the list of kept keys",
                "has to leave something: only what verifies a reversal is kept",
            );
        }
        self.keys = Some(KeysDestroyed {
            at: now,
            by: by.into(),
            kept_until: (!kept.is_empty()).then(|| now.after(WATCH)),
            destroyed,
            kept,
        });
        Ok(())
    }

    /// What came of wiping the device. None of the results stops a case, because the host's keys are gone by then.
    ///
    /// # Errors
    /// When keys are `recorded` for the device and nobody said that the host's are destroyed.
    pub fn wiped(&mut self, result: WipeResult, recorded: &[KeyMark]) -> Result<(), Refusal> {
        if !recorded.is_empty() && self.keys.is_none() {
            let what = "the record that the device's keys are destroyed here";
            let remedy = "destroy them first, and say so by their check values (`posgate case keys-destroyed`)";
            return Err(Refusal::Missing { what, remedy });
        }
        self.wipe = Some(result);
        Ok(())
    }

    /// What it waits for, for who goes on with it.
    #[must_use]
    pub fn waits_for(&self) -> Vec<String> {
        let mut waits = Vec::new();
        if self.keys.is_none() {
            waits.push("keys-destroyed, where the device has check values on record".to_owned());
        }
        waits.push("wiped: done, failed or unreachable".into());
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::drain::Outstanding;

    const NOW: Timestamp = Timestamp(1_795_305_600_000_000);

    fn keys() -> Vec<KeyMark> {
        vec![KeyMark::new("tmk", "a1b2c3"), KeyMark::new("mac", "D4E5F6")]
    }

    fn said(keys: &[KeyMark], kept: &[&str]) -> KeysSaid {
        KeysSaid {
            keys: keys.to_vec(),
            kept: kept.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn refused(done: Result<(), Refusal>) -> String {
        done.unwrap_err().to_string()
    }

    #[test]
    fn no_device_is_wiped_before_its_keys_are_destroyed_here() {
        let mut end = DeviceEnd::default();
        let early = refused(end.wiped(WipeResult::Done, &keys()));
        assert!(early.contains("keys-destroyed"), "{early}");
        let mut destroy = |marks: &[KeyMark], kept: &[&str]| {
            end.keys_destroyed(NOW, &keys(), &said(marks, kept), None, "Zhao Liu")
        };
        assert!(refused(destroy(&keys()[..1], &[])).contains("on record for the device"));
        let other = [KeyMark::new("tmk", "FFFFFF"), keys()[1].clone()];
        assert!(refused(destroy(&other, &[])).contains("on record for the device"));
        assert!(refused(destroy(&keys(), &["mac"])).contains("nothing is left to be verified"));
        let turned = [keys()[1].clone(), KeyMark::new("tmk", "A1B2C3")];
        destroy(&turned, &[]).unwrap();
        assert!(refused(destroy(&keys(), &[])).contains("already"));
        let ended = end.keys.as_ref().unwrap();
        assert_eq!((ended.destroyed.len(), ended.kept_until), (2, None));
        end.wiped(WipeResult::Unreachable, &keys()).unwrap();
    }

    #[test]
    fn a_drain_that_was_cut_short_may_keep_what_verifies_a_reversal() {
        let forced = Forced::by_two(Outstanding::default(), "Li Wei", "Wang Fang", "broken");
        let forced = forced.unwrap();
        let destroy = |kept: &[&str]| {
            let mut end = DeviceEnd::default();
            let done = end.keys_destroyed(
                NOW,
                &keys(),
                &said(&keys(), kept),
                Some(&forced),
                "Zhao Liu",
            );
            done.map(|()| end.keys.unwrap())
        };
        assert!(destroy(&["pin"]).is_err());
        assert!(destroy(&["mac", "tmk"]).is_err());
        let ended = destroy(&["mac"]).unwrap();
        assert_eq!(ended.destroyed, [KeyMark::new("tmk", "A1B2C3")]);
        assert_eq!(ended.kept, [KeyMark::new("mac", "D4E5F6")]);
        assert_eq!(ended.kept_until, Some(NOW.after(WATCH)));
    }

    #[test]
    fn what_has_no_keys_is_wiped_without_and_has_none_to_destroy() {
        let mut end = DeviceEnd::default();
        let nothing = end.keys_destroyed(NOW, &[], &KeysSaid::default(), None, "Zhao Liu");
        assert!(refused(nothing).contains("nothing to destroy"));
        end.wiped(WipeResult::Done, &[]).unwrap();
        assert_eq!(end.wipe, Some(WipeResult::Done));
    }
}
