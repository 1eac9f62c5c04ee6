//! Limits at work: what is taken counts, what comes to nothing does not, and nobody gets a second limit.

use posgate::base::{Currency, TerminalId};
use posgate::binding::TerminalKey;
use posgate::binding::limit::Limits;
use posgate::store::RegistryError;
use posgate::store::command::{AccountName, Command, Limited};
use posgate::store::registry::Actor;
use posgate::switch::StanPolicy;
use serde_json::{Value, json};

use super::fixture::{Bound, ISO, SHOP, Setup, Till, UNIONPAY, World, counting_link, eventually};
use super::story::{LI, Story, WANG};
use super::wire::{Draft, SILENCE, Wire};

/// So much and so many on a day.
fn daily(amount: Option<u64>, count: Option<u64>) -> Limits {
    Limits {
        currency: Currency::CNY,
        day_amount: amount,
        day_count: count,
        ..Limits::NONE
    }
}

fn set(world: &World, of: impl FnOnce(TerminalKey) -> Limited, limits: Limits) {
    let actor = Actor::program("test", world.clock.wall());
    let changed = world.running.registry.change(|registry| {
        let acquirer = registry.acquirer("acme")?;
        let terminal = TerminalId::parse("T0000001").unwrap();
        let command = Command::SetLimits {
            of: of(TerminalKey { acquirer, terminal }),
            limits,
            note: "as agreed".into(),
            evidence: None,
        };
        let done = registry.carry_out(&command, None, &actor)?;
        Ok::<_, RegistryError>(((), done.changes))
    });
    changed.unwrap();
}

fn account(key: TerminalKey) -> Limited {
    Limited::Account(AccountName {
        acquirer: key.acquirer,
        reference: "account-1".into(),
    })
}

/// A request that the upstream answers with that code; what the terminal hears.
async fn passed(till: &mut Till, link: &mut Wire, draft: &Draft, code: &str) -> String {
    till.send(draft).await;
    let request = link.next().await;
    link.send(&request.answered(code)).await;
    till.next().await.code().to_owned()
}

async fn reversed(world: &World, till: &mut Till, link: &mut Wire, of: u32) {
    assert_eq!(till.code(&till.who.reversal(of, 1_000)).await, "00");
    let reversal = link.next().await;
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
}

#[tokio::test]
async fn what_comes_to_nothing_gives_back_what_it_took() {
    for dialect in [UNIONPAY, ISO] {
        for stan in [StanPolicy::Pass, StanPolicy::Own] {
            let setup = Setup {
                stan,
                ..Setup::speaking(dialect)
            };
            let world = setup.start().await;
            let mut link = counting_link(&world).await;
            let mut till = world.till(1).await;
            set(&world, Limited::Terminal, daily(Some(2_500), None));
            assert_eq!(till.sell(&mut link, 501, "00").await.1.code(), "00");
            assert_eq!(till.sell(&mut link, 502, "51").await.1.code(), "51");
            assert_eq!(till.sell(&mut link, 503, "00").await.1.code(), "00");
            // The gate's own answer, and the same for the same request.
            let third = till.who.sale(504, 1_000);
            assert_eq!(till.code(&third).await, "61");
            assert_eq!(till.code(&third).await, "61");
            // A repeat is no new sale, and a refund gives nothing back.
            assert_eq!(till.code(&till.who.sale(503, 1_000)).await, "00");
            let refund = till.who.refund(505, 501, 400);
            assert_eq!(passed(&mut till, &mut link, &refund, "00").await, "00");
            assert_eq!(till.code(&till.who.sale(506, 1_000)).await, "61");
            // What is reversed is free again.
            reversed(&world, &mut till, &mut link, 503).await;
            assert_eq!(till.sell(&mut link, 507, "00").await.1.code(), "00");
            // A void gives back when it is approved, and takes again when it is reversed itself.
            let declined = till.who.void(508, 507, 1_000);
            assert_eq!(passed(&mut till, &mut link, &declined, "51").await, "51");
            assert_eq!(till.code(&till.who.sale(509, 1_000)).await, "61");
            let void = till.who.void(510, 507, 1_000);
            assert_eq!(passed(&mut till, &mut link, &void, "00").await, "00");
            reversed(&world, &mut till, &mut link, 510).await;
            assert_eq!(till.code(&till.who.sale(511, 1_000)).await, "61");
            let again = till.who.void(512, 507, 1_000);
            assert_eq!(passed(&mut till, &mut link, &again, "00").await, "00");
            assert_eq!(till.sell(&mut link, 513, "00").await.1.code(), "00");
            // A reversal is never asked whether it fits.
            assert_eq!(till.code(&till.who.sale(514, 1_000)).await, "61");
            reversed(&world, &mut till, &mut link, 513).await;
            world.stop((link, till)).await;
        }
    }
}

#[tokio::test]
async fn so_many_and_no_more_and_another_terminal_is_not_concerned() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let (mut till, mut other) = (world.till(1).await, world.till(2).await);
    set(&world, Limited::Terminal, daily(None, Some(2)));
    for stan in 1..=2 {
        assert_eq!(till.sell(&mut link, stan, "00").await.1.code(), "00");
    }
    assert_eq!(till.code(&till.who.sale(3, 1)).await, "65");
    for stan in 1..=3 {
        assert_eq!(other.sell(&mut link, stan, "00").await.1.code(), "00");
    }
    world.stop((link, till, other)).await;
}

#[tokio::test]
async fn of_two_in_flight_that_do_not_fit_together_one_passes() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let (mut first, mut second) = (world.till(1).await, world.till(2).await);
    set(&world, account, daily(Some(1_500), None));
    first.send(&first.who.sale(1, 1_000)).await;
    let in_flight = link.next().await;
    assert_eq!(second.code(&second.who.sale(1, 1_000)).await, "61");
    // What is left fits.
    let small = second.who.sale(2, 500);
    assert_eq!(passed(&mut second, &mut link, &small, "00").await, "00");
    link.send(&in_flight.answered("51")).await;
    assert_eq!(first.next().await.code(), "51");
    assert_eq!(second.sell(&mut link, 3, "00").await.1.code(), "00");
    world.stop((link, first, second)).await;
}

#[tokio::test]
async fn what_nobody_answered_is_free_when_its_reversal_is_owed() {
    let setup = Setup {
        timeout: SILENCE,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    set(&world, Limited::Terminal, daily(Some(1_000), None));
    till.send(&till.who.sale(1, 1_000)).await;
    let _unanswered = link.next().await;
    assert_eq!(till.next().await.code(), "98");
    let reversal = link.next().await;
    assert_eq!(reversal.mti, "0400");
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    assert_eq!(till.sell(&mut link, 2, "00").await.1.code(), "00");
    assert_eq!(till.code(&till.who.sale(3, 1)).await, "61");
    world.stop((link, till)).await;
}

#[tokio::test]
async fn after_a_restart_the_journal_says_what_was_taken() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    set(&world, Limited::Terminal, daily(Some(2_500), None));
    for stan in 1..=2 {
        till.sell(&mut link, stan, "00").await;
    }
    let void = till.who.void(3, 2, 1_000);
    assert_eq!(passed(&mut till, &mut link, &void, "00").await, "00");
    till.sell(&mut link, 4, "51").await;
    // In flight when the machine dies: it is reversed, and never counted.
    till.send(&till.who.sale(5, 1_000)).await;
    let _in_flight = link.next().await;
    let stored = world.crashed();
    drop((link, till, world));
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let reversal = link.next().await;
    assert_eq!(reversal.mti, "0400");
    link.send(&reversal.answered("00")).await;
    let mut till = world.till(1).await;
    // One sale of 1,000 stands; the void did not, once it is reversed.
    assert_eq!(till.sell(&mut link, 6, "00").await.1.code(), "00");
    assert_eq!(till.code(&till.who.sale(7, 1_000)).await, "61");
    reversed(&world, &mut till, &mut link, 1).await;
    reversed(&world, &mut till, &mut link, 3).await;
    assert_eq!(till.code(&till.who.sale(8, 1_000)).await, "61");
    let small = till.who.sale(9, 500);
    assert_eq!(passed(&mut till, &mut link, &small, "00").await, "00");
    world.stop((link, till)).await;
}

#[tokio::test]
async fn people_set_limits_see_them_and_raise_them_together() {
    let mut story = Story::begin().await;
    let s = &mut story;
    for number in 1..=2 {
        s.world.bind(&Bound::numbered(number));
    }
    assert_eq!(s.sells("T0000001", 1).await, "00");
    assert_eq!(s.sells("T0000001", 2).await, "00");
    let path = format!("/v1/limits/merchant/acme/{SHOP}");
    let (status, shown) = s.call(LI, "GET", &path, &Value::Null).await;
    assert_eq!((status, &shown["version"]), (200, &json!(0)), "{shown}");
    assert_eq!(shown["day"]["amount_used"], Value::Null);
    let new = |amount: u64| json!({ "currency": "156", "day_amount": amount, "note": "risk" });
    let (status, told) = s.call(LI, "PUT", &path, &new(2_500)).await;
    assert_eq!(status, 200, "{told}");
    // What was taken before counts when the call returns.
    let (_, shown) = s.call(LI, "GET", &path, &Value::Null).await;
    assert_eq!(shown["day"]["amount_used"], 2_000, "{shown}");
    assert_eq!(shown["month"]["count_used"], 2, "{shown}");
    assert_eq!(s.sells("T0000002", 1).await, "61");
    let (_, terminal) = s
        .call(LI, "GET", "/v1/terminals/acme/T0000002", &Value::Null)
        .await;
    assert_eq!(terminal["limits"][0]["scope"], "merchant", "{terminal}");
    assert_eq!(terminal["limits"][0]["day"]["amount_max"], 2_500);
    // Less is one person's word, more needs two.
    let (status, told) = s.call(LI, "PUT", &path, &new(2_400)).await;
    assert_eq!(status, 200, "{told}");
    let (status, told) = s.call(LI, "PUT", &path, &new(2_500)).await;
    assert_eq!(status, 422, "{told}");
    let about = format!("merchant acme/{SHOP}");
    let filed = json!({ "about": about, "allows": "raise-limit", "note": "contract" });
    let evidence = s.does(LI, "/v1/evidence", filed).await;
    let mut raised = new(3_000);
    raised["evidence"] = evidence.into();
    let (status, told) = s.call(LI, "PUT", &path, &raised).await;
    assert_eq!(status, 403, "{told}");
    let (status, told) = s.call(WANG, "PUT", &path, &raised).await;
    assert_eq!((status, &told["version"]), (200, &json!(3)), "{told}");
    assert_eq!(s.sells("T0000002", 2).await, "00");
    assert_eq!(s.sells("T0000002", 3).await, "61");
    // Limits come and go with the file of terminals, and no import raises one.
    let header = "terminal_id,merchant_id,account_id,limit_day_count";
    let line = |count: u64| format!("{header}\nT0000001,{SHOP},account-1,{count}\n");
    let told = s.api.import(&line(5)).await;
    assert_eq!(told["report"]["changed"], 1, "{told}");
    let told = s.api.import(&line(5)).await;
    assert_eq!(told["report"]["unchanged"], 1, "{told}");
    let told = s.api.import(&line(6)).await;
    let reason = told["problems"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("posgate limit set"), "{told}");
    let (_, audited) = s
        .call(LI, "GET", "/v1/audit?event=limit.set", &Value::Null)
        .await;
    assert!(audited.to_string().contains("limit.set"), "{audited}");
}

/// Two shops at one acquirer: who sends the other's number is declined before anybody's limit is asked.
#[tokio::test]
async fn another_shops_merchant_number_takes_nothing_of_anybodys_limit() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    set(&world, Limited::Terminal, daily(None, Some(1)));
    set(&world, account, daily(None, Some(1)));
    for stan in 1..=3 {
        let sale = till.who.sale(stan, 1_000).set(42, "104110041200999");
        assert_eq!(till.code(&sale).await, "03");
    }
    assert_eq!(till.sell(&mut link, 4, "00").await.1.code(), "00");
    assert_eq!(till.code(&till.who.sale(5, 1)).await, "65");
    world.stop((link, till)).await;
}
