//! How a terminal comes to trade.

use super::*;

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
    // Checked by itself it would be used up for nothing.
    let check = Command::CheckCode {
        challenge,
        purpose: Purpose::Bind,
        code: RIGHT,
    };
    let told = desk.refused(MAKER, check);
    assert!(told.contains("`posgate binding activate`"), "{told}");
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
    let opened = (1, "binding.opened");
    assert_eq!(
        told,
        [opened, (2, "binding.approved"), (3, "binding.activated")]
    );
}

#[test]
fn a_merchant_whose_document_nobody_entered_gets_no_terminal() {
    let mut desk = Desk::new();
    desk.requested("T1", "SN1");
    // As an import leaves it.
    desk.registry
        .db()
        .execute(
            "UPDATE merchant SET identity = NULL, identity_hash = NULL",
            [],
        )
        .unwrap();
    let approve = || Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    };
    let told = desk.refused(CHECKER, approve());
    assert!(
        told.contains("identity document") && told.contains("posgate merchant set"),
        "{told}"
    );
    desk.ok(Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: merchant(),
        name: String::new(),
        mcc: String::new(),
        kind: None,
        identity: Some((IdentityKind::Licence, sealed(5))),
    });
    desk.checked(approve());
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
