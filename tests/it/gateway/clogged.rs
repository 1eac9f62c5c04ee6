//! Links that stop passing anything, one after the other, and go on in another order, while a fleet trades: the
//! books agree, and what was on them is answered or undone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use posgate::base::{MerchantId, SystemClock, TerminalId};
use posgate::iso8583::Dialect;
use posgate::sim::chance::Chance;
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role};
use posgate::sim::host::{Host, HostSettings};
use posgate::sim::message::Identity;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fixture::{SHOP, Setup, UNIONPAY, eventually};
use super::wire::PATIENCE;

const TERMINALS: u32 = 8;
const LINKS: usize = 4;
const ROUNDS: u32 = 10;
const TIMEOUT: Duration = Duration::from_millis(400);

/// A way to the host on which bytes can be held, both ways. Connections stay up.
struct Pipe {
    address: SocketAddr,
    held: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Pipe {
    async fn to(host: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (held, watched) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (gateway, _) = listener.accept().await.unwrap();
                let host = TcpStream::connect(host).await.unwrap();
                let (from_gateway, to_gateway) = gateway.into_split();
                let (from_host, to_host) = host.into_split();
                connections.spawn(pass(from_gateway, to_host, watched.clone()));
                connections.spawn(pass(from_host, to_gateway, watched.clone()));
            }
        });
        Self {
            address,
            held,
            _tasks: tasks,
        }
    }
}

/// Passes bytes on until an end is closed. What was read while they are held goes on afterwards.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if held.wait_for(|held| !held).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn links_that_clog_one_by_one_and_clear_in_another_order_lose_nothing() {
    let dialect = Dialect::shipped(UNIONPAY).unwrap();
    let clock = Arc::new(SystemClock::new());
    let host = Host::start(HostSettings::new(Arc::clone(&dialect), clock));
    let host = host.await.unwrap();
    let mut pipes = Vec::new();
    for _ in 0..LINKS {
        pipes.push(Pipe::to(host.addr()).await);
    }
    let world = Setup {
        hosts: pipes.iter().map(|pipe| pipe.address).collect(),
        sign_on_required: true,
        timeout: TIMEOUT,
        answer_timeout: Duration::from_secs(2),
        terminals: TERMINALS,
        ..Setup::new()
    };
    let world = world.start().await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("a link is up", up).await;
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
    let mut random = fastrand::Rng::with_seed(12);
    let mut order: Vec<usize> = (0..LINKS).collect();
    for _ in 0..ROUNDS {
        for held in [true, false] {
            random.shuffle(&mut order);
            for &link in &order {
                pipes[link].held.send_replace(held);
                tokio::time::sleep(Duration::from_millis(random.u64(5..100))).await;
            }
            if held {
                // With nothing left that passes, requests time out.
                tokio::time::sleep(TIMEOUT).await;
            }
        }
        let approved = fleet.snapshot().approved;
        eventually("it trades again", || {
            fleet.snapshot().approved > approved + 10
        })
        .await;
    }
    assert!(fleet.stop_and_settle(PATIENCE).await);
    let switch = &world.running.switch;
    let settled = || switch.owed() + switch.in_flight() == 0;
    eventually("nothing is owed", settled).await;
    let (seen, terminals) = (fleet.snapshot(), fleet.ledger());
    world.stop(fleet).await;
    let (ledger, counters) = host.shutdown().await;
    assert_eq!(terminals.diff(&ledger), []);
    assert_eq!((seen.mismatched, counters.doubled), (0, 0));
    assert!(counters.reversed > 0, "nothing was undone");
}
