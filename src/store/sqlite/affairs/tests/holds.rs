//! Holds, and what they stop.

use super::*;

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
