//! How a command reaches its gateway: over the Unix socket that the configuration names, or over HTTPS with a
//! token. One piece for all commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::rand;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::{self, ConfigError};
use crate::security::tls;
use crate::switch::StoreChoice;

/// The token, so that it stands in no list of processes.
const TOKEN_VARIABLE: &str = "POSGATE_TOKEN";
/// How often a change is asked for, under one key, when the connection breaks.
const TRIES: u32 = 3;
/// How long a connection may take to be there.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where the gateway is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which gateway")]
pub(super) struct Target {
    /// Configuration of the gateway; its admin socket and its store are used
    #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
    config: PathBuf,
    /// Admin socket of the gateway, instead of the configured one
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    socket: Option<PathBuf>,
    /// Where the gateway serves its admin API over TLS, as `https://gateway.example:8443`; used instead of a socket
    ///
    /// The token for it stands in the variable `POSGATE_TOKEN`, or in the file that --token-file names.
    #[arg(long, env = "POSGATE_URL", value_name = "URL")]
    url: Option<String>,
    /// File with the token, which nobody else may read
    #[arg(long, env = "POSGATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate authorities that the gateway's certificate is checked with; those of the system otherwise
    #[arg(long, env = "POSGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to show to the gateway, where it asks for one
    #[arg(
        long,
        env = "POSGATE_CERTIFICATE",
        value_name = "FILE",
        requires = "key"
    )]
    certificate: Option<PathBuf>,
    /// Key of that certificate
    #[arg(
        long,
        env = "POSGATE_KEY",
        value_name = "FILE",
        requires = "certificate"
    )]
    key: Option<PathBuf>,
}

/// What a target came to.
#[derive(Debug)]
pub(super) enum Found {
    /// A gateway runs.
    Running(Gateway),
    /// None does; this is its store, and the acquirers its listeners name.
    Stopped {
        store: StoreChoice,
        acquirers: Vec<String>,
    },
}

/// A gateway that answers.
#[derive(Debug)]
pub(super) struct Gateway {
    way: Way,
    token: Option<Token>,
}

/// The value of the header with the token. Shown to nobody.
struct Token(Zeroizing<String>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

enum Way {
    Socket(PathBuf),
    Https {
        address: String,
        name: ServerName<'static>,
        connector: TlsConnector,
        authority: String,
    },
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "Socket({})", path.display()),
            Self::Https { address, .. } => write!(f, "Https({address})"),
        }
    }
}

/// A connection, whichever it is.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Target {
    /// Finds the gateway, or says that nothing runs.
    pub(super) async fn find(&self) -> anyhow::Result<Found> {
        let token = self.token()?;
        if let Some(url) = &self.url {
            let way = self.https(url)?;
            if token.is_none() {
                bail!(
                    "a token is needed for {url}: set {TOKEN_VARIABLE}, or name a file with --token-file; \
                     `posgate token create` on the gateway's machine gives one out"
                );
            }
            return Ok(Found::Running(Gateway { way, token }));
        }
        if let Some(socket) = &self.socket {
            let gateway = Gateway {
                way: Way::Socket(socket.clone()),
                token,
            };
            drop(gateway.connect().await?);
            return Ok(Found::Running(gateway));
        }
        let config = match config::load(&self.config) {
            Ok(config) => config,
            Err(ConfigError::Problems(problems)) => {
                super::check::report(&problems)?;
                bail!("{} has mistakes; mend them first", self.config.display());
            }
            Err(other) => {
                return Err(anyhow!(other).context(
                    "no gateway is named; say -c FILE with its configuration, --socket PATH, or --url URL",
                ));
            }
        };
        let acquirers = config
            .switch
            .listeners
            .iter()
            .map(|l| l.acquirer.clone())
            .collect();
        let gateway = Gateway {
            way: Way::Socket(config.admin_socket),
            token,
        };
        match gateway.connect().await {
            Ok(_answers) => Ok(Found::Running(gateway)),
            Err(_nobody) => Ok(Found::Stopped {
                store: config.switch.store,
                acquirers,
            }),
        }
    }

    /// The gateway; an error that says how to start one when none runs.
    pub(super) async fn running(&self) -> anyhow::Result<Gateway> {
        match self.find().await? {
            Found::Running(gateway) => Ok(gateway),
            Found::Stopped { .. } => {
                bail!(
                    "no gateway runs; start it with `posgate serve -c {}`",
                    self.config.display()
                )
            }
        }
    }

    fn https(&self, url: &str) -> anyhow::Result<Way> {
        let wrong = || format!("{url} is no address of a gateway; write https://HOST:PORT");
        let uri: Uri = url.trim_end_matches('/').parse().with_context(wrong)?;
        if uri.scheme_str() != Some("https") || uri.path() != "/" || uri.query().is_some() {
            bail!("{}: a token is only sent over TLS", wrong());
        }
        let authority = uri.authority().with_context(wrong)?;
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(443));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).with_context(wrong)?;
        let authorities = tls::authorities(self.ca.as_deref());
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some((tls::read_chain(certificate)?, tls::read_key(key)?))
            }
            (_, _) => None,
        };
        let client = tls::client(authorities, identity)
            .context("name the gateway's certificate authority with --ca")?;
        Ok(Way::Https {
            address: format!("{host}:{port}"),
            name,
            connector: TlsConnector::from(client),
            authority: authority.as_str().to_owned(),
        })
    }

    fn token(&self) -> anyhow::Result<Option<Token>> {
        let text = match (std::env::var(TOKEN_VARIABLE), &self.token_file) {
            (Ok(token), _) => Zeroizing::new(token),
            (Err(_unset), Some(file)) => Zeroizing::new(private_text(file)?),
            (Err(_unset), None) => return Ok(None),
        };
        let bearer = Zeroizing::new(format!("Bearer {}", text.trim()));
        Ok(Some(Token(bearer)))
    }
}

/// Reads a file that nobody but its owner may read.
fn private_text(file: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = file.display();
    let cannot = || format!("{shown} cannot be read");
    let mode = std::fs::metadata(file)
        .with_context(cannot)?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        bail!("the token file {shown} is open to others (mode {mode:o}); run `chmod 600 {shown}`");
    }
    std::fs::read_to_string(file).with_context(cannot)
}

/// Which version a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// What is changed has none.
    None,
    /// Whichever it is now.
    Any,
    /// This one only.
    Exactly(u32),
}

impl From<Option<u32>> for Version {
    fn from(seen: Option<u32>) -> Self {
        seen.map_or(Self::Any, Self::Exactly)
    }
}

impl Gateway {
    /// The one at a socket.
    pub(super) const fn on_socket(path: PathBuf) -> Self {
        Self {
            way: Way::Socket(path),
            token: None,
        }
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.connect_at_leisure()).await;
        connected.unwrap_or_else(|_elapsed| Err(anyhow!("{:?} does not answer", self.way)))
    }

    async fn connect_at_leisure(&self) -> anyhow::Result<Box<dyn Stream>> {
        match &self.way {
            Way::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let nobody = || format!("no gateway answers on {}", path.display());
                Ok(Box::new(stream.with_context(nobody)?))
            }
            Way::Https {
                address,
                name,
                connector,
                ..
            } => {
                let nobody = || format!("no gateway answers at {address}");
                let tcp = TcpStream::connect(address).await.with_context(nobody)?;
                let stream = connector.connect(name.clone(), tcp).await;
                let refused = || format!("{address} and this command do not trust each other");
                Ok(Box::new(stream.with_context(refused)?))
            }
        }
    }

    /// Reads something.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        let request = self.request(Method::GET, path);
        self.send(request.body(Empty::<Bytes>::new())?).await
    }

    /// Reads a JSON document.
    pub(super) async fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        json_of(self.get(path).await?).await
    }

    /// Gets a resource as it is written.
    pub(super) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.get(path).await?;
        if !response.status().is_success() {
            bail!("{path} is answered with {}", response.status());
        }
        text_of(response).await
    }

    /// Changes something, once: it is asked for again under the same key when the connection breaks.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        version: Version,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let key = new_key()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self.request(method.clone(), path);
            request = request
                .header("idempotency-key", &key)
                .header(header::CONTENT_TYPE, "application/json");
            request = match version {
                Version::None => request,
                Version::Any => request.header(header::IF_MATCH, "*"),
                Version::Exactly(version) => {
                    request.header(header::IF_MATCH, format!("\"{version}\""))
                }
            };
            let request = request.body(Full::new(Bytes::from(body.to_string())))?;
            match self.exchange(request).await {
                Ok(response) => return json_of(refused(response).await?).await,
                Err(_broken) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Sends a file to be taken in, once.
    pub(super) async fn upload<B>(&self, path: &str, body: B) -> anyhow::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = self
            .request(Method::POST, path)
            .header("idempotency-key", new_key()?)
            .header(header::CONTENT_TYPE, "text/csv")
            .header(header::ACCEPT, "application/x-ndjson");
        self.send(request.body(body)?).await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let host = match &self.way {
            Way::Socket(_) => "posgate",
            Way::Https { authority, .. } => authority,
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::HOST, host);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token.0.as_str()),
            None => request,
        }
    }

    /// Sends a request and gives back the answer; an error for anything but success.
    async fn send<B>(&self, request: Request<B>) -> anyhow::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        refused(self.exchange(request).await?).await
    }

    /// Sends a request and gives back the answer, whichever it is.
    async fn exchange<B>(&self, request: Request<B>) -> anyhow::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        // The connection's task must outlive the reading of the body: it ends by itself with the stream.
        tasks.detach_all();
        let response = sender.send_request(request).await;
        response.context("the gateway did not answer")
    }
}

/// A key that no other change has.
fn new_key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    if rand::fill(&mut bytes).is_err() {
        bail!("the system gives no random bytes");
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The answer, if it is one of success; else an error with what the gateway says.
async fn refused(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = text_of(response).await?;
    let detail = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    bail!("{}", detail.unwrap_or_else(|| format!("{status}: {text}")))
}

async fn json_of(response: Response<Incoming>) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&text_of(response).await?)?)
}

/// The whole body as text.
async fn text_of(response: Response<Incoming>) -> anyhow::Result<String> {
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
