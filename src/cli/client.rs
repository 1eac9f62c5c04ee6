//! Talking to a running gateway over its admin socket.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::config::{self, ConfigError};
use crate::switch::StoreChoice;

/// Where the gateway is.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Configuration of the gateway; its admin socket and its store are used
    #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
    config: PathBuf,
    /// Admin socket of the gateway, instead of the configured one
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// What a target came to.
#[derive(Debug)]
pub(super) enum Found {
    /// A gateway runs.
    Running(UnixStream),
    /// None does; this is its store, and the acquirers its listeners name.
    Stopped {
        store: StoreChoice,
        acquirers: Vec<String>,
    },
}

impl Target {
    /// Connects, or says that nothing runs.
    pub(super) async fn find(&self) -> anyhow::Result<Found> {
        if let Some(socket) = &self.socket {
            let stream = UnixStream::connect(socket)
                .await
                .with_context(|| format!("no gateway answers on {}", socket.display()))?;
            return Ok(Found::Running(stream));
        }
        let config = match config::load(&self.config) {
            Ok(config) => config,
            Err(ConfigError::Problems(problems)) => {
                super::check::report(&problems)?;
                bail!("{} has mistakes; mend them first", self.config.display());
            }
            Err(other) => return Err(other.into()),
        };
        let acquirers = config
            .switch
            .listeners
            .iter()
            .map(|l| l.acquirer.clone())
            .collect();
        match UnixStream::connect(&config.admin_socket).await {
            Ok(stream) => Ok(Found::Running(stream)),
            Err(_nobody) => Ok(Found::Stopped {
                store: config.switch.store,
                acquirers,
            }),
        }
    }

    /// Connects; an error that says how to start a gateway when none runs.
    pub(super) async fn running(&self) -> anyhow::Result<UnixStream> {
        match self.find().await? {
            Found::Running(stream) => Ok(stream),
            Found::Stopped { .. } => {
                bail!(
                    "no gateway runs; start it with `posgate serve -c {}`",
                    self.config.display()
                )
            }
        }
    }
}

/// Sends one request and gives back the answer; an error for anything but success.
pub(super) async fn call<B>(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: B,
) -> anyhow::Result<Response<Incoming>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    // The connection's task must outlive the reading of the body: it ends by itself with the stream.
    tasks.detach_all();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "posgate")
        .header("content-type", "application/json")
        .body(body)?;
    let response = sender
        .send_request(request)
        .await
        .context("the gateway did not answer")?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = text_of(response).await?;
    let detail = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    bail!("{}", detail.unwrap_or_else(|| format!("{status}: {text}")))
}

/// The whole body as text.
pub(super) async fn text_of(response: Response<Incoming>) -> anyhow::Result<String> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A runtime for one command.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
