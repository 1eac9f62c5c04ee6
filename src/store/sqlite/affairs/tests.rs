//! Commands from end to end, each against a registry of its own.

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

#[test]
fn a_binding_is_active_after_a_second_person_and_its_device_and_not_before() {
    let mut desk = Desk::new();
    let binding = desk.requested("T1", "SN1");
    assert_eq!(desk.state("T1").0, BindingState::Pending);
    let approve = |network: &str| Command::ApproveBinding {
        key: key("T1"),
        network: network.into(),
    };
    assert!(
        desk.refused(MAKER, approve("N-1"))
            .contains("another person")
    );
    assert!(desk.refused(CHECKER, approve(" ")).contains("missing"));
    desk.checked(approve("N-1"));
    desk.now += 2 * MINUTE;
    let challenge = desk.send(desk.phone, Purpose::Bind, binding).unwrap();
    let activate = |serial: &str, code| Command::ActivateBinding {
        key: key("T1"),
        serial: serial.into(),
        challenge,
        code,
        shown: tested(),
        evidence: None,
    };
    desk.keys("SN1");
    let wrong = desk.ok(activate("SN1", WRONG));
    assert_eq!(wrong.verdict, Some(Verdict::Wrong { left: 4 }));
    assert_eq!(desk.state("T1").0, BindingState::Activating);
    assert!(
        desk.refused(MAKER, activate("SN2", RIGHT))
            .contains("serial")
    );
    let done = desk.ok(activate("SN1", RIGHT));
    assert_eq!(done.changes.bindings.len(), 1);
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let again = desk.refused(MAKER, activate("SN1", RIGHT));
    assert!(again.contains("trades already"), "{again}");
    let shown = desk.registry.device_view(&device("SN1")).unwrap().unwrap();
    assert_eq!(
        (shown.state, shown.terminal_id.as_deref()),
        ("deployed", Some("T1"))
    );
    let changes = desk.registry.binding_changes(BindingId(binding)).unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.version, c.event.as_str()))
        .collect();
    assert_eq!(told, [(2, "binding.approved"), (3, "binding.activated")]);
}

#[test]
fn one_device_and_one_terminal_id_are_one_binding() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let request = |terminal: &str, serial: &str| Command::RequestBinding {
        key: key(terminal),
        merchant: merchant(),
        accounts: vec!["A-001".into()],
        serial: serial.into(),
        evidence: None,
    };
    assert!(
        desk.refused(MAKER, request("T2", "SN1"))
            .contains("terminal T1")
    );
    assert!(
        desk.refused(MAKER, request("T1", "SN2"))
            .contains("open binding")
    );
    assert!(
        desk.refused(MAKER, request("T2", "SN9"))
            .contains("no device SN9")
    );
    // What was refused left nothing behind.
    assert_eq!(desk.registry.show(key("T2")).unwrap(), None);
    desk.requested("T2", "SN2");
    desk.ok(Command::RejectBinding {
        key: key("T2"),
        note: "wrong shop".into(),
    });
    let shown = desk.registry.device_view(&device("SN2")).unwrap().unwrap();
    assert_eq!(shown.state, "stocked");
    desk.requested("T3", "SN2");
}

#[test]
fn a_change_for_another_version_than_the_one_seen_is_refused() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let suspend = || Command::Suspend {
        key: key("T1"),
        note: "risk".into(),
    };
    let stale = desk.seen_by(MAKER, Some(1), suspend()).unwrap_err();
    assert!(matches!(
        stale,
        RegistryError::Stale {
            found: 3,
            expected: 1,
            ..
        }
    ));
    let done = desk.seen_by(MAKER, Some(3), suspend()).unwrap();
    assert_eq!(done.version, 4);
}

/// bindings test 5: of two reasons one is cleared, and it still waits.
#[test]
fn t05_broken_before_made_waits_for_the_new_phone_and_both_reasons_need_proof() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let refused = desk.refused(MAKER, revoke(desk.phone, false));
    assert!(refused.contains("last verified phone"), "{refused}");
    let done = desk.ok(revoke(desk.phone, true));
    assert_eq!(done.changes.bindings.len(), 1);
    assert_eq!(desk.state("T1"), (BindingState::RePending, "phone".into()));
    assert_eq!(done.notices.len(), 1, "whoever had the number is told");
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Location),
        note: "moved".into(),
    });
    let second = desk.owner_phone(2);
    desk.checked(confirm(second));
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "location".into())
    );
    let evidence = desk.evidence(
        "terminal acme/T1",
        Allows::ClearReason(RependReason::Location),
    );
    let clear = |evidence| Command::ClearReason {
        key: key("T1"),
        reason: RependReason::Location,
        evidence,
    };
    assert!(
        desk.refused(MAKER, clear(evidence))
            .contains("another person")
    );
    assert!(desk.refused(CHECKER, clear(77)).contains("evidence"));
    desk.checked(clear(evidence));
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let evidence_again = desk.evidence("terminal acme/T1", Allows::Resume);
    assert!(
        desk.refused(CHECKER, clear(evidence_again))
            .contains("waits for nothing")
    );
}

#[test]
fn made_before_broken_never_stops_the_terminal() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let version = desk.admission("T1").version;
    let old = desk.phone;
    let new = desk.phone_of(2, ContactRole::Owner, Some(old));
    // Neither the request, nor a code, nor wrong codes touch the binding.
    desk.now += 2 * MINUTE;
    let sent = desk.send(new, Purpose::ChangePhoneNew, new).unwrap();
    for left in [4, 3, 2, 1] {
        let verdict = desk.answer(sent, Purpose::ChangePhoneNew, WRONG);
        assert_eq!(verdict, Verdict::Wrong { left });
    }
    let last = desk.answer(sent, Purpose::ChangePhoneNew, WRONG);
    assert_eq!(last, Verdict::Exhausted);
    assert_eq!(desk.admission("T1").version, version);
    // The new one's proof alone replaces nothing.
    desk.now += 2 * MINUTE;
    let sent = desk.send(new, Purpose::ChangePhoneNew, new).unwrap();
    desk.answer(sent, Purpose::ChangePhoneNew, RIGHT);
    assert_eq!(desk.contact_state(new), ContactState::Verified);
    assert_eq!(desk.contact_state(old), ContactState::Verified);
    // A proof for something else is none for this.
    let other = desk.send(old, Purpose::ReleaseHold, 1).unwrap();
    desk.answer(other, Purpose::ReleaseHold, RIGHT);
    let consent = |challenge| Command::ConsentToChange {
        contact: new,
        word: MerchantsWord::Challenge(challenge),
        effective_at: Timestamp(0),
    };
    assert!(desk.refused(MAKER, consent(other)).contains("exactly this"));
    desk.now += 2 * MINUTE;
    let agreed = desk.send(old, Purpose::ChangePhoneOld, new).unwrap();
    assert!(
        desk.refused(MAKER, consent(agreed))
            .contains("exactly this")
    );
    desk.answer(agreed, Purpose::ChangePhoneOld, RIGHT);
    let done = desk.ok(consent(agreed));
    assert!(done.changes.bindings.is_empty());
    assert_eq!(desk.contact_state(old), ContactState::Revoked);
    assert!(done.notices.iter().any(|n| n.contact == old));
    assert_eq!(desk.state("T1").0, BindingState::Active);
    assert_eq!(desk.admission("T1").version, version);
}

#[test]
fn a_number_that_cannot_be_asked_any_more_goes_after_a_night() {
    let mut desk = Desk::new();
    let old = desk.phone;
    let new = desk.phone_of(2, ContactRole::Owner, Some(old));
    let consent = |evidence| Command::ConsentToChange {
        contact: new,
        word: MerchantsWord::Evidence(evidence),
        effective_at: Timestamp(0),
    };
    // A colleague's name is nobody's word: the colleague says so, and not for something else.
    let told = desk.refused(MAKER, consent(77));
    assert!(told.contains("there is no evidence 77"), "{told}");
    let other = desk.evidence(&format!("contact {new}"), Allows::VerifyContact);
    let told = desk.refused(CHECKER, consent(other));
    assert!(told.contains("and nothing else"), "{told}");
    let seen = desk.evidence(&format!("contact {new}"), Allows::ReplaceContact);
    // Nor is the same person under another token, or under a name that looks the same.
    for same in [MAKER, "li wei", "L\u{456} Wei"] {
        let told = desk.refused(same, consent(seen));
        assert!(told.contains("another person"), "{same}: {told}");
    }
    desk.checked(consent(seen));
    let told = desk.refused(CHECKER, consent(seen));
    assert!(told.contains("used already"), "{told}");
    desk.prove(new);
    assert_eq!(desk.contact_state(old), ContactState::Verified);
    desk.now += 12 * 60 * MINUTE;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(old), ContactState::Revoked);
    assert_eq!(desk.contact_state(new), ContactState::Verified);
}

/// bindings test 7.
#[test]
fn t07_a_code_is_good_once_for_its_own_purpose_until_its_time_or_a_newer_one() {
    let mut desk = Desk::new();
    let phone = desk.phone_of(5, ContactRole::Finance, None);
    desk.now += 2 * MINUTE;
    let first = desk.send(phone, Purpose::VerifyContact, 0).unwrap();
    let early = desk.send(phone, Purpose::VerifyContact, 0).unwrap_err();
    assert!(early.to_string().contains("in 60 s"), "{early}");
    desk.now += MINUTE;
    let second = desk.send(phone, Purpose::VerifyContact, 0).unwrap();
    let old = desk.answer(first, Purpose::VerifyContact, RIGHT);
    assert_eq!(old, Verdict::Used, "a newer code voids an older one");
    let other = desk.answer(second, Purpose::Unbind, RIGHT);
    assert_eq!(other, Verdict::Used, "right code, wrong purpose");
    desk.now += MINUTE;
    let third = desk.send(phone, Purpose::VerifyContact, 0).unwrap();
    desk.now += 5 * MINUTE + 1;
    let late = desk.answer(third, Purpose::VerifyContact, RIGHT);
    assert_eq!(late, Verdict::Expired);
    let fourth = desk.send(phone, Purpose::VerifyContact, 0).unwrap();
    for _ in 0..5 {
        desk.answer(fourth, Purpose::VerifyContact, WRONG);
    }
    let sixth = desk.answer(fourth, Purpose::VerifyContact, RIGHT);
    assert_eq!(sixth, Verdict::Used);
    assert_eq!(desk.contact_state(phone), ContactState::Pending);
    desk.now += 2 * MINUTE;
    let fifth = desk.send(phone, Purpose::VerifyContact, 0).unwrap();
    assert_eq!(
        desk.answer(fifth, Purpose::VerifyContact, RIGHT),
        Verdict::Approved
    );
    assert_eq!(
        desk.answer(fifth, Purpose::VerifyContact, RIGHT),
        Verdict::Used
    );
    desk.now += 2 * MINUTE;
    let sixth = desk.send(phone, Purpose::ReleaseHold, 1);
    assert!(sixth.is_err(), "no such binding");
}

#[test]
fn codes_are_limited_by_number_by_binding_and_by_place() {
    let mut desk = Desk::new();
    let binding = desk.active("T1", "SN1");
    desk.now += DAY;
    for _ in 0..5 {
        desk.now += 2 * MINUTE;
        desk.send(desk.phone, Purpose::ReleaseHold, binding)
            .unwrap();
    }
    desk.now += 2 * MINUTE;
    let refused = desk.send(desk.phone, Purpose::ReleaseHold, binding);
    assert!(refused.unwrap_err().to_string().contains("within an hour"));
    // Another phone of the shop, for the same binding: the binding's own limit.
    let other = desk.phone_of(6, ContactRole::Finance, None);
    desk.prove(other);
    desk.now += 2 * MINUTE;
    let refused = desk.send(other, Purpose::ReleaseHold, binding);
    assert!(refused.unwrap_err().to_string().contains("within an hour"));
    desk.now += 60 * MINUTE;
    desk.send(other, Purpose::ReleaseHold, binding).unwrap();
    // From one place, to many numbers.
    for number in 10..16 {
        let phone = desk.phone_of(number, ContactRole::Service, None);
        let challenge = desk.registry.next_challenge().unwrap();
        let sent = desk.by(
            MAKER,
            Command::Challenge {
                contact: phone,
                purpose: Purpose::VerifyContact,
                subject: 0,
                payment: None,
                code: RIGHT,
                number: challenge,
                asked_from: "203.0.113.7".into(),
            },
        );
        assert_eq!(sent.is_ok(), number < 15, "{number}: {sent:?}");
    }
}

/// bindings test 4, the part with codes.
#[test]
fn t04_a_flood_of_codes_locks_the_number_and_leaves_the_terminal_active() {
    let mut desk = Desk::new();
    let binding = desk.active("T1", "SN1");
    let version = desk.admission("T1").version;
    desk.now += DAY;
    for _ in 0..2 {
        desk.now += 2 * MINUTE;
        let sent = desk
            .send(desk.phone, Purpose::ReleaseHold, binding)
            .unwrap();
        for _ in 0..5 {
            desk.answer(sent, Purpose::ReleaseHold, WRONG);
        }
    }
    desk.now += 2 * MINUTE;
    let locked = desk
        .send(desk.phone, Purpose::ReleaseHold, binding)
        .unwrap_err();
    assert!(
        locked.to_string().contains("too many wrong codes"),
        "{locked}"
    );
    let admission = desk.admission("T1");
    assert_eq!(
        (admission.state, admission.version),
        (BindingState::Active, version)
    );
    desk.now += DAY;
    desk.send(desk.phone, Purpose::ReleaseHold, binding)
        .unwrap();
}

#[test]
fn two_bounces_in_a_row_make_a_number_suspect_and_one_does_not() {
    let mut desk = Desk::new();
    let binding = desk.active("T1", "SN1");
    let bounce = |desk: &mut Desk| {
        desk.now += 30 * MINUTE;
        let sent = desk
            .send(desk.phone, Purpose::ReleaseHold, binding)
            .unwrap();
        desk.ok(Command::Delivered {
            challenge: sent,
            what: Delivery::Failed,
        });
        // A late word of the carrier changes nothing.
        desk.ok(Command::Delivered {
            challenge: sent,
            what: Delivery::Delivered,
        });
    };
    bounce(&mut desk);
    assert_eq!(desk.state("T1").0, BindingState::Active);
    bounce(&mut desk);
    assert_eq!(desk.contact_state(desk.phone), ContactState::Suspect);
    assert_eq!(desk.state("T1"), (BindingState::RePending, "phone".into()));
    desk.now += DAY;
    desk.prove(desk.phone);
    assert_eq!(desk.state("T1").0, BindingState::Active);
}

#[test]
fn a_payer_confirms_one_payment_and_speaks_for_the_merchant_in_nothing() {
    let mut desk = Desk::new();
    let binding = desk.active("T1", "SN1");
    let payer = desk.phone_of(7, ContactRole::Payer, None);
    desk.prove(payer);
    let payment = |stan, minor| {
        let currency = Currency::CNY;
        Some(Payment {
            stan: Stan::new(stan).unwrap(),
            amount: Amount { minor, currency },
        })
    };
    let confirm = Purpose::PayerConfirm;
    desk.now += 2 * MINUTE;
    let shop = desk.phone;
    for (contact, purpose, payment) in [
        (shop, confirm, payment(7, 1_000)),
        (payer, Purpose::ReleaseHold, None),
        (payer, confirm, None),
        (payer, confirm, payment(7, 0)),
        (shop, Purpose::ReleaseHold, payment(7, 1_000)),
    ] {
        assert!(desk.send_for(contact, purpose, binding, payment).is_err());
    }
    let first = desk.send_for(payer, confirm, binding, payment(7, 1_000));
    let first = first.unwrap();
    let told = desk.registry.challenge_view(first).unwrap().unwrap();
    assert_eq!(told.payment.map(|p| (p.stan, p.amount)), Some((7, 1_000)));
    // A code for another payment does not void it; one for the same does.
    desk.now += 2 * MINUTE;
    let second = desk.send_for(payer, confirm, binding, payment(8, 1_000));
    let second = second.unwrap();
    desk.now += 2 * MINUTE;
    let third = desk.send_for(payer, confirm, binding, payment(8, 1_000));
    let third = third.unwrap();
    assert_eq!(desk.answer(first, confirm, RIGHT), Verdict::Approved);
    assert_eq!(desk.answer(second, confirm, RIGHT), Verdict::Used);
    let approved = desk.ok(Command::CheckCode {
        challenge: third,
        purpose: confirm,
        code: RIGHT,
    });
    assert_eq!(approved.verdict, Some(Verdict::Approved));
    // Who confirmed what is in the trail and told to programs.
    let told = &approved.told[0];
    assert_eq!(
        (told.event, &told.data["payment"]["stan"]),
        ("challenge.approved", &json!(8))
    );
    let confirmed = |desk: &mut Desk, stan, after| {
        let at = Timestamp(desk.now + after);
        let payment: Payment = payment(stan, 1_000).unwrap();
        let found = desk.registry.confirmation(BindingId(binding), &payment, at);
        found.unwrap().map(|challenge| challenge.challenge)
    };
    assert_eq!(confirmed(&mut desk, 7, 0), Some(first));
    assert_eq!(confirmed(&mut desk, 8, 20 * MINUTE), Some(third));
    assert_eq!(confirmed(&mut desk, 8, 20 * MINUTE + 1), None);
    assert_eq!(confirmed(&mut desk, 9, 0), None);
    // Payers have limits of their own: the shop's are not used up.
    for _ in 0..3 {
        desk.now += 2 * MINUTE;
        desk.send(shop, Purpose::ReleaseHold, binding).unwrap();
    }
    // What happens to the shop is not the payer's business, and a shop that loses its phone waits all the same.
    let lost = desk.ok(revoke(shop, true));
    assert!(lost.notices.iter().all(|notice| notice.contact != payer));
    assert_eq!(desk.state("T1"), (BindingState::RePending, "phone".into()));
    // The same person pays elsewhere too.
    let other = MerchantId::parse("104110041200002").unwrap();
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: other,
        name: "Other".into(),
        mcc: "5812".into(),
        kind: None,
        identity: None,
    });
    let elsewhere = desk.ok(Command::AddContact {
        acquirer: AcquirerId(1),
        merchant: other,
        kind: ContactKind::Phone,
        role: ContactRole::Payer,
        value: sealed(7),
        replaces: None,
    });
    desk.prove(elsewhere.number);
    // Not for a terminal of another merchant.
    desk.now += 2 * MINUTE;
    let refused = desk.send_for(elsewhere.number, confirm, binding, payment(9, 1_000));
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("another merchant")
    );
}

/// bindings test 13.
#[test]
fn t13_a_number_belongs_to_one_identity_until_it_is_given_up() {
    let mut desk = Desk::new();
    let other = MerchantId::parse("104110041200002").unwrap();
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: other,
        name: "Other".into(),
        mcc: "5812".into(),
        kind: None,
        identity: Some((IdentityKind::IdentityCard, sealed(98))),
    });
    let add = |merchant, number| Command::AddContact {
        acquirer: AcquirerId(1),
        merchant,
        kind: ContactKind::Phone,
        role: ContactRole::Owner,
        value: sealed(number),
        replaces: None,
    };
    let taken = desk.by(MAKER, add(other, 1)).unwrap_err();
    assert!(
        matches!(taken, RegistryError::Refused(Refusal::Taken { .. })),
        "{taken}"
    );
    // The same person's second shop may have it.
    let second = MerchantId::parse("104110041200003").unwrap();
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: second,
        name: "Second".into(),
        mcc: String::new(),
        kind: None,
        identity: Some((IdentityKind::IdentityCard, sealed(99))),
    });
    let shared = desk.ok(add(second, 1)).number;
    desk.ok(revoke(desk.phone, true));
    desk.ok(revoke(shared, true));
    let now_free = desk.ok(add(other, 1)).number;
    desk.prove(now_free);
}

#[test]
fn an_account_opens_by_two_persons_and_closes_by_one() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let event = |event, evidence| Command::Account {
        account: account("A-001"),
        event,
        note: "bank said so".into(),
        evidence,
    };
    let done = desk.ok(event(AccountEvent::Freeze, None));
    assert_eq!(
        done.changes.accounts,
        [(AccountId(1), AccountStatus::Frozen)]
    );
    assert!(
        desk.refused(CHECKER, event(AccountEvent::Unfreeze, None))
            .contains("evidence")
    );
    let wrong = desk.evidence("account acme/A-001", Allows::VerifyAccount);
    assert!(
        desk.refused(CHECKER, event(AccountEvent::Unfreeze, Some(wrong)))
            .contains("evidence")
    );
    let evidence = desk.evidence("account acme/A-001", Allows::UnfreezeAccount);
    assert!(
        desk.refused(MAKER, event(AccountEvent::Unfreeze, Some(evidence)))
            .contains("another")
    );
    desk.checked(event(AccountEvent::Unfreeze, Some(evidence)));
    assert!(
        desk.refused(MAKER, event(AccountEvent::Verify, None))
            .contains("cannot be verified")
    );
    desk.ok(event(AccountEvent::Freeze, None));
    let used = desk.refused(CHECKER, event(AccountEvent::Unfreeze, Some(evidence)));
    assert!(used.contains("was used already"), "{used}");
    let stale = desk.evidence("account acme/A-001", Allows::UnfreezeAccount);
    desk.now += 8 * DAY;
    let stale = desk.refused(CHECKER, event(AccountEvent::Unfreeze, Some(stale)));
    assert!(stale.contains("older than a week"), "{stale}");
    let none = desk.refused(CHECKER, event(AccountEvent::Unfreeze, None));
    let how = "posgate evidence file \"account acme/A-001\" unfreeze-account";
    assert!(none.contains(how), "{none}");
}

#[test]
fn evidence_is_of_something_that_is_there_and_is_listed_until_somebody_acts() {
    let mut desk = Desk::new();
    let file = |about: &str| Command::FileEvidence {
        about: about.into(),
        allows: Allows::VerifyAccount,
        note: "seen".into(),
        sha256: String::new(),
    };
    for about in [
        "account acme/A-002",
        "account other/A-001",
        "terminal acme/T1",
        "merchant acme/2",
        "contact 99",
        "case 1",
    ] {
        assert!(desk.refused(MAKER, file(about)).contains("no "), "{about}");
    }
    for about in ["account A-001", "A-001", "contact one", "device acme/SN1"] {
        let told = desk.refused(MAKER, file(about));
        assert!(told.contains("has to be"), "{about}: {told}");
    }
    let listed = |desk: &mut Desk| {
        let now = Timestamp(desk.now);
        let found = desk
            .registry
            .evidence_views(now, Part::first(1_000))
            .unwrap();
        found.iter().map(|each| each.evidence).collect::<Vec<_>>()
    };
    let before = listed(&mut desk);
    assert!(before.is_empty(), "what was used is not listed: {before:?}");
    let merchant = desk.evidence(&format!("merchant acme/{SHOP}"), Allows::RaiseLimit);
    let phone = desk.phone;
    let contact = desk.evidence(&format!("contact {phone}"), Allows::VerifyContact);
    assert_eq!(listed(&mut desk), [contact, merchant]);
    desk.now += 8 * DAY;
    assert_eq!(listed(&mut desk), [0; 0]);
}

#[test]
fn a_phone_whose_holder_did_not_agree_has_no_place_yet() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let old = desk.phone;
    let new = desk.phone_of(2, ContactRole::Owner, Some(old));
    desk.now += 5 * MINUTE;
    let challenge = desk.send(new, Purpose::ChangePhoneNew, new).unwrap();
    desk.ok(Command::CheckCode {
        challenge,
        purpose: Purpose::ChangePhoneNew,
        code: RIGHT,
    });
    let revoke = |last_too| Command::Contact {
        contact: old,
        event: ContactEvent::Revoke,
        note: "given up".into(),
        evidence: None,
        last_too,
    };
    let told = desk.refused(MAKER, revoke(false));
    assert!(told.contains("last verified phone"), "{told}");
    desk.ok(revoke(true));
    assert_eq!(desk.state("T1"), (BindingState::RePending, "phone".into()));
}

#[test]
fn money_is_redirected_by_two_persons_and_to_the_merchants_own_verified_account() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let request = |account: &str| Command::RequestAccountChange {
        key: key("T1"),
        account: account.into(),
        note: "new bank".into(),
    };
    desk.ok(Command::AddAccount {
        account: account("A-002"),
        merchant: merchant(),
        kind: AccountKind::Alipay,
    });
    assert!(desk.refused(MAKER, request("A-002")).contains("unverified"));
    desk.account_of_merchant("A-003");
    let before = desk.admission("T1");
    desk.ok(request("A-003"));
    assert_eq!(desk.admission("T1"), before, "a request changes nothing");
    assert!(
        desk.refused(MAKER, request("A-003"))
            .contains("one case at a time")
    );
    let approve = || Command::ApproveAccountChange {
        key: key("T1"),
        network: "N-2".into(),
    };
    assert!(desk.refused(MAKER, approve()).contains("another person"));
    // Two of the staff are not the merchant.
    assert!(desk.refused(CHECKER, approve()).contains("own word"));
    let binding = before.binding.0;
    desk.now += 30 * MINUTE;
    let service = desk.phone_of(2, ContactRole::Service, None);
    desk.prove(service);
    desk.now += 2 * MINUTE;
    let confirm = |challenge| Command::ConfirmAccountChange {
        key: key("T1"),
        word: MerchantsWord::Challenge(challenge),
    };
    for (contact, purpose) in [
        (service, Purpose::ChangeAccount),
        (desk.phone, Purpose::ReleaseHold),
    ] {
        let sent = desk.send(contact, purpose, binding).unwrap();
        desk.answer(sent, purpose, RIGHT);
        let told = desk.refused(MAKER, confirm(sent));
        assert!(told.contains("exactly this"), "{told}");
        desk.now += 2 * MINUTE;
    }
    let phone = desk.phone;
    let sent = desk.send(phone, Purpose::ChangeAccount, binding).unwrap();
    assert!(desk.refused(MAKER, confirm(sent)).contains("exactly this"));
    desk.answer(sent, Purpose::ChangeAccount, RIGHT);
    desk.ok(confirm(sent));
    let done = desk.checked(approve());
    let after = desk.admission("T1");
    assert_eq!(done.changes.bindings, [(key("T1"), after)]);
    assert_eq!(
        (after.state, after.version),
        (BindingState::Active, before.version + 1)
    );
    assert_ne!(after.accounts, before.accounts);
    assert!(desk.refused(CHECKER, approve()).contains("missing"));
}

/// References of a terminal's accounts, the first first.
fn accounts_of(desk: &mut Desk, terminal: &str) -> Vec<String> {
    let shown = desk.registry.show(key(terminal)).unwrap().unwrap();
    let others = shown.others.into_iter().map(|other| other.reference);
    std::iter::once(shown.account).chain(others).collect()
}

#[test]
fn a_binding_has_an_account_for_each_kind_and_they_change_one_by_one() {
    let mut desk = Desk::new();
    desk.account_of_kind("W-1", AccountKind::WeChat);
    desk.account_of_kind("W-2", AccountKind::WeChat);
    desk.account_of_kind("L-1", AccountKind::Alipay);
    let request = |accounts: &[&str]| Command::RequestBinding {
        key: key("T1"),
        merchant: merchant(),
        accounts: accounts.iter().map(|&name| name.into()).collect(),
        serial: "SN1".into(),
        evidence: None,
    };
    let two = desk.refused(MAKER, request(&["W-1", "W-2"]));
    assert!(two.contains("one account of a kind"), "{two}");
    assert!(desk.refused(MAKER, request(&[])).contains("missing"));
    desk.ok(request(&["W-1", "L-1"]));
    assert_eq!(accounts_of(&mut desk, "T1"), ["W-1", "L-1"]);
    // Each of them has to be verified before it is approved.
    let name = account("L-1");
    let invalid = |event| Command::Account {
        account: name.clone(),
        event,
        note: "payout came back".into(),
        evidence: None,
    };
    desk.ok(invalid(AccountEvent::Invalidate));
    let approve = Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    };
    let told = desk.refused(CHECKER, approve.clone());
    assert!(told.contains("each account"), "{told}");
    let evidence = desk.evidence("account acme/L-1", Allows::VerifyAccount);
    desk.checked(Command::Account {
        account: name,
        event: AccountEvent::Verify,
        note: String::new(),
        evidence: Some(evidence),
    });
    desk.checked(approve);

    let change = |desk: &mut Desk, reference: &str| {
        desk.ok(Command::RequestAccountChange {
            key: key("T1"),
            account: reference.into(),
            note: "new".into(),
        });
        desk.agrees("T1");
        let done = desk.checked(Command::ApproveAccountChange {
            key: key("T1"),
            network: "N-2".into(),
        });
        let [(_, told)] = done.changes.bindings[..] else {
            panic!("one binding changes");
        };
        assert_eq!(told, desk.admission("T1"));
    };
    // The account of its kind is replaced; one of another kind is added, and may be the first from then on.
    change(&mut desk, "W-2");
    assert_eq!(accounts_of(&mut desk, "T1"), ["W-2", "L-1"]);
    change(&mut desk, "A-001");
    assert_eq!(accounts_of(&mut desk, "T1"), ["A-001", "W-2", "L-1"]);
    let same = desk.refused(
        MAKER,
        Command::RequestAccountChange {
            key: key("T1"),
            account: "W-2".into(),
            note: "again".into(),
        },
    );
    assert!(same.contains("already"), "{same}");
    // What the gate would load is what it was told.
    let mut loaded = Vec::new();
    let mut each = |_, admission| loaded.push(admission);
    desk.registry.load(&mut |_, _| {}, &mut each).unwrap();
    assert_eq!(loaded, [desk.admission("T1")]);
    let history: String = desk
        .registry
        .db()
        .query_row(
            "SELECT group_concat(others, '|') FROM (SELECT others FROM binding_change ORDER BY version)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(history, "alipay:4|alipay:4|wechat:3 alipay:4");
}

#[test]
fn an_account_ends_by_two_persons_and_never_the_last() {
    let mut desk = Desk::new();
    desk.account_of_kind("W-1", AccountKind::WeChat);
    desk.active("T1", "SN1");
    let ends = |account: &str| Command::RequestAccountEnd {
        key: key("T1"),
        account: account.into(),
        note: "no wallets any more".into(),
    };
    let approve = || Command::ApproveAccountChange {
        key: key("T1"),
        network: "N-2".into(),
    };
    assert!(desk.refused(MAKER, ends("W-1")).contains("is none"));
    assert!(desk.refused(MAKER, ends("A-001")).contains("only one"));
    desk.ok(Command::RequestAccountChange {
        key: key("T1"),
        account: "W-1".into(),
        note: "wallets too".into(),
    });
    desk.agrees("T1");
    desk.checked(approve());
    assert_eq!(accounts_of(&mut desk, "T1"), ["A-001", "W-1"]);
    let before = desk.admission("T1");
    desk.ok(ends("W-1"));
    assert_eq!(desk.admission("T1"), before, "a request changes nothing");
    desk.ok(Command::CancelAccountChange {
        key: key("T1"),
        note: "a mistake".into(),
    });
    // One that is closed can be taken away too, and so can the first.
    desk.ok(Command::Account {
        account: account("A-001"),
        event: AccountEvent::Close,
        note: "closed at the bank".into(),
        evidence: None,
    });
    desk.ok(ends("A-001"));
    assert!(desk.refused(MAKER, approve()).contains("another person"));
    let done = desk.checked(approve());
    let after = desk.admission("T1");
    assert_eq!(done.changes.bindings, [(key("T1"), after)]);
    assert_eq!(after.version, before.version + 1);
    assert_eq!(accounts_of(&mut desk, "T1"), ["W-1"]);
    let kinds: Vec<_> = after.accounts.iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [AccountKind::WeChat]);
    assert!(desk.refused(MAKER, ends("W-1")).contains("only one"));
    let mut loaded = Vec::new();
    let mut each = |_, admission| loaded.push(admission);
    desk.registry.load(&mut |_, _| {}, &mut each).unwrap();
    assert_eq!(loaded, [after]);
}

#[test]
fn a_new_device_gets_all_accounts_and_all_of_them_are_in_the_impact_report() {
    let mut desk = Desk::new();
    desk.account_of_kind("W-1", AccountKind::WeChat);
    desk.active("T1", "SN1");
    desk.active("T3", "SN3");
    desk.ok(Command::RequestAccountChange {
        key: key("T1"),
        account: "W-1".into(),
        note: "wallets too".into(),
    });
    desk.agrees("T1");
    desk.checked(Command::ApproveAccountChange {
        key: key("T1"),
        network: "N-2".into(),
    });
    let case = replaced(&mut desk);
    assert_eq!(accounts_of(&mut desk, "T2"), ["A-001", "W-1"]);
    desk.checked(Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), None),
    });
    assert_eq!(accounts_of(&mut desk, "T2"), ["A-001", "W-1"]);
    let impact = |desk: &mut Desk, terminal| {
        let binding = desk.admission(terminal).binding;
        desk.registry.impact(binding).unwrap()
    };
    let new = impact(&mut desk, "T2");
    assert_eq!(
        (new.account.as_str(), new.other_accounts),
        ("A-001", vec!["W-1".into()])
    );
    assert_eq!((new.same_account, new.last_terminal), (2, false));
    assert_eq!(impact(&mut desk, "T3").same_account, 2);
}

/// bindings test 17, the part of the registry.
#[test]
fn t17_a_hold_is_explained_appealed_and_lifted_by_another() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let place = |scope, reason: &str| Command::PlaceHold {
        key: key("T1"),
        scope,
        explained: Explained {
            reason: reason.into(),
            remedy: "inspection".into(),
            documents: String::new(),
            appeal: "service desk".into(),
        },
    };
    assert!(
        desk.refused(MAKER, place(HoldScope::Settlement, ""))
            .contains("right to be told")
    );
    let first = desk.ok(place(HoldScope::Settlement, "position")).number;
    let second = desk.ok(place(HoldScope::Settlement, "payouts")).number;
    assert!(desk.admission("T1").holds.contains(HoldScope::Settlement));
    assert_eq!(desk.admission("T1").state, BindingState::Active);
    let lift = |hold| Command::LiftHold {
        hold,
        note: "inspected".into(),
    };
    let appeal = |challenge| Command::AppealHold {
        hold: first,
        note: "we never moved".into(),
        challenge,
    };
    let binding = desk.admission("T1").binding.0;
    desk.now += 30 * MINUTE;
    let sent = desk
        .send(desk.phone, Purpose::ReleaseHold, binding)
        .unwrap();
    let told = desk.refused(MAKER, appeal(Some(sent)));
    assert!(told.contains("exactly this"), "{told}");
    desk.answer(sent, Purpose::ReleaseHold, RIGHT);
    desk.ok(appeal(Some(sent)));
    assert!(desk.refused(MAKER, lift(first)).contains("another person"));
    desk.checked(lift(first));
    assert!(
        desk.admission("T1").holds.contains(HoldScope::Settlement),
        "the other is in force"
    );
    desk.checked(lift(second));
    assert!(desk.admission("T1").holds.is_empty());
    let shown = desk
        .registry
        .hold_views(key("T1"), Part::first(1_000))
        .unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1].appeal_note, "we never moved");
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
    desk.ok(step(case, UnbindStep::Confirm(claim())));
    desk.now += 30 * MINUTE;
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

#[test]
fn unbinding_goes_all_the_way_and_the_terminal_is_watched_and_kept_from_others() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::LoadKeys {
        device: device("SN1"),
        check_values: vec![("tmk".into(), "A1B2C3".into())],
    });
    assert!(desk.impact().last_terminal);
    let case = submitted(&mut desk);
    let impact = desk.impact();
    let approve = || step(case, UnbindStep::Approve(Box::new(impact.clone())));
    assert!(desk.refused(MAKER, approve()).contains("another person"));
    desk.checked(approve());
    assert_eq!(
        desk.state("T1").0,
        BindingState::Active,
        "nothing before its start"
    );
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T1").0, BindingState::Unbinding);
    let left = Outstanding {
        unsettled: 2,
        ..Outstanding::default()
    };
    assert!(
        desk.refused(MAKER, step(case, UnbindStep::Drained(left, export())))
            .contains("not settled")
    );
    desk.ok(step(
        case,
        UnbindStep::Drained(Outstanding::default(), export()),
    ));
    assert_eq!(desk.state("T1").0, BindingState::Unbound);
    let shown = desk.registry.device_view(&device("SN1")).unwrap().unwrap();
    assert_eq!((shown.state, shown.terminal_id), ("wipe-pending", None));
    // The host's keys first.
    let wiped = || step(case, UnbindStep::Wiped(WipeResult::Done));
    assert!(desk.refused(MAKER, wiped()).contains("keys-destroyed"));
    let keys = |value: &str| step(case, UnbindStep::KeysDestroyed(said("tmk", value)));
    // Nor by another way.
    let event = Command::Device {
        device: device("SN1"),
        event: DeviceEvent::Wiped,
        custody: String::new(),
        note: String::new(),
    };
    assert!(desk.refused(MAKER, event).contains(&format!("case {case}")));
    desk.refused(MAKER, keys("FFFFFF"));
    desk.ok(keys("a1b2c3"));
    let history: String = desk
        .registry
        .db()
        .query_row(
            "SELECT note FROM device_change WHERE event = 'device.keys_destroyed'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(history, format!("case {case}: destroyed here: tmk=A1B2C3"));
    desk.ok(wiped());
    let last = desk.ok(step(case, UnbindStep::Reported("N-9".into())));
    assert_eq!(last.notices.len(), 1, "who was verified before is told");
    let over = desk.refused(MAKER, step(case, UnbindStep::Cancel("no".into())));
    assert!(over.contains("it is over"), "{over}");
    // Nobody else gets the terminal id for half a year, and its messages are alerts for three months.
    let request = Command::RequestBinding {
        key: key("T1"),
        merchant: merchant(),
        accounts: vec!["A-001".into()],
        serial: "SN2".into(),
        evidence: None,
    };
    assert!(
        desk.refused(MAKER, request.clone())
            .contains("giving the terminal id")
    );
    for _ in 0..3 {
        desk.ok(Command::HeardOf {
            key: key("T1"),
            times: 1,
            serial: None,
        });
        desk.now += 10 * MINUTE;
    }
    desk.now += 60 * MINUTE;
    desk.ok(Command::HeardOf {
        key: key("T1"),
        times: 1,
        serial: None,
    });
    let alerts = desk.registry.alert_views(Part::first(1_000)).unwrap();
    let counts: Vec<_> = alerts.iter().map(|alert| alert.count).collect();
    assert_eq!(counts, [1, 3]);
    desk.now += 91 * DAY;
    desk.ok(Command::HeardOf {
        key: key("T1"),
        times: 1,
        serial: None,
    });
    assert_eq!(
        desk.registry.alert_views(Part::first(1_000)).unwrap().len(),
        2
    );
    desk.now += 91 * DAY;
    desk.ok(request);
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

#[test]
fn an_alert_is_told_at_once_and_then_once_an_hour_with_its_count() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.unbound("T1");
    let mut told = Vec::new();
    for minute in 0..150 {
        let done = desk.ok(Command::HeardOf {
            key: key("T1"),
            times: 40,
            serial: None,
        });
        assert_eq!(done.alerts.len(), done.told.len());
        told.extend(done.told.into_iter().map(|event| (minute, event)));
        desk.now += MINUTE;
    }
    let shown: Vec<_> = told
        .iter()
        .map(|(minute, event)| {
            let data = &event.data;
            (*minute, event.event, data["count_before"].as_u64())
        })
        .collect();
    let event = "risk.late_message_after_unbind";
    assert_eq!(
        shown,
        [
            (0, event, None),
            (60, event, Some(2_400)),
            (120, event, Some(2_400))
        ]
    );
    assert_eq!(told[1].1.object, "alert 2");
    let late = |count| alert("late-message", "terminal acme/T1", count);
    assert_eq!(desk.alerts(), [late(2_400), late(2_400), late(1_200)]);
}

#[test]
fn a_device_that_was_unbound_is_heard_of_under_any_terminal_id() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.active("T2", "SN2");
    desk.unbound("T1");
    let other = |serial: &str| Command::OtherDevice {
        key: key("T2"),
        times: 2,
        serial: serial.into(),
        authentic: false,
    };
    // Two things are told: that it is not the bound device, and whose it was.
    let done = desk.ok(other("SN1"));
    let kinds: Vec<_> = done.alerts.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds, ["other-device", "late-device"]);
    desk.ok(other("SN9"));
    assert_eq!(
        desk.alerts(),
        [
            alert("other-device", "terminal acme/T2", 4),
            alert("late-device", "device acme/SN1", 2),
        ]
    );
    assert_eq!(
        desk.state("T2").0,
        BindingState::Active,
        "nothing proves it"
    );
    // With the old terminal id it is the terminal that is heard of, and says which device it is.
    desk.ok(Command::HeardOf {
        key: key("T1"),
        times: 1,
        serial: Some("SN1".into()),
    });
    let last = &desk.registry.alert_views(Part::first(1_000)).unwrap()[0];
    assert_eq!(
        (last.kind.as_str(), last.detail.as_str()),
        ("late-message", "device SN1")
    );
    desk.now += 91 * DAY;
    let done = desk.ok(other("SN1"));
    let kinds: Vec<_> = done.alerts.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds, ["other-device"], "90 days are over");
}

#[test]
fn another_device_is_doubted_when_its_message_is_authentic_and_only_then() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let other = |authentic| Command::OtherDevice {
        key: key("T1"),
        times: 1,
        serial: "SN9".into(),
        authentic,
    };
    let done = desk.ok(other(false));
    assert!(done.changes.bindings.is_empty());
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let done = desk.ok(other(true));
    assert_eq!(done.changes.bindings.len(), 1);
    assert_eq!(done.notices.len(), 1);
    assert_eq!(desk.state("T1"), (BindingState::RePending, "device".into()));
    let version = desk.admission("T1").version;
    desk.ok(other(true));
    assert_eq!(
        desk.admission("T1").version,
        version,
        "it is in doubt already"
    );
}

/// bindings test 14: a spare may be idle, another terminal is looked at.
#[test]
fn t14_an_idle_terminal_waits_for_re_verification_and_a_spare_does_not() {
    let mut desk = Desk::new();
    let idle = desk.active("T1", "SN1");
    let spare = desk.active("T2", "SN2");
    let spare_is = |spare| Command::SetSpare {
        key: key("T2"),
        spare,
        note: "for the till in the corner".into(),
    };
    desk.ok(spare_is(true));
    assert!(
        desk.refused(MAKER, spare_is(true))
            .contains("known already")
    );
    let candidates = |desk: &mut Desk, before: u64| {
        let all = (BindingId(0), BindingId(1_000));
        let before = Timestamp(before);
        let (found, more) = desk.registry.idle_candidates(all, before).unwrap();
        assert!(!more);
        let numbers = found.iter().map(|(_, binding, _)| binding.0);
        numbers.collect::<Vec<_>>()
    };
    let opened = desk.now;
    desk.now += 92 * DAY;
    assert_eq!(candidates(&mut desk, opened + DAY), [idle]);
    // Not before it was made active.
    assert!(candidates(&mut desk, opened - 40 * MINUTE).is_empty());
    let dormant = |desk: &mut Desk, version| {
        desk.ok(Command::Dormant {
            key: key("T1"),
            binding: BindingId(idle),
            version,
            months: 3,
        })
    };
    // It was changed since it was found: nothing happens.
    let version = desk.admission("T1").version;
    dormant(&mut desk, version - 1);
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let done = dormant(&mut desk, version);
    assert_eq!(done.notices.len(), 1);
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "dormant".into())
    );
    // Who was confirmed is not idle for another three months.
    let evidence = desk.evidence(
        "terminal acme/T1",
        Allows::ClearReason(RependReason::Dormant),
    );
    desk.checked(Command::ClearReason {
        key: key("T1"),
        reason: RependReason::Dormant,
        evidence,
    });
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let confirmed = desk.now;
    assert!(candidates(&mut desk, confirmed).is_empty());
    assert_eq!(candidates(&mut desk, confirmed + 1), [idle]);
    desk.now += DAY;
    desk.ok(spare_is(false));
    let now = desk.now;
    assert!(!candidates(&mut desk, now).contains(&spare), "from here on");
    assert!(candidates(&mut desk, now + 1).contains(&spare));
}

#[test]
fn who_waits_for_re_verification_is_reminded_and_then_suspended() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let repend = || Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Location),
        note: "the shop moved".into(),
    };
    let began = desk.now;
    let told = desk.ok(repend());
    assert_eq!(told.notices.len(), 1);
    let reminded = |desk: &mut Desk, until: u64| {
        let mut days = Vec::new();
        while desk.now < until {
            desk.now += DAY / 4;
            for notice in desk.ok(Command::Tick).notices {
                let day = (desk.now - began) / DAY;
                days.push((day, notice.event, notice.text));
            }
        }
        days
    };
    let expect: Vec<_> = [(1, 29), (3, 27), (7, 23), (14, 16)]
        .map(|(day, left)| {
            let text = format!(
                "terminal T1 takes no new payments until this is verified: location; in {left} days it is suspended"
            );
            (day, "binding.reminded", text)
        })
        .into();
    assert_eq!(reminded(&mut desk, began + 29 * DAY), expect);
    let suspended = (
        30,
        "binding.overdue",
        "terminal T1 is suspended: 30 days without evidence".to_owned(),
    );
    assert_eq!(reminded(&mut desk, began + 40 * DAY), [suspended]);
    assert_eq!(desk.state("T1").0, BindingState::Suspended);

    // Another wait has its own; what became due while nobody was there is one reminder.
    desk.active("T2", "SN2");
    desk.ok(Command::Repend {
        key: key("T2"),
        reasons: ReasonSet::EMPTY.with(RependReason::Identity),
        note: "the licence changed".into(),
    });
    desk.now += 8 * DAY;
    let late: Vec<_> = desk.ok(Command::Tick).notices;
    assert_eq!(late.len(), 1);
    assert!(
        late[0].text.ends_with("in 22 days it is suspended"),
        "{}",
        late[0].text
    );
    assert!(desk.ok(Command::Tick).notices.is_empty());
    desk.now += 6 * DAY;
    assert_eq!(desk.ok(Command::Tick).notices.len(), 1);
}

#[test]
fn a_contact_that_was_given_up_is_watched_where_others_enter_it() {
    let mut desk = Desk::new();
    let other = MerchantId::parse("104110041200002").unwrap();
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: other,
        name: "Other".into(),
        mcc: "5812".into(),
        kind: None,
        identity: None,
    });
    let enter = |desk: &mut Desk, merchant, role| {
        desk.ok(Command::AddContact {
            acquirer: AcquirerId(1),
            merchant,
            kind: ContactKind::Phone,
            role,
            value: sealed(1),
            replaces: None,
        })
    };
    desk.ok(revoke(desk.phone, true));
    // Where it was given up it may come back.
    let back = enter(&mut desk, merchant(), ContactRole::Service);
    assert!(back.alerts.is_empty());
    let added = enter(&mut desk, other, ContactRole::Owner);
    assert_eq!(added.alerts.len(), 1);
    desk.prove(added.number);
    let subject = format!("contact {}", desk.phone);
    assert_eq!(desk.alerts(), [alert("revoked-contact", &subject, 2)]);
    let shown = &desk.registry.alert_views(Part::first(1_000)).unwrap()[0];
    assert_eq!(shown.detail, "verified for merchant acme/104110041200002");
    desk.now += 91 * DAY;
    let later = enter(&mut desk, other, ContactRole::Finance);
    assert!(later.alerts.is_empty());
}

#[test]
fn a_terminal_id_is_kept_from_others_unless_two_persons_say_why() {
    let mut desk = Desk::new();
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    desk.registry.keep_to(BindingRules {
        quarantine: days(200),
        ..BindingRules::default()
    });
    desk.active("T1", "SN1");
    desk.unbound("T1");
    let request = |evidence| Command::RequestBinding {
        key: key("T1"),
        merchant: merchant(),
        accounts: vec!["A-001".into()],
        serial: "SN2".into(),
        evidence,
    };
    desk.now += 199 * DAY;
    let told = desk.refused(MAKER, request(None));
    assert!(told.contains("giving the terminal id away"), "{told}");
    // An import gives it to nobody else either.
    let line = ImportLine {
        line: 2,
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse("T1").unwrap(),
        merchant: MerchantId::parse("104110041200002").unwrap(),
        merchant_name: "Other".into(),
        mcc: "5812".into(),
        account: "A-002".into(),
        account_kind: "bank-card".into(),
        account_status: AccountStatus::Verified,
        serial: "".into(),
        state: Some(BindingState::Active),
        reasons: ReasonSet::EMPTY,
        limits: None,
        others: Vec::new(),
        placement: "".into(),
    };
    let actor = Actor::program(MAKER, Timestamp(desk.now));
    let imported = desk
        .registry
        .import(&mut std::iter::once(Ok(line)), &actor, &mut |_| {});
    let Err(RegistryError::Lines(problems)) = imported else {
        panic!("{imported:?}");
    };
    assert!(
        problems[0].reason.contains("goes to nobody else before"),
        "{problems:?}"
    );
    let about = "terminal acme/T1";
    let wrong = desk.evidence(about, Allows::Resume);
    desk.refused(CHECKER, request(Some(wrong)));
    let filed = desk.evidence(about, Allows::ReuseTerminal);
    assert!(
        desk.refused(MAKER, request(Some(filed)))
            .contains("another person")
    );
    let bound = desk.checked(request(Some(filed)));
    assert!(bound.number > 1);
}

/// A case that is opened and cancelled forgets nothing: neither who stopped the terminal nor what it owes.
#[test]
fn a_cancelled_unbinding_gives_back_the_suspension_and_every_reason() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let identity = ReasonSet::EMPTY.with(RependReason::Identity);
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: identity,
        note: "licence ran out".into(),
    });
    let suspend = || Command::Suspend {
        key: key("T1"),
        note: "police order".into(),
    };
    desk.ok(suspend());
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    desk.ok(step(case, UnbindStep::Start));
    assert_eq!(
        desk.state("T1"),
        (BindingState::Unbinding, "identity".into())
    );
    // What happens while it drains is kept too.
    desk.ok(revoke(desk.phone, true));
    desk.refused(CHECKER, suspend());
    desk.ok(step(case, UnbindStep::Cancel("they stay".into())));
    assert_eq!(
        desk.state("T1"),
        (BindingState::Suspended, "phone+identity+reconfirm".into())
    );
    let evidence = desk.evidence("terminal acme/T1", Allows::Resume);
    desk.checked(Command::Resume {
        key: key("T1"),
        evidence,
    });
    assert_eq!(desk.state("T1").0, BindingState::RePending);
}

#[test]
fn a_device_that_is_lost_stops_its_terminal_and_a_wiped_one_is_looked_at() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let event = |serial: &str, event| Command::Device {
        device: device(serial),
        event,
        custody: String::new(),
        note: "left in a taxi".into(),
    };
    let done = desk.ok(event("SN1", DeviceEvent::Lose));
    assert_eq!(desk.state("T1").0, BindingState::Suspended);
    assert!(done.notices.iter().any(|n| n.event == "binding.suspended"));
    desk.ok(event("SN1", DeviceEvent::Find));
    assert_eq!(desk.state("T1").0, BindingState::Suspended);
    let evidence = desk.evidence("terminal acme/T1", Allows::Resume);
    desk.checked(Command::Resume {
        key: key("T1"),
        evidence,
    });
    desk.ok(event("SN1", DeviceEvent::OrderWipe));
    assert_eq!(desk.state("T1"), (BindingState::RePending, "device".into()));
    // In the store room it is nobody's.
    let done = desk.ok(event("SN2", DeviceEvent::Lose));
    assert!(done.changes.bindings.is_empty());
}

/// Hardware does not stay behind when its terminal is closed without a case.
#[test]
fn the_device_of_a_terminal_that_is_unbound_by_hand_is_to_be_wiped() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.requested("T2", "SN2");
    let hand = Actor::program("admin", Timestamp(desk.now));
    for terminal in ["T1", "T2"] {
        let (state, none) = (BindingState::Unbound, ReasonSet::EMPTY);
        let set = desk
            .registry
            .set_state(key(terminal), state, none, None, &hand);
        set.unwrap();
    }
    assert_eq!(desk.device_state("SN1"), "wipe-pending");
    assert_eq!(desk.device_state("SN2"), "stocked");
}

#[test]
fn what_is_suspended_by_hand_still_owes_what_it_owed() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Identity),
        note: "licence ran out".into(),
    });
    let hand = Actor::program("risk", Timestamp(desk.now));
    let (state, none) = (BindingState::Suspended, ReasonSet::EMPTY);
    let set = desk.registry.set_state(key("T1"), state, none, None, &hand);
    set.unwrap();
    assert_eq!(
        desk.state("T1"),
        (BindingState::Suspended, "identity".into())
    );
}

#[test]
fn an_account_that_went_bad_before_the_activation_stops_it() {
    let mut desk = Desk::new();
    let binding = desk.requested("T1", "SN1");
    desk.checked(Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    });
    desk.ok(Command::Account {
        account: account("A-001"),
        event: AccountEvent::Invalidate,
        note: "payout came back".into(),
        evidence: None,
    });
    desk.now += 30 * MINUTE;
    let challenge = desk.send(desk.phone, Purpose::Bind, binding).unwrap();
    let activate = || Command::ActivateBinding {
        key: key("T1"),
        serial: "SN1".into(),
        challenge,
        code: RIGHT,
        shown: tested(),
        evidence: None,
    };
    desk.keys("SN1");
    let told = desk.refused(MAKER, activate());
    assert!(told.contains("verified settlement account"), "{told}");
    // The code is as good as it was.
    let evidence = desk.evidence("account acme/A-001", Allows::VerifyAccount);
    desk.checked(Command::Account {
        account: account("A-001"),
        event: AccountEvent::Verify,
        note: String::new(),
        evidence: Some(evidence),
    });
    assert_eq!(desk.ok(activate()).verdict, Some(Verdict::Approved));
}

#[test]
fn an_account_change_that_nobody_agrees_to_is_in_the_way_for_a_month_at_most() {
    let mut desk = Desk::new();
    desk.account_of_merchant("A-002");
    desk.active("T1", "SN1");
    let ask = || Command::RequestAccountChange {
        key: key("T1"),
        account: "A-002".into(),
        note: "new bank".into(),
    };
    desk.ok(ask());
    desk.now += 29 * DAY;
    desk.ok(Command::Tick);
    assert!(desk.refused(MAKER, ask()).contains("one case at a time"));
    desk.now += DAY;
    let done = desk.ok(Command::Tick);
    assert!(
        done.notices
            .iter()
            .any(|n| n.event == "account.change_expired")
    );
    desk.ok(ask());
}

#[test]
fn an_unbinding_begins_at_its_time_and_not_before() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    let tomorrow = desk.now + DAY;
    let later = format!(
        "UPDATE case_file SET body = json_set(body, '$.effective_at', {tomorrow}) WHERE id = {case}"
    );
    desk.registry.db().execute(&later, []).unwrap();
    desk.now = tomorrow - 1;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T1").0, BindingState::Active);
    desk.now = tomorrow;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T1").0, BindingState::Unbinding);
}

/// bindings test 16.
#[test]
fn t16_what_is_done_twice_or_too_late_is_refused_and_changes_nothing() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let open = |effective_at| Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Counter,
        reason: UnbindReason::Fault,
        note: "broken".into(),
        effective_at,
    };
    let now = Timestamp(desk.now);
    desk.ok(open(now));
    assert!(
        desk.refused(MAKER, open(now))
            .contains("one case at a time")
    );
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    desk.ok(step(case, UnbindStep::Start));
    let evidence = desk.evidence(&format!("case {case}"), Allows::ForceDrain);
    let left = Outstanding {
        unproven: 1,
        ..Outstanding::default()
    };
    let force = || step(case, UnbindStep::Force(left, export(), evidence));
    assert!(desk.refused(MAKER, force()).contains("another person"));
    desk.checked(force());
    let before = desk.admission("T1");
    let cancel = desk.refused(MAKER, step(case, UnbindStep::Cancel("stay".into())));
    assert!(cancel.contains("wiping"), "{cancel}");
    let again = desk.by(MAKER, open(now)).unwrap_err();
    assert!(matches!(again, RegistryError::Closed { .. }), "{again}");
    assert_eq!(desk.admission("T1"), before);
    // Activating without the right serial number is the activation's own test; here: of what is closed.
    let activate = Command::ActivateBinding {
        key: key("T1"),
        serial: String::new(),
        challenge: 1,
        code: RIGHT,
        shown: tested(),
        evidence: None,
    };
    assert!(desk.by(MAKER, activate).is_err());
    assert_eq!(desk.admission("T1"), before);
}

#[test]
fn a_cancelled_drain_comes_back_to_be_confirmed() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    desk.ok(step(case, UnbindStep::Start));
    desk.ok(step(case, UnbindStep::Cancel("they stay".into())));
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "reconfirm".into())
    );
}

#[test]
fn an_impact_that_became_worse_goes_back_to_the_merchant() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let mut worse = desk.impact();
    worse.outstanding.unsettled = 4;
    let done = desk.checked(step(case, UnbindStep::Approve(Box::new(worse))));
    assert_eq!(done.number, case);
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    let Some(CaseBody::Unbinding(body)) = shown.body else {
        panic!("{shown:?}");
    };
    assert_eq!(
        (shown.stage.as_str(), body.acknowledged),
        ("documents", None)
    );
    assert_eq!(
        shown.waits_for,
        ["acknowledge: the hash of the impact report"]
    );
    assert_eq!(desk.state("T1").0, BindingState::Active);
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

/// As at an activation: a device that nobody gave keys does not take over, whatever was tested.
#[test]
fn a_new_device_takes_over_with_keys_on_record_or_on_evidence_that_it_has_them() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = tested_without_keys(&mut desk);
    let go = |evidence| Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), evidence),
    };
    let told = desk.refused(CHECKER, go(None));
    assert!(
        told.contains("no keys are on record") && told.contains("activate"),
        "{told}"
    );
    // Of another matter, or of who acts on it himself, it is none.
    let other = desk.evidence(&format!("case {case}"), Allows::ForceDrain);
    assert!(desk.refused(CHECKER, go(Some(other))).contains("allows"));
    let filed = desk.evidence(&format!("case {case}"), Allows::Activate);
    assert!(desk.refused(MAKER, go(Some(filed))).contains("another"));
    desk.checked(go(Some(filed)));
    assert_eq!(desk.state("T2").0, BindingState::Active);
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    let shown = serde_json::to_value(&shown).unwrap().to_string();
    assert!(shown.contains("keys_seen_by"), "{shown}");
}

#[test]
fn a_replacement_cuts_over_in_one_step_and_closes_with_the_drain() {
    let mut desk = Desk::new();
    let old = desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let agreed = |challenge| Command::Replacement {
        case,
        step: ReplaceStep::Agreed(challenge),
    };
    desk.now += 30 * MINUTE;
    let sent = desk.send(desk.phone, Purpose::Replace, case).unwrap();
    assert!(desk.refused(MAKER, agreed(sent)).contains("exactly this"));
    desk.answer(sent, Purpose::Replace, RIGHT);
    desk.ok(agreed(sent));
    assert!(
        desk.registry.successors().unwrap().is_empty(),
        "what is tested undoes nothing of the other's"
    );
    let go = |step| Command::Replacement { case, step };
    let alone = desk.refused(
        CHECKER,
        Command::ApproveBinding {
            key: key("T2"),
            network: "N".into(),
        },
    );
    assert!(alone.contains("replacement"), "{alone}");
    assert!(
        desk.refused(MAKER, go(ReplaceStep::CutOver("N-3".into(), None)))
            .contains("another")
    );
    let done = desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    assert_eq!(done.changes.successors, [(key("T2"), BindingId(old))]);
    assert_eq!(desk.registry.successors().unwrap(), done.changes.successors);
    assert_eq!(desk.state("T2").0, BindingState::Active);
    assert_eq!(desk.state("T1").0, BindingState::Unbinding);
    let left = Outstanding {
        unproven: 1,
        ..Outstanding::default()
    };
    assert!(
        desk.refused(MAKER, go(ReplaceStep::Drained(left)))
            .contains("proven")
    );
    desk.ok(go(ReplaceStep::Drained(Outstanding::default())));
    assert_eq!(desk.state("T1").0, BindingState::Unbound);
    desk.refused(CHECKER, go(ReplaceStep::RollBack));
    desk.ok(go(ReplaceStep::Wiped(WipeResult::Done)));
    assert!(
        desk.refused(CHECKER, go(ReplaceStep::RollBack))
            .contains("it is over")
    );
}

#[test]
fn a_replacement_that_nobody_cuts_over_ends_by_itself_and_frees_the_device() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.registry.keep_to(BindingRules {
        replacement: std::time::Duration::from_secs(2 * 86_400),
        ..BindingRules::default()
    });
    let case = replaced(&mut desk);
    let day = 86_400_000_000;
    desk.now += 2 * day - 1;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T2").0, BindingState::Activating);
    desk.now += 1;
    let done = desk.ok(Command::Tick);
    assert!(done.notices.iter().any(|n| n.event == "replace.expired"));
    assert_eq!(desk.state("T2").0, BindingState::Unbound);
    assert_eq!(desk.device_state("SN2"), "stocked");
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    assert_eq!(
        (shown.stage.as_str(), shown.waits_for.len()),
        ("expired", 0)
    );
    // It is over once: the next case may begin, and one that was cut over is not ended by time.
    desk.ok(Command::Tick);
    let again = Command::OpenReplacement {
        key: key("T1"),
        new_key: key("T3"),
        serial: "SN2".into(),
        note: "worn out".into(),
    };
    let case = desk.ok(again).number;
    for test in DeviceTest::ALL {
        let step = passes(*test);
        desk.ok(Command::Replacement { case, step });
    }
    let step = ReplaceStep::CutOver("N-3".into(), None);
    desk.checked(Command::Replacement { case, step });
    desk.now += 3 * day;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T3").0, BindingState::Active);
}

#[test]
fn a_roll_back_brings_the_old_one_back_to_be_confirmed() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    assert!(
        desk.refused(CHECKER, go(ReplaceStep::RollBack))
            .contains("another person")
    );
    desk.ok(go(ReplaceStep::RollBack));
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "reconfirm".into())
    );
    assert_eq!(desk.state("T2").0, BindingState::Unbinding);
    // The old one may have cases of its own at once.
    desk.account_of_merchant("A-002");
    desk.ok(Command::RequestAccountChange {
        key: key("T1"),
        account: "A-002".into(),
        note: "new bank".into(),
    });
    // It leaves as any other does: drained, its keys destroyed, wiped; and the old one goes on.
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    assert_eq!(BindingId(shown.leaving()), desk.admission("T2").binding);
    desk.ok(Command::LoadKeys {
        device: device("SN2"),
        check_values: vec![("tmk".into(), "BBBBBB".into())],
    });
    desk.ok(go(ReplaceStep::Drained(Outstanding::default())));
    assert_eq!(desk.state("T2").0, BindingState::Unbound);
    let wiped = || go(ReplaceStep::Wiped(WipeResult::Done));
    assert!(desk.refused(MAKER, wiped()).contains("keys-destroyed"));
    desk.ok(go(ReplaceStep::KeysDestroyed(said("tmk", "BBBBBB"))));
    desk.ok(wiped());
    assert_eq!(desk.device_state("SN2"), "wiped");
    assert_eq!(desk.device_state("SN1"), "deployed");
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "reconfirm".into())
    );
}

#[test]
fn a_suspension_is_not_shaken_off_by_a_replacement() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    desk.ok(Command::Suspend {
        key: key("T1"),
        note: "stolen".into(),
    });
    let cut_over = || go(ReplaceStep::CutOver("N-3".into(), None));
    let told = desk.refused(CHECKER, cut_over());
    assert!(told.contains("resume it first"), "{told}");
    assert_eq!(desk.state("T2").0, BindingState::Activating);
    let evidence = desk.evidence("terminal acme/T1", Allows::Resume);
    desk.checked(Command::Resume {
        key: key("T1"),
        evidence,
    });
    desk.checked(cut_over());
    assert_eq!(desk.state("T2").0, BindingState::Active);
}

/// What happened between the cut-over and the roll-back goes back along: accounts, reasons, suspensions.
#[test]
fn a_roll_back_takes_along_what_happened_to_the_new_device() {
    let mut desk = Desk::new();
    desk.account_of_merchant("A-002");
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    desk.ok(Command::RequestAccountChange {
        key: key("T2"),
        account: "A-002".into(),
        note: "new bank".into(),
    });
    desk.agrees("T2");
    desk.checked(Command::ApproveAccountChange {
        key: key("T2"),
        network: "N-4".into(),
    });
    let identity = ReasonSet::EMPTY.with(RependReason::Identity);
    desk.ok(Command::Repend {
        key: key("T2"),
        reasons: identity,
        note: "licence ran out".into(),
    });
    desk.ok(Command::Suspend {
        key: key("T2"),
        note: "police order".into(),
    });
    desk.ok(go(ReplaceStep::RollBack));
    assert_eq!(
        desk.state("T1"),
        (BindingState::Suspended, "identity+reconfirm".into())
    );
    assert_eq!(accounts_of(&mut desk, "T1"), ["A-002"]);
    assert_eq!(desk.state("T2").0, BindingState::Unbinding);
}

/// A hold is on the shop's line of devices, wherever it was placed: seen, counted and lifted on each of them.
#[test]
fn a_hold_outlasts_a_replacement_and_a_roll_back() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let place = |terminal: &str, scope| Command::PlaceHold {
        key: key(terminal),
        scope,
        explained: Explained {
            reason: "position".into(),
            remedy: "inspection".into(),
            documents: String::new(),
            appeal: "service desk".into(),
        },
    };
    let lift = |hold| Command::LiftHold {
        hold,
        note: "inspected".into(),
    };
    let shown = |desk: &mut Desk, terminal: &str| -> Vec<u64> {
        let all = desk
            .registry
            .hold_views(key(terminal), Part::first(1_000))
            .unwrap();
        all.iter().map(|hold| hold.hold).collect()
    };
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    let first = desk.ok(place("T1", HoldScope::Acceptance)).number;
    let second = desk.ok(place("T1", HoldScope::Settlement)).number;
    assert!(desk.admission("T2").holds.is_empty(), "it is being tested");
    assert!(shown(&mut desk, "T2").is_empty());
    desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    assert_eq!(shown(&mut desk, "T2"), [second, first]);
    let third = desk.ok(place("T2", HoldScope::Refund)).number;
    desk.checked(lift(third));
    for terminal in ["T1", "T2"] {
        let holds = desk.admission(terminal).holds;
        assert!(holds.contains(HoldScope::Acceptance), "{terminal}");
        assert!(holds.contains(HoldScope::Settlement), "{terminal}");
        assert!(!holds.contains(HoldScope::Refund), "{terminal}");
    }
    desk.checked(lift(first));
    assert!(!desk.admission("T2").holds.contains(HoldScope::Acceptance));
    let fourth = desk.ok(place("T2", HoldScope::Refund)).number;
    desk.ok(go(ReplaceStep::RollBack));
    assert!(desk.admission("T1").holds.contains(HoldScope::Refund));
    desk.ok(go(ReplaceStep::Drained(Outstanding::default())));
    desk.checked(lift(fourth));
    desk.checked(lift(second));
    assert!(desk.admission("T1").holds.is_empty());
}

/// The state of what a case decides is changed by the case; should it have happened all the same, the case ends.
#[test]
fn a_state_set_by_hand_leaves_no_case_without_an_end() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let hand = Actor::program("admin", Timestamp(desk.now));
    for (terminal, state) in [
        ("T2", BindingState::Active),
        ("T2", BindingState::Unbound),
        ("T1", BindingState::Unbound),
    ] {
        let none = ReasonSet::EMPTY;
        let set = desk
            .registry
            .set_state(key(terminal), state, none, None, &hand);
        let told = set.unwrap_err().to_string();
        assert!(told.contains(&format!("case {case}")), "{told}");
    }
    let none = ReasonSet::EMPTY;
    let stop = BindingState::Suspended;
    let set = desk.registry.set_state(key("T1"), stop, none, None, &hand);
    assert!(set.is_ok(), "what stops it is never refused");
    // As an older build left it; and what a person has to look at is in nobody's way.
    desk.requested("T3", "SN3");
    desk.registry
        .db()
        .execute_batch(
            "UPDATE binding SET state = 'active' WHERE id = 2;
             UPDATE device SET state = 'retired' WHERE serial = 'SN3';",
        )
        .unwrap();
    desk.now += 31 * DAY;
    desk.ok(Command::Tick);
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    assert_eq!(shown.stage, "expired");
    assert_eq!(desk.state("T2").0, BindingState::Active);
}

/// The keys of a replaced device end as those of an unbound one, and a device that is broken does not keep its case
/// open for ever.
#[test]
fn a_replaced_device_that_is_broken_is_forced_out_and_its_keys_end_here() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::LoadKeys {
        device: device("SN1"),
        check_values: vec![
            ("tmk".into(), "A1B2C3".into()),
            ("mac".into(), "D4E5F6".into()),
        ],
    });
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    let left = Outstanding {
        unproven: 1,
        ..Outstanding::default()
    };
    let number = desk.evidence(&format!("case {case}"), Allows::ForceDrain);
    desk.refused(MAKER, go(ReplaceStep::Force(left, number)));
    desk.checked(go(ReplaceStep::Force(left, number)));
    assert_eq!(desk.state("T1").0, BindingState::Unbound);
    assert_eq!(desk.device_state("SN1"), "wipe-pending");
    let lost = || go(ReplaceStep::Wiped(WipeResult::Unreachable));
    assert!(desk.refused(MAKER, lost()).contains("keys-destroyed"));
    // What the new device has is not touched.
    desk.refused(MAKER, go(ReplaceStep::KeysDestroyed(said("tmk", "BBBBBB"))));
    let mut keys = said("tmk", "A1B2C3");
    keys.keys.push(KeyMark::new("mac", "D4E5F6"));
    keys.kept.push("mac".into());
    desk.ok(go(ReplaceStep::KeysDestroyed(keys)));
    desk.ok(lost());
    assert_eq!(desk.device_state("SN1"), "lost");
    assert_eq!(desk.device_state("SN2"), "deployed");
    let shown = desk.registry.case_view(case).unwrap().unwrap();
    assert_eq!(shown.stage, "closed");
    let Some(CaseBody::Replacement(body)) = shown.body else {
        panic!("{shown:?}");
    };
    let ended = body.end.keys.unwrap();
    assert_eq!(ended.kept, [KeyMark::new("mac", "D4E5F6")]);
    assert_eq!(ended.by, MAKER);
}

#[test]
fn reasons_and_accounts_go_along_to_the_new_device() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Identity),
        note: "licence ran out".into(),
    });
    desk.checked(Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), None),
    });
    assert_eq!(
        desk.state("T2"),
        (BindingState::RePending, "identity".into())
    );
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

#[test]
fn what_was_suspended_since_is_not_cut_over() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    desk.ok(suspend("T1"));
    let step = ReplaceStep::CutOver("N-3".into(), None);
    let cut_over = Command::Replacement { case, step };
    let told = desk.refused(CHECKER, cut_over);
    assert!(told.contains("is suspended"), "{told}");
    assert_eq!(desk.state("T1").0, BindingState::Suspended);
    assert_eq!(desk.state("T2").0, BindingState::Activating);
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

#[test]
fn holds_go_along_to_the_new_device_and_back_and_are_lifted_where_they_are() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    let go = |step| Command::Replacement { case, step };
    let acceptance = desk.ok(hold("T1", HoldScope::Acceptance)).number;
    desk.ok(hold("T1", HoldScope::Settlement));
    desk.checked(go(ReplaceStep::CutOver("N-3".into(), None)));
    let scopes = |desk: &mut Desk, terminal| {
        let page = Part::first(1_000);
        let shown = desk.registry.hold_views(key(terminal), page).unwrap();
        let standing = shown
            .into_iter()
            .filter(|hold| hold.state != HoldState::Lifted);
        let mut scopes: Vec<_> = standing.map(|hold| hold.scope.to_string()).collect();
        scopes.sort_unstable();
        let admission = desk.admission(terminal);
        let held = HoldScope::ALL
            .iter()
            .filter(|s| admission.holds.contains(**s));
        let mut bits: Vec<_> = held.map(|scope| scope.name().to_owned()).collect();
        bits.sort_unstable();
        (scopes, bits)
    };
    let both = vec!["acceptance".to_owned(), "settlement".to_owned()];
    assert_eq!(scopes(&mut desk, "T2"), (both.clone(), both));
    desk.checked(Command::LiftHold {
        hold: acceptance,
        note: "inspected".into(),
    });
    let settlement = vec!["settlement".to_owned()];
    assert_eq!(
        scopes(&mut desk, "T2"),
        (settlement.clone(), settlement.clone())
    );
    // One that is placed and lifted takes no other along.
    let refund = desk.ok(hold("T2", HoldScope::Refund)).number;
    desk.checked(Command::LiftHold {
        hold: refund,
        note: "a mistake".into(),
    });
    assert_eq!(scopes(&mut desk, "T2").1, settlement);
    desk.ok(hold("T2", HoldScope::Refund));
    desk.ok(go(ReplaceStep::RollBack));
    let back = vec!["refund".to_owned(), "settlement".to_owned()];
    assert_eq!(scopes(&mut desk, "T1"), (back.clone(), back));
}

#[test]
fn a_cancelled_drain_comes_back_with_its_reasons_and_suspended_as_it_was() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(repend("T1", RependReason::Identity));
    desk.ok(suspend("T1"));
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    desk.ok(step(case, UnbindStep::Start));
    assert_eq!(
        desk.state("T1"),
        (BindingState::Unbinding, "identity".into())
    );
    // The owner's last phone is given up meanwhile, and another one proven.
    desk.ok(revoke(desk.phone, true));
    assert!(desk.state("T1").1.contains("phone"));
    let second = desk.owner_phone(2);
    desk.checked(confirm(second));
    desk.ok(step(case, UnbindStep::Cancel("stays".into())));
    let (state, reasons) = desk.state("T1");
    assert_eq!(state, BindingState::Suspended);
    assert!(reasons.contains("identity") && reasons.contains("reconfirm"));
    assert!(!reasons.contains("phone"), "{reasons}");
}

#[test]
fn what_time_cannot_do_for_one_it_does_for_the_others() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    // Unbound by hand before its day: the case can never start.
    let actor = Actor::program("admin", Timestamp(desk.now));
    desk.registry
        .set_state(
            key("T1"),
            BindingState::Unbound,
            ReasonSet::EMPTY,
            None,
            &actor,
        )
        .unwrap();
    let second = desk.phone_of(2, ContactRole::Owner, Some(desk.phone));
    desk.prove_new(second);
    let seen = desk.evidence(&format!("contact {second}"), Allows::ReplaceContact);
    desk.checked(Command::ConsentToChange {
        contact: second,
        word: MerchantsWord::Evidence(seen),
        effective_at: Timestamp(0),
    });
    desk.now += 13 * 60 * MINUTE;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(desk.phone), ContactState::Revoked);
}

#[test]
fn who_waits_to_replace_a_phone_speaks_for_nobody() {
    let mut desk = Desk::new();
    let first = desk.phone_of(2, ContactRole::Owner, Some(desk.phone));
    desk.prove_new(first);
    let second = desk.phone_of(3, ContactRole::Owner, Some(desk.phone));
    desk.now += 30 * MINUTE;
    let sent = desk.send(first, Purpose::ChangePhoneOld, second).unwrap();
    desk.answer(sent, Purpose::ChangePhoneOld, RIGHT);
    let consent = Command::ConsentToChange {
        contact: second,
        word: MerchantsWord::Challenge(sent),
        effective_at: Timestamp(0),
    };
    let told = desk.refused(MAKER, consent);
    assert!(told.contains("exactly this"), "{told}");
    assert_eq!(desk.contact_state(desk.phone), ContactState::Verified);
}

#[test]
fn an_unbinding_is_proven_by_an_owners_phone_of_before_the_case() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let service = desk.phone_of(4, ContactRole::Service, None);
    desk.prove(service);
    let open = Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Online,
        reason: UnbindReason::Closure,
        note: "shop closes".into(),
        effective_at: Timestamp(desk.now),
    };
    let case = desk.ok(open).number;
    desk.ok(step(case, UnbindStep::Confirm(claim())));
    let late = desk.owner_phone(5);
    for contact in [service, late] {
        desk.now += 30 * MINUTE;
        let sent = desk.send(contact, Purpose::Unbind, case).unwrap();
        desk.answer(sent, Purpose::Unbind, RIGHT);
        desk.refused(
            MAKER,
            step(case, UnbindStep::Prove(MerchantsWord::Challenge(sent))),
        );
    }
    desk.now += 30 * MINUTE;
    let sent = desk.send(desk.phone, Purpose::Unbind, case).unwrap();
    desk.answer(sent, Purpose::Unbind, RIGHT);
    desk.ok(step(
        case,
        UnbindStep::Prove(MerchantsWord::Challenge(sent)),
    ));
}

#[test]
fn a_further_phone_of_the_owner_is_told_to_the_first_and_takes_its_place_after_a_night() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let told = |done: &Done, contact| done.notices.iter().any(|notice| notice.contact == contact);
    let added = desk.ok(Command::AddContact {
        acquirer: AcquirerId(1),
        merchant: merchant(),
        kind: ContactKind::Phone,
        role: ContactRole::Owner,
        value: sealed(2),
        replaces: None,
    });
    assert!(told(&added, desk.phone));
    let second = added.number;
    desk.now += 2 * MINUTE;
    let sent = desk.send(second, Purpose::VerifyContact, 0).unwrap();
    let verified = desk.ok(Command::CheckCode {
        challenge: sent,
        purpose: Purpose::VerifyContact,
        code: RIGHT,
    });
    assert!(told(&verified, desk.phone) && !told(&verified, second));
    let refused = desk.refused(MAKER, revoke(desk.phone, false));
    assert!(refused.contains("12 hours"), "{refused}");
    desk.now += 12 * 60 * MINUTE;
    desk.ok(revoke(desk.phone, false));
    assert_eq!(desk.state("T1").0, BindingState::Active);
}

#[test]
fn who_was_verified_when_an_unbinding_began_hears_of_its_end() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let first = desk.phone;
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    desk.ok(revoke(first, true));
    let started = desk.ok(step(case, UnbindStep::Start));
    let told: Vec<_> = started
        .notices
        .iter()
        .map(|notice| notice.contact)
        .collect();
    assert_eq!(told, [first]);
}

#[test]
fn a_terminal_is_activated_only_while_its_merchant_could_be_approved() {
    let mut desk = Desk::new();
    let binding = desk.requested("T1", "SN1");
    desk.checked(Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    });
    desk.now += 30 * MINUTE;
    let challenge = desk.send(desk.phone, Purpose::Bind, binding).unwrap();
    let activate = |challenge| Command::ActivateBinding {
        key: key("T1"),
        serial: "SN1".into(),
        challenge,
        code: RIGHT,
        shown: tested(),
        evidence: None,
    };
    desk.keys("SN1");
    desk.ok(revoke(desk.phone, true));
    let refused = desk.refused(MAKER, activate(challenge));
    assert!(refused.contains("verified phone of the owner"), "{refused}");
    desk.phone = desk.owner_phone(2);
    desk.checked(confirm(desk.phone));
    // The device was lost and found meanwhile.
    for event in [DeviceEvent::Lose, DeviceEvent::Find] {
        desk.ok(Command::Device {
            device: device("SN1"),
            event,
            custody: String::new(),
            note: String::new(),
        });
    }
    desk.now += 30 * MINUTE;
    let challenge = desk.send(desk.phone, Purpose::Bind, binding).unwrap();
    let refused = desk.refused(MAKER, activate(challenge));
    assert!(refused.contains("device is in-repair"), "{refused}");
    assert_eq!(desk.state("T1").0, BindingState::Activating);
}

#[test]
fn another_identity_document_has_to_be_verified_before_terminals_go_on() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let set = |number| Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: merchant(),
        name: String::new(),
        mcc: String::new(),
        kind: None,
        identity: Some((IdentityKind::IdentityCard, sealed(number))),
    };
    let same = desk.ok(set(99));
    assert_eq!(
        (desk.state("T1").0, same.notices.len()),
        (BindingState::Active, 0)
    );
    let done = desk.ok(set(98));
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "identity".into())
    );
    assert_eq!(done.changes.bindings.len(), 1, "the gate is told");
    assert_eq!(done.notices.len(), 1);
}

#[test]
fn a_number_that_was_locked_takes_codes_again_when_two_persons_verified_it() {
    let mut desk = Desk::new();
    let hash = sealed(1).hash;
    let wrong = "INSERT INTO wrong_code VALUES (?1, ?2)";
    for _ in 0..100 {
        desk.registry
            .db()
            .execute(wrong, rusqlite::params![hash, to_sql(desk.now)])
            .unwrap();
    }
    desk.now += 3 * DAY;
    let phone = desk.phone;
    assert!(desk.send(phone, Purpose::ChangePhoneOld, phone).is_err());
    desk.ok(Command::Contact {
        contact: phone,
        event: ContactEvent::Suspect,
        note: "locked".into(),
        evidence: None,
        last_too: true,
    });
    let evidence = desk.evidence(&format!("contact {phone}"), Allows::VerifyContact);
    desk.checked(Command::Contact {
        contact: phone,
        event: ContactEvent::Verify,
        note: String::new(),
        evidence: Some(evidence),
        last_too: false,
    });
    desk.send(phone, Purpose::ChangePhoneOld, phone).unwrap();
}

#[test]
fn no_account_opens_round_about() {
    let mut desk = Desk::new();
    let by_hand = |desk: &mut Desk, status| {
        let actor = Actor::program("admin", Timestamp(desk.now));
        desk.registry
            .set_account(AcquirerId(1), "A-001", status, None, &actor)
    };
    let event = |event, evidence| Command::Account {
        account: account("A-001"),
        event,
        note: "the bank says so".into(),
        evidence,
    };
    desk.ok(event(AccountEvent::Invalidate, None));
    desk.ok(event(AccountEvent::Freeze, None));
    let evidence = desk.evidence("account acme/A-001", Allows::UnfreezeAccount);
    desk.checked(event(AccountEvent::Unfreeze, Some(evidence)));
    let (_, _, status) = desk
        .registry
        .account(AcquirerId(1), "A-001")
        .unwrap()
        .unwrap();
    assert_eq!(
        status,
        AccountStatus::Unverified,
        "it was found invalid, and nobody verified it since"
    );
    desk.ok(event(AccountEvent::Close, None));
    for status in [AccountStatus::Verified, AccountStatus::Frozen] {
        let refused = by_hand(&mut desk, status).unwrap_err().to_string();
        assert!(
            refused.contains("closed accounts never change"),
            "{refused}"
        );
    }
    by_hand(&mut desk, AccountStatus::Closed).unwrap();
}

#[test]
fn no_note_holds_a_card_number() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let note = "card 4111111111111111 stolen";
    let Command::PlaceHold { key, explained, .. } = hold("T1", HoldScope::Refund) else {
        panic!("a hold");
    };
    let with_reason = Explained {
        reason: note.into(),
        ..explained.clone()
    };
    let with_documents = Explained {
        documents: note.into(),
        ..explained
    };
    let place = |explained| Command::PlaceHold {
        key,
        scope: HoldScope::Refund,
        explained,
    };
    let commands = [
        Command::Suspend {
            key,
            note: note.into(),
        },
        Command::Repend {
            key,
            reasons: ReasonSet::EMPTY.with(RependReason::Device),
            note: note.into(),
        },
        Command::Device {
            device: device("SN1"),
            event: DeviceEvent::Repair,
            custody: String::new(),
            note: note.into(),
        },
        Command::FileEvidence {
            about: "account acme/A-001".into(),
            allows: Allows::VerifyAccount,
            note: note.into(),
            sha256: String::new(),
        },
        place(with_reason),
        place(with_documents),
    ];
    for command in commands {
        let told = desk.refused(MAKER, command);
        assert!(told.contains("card number"), "{told}");
        assert!(!told.contains("4111"), "{told}");
    }
}

#[test]
fn time_suspends_what_nobody_proved_and_ends_what_nobody_finished() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.requested("T2", "SN2");
    desk.ok(revoke(desk.phone, true));
    desk.now += 29 * DAY;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T1").0, BindingState::RePending);
    assert_eq!(desk.state("T2").0, BindingState::Pending);
    desk.now += DAY;
    desk.ok(Command::Tick);
    assert_eq!(desk.state("T1"), (BindingState::Suspended, "phone".into()));
    assert_eq!(desk.state("T2").0, BindingState::Unbound);
    let done = desk.ok(Command::Tick);
    assert!(done.changes.bindings.is_empty(), "each thing happens once");
    let evidence = desk.evidence("terminal acme/T1", Allows::Resume);
    let resume = Command::Resume {
        key: key("T1"),
        evidence,
    };
    desk.checked(resume);
    assert_eq!(desk.state("T1"), (BindingState::RePending, "phone".into()));
}

#[test]
fn a_device_comes_back_to_stock_only_unbound_and_wiped() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let event = |event| Command::Device {
        device: device("SN1"),
        event,
        custody: "repair shop".into(),
        note: String::new(),
    };
    desk.ok(Command::LoadKeys {
        device: device("SN1"),
        check_values: vec![("tmk".into(), "A1B2C3".into())],
    });
    desk.ok(event(DeviceEvent::Repair));
    let bound = desk.refused(MAKER, event(DeviceEvent::Retire));
    assert!(bound.contains("terminal T1"), "{bound}");
    desk.ok(event(DeviceEvent::OrderWipe));
    desk.ok(event(DeviceEvent::Wiped));
    let shown = desk.registry.device_view(&device("SN1")).unwrap().unwrap();
    assert!(shown.keys.is_empty(), "wiped keys are gone");
    assert!(
        desk.refused(MAKER, event(DeviceEvent::Restock))
            .contains("terminal T1")
    );
    let key_itself = Command::LoadKeys {
        device: device("SN2"),
        check_values: vec![("tmk".into(), "0123456789ABCDEF0123456789ABCDEF".into())],
    };
    assert!(desk.refused(MAKER, key_itself).contains("check values"));
}

#[test]
fn the_database_itself_refuses_to_change_history() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Dormant),
        note: "idle".into(),
    });
    let db = desk.registry.db();
    for table in [
        "binding_change",
        "account_change",
        "device_change",
        "contact_change",
        "merchant_change",
    ] {
        for sql in [
            format!("UPDATE {table} SET actor = 'x'"),
            format!("DELETE FROM {table}"),
        ] {
            let refused = db.execute(&sql, []).unwrap_err().to_string();
            assert!(refused.contains("history is never"), "{sql}: {refused}");
        }
    }
    assert!(db.execute("DELETE FROM binding", []).is_err());
}

#[test]
fn what_is_refused_half_way_leaves_nothing() {
    let mut desk = Desk::new();
    let count = |desk: &Desk, table: &str| -> i64 {
        desk.registry
            .db()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    let before: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    // The case is the last thing that can fail: both bindings and the device were written by then.
    desk.active("T1", "SN1");
    let after_active: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    assert_ne!(before, after_active);
    desk.ok(Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Counter,
        reason: UnbindReason::Fault,
        note: "broken".into(),
        effective_at: Timestamp(0),
    });
    let with_case: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    let replace = Command::OpenReplacement {
        key: key("T1"),
        new_key: key("T2"),
        serial: "SN2".into(),
        note: "worn out".into(),
    };
    assert!(desk.refused(MAKER, replace).contains("one case at a time"));
    let after: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    assert_eq!(after, with_case);
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

/// bindings test 10: the counters go along with the replacement, and whatever is set later is set for both.
#[test]
fn t10_a_replacement_shares_the_limit_and_its_counter() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    desk.ok(set_limits(Limited::Terminal(key("T1")), 1_000, None));
    desk.checked(Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), None),
    });
    let (old, new) = (
        desk.registry.limit_row(&Limited::Terminal(key("T1"))),
        desk.registry.limit_row(&Limited::Terminal(key("T2"))),
    );
    let (old, new) = (old.unwrap().unwrap(), new.unwrap().unwrap());
    assert_eq!(old, new);
    assert_eq!(new.version, 1);
    desk.ok(set_limits(Limited::Terminal(key("T2")), 900, None));
    let old = desk.registry.limit_row(&Limited::Terminal(key("T1")));
    let old = old.unwrap().unwrap();
    assert_eq!((old.version, old.limits.day_amount), (2, Some(900)));
    share_a_counter(&mut desk);
}

#[test]
fn a_limit_that_is_set_after_a_replacement_counts_what_the_old_device_took() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    desk.checked(Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), None),
    });
    let done = desk.ok(set_limits(Limited::Terminal(key("T2")), 1_000, None));
    assert_eq!(done.changes.limits[0].subjects.len(), 2);
}

#[test]
fn a_person_with_two_shops_has_one_limit_and_raising_it_takes_two_persons() {
    let mut desk = Desk::new();
    let second = MerchantId::parse("104110041200002").unwrap();
    let of = |merchant| Limited::Merchant(AcquirerId(1), merchant);
    desk.ok(set_limits(of(merchant()), 1_000, None));
    // The same identity document: it shares what the first one has.
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: second,
        name: "Second shop".into(),
        mcc: "5411".into(),
        kind: Some(MerchantKind::Individual),
        identity: Some((IdentityKind::IdentityCard, sealed(99))),
    });
    let (one, two) = (
        desk.registry.limit_row(&of(merchant())).unwrap(),
        desk.registry.limit_row(&of(second)).unwrap(),
    );
    assert_eq!(one, two);
    assert_eq!(one.unwrap().limits.day_amount, Some(1_000));
    share_a_counter(&mut desk);
    let refused = desk.refused(CHECKER, set_limits(of(second), 2_000, None));
    assert!(refused.contains("evidence"), "{refused}");
    let about = format!("merchant acme/{}", second.as_str());
    let evidence = desk.evidence(&about, Allows::RaiseLimit);
    let refused = desk.refused(MAKER, set_limits(of(second), 2_000, Some(evidence)));
    assert!(refused.contains("another person"), "{refused}");
    desk.checked(set_limits(of(second), 2_000, Some(evidence)));
    let one = desk.registry.limit_row(&of(merchant())).unwrap().unwrap();
    assert_eq!((one.version, one.limits.day_amount), (2, Some(2_000)));
    // To be rid of a limit is to raise it.
    let none = Command::SetLimits {
        of: of(second),
        limits: Limits::NONE,
        note: "not needed".into(),
        evidence: None,
    };
    assert!(desk.refused(MAKER, none).contains("evidence"));
}

#[test]
fn limits_that_say_nothing_or_of_nobody_are_refused() {
    let mut desk = Desk::new();
    let none = Command::SetLimits {
        of: Limited::Account(account("A-001")),
        limits: Limits::NONE,
        note: "why".into(),
        evidence: None,
    };
    assert!(desk.refused(MAKER, none).contains("there are none"));
    let stranger = Limited::Account(account("A-999"));
    let refused = desk.refused(MAKER, set_limits(stranger.clone(), 1, None));
    assert!(refused.contains("A-999"), "{refused}");
    assert_eq!(desk.registry.limit_row(&stranger).unwrap(), None);
    let mut uncurrencied = set_limits(Limited::Account(account("A-001")), 1, None);
    if let Command::SetLimits { limits, .. } = &mut uncurrencied {
        limits.currency = Currency::NONE;
    }
    assert!(desk.refused(MAKER, uncurrencied).contains("currency"));
}

/// What a person writes goes into the audit trail, to the merchant and into events.
#[test]
fn words_hold_no_card_number_and_end_somewhere() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    for (note, expect) in [
        ("card 4761739001010010 stolen", "looks like a card number"),
        (
            "card 4761 7390 0101 0010 stolen",
            "looks like a card number",
        ),
        (&*"x".repeat(501), "501 characters, 500 are allowed"),
        ("two\nlines", "cannot be printed"),
    ] {
        let note = || note.to_owned();
        let explained = |reason: String, appeal: String| Explained {
            reason,
            remedy: "inspection".into(),
            documents: String::new(),
            appeal,
        };
        let hold = |explained| Command::PlaceHold {
            key: key("T1"),
            scope: HoldScope::Settlement,
            explained,
        };
        for command in [
            Command::Suspend {
                key: key("T1"),
                note: note(),
            },
            Command::Repend {
                key: key("T1"),
                reasons: ReasonSet::EMPTY.with(RependReason::Identity),
                note: note(),
            },
            Command::FileEvidence {
                about: "terminal acme/T1".into(),
                allows: Allows::Resume,
                note: note(),
                sha256: SHA.into(),
            },
            hold(explained(note(), "desk".into())),
            hold(explained("tip".into(), note())),
        ] {
            let refused = desk.refused(MAKER, command);
            assert!(refused.contains(expect), "{refused}");
            assert!(!refused.contains("4761"), "{refused}");
        }
    }
}

/// What was sold on the old device waits as long as its shop is held, also after its binding is closed; holds of later
/// change nothing of that.
#[test]
fn a_hold_stops_the_payout_of_a_whole_line_and_of_closed_bindings() {
    let mut desk = Desk::new();
    let old = BindingId(desk.active("T1", "SN1"));
    let place = |key| Command::PlaceHold {
        key,
        scope: HoldScope::Settlement,
        explained: Explained {
            reason: "position".into(),
            remedy: "inspection".into(),
            documents: String::new(),
            appeal: "service desk".into(),
        },
    };
    let day_of = |at: Timestamp| {
        let start = Timestamp(at.0 / DAY * DAY);
        Some(start..Timestamp(start.0 + DAY))
    };
    let sold = Timestamp(desk.now);
    desk.now += MINUTE;
    let hold = desk.ok(place(key("T1"))).number;
    let case = replaced(&mut desk);
    desk.now += DAY;
    for step in [
        ReplaceStep::CutOver("N-3".into(), None),
        ReplaceStep::Drained(Outstanding::default()),
    ] {
        desk.checked(Command::Replacement { case, step });
    }
    let new = desk.admission("T2").binding;
    desk.now += DAY;
    let paid = |desk: &mut Desk, binding| {
        let history = desk.registry.payout_history(binding).unwrap();
        history.paid_in(None, sold, &day_of)
    };
    assert_eq!((paid(&mut desk, old), paid(&mut desk, new)), (None, None));
    assert_eq!(desk.registry.payouts_stopped().unwrap(), [old, new]);
    let note = "inspected".to_owned();
    desk.checked(Command::LiftHold { hold, note });
    let today = day_of(Timestamp(desk.now));
    assert_eq!(paid(&mut desk, old), today);
    let changed = desk.registry.payouts_changed(today.clone().unwrap());
    assert_eq!(changed.unwrap(), [old, new]);
    desk.now += DAY;
    desk.ok(place(key("T2")));
    assert_eq!(paid(&mut desk, old), today);
    assert_eq!(paid(&mut desk, new), today);
}

#[test]
fn a_case_at_the_counter_is_proven_by_two_who_saw_the_originals() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let open = |channel| Command::OpenUnbinding {
        key: key("T1"),
        channel,
        reason: UnbindReason::Closure,
        note: "shop closes".into(),
        effective_at: Timestamp(1),
    };
    let case = desk.ok(open(Channel::Counter)).number;
    desk.ok(step(case, UnbindStep::Confirm(claim())));
    let prove = |case, evidence| step(case, UnbindStep::Prove(MerchantsWord::Evidence(evidence)));
    let seen = desk.evidence(&format!("case {case}"), Allows::ProveIdentity);
    for same in [MAKER, "LI WEI", "Li W\u{435}i"] {
        let told = desk.refused(same, prove(case, seen));
        assert!(told.contains("another person"), "{same}: {told}");
    }
    let coded = step(case, UnbindStep::Prove(MerchantsWord::Challenge(1)));
    let told = desk.refused(MAKER, coded);
    assert!(told.contains("two members of staff"), "{told}");
    desk.checked(prove(case, seen));
    let view = desk.registry.case_view(case).unwrap().unwrap();
    let Some(CaseBody::Unbinding(body)) = view.body else {
        panic!("{view:?}");
    };
    let counter = crate::binding::unbinding::Proof::Counter {
        first: MAKER.into(),
        second: CHECKER.into(),
    };
    assert_eq!(body.proof, Some(counter));
    desk.ok(step(case, UnbindStep::Cancel("stays".into())));
    // What was seen for one case is nothing for another, and a case online takes no word of staff.
    let case = desk.ok(open(Channel::Online)).number;
    desk.ok(step(case, UnbindStep::Confirm(claim())));
    let told = desk.refused(CHECKER, prove(case, seen));
    assert!(told.contains("a code on a contact"), "{told}");
}

#[test]
fn evidence_is_refused_taken_back_or_lapses_and_the_trail_has_it() {
    let mut desk = Desk::new();
    let phone = desk.phone_of(2, ContactRole::Owner, Some(desk.phone));
    let about = format!("contact {phone}");
    let events = |desk: &Desk| -> Vec<String> {
        let mut all = desk
            .registry
            .db()
            .prepare("SELECT event FROM audit WHERE event LIKE 'evidence.%' ORDER BY number DESC LIMIT 2")
            .unwrap();
        let rows = all.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let refuse = |evidence| Command::RefuseEvidence {
        evidence,
        note: "that is not the owner".into(),
    };
    let consent = |evidence| Command::ConsentToChange {
        contact: phone,
        word: MerchantsWord::Evidence(evidence),
        effective_at: Timestamp(0),
    };
    let first = desk.evidence(&about, Allows::ReplaceContact);
    desk.checked(refuse(first));
    assert_eq!(events(&desk), ["evidence.refused", "evidence.filed"]);
    let told = desk.refused(CHECKER, consent(first));
    assert!(told.contains("was refused"), "{told}");
    assert!(desk.refused(CHECKER, refuse(first)).contains("is refused"));
    let second = desk.evidence(&about, Allows::ReplaceContact);
    desk.ok(refuse(second));
    assert_eq!(events(&desk)[0], "evidence.withdrawn");
    let third = desk.evidence(&about, Allows::ReplaceContact);
    desk.now += 7 * DAY;
    desk.ok(Command::Tick);
    assert_eq!(events(&desk)[0], "evidence.filed");
    desk.now += 1;
    desk.ok(Command::Tick);
    desk.ok(Command::Tick);
    assert_eq!(events(&desk), ["evidence.lapsed", "evidence.filed"]);
    let told = desk.refused(CHECKER, refuse(third));
    assert!(told.contains("older than a week"), "{told}");
    assert!(desk.refused(CHECKER, refuse(99)).contains("99"));
    let listed = desk
        .registry
        .evidence_views(Timestamp(desk.now - DAY), Part::first(10))
        .unwrap();
    let listed: Vec<_> = listed.iter().map(|each| each.evidence).collect();
    assert_eq!(
        listed,
        [third],
        "neither what was refused nor what was taken back"
    );
}

#[test]
fn nobody_gives_a_shops_word_to_a_phone_alone() {
    for event in [ContactEvent::Revoke, ContactEvent::Suspect] {
        let mut desk = Desk::new();
        desk.active("T1", "SN1");
        desk.ok(Command::Contact {
            contact: desk.phone,
            event,
            note: "number given up".into(),
            evidence: None,
            last_too: true,
        });
        let new = desk.owner_phone(2);
        // It is verified, and the shop waits.
        assert_eq!(desk.contact_state(new), ContactState::Verified);
        let phone = (BindingState::RePending, "phone".to_owned());
        assert_eq!(desk.state("T1"), phone);
        // Not by waiting, not by entering a third one that the second agrees to, nor by replacing another contact.
        desk.now += DAY;
        desk.ok(Command::Tick);
        assert_eq!(desk.state("T1"), phone);
        let third = desk.phone_of(3, ContactRole::Owner, Some(new));
        desk.prove_new(third);
        desk.now += 30 * MINUTE;
        let sent = desk.send(new, Purpose::ChangePhoneOld, third).unwrap();
        desk.answer(sent, Purpose::ChangePhoneOld, RIGHT);
        let consent = |contact, sent| Command::ConsentToChange {
            contact,
            word: MerchantsWord::Challenge(sent),
            effective_at: Timestamp(0),
        };
        let told = desk.refused(MAKER, consent(third, sent));
        assert!(told.contains("exactly this"), "{told}");
        let service = desk.phone_of(4, ContactRole::Service, None);
        desk.prove(service);
        let fourth = desk.phone_of(5, ContactRole::Owner, Some(service));
        desk.prove_new(fourth);
        desk.now += 30 * MINUTE;
        let sent = desk.send(service, Purpose::ChangePhoneOld, fourth).unwrap();
        desk.answer(sent, Purpose::ChangePhoneOld, RIGHT);
        let told = desk.refused(MAKER, consent(fourth, sent));
        assert!(told.contains("exactly this"), "{told}");
        assert_eq!(desk.state("T1"), phone);
        // Who entered it does not confirm it, however the name is written.
        for same in [MAKER, "li  WEI", "L\u{456} Wei"] {
            let told = desk.refused(same, confirm(new));
            assert!(told.contains("another person"), "{told}");
        }
        desk.checked(confirm(new));
        assert_eq!(desk.state("T1"), (BindingState::Active, String::new()));
        let told = desk.refused(CHECKER, confirm(new));
        assert!(told.contains("speaks for the merchant already"), "{told}");
        let told = desk.refused(CHECKER, confirm(service));
        assert!(told.contains("a code is enough"), "{told}");
    }
}

#[test]
fn what_was_doubted_speaks_again_when_its_code_comes_back() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::Contact {
        contact: desk.phone,
        event: ContactEvent::Suspect,
        note: "messages come back".into(),
        evidence: None,
        last_too: false,
    });
    assert_eq!(desk.state("T1").1, "phone");
    desk.now += 30 * MINUTE;
    desk.prove(desk.phone);
    assert_eq!(desk.state("T1"), (BindingState::Active, String::new()));
}

#[test]
fn a_further_phone_says_nothing_of_money_in_its_first_night_and_none_when_nobody_can_object() {
    let mut desk = Desk::new();
    let binding = desk.active("T1", "SN1");
    desk.account_of_merchant("A-002");
    desk.ok(Command::RequestAccountChange {
        key: key("T1"),
        account: "A-002".into(),
        note: "new bank".into(),
    });
    let further = desk.owner_phone(2);
    let agrees = |desk: &mut Desk| {
        desk.now += 30 * MINUTE;
        let sent = desk.send(further, Purpose::ChangeAccount, binding).unwrap();
        desk.answer(sent, Purpose::ChangeAccount, RIGHT);
        desk.by(
            MAKER,
            Command::ConfirmAccountChange {
                key: key("T1"),
                word: MerchantsWord::Challenge(sent),
            },
        )
    };
    let told = agrees(&mut desk).unwrap_err().to_string();
    assert!(told.contains("exactly this"), "{told}");
    // The first is given up before the night is over: there is nobody to object any more, and the night helps nobody.
    desk.ok(revoke(desk.phone, true));
    desk.now += 12 * 60 * MINUTE;
    desk.ok(Command::Tick);
    assert!(agrees(&mut desk).is_err());
    assert_eq!(desk.state("T1").1, "phone");
    desk.checked(confirm(further));
    agrees(&mut desk).unwrap();
}

#[test]
fn an_activation_code_goes_to_the_owners_phone_and_to_no_other() {
    let mut desk = Desk::new();
    let binding = desk.requested("T1", "SN1");
    desk.checked(Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    });
    let till = desk.phone_of(4, ContactRole::Operator, None);
    desk.prove(till);
    let further = desk.owner_phone(5);
    desk.now += 30 * MINUTE;
    for other in [till, further] {
        let told = desk.send(other, Purpose::Bind, binding).unwrap_err();
        assert!(
            told.to_string().contains("speaks for the merchant"),
            "{told}"
        );
    }
    desk.send(desk.phone, Purpose::Bind, binding).unwrap();
}

/// bindings §4.2, row 5: the device has its keys and passed its test.
#[test]
fn a_terminal_is_activated_when_its_device_was_tested_and_has_keys_or_a_second_person_says_so() {
    let mut desk = Desk::new();
    let binding = desk.requested("T1", "SN1");
    desk.checked(Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    });
    desk.now += 30 * MINUTE;
    let challenge = desk.send(desk.phone, Purpose::Bind, binding).unwrap();
    let activate = |code, shown, evidence| Command::ActivateBinding {
        key: key("T1"),
        serial: "SN1".into(),
        challenge,
        code,
        shown,
        evidence,
    };
    let untested = TestsShown::default();
    let told = desk.refused(MAKER, activate(RIGHT, untested, None));
    assert!(
        told.contains("no test of the terminal was approved"),
        "{told}"
    );
    assert!(
        told.contains("evidence file \"terminal acme/T1\" activate"),
        "{told}"
    );
    let told = desk.refused(MAKER, activate(RIGHT, tested(), None));
    assert!(told.contains("no keys are on record"), "{told}");
    // The word of a second person, whom a wrong code does not use up, and no other evidence.
    let other = desk.evidence("terminal acme/T1", Allows::Resume);
    let told = desk.refused(CHECKER, activate(RIGHT, untested, Some(other)));
    assert!(told.contains("and nothing else"), "{told}");
    let seen = desk.evidence("terminal acme/T1", Allows::Activate);
    let told = desk.refused(MAKER, activate(RIGHT, untested, Some(seen)));
    assert!(told.contains("another person"), "{told}");
    let wrong = desk.checked(activate(WRONG, untested, Some(seen)));
    assert_eq!(wrong.verdict, Some(Verdict::Wrong { left: 4 }));
    desk.checked(activate(RIGHT, untested, Some(seen)));
    assert_eq!(desk.state("T1").0, BindingState::Active);
    let changes = desk.registry.binding_changes(BindingId(binding)).unwrap();
    assert_eq!(changes.last().unwrap().checker, MAKER);
}

#[test]
fn what_the_journal_would_show_of_a_new_device_is_in_it_or_two_persons_say_so() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = desk
        .ok(Command::OpenReplacement {
            key: key("T1"),
            new_key: key("T2"),
            serial: "SN2".into(),
            note: "worn out".into(),
        })
        .number;
    let said = |test, passed, shown, evidence| Command::Replacement {
        case,
        step: ReplaceStep::Tested {
            test,
            passed,
            shown,
            evidence,
        },
    };
    let untested = TestsShown::default();
    for test in DeviceTest::ALL {
        let done = desk.by(MAKER, said(*test, true, untested, None));
        match test {
            DeviceTest::SaleAndVoid | DeviceTest::Reversal => {
                let told = done.unwrap_err().to_string();
                assert!(told.contains("the new terminal has no"), "{told}");
                // That it failed needs nobody's proof.
                desk.ok(said(*test, false, untested, None));
            }
            _others => assert!(done.is_ok(), "{test}"),
        }
    }
    let seen = desk.evidence(&format!("case {case}"), Allows::Activate);
    let word = said(DeviceTest::Reversal, true, untested, Some(seen));
    assert!(desk.refused(MAKER, word.clone()).contains("another person"));
    desk.by("Zhao Liu", word).unwrap();
    desk.ok(said(DeviceTest::SaleAndVoid, true, tested(), None));
    desk.keys("SN2");
    let cut_over = || Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-2".into(), None),
    };
    // Who said of a test that it passed is none who agrees.
    let told = desk.refused("Zhao Liu", cut_over());
    assert!(told.contains("another person"), "{told}");
    desk.checked(cut_over());
    let view = desk.registry.case_view(case).unwrap().unwrap();
    let Some(CaseBody::Replacement(body)) = view.body else {
        panic!("{view:?}");
    };
    let found = |test| body.said.iter().find(|said| said.test == test).unwrap();
    assert_eq!(found(DeviceTest::SaleAndVoid).transaction, Some(7));
    let reversal = found(DeviceTest::Reversal);
    assert_eq!(
        (reversal.by.as_str(), reversal.second.as_deref()),
        ("Zhao Liu", Some(MAKER))
    );
}

/// Make before break, on a day that was said before: both numbers are known until then, and the shop trades throughout.
#[test]
fn a_planned_change_of_a_phone_takes_effect_on_its_day() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let old = desk.phone;
    let new = desk.phone_of(2, ContactRole::Owner, Some(old));
    desk.prove_new(new);
    desk.now += 30 * MINUTE;
    let sent = desk.send(old, Purpose::ChangePhoneOld, new).unwrap();
    desk.answer(sent, Purpose::ChangePhoneOld, RIGHT);
    let day = desk.now + 10 * DAY;
    let consent = |effective_at| Command::ConsentToChange {
        contact: new,
        word: MerchantsWord::Challenge(sent),
        effective_at: Timestamp(effective_at),
    };
    let told = desk.refused(MAKER, consent(day + 90 * DAY));
    assert!(told.contains("90 days"), "{told}");
    let done = desk.ok(consent(day));
    assert!(done.notices.iter().any(|notice| notice.contact == old));
    let planned = desk.registry.contact_view(new).unwrap().unwrap();
    assert_eq!(planned.effective_at_us, Some(day));
    for now in [desk.now + MINUTE, day - 1] {
        desk.now = now;
        desk.ok(Command::Tick);
        assert_eq!(desk.contact_state(old), ContactState::Verified);
        assert_eq!(desk.contact_state(new), ContactState::Verified);
    }
    // The new one says nothing before its day, and everything after it.
    desk.now = day + DAY;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(old), ContactState::Revoked);
    assert_eq!(desk.state("T1"), (BindingState::Active, String::new()));
    let shown = desk.registry.contact_view(new).unwrap().unwrap();
    assert_eq!(
        (shown.replaces, shown.speaks_from_us),
        (None, Some(desk.now))
    );
    desk.ok(Command::Tick);
    let after = desk.registry.contact_view(new).unwrap().unwrap();
    assert_eq!(after.version, shown.version);
}

#[test]
fn a_planned_change_whose_new_phone_is_given_up_comes_to_nothing() {
    let mut desk = Desk::new();
    let old = desk.phone;
    let new = desk.phone_of(2, ContactRole::Owner, Some(old));
    desk.prove_new(new);
    let seen = desk.evidence(&format!("contact {new}"), Allows::ReplaceContact);
    let day = desk.now + 2 * DAY;
    desk.checked(Command::ConsentToChange {
        contact: new,
        word: MerchantsWord::Evidence(seen),
        effective_at: Timestamp(day),
    });
    desk.now += DAY;
    desk.ok(Command::Tick);
    assert_eq!(
        desk.contact_state(old),
        ContactState::Verified,
        "the night is over, the day has not come"
    );
    desk.ok(revoke(new, false));
    desk.now = day + DAY;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(old), ContactState::Verified);
}

#[test]
fn programs_hear_what_becomes_of_an_account() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let frozen = desk.ok(Command::Account {
        account: account("A-001"),
        event: AccountEvent::Freeze,
        note: "the bank froze it".into(),
        evidence: None,
    });
    let told: Vec<_> = frozen
        .told
        .iter()
        .map(|told| (told.event, told.object.as_str(), told.version))
        .collect();
    assert_eq!(
        told,
        [("account.frozen", "account acme/A-001", frozen.version)]
    );
    assert_eq!(frozen.told[0].data["before"], "verified");
    assert_eq!(frozen.told[0].data["status"], "frozen");
}

/// bindings §4.2, row 10: the address where a device stands is one of the five things that the network knows.
#[test]
fn another_address_of_a_device_is_verified_by_two_persons() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let place = |address: &str| Command::Place {
        key: key("T1"),
        address: address.into(),
        note: "inspection".into(),
    };
    let shown = |desk: &mut Desk, terminal: &str| {
        let row = desk.registry.show(key(terminal)).unwrap().unwrap();
        row.placement
    };
    assert_eq!(shown(&mut desk, "T1"), "");
    assert!(desk.refused(MAKER, place(" ")).contains("missing"));
    // The first address is only kept.
    desk.ok(place("1 Long Street "));
    assert_eq!(desk.state("T1").0, BindingState::Active);
    assert_eq!(shown(&mut desk, "T1"), "1 Long Street");
    let told = desk.refused(MAKER, place("1 Long Street"));
    assert!(told.contains("on record already"), "{told}");
    let moved = desk.ok(place("2 Short Street"));
    assert_eq!(
        desk.state("T1"),
        (BindingState::RePending, "location".into())
    );
    assert_eq!(moved.changes.bindings.len(), 1, "the gate is told");
    assert_eq!(moved.notices.len(), 1);
    let evidence = desk.evidence(
        "terminal acme/T1",
        Allows::ClearReason(RependReason::Location),
    );
    let clear = || Command::ClearReason {
        key: key("T1"),
        reason: RependReason::Location,
        evidence,
    };
    assert!(desk.refused(MAKER, clear()).contains("another person"));
    desk.checked(clear());
    assert_eq!(desk.state("T1"), (BindingState::Active, String::new()));
    // What takes over stands where the other one stood; while it is only tested, its address may be put right.
    let case = replaced(&mut desk);
    assert_eq!(shown(&mut desk, "T2"), "2 Short Street");
    desk.ok(Command::Place {
        key: key("T2"),
        address: "2 Short Street, first floor".into(),
        note: "a slip of the pen".into(),
    });
    assert_eq!(desk.state("T2").0, BindingState::Activating);
    let step = ReplaceStep::CutOver("N-2".into(), None);
    desk.checked(Command::Replacement { case, step });
    assert_eq!(desk.state("T2").0, BindingState::Active);
}

#[test]
fn a_merchants_name_passes_for_no_other() {
    let mut desk = Desk::new();
    let set = |name: &str| Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: merchant(),
        name: name.into(),
        mcc: String::new(),
        kind: None,
        identity: None,
    };
    let told = desk.refused(MAKER, set("B\u{430}nk Noodles"));
    assert!(told.contains("several scripts"), "{told}");
    assert!(
        desk.refused(MAKER, set("Noodles\u{202E}"))
            .contains("cannot be printed")
    );
    for name in ["面馆 Noodles", "Лапша Noodles", "Café Noël"] {
        desk.ok(set(name));
    }
}
