//! The case that ends a binding.
//!
//! ```text
//!          confirm            prove              submit             approve
//!  DRAFT ──────────▶ IDENTITY ─────▶ DOCUMENTS ────────▶ REVIEW ───────────▶ SCHEDULED
//!    │                  │               ▲  │                │  return           │
//!    │                  │               └──┼────────────────┘                   │ start
//!    │                  │                  │                                    ▼
//!    │        cancel, expire, reject       │            cancel              DRAINING
//!    ├──────────────────┴──────────────────┴────────────◀───────────────────────┤
//!    ▼                                                                          │ drained, forced
//!  CANCELLED, EXPIRED, REJECTED         COMPLETED ◀── REPORTING ◀── WIPING ◀────┘
//!                                               reported       wiped
//! ```
//!
//! | event | from | guard | who |
//! |---|---|---|---|
//! | `confirm` | draft | phone, serial, merchant and account as on record | maker |
//! | `prove` | identity | as the channel asks: a code on a contact verified before; two staff at the counter | merchant, staff |
//! | `add_document`, `review` | documents | reviewer is not who added it | maker, checker |
//! | `acknowledge` | documents | by the hash of the impact report | merchant |
//! | `submit` | documents | all documents approved, report acknowledged, export taken | maker |
//! | `approve` | review | checker is not the maker; the report is no worse than acknowledged | checker |
//! | `start` | scheduled | its time has come; the binding is UNBINDING from here | time |
//! | `drained` | draining | nothing outstanding | time |
//! | `force` | draining | two persons and a reason | two persons |
//! | `keys_destroyed` | wiping | the check values on record for the device, all of them; kept is only what a forced drain may still need | key custodian |
//! | `wiped` | wiping | keys destroyed here, where there are any on record; done, failed or unreachable: none of them stops the case | device, time |
//! | `reported` | reporting | reference of the network's register | staff |
//! | `cancel` | up to draining | nothing is wiped yet | maker, checker |
//!
//! Nothing before `start` touches the terminal.

use std::time::Duration;

use super::drain::{Impact, Outstanding};
use super::merchant::MerchantKind;
use super::named::named_enum;
use super::refusal::{Refusal, only_in, two_persons};
use crate::base::Timestamp;

/// From its opening; a case that nobody finished is over then.
pub const CASE_DAYS: u64 = 30;
/// How long the terminal id, the device and a contact that was given up are watched after the end.
pub const WATCH: Duration = Duration::from_secs(90 * 86_400);
/// Documents of one case.
pub const DOCUMENTS_MAX: usize = 50;

named_enum!(
    /// Where a case of unbinding stands: what it waits for.
    UnbindStage {
        /// What the applicant says to be compared with the record.
        Draft = "draft",
        /// Proof of who asks.
        Identity = "identity",
        /// Documents, acknowledgement, export.
        Documents = "documents",
        /// The checker.
        Review = "review",
        /// Its day.
        Scheduled = "scheduled",
        /// The drain conditions. The terminal takes no new money.
        Draining = "draining",
        /// The end of its keys here, and the device's word. The binding is closed.
        Wiping = "wiping",
        /// The network's acknowledgement.
        Reporting = "reporting",
        /// Nothing: it is done.
        Completed = "completed",
        /// Nothing: the checker said no.
        Rejected = "rejected",
        /// Nothing: it was taken back.
        Cancelled = "cancelled",
        /// Nothing: it was not finished in time.
        Expired = "expired",
    }
);

impl UnbindStage {
    /// Whether the case is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Rejected | Self::Cancelled | Self::Expired => true,
            Self::Draft
            | Self::Identity
            | Self::Documents
            | Self::Review
            | Self::Scheduled
            | Self::Draining
            | Self::Wiping
            | Self::Reporting => false,
        }
    }
}

named_enum!(
    /// How the case came in; decides how identity is proven.
    Channel {
        /// The merchant's portal: a code on a phone that was verified before.
        Online = "online",
        /// By telephone: called back at a verified number, and a code that staff never sees.
        Hotline = "hotline",
        /// At the counter: originals seen by two members of staff.
        Counter = "counter",
    }
);

named_enum!(
    /// Why a terminal is unbound.
    UnbindReason {
        /// No longer needed.
        NotNeeded = "not-needed",
        /// Another way to be paid is used.
        SwitchMethod = "switch-method",
        /// Security.
        Security = "security",
        /// A newer device.
        Upgrade = "upgrade",
        /// It is broken.
        Fault = "fault",
        /// The business is reorganised.
        Reorganisation = "reorganisation",
        /// The business is closed.
        Closure = "closure",
        /// Lost or stolen.
        Lost = "lost",
        /// Not used for a year.
        Dormant = "dormant",
        /// A regulator or the network asks for it.
        Regulatory = "regulatory",
        /// Another device took its place.
        Replaced = "replaced",
    }
);

named_enum!(
    /// Which document.
    DocumentKind {
        /// Identity document of the applicant.
        Identity = "identity",
        /// The device with its serial number, photographed.
        DevicePhoto = "device-photo",
        /// The bank card or account statement.
        Account = "account",
        /// Business licence.
        Licence = "licence",
        /// Application with seal or electronic signature.
        Application = "application",
        /// Mandate of whoever acts for the merchant.
        Mandate = "mandate",
    }
);

/// Which documents a merchant has to bring.
#[must_use]
pub const fn documents_of(kind: MerchantKind) -> &'static [DocumentKind] {
    match kind {
        MerchantKind::Individual => &[
            DocumentKind::Identity,
            DocumentKind::DevicePhoto,
            DocumentKind::Account,
        ],
        MerchantKind::Unknown
        | MerchantKind::Enterprise
        | MerchantKind::SoleTrader
        | MerchantKind::Institution => &[
            DocumentKind::Identity,
            DocumentKind::DevicePhoto,
            DocumentKind::Account,
            DocumentKind::Licence,
            DocumentKind::Application,
        ],
    }
}

/// A document of a case: what it was, never what it shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Document {
    /// Which.
    pub kind: DocumentKind,
    /// SHA-256 of the file, as 64 hexadecimal digits.
    pub sha256: String,
    /// Who added it.
    pub added_by: String,
    /// Who looked at it.
    pub reviewed_by: Option<String>,
    /// What they found; `None` before.
    pub approved: Option<bool>,
}

/// How identity was proven.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A challenge on a contact that was verified before the case began; its number.
    Challenge(u64),
    /// Two members of staff saw the originals.
    Counter {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
}

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

/// The history that the merchant took along.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Export {
    /// SHA-256 over the file.
    pub sha256: String,
    /// Transactions in it.
    pub rows: u64,
}

/// A key, by what is on record of it: never the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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

/// The keys that the host had for a device are destroyed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeysDestroyed {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Which.
    pub destroyed: Vec<KeyMark>,
    /// The last generation, kept to verify reversals that the device may still have.
    pub kept: Vec<KeyMark>,
    /// Until when; none when nothing is kept.
    pub kept_until: Option<Timestamp>,
}

/// A drain that was cut short.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forced {
    /// Who asked.
    pub first: String,
    /// Who agreed.
    pub second: String,
    /// Why.
    pub why: String,
    /// What was left.
    pub left: Outstanding,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unbinding {
    /// Where it stands.
    pub stage: UnbindStage,
    /// How it came in.
    pub channel: Channel,
    /// Why.
    pub reason: UnbindReason,
    /// Why, in words.
    pub note: String,
    /// Who opened it.
    pub maker: String,
    /// When.
    pub opened_at: Timestamp,
    /// Kind of the merchant, which decides the documents.
    pub merchant: MerchantKind,
    /// When it is to begin at the earliest.
    pub effective_at: Timestamp,
    /// How identity was proven.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// Documents.
    #[serde(default)]
    pub documents: Vec<Document>,
    /// The report that the merchant acknowledged.
    #[serde(default)]
    pub acknowledged: Option<Impact>,
    /// What the merchant took along.
    #[serde(default)]
    pub export: Option<Export>,
    /// Who approved it.
    #[serde(default)]
    pub checker: Option<String>,
    /// Whether, by whom and why the drain was cut short.
    #[serde(default)]
    pub forced: Option<Forced>,
    /// The end of the device's keys here.
    #[serde(default)]
    pub keys: Option<KeysDestroyed>,
    /// What came of wiping.
    #[serde(default)]
    pub wipe: Option<WipeResult>,
    /// Reference of the network's acknowledgement.
    #[serde(default)]
    pub network: Option<String>,
}

/// What the applicant says the record holds; compared as a whole, so that the answer tells nothing of the
/// parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Last four digits of the phone.
    pub phone_tail: String,
    /// Serial number of the device.
    pub serial: String,
    /// DE42.
    pub merchant: String,
    /// Last four characters of the account's reference.
    pub account_tail: String,
}

impl Unbinding {
    /// A new case.
    ///
    /// # Errors
    /// When the note is empty.
    pub fn open(
        now: Timestamp,
        channel: Channel,
        reason: UnbindReason,
        note: &str,
        maker: &str,
        merchant: MerchantKind,
        effective_at: Timestamp,
    ) -> Result<Self, Refusal> {
        if note.trim().is_empty() {
            let what = "why the terminal is unbound";
            let remedy = "say it in some words";
            return Err(Refusal::Missing { what, remedy });
        }
        Ok(Self {
            stage: UnbindStage::Draft,
            channel,
            reason,
            note: note.trim().into(),
            maker: maker.into(),
            opened_at: now,
            merchant,
            effective_at,
            proof: None,
            documents: Vec::new(),
            acknowledged: None,
            export: None,
            checker: None,
            forced: None,
            keys: None,
            wipe: None,
            network: None,
        })
    }

    fn only_in(&self, allowed: &[UnbindStage], verb: &'static str) -> Result<(), Refusal> {
        let remedy = match self.stage {
            UnbindStage::Draft => "confirm what is on record first",
            UnbindStage::Identity => "prove identity first",
            UnbindStage::Documents => "bring documents, acknowledge the impact, then submit it",
            UnbindStage::Review => "a checker has to approve or return it",
            UnbindStage::Scheduled => "it begins at its time",
            UnbindStage::Draining => "it waits for the drain conditions",
            UnbindStage::Wiping => {
                "say which keys were destroyed, where the device has any, and what came of wiping it"
            }
            UnbindStage::Reporting => "say the network's reference",
            UnbindStage::Completed
            | UnbindStage::Rejected
            | UnbindStage::Cancelled
            | UnbindStage::Expired => "it is over; open another one",
        };
        only_in(
            ("case", self.stage, self.stage.name()),
            allowed,
            verb,
            remedy,
        )
    }

    /// The applicant knows what is on record.
    ///
    /// # Errors
    /// When anything does not agree; the answer does not say what.
    pub fn confirm(&mut self, claim: &Claim, record: &Claim) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Draft], "confirmed")?;
        if claim != record {
            return Err(Refusal::Value {
                what: "what was said of phone, serial number, merchant and account",
                problem: "does not agree with the record",
            });
        }
        self.stage = UnbindStage::Identity;
        Ok(())
    }

    /// Identity was proven.
    ///
    /// # Errors
    /// When the channel asks for another proof.
    pub fn prove(&mut self, proof: Proof) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Identity], "proven")?;
        match (&proof, self.channel) {
            (Proof::Challenge(_), Channel::Online | Channel::Hotline) => {}
            (Proof::Counter { first, second }, Channel::Counter) => two_persons(first, second)?,
            (Proof::Challenge(_), Channel::Counter) => {
                let what = "the word of two members of staff who saw the originals";
                let remedy = "name both";
                return Err(Refusal::Missing { what, remedy });
            }
            (Proof::Counter { .. }, Channel::Online | Channel::Hotline) => {
                let what = "a code on a contact that was verified before";
                let remedy = "send one, or cancel the case and open one at the counter";
                return Err(Refusal::Missing { what, remedy });
            }
        }
        self.proof = Some(proof);
        self.stage = UnbindStage::Documents;
        Ok(())
    }

    /// A document was brought. One of the same kind that was not approved is replaced.
    ///
    /// # Errors
    /// When it is no SHA-256, or there are too many.
    pub fn add_document(
        &mut self,
        kind: DocumentKind,
        sha256: &str,
        by: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Documents], "given documents")?;
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            let what = "the document's SHA-256";
            let problem = "has to have 64 hexadecimal digits";
            return Err(Refusal::Value { what, problem });
        }
        self.documents
            .retain(|held| held.kind != kind || held.approved == Some(true));
        if self.documents.len() >= DOCUMENTS_MAX {
            let (what, problem) = ("the list of documents", "is full");
            return Err(Refusal::Value { what, problem });
        }
        self.documents.push(Document {
            kind,
            sha256: sha256.to_ascii_lowercase(),
            added_by: by.into(),
            reviewed_by: None,
            approved: None,
        });
        Ok(())
    }

    /// Somebody else looked at a document.
    ///
    /// # Errors
    /// When there is none of that kind to be looked at, or the same person added it.
    pub fn review(&mut self, kind: DocumentKind, approved: bool, by: &str) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Documents, UnbindStage::Review], "reviewed")?;
        let waiting = self
            .documents
            .iter_mut()
            .find(|held| held.kind == kind && held.approved.is_none());
        let Some(document) = waiting else {
            let what = "a document of this kind that nobody looked at";
            let remedy = "add it first";
            return Err(Refusal::Missing { what, remedy });
        };
        two_persons(&document.added_by, by)?;
        document.reviewed_by = Some(by.into());
        document.approved = Some(approved);
        Ok(())
    }

    /// The merchant has read the impact report `current` and says so by its hash.
    ///
    /// # Errors
    /// When another report was read.
    pub fn acknowledge(&mut self, hash: &str, current: Impact) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Documents], "acknowledged")?;
        if !hash.eq_ignore_ascii_case(&current.hash()) {
            let what = "the impact report";
            let remedy = "read it again and acknowledge that one";
            return Err(Refusal::Changed { what, remedy });
        }
        self.acknowledged = Some(current);
        Ok(())
    }

    /// The merchant has the history.
    ///
    /// # Errors
    /// When the case is at another point.
    pub fn exported(&mut self, export: Export) -> Result<(), Refusal> {
        let before_wiping = [
            UnbindStage::Documents,
            UnbindStage::Review,
            UnbindStage::Scheduled,
            UnbindStage::Draining,
        ];
        self.only_in(&before_wiping, "exported")?;
        self.export = Some(export);
        Ok(())
    }

    /// Everything is there; the checker's turn.
    ///
    /// # Errors
    /// When a document, the acknowledgement or the export is missing.
    pub fn submit(&mut self) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Documents], "submitted")?;
        if self.acknowledged.is_none() {
            let what = "the acknowledgement of the impact report";
            let remedy = "read the report and acknowledge it by its hash";
            return Err(Refusal::Missing { what, remedy });
        }
        if self.export.is_none() {
            let what = "the export of the terminal's transactions";
            let remedy = "take it; its checksum goes into the case";
            return Err(Refusal::Missing { what, remedy });
        }
        if let Some(kind) = self.missing_documents().next() {
            return Err(Refusal::Missing {
                what: kind.name(),
                remedy: "add this document and have a second person review it",
            });
        }
        self.stage = UnbindStage::Review;
        Ok(())
    }

    /// Documents that nobody approved yet.
    pub fn missing_documents(&self) -> impl Iterator<Item = DocumentKind> {
        documents_of(self.merchant).iter().copied().filter(|kind| {
            !self
                .documents
                .iter()
                .any(|held| held.kind == *kind && held.approved == Some(true))
        })
    }

    /// The checker agrees. When more hangs on the terminal than was acknowledged, the case goes back to the
    /// merchant.
    ///
    /// # Errors
    /// When the checker is the maker. [`Refusal::Changed`] when the report has become worse: then the case
    /// has changed too and is to be kept.
    pub fn approve(&mut self, current: &Impact, by: &str) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Review], "approved")?;
        two_persons(&self.maker, by)?;
        let worse = self
            .acknowledged
            .as_ref()
            .is_none_or(|acknowledged| current.is_worse_than(acknowledged));
        if worse {
            self.acknowledged = None;
            self.stage = UnbindStage::Documents;
            let what = "what the unbinding means for the merchant";
            let remedy = "have the new report acknowledged and submit the case again";
            return Err(Refusal::Changed { what, remedy });
        }
        self.checker = Some(by.into());
        self.stage = UnbindStage::Scheduled;
        Ok(())
    }

    /// The checker says no.
    ///
    /// # Errors
    /// When the checker is the maker.
    pub fn reject(&mut self, by: &str) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Review], "rejected")?;
        two_persons(&self.maker, by)?;
        self.checker = Some(by.into());
        self.stage = UnbindStage::Rejected;
        Ok(())
    }

    /// Its time has come: the caller makes the binding UNBINDING in the same step.
    ///
    /// # Errors
    /// Before its time.
    pub fn start(&mut self, now: Timestamp) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Scheduled], "begun")?;
        if now < self.effective_at {
            let (what, at) = ("the drain", self.effective_at);
            return Err(Refusal::Early { what, at, now });
        }
        self.stage = UnbindStage::Draining;
        Ok(())
    }

    /// Nothing is left: the caller closes the binding in the same step.
    ///
    /// # Errors
    /// While something is.
    pub fn drained(&mut self, left: &Outstanding) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Draining], "closed")?;
        left.ended()?;
        self.stage = UnbindStage::Wiping;
        Ok(())
    }

    /// Two persons close it although something is left.
    ///
    /// # Errors
    /// When it is one person, or no reason is given.
    pub fn force(
        &mut self,
        left: Outstanding,
        first: &str,
        second: &str,
        why: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Draining], "forced")?;
        two_persons(first, second)?;
        if why.trim().is_empty() {
            let what = "why the drain is cut short";
            let remedy = "say it in some words";
            return Err(Refusal::Missing { what, remedy });
        }
        self.forced = Some(Forced {
            first: first.into(),
            second: second.into(),
            why: why.trim().into(),
            left,
        });
        self.stage = UnbindStage::Wiping;
        Ok(())
    }

    /// The host's keys of the device are destroyed: all that are `recorded` for it, by their check values, so that
    /// nobody destroys another device's. After a drain that was cut short the device may still have a reversal: then
    /// the last generation may be kept to verify it, as long as its terminal is [watched](WATCH).
    ///
    /// # Errors
    /// When other keys are named than are on record, or more is kept than may be.
    pub fn keys_destroyed(
        &mut self,
        now: Timestamp,
        recorded: &[KeyMark],
        said: &[KeyMark],
        kept: &[String],
        by: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Wiping], "told of its keys")?;
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
        if sorted(recorded) != sorted(said) {
            return wrong(
                "the list of check values",
                "is not the one on record for the device; `posgate device show` has it",
            );
        }
        if !kept.is_empty() && self.forced.is_none() {
            return wrong(
                "the list of kept keys",
                "has to be empty: the drain came to its end, so nothing is left to be verified",
            );
        }
        if !kept
            .iter()
            .all(|name| said.iter().any(|mark| mark.name == *name))
        {
            return wrong("the list of kept keys", "names one that the device has not");
        }
        let (kept, destroyed): (Vec<_>, Vec<_>) = sorted(said)
            .into_iter()
            .partition(|mark| kept.contains(&mark.name));
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

    /// What came of wiping the device. None of the results stops the case, because the host's keys are gone by then.
    ///
    /// # Errors
    /// When the case is at another point, or keys are `recorded` for the device and nobody said that the host's are
    /// destroyed.
    pub fn wiped(&mut self, result: WipeResult, recorded: &[KeyMark]) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Wiping], "told of the wipe")?;
        if !recorded.is_empty() && self.keys.is_none() {
            let what = "the record that the device's keys are destroyed here";
            let remedy = "destroy them first, and say so by their check values (`posgate case keys-destroyed`)";
            return Err(Refusal::Missing { what, remedy });
        }
        self.wipe = Some(result);
        self.stage = UnbindStage::Reporting;
        Ok(())
    }

    /// The network has taken the terminal off its register.
    ///
    /// # Errors
    /// When the case is at another point, or the reference is empty.
    pub fn reported(&mut self, reference: &str) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Reporting], "reported")?;
        if reference.trim().is_empty() {
            let what = "the network's reference";
            let remedy = "it is in its acknowledgement";
            return Err(Refusal::Missing { what, remedy });
        }
        self.network = Some(reference.trim().into());
        self.stage = UnbindStage::Completed;
        Ok(())
    }

    /// It is taken back. From DRAINING the caller makes the binding `RE_PENDING` (reconfirm) in the same step;
    /// says whether it has to.
    ///
    /// # Errors
    /// When the device is being wiped, or the case is over.
    pub fn cancel(&mut self) -> Result<bool, Refusal> {
        let before_wiping = [
            UnbindStage::Draft,
            UnbindStage::Identity,
            UnbindStage::Documents,
            UnbindStage::Review,
            UnbindStage::Scheduled,
            UnbindStage::Draining,
        ];
        self.only_in(&before_wiping, "cancelled")?;
        let draining = self.stage == UnbindStage::Draining;
        self.stage = UnbindStage::Cancelled;
        Ok(draining)
    }

    /// Nobody finished it in time. A case that drains is not ended by time.
    ///
    /// # Errors
    /// Before its time.
    pub fn expire(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let before_approval = [
            UnbindStage::Draft,
            UnbindStage::Identity,
            UnbindStage::Documents,
            UnbindStage::Review,
        ];
        self.only_in(&before_approval, "ended by time")?;
        let at = Timestamp(self.opened_at.0 + CASE_DAYS * 86_400_000_000);
        if now < at {
            let what = "the end of the case by time";
            return Err(Refusal::Early { what, at, now });
        }
        self.stage = UnbindStage::Expired;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_305_600_000_000);
    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn claim() -> Claim {
        Claim {
            phone_tail: "8000".into(),
            serial: "SN1".into(),
            merchant: "104110041200001".into(),
            account_tail: "-001".into(),
        }
    }

    fn case() -> Unbinding {
        Unbinding::open(
            NOW,
            Channel::Online,
            UnbindReason::Closure,
            "shop closes",
            "Li Wei",
            MerchantKind::Individual,
            NOW,
        )
        .unwrap()
    }

    /// A case with everything but the last acknowledgement.
    fn prepared() -> Unbinding {
        let mut case = case();
        case.confirm(&claim(), &claim()).unwrap();
        case.prove(Proof::Challenge(1)).unwrap();
        for kind in documents_of(case.merchant) {
            case.add_document(*kind, HASH, "Li Wei").unwrap();
            case.review(*kind, true, "Wang Fang").unwrap();
        }
        let sha256 = HASH.into();
        case.exported(Export { sha256, rows: 7 }).unwrap();
        case
    }

    fn impact(unsettled: u64) -> Impact {
        Impact {
            outstanding: Outstanding {
                unsettled,
                ..Outstanding::default()
            },
            ..Impact::default()
        }
    }

    #[test]
    fn a_case_goes_all_the_way() {
        let mut case = prepared();
        let report = impact(2);
        case.acknowledge(&report.hash(), report.clone()).unwrap();
        case.submit().unwrap();
        case.approve(&report, "Wang Fang").unwrap();
        case.start(NOW).unwrap();
        let left = Outstanding {
            unsettled: 1,
            ..Outstanding::default()
        };
        let refused = case.drained(&left).unwrap_err().to_string();
        assert!(refused.contains("not settled"), "{refused}");
        case.drained(&Outstanding::default()).unwrap();
        case.wiped(WipeResult::Unreachable, &[]).unwrap();
        assert!(case.reported(" ").is_err());
        case.reported("N-1").unwrap();
        assert_eq!(case.stage, UnbindStage::Completed);
        assert!(case.cancel().is_err());
    }

    fn keys() -> Vec<KeyMark> {
        vec![KeyMark::new("tmk", "a1b2c3"), KeyMark::new("mac", "D4E5F6")]
    }

    #[test]
    fn no_device_is_wiped_before_its_keys_are_destroyed_here() {
        let mut case = Unbinding {
            stage: UnbindStage::Wiping,
            ..prepared()
        };
        let refused = |done: Result<(), Refusal>| done.unwrap_err().to_string();
        let early = refused(case.wiped(WipeResult::Done, &keys()));
        assert!(early.contains("keys-destroyed"), "{early}");
        let mut end = |said: &[KeyMark], kept: &[&str]| {
            let kept: Vec<String> = kept.iter().map(|name| (*name).into()).collect();
            case.keys_destroyed(NOW, &keys(), said, &kept, "Zhao Liu")
        };
        assert!(refused(end(&keys()[..1], &[])).contains("on record for the device"));
        let other = [KeyMark::new("tmk", "FFFFFF"), keys()[1].clone()];
        assert!(refused(end(&other, &[])).contains("on record for the device"));
        assert!(refused(end(&keys(), &["mac"])).contains("nothing is left to be verified"));
        let turned = [keys()[1].clone(), KeyMark::new("tmk", "A1B2C3")];
        end(&turned, &[]).unwrap();
        assert!(refused(end(&keys(), &[])).contains("already"));
        let keys_end = case.keys.as_ref().unwrap();
        assert_eq!((keys_end.destroyed.len(), keys_end.kept_until), (2, None));
        case.wiped(WipeResult::Unreachable, &keys()).unwrap();
    }

    #[test]
    fn a_drain_that_was_cut_short_may_keep_what_verifies_a_reversal() {
        let mut case = Unbinding {
            stage: UnbindStage::Draining,
            ..prepared()
        };
        case.force(Outstanding::default(), "Li Wei", "Wang Fang", "broken")
            .unwrap();
        let end = |case: &mut Unbinding, kept: &[&str]| {
            let kept: Vec<String> = kept.iter().map(|name| (*name).into()).collect();
            case.keys_destroyed(NOW, &keys(), &keys(), &kept, "Zhao Liu")
        };
        assert!(end(&mut case, &["pin"]).is_err());
        assert!(end(&mut case, &["mac", "tmk"]).is_err());
        end(&mut case, &["mac"]).unwrap();
        let keys_end = case.keys.as_ref().unwrap();
        assert_eq!(keys_end.destroyed, [KeyMark::new("tmk", "A1B2C3")]);
        assert_eq!(keys_end.kept, [KeyMark::new("mac", "D4E5F6")]);
        assert_eq!(keys_end.kept_until, Some(NOW.after(WATCH)));
        let nothing: &[KeyMark] = &[];
        let mut other = Unbinding { keys: None, ..case };
        assert!(
            other
                .keys_destroyed(NOW, nothing, nothing, &[], "Zhao Liu")
                .is_err()
        );
    }

    #[test]
    fn maker_and_checker_are_two_persons_everywhere() {
        let mut case = prepared();
        case.acknowledge(&impact(0).hash(), impact(0)).unwrap();
        case.submit().unwrap();
        let same = |refused: Result<(), Refusal>| {
            assert!(matches!(refused, Err(Refusal::SamePerson { .. })));
        };
        same(case.approve(&impact(0), "li wei "));
        same(case.reject("Li Wei"));
        case.approve(&impact(0), "Wang Fang").unwrap();
        case.start(NOW).unwrap();
        same(case.force(Outstanding::default(), "Wang Fang", "wang fang", "broken"));
        assert!(
            case.force(Outstanding::default(), "Wang Fang", "Li Wei", "")
                .is_err()
        );
        let mut counter = Unbinding {
            channel: Channel::Counter,
            stage: UnbindStage::Identity,
            ..self::case()
        };
        same(counter.prove(Proof::Counter {
            first: "A".into(),
            second: "a".into(),
        }));
        assert!(counter.prove(Proof::Challenge(1)).is_err());
        let mut documents = prepared();
        documents.documents.clear();
        documents
            .add_document(DocumentKind::Identity, HASH, "Wang Fang")
            .unwrap();
        same(documents.review(DocumentKind::Identity, true, "Wang Fang"));
    }

    #[test]
    fn a_report_that_became_worse_goes_back_to_the_merchant() {
        let mut case = prepared();
        assert!(matches!(case.submit(), Err(Refusal::Missing { .. })));
        let stale = impact(1).hash();
        assert!(matches!(
            case.acknowledge(&stale, impact(2)),
            Err(Refusal::Changed { .. })
        ));
        case.acknowledge(&impact(2).hash(), impact(2)).unwrap();
        case.submit().unwrap();
        let refused = case.approve(&impact(3), "Wang Fang");
        assert!(matches!(refused, Err(Refusal::Changed { .. })));
        assert_eq!(
            (case.stage, &case.acknowledged),
            (UnbindStage::Documents, &None)
        );
        case.acknowledge(&impact(3).hash(), impact(3)).unwrap();
        case.submit().unwrap();
        case.approve(&impact(1), "Wang Fang").unwrap();
    }

    #[test]
    fn a_wrong_claim_is_refused_without_saying_what_is_wrong() {
        let mut told = Vec::new();
        for wrong in [
            Claim {
                phone_tail: "8001".into(),
                ..claim()
            },
            Claim {
                serial: "SN2".into(),
                ..claim()
            },
        ] {
            let mut case = case();
            told.push(case.confirm(&wrong, &claim()).unwrap_err().to_string());
            assert_eq!(case.stage, UnbindStage::Draft);
        }
        assert_eq!(told[0], told[1]);
    }

    #[test]
    fn time_ends_what_nobody_finished_and_nothing_that_drains() {
        let mut case = case();
        let month = Timestamp(NOW.0 + CASE_DAYS * 86_400_000_000);
        assert!(matches!(case.expire(NOW), Err(Refusal::Early { .. })));
        case.expire(month).unwrap();
        assert!(case.stage.is_over());
        let mut draining = Unbinding {
            stage: UnbindStage::Draining,
            ..prepared()
        };
        assert!(draining.expire(month).is_err());
        assert!(draining.cancel().unwrap(), "the binding has to go back");
    }

    proptest! {
        /// Whatever is called in whatever order: nothing drains that was not proven, acknowledged, exported,
        /// reviewed and approved by a second person, and nothing changes once it is over.
        #[test]
        fn no_order_of_calls_skips_a_guard(calls in proptest::collection::vec((0_u8..14, any::<bool>()), 0..80)) {
            let mut case = case();
            for (call, other) in calls {
                let before = case.clone();
                let by = if other { "Wang Fang" } else { "Li Wei" };
                let current = impact(u64::from(other));
                let done = match call {
                    0 => case.confirm(&claim(), &claim()),
                    1 => case.prove(Proof::Challenge(1)),
                    2 => documents_of(case.merchant).iter().try_for_each(|kind| case.add_document(*kind, HASH, by)),
                    3 => documents_of(case.merchant).iter().try_for_each(|kind| case.review(*kind, true, by)),
                    4 => case.acknowledge(&current.hash(), current.clone()),
                    5 => case.exported(Export { sha256: HASH.into(), rows: 1 }),
                    6 => case.submit(),
                    7 => case.approve(&current, by),
                    8 => case.start(NOW),
                    9 => case.drained(&Outstanding::default()),
                    10 => case.wiped(WipeResult::Done, &keys()),
                    13 => case.keys_destroyed(NOW, &keys(), &keys(), &[], by),
                    11 => case.reported("N-1"),
                    _ => case.cancel().map(|_| ()),
                };
                if before.stage.is_over() {
                    prop_assert!(done.is_err());
                    prop_assert_eq!(&before, &case);
                }
                if matches!(case.stage, UnbindStage::Reporting | UnbindStage::Completed) {
                    prop_assert!(case.keys.is_some());
                }
                if matches!(case.stage, UnbindStage::Draining | UnbindStage::Wiping | UnbindStage::Reporting | UnbindStage::Completed) {
                    prop_assert!(case.proof.is_some() && case.export.is_some() && case.acknowledged.is_some());
                    prop_assert_eq!(case.checker.as_deref(), Some("Wang Fang"));
                    prop_assert_eq!(case.missing_documents().count(), 0);
                    prop_assert!(case.documents.iter().all(|d| d.reviewed_by.as_ref() != Some(&d.added_by)));
                }
            }
        }
    }
}
