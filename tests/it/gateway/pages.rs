//! Lists of what hangs on bindings come in pages: every thing once, in the list's order, to the end.

use std::time::Duration;

use posgate::binding::TerminalKey;
use posgate::store::command::Command;
use posgate::store::registry::{Actor, RegistryError};
use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{Bound, SHOP, Setup, World};
use super::inquiries::said;

/// Follows the cursors of a list to its end; the numbers or names on each page.
async fn pages(api: &Api, list: &str, (of, name): (&str, &str)) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut path = format!("{list}limit=2");
    loop {
        let page = api.json(&path).await;
        let rows = page[of].as_array().unwrap().iter();
        pages.push(rows.map(|row| row[name].clone()).collect());
        match &page["next"] {
            Value::String(next) => path = format!("{list}limit=2&cursor={next}"),
            end => {
                assert!(end.is_null(), "{page}");
                return pages;
            }
        }
    }
}

/// Terminals that say they are other devices.
fn alerts(world: &World) {
    let acquirer = world.running.registry.lock().acquirer("acme").unwrap();
    for number in 1..=4 {
        let terminal = format!("T{number:07}");
        let told = Command::OtherDevice {
            key: TerminalKey {
                acquirer,
                terminal: posgate::base::TerminalId::parse(&terminal).unwrap(),
            },
            times: 1,
            serial: "SN-9".into(),
            authentic: false,
        };
        let actor = Actor::program("test", world.clock.wall());
        let done = world.running.registry.change(|registry| {
            let done = registry.carry_out(&told, None, &actor)?;
            Ok::<_, RegistryError>(((), done.changes))
        });
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_goes_on_behind_its_cursor() {
    let world = Setup::new().start().await;
    for number in 1..=4 {
        world.bind(&Bound {
            serial: format!("SN-{number}"),
            ..Bound::numbered(number)
        });
    }
    let api = Api::serve(&world);
    let made = async |path: &str, body: Value| {
        let (status, answer) = api.post(path, body).await;
        assert_eq!(status, 200, "{answer}");
    };
    let contacts = format!("/v1/merchants/acme/{SHOP}/contacts");
    for number in 1..=5 {
        let phone = format!("+86138000000{number:02}");
        let contact = json!({ "kind": "phone", "role": "service", "value": phone });
        made(&contacts, contact).await;
        let hold = json!({
            "scope": "settlement", "reason": "position", "remedy": "inspection", "appeal": "desk",
        });
        made("/v1/terminals/acme/T0000001/holds", hold).await;
        let evidence = json!({
            "about": "account acme/account-1", "allows": "verify-account", "note": "seen",
        });
        made("/v1/evidence", evidence).await;
    }
    for number in 1..=4 {
        let case = json!({
            "acquirer": "acme", "terminal_id": format!("T{number:07}"), "channel": "online",
            "reason": "not-needed", "note": "shop closes",
        });
        made("/v1/unbindings", case).await;
    }
    alerts(&world);
    let contacts = format!("{contacts}?");
    let down = json!([[5, 4], [3, 2], [1]]);
    let up = json!([[1, 2], [3, 4], [5]]);
    let four = json!([[4, 3], [2, 1]]);
    made(
        "/v1/devices/acme/SN-2/events",
        json!({ "event": "lose", "note": "left in a taxi" }),
    )
    .await;
    for (list, names, expect) in [
        (contacts.as_str(), ("contacts", "contact"), up),
        (
            "/v1/terminals/acme/T0000001/holds?",
            ("holds", "hold"),
            down.clone(),
        ),
        ("/v1/evidence?", ("evidence", "evidence"), down),
        ("/v1/cases?all=true&", ("cases", "case"), four.clone()),
        ("/v1/alerts?", ("alerts", "alert"), four),
        (
            "/v1/devices/acme?",
            ("devices", "serial"),
            json!([["SN-1", "SN-2"], ["SN-3", "SN-4"]]),
        ),
        (
            "/v1/devices/acme?state=deployed&",
            ("devices", "serial"),
            json!([["SN-1", "SN-3"], ["SN-4"]]),
        ),
    ] {
        assert_eq!(json!(pages(&api, list, names).await), expect, "{list}");
        for wrong in ["cursor=4", "cursor=kx", "limit=0", "limit=1001", "page=2"] {
            assert_eq!(
                api.get(&format!("{list}{wrong}")).await.0,
                400,
                "{list}{wrong}"
            );
        }
    }
    // People are told that there is more, and how to go on.
    let socket = api.socket.to_str().unwrap().to_owned();
    let folder = world.folder.path().to_owned();
    let words = |cursor: &'static str| {
        let words = ["case", "list", "--limit", "3", "--socket", socket.as_str()];
        let more = ["--cursor", cursor];
        let more: &[&str] = if cursor.is_empty() { &[] } else { &more };
        tokio::task::block_in_place(|| said(&folder, &[&words[..], more].concat()))
    };
    let first = words("");
    assert_eq!(first.lines().count(), 4, "{first}");
    let rest = words("k2");
    assert_eq!(rest.lines().count(), 2, "{rest}");
    assert!(rest.contains("T0000001"), "{rest}");
    assert_eq!(words("k1").trim(), "no cases");
    let words = |words: &[&str]| {
        let words = [words, &["--socket", socket.as_str()]].concat();
        tokio::task::block_in_place(|| said(&folder, &words))
    };
    let lost = words(&["device", "list", "acme", "--state", "lost"]);
    assert_eq!(lost.lines().count(), 2, "{lost}");
    assert!(lost.contains("SN-2"), "{lost}");
    let (status, told) = api.get("/v1/devices/acme?state=gone").await;
    assert_eq!(status, 422);
    assert!(told.contains("wipe-pending"), "{told}");
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_terminal_was_at_a_time_is_asked_with_the_time() {
    let world = Setup::new().start().await;
    world.bind(&Bound::numbered(1));
    let api = Api::serve(&world);
    let opened = world.clock.wall();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stop = json!({ "action": "suspend", "note": "watched" });
    let (status, told) = api.post("/v1/terminals/acme/T0000001/actions", stop).await;
    assert_eq!(status, 200, "{told}");
    let address = "/v1/terminals/acme/T0000001/binding";
    let now = api.json(address).await;
    assert_eq!(
        (&now["state"], &now["version"]),
        (&json!("suspended"), &json!(2))
    );
    let then = jiff::Timestamp::from_microsecond(opened.0.cast_signed()).unwrap();
    let was = api.json(&format!("{address}?at={then}")).await;
    assert_eq!(
        (&was["state"], &was["version"]),
        (&json!("active"), &json!(1))
    );
    assert_eq!(was["accounts"], json!(["account-1"]), "{was}");
    assert_eq!(was["merchant_id"], SHOP);
    for (at, status) in [("2020-01-01", 404), ("yesterday", 400)] {
        assert_eq!(
            api.get(&format!("{address}?at={at}")).await.0,
            status,
            "{at}"
        );
    }
    let socket = api.socket.to_str().unwrap().to_owned();
    let folder = world.folder.path().to_owned();
    let then = then.to_string();
    let words = [
        "binding", "at", "acme", "T0000001", &then, "--socket", &socket,
    ];
    let shown = tokio::task::block_in_place(|| said(&folder, &words));
    assert!(
        shown.contains("active") && shown.contains("account-1"),
        "{shown}"
    );
    world.stop(()).await;
}
