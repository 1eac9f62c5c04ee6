//! What people are shown of bindings and of what hangs on them.

use rusqlite::{OptionalExtension, Row, params};

use super::super::{SqliteRegistry, from_sql, to_sql};
use super::challenges::columns;
use super::contacts::CONSENT_GOOD_FOR;
use super::evidence::GOOD_FOR;
use super::schema::line_from;
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, TerminalId, Timestamp};
use crate::binding::TerminalKey;
use crate::binding::challenge::{ChallengeState, Payment, Purpose, TRIES_MAX};
use crate::binding::contact::{ContactKind, ContactRole, ContactState, guards_acceptance};
use crate::binding::device::DeviceState;
use crate::binding::drain::Impact;
use crate::binding::hold::{Explained, HoldScope, HoldState};
use crate::binding::merchant::{IdentityKind, MerchantKind};
use crate::store::command::{
    AlertView, CaseBody, CaseView, ChallengeView, ContactView, DeviceName, DeviceView,
    EvidenceView, HoldView, MerchantView, Part, PaymentView,
};

const CHALLENGE: &str = "SELECT h.id, h.purpose, h.contact, c.masked, h.subject, h.state, h.tries, h.expires_at, \
    h.stan, h.amount, h.currency, h.ended_at FROM challenge h JOIN contact c ON c.id = h.contact";

fn challenge_view(row: &Row<'_>) -> rusqlite::Result<ChallengeView> {
    let (purpose, state): (String, String) = (row.get(1)?, row.get(5)?);
    let tries: u8 = row.get(6)?;
    let (stan, amount): (Option<u32>, Option<i64>) = (row.get(8)?, row.get(9)?);
    let (currency, ended_at): (Option<String>, Option<i64>) = (row.get(10)?, row.get(11)?);
    let payment = stan.zip(amount).zip(currency);
    Ok(ChallengeView {
        challenge: from_sql(row.get(0)?),
        purpose: Purpose::from_name(&purpose).unwrap_or(Purpose::VerifyContact),
        contact: from_sql(row.get(2)?),
        sent_to: row.get(3)?,
        subject: from_sql(row.get(4)?),
        payment: payment.map(|((stan, amount), currency)| PaymentView {
            stan,
            amount: from_sql(amount),
            currency,
        }),
        state: ChallengeState::from_name(&state).unwrap_or(ChallengeState::Cancelled),
        tries_left: TRIES_MAX.saturating_sub(tries),
        expires_at_us: from_sql(row.get(7)?),
        ended_at_us: ended_at.map(from_sql),
    })
}

const DEVICE: &str = "SELECT d.serial, d.model, d.state, d.custody, d.keys, d.version, t.terminal_id, d.id \
    FROM device d LEFT JOIN binding b ON b.device = d.id AND b.closed_at IS NULL \
    LEFT JOIN terminal t ON t.id = b.terminal";

fn device_view(row: &Row<'_>) -> rusqlite::Result<(u64, DeviceView)> {
    let state: String = row.get(2)?;
    let keys: String = row.get(4)?;
    let device = DeviceView {
        serial: row.get(0)?,
        model: row.get(1)?,
        state: DeviceState::from_name(&state).map_or("unknown", DeviceState::name),
        custody: row.get(3)?,
        keys: serde_json::from_str(&keys).unwrap_or_default(),
        version: row.get(5)?,
        terminal_id: row.get(6)?,
    };
    Ok((from_sql(row.get(7)?), device))
}

/// Of a list with the newest first: what it begins below.
pub(super) fn before(part: Part) -> i64 {
    part.behind.map_or(i64::MAX, to_sql)
}

/// Terminals of a merchant in one list.
pub(super) const ROWS_MAX: u32 = 1_000;

impl SqliteRegistry {
    pub(super) fn read_merchant(
        &self,
        acquirer: AcquirerId,
        merchant: MerchantId,
    ) -> rusqlite::Result<Option<MerchantView>> {
        self.db()
            .prepare_cached(
                "SELECT merchant_id, name, mcc, kind, identity_kind, identity_tail, version FROM merchant \
                 WHERE acquirer = ?1 AND merchant_id = ?2",
            )?
            .query_row(params![acquirer.0, merchant.as_str()], |row| {
                let kind: String = row.get(3)?;
                let identity: Option<String> = row.get(4)?;
                Ok(MerchantView {
                    merchant_id: row.get(0)?,
                    name: row.get(1)?,
                    mcc: row.get(2)?,
                    kind: MerchantKind::from_name(&kind).unwrap_or(MerchantKind::Unknown),
                    identity_kind: identity.and_then(|name| IdentityKind::from_name(&name)),
                    identity: row.get(5)?,
                    version: row.get(6)?,
                })
            })
            .optional()
    }

    pub(super) fn read_payee(&self, account: AccountId) -> rusqlite::Result<Option<String>> {
        let found = self
            .db()
            .prepare_cached(
                "SELECT CASE WHEN a.status = 'verified' THEN a.reference \
                 WHEN a.status = 'closed' AND t.status = 'verified' THEN t.reference END \
                 FROM account a LEFT JOIN account t ON t.id = a.released_to WHERE a.id = ?1",
            )?
            .query_row([account.0], |row| row.get(0))
            .optional()?;
        Ok(found.flatten())
    }

    pub(super) fn read_account_reference(
        &self,
        account: AccountId,
    ) -> rusqlite::Result<Option<String>> {
        self.db()
            .prepare_cached("SELECT reference FROM account WHERE id = ?1")?
            .query_row([account.0], |row| row.get(0))
            .optional()
    }

    pub(super) fn read_device(&self, name: &DeviceName) -> rusqlite::Result<Option<DeviceView>> {
        self.db()
            .prepare_cached(&format!("{DEVICE} WHERE d.acquirer = ?1 AND d.serial = ?2"))?
            .query_row(params![name.acquirer.0, name.serial], device_view)
            .optional()
            .map(|found| found.map(|(_, device)| device))
    }

    pub(super) fn read_devices(
        &self,
        acquirer: AcquirerId,
        state: Option<DeviceState>,
        part: Part,
    ) -> rusqlite::Result<Vec<(u64, DeviceView)>> {
        let mut all = self.db().prepare_cached(&format!(
            "{DEVICE} WHERE d.acquirer = ?1 AND (?2 IS NULL OR d.state = ?2) AND d.id > ?3 ORDER BY d.id LIMIT ?4"
        ))?;
        let after = to_sql(part.behind.unwrap_or(0));
        let of = params![acquirer.0, state.map(DeviceState::name), after, part.most];
        let rows = all.query_map(of, device_view)?;
        rows.collect()
    }

    pub(super) fn read_contact(&self, contact: u64) -> rusqlite::Result<Option<ContactView>> {
        self.db()
            .prepare_cached(&format!("{CONTACT} WHERE c.id = ?1"))?
            .query_row([to_sql(contact)], contact_view)
            .optional()
    }

    pub(super) fn read_contacts(
        &self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        part: Part,
    ) -> rusqlite::Result<Vec<ContactView>> {
        let mut all = self.db().prepare_cached(&format!(
            "{CONTACT} WHERE m.acquirer = ?1 AND m.merchant_id = ?2 AND c.id > ?3 ORDER BY c.id LIMIT ?4"
        ))?;
        let after = to_sql(part.behind.unwrap_or(0));
        let of = params![acquirer.0, merchant.as_str(), after, part.most];
        let rows = all.query_map(of, contact_view)?;
        rows.collect()
    }

    pub(super) fn read_holds(
        &self,
        key: TerminalKey,
        part: Part,
    ) -> rusqlite::Result<Vec<HoldView>> {
        let mut all = self.db().prepare_cached(concat!(
            line_from!(
                "SELECT b.id FROM binding b JOIN terminal t ON t.id = b.terminal \
                 WHERE t.acquirer = ?1 AND t.terminal_id = ?2"
            ),
            "SELECT h.id, t.terminal_id, h.scope, h.state, h.reason, h.remedy, h.documents, h.appeal, \
             h.placed_by, h.placed_at, h.appeal_note, h.lifted_by, h.lift_note FROM line l \
             JOIN hold h ON h.binding = l.id JOIN binding b ON b.id = h.binding \
             JOIN terminal t ON t.id = b.terminal WHERE h.id < ?3 ORDER BY h.id DESC LIMIT ?4",
        ))?;
        let terminal = key.terminal.as_str();
        let of = params![key.acquirer.0, terminal, before(part), part.most];
        let rows = all.query_map(of, |row| {
            let (scope, state): (String, String) = (row.get(2)?, row.get(3)?);
            Ok(HoldView {
                hold: from_sql(row.get(0)?),
                terminal_id: row.get(1)?,
                scope: HoldScope::from_name(&scope).unwrap_or(HoldScope::Acceptance),
                state: HoldState::from_name(&state).unwrap_or(HoldState::Placed),
                explained: Explained {
                    reason: row.get(4)?,
                    remedy: row.get(5)?,
                    documents: row.get(6)?,
                    appeal: row.get(7)?,
                },
                placed_by: row.get(8)?,
                placed_at_us: from_sql(row.get(9)?),
                appeal_note: row.get(10)?,
                lifted_by: row.get(11)?,
                lift_note: row.get(12)?,
            })
        })?;
        rows.collect()
    }

    pub(super) fn read_challenge(&self, challenge: u64) -> rusqlite::Result<Option<ChallengeView>> {
        self.db()
            .prepare_cached(&format!("{CHALLENGE} WHERE h.id = ?1"))?
            .query_row([to_sql(challenge)], challenge_view)
            .optional()
    }

    pub(super) fn read_challenge_at(
        &self,
        key: TerminalKey,
        purpose: Purpose,
        payment: Option<&Payment>,
    ) -> rusqlite::Result<Option<ChallengeView>> {
        let (stan, amount, currency) = columns(payment);
        let of_binding = match purpose {
            // These are for a contact of the merchant's.
            Purpose::VerifyContact | Purpose::ChangePhoneOld | Purpose::ChangePhoneNew => {
                "c.merchant = b.merchant AND h.binding IS NULL"
            }
            Purpose::Bind
            | Purpose::ChangeAccount
            | Purpose::Unbind
            | Purpose::Replace
            | Purpose::ReleaseHold
            | Purpose::PayerConfirm => "h.binding = b.id",
        };
        self.db()
            .prepare_cached(&format!(
                "{CHALLENGE} JOIN binding b ON {of_binding} JOIN terminal t ON t.id = b.terminal \
                 WHERE t.acquirer = ?1 AND t.terminal_id = ?2 AND b.closed_at IS NULL AND h.purpose = ?3 \
                 AND h.stan IS ?4 AND h.amount IS ?5 AND h.currency IS ?6 ORDER BY h.id DESC LIMIT 1"
            ))?
            .query_row(
                params![
                    key.acquirer.0,
                    key.terminal.as_str(),
                    purpose.name(),
                    stan,
                    amount,
                    currency
                ],
                challenge_view,
            )
            .optional()
    }

    pub(super) fn read_confirmation(
        &self,
        binding: BindingId,
        payment: &Payment,
        at: Timestamp,
    ) -> rusqlite::Result<Option<ChallengeView>> {
        let (stan, amount, currency) = columns(Some(payment));
        self.db()
            .prepare_cached(&format!(
                "{CHALLENGE} WHERE h.binding = ?1 AND h.purpose = 'payer-confirm' AND h.state = 'approved' \
                 AND h.stan = ?2 AND h.amount = ?3 AND h.currency = ?4 AND h.ended_at BETWEEN ?5 AND ?6 \
                 ORDER BY h.id DESC LIMIT 1"
            ))?
            .query_row(
                params![
                    to_sql(binding.0),
                    stan,
                    amount,
                    currency,
                    to_sql(at.0.saturating_sub(CONSENT_GOOD_FOR)),
                    to_sql(at.0)
                ],
                challenge_view,
            )
            .optional()
    }

    pub(super) fn read_idle_candidates(
        &self,
        (after, up_to): (BindingId, BindingId),
        before: Timestamp,
    ) -> rusqlite::Result<(Vec<(TerminalKey, BindingId, u32)>, bool)> {
        let mut all = self.db().prepare_cached(
            "SELECT t.acquirer, t.terminal_id, b.id, b.version FROM binding b \
             JOIN terminal t ON t.id = b.terminal WHERE b.id > ?1 AND b.id <= ?2 AND b.closed_at IS NULL \
             AND b.state = 'active' AND b.spare = 0 AND b.opened_at < ?3 AND NOT EXISTS (SELECT 1 \
             FROM binding_change c WHERE c.binding = b.id AND c.at >= ?3 AND c.event IN \
             ('binding.activated', 'binding.reason_cleared', 'binding.resumed', 'binding.state_set', \
             'binding.spare_ended'))",
        )?;
        let range = params![to_sql(after.0), to_sql(up_to.0), to_sql(before.0)];
        let rows = all.query_map(range, |row| {
            let terminal = row.get_ref(1)?.as_str()?;
            let key = TerminalKey {
                acquirer: AcquirerId(row.get(0)?),
                terminal: TerminalId::parse(terminal).unwrap_or(TerminalId::from_padded([b' '; 8])),
            };
            Ok((key, BindingId(from_sql(row.get(2)?)), row.get(3)?))
        })?;
        let found = rows.collect::<rusqlite::Result<_>>()?;
        let more = self
            .db()
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM binding WHERE id > ?1)")?
            .query_row([to_sql(up_to.0)], |row| row.get(0))?;
        Ok((found, more))
    }

    pub(super) fn read_case(&self, case: u64) -> rusqlite::Result<Option<CaseView>> {
        self.db()
            .prepare_cached(&format!("{CASE} WHERE f.id = ?1"))?
            .query_row([to_sql(case)], case_view)
            .optional()
    }

    pub(super) fn read_cases(
        &self,
        open_only: bool,
        part: Part,
    ) -> rusqlite::Result<Vec<CaseView>> {
        let mut all = self.db().prepare_cached(&format!(
            "{CASE} WHERE f.is_over <= ?1 AND f.id < ?2 ORDER BY f.id DESC LIMIT ?3"
        ))?;
        let rows = all.query_map(params![!open_only, before(part), part.most], case_view)?;
        rows.collect()
    }

    pub(super) fn read_evidence(
        &self,
        now: Timestamp,
        part: Part,
    ) -> rusqlite::Result<Vec<EvidenceView>> {
        let mut all = self.db().prepare_cached(
            "SELECT id, about, allows, note, sha256, filed_by, filed_at FROM evidence \
             WHERE used_at IS NULL AND refused_at IS NULL AND filed_at >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        )?;
        let since = to_sql(now.0.saturating_sub(GOOD_FOR));
        let rows = all.query_map(params![since, before(part), part.most], |row| {
            let filed_at = from_sql(row.get(6)?);
            Ok(EvidenceView {
                evidence: from_sql(row.get(0)?),
                about: row.get(1)?,
                allows: row.get(2)?,
                note: row.get(3)?,
                sha256: row.get(4)?,
                filed_by: row.get(5)?,
                filed_at_us: filed_at,
                good_until_us: filed_at.saturating_add(GOOD_FOR),
            })
        })?;
        rows.collect()
    }

    pub(super) fn read_alerts(&self, part: Part) -> rusqlite::Result<Vec<AlertView>> {
        let mut all = self.db().prepare_cached(
            "SELECT id, kind, subject, terminal, binding, detail, first_at, last_at, count FROM alert \
             WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let rows = all.query_map(params![before(part), part.most], |row| {
            Ok(AlertView {
                alert: from_sql(row.get(0)?),
                kind: row.get(1)?,
                subject: row.get(2)?,
                terminal_id: row.get(3)?,
                binding: row.get::<_, Option<i64>>(4)?.map(from_sql),
                detail: row.get(5)?,
                first_at_us: from_sql(row.get(6)?),
                last_at_us: from_sql(row.get(7)?),
                count: from_sql(row.get(8)?),
            })
        })?;
        rows.collect()
    }
}

impl SqliteRegistry {
    /// What the registry knows of what unbinding means.
    pub(super) fn read_impact(&self, binding: BindingId) -> rusqlite::Result<Impact> {
        let id = to_sql(binding.0);
        let (terminal, account, merchant): (String, String, i64) = self
            .db()
            .prepare_cached(
                "SELECT t.terminal_id, a.reference, b.merchant FROM binding b \
                 JOIN terminal t ON t.id = b.terminal JOIN account a ON a.id = b.account WHERE b.id = ?1",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut others = self.db().prepare_cached(
            "SELECT a.reference FROM account_beside z JOIN account a ON a.id = z.account \
             WHERE z.binding = ?1 ORDER BY a.reference",
        )?;
        let other_accounts = others
            .query_map([id], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut held = self.db().prepare_cached(concat!(
            line_from!("SELECT ?1"),
            "SELECT h.scope, h.reason FROM line l JOIN hold h ON h.binding = l.id WHERE h.state <> 'lifted' \
             ORDER BY h.id"
        ))?;
        let holds = held
            .query_map([id], |row| {
                let (scope, reason): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(format!("{scope}: {reason}"))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let of_merchant: i64 = self
            .db()
            .prepare_cached(
                "SELECT count(*) FROM binding WHERE merchant = ?1 AND closed_at IS NULL AND id <> ?2",
            )?
            .query_row(params![merchant, id], |row| row.get(0))?;
        let same_account = self
            .db()
            .prepare_cached(
                "WITH own AS (SELECT account FROM binding WHERE id = ?1 \
                 UNION SELECT account FROM account_beside WHERE binding = ?1) \
                 SELECT count(*) FROM (SELECT id FROM binding WHERE account IN (SELECT account FROM own) \
                 AND closed_at IS NULL UNION SELECT b.id FROM account_beside z \
                 JOIN binding b ON b.id = z.binding WHERE z.account IN (SELECT account FROM own) \
                 AND b.closed_at IS NULL) WHERE id <> ?1",
            )?
            .query_row([id], |row| row.get(0).map(from_sql))?;
        Ok(Impact {
            terminal,
            account,
            holds,
            other_accounts,
            disputes: self.count_disputes(id)?,
            last_terminal: of_merchant == 0,
            same_account,
            ..Impact::default()
        })
    }

    pub(super) fn read_successors(&self) -> rusqlite::Result<Vec<(TerminalKey, BindingId)>> {
        let mut all = self.db().prepare(
            "SELECT t.acquirer, t.terminal_id, b.predecessor FROM binding b \
             JOIN terminal t ON t.id = b.terminal WHERE b.predecessor IS NOT NULL \
             AND EXISTS (SELECT 1 FROM binding_change c WHERE c.binding = b.id AND c.event = 'binding.activated') \
             ORDER BY b.id",
        )?;
        let rows = all.query_map([], |row| {
            let terminal = row.get_ref(1)?.as_str()?;
            let terminal = TerminalId::parse(terminal);
            Ok((
                AcquirerId(row.get(0)?),
                terminal.ok(),
                BindingId(from_sql(row.get(2)?)),
            ))
        })?;
        let mut found = Vec::new();
        for row in rows {
            if let (acquirer, Some(terminal), predecessor) = row? {
                found.push((TerminalKey { acquirer, terminal }, predecessor));
            }
        }
        Ok(found)
    }
}

const CONTACT: &str = "SELECT c.id, m.merchant_id, c.kind, c.role, c.masked, c.state, c.replaces, \
    c.version, c.value, m.acquirer, c.speaks_from, c.effective_at FROM contact c JOIN merchant m ON m.id = c.merchant";

fn contact_view(row: &Row<'_>) -> rusqlite::Result<ContactView> {
    let (kind, role, state): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(5)?);
    let replaces: Option<i64> = row.get(6)?;
    let speaks_from: Option<i64> = row.get(10)?;
    let kind = ContactKind::from_name(&kind).unwrap_or(ContactKind::Email);
    let role = ContactRole::from_name(&role).unwrap_or(ContactRole::Service);
    Ok(ContactView {
        contact: from_sql(row.get(0)?),
        merchant_id: row.get(1)?,
        kind,
        role,
        value: row.get(4)?,
        state: ContactState::from_name(&state).unwrap_or(ContactState::Revoked),
        replaces: replaces.map(from_sql),
        version: row.get(7)?,
        sealed: row.get(8)?,
        acquirer: AcquirerId(row.get(9)?),
        speaks_from_us: speaks_from
            .filter(|_| guards_acceptance(kind, role))
            .map(from_sql),
        effective_at_us: Some(from_sql(row.get(11)?)).filter(|at| *at > 0),
    })
}

const CASE: &str = "SELECT f.id, f.kind, t.terminal_id, f.binding, f.stage, f.version, f.body, \
    f.opened_at, t.acquirer FROM case_file f JOIN binding b ON b.id = f.binding \
    JOIN terminal t ON t.id = b.terminal";

fn case_view(row: &Row<'_>) -> rusqlite::Result<CaseView> {
    let kind: String = row.get(1)?;
    let body = CaseBody::read(&kind, row.get_ref(6)?.as_str()?);
    Ok(CaseView {
        case: from_sql(row.get(0)?),
        kind,
        terminal_id: row.get(2)?,
        binding: from_sql(row.get(3)?),
        stage: row.get(4)?,
        version: row.get(5)?,
        waits_for: body.as_ref().map(CaseBody::waits_for).unwrap_or_default(),
        body,
        opened_at_us: from_sql(row.get(7)?),
        acquirer: AcquirerId(row.get(8)?),
    })
}
