//! Devices, and what is heard of them.

use super::*;

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
    let evidence = desk.evidence("terminal acme/T1", Allows::Resume);
    let resume = || Command::Resume {
        key: key("T1"),
        evidence,
    };
    let told = desk.refused(CHECKER, resume());
    assert!(told.contains("the device is lost"), "{told}");
    desk.ok(event("SN1", DeviceEvent::Find));
    assert_eq!(desk.state("T1").0, BindingState::Suspended);
    desk.checked(resume());
    desk.ok(event("SN1", DeviceEvent::OrderWipe));
    assert_eq!(desk.state("T1"), (BindingState::RePending, "device".into()));
    // It is as good as wiped, whatever anybody saw.
    let about = Allows::ClearReason(RependReason::Device);
    let clear = |desk: &mut Desk| Command::ClearReason {
        key: key("T1"),
        reason: RependReason::Device,
        evidence: desk.evidence("terminal acme/T1", about),
    };
    for (next, state) in [
        (None, "wipe-pending"),
        (Some(DeviceEvent::WipeFailed), "wipe-failed"),
        (Some(DeviceEvent::Wiped), "wiped"),
    ] {
        if let Some(next) = next {
            desk.ok(event("SN1", next));
        }
        let command = clear(&mut desk);
        let told = desk.refused(CHECKER, command);
        assert!(told.contains(&format!("the device is {state}")), "{told}");
        assert!(told.contains("posgate case replace"), "{told}");
    }
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
fn a_wiped_device_is_wiped_whatever_is_said_of_it_in_between() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let event = |serial: &str, event| Command::Device {
        device: device(serial),
        event,
        custody: String::new(),
        note: "left in a taxi".into(),
    };
    desk.ok(event("SN1", DeviceEvent::OrderWipe));
    // Somebody lets it trade by hand; the end of the wipe stops it again.
    let (state, none) = (BindingState::Active, ReasonSet::EMPTY);
    let hand = Actor::program("admin", Timestamp(desk.now));
    desk.registry
        .set_state(key("T1"), state, none, None, &hand)
        .unwrap();
    desk.ok(event("SN1", DeviceEvent::Wiped));
    assert_eq!(desk.state("T1"), (BindingState::RePending, "device".into()));
    let version = desk.admission("T1").version;
    // Lost and found it holds no keys either.
    desk.ok(event("SN1", DeviceEvent::Lose));
    assert_eq!(desk.device_state("SN1"), "lost");
    desk.ok(event("SN1", DeviceEvent::Find));
    assert_eq!(desk.device_state("SN1"), "wiped");
    assert_eq!(
        desk.admission("T1").version,
        version + 1,
        "suspended, and no more"
    );
    // What was in use goes to repair.
    desk.active("T2", "SN2");
    desk.ok(event("SN2", DeviceEvent::Lose));
    desk.ok(event("SN2", DeviceEvent::Find));
    assert_eq!(desk.device_state("SN2"), "in-repair");
}
