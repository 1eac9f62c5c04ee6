//! Texts and events on their way out, to a real mail server and to HTTP receivers of the test's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use posgate::base::notice::{Notice, OutsideEvent};
use posgate::base::{Clock, SystemClock};
use posgate::net::notify::{
    Escape, MailSecurity, MailServer, SmsSettings, Template, WebhookSettings,
};
use posgate::security::tls;
use posgate::sim::certs::MadeCerts;
use posgate::store::parcels::Way;
use posgate::switch::{Dispatcher, NotifySettings, Ways};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::admin::Api;
use super::fixture::{SHOP, Setup, World, eventually};
use super::story::{LI, Story};

const SECRET: &[u8] = b"shared between the two of them";
const HOUR: Duration = Duration::from_secs(3_600);

/// What a receiver was sent.
#[derive(Clone, Debug)]
struct Posted {
    headers: HeaderMap,
    body: String,
    /// What it answered.
    status: u16,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn is_signed(&self) -> bool {
        let (at, id) = (self.header("posgate-timestamp"), self.header("posgate-id"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let tag = hmac::sign(&key, format!("{at}.{id}.{}", self.body).as_bytes());
        let hex: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.header("posgate-signature") == format!("v1={hex}")
    }
}

/// An HTTPS server that answers as the test says.
struct Webhook {
    url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    certs: MadeCerts,
}

impl Webhook {
    /// Answers each request with what `status` says of its body.
    async fn start(status: impl Fn(&Value) -> u16 + Send + Sync + 'static) -> Self {
        let certs = MadeCerts::for_localhost().unwrap();
        let chain = CertificateDer::pem_slice_iter(certs.cert_pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(certs.key_pem.as_bytes()).unwrap();
        let acceptor = TlsAcceptor::from(tls::server(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}/in?k=1",
            listener.local_addr().unwrap().port()
        );
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let (book, status) = (Arc::clone(&posted), Arc::new(status));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut conversations = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, book, status) =
                    (acceptor.clone(), Arc::clone(&book), Arc::clone(&status));
                conversations.spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let take = move |request: Request<Incoming>| {
                        let (book, status) = (Arc::clone(&book), Arc::clone(&status));
                        async move {
                            let (parts, body) = request.into_parts();
                            assert_eq!(parts.uri, "/in?k=1");
                            let body = body.collect().await.unwrap().to_bytes();
                            let body = String::from_utf8(body.to_vec()).unwrap();
                            let status = status(&serde_json::from_str(&body).unwrap());
                            book.lock().unwrap().push(Posted {
                                headers: parts.headers,
                                body,
                                status,
                            });
                            Response::builder()
                                .status(status)
                                .body(Empty::<bytes::Bytes>::new())
                        }
                    };
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(take));
                    drop(serving.await);
                });
            }
        });
        tasks.detach_all();
        Self { url, posted, certs }
    }

    fn settings(&self, folder: &Path) -> WebhookSettings {
        let authorities = folder.join("webhook-ca.pem");
        std::fs::write(&authorities, &self.certs.ca_pem).unwrap();
        let client = tls::client(&authorities, None).unwrap();
        WebhookSettings::new(&self.url, client, SECRET, Duration::from_secs(5)).unwrap()
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }
}

fn sms(webhook: WebhookSettings) -> NotifySettings {
    let template = r#"{"mobile":"{to}","content":"{text}","n":{id}}"#;
    NotifySettings {
        sms: Some(SmsSettings {
            webhook,
            template: Template::parse(template, Escape::Json).unwrap(),
        }),
        ..NotifySettings::default()
    }
}

fn events_to(name: &str, webhook: WebhookSettings) -> NotifySettings {
    NotifySettings {
        webhooks: BTreeMap::from([(name.to_owned(), webhook)]),
        ..NotifySettings::default()
    }
}

/// A dispatcher that delivers nothing yet.
fn dispatcher(world: &World, settings: &NotifySettings) -> Arc<Dispatcher> {
    let ways = Ways::new(settings, &world.folder.path().join("outbox"), &world.clock).unwrap();
    Dispatcher::new(&world.running, ways, &world.clock)
}

fn begin(world: &World, dispatcher: &Arc<Dispatcher>) {
    let tasks = world.running.tasks.clone();
    world.running.tasks.spawn(Arc::clone(dispatcher).run(tasks));
}

fn notice(to: &str, text: &str) -> Notice {
    Notice {
        to: Zeroizing::new(to.to_owned()),
        subject: "Confirm the change".into(),
        text: Zeroizing::new(text.to_owned()),
    }
}

fn queue(world: &World, dispatcher: &Dispatcher, way: Way, notice: &Notice, life: Duration) {
    let mut registry = world.running.registry.lock();
    registry.begin().unwrap();
    let queued = dispatcher.notice(registry.as_mut(), way, "contact 17", notice, life);
    queued.unwrap();
    registry.commit().unwrap();
    drop(registry);
    dispatcher.wake();
}

fn happened(event: &str, object: &str, version: u32) -> OutsideEvent {
    OutsideEvent {
        event: event.to_owned(),
        object: object.to_owned(),
        version,
        at_us: 1_795_349_095_428_843,
        data: json!({ "state": "suspended" }),
    }
}

fn waiting(world: &World) -> u64 {
    world.running.registry.lock().waiting_parcels().unwrap()
}

#[tokio::test]
async fn a_text_message_is_posted_signed_and_tried_again_under_its_number() {
    let world = Setup::new().start().await;
    let tries = Mutex::new(0);
    let gateway = Webhook::start(move |_body| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 { 503 } else { 202 }
    })
    .await;
    let dispatcher = dispatcher(&world, &sms(gateway.settings(world.folder.path())));
    begin(&world, &dispatcher);
    let text = notice("+8613800138000", "123456 confirms \"it\"; tell nobody");
    queue(&world, &dispatcher, Way::Sms, &text, HOUR);
    eventually("it is delivered", || waiting(&world) == 0).await;
    let posted = gateway.posted();
    let statuses: Vec<_> = posted.iter().map(|posted| posted.status).collect();
    assert_eq!(statuses, [503, 202]);
    for one in &posted {
        assert!(one.is_signed(), "{one:?}");
        assert_eq!(one.header("posgate-id"), "1");
        assert_eq!(one.header("content-type"), "application/json");
        let expect = json!({ "mobile": "+8613800138000", "content": *text.text, "n": 1 });
        assert_eq!(one.json(), expect);
        let at: u64 = one.header("posgate-timestamp").parse().unwrap();
        assert!(world.clock.wall().0 / 1_000_000 - at < 60);
    }
    world.stop(()).await;
}

/// The process ends before anything was delivered; nothing of what waits can be read in its files.
#[tokio::test]
async fn what_was_queued_before_a_crash_is_delivered_after_it_and_is_sealed_until_then() {
    let world = Setup::new().start().await;
    let gateway = Webhook::start(|_body| 200).await;
    let settings = sms(gateway.settings(world.folder.path()));
    let code = "846213 is what nobody else may read";
    let before = dispatcher(&world, &settings);
    for _ in 0..3 {
        queue(
            &world,
            &before,
            Way::Sms,
            &notice("+8613800138000", code),
            HOUR,
        );
    }
    let left = world.crashed();
    for entry in std::fs::read_dir(left.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        for what in ["846213", "138001"] {
            let holds = file.windows(6).any(|w| w == what.as_bytes());
            assert!(!holds, "{} holds {what}", path.display());
        }
    }
    drop(before);
    world.stop(()).await;
    let setup = Setup {
        stored: Some(left),
        terminals: 0,
        ..Setup::new()
    };
    let world = setup.start().await;
    let after = dispatcher(&world, &settings);
    begin(&world, &after);
    eventually("all are delivered", || waiting(&world) == 0).await;
    let mut numbers: Vec<_> = gateway
        .posted()
        .iter()
        .map(|posted| posted.header("posgate-id").to_owned())
        .collect();
    numbers.sort();
    assert_eq!(numbers, ["1", "2", "3"]);
    let erased = "SELECT count(*) FROM parcel WHERE sealed IS NULL AND end = 'delivered'";
    let file = rusqlite::Connection::open(world.folder.path().join("store/registry.db")).unwrap();
    let erased: u32 = file.query_row(erased, [], |row| row.get(0)).unwrap();
    assert_eq!(erased, 3, "what was delivered is kept");
    world.stop(()).await;
}

/// Nobody gets a code that is of no use any more, and who waits for it in vain is found.
#[tokio::test]
async fn what_is_too_late_or_refused_for_good_is_given_up_and_told() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let gateway = Webhook::start(|_body| 422).await;
    let dispatcher = dispatcher(&world, &sms(gateway.settings(world.folder.path())));
    let text = notice("+8613800138000", "123456");
    queue(&world, &dispatcher, Way::Sms, &text, Duration::ZERO);
    queue(&world, &dispatcher, Way::Sms, &text, HOUR);
    begin(&world, &dispatcher);
    eventually("both have ended", || waiting(&world) == 0).await;
    assert_eq!(gateway.posted().len(), 1, "what is too late is not sent");
    let told = api.json("/v1/audit?subject=contact%2017").await;
    let mut ends: Vec<_> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["details"]["end"].as_str().unwrap())
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, ["expired", "refused"]);
    assert!(!told.to_string().contains("123456"));
    world.stop(()).await;
}

impl Story {
    async fn contact_state(&self, contact: u64) -> String {
        let path = format!("/v1/merchants/acme/{SHOP}/contacts");
        let (_, listed) = self.call(LI, "GET", &path, &Value::Null).await;
        let contacts = listed["contacts"].as_array().unwrap();
        let one = contacts
            .iter()
            .find(|one| one["contact"] == contact)
            .unwrap();
        one["state"].as_str().unwrap().to_owned()
    }
}

/// What a challenge is said to be, once it is.
async fn becomes(story: &Story, challenge: u64, state: &str) {
    let path = format!("/v1/challenges/{challenge}");
    let reached = async {
        loop {
            let (_, shown) = story.call(LI, "GET", &path, &Value::Null).await;
            if shown["state"] == state {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), reached).await;
    assert!(waited.is_ok(), "challenge {challenge} is not {state}");
}

#[tokio::test]
async fn a_code_that_the_carrier_refuses_is_undelivered() {
    let gateway = Webhook::start(|_body| 422).await;
    let ways = |folder: &Path, outbox: &Path| {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Ways::new(&sms(gateway.settings(folder)), outbox, &clock).unwrap()
    };
    let mut story = Story::over(Setup::new(), ways).await;
    let phone = story.shop_to_be_verified().await;
    let asked = json!({ "contact": phone, "purpose": "verify-contact" });
    let challenge = story.does(LI, "/v1/challenges", asked).await;
    becomes(&story, challenge, "undelivered").await;
    assert_eq!(gateway.posted().len(), 1);
    story.world.stop(()).await;
}

/// The carrier took both and says later that neither arrived.
#[tokio::test]
async fn two_receipts_that_a_message_bounced_make_a_number_suspect() {
    let mut story = Story::begin().await;
    let phone = story.shop_to_be_verified().await;
    story.proves(phone, "verify-contact", 0).await;
    let binding = story.binding_of("T0000001").await;
    let mut last = 0;
    for round in 0..2 {
        story.wait(2);
        let asked = json!({ "contact": phone, "purpose": "change-account", "subject": binding });
        let challenge = story.does(LI, "/v1/challenges", asked).await;
        becomes(&story, challenge, "sent").await;
        let told = std::fs::read_to_string(&story.outbox).unwrap();
        let line: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        last = line["id"].as_u64().unwrap();
        let state = story.contact_state(phone).await;
        assert_eq!(state, "verified", "{round}");
        let bounced = json!({ "id": last, "arrived": false });
        story.does(LI, "/v1/receipts", bounced).await;
        becomes(&story, challenge, "undelivered").await;
    }
    assert_eq!(story.contact_state(phone).await, "suspect");
    // Once more changes nothing; a message that is none is told.
    let again = json!({ "id": last, "arrived": true });
    story.does(LI, "/v1/receipts", again).await;
    let unknown = json!({ "id": 99_999, "arrived": true });
    let refused = story.ask(LI, "/v1/receipts", unknown).await;
    assert_eq!(refused["status"], 404, "{refused}");
    story.world.stop(()).await;
}

/// A receiver that orders by version sees no gap when somebody sets a state without a case.
#[tokio::test]
async fn what_is_set_by_hand_is_an_event_too() {
    let receiver = Webhook::start(|_body| 200).await;
    let ways = |folder: &Path, outbox: &Path| {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Ways::new(&events_to("crm", receiver.settings(folder)), outbox, &clock).unwrap()
    };
    let mut story = Story::over(Setup::new(), ways).await;
    story.shop_to_be_verified().await;
    let binding = story.binding_of("T0000001").await;
    let path = "/v1/terminals/acme/T0000001/state";
    let body = json!({ "state": "suspended" });
    let (status, set) = story.call(LI, "PUT", path, &body).await;
    assert_eq!(status, 200, "{set}");
    let items = json!({ "items": [
        { "acquirer": "acme", "terminal_id": "T0000001", "state": "active" },
        { "acquirer": "acme", "terminal_id": "nobody", "state": "active" },
    ]});
    let (status, several) = story.call(LI, "POST", "/v1/terminals/states", &items).await;
    assert_eq!(status, 200, "{several}");
    let heard = || -> Vec<(String, u64)> {
        let posted = receiver.posted();
        let of_binding = posted.iter().map(Posted::json);
        let of_binding = of_binding.filter(|event| event["object"] == format!("binding {binding}"));
        let told = of_binding.map(|event| {
            assert_eq!(event["data"]["terminal"], "acme/T0000001", "{event}");
            let state = event["data"]["state"].as_str().unwrap().to_owned();
            (state, event["version"].as_u64().unwrap())
        });
        told.collect()
    };
    eventually("both are told", || heard().len() == 2).await;
    let version = set["version"].as_u64().unwrap();
    let expect = [
        ("suspended".to_owned(), version),
        ("active".to_owned(), version + 1),
    ];
    assert_eq!(heard(), expect);
    let path = "/v1/accounts/acme/A-001/status";
    let body = json!({ "status": "frozen" });
    let (status, set) = story.call(LI, "PUT", path, &body).await;
    assert_eq!(status, 200, "{set}");
    let of_account = || {
        let posted = receiver.posted();
        let mut posted = posted.iter().map(Posted::json);
        posted.find(|event| event["object"] == "account acme/A-001")
    };
    eventually("the account is told of", || of_account().is_some()).await;
    let told = of_account().unwrap();
    assert_eq!(told["event"], "account.status_set", "{told}");
    assert_eq!(told["version"], set["version"], "{told}");
    assert_eq!(told["data"]["before"], "verified", "{told}");
    assert_eq!(told["data"]["status"], "frozen", "{told}");
    story.world.stop(()).await;
}

#[tokio::test]
async fn events_about_one_thing_arrive_in_the_order_of_their_versions_and_hold_up_no_other() {
    let world = Setup::new().start().await;
    let tries = Mutex::new(0);
    // The first event about binding 7 is not taken three times.
    let receiver = Webhook::start(move |body| {
        let first = body["object"] == "binding 7" && body["version"] == 1;
        let mut tries = tries.lock().unwrap();
        *tries += u32::from(first);
        if first && *tries <= 2 { 500 } else { 200 }
    })
    .await;
    let settings = events_to("shop", receiver.settings(world.folder.path()));
    let dispatcher = dispatcher(&world, &settings);
    {
        let mut registry = world.running.registry.lock();
        registry.begin().unwrap();
        for (object, version) in [
            ("binding 7", 1),
            ("binding 7", 2),
            ("binding 7", 3),
            ("binding 8", 1),
        ] {
            let event = happened("binding.suspended", object, version);
            dispatcher.event(registry.as_mut(), &event).unwrap();
        }
        registry.commit().unwrap();
    }
    begin(&world, &dispatcher);
    eventually("all are delivered", || waiting(&world) == 0).await;
    let posted = receiver.posted();
    assert!(posted.iter().all(Posted::is_signed));
    assert_eq!(posted[0].header("posgate-event"), "binding.suspended");
    let taken: Vec<_> = posted
        .iter()
        .filter(|posted| posted.status == 200)
        .map(|posted| {
            let said = posted.json();
            (
                said["object"].as_str().unwrap().to_owned(),
                said["version"].as_u64().unwrap(),
            )
        })
        .collect();
    let of = |object: &str| -> Vec<u64> {
        let fits = taken.iter().filter(|(of, _)| of == object);
        fits.map(|(_, version)| *version).collect()
    };
    assert_eq!(of("binding 7"), [1, 2, 3]);
    assert_eq!(taken[0].0, "binding 8", "another thing does not wait");
    world.stop(()).await;
}

#[tokio::test]
async fn an_event_that_is_taken_back_with_its_change_is_never_delivered() {
    let world = Setup::new().start().await;
    let receiver = Webhook::start(|_body| 200).await;
    let settings = events_to("shop", receiver.settings(world.folder.path()));
    let dispatcher = dispatcher(&world, &settings);
    {
        let mut registry = world.running.registry.lock();
        registry.begin().unwrap();
        let event = happened("binding.suspended", "binding 7", 1);
        dispatcher.event(registry.as_mut(), &event).unwrap();
        registry.roll_back();
    }
    assert_eq!(waiting(&world), 0);
    world.stop(()).await;
}

#[tokio::test]
async fn without_a_way_texts_go_into_a_file_that_only_its_owner_may_read() {
    let world = Setup::new().start().await;
    let dispatcher = dispatcher(&world, &NotifySettings::default());
    begin(&world, &dispatcher);
    let text = notice("+8613800138000", "123456");
    queue(&world, &dispatcher, Way::Sms, &text, HOUR);
    let text = notice("li@shop.example", "654321");
    queue(&world, &dispatcher, Way::Email, &text, HOUR);
    eventually("both are written", || waiting(&world) == 0).await;
    let written = std::fs::read_to_string(world.folder.path().join("outbox")).unwrap();
    let mut texts: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].take())
        .collect();
    texts.sort_by_key(ToString::to_string);
    assert_eq!(texts, [json!("123456"), json!("654321")]);
    world.stop(()).await;
}

/// A real mail server in a process of its own; `None` where Python or aiosmtpd is missing.
struct MailHost {
    child: Child,
    port: u16,
    told: Receiver<Value>,
    _folder: tempfile::TempDir,
    certs: MadeCerts,
}

impl Drop for MailHost {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl MailHost {
    fn start(security: &str) -> Option<Self> {
        let certs = MadeCerts::for_localhost().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["mail.crt", "mail.key"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, &certs.cert_pem).unwrap();
        std::fs::write(&key, &certs.key_pem).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("POSGATE_PYTHON")
            .map_or_else(|| root.join("target/tools/bin/python"), PathBuf::from);
        let started = Command::new(&python)
            .arg(root.join("tests/it/mail_server.py"))
            .arg(security)
            .args([certificate, key])
            .stdout(Stdio::piped())
            .spawn();
        let (tell, told) = channel();
        let mut child = match started {
            Ok(child) => child,
            Err(absent) => return skipped(&format!("{} ({absent})", python.display())),
        };
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(tell.send(serde_json::from_str::<Value>(&line).unwrap()));
            }
        });
        let Ok(first) = told.recv_timeout(Duration::from_secs(30)) else {
            drop(child.kill());
            drop(child.wait());
            return skipped("aiosmtpd");
        };
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Some(Self {
            child,
            port,
            told,
            _folder: folder,
            certs,
        })
    }

    fn settings(&self, security: MailSecurity) -> NotifySettings {
        let password = Zeroizing::new("a good password".to_owned());
        NotifySettings {
            email: Some(MailServer {
                host: "localhost".into(),
                port: self.port,
                security,
                authorities: Some(self.certs.ca_pem.clone().into_bytes()),
                user: (security != MailSecurity::None).then(|| ("posgate".into(), password)),
                from: "Posgate <noreply@bank.example>".into(),
                timeout: Duration::from_secs(10),
            }),
            ..NotifySettings::default()
        }
    }

    async fn message(&self) -> Value {
        let mut taken = None;
        eventually("a message arrives", || {
            taken = self.told.try_recv().ok();
            taken.is_some()
        })
        .await;
        taken.unwrap()
    }
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn skipped<T>(what: &str) -> Option<T> {
    assert!(
        std::env::var_os("POSGATE_REQUIRE_TOOLS").is_none(),
        "{what} is required here: .ci/run installs it"
    );
    println!("skipped: {what} is not installed");
    None
}

#[tokio::test]
async fn an_email_reaches_a_mail_server_over_tls_with_a_password() {
    for (name, security) in [
        ("tls", MailSecurity::Tls),
        ("starttls", MailSecurity::StartTls),
        ("off", MailSecurity::None),
    ] {
        let Some(host) = MailHost::start(name) else {
            return;
        };
        let world = Setup::new().start().await;
        let dispatcher = dispatcher(&world, &host.settings(security));
        begin(&world, &dispatcher);
        let text = notice("li@shop.example", "验证码 123456\n.\nDo not tell anyone.");
        queue(&world, &dispatcher, Way::Email, &text, HOUR);
        let message = host.message().await;
        assert_eq!(message["to"], json!(["li@shop.example"]), "{name}");
        assert_eq!(message["from"], "noreply@bank.example");
        assert_eq!(message["subject"], "Confirm the change");
        assert_eq!(message["id"], "<posgate.1@bank.example>");
        let arrived = message["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(arrived.trim_end(), text.text.as_str());
        let private = security != MailSecurity::None;
        assert_eq!(message["is_known"] == true, private, "{message}");
        eventually("it is entered", || waiting(&world) == 0).await;
        world.stop(()).await;
    }
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_ends_it_and_one_that_is_busy_puts_it_off() {
    let Some(host) = MailHost::start("off") else {
        return;
    };
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let dispatcher = dispatcher(&world, &host.settings(MailSecurity::None));
    begin(&world, &dispatcher);
    queue(
        &world,
        &dispatcher,
        Way::Email,
        &notice("nobody@shop.example", "1"),
        HOUR,
    );
    queue(
        &world,
        &dispatcher,
        Way::Email,
        &notice("later@shop.example", "2"),
        HOUR,
    );
    let message = host.message().await;
    assert_eq!(message["to"], json!(["later@shop.example"]));
    eventually("both have ended", || waiting(&world) == 0).await;
    let told = api.json("/v1/audit?event=notice.").await;
    let told = told["events"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["details"]["reason"], "the mail server answered 550");
    assert!(!format!("{told:?}").contains("shop.example"));
    world.stop(()).await;
}

/// A certificate of somebody else's ends the attempt before anything is said.
#[tokio::test]
async fn a_mail_server_that_cannot_be_trusted_is_told_nothing() {
    let Some(host) = MailHost::start("tls") else {
        return;
    };
    let world = Setup::new().start().await;
    let mut settings = host.settings(MailSecurity::Tls);
    let stranger = MadeCerts::for_localhost().unwrap();
    if let Some(server) = &mut settings.email {
        server.authorities = Some(stranger.ca_pem.clone().into_bytes());
    }
    let dispatcher = dispatcher(&world, &settings);
    begin(&world, &dispatcher);
    queue(
        &world,
        &dispatcher,
        Way::Email,
        &notice("li@shop.example", "1"),
        HOUR,
    );
    let tried = || {
        let file =
            rusqlite::Connection::open(world.folder.path().join("store/registry.db")).unwrap();
        let tried = "SELECT attempts FROM parcel WHERE reason = 'there is no connection'";
        file.query_row(tried, [], |row| row.get::<_, u32>(0))
            .is_ok_and(|tried| tried > 0)
    };
    eventually("it was tried", tried).await;
    assert!(host.told.try_recv().is_err());
    assert_eq!(waiting(&world), 1);
    world.stop(()).await;
}
