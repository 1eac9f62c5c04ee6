//! Every shipped dialect that is served: terminals, the gateway and a host that speak it agree about the money.

use std::sync::Arc;
use std::time::Duration;

use posgate::base::{MerchantId, SystemClock, TerminalId};
use posgate::iso8583::{Dialect, Mti};
use posgate::sim::chance::Chance;
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role};
use posgate::sim::host::{Host, HostSettings};
use posgate::sim::load::{LoadSettings, Pace};
use posgate::sim::message::Identity;
use posgate::sim::rules::{Faults, Rules};
use posgate::switch::StanPolicy;

use super::fixture::{PAN, SHOP, Setup, World, eventually};
use super::wire::{Draft, PATIENCE, SILENCE, Seen, Wire};

const TERMINALS: u32 = 8;

fn identity(number: u32) -> Identity {
    Identity {
        terminal: TerminalId::parse(&format!("T{number:07}")).unwrap(),
        merchant: MerchantId::parse(SHOP).unwrap(),
    }
}

/// Lets a fleet trade through a gateway with a host that loses answers, until some were reversed, and then loads
/// it. Both books agree about every terminal.
async fn books_agree(name: &'static str, stan: StanPolicy, mix: Mix) {
    let dialect = Dialect::shipped(name).unwrap();
    assert_eq!(
        dialect.matched_without_terminal().is_some(),
        stan == StanPolicy::Own && name.ends_with("-style"),
        "{name}"
    );
    let faults = Faults {
        drop: Chance::percent(3),
        foreign: Chance::percent(5),
        ..Faults::NONE
    };
    let host = Host::start(HostSettings {
        rules: Rules {
            faults,
            rules: Vec::new(),
        },
        ..HostSettings::new(Arc::clone(&dialect), Arc::new(SystemClock::new()))
    });
    let host = host.await.unwrap();
    let setup = Setup {
        hosts: vec![host.addr()],
        stan,
        sign_on_required: true,
        // Longer than a busy machine stalls: what comes after the faults is all approved.
        timeout: Duration::from_secs(1),
        terminals: TERMINALS + 2,
        ..Setup::speaking(name)
    };
    let world = setup.start().await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    let member = |number: u32| Member {
        identity: identity(number),
        role: Role("trading"),
        declined_with: None,
    };
    let mut fleet = Fleet::start(FleetSettings {
        per_second: 300,
        mix,
        answer_timeout: Duration::from_secs(2),
        ..FleetSettings::new(
            world.target(),
            Arc::clone(&dialect),
            (1..=TERMINALS).map(member).collect(),
            Arc::clone(&world.clock),
        )
    });
    // Of so many answers one at least is foreign, but once in thirty thousand runs.
    let enough = || host.counters().reversed >= 3 && fleet.snapshot().approved > 200;
    eventually("some are reversed", enough).await;
    host.heal();
    assert!(fleet.stop_and_settle(PATIENCE).await, "{name}");
    let switch = &world.running.switch;
    let settled = || switch.owed() + switch.in_flight() == 0;
    eventually("nothing is owed", settled).await;
    let (seen, terminals) = (fleet.snapshot(), fleet.ledger());
    let differences = match stan {
        StanPolicy::Pass => terminals.diff(&host.ledger()),
        StanPolicy::Own => terminals.diff_totals(&host.ledger()),
    };
    assert_eq!(differences, [], "{name}");
    assert_eq!((seen.mismatched, seen.unusable), (0, 0), "{name}");
    assert!(
        world.unmatched("unmatched") > 0,
        "{name}: foreign answers are seen"
    );
    drop(fleet);
    let load = LoadSettings {
        target: world.target(),
        dialect: Arc::clone(&dialect),
        terminals: vec![identity(TERMINALS + 1), identity(TERMINALS + 2)],
        sign_on: true,
        timeout: PATIENCE,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(1_500),
        gateway: None,
        host: None,
        seed: 7,
        clock: Arc::clone(&world.clock),
    };
    let report = load.run(Pace::Closed).await.unwrap();
    let window = &report.window;
    assert_eq!(window.errors(), 0, "{name}: {window:?}");
    assert!(window.answered > 10, "{name}: {window:?}");
    let approved = dialect.accepted(Mti::FINANCIAL_REQUEST).to_string();
    assert_eq!(window.codes.keys().collect::<Vec<_>>(), [&approved]);
    eventually("nothing is in flight", || switch.in_flight() == 0).await;
    world.stop(()).await;
    let (ledger, counters) = host.shutdown().await;
    let loaded: u64 = [TERMINALS + 1, TERMINALS + 2]
        .map(|number| ledger.totals_of(identity(number).terminal).approved)
        .iter()
        .sum();
    // What was under way when the window ended is the host's alone.
    assert!(
        (window.answered..=window.answered + 2).contains(&loaded),
        "{name}"
    );
    assert_eq!((counters.doubled, counters.conflicts), (0, 0), "{name}");
}

const WITH_VOIDS: Mix = Mix {
    balance: Chance::percent(3),
    void: Chance::percent(10),
    refund: Chance::percent(5),
};

#[tokio::test]
async fn books_agree_in_iso8583_1987() {
    for name in [
        "iso8583-1987-ascii",
        "iso8583-1987-binary",
        "iso8583-1987-hex",
    ] {
        books_agree(name, StanPolicy::Pass, WITH_VOIDS).await;
    }
}

#[tokio::test]
async fn books_agree_in_the_mastercard_style() {
    books_agree("mastercard-style", StanPolicy::Own, Mix::SALES).await;
}

#[tokio::test]
async fn books_agree_in_the_australian_style() {
    books_agree("as2805-style", StanPolicy::Own, Mix::SALES).await;
}

#[tokio::test]
async fn books_agree_in_the_visa_style() {
    books_agree("visa-base-i-style", StanPolicy::Own, Mix::SALES).await;
}

#[tokio::test]
async fn books_agree_in_iso8583_1993_and_2003() {
    for (name, stan) in [
        ("iso8583-1993-ascii", StanPolicy::Pass),
        ("iso8583-1993-binary", StanPolicy::Pass),
        ("iso8583-1993-binary", StanPolicy::Own),
        ("iso8583-2003-ascii", StanPolicy::Pass),
        ("iso8583-2003-ascii", StanPolicy::Own),
    ] {
        books_agree(name, stan, WITH_VOIDS).await;
    }
}

/// A sale of 1993 with the terminal's own time.
fn sale_of_1993(stan: &str) -> Draft {
    Draft::new("1200")
        .set(2, PAN)
        .set(3, "000000")
        .set(4, "000000000100")
        .set(11, stan)
        .set(12, "261122181500")
        .set(24, "200")
        .set(32, "100001")
        .set(41, "T0000001")
        .set(42, SHOP)
}

async fn link_of_1993(world: &World) -> Wire {
    let mut link = world.unanswered_link().await;
    let sign_on = link.next().await;
    assert_eq!((&*sign_on.mti, sign_on.text(24)), ("1804", "801"));
    assert_eq!(sign_on.text(12).len(), 12);
    link.send(&sign_on.answered("800")).await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    link
}

#[tokio::test]
async fn what_nobody_answers_in_1993_is_undone_in_its_own_words_also_after_a_restart() {
    let setup = || Setup {
        timeout: SILENCE,
        ..Setup::speaking("iso8583-1993-ascii")
    };
    let world = setup().start().await;
    let mut link = link_of_1993(&world).await;
    let mut till = world.connect().await;
    till.send(&sale_of_1993("000007")).await;
    let request = link.next().await;
    link.send(&request.answered("100")).await;
    assert_eq!(till.next().await.code(), "100");
    till.send(&sale_of_1993("000008")).await;
    link.next().await;
    assert_eq!(till.next().await.code(), "911");
    let check = |seen: &Seen| {
        assert_eq!((seen.text(11), seen.text(24)), ("000008", "400"));
        assert_eq!((seen.text(25), seen.has(39)), ("4021", false));
        assert_eq!(seen.text(56), "120000000826112218150006100001");
    };
    let reversal = link.next().await;
    assert_eq!(reversal.mti, "1420");
    check(&reversal);
    let stored = world.stop((till, link)).await;
    let world = Setup {
        stored: Some(stored),
        ..setup()
    };
    let world = world.start().await;
    let mut link = link_of_1993(&world).await;
    let again = link.next().await;
    check(&again);
    link.send(&again.answered("400")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    // The terminal hears once more what it heard first, from the store.
    let mut till = world.connect().await;
    till.send(&sale_of_1993("000007")).await;
    let told = till.next().await;
    assert_eq!((told.code(), told.text(11)), ("100", "000007"));
    world.stop(till).await;
}

#[test]
fn every_served_dialect_is_tried_here() {
    let own = include_str!("dialects.rs");
    for name in Dialect::shipped_names() {
        let served = Dialect::shipped(name).unwrap().serves();
        let tried = own.contains(&format!("\"{name}\"")) || *name == "unionpay-pos";
        assert_eq!(served, tried, "{name}");
    }
}
