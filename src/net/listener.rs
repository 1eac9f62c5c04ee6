//! Accepts terminals. The handshake never runs inside the accept loop: each has its own task, deadline
//! and place among a bounded number.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::Tasks;
use super::session::{Progress, Run, Session, SessionLimits, Terminals, Transport};
use super::socket::Socket;
use crate::base::Clock;
use crate::base::clock::Moment;
use crate::iso8583::Dialect;
use crate::telemetry::metrics::ListenerMetrics;

/// What a listener is told.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Name, for logs and metrics.
    pub name: String,
    /// Position among the listeners; sessions carry it.
    pub index: usize,
    /// Address to listen at.
    pub address: SocketAddr,
    /// TLS, or plain.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the terminals speak.
    pub dialect: Arc<Dialect>,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Unfinished handshakes, all addresses together; more are refused.
    pub handshakes_max: usize,
    /// Unfinished handshakes of one address; 0 for no limit (fleets share carrier NAT).
    pub handshakes_per_address_max: usize,
    /// New connections a second; more wait in the system's backlog.
    pub connections_per_second: u32,
    /// Open sessions; more are refused.
    pub sessions_max: usize,
    /// Bounds of each session.
    pub session: SessionLimits,
}

/// All open sessions of a process, so that a drain reaches them.
#[derive(Debug, Default)]
pub struct Sessions {
    open: DashMap<u64, (Moment, Arc<Session>)>,
    next: AtomicU64,
}

impl Sessions {
    /// None open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of open sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Asks all sessions to end once nothing is pending.
    pub fn drain(&self) {
        for entry in &self.open {
            entry.value().1.close_when_settled();
        }
    }

    /// Asks the oldest sessions without a pending request to end; returns how many.
    pub fn close_oldest_idle(&self, count: usize) -> usize {
        let mut idle: Vec<_> = self
            .open
            .iter()
            .filter(|entry| entry.value().1.pending() == 0)
            .map(|entry| (entry.value().0, *entry.key()))
            .collect();
        idle.sort_unstable();
        for (_, id) in idle.iter().take(count) {
            if let Some(entry) = self.open.get(id) {
                entry.1.close_when_settled();
            }
        }
        idle.len().min(count)
    }
}

/// A bound listener, ready to run.
#[derive(Debug)]
pub struct Listener<T> {
    settings: Arc<ListenerSettings>,
    socket: TcpListener,
    terminals: Arc<T>,
    sessions: Arc<Sessions>,
    metrics: Arc<ListenerMetrics>,
    clock: Arc<dyn Clock>,
    handshakes: Arc<Semaphore>,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    full: Arc<std::sync::atomic::AtomicBool>,
}

/// Connections the system holds for us before they are accepted.
const BACKLOG: u32 = 4_096;

impl<T: Terminals> Listener<T> {
    /// Binds the address. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        settings: ListenerSettings,
        terminals: Arc<T>,
        sessions: Arc<Sessions>,
        metrics: Arc<ListenerMetrics>,
        clock: Arc<dyn Clock>,
        full: Arc<std::sync::atomic::AtomicBool>,
    ) -> std::io::Result<Self> {
        let socket = if settings.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(settings.address)?;
        let socket = socket.listen(BACKLOG)?;
        let handshakes = Arc::new(Semaphore::new(settings.handshakes_max));
        Ok(Self {
            settings: Arc::new(settings),
            socket,
            terminals,
            sessions,
            metrics,
            clock,
            handshakes,
            per_address: Arc::default(),
            full,
        })
    }

    /// The address it listens at, with the port the system chose.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until the drain begins.
    pub async fn run(self, tasks: Tasks) {
        let mut pace = Pace::new(self.settings.connections_per_second, self.clock.now());
        loop {
            let accepted = tokio::select! {
                biased;
                () = tasks.draining() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => self.admit(tcp, peer, &tasks),
                Err(problem) => {
                    // Out of descriptors, or a connection that was reset before we took it. Waiting a
                    // little keeps the first from spinning.
                    tracing::warn!(listener = %self.settings.name, %problem, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            let wait = pace.wait(self.clock.now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        tracing::info!(listener = %self.settings.name, "listener closed");
    }

    fn admit(&self, tcp: TcpStream, peer: SocketAddr, tasks: &Tasks) {
        let refused = if self.sessions.len() >= self.settings.sessions_max {
            Some("sessions-full")
        } else if self.full.load(Ordering::Relaxed) {
            Some("memory-full")
        } else {
            None
        };
        if let Some(reason) = refused {
            self.metrics.handshake("refused");
            self.metrics.closed(reason);
            return;
        }
        let Some(place) = self.place(peer.ip()) else {
            self.metrics.handshake("refused");
            return;
        };
        // Answers are single small writes: waiting to fill a segment would only delay them.
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let entry = Entry {
            settings: Arc::clone(&self.settings),
            terminals: Arc::clone(&self.terminals),
            sessions: Arc::clone(&self.sessions),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            tasks: tasks.clone(),
            peer,
        };
        match &self.settings.tls {
            None => entry.open(Transport::Plain(Socket::new(tcp))),
            Some(tls) => {
                let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(Socket::new(tcp));
                let timeout = self.settings.handshake_timeout;
                let stopped = tasks.clone();
                tasks.spawn(async move {
                    let ended = tokio::select! {
                        ended = tokio::time::timeout(timeout, handshake) => ended,
                        () = stopped.stopping() => return,
                    };
                    drop(place);
                    match ended {
                        Err(_elapsed) => {
                            entry.metrics.handshake("timeout");
                            tracing::info!(peer = %entry.peer, "TLS handshake timed out");
                        }
                        Ok(Err(problem)) => {
                            entry.metrics.handshake("failed");
                            tracing::info!(peer = %entry.peer, %problem, "TLS handshake failed");
                        }
                        Ok(Ok(stream)) => {
                            let kind = stream.get_ref().1.handshake_kind();
                            let resumed = matches!(kind, Some(HandshakeKind::Resumed));
                            entry
                                .metrics
                                .handshake(if resumed { "resumed" } else { "full" });
                            // A task of its own: the handshake's memory goes with this one.
                            entry.open(Transport::Tls(stream));
                        }
                    }
                });
            }
        }
    }

    /// A place among the unfinished handshakes, given back when dropped.
    fn place(&self, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        let most = self.settings.handshakes_per_address_max;
        let mut counted = None;
        if most > 0 {
            let mut held = self
                .per_address
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = held.entry(address).or_insert(0);
            if *count >= most {
                return None;
            }
            *count += 1;
            counted = Some((address, Arc::clone(&self.per_address)));
        }
        Some(Place {
            _permit: permit,
            counted,
        })
    }
}

struct Place {
    _permit: tokio::sync::OwnedSemaphorePermit,
    counted: Option<(IpAddr, Arc<Mutex<HashMap<IpAddr, usize>>>)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, held)) = self.counted.take() else {
            return;
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&address);
            }
        }
    }
}

/// What a new session needs of its listener.
struct Entry<T> {
    settings: Arc<ListenerSettings>,
    terminals: Arc<T>,
    sessions: Arc<Sessions>,
    metrics: Arc<ListenerMetrics>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    peer: SocketAddr,
}

impl<T: Terminals> Entry<T> {
    fn open(self, transport: Transport) {
        let Self {
            settings,
            terminals,
            sessions,
            metrics,
            clock,
            tasks,
            peer,
        } = self;
        let id = sessions.next.fetch_add(1, Ordering::Relaxed);
        let limits = settings.session;
        let session = Arc::new(Session::new(id, peer, settings.index, &limits));
        let now = clock.now();
        sessions.open.insert(id, (now, Arc::clone(&session)));
        if tasks.is_draining() {
            session.close_when_settled();
        }
        metrics.sessions.increment(1.0);
        let run = Run {
            transport,
            session,
            terminals,
            dialect: Arc::clone(&settings.dialect),
            limits,
            clock,
            metrics: Arc::clone(&metrics),
            state: Progress::new(now, limits.idle_timeout),
        };
        let stopped = tasks.clone();
        tasks.spawn(finish(run, stopped, sessions, metrics, id));
    }
}

/// Runs a session and takes it off the books.
async fn finish<T: Terminals>(
    run: Run<T>,
    stopped: Tasks,
    sessions: Arc<Sessions>,
    metrics: Arc<ListenerMetrics>,
    id: u64,
) {
    let peer = run.session.peer;
    let reason = stopped.until_stopped(run).await.unwrap_or("stopped");
    sessions.open.remove(&id);
    metrics.sessions.decrement(1.0);
    metrics.closed(reason);
    match reason {
        "peer-closed" | "idle" | "drained" => tracing::debug!(%peer, reason, "session closed"),
        _ => tracing::info!(%peer, reason, "session closed"),
    }
}

/// Spreads connections over time: a bucket of one second's worth.
#[derive(Debug)]
struct Pace {
    per_connection: Duration,
    free_at: Moment,
}

impl Pace {
    fn new(per_second: u32, now: Moment) -> Self {
        let per_connection = Duration::from_secs(1)
            .checked_div(per_second)
            .unwrap_or_default();
        Self {
            per_connection,
            free_at: now,
        }
    }

    /// Counts one connection and says how long to wait before the next.
    fn wait(&mut self, now: Moment) -> Duration {
        let second_ago = Moment(now.0.saturating_sub(1_000_000));
        self.free_at = self.free_at.max(second_ago).after(self.per_connection);
        self.free_at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_passes_and_then_the_rate_holds() {
        let start = Moment(10_000_000);
        let mut pace = Pace::new(100, start);
        pace.free_at = Moment(0);
        let waited: Vec<_> = (0..101).map(|_| pace.wait(start)).collect();
        assert!(waited[..100].iter().all(Duration::is_zero));
        assert_eq!(waited[100], Duration::from_millis(10));
    }

    #[test]
    fn no_limit_never_waits() {
        let mut pace = Pace::new(0, Moment(0));
        assert!((0..1_000).all(|_| pace.wait(Moment(0)).is_zero()));
    }
}
