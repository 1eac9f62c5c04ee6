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
//! | `drained` | draining | nothing outstanding; the export has every transaction | staff |
//! | `force` | draining | two persons and a reason; the export has every transaction | two persons |
//! | `keys_destroyed` | wiping | the check values on record for the device, all of them; kept is only what a forced drain may still need | key custodian |
//! | `wiped` | wiping | keys destroyed here, where there are any on record; done, failed or unreachable: none of them stops the case | device, time |
//! | `reported` | reporting | reference of the network's register | staff |
//! | `cancel` | up to draining | nothing is wiped yet | maker, checker |
//!
//! Nothing before `start` touches the terminal.

use super::documents::{Document, DocumentKind, Documents};
use super::drain::{Forced, Impact, Outstanding};
use super::merchant::MerchantKind;
use super::named::named_enum;
use super::refusal::{Refusal, only_in, two_persons};
use super::wipe::{DeviceEnd, KeyMark, KeysSaid, WipeResult};
use crate::base::Timestamp;
use crate::base::note::words;

/// From its opening; a case that nobody finished is over then.
pub const CASE_DAYS: u64 = 30;

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

/// How identity was proven.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A challenge on a contact that was verified before the case began; its number.
    Challenge(u64),
    /// Two members of staff saw the originals.
    Counter {
        /// Who filed that as evidence.
        first: String,
        /// Who saw them too, and acted on it.
        second: String,
    },
}

/// The history that the merchant took along.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Export {
    /// SHA-256 over the file.
    pub sha256: String,
    /// Transactions in it.
    pub rows: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
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
    #[schema(value_type = u64)]
    pub opened_at: Timestamp,
    /// Kind of the merchant, which decides the documents.
    pub merchant: MerchantKind,
    /// When it is to begin at the earliest.
    #[schema(value_type = u64)]
    pub effective_at: Timestamp,
    /// How identity was proven.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// Documents.
    #[serde(default)]
    #[schema(value_type = Vec<Document>)]
    pub documents: Documents,
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
    /// The end of the device.
    #[serde(flatten)]
    pub end: DeviceEnd,
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
        words("why the terminal is unbound", note)?;
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
            documents: Documents::default(),
            acknowledged: None,
            export: None,
            checker: None,
            forced: None,
            end: DeviceEnd::default(),
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

    /// What the case waits for, for who goes on with it; nothing when it is over.
    #[must_use]
    pub fn waits_for(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self.stage {
            UnbindStage::Draft => one("confirm: what the applicant says is on record"),
            UnbindStage::Identity => one(match self.channel {
                Channel::Online | Channel::Hotline => {
                    "prove: a code for this case that came back from a contact that was verified before"
                }
                Channel::Counter => {
                    "prove: evidence (prove-identity) of another person who saw the originals too"
                }
            }),
            UnbindStage::Documents => self.papers(),
            UnbindStage::Review => vec![format!(
                "approve or reject, by another person than {}",
                self.maker
            )],
            UnbindStage::Scheduled => one("start; by itself at its time"),
            UnbindStage::Draining => one("close, when nothing is left; or force, by two persons"),
            UnbindStage::Wiping => self.end.waits_for(),
            UnbindStage::Reporting => one("reported: the network's reference"),
            UnbindStage::Completed
            | UnbindStage::Rejected
            | UnbindStage::Cancelled
            | UnbindStage::Expired => Vec::new(),
        }
    }

    /// What is missing before it can be submitted.
    fn papers(&self) -> Vec<String> {
        let document = |kind: DocumentKind| {
            if self.documents.waits_for_review(kind) {
                format!("review of the document {kind}, by another person than added it")
            } else {
                format!("add-document {kind}")
            }
        };
        let mut missing: Vec<_> = self
            .documents
            .missing(self.merchant)
            .map(document)
            .collect();
        if self.acknowledged.is_none() {
            missing.push("acknowledge: the hash of the impact report".into());
        }
        if self.export.is_none() {
            missing.push("exported: the checksum of the export".into());
        }
        if missing.is_empty() {
            missing.push("submit".into());
        }
        missing
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

    /// That its channel takes a code.
    ///
    /// # Errors
    /// When it takes the word of two members of staff, or none now.
    pub fn takes_codes(&self) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Identity], "proven")?;
        match self.channel {
            Channel::Online | Channel::Hotline => Ok(()),
            Channel::Counter => Err(Refusal::Missing {
                what: "the word of two members of staff who saw the originals",
                remedy: "one files it as evidence (prove-identity, about this case), and the other proves it by its \
                         number",
            }),
        }
    }

    /// That its channel takes the word of two members of staff.
    ///
    /// # Errors
    /// When it takes a code, or no proof now.
    pub fn takes_staff(&self) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Identity], "proven")?;
        match self.channel {
            Channel::Counter => Ok(()),
            Channel::Online | Channel::Hotline => Err(Refusal::Missing {
                what: "a code on a contact that was verified before",
                remedy: "send one, or cancel the case and open one at the counter",
            }),
        }
    }

    /// Identity was proven.
    ///
    /// # Errors
    /// When the channel asks for another proof.
    pub fn prove(&mut self, proof: Proof) -> Result<(), Refusal> {
        match &proof {
            Proof::Challenge(_) => self.takes_codes()?,
            Proof::Counter { first, second } => {
                self.takes_staff()?;
                two_persons(first, second)?;
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
        self.documents.add(kind, sha256, by)
    }

    /// Somebody else looked at a document.
    ///
    /// # Errors
    /// When there is none of that kind to be looked at, or the same person added it.
    pub fn review(&mut self, kind: DocumentKind, approved: bool, by: &str) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Documents, UnbindStage::Review], "reviewed")?;
        self.documents.review(kind, approved, by)
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
        if let Some(kind) = self.documents.missing(self.merchant).next() {
            return Err(Refusal::Missing {
                what: kind.name(),
                remedy: "add this document and have a second person review it",
            });
        }
        self.stage = UnbindStage::Review;
        Ok(())
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
    /// While something is, or when the merchant's export lacks what was sold after it was taken.
    pub fn drained(&mut self, left: &Outstanding, export: &Export) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Draining], "closed")?;
        left.ended()?;
        self.has_all(export)?;
        self.stage = UnbindStage::Wiping;
        Ok(())
    }

    /// Two persons close it although something is left.
    ///
    /// # Errors
    /// When it is one person, no reason is given, or the merchant's export lacks what was sold after it was taken.
    pub fn force(
        &mut self,
        left: Outstanding,
        export: &Export,
        (first, second): (&str, &str),
        why: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Draining], "forced")?;
        self.has_all(export)?;
        self.forced = Some(Forced::by_two(left, first, second, why)?);
        self.stage = UnbindStage::Wiping;
        Ok(())
    }

    /// Whether the merchant took along what there is now: the terminal traded on until the drain began.
    fn has_all(&self, now: &Export) -> Result<(), Refusal> {
        if self.export.as_ref() == Some(now) {
            return Ok(());
        }
        let what = "what the merchant took along of the terminal's transactions";
        let remedy = "take the export once more and say its checksum (`exported`)";
        Err(Refusal::Changed { what, remedy })
    }

    /// The host's keys of the device are destroyed; see [`DeviceEnd::keys_destroyed`].
    ///
    /// # Errors
    /// When the case is at another point, and as there.
    pub fn keys_destroyed(
        &mut self,
        now: Timestamp,
        recorded: &[KeyMark],
        said: &KeysSaid,
        by: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Wiping], "told of its keys")?;
        let forced = self.forced.as_ref();
        self.end.keys_destroyed(now, recorded, said, forced, by)
    }

    /// What came of wiping the device.
    ///
    /// # Errors
    /// When the case is at another point, and as [`DeviceEnd::wiped`].
    pub fn wiped(&mut self, result: WipeResult, recorded: &[KeyMark]) -> Result<(), Refusal> {
        self.only_in(&[UnbindStage::Wiping], "told of the wipe")?;
        self.end.wiped(result, recorded)?;
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
mod tests;
