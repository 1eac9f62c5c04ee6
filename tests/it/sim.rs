//! Simulators against each other: what the fleet believes must be what the host believes, also when answers
//! are lost, doubled or late.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print the seed to run them again with"
)]

use std::sync::Arc;
use std::time::Duration;

use posgate::base::{MerchantId, RequestType, SystemClock};
use posgate::iso8583::{Dialect, ResponseCode};
use posgate::sim::certs::{ClientTls, MadeCerts, Trust, server_config};
use posgate::sim::chance::{Chance, Wait};
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role, RunningFleet, Snapshot};
use posgate::sim::host::{Host, HostCounters, HostSettings, RunningHost};
use posgate::sim::ledger::Ledger;
use posgate::sim::load::{BaselineSettings, HandshakeSettings, LoadSettings, Pace};
use posgate::sim::process::Process;
use posgate::sim::roll::IdPattern;
use posgate::sim::rules::{Faults, Rule, Rules};
use posgate::sim::transport::Target;
use rustls_pki_types::ServerName;

const UNIONPAY: &str = "unionpay-pos";
const ISO: &str = "iso8583-1987-ascii";

/// A host and what speaks to it. What a test sets is what it is about.
struct World {
    dialect: Arc<Dialect>,
    clock: Arc<SystemClock>,
    rules: Rules,
    tls: bool,
    terminals: usize,
    seed: u64,
}

impl World {
    fn new(dialect: &str) -> Self {
        let seed = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or(1);
        println!("SIM_SEED={seed}");
        Self {
            dialect: Dialect::shipped(dialect).unwrap(),
            clock: Arc::new(SystemClock::new()),
            rules: Rules::default(),
            tls: false,
            terminals: 8,
            seed,
        }
    }

    fn with_faults(dialect: &str, faults: Faults) -> Self {
        let rules = Rules {
            faults,
            rules: Vec::new(),
        };
        Self {
            rules,
            ..Self::new(dialect)
        }
    }

    async fn host(&self) -> (RunningHost, Target) {
        let mut settings = HostSettings::new(Arc::clone(&self.dialect), self.clock.clone());
        settings.rules = self.rules.clone();
        settings.seed = self.seed;
        let made = MadeCerts::for_localhost().unwrap();
        if self.tls {
            settings.tls = Some(server_config(&made.cert_pem, &made.key_pem).unwrap());
        }
        let host = Host::start(settings).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientTls::new(&Trust::CaPem(made.ca_pem), name).unwrap();
        let target = Target {
            addr: host.addr(),
            tls: self.tls.then_some(tls),
        };
        (host, target)
    }

    fn members(&self) -> Vec<Member> {
        let pattern: IdPattern = "T{:07}".parse().unwrap();
        let merchant = MerchantId::parse("104110041200001").unwrap();
        let identities = pattern.identities(merchant, 1, self.terminals).unwrap();
        let member = |identity| Member {
            identity,
            role: Role("good"),
            declined_with: None,
        };
        identities.into_iter().map(member).collect()
    }

    fn fleet_settings(&self, target: &Target) -> FleetSettings {
        let mut settings = FleetSettings::new(
            target.clone(),
            Arc::clone(&self.dialect),
            self.members(),
            self.clock.clone(),
        );
        settings.answer_timeout = Duration::from_millis(150);
        settings.per_second = 400;
        settings.seed = self.seed;
        settings
    }

    fn load_settings(&self, target: &Target) -> LoadSettings {
        LoadSettings {
            target: target.clone(),
            dialect: Arc::clone(&self.dialect),
            terminals: self.members().iter().map(|m| m.identity).collect(),
            sign_on: true,
            timeout: Duration::from_secs(5),
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(300),
            gateway: None,
            host: None,
            seed: self.seed,
            clock: self.clock.clone(),
        }
    }

    /// Trades until so many requests were sent, and settles.
    async fn trade(&self, sent: u64, set: impl FnOnce(&mut FleetSettings)) -> Traded {
        let (host, target) = self.host().await;
        let mut settings = self.fleet_settings(&target);
        set(&mut settings);
        let mut fleet = Fleet::start(settings);
        reach(&fleet, sent).await;
        let settled = fleet.stop_and_settle(Duration::from_secs(30)).await;
        let (snapshot, terminals) = (fleet.snapshot(), fleet.ledger());
        let (ledger, counters) = host.shutdown().await;
        Traded {
            settled,
            snapshot,
            terminals,
            host: ledger,
            counters,
        }
    }
}

struct Traded {
    settled: bool,
    snapshot: Snapshot,
    terminals: Ledger,
    host: Ledger,
    counters: HostCounters,
}

impl Traded {
    fn assert_books_agree(&self) {
        let totals = (self.terminals.totals(), self.host.totals());
        assert!(self.settled, "{totals:?} {:?}", self.snapshot);
        assert_eq!(self.terminals.diff(&self.host), [], "{totals:?}");
        assert_eq!(self.terminals.diff_totals(&self.host), []);
        assert_eq!(totals.0.in_doubt, 0);
        assert_eq!(totals.0.net_minor, totals.1.net_minor);
        assert!(totals.0.net_minor > 0);
        assert_eq!(self.snapshot.mismatched, 0);
        assert_eq!(self.snapshot.unusable, 0);
    }
}

/// Waits until the fleet has sent so many requests, for at most half a minute.
async fn reach(fleet: &RunningFleet, sent: u64) {
    let reached = async {
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        while fleet.snapshot().sent < sent {
            poll.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), reached).await;
    waited.unwrap_or_else(|_| panic!("not reached: {:?}", fleet.snapshot()));
}

async fn books_agree_without_faults(dialect: &str, tls: bool) {
    let world = World {
        tls,
        ..World::new(dialect)
    };
    let traded = world
        .trade(400, |settings| {
            settings.answer_timeout = Duration::from_secs(10);
            settings.per_second = 0;
            settings.mix = Mix {
                balance: Chance::percent(10),
                void: Chance::percent(10),
                refund: Chance::percent(10),
            };
        })
        .await;
    traded.assert_books_agree();
    let Traded {
        snapshot, counters, ..
    } = &traded;
    assert_eq!(snapshot.declined_total(), 0, "{snapshot:?}");
    assert_eq!(snapshot.approved, snapshot.sent);
    assert_eq!(snapshot.signed_on, 8);
    assert_eq!((snapshot.duplicates, snapshot.late), (0, 0));
    assert_eq!((counters.unusable, counters.repeats), (0, 0));
    let kinds = |kind| {
        let rows = traded.host.terminals().into_iter();
        rows.flat_map(|t| {
            traded
                .host
                .rows(t)
                .iter()
                .filter(move |r| r.kind == kind)
                .copied()
        })
        .count()
    };
    assert!(kinds(RequestType::Void) > 0 && kinds(RequestType::Refund) > 0);
}

#[tokio::test]
async fn unionpay_books_agree_in_plain() {
    books_agree_without_faults(UNIONPAY, false).await;
}

#[tokio::test]
async fn unionpay_books_agree_over_tls() {
    books_agree_without_faults(UNIONPAY, true).await;
}

#[tokio::test]
async fn iso_books_agree_in_plain() {
    books_agree_without_faults(ISO, false).await;
}

#[tokio::test]
async fn iso_books_agree_over_tls() {
    books_agree_without_faults(ISO, true).await;
}

async fn books_agree_in_spite_of_faults(dialect: &str, tls: bool) {
    let faults = Faults {
        lose: Chance::percent(1),
        drop: Chance::percent(5),
        duplicate: Chance::percent(5),
        late: Chance::percent(5),
        late_by: Duration::from_millis(250),
        close: Chance::percent(2),
        delay: Wait {
            min: Duration::ZERO,
            max: Duration::from_millis(10),
        },
        ..Faults::NONE
    };
    let world = World {
        tls,
        terminals: 32,
        ..World::with_faults(dialect, faults)
    };
    let traded = world
        .trade(600, |settings| {
            settings.mix.refund = Chance::percent(2);
            settings.reversal_tries = 50;
        })
        .await;
    traded.assert_books_agree();
    let Traded {
        snapshot, counters, ..
    } = &traded;
    assert!(counters.dropped > 0 && counters.late > 0 && counters.closed > 0);
    assert!(snapshot.reversals_acknowledged > 0 && snapshot.duplicates > 0);
    assert_eq!(snapshot.reversals_given_up, 0);
    assert!(traded.terminals.totals().reversed > 0);
}

#[tokio::test]
async fn unionpay_books_agree_in_spite_of_faults() {
    books_agree_in_spite_of_faults(UNIONPAY, true).await;
}

#[tokio::test]
async fn iso_books_agree_in_spite_of_faults() {
    books_agree_in_spite_of_faults(ISO, false).await;
}

/// Without its reversals a fleet's books are wrong: the comparison above can fail.
#[tokio::test]
async fn books_differ_when_reversals_are_given_up() {
    let drops = |kind, drop| Rule {
        kind: Some(kind),
        faults: Some(Faults {
            drop,
            ..Faults::NONE
        }),
        ..Rule::default()
    };
    let mut world = World::new(UNIONPAY);
    world.rules.rules = vec![
        drops(RequestType::NewMoney, Chance::percent(20)),
        // Lost before it is processed, unlike the answer to a sale.
        Rule {
            kind: Some(RequestType::Reversal),
            faults: Some(Faults {
                lose: Chance::ALWAYS,
                ..Faults::NONE
            }),
            ..Rule::default()
        },
    ];
    let traded = world
        .trade(60, |settings| {
            settings.answer_timeout = Duration::from_millis(50);
            settings.repeats = Chance::NEVER;
            settings.reversal_tries = 2;
        })
        .await;
    assert!(!traded.settled);
    let given_up = traded.snapshot.reversals_given_up;
    assert!(given_up > 0);
    assert_eq!(traded.snapshot.in_doubt, given_up);
    let rows: usize = traded
        .terminals
        .diff(&traded.host)
        .iter()
        .map(|d| d.rows.len())
        .sum();
    assert_eq!(u64::try_from(rows).unwrap(), given_up);
}

#[tokio::test]
async fn foreign_answers_are_counted_exactly() {
    let faults = Faults {
        foreign: Chance::percent(5),
        ..Faults::NONE
    };
    let world = World::with_faults(UNIONPAY, faults);
    let traded = world
        .trade(200, |settings| {
            settings.answer_timeout = Duration::from_millis(50);
            settings.reversal_tries = 50;
        })
        .await;
    assert!(traded.counters.foreign > 0);
    assert_eq!(traded.snapshot.mismatched, traded.counters.foreign);
    assert_eq!(traded.terminals.diff(&traded.host), []);
}

#[tokio::test]
async fn roles_are_counted_by_code() {
    let mut world = World::new(UNIONPAY);
    world.terminals = 2;
    let members = world.members();
    world.rules.rules.push(Rule {
        terminal: Some(members[1].identity.terminal),
        kind: Some(RequestType::NewMoney),
        code: Some(ResponseCode::new(*b"58")),
        ..Rule::default()
    });
    let suspended = Role("suspended");
    let traded = world
        .trade(50, |settings| {
            settings.mix = Mix::SALES;
            settings.members[1].role = suspended;
            settings.members[1].declined_with = Some(ResponseCode::new(*b"58"));
        })
        .await;
    traded.assert_books_agree();
    let declined = traded.snapshot.declined_of(suspended);
    let codes: Vec<_> = declined.keys().map(ToString::to_string).collect();
    assert_eq!(codes, ["58"]);
    assert_eq!(traded.snapshot.unexpected, 0);
    assert_eq!(traded.snapshot.declined_of(Role("good")).len(), 0);
}

#[tokio::test]
async fn load_reports_what_the_host_answered() {
    for (dialect, pace) in [
        (UNIONPAY, Pace::Closed),
        (ISO, Pace::Open { per_second: 1_000 }),
    ] {
        let world = World {
            tls: true,
            ..World::new(dialect)
        };
        let (host, target) = world.host().await;
        let report = world.load_settings(&target).run(pace).await.unwrap();
        let window = &report.window;
        assert!(window.answered > 20, "{window:?}");
        assert_eq!(window.errors(), 0, "{window:?}");
        assert_eq!(window.codes.keys().collect::<Vec<_>>(), ["00"]);
        assert_eq!(window.latency.len(), window.answered);
        let (ledger, counters) = host.shutdown().await;
        assert!(ledger.totals().approved >= window.answered);
        assert_eq!((counters.conflicts, counters.repeats), (0, 0));
    }
}

#[tokio::test]
async fn load_reports_swapped_answers_exactly() {
    let faults = Faults {
        foreign: Chance::percent(1),
        ..Faults::NONE
    };
    let world = World::with_faults(UNIONPAY, faults);
    let (host, target) = world.host().await;
    let report = world
        .load_settings(&target)
        .run(Pace::Closed)
        .await
        .unwrap();
    // Those still under way when the window ended are the host's alone.
    let foreign = host.counters().foreign;
    let window = report.window;
    assert!(window.mismatched > 0, "{window:?}");
    assert!((window.mismatched..=window.mismatched + 8).contains(&foreign));
    assert_eq!(window.errors(), window.mismatched);
}

#[tokio::test]
async fn second_answers_do_not_shift_later_ones() {
    let faults = Faults {
        duplicate: Chance::percent(10),
        ..Faults::NONE
    };
    let world = World::with_faults(UNIONPAY, faults);
    let (host, target) = world.host().await;
    let report = world
        .load_settings(&target)
        .run(Pace::Closed)
        .await
        .unwrap();
    let window = report.window;
    assert_eq!(window.errors(), 0, "{window:?}");
    assert!(window.stale > 0 && window.stale <= host.counters().duplicated);
}

#[tokio::test]
async fn gateway_is_measured_in_turn_with_a_bare_proxy() {
    let world = World {
        tls: true,
        ..World::new(UNIONPAY)
    };
    let (gateway, target) = world.host().await;
    let (behind, plain) = World::new(UNIONPAY).host().await;
    let settings = LoadSettings {
        gateway: Some(Process::own()),
        ..world.load_settings(&target)
    };
    let with = BaselineSettings {
        program: env!("CARGO_BIN_EXE_posgate").into(),
        host: plain.addr,
        repetitions: 2,
        pin_gateway: None,
        pin_load: None,
    };
    let mut seen = 0;
    let count = |_: &_| seen += 1;
    let report = settings
        .run_baseline(Pace::Closed, &with, count)
        .await
        .unwrap();
    assert_eq!((seen, report.repetitions.len()), (2, 2));
    for repetition in &report.repetitions {
        assert!(repetition.gateway.per_second > 0.0 && repetition.proxy.per_second > 0.0);
        assert_eq!((repetition.gateway.errors, repetition.proxy.errors), (0, 0));
        assert!(repetition.proxy.cpu_per_million.is_some());
    }
    // One connection for each terminal, to the gateway and through the proxy.
    assert_eq!(gateway.counters().connections, 8);
    assert_eq!(behind.counters().connections, 8);
}

#[tokio::test]
async fn handshakes_are_full_or_resumed() {
    let world = World {
        tls: true,
        ..World::new(UNIONPAY)
    };
    let (_host, target) = world.host().await;
    for resume in [false, true] {
        let how = HandshakeSettings {
            resume,
            sale: true,
            concurrency: 4.try_into().unwrap(),
        };
        let settings = world.load_settings(&target);
        let report = settings.run_handshakes(how).await.unwrap();
        assert!(report.connections > 0, "{report:?}");
        assert_eq!(report.failed, 0, "{report:?}");
        // Each worker's first connection has no session to resume.
        let full = report.connections - report.resumed;
        if resume {
            assert!(full <= 4, "{report:?}");
        } else {
            assert_eq!(report.resumed, 0);
        }
    }
}

#[tokio::test]
async fn idle_sessions_stay_alive() {
    let world = World {
        tls: true,
        terminals: 20,
        ..World::new(UNIONPAY)
    };
    let (_host, target) = world.host().await;
    let report = world.load_settings(&target).run_idle().await.unwrap();
    assert_eq!((report.opened, report.alive), (20, 20));
}
