//! A connection that gives up on clients that do not read.
//!
//! hyper bounds the time for the headers of a request; nobody bounds the time for the answer. Here a client that takes less than
//! [`LEAST_BYTES`] within the patience, while there is more for it, is an error, which ends the connection and frees its buffers.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// With a patience of 30 s, 17 KiB a second: a modem of the last century is fast enough, a byte now and then is not.
const LEAST_BYTES: usize = 512 << 10;

/// A stream whose writes must make progress within `patience`.
pub(crate) struct Impatient<T> {
    stream: T,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Bytes taken since the client first kept us waiting; `None` while it does not.
    taken: Option<usize>,
}

impl<T> Impatient<T> {
    pub(crate) fn new(stream: T, patience: Duration) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)), taken: None }
    }

    /// All that was to be sent is sent, or the stream is done.
    fn watch(&mut self, context: &mut Context<'_>, result: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if result.is_pending() {
            return self.wait(context);
        }
        self.taken = None;
        result
    }

    fn watch_write(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = result else { return self.wait(context) };
        if let (Some(taken), Ok(bytes)) = (self.taken, &written) {
            let taken = taken.saturating_add(*bytes);
            self.taken = (taken < LEAST_BYTES).then_some(taken);
        }
        Poll::Ready(written)
    }

    fn wait<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if self.taken.is_none() {
            self.taken = Some(0);
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Impatient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Impatient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes `step` bytes, then keeps its writer waiting for a while, and so on.
    struct Sip {
        step: usize,
        ready: bool,
        pause: Pin<Box<Sleep>>,
    }

    const PAUSE: Duration = Duration::from_secs(1);

    impl AsyncWrite for Sip {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if !self.ready {
                std::task::ready!(self.pause.as_mut().poll(cx));
            }
            self.pause.as_mut().reset(Instant::now() + PAUSE);
            self.ready = false;
            Poll::Ready(Ok(bytes.len().min(self.step)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn send(bytes: usize, step: usize, patience: Duration) -> io::Result<()> {
        let sip = Sip { step, ready: true, pause: Box::pin(sleep(PAUSE)) };
        let mut stream = Impatient::new(sip, patience);
        let mut left = bytes;
        while left > 0 {
            let rest = vec![0; left];
            left -= poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &rest)).await?;
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await
    }

    // The clock is tokio's, which jumps whenever all wait.
    #[tokio::test(start_paused = true)]
    async fn a_sip_now_and_then_is_not_progress() {
        let error = send(10_000, 1, PAUSE * 10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_steady_may_take_longer_than_the_patience() {
        let started = Instant::now();
        send(20 * LEAST_BYTES, LEAST_BYTES / 4, PAUSE * 10).await.unwrap();
        assert!(started.elapsed() > PAUSE * 70, "{:?}", started.elapsed());
        send(100, 100, Duration::ZERO).await.unwrap();
    }
}
