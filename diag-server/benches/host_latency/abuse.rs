//! The abusers: one process with one thread, which begins so much of each kind each second, whatever comes back. So the load is the same on
//! whatever it is aimed at; what did not go as planned is counted.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};

/// The flag of the process, and the place of the target.
pub const FLAG: &str = "--abuse";
const NOBODY: &str = "nobody";

const BURST: usize = 500;
/// Connections under way, below the usual limit of descriptors.
const MOST: usize = 950;
/// All of a burst are gone before the next one.
const PATIENCE: Duration = Duration::from_millis(700);

/// What became of it, a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Connections begun.
    pub begun: f64,
    /// Of them those that were accepted by the kernel.
    pub connected: f64,
    /// Of them those that something came back on.
    pub answered: f64,
    /// Connections that were due and not begun, since too many were under way.
    pub left_out: f64,
}

/// The process; it ends with the value, and with this process.
pub struct Abusers {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Abusers {
    /// On these processors, with the lowest priority. Without a target it opens a listener of its own, in its own process, which closes what
    /// it accepts.
    pub fn start(target: Option<SocketAddr>, processors: Option<&str>) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = match processors {
            Some(list) => {
                let mut command = Command::new("taskset");
                command.args(["-c", list, "nice"]);
                command
            }
            None => Command::new("nice"),
        };
        let target = target.map_or(NOBODY.to_owned(), |addr| addr.to_string());
        command.args(["-n", "19"]).arg(exe).args([FLAG, &target]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nice and taskset are there");
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "abusing\n");
        Self { child, stdin, stdout }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it.
    pub fn end(mut self) -> Report {
        drop(self.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let values: Vec<f64> = line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
        assert_eq!(values.len(), 4, "{line:?}");
        Report { begun: values[0], connected: values[1], answered: values[2], left_out: values[3] }
    }
}

impl Drop for Abusers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    connected: AtomicU64,
    answered: AtomicU64,
    left_out: AtomicU64,
}

struct Abuse {
    target: SocketAddr,
    counts: Counts,
    places: Semaphore,
}

/// The process itself: until its input ends.
pub fn run(target: &str) {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let abuse = runtime.block_on(async {
        let target = match target.parse() {
            Ok(addr) => addr,
            Err(_) => closing_listener(),
        };
        let (counts, places) = (Counts::default(), Semaphore::new(MOST));
        let abuse = Arc::new(Abuse { target, counts, places });
        each(&abuse, Duration::from_secs(1), BURST, |abuse| async move {
            let socket = abuse.connect().await;
            sleep(Duration::from_millis(200)).await;
            drop(socket);
        });
        // Some hundred at once, more than the listener has places.
        each(&abuse, Duration::from_millis(10), 1, |abuse| async move {
            let Some(mut socket) = abuse.connect().await else { return };
            while socket.write_all(b"X-Drip: 1\r\n").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        each(&abuse, Duration::from_millis(4), 1, |abuse| async move {
            abuse.ask(b"GET /debug/pprof/heap?seconds=never HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        });
        each(&abuse, Duration::from_millis(50), 1, |abuse| async move {
            abuse.ask(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200 << 10)).as_bytes()).await;
        });
        each(&abuse, Duration::from_millis(100), 1, |abuse| async move {
            let one = "GET /debug/diag/api/v1/status?x HTTP/1.1\r\nHost: nobody.example\r\n\r\n";
            abuse.ask(one.repeat(100).as_bytes()).await;
        });
        println!("abusing");
        let input_ends = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = input_ends.await;
        abuse
    });
    let Counts { begun, connected, answered, left_out } = &abuse.counts;
    let seconds = began.elapsed().as_secs_f64();
    let rates = [begun, connected, answered, left_out].map(|n| n.load(Ordering::Relaxed) as f64 / seconds);
    println!("{} {} {} {}", rates[0], rates[1], rates[2], rates[3]);
    // Without waiting for what is under way.
    let _ = std::io::stdout().flush();
    std::process::exit(0);
}

/// So many at once, again and again.
fn each<F: Future<Output = ()> + Send + 'static>(
    abuse: &Arc<Abuse>,
    every: Duration,
    at_once: usize,
    one: impl Fn(Arc<Abuse>) -> F + Send + 'static,
) {
    let abuse = Arc::clone(abuse);
    tokio::spawn(async move {
        let mut ticks = interval(every);
        loop {
            ticks.tick().await;
            for _ in 0..at_once {
                let one = one(Arc::clone(&abuse));
                let abuse = Arc::clone(&abuse);
                tokio::spawn(async move {
                    let Ok(_place) = abuse.places.try_acquire() else {
                        abuse.counts.left_out.fetch_add(1, Ordering::Relaxed);
                        return;
                    };
                    let _ = timeout(PATIENCE + Duration::from_millis(250), one).await;
                });
            }
        }
    });
}

impl Abuse {
    async fn connect(&self) -> Option<TcpStream> {
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        let socket = timeout(PATIENCE, TcpStream::connect(self.target)).await.ok()?.ok()?;
        self.counts.connected.fetch_add(1, Ordering::Relaxed);
        Some(socket)
    }

    async fn ask(&self, request: &[u8]) {
        let Some(mut socket) = self.connect().await else { return };
        let _ = socket.write_all(request).await;
        let mut answer = [0; 4096];
        let mut read = socket.read(&mut answer).await.unwrap_or(0);
        self.counts.answered.fetch_add(u64::from(read > 0), Ordering::Relaxed);
        while read > 0 {
            read = socket.read(&mut answer).await.unwrap_or(0);
        }
    }
}

/// As long a queue as that of diag's listener, and nothing behind it.
fn closing_listener() -> SocketAddr {
    let listener = std::net::TcpListener::bind(super::LOCAL).unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    addr
}
