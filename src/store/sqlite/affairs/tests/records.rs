//! What is written down, and cannot be taken back.

use super::*;

#[test]
fn evidence_is_of_something_that_is_there_and_is_listed_until_somebody_acts() {
    let mut desk = Desk::new();
    let file = |about: &str| Command::FileEvidence {
        about: about.into(),
        allows: Allows::VerifyAccount,
        note: "seen".into(),
        sha256: String::new(),
    };
    for about in [
        "account acme/A-002",
        "account other/A-001",
        "terminal acme/T1",
        "merchant acme/2",
        "contact 99",
        "case 1",
    ] {
        assert!(desk.refused(MAKER, file(about)).contains("no "), "{about}");
    }
    for about in ["account A-001", "A-001", "contact one", "device acme/SN1"] {
        let told = desk.refused(MAKER, file(about));
        assert!(told.contains("has to be"), "{about}: {told}");
    }
    let listed = |desk: &mut Desk| {
        let now = Timestamp(desk.now);
        let found = desk
            .registry
            .evidence_views(now, Part::first(1_000))
            .unwrap();
        found.iter().map(|each| each.evidence).collect::<Vec<_>>()
    };
    let before = listed(&mut desk);
    assert!(before.is_empty(), "what was used is not listed: {before:?}");
    let merchant = desk.evidence(&format!("merchant acme/{SHOP}"), Allows::RaiseLimit);
    let phone = desk.phone;
    let contact = desk.evidence(&format!("contact {phone}"), Allows::VerifyContact);
    assert_eq!(listed(&mut desk), [contact, merchant]);
    desk.now += 8 * DAY;
    assert_eq!(listed(&mut desk), [0; 0]);
}

#[test]
fn no_note_holds_a_card_number() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let note = "card 4111111111111111 stolen";
    let Command::PlaceHold { key, explained, .. } = hold("T1", HoldScope::Refund) else {
        panic!("a hold");
    };
    let with_reason = Explained {
        reason: note.into(),
        ..explained.clone()
    };
    let with_documents = Explained {
        documents: note.into(),
        ..explained
    };
    let place = |explained| Command::PlaceHold {
        key,
        scope: HoldScope::Refund,
        explained,
    };
    let commands = [
        Command::Suspend {
            key,
            note: note.into(),
        },
        Command::Repend {
            key,
            reasons: ReasonSet::EMPTY.with(RependReason::Device),
            note: note.into(),
        },
        Command::Device {
            device: device("SN1"),
            event: DeviceEvent::Repair,
            custody: String::new(),
            note: note.into(),
        },
        Command::FileEvidence {
            about: "account acme/A-001".into(),
            allows: Allows::VerifyAccount,
            note: note.into(),
            sha256: String::new(),
        },
        place(with_reason),
        place(with_documents),
    ];
    for command in commands {
        let told = desk.refused(MAKER, command);
        assert!(told.contains("card number"), "{told}");
        assert!(!told.contains("4111"), "{told}");
    }
}

#[test]
fn the_database_itself_refuses_to_change_history() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    desk.ok(Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(RependReason::Dormant),
        note: "idle".into(),
    });
    let db = desk.registry.db();
    for table in [
        "binding_change",
        "account_change",
        "device_change",
        "contact_change",
        "merchant_change",
    ] {
        for sql in [
            format!("UPDATE {table} SET actor = 'x'"),
            format!("DELETE FROM {table}"),
        ] {
            let refused = db.execute(&sql, []).unwrap_err().to_string();
            assert!(refused.contains("history is never"), "{sql}: {refused}");
        }
    }
    assert!(db.execute("DELETE FROM binding", []).is_err());
}

#[test]
fn what_is_refused_half_way_leaves_nothing() {
    let mut desk = Desk::new();
    let count = |desk: &Desk, table: &str| -> i64 {
        desk.registry
            .db()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    let before: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    // The case is the last thing that can fail: both bindings and the device were written by then.
    desk.active("T1", "SN1");
    let after_active: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    assert_ne!(before, after_active);
    desk.ok(Command::OpenUnbinding {
        key: key("T1"),
        channel: Channel::Counter,
        reason: UnbindReason::Fault,
        note: "broken".into(),
        effective_at: Timestamp(0),
    });
    let with_case: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    let replace = Command::OpenReplacement {
        key: key("T1"),
        new_key: key("T2"),
        serial: "SN2".into(),
        note: "worn out".into(),
    };
    assert!(desk.refused(MAKER, replace).contains("one case at a time"));
    let after: Vec<_> = ["device_change", "binding", "terminal", "case_file"]
        .map(|table| count(&desk, table))
        .into();
    assert_eq!(after, with_case);
}

/// What a person writes goes into the audit trail, to the merchant and into events.
#[test]
fn words_hold_no_card_number_and_end_somewhere() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    for (note, expect) in [
        ("card 4761739001010010 stolen", "looks like a card number"),
        (
            "card 4761 7390 0101 0010 stolen",
            "looks like a card number",
        ),
        (&*"x".repeat(501), "501 characters, 500 are allowed"),
        ("two\nlines", "cannot be printed"),
    ] {
        let note = || note.to_owned();
        let explained = |reason: String, appeal: String| Explained {
            reason,
            remedy: "inspection".into(),
            documents: String::new(),
            appeal,
        };
        let hold = |explained| Command::PlaceHold {
            key: key("T1"),
            scope: HoldScope::Settlement,
            explained,
        };
        for command in [
            Command::Suspend {
                key: key("T1"),
                note: note(),
            },
            Command::Repend {
                key: key("T1"),
                reasons: ReasonSet::EMPTY.with(RependReason::Identity),
                note: note(),
            },
            Command::FileEvidence {
                about: "terminal acme/T1".into(),
                allows: Allows::Resume,
                note: note(),
                sha256: SHA.into(),
            },
            hold(explained(note(), "desk".into())),
            hold(explained("tip".into(), note())),
        ] {
            let refused = desk.refused(MAKER, command);
            assert!(refused.contains(expect), "{refused}");
            assert!(!refused.contains("4761"), "{refused}");
        }
    }
}

/// What was seen before something began says nothing of its end: nobody stores evidence for a suspension to come.
#[test]
fn evidence_is_newer_than_what_it_ends() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let phone = desk.phone;
    let account = |event, evidence| Command::Account {
        account: account("A-001"),
        event,
        note: "the bank says so".into(),
        evidence,
    };
    let contact = |event, evidence| Command::Contact {
        contact: phone,
        event,
        note: "messages come back".into(),
        evidence,
        last_too: true,
    };
    let clear = |evidence| Command::ClearReason {
        key: key("T1"),
        reason: RependReason::Dormant,
        evidence,
    };
    let resume = |evidence| Command::Resume {
        key: key("T1"),
        evidence,
    };
    let of_all = |desk: &mut Desk| {
        desk.now += MINUTE;
        let terminal = "terminal acme/T1";
        [
            desk.evidence(terminal, Allows::Resume),
            desk.evidence(terminal, Allows::ClearReason(RependReason::Dormant)),
            desk.evidence("account acme/A-001", Allows::UnfreezeAccount),
            desk.evidence(&format!("contact {phone}"), Allows::VerifyContact),
        ]
    };
    let acts = |[resumed, cleared, unfrozen, verified]: [u64; 4]| {
        [
            resume(resumed),
            clear(cleared),
            account(AccountEvent::Unfreeze, Some(unfrozen)),
            contact(ContactEvent::Verify, Some(verified)),
        ]
    };
    let before = of_all(&mut desk);
    desk.now += MINUTE;
    desk.ok(repend("T1", RependReason::Dormant));
    desk.ok(suspend("T1"));
    desk.ok(account(AccountEvent::Freeze, None));
    desk.ok(contact(ContactEvent::Suspect, None));
    // What happens meanwhile begins none of it anew.
    desk.now += MINUTE;
    let between = of_all(&mut desk);
    desk.now += MINUTE;
    desk.ok(hold("T1", HoldScope::Refund));
    for act in acts(before) {
        let told = desk.refused(CHECKER, act);
        assert!(told.contains("was filed before that began"), "{told}");
    }
    for act in acts(between) {
        desk.checked(act);
    }
    assert_eq!(desk.state("T1").0, BindingState::Active);
}

#[test]
fn evidence_is_refused_taken_back_or_lapses_and_the_trail_has_it() {
    let mut desk = Desk::new();
    let phone = desk.phone_of(2, ContactRole::Owner, Some(desk.phone));
    let about = format!("contact {phone}");
    let events = |desk: &Desk| -> Vec<String> {
        let mut all = desk
            .registry
            .db()
            .prepare("SELECT event FROM audit WHERE event LIKE 'evidence.%' ORDER BY number DESC LIMIT 2")
            .unwrap();
        let rows = all.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let refuse = |evidence| Command::RefuseEvidence {
        evidence,
        note: "that is not the owner".into(),
    };
    let consent = |evidence| Command::ConsentToChange {
        contact: phone,
        word: MerchantsWord::Evidence(evidence),
        effective_at: Timestamp(0),
    };
    let first = desk.evidence(&about, Allows::ReplaceContact);
    desk.checked(refuse(first));
    assert_eq!(events(&desk), ["evidence.refused", "evidence.filed"]);
    let told = desk.refused(CHECKER, consent(first));
    assert!(told.contains("was refused"), "{told}");
    assert!(desk.refused(CHECKER, refuse(first)).contains("is refused"));
    let second = desk.evidence(&about, Allows::ReplaceContact);
    desk.ok(refuse(second));
    assert_eq!(events(&desk)[0], "evidence.withdrawn");
    let third = desk.evidence(&about, Allows::ReplaceContact);
    desk.now += 7 * DAY;
    desk.ok(Command::Tick);
    assert_eq!(events(&desk)[0], "evidence.filed");
    desk.now += 1;
    desk.ok(Command::Tick);
    desk.ok(Command::Tick);
    assert_eq!(events(&desk), ["evidence.lapsed", "evidence.filed"]);
    let told = desk.refused(CHECKER, refuse(third));
    assert!(told.contains("older than a week"), "{told}");
    assert!(desk.refused(CHECKER, refuse(99)).contains("99"));
    let listed = desk
        .registry
        .evidence_views(Timestamp(desk.now - DAY), Part::first(10))
        .unwrap();
    let listed: Vec<_> = listed.iter().map(|each| each.evidence).collect();
    assert_eq!(
        listed,
        [third],
        "neither what was refused nor what was taken back"
    );
}

/// A reason that comes once more while it holds is another matter: what was seen of the first one does not end it.
#[test]
fn evidence_is_of_the_reason_as_it_was_when_it_was_filed() {
    let mut desk = Desk::new();
    desk.active("T1", "SN1");
    let place = |address: &str| Command::Place {
        key: key("T1"),
        address: address.into(),
        note: "moved".into(),
    };
    let repend = |reason| Command::Repend {
        key: key("T1"),
        reasons: ReasonSet::EMPTY.with(reason),
        note: "seal broken".into(),
    };
    let clear = |reason, evidence| Command::ClearReason {
        key: key("T1"),
        reason,
        evidence,
    };
    let identity = |number| Command::SetMerchant {
        acquirer: AcquirerId(1),
        merchant: merchant(),
        name: String::new(),
        mcc: String::new(),
        kind: None,
        identity: Some((IdentityKind::Passport, sealed(number))),
    };
    desk.ok(place("1 Long Street"));
    for (reason, first, again) in [
        (
            RependReason::Location,
            place("2 Long Street"),
            place("9 Far Street"),
        ),
        (
            RependReason::Device,
            repend(RependReason::Device),
            repend(RependReason::Device),
        ),
        (RependReason::Identity, identity(7), identity(8)),
    ] {
        desk.ok(first);
        let allows = Allows::ClearReason(reason);
        let early = desk.evidence("terminal acme/T1", allows);
        // Of another reason: it stays as it is.
        let other = desk.evidence(
            "terminal acme/T1",
            Allows::ClearReason(RependReason::Dormant),
        );
        desk.ok(again);
        let told = desk.refused(CHECKER, clear(reason, early));
        assert!(told.contains("once more"), "{reason}: {told}");
        let seen = desk.evidence("terminal acme/T1", allows);
        desk.checked(clear(reason, seen));
        assert_eq!(desk.state("T1").0, BindingState::Active, "{reason}");
        let listed = desk
            .registry
            .evidence_views(Timestamp(desk.now), Part::first(100))
            .unwrap();
        assert!(listed.iter().any(|filed| filed.evidence == other));
    }
}
