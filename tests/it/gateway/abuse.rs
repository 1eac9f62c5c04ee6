//! Hostile and broken peers: each costs its own session, while others trade on.

use std::time::Duration;

use posgate::base::SystemClock;
use posgate::iso8583::Dialect;
use posgate::sim::fleet::RunningFleet;
use posgate::sim::host::{Host, HostSettings, RunningHost};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{Setup, UNIONPAY, World, eventually};
use super::wire::{PATIENCE, SILENCE};

/// A gateway whose fleet trades while the test does something else.
pub(super) struct Trading {
    pub(super) world: World,
    pub(super) fleet: RunningFleet,
    pub(super) host: RunningHost,
}

pub(super) async fn trading(mut setup: Setup) -> Trading {
    let dialect = Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(SystemClock::new());
    let host = Host::start(HostSettings::new(dialect, clock))
        .await
        .unwrap();
    setup.hosts = vec![host.addr()];
    setup.sign_on_required = true;
    let world = setup.start().await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    let fleet = world.fleet(4, 200);
    let trading = Trading { world, fleet, host };
    trading.trade_on(8).await;
    trading
}

impl Trading {
    /// Waits until so many more sales are approved.
    pub(super) async fn trade_on(&self, more: u64) {
        let before = self.fleet.snapshot().approved;
        let traded = || self.fleet.snapshot().approved >= before + more;
        eventually("the fleet trades on", traded).await;
    }

    /// Ends it, and sees that no terminal noticed anything.
    pub(super) async fn end_unharmed(mut self) {
        assert!(self.fleet.stop_and_settle(PATIENCE).await);
        let seen = self.fleet.snapshot();
        assert_eq!(seen.approved, seen.sent, "{seen:?}");
        let harm = (
            seen.declined_total(),
            seen.unanswered,
            seen.mismatched,
            seen.unusable,
            seen.broken,
            seen.connect_failures,
        );
        assert_eq!(harm, (0, 0, 0, 0, 0, 0), "{seen:?}");
        let (terminals, switch) = (self.fleet.ledger(), &self.world.running.switch);
        assert_eq!(switch.owed(), 0);
        self.world.stop(self.fleet).await;
        let (ledger, _) = self.host.shutdown().await;
        assert_eq!(terminals.diff(&ledger), []);
    }
}

/// Sends bytes and waits until the gateway hangs up.
async fn thrown_out(world: &World, bytes: &[u8]) {
    let mut peer = TcpStream::connect(world.address).await.unwrap();
    peer.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut rest)).await;
    // A reset is as good an end as any.
    drop(ended.unwrap_or_else(|_| panic!("still there after {bytes:02x?}")));
}

fn nonsense() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut all: Vec<Vec<u8>> = (0..40)
        .map(|_| std::iter::repeat_with(|| random.u8(..)).take(600).collect())
        .collect();
    all.push(b"GET / HTTP/1.1\r\nHost: bank.example\r\n\r\n".to_vec());
    all.push(b"hello, is anybody there? ".repeat(400));
    all.push([&[0xFF, 0xFF][..], &[0x60; 5_000]].concat());
    // A frame that says it is one, and is none.
    all.push([&[0, 9][..], b"no message"].concat());
    all
}

#[tokio::test]
async fn nonsense_on_the_tls_port_harms_nobody() {
    let setup = Setup {
        tls: true,
        handshake_timeout: SILENCE,
        ..Setup::new()
    };
    let trading = trading(setup).await;
    let world = &trading.world;
    for bytes in nonsense() {
        thrown_out(world, &bytes).await;
    }
    // Half a handshake, and none at all.
    thrown_out(world, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    thrown_out(world, &[]).await;
    trading.trade_on(20).await;
    let timed_out = world.metric("posgate_handshakes_total", &[("result", "timeout")]);
    assert!(timed_out >= 2, "{timed_out}");
    trading.end_unharmed().await;
}

#[tokio::test]
async fn nonsense_on_the_plain_port_harms_nobody() {
    let mut setup = Setup::new();
    setup.session.frame_timeout = SILENCE;
    let trading = trading(setup).await;
    let world = &trading.world;
    for bytes in nonsense() {
        thrown_out(world, &bytes).await;
    }
    // Half a frame, and the longest one announced but not allowed.
    let mut half = world.till(1).await.who.echo(1).frame(&world.dialect);
    half.truncate(20);
    thrown_out(world, &half).await;
    thrown_out(world, &[0xFF, 0xFF]).await;
    trading.trade_on(20).await;
    trading.end_unharmed().await;
}

/// The time for a frame is one for the whole frame: bytes that trickle do not stretch it.
#[tokio::test]
async fn a_frame_that_trickles_in_is_cut_off() {
    let mut setup = Setup::new();
    setup.session.frame_timeout = Duration::from_millis(400);
    let world = setup.start().await;
    let mut till = world.till(1).await;
    let frame = till.who.sale(1, 100).frame(&world.dialect);
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let trickle = async {
        for byte in &frame {
            pace.tick().await;
            if till.wire.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    trickle.await;
    assert!(till.wire.next_or_end().await.is_none());
    let cut_off = [("reason", "frame-timeout")];
    eventually("it is counted", || {
        world.metric("posgate_sessions_closed_total", &cut_off) == 1
    })
    .await;
    world.stop(till).await;
}

async fn silent(world: &World, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    silent
}

#[tokio::test]
async fn silent_connections_below_the_limit_of_handshakes_harm_nobody() {
    let setup = Setup {
        tls: true,
        handshakes_max: 400,
        ..Setup::new()
    };
    let trading = trading(setup).await;
    let silent = silent(&trading.world, 300).await;
    // A newcomer still gets in.
    let mut till = trading.world.till(2).await;
    assert_eq!(till.code(&till.who.echo(1)).await, "00");
    trading.trade_on(20).await;
    drop((silent, till));
    trading.end_unharmed().await;
}

#[tokio::test]
async fn silent_connections_beyond_the_limit_are_refused_and_give_way_in_time() {
    let setup = Setup {
        tls: true,
        handshakes_max: 100,
        handshake_timeout: Duration::from_secs(1),
        ..Setup::new()
    };
    let trading = trading(setup).await;
    let world = &trading.world;
    let silent = silent(world, 300).await;
    let count = |result| world.metric("posgate_handshakes_total", &[("result", result)]);
    eventually("the rest is refused", || count("refused") >= 200).await;
    // Sessions that are there do not notice.
    trading.trade_on(20).await;
    eventually("the others give way", || count("timeout") >= 100).await;
    let mut till = world.till(2).await;
    assert_eq!(till.code(&till.who.echo(1)).await, "00");
    drop((silent, till));
    trading.end_unharmed().await;
}

/// A peer that never reads its answers loses its session, not the gateway its memory.
#[tokio::test]
async fn a_peer_that_does_not_read_is_closed() {
    let mut setup = Setup::new();
    setup.session.write_timeout = Duration::from_millis(300);
    let world = setup.start().await;
    let mut till = world.till(1).await;
    let echoes: Vec<u8> = (1..=200)
        .flat_map(|stan| till.who.echo(stan).frame(&world.dialect))
        .collect();
    let flood = async { while till.wire.stream.write_all(&echoes).await.is_ok() {} };
    let closed = tokio::time::timeout(PATIENCE, flood).await;
    assert!(closed.is_ok(), "it may flood for ever");
    eventually("the session is gone", || world.running.sessions.is_empty()).await;
    world.stop(till).await;
}
