//! Codes that are entered at terminals, and codes by which payers confirm. No configuration lets a terminal's code
//! in yet; the tests say what it will when MACs are verified.

use std::fs;

use serde_json::{Value, json};

use super::fixture::{SHOP, Setup, Till};
use super::story::{LI, Story, WANG};
use super::wire::Draft;

const MAC: [u8; 8] = [0x5A; 8];

/// 0800 with 990: what a code is for, and the code.
fn entry(till: &Till, stan: u32, purpose: &str, code: &str) -> Draft {
    Draft::new("0800")
        .set(11, format!("{stan:06}"))
        .set(41, &till.who.terminal)
        .set(42, &till.who.merchant)
        .set(60, "00000001990")
        .set(62, format!("{purpose}{code}"))
        .set(64, MAC)
}

/// The same from a device that says its serial number.
fn activation(till: &Till, stan: u32, serial: &str, code: &str) -> Draft {
    let inner = format!("02{:03}{serial}", serial.len());
    entry(till, stan, "01", code).set(59, format!("A2{:03}{inner}", inner.len()))
}

/// A code that is not that one.
fn another(code: &str) -> String {
    let last = if code.ends_with('1') { '2' } else { '1' };
    let begin: String = code.chars().take(5).collect();
    format!("{begin}{last}")
}

impl Story {
    /// A shop with an active terminal, a verified account, and the owner's phone; the number of that.
    async fn shop(&mut self) -> u64 {
        let phone = self.shop_to_be_verified().await;
        self.proves(phone, "verify-contact", 0).await;
        phone
    }

    /// The same, whose phone is entered and not verified.
    pub(super) async fn shop_to_be_verified(&mut self) -> u64 {
        let csv = format!(
            "acquirer,terminal_id,merchant_id,account_id,merchant_name,mcc,account_kind,account_status,serial,state,reasons\n\
             acme,T0000001,{SHOP},A-001,Noodles,5812,bank-card,verified,SN-1,active,\n"
        );
        let told = self.api.import(&csv).await;
        assert_eq!(told["report"]["bound"], 1, "{told}");
        self.identified().await;
        self.entered("138 0013 8000", "owner").await
    }

    /// Enters a phone and verifies it.
    async fn phone(&mut self, value: &str, role: &str) -> u64 {
        let phone = self.entered(value, role).await;
        self.proves(phone, "verify-contact", 0).await;
        phone
    }

    async fn entered(&mut self, value: &str, role: &str) -> u64 {
        let contacts = format!("/v1/merchants/acme/{SHOP}/contacts");
        let body = json!({ "kind": "phone", "role": role, "value": value });
        self.does(LI, &contacts, body).await
    }

    /// Sends a code; what its receiver reads.
    async fn sent(&mut self, body: Value) -> (u64, String) {
        self.wait(2);
        let challenge = self.does(LI, "/v1/challenges", body).await;
        (challenge, self.code().await)
    }

    /// What a terminal hears for a code.
    async fn enters(&mut self, terminal: &str, draft: impl Fn(&Till) -> Draft) -> String {
        self.at(terminal, "code", draft).await
    }

    pub(super) async fn binding_of(&self, terminal: &str) -> u64 {
        let path = format!("/v1/terminals/acme/{terminal}");
        let (_, shown) = self.call(LI, "GET", &path, &Value::Null).await;
        shown["binding"].as_u64().unwrap()
    }
}

fn with_codes() -> Setup {
    Setup {
        codes: true,
        ..Setup::new()
    }
}

#[tokio::test]
async fn a_terminal_is_activated_by_the_code_that_is_entered_there() {
    let mut story = Story::with(with_codes()).await;
    let s = &mut story;
    let phone = s.shop().await;
    s.does(LI, "/v1/devices/acme", json!({ "serial": "SN-2" }))
        .await;
    let binding = json!({
        "acquirer": "acme", "terminal_id": "T0000002", "merchant_id": SHOP, "account_id": "A-001",
        "serial": "SN-2",
    });
    let binding = s.does(LI, "/v1/bindings", binding).await;
    // Not before a second person approved it; nothing was sent, nothing is tried.
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 1, "SN-2", "123456"))
            .await,
        "58"
    );
    s.act(
        WANG,
        "T0000002",
        json!({ "action": "approve", "network": "N-1" }),
    )
    .await;
    let keys = json!({ "check_values": { "tmk": "A1B2C3" } });
    s.does(LI, "/v1/devices/acme/SN-2/keys", keys).await;
    let body = json!({ "contact": phone, "purpose": "bind", "subject": binding });
    let (challenge, code) = s.sent(body).await;
    let wrong = another(&code);
    // Not before the device has shown that it works, whatever is known; the code is good afterwards.
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 2, "SN-2", &code))
            .await,
        "58"
    );
    let tested = s
        .at("T0000002", "test sale of 0.01", |till| till.who.sale(20, 1))
        .await;
    assert_eq!(tested, "00");
    s.listed("/v1/transactions?terminal=T0000002&state=approved", 1)
        .await;
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 3, "SN-2", &wrong))
            .await,
        "55"
    );
    // Another device, and one that does not say which it is.
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 4, "SN-1", &code))
            .await,
        "58"
    );
    assert_eq!(
        s.enters("T0000002", |t| entry(t, 5, "01", &code)).await,
        "58"
    );
    assert_eq!(s.sells("T0000002", 6).await, "58");
    // The binding is active before the answer leaves: the sale right behind it is forwarded.
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 7, "SN-2", &code))
            .await,
        "00"
    );
    assert_eq!(s.sells("T0000002", 8).await, "00");
    assert_eq!(
        s.enters("T0000002", |t| activation(t, 9, "SN-2", &code))
            .await,
        "58"
    );
    let (_, shown) = s
        .call(
            LI,
            "GET",
            &format!("/v1/challenges/{challenge}"),
            &Value::Null,
        )
        .await;
    assert_eq!(
        (&shown["state"], &shown["tries_left"]),
        (&json!("approved"), &json!(4))
    );
    // The trail says that it was the terminal, and from where.
    let (_, trail) = s
        .call(LI, "GET", "/v1/audit?event=binding.activated", &Value::Null)
        .await;
    let event = &trail["events"][0];
    let actor = &event["actor"];
    assert_eq!(actor["name"], "terminal T0000002", "{event}");
    assert_eq!(actor["channel"], "terminal", "{event}");
    // What was entered is on no disk: neither the code nor the message that brought it is journalled.
    let entered = format!("01{code}");
    for file in fs::read_dir(s.world.folder.path().join("store")).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let mut places = bytes.windows(entered.len());
        assert!(
            !places.any(|place| place == entered.as_bytes()),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn what_a_code_at_the_terminal_proves_is_in_force_with_its_answer() {
    let mut story = Story::with(with_codes()).await;
    let s = &mut story;
    let phone = s.shop().await;
    let doubt = json!({ "event": "suspect", "note": "messages come back" });
    s.ask(LI, &format!("/v1/contacts/{phone}/events"), doubt)
        .await;
    assert_eq!(s.state_of("T0000001").await, "re-pending");
    s.wait(2);
    let body = json!({ "contact": phone, "purpose": "verify-contact", "subject": 0 });
    let (_, code) = s.sent(body).await;
    assert_eq!(s.sells("T0000001", 1).await, "58");
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 2, "02", &code)).await,
        "00"
    );
    assert_eq!(s.sells("T0000001", 3).await, "00");
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 4, "02", &code)).await,
        "25"
    );
}

/// bindings test 4, at the terminal: a flood of codes is counted, and stops nobody's trade.
#[tokio::test]
async fn wrong_codes_at_a_terminal_are_counted_and_leave_it_trading() {
    let mut story = Story::with(with_codes()).await;
    let s = &mut story;
    let phone = s.shop().await;
    let binding = s.binding_of("T0000001").await;
    let body = json!({ "contact": phone, "purpose": "release-hold", "subject": binding });
    let (_, code) = s.sent(body.clone()).await;
    let wrong = another(&code);
    for stan in 1..=4 {
        assert_eq!(
            s.enters("T0000001", |t| entry(t, stan, "08", &wrong)).await,
            "55"
        );
    }
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 5, "08", &wrong)).await,
        "75"
    );
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 6, "08", &code)).await,
        "25"
    );
    let (_, code) = s.sent(body.clone()).await;
    let wrong = another(&code);
    for stan in 11..=14 {
        assert_eq!(
            s.enters("T0000001", |t| entry(t, stan, "08", &wrong)).await,
            "55"
        );
    }
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 15, "08", &wrong)).await,
        "75"
    );
    // Ten in a day: the number takes no more, right or wrong.
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 16, "08", &code)).await,
        "75"
    );
    assert_eq!(s.state_of("T0000001").await, "active");
    assert_eq!(s.sells("T0000001", 20).await, "00");
}

#[tokio::test]
async fn a_payer_confirms_one_payment_and_the_evidence_says_so() {
    let mut story = Story::with(with_codes()).await;
    let s = &mut story;
    let owner = s.shop().await;
    let payer = s.phone("136 0013 6000", "payer").await;
    let binding = s.binding_of("T0000001").await;
    let payment =
        |stan: u32, amount: u64| json!({ "stan": stan, "amount": amount, "currency": "156" });
    let asked = |contact: u64, payment: Value| json!({ "contact": contact, "purpose": "payer-confirm", "subject": binding, "payment": payment });
    for (contact, payment, told) in [
        (owner, payment(7, 1_000), "another role"),
        (payer, Value::Null, "one transaction"),
        (payer, payment(7, 0), "no amount"),
        (payer, payment(1_000_000, 1_000), "trace number"),
    ] {
        let refused = s.ask(LI, "/v1/challenges", asked(contact, payment)).await;
        assert!(
            refused["detail"].as_str().unwrap().contains(told),
            "{refused}"
        );
    }
    let (challenge, code) = s.sent(asked(payer, payment(7, 1_000))).await;
    let texts = fs::read_to_string(&s.outbox).unwrap();
    assert!(
        texts.contains("confirm your payment of 10.00 CNY to Noodles"),
        "{texts}"
    );
    // Over the API: for another payment it is a wrong code.
    let check = |payment: Value| json!({ "code": code, "purpose": "payer-confirm", "subject": binding, "payment": payment });
    let path = format!("/v1/challenges/{challenge}/check");
    let wrong = s.ask(LI, &path, check(payment(7, 9_000))).await;
    assert_eq!(wrong["verdict"], "wrong", "{wrong}");
    // At the terminal: nobody was asked about another payment.
    let confirms = |till: &Till, of: u32, minor: u64| {
        entry(till, 6, "09", &code)
            .set(4, format!("{minor:012}"))
            .set(49, "156")
            .set(61, format!("000001{of:06}"))
    };
    assert_eq!(s.enters("T0000001", |t| confirms(t, 8, 1_000)).await, "25");
    assert_eq!(s.enters("T0000001", |t| confirms(t, 7, 1_001)).await, "25");
    assert_eq!(
        s.enters("T0000001", |t| entry(t, 6, "09", &code)).await,
        "30"
    );
    assert_eq!(s.enters("T0000001", |t| confirms(t, 7, 1_000)).await, "00");
    assert_eq!(s.sells("T0000001", 7).await, "00");
    assert_eq!(s.sells("T0000001", 8).await, "00");
    for row in s.listed("/v1/transactions", 2).await {
        let path = format!("/v1/transactions/{}/evidence", row["transaction"]);
        let (_, bundle) = s.call(LI, "GET", &path, &Value::Null).await;
        let content = &bundle["content"];
        let confirmed = &content["payer_confirmation"];
        match content["intent"]["stan"].as_str() {
            Some("000007") => assert_eq!(confirmed["challenge"], challenge, "{content}"),
            Some("000008") => assert_eq!(*confirmed, Value::Null, "{content}"),
            other => panic!("{other:?}"),
        }
    }
    // The payer hears of nothing else.
    let hold = json!({ "scope": "refund", "reason": "r", "remedy": "m", "appeal": "a" });
    s.does(LI, "/v1/terminals/acme/T0000001/holds", hold).await;
    s.wait(1);
    let texts = fs::read_to_string(&s.outbox).unwrap();
    let to_payer = texts.lines().filter(|line| line.contains("13600136000"));
    assert_eq!(to_payer.count(), 2, "{texts}");
}

#[tokio::test]
async fn a_listener_without_macs_takes_no_codes_and_a_message_without_one_is_malformed() {
    let mut story = Story::begin().await;
    story.shop().await;
    let told = story
        .enters("T0000001", |t| entry(t, 1, "01", "123456"))
        .await;
    assert_eq!(told, "40");
    let mut story = Story::with(with_codes()).await;
    story.shop().await;
    let told = story
        .enters("T0000001", |t| entry(t, 1, "02", "123456").without(64))
        .await;
    assert_eq!(told, "30");
    for (purpose, code) in [("77", "123456"), ("02", "12345"), ("02", "12a456")] {
        let told = story
            .enters("T0000001", |t| entry(t, 2, purpose, code))
            .await;
        assert_eq!(told, "30", "{purpose} {code}");
    }
}
