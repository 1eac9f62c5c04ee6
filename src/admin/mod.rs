//! The admin HTTP API: on a Unix socket from the start, over TLS when configured, and the monitor's pages over
//! plain TCP.
//!
//! Everything that changes bindings goes through here while the process runs: a change is durable and in
//! the gate when its call returns. Blocking work (the store) runs on the runtime's blocking threads.
//!
//! Every request passes `caller`, which knows who makes it and what `routes` lets him do; what it changes goes
//! through `extract`, which sees to its key, its version and its audit event. A new route is a handler with
//! its `utoipa::path`, a line in its file's `router`, and a line in `routes`.
#![expect(
    unused_qualifications,
    reason = "utoipa's macros qualify what stands beside them"
)]

mod accounts;
mod acquirers;
mod affairs;
pub mod audit;
mod batches;
mod bindings;
mod bundle;
mod caller;
mod cases;
mod challenges;
mod contacts;
pub mod csv;
mod devices;
mod disputes;
pub mod evidence;
pub mod exceptions;
mod extract;
mod filed;
mod history;
mod import;
pub mod inquiry;
mod items;
mod limits;
mod merchants;
mod monitor;
mod openapi;
mod page;
mod payouts;
mod problem;
mod query;
mod questions;
mod refunds;
mod replacements;
mod routes;
pub mod settlement;
mod terminals;
mod throttle;
mod tokens;
pub mod transactions;
mod unbindings;
mod unread;
pub mod when;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::{Extension, Router};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{Accept, TlsAcceptor};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::Clock;
use crate::net::Tasks;
use crate::store::StoreError;
use crate::store::audit::Hash;
use crate::switch::{Dispatcher, Running, SharedRegistry, Switch};

use caller::{Gatekeeper, Peer};
use problem::Refusal;
use questions::Questions;

pub use import::{ImportEvent, run as import_lines};
pub use terminals::write_export;

/// Most of a request's body that is no import.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections to one admin or monitor listener at a time.
const CONNECTIONS_MAX: usize = 256;

/// From accept to the end of a TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// What the handlers work on.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) switch: Arc<Switch>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) prometheus: Option<Rendered>,
    /// What the check after the start found wrong with the store.
    pub(crate) findings: Arc<AtomicU64>,
    /// How long transactions are kept.
    transactions_kept: Duration,
    questions: Questions,
    gatekeeper: Arc<Gatekeeper>,
    /// The OpenAPI document as JSON.
    document: Bytes,
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
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub fn new(
        running: &Running,
        clock: Arc<dyn Clock>,
        prometheus: Option<PrometheusHandle>,
        dispatcher: Arc<Dispatcher>,
    ) -> Result<Self, StoreError> {
        let tokens = running.registry.lock().tokens()?;
        Ok(Self {
            switch: Arc::clone(&running.switch),
            registry: Arc::clone(&running.registry),
            clock,
            tasks: running.tasks.clone(),
            dispatcher,
            prometheus: prometheus.map(Rendered),
            findings: Arc::clone(&running.findings),
            transactions_kept: running.keeping.transactions,
            questions: Questions::new(running.folder.clone(), running.tasks.clone()),
            gatekeeper: Arc::new(Gatekeeper::new(tokens)),
            document: document().to_json().unwrap_or_default().into(),
        })
    }

    /// Everything.
    fn api(&self) -> Router {
        let (router, document) = api().split_for_parts();
        router
            .route_layer(axum::middleware::from_fn_with_state(
                query::Taking::of(&document),
                query::refuse_others,
            ))
            .fallback(no_such_address)
            .method_not_allowed_fallback(no_such_method)
            .layer(axum::middleware::from_fn_with_state(
                self.clone(),
                caller::guard,
            ))
            .layer(axum::middleware::from_fn(unread::read_on))
            .with_state(self.clone())
    }

    /// What may be seen without any right.
    fn pages(&self) -> Router {
        let (router, _document) = pages().split_for_parts();
        router.with_state(self.clone())
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

    /// Serves the API over TLS until everything stops, to who has a token; says where.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve_https(
        &self,
        address: SocketAddr,
        tls: Arc<ServerConfig>,
    ) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        let door = Door::Https(listener, TlsAcceptor::from(tls));
        self.tasks
            .spawn(accept_all(door, self.api(), self.tasks.clone()));
        Ok(bound)
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

/// All routes, each with what the document says of it.
fn api() -> OpenApiRouter<Admin> {
    OpenApiRouter::with_openapi(openapi::about())
        .merge(terminals::router())
        .merge(accounts::router())
        .merge(challenges::router())
        .merge(contacts::router())
        .merge(devices::router())
        .merge(filed::router())
        .merge(acquirers::router())
        .merge(merchants::router())
        .merge(bindings::router())
        .merge(history::router())
        .merge(limits::router())
        .merge(cases::router())
        .merge(unbindings::router())
        .merge(replacements::router())
        .merge(batches::router())
        .merge(questions::router())
        .merge(exceptions::router())
        .merge(refunds::router())
        .merge(disputes::router())
        .merge(tokens::router())
        .merge(audit::router())
        .routes(routes!(openapi::show))
        .merge(pages())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(import::router().layer(DefaultBodyLimit::disable()))
}

fn pages() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(monitor::metrics))
        .routes(routes!(monitor::healthz))
        .routes(routes!(monitor::readyz))
}

/// The OpenAPI document of all routes.
#[must_use]
pub fn document() -> OpenApi {
    openapi::completed(api().into_openapi())
}

async fn no_such_address() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no such address",
        "nothing is here; /openapi.json lists every address",
    )
}

async fn no_such_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no such method",
        "this address has other methods, which the header Allow and /openapi.json list",
    )
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
    Https(TcpListener, TlsAcceptor),
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
                let router = router.layer(Extension(Peer::of_socket(&stream)));
                tasks.spawn(converse(stream, router, conversation, place));
            }
            Ok(Stream::Tcp(stream)) => tasks.spawn(converse(stream, router, conversation, place)),
            Ok(Stream::Https(handshake, address)) => tasks.spawn(async move {
                // In a task of its own, so that nobody waits for who does not go on with it.
                match tokio::time::timeout(HANDSHAKE_WITHIN, *handshake).await {
                    Ok(Ok(stream)) => {
                        let certificate = certificate_of(stream.get_ref().1);
                        let peer = Peer::Https {
                            address,
                            certificate,
                        };
                        let router = router.layer(Extension(peer));
                        converse(stream, router, conversation, place).await;
                    }
                    Ok(Err(problem)) => {
                        tracing::debug!(%address, %problem, "a TLS handshake for the admin API failed");
                    }
                    Err(_elapsed) => {
                        tracing::debug!(%address, "a TLS handshake for the admin API took too long");
                    }
                }
            }),
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
    Https(Box<Accept<TcpStream>>, SocketAddr),
}

/// SHA-256 of the certificate that a peer showed.
fn certificate_of(connection: &rustls::ServerConnection) -> Option<Arc<str>> {
    let leaf = connection.peer_certificates()?.first()?;
    Some(format!("sha256:{}", Hash::of_bytes(leaf)).into())
}

impl Door {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(listener) => listener.accept().await.map(|(s, _)| Stream::Socket(s)),
            Self::Tcp(listener) => listener.accept().await.map(|(s, _)| Stream::Tcp(s)),
            Self::Https(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                Ok(Stream::Https(Box::new(tls.accept(stream)), address))
            }
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
pub(crate) struct Pieces(pub(crate) tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}
