//! What holds for every write of the admin API: its key, its version, its audit event, and how it is refused.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::admin::{Answered, Api, new_key, user};
use super::fixture::{Setup, World};

const STATE: &str = "/v1/terminals/acme/T0000001/state";

/// The events of the audit trail, newest first.
async fn events(api: &Api) -> Vec<Value> {
    let page = api.json("/v1/audit?limit=1000").await;
    page["events"].as_array().unwrap().clone()
}

async fn put(api: &Api, key: &str, etag: &str, body: Value) -> Answered {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
        ("if-match", etag),
    ];
    api.request("PUT", STATE, &headers, body.to_string()).await
}

async fn version(api: &Api) -> u64 {
    api.json("/v1/terminals/acme/T0000001").await["version"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn a_write_is_made_once_for_its_key_and_answered_alike_each_time() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let (key, suspend) = (new_key(), json!({ "state": "suspended" }));
    let first = put(&api, &key, "*", suspend.clone()).await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (200, "")
    );
    for _ in 0..3 {
        let again = put(&api, &key, "*", suspend.clone()).await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (200, "true")
        );
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    assert_eq!(version(&api).await, 2, "it was made once");
    let told = events(&api).await;
    let states = told
        .iter()
        .filter(|event| event["event"] == "binding.state_set");
    assert_eq!(states.count(), 1, "and told once");
    let other = put(&api, &key, "*", json!({ "state": "active" })).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "key reused")
    );
    let other = put(&api, &key, "\"2\"", suspend).await;
    assert_eq!(other.status, 422, "another version is another request");
    world.stop(()).await;
}

#[tokio::test]
async fn what_was_answered_before_a_crash_is_answered_after_it() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let key = new_key();
    let first = put(&api, &key, "*", json!({ "state": "suspended" })).await;
    assert_eq!(first.status, 200);
    let left = world.crashed();
    world.stop(()).await;
    let setup = Setup {
        stored: Some(left),
        terminals: 0,
        ..Setup::new()
    };
    let world = setup.start().await;
    let api = Api::serve(&world);
    let again = put(&api, &key, "*", json!({ "state": "suspended" })).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.text, first.text);
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_the_same_time_under_one_key_one_is_made() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let key = new_key();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (api, key) = (api.clone(), key.clone());
        asked.spawn(async move { put(&api, &key, "*", json!({ "state": "suspended" })).await });
    }
    let answers = asked.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let replayed = answers
        .iter()
        .filter(|a| a.header("idempotent-replayed") == "true");
    assert_eq!(replayed.count(), 19);
    assert_eq!(version(&api).await, 2);
    world.stop(()).await;
}

#[tokio::test]
async fn what_is_refused_changes_nothing_tells_nothing_and_leaves_its_key_free() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let before = events(&api).await.len();
    let key = new_key();
    let refused = put(&api, &key, "\"9\"", json!({ "state": "suspended" })).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (412, "stale version")
    );
    assert_eq!((version(&api).await, events(&api).await.len()), (1, before));
    let done = put(&api, &key, "\"1\"", json!({ "state": "suspended" })).await;
    assert_eq!((done.status, done.header("etag")), (200, "\"2\""));
    world.stop(()).await;
}

/// Many clients write head and body one after the other: a refusal that needs the head only finds them still writing.
#[tokio::test]
async fn a_refusal_reaches_who_still_writes_his_body() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let mut stream = api.connect().await.unwrap();
    let body = format!("{:60000}", r#"{"state":"suspended"}"#);
    let head = |etag: &str| {
        let key = new_key();
        format!(
            "PUT {STATE} HTTP/1.1\r\nHost: posgate\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
             {etag}Content-Length: {}\r\n\r\n",
            body.len()
        )
    };
    // The connection is good for the next request too.
    for (etag, status) in [("", "428"), ("If-Match: \"1\"\r\n", "200")] {
        stream.write_all(head(etag).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    world.stop(()).await;
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_would_be_right() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let key = ("idempotency-key", "k");
    let (kind, any) = (("content-type", "application/json"), ("if-match", "*"));
    let good = r#"{"state":"suspended"}"#;
    let large = format!(r#"{{"state":"{}"}}"#, "x".repeat(1 << 20));
    let long = "k".repeat(129);
    let cases: [(&str, &str, &[(&'static str, &str)], &str, u16, &str, &str); 17] = [
        (
            "GET",
            "/v1/nothing",
            &[],
            "",
            404,
            "no such address",
            "/openapi.json",
        ),
        (
            "GET",
            "/v1/terminals/acme/NOBODY",
            &[],
            "",
            404,
            "unknown",
            "NOBODY",
        ),
        (
            "GET",
            "/v1/terminals?state=active",
            &[],
            "",
            400,
            "bad request",
            "there is no parameter `state` here",
        ),
        (
            "PUT",
            "/v1/terminals/acme/T0000001/state?dry_run=1",
            &[kind, any, key],
            good,
            400,
            "bad request",
            "there is no parameter `dry_run` here",
        ),
        ("DELETE", STATE, &[key], "", 405, "no such method", "Allow"),
        (
            "PUT",
            STATE,
            &[kind, any],
            good,
            400,
            "bad request",
            "Idempotency-Key",
        ),
        (
            "PUT",
            STATE,
            &[kind, any, ("idempotency-key", "")],
            good,
            400,
            "bad request",
            "1 to 128",
        ),
        (
            "PUT",
            STATE,
            &[kind, any, ("idempotency-key", &long)],
            good,
            400,
            "bad request",
            "1 to 128",
        ),
        (
            "PUT",
            STATE,
            &[kind, key],
            good,
            428,
            "version needed",
            "If-Match",
        ),
        (
            "PUT",
            STATE,
            &[kind, key, ("if-match", "7")],
            good,
            400,
            "bad request",
            "quotes",
        ),
        (
            "PUT",
            STATE,
            &[key, any],
            good,
            415,
            "not JSON",
            "application/json",
        ),
        (
            "PUT",
            STATE,
            &[("content-type", "text/plain"), key, any],
            good,
            415,
            "not JSON",
            "JSON",
        ),
        (
            "PUT",
            STATE,
            &[kind, key, any],
            "{\"state\":",
            400,
            "bad request",
            "line 1",
        ),
        (
            "PUT",
            STATE,
            &[kind, key, any],
            "{\"colour\":1}",
            422,
            "does not fit",
            "colour",
        ),
        (
            "PUT",
            STATE,
            &[kind, key, any],
            "{\"state\":\"asleep\"}",
            422,
            "does not fit",
            "suspended",
        ),
        (
            "PUT",
            STATE,
            &[kind, key, any],
            &large,
            413,
            "too large",
            "1048576",
        ),
        (
            "GET",
            "/v1/transactions?limit=0",
            &[],
            "",
            400,
            "bad request",
            "1000",
        ),
    ];
    for (method, path, headers, body, status, title, told) in cases {
        let refused = api.request(method, path, headers, body.to_owned()).await;
        let what = format!("{method} {path} {headers:?} {refused:?}");
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (status, title),
            "{what}"
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{what}");
        assert_eq!(refused.header("x-request-id").len(), 16, "{what}");
    }
    let allowed = api.request("DELETE", STATE, &[], String::new()).await;
    assert_eq!(allowed.header("allow"), "PUT");
    assert_eq!(version(&api).await, 1);
    world.stop(()).await;
}

#[tokio::test]
async fn every_change_is_told_with_who_from_where_before_and_after() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let answered = put(&api, &new_key(), "*", json!({ "state": "suspended" })).await;
    let told = &events(&api).await[0];
    assert_eq!(told["event"], "binding.state_set");
    assert_eq!(told["subject"], "terminal acme/T0000001");
    assert_eq!(told["before"]["state"], "active");
    assert_eq!(
        told["after"],
        json!({ "binding": 1, "version": 2, "state": "suspended", "reasons": [] })
    );
    assert_eq!(told["request"], answered.header("x-request-id"));
    let actor = &told["actor"];
    assert_eq!(
        (&actor["name"], &actor["rights"]),
        (&json!(user()), &json!("all"))
    );
    let address = actor["address"].as_str().unwrap();
    let process = format!("pid {}", std::process::id());
    assert!(
        address.starts_with("uid ") && address.ends_with(&process),
        "{address}"
    );

    let status = "/v1/accounts/acme/account-1/status";
    assert_eq!(api.put(status, json!({ "status": "frozen" })).await, 200);
    let told = &events(&api).await[0];
    assert_eq!(
        (&told["event"], &told["subject"]),
        (
            &json!("account.status_set"),
            &json!("account acme/account-1")
        )
    );
    assert_eq!(told["after"], json!({ "status": "frozen", "version": 2 }));
    let verdict = api.json("/v1/audit/verdict").await;
    assert_eq!(verdict["is_sound"], true, "{verdict}");
    world.stop(()).await;
}

#[tokio::test]
async fn an_account_has_a_version_and_a_change_of_an_older_one_is_refused() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let path = "/v1/accounts/acme/account-1";
    let shown = api.request("GET", path, &[], String::new()).await;
    assert_eq!(shown.header("etag"), "\"1\"");
    let status = format!("{path}/status");
    let freeze = || json!({ "status": "frozen" }).to_string();
    let frozen = api.put_if(&status, "\"1\"", freeze()).await;
    assert_eq!((frozen.status, frozen.header("etag")), (200, "\"2\""));
    assert_eq!(api.put_if(&status, "\"1\"", freeze()).await.status, 412);
    world.stop(()).await;
}

#[tokio::test]
async fn of_several_states_each_is_answered_for_itself_and_the_good_ones_are_in_the_gate() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let of = |terminal: &str, state: &str| json!({ "acquirer": "acme", "terminal_id": terminal, "state": state });
    let mut stale = of("T0000003", "suspended");
    stale["version"] = json!(9);
    let items = json!({ "items": [
        of("T0000001", "suspended"), of("NOBODY", "suspended"), stale, of("T0000002", "asleep"),
        of("T0000004", "suspended"),
    ] });
    let (status, told) = api.post("/v1/terminals/states", items).await;
    assert_eq!(
        (status, &told["done"], &told["refused"]),
        (200, &json!(2), &json!(3))
    );
    let items = told["items"].as_array().unwrap();
    let statuses: Vec<_> = items
        .iter()
        .map(|item| item["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 404, 412, 422, 200]);
    assert_eq!(items[4]["result"]["state"], "suspended");
    assert_eq!(items[2]["problem"]["title"], "stale version");
    for (number, code) in [(1, "58"), (4, "58")] {
        let mut till = world.till(number).await;
        assert_eq!(till.code(&till.who.sale(1, 100)).await, code);
    }
    let changed = events(&api).await;
    let changed = changed
        .iter()
        .filter(|event| event["event"] == "binding.state_set");
    assert_eq!(changed.count(), 2);
    let (status, _) = api
        .post("/v1/terminals/states", json!({ "items": [] }))
        .await;
    assert_eq!(status, 422);
    world.stop(()).await;
}

/// A person's decision takes effect in the journal: the trail has it before and after.
#[tokio::test]
async fn a_batch_that_is_closed_is_told_before_and_after_and_once() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sign_on(1)).await, "00");
    till.sell(&mut link, 2, "00").await;
    let path = "/v1/terminals/acme/T0000001/batch/close";
    let key = new_key();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key.as_str()),
    ];
    let body = json!({ "note": "till burnt" }).to_string();
    let closed = api.request("POST", path, &headers, body.clone()).await;
    assert_eq!(
        (closed.status, &closed.json()["by"]),
        (200, &json!(user())),
        "{closed:?}"
    );
    let again = api.request("POST", path, &headers, body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.text, closed.text, "the next batch is still open");
    let told = events(&api).await;
    let names: Vec<_> = told[..2]
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["batch.closed", "batch.close_begun"]);
    let refused = api.post(path, json!({ "note": "again", "batch": 7 })).await;
    assert_eq!(refused.0, 412);
    assert_eq!(
        events(&api).await[0]["event"],
        "batch.close_begun",
        "what is refused has no end"
    );
    world.stop(till).await;
}

/// The head of a trail is kept elsewhere; then somebody has a hand on the file.
#[tokio::test]
async fn a_trail_that_was_tampered_with_is_found_by_the_command_too() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    for state in ["suspended", "active", "suspended"] {
        put(&api, &new_key(), "*", json!({ "state": state })).await;
    }
    let verify = |world: &World, more: Vec<String>| {
        let socket = world.folder.path().join("admin.sock");
        async move {
            let out = tokio::process::Command::new(env!("CARGO_BIN_EXE_posgate"))
                .args(["audit", "verify", "--socket"])
                .arg(socket)
                .args(more)
                .output()
                .await
                .unwrap();
            let told =
                String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
            (out.status.code().unwrap(), told)
        }
    };
    let head = api.json("/v1/audit/head").await["head"]
        .as_str()
        .unwrap()
        .to_owned();
    let (code, told) = verify(&world, vec!["--head".into(), head.clone()]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&head), "{told}");
    let file = rusqlite::Connection::open(world.folder.path().join("store/registry.db")).unwrap();
    let last: u64 = head.split(':').next().unwrap().parse().unwrap();
    let forge =
        "UPDATE audit SET content = replace(content, 'suspended', 'suspendet') WHERE number = ?1";
    assert_eq!(
        file.execute(forge, [i64::try_from(last).unwrap()]).unwrap(),
        1
    );
    let (code, told) = verify(&world, vec![]).await;
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains(&format!("event {last} was changed")),
        "{told}"
    );
    world.stop(()).await;
}

/// The examples of a page, as they stand there, one shell script.
fn examples(page: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, part) = text.split_once("\n## Examples\n").unwrap();
    let (part, _) = part.split_once("\n## ").unwrap();
    let blocks = part.split("```sh\n").skip(1);
    let block = |block: &str| block.split("```").next().unwrap().to_owned();
    blocks.map(block).collect::<Vec<_>>().join("echo ----\n")
}

/// What the documentation shows is what happens.
#[tokio::test]
async fn the_examples_of_the_admin_api_do_what_the_page_says() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let folder = world.folder.path().join("shell");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::os::unix::fs::symlink(&api.socket, folder.join("data/admin.sock")).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_posgate"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    // The commands would find the socket through a configuration; here it is said.
    let script = examples("docs/admin-api.md")
        .replace(
            "posgate token create",
            "posgate token create --socket data/admin.sock",
        )
        .replace(
            "posgate audit verify",
            "posgate audit verify --socket data/admin.sock",
        );
    let out = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&folder)
        .env("PATH", path)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let parts: Vec<_> = told.split("----\n").collect();
    assert_eq!(parts.len(), 5, "{told}");
    assert!(
        parts[0].to_lowercase().contains("etag: \"1\""),
        "{}",
        parts[0]
    );
    assert!(
        parts[1].contains("\"state\":\"suspended\"")
            && parts[1].contains("idempotent-replayed: true"),
        "{}",
        parts[1]
    );
    assert!(
        parts[2].contains("\"done\":1") && parts[2].contains("\"refused\":1"),
        "{}",
        parts[2]
    );
    assert!(
        parts[3].contains("the role viewer may not do this"),
        "{}",
        parts[3]
    );
    assert!(
        parts[4].contains("binding.state_set") && parts[4].contains("as they were written"),
        "{}",
        parts[4]
    );
    world.stop(()).await;
}
