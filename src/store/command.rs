//! What people and programs do to bindings and to what hangs on them: one command, one transaction.
//!
//! A [`Command`] names its things as people do: terminal by acquirer and DE41, account by reference, device by
//! serial number, contact, hold, challenge and case by number. It is carried out whole or not at all, by the
//! state machines of [`binding`](crate::binding); what it did is in the history of the thing and in the audit
//! trail, and what the gate has to learn comes back with it.
//!
//! Values of contacts and documents come sealed ([`Sealed`]): the store never sees them in clear.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::StoreError;
use super::registry::{Actor, BindingRow, DirectoryChanges, RegistryError};
use crate::base::{AccountId, AcquirerId, BindingId, MerchantId, Timestamp};
use crate::binding::account::{AccountChange, AccountEvent, AccountKind};
use crate::binding::challenge::{ChallengeState, CodeHash, Delivery, Payment, Purpose, Verdict};
use crate::binding::contact::{ContactEvent, ContactKind, ContactRole, ContactState};
use crate::binding::counters::{CounterName, LimitSet};
use crate::binding::device::{DeviceEvent, DeviceState};
use crate::binding::dispute::DisputeEnd;
use crate::binding::documents::DocumentKind;
use crate::binding::drain::{Impact, Outstanding};
use crate::binding::hold::{Explained, HoldScope, HoldState};
use crate::binding::limit::Limits;
use crate::binding::merchant::{IdentityKind, MerchantKind};
use crate::binding::payout::PayoutHistory;
use crate::binding::replacement::{DeviceTest, Leaving, Replacement};
use crate::binding::tested::TestsShown;
use crate::binding::unbinding::{Channel, Claim, Export, UnbindReason, Unbinding};
use crate::binding::watch::AlertKind;
use crate::binding::wipe::{KeysSaid, WipeResult};
use crate::binding::{AccountStatus, Admission, ReasonSet, RependReason, TerminalKey};

/// A value that the store keeps without being able to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Encrypted.
    pub sealed: Vec<u8>,
    /// Keyed hash, by which it is found.
    pub hash: [u8; 32],
    /// What people are shown.
    pub masked: String,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({})", self.masked)
    }
}

/// A merchant's account by the names that people use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    /// Acquirer.
    pub acquirer: AcquirerId,
    /// The acquirer's reference.
    pub reference: String,
}

/// A device by the names that people use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// Acquirer.
    pub acquirer: AcquirerId,
    /// Serial number.
    pub serial: String,
}

/// Who an acquirer is, beside the name that it goes by here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AcquirerDetails {
    /// Name as its licence has it.
    pub legal_name: String,
    /// Its number in the network, at most 11 digits (DE32).
    pub institution: String,
    /// Number of its licence.
    pub licence: String,
    /// Last day of its licence, as 2030-12-31.
    pub licence_until: String,
}

/// An acquirer as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Acquirer)]
pub struct AcquirerView {
    /// The name that listeners and commands call it by
    pub acquirer: String,
    /// Name as its licence has it; empty when it is not known, as with what follows
    pub legal_name: String,
    /// Its number in the network (DE32)
    pub institution: String,
    /// Number of its licence
    pub licence: String,
    /// Last day of its licence, as 2030-12-31
    pub licence_until: String,
    /// Version
    pub version: u32,
}

/// What a limit is of, by the names that people use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    /// A terminal's binding.
    Terminal(TerminalKey),
    /// An account.
    Account(AccountName),
    /// A merchant.
    Merchant(AcquirerId, MerchantId),
}

/// A limit as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// Its counter.
    pub name: CounterName,
    /// Version; 0 before it was set for the first time.
    pub version: u32,
    /// How much.
    pub limits: Limits,
}

/// What is done. See the module.
#[derive(Clone, Debug)]
pub enum Command {
    /// Says who an acquirer is, or what is known of it by now. Empty texts leave what is there.
    SetAcquirer {
        /// Acquirer.
        acquirer: AcquirerId,
        /// Its details.
        details: AcquirerDetails,
    },
    /// Enters a merchant, or what is known of it by now. `None` and empty texts leave what is there.
    SetMerchant {
        /// Acquirer.
        acquirer: AcquirerId,
        /// DE42.
        merchant: MerchantId,
        /// Name.
        name: String,
        /// Merchant category code.
        mcc: String,
        /// Kind.
        kind: Option<MerchantKind>,
        /// The document that says who it is.
        identity: Option<(IdentityKind, Sealed)>,
    },
    /// Puts a device on the inventory.
    AddDevice {
        /// Which.
        device: DeviceName,
        /// Maker and model.
        model: String,
        /// Who has it.
        custody: String,
    },
    /// Something happens to a device.
    Device {
        /// Which.
        device: DeviceName,
        /// What.
        event: DeviceEvent,
        /// Who has it from now on; empty leaves it.
        custody: String,
        /// Why.
        note: String,
    },
    /// Keys were loaded into a device: their check values, never the keys.
    LoadKeys {
        /// Which.
        device: DeviceName,
        /// Name and check value (6 to 16 hexadecimal digits) of each.
        check_values: Vec<(String, String)>,
    },
    /// Files what shows that something may be done, for a second person to act on. It is good for one act, on
    /// one thing, by another person, for a week.
    FileEvidence {
        /// What it is about, as the audit trail names it: `terminal acme/T0000001`, `account acme/A-1`,
        /// `contact 4`, `case 7`.
        about: String,
        /// What it is to allow.
        allows: Allows,
        /// What it is.
        note: String,
        /// SHA-256 of a file, or empty.
        sha256: String,
    },
    /// Evidence is no longer good: who filed it takes it back, or another person does not believe it.
    RefuseEvidence {
        /// Which.
        evidence: u64,
        /// Why.
        note: String,
    },
    /// Enters a contact. It proves nothing until it is verified.
    AddContact {
        /// Acquirer.
        acquirer: AcquirerId,
        /// Whose.
        merchant: MerchantId,
        /// What it is.
        kind: ContactKind,
        /// What it is for.
        role: ContactRole,
        /// Its value.
        value: Sealed,
        /// The contact that it is to take the place of. That one goes when this one is verified, and the old
        /// one's holder agreed ([`Command::ConsentToChange`]); until then nothing changes.
        replaces: Option<u64>,
    },
    /// The holder of the contact that is to go agrees: a challenge on it, or evidence (`replace-contact`, about the
    /// new contact) of another person who saw the originals too.
    ConsentToChange {
        /// The new contact.
        contact: u64,
        /// How.
        word: MerchantsWord,
        /// When it is to take effect at the earliest; 0 for as soon as it may.
        effective_at: Timestamp,
    },
    /// Something happens to a contact. Verifying is done by a challenge, or here by two staff who saw proof.
    Contact {
        /// Which.
        contact: u64,
        /// What.
        event: ContactEvent,
        /// Why.
        note: String,
        /// Number of the evidence that another person filed; needed to verify without a code.
        evidence: Option<u64>,
        /// Give up the last verified phone of an owner too: the merchant's bindings wait for another.
        last_too: bool,
    },
    /// Enters a settlement account, unverified.
    AddAccount {
        /// Which.
        account: AccountName,
        /// Whose.
        merchant: MerchantId,
        /// What it is.
        kind: AccountKind,
    },
    /// Something happens to an account.
    Account {
        /// Which.
        account: AccountName,
        /// What.
        event: AccountEvent,
        /// Why.
        note: String,
        /// Number of the evidence that another person filed; needed where money begins to flow.
        evidence: Option<u64>,
    },
    /// What a closed account cannot be paid goes to another account of the same merchant.
    ReleaseSuspense {
        /// The closed account.
        account: AccountName,
        /// Reference of the verified account that gets it.
        to: String,
        /// Number of the evidence that another person filed.
        evidence: Option<u64>,
    },
    /// Records that a transaction is contested.
    OpenDispute {
        /// Binding of the transaction.
        binding: BindingId,
        /// Which.
        transaction: u64,
        /// The network's or the issuer's reference.
        reference: String,
        /// What is contested.
        note: String,
    },
    /// Records how a dispute ended.
    CloseDispute {
        /// Which.
        dispute: u64,
        /// How.
        end: DisputeEnd,
        /// How it came to that.
        note: String,
    },
    /// Asks for a refund that a terminal does not make.
    AskRefund {
        /// What and how much.
        asked: RefundAsked,
        /// Why.
        note: String,
    },
    /// Lets a refund go that another person asked for; once more, when it was approved already.
    ApproveRefund {
        /// Which.
        refund: u64,
        /// What is said of it; may be empty.
        note: String,
    },
    /// Refuses a refund, or takes it back.
    RefuseRefund {
        /// Which.
        refund: u64,
        /// Why.
        note: String,
    },
    /// Asks for a binding: its device is reserved, nothing may be done with it yet.
    RequestBinding {
        /// Terminal.
        key: TerminalKey,
        /// DE42.
        merchant: MerchantId,
        /// References of its settlement accounts, each of another kind; one at least.
        accounts: Vec<String>,
        /// Serial number of a device in stock.
        serial: String,
        /// Number of the evidence that another person filed; needed for a terminal id that is kept from others.
        evidence: Option<u64>,
    },
    /// A second person approves a binding: the device may fetch keys and be activated.
    ApproveBinding {
        /// Terminal.
        key: TerminalKey,
        /// Reference of the network's acknowledgement.
        network: String,
    },
    /// A binding that was not active yet comes to nothing.
    RejectBinding {
        /// Terminal.
        key: TerminalKey,
        /// Why.
        note: String,
    },
    /// The device answers with its activation code. Code and serial number are judged together.
    ActivateBinding {
        /// Terminal.
        key: TerminalKey,
        /// Serial number that it says.
        serial: String,
        /// The challenge that its code belongs to.
        challenge: u64,
        /// The code, hashed for activating this binding.
        code: CodeHash,
        /// What the journal has of its tests, as the caller found it.
        shown: TestsShown,
        /// Number of the evidence (`activate`) that another person filed; needed where the journal has no test that was
        /// approved, or no keys are on record for the device.
        evidence: Option<u64>,
    },
    /// Something about a binding has to be verified anew.
    Repend {
        /// Terminal.
        key: TerminalKey,
        /// What.
        reasons: ReasonSet,
        /// Why.
        note: String,
    },
    /// There is evidence for one reason.
    ClearReason {
        /// Terminal.
        key: TerminalKey,
        /// Which.
        reason: RependReason,
        /// Number of the evidence that another person filed.
        evidence: u64,
    },
    /// A terminal is a spare, which may be idle, or is none any more.
    SetSpare {
        /// Terminal.
        key: TerminalKey,
        /// Whether it is.
        spare: bool,
        /// Why.
        note: String,
    },
    /// Where a terminal's device stands. The first address is only kept; another one has to be verified where the terminal
    /// trades (`location`).
    Place {
        /// Terminal.
        key: TerminalKey,
        /// The address, in one line.
        address: String,
        /// Why it is another one, or who said so.
        note: String,
    },
    /// A binding was found idle. Changes nothing when it has another version by now.
    Dormant {
        /// Terminal.
        key: TerminalKey,
        /// Binding.
        binding: BindingId,
        /// Version that was found.
        version: u32,
        /// For how many months.
        months: u32,
    },
    /// A binding is stopped.
    Suspend {
        /// Terminal.
        key: TerminalKey,
        /// Why.
        note: String,
    },
    /// A binding goes on, with the reasons it had.
    Resume {
        /// Terminal.
        key: TerminalKey,
        /// Number of the evidence that another person filed.
        evidence: u64,
    },
    /// Asks that a terminal's money settle elsewhere: what is paid into accounts of that kind. Changes nothing yet.
    RequestAccountChange {
        /// Terminal.
        key: TerminalKey,
        /// Reference of a verified account of the same merchant.
        account: String,
        /// Why.
        note: String,
    },
    /// Asks that a terminal have no account of a kind any more: what is paid into it is declined from then on.
    /// Changes nothing yet; approving and taking back are those of a change.
    RequestAccountEnd {
        /// Terminal.
        key: TerminalKey,
        /// Reference of one of its accounts, not the only one.
        account: String,
        /// Why.
        note: String,
    },
    /// The merchant says that its money is to go there.
    ConfirmAccountChange {
        /// Terminal.
        key: TerminalKey,
        /// How it said so.
        word: MerchantsWord,
    },
    /// A second person agrees: from here on new money of its kind settles into the new account, what was sold before
    /// into the old one. A binding that had none of the kind has one more.
    ApproveAccountChange {
        /// Terminal.
        key: TerminalKey,
        /// Reference of the network's acknowledgement.
        network: String,
    },
    /// An account change is taken back, or refused.
    CancelAccountChange {
        /// Terminal.
        key: TerminalKey,
        /// Why.
        note: String,
    },
    /// How much may be taken from now on. What was taken of it counts on.
    SetLimits {
        /// By whom.
        of: Limited,
        /// How much.
        limits: Limits,
        /// Why.
        note: String,
        /// Number of the evidence that another person filed; needed where more may be taken than before.
        evidence: Option<u64>,
    },
    /// A restriction, explained.
    PlaceHold {
        /// Terminal.
        key: TerminalKey,
        /// What it stops.
        scope: HoldScope,
        /// Why, what ends it, and how to appeal.
        explained: Explained,
    },
    /// The merchant objects to a hold.
    AppealHold {
        /// Which.
        hold: u64,
        /// What the merchant says.
        note: String,
        /// A code (`release-hold`) that came back from a contact of the merchant, where it was asked for one.
        challenge: Option<u64>,
    },
    /// A hold is over.
    LiftHold {
        /// Which.
        hold: u64,
        /// Why.
        note: String,
    },
    /// A code is sent to a contact.
    Challenge {
        /// To which.
        contact: u64,
        /// What for.
        purpose: Purpose,
        /// What exactly: a binding, a case. 0 where the contact itself is meant.
        subject: u64,
        /// The transaction, when a payer confirms one.
        payment: Option<Payment>,
        /// Keyed hash of the code with the challenge's number, purpose, subject and payment; made by the caller with
        /// the number that [`Affairs::next_challenge`] gave.
        code: CodeHash,
        /// The number.
        number: u64,
        /// Where it was asked for, if anybody knows.
        asked_from: String,
    },
    /// A code came back.
    CheckCode {
        /// Which challenge.
        challenge: u64,
        /// What the caller wants it for.
        purpose: Purpose,
        /// The code, hashed with what the caller wants it for.
        code: CodeHash,
    },
    /// A challenge is no longer needed.
    CancelChallenge {
        /// Which.
        challenge: u64,
    },
    /// What became of a message.
    Delivered {
        /// Which challenge.
        challenge: u64,
        /// What.
        what: Delivery,
    },
    /// Opens a case of unbinding.
    OpenUnbinding {
        /// Terminal.
        key: TerminalKey,
        /// How it came in.
        channel: Channel,
        /// Why.
        reason: UnbindReason,
        /// Why, in words.
        note: String,
        /// When it is to begin at the earliest.
        effective_at: Timestamp,
    },
    /// A step of a case of unbinding.
    Unbinding {
        /// Which case.
        case: u64,
        /// What.
        step: UnbindStep,
    },
    /// Opens a replacement: a new binding of a reserved device under a new terminal id.
    OpenReplacement {
        /// The terminal that is replaced.
        key: TerminalKey,
        /// The terminal id that takes over.
        new_key: TerminalKey,
        /// Serial number of a device in stock.
        serial: String,
        /// Why.
        note: String,
    },
    /// A step of a replacement.
    Replacement {
        /// Which case.
        case: u64,
        /// What.
        step: ReplaceStep,
    },
    /// A terminal that is no longer bound was heard of. Told once an hour at most.
    HeardOf {
        /// Terminal.
        key: TerminalKey,
        /// How often.
        times: u32,
        /// Serial number that it said last.
        serial: Option<String>,
    },
    /// A bound terminal's message named another device. Told once an hour at most. Where the message is authentic
    /// the device has to be verified anew.
    OtherDevice {
        /// Terminal.
        key: TerminalKey,
        /// How often.
        times: u32,
        /// Serial number that it said last.
        serial: String,
        /// Whether the messages' MACs were verified.
        authentic: bool,
    },
    /// Time has passed: what is due happens.
    Tick,
}

/// What evidence allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// An account is verified.
    VerifyAccount,
    /// A freeze of an account is over.
    UnfreezeAccount,
    /// A contact is verified without a code.
    VerifyContact,
    /// A binding is rid of this reason.
    ClearReason(RependReason),
    /// A suspended binding goes on.
    Resume,
    /// A drain is cut short.
    ForceDrain,
    /// A terminal id goes to somebody else before its quarantine is over.
    ReuseTerminal,
    /// More may be taken than before.
    RaiseLimit,
    /// A closed account's money goes to another account.
    ReleaseSuspense,
    /// A merchant wants its money in another account.
    ChangeAccount,
    /// A contact takes another's place whose holder cannot be asked.
    ReplaceContact,
    /// Who asks for an unbinding at the counter is who they say.
    ProveIdentity,
    /// A device works and has its keys, though the journal does not show it.
    Activate,
}

/// How a merchant was heard in person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantsWord {
    /// A code that came back from a phone of the owner; the number of the challenge.
    Challenge(u64),
    /// Evidence that another person filed, who saw them or their papers; its number.
    Evidence(u64),
}

impl Allows {
    /// Its name, as it is written in the API and the store.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::VerifyAccount => "verify-account".into(),
            Self::UnfreezeAccount => "unfreeze-account".into(),
            Self::VerifyContact => "verify-contact".into(),
            Self::ClearReason(reason) => format!("clear-{reason}"),
            Self::Resume => "resume".into(),
            Self::ForceDrain => "force-drain".into(),
            Self::ReuseTerminal => "reuse-terminal".into(),
            Self::RaiseLimit => "raise-limit".into(),
            Self::ReleaseSuspense => "release-suspense".into(),
            Self::ChangeAccount => "change-account".into(),
            Self::ReplaceContact => "replace-contact".into(),
            Self::ProveIdentity => "prove-identity".into(),
            Self::Activate => "activate".into(),
        }
    }

    /// The one with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let reasons = RependReason::ALL.iter().copied().map(Self::ClearReason);
        [
            Self::VerifyAccount,
            Self::UnfreezeAccount,
            Self::VerifyContact,
            Self::Resume,
            Self::ForceDrain,
            Self::ReuseTerminal,
            Self::RaiseLimit,
            Self::ReleaseSuspense,
            Self::ChangeAccount,
            Self::ReplaceContact,
            Self::ProveIdentity,
            Self::Activate,
        ]
        .into_iter()
        .chain(reasons)
        .find(|each| each.name() == name)
    }
}

/// A step of a case of unbinding; see [`Unbinding`].
#[derive(Clone, Debug)]
pub enum UnbindStep {
    /// What the applicant says is on record. The phone's tail is compared with the verified owner's.
    Confirm(Claim),
    /// Identity was proven: by a code, or by evidence (`prove-identity`, about the case) of another person who saw the
    /// originals too.
    Prove(MerchantsWord),
    /// A document was brought.
    AddDocument(DocumentKind, String),
    /// Somebody looked at a document.
    Review(DocumentKind, bool),
    /// The merchant acknowledges the impact by its hash; the report as it is now.
    Acknowledge(String, Box<Impact>),
    /// The history was taken along.
    Exported(Export),
    /// The maker is done.
    Submit,
    /// The checker agrees; the report as it is now.
    Approve(Box<Impact>),
    /// The checker says no.
    Reject,
    /// The drain begins.
    Start,
    /// Nothing is left, or so the caller found, with the export as it would be now.
    Drained(Outstanding, Export),
    /// Two persons cut the drain short: whoever acts, and who filed the evidence with this number.
    Force(Outstanding, Export, u64),
    /// The host's keys of the device are destroyed.
    KeysDestroyed(KeysSaid),
    /// What came of wiping.
    Wiped(WipeResult),
    /// The network's reference.
    Reported(String),
    /// It is taken back.
    Cancel(String),
}

/// A step of a replacement; see [`Replacement`].
#[derive(Clone, Debug)]
pub enum ReplaceStep {
    /// The merchant agrees, by a code that came back; the number of the challenge.
    Agreed(u64),
    /// Result of a test.
    Tested {
        /// Which.
        test: DeviceTest,
        /// Whether it passed.
        passed: bool,
        /// What the journal has of the new binding's tests, as the caller found it.
        shown: TestsShown,
        /// Number of the evidence (`activate`, about the case) that another person filed; needed where the journal would
        /// show the test and does not.
        evidence: Option<u64>,
    },
    /// The new device takes over; the network's reference.
    CutOver(String, Option<u64>),
    /// The old device comes back.
    RollBack,
    /// It is given up before the cut-over.
    Cancel,
    /// Nothing is left on the one that leaves, or so the caller found.
    Drained(Outstanding),
    /// Two persons cut its drain short: whoever acts, and who filed the evidence with this number.
    Force(Outstanding, u64),
    /// The host's keys of its device are destroyed.
    KeysDestroyed(KeysSaid),
    /// What came of wiping it.
    Wiped(WipeResult),
}

/// What a command did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Number of the thing that was made or changed: binding, contact, hold, challenge, case.
    pub number: u64,
    /// Version of it from now on.
    pub version: u32,
    /// What is said of a code that was offered.
    pub verdict: Option<Verdict>,
    /// Whether a case went back to the merchant instead of on.
    pub returned: bool,
    /// Which contacts have to be told what.
    pub notices: Vec<Notice>,
    /// Which events programs have to be told.
    pub told: Vec<Told>,
    /// Alerts that begin with it.
    pub alerts: Vec<AlertKind>,
    /// What the gate has to learn.
    pub changes: DirectoryChanges,
}

impl Done {
    /// Takes in what was done after it, whose number and version it has from then on.
    pub fn add(&mut self, later: Self) {
        self.number = later.number;
        self.version = later.version;
        self.verdict = later.verdict.or(self.verdict);
        self.returned |= later.returned;
        self.notices.extend(later.notices);
        self.told.extend(later.told);
        self.alerts.extend(later.alerts);
        self.changes.add(later.changes);
    }
}

/// An event of a binding, hold, challenge or case, for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// As `binding.suspended`.
    pub event: &'static str,
    /// As `binding 7`.
    pub object: String,
    /// Version of the thing from then on.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// What it is from now on, without anything that is sealed.
    pub data: Value,
}

/// A message to a contact about something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// To which contact.
    pub contact: u64,
    /// What happened, as `binding.unbound`.
    pub event: &'static str,
    /// In one sentence, without any value that is sealed.
    pub text: String,
}

/// Commands, and what people are shown of what they are about. A supertrait of the registry.
pub trait Affairs {
    /// Carries a command out: whole and durable when this returns `Ok`, not at all otherwise. Inside a
    /// transaction that was begun it is durable with that. `expected` is the version that the caller saw of
    /// what the command is about, `None` for any.
    ///
    /// # Errors
    /// When what it is about is unknown, has another version, or cannot do this now.
    fn carry_out(
        &mut self,
        command: &Command,
        expected: Option<u32>,
        actor: &Actor,
    ) -> Result<Done, RegistryError>;

    /// Number of the next challenge: what its code is hashed with.
    ///
    /// # Errors
    /// When the store fails.
    fn next_challenge(&mut self) -> Result<u64, StoreError>;

    /// The newest challenge for this purpose that a code entered at the terminal can belong to: of its open binding,
    /// of its case, or of a contact of its merchant's; whatever became of it.
    ///
    /// # Errors
    /// When the store fails.
    fn challenge_at(
        &mut self,
        key: TerminalKey,
        purpose: Purpose,
        payment: Option<&Payment>,
    ) -> Result<Option<ChallengeView>, StoreError>;

    /// The payer's confirmation of a binding's transaction that was accepted at that time: approved within the 20
    /// minutes before.
    ///
    /// # Errors
    /// When the store fails.
    fn confirmation(
        &mut self,
        binding: BindingId,
        payment: &Payment,
        at: Timestamp,
    ) -> Result<Option<ChallengeView>, StoreError>;

    /// Bindings with a number behind the first one and up to the second that may be idle: active, no spares, and
    /// neither opened nor made active since that moment. With whether there are bindings behind them.
    ///
    /// # Errors
    /// When the store fails.
    fn idle_candidates(
        &mut self,
        range: (BindingId, BindingId),
        before: Timestamp,
    ) -> Result<(Vec<(TerminalKey, BindingId, u32)>, bool), StoreError>;

    /// Terminals whose bindings took over from bindings of other terminals.
    ///
    /// # Errors
    /// When the store fails.
    fn successors(&mut self) -> Result<Vec<(TerminalKey, BindingId)>, StoreError>;

    /// Reference of the account that is paid what an account has coming: itself, or, when it is closed, the one that two
    /// persons named. `None`: nobody can be paid.
    ///
    /// # Errors
    /// When the store fails.
    fn payee(&mut self, account: AccountId) -> Result<Option<String>, StoreError>;

    /// When what a binding took may be paid out, with those before and after it in its line of replacements.
    ///
    /// # Errors
    /// When the store fails.
    fn payout_history(&mut self, binding: BindingId) -> Result<PayoutHistory, StoreError>;

    /// Bindings that have, or had, anything that stops payouts of before; and their lines.
    ///
    /// # Errors
    /// When the store fails.
    fn payouts_stopped(&mut self) -> Result<Vec<BindingId>, StoreError>;

    /// Bindings of which something changed in that time that payouts depend on; and their lines.
    ///
    /// # Errors
    /// When the store fails.
    fn payouts_changed(&mut self, times: Range<Timestamp>) -> Result<Vec<BindingId>, StoreError>;

    /// The acquirer's reference of an account.
    ///
    /// # Errors
    /// When the store fails.
    fn account_reference(&mut self, account: AccountId) -> Result<Option<String>, StoreError>;

    /// How many limits there are.
    ///
    /// # Errors
    /// When the store fails.
    fn limit_count(&mut self) -> Result<usize, StoreError>;

    /// Calls `each` with every limit, for each of those who share it by itself. Which accounts it concerns is not
    /// among it.
    ///
    /// # Errors
    /// When the store fails.
    fn each_limit(&mut self, each: &mut dyn FnMut(LimitSet)) -> Result<(), StoreError>;

    /// A limit; `None` when what it would be of is not there.
    ///
    /// # Errors
    /// When the store fails.
    fn limit_row(&mut self, of: &Limited) -> Result<Option<LimitRow>, StoreError>;

    /// An acquirer.
    ///
    /// # Errors
    /// When the store fails.
    fn acquirer_view(&mut self, acquirer: AcquirerId) -> Result<Option<AcquirerView>, StoreError>;

    /// A merchant.
    ///
    /// # Errors
    /// When the store fails.
    fn merchant_view(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
    ) -> Result<Option<MerchantView>, StoreError>;

    /// Open bindings of a merchant's terminals by terminal id, as many as are shown at once. With whether there are more.
    ///
    /// # Errors
    /// When the store fails.
    fn merchant_terminals(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
    ) -> Result<(Vec<BindingRow>, bool), StoreError>;

    /// A device.
    ///
    /// # Errors
    /// When the store fails.
    fn device_view(&mut self, name: &DeviceName) -> Result<Option<DeviceView>, StoreError>;

    /// An acquirer's devices, or those in one state, each with the number to go on behind; oldest first.
    ///
    /// # Errors
    /// When the store fails.
    fn device_views(
        &mut self,
        acquirer: AcquirerId,
        state: Option<DeviceState>,
        part: Part,
    ) -> Result<Vec<(u64, DeviceView)>, StoreError>;

    /// A contact.
    ///
    /// # Errors
    /// When the store fails.
    fn contact_view(&mut self, contact: u64) -> Result<Option<ContactView>, StoreError>;

    /// A merchant's contacts, revoked ones too, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    fn contact_views(
        &mut self,
        acquirer: AcquirerId,
        merchant: MerchantId,
        part: Part,
    ) -> Result<Vec<ContactView>, StoreError>;

    /// A terminal's holds, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn hold_views(&mut self, key: TerminalKey, part: Part) -> Result<Vec<HoldView>, StoreError>;

    /// A challenge, without its code.
    ///
    /// # Errors
    /// When the store fails.
    fn challenge_view(&mut self, challenge: u64) -> Result<Option<ChallengeView>, StoreError>;

    /// A case.
    ///
    /// # Errors
    /// When the store fails.
    fn case_view(&mut self, case: u64) -> Result<Option<CaseView>, StoreError>;

    /// Cases, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn case_views(&mut self, open_only: bool, part: Part) -> Result<Vec<CaseView>, StoreError>;

    /// Evidence that somebody may still act on, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn evidence_views(
        &mut self,
        now: Timestamp,
        part: Part,
    ) -> Result<Vec<EvidenceView>, StoreError>;

    /// Disputes about transactions, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn dispute_views(
        &mut self,
        open_only: bool,
        part: Part,
    ) -> Result<Vec<DisputeView>, StoreError>;

    /// Disputes about one transaction, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    fn disputes_of(&mut self, transaction: u64) -> Result<Vec<DisputeView>, StoreError>;

    /// A refund that staff make.
    ///
    /// # Errors
    /// When the store fails.
    fn refund_view(&mut self, refund: u64) -> Result<Option<RefundView>, StoreError>;

    /// Refunds that staff make, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn refund_views(&mut self, part: Part) -> Result<Vec<RefundView>, StoreError>;

    /// How many refunds of a binding's transactions were asked for and can still be approved.
    ///
    /// # Errors
    /// When the store fails.
    fn refunds_asked(&mut self, binding: BindingId, now: Timestamp) -> Result<u64, StoreError>;

    /// What was heard of after its end, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn alert_views(&mut self, part: Part) -> Result<Vec<AlertView>, StoreError>;

    /// What the registry knows of what unbinding a terminal means: holds, last terminal, others on the same
    /// account. The rest is in the journal.
    ///
    /// # Errors
    /// When the store fails.
    fn impact(&mut self, binding: BindingId) -> Result<Impact, StoreError>;
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Only what stands behind the thing with this number.
    pub behind: Option<u64>,
    /// So many at most.
    pub most: u32,
}

impl Part {
    /// The beginning of a list.
    #[must_use]
    pub const fn first(most: u32) -> Self {
        Self { behind: None, most }
    }
}

/// A merchant as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Merchant)]
pub struct MerchantView {
    /// DE42.
    pub merchant_id: String,
    /// Name.
    pub name: String,
    /// Merchant category code.
    pub mcc: String,
    /// Kind.
    pub kind: MerchantKind,
    /// Which document says who it is.
    pub identity_kind: Option<IdentityKind>,
    /// The end of its number.
    pub identity: String,
    /// Version.
    pub version: u32,
}

/// A device as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Device)]
pub struct DeviceView {
    /// Serial number.
    pub serial: String,
    /// Maker and model.
    pub model: String,
    /// State.
    pub state: &'static str,
    /// Who has it.
    pub custody: String,
    /// Names and check values of its keys.
    #[schema(value_type = Vec<Vec<String>>)]
    pub keys: Vec<(String, String)>,
    /// Terminal that it is bound to now.
    pub terminal_id: Option<String>,
    /// Version.
    pub version: u32,
}

/// A contact as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Contact)]
pub struct ContactView {
    /// Number.
    pub contact: u64,
    /// DE42 of its merchant.
    pub merchant_id: String,
    /// What it is.
    pub kind: ContactKind,
    /// What it is for.
    pub role: ContactRole,
    /// Masked value.
    pub value: String,
    /// State.
    pub state: ContactState,
    /// The contact that it is to take the place of.
    pub replaces: Option<u64>,
    /// From when a phone of the owner speaks for the merchant; null for other contacts, and for one that does not before
    /// another person confirms it.
    pub speaks_from_us: Option<u64>,
    /// When it takes the other's place at the earliest, where that is planned.
    pub effective_at_us: Option<u64>,
    /// Version.
    pub version: u32,
    /// The sealed value, for whoever delivers a message.
    #[serde(skip)]
    pub sealed: Vec<u8>,
    /// Acquirer of its merchant.
    #[serde(skip)]
    pub acquirer: AcquirerId,
}

/// A hold as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldView {
    /// Number.
    pub hold: u64,
    /// DE41.
    pub terminal_id: String,
    /// What it stops.
    pub scope: HoldScope,
    /// State.
    pub state: HoldState,
    /// Why, what ends it, and how to appeal.
    #[serde(flatten)]
    pub explained: Explained,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at_us: u64,
    /// What the merchant says against it.
    pub appeal_note: String,
    /// Who lifted it.
    pub lifted_by: String,
    /// Why.
    pub lift_note: String,
}

/// A challenge as the registry shows it; never its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Challenge)]
pub struct ChallengeView {
    /// Number.
    pub challenge: u64,
    /// What for.
    pub purpose: Purpose,
    /// Contact that it was sent to.
    pub contact: u64,
    /// The contact, masked.
    pub sent_to: String,
    /// Binding or case, 0 for the contact itself.
    pub subject: u64,
    /// The payment that its payer confirms.
    pub payment: Option<PaymentView>,
    /// State.
    pub state: ChallengeState,
    /// Tries left.
    pub tries_left: u8,
    /// When its code ceases to be good.
    pub expires_at_us: u64,
    /// When it was over, for whatever reason.
    pub ended_at_us: Option<u64>,
}

/// A payment that its payer confirms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PaymentShown)]
pub struct PaymentView {
    /// Trace number (DE11).
    pub stan: u32,
    /// In the currency's smallest unit.
    pub amount: u64,
    /// As in DE49.
    pub currency: String,
}

/// What is in a case, by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum CaseBody {
    /// Of kind "unbinding".
    Unbinding(Box<Unbinding>),
    /// Of kind "replacement".
    Replacement(Box<Replacement>),
    /// Of kind "account-change".
    AccountChange(AccountChange),
}

impl CaseBody {
    /// Reads what the store keeps; `None` when this build does not know it.
    #[must_use]
    pub fn read(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "unbinding" => serde_json::from_str(text).ok().map(Self::Unbinding),
            "replacement" => serde_json::from_str(text).ok().map(Self::Replacement),
            "account-change" => serde_json::from_str(text).ok().map(Self::AccountChange),
            _unknown => None,
        }
    }

    /// What the case waits for; nothing when it is over.
    #[must_use]
    pub fn waits_for(&self) -> Vec<String> {
        match self {
            Self::Unbinding(case) => case.waits_for(),
            Self::Replacement(case) => case.waits_for(),
            Self::AccountChange(case) => case.waits_for(),
        }
    }
}

/// A case as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CaseFile)]
pub struct CaseView {
    /// Number.
    pub case: u64,
    /// "unbinding", "replacement", "account-change".
    pub kind: String,
    /// DE41.
    pub terminal_id: String,
    /// Binding.
    pub binding: u64,
    /// Where it stands.
    pub stage: String,
    /// Version.
    pub version: u32,
    /// The next steps, and who takes them; none when it is over.
    pub waits_for: Vec<String>,
    /// All of it; null when a newer posgate wrote it.
    pub body: Option<CaseBody>,
    /// When it was opened.
    pub opened_at_us: u64,
    /// Acquirer.
    #[serde(skip)]
    pub acquirer: AcquirerId,
}

impl CaseView {
    /// The binding that the case ends: the one that it is about, but for a replacement that was rolled back.
    #[must_use]
    pub fn leaving(&self) -> u64 {
        match &self.body {
            Some(CaseBody::Replacement(case)) if case.leaving() == Leaving::New => case.new_binding,
            Some(
                CaseBody::Replacement(_) | CaseBody::Unbinding(_) | CaseBody::AccountChange(_),
            )
            | None => self.binding,
        }
    }
}

/// Evidence that one person filed and another may act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Evidence)]
pub struct EvidenceView {
    /// Number.
    pub evidence: u64,
    /// What it is about, as `account acme/A-001`.
    pub about: String,
    /// What it allows.
    pub allows: String,
    /// What it is.
    pub note: String,
    /// SHA-256 of a file; may be empty.
    pub sha256: String,
    /// Who filed it: anybody else may act on it.
    pub filed_by: String,
    /// When.
    pub filed_at_us: u64,
    /// Until when somebody may act on it.
    pub good_until_us: u64,
}

/// A transaction that is contested, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Dispute)]
pub struct DisputeView {
    /// Number.
    pub dispute: u64,
    /// Binding of the transaction.
    pub binding: u64,
    /// The transaction.
    pub transaction: u64,
    /// The network's or the issuer's reference.
    pub reference: String,
    /// What is contested.
    pub note: String,
    /// "open", "won", "lost" or "withdrawn".
    pub state: String,
    /// Version.
    pub version: u32,
    /// Who recorded it.
    pub opened_by: String,
    /// When.
    pub opened_at_us: u64,
    /// Who recorded its end; empty before.
    pub closed_by: String,
    /// When.
    pub closed_at_us: Option<u64>,
    /// How it ended.
    pub closed_note: String,
}

/// A refund that staff ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundAsked {
    /// Binding of what is given back.
    pub binding: BindingId,
    /// What is given back.
    pub transaction: u64,
    /// How much, in the smallest unit.
    pub amount: u64,
    /// DE49; empty for a terminal's only one.
    pub currency: String,
}

/// A refund that staff make without the terminal, as it was asked for and decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefundView {
    /// Number.
    pub refund: u64,
    /// Binding of what is given back.
    pub binding: u64,
    /// What is given back.
    pub transaction: u64,
    /// How much, in the smallest unit.
    pub amount: u64,
    /// DE49.
    pub currency: String,
    /// "asked", "approved" or "refused".
    pub state: String,
    /// Version.
    pub version: u32,
    /// Why.
    pub note: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at_us: u64,
    /// Who decided; empty before.
    pub decided_by: String,
    /// When.
    pub decided_at_us: Option<u64>,
    /// What was said of it.
    pub decided_note: String,
}

impl RefundView {
    /// Whether it was asked for so long ago that nobody may approve it any more.
    #[must_use]
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        let until = self.asked_at_us.saturating_add(REFUND_GOOD_FOR);
        self.decided_at_us.is_none() && now.0 > until
    }
}

/// How long a refund that was asked for may be approved, in microseconds: a week, as evidence.
pub const REFUND_GOOD_FOR: u64 = 7 * 86_400_000_000;

/// Something that was heard of after its end, or under another's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView {
    /// Number.
    pub alert: u64,
    /// "late-message", "late-device", "other-device", "revoked-contact".
    pub kind: String,
    /// What was heard of, as the audit trail names it.
    pub subject: String,
    /// DE41 of the message; empty when it was none.
    pub terminal_id: String,
    /// Binding that it concerns.
    pub binding: Option<u64>,
    /// In a few words; may be empty.
    pub detail: String,
    /// First message of the hour.
    pub first_at_us: u64,
    /// Last one.
    pub last_at_us: u64,
    /// How many.
    pub count: u64,
}

/// A binding as audit trail and events show it.
#[must_use]
pub fn admission_shown(admission: Admission) -> Value {
    let reasons: Vec<_> = admission.reasons.iter().map(RependReason::name).collect();
    let holds: Vec<_> = admission.holds.iter().map(|scope| scope.name()).collect();
    let mut shown = json!({
        "binding": admission.binding.0,
        "version": admission.version,
        "state": admission.state.name(),
        "reasons": reasons,
        "account": admission.accounts.first().0,
        "holds": holds,
    });
    if admission.accounts.only().is_none() {
        let accounts = admission.accounts.iter();
        let accounts = accounts.map(|(kind, account)| (kind.name().to_owned(), account.0.into()));
        shown["accounts"] = Value::Object(accounts.collect());
    }
    shown
}

/// What programs are told of an account whose status is another one from now on.
#[must_use]
pub fn status_told(before: AccountStatus, after: AccountStatus) -> Value {
    json!({ "status": after.name(), "before": before.name(), "usable": after.is_usable() })
}
