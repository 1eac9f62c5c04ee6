//! Hosts whose bytes cannot be trusted: whatever one does to its connections, the books agree in the end.

use std::sync::Arc;
use std::time::Duration;

use posgate::base::{MerchantId, SystemClock, TerminalId};
use posgate::iso8583::Dialect;
use posgate::sim::chance::{Chance, Wait};
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role};
use posgate::sim::host::{Host, HostSettings, RunningHost};
use posgate::sim::message::Identity;
use posgate::sim::rules::{Faults, Rules};

use super::fixture::{SHOP, Setup, UNIONPAY, eventually};
use super::wire::PATIENCE;

const TERMINALS: u32 = 8;

/// Lets a fleet trade through a gateway with a host that misbehaves so, until it did so five times and everything
/// came to its end.
async fn trade_with(name: &str, faults: Faults) {
    let dialect = Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(SystemClock::new());
    let rules = Rules {
        faults,
        rules: Vec::new(),
    };
    let host = Host::start(HostSettings {
        rules,
        ..HostSettings::new(Arc::clone(&dialect), clock)
    });
    let host: RunningHost = host.await.unwrap();
    let world = Setup {
        hosts: vec![host.addr()],
        sign_on_required: true,
        timeout: Duration::from_millis(400),
        terminals: TERMINALS,
        ..Setup::new()
    };
    let world = world.start().await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    let member = |number: u32| Member {
        identity: Identity {
            terminal: TerminalId::parse(&format!("T{number:07}")).unwrap(),
            merchant: MerchantId::parse(SHOP).unwrap(),
        },
        role: Role("trading"),
        declined_with: None,
    };
    let mut fleet = Fleet::start(FleetSettings {
        per_second: 200,
        mix: Mix {
            balance: Chance::NEVER,
            void: Chance::percent(15),
            refund: Chance::NEVER,
        },
        answer_timeout: Duration::from_secs(2),
        ..FleetSettings::new(
            world.target(),
            Arc::clone(&world.dialect),
            (1..=TERMINALS).map(member).collect(),
            Arc::clone(&world.clock),
        )
    });
    let did = || {
        let counters = host.counters().faults();
        counters
            .into_iter()
            .find(|(fault, _)| *fault == name)
            .unwrap()
            .1
    };
    let enough = || did() >= 5 && fleet.snapshot().approved > 50;
    eventually(name, enough).await;
    host.heal();
    assert!(fleet.stop_and_settle(PATIENCE).await, "{name}");
    let switch = &world.running.switch;
    let settled = || switch.owed() + switch.in_flight() == 0;
    eventually("nothing is owed", settled).await;
    let (seen, terminals) = (fleet.snapshot(), fleet.ledger());
    world.stop(fleet).await;
    let (ledger, counters) = host.shutdown().await;
    assert_eq!(terminals.diff(&ledger), [], "{name}");
    assert_eq!((seen.mismatched, counters.doubled), (0, 0), "{name}");
}

const OFTEN: Chance = Chance::percent(4);

#[tokio::test]
async fn answers_under_wrong_numbers_reach_nobody() {
    let misnumber = Faults {
        misnumber: OFTEN,
        ..Faults::NONE
    };
    trade_with("misnumbered", misnumber).await;
    let foreign = Faults {
        foreign: OFTEN,
        ..Faults::NONE
    };
    trade_with("foreign", foreign).await;
}

#[tokio::test]
async fn random_bytes_and_broken_frames_cost_what_was_on_the_link() {
    let garbage = Faults {
        garbage: OFTEN,
        ..Faults::NONE
    };
    trade_with("garbage", garbage).await;
    let garble = Faults {
        garble: OFTEN,
        ..Faults::NONE
    };
    trade_with("garbled", garble).await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_answer_is_a_lost_link() {
    let reset = Faults {
        reset: OFTEN,
        ..Faults::NONE
    };
    trade_with("reset", reset).await;
}

#[tokio::test]
async fn a_link_that_drips_or_hangs_holds_nobody_beyond_the_deadline() {
    let drip = Faults {
        drip: Chance::percent(1),
        drip_every: Duration::from_millis(10),
        ..Faults::NONE
    };
    trade_with("dripped", drip).await;
    let hang = Faults {
        hang: Chance::percent(1),
        hang_for: Duration::from_millis(1_500),
        ..Faults::NONE
    };
    trade_with("hung", hang).await;
}

#[tokio::test]
async fn answers_in_any_order_twice_or_late_find_who_asked() {
    let disorder = Faults {
        duplicate: OFTEN,
        late: OFTEN,
        late_by: Duration::from_millis(700),
        delay: Wait {
            min: Duration::ZERO,
            max: Duration::from_millis(100),
        },
        ..Faults::NONE
    };
    trade_with("duplicated", disorder).await;
}
