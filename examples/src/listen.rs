//! Listening, and saying where.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;

/// Serves the router on the current tokio runtime and prints `listening on http://ADDRESS`, once connections are accepted.
///
/// # Errors
/// The address is taken or not ours.
pub async fn listen(addr: SocketAddr, router: Router) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}; is another program there?"))?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%addr, %error, "stopped listening");
        }
    });
    announce(addr)?;
    Ok(addr)
}

/// The line that scripts wait for.
///
/// # Errors
/// Standard output is closed.
pub fn announce(addr: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{addr}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
