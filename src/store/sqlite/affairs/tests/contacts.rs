//! Whose phone speaks for a merchant, and how it changes.

use super::*;

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
    let agreed = desk.checked(consent(seen));
    // It may not be a stranger's at all, and its holder know nothing of this.
    let holder = agreed.notices.iter().find(|notice| notice.contact == old);
    let told = &holder.unwrap().text;
    assert!(told.ends_with("8002 takes effect in 12 hours"), "{told}");
    let shown = desk.registry.contact_view(new).unwrap().unwrap();
    assert_eq!(shown.effective_at_us, Some(desk.now + 12 * 60 * MINUTE));
    let told = desk.refused(CHECKER, consent(seen));
    assert!(told.contains("used already"), "{told}");
    desk.prove(new);
    assert_eq!(desk.contact_state(old), ContactState::Verified);
    desk.now += 12 * 60 * MINUTE;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(old), ContactState::Revoked);
    assert_eq!(desk.contact_state(new), ContactState::Verified);
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
    let given_up = desk.ok(revoke(new, false));
    let told: Vec<_> = given_up.notices.iter().map(|n| n.text.as_str()).collect();
    assert!(!told.is_empty());
    for text in told {
        assert!(
            text.starts_with("the contact ") && text.contains(" was given up: "),
            "{text}"
        );
    }
    desk.now = day + DAY;
    desk.ok(Command::Tick);
    assert_eq!(desk.contact_state(old), ContactState::Verified);
}
