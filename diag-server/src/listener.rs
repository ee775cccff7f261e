//! A listener on a thread of its own, with its own small tokio runtime: the host needs none, and a busy host runtime
//! does not keep the diagnostics from answering.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use diag::Diag;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::guard::Access;
use crate::options::Options;
use crate::pace::Pace;
use crate::stall::Impatient;
use crate::token::Token;
use crate::{routes, turn_away};

/// Connections that found all places taken, in this process.
static TURNED_AWAY: AtomicU64 = AtomicU64::new(0);

pub(crate) fn turned_away() -> u64 {
    TURNED_AWAY.load(Ordering::Relaxed)
}

/// Name of the thread.
pub(crate) const THREAD: &str = "diag-server";

/// Threads for work. More than the permits (limits.rs) is never used.
const WORKERS: usize = 4;
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How patient the listener is.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the headers of a request, and between requests of a connection.
    headers: Duration,
    /// For a client that does not read its answer.
    writes: Duration,
    /// For the requests under way at [`Server::shutdown`].
    shutdown: Duration,
    connections: usize,
    /// Between two connections, and between two requests, after a burst of them.
    interval: Duration,
    burst: u32,
}

const PATIENCE: Patience = Patience {
    headers: Duration::from_secs(10),
    writes: Duration::from_secs(30),
    shutdown: Duration::from_secs(5),
    connections: 64,
    interval: Duration::from_millis(20),
    burst: 100,
};

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Anybody could read the heap.
    #[error(
        "refusing to listen on {addr} without a token, since other machines reach it; set DIAG_TOKEN_FILE to a file \
         with a long random text (or DIAG_TOKEN to the text itself), or listen on 127.0.0.1"
    )]
    TokenRequired {
        /// Where it was to listen.
        addr: SocketAddr,
    },
    /// The token is of no use.
    #[error("refusing to listen on {addr}: {why}")]
    Token {
        /// Where it was to listen.
        addr: SocketAddr,
        /// What is wrong with it.
        why: String,
    },
    /// The address is taken, or not this machine's, or not allowed.
    #[error("cannot listen on {addr}: {source}; {}", next_step(source))]
    Listen {
        /// Where it was to listen.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error(
        "cannot start the thread of diag's server: {source}; the process may be at its limit of threads or files"
    )]
    Thread {
        /// What the operating system said.
        source: io::Error,
    },
}

fn next_step(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, or another copy of this one, listens there; set DIAG_LISTEN to another port, or to port 0 \
             for any"
        }
        io::ErrorKind::AddrNotAvailable => "the address is not this machine's; see DIAG_LISTEN",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; see DIAG_LISTEN",
        _ => "see DIAG_LISTEN",
    }
}

/// A running listener. Dropping the handle leaves it running, for as long as the process lives.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Where it listens, with the real port if port 0 was asked for. When diag is disabled, where it would listen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// False only when diag is disabled (`DIAG_DISABLE`).
    pub fn is_listening(&self) -> bool {
        self.running.is_some()
    }

    /// Stops listening, gives the requests under way up to five seconds, and waits for the end of the thread. Blocks;
    /// in async code call it on a blocking thread.
    pub fn shutdown(self) {
        if let Some(running) = self.running {
            running.stop.send_replace(true);
            // The thread has no result; if it panicked there is nothing left to stop.
            let _ = running.thread.join();
        }
    }
}

/// Listens on the configured address (`DIAG_LISTEN`, 127.0.0.1:6060) until the process ends.
///
/// When diag is disabled nothing listens, which is no error.
///
/// # Errors
/// The address is taken, is reachable from other machines and there is no token, or there can be no thread. A host
/// that wants to go on without reports it and does so.
pub fn serve(diag: &Diag) -> Result<Server, Error> {
    start(diag, diag.config().listen, Token::configured(diag.config()), PATIENCE)
}

fn start(
    diag: &Diag,
    addr: SocketAddr,
    token: Option<Result<Token, String>>,
    patience: Patience,
) -> Result<Server, Error> {
    let routes = |diag: &Diag, access| routes::build(diag, access, &Options::default());
    start_with(diag, addr, token, patience, routes)
}

fn start_with(
    diag: &Diag,
    addr: SocketAddr,
    token: Option<Result<Token, String>>,
    patience: Patience,
    routes: impl FnOnce(&Diag, Access) -> Router,
) -> Result<Server, Error> {
    if diag.config().disabled {
        return Ok(Server { local_addr: addr, running: None });
    }
    let access = access(addr, token)?;
    let listen = |source| Error::Listen { addr, source };
    let listener = std::net::TcpListener::bind(addr).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let local_addr = listener.local_addr().map_err(listen)?;
    let thread_error = |source| Error::Thread { source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name("diag-work")
        .max_blocking_threads(WORKERS)
        .thread_keep_alive(FOR_EVER)
        .build()
        .map_err(thread_error)?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener).map_err(listen)?
    };
    let router = routes::with_fallback(routes(diag, access));
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            // Connections and answers are no news about the host.
            let _unprofiled = diag::Unprofiled::begin();
            start_workers(&runtime);
            // Each packet of a client wakes this thread; the host's work under way goes first.
            diag::stand_back();
            runtime.block_on(accept(listener, router, stopped, patience));
            // Work that still runs on a blocking thread ends by itself; nobody waits for its result any more.
            runtime.shutdown_background();
        })
        .map_err(thread_error)?;
    Ok(Server { local_addr, running: Some(Running { stop, thread }) })
}

/// Starts the threads for work, and waits until they are there: they inherit how nice their maker is, and who holds one of the collector's
/// locks must not be pushed off the processor by those who wait for it.
fn start_workers(runtime: &tokio::runtime::Runtime) {
    let until = Instant::now() + Duration::from_millis(100);
    let here = Arc::new(AtomicUsize::new(0));
    let start = || {
        for _ in 0..WORKERS {
            let here = Arc::clone(&here);
            runtime.spawn_blocking(move || {
                here.fetch_add(1, Ordering::Relaxed);
                // Who were done would do for the next as well.
                while here.load(Ordering::Relaxed) < WORKERS && Instant::now() < until {
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
    };
    // tokio panics where there can be not even one thread; it tries again when there is work.
    let _ = catch_unwind(AssertUnwindSafe(start));
    while here.load(Ordering::Relaxed) < WORKERS && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn access(addr: SocketAddr, token: Option<Result<Token, String>>) -> Result<Access, Error> {
    match token {
        Some(token) => token.map(Access::Token).map_err(|why| Error::Token { addr, why }),
        None if is_loopback(addr.ip()) => Ok(Access::Loopback),
        None => Err(Error::TokenRequired { addr }),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    patience: Patience,
) {
    let seats = Arc::new(Semaphore::new(patience.connections));
    let doormat = Arc::new(Semaphore::new(patience.connections));
    let connections = Pace::new(patience.interval, patience.burst);
    let requests = Arc::new(Pace::new(patience.interval, patience.burst));
    let router = router.layer(from_fn_with_state(requests, in_turn));
    loop {
        let next = async {
            connections.turn().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            () = stop_signal(&mut stopped) => break,
            accepted = next => accepted,
        };
        // Out of descriptors, or the client was gone already: a pause, lest this spins.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
            tokio::spawn(connection(stream, seat, router.clone(), stopped.clone(), patience));
            continue;
        }
        TURNED_AWAY.fetch_add(1, Ordering::Relaxed);
        // Who finds not even a place to be told so is cut off.
        if let Ok(place) = Arc::clone(&doormat).try_acquire_owned() {
            tokio::spawn(turn_away::turn_away(stream, place));
        }
    }
    drop(listener);
    let all = u32::try_from(patience.connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(patience.shutdown, seats.acquire_many(all)).await;
}

async fn in_turn(State(pace): State<Arc<Pace>>, request: Request, next: Next) -> Response {
    pace.turn().await;
    next.run(request).await
}

/// Ready at [`Server::shutdown`], and never when the handle is dropped without it.
async fn stop_signal(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|&stop| stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn connection(
    stream: TcpStream,
    _seat: OwnedSemaphorePermit,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    patience: Patience,
) {
    let io = TokioIo::new(Impatient::new(stream, patience.writes));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .max_buf_size(64 << 10)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // An error is the client's: it went away, spoke something else, or was too slow.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop_signal(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
