//! Connections of the simulators: TCP or TLS, from either side, behind one type.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::certs::ClientTls;

/// A peer to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address.
    pub addr: SocketAddr,
    /// TLS, or plain TCP when absent.
    pub tls: Option<ClientTls>,
}

impl Target {
    /// Plain TCP to this address.
    #[must_use]
    pub const fn plain(addr: SocketAddr) -> Self {
        Self { addr, tls: None }
    }

    /// Connects, and completes the TLS handshake, within `timeout`.
    ///
    /// # Errors
    /// What connecting or the handshake reports; [`io::ErrorKind::TimedOut`] when it takes too long.
    pub async fn connect(&self, timeout: Duration) -> io::Result<Stream> {
        tokio::time::timeout(timeout, self.connect_unbounded()).await?
    }

    async fn connect_unbounded(&self) -> io::Result<Stream> {
        let tcp = TcpStream::connect(self.addr).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(tls.name.clone(), tcp).await?;
        Ok(Stream::Client(Box::new(stream)))
    }
}

/// Takes an accepted connection: TLS when there are settings for it.
///
/// # Errors
/// What the handshake reports; [`io::ErrorKind::TimedOut`] when it takes longer than `timeout`.
pub(crate) async fn accept(
    tcp: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    timeout: Duration,
) -> io::Result<Stream> {
    tcp.set_nodelay(true)?;
    let Some(config) = tls else {
        return Ok(Stream::Plain(tcp));
    };
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let stream = tokio::time::timeout(timeout, acceptor.accept(tcp)).await??;
    Ok(Stream::Server(Box::new(stream)))
}

/// A connection of any kind.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS, our side called.
    Client(Box<client::TlsStream<TcpStream>>),
    /// TLS, our side was called.
    Server(Box<server::TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the TLS handshake resumed an earlier session.
    #[must_use]
    pub fn resumed(&self) -> bool {
        let kind = match self {
            Self::Plain(_) => None,
            Self::Client(stream) => stream.get_ref().1.handshake_kind(),
            Self::Server(stream) => stream.get_ref().1.handshake_kind(),
        };
        kind == Some(HandshakeKind::Resumed)
    }
}

impl Stream {
    /// Makes the end of this connection a TCP reset: the peer sees no orderly close.
    ///
    /// # Errors
    /// When the socket refuses the option.
    pub(crate) fn reset_on_drop(&self) -> io::Result<()> {
        let tcp = match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => stream.get_ref().0,
            Self::Server(stream) => stream.get_ref().0,
        };
        tcp.set_zero_linger()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Client(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Server(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Client(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Server(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Client(stream) => Pin::new(stream).poll_flush(cx),
            Self::Server(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Client(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Server(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
