//! How much may be taken.

use super::*;

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
