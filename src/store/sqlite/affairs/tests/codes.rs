//! Codes: what they are good for, and how many there are.

use super::*;

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
