//! What is done to a service, one harm at a time, each taken back after some seconds.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::random::Random;
use super::service::{AMPLE_BYTES, Service};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Stopped,
    Killed,
    DiskFull,
    NoDescriptors,
    CgroupShrunk,
    ClockMoved,
}

pub struct Faults<'s> {
    service: &'s Service,
    random: Random,
    possible: Vec<Harm>,
}

impl<'s> Faults<'s> {
    pub fn new(service: &'s Service, random: Random) -> Self {
        let mut possible = vec![Harm::Stopped, Harm::Killed];
        let mut add = |harm, can: bool| possible.extend(can.then_some(harm));
        add(Harm::DiskFull, service.disk.is_some());
        add(Harm::CgroupShrunk, service.cgroup.is_some());
        add(Harm::ClockMoved, service.clock.is_some());
        let prlimit = Command::new("prlimit").arg("--version").output().is_ok_and(|o| o.status.success());
        add(Harm::NoDescriptors, prlimit);
        if !prlimit {
            eprintln!("skipped: no descriptors: there is no prlimit");
        }
        Self { service, random, possible }
    }

    /// Harm and quiet by turns; the quiet is long enough now and then for a question that nothing disturbs.
    pub fn go_on(&mut self, until: Instant, over: &AtomicBool) {
        while Instant::now() < until && !over.load(Ordering::SeqCst) {
            let quiet = if self.random.below(4) == 0 { (8_000, 12_000) } else { (100, 2_000) };
            std::thread::sleep(self.random.between_ms(quiet.0, quiet.1));
            let harm = self.random.of(&self.possible);
            self.harm(harm);
        }
    }

    fn harm(&mut self, harm: Harm) {
        let (service, length) = (self.service, self.random.between_ms(100, 2_500));
        match harm {
            Harm::Stopped => service.harmed("stopped", || {
                signal(service.pid(), "-STOP");
                std::thread::sleep(length);
                signal(service.pid(), "-CONT");
            }),
            Harm::Killed => {
                let ahead_s = (self.random.below(2) == 0).then(|| 1 + self.random.below(10_000_000));
                let ahead_s = ahead_s.filter(|_| can_unshare());
                service.harmed("killed", || service.kill_and_start(length / 2, ahead_s));
            }
            Harm::DiskFull => service.harmed("disk full", || {
                let disk = service.disk.as_ref().unwrap();
                disk.fill();
                std::thread::sleep(length);
                disk.empty();
            }),
            Harm::NoDescriptors => {
                let spare = self.random.below(4);
                service.harmed("out of descriptors", || starve(service.pid(), spare, length));
            }
            Harm::CgroupShrunk => {
                let spare = self.random.below(2 << 20);
                service.harmed("cgroup shrunk", || {
                    let cgroup = service.cgroup.as_ref().unwrap();
                    // Where that much cannot be reclaimed at once v1 refuses, and then nothing is harmed.
                    let _ = cgroup.usage_bytes().map(|bytes| cgroup.limit(bytes + spare));
                    std::thread::sleep(length);
                    cgroup.limit(AMPLE_BYTES).unwrap();
                });
            }
            Harm::ClockMoved => {
                let by_s = self.random.below(2 * 86_400) as i64 - 86_400;
                service.harmed("clock moved", || service.clock.as_ref().unwrap().set(by_s));
            }
        }
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// The soft limit is what is open and a few more; the hard one stays, so that it can be taken back.
fn starve(pid: u32, spare: u64, length: Duration) {
    let set = |limit: u64| {
        let prlimit = Command::new("prlimit")
            .args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")])
            .output()
            .unwrap();
        assert!(prlimit.status.success(), "{}", String::from_utf8_lossy(&prlimit.stderr));
    };
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(16, |fds| fds.count() as u64);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let before = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(1024);
    set(open + spare);
    std::thread::sleep(length);
    set(before);
}

fn can_unshare() -> bool {
    Command::new("unshare")
        .args(["--time", "--monotonic", "1", "true"])
        .output()
        .is_ok_and(|o| o.status.success())
}
