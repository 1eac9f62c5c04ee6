//! The life of a shop's terminals as one story, over the API and the wire. What happens is what
//! `docs/bindings.md` shows: the test compares the two. `STORY=write cargo test story` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posgate::admin::Admin;
use posgate::base::{Clock, Moment, SystemClock, Timestamp};
use posgate::switch::{Dispatcher, StoreKeeping, Ways};
use serde_json::{Value, json};

use super::admin::{Api, new_key};
use super::batches::{NOTHING, Sums, settlement};
use super::fixture::{SHOP, Setup, Till, World, eventually, prometheus};
use super::schemas;
use super::wire::{Draft, PATIENCE, Wire};

const BEGIN: &str = "<!-- story: written by the test -->\n";
const END: &str = "<!-- end of the story -->\n";
pub(super) const LI: &str = "Li Wei";
pub(super) const WANG: &str = "Wang Fang";
const ZHAO: &str = "Zhao Liu";
const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A gateway with two people at its API and a shop at its terminals, and what was said so far.
pub(super) struct Story {
    pub(super) world: World,
    pub(super) link: Wire,
    pub(super) api: Api,
    pub(super) outbox: PathBuf,
    tokens: BTreeMap<&'static str, String>,
    pub(super) tills: BTreeMap<String, Till>,
    codes_read: usize,
    clock: Arc<Shifted>,
    text: String,
}

/// The machine's clock, some minutes ahead: deadlines are what they are, records are later.
#[derive(Debug)]
struct Shifted {
    machine: SystemClock,
    /// Microseconds.
    ahead: AtomicU64,
}

impl Clock for Shifted {
    fn now(&self) -> Moment {
        self.machine.now()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.machine.wall().0 + self.ahead.load(Ordering::Relaxed))
    }
}

impl Story {
    pub(super) async fn begin() -> Self {
        Self::with(Setup::new()).await
    }

    pub(super) async fn with(setup: Setup) -> Self {
        Self::over(setup, |_folder, outbox| Ways::to_file(outbox)).await
    }

    /// With these ways out, made for the gateway's folder and its outbox.
    pub(super) async fn over(setup: Setup, ways: impl FnOnce(&Path, &Path) -> Ways) -> Self {
        let clock = Arc::new(Shifted {
            machine: SystemClock::new(),
            ahead: AtomicU64::new(0),
        });
        let setup = Setup {
            terminals: 0,
            clock: Some(Arc::clone(&clock) as Arc<dyn Clock>),
            ..setup
        };
        let (world, link) = setup.start_with_link().await;
        let outbox = world.folder.path().join("outbox");
        let ways = ways(world.folder.path(), &outbox);
        let dispatcher = Dispatcher::new(&world.running, ways, &world.clock);
        let delivering = Arc::clone(&dispatcher).run(world.running.tasks.clone());
        world.running.tasks.spawn(delivering);
        let wall = Arc::clone(&world.clock);
        let admin = Admin::new(&world.running, wall, Some(prometheus()), dispatcher).unwrap();
        let socket = world.folder.path().join("admin.sock");
        admin.serve_socket(&socket).unwrap();
        let api = Api {
            socket,
            https: None,
            token: None,
        };
        let mut tokens = BTreeMap::new();
        for (name, role) in [(LI, "admin"), (WANG, "checker"), (ZHAO, "key-custodian")] {
            let (status, given) = api
                .post("/v1/tokens", json!({ "name": name, "role": role }))
                .await;
            assert_eq!(status, 201, "{given}");
            let token = given["token"].as_str().unwrap().to_owned();
            tokens.insert(name, token);
        }
        Self {
            world,
            link,
            api,
            outbox,
            tokens,
            tills: BTreeMap::new(),
            codes_read: 0,
            clock,
            text: String::new(),
        }
    }

    fn chapter(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push_str("```\n\n");
        }
        self.text.push_str(&format!("**{title}**\n\n```text\n"));
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) async fn call(
        &self,
        who: &'static str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.tokens[who]);
        let key = new_key();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("if-match", "*"),
            ("authorization", bearer.as_str()),
        ];
        let sent = if method == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let answered = self.api.request(method, path, &headers, sent).await;
        (answered.status, answered.json())
    }

    /// One request and what came of it, both in the story.
    pub(super) async fn ask(&mut self, who: &'static str, path: &str, body: Value) -> Value {
        let method = if path.starts_with("/v1/merchants") && !path.ends_with("contacts") {
            "PUT"
        } else {
            "POST"
        };
        let (status, answer) = self.call(who, method, path, &body).await;
        self.say(&format!("{who}: {method} {path} {}", shown(&body)));
        self.say(&format!("    {status} {}", shown(&answer)));
        assert!(status == 200 || status >= 400, "{answer}");
        answer
    }

    /// The same, when it has to succeed.
    pub(super) async fn does(&mut self, who: &'static str, path: &str, body: Value) -> u64 {
        let answer = self.ask(who, path, body).await;
        answer["number"]
            .as_u64()
            .unwrap_or_else(|| panic!("{path}: {answer}"))
    }

    /// Transactions, once the read model shows so many.
    pub(super) async fn listed(&self, path: &str, count: usize) -> Vec<Value> {
        let shown = async {
            loop {
                let (status, listed) = self.call(LI, "GET", path, &Value::Null).await;
                assert_eq!(status, 200, "{listed}");
                let rows = listed["transactions"].as_array().unwrap().clone();
                if rows.len() >= count {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let rows = tokio::time::timeout(PATIENCE, shown).await.unwrap();
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }

    /// The code that was sent last, as its receiver reads it.
    pub(super) async fn code(&mut self) -> String {
        let (outbox, read) = (self.outbox.clone(), self.codes_read);
        let codes = move || -> Vec<(String, String)> {
            let text = fs::read_to_string(&outbox).unwrap_or_default();
            let lines = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines
                .filter_map(|line| {
                    let text = line["text"].as_str().unwrap().to_owned();
                    let code = text.split_once(" is the code to ")?.0.to_owned();
                    Some((code, text))
                })
                .collect()
        };
        let find = codes.clone();
        eventually("the code arrives", move || find().len() > read).await;
        let (code, text) = codes()[read].clone();
        self.codes_read += 1;
        self.say(&format!(
            "the phone reads: {}",
            text.replace(&code, "######")
        ));
        code
    }

    /// Sends a code and brings it back.
    pub(super) async fn proves(&mut self, contact: u64, purpose: &str, subject: u64) -> u64 {
        let body = json!({ "contact": contact, "purpose": purpose, "subject": subject });
        let challenge = self.does(LI, "/v1/challenges", body).await;
        let code = self.code().await;
        let path = format!("/v1/challenges/{challenge}/check");
        let body = json!({ "code": code, "purpose": purpose, "subject": subject });
        let answer = self.ask(LI, &path, body).await;
        assert_eq!(answer["verdict"], "approved", "{answer}");
        challenge
    }

    async fn evidence(&mut self, about: &str, allows: &str, note: &str) -> u64 {
        let body = json!({ "about": about, "allows": allows, "note": note });
        self.does(LI, "/v1/evidence", body).await
    }

    async fn till(&mut self, terminal: &str) -> Till {
        match self.tills.remove(terminal) {
            Some(till) => till,
            None => {
                let mut till = self.world.till(1).await;
                till.who.terminal = terminal.into();
                till
            }
        }
    }

    /// What a terminal asks and hears. A request that is let through is answered by the upstream.
    pub(super) async fn at(
        &mut self,
        terminal: &str,
        what: &str,
        draft: impl Fn(&Till) -> Draft,
    ) -> String {
        let mut till = self.till(terminal).await;
        till.send(&draft(&till)).await;
        let mut passed = None;
        let answer = loop {
            tokio::select! {
                answer = till.next() => break answer,
                request = self.link.next() => {
                    self.link.send(&request.answered("00")).await;
                    passed = Some(request);
                }
            }
        };
        // A reversal is answered and sent on with the same sync: which of the two comes first, nobody can say.
        if what.starts_with("reversal") && answer.code() == "00" {
            let owed = match passed {
                Some(owed) => owed,
                None => {
                    let owed = self.link.next().await;
                    self.link.send(&owed.answered("00")).await;
                    owed
                }
            };
            assert_eq!(owed.mti, "0400");
        }
        let code = answer.code().to_owned();
        self.say(&format!("terminal {terminal}: {what} -> {code}"));
        self.tills.insert(terminal.into(), till);
        code
    }

    pub(super) async fn sells(&mut self, terminal: &str, stan: u32) -> String {
        self.at(terminal, "sale of 10.00", |till| till.who.sale(stan, 1_000))
            .await
    }

    pub(super) async fn state_of(&mut self, terminal: &str) -> String {
        let path = format!("/v1/terminals/acme/{terminal}");
        let (status, shown) = self.call(LI, "GET", &path, &Value::Null).await;
        assert_eq!(status, 200, "{shown}");
        let state = shown["state"].as_str().unwrap().to_owned();
        self.say(&format!(
            "terminal {terminal} is {state} {}",
            shown["reasons"]
        ));
        state
    }

    /// The shop's owner showed an identity card.
    pub(super) async fn identified(&self) {
        let merchant = format!("/v1/merchants/acme/{SHOP}");
        let card = json!({ "kind": "individual", "identity_kind": "identity-card", "identity": "11010519491231002X" });
        let (status, told) = self.call(LI, "PUT", &merchant, &card).await;
        assert_eq!(status, 200, "{told}");
    }

    pub(super) async fn act(&mut self, who: &'static str, terminal: &str, body: Value) -> Value {
        self.ask(who, &format!("/v1/terminals/acme/{terminal}/actions"), body)
            .await
    }
}

/// A body on one line, without what differs from run to run.
fn shown(body: &Value) -> String {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        for (name, value) in members.iter_mut() {
            match name.as_str() {
                "code" => *value = "######".into(),
                "sha256" | "hash" => *value = "…".into(),
                _ => {}
            }
        }
        members.remove("type");
        members.remove("title");
        members.remove("status");
    }
    body.to_string()
}

#[tokio::test]
async fn the_story_that_the_documentation_tells() {
    let mut story = Story::begin().await;
    let s = &mut story;

    s.chapter("A shop is imported, and a fourth terminal activated");
    let csv = format!(
        "acquirer,terminal_id,merchant_id,account_id,merchant_name,mcc,account_kind,account_status,serial,state,reasons\n\
         acme,T0000001,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-1,active,\n\
         acme,T0000002,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-2,active,\n\
         acme,T0000003,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-3,active,\n"
    );
    let told = s.api.import(&csv).await;
    assert_eq!(told["report"]["bound"], 3, "{told}");
    s.say("posgate terminal import shops.csv: 3 terminals bound");
    s.identified().await;
    let merchant = format!("/v1/merchants/acme/{SHOP}");
    s.say(&format!(
        "{LI}: PUT {merchant} {{\"kind\":\"individual\",\"identity_kind\":\"identity-card\",\"identity\":\"…\"}}"
    ));
    let contacts = format!("{merchant}/contacts");
    let owner = |value: &str| json!({ "kind": "phone", "role": "owner", "value": value });
    let phone = s.does(LI, &contacts, owner("138 0013 8000")).await;
    s.proves(phone, "verify-contact", 0).await;
    s.does(
        LI,
        "/v1/devices/acme",
        json!({ "serial": "SN-4", "model": "P1" }),
    )
    .await;
    let keys = json!({ "check_values": { "tmk": "A1B2C3" } });
    s.does(ZHAO, "/v1/devices/acme/SN-4/keys", keys.clone())
        .await;
    let binding = json!({
        "acquirer": "acme", "terminal_id": "T0000004", "merchant_id": SHOP, "account_id": "A-001",
        "serial": "SN-4",
    });
    let binding = s.does(LI, "/v1/bindings", binding).await;
    let approve = json!({ "action": "approve", "network": "CUP-4711" });
    let refused = s.act(LI, "T0000004", approve.clone()).await;
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("another person")
    );
    s.act(WANG, "T0000004", approve).await;
    assert_eq!(s.sells("T0000004", 1).await, "58");
    let tested = s
        .at("T0000004", "test sale of 0.01", |till| till.who.sale(11, 1))
        .await;
    assert_eq!(tested, "00");
    s.wait(2);
    let body = json!({ "contact": phone, "purpose": "bind", "subject": binding });
    let challenge = s.does(LI, "/v1/challenges", body).await;
    let code = s.code().await;
    let activate = |code: &str| json!({ "action": "activate", "serial": "SN-4", "challenge": challenge, "code": code });
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let answer = s.act(LI, "T0000004", activate(wrong)).await;
    assert_eq!(
        (&answer["verdict"], &answer["tries_left"]),
        (&json!("wrong"), &json!(4))
    );
    let answer = s.act(LI, "T0000004", activate(&code)).await;
    assert_eq!(answer["verdict"], "approved", "{answer}");
    s.signs_on("T0000004").await;
    assert_eq!(s.sells("T0000004", 2).await, "00");

    s.chapter("The phone is given up before there is another: the shop's terminals wait");
    s.contact(
        LI,
        phone,
        json!({ "event": "revoke", "note": "number given up" }),
    )
    .await;
    let body = json!({ "event": "revoke", "note": "number given up", "last_too": true });
    s.contact(LI, phone, body).await;
    assert_eq!(s.state_of("T0000004").await, "re-pending");
    assert_eq!(s.sells("T0000004", 3).await, "58");
    assert_eq!(s.sells("T0000001", 1).await, "58");
    let reversed = s
        .at("T0000004", "reversal of the sale before", |till| {
            till.who.reversal(2, 1_000)
        })
        .await;
    assert_eq!(reversed, "00");
    let second = s.does(LI, &contacts, owner("139 0013 9000")).await;
    s.proves(second, "verify-contact", 0).await;
    assert_eq!(s.state_of("T0000004").await, "re-pending");
    let confirm = json!({ "event": "confirm", "note": "called back, the owner answered" });
    let told = s.contact(LI, second, confirm.clone()).await;
    assert_eq!(told["status"], 403, "{told}");
    s.contact(WANG, second, confirm).await;
    assert_eq!(s.state_of("T0000004").await, "active");
    assert_eq!(s.sells("T0000004", 4).await, "00");

    s.chapter("The next change makes the new number before it breaks the old one: nothing stops");
    let mut replacing = owner("137 0013 7000");
    replacing["replaces"] = second.into();
    let third = s.does(LI, &contacts, replacing).await;
    s.proves(third, "change-phone-new", third).await;
    assert_eq!(s.sells("T0000004", 5).await, "00");
    s.wait(2);
    let agreed = s.proves(second, "change-phone-old", third).await;
    s.does(
        LI,
        &format!("/v1/contacts/{third}/consent"),
        json!({ "challenge": agreed }),
    )
    .await;
    assert_eq!(s.sells("T0000004", 6).await, "00");

    s.chapter("The bank freezes the account: every terminal on it is declined at once");
    let account = "/v1/accounts/acme/A-001/events";
    s.ask(
        WANG,
        account,
        json!({ "event": "freeze", "note": "the bank froze it" }),
    )
    .await;
    for terminal in ["T0000001", "T0000002", "T0000003"] {
        assert_eq!(s.sells(terminal, 2).await, "58");
    }
    let evidence = s
        .evidence(
            "account acme/A-001",
            "unfreeze-account",
            "letter of the bank",
        )
        .await;
    let unfreeze = json!({ "event": "unfreeze", "evidence": evidence });
    let refused = s.ask(LI, account, unfreeze.clone()).await;
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("another person")
    );
    s.does(WANG, account, unfreeze).await;
    assert_eq!(s.sells("T0000001", 3).await, "00");

    s.chapter("A worn-out device is replaced: the old one trades until the cut-over");
    s.does(
        LI,
        "/v1/devices/acme",
        json!({ "serial": "SN-5", "model": "P2" }),
    )
    .await;
    let body = json!({
        "acquirer": "acme", "terminal_id": "T0000004", "new_terminal_id": "T0000005", "serial": "SN-5",
        "note": "worn out",
    });
    let case = s.does(LI, "/v1/replacements", body).await;
    let steps = format!("/v1/replacements/{case}/steps");
    s.signs_on("T0000005").await;
    assert_eq!(s.sells("T0000005", 101).await, "58");
    let sold = s
        .at("T0000005", "test sale of 0.01", |till| {
            till.who.sale(102, 1)
        })
        .await;
    assert_eq!(sold, "00");
    let voided = s
        .at("T0000005", "void of the test sale", |till| {
            till.who.void(103, 102, 1)
        })
        .await;
    assert_eq!(voided, "00");
    let sold = s
        .at("T0000005", "another test sale", |till| {
            till.who.sale(104, 1)
        })
        .await;
    assert_eq!(sold, "00");
    let reversed = s
        .at("T0000005", "reversal of that sale", |till| {
            till.who.reversal(104, 1)
        })
        .await;
    assert_eq!(reversed, "00");
    for test in [
        "sign-on",
        "echo",
        "sale-and-void",
        "reversal",
        "qr-and-query",
        "print",
        "parameters",
    ] {
        let body = json!({ "step": "tested", "test": test, "passed": true });
        let (status, answer) = s.call(LI, "POST", &steps, &body).await;
        assert_eq!(status, 200, "{answer}");
    }
    s.say("seven tests of the new device pass");
    assert_eq!(s.sells("T0000004", 7).await, "00");
    let cut_over = json!({ "step": "cut-over", "network": "CUP-4712" });
    let refused = s.ask(WANG, &steps, cut_over.clone()).await;
    assert!(
        refused.to_string().contains("no keys are on record"),
        "{refused}"
    );
    s.does(ZHAO, "/v1/devices/acme/SN-5/keys", keys.clone())
        .await;
    s.does(WANG, &steps, cut_over).await;
    assert_eq!(s.sells("T0000004", 8).await, "58");
    s.signs_on("T0000005").await;
    assert_eq!(s.sells("T0000005", 2).await, "00");
    let voided = s
        .at("T0000005", "void of the old device's sale 7", |till| {
            till.who.void(3, 7, 1_000)
        })
        .await;
    assert_eq!(voided, "00");
    let refused = s.ask(LI, &steps, json!({ "step": "close" })).await;
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("the drain has not ended"),
        "{refused}"
    );
    s.settles("T0000004", 9, (4_001, 5, 0, 0)).await;
    s.does(LI, &steps, json!({ "step": "close" })).await;
    assert_eq!(s.sells("T0000004", 10).await, "97");
    let wiped = json!({ "step": "wiped", "result": "done" });
    let refused = s.ask(LI, &steps, wiped.clone()).await;
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("keys are destroyed"),
        "{refused}"
    );
    let destroyed = format!("/v1/replacements/{case}/keys-destroyed");
    s.does(ZHAO, &destroyed, keys.clone()).await;
    s.does(LI, &steps, wiped).await;

    s.chapter("The shop closes its terminal: a case, an impact report, a drain");
    let body = json!({
        "acquirer": "acme", "terminal_id": "T0000005", "channel": "online", "reason": "closure",
        "note": "the shop closes",
    });
    let case = s.does(LI, "/v1/unbindings", body).await;
    let steps = format!("/v1/unbindings/{case}/steps");
    let claim = json!({
        "step": "confirm", "phone_tail": "7000", "serial": "SN-5", "merchant_id": SHOP,
        "account_tail": "-001",
    });
    s.does(LI, &steps, claim).await;
    s.wait(60);
    let proof = s.proves(third, "unbind", case).await;
    s.does(LI, &steps, json!({ "step": "prove", "challenge": proof }))
        .await;
    for document in ["identity", "device-photo", "account"] {
        let body = json!({ "step": "add-document", "document": document, "sha256": SHA });
        s.does(LI, &steps, body).await;
        let body = json!({ "step": "review", "document": document, "approved": true });
        s.does(WANG, &steps, body).await;
    }
    let (status, report) = s
        .call(LI, "GET", &format!("/v1/cases/{case}/impact"), &Value::Null)
        .await;
    assert_eq!(status, 200, "{report}");
    // The test sale and its void are among them.
    assert_eq!(report["impact"]["outstanding"]["unsettled"], 4, "{report}");
    // What the merchant acknowledges is what the store does.
    let kept = Timestamp(report["impact"]["kept_until"].as_u64().unwrap());
    let now = s.world.clock.wall();
    let latest = now.after(StoreKeeping::default().transactions);
    let day = Duration::from_secs(86_400);
    assert!(kept <= latest && latest < kept.after(day), "{report}");
    s.say(&format!("{LI}: GET /v1/cases/{case}/impact"));
    for line in report["conditions"].as_array().unwrap() {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        s.say(&format!(
            "    {} {}: {}",
            line["count"],
            text("what"),
            text("remedy")
        ));
    }
    s.does(
        LI,
        &steps,
        json!({ "step": "acknowledge", "hash": report["hash"] }),
    )
    .await;
    let sum = s.export(case).await;
    s.does(LI, &steps, json!({ "step": "exported", "sha256": sum }))
        .await;
    s.does(LI, &steps, json!({ "step": "submit" })).await;
    let refused = s.ask(LI, &steps, json!({ "step": "approve" })).await;
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("another person")
    );
    s.does(WANG, &steps, json!({ "step": "approve" })).await;
    assert_eq!(s.sells("T0000005", 4).await, "00");
    s.does(LI, &steps, json!({ "step": "start" })).await;
    assert_eq!(s.sells("T0000005", 5).await, "58");
    let refused = s.ask(LI, &steps, json!({ "step": "close" })).await;
    assert!(
        refused["detail"].as_str().unwrap().contains("not settled")
            || refused["detail"].as_str().unwrap().contains("not proven"),
        "{refused}"
    );
    s.settles("T0000005", 6, (2_001, 3, 1_001, 2)).await;
    let refused = s.ask(LI, &steps, json!({ "step": "close" })).await;
    assert!(
        refused["detail"].as_str().unwrap().contains("export"),
        "it sold once more: {refused}"
    );
    let sum = s.export(case).await;
    s.does(LI, &steps, json!({ "step": "exported", "sha256": sum }))
        .await;
    s.does(LI, &steps, json!({ "step": "close" })).await;
    let destroyed = format!("/v1/unbindings/{case}/keys-destroyed");
    s.does(ZHAO, &destroyed, keys).await;
    s.does(LI, &steps, json!({ "step": "wiped", "result": "done" }))
        .await;
    s.does(
        LI,
        &steps,
        json!({ "step": "reported", "network": "CUP-4713" }),
    )
    .await;

    s.chapter(
        "Afterwards: 97, an alert for the terminal that was heard of, and a sound audit trail",
    );
    assert_eq!(s.sells("T0000005", 7).await, "97");
    let reversal = s
        .at("T0000005", "reversal of its last sale", |till| {
            till.who.reversal(4, 1_000)
        })
        .await;
    assert_eq!(reversal, "00");
    s.alerted("T0000005").await;
    let (status, verdict) = s.call(LI, "GET", "/v1/audit/verdict", &Value::Null).await;
    assert_eq!(
        (status, &verdict["wrong"]),
        (200, &Value::Null),
        "{verdict}"
    );
    s.say("posgate audit verify: every event is as it was written");
    s.text.push_str("```\n");
    let sold = &s.listed("/v1/transactions?limit=1", 1).await[0];
    let (number, accepted) = (&sold["transaction"], sold["accepted_at"].as_str().unwrap());
    let (date, _) = accepted.split_once('T').unwrap();
    schemas::compared(
        s,
        &[
            ("/v1/cases", "/v1/cases?all=true"),
            ("/v1/cases/{case}", "/v1/cases/1"),
            ("/v1/cases/{case}/impact", "/v1/cases/2/impact"),
            ("/v1/evidence", "/v1/evidence"),
            (
                "/v1/terminals/{acquirer}/{terminal}/batch",
                "/v1/terminals/acme/T0000004/batch?batch=1",
            ),
            (
                "/v1/transactions/{transaction}",
                &format!("/v1/transactions/{number}"),
            ),
            (
                "/v1/transactions/{transaction}/evidence",
                &format!("/v1/transactions/{number}/evidence"),
            ),
            ("/v1/settlements/{date}", &format!("/v1/settlements/{date}")),
            (
                "/v1/terminals/{acquirer}/{terminal}",
                "/v1/terminals/acme/T0000004",
            ),
            (
                "/v1/merchants/{acquirer}/{merchant}/contacts",
                &format!("/v1/merchants/acme/{SHOP}/contacts"),
            ),
            ("/v1/alerts", "/v1/alerts"),
            ("/v1/acquirers", "/v1/acquirers"),
            ("/v1/acquirers/{acquirer}", "/v1/acquirers/acme"),
            (
                "/v1/merchants/{acquirer}/{merchant}/terminals",
                &format!("/v1/merchants/acme/{SHOP}/terminals"),
            ),
        ],
    )
    .await;
    let Story {
        world,
        link,
        tills,
        text,
        ..
    } = story;
    world.stop((link, tills)).await;
    compared(&text);
}

impl Story {
    /// Lets minutes pass.
    pub(super) fn wait(&mut self, minutes: u64) {
        self.clock
            .ahead
            .fetch_add(minutes * 60_000_000, Ordering::Relaxed);
        self.say(&format!("({minutes} minutes pass)"));
    }

    async fn contact(&mut self, who: &'static str, contact: u64, body: Value) -> Value {
        self.ask(who, &format!("/v1/contacts/{contact}/events"), body)
            .await
    }

    async fn signs_on(&mut self, terminal: &str) {
        let code = self
            .at(terminal, "sign-on", |till| till.who.sign_on(900_001))
            .await;
        assert_eq!(code, "00");
    }

    /// The terminal compares its totals; an operator ends the batch.
    async fn settles(&mut self, terminal: &str, stan: u32, sums: Sums) {
        let code = self
            .at(terminal, "settlement", |till| {
                settlement(&till.who, stan, sums, NOTHING)
            })
            .await;
        assert_eq!(code, "00");
        let path = format!("/v1/terminals/acme/{terminal}/batch/close");
        let answer = self
            .ask(LI, &path, json!({ "note": "its last batch" }))
            .await;
        assert!(answer.get("detail").is_none(), "{answer}");
    }

    async fn export(&mut self, case: u64) -> String {
        let bearer = format!("Bearer {}", self.tokens[LI]);
        let headers = [("authorization", bearer.as_str())];
        let path = format!("/v1/cases/{case}/export");
        let answered = self
            .api
            .request("GET", &path, &headers, String::new())
            .await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let rows = answered.text.lines().count() - 1;
        self.say(&format!(
            "{LI}: GET {path}: {rows} transactions as CSV, with their checksum"
        ));
        answered.header("x-checksum-sha256").to_owned()
    }

    /// The alert is there as soon as the message was counted.
    async fn alerted(&mut self, terminal: &str) {
        for _ in 0..1_000 {
            let (_, found) = self.call(LI, "GET", "/v1/alerts", &Value::Null).await;
            let alerts = found["alerts"].as_array().unwrap();
            if alerts.iter().any(|alert| alert["terminal_id"] == terminal) {
                self.say(&format!("{LI}: GET /v1/alerts"));
                self.say(&format!(
                    "    terminal {terminal} was heard of after its end"
                ));
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no alert of {terminal}");
    }
}

/// The documentation says what happened, or is made to.
fn compared(happened: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bindings.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("docs/bindings.md has no story");
    let (told, after) = rest.split_once(END).expect("the story has no end");
    if std::env::var("STORY").is_ok_and(|write| write == "write") {
        fs::write(path, format!("{before}{BEGIN}{happened}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        told, happened,
        "run `STORY=write cargo test --test it story` and read what changed"
    );
}
