//! Sales and changes at the same time: nothing is journalled under a state that had ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use posgate::base::{AcquirerId, BindingId, TerminalId, Timestamp};
use posgate::binding::{AccountStatus, BindingState, ReasonSet, RependReason, TerminalKey};
use posgate::sim::host::{Host, HostSettings};
use posgate::store::registry::Actor;
use posgate::store::{Record, RegistryError};
use tokio::task::JoinSet;

use super::fixture::{Setup, UNIONPAY, World, eventually, journal_of};

/// Terminals that sell as fast as they are answered.
const TERMINALS: u32 = 4;

/// A change that took the right to trade away: from when its call returned, nothing may be journalled under
/// what was before.
#[derive(Debug)]
struct Ended {
    terminal: u32,
    /// Last version that could trade.
    version: u32,
    /// Sales that had been asked for, by terminal, when the call returned.
    asked: u64,
}

fn key(number: u32) -> TerminalKey {
    let terminal = TerminalId::parse(&format!("T{number:07}")).unwrap();
    TerminalKey {
        acquirer: AcquirerId(1),
        terminal,
    }
}

fn actor() -> Actor {
    Actor::program("test", Timestamp(1))
}

/// Sets a state; the version that it led to.
fn set(world: &World, number: u32, state: BindingState, reasons: ReasonSet) -> u32 {
    let changed = world.running.registry.change(|registry| {
        let changes = registry.set_state(key(number), state, reasons, None, &actor())?;
        let version = changes.bindings[0].1.version;
        Ok::<_, RegistryError>((version, changes))
    });
    changed.unwrap()
}

/// bindings test 18: a sale and a state change race 10,000 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t18_no_sale_is_journalled_after_the_change_that_ended_its_state() {
    let dialect = posgate::iso8583::Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(posgate::base::SystemClock::new());
    let host = Host::start(HostSettings::new(dialect, clock))
        .await
        .unwrap();
    let setup = Setup {
        hosts: vec![host.addr()],
        terminals: TERMINALS,
        ..Setup::new()
    };
    let world = Arc::new(setup.start().await);
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;

    let stop = Arc::new(AtomicBool::new(false));
    // The STAN of the next sale of each terminal: sales are numbered in the order they are asked for.
    let asked: Arc<Vec<AtomicU64>> = Arc::new((0..=TERMINALS).map(|_| AtomicU64::new(1)).collect());
    let mut tills = JoinSet::new();
    for number in 1..=TERMINALS {
        let (world, stop, asked) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&asked));
        tills.spawn(async move {
            let mut till = world.till(number).await;
            let mut codes: BTreeMap<String, u64> = BTreeMap::new();
            while !stop.load(Ordering::Relaxed) {
                let stan = asked[number as usize].fetch_add(1, Ordering::SeqCst);
                let stan = u32::try_from(stan).unwrap();
                let code = till.code(&till.who.sale(stan, 100)).await;
                *codes.entry(code).or_default() += 1;
            }
            codes
        });
    }
    let begun = world.clock.now();
    let changer = {
        let (world, asked) = (Arc::clone(&world), Arc::clone(&asked));
        tokio::task::spawn_blocking(move || {
            let phone = ReasonSet::EMPTY.with(RependReason::Phone);
            let mut ended = Vec::new();
            for round in 0..10_000_u32 {
                let terminal = round / 2 % TERMINALS + 1;
                if round % 2 == 0 {
                    let version = set(&world, terminal, BindingState::RePending, phone) - 1;
                    let asked = asked[terminal as usize].load(Ordering::SeqCst);
                    ended.push(Ended {
                        terminal,
                        version,
                        asked,
                    });
                } else {
                    set(&world, terminal, BindingState::Active, ReasonSet::EMPTY);
                }
            }
            ended
        })
    };
    let ended = changer.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(of_till) = tills.join_next().await {
        for (code, count) in of_till.unwrap() {
            *codes.entry(code).or_default() += count;
        }
    }
    let took = world.clock.now().since(begun);
    let world = Arc::into_inner(world).unwrap();
    let stored = world.stop(()).await;
    let (ledger, _) = host.shutdown().await;

    let intents: Vec<_> = journal_of(stored.path())
        .into_iter()
        .filter_map(|record| match record {
            Record::Intent(intent) => Some(intent),
            _ => None,
        })
        .collect();
    let approved = codes.get("00").copied().unwrap_or_default();
    let declined = codes.get("58").copied().unwrap_or_default();
    assert_eq!(
        approved + declined,
        codes.values().sum::<u64>(),
        "{codes:?}"
    );
    // Both sides of the race were run into, often.
    assert!(
        approved > 1_000 && declined > 1_000,
        "{codes:?} in {took:?}"
    );
    // None was lost before it, none was let in behind it.
    assert_eq!(intents.len() as u64, approved, "{codes:?}");
    let terminals = ledger.terminals();
    let booked: usize = terminals.iter().map(|t| ledger.rows(*t).len()).sum();
    assert_eq!(booked as u64, approved);
    assert_eq!(ended.len(), 5_000);
    let mut last: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for intent in &intents {
        let number = intent
            .key
            .terminal
            .as_str()
            .trim_start_matches('T')
            .parse()
            .unwrap();
        let stan = last.entry((number, intent.version)).or_default();
        *stan = (*stan).max(intent.stan.get());
    }
    for end in &ended {
        // A sale that was asked for after the change had returned has a STAN of at least `asked`.
        for version in [end.version, end.version + 1] {
            let sold = last.get(&(end.terminal, version)).copied().unwrap_or(0);
            if version == end.version {
                assert!(u64::from(sold) < end.asked, "{end:?}: sale {sold}");
            } else {
                assert_eq!(sold, 0, "{end:?}: sold while it was re-pending");
            }
        }
    }
}

/// bindings test 6: an account that turns invalid reaches every terminal on it within a second,
/// and before the call returns.
#[tokio::test]
async fn t06_an_account_that_turns_invalid_stops_every_terminal_on_it_at_once() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut tills = Vec::new();
    for number in 1..=3 {
        let mut till = world.till(number).await;
        let (_, answer) = till.sell(&mut link, 1, "00").await;
        assert_eq!(answer.code(), "00");
        tills.push(till);
    }
    let turn = |status| {
        let begun = world.clock.now();
        let changed = world.running.registry.change(|registry| {
            let acquirer = AcquirerId(1);
            let changes = registry.set_account(acquirer, "account-1", status, None, &actor())?;
            Ok::<_, RegistryError>(((), changes))
        });
        changed.unwrap();
        world.clock.now().since(begun)
    };
    let took = turn(AccountStatus::Invalid);
    assert!(took.as_millis() < 1_000, "{took:?}");
    for till in &mut tills {
        assert_eq!(till.code(&till.who.sale(2, 1_000)).await, "58");
        // What was sold before can be undone.
        assert_eq!(till.code(&till.who.reversal(1, 1_000)).await, "00");
        let reversal = link.next().await;
        assert_eq!(reversal.mti, "0400");
        link.send(&reversal.answered("00")).await;
    }
    turn(AccountStatus::Verified);
    for till in &mut tills {
        let (_, answer) = till.sell(&mut link, 3, "00").await;
        assert_eq!(answer.code(), "00");
    }
    let owed = || world.running.switch.owed() == 0;
    eventually("the reversals are acknowledged", owed).await;
    world.stop((tills, link)).await;
}

/// A change that was let in while a request was being judged: the request is judged once more where it is
/// accepted. Here through the front door: a look-up of its original lies between.
#[tokio::test]
async fn a_request_that_waits_for_the_store_is_judged_by_what_is_then() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let (_, answer) = till.sell(&mut link, 1, "00").await;
    assert_eq!(answer.code(), "00");
    let suspended = set(&world, 1, BindingState::Suspended, ReasonSet::EMPTY);
    assert_eq!(suspended, 2);
    // A void passes in SUSPENDED, a refund does not.
    assert_eq!(till.code(&till.who.refund(2, 1, 1_000)).await, "58");
    let void = till.who.void(3, 1, 1_000);
    till.send(&void).await;
    let request = link.next().await;
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    let stored = world.stop((till, link)).await;
    let versions: Vec<_> = journal_of(stored.path())
        .into_iter()
        .filter_map(|record| match record {
            Record::Intent(intent) => Some((intent.binding, intent.version)),
            _ => None,
        })
        .collect();
    assert_eq!(versions, [(BindingId(1), 1), (BindingId(1), 2)]);
}
