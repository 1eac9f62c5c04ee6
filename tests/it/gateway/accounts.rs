//! A binding with several accounts: what the customer pays with says which of them gets the money, and what follows
//! a sale goes where the sale went.

use posgate::base::{MerchantId, TerminalId};
use posgate::binding::{AccountKind, AccountStatus, TerminalKey};
use posgate::store::command::{AccountName, Allows, Command, MerchantsWord};
use posgate::store::registry::{Actor, RegistryError};
use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{ISO, SHOP, Setup, Till, World, eventually};
use super::settlement::local_today;
use super::wire::{Draft, PATIENCE, Wire};

/// A shop that takes cards and WeChat on one device.
const BOTH: &str = "terminal_id,merchant_id,account_id,other_accounts\n\
    T0000009,104110041200001,CARD,wechat=WX\n";

/// Codes as customers show them.
const WECHAT: &str = "134567890123456789";
const ALIPAY: &str = "28123456789012345678";
const UNIONPAY_CODE: &str = "6212345678901234567";

/// A sale by the customer's code.
fn by_code(till: &Till, stan: u32, code: &str) -> Draft {
    till.who
        .sale(stan, 1_000)
        .without(2)
        .without(14)
        .without(26)
        .without(35)
        .without(52)
        .without(53)
        .set(22, "032")
        .set(59, format!("A3{:03}{code}", code.len()))
}

/// A refund or void of a sale by code: without a card.
fn cardless(draft: Draft) -> Draft {
    draft.without(2).without(14).without(35).without(52)
}

/// Passed on and approved upstream.
async fn approved(till: &mut Till, link: &mut Wire, draft: &Draft) {
    till.send(draft).await;
    let request = link.next().await;
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
}

/// STANs of all that belongs to an account, once the read model has as many.
async fn belongs(api: &Api, account: &str, expect: &[u64]) {
    let path = format!("/v1/transactions?account={account}&limit=100");
    let all = async {
        loop {
            let listed = api.json(&path).await;
            let rows = listed["transactions"].as_array().unwrap();
            let stan = |row: &Value| row["stan"].as_str().unwrap().parse::<u64>().unwrap();
            let mut stans: Vec<_> = rows.iter().map(stan).collect();
            stans.sort_unstable();
            if stans.len() >= expect.len() {
                return stans;
            }
            tokio::task::yield_now().await;
        }
    };
    let stans = tokio::time::timeout(PATIENCE, all).await;
    assert_eq!(stans.expect("something is missing"), expect, "{account}");
}

async fn shop(setup: Setup, lines: &str) -> (World, Wire, Api, Till) {
    assert_eq!(SHOP, "104110041200001");
    let (world, link) = setup.start_with_link().await;
    let api = Api::serve(&world);
    let told = api.import(lines).await;
    assert_eq!(told["report"]["bound"], 1, "{told}");
    let till = world.till(9).await;
    (world, link, api, till)
}

#[tokio::test]
async fn each_means_of_payment_has_its_own_account_and_no_other() {
    let (world, mut link, api, mut till) = shop(Setup::new(), BOTH).await;
    let card = till.who.sale(1, 1_000);
    approved(&mut till, &mut link, &card).await;
    let wechat = by_code(&till, 2, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    let unionpay = by_code(&till, 3, UNIONPAY_CODE);
    approved(&mut till, &mut link, &unionpay).await;
    let alipay = by_code(&till, 4, ALIPAY);
    assert_eq!(till.code(&alipay).await, "58", "there is no such account");

    // What follows a sale names no means of payment.
    let refund = cardless(till.who.refund(5, 2, 300));
    approved(&mut till, &mut link, &refund).await;
    let void = till.who.void(6, 1, 1_000);
    approved(&mut till, &mut link, &void).await;
    belongs(&api, "CARD", &[1, 3, 6]).await;
    belongs(&api, "WX", &[2, 5]).await;

    // An account that is frozen stops its own kind only, and what undoes something never.
    let status = "/v1/accounts/acme/WX/status";
    assert_eq!(api.put(status, json!({"status": "frozen"})).await, 200);
    assert_eq!(till.code(&by_code(&till, 7, WECHAT)).await, "58");
    let refused = cardless(till.who.refund(8, 2, 300));
    assert_eq!(till.code(&refused).await, "58");
    let card = till.who.sale(9, 1_000);
    approved(&mut till, &mut link, &card).await;
    assert_eq!(api.put(status, json!({"status": "verified"})).await, 200);
    let wechat = by_code(&till, 10, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    assert_eq!(api.put(status, json!({"status": "frozen"})).await, 200);
    let undo = by_code(&till, 10, WECHAT).retyped("0400").set(39, "98");
    assert_eq!(till.code(&undo).await, "00");
    let reversal = link.next().await;
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;

    let today = local_today(&world);
    for (account, net) in [("CARD", 2_000), ("WX", 0)] {
        let path = format!("/v1/settlements/{today}?account={account}");
        let file = api.json(&path).await;
        let minor = &file["totals"][0]["net"]["amount"]["minor"];
        assert_eq!(*minor, net, "{account}: {file}");
    }
    let shown = api.json("/v1/terminals/acme/T0000009").await;
    assert_eq!(shown["account_id"], "CARD");
    let other = json!([{"account_id": "WX", "kind": "wechat", "status": "frozen"}]);
    assert_eq!(shown["other_accounts"], other);
    world.stop(till).await;
}

#[tokio::test]
async fn what_follows_a_sale_stays_with_its_account_when_the_binding_has_another() {
    let (world, mut link, api, mut till) = shop(Setup::new(), BOTH).await;
    let wechat = by_code(&till, 1, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    let card = till.who.sale(2, 1_000);
    approved(&mut till, &mut link, &card).await;
    change_account(&world, "WX-2", AccountKind::WeChat);
    change_account(&world, "LI", AccountKind::Alipay);
    let shown = api.json("/v1/terminals/acme/T0000009").await;
    let ids: Vec<_> = shown["other_accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|other| other["account_id"].clone())
        .collect();
    assert_eq!(
        (&shown["account_id"], ids),
        (&json!("CARD"), vec![json!("WX-2"), json!("LI")])
    );

    let wechat = by_code(&till, 3, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    let alipay = by_code(&till, 4, ALIPAY);
    approved(&mut till, &mut link, &alipay).await;
    let void = cardless(till.who.void(5, 1, 1_000));
    approved(&mut till, &mut link, &void).await;
    let refund = cardless(till.who.refund(6, 4, 100));
    approved(&mut till, &mut link, &refund).await;
    for (account, expect) in [
        ("WX", &[1, 5][..]),
        ("WX-2", &[3]),
        ("LI", &[4, 6]),
        ("CARD", &[2]),
    ] {
        belongs(&api, account, expect).await;
    }
    world.stop(till).await;
}

#[tokio::test]
async fn a_limit_of_an_account_is_of_what_is_paid_into_it() {
    let (world, mut link, api, mut till) = shop(Setup::new(), BOTH).await;
    let path = "/v1/limits/account/acme/WX";
    let limit = json!({ "day_count": 1, "note": "trial month" });
    let set = api.put_if(path, "*", limit.to_string()).await;
    assert_eq!(set.status, 200, "{set:?}");
    let card = till.who.sale(1, 1_000);
    approved(&mut till, &mut link, &card).await;
    let wechat = by_code(&till, 2, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    assert_eq!(till.code(&by_code(&till, 3, WECHAT)).await, "65");
    let card = till.who.sale(4, 1_000);
    approved(&mut till, &mut link, &card).await;
    let void = cardless(till.who.void(5, 2, 1_000));
    approved(&mut till, &mut link, &void).await;
    let wechat = by_code(&till, 6, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    let shown = api.json("/v1/terminals/acme/T0000009").await;
    let limits = shown["limits"].as_array().unwrap();
    assert_eq!(limits.len(), 1, "{shown}");
    assert_eq!(
        (&limits[0]["name"], &limits[0]["day"]["count_used"]),
        (&json!("WX"), &json!(1))
    );
    world.stop(till).await;
}

/// Its shop may have had it for years: it goes on as it did.
#[tokio::test]
async fn where_the_dialect_cannot_say_a_single_account_gets_it_whatever_its_kind() {
    const ONE: &str = "terminal_id,merchant_id,account_id,account_kind\n\
        T0000009,104110041200001,WX,wechat\n";
    let (world, mut link, api, mut till) = shop(Setup::speaking(ISO), ONE).await;
    let sale = till.who.sale(1, 1_000);
    approved(&mut till, &mut link, &sale).await;
    belongs(&api, "WX", &[1]).await;
    world.stop(till).await;
    // Where it can, a card is not the wallet's.
    let (world, mut link, api, mut till) = shop(Setup::new(), ONE).await;
    assert_eq!(till.code(&till.who.sale(1, 1_000)).await, "58");
    let wechat = by_code(&till, 2, WECHAT);
    approved(&mut till, &mut link, &wechat).await;
    belongs(&api, "WX", &[2]).await;
    world.stop(till).await;
}

#[tokio::test]
async fn all_accounts_of_a_terminal_are_exported_and_imported() {
    let lines = "terminal_id,merchant_id,account_id,account_kind,other_accounts\n\
        T0000009,104110041200001,LI,alipay,wechat=WX:frozen+bank-card=CARD\n";
    let (first, _link, api, _till) = shop(Setup::new(), lines).await;
    let (_, exported) = api.get("/v1/terminals").await;
    let line = exported.lines().find(|line| line.contains("T0000009"));
    let line = line.unwrap();
    // The first is the first of the kinds.
    assert!(
        line.contains(",CARD,Shop,5411,bank-card,verified,"),
        "{line}"
    );
    assert!(line.ends_with(",wechat=WX:frozen+alipay=LI,"), "{line}");
    let setup = Setup {
        terminals: 0,
        ..Setup::new()
    };
    let second = setup.start().await;
    let other = Api::serve(&second);
    let told = other.import(&exported).await;
    assert_eq!(told["report"]["bound"], 5, "{told}");
    assert_eq!(other.get("/v1/terminals").await.1, exported);
    let told = other.import(&exported).await;
    assert_eq!(told["report"]["unchanged"], 5, "{told}");
    // A line that names fewer says nothing against the others, one that names more gives nobody an account.
    let fewer = "terminal_id,merchant_id,account_id\nT0000009,104110041200001,LI\n";
    let told = other.import(fewer).await;
    assert_eq!(told["report"]["unchanged"], 1, "{told}");
    let more = "terminal_id,merchant_id,account_id,other_accounts\n\
        T0000001,104110041200001,account-1,wechat=WX\n";
    let told = other.import(more).await;
    let reason = told["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("has no wechat account"), "{told}");
    let twice = "terminal_id,merchant_id,account_id,other_accounts\n\
        T0000010,104110041200001,account-1,bank-card=CARD\n";
    let told = other.import(twice).await;
    let reason = told["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("one account of a kind"), "{told}");
    first.stop(()).await;
    second.stop(()).await;
}

/// Two persons give a terminal another account of this kind.
fn change_account(world: &World, reference: &str, kind: AccountKind) {
    let acquirer = world.running.registry.lock().acquirer("acme").unwrap();
    let account = AccountName {
        acquirer,
        reference: reference.into(),
    };
    let key = TerminalKey {
        acquirer,
        terminal: TerminalId::parse("T0000009").unwrap(),
    };
    let add = Command::AddAccount {
        account,
        merchant: MerchantId::parse(SHOP).unwrap(),
        kind,
    };
    let request = Command::RequestAccountChange {
        key,
        account: reference.into(),
        note: "one more".into(),
    };
    let approve = Command::ApproveAccountChange {
        key,
        network: "N-1".into(),
    };
    let verified = AccountStatus::Verified;
    let done = |who: &str, command: &Command| {
        let actor = Actor::program(who, world.clock.wall());
        world.running.registry.change(|registry| {
            let done = registry.carry_out(command, None, &actor)?;
            Ok::<_, RegistryError>((done.number, done.changes))
        })
    };
    done("maker", &add).unwrap();
    let actor = Actor::program("admin", world.clock.wall());
    let verify = world.running.registry.change(|registry| {
        let changes = registry.set_account(acquirer, reference, verified, None, &actor)?;
        Ok::<_, RegistryError>(((), changes))
    });
    verify.unwrap();
    done("maker", &request).unwrap();
    let seen = Command::FileEvidence {
        about: "terminal acme/T0000009".into(),
        allows: Allows::ChangeAccount,
        note: "the owner was here".into(),
        sha256: String::new(),
    };
    let word = done("maker", &seen).unwrap();
    let confirm = Command::ConfirmAccountChange {
        key,
        word: MerchantsWord::Evidence(word),
    };
    done("checker", &confirm).unwrap();
    done("checker", &approve).unwrap();
}
