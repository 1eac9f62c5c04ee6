//! The end of a gateway: what was taken is finished, then everybody is told.

use std::time::Duration;

use tokio::net::TcpStream;

use super::abuse::trading;
use super::fixture::Setup;
use super::wire::{PATIENCE, SILENCE};

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_no_more() {
    for tls in [false, true] {
        let setup = Setup {
            tls,
            ..Setup::new()
        };
        let (world, mut link) = setup.start_with_link().await;
        let mut trader = world.till(1).await;
        let mut idle = world.till(2).await;
        assert_eq!(idle.code(&idle.who.echo(1)).await, "00");
        trader.send(&trader.who.sale(7, 100)).await;
        let request = link.next().await;
        let address = world.address;
        let draining = world.running.drain(PATIENCE);
        let peers = async {
            // The idle session is closed first; the one that waits stays.
            idle.wire.ends_cleanly().await;
            drop(idle);
            let refused = TcpStream::connect(address).await;
            assert!(refused.is_err(), "a new connection was taken");
            link.send(&request.answered("00")).await;
            let answer = trader.next().await;
            assert_eq!((answer.code(), answer.text(11)), ("00", "000007"));
            trader.wire.ends_cleanly().await;
            drop(trader);
        };
        let (finished, ()) = tokio::join!(draining, peers);
        assert!(finished);
    }
}

#[tokio::test]
async fn a_drain_that_cannot_finish_ends_in_time_and_says_so() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    link.next().await;
    let drained = world.running.drain(Duration::from_millis(300));
    let finished = tokio::time::timeout(PATIENCE, drained).await.unwrap();
    assert!(!finished);
}

#[tokio::test]
async fn a_gateway_whose_store_failed_ends_at_once() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    link.next().await;
    let failed = std::sync::Arc::clone(&world.running.failed);
    failed.store(true, std::sync::atomic::Ordering::Release);
    let drained = world.running.drain(PATIENCE * 10);
    let finished = tokio::time::timeout(PATIENCE, drained).await.unwrap();
    assert!(!finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_a_fleet_loses_no_request_that_was_taken() {
    let setup = Setup {
        tls: true,
        ..Setup::new()
    };
    let mut trading = trading(setup).await;
    let (running, host) = (trading.world.running, trading.host);
    assert!(running.drain(PATIENCE).await);
    // Terminals that want to go on find nobody; what they sent was answered.
    trading.fleet.stop_and_settle(Duration::ZERO).await;
    let seen = trading.fleet.snapshot();
    assert!(seen.approved > 0 && seen.declined_total() == 0, "{seen:?}");
    let (ledger, _) = host.shutdown().await;
    let (terminals, booked) = (trading.fleet.ledger().totals(), ledger.totals());
    assert_eq!(terminals.approved, booked.approved, "{seen:?}");
    assert_eq!(terminals.net_minor, booked.net_minor);
    assert_eq!(seen.in_doubt, 0);
}

#[tokio::test]
async fn a_drain_waits_for_what_is_owed_as_long_as_one_sending_takes() {
    for acknowledged in [true, false] {
        let setup = Setup {
            timeout: SILENCE,
            ..Setup::new()
        };
        let (world, mut link) = setup.start_with_link().await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 1, "00").await;
        assert_eq!(till.code(&till.who.reversal(1, 1_000)).await, "00");
        let owed = link.next().await;
        assert_eq!(world.running.switch.owed(), 1);
        let (clock, began) = (std::sync::Arc::clone(&world.clock), world.clock.now());
        drop(till);
        let drained = world.running.drain(PATIENCE);
        let host = async {
            if acknowledged {
                link.send(&owed.answered("00")).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE / 2, async { tokio::join!(drained, host) });
        let (finished, ()) = ended.await.expect("it waits for what nobody answers");
        assert!(finished, "what is owed is durable");
        let waited = clock.now().since(began) >= SILENCE;
        assert_eq!(waited, !acknowledged);
    }
}
