//! The admin API over its Unix socket: what an operator changes is in the gate when the call returns.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use posgate::admin::Admin;
use posgate::switch::{Dispatcher, Ways};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::abuse::trading;
use super::fixture::{Bound, SHOP, Setup, World, prometheus};

/// A key that no other write of these tests has.
pub(super) fn new_key() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("key-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Who makes requests over the socket: whose test this is.
pub(super) fn user() -> String {
    let named = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    String::from_utf8(named.stdout).unwrap().trim().to_owned()
}

/// An answer with everything in it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The title of the problem that it is.
    pub(super) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        problem["title"].as_str().unwrap().to_owned()
    }
}

/// A connection, encrypted or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A client of the socket.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) socket: PathBuf,
    /// Over TLS instead of the socket.
    pub(super) https: Option<(SocketAddr, Arc<ClientConfig>)>,
    pub(super) token: Option<String>,
}

/// The admin of a gateway whose texts go into the file `outbox`.
pub(super) fn admin(world: &World) -> Admin {
    let ways = Ways::to_file(&world.folder.path().join("outbox"));
    let dispatcher = Dispatcher::new(&world.running, ways, &world.clock);
    let clock = Arc::clone(&world.clock);
    Admin::new(&world.running, clock, Some(prometheus()), dispatcher).unwrap()
}

impl Api {
    pub(super) fn serve(world: &World) -> Self {
        let socket = world.folder.path().join("admin.sock");
        admin(world).serve_socket(&socket).unwrap();
        Self {
            socket,
            https: None,
            token: None,
        }
    }

    /// The same with a token, or without one.
    pub(super) fn with(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let Some((address, tls)) = &self.https else {
            return Ok(Box::new(UnixStream::connect(&self.socket).await?));
        };
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(tls));
        Ok(Box::new(connector.connect(name, tcp).await?))
    }

    /// One request with these headers and no others that matter.
    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Answered {
        let stream = self.connect().await.expect("the API is not there");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "posgate")
            .body(Full::new(bytes::Bytes::from(body)))
            .unwrap();
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn call(&self, method: &str, path: &str, body: String) -> (u16, String) {
        let key = new_key();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("if-match", "*"),
        ];
        let answered = self.request(method, path, &headers, body).await;
        (answered.status, answered.text)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.call("GET", path, String::new()).await
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> u16 {
        self.call("PUT", path, body.to_string()).await.0
    }

    /// A change of a version that was seen.
    pub(super) async fn put_if(&self, path: &str, etag: &str, body: String) -> Answered {
        let key = new_key();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("if-match", etag),
        ];
        self.request("PUT", path, &headers, body).await
    }

    /// Status and answer, which is JSON also when it is a refusal.
    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, body) = self.call("POST", path, body.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(super) async fn post_text(&self, path: &str, body: Value) -> (u16, String) {
        self.call("POST", path, body.to_string()).await
    }

    /// The last line of an import's answer.
    pub(super) async fn import(&self, csv: &str) -> Value {
        let key = new_key();
        let headers = [
            ("content-type", "text/csv"),
            ("idempotency-key", key.as_str()),
            ("accept", "application/x-ndjson"),
        ];
        let told = self
            .request("POST", "/v1/import", &headers, csv.to_owned())
            .await;
        assert_eq!(told.status, 200, "{told:?}");
        serde_json::from_str(told.text.lines().last().unwrap()).unwrap()
    }
}

const HEADER: &str = "terminal_id,merchant_id,account_id,state,reasons\n";

/// Who does not ask for lines gets the end as a status: 200 says that it is in the gate.
#[tokio::test]
async fn an_import_is_answered_with_200_only_when_it_is_committed() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let api = Api::serve(&world);
    let key = new_key();
    let headers = [
        ("content-type", "text/csv"),
        ("idempotency-key", key.as_str()),
    ];
    let bad = format!("{HEADER}G0000001,{SHOP},account-7,asleep,\n");
    let told = api.request("POST", "/v1/import", &headers, bad).await;
    assert_eq!((told.status, told.problem().as_str()), (422, "wrong lines"));
    assert_eq!(told.json()["lines"][0]["line"], 2, "{told:?}");
    let key = new_key();
    let headers = [
        ("content-type", "text/csv"),
        ("idempotency-key", key.as_str()),
    ];
    let good = format!("{HEADER}G0000001,{SHOP},account-7,active,\n");
    for _ in 0..2 {
        // The second time it is the answer of the first.
        let told = api
            .request("POST", "/v1/import", &headers, good.clone())
            .await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["report"]["bound"], 1, "{told:?}");
    }
    let mut till = world.till(1).await;
    till.who.terminal = "G0000001".into();
    let (_, answer) = till.sell(&mut link, 2, "00").await;
    assert_eq!(answer.code(), "00");
}

#[tokio::test]
async fn an_import_takes_all_lines_or_none_and_names_every_bad_one() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let api = Api::serve(&world);
    let good = format!("G0000001,{SHOP},account-7,active,\n");
    let bad = format!(
        "{HEADER}{good}TOOLONGID,{SHOP},account-7,active,\nG0000002,{SHOP},,active,\n\
         G0000003,{SHOP},account-7,asleep,\nG0000004,{SHOP},account-7,re-pending,\n\
         G0000001,{SHOP},account-7,active,\n"
    );
    let told = api.import(&bad).await;
    let problems = told["problems"].as_array().unwrap();
    let lines: Vec<_> = problems
        .iter()
        .map(|p| p["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7], "{told}");
    assert!(
        problems
            .iter()
            .all(|p| p["reason"].as_str().unwrap().len() > 10),
        "{told}"
    );
    assert_eq!(api.get("/v1/terminals/acme/G0000001").await.0, 404);
    let mut till = world.till(1).await;
    till.who.terminal = "G0000001".into();
    assert_eq!(till.code(&till.who.sale(1, 100)).await, "97");

    let told = api.import(&format!("{HEADER}{good}")).await;
    assert_eq!(told["report"]["bound"], 1, "{told}");
    let (_, answer) = till.sell(&mut link, 2, "00").await;
    assert_eq!(answer.code(), "00");
    let told = api.import(&format!("{HEADER}{good}")).await;
    assert_eq!(told["report"]["unchanged"], 1, "{told}");
    let told = api.import("terminal,merchant_id\n").await;
    assert!(told["problems"].as_array().unwrap().len() >= 2, "{told}");
    world.stop(till).await;
}

#[tokio::test]
async fn what_is_exported_can_be_imported() {
    let first = Setup::new().start().await;
    let api = Api::serve(&first);
    let more = "acquirer,terminal_id,merchant_id,account_id,merchant_name,mcc,account_kind,account_status,serial,state,reasons\n\
         acme,X0000001,104110041200002,account-8,\"Shop, second\",5812,alipay,unverified,SN1,suspended,\n\
         acme,X0000002,104110041200002,account-9,,,wechat,verified,,re-pending,phone+account\n\
         acme,X0000003,104110041200003,account-10,,,alipay,unverified,,unbound,\n";
    let told = api.import(more).await;
    assert_eq!(told["report"]["bound"], 3, "{told}");
    let (status, exported) = api.get("/v1/terminals").await;
    assert_eq!((status, exported.lines().count()), (200, 8), "{exported}");
    let second = Setup {
        terminals: 0,
        ..Setup::new()
    };
    let second = second.start().await;
    let other = Api::serve(&second);
    let told = other.import(&exported).await;
    assert_eq!(told["report"]["bound"], 7, "{told}");
    let (_, again) = other.get("/v1/terminals").await;
    let without_version = |text: &str| -> Vec<String> {
        let cut = |line: &str| line.rsplit_once(',').unwrap().0.to_owned();
        text.lines().map(cut).collect()
    };
    assert_eq!(without_version(&again), without_version(&exported));
    let told = api.import(&exported).await;
    assert_eq!(told["report"]["unchanged"], 7, "{told}");
    first.stop(()).await;
    second.stop(()).await;
}

#[tokio::test]
async fn a_state_that_is_set_is_in_the_gate_at_once() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let api = Api::serve(&world);
    let path = "/v1/terminals/acme/T0000001";
    let state = format!("{path}/state");
    let shown = api.json(path).await;
    assert_eq!(
        (&shown["state"], &shown["merchant_id"]),
        (&json!("active"), &json!(SHOP))
    );
    let version = shown["version"].as_u64().unwrap();
    let mut till = world.till(1).await;

    let suspend = || json!({"state": "suspended"}).to_string();
    let seen = format!("\"{version}\"");
    let changed = api.put_if(&state, &seen, suspend()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.header("etag"), format!("\"{}\"", version + 1));
    assert_eq!(till.code(&till.who.sale(1, 100)).await, "58");
    let stale = api.put_if(&state, &seen, suspend()).await;
    assert_eq!(
        (stale.status, stale.problem().as_str()),
        (412, "stale version")
    );
    assert_eq!(api.put(&state, json!({"state": "asleep"})).await, 422);
    assert_eq!(api.put(&state, json!({"state": "re-pending"})).await, 422);
    let phone = json!({"state": "re-pending", "reasons": ["phone"]});
    assert_eq!(api.put(&state, phone).await, 200);
    assert_eq!(api.json(path).await["reasons"], json!(["phone"]));
    assert_eq!(till.code(&till.who.sale(2, 100)).await, "58");
    assert_eq!(api.put(&state, json!({"state": "active"})).await, 200);
    let (_, answer) = till.sell(&mut link, 3, "00").await;
    assert_eq!(answer.code(), "00");

    let to_active = json!({"state": "active"});
    for unknown in [
        "/v1/terminals/acme/NOBODY/state",
        "/v1/terminals/nobody/T0000001/state",
    ] {
        assert_eq!(api.put(unknown, to_active.clone()).await, 404, "{unknown}");
    }
    assert_eq!(api.get("/v1/accounts/acme/nothing").await.0, 404);
    world.stop(till).await;
}

#[tokio::test]
async fn an_account_that_is_frozen_stops_every_terminal_on_it_at_once() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let api = Api::serve(&world);
    world.bind(&Bound {
        account: "account-2".into(),
        ..Bound::numbered(9)
    });
    let status = "/v1/accounts/acme/account-1/status";
    let mut tills = Vec::new();
    for number in 1..=4 {
        tills.push(world.till(number).await);
    }
    let mut elsewhere = world.till(9).await;
    tills[0].sell(&mut link, 1, "00").await;
    assert_eq!(api.put(status, json!({"status": "frozen"})).await, 200);
    for till in &mut tills {
        assert_eq!(till.code(&till.who.sale(2, 100)).await, "58");
        assert_eq!(till.code(&till.who.reversal(3, 100)).await, "00");
    }
    elsewhere.sell(&mut link, 2, "00").await;
    // What was sold before can still be undone.
    let undo = tills[0].who.reversal(1, 1_000);
    assert_eq!(tills[0].code(&undo).await, "00");
    assert_eq!(link.next().await.mti, "0400");
    assert_eq!(api.put(status, json!({"status": "verified"})).await, 200);
    for till in &mut tills {
        let (_, answer) = till.sell(&mut link, 4, "00").await;
        assert_eq!(answer.code(), "00");
    }
    world.stop((tills, elsewhere)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_terminals_are_imported_while_a_fleet_trades() {
    let trading = trading(Setup::new()).await;
    let api = Api::serve(&trading.world);
    let line = |n| format!("N{n:07},{SHOP},account-{},active,\n", n % 700);
    let lines: String = (0..20_000).map(line).collect();
    let told = api.import(&format!("{HEADER}{lines}")).await;
    assert_eq!(told["report"]["bound"], 20_000, "{told}");
    trading.trade_on(20).await;
    let mut till = trading.world.till(1).await;
    till.who.terminal = "N0019999".into();
    assert_eq!(till.code(&till.who.echo(1)).await, "00");
    drop(till);
    trading.end_unharmed().await;
}

#[tokio::test]
async fn metrics_and_readiness_are_served_on_the_socket() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    assert_eq!(api.get("/healthz").await.0, 200);
    assert_eq!(api.get("/readyz").await.0, 503, "no link is up");
    let _link = world.link().await;
    assert_eq!(api.get("/readyz").await.0, 200);
    let (status, text) = api.get("/metrics").await;
    assert_eq!(status, 200);
    let up = format!("posgate_links_up{{group=\"{}\"}} 1", world.name);
    assert!(text.contains(&up), "{up} not in {text}");
    world.stop(()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_devices_stand_goes_out_and_comes_back_with_an_export() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let csv = "acquirer,terminal_id,merchant_id,account_id,placement\n\
               acme,T0000007,104110041200001,account-1,\"1 Long Street, Springfield\"\n";
    assert_eq!(api.import(csv).await["report"]["bound"], 1);
    let shown = api.json("/v1/terminals/acme/T0000007").await;
    assert_eq!(shown["placement"], "1 Long Street, Springfield");
    let (status, exported) = api.get("/v1/terminals").await;
    assert_eq!(status, 200);
    let line = exported.lines().find(|line| line.contains("T0000007"));
    let line = line.unwrap();
    assert!(line.ends_with(",\"1 Long Street, Springfield\""), "{line}");
    let again = api.import(&exported).await;
    assert_eq!(again["report"]["unchanged"], 5, "{again}");
    world.stop(()).await;
}
