//! The program itself: `check` and `serve`.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;

use super::wire::PATIENCE;

const CONFIG: &str = r#"
[store]
path = "data"

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

fn posgate(folder: &std::path::Path, text: &str, command: &str) -> Command {
    let file = folder.join("posgate.toml");
    std::fs::write(&file, text).unwrap();
    let mut posgate = Command::new(env!("CARGO_BIN_EXE_posgate"));
    posgate
        .arg(command)
        .arg("-c")
        .arg("posgate.toml")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    posgate
}

#[test]
fn check_prints_every_mistake_with_its_place_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIG
        .replace("mac = \"none\"", "mca = \"none\"")
        .replace("upstream = \"bank\"", "upstream = \"bunk\"")
        .replace("127.0.0.1:0", "localhost");
    let told = posgate(folder.path(), &text, "check").output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    let told = String::from_utf8(told.stderr).unwrap();
    for place in [
        "posgate.toml:5:1:",
        "posgate.toml:7:11:",
        "posgate.toml:10:12:",
        "posgate.toml:11:1:",
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(place)),
            "{place} not in\n{told}"
        );
    }
    // A sound one.
    let told = posgate(folder.path(), CONFIG, "check").output().unwrap();
    assert_eq!(told.status.code(), Some(0));
    // `serve` says the same instead of starting.
    let told = posgate(folder.path(), &text, "serve").output().unwrap();
    assert_eq!(told.status.code(), Some(2));
}

#[tokio::test]
async fn serve_ends_with_0_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = posgate(folder.path(), CONFIG, "serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The admin socket is served last.
    let socket = folder.path().join("data/admin.sock");
    let mut poll = tokio::time::interval(Duration::from_millis(5));
    let up = async {
        while UnixStream::connect(&socket).await.is_err() {
            poll.tick().await;
        }
    };
    let up = tokio::time::timeout(PATIENCE, up).await;
    let pid = rustix::process::Pid::from_child(&serving);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = async {
        loop {
            if let Some(status) = serving.try_wait().unwrap() {
                return status;
            }
            poll.tick().await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    if ended.is_err() {
        serving.kill().unwrap();
    }
    up.expect("it does not serve");
    assert_eq!(ended.expect("it does not end").code(), Some(0));
    assert!(!socket.exists(), "the socket is left behind");
}
