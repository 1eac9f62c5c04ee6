//! What takes two persons takes two callers: a name that somebody types is nobody's word. And who is given a document is
//! in the audit trail.

use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{SHOP, Setup, World};
use super::inquiries::{posgate, said};
use super::story::{LI, Story};

/// A caller with a token in that name.
pub(super) async fn caller(api: &Api, name: &str, role: &str) -> Api {
    let (status, given) = api
        .post("/v1/tokens", json!({ "name": name, "role": role }))
        .await;
    assert_eq!(status, 201, "{given}");
    Api {
        token: Some(given["token"].as_str().unwrap().to_owned()),
        ..api.clone()
    }
}

async fn numbered(api: &Api, path: &str, body: Value) -> u64 {
    let (status, done) = api.post(path, body).await;
    assert_eq!(status, 200, "{path}: {done}");
    done["number"].as_u64().unwrap()
}

/// A merchant with a phone that is to take the place of another; both numbers.
async fn phones(world: &World, api: &Api) -> (u64, u64) {
    let merchant = format!("/v1/merchants/acme/{SHOP}");
    let owner = |value: &str, replaces: Option<u64>| json!({ "kind": "phone", "role": "owner", "value": value, "replaces": replaces });
    let contacts = format!("{merchant}/contacts");
    let old = numbered(api, &contacts, owner("138 0013 8000", None)).await;
    let new = numbered(api, &contacts, owner("139 0013 9000", Some(old))).await;
    assert!(world.folder.path().exists());
    (old, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_who_saw_the_originals_is_another_caller() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let (_old, new) = phones(&world, &api).await;
    let li = caller(&api, "Li Wei", "operator").await;
    let li_again = caller(&api, "Li Wei", "checker").await;
    let wang = caller(&api, "Wang Fang", "checker").await;
    let about = format!("contact {new}");
    let seen = json!({ "about": about, "allows": "replace-contact", "note": "identity card and shop seen" });
    let consent = format!("/v1/contacts/{new}/consent");

    // A typed name is none.
    let typed = json!({ "seen_with": "Wang Fang" });
    let (status, told) = li.post(&consent, typed).await;
    assert_eq!(status, 422, "{told}");
    // Nor is the same person with another token.
    let own = numbered(&li_again, "/v1/evidence", seen.clone()).await;
    let (status, told) = li.post(&consent, json!({ "evidence": own })).await;
    assert_eq!(status, 403, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("another person"));
    // What another caller does not believe is good for nobody.
    let refuse = format!("/v1/evidence/{own}/refuse");
    let (status, told) = wang
        .post(&refuse, json!({ "note": "nobody was here" }))
        .await;
    assert_eq!(status, 200, "{told}");
    let listed = api.json("/v1/evidence").await;
    assert_eq!(listed["evidence"], json!([]));
    // Another caller's is: once, and the trail names both.
    let filed = numbered(&wang, "/v1/evidence", seen).await;
    let (status, told) = li.post(&consent, json!({ "evidence": filed })).await;
    assert_eq!(status, 200, "{told}");
    let (status, told) = li.post(&consent, json!({ "evidence": filed })).await;
    assert_eq!(status, 422, "{told}");
    let trail = api.json("/v1/audit?limit=10").await.to_string();
    for word in ["evidence.refused", "contact.change_agreed"] {
        assert!(trail.contains(word), "{word}: {trail}");
    }
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_token_in_a_name_that_passes_for_anothers() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let asked = async |name: &str| {
        let body = json!({ "name": name, "role": "checker" });
        let (status, told) = api.post("/v1/tokens", body).await;
        (
            status,
            told["detail"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(asked("Anna Popov").await.0, 201);
    assert_eq!(asked("Anna Popov").await.0, 201, "the same person again");
    assert_eq!(asked("Anna Popova").await.0, 201, "somebody else");
    for (name, why) in [
        // In Cyrillic letters, in part and as a whole word.
        ("\u{410}nna Popov", "letters in one word"),
        ("Anna \u{420}\u{43E}\u{440}ov", "letters in one word"),
        ("anna popov", "passes for that of token 1"),
        ("Ann\u{e1} Popov", "passes for that of token 1"),
        ("AnnaPopov", "passes for that of token 1"),
        ("\u{1D400}nna", "another style"),
    ] {
        let (status, told) = asked(name).await;
        assert_eq!(status, 422, "{name}: {told}");
        assert!(told.contains(why), "{name}: {told}");
    }
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_take_evidence_back_and_confirm_phones() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let (old, new) = phones(&world, &api).await;
    let socket = api.socket.to_str().unwrap().to_owned();
    let folder = world.folder.path().to_owned();
    let run = |words: &[&str]| {
        let words = [words, &["--socket", socket.as_str()]].concat();
        tokio::task::block_in_place(|| said(&folder, &words))
    };
    let fails = |words: &[&str]| {
        let words = [words, &["--socket", socket.as_str()]].concat();
        let done = tokio::task::block_in_place(|| posgate(&folder, &words));
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let about = format!("contact {new}");
    run(&["evidence", "file", &about, "replace-contact", "papers seen"]);
    let own = fails(&["contact", "consent", &new.to_string(), "--evidence", "1"]);
    assert!(own.contains("another person"), "{own}");
    run(&["evidence", "refuse", "1", "--note", "a slip of the pen"]);
    let gone = fails(&["contact", "consent", &new.to_string(), "--evidence", "1"]);
    assert!(gone.contains("was refused"), "{gone}");
    let pending = fails(&[
        "contact",
        "confirm",
        &old.to_string(),
        "--note",
        "called back",
    ]);
    assert!(pending.contains("verify it by a code first"), "{pending}");
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_is_shown_by_its_number_with_what_it_admitted_and_who_read_evidence_of_it() {
    let mut story = Story::begin().await;
    story.shop_to_be_verified().await;
    assert_eq!(story.sells("T0000001", 1).await, "00");
    let binding = story.binding_of("T0000001").await;
    let path = format!("/v1/transactions?binding={binding}");
    let listed = story.listed(&path, 1).await;
    let nobody = format!("/v1/transactions?binding={}", binding + 1);
    let (status, told) = story.call(LI, "GET", &nobody, &Value::Null).await;
    assert_eq!(status, 404, "{told}");
    let (status, shown) = story
        .call(LI, "GET", &format!("/v1/bindings/{binding}"), &Value::Null)
        .await;
    assert_eq!((status, &shown["terminal_id"]), (200, &json!("T0000001")));
    let history = format!("/v1/bindings/{binding}/history");
    let (status, shown) = story.call(LI, "GET", &history, &Value::Null).await;
    assert_eq!((status, &shown["binding"]), (200, &json!(binding)));

    let transaction = listed[0]["transaction"].as_u64().unwrap();
    let evidence = format!("/v1/transactions/{transaction}/evidence");
    let (status, told) = story.call(LI, "GET", &evidence, &Value::Null).await;
    assert_eq!(status, 200, "{told}");
    let trail = "/v1/audit?event=query.evidence_exported";
    let (_, read) = story.call(LI, "GET", trail, &Value::Null).await;
    let event = &read["events"][0];
    assert_eq!(event["actor"]["name"], LI, "{read}");
    assert_eq!(
        event["subject"],
        format!("transaction {transaction}"),
        "{read}"
    );

    let socket = story.api.socket.to_str().unwrap().to_owned();
    let folder = story.world.folder.path().to_owned();
    let run = |words: &[&str]| {
        let words = [words, &["--socket", socket.as_str()]].concat();
        tokio::task::block_in_place(|| said(&folder, &words))
    };
    let number = binding.to_string();
    assert!(run(&["binding", "show", &number]).contains("T0000001"));
    let listed = run(&["transaction", "list", "--binding", &number, "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["transactions"].as_array().unwrap().len(), 1);
    story.world.stop(()).await;
}
