//! Commands from end to end, each against a registry of its own: the desk that all of them are tried at.

mod accounts;
mod activation;
mod codes;
mod contacts;
mod devices;
mod holds;
mod limits;
mod records;
mod replacements;
mod time;
mod unbindings;

use super::*;
use crate::base::{Amount, Currency, MerchantId, Stan, TerminalId, TxnId};
use crate::binding::account::{AccountEvent, AccountKind};
use crate::binding::challenge::{CodeHash, Delivery, Payment, Purpose, Verdict};
use crate::binding::contact::{ContactEvent, ContactKind, ContactRole, ContactState};
use crate::binding::device::DeviceEvent;
use crate::binding::documents::documents_of;
use crate::binding::drain::Outstanding;
use crate::binding::hold::{Explained, HoldState};
use crate::binding::limit::Limits;
use crate::binding::merchant::{IdentityKind, MerchantKind};
use crate::binding::replacement::DeviceTest;
use crate::binding::tested::TestsShown;
use crate::binding::unbinding::{Channel, Claim, Export, UnbindReason};
use crate::binding::watch::BindingRules;
use crate::binding::wipe::{KeyMark, KeysSaid, WipeResult};
use crate::binding::{AccountStatus, BindingState, HoldScope, ReasonSet, RependReason};
use crate::store::command::{
    AccountName, Allows, CaseBody, Limited, MerchantsWord, Part, ReplaceStep, Sealed, UnbindStep,
};
use crate::store::registry::{ImportLine, Registry};

const RIGHT: CodeHash = CodeHash([1; 32]);
const WRONG: CodeHash = CodeHash([2; 32]);
const MAKER: &str = "Li Wei";
const CHECKER: &str = "Wang Fang";
const SHOP: &str = "104110041200001";
const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const MINUTE: u64 = 60_000_000;
const DAY: u64 = 86_400_000_000;

/// A registry with a merchant whose phone and account are verified, and devices in stock.
struct Desk {
    _folder: tempfile::TempDir,
    registry: SqliteRegistry,
    now: u64,
    phone: u64,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = SqliteRegistry::open(&folder.path().join("registry.db")).unwrap();
        registry.acquirer("acme").unwrap();
        let mut desk = Self {
            _folder: folder,
            registry,
            now: 1_795_305_600_000_000,
            phone: 0,
        };
        desk.ok(Command::SetMerchant {
            acquirer: AcquirerId(1),
            merchant: merchant(),
            name: "Shop".into(),
            mcc: "5411".into(),
            kind: Some(MerchantKind::Individual),
            identity: Some((IdentityKind::IdentityCard, sealed(99))),
        });
        for serial in ["SN1", "SN2", "SN3"] {
            desk.ok(Command::AddDevice {
                device: device(serial),
                model: "P1".into(),
                custody: "store room".into(),
            });
        }
        desk.account_of_merchant("A-001");
        desk.phone = desk.owner_phone(1);
        desk
    }

    fn by(&mut self, who: &str, command: Command) -> Result<Done, RegistryError> {
        self.seen_by(who, None, command)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "commands are made where they are given"
    )]
    fn seen_by(
        &mut self,
        who: &str,
        expected: Option<u32>,
        command: Command,
    ) -> Result<Done, RegistryError> {
        let actor = Actor::program(who, Timestamp(self.now));
        self.registry.carry_out(&command, expected, &actor)
    }

    #[track_caller]
    fn ok(&mut self, command: Command) -> Done {
        self.by(MAKER, command).unwrap()
    }

    #[track_caller]
    fn checked(&mut self, command: Command) -> Done {
        self.by(CHECKER, command).unwrap()
    }

    #[track_caller]
    fn refused(&mut self, who: &str, command: Command) -> String {
        self.by(who, command).unwrap_err().to_string()
    }

    fn device_state(&mut self, serial: &str) -> &'static str {
        let shown = self.registry.device_view(&device(serial)).unwrap();
        shown.unwrap().state
    }

    fn evidence(&mut self, about: &str, allows: Allows) -> u64 {
        let filed = self.ok(Command::FileEvidence {
            about: about.into(),
            allows,
            note: "seen".into(),
            sha256: SHA.into(),
        });
        filed.number
    }

    fn keys(&mut self, serial: &str) {
        self.ok(Command::LoadKeys {
            device: device(serial),
            check_values: vec![("tmk".into(), "A1B2C3".into())],
        });
    }

    /// The merchant was seen, and wants its money in the new account.
    fn agrees(&mut self, terminal: &str) {
        let evidence = self.evidence(&format!("terminal acme/{terminal}"), Allows::ChangeAccount);
        self.checked(Command::ConfirmAccountChange {
            key: key(terminal),
            word: MerchantsWord::Evidence(evidence),
        });
    }

    fn account_of_merchant(&mut self, reference: &str) {
        self.account_of_kind(reference, AccountKind::BankCard);
    }

    fn account_of_kind(&mut self, reference: &str, kind: AccountKind) {
        let account = account(reference);
        self.ok(Command::AddAccount {
            account: account.clone(),
            merchant: merchant(),
            kind,
        });
        let about = format!("account acme/{reference}");
        let evidence = self.evidence(&about, Allows::VerifyAccount);
        self.checked(Command::Account {
            account,
            event: AccountEvent::Verify,
            note: String::new(),
            evidence: Some(evidence),
        });
    }

    fn phone_of(&mut self, number: u8, role: ContactRole, replaces: Option<u64>) -> u64 {
        let added = self.ok(Command::AddContact {
            acquirer: AcquirerId(1),
            merchant: merchant(),
            kind: ContactKind::Phone,
            role,
            value: sealed(number),
            replaces,
        });
        added.number
    }

    fn owner_phone(&mut self, number: u8) -> u64 {
        let phone = self.phone_of(number, ContactRole::Owner, None);
        self.prove(phone);
        phone
    }

    /// Sends a code; the challenge's number.
    fn send(&mut self, contact: u64, purpose: Purpose, subject: u64) -> Result<u64, RegistryError> {
        self.send_for(contact, purpose, subject, None)
    }

    fn send_for(
        &mut self,
        contact: u64,
        purpose: Purpose,
        subject: u64,
        payment: Option<Payment>,
    ) -> Result<u64, RegistryError> {
        let number = self.registry.next_challenge().unwrap();
        let sent = self.by(
            MAKER,
            Command::Challenge {
                contact,
                purpose,
                subject,
                payment,
                code: RIGHT,
                number,
                asked_from: String::new(),
            },
        );
        sent.map(|done| done.number)
    }

    fn answer(&mut self, challenge: u64, purpose: Purpose, code: CodeHash) -> Verdict {
        let done = self.ok(Command::CheckCode {
            challenge,
            purpose,
            code,
        });
        done.verdict.unwrap()
    }

    /// A phone is proven by the code that was sent to it.
    fn prove(&mut self, contact: u64) {
        self.now += 2 * MINUTE;
        let sent = self.send(contact, Purpose::VerifyContact, 0).unwrap();
        let verdict = self.answer(sent, Purpose::VerifyContact, RIGHT);
        assert_eq!(verdict, Verdict::Approved);
    }

    /// The same of one that is to replace another.
    fn prove_new(&mut self, contact: u64) {
        self.now += 2 * MINUTE;
        let purpose = Purpose::ChangePhoneNew;
        let sent = self.send(contact, purpose, contact).unwrap();
        assert_eq!(self.answer(sent, purpose, RIGHT), Verdict::Approved);
    }

    fn requested(&mut self, terminal: &str, serial: &str) -> u64 {
        let done = self.ok(Command::RequestBinding {
            key: key(terminal),
            merchant: merchant(),
            accounts: vec!["A-001".into()],
            serial: serial.into(),
            evidence: None,
        });
        done.number
    }

    /// An active terminal.
    fn active(&mut self, terminal: &str, serial: &str) -> u64 {
        let binding = self.requested(terminal, serial);
        self.checked(Command::ApproveBinding {
            key: key(terminal),
            network: "N-1".into(),
        });
        self.now += 30 * MINUTE;
        let challenge = self.send(self.phone, Purpose::Bind, binding).unwrap();
        let seen = self.evidence(&format!("terminal acme/{terminal}"), Allows::Activate);
        let done = self.checked(Command::ActivateBinding {
            key: key(terminal),
            serial: serial.into(),
            challenge,
            code: RIGHT,
            shown: TestsShown::default(),
            evidence: Some(seen),
        });
        assert_eq!(done.verdict, Some(Verdict::Approved));
        assert_eq!(self.state(terminal).0, BindingState::Active);
        binding
    }

    fn admission(&mut self, terminal: &str) -> Admission {
        self.registry
            .show(key(terminal))
            .unwrap()
            .unwrap()
            .admission
    }

    fn state(&mut self, terminal: &str) -> (BindingState, String) {
        let admission = self.admission(terminal);
        (admission.state, admission.reasons.to_string())
    }

    fn contact_state(&mut self, contact: u64) -> ContactState {
        self.registry.contact_view(contact).unwrap().unwrap().state
    }
}

fn key(terminal: &str) -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse(terminal).unwrap(),
    }
}

fn merchant() -> MerchantId {
    MerchantId::parse(SHOP).unwrap()
}

fn device(serial: &str) -> DeviceName {
    DeviceName {
        acquirer: AcquirerId(1),
        serial: serial.into(),
    }
}

fn account(reference: &str) -> AccountName {
    AccountName {
        acquirer: AcquirerId(1),
        reference: reference.into(),
    }
}

fn sealed(number: u8) -> Sealed {
    Sealed {
        sealed: vec![number; 40],
        hash: [number; 32],
        masked: format!("+86138****80{number:02}"),
    }
}

fn revoke(contact: u64, last_too: bool) -> Command {
    Command::Contact {
        contact,
        event: ContactEvent::Revoke,
        note: "number given up".into(),
        evidence: None,
        last_too,
    }
}

/// A journal that shows every test that it can.
fn tested() -> TestsShown {
    TestsShown {
        approved: Some(TxnId(7)),
        voided: Some(TxnId(7)),
        reversed: Some(TxnId(8)),
    }
}

fn passes(test: DeviceTest) -> ReplaceStep {
    ReplaceStep::Tested {
        test,
        passed: true,
        shown: tested(),
        evidence: None,
    }
}

fn confirm(contact: u64) -> Command {
    Command::Contact {
        contact,
        event: ContactEvent::Confirm,
        note: "called back at the shop".into(),
        evidence: None,
        last_too: false,
    }
}

/// References of a terminal's accounts, the first first.
fn accounts_of(desk: &mut Desk, terminal: &str) -> Vec<String> {
    let shown = desk.registry.show(key(terminal)).unwrap().unwrap();
    let others = shown.others.into_iter().map(|other| other.reference);
    std::iter::once(shown.account).chain(others).collect()
}

fn step(case: u64, step: UnbindStep) -> Command {
    Command::Unbinding { case, step }
}

/// What the merchant took along.
fn export() -> Export {
    Export {
        sha256: SHA.into(),
        rows: 3,
    }
}

fn claim() -> Claim {
    Claim {
        phone_tail: "8001".into(),
        serial: "SN1".into(),
        merchant: SHOP.into(),
        account_tail: "-001".into(),
    }
}

/// A case that waits for its checker.
fn submitted(desk: &mut Desk) -> u64 {
    let open = Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Online,
        reason: UnbindReason::Closure,
        note: "shop closes".into(),
        effective_at: Timestamp(desk.now),
    };
    let case = desk.ok(open).number;
    let wrong = Claim {
        serial: "SN2".into(),
        ..claim()
    };
    let told = desk.refused(MAKER, step(case, UnbindStep::Confirm(wrong)));
    let unknown_phone = Claim {
        phone_tail: "9999".into(),
        ..claim()
    };
    assert_eq!(
        desk.refused(MAKER, step(case, UnbindStep::Confirm(unknown_phone))),
        told
    );
    desk.now += 30 * MINUTE;
    let early = desk.send(desk.phone, Purpose::Unbind, case).unwrap_err();
    assert!(early.to_string().contains("confirm what is"), "{early}");
    desk.ok(step(case, UnbindStep::Confirm(claim())));
    let sent = desk.send(desk.phone, Purpose::Unbind, case).unwrap();
    let prove = step(case, UnbindStep::Prove(MerchantsWord::Challenge(sent)));
    assert!(desk.refused(MAKER, prove.clone()).contains("exactly this"));
    desk.answer(sent, Purpose::Unbind, RIGHT);
    desk.ok(prove);
    for kind in documents_of(MerchantKind::Individual) {
        desk.ok(step(case, UnbindStep::AddDocument(*kind, SHA.into())));
        desk.checked(step(case, UnbindStep::Review(*kind, true)));
    }
    let impact = desk.impact();
    desk.ok(step(
        case,
        UnbindStep::Acknowledge(impact.hash(), Box::new(impact)),
    ));
    desk.ok(step(case, UnbindStep::Exported(export())));
    desk.ok(step(case, UnbindStep::Submit));
    case
}

impl Desk {
    fn impact(&mut self) -> Impact {
        let binding = self.admission("T1").binding;
        self.registry.impact(binding).unwrap()
    }
}

impl Desk {
    /// Ends an active terminal by its case.
    fn unbound(&mut self, terminal: &str) {
        assert_eq!(terminal, "T1", "the claim names its device");
        let case = submitted(self);
        let impact = self.impact();
        self.checked(step(case, UnbindStep::Approve(Box::new(impact))));
        self.ok(Command::Tick);
        self.ok(step(
            case,
            UnbindStep::Drained(Outstanding::default(), export()),
        ));
    }

    /// Kinds, subjects and counts of alerts, oldest first.
    fn alerts(&mut self) -> Vec<(String, String, u64)> {
        let mut all = self.registry.alert_views(Part::first(1_000)).unwrap();
        all.reverse();
        all.into_iter()
            .map(|alert| (alert.kind, alert.subject, alert.count))
            .collect()
    }
}

fn alert(kind: &str, subject: &str, count: u64) -> (String, String, u64) {
    (kind.into(), subject.into(), count)
}

/// Says of one key that it is destroyed.
fn said(name: &str, value: &str) -> KeysSaid {
    KeysSaid {
        keys: vec![KeyMark::new(name, value)],
        kept: Vec::new(),
    }
}

fn replaced(desk: &mut Desk) -> u64 {
    let case = tested_without_keys(desk);
    desk.keys("SN2");
    case
}

fn tested_without_keys(desk: &mut Desk) -> u64 {
    let open = Command::OpenReplacement {
        key: key("T1"),
        new_key: key("T2"),
        serial: "SN2".into(),
        note: "worn out".into(),
    };
    let case = desk.ok(open).number;
    assert_eq!(desk.state("T1").0, BindingState::Active);
    assert_eq!(desk.state("T2").0, BindingState::Activating);
    for test in DeviceTest::ALL {
        desk.ok(Command::Replacement {
            case,
            step: passes(*test),
        });
    }
    case
}

fn suspend(terminal: &str) -> Command {
    Command::Suspend {
        key: key(terminal),
        note: "stolen".into(),
    }
}

fn repend(terminal: &str, reason: RependReason) -> Command {
    Command::Repend {
        key: key(terminal),
        reasons: ReasonSet::EMPTY.with(reason),
        note: "in doubt".into(),
    }
}

fn hold(terminal: &str, scope: HoldScope) -> Command {
    Command::PlaceHold {
        key: key(terminal),
        scope,
        explained: Explained {
            reason: "position".into(),
            remedy: "inspection".into(),
            documents: String::new(),
            appeal: "service desk".into(),
        },
    }
}

fn set_limits(of: Limited, amount: u64, evidence: Option<u64>) -> Command {
    Command::SetLimits {
        of,
        limits: Limits {
            currency: Currency::CNY,
            day_amount: Some(amount),
            ..Limits::NONE
        },
        note: "as agreed".into(),
        evidence,
    }
}

/// There is one counter, of two, as a start reads it.
fn share_a_counter(desk: &mut Desk) {
    let mut all = Vec::new();
    desk.registry.each_limit(&mut |set| all.push(set)).unwrap();
    let [one, other] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((one.name, one.limits), (other.name, other.limits));
    assert_ne!(one.subjects, other.subjects);
    assert_eq!((one.subjects.len(), other.subjects.len()), (1, 1));
}
