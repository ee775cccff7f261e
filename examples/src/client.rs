//! A small HTTP/1.1 client for loopback: one connection, one request at a time, bounded answers and times.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pace::Pace;
use crate::traffic::Traffic;

const ANSWER_LIMIT_BYTES: usize = 4 << 20;
const ANSWER_TIME: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Sends the traffic of one worker until the future is dropped. Connects again after a failure, and says so once.
pub async fn send_for_ever(addr: SocketAddr, mut traffic: Traffic, requests_per_s: f64) {
    let mut pace = Pace::new(requests_per_s);
    let mut said = false;
    loop {
        let Err(error) = send_on_one_connection(addr, &mut traffic, &mut pace).await;
        if !said {
            said = true;
            tracing::warn!(%addr, "traffic was interrupted, and goes on: {error:#}");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn send_on_one_connection(
    addr: SocketAddr,
    traffic: &mut Traffic,
    pace: &mut Pace,
) -> anyhow::Result<std::convert::Infallible> {
    let mut stream = BufReader::new(TcpStream::connect(addr).await.context("cannot connect")?);
    stream.get_ref().set_nodelay(true)?;
    loop {
        pace.wait().await;
        let call = traffic.next_call();
        let status = timeout(ANSWER_TIME, exchange(&mut stream, &call.to_http()))
            .await
            .with_context(|| format!("no answer to {} within {ANSWER_TIME:?}", call.path))??;
        if status != 200 {
            tracing::debug!(status, path = call.path, "refused");
        }
    }
}

/// Sends a request and reads the answer; gives the status.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    let (mut status, mut length) = (0, 0);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the connection was closed");
        }
        let text = line.trim_end();
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest.get(..3).and_then(|s| s.parse().ok()).context("no status")?;
        } else if let Some((name, value)) = text.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("bad content-length")?;
            }
        } else if text.is_empty() {
            break;
        }
    }
    if length > ANSWER_LIMIT_BYTES {
        bail!("an answer of {length} bytes");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(status)
}
