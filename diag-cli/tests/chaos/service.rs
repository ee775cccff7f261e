//! A service under attack: started again after each kill, and what was done to it when.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::WallClock;
use super::disk::Disk;
use crate::common::cgroup::Cgroup;
use crate::common::example;

/// For an answer after a harm has ended, or a start: far more than is needed, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);
/// What a harm does goes on for a while after it.
const AFTERMATH: Duration = Duration::from_secs(4);
/// Far above what the services need.
pub const AMPLE_BYTES: u64 = 512 << 20;

/// Which service.
pub struct Plan {
    pub program: &'static str,
    /// A path that the service itself answers, or where it has none, the cheapest of diag's.
    pub own_route: &'static str,
    /// Requests a second.
    pub rate: &'static str,
    pub leaks: bool,
}

pub struct Service {
    pub plan: Plan,
    /// `127.0.0.1:port`, the same after each start.
    pub address: String,
    /// On the small disk: where the service captures (`own`) and where the command does (`pulled`).
    pub own: PathBuf,
    pub pulled: PathBuf,
    /// For the command's other files.
    pub scratch: PathBuf,
    pub cgroup: Option<Cgroup>,
    pub clock: Option<WallClock>,
    pub disk: Option<Disk>,
    log: PathBuf,
    child: Mutex<Child>,
    /// When the service answered again after each harm; `None` until then.
    harms: Mutex<Vec<Option<Instant>>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn or_skip<T>(what: &str, made: Result<T, String>) -> Option<T> {
    made.map_err(|why| eprintln!("skipped: {what}: {why}")).ok()
}

impl Service {
    pub fn start(plan: Plan, root: &Path) -> Self {
        let dir = root.join(plan.program);
        let (disk_at, scratch) = (dir.join("disk"), dir.join("scratch"));
        fs::create_dir_all(&disk_at).unwrap();
        fs::create_dir_all(&scratch).unwrap();
        let disk = or_skip("the disk full", Disk::mount(&disk_at));
        let (own, pulled) = (disk_at.join("own"), disk_at.join("pulled"));
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(&pulled).unwrap();
        let name = format!("diag-chaos-{}-{}", std::process::id(), plan.program);
        let cgroup = Cgroup::make(&name, AMPLE_BYTES).map_err(|none| none.why);
        // Free now; it is bound again each time the service starts.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = dir.join("log");
        let clock = or_skip("the wall clock moved", WallClock::make(&dir));
        let cgroup = or_skip("the cgroup shrunk", cgroup);
        let child = Mutex::new(spawn(&plan, &address, &own, &log, cgroup.as_ref(), clock.as_ref(), None));
        let service = Self {
            plan,
            address,
            own,
            pulled,
            scratch,
            cgroup,
            clock,
            disk,
            log,
            child,
            harms: Mutex::default(),
            counts: Mutex::default(),
        };
        service.answers_again("at the start");
        service
    }

    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// SIGKILL, and a new start: with the monotonic clock so many seconds ahead, if any.
    pub fn kill_and_start(&self, pause: Duration, ahead_s: Option<u64>) {
        let mut child = lock(&self.child);
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(pause);
        let (cgroup, clock) = (self.cgroup.as_ref(), self.clock.as_ref());
        *child = spawn(&self.plan, &self.address, &self.own, &self.log, cgroup, clock, ahead_s);
    }

    /// Does a harm, and notes when. Others see it from before it begins until the service answers again.
    pub fn harmed(&self, what: &str, harm: impl FnOnce()) {
        lock(&self.harms).push(None);
        harm();
        self.count(what);
        self.answers_again(what);
        if let Some(last) = lock(&self.harms).last_mut() {
            *last = Some(Instant::now());
        }
    }

    /// Whether nothing was done to the service in this time and shortly before.
    pub fn was_left_alone(&self, from: Instant) -> bool {
        lock(&self.harms).iter().all(|over| over.is_some_and(|over| over + AFTERMATH < from))
    }

    /// Fails when the service does not answer its own route in time, or has ended.
    pub fn answers_again(&self, after: &str) {
        let until = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < until {
            self.lives(after);
            match get(&self.address, self.plan.own_route) {
                Ok(status) if status.starts_with("HTTP/1.1 200") => return,
                Ok(status) => last = status,
                Err(e) => last = e.to_string(),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "{} does not answer {} s after: {after}: {last}{}",
            self.plan.program,
            PATIENCE.as_secs(),
            self.scene()
        );
    }

    /// A service that the kernel killed for its memory is started again; one that ended otherwise fails the test.
    fn lives(&self, after: &str) {
        let mut child = lock(&self.child);
        let Some(status) = child.try_wait().unwrap() else { return };
        let for_memory =
            after.contains("cgroup") && std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(for_memory, "{} ended by itself after: {after}: {status}{}", self.plan.program, self.scene());
        self.count("killed for its memory");
        let (cgroup, clock) = (self.cgroup.as_ref(), self.clock.as_ref());
        *child = spawn(&self.plan, &self.address, &self.own, &self.log, cgroup, clock, None);
    }

    /// Takes back whatever harm lasts.
    pub fn undo(&self) {
        let _ = Command::new("kill").args(["-CONT", &self.pid().to_string()]).status();
        if let Some(disk) = &self.disk {
            disk.empty();
        }
        if let Some(clock) = &self.clock {
            clock.set(0);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.limit(AMPLE_BYTES);
        }
    }

    pub fn count(&self, what: &str) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    pub fn counted(&self, what: &str) -> u64 {
        lock(&self.counts).get(what).copied().unwrap_or(0)
    }

    pub fn counts(&self) -> String {
        let counts: Vec<String> = lock(&self.counts).iter().map(|(what, n)| format!("{n} {what}")).collect();
        counts.join(", ")
    }

    /// The service's own output has no panic of diag's or of its own.
    pub fn said_no_panic(&self) {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(!log.contains("panicked"), "{}: {log}", self.plan.program);
    }

    /// What can be seen of a service that does not do what it should.
    fn scene(&self) -> String {
        let mut seen = format!("\nlog:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        if let Some(cgroup) = &self.cgroup {
            let _ = write!(seen, "\n{} kills\n{}", cgroup.kills(), cgroup.scene(self.child_id(), &self.own));
        }
        seen
    }

    /// 0 while somebody else holds the child.
    fn child_id(&self) -> u32 {
        self.child.try_lock().map_or(0, |child| child.id())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.undo();
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(
    plan: &Plan,
    address: &str,
    own: &Path,
    log: &Path,
    cgroup: Option<&Cgroup>,
    clock: Option<&WallClock>,
    ahead_s: Option<u64>,
) -> Child {
    let log = fs::File::options().create(true).append(true).open(log).unwrap();
    let mut shell = Command::new("sh");
    // In its cgroup before it is the program. The namespace is entered with exec (Linux 6.1); before that the clock stays.
    let join = "[ -z \"$0\" ] || echo $$ > \"$0/cgroup.procs\"; exec \"$@\"";
    shell.args(["-c", join]).arg(cgroup.map_or(Path::new(""), |cgroup| &cgroup.dir));
    if let Some(ahead_s) = ahead_s {
        shell.args([
            "unshare",
            "--time",
            "--monotonic",
            &ahead_s.to_string(),
            "--boottime",
            &ahead_s.to_string(),
        ]);
    }
    shell.arg(example(plan.program)).args(["--rate", plan.rate, "--seconds", "86400", "--listen", address]);
    shell.env("DIAG_CAPTURE_DIR", own).env("DIAG_CAPTURE_EVERY", "1s").env("DIAG_CAPTURE_BYTES", "600KiB");
    shell.env("DIAG_SAMPLE_BYTES", "64KiB");
    if let Some(clock) = clock {
        clock.give(&mut shell);
    }
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The first line of the answer.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let limit = Some(Duration::from_secs(5));
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(5))?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}
