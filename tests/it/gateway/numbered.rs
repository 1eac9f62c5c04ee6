//! Tests of bindings that have a number and no better place: each catches a likely mistake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posgate::base::{AcquirerId, Clock, Moment, SystemClock, TerminalId, Timestamp, TxnId};
use posgate::binding::replacement::DeviceTest;
use posgate::binding::tested::TestsShown;
use posgate::binding::watch::BindingRules;
use posgate::binding::{BindingState, ReasonSet, RependReason, SerialRule, TerminalKey};
use posgate::iso8583::Dialect;
use posgate::sim::host::{Host, HostSettings};
use posgate::store::RegistryError;
use posgate::store::command::{Command, DeviceName, Part, ReplaceStep};
use posgate::store::registry::Actor;
use posgate::switch::StanPolicy;
use serde_json::{Value, json};

use super::admin::Api;
use super::batches::{NOTHING, settlement};
use super::fixture::{Bound, SHOP, Setup, Till, UNIONPAY, World, counting_link, eventually};
use super::second_person::caller;
use super::story::{LI, Story, WANG};
use super::wire::Seen;

fn key(number: u32) -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse(&format!("T{number:07}")).unwrap(),
    }
}

/// DE59 of a terminal that says its serial number.
fn device(serial: &str) -> String {
    let inner = format!("02{:03}{serial}", serial.len());
    format!("A2{:03}{inner}", inner.len())
}

impl World {
    fn does(&self, command: &Command) {
        let actor = Actor::program("test", self.clock.wall());
        let done = self.running.registry.change(|registry| {
            let done = registry.carry_out(command, None, &actor)?;
            Ok::<_, RegistryError>(((), done.changes))
        });
        done.unwrap();
    }

    /// Moves a shop to another device, in all the steps that it takes.
    fn replaced(&self, old: u32, new: u32) {
        let by = |who: &str, command: Command| {
            let actor = Actor::program(who, self.clock.wall());
            let done = self.running.registry.change(|registry| {
                let done = registry.carry_out(&command, None, &actor)?;
                Ok::<_, RegistryError>((done.number, done.changes))
            });
            done.unwrap()
        };
        let device = DeviceName {
            acquirer: AcquirerId(1),
            serial: "SN-NEW".into(),
        };
        let (model, custody) = ("P1".into(), "store room".into());
        by(
            LI,
            Command::AddDevice {
                device,
                model,
                custody,
            },
        );
        let device = DeviceName {
            acquirer: AcquirerId(1),
            serial: "SN-NEW".into(),
        };
        let check_values = vec![("tmk".to_owned(), "A1B2C3".to_owned())];
        by(
            LI,
            Command::LoadKeys {
                device,
                check_values,
            },
        );
        let case = by(
            LI,
            Command::OpenReplacement {
                key: key(old),
                new_key: key(new),
                serial: "SN-NEW".into(),
                note: "worn out".into(),
            },
        );
        for test in DeviceTest::ALL {
            let txn = Some(TxnId(1));
            let step = ReplaceStep::Tested {
                test: *test,
                passed: true,
                shown: TestsShown {
                    approved: txn,
                    voided: txn,
                    reversed: txn,
                },
                evidence: None,
            };
            by(LI, Command::Replacement { case, step });
        }
        let step = ReplaceStep::CutOver("CUP-1".into(), None);
        by(WANG, Command::Replacement { case, step });
    }

    fn state_of(&self, number: u32) -> (BindingState, ReasonSet) {
        let found = self.running.switch.directory().find(key(number));
        let admission = found.unwrap().unwrap();
        (admission.state, admission.reasons)
    }
}

/// bindings test 1: a sale that was approved is undone although its binding waits for re-verification by now, once.
#[tokio::test]
async fn t01_an_approved_sale_is_undone_once_while_its_binding_waits() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 7, "00").await;
    world.does(&Command::Repend {
        key: key(1),
        reasons: ReasonSet::EMPTY.with(RependReason::Phone),
        note: "number given up".into(),
    });
    assert_eq!(till.code(&till.who.sale(8, 1_000)).await, "58");
    // The answer to 7 was lost on its way: the terminal undoes it, and again.
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    let reversal = link.next().await;
    assert_eq!(
        (reversal.mti.as_str(), reversal.text(11)),
        ("0400", "000007")
    );
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    assert_eq!(world.reversals("sent"), 1);
    world.stop(till).await;
}

/// bindings test 3: what a terminal says of its device decides its new money, and never its reversals.
#[tokio::test]
async fn t03_a_sale_names_the_bound_device_and_a_reversal_need_not() {
    for (serials, without, other) in [
        (SerialRule::Ignore, "00", "00"),
        (SerialRule::Watch, "00", "00"),
        (SerialRule::Check, "00", "58"),
        (SerialRule::Require, "58", "58"),
    ] {
        let setup = Setup {
            serials,
            terminals: 0,
            ..Setup::new()
        };
        let (world, mut link) = setup.start_with_link().await;
        world.bind(&Bound {
            serial: "SN-1".into(),
            ..Bound::numbered(1)
        });
        let mut till = world.till(1).await;
        let sale = |stan, de59: Option<&str>| {
            let sale = till.who.sale(stan, 1_000);
            match de59 {
                Some(serial) => sale.set(59, device(serial)),
                None => sale,
            }
        };
        let drafts = [
            (sale(1, Some("SN-1")), "00"),
            (sale(2, None), without),
            (sale(3, Some("SN-2")), other),
        ];
        for (draft, expect) in drafts {
            till.send(&draft).await;
            if expect == "00" {
                let request = link.next().await;
                link.send(&request.answered("00")).await;
            }
            assert_eq!(till.next().await.code(), expect, "{serials:?}");
        }
        assert_eq!(till.code(&till.who.reversal(1, 1_000)).await, "00");
        let reversal = link.next().await;
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        // Nobody has authenticated what it said: it trades on, and somebody is told.
        assert_eq!(world.state_of(1).0, BindingState::Active);
        let alerts = || {
            world
                .running
                .registry
                .lock()
                .alert_views(Part::first(1_000))
                .unwrap()
        };
        if serials == SerialRule::Ignore {
            assert!(alerts().is_empty());
        } else {
            eventually("an alert is raised", || !alerts().is_empty()).await;
            let alert = &alerts()[0];
            assert_eq!((alert.kind.as_str(), alert.count), ("other-device", 1));
            assert_eq!(alert.detail, "device SN-2");
        }
        world.stop(till).await;
    }
}

/// bindings test 8: what was sold before an account change settles into the old account, also when that one is closed
/// by then, and is paid to nobody before two persons say to whom.
#[tokio::test]
async fn t08_what_was_sold_before_an_account_change_stays_with_the_old_account() {
    let mut story = Story::begin().await;
    let s = &mut story;
    let csv = format!(
        "acquirer,terminal_id,merchant_id,account_id,merchant_name,mcc,account_kind,account_status,serial,state,reasons\n\
         acme,T0000001,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-1,active,\n\
         acme,T0000002,{SHOP},A-002,Noodles,5812,bank-card,verified,SN-2,active,\n"
    );
    assert_eq!(s.api.import(&csv).await["report"]["bound"], 2);
    assert_eq!(s.sells("T0000001", 1).await, "00");
    let change =
        json!({ "action": "request-account", "account_id": "A-002", "note": "another bank" });
    s.act(LI, "T0000001", change).await;
    let seen = json!({
        "about": "terminal acme/T0000001", "allows": "change-account", "note": "the owner was here",
    });
    let word = s.does(LI, "/v1/evidence", seen).await;
    let confirm = json!({ "action": "confirm-account", "evidence": word });
    let refused = s.act(LI, "T0000001", confirm).await;
    assert!(refused["detail"].is_string(), "{refused}");
    let seen = json!({
        "about": "terminal acme/T0000001", "allows": "change-account", "note": "the owner was here",
    });
    let word = s.does(WANG, "/v1/evidence", seen).await;
    let confirm = json!({ "action": "confirm-account", "evidence": word });
    let confirmed = s.act(LI, "T0000001", confirm).await;
    assert!(confirmed["number"].is_u64(), "{confirmed}");
    s.act(
        WANG,
        "T0000001",
        json!({ "action": "approve-account", "network": "N-1" }),
    )
    .await;
    let close = json!({ "event": "close", "note": "closed by the bank" });
    s.ask(LI, "/v1/accounts/acme/A-001/events", close).await;
    assert_eq!(s.sells("T0000001", 2).await, "00");
    for (account, stan) in [("A-001", "000001"), ("A-002", "000002")] {
        let path = format!("/v1/transactions?acquirer=acme&account={account}");
        let rows = s.listed(&path, 1).await;
        assert_eq!(rows[0]["stan"], stan, "{rows:?}");
    }
    // The closed account gets nothing, and nobody else gets it silently.
    let (old, new) = settled(s).await;
    assert_eq!(old["pay_to"], Value::Null, "{old}");
    assert_eq!(old["totals"][0]["net"]["count"], 0, "{old}");
    assert_eq!(old["totals"][0]["unpayable"]["amount"]["minor"], 1_000);
    assert_eq!(old["transactions"][0]["class"], "unpayable");
    assert_eq!(
        (&new["pay_to"], &new["totals"][0]["net"]["count"]),
        (&json!("A-002"), &json!(1))
    );
    // Two persons say who does.
    let release = |evidence: u64| json!({ "to": "A-002", "evidence": evidence });
    let path = "/v1/accounts/acme/A-001/release";
    let (status, told) = s.call(WANG, "POST", path, &release(99)).await;
    assert_eq!(status, 422, "{told}");
    let filed = json!({
        "about": "account acme/A-001", "allows": "release-suspense", "note": "letter of the merchant",
    });
    let evidence = s.does(LI, "/v1/evidence", filed).await;
    let (status, told) = s.call(LI, "POST", path, &release(evidence)).await;
    assert_eq!(status, 403, "{told}");
    let (status, told) = s.call(WANG, "POST", path, &release(evidence)).await;
    assert_eq!(status, 200, "{told}");
    let (old, _) = settled(s).await;
    assert_eq!(old["pay_to"], "A-002", "{old}");
    assert_eq!(old["totals"][0]["net"]["count"], 1, "{old}");
    assert_eq!(old["transactions"][0]["class"], "sales");
    // The other one frozen, nobody can be paid either; an account that is not closed keeps its money.
    let freeze = json!({ "event": "freeze", "note": "the bank froze it" });
    s.ask(WANG, "/v1/accounts/acme/A-002/events", freeze).await;
    let (old, new) = settled(s).await;
    for account in [old, new] {
        assert_eq!(account["pay_to"], Value::Null, "{account}");
        assert_eq!(account["totals"][0]["net"]["count"], 0, "{account}");
    }
    let away = json!({ "to": "A-001", "evidence": 1 });
    let (status, told) = s
        .call(WANG, "POST", "/v1/accounts/acme/A-002/release", &away)
        .await;
    assert_eq!(status, 409, "{told}");
}

/// bindings test 9: a terminal whose totals hold more than is known here has offline transactions, and nothing orders
/// it to be wiped before they are uploaded.
#[tokio::test]
async fn t09_a_terminal_that_holds_an_offline_transaction_is_not_closed() {
    let mut story = Story::begin().await;
    let s = &mut story;
    let csv = format!(
        "acquirer,terminal_id,merchant_id,account_id,merchant_name,mcc,account_kind,account_status,serial,state,reasons\n\
         acme,T0000001,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-1,active,\n"
    );
    assert_eq!(s.api.import(&csv).await["report"]["bound"], 1);
    s.at("T0000001", "sign-on", |till| till.who.sign_on(900_001))
        .await;
    assert_eq!(s.sells("T0000001", 1).await, "00");
    s.does(LI, "/v1/devices/acme", json!({ "serial": "SN-2" }))
        .await;
    let open = json!({
        "acquirer": "acme", "terminal_id": "T0000001", "new_terminal_id": "T0000002", "serial": "SN-2",
        "note": "worn out",
    });
    let case = s.does(LI, "/v1/replacements", open).await;
    let steps = format!("/v1/replacements/{case}/steps");
    for test in DeviceTest::ALL {
        let seen = match test {
            DeviceTest::SaleAndVoid | DeviceTest::Reversal => {
                let about = format!("case {case}");
                let body = json!({ "about": about, "allows": "activate", "note": "tested in the workshop" });
                json!(s.does(WANG, "/v1/evidence", body).await)
            }
            _others => Value::Null,
        };
        let body =
            json!({ "step": "tested", "test": test.name(), "passed": true, "evidence": seen });
        s.does(LI, &steps, body).await;
    }
    let about = format!("case {case}");
    let keys = json!({ "about": about, "allows": "activate", "note": "keyed in the workshop" });
    let keys = s.does(LI, "/v1/evidence", keys).await;
    let cut_over = json!({ "step": "cut-over", "network": "N-1", "evidence": keys });
    s.does(WANG, &steps, cut_over).await;
    let close = json!({ "step": "close" });
    // It counts two sales, one of them made offline.
    for (stan, sums, left) in [(2, (3_000, 2, 0, 0), true), (3, (1_000, 1, 0, 0), false)] {
        s.at("T0000001", "settlement", |till| {
            settlement(&till.who, stan, sums, NOTHING)
        })
        .await;
        let refused = s.ask(LI, &steps, close.clone()).await;
        let told = refused["detail"].as_str().unwrap();
        assert!(told.contains("not settled"), "{told}");
        let path = format!("/v1/cases/{case}/impact");
        let (_, report) = s.call(LI, "GET", &path, &Value::Null).await;
        let offline = &report["impact"]["outstanding"]["offline"];
        assert_eq!(*offline, u64::from(left), "{report}");
        if left {
            continue;
        }
        let path = "/v1/terminals/acme/T0000001/batch/close";
        let closed = s.ask(LI, path, json!({ "note": "its last" })).await;
        assert!(closed.get("detail").is_none(), "{closed}");
    }
    s.does(LI, &steps, close).await;
}

/// What today's settlement file says of.
async fn settled(story: &Story) -> (Value, Value) {
    let zone = jiff::tz::TimeZone::system();
    let wall = i64::try_from(story.world.clock.wall().0).unwrap();
    let now = jiff::Timestamp::from_microsecond(wall).unwrap();
    let path = format!("/v1/settlements/{}", now.to_zoned(zone).date());
    let (status, file) = story.call(LI, "GET", &path, &Value::Null).await;
    assert_eq!(status, 200, "{file}");
    let account = |name: &str| {
        let all = file["accounts"].as_array().unwrap();
        let found = all.iter().find(|account| account["account_id"] == name);
        found.unwrap_or_else(|| panic!("{name}: {file}")).clone()
    };
    (account("A-001"), account("A-002"))
}

/// bindings test 10, the part with numbers: what the old and the new device of a replacement number alike is told
/// apart by the upstream's reference number, here and at a host that keeps books.
#[tokio::test]
async fn t10_the_same_number_on_the_old_and_the_new_device_is_two_transactions() {
    let dialect = Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(SystemClock::new());
    let host = Host::start(HostSettings::new(dialect, clock));
    let host = host.await.unwrap();
    let setup = Setup {
        hosts: vec![host.addr()],
        ..Setup::new()
    };
    let world = setup.start().await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    let mut old = world.till(1).await;
    let mut new = world.till(9).await;
    let old_7 = sold(&mut old, 7, 700).await;
    let old_8 = sold(&mut old, 8, 800).await;
    world.replaced(1, 9);
    let new_7 = sold(&mut new, 7, 999).await;
    let new_8 = sold(&mut new, 8, 800).await;
    assert_ne!((&old_7, &old_8), (&new_7, &new_8));
    let who = new.who.clone();
    let void = |stan, of, minor, rrn: &str| who.void(stan, of, minor).set(37, rrn);
    let refund = |stan, of, minor, rrn: &str| who.refund(stan, of, minor).set(37, rrn);
    for (what, draft, code) in [
        (
            "the old 7, for its own amount",
            void(9, 7, 700, &old_7),
            "00",
        ),
        ("the same once more", void(10, 7, 700, &old_7), "12"),
        ("a part of the old 8", refund(11, 8, 300, &old_8), "00"),
        ("too much of the old 8", refund(12, 8, 501, &old_8), "64"),
        (
            "the old 8, which is refunded in part",
            void(13, 8, 800, &old_8),
            "12",
        ),
        (
            "one that neither has",
            void(14, 8, 800, "X00000000001"),
            "25",
        ),
        (
            "the new 8, of the same card and amount",
            void(15, 8, 800, &new_8),
            "00",
        ),
        ("the new 7", void(16, 7, 999, &new_7), "00"),
    ] {
        assert_eq!(new.code(&draft).await, code, "{what}");
    }
    world.stop((old, new)).await;
    host.shutdown().await;
}

/// A sale that is approved; the upstream's reference number.
async fn sold(till: &mut Till, stan: u32, minor: u64) -> String {
    let answer = till.ask(&till.who.sale(stan, minor)).await;
    assert_eq!(answer.code(), "00", "{stan}");
    answer.text(37).to_owned()
}

/// What the upstream sees of a replacement: each device under its own DE41, before the cut-over and after it. What the
/// new one undoes of the old one's is under the new DE41 and names the old sale by its number; what staff refund of it is
/// under the DE41 that sold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_sees_each_device_under_its_own_terminal_id() {
    for stan in [StanPolicy::Pass, StanPolicy::Own] {
        let setup = Setup {
            stan,
            ..Setup::new()
        };
        let world = setup.start().await;
        let mut link = counting_link(&world).await;
        let mut old = world.till(1).await;
        let mut new = world.till(9).await;
        let seen = |request: &Seen| (request.text(41).to_owned(), request.text(42).to_owned());
        let of = |terminal: &str| (terminal.to_owned(), SHOP.to_owned());
        let mut numbers = Vec::new();
        for number in 501..=503 {
            let (request, answer) = old.sell(&mut link, number, "00").await;
            assert_eq!(seen(&request), of("T0000001"), "before");
            numbers.push(answer.text(37).to_owned());
        }
        world.replaced(1, 9);
        let (request, _) = new.sell(&mut link, 501, "00").await;
        assert_eq!(seen(&request), of("T0000009"), "after");
        // Both have a sale 501; the number says which.
        let void = new.who.void(510, 502, 1_000).set(37, &numbers[1]);
        let refund = new.who.refund(511, 503, 400).set(37, &numbers[2]);
        for (draft, number) in [(void, &numbers[1]), (refund, &numbers[2])] {
            new.send(&draft).await;
            let request = link.next().await;
            link.send(&request.answered("00")).await;
            assert_eq!(new.next().await.code(), "00");
            assert_eq!(seen(&request), of("T0000009"));
            assert_eq!(request.text(37), number);
        }
        // What is left of the old sale, when the new device is broken too.
        let api = Api::serve(&world);
        let li = caller(&api, "Li Wei", "operator").await;
        let wang = caller(&api, "Wang Fang", "checker").await;
        let path = "/v1/transactions?stan=503&limit=1";
        let sale = api.json(path).await["transactions"][0]["transaction"].clone();
        let asked = json!({ "transaction": sale, "amount": 600, "note": "both are broken" });
        let (status, asked) = li.post("/v1/refunds", asked).await;
        assert_eq!(status, 200, "{asked}");
        let approve = format!("/v1/refunds/{}/approve", asked["number"]);
        let answering = async {
            let request = link.next().await;
            link.send(&request.answered("00")).await;
            request
        };
        let approving = wang.post(&approve, json!({}));
        let ((_, told), request) = tokio::join!(approving, answering);
        assert_eq!(told["state"], "approved", "{told}");
        assert_eq!(seen(&request), of("T0000001"), "as it was sold");
        assert_eq!(request.text(37), numbers[2]);
        world.stop((old, new, link)).await;
    }
}

#[tokio::test]
async fn t10_the_upstreams_number_tells_which_devices_sale_is_voided() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let directory = world.running.switch.directory();
    let old = directory.find(key(1)).unwrap().unwrap();
    directory.succeed(key(2), old.binding);
    let mut till_1 = world.till(1).await;
    let mut till_2 = world.till(2).await;
    for (till, minor, rrn) in [
        (&mut till_1, 700, "OLD000000007"),
        (&mut till_2, 999, "NEW000000007"),
    ] {
        till.send(&till.who.sale(7, minor)).await;
        let sale = link.next().await;
        link.send(&sale.answered("00").set(37, rrn)).await;
        assert_eq!(till.next().await.code(), "00");
    }
    let void = |till: &Till, stan, minor, rrn: &str| till.who.void(stan, 7, minor).set(37, rrn);
    // The whole of one is not the whole of the other.
    let wrong = void(&till_2, 8, 999, "OLD000000007");
    assert_ne!(till_2.code(&wrong).await, "00");
    for (stan, minor, rrn) in [(9, 700, "OLD000000007"), (10, 999, "NEW000000007")] {
        till_2.send(&void(&till_2, stan, minor, rrn)).await;
        let passed = link.next().await;
        assert_eq!((passed.text(41), passed.text(37)), ("T0000002", rrn));
        link.send(&passed.answered("00")).await;
        assert_eq!(till_2.next().await.code(), "00", "{rrn}");
    }
    // Nothing is left of either.
    let again = void(&till_1, 8, 700, "OLD000000007");
    assert_ne!(till_1.code(&again).await, "00");
    world.stop((till_1, till_2)).await;
}

/// The machine's clock, some time ahead in every respect.
#[derive(Debug)]
struct Ahead {
    machine: SystemClock,
    /// Microseconds.
    by: AtomicU64,
    /// The same on the wall clock alone.
    wall: AtomicU64,
}

impl Clock for Ahead {
    fn now(&self) -> Moment {
        Moment(self.machine.now().0 + self.by.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.machine.wall().0 + self.wall.load(Ordering::Relaxed))
    }
}

/// bindings test 14: three months without a sale; spares may be idle.
#[tokio::test]
async fn t14_who_sold_nothing_for_three_months_waits_and_spares_do_not() {
    const DAY: u64 = 86_400_000_000;
    let clock = Arc::new(Ahead {
        machine: SystemClock::new(),
        by: AtomicU64::new(0),
        wall: AtomicU64::new(0),
    });
    let setup = Setup {
        bindings: BindingRules {
            dormant_months: 3,
            ..BindingRules::default()
        },
        clock: Some(Arc::clone(&clock) as Arc<dyn Clock>),
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    world.does(&Command::SetSpare {
        key: key(3),
        spare: true,
        note: "for the till in the corner".into(),
    });
    world.bind(&Bound {
        state: BindingState::Unbound,
        ..Bound::numbered(4)
    });
    let mut gone = world.till(4).await;
    let mut till = world.till(1).await;
    clock.wall.fetch_add(60 * DAY, Ordering::Relaxed);
    let (_, answer) = till.sell(&mut link, 7, "00").await;
    assert_eq!(answer.code(), "00");
    clock.wall.fetch_add(40 * DAY, Ordering::Relaxed);
    // Time has its turn once a minute, and sooner when something is heard.
    let mut stan = 0;
    let waits = tokio::time::timeout(Duration::from_secs(60), async {
        while world.state_of(2).0 != BindingState::RePending {
            clock.by.fetch_add(61_000_000, Ordering::Relaxed);
            stan += 1;
            assert_eq!(gone.code(&gone.who.sale(stan, 100)).await, "97");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waits.await.expect("the idle one waits");
    let dormant = ReasonSet::EMPTY.with(RependReason::Dormant);
    assert_eq!(world.state_of(2), (BindingState::RePending, dormant));
    assert_eq!(
        world.state_of(1).0,
        BindingState::Active,
        "it sold something"
    );
    assert_eq!(world.state_of(3).0, BindingState::Active, "it is a spare");
    world.stop((till, gone)).await;
}

/// bindings test 15: an answer carries DE41 and DE42 as they were received, whoever makes it.
#[tokio::test]
async fn t15_an_answer_names_terminal_and_merchant_as_the_request_did() {
    let (world, mut link) = Setup::new().start_with_link().await;
    world.bind(&Bound {
        terminal: "T5".into(),
        ..Bound::numbered(5)
    });
    let mut till = world.till(5).await;
    till.who.terminal = "T5      ".into();
    let asked = [
        (till.who.sign_on(1), "00"),
        (till.who.echo(2), "00"),
        (till.who.sale(3, 1_000).set(42, "104110041200999"), "03"),
        (till.who.sale(4, 1_000).set(41, "T6      "), "97"),
    ];
    for (draft, code) in asked {
        let named = draft.clone();
        let answer = till.ask(&draft).await;
        assert_eq!(answer.code(), code);
        for de in [41, 42] {
            assert_eq!(answer.raw(de), named.value(de), "DE{de}");
        }
    }
    let sale = till.who.sale(5, 1_000);
    till.send(&sale).await;
    let request = link.next().await;
    link.send(&request.answered("00")).await;
    let answer = till.next().await;
    for de in [41, 42] {
        assert_eq!(answer.raw(de), sale.value(de), "DE{de}");
    }
    world.stop(till).await;
}

/// bindings test 17: a terminal that stands elsewhere trades on, its payout waits, and the merchant can read why.
#[tokio::test]
async fn t17_a_hold_on_settlement_lets_a_terminal_trade_and_holds_its_money() {
    let mut story = Story::begin().await;
    let s = &mut story;
    let csv = format!(
        "acquirer,terminal_id,merchant_id,account_id,state\nacme,T0000001,{SHOP},A-001,active\n"
    );
    assert_eq!(s.api.import(&csv).await["report"]["bound"], 1);
    assert_eq!(s.sells("T0000001", 1).await, "00");
    let hold = json!({
        "scope": "settlement", "reason": "position does not match the shop's address",
        "remedy": "an inspection of the shop", "documents": "lease", "appeal": "service desk",
    });
    s.does(LI, "/v1/terminals/acme/T0000001/holds", hold).await;
    assert_eq!(s.sells("T0000001", 2).await, "00");
    let path = "/v1/terminals/acme/T0000001/holds";
    let (_, holds) = s.call(LI, "GET", path, &Value::Null).await;
    let shown = &holds["holds"][0];
    assert_eq!(
        shown["reason"], "position does not match the shop's address",
        "{holds}"
    );
    assert_eq!(
        (&shown["appeal"], &shown["state"]),
        (&json!("service desk"), &json!("placed"))
    );
    // What gives back is held where the money is.
    for (stan, of) in [(3, 1), (4, 2)] {
        let draft = |till: &Till| till.who.refund(stan, of, 300).without(52);
        let refund = s.at("T0000001", "refund of 3.00", draft).await;
        assert_eq!(refund, "00", "{of}");
    }
    let void = s
        .at("T0000001", "void", |till| till.who.void(5, 1, 1_000))
        .await;
    assert_ne!(void, "00", "a part of it was given back already");
    let mut rows = s.listed("/v1/transactions", 4).await;
    rows.sort_by_key(|row| row["stan"].as_str().unwrap().to_owned());
    let held: Vec<_> = rows.iter().map(|row| row["held"] == true).collect();
    assert_eq!(held, [false, true, false, true], "{rows:?}");
}
