//! The service's clients: eight connections, a request each at a time, from one thread that has a processor of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diag_peers::child::{Window, histogram};
use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 8;
/// Of a service that answers at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks for `warm_up`, then for `length`, which counts.
pub(crate) fn load(
    service: SocketAddr,
    warm_up: Duration,
    length: Duration,
    processor: Option<usize>,
) -> anyhow::Result<Window> {
    let thread = std::thread::spawn(move || {
        if let Some(processor) = processor {
            let mut set = CpuSet::new();
            set.set(processor)?;
            sched_setaffinity(Pid::from_raw(0), &set)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let all = ask(service, warm_up, length);
        runtime.block_on(async { tokio::time::timeout(warm_up + length + PATIENCE, all).await })?
    });
    let times = thread.join().map_err(|_| anyhow::anyhow!("the client broke off"))??;
    Ok(Window::of(&times, 1, length))
}

async fn ask(service: SocketAddr, warm_up: Duration, length: Duration) -> anyhow::Result<Histogram<u64>> {
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CONNECTIONS {
        clients.spawn(ask_on_one(service, client, began + warm_up, began + warm_up + length));
    }
    let mut all = histogram();
    while let Some(times) = clients.join_next().await {
        all += &times??;
    }
    Ok(all)
}

async fn ask_on_one(
    service: SocketAddr,
    client: usize,
    from: Instant,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let requests: Vec<Vec<u8>> = (0..16).map(|n| request(client, n)).collect();
    let mut connection = TcpStream::connect(service).await?;
    connection.set_nodelay(true)?;
    let (mut times, mut answer) = (histogram(), Vec::with_capacity(8192));
    for request in requests.iter().cycle() {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        connection.write_all(request).await?;
        read_answer(&mut connection, &mut answer).await?;
        if sent >= from {
            times.saturating_record(sent.elapsed().as_nanos() as u64);
        }
    }
    Ok(times)
}

fn request(client: usize, n: usize) -> Vec<u8> {
    if n % 4 == 3 {
        return format!("GET /orders/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", n % 3).into_bytes();
    }
    let line = |line: usize| {
        let article = format!("article-{:04}", (client * 131 + n * 17 + line * 7) % 5000);
        serde_json::json!({ "article": article, "count": 1 + line % 3, "cents": 100 + line * 250 })
    };
    let lines: Vec<_> = (0..8).map(line).collect();
    let body = serde_json::json!({ "customer": format!("customer-{client}"), "lines": lines }).to_string();
    let head = "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn read_answer(connection: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        anyhow::ensure!(connection.read_buf(answer).await? > 0, "the service hung up");
        if let Some(length) = length_of(answer)?
            && answer.len() >= length
        {
            return Ok(());
        }
    }
}

/// Of head and body, once the head is there.
fn length_of(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "the service answered {:?}", text.lines().next());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(head + 4 + length.context("an answer without a length")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_over_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(length_of(answer).unwrap(), Some(answer.len()));
        assert_eq!(length_of(&answer[..20]).unwrap(), None);
        assert!(length_of(b"HTTP/1.1 422 No\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
