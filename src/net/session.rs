//! One terminal connection: frames in, answers out, on one task that keeps no buffer while it is idle.
//!
//! ```text
//!            frame          answer written
//! OPEN ────────────▶ OPEN ────────────────▶ OPEN
//!   │ drain, nothing pending for a grace     │ drain, last answer
//!   ▼                                        ▼
//! CLOSING: no more requests are read as such; TLS close-notify is out; ends when the peer closes too,
//!          or after a linger
//! ```
//!
//! A draining session gives its close-notify together with the last answer, in one write: a terminal
//! that sees both sends its next request elsewhere.

use std::future::Future;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::outbox::Outbox;
use super::socket::Socket;
use crate::base::clock::{Clock, Moment};
use crate::iso8583::Dialect;
use crate::telemetry::metrics::ListenerMetrics;
use crate::wire::{self, Scan};

/// Bytes read with one call. Frames are a few hundred bytes.
const READ_BYTES: usize = 4_096;

/// How long a draining session without a pending request waits for one that is on its way.
const DRAIN_GRACE: Duration = Duration::from_millis(150);

/// How long a closing session waits for the peer to close too, so that its last answer is not lost to a
/// reset.
const LINGER: Duration = Duration::from_secs(2);

/// How much too late a wait may end: within it, the timer is not armed anew.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// An answer comes, now or later: [`Session::answer`] is called once.
    Pending,
    /// Nothing comes back and the session goes on (keep-alives).
    Ignored,
    /// The peer speaks nothing we know: end the session.
    Close(&'static str),
}

/// Decides what frames from terminals mean.
pub trait Terminals: Send + Sync + 'static {
    /// One frame, without its length prefix. Called on the session's task; must not block.
    fn on_frame(&self, session: &Arc<Session>, frame: &[u8]) -> Handled;
}

/// Bounds of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// First byte of a frame to its last.
    pub frame_timeout: Duration,
    /// No frame at all.
    pub idle_timeout: Duration,
    /// A write that the peer does not take.
    pub write_timeout: Duration,
    /// Longest frame, in bytes without its length prefix.
    pub frame_bytes_max: usize,
    /// Requests of one session that may wait for their answer; reading stops beyond.
    pub pending_max: u32,
    /// Answers that may wait for a peer that does not read, in bytes.
    pub write_bytes_max: usize,
}

/// The part of a session that others hold: where its answers go.
#[derive(Debug)]
pub struct Session {
    /// Number, unique in the process.
    pub id: u64,
    /// Peer.
    pub peer: SocketAddr,
    /// Index of the listener it came in by.
    pub listener: usize,
    outbox: Outbox,
    pending: AtomicU32,
    closing: AtomicBool,
    bad_frames: AtomicU32,
    write_bytes_max: usize,
}

impl Session {
    /// A session about to be run.
    #[must_use]
    pub fn new(id: u64, peer: SocketAddr, listener: usize, limits: &SessionLimits) -> Self {
        Self {
            id,
            peer,
            listener,
            outbox: Outbox::default(),
            pending: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            bad_frames: AtomicU32::new(0),
            write_bytes_max: limits.write_bytes_max,
        }
    }

    /// One without a connection, for the one request that is made here; its answer is waited for with
    /// [`Self::answered`].
    pub(crate) fn unconnected(listener: usize) -> Self {
        Self {
            id: 0,
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            listener,
            outbox: Outbox::default(),
            pending: AtomicU32::new(1),
            closing: AtomicBool::new(false),
            bad_frames: AtomicU32::new(0),
            write_bytes_max: READ_BYTES,
        }
    }

    /// The answer to the one request of a session without a connection, with its length prefix; `None` when there will
    /// be none.
    pub(crate) async fn answered(&self) -> Option<Vec<u8>> {
        std::future::poll_fn(|cx| {
            // Looked at before the box: who answers puts the answer there first.
            let settled = self.pending() == 0;
            let mut frame = Vec::new();
            if self.outbox.take(&mut frame, cx.waker()) > 0 {
                Poll::Ready(Some(frame))
            } else if settled {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Gives the terminal an answer (a whole frame with its length prefix) to a request that was
    /// [`Handled::Pending`]. `false` when the session is gone.
    pub fn answer(&self, frame: &[u8]) -> bool {
        // The owner is woken last: one that still saw the request pending would go to sleep again, at
        // its limit or before its drain, and nobody would wake it. It looks at `pending` before it takes
        // what gathered, so that nothing pending means that every answer is in the box.
        let taken = self.outbox.put(frame, self.write_bytes_max);
        self.settle();
        self.outbox.wake();
        taken
    }

    /// No answer will come for a pending request.
    pub fn give_up(&self) {
        self.settle();
        self.outbox.wake();
    }

    fn settle(&self) {
        // Never below zero: an answer nobody waits for is a mistake of ours, not the peer's to pay for.
        let _before = self
            .pending
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                Some(n.saturating_sub(1))
            });
    }

    /// Counts a frame that breaks its dialect, and says how many that makes.
    pub fn count_bad_frame(&self) -> u32 {
        self.bad_frames.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Requests that wait for their answer.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Acquire)
    }

    /// Exchanges the answers that wait to be written for an empty buffer.
    pub(crate) fn take_output(&self, empty: &mut Vec<u8>) {
        let _frames = self.outbox.take(empty, std::task::Waker::noop());
    }

    /// Takes no more answers: the connection is gone.
    pub(crate) fn hang_up(&self) {
        self.outbox.close();
    }

    /// Whether it was asked to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Asks the session to end once nothing is pending.
    pub fn close_when_settled(&self) {
        self.closing.store(true, Ordering::Release);
        self.outbox.wake();
    }

    /// Whether answers can still be delivered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outbox.is_open()
    }
}

/// A terminal's transport.
#[expect(
    clippy::large_enum_variant,
    reason = "plain sessions are for tests and for TLS ended elsewhere"
)]
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Plain(Socket),
    /// TLS.
    Tls(TlsStream<Socket>),
}

impl Transport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    /// Puts the last bytes and the close-notify behind each other, so that one write carries both.
    /// Returns whether the bytes were taken (TLS); plain streams write them as usual.
    fn queue_last(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(false),
            Self::Tls(tls) => {
                let (_, connection) = tls.get_mut();
                connection.writer().write_all(bytes)?;
                connection.send_close_notify();
                Ok(true)
            }
        }
    }
}

/// Runs a session to its end; yields the reason it ended for.
#[derive(Debug)]
pub(super) struct Run<T> {
    pub(super) transport: Transport,
    pub(super) session: Arc<Session>,
    pub(super) terminals: Arc<T>,
    pub(super) dialect: Arc<Dialect>,
    pub(super) limits: SessionLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<ListenerMetrics>,
    pub(super) state: Progress,
}

/// What a session is in the middle of.
#[derive(Debug)]
pub(super) struct Progress {
    /// The beginning of a frame whose rest has not come yet; without memory when there is none.
    partial: Vec<u8>,
    /// Bytes on their way out, and how many of them are written.
    writing: Vec<u8>,
    written: usize,
    phase: Phase,
    /// When the current wait ends, by its kind.
    last_frame: Moment,
    partial_since: Option<Moment>,
    stalled_since: Option<Moment>,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, on the clock's time line.
    fires_at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// A drain asked us to end; since when nothing has been pending.
    Draining {
        quiet_since: Moment,
    },
    /// Our side is closed; until when we wait for the peer.
    Closing {
        until: Moment,
    },
}

impl Progress {
    pub(super) fn new(now: Moment, first_wait: Duration) -> Self {
        Self {
            partial: Vec::new(),
            writing: Vec::new(),
            written: 0,
            phase: Phase::Open,
            last_frame: now,
            partial_since: None,
            stalled_since: None,
            timer: Box::pin(tokio::time::sleep(first_wait)),
            fires_at: now.after(first_wait),
        }
    }
}

impl<T: Terminals> Future for Run<T> {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        let this = &mut *self;
        match this.advance(cx) {
            Poll::Ready(reason) => Poll::Ready(reason),
            Poll::Pending => this.watch(cx),
        }
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        self.session.outbox.close();
    }
}

impl<T: Terminals> Run<T> {
    /// Writes and reads until neither goes on.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            match self.write_out(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_broken)) => return Poll::Ready("write-failed"),
                Poll::Pending => {
                    self.state
                        .stalled_since
                        .get_or_insert_with(|| self.clock.now());
                    return Poll::Pending;
                }
            }
            self.state.stalled_since = None;
            if let Phase::Closing { .. } = self.state.phase {
                return self.discard(cx);
            }
            if self.session.pending() >= self.limits.pending_max {
                return Poll::Pending;
            }
            match ready!(self.read_some(cx)) {
                Ok(()) => {}
                Err(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Writes what waits, and closes our side when a drain asked for it and nothing is left.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut self.state;
        loop {
            if state.written < state.writing.len() {
                let rest = state.writing.get(state.written..).unwrap_or_default();
                let wrote = ready!(self.transport.poll_write(cx, rest))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                state.written += wrote;
                continue;
            }
            if !state.writing.is_empty() {
                ready!(self.transport.poll_flush(cx))?;
                // An idle session keeps no buffer.
                state.writing = Vec::new();
                state.written = 0;
            }
            if matches!(state.phase, Phase::Closing { .. }) {
                ready!(self.transport.poll_flush(cx))?;
                return Poll::Ready(Ok(()));
            }
            let settled = self.session.pending() == 0;
            let frames = self.session.outbox.take(&mut state.writing, cx.waker());
            if self.session.closing.load(Ordering::Acquire) && settled {
                let now = self.clock.now();
                if frames == 0 {
                    let quiet_since = match state.phase {
                        Phase::Draining { quiet_since } => quiet_since,
                        Phase::Open | Phase::Closing { .. } => now,
                    };
                    state.phase = Phase::Draining { quiet_since };
                    if now.since(quiet_since) < DRAIN_GRACE {
                        return Poll::Ready(Ok(()));
                    }
                }
                state.phase = Phase::Closing {
                    until: now.after(LINGER),
                };
                if self.transport.queue_last(&state.writing)? {
                    state.writing = Vec::new();
                }
                continue;
            }
            if frames == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once and handles the frames that came. The buffer lives for this call only.
    fn read_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut space);
        if let Err(broken) = ready!(self.transport.poll_read(cx, &mut buf)) {
            return Poll::Ready(Err(match broken.kind() {
                // Most terminals hang up without a close-notify.
                io::ErrorKind::UnexpectedEof => "peer-closed",
                io::ErrorKind::InvalidData => "tls-error",
                _ => "read-failed",
            }));
        }
        let chunk = buf.filled();
        if chunk.is_empty() {
            return Poll::Ready(Err("peer-closed"));
        }
        let now = self.clock.now();
        let result = if self.state.partial.is_empty() {
            self.frames(chunk, now)
        } else {
            let mut joined = std::mem::take(&mut self.state.partial);
            joined.extend_from_slice(chunk);
            self.frames(&joined, now)
        };
        Poll::Ready(result)
    }

    /// Handles all whole frames and keeps the rest.
    fn frames(&mut self, bytes: &[u8], now: Moment) -> Result<(), &'static str> {
        let mut rest = bytes;
        loop {
            match wire::scan(self.dialect.framing(), rest, self.limits.frame_bytes_max) {
                Ok(Scan::Frame { start, end }) => {
                    let frame = rest.get(start..end).unwrap_or_default();
                    rest = rest.get(end..).unwrap_or_default();
                    self.state.last_frame = now;
                    self.state.partial_since = None;
                    if frame.is_empty() {
                        continue;
                    }
                    self.session.pending.fetch_add(1, Ordering::AcqRel);
                    match self.terminals.on_frame(&self.session, frame) {
                        Handled::Pending => {}
                        Handled::Ignored => self.session.settle(),
                        Handled::Close(reason) => return Err(reason),
                    }
                }
                Ok(Scan::Need(_)) => break,
                Err(bad) => {
                    self.metrics.rejected(bad.label());
                    return Err("bad-frame");
                }
            }
        }
        if !rest.is_empty() {
            self.state.partial_since.get_or_insert(now);
            self.state.partial = rest.to_vec();
        }
        Ok(())
    }

    /// Waits for the peer to close after us; what it still sends is not read as requests.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if ready!(self.transport.poll_shutdown(cx)).is_err() {
            return Poll::Ready("drained");
        }
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        loop {
            let mut buf = ReadBuf::uninit(&mut space);
            match ready!(self.transport.poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.metrics.rejected("after-drain"),
                Ok(()) | Err(_) => return Poll::Ready("drained"),
            }
        }
    }

    /// Ends the session when a wait took too long, and arms the timer for the next one.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            let now = self.clock.now();
            let (deadline, reason) = self.deadline(now);
            if now >= deadline {
                if reason == "drain-grace" {
                    // The grace is over: close, which writing does.
                    match self.advance(cx) {
                        Poll::Ready(reason) => return Poll::Ready(reason),
                        Poll::Pending => continue,
                    }
                }
                return Poll::Ready(reason);
            }
            let state = &mut self.state;
            // Re-arming costs; a timer that fires too early is armed again, one too late is not left so.
            if state.fires_at > deadline.after(TIMER_SLACK) || state.timer.is_elapsed() {
                let wait = deadline.since(now);
                state.fires_at = deadline;
                state.timer.as_mut().reset(tokio_now() + wait);
            }
            match state.timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            }
        }
    }

    /// The nearest end of a wait, and what it would mean.
    fn deadline(&self, now: Moment) -> (Moment, &'static str) {
        let state = &self.state;
        if let Phase::Closing { until } = state.phase {
            return (until, "drained");
        }
        let mut nearest = (state.last_frame.after(self.limits.idle_timeout), "idle");
        if self.session.pending() > 0 {
            // A terminal that waits for us is not idle; its request has a deadline of its own.
            nearest = (now.after(self.limits.idle_timeout), "idle");
        }
        let others = [
            (
                state.partial_since,
                self.limits.frame_timeout,
                "frame-timeout",
            ),
            (
                state.stalled_since,
                self.limits.write_timeout,
                "write-timeout",
            ),
            (
                match state.phase {
                    Phase::Draining { quiet_since } if self.session.pending() == 0 => {
                        Some(quiet_since)
                    }
                    Phase::Draining { .. } | Phase::Open | Phase::Closing { .. } => None,
                },
                DRAIN_GRACE,
                "drain-grace",
            ),
        ];
        for (since, timeout, reason) in others {
            if let Some(since) = since {
                let at = since.after(timeout);
                if at < nearest.0 {
                    nearest = (at, reason);
                }
            }
        }
        nearest
    }
}

/// Timers live on the runtime's own time line, which tests pause; decisions are made on the clock's.
#[expect(
    clippy::disallowed_methods,
    reason = "arming a tokio timer needs tokio's present"
)]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
