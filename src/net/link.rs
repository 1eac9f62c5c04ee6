//! One upstream link: connects, signs on, carries frames both ways, tests the line, and comes back after
//! a failure with a growing, jittered wait.
//!
//! ```text
//! DOWN ──connect──▶ CONNECTED ──sign-on answered──▶ UP ──failure, drain──▶ DOWN
//!   ▲                   │ refused, no answer                    │
//!   └───────────────────┴────────── wait ◀──────────────────────┘
//! ```

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::io::poll_read_buf;

use super::Tasks;
use super::group::LinkState;
use crate::base::calendar::Civil;
use crate::base::clock::{Clock, Moment};
use crate::base::{MerchantId, Stan, TerminalId};
use crate::iso8583::{self, Dialect, FieldSet, Index, Message, NetworkMessage};
use crate::telemetry::metrics::GroupMetrics;
use crate::wire::{self, Scan};

/// Bytes read from an upstream with one call.
const READ_BYTES: usize = 64 * 1_024;

/// What a link is told.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Group's name, for logs.
    pub group_name: String,
    /// Position of the group.
    pub group: usize,
    /// Position in the group.
    pub link: usize,
    /// Where to connect, `host:port`.
    pub address: String,
    /// TLS and the name the certificate must carry, or plain.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Dialect of the upstream.
    pub dialect: Arc<Dialect>,
    /// Whether the network wants a sign-on.
    pub sign_on: bool,
    /// DE41 of our own network messages.
    pub terminal: TerminalId,
    /// DE42 of our own network messages.
    pub merchant: MerchantId,
    /// TCP and TLS together.
    pub connect_timeout: Duration,
    /// For sign-on and echo.
    pub answer_timeout: Duration,
    /// Quiet time after which the line is tested; zero for never.
    pub echo_interval: Duration,
    /// First wait before connecting again; doubles up to the next.
    pub reconnect_min: Duration,
    /// Longest wait before connecting again.
    pub reconnect_max: Duration,
    /// Longest frame.
    pub frame_bytes_max: usize,
}

/// Decides what frames from upstreams mean.
pub trait Upstream: Send + Sync + 'static {
    /// One message that is no network management. Called on the link's task; must not block.
    fn on_message(&self, group: usize, link: usize, message: &Message<'_>);
    /// A frame that is no message of the dialect.
    fn on_undecodable(&self, group: usize, link: usize, problem: &iso8583::DecodeError);
    /// The link takes requests.
    fn on_up(&self, group: usize, link: usize);
    /// The link fell; what was sent on it will not be answered on it.
    fn on_down(&self, group: usize, link: usize);
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Keeps a link until the drain.
pub async fn run<U: Upstream>(
    settings: LinkSettings,
    state: Arc<LinkState>,
    upstream: Arc<U>,
    metrics: Arc<GroupMetrics>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
) {
    let mut wait = settings.reconnect_min;
    let mut trace = Stan::FIRST;
    loop {
        let connected = tokio::select! {
            () = tasks.stopping() => return,
            connected = tokio::time::timeout(settings.connect_timeout, connect(&settings)) => {
                connected.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            }
        };
        match connected {
            Err(problem) => {
                metrics.link("connect-failed");
                tracing::warn!(
                    group = %settings.group_name, address = %settings.address, %problem,
                    "connecting to the upstream failed"
                );
            }
            Ok(stream) => {
                let mut conversation = Conversation {
                    settings: &settings,
                    state: &state,
                    upstream: &*upstream,
                    metrics: &metrics,
                    clock: &*clock,
                    stream,
                    read: BytesMut::with_capacity(READ_BYTES),
                    writing: Vec::new(),
                    written: 0,
                    trace,
                    phase: Phase::SigningOn,
                    heard_at: clock.now(),
                    asked_at: None,
                    index: Index::new(),
                };
                let reason = tokio::select! {
                    () = tasks.stopping() => "stopped".into(),
                    reason = conversation.hold() => reason,
                };
                trace = conversation.trace;
                let was_up = state.set_down();
                if was_up {
                    metrics.links_up.decrement(1.0);
                    metrics.link("down");
                    upstream.on_down(settings.group, settings.link);
                    wait = settings.reconnect_min;
                }
                if reason == "stopped" {
                    tracing::info!(group = %settings.group_name, "upstream link closed");
                    return;
                }
                tracing::warn!(
                    group = %settings.group_name, address = %settings.address, %reason,
                    "upstream link is down"
                );
            }
        }
        // Full jitter keeps a fleet of links from coming back in step.
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(2);
        let jittered = Duration::from_micros(micros / 2 + fastrand::u64(0..micros / 2 + 1));
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(jittered) => {}
        }
        wait = wait.saturating_mul(2).min(settings.reconnect_max);
    }
}

async fn connect(settings: &LinkSettings) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(&settings.address).await?;
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    match &settings.tls {
        None => Ok(Box::new(tcp)),
        Some((config, name)) => {
            let tls = TlsConnector::from(Arc::clone(config))
                .connect(name.clone(), tcp)
                .await?;
            Ok(Box::new(tls))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SigningOn,
    Up,
}

/// One connection from its start to its end.
struct Conversation<'c, U> {
    settings: &'c LinkSettings,
    state: &'c LinkState,
    upstream: &'c U,
    metrics: &'c GroupMetrics,
    clock: &'c dyn Clock,
    stream: Box<dyn Stream>,
    /// Bytes read that are no whole frame yet.
    read: BytesMut,
    writing: Vec<u8>,
    written: usize,
    /// Trace number of our own network messages.
    trace: Stan,
    phase: Phase,
    /// When anything was last heard.
    heard_at: Moment,
    /// When the network message that is not answered yet was sent.
    asked_at: Option<Moment>,
    index: Index,
}

impl<U: Upstream> Conversation<'_, U> {
    /// Talks until something breaks; says what.
    async fn hold(&mut self) -> String {
        let network = self.settings.dialect.network();
        match (self.settings.sign_on, &network.sign_on) {
            (true, Some(sign_on)) => self.ask(sign_on),
            _ => self.up(),
        }
        // Deadlines here are in seconds: a coarse tick looks after all of them.
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                broken = poll_fn(|cx| self.poll_io(cx)) => return broken,
                _ = tick.tick() => {
                    if let Some(reason) = self.on_tick() {
                        return reason;
                    }
                }
            }
        }
    }

    fn up(&mut self) {
        self.phase = Phase::Up;
        self.state.set_up();
        self.metrics.links_up.increment(1.0);
        self.metrics.link("up");
        tracing::info!(
            group = %self.settings.group_name, address = %self.settings.address, "upstream link is up"
        );
        self.upstream.on_up(self.settings.group, self.settings.link);
    }

    fn on_tick(&mut self) -> Option<String> {
        let now = self.clock.now();
        if self
            .asked_at
            .is_some_and(|asked| now.since(asked) >= self.settings.answer_timeout)
        {
            return Some(match self.phase {
                Phase::SigningOn => "the sign-on was not answered".into(),
                Phase::Up => "the line test was not answered".into(),
            });
        }
        let interval = self.settings.echo_interval;
        if self.phase == Phase::Up
            && self.asked_at.is_none()
            && !interval.is_zero()
            && now.since(self.heard_at) >= interval
            && let Some(echo) = &self.settings.dialect.network().echo
        {
            self.ask(echo);
        }
        None
    }

    /// Sends a network message of our own.
    fn ask(&mut self, what: &NetworkMessage) {
        let dialect = &self.settings.dialect;
        let roles = dialect.roles();
        let now = Civil::utc(self.clock.wall());
        let stamp = now.stamp();
        let trace = self.trace;
        self.trace = trace.next();
        let mut frame = BytesMut::new();
        let mut writer = dialect.write(&mut frame);
        writer.envelope_default();
        writer.mti(what.mti);
        let mut fixed = what.fixed.iter().peekable();
        for de in 2..=FieldSet::LAST {
            if let Some((_, value)) = fixed.next_if(|(at, _)| *at == de) {
                let numeric = dialect
                    .field(de)
                    .is_some_and(|field| field.kind == iso8583::FieldType::Numeric);
                if numeric {
                    writer.digits(de, value);
                } else {
                    writer.text(de, value);
                }
            } else if what.filled.contains(de) {
                match de {
                    7 => writer.digits(de, &[&now.month_day()[..], &now.time()].concat()),
                    _ if de == roles.stan => writer.number(de, u64::from(trace.get())),
                    _ if de == roles.terminal => writer.text(de, self.settings.terminal.as_bytes()),
                    _ if de == roles.merchant => writer.text(de, self.settings.merchant.as_bytes()),
                    _ => {
                        if let Some(digits) = dialect.local_digits(de, &stamp) {
                            writer.digits(de, digits);
                        }
                    }
                }
            }
        }
        match writer.finish() {
            Ok(()) => {
                self.writing.extend_from_slice(&frame);
                self.asked_at = Some(self.clock.now());
            }
            Err(problem) => tracing::error!(
                group = %self.settings.group_name, %problem,
                "the dialect's network message cannot be written"
            ),
        }
    }

    /// Writes what waits and reads what came, until the connection ends.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        if let Poll::Ready(Err(problem)) = self.poll_write(cx) {
            return Poll::Ready(format!("writing failed: {problem}"));
        }
        loop {
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready("the upstream closed the connection".into()),
                Ok(_) => {
                    if let Err(problem) = self.frames() {
                        return Poll::Ready(problem);
                    }
                    if let Poll::Ready(Err(problem)) = self.poll_write(cx) {
                        return Poll::Ready(format!("writing failed: {problem}"));
                    }
                }
                Err(problem) => return Poll::Ready(format!("reading failed: {problem}")),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.written < self.writing.len() {
                let rest = self.writing.get(self.written..).unwrap_or_default();
                let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += wrote;
                continue;
            }
            if !self.writing.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.writing.clear();
                self.written = 0;
            }
            if self.phase != Phase::Up || self.state.outbox.take(&mut self.writing, cx.waker()) == 0
            {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ_BYTES);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read)
    }

    /// Handles all whole frames. An error means that the stream cannot be read on.
    fn frames(&mut self) -> Result<(), String> {
        self.heard_at = self.clock.now();
        let bytes = std::mem::take(&mut self.read);
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let framing = self.settings.dialect.framing();
            match wire::scan(framing, rest, self.settings.frame_bytes_max) {
                Ok(Scan::Frame { start, end }) => {
                    self.frame(rest.get(start..end).unwrap_or_default())?;
                    at += end;
                }
                Ok(Scan::Need(_)) => break,
                Err(problem) => return Err(format!("the stream cannot be read on: {problem}")),
            }
        }
        self.read = bytes;
        self.read.advance(at);
        Ok(())
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), String> {
        if frame.is_empty() {
            return Ok(());
        }
        let mut index = std::mem::take(&mut self.index);
        let decoded = self.settings.dialect.decode(frame, &mut index);
        let result = match decoded {
            Err(problem) => {
                let (group, link) = (self.settings.group, self.settings.link);
                self.upstream.on_undecodable(group, link, &problem);
                Ok(())
            }
            Ok(message) if message.mti().class_key() & 0x0f == 8 => self.management(&message),
            Ok(message) => {
                let (group, link) = (self.settings.group, self.settings.link);
                self.upstream.on_message(group, link, &message);
                Ok(())
            }
        };
        self.index = index;
        result
    }

    /// A network management message: the answer to ours, or a request of the upstream's.
    fn management(&mut self, message: &Message<'_>) -> Result<(), String> {
        if message.mti().is_request() {
            let mut frame = BytesMut::new();
            let code = message.dialect().accepted(message.mti());
            let made = iso8583::answer(message, None, code, &[], &mut frame);
            if made.is_ok() {
                self.writing.extend_from_slice(&frame);
            }
            return Ok(());
        }
        self.asked_at = None;
        if self.phase == Phase::SigningOn {
            match message.response_code() {
                Some(code) if !self.settings.dialect.accepts(message.mti(), code) => {
                    return Err(format!("the sign-on was refused with {code}"));
                }
                _ => self.up(),
            }
        }
        Ok(())
    }
}
