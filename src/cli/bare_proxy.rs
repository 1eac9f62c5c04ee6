//! `posgate bare-proxy`: the yardstick of `posgate load --baseline`. Hidden: it is of no other use.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::host::server_tls;
use super::output::line;
use crate::sim::proxy::Proxy;

/// Ends TLS and copies bytes both ways, nothing else.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to copy to
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// Take TLS from terminals; without --cert a certificate is made on the spot
    #[arg(long)]
    tls: bool,
    /// Server certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the server certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// End when standard input does, so as not to outlive the program that started it
    #[arg(long)]
    until_input_closes: bool,
}

/// Runs until it is ended.
///
/// # Errors
/// When the certificate or the address cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tls = server_tls(args.tls, args.cert.as_deref(), args.key.as_deref())?;
    let proxy = Proxy {
        to: args.to,
        tls: tls.map(|tls| tls.config),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        line(format_args!("listening on {}", listener.local_addr()?))?;
        tokio::select! {
            served = proxy.serve(listener) => served?,
            () = input_closed(args.until_input_closes) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for the end of standard input, or for ever.
async fn input_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, waiting) = oneshot::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // Unreadable is as good as closed, and a proxy that has ended needs no telling.
        std::io::stdin().read_to_end(&mut rest).unwrap_or_default();
        closed.send(()).unwrap_or_default();
    });
    waiting.await.unwrap_or_default();
}
