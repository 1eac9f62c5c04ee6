//! Refunds without the terminal: two persons, the core's one way for money, and once.

use std::time::Duration;

use posgate::base::TerminalId;
use posgate::binding::hold::Explained;
use posgate::binding::watch::BindingRules;
use posgate::binding::{BindingState, HoldScope, ReasonSet, RependReason, TerminalKey};
use posgate::store::RegistryError;
use posgate::store::command::Command;
use posgate::store::registry::Actor;
use posgate::switch::StanPolicy;
use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{Bound, ISO, PAN, SHOP, Setup, UNIONPAY, World, counting_link, eventually};
use super::second_person::caller;
use super::settlement::local_today;
use super::wire::{Draft, SILENCE, Seen, Wire};

/// A gateway, two members of staff, and the number of an approved sale of 10.00 of the first terminal.
struct Shop {
    world: World,
    link: Wire,
    api: Api,
    li: Api,
    wang: Api,
    sale: u64,
}

impl Shop {
    async fn open(setup: Setup) -> Self {
        let world = setup.start().await;
        let mut link = counting_link(&world).await;
        let api = Api::serve(&world);
        let li = caller(&api, "Li Wei", "operator").await;
        let wang = caller(&api, "Wang Fang", "checker").await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 501, "00").await;
        // The read model shows it soon.
        let sale = loop {
            let sold = api.json("/v1/transactions?stan=501&limit=1").await;
            match sold["transactions"][0]["transaction"].as_u64() {
                Some(sale) => break sale,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        Self {
            world,
            link,
            api,
            li,
            wang,
            sale,
        }
    }

    /// Li asks; the number of it.
    async fn asks(&self, amount: u64) -> u64 {
        let (status, told) = self.ask(self.sale, amount).await;
        assert_eq!(status, 200, "{told}");
        told["number"].as_u64().unwrap()
    }

    async fn ask(&self, transaction: u64, amount: u64) -> (u16, Value) {
        let body = json!({ "transaction": transaction, "amount": amount, "note": "its terminal is broken" });
        self.li.post("/v1/refunds", body).await
    }

    /// Wang approves, and the upstream answers what it is asked.
    async fn approved(&mut self, refund: u64, code: &str) -> (Seen, Value) {
        let link = &mut self.link;
        let answering = async {
            let request = link.next().await;
            link.send(&request.answered(code)).await;
            request
        };
        let ((status, told), request) = tokio::join!(approve(&self.wang, refund), answering);
        assert_eq!(status, 200, "{told}");
        (request, told)
    }

    fn key(&self) -> TerminalKey {
        let registry = &self.world.running.registry;
        TerminalKey {
            acquirer: registry.lock().acquirer("acme").unwrap(),
            terminal: TerminalId::parse("T0000001").unwrap(),
        }
    }

    fn is(&self, state: BindingState, reasons: ReasonSet) {
        let actor = Actor::program("test", self.world.clock.wall());
        let key = self.key();
        let changed = self.world.running.registry.change(|registry| {
            let changes = registry.set_state(key, state, reasons, None, &actor)?;
            Ok::<_, RegistryError>(((), changes))
        });
        changed.unwrap();
    }

    async fn stop(self) {
        self.world.stop(self.link).await;
    }
}

async fn approve(api: &Api, refund: u64) -> (u16, Value) {
    let path = format!("/v1/refunds/{refund}/approve");
    api.post(&path, json!({ "note": "called back" })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_persons_refund_what_a_terminal_sold_and_no_more_than_it_was() {
    for dialect in [UNIONPAY, ISO] {
        for stan in [StanPolicy::Pass, StanPolicy::Own] {
            let setup = Setup {
                stan,
                ..Setup::speaking(dialect)
            };
            refunded(setup).await;
        }
    }
}

async fn refunded(setup: Setup) {
    let has_batches = setup.dialect == UNIONPAY;
    let passes = setup.stan == StanPolicy::Pass;
    let mut shop = Shop::open(setup).await;
    let first = shop.asks(600).await;
    let asked = shop.api.json(&format!("/v1/refunds/{first}")).await;
    assert_eq!(asked["state"], "asked", "{asked}");
    // Who asked does not approve, under whatever role.
    let li_again = caller(&shop.api, "Li Wei", "checker").await;
    assert_eq!(approve(&li_again, first).await.0, 403);
    // An operator approves nothing at all.
    assert_eq!(approve(&shop.li, first).await.0, 403);

    let (request, told) = shop.approved(first, "00").await;
    assert_eq!(request.mti, "0220");
    assert_eq!((request.text(2), request.text(4)), (PAN, "000000000600"));
    assert_eq!(request.text(22), "012", "nobody held a card");
    if passes {
        // Where terminals do not come: a host may know the terminal's requests by this number alone.
        assert_eq!(request.text(11), "999999");
    }
    assert_eq!((request.text(41), request.text(42)), ("T0000001", SHOP));
    assert!(!request.has(35) && !request.has(52) && !request.has(55));
    if has_batches {
        assert_eq!(request.part(60, 0..8), "25999999");
        assert_eq!(request.part(61, 0..12), "000000000000");
    } else {
        assert_eq!(request.part(90, 0..4), "0200");
    }
    assert_eq!(told["state"], "approved", "{told}");
    let refund = told["transaction"].as_u64().unwrap();
    let shown = shop.api.json(&format!("/v1/transactions/{refund}")).await;
    assert_eq!(
        (&shown["kind"], &shown["sign"]),
        (&json!("refund"), &json!(-1))
    );
    assert_eq!(shown["account_id"], "account-1");
    assert_eq!(shown["by_staff"]["original"], shop.sale);
    assert_eq!(shown["by_staff"]["asked_by"], "Li Wei");
    assert_eq!(shown["by_staff"]["approved_by"], "Wang Fang");
    // Approved once more it is found, and nothing is sent.
    let (status, again) = approve(&shop.wang, first).await;
    assert_eq!((status, &again["transaction"]), (200, &json!(refund)));

    // More than is left of the sale goes nowhere.
    let second = shop.asks(401).await;
    let (status, told) = approve(&shop.wang, second).await;
    assert_eq!((status, &told["state"]), (200, &json!("unsent")));
    assert_eq!(told["not_taken"], "original-amount", "{told}");
    assert_eq!(told["transaction"], Value::Null);
    let third = shop.asks(400).await;
    let (_, told) = shop.approved(third, "00").await;
    assert_eq!(told["state"], "approved");

    let day = local_today(&shop.world);
    let file = shop.api.json(&format!("/v1/settlements/{day}")).await;
    let totals = file.to_string();
    assert!(totals.contains("-1000"), "{totals}");
    let trail = shop.api.json("/v1/audit?limit=30").await.to_string();
    for event in [
        "refund.asked",
        "refund.approved",
        "refund.send_begun",
        "refund.sent",
    ] {
        assert!(trail.contains(event), "{event}: {trail}");
    }
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_belongs_to_the_account_of_its_sale_also_when_the_terminal_is_anothers() {
    const OTHER: &str = "104110041200002";
    let mut shop = Shop::open(Setup {
        bindings: BindingRules {
            quarantine: Duration::ZERO,
            ..BindingRules::default()
        },
        ..Setup::new()
    })
    .await;
    let refund = shop.asks(1_000).await;
    // The terminal waits for evidence and refunds nothing itself; then it is gone, and another shop has its number.
    shop.is(
        BindingState::RePending,
        ReasonSet::EMPTY.with(RependReason::Phone),
    );
    let mut till = shop.world.till(1).await;
    assert_eq!(till.code(&till.who.refund(502, 501, 1)).await, "58");
    shop.is(BindingState::Unbound, ReasonSet::EMPTY);
    let rebound = Bound {
        merchant: OTHER.into(),
        account: "account-2".into(),
        ..Bound::numbered(1)
    };
    shop.world.bind(&rebound);
    let (request, told) = shop.approved(refund, "00").await;
    assert_eq!((request.text(41), request.text(42)), ("T0000001", SHOP));
    let number = &told["transaction"];
    let shown = shop.api.json(&format!("/v1/transactions/{number}")).await;
    assert_eq!(shown["account_id"], "account-1", "{shown}");
    let sale = shop
        .api
        .json(&format!("/v1/transactions/{}", shop.sale))
        .await;
    assert_eq!(shown["binding"], sale["binding"]);
    // The other shop has it in no totals of its own: it sells, and nothing of this is in its way.
    let mut till = shop.world.till(1).await;
    till.who.merchant = OTHER.into();
    till.sell(&mut shop.link, 1, "00").await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_suspended_held_or_not_standing_is_not_refunded_by_staff_either() {
    let shop = Shop::open(Setup::new()).await;
    let refund = shop.asks(100).await;
    assert_eq!(
        shop.ask(shop.sale, 1_001).await.0,
        409,
        "more than was sold"
    );
    assert_eq!(shop.ask(shop.sale, 0).await.0, 422);
    assert_eq!(shop.ask(99, 1).await.0, 404);
    shop.is(BindingState::Suspended, ReasonSet::EMPTY);
    let (status, told) = approve(&shop.wang, refund).await;
    assert_eq!(status, 409, "{told}");
    assert_eq!(shop.ask(shop.sale, 1).await.0, 409);
    shop.is(BindingState::Active, ReasonSet::EMPTY);
    let words = |text: &str| text.to_owned();
    let place = Command::PlaceHold {
        key: shop.key(),
        scope: HoldScope::Refund,
        explained: Explained {
            reason: words("disputes"),
            remedy: words("an inspection"),
            documents: String::new(),
            appeal: words("service desk"),
        },
    };
    let actor = Actor::program("test", shop.world.clock.wall());
    let held = shop.world.running.registry.change(|registry| {
        let done = registry.carry_out(&place, None, &actor)?;
        Ok::<_, RegistryError>((done.number, done.changes))
    });
    let hold = held.unwrap();
    assert_eq!(approve(&shop.wang, refund).await.0, 409, "held");
    // Held it stays when the terminal goes, until the hold is lifted.
    shop.is(BindingState::Unbound, ReasonSet::EMPTY);
    assert_eq!(approve(&shop.wang, refund).await.0, 409, "held and closed");
    let lift = json!({ "note": "inspected" });
    let (status, told) = shop
        .wang
        .post(&format!("/v1/holds/{hold}/lift"), lift)
        .await;
    assert_eq!(status, 200, "{told}");
    let mut shop = shop;
    let (_, told) = shop.approved(refund, "00").await;
    assert_eq!(told["state"], "approved");
    // A refund is not refunded, and what was refused is not approved.
    let number = told["transaction"].as_u64().unwrap();
    assert_eq!(shop.ask(number, 1).await.0, 409);
    let other = shop.asks(1).await;
    let refuse = format!("/v1/refunds/{other}/refuse");
    let (status, _) = shop.wang.post(&refuse, json!({ "note": "no" })).await;
    assert_eq!(status, 200);
    assert_eq!(approve(&shop.wang, other).await.0, 409);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_of_staff_that_nobody_answers_is_repeated_until_it_is() {
    let mut shop = Shop::open(Setup {
        timeout: SILENCE,
        ..Setup::new()
    })
    .await;
    let refund = shop.asks(1_000).await;
    let approving = approve(&shop.wang, refund);
    let ((status, told), first) = tokio::join!(approving, shop.link.next());
    assert_eq!(
        (status, &told["state"]),
        (200, &json!("repeat-owed")),
        "{told}"
    );
    // It is still what takes the sale's money: the whole of it is on its way back.
    let second = shop.asks(1).await;
    let (_, told) = approve(&shop.wang, second).await;
    assert_eq!(told["transaction"], Value::Null, "{told}");
    assert_eq!(told["not_taken"], "original-amount");
    let again = shop.link.next().await;
    assert_eq!(again.text(11), first.text(11), "the same once more");
    shop.link.send(&again.answered("00")).await;
    eventually("it is answered", || shop.world.running.switch.owed() == 0).await;
    let (_, told) = approve(&shop.wang, refund).await;
    assert_eq!(told["state"], "approved", "{told}");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_link_is_up_a_refund_waits_to_be_approved_once_more() {
    let Shop {
        world,
        link,
        api,
        li,
        wang,
        sale,
    } = Shop::open(Setup::new()).await;
    let body = json!({ "transaction": sale, "amount": 10, "note": "its terminal is broken" });
    let (status, asked) = li.post("/v1/refunds", body).await;
    assert_eq!(status, 200, "{asked}");
    let refund = asked["number"].as_u64().unwrap();
    drop(link);
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is down", || !up()).await;
    let (status, told) = approve(&wang, refund).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        (&told["state"], &told["not_taken"]),
        (&json!("unsent"), &json!("no-link"))
    );
    let link = world.link().await;
    let mut shop = Shop {
        world,
        link,
        api,
        li,
        wang,
        sale,
    };
    // What is contested meanwhile is not sent, although it was agreed to.
    let contested =
        json!({ "transaction": sale, "reference": "CB-78", "note": "card not present" });
    let (status, opened) = shop.li.post("/v1/disputes", contested).await;
    assert_eq!(status, 200, "{opened}");
    let (status, told) = approve(&shop.wang, refund).await;
    assert_eq!(status, 409, "{told}");
    let close = format!("/v1/disputes/{}/close", opened["number"]);
    let won = json!({ "end": "won", "note": "the slip is signed" });
    let (status, told) = shop.wang.post(&close, won).await;
    assert_eq!(status, 200, "{told}");
    let (_, told) = shop.approved(refund, "00").await;
    assert_eq!(told["state"], "approved");
    assert!(told["transaction"].is_u64(), "{told}");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_terminal_uses_the_batch_of_staff() {
    let (world, mut link) = Setup::new().start_counting().await;
    let mut till = world.till(1).await;
    let sale: Draft = till.who.sale(7, 1_000).set(60, "22999999000600");
    assert_eq!(till.code(&sale).await, "77");
    till.sell(&mut link, 8, "00").await;
    world.stop((till, link)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_contested_is_in_the_impact_report_and_is_not_given_back_twice() {
    let mut shop = Shop::open(Setup::new()).await;
    let asked = shop.asks(100).await;
    let contested =
        json!({ "transaction": shop.sale, "reference": "CB-77", "note": "card not present" });
    let (status, opened) = shop.li.post("/v1/disputes", contested.clone()).await;
    assert_eq!(status, 200, "{opened}");
    let (status, told) = shop.li.post("/v1/disputes", contested).await;
    assert_eq!(status, 409, "one at a time: {told}");
    let shown = shop
        .api
        .json(&format!("/v1/transactions/{}", shop.sale))
        .await;
    assert_eq!(shown["disputes"][0]["reference"], "CB-77", "{shown}");
    assert_eq!(
        shop.api.json("/v1/disputes").await["disputes"][0]["state"],
        "open"
    );
    // Neither what was asked before nor what is asked now.
    assert_eq!(approve(&shop.wang, asked).await.0, 409);
    assert_eq!(shop.ask(shop.sale, 1).await.0, 409);

    let unbind = json!({
        "acquirer": "acme", "terminal_id": "T0000001", "channel": "online", "reason": "closure",
        "note": "shop closes",
    });
    let (status, case) = shop.li.post("/v1/unbindings", unbind).await;
    assert_eq!(status, 200, "{case}");
    let impact = format!("/v1/cases/{}/impact", case["number"]);
    let report = shop.api.json(&impact).await;
    assert_eq!(report["impact"]["disputes"], 1, "{report}");
    assert_eq!(report["impact"]["refunds_asked"], 1, "{report}");

    let number = opened["number"].as_u64().unwrap();
    let close = format!("/v1/disputes/{number}/close");
    let (status, _) = shop
        .li
        .post(&close, json!({ "end": "drawn", "note": "?" }))
        .await;
    assert_eq!(status, 422);
    let lost = json!({ "end": "lost", "note": "no slip" });
    assert_eq!(shop.wang.post(&close, lost.clone()).await.0, 200);
    assert_eq!(shop.wang.post(&close, lost).await.0, 409, "it is over");
    let report = shop.api.json(&impact).await;
    assert_eq!(report["impact"]["disputes"], 0);
    assert_eq!(
        approve(&shop.wang, asked).await.0,
        409,
        "the network gave it back"
    );
    let all = shop.api.json("/v1/disputes?all=true").await;
    assert_eq!(all["disputes"][0]["closed_by"], "Wang Fang", "{all}");

    // Another sale, whose dispute the merchant won, is refunded as any other.
    let mut till = shop.world.till(2).await;
    till.sell(&mut shop.link, 601, "00").await;
    shop.sale = loop {
        let sold = shop.api.json("/v1/transactions?stan=601&limit=1").await;
        match sold["transactions"][0]["transaction"].as_u64() {
            Some(sale) => break sale,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let contested =
        json!({ "transaction": shop.sale, "reference": "CB-78", "note": "card not present" });
    let (_, opened) = shop.li.post("/v1/disputes", contested).await;
    let close = format!("/v1/disputes/{}/close", opened["number"]);
    let won = json!({ "end": "won", "note": "slip shown" });
    assert_eq!(shop.wang.post(&close, won).await.0, 200);
    let refund = shop.asks(1_000).await;
    let (_, told) = shop.approved(refund, "00").await;
    assert_eq!(told["state"], "approved", "{told}");
    shop.stop().await;
}

/// Invariant 3: what was sent and has no answer when the process dies is sent again by the next
/// one, as the same refund.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_of_staff_that_a_crash_cut_off_goes_on_after_the_start() {
    let mut shop = Shop::open(Setup::new()).await;
    let refund = shop.asks(1_000).await;
    let path = format!("/v1/refunds/{refund}/approve");
    let body = json!({ "note": "called back" });
    let wang = shop.wang.clone();
    let first = tokio::select! {
        (_, told) = wang.post(&path, body) => panic!("nobody answered: {told}"),
        request = shop.link.next() => request,
    };
    let stored = shop.world.crashed();
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let api = Api::serve(&world);
    let again = link.next().await;
    assert_eq!(
        (again.text(11), again.text(4)),
        (first.text(11), first.text(4))
    );
    link.send(&again.answered("00")).await;
    eventually("it is answered", || world.running.switch.owed() == 0).await;
    let wang = caller(&api, "Wang Fang the second", "checker").await;
    let (status, told) = approve(&wang, refund).await;
    assert_eq!(
        (status, &told["state"]),
        (200, &json!("approved")),
        "{told}"
    );
    world.stop(link).await;
}
