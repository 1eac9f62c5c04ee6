//! What people can ask about money: lists, exports, evidence, over HTTP and on the command line.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::digest;
use posgate::base::{Stan, Timestamp, TxnId};
use posgate::store::record::{begin_group, end_group, read_group};
use posgate::store::sqlite::SqliteFolder;
use posgate::store::{Intent, JournalStore, Record};
use serde_json::{Value, json};

use super::admin::{Api, user};
use super::fixture::{
    Bound, PAN, SHOP, Setup, Stored, TRACK2, Till, World, eventually, journal_of,
};
use super::wire::{PATIENCE, Wire};

const OTHER_SHOP: &str = "104110041200002";

/// A gateway with two shops, and what happened there: approved and declined sales, a void, one reversed.
struct Day {
    world: World,
    api: Api,
    link: Wire,
    tills: [Till; 2],
}

impl Day {
    async fn traded() -> Self {
        let (world, mut link) = Setup::new().start_with_link().await;
        world.bind(&Bound {
            merchant: OTHER_SHOP.into(),
            account: "OTHER/1".into(),
            ..Bound::numbered(9)
        });
        let api = Api::serve(&world);
        let mut first = world.till(1).await;
        let mut other = world.till(9).await;
        other.who.merchant = OTHER_SHOP.into();
        first.sell(&mut link, 1, "00").await;
        first.sell(&mut link, 2, "51").await;
        first.send(&first.who.void(3, 1, 1_000)).await;
        let request = link.next().await;
        link.send(&request.answered("00")).await;
        first.next().await;
        other.sell(&mut link, 4, "00").await;
        other.sell(&mut link, 5, "00").await;
        assert_eq!(other.code(&other.who.reversal(5, 1_000)).await, "00");
        let undo = link.next().await;
        link.send(&undo.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        let tills = [first, other];
        let day = Self {
            world,
            api,
            link,
            tills,
        };
        day.shows("state=reversed", 1).await;
        day
    }

    /// Waits until a question finds so many, and gives them.
    async fn shows(&self, question: &str, count: usize) -> Vec<Value> {
        let path = format!("/v1/transactions?{question}");
        let shown = async {
            let mut poll = tokio::time::interval(std::time::Duration::from_millis(20));
            loop {
                poll.tick().await;
                let found = self.api.json(&path).await["transactions"].clone();
                if let Value::Array(found) = found
                    && found.len() == count
                {
                    return found;
                }
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        shown.unwrap_or_else(|_| panic!("{question} does not come to {count}"))
    }

    async fn stop(self) -> Stored {
        self.world.stop((self.link, self.tills)).await
    }
}

fn stans(found: &[Value]) -> Vec<&str> {
    found.iter().map(|t| t["stan"].as_str().unwrap()).collect()
}

/// Nothing of a card but its mask.
fn assert_masked(text: &str) {
    let (_, discretionary) = TRACK2.split_once('=').unwrap();
    for secret in [PAN, PAN.get(6..15).unwrap(), discretionary] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("622848*********5196"), "{text}");
}

#[tokio::test]
async fn money_is_found_by_everything_it_is_known_by() {
    let day = Day::traded().await;
    let check = async |question: &str, expect: &[&str]| {
        let found = day.shows(question, expect.len()).await;
        assert_eq!(stans(&found), expect, "{question}");
    };
    check("", &["000005", "000004", "000003", "000002", "000001"]).await;
    check("terminal=T0000009", &["000005", "000004"]).await;
    check("account=account-1", &["000003", "000002", "000001"]).await;
    check("account=OTHER%2F1&state=approved", &["000004"]).await;
    check(
        &format!("merchant={OTHER_SHOP}&acquirer=acme"),
        &["000005", "000004"],
    )
    .await;
    check("rrn=R00000000004", &["000004"]).await;
    // A reversal does not take the reference away that the approval brought.
    check("rrn=R00000000005", &["000005"]).await;
    check("request=sale-void", &["000003"]).await;
    check("state=declined", &["000002"]).await;
    check("stan=3&batch=1", &["000003"]).await;
    check("amount_min=1001", &[]).await;
    check("from=2000-01-01&to=2000-01-02", &[]).await;
    check("from=2000-01-01&limit=2", &["000005", "000004"]).await;

    let sold = &day.shows("rrn=R00000000004", 1).await[0];
    for (name, value) in [
        ("acquirer", json!("acme")),
        ("account_id", json!("OTHER/1")),
        ("merchant_id", json!(OTHER_SHOP)),
        ("state", json!("approved")),
        ("response_code", json!("00")),
        (
            "amount",
            json!({"minor": 1_000, "currency": "156", "text": "10.00"}),
        ),
        (
            "booked",
            json!({"minor": 1_000, "currency": "156", "text": "10.00"}),
        ),
    ] {
        assert_eq!(sold[name], value, "{name}: {sold}");
    }
    assert_masked(&sold.to_string());
    let number = sold["transaction"].as_u64().unwrap();
    let one = day.api.json(&format!("/v1/transactions/{number}")).await;
    assert_eq!(&one, sold);

    for (question, status) in [
        ("?account=nobody", 404),
        ("?acquirer=nobody", 404),
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?state=asleep", 400),
        ("?from=yesterday", 400),
        ("?from=2026-11-23&to=2026-11-22", 400),
        ("?cursor=7", 400),
        ("?terminal=TOOLONGID", 400),
        ("?colour=red", 400),
        ("?format=xml", 400),
        ("/999999", 404),
        ("/one", 400),
    ] {
        let (found, body) = day.api.get(&format!("/v1/transactions{question}")).await;
        assert_eq!(found, status, "{question}: {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert!(told["detail"].as_str().unwrap().len() > 10, "{told}");
    }
    day.stop().await;
}

/// A store with many more transactions than a page has.
async fn crowded(count: u64) -> (Stored, Intent<'static>) {
    let day = Day::traded().await;
    let stored = day.stop().await;
    let records = journal_of(stored.path());
    let Some(Record::Intent(first)) = records.into_iter().find(|r| matches!(r, Record::Intent(_)))
    else {
        panic!("no intent");
    };
    let folder = SqliteFolder::open(&stored.path().join("store")).unwrap();
    let mut journal = folder.journal().unwrap();
    let mut group = Vec::new();
    begin_group(&mut group);
    for n in 0..count {
        let intent = Intent {
            txn: TxnId(1_000 + n),
            at: Timestamp(first.at.0 + 10_000_000 + n / 3),
            stan: Stan::new(u32::try_from(n).unwrap()).unwrap(),
            ..(*first).clone()
        };
        intent.encode(&mut group);
    }
    end_group(&mut group);
    journal
        .append(&group, u32::try_from(count).unwrap())
        .unwrap();
    (stored, *first)
}

#[tokio::test]
async fn an_export_has_everything_that_pages_have_and_a_page_never_more_than_asked() {
    let (stored, _) = crowded(2_500).await;
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let world = setup.start().await;
    let api = Api::serve(&world);
    let (mut numbers, mut next) = (Vec::new(), String::new());
    loop {
        let page = api
            .json(&format!(
                "/v1/transactions?account=account-1&limit=400{next}"
            ))
            .await;
        let found = page["transactions"].as_array().unwrap();
        assert!(found.len() <= 400);
        numbers.extend(found.iter().map(|t| t["transaction"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(numbers.len(), 2_503);
    let (status, text) = api
        .get("/v1/transactions?account=account-1&format=csv")
        .await;
    assert_eq!(status, 200);
    let mut lines = csv::Reader::from_reader(text.as_bytes());
    let header = lines.headers().unwrap().clone();
    let at = |name| header.iter().position(|h| h == name).unwrap();
    let (number, amount) = (at("transaction"), at("amount"));
    let listed: Vec<_> = lines
        .records()
        .map(|line| {
            let line = line.unwrap();
            assert_eq!(line.get(amount), Some("10.00"));
            line.get(number).unwrap().parse::<u64>().unwrap()
        })
        .collect();
    assert_eq!(listed, numbers);
    let (_, one) = api.get("/v1/transactions?limit=1&format=csv").await;
    assert_eq!(one.lines().count(), 2);
    world.stop(()).await;
}

pub(super) fn posgate(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_posgate"))
        .args(words)
        .current_dir(folder)
        .env("TZ", "CST-8")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command says when it succeeds.
pub(super) fn said(folder: &Path, words: &[&str]) -> String {
    let told = posgate(folder, words);
    let complaint = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{words:?}: {complaint}");
    String::from_utf8(told.stdout).unwrap()
}

/// A configuration under which commands find a test's store.
pub(super) fn write_config(folder: &Path) {
    let text = r#"
[store]
path = "store"

[[listener]]
name = "shops"
address = "127.0.0.1:0"
acquirer = "acme"
dialect = "unionpay-pos"
upstream = "bank"
mac = "none"

[[upstream]]
name = "bank"
dialect = "unionpay-pos"
addresses = ["127.0.0.1:9"]
"#;
    std::fs::write(folder.join("posgate.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_the_same_of_a_running_gateway_and_of_its_store() {
    let day = Day::traded().await;
    let folder = day.world.folder.path().to_owned();
    write_config(&folder);
    let socket = day.api.socket.to_str().unwrap().to_owned();
    let question = ["transaction", "list", "--account", "OTHER/1", "-o", "json"];
    let number = day.shows("rrn=R00000000005", 1).await[0]["transaction"].to_string();
    let commands: [&[&str]; 3] = [
        &question,
        &["transaction", "show", &number, "-o", "json"],
        &["transaction", "evidence", &number],
    ];
    // The gateway of the test lives in this process's zone, the command in another one: times are compared
    // as numbers.
    let without_zone = |text: &str| -> Vec<String> {
        let zoned = ["accepted_at\"", "state_at\""];
        let lines = text
            .lines()
            .filter(|line| !zoned.iter().any(|z| line.contains(z)));
        lines.map(str::to_owned).collect()
    };
    let mut running = Vec::new();
    for words in commands {
        let words = [words, &["--socket", &socket]].concat();
        let told = tokio::task::spawn_blocking({
            let folder = folder.clone();
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            move || {
                said(
                    &folder,
                    &words.iter().map(String::as_str).collect::<Vec<_>>(),
                )
            }
        });
        running.push(told.await.unwrap());
    }
    let stored = day.stop().await;
    for (words, before) in commands.into_iter().zip(running) {
        let now = said(stored.path(), words);
        assert_eq!(without_zone(&now), without_zone(&before), "{words:?}");
        assert_masked(&now);
    }
    let folder = stored.path();
    let table = said(folder, &["transaction", "list", "--from", "2000-01-01"]);
    assert_eq!(table.lines().count(), 6, "{table}");
    let header = table.lines().next().unwrap();
    assert!(header.starts_with("NUMBER  ACCEPTED"), "{table}");
    assert!(table.contains("+08:00") || table.contains("T"), "{table}");
    let exported = said(
        folder,
        &["transaction", "list", "-o", "csv", "--state", "approved"],
    );
    assert_eq!(exported.lines().count(), 4, "{exported}");
    assert!(exported.contains("+08:00"), "{exported}");
    let file = folder.join("evidence.json");
    said(
        folder,
        &[
            "transaction",
            "evidence",
            &number,
            "-O",
            file.to_str().unwrap(),
        ],
    );
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["content"]["state"], "reversed");
    let refused = posgate(folder, &["transaction", "show", "424242"]);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("no transaction 424242"), "{complaint}");
    let nowhere = tempfile::tempdir().unwrap();
    write_config(nowhere.path());
    let refused = posgate(nowhere.path(), &["transaction", "list"]);
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("there is no store"), "{complaint}");
    assert!(!nowhere.path().join("store").exists());
}

fn sha256(text: &str) -> String {
    let sum = digest::digest(&digest::SHA256, text.as_bytes());
    sum.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keys sorted, no spaces: written here once more, apart from the program's own writer.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            let pairs = keys.into_iter().map(|key| {
                let name = Value::String(key.clone());
                format!("{name}:{}", canonical(&fields[key]))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

#[tokio::test]
async fn evidence_is_the_journals_own_records_and_says_where_they_stand() {
    let day = Day::traded().await;
    let state = "/v1/terminals/acme/T0000009/state";
    let change = json!({"state": "re-pending", "reasons": ["phone"]});
    assert_eq!(day.api.put(state, change).await, 200);
    let found = day.shows("rrn=R00000000005", 1).await;
    let number = found[0]["transaction"].as_u64().unwrap();
    let path = format!("/v1/transactions/{number}/evidence");
    let bundle = day.api.json(&path).await;
    assert_eq!(day.api.get("/v1/transactions/424242/evidence").await.0, 404);
    assert_masked(&bundle.to_string());

    let content = &bundle["content"];
    assert_eq!(bundle["sha256"], sha256(&canonical(content)));
    assert_eq!(
        (&content["state"], &content["transaction"]),
        (&json!("reversed"), &json!(number))
    );
    let intent = &content["intent"];
    for (name, value) in [
        ("terminal_id", json!("T0000009")),
        ("account_id", json!("OTHER/1")),
        ("stan", json!("000005")),
        ("card_number_sealed", json!(true)),
        ("held", json!(false)),
        ("fate", json!("reverse")),
    ] {
        assert_eq!(intent[name], value, "{name}: {intent}");
    }
    assert_eq!(intent["kept_for_reversal"]["DE11"], "000005");
    assert_eq!(intent["kept_for_reversal"].get("DE14"), None, "{intent}");
    let outcomes = content["outcomes"].as_array().unwrap();
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|o| o["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["approved", "reversal-owed", "reversed"]);
    let reference = "R00000000005"
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    assert_eq!(outcomes[0]["kept_of_answer"]["DE37"], reference);
    let steps: Vec<_> = content["reversal"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["step"])
        .collect();
    assert_eq!(steps, ["reversal-owed", "reversed"]);
    let binding = &content["binding"];
    assert_eq!(binding["version"], 1);
    assert_eq!(binding["merchant_id"], OTHER_SHOP);
    assert_eq!(binding["state_at_that_version"], "active");
    assert_eq!(binding["changes"][1]["state"], "re-pending", "{binding}");
    assert_eq!(binding["changes"][1]["by"], user());

    // The journal itself has these records there, under these checksums.
    let mut places = vec![intent["journal"].clone()];
    places.extend(outcomes.iter().map(|o| o["journal"].clone()));
    let stored = day.stop().await;
    let folder = SqliteFolder::open(&stored.path().join("store")).unwrap();
    let mut expected = Vec::new();
    let each = &mut |sequence: u64, group: &[u8]| {
        let mut place = 0;
        read_group(group, |record| {
            let txn = match &record {
                Record::Intent(intent) => Some(intent.txn),
                Record::Outcome(outcome) => Some(outcome.txn),
                _ => None,
            };
            if txn == Some(TxnId(number)) {
                let sum = crc32c::crc32c(&group[..group.len() - 4]);
                expected.push(json!({
                    "group": sequence, "record": place, "group_crc32c": format!("{sum:08x}"),
                }));
            }
            place += 1;
        })
        .unwrap();
        true
    };
    folder.journal().unwrap().replay(0, each).unwrap();
    assert_eq!(places, expected);
    assert_eq!(places.len(), 4);
}

#[tokio::test]
async fn evidence_does_not_wait_for_the_projection_and_survives_a_restart() {
    let (stored, first) = crowded(3).await;
    let folder = SqliteFolder::open(&stored.path().join("store")).unwrap();
    // Nothing projected these yet: the journal alone knows them.
    let mut inquiry = posgate::admin::inquiry::Inquiry::open(&folder).unwrap();
    assert_eq!(inquiry.behind().unwrap(), 1);
    let bundle = posgate::admin::evidence::bundle(&mut inquiry, TxnId(1_001)).unwrap();
    assert_eq!(bundle["content"]["state"], "open");
    assert_eq!(bundle["content"]["intent"]["merchant_id"], SHOP);
    let before = posgate::admin::evidence::bundle(&mut inquiry, first.txn).unwrap();
    drop(inquiry);
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let world = setup.start().await;
    let api = Api::serve(&world);
    let path = format!("/v1/transactions/{}/evidence", first.txn.0);
    assert_eq!(api.json(&path).await, before);
    world.stop(()).await;
}
