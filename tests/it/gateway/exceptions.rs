//! What is parked waits for a person: listed, resent, closed, across restarts, over HTTP and by command.

use std::path::Path;
use std::time::Duration;

use posgate::store::{OutcomeKind, Record};
use posgate::switch::StanPolicy;
use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{
    ISO, PAN, Setup, Stored, Till, UNIONPAY, World, counting_link, eventually, journal_of,
};
use super::inquiries::{posgate, said, write_config};
use super::wire::{PATIENCE, SILENCE, Seen, Wire};

/// What is owed is sent once and then parked.
fn impatient(dialect: &'static str) -> Setup {
    Setup {
        timeout: SILENCE,
        attempts_max: 1,
        ..Setup::speaking(dialect)
    }
}

async fn again(stored: Stored, setup: Setup) -> (World, Wire, Api) {
    let setup = Setup {
        stored: Some(stored),
        ..setup
    };
    let world = setup.start().await;
    let api = Api::serve(&world);
    let link = world.link().await;
    (world, link, api)
}

/// A sale that nobody answered, and whose reversal was answered `code` and no more: parked.
async fn parked(world: &World, till: &mut Till, link: &mut Wire, stan: u32, code: &str) -> Seen {
    let before = exceptions(world);
    till.send(&till.who.sale(stan, 1_000)).await;
    assert_eq!(link.next().await.mti, "0200");
    till.next().await;
    let reversal = link.next().await;
    link.send(&reversal.answered(code)).await;
    eventually("it is parked", || exceptions(world) == before + 1).await;
    reversal
}

fn exceptions(world: &World) -> u64 {
    world.metric("posgate_exceptions", &[("group", &world.name)])
}

async fn owes_nothing(world: &World) {
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
}

/// Waits until so many are listed.
async fn listed(api: &Api, count: usize) -> Vec<Value> {
    let shown = async {
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        loop {
            poll.tick().await;
            let page = api.json("/v1/exceptions").await;
            let found = page["exceptions"].as_array().unwrap().clone();
            if found.len() == count {
                assert_eq!(page["count"], count);
                return found;
            }
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await;
    shown.unwrap_or_else(|_| panic!("the list does not come to {count}"))
}

fn by_li() -> Value {
    json!({ "name": "Li Wei", "note": "the bank says its host was down" })
}

/// Journal's outcomes of one transaction, and what people did with it, in order.
fn story(stored: &Path, txn: u64) -> Vec<String> {
    let of_it = |record: Record| match record {
        Record::Outcome(outcome) if outcome.txn.0 == txn => Some(outcome.kind.name().to_owned()),
        Record::Intervention(done) if done.txn.0 == txn => {
            Some(format!("{} by {}", done.verb.name(), done.name.as_str()))
        }
        _ => None,
    };
    journal_of(stored).into_iter().filter_map(of_it).collect()
}

/// It may be days until somebody decides about the refund; the terminal would send its reversal all that time.
#[tokio::test]
async fn a_reversal_is_answered_while_a_refund_of_its_sale_is_parked() {
    let world = impatient(UNIONPAY).start().await;
    let mut link = world.link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 651, "00").await;
    till.send(&till.who.refund(652, 651, 600)).await;
    assert_eq!(link.next().await.mti, "0220");
    till.next().await;
    eventually("it is parked", || exceptions(&world) == 1).await;
    assert_eq!(till.code(&till.who.reversal(651, 1_000)).await, "12");
    assert_eq!(world.running.switch.owed(), 0);
}

#[tokio::test]
async fn what_is_parked_is_resent_after_a_restart_until_it_is_acknowledged() {
    for (dialect, policy) in [
        (UNIONPAY, StanPolicy::Pass),
        (UNIONPAY, StanPolicy::Own),
        (ISO, StanPolicy::Pass),
    ] {
        let setup = || Setup {
            stan: policy,
            ..impatient(dialect)
        };
        let world = setup().start().await;
        let mut link = match policy {
            StanPolicy::Pass => world.link().await,
            StanPolicy::Own => counting_link(&world).await,
        };
        let api = Api::serve(&world);
        let mut till = world.till(1).await;
        assert_eq!(exceptions(&world), 0);
        let first = parked(&world, &mut till, &mut link, 601, "96").await;
        let found = &listed(&api, 1).await[0];
        for (name, value) in [
            ("owed", json!("reversal")),
            ("state", json!("parked")),
            ("group", json!(world.name)),
            ("attempts", json!(1)),
            ("last_code", json!("96")),
            ("terminal_id", json!("T0000001")),
            ("account_id", json!("account-1")),
            ("stan", json!("000601")),
            ("interventions", json!([])),
        ] {
            assert_eq!(found[name], value, "{name}: {found}");
        }
        assert_eq!(found["amount"]["text"], "10.00");
        assert!(found["age_seconds"].as_u64().unwrap() < 60, "{found}");
        assert!(!found.to_string().contains(PAN));
        let txn = found["transaction"].as_u64().unwrap();
        let stored = world.stop((till, link)).await;

        let (world, mut link, api) = again(stored, setup()).await;
        assert_eq!(exceptions(&world), 1, "right after the restart");
        let found = &listed(&api, 1).await[0];
        let known = [
            &found["transaction"],
            &found["attempts"],
            &found["last_code"],
        ];
        assert_eq!(known, [&json!(txn), &Value::Null, &json!("96")]);
        let path = format!("/v1/exceptions/{txn}");
        let (status, told) = api.post(&format!("{path}/resend"), by_li()).await;
        assert_eq!((status, &told["result"]), (200, &json!("done")), "{told}");
        let resent = link.next().await;
        assert_eq!((&resent.mti, resent.text(11)), (&first.mti, first.text(11)));
        for de in [2, 3, 4, 39, 41, 42, 49, 90] {
            assert_eq!(resent.text(de), first.text(de), "DE{de}");
        }
        assert_eq!(exceptions(&world), 0);
        listed(&api, 0).await;
        // Twice is once.
        let (status, told) = api.post(&format!("{path}/resend"), by_li()).await;
        assert_eq!(
            (status, &told["result"]),
            (200, &json!("already")),
            "{told}"
        );
        assert_eq!(told["state"], "reversal-owed");
        assert_eq!(told["intervention"]["name"], "Li Wei");
        let (status, told) = api.post(&format!("{path}/close"), by_li()).await;
        assert_eq!(status, 409);
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("is reversal-owed"), "{detail}");

        // What was resent is owed like anything else when the process ends.
        let crashed = world.crashed();
        // The first is answered before the second starts: it is patient twice and no longer.
        link.send(&resent.answered("00")).await;
        owes_nothing(&world).await;
        let (after, mut link_after, _) = again(crashed, setup()).await;
        let taken_up = link_after.next().await;
        assert_eq!(taken_up, resent);
        link_after.send(&taken_up.answered("00")).await;
        owes_nothing(&after).await;
        after.stop(link_after).await;

        let one = api.json(&path).await;
        assert_eq!(one["owed"], "nothing", "{one}");
        assert_eq!(one["interventions"][0]["verb"], "resend");
        let shown = api.json(&format!("/v1/transactions/{txn}")).await;
        assert_eq!(shown["interventions"], one["interventions"]);
        let evidence = api.json(&format!("/v1/transactions/{txn}/evidence")).await;
        let told = &evidence["content"]["interventions"][0];
        assert_eq!(told["note"], by_li()["note"]);
        assert!(told["journal"]["group"].as_u64().unwrap() > 0, "{told}");
        let stored = world.stop(link).await;
        let expected = [
            "reversal-owed",
            "parked",
            "resend by Li Wei",
            "reversal-owed",
            "reversed",
        ];
        assert_eq!(story(stored.path(), txn), expected);
    }
}

#[tokio::test]
async fn what_never_ends_is_parked_again_and_counted_from_nothing() {
    let setup = Setup {
        attempts_max: 2,
        ..impatient(UNIONPAY)
    };
    let (world, mut link) = setup.start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    till.send(&till.who.sale(601, 1_000)).await;
    link.next().await;
    till.next().await;
    for round in 1..=2 {
        for _ in 0..2 {
            assert_eq!(link.next().await.mti, "0400");
        }
        eventually("it is parked", || exceptions(&world) == 1).await;
        let found = &listed(&api, 1).await[0];
        assert_eq!(
            (&found["attempts"], &found["last_code"]),
            (&json!(2), &Value::Null)
        );
        assert_eq!(found["interventions"].as_array().unwrap().len(), round - 1);
        let path = format!("/v1/exceptions/{}/resend", found["transaction"]);
        let (status, told) = api.post(&path, by_li()).await;
        assert_eq!((status, &told["result"]), (200, &json!("done")), "{told}");
    }
    let last = link.next().await;
    link.send(&last.answered("00")).await;
    owes_nothing(&world).await;
    assert_eq!(world.reversals("parked"), 2);
    world.stop((till, link)).await;
}

#[tokio::test]
async fn what_is_closed_is_never_sent_again_and_counts_as_reversed() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    parked(&world, &mut till, &mut link, 601, "96").await;
    let txn = listed(&api, 1).await[0]["transaction"].as_u64().unwrap();
    let path = format!("/v1/exceptions/{txn}");
    let (status, told) = api.post(&format!("{path}/close"), by_li()).await;
    assert_eq!((status, &told["result"]), (200, &json!("done")), "{told}");
    assert_eq!(exceptions(&world), 0);
    // The terminal's repeat is declined, its own reversal is answered, and neither is forwarded.
    assert_eq!(till.code(&till.who.sale(601, 1_000)).await, "12");
    assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
    let (status, told) = api.post(&format!("{path}/close"), by_li()).await;
    assert_eq!(
        (status, &told["result"]),
        (200, &json!("already")),
        "{told}"
    );
    assert_eq!(told["state"], "closed");
    let (next, _) = till.sell(&mut link, 602, "00").await;
    assert_eq!(next.text(11), "000602");
    let stored = world.stop((till, link)).await;

    let (world, mut link, api) = again(stored, impatient(UNIONPAY)).await;
    assert_eq!(exceptions(&world), 0);
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
    let (status, told) = api.post(&format!("{path}/resend"), by_li()).await;
    assert_eq!(status, 409);
    assert!(
        told["detail"].as_str().unwrap().contains("is closed"),
        "{told}"
    );
    let (next, _) = till.sell(&mut link, 603, "00").await;
    assert_eq!(next.text(11), "000603");
    let line = api.json(&format!("/v1/transactions/{txn}")).await;
    let date = line["accepted_at"]
        .as_str()
        .unwrap()
        .split_at(10)
        .0
        .to_owned();
    let file = api.json(&format!("/v1/settlements/{date}")).await;
    let classes: Vec<_> = file["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|account| account["transactions"].as_array().unwrap())
        .filter(|line| line["transaction"] == txn)
        .map(|line| line["class"].clone())
        .collect();
    assert_eq!(classes, ["reversed"], "{file}");
    let stored = world.stop((till, link)).await;
    assert_eq!(
        story(stored.path(), txn),
        ["reversal-owed", "parked", "close by Li Wei", "closed"]
    );
}

#[tokio::test]
async fn a_parked_refund_is_repeated_and_its_answer_serves_the_terminal() {
    for (dialect, repeated) in [(UNIONPAY, "0220"), (ISO, "0221")] {
        let (world, mut link) = impatient(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 601, "00").await;
        let refund = till.who.refund(602, 601, 400);
        till.send(&refund).await;
        let first = link.next().await;
        till.next().await;
        assert_eq!(link.next().await.mti, repeated);
        eventually("it is parked", || exceptions(&world) == 1).await;
        let stored = world.stop((till, link)).await;

        let (world, mut link, api) = again(stored, impatient(dialect)).await;
        let found = &listed(&api, 1).await[0];
        assert_eq!(found["owed"], "repeat");
        let mut till = world.till(1).await;
        assert_ne!(till.code(&refund).await, "00", "nobody has answered it yet");
        let path = format!("/v1/exceptions/{}/resend", found["transaction"]);
        let (status, told) = api.post(&path, by_li()).await;
        assert_eq!((status, &told["result"]), (200, &json!("done")), "{told}");
        let resent = link.next().await;
        assert_eq!(
            (resent.mti.as_str(), resent.text(4)),
            (repeated, first.text(4))
        );
        assert_eq!(resent.text(11), first.text(11));
        link.send(&resent.answered("00")).await;
        owes_nothing(&world).await;
        let answer = till.ask(&refund).await;
        assert_eq!((answer.code(), answer.text(37)), ("00", "R00000000602"));
        till.hears_nothing().await;
        world.stop((till, link)).await;
    }
}

#[tokio::test]
async fn only_what_is_parked_is_decided_about_and_only_by_somebody_with_a_reason() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    till.sell(&mut link, 600, "00").await;
    parked(&world, &mut till, &mut link, 601, "96").await;
    let txn = listed(&api, 1).await[0]["transaction"].as_u64().unwrap();
    let approved = txn - 1;
    let card = "card 4761 7390 0101 0010";
    for (path, body, status, told) in [
        (
            format!("{txn}/resend"),
            json!({ "name": "Li" }),
            422,
            "note",
        ),
        (
            format!("{txn}/resend"),
            json!({ "name": " ", "note": "n" }),
            422,
            "a name is missing",
        ),
        (
            format!("{txn}/close"),
            json!({ "name": "Li", "note": "" }),
            422,
            "a note is missing",
        ),
        (
            format!("{txn}/close"),
            json!({ "name": "Li", "note": "a\nb" }),
            422,
            "position 2",
        ),
        (
            format!("{txn}/close"),
            json!({ "name": "Li", "note": card }),
            422,
            "card number",
        ),
        (
            format!("{txn}/close"),
            json!({ "name": "Li", "note": "n".repeat(501) }),
            422,
            "500",
        ),
        (
            format!("{txn}/close"),
            json!({ "name": "Li", "note": "n", "by": 1 }),
            422,
            "by",
        ),
        ("one/close".into(), by_li(), 400, "number"),
        ("424242/close".into(), by_li(), 404, "424242"),
        (format!("{approved}/close"), by_li(), 409, "is approved"),
        (format!("{approved}/resend"), by_li(), 409, "is approved"),
    ] {
        let (found, answer) = api.post(&format!("/v1/exceptions/{path}"), body).await;
        let detail = answer["detail"].as_str().unwrap();
        assert_eq!(found, status, "{path}: {detail}");
        assert!(detail.contains(told), "{path}: {detail}");
        assert!(!detail.contains("4761"));
    }
    for (path, status) in [
        ("/v1/exceptions?limit=0", 400),
        ("/v1/exceptions?cursor=x", 400),
        ("/v1/exceptions?colour=red", 400),
        ("/v1/exceptions/424242", 404),
    ] {
        assert_eq!(api.get(path).await.0, status, "{path}");
    }
    let (status, told) = api.get(&format!("/v1/exceptions/{approved}")).await;
    assert_eq!(status, 404);
    assert!(told.contains("is approved"), "{told}");
    let nobody = api.json("/v1/exceptions?group=nobody").await;
    assert_eq!(
        (&nobody["count"], &nobody["next"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(exceptions(&world), 1);

    // The terminal decides for itself, and then nobody else does.
    assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
    let reversal = link.next().await;
    assert_eq!(exceptions(&world), 0);
    let (status, told) = api
        .post(&format!("/v1/exceptions/{txn}/resend"), by_li())
        .await;
    assert_eq!(status, 409, "{told}");
    link.send(&reversal.answered("00")).await;
    owes_nothing(&world).await;
    let stored = world.stop((till, link)).await;
    let ends = story(stored.path(), txn);
    assert_eq!(
        ends,
        ["reversal-owed", "parked", "reversal-owed", "reversed"]
    );
    assert_eq!(OutcomeKind::from_name(&ends[1]), Some(OutcomeKind::Parked));
}

#[tokio::test]
async fn what_is_owed_to_a_group_that_is_gone_is_listed_and_closed_but_not_resent() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let mut till = world.till(1).await;
    parked(&world, &mut till, &mut link, 601, "96").await;
    let gone = world.name.clone();
    let stored = world.stop((till, link)).await;

    let (world, link, api) = again(stored.under_another_name(), impatient(UNIONPAY)).await;
    let count = async |count: u32| {
        let (_, text) = api.get("/metrics").await;
        let line = format!("posgate_exceptions{{group=\"{gone}\"}} {count}\n");
        assert!(text.contains(&line), "{line}");
    };
    count(1).await;
    let found = &listed(&api, 1).await[0];
    assert_eq!(found["group"], json!(gone));
    let path = format!("/v1/exceptions/{}", found["transaction"]);
    let (status, told) = api.post(&format!("{path}/resend"), by_li()).await;
    assert_eq!(status, 422);
    assert!(told["detail"].as_str().unwrap().contains(&gone), "{told}");
    count(1).await;
    let (status, told) = api.post(&format!("{path}/close"), by_li()).await;
    assert_eq!((status, &told["result"]), (200, &json!("done")), "{told}");
    count(0).await;
    world.stop(link).await;
}

/// Runs a command beside the gateway of the test. What it says, and whether it succeeds.
async fn command(api: &Api, words: &str) -> (bool, String) {
    let socket = api.socket.to_str().unwrap().to_owned();
    let mut words: Vec<String> = words.split('|').map(str::to_owned).collect();
    words.extend(["--socket".to_owned(), socket]);
    let told = tokio::task::spawn_blocking(move || {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        posgate(Path::new("."), &words)
    });
    let told = told.await.unwrap();
    let text = [told.stdout, told.stderr].concat();
    (told.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_decides_about_one_and_about_all_of_a_group() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    for stan in 601..=603 {
        parked(&world, &mut till, &mut link, stan, "96").await;
    }
    let found = listed(&api, 3).await;
    let numbers: Vec<_> = found.iter().map(|e| e["transaction"].to_string()).collect();
    assert!(
        numbers.is_sorted_by_key(|n| n.parse::<u64>().unwrap()),
        "the oldest first"
    );
    let group = world.name.clone();

    let (well, told) = command(&api, &format!("exception|list|--group|{group}")).await;
    assert!(well, "{told}");
    assert_eq!(told.lines().count(), 4, "{told}");
    for word in ["reversal", &group, "T0000001", "account-1", "10.00", "96"] {
        assert!(
            told.lines().nth(1).unwrap().contains(word),
            "{word}: {told}"
        );
    }
    let (well, told) = command(&api, "exception|list|--limit|2|-o|json").await;
    let page: Value = serde_json::from_str(&told).unwrap();
    assert!(well && page["count"] == 3, "{told}");
    let next = format!("exception|list|--cursor|{}", page["next"].as_str().unwrap());
    let (_, told) = command(&api, &next).await;
    assert!(
        told.lines().count() == 2 && told.contains(&numbers[2]),
        "{told}"
    );

    let by = "--name|Li Wei|--note|bank ticket 4711";
    let all = format!("exception|resend|--all|--group|{group}|{by}");
    let (well, told) = command(&api, &all).await;
    assert!(!well && told.contains("say --count 3"), "{told}");
    let (well, told) = command(&api, &format!("{all}|--count|2")).await;
    assert!(!well && told.contains("3 are parked"), "{told}");
    assert_eq!(exceptions(&world), 3, "nothing was done");

    let one = format!("exception|close|{}|{by}", numbers[0]);
    let (well, told) = command(&api, &one).await;
    assert!(well && told == format!("{} closed\n", numbers[0]), "{told}");
    let (well, told) = command(&api, &one).await;
    assert!(well && told.contains("was closed already"), "{told}");
    let two = format!("exception|resend|{}|424242|{by}", numbers[0]);
    let (well, told) = command(&api, &two).await;
    assert!(
        !well && told.contains("is closed;") && told.contains("no transaction 424242"),
        "{told}"
    );

    let (well, told) = command(&api, &format!("{all}|--count|2")).await;
    assert!(well, "{told}");
    assert_eq!(
        told,
        format!("{} resent\n{} resent\n", numbers[1], numbers[2])
    );
    for _ in 0..2 {
        let reversal = link.next().await;
        link.send(&reversal.answered("00")).await;
    }
    owes_nothing(&world).await;
    listed(&api, 0).await;
    let (well, told) = command(&api, &format!("exception|show|{}", numbers[1])).await;
    assert!(
        well && told.contains("by Li Wei: bank ticket 4711"),
        "{told}"
    );
    let (_, told) = command(&api, &format!("transaction|show|{}", numbers[1])).await;
    assert!(told.contains("by Li Wei: bank ticket 4711"), "{told}");
    parked(&world, &mut till, &mut link, 604, "96").await;
    let stored = world.stop((till, link)).await;

    // Without a gateway there is the list, and no decision.
    write_config(stored.path());
    let told = said(stored.path(), &["exception", "list"]);
    assert_eq!(told.lines().count(), 2, "{told}");
    let number = told.lines().nth(1).unwrap().split(' ').next().unwrap();
    said(stored.path(), &["exception", "show", number]);
    for verb in ["resend", "close"] {
        let words = ["exception", verb, number, "--name", "Li", "--note", "n"];
        let refused = posgate(stored.path(), &words);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{told}");
        assert!(
            told.contains("only a running gateway") && told.contains("posgate serve"),
            "{told}"
        );
    }
}
