//! Acquirers, merchants and devices.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{HELD, SqliteRegistry, Step, Stopped, from_sql, held, to_sql};
use crate::base::alike::{NameError, check_letters};
use crate::base::{AcquirerId, MerchantId};
use crate::binding::device::{self, DeviceEvent, DeviceState};
use crate::binding::merchant::{IdentityKind, MerchantKind};
use crate::binding::{BindingEvent, ReasonSet, Refusal, RependReason};
use crate::store::command::{AcquirerDetails, AcquirerView, DeviceName, Sealed};

/// Keys whose check values are kept for one device.
const KEYS_MAX: usize = 20;

/// A device as a command finds it.
#[derive(Clone, Debug)]
pub(super) struct DeviceRow {
    pub(super) id: i64,
    pub(super) serial: String,
    pub(super) state: DeviceState,
    custody: String,
    keys: String,
    version: u32,
}

impl DeviceRow {
    /// Names and check values of its keys.
    pub(super) fn check_values(&self) -> Vec<(String, String)> {
        serde_json::from_str(&self.keys).unwrap_or_default()
    }
}

const ACQUIRER: &str = "SELECT name, legal_name, institution, licence, licence_until, version FROM acquirer \
    WHERE id = ?1";

fn acquirer_view(row: &Row<'_>) -> rusqlite::Result<AcquirerView> {
    Ok(AcquirerView {
        acquirer: row.get(0)?,
        legal_name: row.get(1)?,
        institution: row.get(2)?,
        licence: row.get(3)?,
        licence_until: row.get(4)?,
        version: row.get(5)?,
    })
}

/// Whether what is said of an acquirer can be.
fn check_acquirer(details: &AcquirerDetails) -> Result<(), Refusal> {
    let AcquirerDetails {
        legal_name,
        institution,
        licence,
        licence_until,
    } = details;
    let value = |what, problem| Err(Refusal::Value { what, problem });
    for text in [legal_name, licence] {
        if text.chars().count() > 120 || text.chars().any(char::is_control) {
            return value("its name or licence", "has at most 120 characters");
        }
    }
    if institution.len() > 11 || !institution.bytes().all(|b| b.is_ascii_digit()) {
        return value("the institution's number", "has at most 11 digits");
    }
    let is_date = |text: &str| {
        let read = text.parse::<jiff::civil::Date>();
        read.is_ok_and(|date| date.to_string() == text)
    };
    if !licence_until.is_empty() && !is_date(licence_until) {
        return value("the last day of the licence", "is a date, as 2030-12-31");
    }
    Ok(())
}

impl SqliteRegistry {
    pub(super) fn read_acquirer(
        &self,
        acquirer: AcquirerId,
    ) -> rusqlite::Result<Option<AcquirerView>> {
        self.db()
            .prepare_cached(ACQUIRER)?
            .query_row([acquirer.0], acquirer_view)
            .optional()
    }
}

impl Step<'_> {
    pub(super) fn set_acquirer(
        &mut self,
        acquirer: AcquirerId,
        new: &AcquirerDetails,
    ) -> Stopped<()> {
        let before = self
            .db
            .prepare_cached(ACQUIRER)?
            .query_row([acquirer.0], acquirer_view)
            .optional()?;
        let before = before.ok_or_else(|| Self::not_there("acquirer", u64::from(acquirer.0)))?;
        self.stale("the acquirer", before.version)?;
        let was = &AcquirerDetails {
            legal_name: before.legal_name,
            institution: before.institution,
            licence: before.licence,
            licence_until: before.licence_until,
        };
        let or = |new: &str, was: &String| match new.trim() {
            "" => was.clone(),
            said => said.to_owned(),
        };
        let after = AcquirerDetails {
            legal_name: or(&new.legal_name, &was.legal_name),
            institution: or(&new.institution, &was.institution),
            licence: or(&new.licence, &was.licence),
            licence_until: or(&new.licence_until, &was.licence_until),
        };
        check_acquirer(&after)?;
        if after == *was {
            let (what, problem) = ("what is said of the acquirer", "is known already");
            return Err(Refusal::Value { what, problem }.into());
        }
        self.db.execute(
            "UPDATE acquirer SET legal_name = ?2, institution = ?3, licence = ?4, licence_until = ?5, \
             version = version + 1 WHERE id = ?1",
            params![
                acquirer.0,
                after.legal_name,
                after.institution,
                after.licence,
                after.licence_until
            ],
        )?;
        self.done.number = u64::from(acquirer.0);
        self.done.version = before.version + 1;
        let shown = |details: &AcquirerDetails| serde_json::to_value(details).unwrap_or_default();
        self.tell(
            "acquirer.changed",
            format!("acquirer {}", before.acquirer),
            shown(was),
            shown(&after),
            Value::Null,
        )
    }

    /// The merchant's row.
    pub(super) fn merchant(&self, acquirer: AcquirerId, merchant: MerchantId) -> Stopped<i64> {
        self.db
            .prepare_cached("SELECT id FROM merchant WHERE acquirer = ?1 AND merchant_id = ?2")?
            .query_row(params![acquirer.0, merchant.as_str()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| self.unknown("merchant", merchant.as_str(), acquirer))
    }

    pub(super) fn set_merchant(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        name: &str,
        mcc: &str,
        kind: Option<MerchantKind>,
        identity: Option<&(IdentityKind, Sealed)>,
    ) -> Stopped<()> {
        if !(mcc.is_empty() || mcc.len() == 4 && mcc.bytes().all(|b| b.is_ascii_digit())) {
            let (what, problem) = ("the merchant category code", "has to have four digits");
            return Err(Refusal::Value { what, problem }.into());
        }
        if !name.is_empty() {
            super::said("the merchant's name", name)?;
            // It would pass for the name of another shop, on slips and for who approves its binding.
            if let Err(NameError::Mixed { .. }) = check_letters(name) {
                let what = "the merchant's name";
                let problem = "has letters of several scripts in one word that pass for one another; write each \
                               word with those of one";
                return Err(Refusal::Value { what, problem }.into());
            }
        }
        let text = merchant.as_str();
        let found: Option<(i64, u32)> = self
            .db
            .prepare_cached(
                "SELECT id, version FROM merchant WHERE acquirer = ?1 AND merchant_id = ?2",
            )?
            .query_row(params![acquirer.0, text], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (id, version, event) = match found {
            Some((id, version)) => {
                self.stale("the merchant", version)?;
                (id, version + 1, "merchant.changed")
            }
            None => {
                super::said("the merchant's name", name)?;
                let id = self
                    .db
                    .prepare_cached(
                        "INSERT INTO merchant(acquirer, merchant_id, name, mcc) VALUES (?1,?2,?3,?4)",
                    )?
                    .insert(params![acquirer.0, text, name, mcc])?;
                (id, 1, "merchant.added")
            }
        };
        let known: Option<Vec<u8>> = self.db.query_row(
            "SELECT identity_hash FROM merchant WHERE id = ?1",
            [id],
            |row| row.get(0),
        )?;
        let is_another =
            known.is_some_and(|known| identity.is_some_and(|(_, sealed)| known != sealed.hash));
        let (identity_kind, sealed) = match identity {
            Some((kind, sealed)) => (Some(kind.name()), Some(sealed)),
            None => (None, None),
        };
        self.db
            .prepare_cached(
                "UPDATE merchant SET version = ?2, name = CASE ?3 WHEN '' THEN name ELSE ?3 END, \
                 mcc = CASE ?4 WHEN '' THEN mcc ELSE ?4 END, kind = coalesce(?5, kind), \
                 identity_kind = coalesce(?6, identity_kind), identity = coalesce(?7, identity), \
                 identity_hash = coalesce(?8, identity_hash), identity_tail = coalesce(?9, identity_tail) \
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                version,
                name.trim(),
                mcc,
                kind.map(MerchantKind::name),
                identity_kind,
                sealed.map(|s| s.sealed.as_slice()),
                sealed.map(|s| s.hash.as_slice()),
                sealed.map(|s| s.masked.as_str())
            ])?;
        self.db
            .prepare_cached(
                "INSERT INTO merchant_change SELECT id, version, ?2, ?3, name, mcc, kind, identity_hash \
                 FROM merchant WHERE id = ?1",
            )?
            .execute(params![id, to_sql(self.now().0), self.actor.name])?;
        self.done.number = from_sql(id);
        self.done.version = version;
        let subject = format!("merchant {}/{text}", self.acquirer_name(acquirer)?);
        let after = json!({
            "version": version, "name": name, "mcc": mcc, "kind": kind.map(MerchantKind::name),
            "identity": identity_kind,
        });
        if identity.is_some() {
            self.share_limit_of_person(id, &subject)?;
        }
        self.tell(event, subject, Value::Null, after, Value::Null)?;
        if is_another {
            let (number, version) = (self.done.number, self.done.version);
            self.doubt_all(id, RependReason::Identity, "another identity document")?;
            let text = "another identity document was entered: terminals wait until it is verified";
            self.notify(id, "binding.repended", text)?;
            (self.done.number, self.done.version) = (number, version);
        }
        Ok(())
    }

    pub(super) fn device(&self, name: &DeviceName) -> Stopped<DeviceRow> {
        self.db
            .prepare_cached(
                "SELECT id, serial, state, custody, keys, version FROM device \
                 WHERE acquirer = ?1 AND serial = ?2",
            )?
            .query_row(params![name.acquirer.0, name.serial], device_row)
            .optional()?
            .ok_or_else(|| self.unknown("device", &name.serial, name.acquirer))
    }

    pub(super) fn device_by_id(&self, id: i64) -> Stopped<DeviceRow> {
        let found = self
            .db
            .prepare_cached(
                "SELECT id, serial, state, custody, keys, version FROM device WHERE id = ?1",
            )?
            .query_row([id], device_row)?;
        Ok(found)
    }

    pub(super) fn add_device(
        &mut self,
        name: &DeviceName,
        model: &str,
        custody: &str,
    ) -> Stopped<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
        let serial = name.serial.as_str();
        if serial.is_empty() || serial.len() > 50 || !serial.bytes().all(plain) {
            let what = "the serial number";
            let problem = "has to have 1 to 50 letters, digits or -_./";
            return Err(Refusal::Value { what, problem }.into());
        }
        let added = self
            .db
            .prepare_cached(
                "INSERT OR IGNORE INTO device(acquirer, serial, model, state, custody) \
                 VALUES (?1, ?2, ?3, 'stocked', ?4)",
            )?
            .execute(params![
                name.acquirer.0,
                serial,
                model.trim(),
                custody.trim()
            ])?;
        if added == 0 {
            return Err(Refusal::Taken {
                what: "the serial number",
                holder: "a device on the inventory".into(),
                remedy: "one serial number is one device",
            }
            .into());
        }
        let device = self.device(name)?;
        self.write_device(name.acquirer, &device, "device.registered", "")
    }

    pub(super) fn device_event(
        &mut self,
        name: &DeviceName,
        event: DeviceEvent,
        custody: &str,
        note: &str,
    ) -> Stopped<()> {
        let device = self.device(name)?;
        self.stale("the device", device.version)?;
        if !note.is_empty() {
            super::said("why", note)?;
        }
        let bound = self.terminal_of(device.id)?;
        let frees = matches!(
            event,
            DeviceEvent::Release | DeviceEvent::Restock | DeviceEvent::Retire
        );
        if let Some(terminal) = bound.filter(|_| frees) {
            return Err(Refusal::Taken {
                what: "the device",
                holder: format!("terminal {terminal}").into(),
                remedy: "unbind or replace the terminal first",
            }
            .into());
        }
        if event == DeviceEvent::Wiped
            && let Some(case) = self.case_that_ends(device.id)?
        {
            // The case has its keys destroyed here first.
            return Err(Refusal::Taken {
                what: "the end of the device",
                holder: format!("case {case}").into(),
                remedy: "say there what came of wiping it",
            }
            .into());
        }
        let id = device.id;
        self.move_device(name.acquirer, device, event, custody, note)?;
        let (number, version) = (self.done.number, self.done.version);
        self.device_gone(id, event, note)?;
        (self.done.number, self.done.version) = (number, version);
        Ok(())
    }

    /// A device that was lost may be in anybody's hands: its terminal is stopped on anybody's word, and goes on when it
    /// is resumed. What holds no keys any more is not the device that was activated.
    fn device_gone(&mut self, device: i64, event: DeviceEvent, note: &str) -> Stopped<()> {
        let (stops, why) = match event {
            DeviceEvent::Lose => (BindingEvent::Suspend, "its device is lost"),
            DeviceEvent::OrderWipe | DeviceEvent::Wiped => {
                let device = ReasonSet::EMPTY.with(RependReason::Device);
                (BindingEvent::Repend(device), "its device is to be wiped")
            }
            DeviceEvent::Reserve
            | DeviceEvent::Release
            | DeviceEvent::Deploy
            | DeviceEvent::Repair
            | DeviceEvent::Find
            | DeviceEvent::WipeFailed
            | DeviceEvent::Restock
            | DeviceEvent::Retire => return Ok(()),
        };
        let bound = self
            .db
            .prepare_cached(&format!(
                "{HELD} WHERE b.device = ?1 AND b.closed_at IS NULL"
            ))?
            .query_row([device], held)
            .optional()?;
        let Some(bound) = bound.filter(|bound| bound.life().apply(stops).is_ok()) else {
            return Ok(());
        };
        if event == DeviceEvent::Wiped && bound.admission.reasons.contains(RependReason::Device) {
            return Ok(());
        }
        let note = match note.trim() {
            "" => why.to_owned(),
            said => format!("{why}: {said}"),
        };
        self.event(&bound, stops, &note, "")?;
        let text = format!(
            "terminal {} takes no new payments: {why}",
            bound.key.terminal
        );
        self.notify(bound.merchant, stops.name(), &text)
    }

    /// The case that waits for the end of a device.
    fn case_that_ends(&self, device: i64) -> Stopped<Option<u64>> {
        let found = self
            .db
            .prepare_cached(
                "SELECT f.id FROM case_file f \
                 JOIN binding b ON b.id IN (f.binding, json_extract(f.body, '$.new_binding')) \
                 WHERE f.is_over = 0 AND f.stage = 'wiping' AND b.device = ?1",
            )?
            .query_row([device], |row| row.get(0).map(from_sql))
            .optional()?;
        Ok(found)
    }

    /// A device's next state, with its history.
    pub(super) fn move_device(
        &mut self,
        acquirer: AcquirerId,
        mut device: DeviceRow,
        event: DeviceEvent,
        custody: &str,
        note: &str,
    ) -> Stopped<()> {
        device.state = device::apply(device.state, event)?;
        if event == DeviceEvent::Find {
            device.state = device::found(self.state_when_lost(device.id)?);
        }
        device.version += 1;
        if !custody.trim().is_empty() {
            device.custody = custody.trim().to_owned();
        }
        if event == DeviceEvent::Wiped {
            device.keys = "[]".into();
        }
        self.write_device(acquirer, &device, event.event(), note)
    }

    /// What a device was when it was last called lost.
    fn state_when_lost(&self, device: i64) -> Stopped<Option<DeviceState>> {
        let name: Option<String> = self
            .db
            .prepare_cached(
                "SELECT state FROM device_change WHERE device = ?1 AND state <> 'lost' ORDER BY version DESC LIMIT 1",
            )?
            .query_row([device], |row| row.get(0))
            .optional()?;
        Ok(name.and_then(|name| DeviceState::from_name(&name)))
    }

    /// Something that is on record of a device and leaves it as it is.
    pub(super) fn note_device(
        &mut self,
        acquirer: AcquirerId,
        mut device: DeviceRow,
        event: &'static str,
        note: &str,
    ) -> Stopped<()> {
        device.version += 1;
        self.write_device(acquirer, &device, event, note)
    }

    pub(super) fn load_keys(
        &mut self,
        name: &DeviceName,
        check_values: &[(String, String)],
    ) -> Stopped<()> {
        let mut device = self.device(name)?;
        self.stale("the device", device.version)?;
        if !matches!(
            device.state,
            DeviceState::Stocked | DeviceState::Reserved | DeviceState::Deployed
        ) {
            return Err(Refusal::State {
                thing: "device",
                state: device.state.name(),
                verb: "given keys",
                remedy: "keys go into devices that are in stock, reserved or in use",
            }
            .into());
        }
        let hex = |text: &str| {
            (6..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let sound = |(key, value): &(String, String)| {
            !key.is_empty() && key.len() <= 20 && key.is_ascii() && hex(value)
        };
        if check_values.is_empty()
            || check_values.len() > KEYS_MAX
            || !check_values.iter().all(sound)
        {
            let what = "the list of check values";
            let problem = "has to have 1 to 20 entries, each a name and 6 to 16 hexadecimal digits";
            return Err(Refusal::Value { what, problem }.into());
        }
        device.keys = serde_json::to_string(check_values).unwrap_or_default();
        device.version += 1;
        self.write_device(name.acquirer, &device, "device.key_loaded", "")
    }

    fn write_device(
        &mut self,
        acquirer: AcquirerId,
        device: &DeviceRow,
        event: &'static str,
        note: &str,
    ) -> Stopped<()> {
        self.db
            .prepare_cached(
                "UPDATE device SET state = ?2, custody = ?3, keys = ?4, version = ?5 WHERE id = ?1",
            )?
            .execute(params![
                device.id,
                device.state.name(),
                device.custody,
                device.keys,
                device.version
            ])?;
        self.db
            .prepare_cached("INSERT INTO device_change VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?
            .execute(params![
                device.id,
                device.version,
                to_sql(self.now().0),
                self.actor.name,
                event,
                device.state.name(),
                device.custody,
                device.keys,
                note
            ])?;
        self.done.number = from_sql(device.id);
        self.done.version = device.version;
        let subject = format!("device {}/{}", self.acquirer_name(acquirer)?, device.serial);
        let after = json!({
            "version": device.version, "state": device.state.name(), "custody": device.custody,
        });
        let details = if note.is_empty() {
            Value::Null
        } else {
            json!({ "note": note })
        };
        self.tell(event, subject, Value::Null, after, details)
    }

    /// The terminal id that a device is bound to now.
    pub(super) fn terminal_of(&self, device: i64) -> Stopped<Option<String>> {
        let found = self
            .db
            .prepare_cached(
                "SELECT t.terminal_id FROM binding b JOIN terminal t ON t.id = b.terminal \
                 WHERE b.device = ?1 AND b.closed_at IS NULL",
            )?
            .query_row([device], |row| row.get(0))
            .optional()?;
        Ok(found)
    }
}

fn device_row(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    let state = row.get_ref(2)?.as_str()?;
    Ok(DeviceRow {
        id: row.get(0)?,
        serial: row.get(1)?,
        // A state that this build does not know is no reason to hand the device out.
        state: DeviceState::from_name(state).unwrap_or(DeviceState::Lost),
        custody: row.get(3)?,
        keys: row.get(4)?,
        version: row.get(5)?,
    })
}
