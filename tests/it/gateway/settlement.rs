//! The settlement file against the journal, added up here once more, apart from the read model.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use posgate::base::{MerchantId, RequestType, SystemClock, TerminalId, Timestamp, TxnId};
use posgate::iso8583::Dialect;
use posgate::sim::chance::Chance;
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role, RunningFleet};
use posgate::sim::host::{Host, HostSettings, RunningHost};
use posgate::sim::message::Identity;
use posgate::sim::rules::{Faults, Rules};
use posgate::store::{Intent, OutcomeKind, Record};
use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{Bound, SHOP, Setup, Stored, UNIONPAY, World, eventually, journal_of};
use super::inquiries::{said, write_config};
use super::wire::{Draft, PATIENCE};
use super::wire::{SILENCE, Wire};

const TERMINALS: u32 = 8;

/// Minor units of a sale made while the terminal was offline.
const OFFLINE: u64 = 333;

/// Count and minor units.
type Sum = (u64, i128);
/// Sums by account and class.
type Sums = BTreeMap<(String, String), Sum>;

fn add(sums: &mut Sums, account: &str, class: &str, minor: i128) {
    let sum = sums
        .entry((account.to_owned(), class.to_owned()))
        .or_default();
    *sum = (sum.0 + 1, sum.1 + minor);
}

fn account_of(terminal: u32) -> String {
    format!("account-{}", terminal % 3)
}

/// A host that loses, drops, delays and repeats answers, and terminals that sell, void and refund.
async fn traded_with_faults() -> (Stored, i128) {
    let percent = Chance::percent;
    let faults = Faults {
        drop: percent(6),
        late: percent(6),
        late_by: Duration::from_millis(700),
        duplicate: percent(4),
        ..Faults::NONE
    };
    let rules = Rules {
        faults,
        rules: Vec::new(),
    };
    let dialect = Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(SystemClock::new());
    let host = Host::start(HostSettings {
        rules,
        ..HostSettings::new(Arc::clone(&dialect), clock)
    });
    let host: RunningHost = host.await.unwrap();
    let setup = Setup {
        hosts: vec![host.addr()],
        sign_on_required: true,
        timeout: Duration::from_millis(400),
        terminals: 0,
        ..Setup::new()
    };
    let world = setup.start().await;
    for number in 1..=TERMINALS {
        world.bind(&Bound {
            account: account_of(number),
            ..Bound::numbered(number)
        });
    }
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    let mut fleet = fleet(&world);
    let enough = || {
        let seen = fleet.snapshot();
        seen.approved > 250 && seen.unanswered + seen.declined_total() > 5
    };
    eventually("the fleet has traded", enough).await;
    // Trading goes on under the question.
    let api = Api::serve(&world);
    for date in [local_today(&world), "2000-01-01".into()] {
        let (status, told) = api.get(&format!("/v1/settlements/{date}")).await;
        assert_eq!(status, 200, "{told}");
    }
    assert!(fleet.stop_and_settle(PATIENCE).await);
    let switch = &world.running.switch;
    let settled = || switch.owed() + switch.in_flight() == 0;
    eventually("nothing is owed", settled).await;
    let books = fleet.ledger().totals();
    let stored = world.stop(fleet).await;
    host.shutdown().await;
    (stored, books.net_minor)
}

fn fleet(world: &World) -> RunningFleet {
    let member = |number: u32| Member {
        identity: Identity {
            terminal: TerminalId::parse(&format!("T{number:07}")).unwrap(),
            merchant: MerchantId::parse(SHOP).unwrap(),
        },
        role: Role("trading"),
        declined_with: None,
    };
    Fleet::start(FleetSettings {
        per_second: 300,
        mix: Mix {
            balance: Chance::percent(5),
            void: Chance::percent(15),
            refund: Chance::percent(10),
        },
        answer_timeout: Duration::from_secs(2),
        ..FleetSettings::new(
            world.target(),
            Arc::clone(&world.dialect),
            (1..=TERMINALS).map(member).collect(),
            Arc::clone(&world.clock),
        )
    })
}

/// What the journal's own records come to: nothing but intents and the last outcome of each.
fn added_up(records: &[Record], accounts: &BTreeMap<u32, String>) -> Sums {
    let mut money: BTreeMap<TxnId, (&Intent<'_>, Option<(OutcomeKind, u64)>)> = BTreeMap::new();
    for record in records {
        match record {
            Record::Intent(intent) => drop(money.insert(intent.txn, (intent, None))),
            Record::Outcome(outcome) => {
                let (_, last) = money.get_mut(&outcome.txn).unwrap();
                *last = Some((outcome.kind, outcome.booked));
            }
            _ => {}
        }
    }
    let mut sums = Sums::new();
    let again = |first: &Intent<'_>| {
        money.values().any(|(later, _)| {
            let of = |i: &Intent<'_>| (i.key, i.binding, i.batch, i.stan, i.content);
            later.txn > first.txn && of(later) == of(first)
        })
    };
    for (intent, last) in money.values() {
        let account = &accounts[&intent.account.0];
        let asked = i128::from(intent.amount.minor) * i128::from(intent.sign);
        match last {
            _ if intent.sign == 0 => {}
            Some((OutcomeKind::Declined, _)) => {}
            // It was sent again, and that one's outcome is what became of it.
            Some((OutcomeKind::Expired, _)) if again(intent) => {}
            Some((OutcomeKind::Reversed, _)) => add(&mut sums, account, "reversed", asked),
            Some((OutcomeKind::Approved, booked)) => {
                let booked = i128::from(*booked) * i128::from(intent.sign);
                if intent.held {
                    add(&mut sums, account, "held", booked);
                    continue;
                }
                let class = match intent.kind {
                    RequestType::Void => "voids",
                    _ if intent.sign > 0 => "sales",
                    _ => "refunds",
                };
                add(&mut sums, account, class, booked);
                add(&mut sums, account, "net", booked);
            }
            Some((OutcomeKind::Closed, _)) => add(&mut sums, account, "reversed", asked),
            None
            | Some((
                OutcomeKind::ReversalOwed
                | OutcomeKind::RepeatOwed
                | OutcomeKind::Expired
                | OutcomeKind::Parked,
                _,
            )) => {
                add(&mut sums, account, "suspense", asked);
            }
        }
    }
    sums
}

pub(super) fn local_today(world: &World) -> String {
    let now = i64::try_from(world.clock.wall().0).unwrap();
    let now = jiff::Timestamp::from_microsecond(now).unwrap();
    now.to_zoned(TimeZone::system()).date().to_string()
}

/// Numbers of accounts by their names, as the terminals of these tests are bound.
fn accounts_of(records: &[Record]) -> BTreeMap<u32, String> {
    let mut accounts = BTreeMap::new();
    for record in records {
        if let Record::Intent(intent) = record {
            let number = intent.key.terminal.as_str().trim_start_matches('T');
            let number = number.parse().unwrap();
            accounts.insert(intent.account.0, account_of(number));
        }
    }
    accounts
}

/// Local dates on which something was accepted: one, or two around midnight.
fn dates_of(records: &[Record], zone: &TimeZone) -> BTreeSet<String> {
    let date = |at: Timestamp| {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(at.0).unwrap()).unwrap();
        at.to_zoned(zone.clone()).date().to_string()
    };
    let accepted = records.iter().filter_map(|record| match record {
        Record::Intent(intent) => Some(date(intent.at)),
        _ => None,
    });
    accepted.collect()
}

/// A JSON file's totals and, apart from them, what its lines come to.
fn of_json(file: &Value, totals: &mut Sums, lines: &mut Sums) {
    for account in file["accounts"].as_array().unwrap() {
        let name = account["account_id"].as_str().unwrap();
        for total in account["totals"].as_array().unwrap() {
            assert_eq!(total["currency"], "156");
            for class in [
                "sales", "voids", "refunds", "released", "held", "suspense", "reversed", "net",
            ] {
                let count = total[class]["count"].as_u64().unwrap();
                let minor = i128::from(total[class]["amount"]["minor"].as_i64().unwrap());
                if count > 0 {
                    let sum = totals.entry((name.into(), class.into())).or_default();
                    *sum = (sum.0 + count, sum.1 + minor);
                }
            }
        }
        for line in account["transactions"].as_array().unwrap() {
            assert_eq!(line["account_id"], name);
            let class = line["class"].as_str().unwrap();
            let minor = i128::from(line["counts"]["minor"].as_i64().unwrap());
            add(lines, name, class, minor);
            if ["sales", "voids", "refunds", "released"].contains(&class) {
                add(lines, name, "net", minor);
            }
        }
    }
}

/// The same of a CSV file. Every file says that it is complete.
fn of_csv(text: &str, totals: &mut Sums, lines: &mut Sums) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let mut last = String::new();
    for record in reader.records() {
        let record = record.unwrap();
        let cells: HashMap<&str, &str> = header.iter().zip(record.iter()).collect();
        last = cells["record"].to_owned();
        if last == "end" {
            assert!(cells["journal_group"].parse::<u64>().unwrap() > 0);
            continue;
        }
        let count: u64 = cells["count"].parse().unwrap();
        let minor: i128 = cells["amount_minor"].parse().unwrap();
        let (whole, cents) = cells["amount"].split_once('.').unwrap();
        assert_eq!(format!("{whole}{cents}").parse::<i128>().unwrap(), minor);
        let (name, class) = (cells["account_id"], cells["class"]);
        let sums = if last == "total" {
            &mut *totals
        } else {
            &mut *lines
        };
        if count > 0 {
            let sum = sums.entry((name.into(), class.into())).or_default();
            *sum = (sum.0 + count, sum.1 + minor);
        }
        if last == "transaction" && ["sales", "voids", "refunds", "released"].contains(&class) {
            add(lines, name, "net", minor);
        }
    }
    assert_eq!(last, "end", "{text}");
}

fn total(sums: &Sums, classes: &[&str]) -> i128 {
    let of_class = sums
        .iter()
        .filter(|((_, class), _)| classes.contains(&class.as_str()));
    of_class.map(|(_, (_, minor))| minor).sum()
}

/// Lets the upstream's messages go by until that one comes.
async fn until(link: &mut Wire, mti: &str, stan: &str) {
    loop {
        let seen = link.next().await;
        if (seen.mti.as_str(), seen.text(11)) == (mti, stan) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settlement_file_equals_the_journal_to_the_cent() {
    let (stored, books) = traded_with_faults().await;

    // A second life with an upstream in the test's hands leaves what is open, owed, unanswered and held.
    let setup = Setup {
        stored: Some(stored),
        timeout: SILENCE,
        terminals: 0,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    till.sell(&mut link, 900_001, "00").await;
    till.sell(&mut link, 900_002, "51").await;
    let state = "/v1/terminals/acme/T0000001/state";
    let change = json!({"state": "re-pending", "reasons": ["phone"]});
    assert_eq!(api.put(state, change).await, 200);
    // While the binding is re-pending a void is processed, and an offline sale is processed and held.
    let offline = till.who.sale(900_006, OFFLINE).retyped("0220");
    let offline = [26, 35, 52, 53].into_iter().fold(offline, Draft::without);
    let offline = offline
        .set(38, "123456")
        .set(60, "30000001000500")
        .set(61, "000001900006");
    for draft in [till.who.void(900_003, 900_001, 1_000), offline] {
        till.send(&draft).await;
        let request = link.next().await;
        link.send(&request.answered("00")).await;
        assert_eq!(till.next().await.code(), "00");
    }
    // A refund nobody answers may have moved money; its repeat says that it did, once.
    let mut refunding = world.till(4).await;
    refunding.sell(&mut link, 900_010, "00").await;
    refunding.sell(&mut link, 900_007, "00").await;
    let refund = refunding.who.void(900_008, 900_007, 1_000);
    let refund = refund.retyped("0220").set(60, "25000001000500");
    refunding.send(&refund).await;
    link.next().await;
    assert_eq!(refunding.next().await.code(), "98");
    // Where the machine was slow the first answer came too late, and there is a second repeat.
    let answered = async {
        loop {
            let request = link.next().await;
            link.send(&request.answered("00")).await;
        }
    };
    tokio::select! {
        () = eventually("the repeat is answered", || world.running.switch.owed() == 0) => {}
        () = answered => {}
    }
    assert_eq!(refunding.code(&refund).await, "00");
    // Another one, of a sale made elsewhere, is never answered, nor is its repeat.
    let doubtful = refund.set(11, "900009").set(61, "000000000000");
    let doubtful = doubtful.set(37, "R00000000077");
    refunding.send(&doubtful).await;
    link.next().await;
    assert_eq!(refunding.next().await.code(), "98");
    // Nor are these, and their reversals.
    let mut silent = world.till(2).await;
    silent.send(&silent.who.sale(900_004, 777)).await;
    assert_eq!(silent.next().await.code(), "98");
    until(&mut link, "0400", "900004").await;
    let mut unheard = world.till(3).await;
    unheard.send(&unheard.who.sale(900_005, 555)).await;
    assert_eq!(unheard.next().await.code(), "98");
    until(&mut link, "0400", "900005").await;

    let records = journal_of(world.folder.path());
    let expected = added_up(&records, &accounts_of(&records));
    for class in ["sales", "voids", "refunds", "reversed", "held", "suspense"] {
        let count: u64 = expected
            .iter()
            .filter(|((_, c), _)| c == class)
            .map(|(_, s)| s.0)
            .sum();
        assert!(count > 0, "nothing is in {class}: {expected:?}");
    }
    // The terminals' own books say the same of the first life; of the second, a sale with its void, a sale
    // and its refund, a sale, and what was sold offline.
    let second = i128::from(OFFLINE) + 1_000;
    assert_eq!(total(&expected, &["net", "held"]), books + second);

    let (mut of_totals, mut of_lines) = (Sums::new(), Sums::new());
    let (mut csv_totals, mut csv_lines) = (Sums::new(), Sums::new());
    for date in dates_of(&records, &TimeZone::system()) {
        let file = api.json(&format!("/v1/settlements/{date}")).await;
        assert_eq!(file["date"], date.as_str());
        of_json(&file, &mut of_totals, &mut of_lines);
        let nets = file["accounts"].as_array().unwrap().iter().map(|account| {
            account["totals"][0]["net"]["amount"]["minor"]
                .as_i64()
                .unwrap()
        });
        let all = file["totals"][0]["net"]["amount"]["minor"]
            .as_i64()
            .unwrap();
        assert_eq!(all, nets.sum::<i64>());
        let (status, text) = api.get(&format!("/v1/settlements/{date}?format=csv")).await;
        assert_eq!(status, 200);
        of_csv(&text, &mut csv_totals, &mut csv_lines);
    }
    assert_eq!(of_totals, expected);
    assert_eq!(of_lines, expected);
    assert_eq!(csv_totals, expected);
    assert_eq!(csv_lines, expected);

    for (path, status) in [
        ("yesterday", 400),
        ("2026-11-22?account=nobody", 404),
        ("2026-11-22?lines=some", 400),
        ("2026-11-22?format=xml", 400),
        ("2026-11-22?since=yesterday", 400),
    ] {
        assert_eq!(
            api.get(&format!("/v1/settlements/{path}")).await.0,
            status,
            "{path}"
        );
    }
    let nothing = api.json("/v1/settlements/2000-01-01").await;
    assert_eq!(
        (&nothing["accounts"], &nothing["totals"]),
        (&json!([]), &json!([]))
    );

    // What is undone after a file was taken is what a later one names, and nothing else.
    let sold = |r: &&Record| matches!(r, Record::Intent(i) if i.stan.get() == 900_010);
    let sale = records.iter().find(sold).cloned().unwrap();
    let dates = dates_of(&[sale], &TimeZone::system());
    let today = dates.first().unwrap();
    let first = api.json(&format!("/v1/settlements/{today}")).await;
    let taken_at = first["journal_group"].as_u64().unwrap();
    let since = format!("/v1/settlements/{today}?since={taken_at}");
    assert_eq!(api.json(&since).await["accounts"], json!([]));
    let undo = refunding.who.reversal(900_010, 1_000);
    assert_eq!(refunding.code(&undo).await, "00");
    let later = api.json(&since).await;
    let (mut sums, mut lines) = (Sums::new(), Sums::new());
    of_json(&later, &mut sums, &mut lines);
    let owed = Sums::from([((account_of(4), "suspense".to_owned()), (1, 1_000))]);
    assert_eq!((&sums, &lines), (&owed, &owed), "{later}");
    let records = journal_of(world.folder.path());
    let expected = added_up(&records, &accounts_of(&records));

    let stored = world.stop((till, silent, unheard, refunding, link)).await;
    files_of_the_command(stored.path(), &records, &expected);
}

/// The command on the stopped gateway's store: a file for each account.
fn files_of_the_command(folder: &Path, records: &[Record], expected: &Sums) {
    write_config(folder);
    let (mut totals, mut lines) = (Sums::new(), Sums::new());
    let (mut json_totals, mut json_lines) = (Sums::new(), Sums::new());
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    for date in dates_of(records, &zone) {
        let words = ["settlement", "--date", &date, "-O", "out"];
        let told = said(folder, &words);
        for path in told.lines() {
            let text = std::fs::read_to_string(folder.join(path)).unwrap();
            let accounts: BTreeSet<_> = text.lines().filter_map(|l| l.split(',').nth(3)).collect();
            assert!(
                accounts.len() <= 3,
                "header, one account, end: {accounts:?}"
            );
            of_csv(&text, &mut totals, &mut lines);
        }
        let told = said(folder, &["settlement", "--date", &date, "-o", "json"]);
        let file = serde_json::from_str(&told).unwrap();
        of_json(&file, &mut json_totals, &mut json_lines);
    }
    assert_eq!((&totals, &lines), (expected, expected));
    assert_eq!((&json_totals, &json_lines), (expected, expected));
}
