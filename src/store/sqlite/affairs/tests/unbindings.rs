//! Unbinding, from the case to the watch.

use super::*;

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
    assert!(!desk.checked(approve()).returned);
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
fn an_unbinding_begins_at_its_time_and_not_before() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let never = Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Online,
        reason: UnbindReason::Closure,
        note: "shop closes".into(),
        effective_at: Timestamp(u64::MAX),
    };
    let told = desk.refused(MAKER, never);
    assert!(told.contains("more than ten years ahead"), "{told}");
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

/// What an unbinding comes to is not done beside it by hand: the case would go on and never end.
#[test]
fn a_terminal_with_an_open_case_is_not_unbound_by_hand() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let hand = Actor::program("admin", Timestamp(desk.now));
    let none = ReasonSet::EMPTY;
    let set = |desk: &mut Desk, state| {
        let set = desk.registry.set_state(key("T1"), state, none, None, &hand);
        set.map(drop).map_err(|refused| refused.to_string())
    };
    for state in [BindingState::Unbinding, BindingState::Unbound] {
        let told = set(&mut desk, state).unwrap_err();
        assert!(told.contains(&format!("case {case}")), "{told}");
    }
    // Until the drain begins it may be stopped, and let go on.
    for state in [BindingState::Suspended, BindingState::Active] {
        set(&mut desk, state).unwrap();
    }
    desk.ok(step(case, UnbindStep::Cancel("they stay".into())));
    set(&mut desk, BindingState::Unbound).unwrap();
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
    assert_eq!((done.number, done.returned), (case, true));
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
