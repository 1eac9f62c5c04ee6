//! Alerts: what is heard of things that were closed.

use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::{HELD, Held, Step, Stopped, from_sql, held, to_sql};
use crate::base::{AcquirerId, Timestamp};
use crate::binding::watch::{AlertKind, WATCH, is_told};
use crate::binding::{BindingEvent, ReasonSet, RependReason, TerminalKey};

/// What was heard.
struct Sign<'a> {
    kind: AlertKind,
    /// As the audit trail names it.
    subject: String,
    /// DE41; may be empty.
    terminal: &'a str,
    binding: Option<u64>,
    /// In a few words; may be empty.
    detail: String,
    times: u32,
}

impl Step<'_> {
    /// Tells of a sign, or counts it towards what was told within the hour.
    fn raise(&mut self, sign: &Sign<'_>) -> Stopped<()> {
        let now = self.now();
        let last: Option<(i64, u64, u64)> = self
            .db
            .prepare_cached(
                "SELECT id, first_at, count FROM alert WHERE kind = ?1 AND subject = ?2 \
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![sign.kind.name(), sign.subject], |row| {
                Ok((row.get(0)?, from_sql(row.get(1)?), from_sql(row.get(2)?)))
            })
            .optional()?;
        let began = last.map(|(_, first_at, _)| Timestamp(first_at));
        if let Some((id, ..)) = last
            && !is_told(now, began)
        {
            self.db
                .prepare_cached(
                    "UPDATE alert SET last_at = ?2, count = count + ?3, detail = ?4 WHERE id = ?1",
                )?
                .execute(params![id, to_sql(now.0), sign.times, sign.detail])?;
            return Ok(());
        }
        let id = self
            .db
            .prepare_cached(
                "INSERT INTO alert(kind, subject, terminal, binding, detail, first_at, last_at, count) \
                 VALUES (?1,?2,?3,?4,?5,?6,?6,?7)",
            )?
            .insert(params![
                sign.kind.name(),
                sign.subject,
                sign.terminal,
                sign.binding.map(to_sql),
                sign.detail,
                to_sql(now.0),
                sign.times
            ])?;
        let told = json!({
            "alert": id,
            "kind": sign.kind.name(),
            "subject": sign.subject,
            "binding": sign.binding,
            "detail": sign.detail,
            "count": sign.times,
            // How often it was heard in the hour that was told of before.
            "count_before": last.map(|(_, _, count)| count),
        });
        self.done.alerts.push(sign.kind);
        let event = sign.kind.event();
        self.outside(event, format!("alert {id}"), 1, told.clone());
        self.tell(event, sign.subject.clone(), Value::Null, told, Value::Null)
    }

    /// A message came from a terminal whose binding is closed.
    pub(super) fn heard_of(
        &mut self,
        key: TerminalKey,
        times: u32,
        serial: Option<&str>,
    ) -> Stopped<()> {
        let found: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT b.id FROM terminal t JOIN binding b ON b.terminal = t.id \
                 WHERE t.acquirer = ?1 AND t.terminal_id = ?2 AND t.watched_until > ?3 \
                 AND b.closed_at IS NOT NULL ORDER BY b.id DESC LIMIT 1",
            )?
            .query_row(
                params![key.acquirer.0, key.terminal.as_str(), to_sql(self.now().0)],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(binding) = found.map(from_sql) {
            let subject = self.subject(key)?;
            self.raise(&Sign {
                kind: AlertKind::LateMessage,
                subject,
                terminal: key.terminal.as_str(),
                binding: Some(binding),
                detail: serial
                    .map(|serial| format!("device {serial}"))
                    .unwrap_or_default(),
                times,
            })?;
            self.done.number = binding;
        }
        match serial {
            Some(serial) => self.late_device(key, serial, times),
            None => Ok(()),
        }
    }

    /// A message of a bound terminal names another device than is bound.
    pub(super) fn other_device(
        &mut self,
        key: TerminalKey,
        serial: &str,
        times: u32,
        authentic: bool,
    ) -> Stopped<()> {
        let bound = self
            .db
            .prepare_cached(&format!(
                "{HELD} WHERE t.acquirer = ?1 AND t.terminal_id = ?2 AND b.closed_at IS NULL"
            ))?
            .query_row(params![key.acquirer.0, key.terminal.as_str()], held)
            .optional()?;
        if let Some(bound) = bound {
            let subject = self.subject(key)?;
            self.raise(&Sign {
                kind: AlertKind::OtherDevice,
                subject,
                terminal: key.terminal.as_str(),
                binding: Some(bound.admission.binding.0),
                detail: format!("device {serial}"),
                times,
            })?;
            if authentic {
                self.device_in_doubt(&bound, serial)?;
            }
        }
        self.late_device(key, serial, times)
    }

    /// An authentic message of another device: the device has to be verified anew, where it is not already. Messages
    /// that nobody authenticated change nothing, or anybody could stop a shop.
    fn device_in_doubt(&mut self, bound: &Held, serial: &str) -> Stopped<()> {
        let reasons = ReasonSet::EMPTY.with(RependReason::Device);
        let admission = bound.admission;
        if !bound.life().may_repend() || admission.reasons.contains(RependReason::Device) {
            return Ok(());
        }
        let note = format!("device {serial} answers in its place");
        self.event(bound, BindingEvent::Repend(reasons), &note, "")?;
        let text = format!(
            "terminal {} takes no new payments: {note}; have the device looked at",
            bound.key.terminal
        );
        self.notify(bound.merchant, "binding.repended", &text)
    }

    /// A message names a device that was bound to another terminal and is bound to none now.
    fn late_device(&mut self, key: TerminalKey, serial: &str, times: u32) -> Stopped<()> {
        let since = to_sql(self.now().0.saturating_sub(micros(WATCH)));
        let found: Option<(i64, String)> = self
            .db
            .prepare_cached(
                "SELECT b.id, t.terminal_id FROM device d JOIN binding b ON b.device = d.id \
                 JOIN terminal t ON t.id = b.terminal WHERE d.acquirer = ?1 AND d.serial = ?2 \
                 AND t.terminal_id <> ?4 AND b.closed_at > ?3 AND NOT EXISTS (SELECT 1 FROM binding o \
                 WHERE o.device = d.id AND o.closed_at IS NULL) ORDER BY b.id DESC LIMIT 1",
            )?
            .query_row(
                params![key.acquirer.0, serial, since, key.terminal.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((binding, before)) = found else {
            return Ok(());
        };
        let subject = format!("device {}/{serial}", self.acquirer_name(key.acquirer)?);
        self.raise(&Sign {
            kind: AlertKind::LateDevice,
            subject,
            terminal: key.terminal.as_str(),
            binding: Some(from_sql(binding)),
            detail: format!("was terminal {before}"),
            times,
        })
    }

    /// A value is entered or verified for a merchant: was it given up by another one a short while ago?
    pub(super) fn was_given_up(&mut self, merchant: i64, hash: &[u8], what: &str) -> Stopped<()> {
        let found: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT id FROM contact WHERE value_hash = ?1 AND merchant <> ?2 AND state = 'revoked' \
                 AND watched_until > ?3 ORDER BY watched_until DESC LIMIT 1",
            )?
            .query_row(params![hash, merchant, to_sql(self.now().0)], |row| row.get(0))
            .optional()?;
        let Some(old) = found else {
            return Ok(());
        };
        let (acquirer, merchant): (AcquirerId, String) = self.db.query_row(
            "SELECT acquirer, merchant_id FROM merchant WHERE id = ?1",
            [merchant],
            |row| Ok((AcquirerId(row.get(0)?), row.get(1)?)),
        )?;
        let detail = format!(
            "{what} merchant {}/{merchant}",
            self.acquirer_name(acquirer)?
        );
        self.raise(&Sign {
            kind: AlertKind::RevokedContact,
            subject: format!("contact {old}"),
            terminal: "",
            binding: None,
            detail,
            times: 1,
        })
    }
}

/// A span in the store's unit.
pub(super) fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
