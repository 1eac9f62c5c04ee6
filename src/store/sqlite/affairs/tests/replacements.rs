//! One device takes over from another.

use super::*;

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
fn a_new_device_that_was_lost_meanwhile_does_not_take_over() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = replaced(&mut desk);
    for event in [DeviceEvent::Lose, DeviceEvent::Find] {
        desk.ok(Command::Device {
            device: device("SN2"),
            event,
            custody: String::new(),
            note: "left in a taxi".into(),
        });
    }
    let go = Command::Replacement {
        case,
        step: ReplaceStep::CutOver("N-3".into(), None),
    };
    let told = desk.refused(CHECKER, go);
    assert!(
        told.contains("the new device is in-repair") && told.contains("from stock"),
        "{told}"
    );
    assert_eq!(desk.state("T1").0, BindingState::Active);
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
