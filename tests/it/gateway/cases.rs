//! Cases as the command opens them.

use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::Setup;
use super::inquiries::{posgate, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unbinding_may_be_told_when_to_begin() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let socket = api.socket.to_str().unwrap().to_owned();
    let folder = world.folder.path().to_owned();
    let words = |terminal: &'static str| {
        [
            "case",
            "unbind",
            "acme",
            terminal,
            "--channel",
            "online",
            "--reason",
            "closure",
            "--note",
            "shop closes",
            "--socket",
        ]
    };
    let open = |terminal, more: &[&str]| {
        let words = [&words(terminal)[..], &[socket.as_str()], more].concat();
        tokio::task::block_in_place(|| said(&folder, &words))
    };
    let begins = async |case: u64| {
        let shown: Value = api.json(&format!("/v1/cases/{case}")).await;
        shown["body"]["effective_at"].clone()
    };
    open("T0000001", &[]);
    assert_eq!(begins(1).await, 0, "at once");
    // Local is UTC+8 for the commands of these tests.
    open("T0000002", &["--at", "2030-11-30T20:00"]);
    let at = json!(1_922_270_400_000_000_u64);
    assert_eq!(begins(2).await, at);
    open("T0000003", &["--at", "2030-11-30T12:00:00Z"]);
    assert_eq!(begins(3).await, at);
    let words = [&words("T0000004")[..], &[&socket, "--at", "soon"]].concat();
    let refused = tokio::task::block_in_place(|| posgate(&folder, &words));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("soon is no time"),
        "{told}"
    );
    world.stop(()).await;
}
