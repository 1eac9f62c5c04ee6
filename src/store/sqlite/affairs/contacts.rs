//! Contacts, and how one takes the place of another.
//!
//! Made before broken: a new phone is entered as the one that `replaces` the old, is verified by a code of its
//! own, and takes over once the old one's holder agreed, in one step; the binding stays ACTIVE throughout.
//! Broken before made: the last verified phone of the owner is revoked; the merchant's bindings wait for
//! re-verification until another one is verified and speaks for the merchant.
//!
//! From when a phone of the owner speaks for the merchant (`speaks_from`): the first that a merchant has, one that
//! two persons saw, and one whose predecessor's holder agreed, at once; a further one 12 hours after the others,
//! which speak and may object, were told; one that comes where none is left to be asked, when another person than
//! entered it confirms it. Nobody gives a shop's word to a phone alone.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{Because, Step, Stopped, from_sql, to_sql};
use crate::base::calendar::Civil;
use crate::base::{AcquirerId, MerchantId, Timestamp};
use crate::binding::challenge::{ChallengeState, Purpose};
use crate::binding::contact::{
    self, ContactEvent, ContactKind, ContactRole, ContactState, guards_acceptance,
};
use crate::binding::refusal::two_persons;
use crate::binding::unbinding::Proof;
use crate::binding::watch::WATCH;
use crate::binding::{BindingEvent, ReasonSet, Refusal, RependReason};
use crate::store::command::{Allows, MerchantsWord, Notice, Sealed};

/// Contacts of one merchant that are not revoked, payers aside.
const CONTACTS_MAX: u32 = 50;
/// Payers of one merchant that are not revoked.
const PAYERS_MAX: u32 = 10_000;

/// How long the old holder's word is good, in microseconds: 20 minutes (NIST 800-63B, binding of a new
/// authenticator).
pub(super) const CONSENT_GOOD_FOR: u64 = 20 * 60_000_000;

/// How long a change waits that staff agreed to because the old number cannot be asked: 12 hours.
const COOLING: u64 = 12 * 3_600_000_000;

/// How far ahead a change may be planned: 90 days, in which a carrier gives a number to nobody else.
const PLANNED_MAX: u64 = 90 * 86_400_000_000;

/// A contact as a command finds it.
#[derive(Clone, Debug)]
pub(super) struct ContactRow {
    pub(super) id: u64,
    pub(super) merchant: i64,
    pub(super) kind: ContactKind,
    pub(super) role: ContactRole,
    pub(super) state: ContactState,
    pub(super) hash: Vec<u8>,
    pub(super) masked: String,
    replaces: Option<u64>,
    consent: Option<(Proof, Timestamp)>,
    /// From when it speaks for the merchant, where it is a phone of the owner. `None`: not before it is confirmed.
    speaks_from: Option<Timestamp>,
    /// When it takes the other's place at the earliest.
    effective_at: Timestamp,
    version: u32,
}

impl ContactRow {
    /// Whether its word is the merchant's: a phone of the owner, verified, whose time has come, and that does not itself
    /// wait to take another's place.
    pub(super) fn speaks_for_merchant(&self, now: Timestamp) -> bool {
        self.state == ContactState::Verified
            && guards_acceptance(self.kind, self.role)
            && self.replaces.is_none()
            && self.speaks_from.is_some_and(|from| from <= now)
    }
}

impl Step<'_> {
    pub(super) fn contact(&self, number: u64) -> Stopped<ContactRow> {
        self.db
            .prepare_cached(&format!("{CONTACT} WHERE id = ?1"))?
            .query_row([to_sql(number)], contact_row)
            .optional()?
            .ok_or_else(|| Self::not_there("contact", number))
    }

    pub(super) fn add_contact(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        kind: ContactKind,
        role: ContactRole,
        value: &Sealed,
        replaces: Option<u64>,
    ) -> Stopped<()> {
        let merchant = self.merchant(acquirer, merchant)?;
        let pays = role == ContactRole::Payer;
        let held: u32 = self.db.query_row(
            "SELECT count(*) FROM contact WHERE merchant = ?1 AND state <> 'revoked' \
             AND (role = 'payer') = ?2",
            params![merchant, pays],
            |row| row.get(0),
        )?;
        if held >= if pays { PAYERS_MAX } else { CONTACTS_MAX } {
            let (what, problem) = (
                "the list of contacts",
                "is full; revoke one that is not used",
            );
            return Err(Refusal::Value { what, problem }.into());
        }
        let same: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT id FROM contact WHERE merchant = ?1 AND value_hash = ?2 AND role = ?3 \
                 AND state <> 'revoked'",
            )?
            .query_row(params![merchant, value.hash, role.name()], |row| row.get(0))
            .optional()?;
        if let Some(same) = same {
            return Err(Refusal::Taken {
                what: "this value in this role",
                holder: format!("contact {same} of the same merchant").into(),
                remedy: "use that one",
            }
            .into());
        }
        self.one_identity(merchant, role, value.hash.as_slice())?;
        if let Some(old) = replaces {
            let old = self.contact(old)?;
            let same = old.merchant == merchant
                && old.kind == kind
                && (old.role == ContactRole::Payer) == pays;
            if !same || old.state == ContactState::Revoked {
                let what = "the contact to be replaced";
                let problem = "is of another merchant or kind, is a payer's, or is revoked";
                return Err(Refusal::Value { what, problem }.into());
            }
        }
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO contact(merchant, kind, role, value, value_hash, masked, state, replaces, \
                 added_at) VALUES (?1,?2,?3,?4,?5,?6,'pending',?7,?8)",
            )?
            .insert(params![
                merchant,
                kind.name(),
                role.name(),
                value.sealed,
                value.hash,
                value.masked,
                replaces.map(to_sql),
                to_sql(self.now().0)
            ])?;
        let added = self.contact(from_sql(number))?;
        self.was_given_up(merchant, &value.hash, "entered for")?;
        self.write_contact(&added, "contact.added", "", "")?;
        // Whoever is to be replaced hears of it, at the place where a stranger would not want them to.
        if replaces.is_some() && !pays {
            let text = format!("a change to {} was asked for", value.masked);
            self.notify(merchant, "contact.change_requested", &text)?;
        } else if guards_acceptance(kind, role) {
            let text = format!("{} was entered as a phone of the owner", value.masked);
            self.notify(merchant, "contact.added", &text)?;
        }
        Ok(())
    }

    /// A number that is verified for another identity is not taken: contact and identity are one to one.
    /// A merchant whose identity nobody entered is an identity of its own. A payer's number is the payer's, at as
    /// many shops as the payer likes.
    fn one_identity(&self, merchant: i64, role: ContactRole, hash: &[u8]) -> Stopped<()> {
        if role == ContactRole::Payer {
            return Ok(());
        }
        let other: Option<String> = self
            .db
            .prepare_cached(
                "SELECT o.merchant_id FROM contact c JOIN merchant o ON o.id = c.merchant \
                 JOIN merchant m ON m.id = ?1 WHERE c.value_hash = ?2 AND c.state = 'verified' \
                 AND c.merchant <> ?1 AND c.kind = 'phone' AND c.role <> 'payer' \
                 AND (o.identity_hash IS NULL OR o.identity_hash IS NOT m.identity_hash) LIMIT 1",
            )?
            .query_row(params![merchant, hash], |row| row.get(0))
            .optional()?;
        match other {
            None => Ok(()),
            Some(_) => Err(Refusal::Taken {
                what: "the number",
                holder: "another merchant's identity".into(),
                remedy: "have it explained and revoked there first",
            }
            .into()),
        }
    }

    pub(super) fn consent(
        &mut self,
        number: u64,
        word: MerchantsWord,
        effective_at: Timestamp,
    ) -> Stopped<()> {
        let new = self.contact(number)?;
        self.stale("the contact", new.version)?;
        if effective_at.0 > self.now().0.saturating_add(PLANNED_MAX) {
            let (what, problem) = ("the day of the change", "is more than 90 days ahead");
            return Err(Refusal::Value { what, problem }.into());
        }
        let Some(old) = new.replaces else {
            let what = "the contact to be replaced";
            let remedy = "enter the new one as its replacement";
            return Err(Refusal::Missing { what, remedy }.into());
        };
        let old = self.contact(old)?;
        let proof = match word {
            MerchantsWord::Challenge(challenge) => {
                // Who makes a phone the owner's has the owner's word: not that of the service's phone which it replaces.
                let is_owners = guards_acceptance(new.kind, new.role);
                let now = self.now();
                self.approved_challenge(challenge, Purpose::ChangePhoneOld, number, |contact| {
                    (contact.id == old.id && !is_owners)
                        || contact.merchant == old.merchant
                            && contact.speaks_for_merchant(now)
                            && contact.id != number
                })?;
                Proof::Challenge(challenge)
            }
            MerchantsWord::Evidence(evidence) => {
                let about = format!("contact {number}");
                self.seen_by_two(evidence, &about, Allows::ReplaceContact)?
            }
        };
        // The old number may be a stranger's by now: nobody asks it, and nothing goes quickly.
        let cooled = Timestamp(match proof {
            Proof::Counter { .. } => self.now().0 + COOLING,
            Proof::Challenge(_) => 0,
        });
        let cools = effective_at < cooled;
        let effective_at = effective_at.max(cooled);
        self.db
            .prepare_cached(
                "UPDATE contact SET consent = ?2, consent_at = ?3, effective_at = ?4 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(number),
                serde_json::to_string(&proof).unwrap_or_default(),
                to_sql(self.now().0),
                to_sql(effective_at.0)
            ])?;
        let first = match &proof {
            Proof::Counter { first, .. } => first.clone(),
            Proof::Challenge(_) => String::new(),
        };
        let new = ContactRow {
            consent: Some((proof, self.now())),
            effective_at,
            version: new.version + 1,
            ..new
        };
        let planned = effective_at > self.now();
        let note = if planned {
            let when = if cools {
                "in 12 hours".to_owned()
            } else {
                format!("on {} (UTC)", Civil::utc(effective_at).date_text())
            };
            // Whoever did not want it can object until then.
            let text = format!("the change to {} takes effect {when}", new.masked);
            self.notify(new.merchant, "contact.change_agreed", &text)?;
            format!("takes effect {when}")
        } else {
            String::new()
        };
        self.write_contact(&new, "contact.change_agreed", &note, &first)?;
        if new.state == ContactState::Verified {
            self.take_over(&new)?;
        }
        Ok(())
    }

    pub(super) fn contact_event(
        &mut self,
        number: u64,
        event: ContactEvent,
        note: &str,
        evidence: Option<u64>,
        last_too: bool,
    ) -> Stopped<()> {
        let contact = self.contact(number)?;
        self.stale("the contact", contact.version)?;
        match event {
            ContactEvent::Verify => {
                contact::apply(contact.state, event)?;
                let about = format!("contact {number}");
                let began = self.contact_since(&contact)?;
                let (by, note) =
                    self.use_evidence_since(began, evidence, &about, Allows::VerifyContact)?;
                self.verified(contact, &note, &by)
            }
            ContactEvent::Confirm => {
                super::said("what was seen", note)?;
                self.confirmed(contact, note)
            }
            ContactEvent::Suspect | ContactEvent::Revoke => {
                super::said("why", note)?;
                self.lose(contact, event, note, last_too)
            }
        }
    }

    /// Since when a contact has been in its state without a break.
    fn contact_since(&self, contact: &ContactRow) -> Stopped<Timestamp> {
        let at: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(at) FROM contact_change WHERE contact = ?1 AND version > coalesce((SELECT max(version) \
                 FROM contact_change WHERE contact = ?1 AND state <> ?2), 0)",
            )?
            .query_row(params![to_sql(contact.id), contact.state.name()], |row| row.get(0))?;
        Ok(Timestamp(at.map_or(0, from_sql)))
    }

    /// A contact is proven: by a code, or by evidence that two persons saw.
    pub(super) fn verified(
        &mut self,
        mut contact: ContactRow,
        note: &str,
        checker: &str,
    ) -> Stopped<()> {
        contact.state = contact::apply(contact.state, ContactEvent::Verify)?;
        contact.version += 1;
        contact.speaks_from = self.speaks_from(&contact, checker)?;
        self.one_identity(contact.merchant, contact.role, &contact.hash)?;
        self.was_given_up(contact.merchant, &contact.hash, "verified for")?;
        if contact.replaces.is_none() && guards_acceptance(contact.kind, contact.role) {
            let from = match contact.speaks_from {
                Some(from) if from <= self.now() => "now",
                Some(_) => "now, and speaks for the shop in 12 hours",
                None => "now, and speaks for the shop when our staff confirmed it",
            };
            let text = format!("{} is a verified phone of the owner {from}", contact.masked);
            self.notify(contact.merchant, ContactEvent::Verify.event(), &text)?;
        }
        if !checker.is_empty() {
            // Two persons saw who has the number: codes may go there again.
            self.db
                .prepare_cached("DELETE FROM wrong_code WHERE target = ?1")?
                .execute([&contact.hash])?;
        }
        self.write_contact(&contact, ContactEvent::Verify.event(), note, checker)?;
        if contact.replaces.is_some() {
            if let Some((proof, at)) = &contact.consent {
                let agreed_until = at.max(&contact.effective_at).0 + CONSENT_GOOD_FOR;
                if matches!(proof, Proof::Challenge(_)) && self.now().0 > agreed_until {
                    return Err(Refusal::Missing {
                        what: "the old holder's word of the last 20 minutes",
                        remedy: "send them a new code",
                    }
                    .into());
                }
                self.take_over(&contact)?;
            }
            // Without the old holder's word the new one is a further contact and replaces nothing yet.
        } else if contact.speaks_for_merchant(self.now()) {
            self.phone_is_back(contact.merchant, contact.id)?;
        }
        Ok(())
    }

    /// From when a phone that was just verified speaks for the merchant; see the module.
    fn speaks_from(&self, contact: &ContactRow, checker: &str) -> Stopped<Option<Timestamp>> {
        let now = self.now();
        // What has spoken already was doubted, and is the merchant's after all.
        let spoke = contact.speaks_from.is_some_and(|from| from <= now);
        if spoke || !checker.is_empty() {
            return Ok(contact.speaks_from.filter(|_| spoke).or(Some(now)));
        }
        if contact.replaces.is_some() {
            return Ok(None);
        }
        let had_one: bool = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM contact c JOIN contact_change h ON h.contact = c.id \
                 WHERE c.merchant = ?1 AND c.id <> ?2 AND c.kind = 'phone' AND c.role = 'owner' \
                 AND h.state = 'verified')",
            )?
            .query_row(params![contact.merchant, to_sql(contact.id)], |row| {
                row.get(0)
            })?;
        if !had_one {
            return Ok(Some(now));
        }
        let others = self.speaking_beside(contact)?;
        Ok((others > 0).then_some(Timestamp(now.0.saturating_add(COOLING))))
    }

    /// How many other phones speak for a contact's merchant now.
    fn speaking_beside(&self, contact: &ContactRow) -> Stopped<u32> {
        let others = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM contact WHERE merchant = ?1 AND id <> ?2 AND state = 'verified' \
                 AND kind = 'phone' AND role = 'owner' AND replaces IS NULL AND speaks_from <= ?3",
            )?
            .query_row(
                params![
                    contact.merchant,
                    to_sql(contact.id),
                    to_sql(self.now().0)
                ],
                |row| row.get(0),
            )?;
        Ok(others)
    }

    /// Another person than entered it says that a verified phone is the merchant's: it speaks from now on.
    fn confirmed(&mut self, mut contact: ContactRow, note: &str) -> Stopped<()> {
        contact.state = contact::apply(contact.state, ContactEvent::Confirm)?;
        let entered_by: String = self
            .db
            .prepare_cached(
                "SELECT actor FROM contact_change WHERE contact = ?1 ORDER BY version LIMIT 1",
            )?
            .query_row([to_sql(contact.id)], |row| row.get(0))?;
        two_persons(&entered_by, &self.actor.name)?;
        let unfit = |state, remedy| Refusal::State {
            thing: "contact",
            state,
            verb: "confirmed",
            remedy,
        };
        if !guards_acceptance(contact.kind, contact.role) {
            let remedy = "a code is enough for others";
            return Err(unfit("not a phone of the owner", remedy).into());
        }
        if contact.speaks_for_merchant(self.now()) {
            let remedy = "nothing has to be done";
            return Err(unfit("one that speaks for the merchant already", remedy).into());
        }
        if let Some(old) = contact.replaces {
            if self.contact(old)?.state != ContactState::Revoked {
                let remedy = "have that one's holder agree (`posgate contact consent`)";
                return Err(unfit("to take another's place", remedy).into());
            }
            self.db
                .prepare_cached("UPDATE contact SET replaces = NULL WHERE id = ?1")?
                .execute([to_sql(contact.id)])?;
            contact.replaces = None;
        }
        contact.version += 1;
        contact.speaks_from = Some(self.now());
        let text = format!("{} speaks for the shop now", contact.masked);
        self.notify(contact.merchant, ContactEvent::Confirm.event(), &text)?;
        let event = ContactEvent::Confirm.event();
        self.write_contact(&contact, event, note, &entered_by)?;
        self.phone_is_back(contact.merchant, contact.id)
    }

    /// The new contact is verified and the old one's holder agreed: the old one goes, in the same step.
    fn take_over(&mut self, new: &ContactRow) -> Stopped<()> {
        let (Some(old), Some((proof, at))) = (new.replaces, &new.consent) else {
            return Ok(());
        };
        let now = self.now();
        // Both numbers are known until its day.
        if now < new.effective_at {
            return Ok(());
        }
        match proof {
            // As an older build wrote it, without the day.
            Proof::Counter { .. } if now.0 < at.0 + COOLING => return Ok(()),
            Proof::Challenge(_) | Proof::Counter { .. } => {}
        }
        let mut old = self.contact(old)?;
        if old.state != ContactState::Revoked {
            old.state = contact::apply(old.state, ContactEvent::Revoke)?;
            old.version += 1;
            let note = format!("replaced by contact {}", new.id);
            // The old contact hears of it too: it was verified until this moment.
            self.done.notices.push(Notice {
                contact: old.id,
                event: "contact.revoked",
                text: format!("this contact was replaced by {}", new.masked),
            });
            self.write_contact(&old, ContactEvent::Revoke.event(), &note, "")?;
        }
        // The owner's word, or that of two members of staff, stands behind it.
        self.db
            .prepare_cached("UPDATE contact SET replaces = NULL, speaks_from = ?2 WHERE id = ?1")?
            .execute(params![to_sql(new.id), to_sql(now.0)])?;
        if guards_acceptance(new.kind, new.role) {
            self.phone_is_back(new.merchant, new.id)?;
        }
        self.done.number = new.id;
        self.done.version = new.version;
        Ok(())
    }

    /// Changes whose day has come, and those that staff agreed to and that have waited long enough.
    pub(super) fn take_over_due(&mut self) -> Stopped<()> {
        let now = self.now().0;
        let before = to_sql(now.saturating_sub(COOLING));
        let due: Vec<u64> = {
            let mut all = self.db.prepare_cached(
                "SELECT id FROM contact WHERE replaces IS NOT NULL AND state = 'verified' \
                 AND consent_at IS NOT NULL AND effective_at <= ?1 AND (effective_at > 0 OR consent_at <= ?2)",
            )?;
            let rows =
                all.query_map(params![to_sql(now), before], |row| row.get(0).map(from_sql))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for number in due {
            let contact = self.contact(number)?;
            let planned = contact.effective_at.0 > 0;
            if planned || matches!(contact.consent, Some((Proof::Counter { .. }, _))) {
                self.apart(|step| step.take_over(&contact))?;
            }
        }
        Ok(())
    }

    /// A contact is doubted or given up.
    fn lose(
        &mut self,
        mut contact: ContactRow,
        event: ContactEvent,
        note: &str,
        last_too: bool,
    ) -> Stopped<()> {
        // One that is to take another's place speaks for nobody before that one's holder agreed; nor does one that nobody
        // agreed to while the others, who were told of it, may still object.
        let spoke = contact.speaks_for_merchant(self.now());
        contact.state = contact::apply(contact.state, event)?;
        contact.version += 1;
        let is_last = spoke && self.speaking_beside(&contact)? == 0;
        if is_last && !last_too && event == ContactEvent::Revoke {
            return Err(Refusal::State {
                thing: "contact",
                state: "the last verified phone of the owner",
                verb: "revoked",
                remedy: "enter its replacement and have it agreed to (`posgate contact consent`), which gives this \
                         one up; or say that the terminals are to wait for one. A phone that nobody agreed to counts \
                         12 hours after it was verified, or when another person confirms it (`posgate contact \
                         confirm`)",
            }
            .into());
        }
        // Before the state is written: whoever loses the contact is told there too.
        if contact.role != ContactRole::Payer {
            let given_up = contact.state == ContactState::Revoked;
            let what = if given_up {
                "was given up"
            } else {
                "is in doubt"
            };
            let text = format!("the contact {} {what}: {note}", contact.masked);
            self.notify(contact.merchant, event.event(), &text)?;
        }
        self.write_contact(&contact, event.event(), note, "")?;
        if is_last {
            // Nobody is left who could object to what waits its 12 hours.
            self.db
                .prepare_cached(
                    "UPDATE contact SET speaks_from = NULL WHERE merchant = ?1 AND speaks_from > ?2",
                )?
                .execute(params![contact.merchant, to_sql(self.now().0)])?;
            self.doubt_all(contact.merchant, RependReason::Phone, note)?;
        }
        self.done.number = contact.id;
        self.done.version = contact.version;
        Ok(())
    }

    /// All terminals of a merchant wait until this is verified.
    pub(super) fn doubt_all(
        &mut self,
        merchant: i64,
        reason: RependReason,
        note: &str,
    ) -> Stopped<()> {
        let event = BindingEvent::Repend(ReasonSet::EMPTY.with(reason));
        for held in self.bindings_of(merchant)? {
            let may = held.life().may_repend();
            self.renewed(&held, ReasonSet::EMPTY.with(reason))?;
            if may && !held.admission.reasons.contains(reason) {
                let because = Because {
                    event: event.name(),
                    note,
                    checker: "",
                };
                self.live(&held, held.life().apply(event)?, because)?;
            }
        }
        Ok(())
    }

    /// The owner has a verified phone again: whatever waited for one waits no more.
    fn phone_is_back(&mut self, merchant: i64, contact: u64) -> Stopped<()> {
        let version = self.done.version;
        for held in self.bindings_of(merchant)? {
            if held.admission.reasons.contains(RependReason::Phone) {
                let event = BindingEvent::Clear(RependReason::Phone);
                let note = format!("phone: contact {contact} is verified");
                let because = Because {
                    event: event.name(),
                    note: &note,
                    checker: "",
                };
                self.live(&held, held.life().apply(event)?, because)?;
            }
        }
        self.done.number = contact;
        self.done.version = version;
        Ok(())
    }

    /// That a challenge was approved, for this purpose and subject, within 20 minutes, on a contact that fits: which.
    pub(super) fn approved_challenge(
        &self,
        challenge: u64,
        purpose: Purpose,
        subject: u64,
        fits: impl FnOnce(&ContactRow) -> bool,
    ) -> Stopped<u64> {
        let found: Option<(String, u64, u64, String, Option<u64>)> = self
            .db
            .prepare_cached(
                "SELECT purpose, subject, contact, state, ended_at FROM challenge WHERE id = ?1",
            )?
            .query_row([to_sql(challenge)], |row| {
                let ended: Option<i64> = row.get(4)?;
                Ok((
                    row.get(0)?,
                    from_sql(row.get(1)?),
                    from_sql(row.get(2)?),
                    row.get(3)?,
                    ended.map(from_sql),
                ))
            })
            .optional()?;
        let refusal = Refusal::Missing {
            what: "a code for exactly this that came back within the last 20 minutes",
            remedy: "send one and check it",
        };
        let Some((for_what, of, contact, state, ended_at)) = found else {
            return Err(refusal.into());
        };
        let recent = ended_at.is_some_and(|at| self.now().0 <= at.saturating_add(CONSENT_GOOD_FOR));
        let approved = state == ChallengeState::Approved.name();
        if for_what != purpose.name() || of != subject || !approved || !recent {
            return Err(refusal.into());
        }
        if !fits(&self.contact(contact)?) {
            return Err(refusal.into());
        }
        Ok(contact)
    }

    fn write_contact(
        &mut self,
        contact: &ContactRow,
        event: &'static str,
        note: &str,
        checker: &str,
    ) -> Stopped<()> {
        self.db
            .prepare_cached(
                "UPDATE contact SET state = ?2, version = ?3, watched_until = CASE WHEN ?2 = 'revoked' \
                 THEN ?4 ELSE 0 END, speaks_from = ?5 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(contact.id),
                contact.state.name(),
                contact.version,
                to_sql(self.now().after(WATCH).0),
                contact.speaks_from.map(|from| to_sql(from.0))
            ])?;
        self.db
            .prepare_cached("INSERT INTO contact_change VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")?
            .execute(params![
                to_sql(contact.id),
                contact.version,
                to_sql(self.now().0),
                self.actor.name,
                event,
                contact.state.name(),
                note,
                checker
            ])?;
        self.done.number = contact.id;
        self.done.version = contact.version;
        let after = json!({
            "version": contact.version, "state": contact.state.name(), "kind": contact.kind.name(),
            "role": contact.role.name(), "value": contact.masked,
        });
        let details = if note.is_empty() && checker.is_empty() {
            Value::Null
        } else {
            json!({ "note": note, "checker": checker })
        };
        let subject = format!("contact {}", contact.id);
        self.tell(event, subject, Value::Null, after, details)
    }
}

const CONTACT: &str = "SELECT id, merchant, kind, role, state, value_hash, masked, replaces, consent, \
    consent_at, version, speaks_from, effective_at FROM contact";

fn contact_row(row: &Row<'_>) -> rusqlite::Result<ContactRow> {
    let replaces: Option<i64> = row.get(7)?;
    let consent: Option<String> = row.get(8)?;
    let consent_at: Option<i64> = row.get(9)?;
    let speaks_from: Option<i64> = row.get(11)?;
    let consent = consent
        .and_then(|text| serde_json::from_str(&text).ok())
        .zip(consent_at.map(|at| Timestamp(from_sql(at))));
    Ok(ContactRow {
        id: from_sql(row.get(0)?),
        merchant: row.get(1)?,
        // What this build does not know guards nothing and proves nothing.
        kind: ContactKind::from_name(row.get_ref(2)?.as_str()?).unwrap_or(ContactKind::Email),
        role: ContactRole::from_name(row.get_ref(3)?.as_str()?).unwrap_or(ContactRole::Service),
        state: ContactState::from_name(row.get_ref(4)?.as_str()?).unwrap_or(ContactState::Revoked),
        hash: row.get(5)?,
        masked: row.get(6)?,
        replaces: replaces.map(from_sql),
        consent,
        speaks_from: speaks_from.map(|from| Timestamp(from_sql(from))),
        effective_at: Timestamp(from_sql(row.get(12)?)),
        version: row.get(10)?,
    })
}
