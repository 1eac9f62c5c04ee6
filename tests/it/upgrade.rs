//! Stores of earlier schemas: `schema-N/` holds one as SQL text, as `sqlite3 FILE .dump` writes it. When a
//! migration is added, a dump of the schema before it is added here.

use std::fs;
use std::path::Path;

use posgate::base::{
    AccountId, AcquirerId, BatchNumber, BindingId, RequestType, Stan, TerminalId, Timestamp,
};
use posgate::binding::{AccountKind, AccountStatus, Accounts, BindingState, TerminalKey};
use posgate::store::command::{Affairs, Command, DeviceName, Part};
use posgate::store::projection::project_round;
use posgate::store::registry::Actor;
use posgate::store::sqlite::{Retention, SqliteFolder, StoreFile, check};
use posgate::store::{JournalStore, OutcomeKind, ReadModel, Registry};

/// Makes a store's files from their dumps.
fn store_of(dumps: &str) -> (tempfile::TempDir, SqliteFolder) {
    let place = tempfile::tempdir().unwrap();
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(dumps);
    for file in StoreFile::ALL {
        let dump = dumps.join(file.name()).with_extension("sql");
        let db = rusqlite::Connection::open(place.path().join(file.name())).unwrap();
        db.execute_batch(&fs::read_to_string(dump).unwrap())
            .unwrap();
    }
    let folder = SqliteFolder::open(place.path()).unwrap();
    (place, folder)
}

#[test]
fn a_store_of_schema_1_goes_on_with_everything_in_it() {
    let (place, folder) = store_of("schema-1");
    let found = check(place.path()).findings;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|f| f.what.contains("has schema 1")));

    folder.prepare(&folder.lock().unwrap()).unwrap();
    let (mut journal, mut model) = (folder.journal().unwrap(), folder.read_model().unwrap());
    // What it showed is projected once more, with what rows have by now.
    assert_eq!(model.mark().unwrap(), 0);
    while project_round(&mut journal, &mut model).unwrap() > 0 {}
    let report = check(place.path());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.groups, report.records), (40, 40));
    assert_eq!((report.transactions, report.bindings), (17, 3));
    assert_eq!(journal.last_sequence().unwrap(), 40);
    assert_eq!(model.last_txn().unwrap().0, 17);
    assert_eq!(
        model.stan_block("bank").unwrap(),
        Some((20_261_122, 40_001))
    );
    let totals = model.totals().unwrap();
    let approved = 18_324 + 26_243 + 34_162 + 42_081 + 50_000 + 65_838 + 73_757;
    assert_eq!((totals[0].net, totals[0].count), (approved, 7));
    let stan = Stan::new(943_779).unwrap();
    let row = model.find(BindingId(1), BatchNumber::FIRST, stan).unwrap();
    let row = row.unwrap();
    assert_eq!((row.txn.0, row.amount), (1, 18_324));
    assert_eq!(row.kind, RequestType::NewMoney);
    assert_eq!(row.outcome.unwrap().kind, OutcomeKind::Approved);
    let suspended = TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse("T0000003").unwrap(),
    };
    let shown = folder.registry().unwrap().show(suspended).unwrap().unwrap();
    assert_eq!(shown.admission.state, BindingState::Suspended);
    // Brought up to date once; the second start finds nothing to do.
    folder.prepare(&folder.lock().unwrap()).unwrap();
}

#[test]
fn a_store_of_schema_1_that_lost_its_journal_is_refused() {
    let (place, folder) = store_of("schema-1");
    fs::remove_file(place.path().join("journal.db")).unwrap();
    let refused = folder.prepare(&folder.lock().unwrap()).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("journal.db"), "{refused}");
}

/// Nothing in it was erased yet, and all of it can be.
#[test]
fn a_journal_of_schema_2_is_looked_through_for_card_numbers() {
    let place = tempfile::tempdir().unwrap();
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schema-2/journal.sql");
    let db = rusqlite::Connection::open(place.path().join("journal.db")).unwrap();
    db.execute_batch(&fs::read_to_string(dump).unwrap())
        .unwrap();
    drop(db);
    let folder = SqliteFolder::open(place.path()).unwrap();
    let (mut journal, mut model) = (folder.journal().unwrap(), folder.read_model().unwrap());
    assert_eq!(journal.last_sequence().unwrap(), 18);
    while project_round(&mut journal, &mut model).unwrap() > 0 {}
    let mut retention = Retention::open(&folder).unwrap();
    let erased = retention.erase_card_numbers(Timestamp(u64::MAX)).unwrap();
    assert_eq!(erased.transactions, 8);
    assert_eq!(journal.last_sequence().unwrap(), 18);
}

/// Bindings, accounts and histories are carried over; serial numbers become devices, and where two open
/// terminals shared one, the first has it.
#[test]
fn a_registry_of_schema_2_gets_devices_and_keeps_its_history() {
    let place = tempfile::tempdir().unwrap();
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schema-2/registry.sql");
    let db = rusqlite::Connection::open(place.path().join("registry.db")).unwrap();
    db.execute_batch(&fs::read_to_string(dump).unwrap())
        .unwrap();
    drop(db);
    let folder = SqliteFolder::open(place.path()).unwrap();
    let mut registry = folder.registry().unwrap();
    let acquirer = AcquirerId(1);
    let device = |registry: &mut dyn Registry, serial: &str| {
        let serial = serial.into();
        let found = registry.device_view(&DeviceName { acquirer, serial });
        let found = found.unwrap().unwrap();
        (found.state, found.terminal_id)
    };
    assert_eq!(
        device(&mut registry, "SN-1"),
        ("deployed", Some("T0000001".into()))
    );
    assert_eq!(
        device(&mut registry, "SN-2"),
        ("deployed", Some("T0000002".into()))
    );
    assert_eq!(device(&mut registry, "SN-5"), ("in-repair", None));
    let show = |registry: &mut dyn Registry, terminal: &str| {
        let terminal = TerminalId::parse(terminal).unwrap();
        registry
            .show(TerminalKey { acquirer, terminal })
            .unwrap()
            .unwrap()
    };
    // The serial number that it had is still shown.
    assert_eq!(show(&mut registry, "T0000003").serial, "SN-1");
    let second = show(&mut registry, "T0000002");
    assert_eq!(second.admission.state, BindingState::RePending);
    assert_eq!(second.admission.reasons.to_string(), "phone+account");
    assert!(second.admission.holds.is_empty());
    let changes = registry.binding_changes(BindingId(2)).unwrap();
    let versions: Vec<_> = changes.iter().map(|c| (c.version, c.state)).collect();
    assert_eq!(
        versions,
        [(2, BindingState::Suspended), (3, BindingState::RePending)]
    );
    // A binding of one account reads as it did, whatever its kind.
    let one = Accounts::one(AccountKind::WeChat, AccountId(2));
    assert_eq!(second.admission.accounts, one);
    assert_eq!(
        (second.account.as_str(), second.others.as_slice()),
        ("ACC-002", [].as_slice())
    );
    let (mut accounts, mut bindings) = (Vec::new(), 0);
    registry
        .load(
            &mut |id, status| accounts.push((id, status)),
            &mut |_, admission| {
                assert!(admission.accounts.only().is_some());
                bindings += 1;
            },
        )
        .unwrap();
    assert_eq!(bindings, 5);
    assert_eq!(accounts[1], (AccountId(2), AccountStatus::Frozen));
}

/// Alerts of terminals that were heard of are alerts like others, contacts that were given up are watched, and a
/// code that is on its way is for no payment.
#[test]
fn a_registry_of_schema_7_keeps_its_alerts_and_watches_what_was_given_up() {
    let place = tempfile::tempdir().unwrap();
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schema-7/registry.sql");
    let file = place.path().join("registry.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute_batch(&fs::read_to_string(dump).unwrap())
        .unwrap();
    drop(db);
    let folder = SqliteFolder::open(place.path()).unwrap();
    let mut registry = folder.registry().unwrap();
    let alerts = registry.alert_views(Part::first(1_000)).unwrap();
    let shown: Vec<_> = alerts
        .iter()
        .map(|a| (a.kind.as_str(), a.subject.as_str(), a.binding, a.count))
        .collect();
    let late = |count| ("late-message", "terminal acme/T0000003", Some(3), count);
    assert_eq!(shown, [late(2), late(7)]);
    assert!(alerts[0].first_at_us > alerts[1].first_at_us);
    let code = registry.challenge_view(1).unwrap().unwrap();
    assert_eq!(
        (code.payment, code.ended_at_us, code.subject),
        (None, None, 1)
    );
    let terminal = TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse("T0000002").unwrap(),
    };
    let shown = registry.show(terminal).unwrap().unwrap();
    assert_eq!(shown.admission.state, BindingState::RePending);
    assert_eq!(shown.serial, "SN-2");
    // A phone that was verified has spoken for its merchant; one that was given up does not.
    let mut speaks = |contact| {
        let shown = registry.contact_view(contact).unwrap().unwrap();
        shown.speaks_from_us
    };
    assert_eq!((speaks(1), speaks(2)), (Some(0), None));
    drop(registry);
    let db = rusqlite::Connection::open(&file).unwrap();
    let mut all = db
        .prepare("SELECT watched_until FROM contact ORDER BY id")
        .unwrap();
    let watched: Vec<i64> = all
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(watched, [0, 1_795_305_600_000_005 + 90 * 86_400_000_000, 0]);
}

/// A binding of one account has that one; a replacement that was being tested ends at its time, and an acquirer whom
/// nobody described has no details.
#[test]
fn a_registry_of_schema_12_has_one_account_for_each_binding() {
    let place = tempfile::tempdir().unwrap();
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schema-12/registry.sql");
    let db = rusqlite::Connection::open(place.path().join("registry.db")).unwrap();
    db.execute_batch(&fs::read_to_string(dump).unwrap())
        .unwrap();
    drop(db);
    let folder = SqliteFolder::open(place.path()).unwrap();
    let mut registry = folder.registry().unwrap();
    let mut bound = Vec::new();
    let mut each = |key: TerminalKey, admission: posgate::binding::Admission| {
        bound.push((key.terminal.to_string(), admission.accounts));
    };
    registry.load(&mut |_, _| {}, &mut each).unwrap();
    let one = |kind, account| Accounts::one(kind, AccountId(account));
    let expect = [
        ("T0000001", one(AccountKind::BankCard, 1)),
        ("T0000002", one(AccountKind::WeChat, 2)),
        ("T0000003", one(AccountKind::Alipay, 3)),
        ("T0000009", one(AccountKind::BankCard, 1)),
    ];
    assert_eq!(
        bound,
        expect.map(|(terminal, accounts)| (terminal.to_owned(), accounts))
    );
    let view = registry.acquirer_view(AcquirerId(1)).unwrap().unwrap();
    assert_eq!((view.licence.as_str(), view.version), ("", 1));
    let case = registry.case_view(1).unwrap().unwrap();
    assert_eq!(case.stage, "testing");
    let month = Timestamp(case.opened_at_us + 30 * 86_400_000_000);
    let ended = registry.carry_out(&Command::Tick, None, &Actor::program("posgate", month));
    assert_eq!(ended.unwrap().changes.bindings.len(), 1);
    assert_eq!(registry.case_view(1).unwrap().unwrap().stage, "expired");
}
