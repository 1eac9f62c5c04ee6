//! Where money goes.

use super::*;

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

/// What a witness saw was of one account: it does not move money to the next one that somebody asks for.
#[test]
fn evidence_of_a_change_that_was_taken_back_is_none_of_the_next_one() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.account_of_merchant("A-002");
    desk.account_of_merchant("A-003");
    let request = |account: &str| Command::RequestAccountChange {
        key: key("T1"),
        account: account.into(),
        note: "new bank".into(),
    };
    desk.ok(request("A-002"));
    desk.now += MINUTE;
    let evidence = desk.evidence("terminal acme/T1", Allows::ChangeAccount);
    desk.now += MINUTE;
    desk.ok(Command::CancelAccountChange {
        key: key("T1"),
        note: "a mistake".into(),
    });
    desk.ok(request("A-003"));
    let confirm = |evidence| Command::ConfirmAccountChange {
        key: key("T1"),
        word: MerchantsWord::Evidence(evidence),
    };
    let told = desk.refused(CHECKER, confirm(evidence));
    assert!(told.contains("filed before"), "{told}");
    desk.now += MINUTE;
    let evidence = desk.evidence("terminal acme/T1", Allows::ChangeAccount);
    desk.checked(confirm(evidence));
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
    assert_eq!(history, "alipay:4|alipay:4|alipay:4|wechat:3 alipay:4");
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
