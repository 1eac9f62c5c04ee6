//! Webhooks: one signed POST for each text or event.
//!
//! A request carries `Posgate-Id` (the same for each attempt), `Posgate-Timestamp` (seconds since 1970-01-01
//! UTC) and `Posgate-Signature: v1=HEX`, the HMAC-SHA-256 under the shared secret over timestamp, `.`, id, `.`
//! and body. A receiver refuses what is signed wrongly or minutes old, and ignores an id it has.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::template::Template;
use super::{Attempt, EventReceiver, Notifier, Undelivered, Why};
use crate::base::Clock;
use crate::base::notice::{Notice, OutsideEvent};

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is none.
    #[error("it is no address; write https://HOST/PATH")]
    NoAddress,
    /// What it carries would be readable on the way.
    #[error("only https is taken, and http for this machine itself")]
    InTheClear,
}

/// Where requests are posted to, and how they are signed.
#[derive(Clone, Debug)]
pub struct Endpoint {
    settings: WebhookSettings,
    clock: Arc<dyn Clock>,
}

/// Settings of an [`Endpoint`].
#[derive(Clone)]
pub struct WebhookSettings {
    address: Address,
    tls: Arc<ClientConfig>,
    secret: hmac::Key,
    timeout: Duration,
}

impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings")
            .field("address", &self.address)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl WebhookSettings {
    /// An address under `https`, or under `http` on this machine. An attempt takes at most `timeout`.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(
        url: &str,
        tls: Arc<ClientConfig>,
        secret: &[u8],
        timeout: Duration,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            address: address(url)?,
            tls,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            timeout,
        })
    }

    /// Whether an address can be used.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(url: &str) -> Result<(), EndpointError> {
        address(url).map(drop)
    }

    /// What posts there.
    #[must_use]
    pub fn endpoint(&self, clock: &Arc<dyn Clock>) -> Endpoint {
        Endpoint {
            settings: self.clone(),
            clock: Arc::clone(clock),
        }
    }
}

/// Settings of an [`SmsWebhook`].
#[derive(Clone, Debug)]
pub struct SmsSettings {
    /// Where to.
    pub webhook: WebhookSettings,
    /// The body of a request.
    pub template: Template,
}

/// The parts of an address.
#[derive(Clone, Debug)]
struct Address {
    host: String,
    port: u16,
    authority: String,
    path: String,
    /// The name that the receiver's certificate has to have; `None` for one on this machine, in the clear.
    secure: Option<ServerName<'static>>,
}

fn address(url: &str) -> Result<Address, EndpointError> {
    let uri: Uri = url.parse().map_err(|_wrong| EndpointError::NoAddress)?;
    let is_secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return Err(EndpointError::NoAddress),
    };
    let authority = uri.authority().ok_or(EndpointError::NoAddress)?;
    let host = authority.host();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let here = host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !is_secure && !here {
        return Err(EndpointError::InTheClear);
    }
    if host.is_empty() || authority.as_str().contains('@') {
        return Err(EndpointError::NoAddress);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let secure = if is_secure {
        let name = ServerName::try_from(host.clone());
        Some(name.map_err(|_wrong| EndpointError::NoAddress)?)
    } else {
        None
    };
    Ok(Address {
        port: authority
            .port_u16()
            .unwrap_or(if is_secure { 443 } else { 80 }),
        authority: authority.as_str().to_owned(),
        path: path.to_owned(),
        host,
        secure,
    })
}

impl Endpoint {
    /// Posts a body; success is any status from 200 to 299.
    async fn post(
        &self,
        number: u64,
        kind: &'static str,
        event: Option<&str>,
        body: String,
    ) -> Result<(), Undelivered> {
        let posted = tokio::time::timeout(
            self.settings.timeout,
            self.exchange(number, kind, event, body),
        );
        match posted.await {
            Err(_elapsed) => Err(Undelivered::Later(Why::Timeout)),
            Ok(Err(why)) => Err(Undelivered::Later(why)),
            Ok(Ok(status)) => judged(status),
        }
    }

    async fn exchange(
        &self,
        number: u64,
        kind: &'static str,
        event: Option<&str>,
        body: String,
    ) -> Result<StatusCode, Why> {
        let WebhookSettings { address, tls, .. } = &self.settings;
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await;
        let tcp = tcp.map_err(|_io| Why::Connection)?;
        let stream: Box<dyn Stream> = match &address.secure {
            None => Box::new(tcp),
            Some(name) => {
                let connector = TlsConnector::from(Arc::clone(tls));
                let connected = connector.connect(name.clone(), tcp).await;
                Box::new(connected.map_err(|_tls| Why::Connection)?)
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_http| Why::Connection)?;
        let seconds = self.clock.wall().0 / 1_000_000;
        let mut request = Request::post(&address.path)
            .header(header::HOST, &address.authority)
            .header(header::CONTENT_TYPE, kind)
            .header(
                header::USER_AGENT,
                concat!("posgate/", env!("CARGO_PKG_VERSION")),
            )
            .header("posgate-id", number)
            .header("posgate-timestamp", seconds)
            .header("posgate-signature", self.signature(seconds, number, &body));
        if let Some(event) = event {
            request = request.header("posgate-event", event);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_header| Why::Address)?;
        // The connection ends with the attempt: what the receiver says beyond its status is not read. A receiver that
        // closes behind its answer has answered: the end of the connection alone says nothing.
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            _ended = connection => answer.await,
        };
        answer
            .map(|answer| answer.status())
            .map_err(|_http| Why::Connection)
    }

    fn signature(&self, seconds: u64, number: u64, body: &str) -> String {
        let mut signing = hmac::Context::with_key(&self.settings.secret);
        signing.update(format!("{seconds}.{number}.").as_bytes());
        signing.update(body.as_bytes());
        let tag = signing.sign();
        let hex = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        format!("v1={}", hex.collect::<String>())
    }
}

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a status means: what the receiver does not understand now it will not understand later; everything
/// else may pass.
fn judged(status: StatusCode) -> Result<(), Undelivered> {
    if status.is_success() {
        return Ok(());
    }
    let why = Why::Http(status.as_u16());
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(Undelivered::Never(why)),
        _ => Err(Undelivered::Later(why)),
    }
}

/// Text messages through a gateway that takes them over HTTP.
#[derive(Clone, Debug)]
pub struct SmsWebhook {
    endpoint: Endpoint,
    template: Template,
}

impl SmsWebhook {
    /// Posts the template, filled in.
    #[must_use]
    pub const fn new(endpoint: Endpoint, template: Template) -> Self {
        Self { endpoint, template }
    }
}

impl Notifier for SmsWebhook {
    fn deliver<'a>(&'a self, number: u64, notice: &'a Notice) -> Attempt<'a> {
        let body = self.template.filled(number, notice);
        let kind = self.template.content_type();
        Box::pin(self.endpoint.post(number, kind, None, body))
    }
}

/// Events to a program.
#[derive(Clone, Debug)]
pub struct EventWebhook(Endpoint);

impl EventWebhook {
    /// Posts events as JSON.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }
}

impl EventReceiver for EventWebhook {
    fn deliver<'a>(&'a self, number: u64, event: &'a OutsideEvent) -> Attempt<'a> {
        let body = serde_json::to_string(event).unwrap_or_default();
        let name = Some(event.event.as_str());
        Box::pin(self.0.post(number, "application/json", name, body))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::base::SystemClock;
    use crate::security::tls;

    #[test]
    fn an_address_is_secure_or_on_this_machine() {
        for good in [
            "https://sms.example/send?a=1",
            "https://sms.example:8443",
            "http://127.0.0.1:8080/x",
            "http://[::1]:1/",
            "http://localhost/",
        ] {
            assert_eq!(WebhookSettings::check(good), Ok(()), "{good}");
        }
        let clear = WebhookSettings::check("http://sms.example/");
        assert_eq!(clear, Err(EndpointError::InTheClear));
        for wrong in [
            "",
            "sms.example",
            "ftp://x/",
            "/path",
            "https://user:word@sms.example/",
        ] {
            assert_eq!(
                WebhookSettings::check(wrong),
                Err(EndpointError::NoAddress),
                "{wrong}"
            );
        }
    }

    /// Many receivers close when they have answered: what they took must not be sent again.
    #[tokio::test]
    async fn an_answer_counts_although_the_receiver_closes_behind_it() {
        let receiver = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = receiver.local_addr().unwrap().port();
        let mut answering = tokio::task::JoinSet::new();
        answering.spawn(async move {
            for answer in [&b"HTTP/1.0 200 OK\r\n\r\n"[..]; 100].into_iter().chain([
                &b"HTTP/1.1 422 No\r\nconnection: close\r\n\r\n"[..],
                &b"HTTP/1.1 2"[..],
                &b""[..],
            ]) {
                let (mut posted, _) = receiver.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    assert_ne!(posted.read_buf(&mut request).await.unwrap(), 0);
                }
                posted.write_all(answer).await.unwrap();
            }
        });
        let trusting_nobody = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let settings = WebhookSettings::new(
            &format!("http://127.0.0.1:{port}/"),
            Arc::new(trusting_nobody),
            b"a secret of sixteen",
            Duration::from_secs(10),
        );
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let endpoint = settings.unwrap().endpoint(&clock);
        let post = |number| endpoint.post(number, "application/json", None, "{}".into());
        for number in 1..=100 {
            assert_eq!(post(number).await, Ok(()), "attempt {number}");
        }
        assert_eq!(post(101).await, Err(Undelivered::Never(Why::Http(422))));
        for number in [102, 103] {
            assert_eq!(post(number).await, Err(Undelivered::Later(Why::Connection)));
        }
        answering.join_next().await.unwrap().unwrap();
    }

    #[test]
    fn only_what_can_never_pass_is_given_up() {
        let why = |status| judged(StatusCode::from_u16(status).unwrap());
        assert_eq!(why(204), Ok(()));
        assert_eq!(why(422), Err(Undelivered::Never(Why::Http(422))));
        for later in [301, 401, 404, 408, 409, 429, 500, 503] {
            assert_eq!(why(later), Err(Undelivered::Later(Why::Http(later))));
        }
    }
}
