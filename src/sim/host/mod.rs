//! An upstream host: answers any shipped dialect over TCP or TLS, keeps its own books, and misbehaves as told.
//!
//! Each connection is a task that reads large chunks and answers all frames of a chunk with one write.
//! Answers to be given later wait in the connection's own queue, so they overtake one another. The ledger
//! is what the *host* believes: each approval is booked when it is decided, whether or not its answer is
//! ever sent.

mod connection;
mod desk;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::{BatchNumber, Clock};
use crate::iso8583::Dialect;

use super::ledger::{Difference, Ledger, Totals};
use super::rules::Rules;
use super::transport;
use desk::Desk;

/// How to run a host.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, or plain TCP when absent.
    pub tls: Option<Arc<ServerConfig>>,
    /// What it speaks.
    pub dialect: Arc<Dialect>,
    /// What it answers, and how it misbehaves.
    pub rules: Rules,
    /// Batch it gives to terminals that sign on at it directly.
    pub batch: BatchNumber,
    /// Whether it books what it approves. Without books it approves everything, as an echo would.
    pub books: bool,
    /// Where its randomness starts; each connection draws from its own stream.
    pub seed: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl HostSettings {
    /// A well-behaved host on a free port of this machine, in plain TCP.
    #[must_use]
    pub fn new(dialect: Arc<Dialect>, clock: Arc<dyn Clock>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            dialect,
            rules: Rules::default(),
            batch: BatchNumber::FIRST,
            books: true,
            seed: 1,
            clock,
        }
    }
}

/// What a host has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests received, of every kind.
    pub requests: u64,
    /// Answers written, duplicates included.
    pub answers: u64,
    /// Requests approved.
    pub approved: u64,
    /// Requests declined.
    pub declined: u64,
    /// Reversals that undid an original.
    pub reversed: u64,
    /// Reversals of an original that was undone or declined before.
    pub reversed_before: u64,
    /// Reversals of an original never seen.
    pub reversed_unknown: u64,
    /// Requests seen before with the same content: answered again, booked once.
    pub repeats: u64,
    /// Of those, requests that are undone when their fate is unknown and never sent again: a gateway that sends
    /// one twice would double money at a host that does not look. Must be 0 behind a gateway.
    pub doubled: u64,
    /// Requests with other content under a number seen before.
    pub conflicts: u64,
    /// Frames that cannot be decoded, or are no requests.
    pub unusable: u64,
    /// Faults: requests thrown away unprocessed.
    pub lost: u64,
    /// Faults: answers never sent.
    pub dropped: u64,
    /// Faults: answers sent late on purpose.
    pub late: u64,
    /// Faults: connections closed instead of answering.
    pub closed: u64,
    /// Faults: answers made undecodable.
    pub garbled: u64,
    /// Faults: answers under another terminal's id.
    pub foreign: u64,
    /// Faults: answers under another STAN.
    pub misnumbered: u64,
    /// Faults: answers sent twice.
    pub duplicated: u64,
    /// Faults: random bytes instead of an answer.
    pub garbage: u64,
    /// Faults: connections reset behind half an answer.
    pub reset: u64,
    /// Faults: answers sent byte by byte.
    pub dripped: u64,
    /// Faults: connections left hanging.
    pub hung: u64,
}

impl HostCounters {
    /// What went wrong on purpose, by name.
    #[must_use]
    pub const fn faults(&self) -> [(&'static str, u64); 12] {
        [
            ("lost", self.lost),
            ("dropped", self.dropped),
            ("late", self.late),
            ("closed", self.closed),
            ("garbled", self.garbled),
            ("foreign", self.foreign),
            ("misnumbered", self.misnumbered),
            ("duplicated", self.duplicated),
            ("garbage", self.garbage),
            ("reset", self.reset),
            ("dripped", self.dripped),
            ("hung", self.hung),
        ]
    }
}

/// A host's memory, shared by its connections.
#[derive(Debug, Default)]
struct Books {
    ledger: Ledger,
    counters: HostCounters,
    /// Misbehaves no more.
    healed: bool,
}

type SharedBooks = Arc<Mutex<Books>>;

/// A connection that panicked left whole rows behind: each change of the books is one call.
fn lock(books: &SharedBooks) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The simulated host. See [`Host::start`].
#[derive(Debug)]
pub struct Host;

impl Host {
    /// Listens and serves until [`RunningHost::shutdown`], or until the returned value is dropped.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(settings: HostSettings) -> io::Result<RunningHost> {
        let listener = TcpListener::bind(settings.listen).await?;
        let addr = listener.local_addr()?;
        let books = SharedBooks::default();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_all(
            listener,
            Arc::new(settings),
            Arc::clone(&books),
            stop.clone(),
        ));
        Ok(RunningHost {
            addr,
            books,
            stop,
            tasks,
        })
    }
}

/// A host at work. Dropping it ends it at once.
#[derive(Debug)]
pub struct RunningHost {
    addr: SocketAddr,
    books: SharedBooks,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl RunningHost {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A copy of its ledger as it stands.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.books).ledger.clone()
    }

    /// Sums over its ledger.
    #[must_use]
    pub fn totals(&self) -> Totals {
        lock(&self.books).ledger.totals()
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> HostCounters {
        lock(&self.books).counters
    }

    /// Ends its misbehaviour. What rules decline stays declined, and what is late already comes late.
    pub fn heal(&self) {
        lock(&self.books).healed = true;
    }

    /// Where its ledger differs from the terminals', once it has had time to catch up: a gateway tells a
    /// terminal that its reversal is done when the reversal is *owed*, and the host hears of it later.
    /// Returns as soon as they agree, and after `limit` with what is left.
    pub async fn diff_within(&self, terminals: &Ledger, limit: Duration) -> Vec<Difference> {
        let agree = async {
            while !terminals.diff(&self.ledger()).is_empty() {
                tokio::time::sleep(CATCH_UP_PAUSE).await;
            }
        };
        // Reached or not, the ledgers themselves say so.
        tokio::time::timeout(limit, agree).await.unwrap_or_default();
        terminals.diff(&self.ledger())
    }

    /// Closes its connections and ends. Answers still waiting are not sent.
    pub async fn shutdown(mut self) -> (Ledger, HostCounters) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let books = std::mem::take(&mut *lock(&self.books));
        (books.ledger, books.counters)
    }
}

/// Time between two looks at a host that has to catch up.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);

/// Longest that a link's TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

async fn accept_all(
    listener: TcpListener,
    settings: Arc<HostSettings>,
    books: SharedBooks,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::<io::Result<()>>::new();
    loop {
        let tcp = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => tcp,
                // No descriptor left, or a peer that went at once: others may still come.
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let number = {
            let counters = &mut lock(&books).counters;
            counters.connections += 1;
            counters.connections
        };
        let desk = Desk::new(&settings, Arc::clone(&books), number);
        let tls = settings.tls.clone();
        connections.spawn(async move {
            // A connection that breaks ends alone: the peer sees it, and calls again.
            let stream = transport::accept(tcp, tls.as_ref(), HANDSHAKE_TIMEOUT).await?;
            connection::serve(stream, desk).await
        });
    }
    connections.shutdown().await;
}

/// Wait after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
