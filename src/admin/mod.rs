//! The admin HTTP API: on a Unix socket from the start, and the monitor's pages over TCP when configured.
//!
//! Everything that changes bindings goes through here while the process runs: a change is durable and in
//! the gate when its call returns. Blocking work (the store) runs on the runtime's blocking threads.
//!
//! The socket is readable by its owner alone; who may connect may do everything. Tokens and roles come
//! with the binding registry's own issue.

mod batches;
pub mod csv;
pub mod evidence;
pub mod exceptions;
mod import;
pub mod inquiry;
mod monitor;
mod problem;
mod questions;
pub mod settlement;
mod terminals;
pub mod transactions;
pub mod when;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::base::Clock;
use crate::net::Tasks;
use crate::switch::{Running, SharedRegistry, Switch};

use questions::Questions;

pub use import::{ImportEvent, run as import_lines};
pub use terminals::write_export;

/// Most of a request's body that is no import.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections to one admin or monitor listener at a time.
const CONNECTIONS_MAX: usize = 256;

/// What the handlers work on.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) switch: Arc<Switch>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) prometheus: Option<Rendered>,
    questions: Questions,
}

/// The exporter's handle, which has no `Debug`.
#[derive(Clone)]
pub(crate) struct Rendered(pub(crate) PrometheusHandle);

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrometheusHandle")
    }
}

impl Admin {
    /// The API of a running switch. Without `prometheus`, `/metrics` says that nothing is exported.
    #[must_use]
    pub fn new(
        running: &Running,
        clock: Arc<dyn Clock>,
        prometheus: Option<PrometheusHandle>,
    ) -> Self {
        Self {
            switch: Arc::clone(&running.switch),
            registry: Arc::clone(&running.registry),
            clock,
            tasks: running.tasks.clone(),
            prometheus: prometheus.map(Rendered),
            questions: Questions::new(running.folder.clone(), running.tasks.clone()),
        }
    }

    /// Everything.
    fn api(&self) -> Router {
        Router::new()
            .route("/v1/terminals", get(terminals::export))
            .route("/v1/terminals/{acquirer}/{terminal}", get(terminals::show))
            .route(
                "/v1/terminals/{acquirer}/{terminal}/state",
                put(terminals::set_state),
            )
            .route(
                "/v1/terminals/{acquirer}/{terminal}/batch",
                get(batches::show),
            )
            .route(
                "/v1/terminals/{acquirer}/{terminal}/batch/close",
                post(batches::close),
            )
            .route(
                "/v1/accounts/{acquirer}/{account}",
                get(terminals::show_account),
            )
            .route(
                "/v1/accounts/{acquirer}/{account}/status",
                put(terminals::set_account),
            )
            .route("/v1/transactions", get(questions::list))
            .route("/v1/transactions/{transaction}", get(questions::show))
            .route(
                "/v1/transactions/{transaction}/evidence",
                get(questions::evidence),
            )
            .route("/v1/settlements/{date}", get(questions::settlement))
            .route("/v1/exceptions", get(exceptions::list))
            .route("/v1/exceptions/{transaction}", get(exceptions::show))
            .route(
                "/v1/exceptions/{transaction}/resend",
                post(exceptions::resend),
            )
            .route(
                "/v1/exceptions/{transaction}/close",
                post(exceptions::close),
            )
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .route(
                "/v1/import",
                post(import::import).layer(DefaultBodyLimit::disable()),
            )
            .with_state(self.clone())
            .merge(self.pages())
    }

    /// What may be seen without any right.
    fn pages(&self) -> Router {
        Router::new()
            .route("/metrics", get(monitor::metrics))
            .route("/healthz", get(monitor::healthz))
            .route("/readyz", get(monitor::readyz))
            .with_state(self.clone())
    }

    /// Serves the API on a Unix socket until everything stops. A socket file that nobody answers on is
    /// left over from a crash and is replaced.
    ///
    /// # Errors
    /// When the socket cannot be bound, or another process answers on it.
    pub fn serve_socket(&self, path: &Path) -> io::Result<()> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let message = format!("another posgate answers on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => return Err(problem),
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let cleanup = SocketFile(path.to_owned());
        let serving = accept_all(Door::Socket(listener), self.api(), self.tasks.clone());
        self.tasks.spawn(async move {
            let _cleanup = cleanup;
            serving.await;
        });
        Ok(())
    }

    /// Serves `/metrics`, `/healthz` and `/readyz` over TCP until everything stops; says where.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve_monitor(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        self.tasks.spawn(accept_all(
            Door::Tcp(listener),
            self.pages(),
            self.tasks.clone(),
        ));
        Ok(bound)
    }
}

/// A text as a part of an address or of a file's name: everything but letters, digits and `-_.` as `%XX`.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Where HTTP connections come in.
enum Door {
    Socket(UnixListener),
    Tcp(TcpListener),
}

/// Serves connections until everything stops, so many at a time.
async fn accept_all(door: Door, router: Router, tasks: Tasks) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let (router, conversation) = (router.clone(), tasks.clone());
        let accepted = tokio::select! {
            () = tasks.stopping() => return,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok(Stream::Socket(stream)) => {
                tasks.spawn(converse(stream, router, conversation, place));
            }
            Ok(Stream::Tcp(stream)) => tasks.spawn(converse(stream, router, conversation, place)),
            Err(problem) => {
                tracing::warn!(%problem, "accepting an HTTP connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection that came in.
enum Stream {
    Socket(UnixStream),
    Tcp(TcpStream),
}

impl Door {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(listener) => listener.accept().await.map(|(s, _)| Stream::Socket(s)),
            Self::Tcp(listener) => listener.accept().await.map(|(s, _)| Stream::Tcp(s)),
        }
    }
}

/// Removes the socket file when the server ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// One HTTP connection. A peer that sends its request slowly is cut off by the header time-out.
async fn converse<S, P>(stream: S, router: Router, tasks: Tasks, place: P)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Send,
{
    let service = TowerToHyperService::new(router);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10));
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = tasks.stopping() => {}
        ended = serving => {
            if let Err(problem) = ended {
                tracing::debug!(%problem, "an HTTP connection ended early");
            }
        }
    }
    drop(place);
}

/// A body whose pieces come through a channel.
#[derive(Debug)]
pub(crate) struct Pieces(pub(crate) tokio::sync::mpsc::Receiver<bytes::Bytes>);

impl hyper::body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}
