//! What time does.

use super::*;

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
fn what_time_cannot_do_for_one_it_does_for_the_others() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let case = submitted(&mut desk);
    let impact = Box::new(desk.impact());
    desk.checked(step(case, UnbindStep::Approve(impact)));
    // As an older build left it, unbound by hand before its day: the case can never start.
    desk.registry
        .db()
        .execute(
            "UPDATE binding SET state = 'unbound', closed_at = 1 WHERE id = 1",
            [],
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

/// bindings §5: whose a terminal was at any time, in which state, and where its money went.
#[test]
fn what_a_terminal_was_is_known_for_every_moment_since_it_was_opened() {
    let mut desk = Desk::new();
    desk.account_of_kind("W-1", AccountKind::WeChat);
    desk.account_of_kind("W-2", AccountKind::WeChat);
    let opened = desk.now;
    let accounts = ["A-001".to_owned(), "W-1".to_owned()];
    desk.ok(Command::RequestBinding {
        key: key("T1"),
        merchant: merchant(),
        accounts: accounts.to_vec(),
        serial: "SN1".into(),
        evidence: None,
    });
    let then = |desk: &mut Desk, at: u64| {
        let found = desk.registry.binding_at(key("T1"), Timestamp(at)).unwrap();
        found.map(|then| {
            let state = then.state.map(BindingState::name);
            let reasons: Vec<_> = then.reasons.iter().map(RependReason::name).collect();
            assert_eq!(then.opened_at.0, opened);
            assert_eq!(then.serial.as_deref(), Some("SN1"));
            (
                then.version,
                state,
                reasons.concat(),
                then.accounts,
                then.since.0,
            )
        })
    };
    let was = |version, state, reasons: &str, accounts: &[String], since| {
        Some((
            Some(version),
            Some(state),
            reasons.to_owned(),
            accounts.to_vec(),
            since,
        ))
    };
    // Nothing changed yet.
    let pending = was(1, "pending", "", &accounts, opened);
    assert_eq!(then(&mut desk, opened - 1), None);
    assert_eq!(then(&mut desk, opened), pending);

    desk.now += 60 * MINUTE;
    let approved = desk.now;
    desk.checked(Command::ApproveBinding {
        key: key("T1"),
        network: "N-1".into(),
    });
    desk.now += 60 * MINUTE;
    let (hand, moved) = (Actor::program("admin", Timestamp(desk.now)), desk.now);
    let phone = ReasonSet::EMPTY.with(RependReason::Phone);
    let mut by_hand = |state, reasons| {
        desk.registry
            .set_state(key("T1"), state, reasons, None, &hand)
            .unwrap();
    };
    by_hand(BindingState::Active, ReasonSet::EMPTY);
    by_hand(BindingState::RePending, phone);
    desk.now += 60 * MINUTE;
    let redirected = desk.now;
    desk.ok(Command::RequestAccountChange {
        key: key("T1"),
        account: "W-2".into(),
        note: "new".into(),
    });
    desk.agrees("T1");
    desk.checked(Command::ApproveAccountChange {
        key: key("T1"),
        network: "N-2".into(),
    });
    desk.now += 60 * MINUTE;
    let closed = desk.now;
    let hand = Actor::program("admin", Timestamp(closed));
    let none = ReasonSet::EMPTY;
    desk.registry
        .set_state(key("T1"), BindingState::Unbound, none, None, &hand)
        .unwrap();

    // What was is the same after all that came.
    assert_eq!(then(&mut desk, approved - 1), pending);
    assert_eq!(
        then(&mut desk, moved - 1),
        was(2, "activating", "", &accounts, approved)
    );
    assert_eq!(
        then(&mut desk, redirected - 1),
        was(4, "re-pending", "phone", &accounts, moved)
    );
    let elsewhere = ["A-001".to_owned(), "W-2".to_owned()];
    assert_eq!(
        then(&mut desk, closed - 1),
        was(5, "re-pending", "phone", &elsewhere, redirected)
    );
    assert_eq!(then(&mut desk, closed), None, "nobody's any more");
}
