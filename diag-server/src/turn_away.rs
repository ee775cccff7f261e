//! What a client is told when all connections are taken: 503 and when to come back, without reading its request.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// With 64 places at once more than the pace of new connections needs.
const PATIENCE: Duration = Duration::from_millis(250);
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 72\r\n\
    X-Go-Pprof: 1\r\n\
    Retry-After: 10\r\n\
    Connection: close\r\n\r\n\
    all connections of diag's listener are taken; try again in some seconds\n";

pub(crate) async fn turn_away(stream: TcpStream, _place: OwnedSemaphorePermit) {
    // An error is the client's: it is gone.
    let _ = tokio::time::timeout(PATIENCE, tell(stream)).await;
}

async fn tell(mut stream: TcpStream) -> io::Result<()> {
    stream.writable().await?;
    // A fresh socket takes so few bytes at once.
    stream.try_write(ANSWER)?;
    poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
    // Closed with bytes unread, the connection would be reset, perhaps before the client has the answer.
    let mut unread = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut unread) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
