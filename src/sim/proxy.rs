//! The smallest possible TLS proxy: ends TLS, copies bytes both ways, nothing else.
//!
//! It is the yardstick of `posgate load --baseline`. It opens one connection to the host for each
//! terminal, decodes nothing and stores nothing, so whatever it costs is the price of TLS and sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What the proxy does with each connection.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where the bytes go.
    pub to: SocketAddr,
    /// TLS towards terminals, or none.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Proxy {
    /// Serves connections until accepting fails. Dropping the future closes them all.
    ///
    /// # Errors
    /// What accepting a connection reports. A connection that breaks ends alone.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (terminal, _) = listener.accept().await?;
            while connections.try_join_next().is_some() {}
            connections.spawn(self.clone().carry(terminal));
        }
    }

    async fn carry(self, terminal: TcpStream) -> io::Result<()> {
        terminal.set_nodelay(true)?;
        match self.tls {
            None => join(terminal, self.to).await,
            Some(config) => {
                let terminal = TlsAcceptor::from(config).accept(terminal).await?;
                join(terminal, self.to).await
            }
        }
    }
}

async fn join<S: AsyncRead + AsyncWrite + Unpin>(
    mut terminal: S,
    to: SocketAddr,
) -> io::Result<()> {
    let mut host = TcpStream::connect(to).await?;
    host.set_nodelay(true)?;
    copy_bidirectional(&mut terminal, &mut host).await?;
    Ok(())
}
