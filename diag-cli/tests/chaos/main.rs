//! Two services are stopped, killed, starved and moved in time at random, while the command captures, profiles and judges them.
//!
//! One is healthy and answers a route of its own beside diag's (`embed_axum`), one leaks (`leaky_map`). Each has a thread that does harm
//! (`faults`), a thread that asks with one verb after another (`questions`), a `capture` that goes on all the time, and somebody
//! who opens every file under its final name (`files`). What must hold:
//! - a file under its final name is whole, and at the end no unfinished one is left
//! - after each harm but the kill the service answers again, and it never ends by itself
//! - the command ends with 0, 1 or 3 and on 3 with one clear line; without harm it does not fail; and it never says of a service that
//!   leaks that it does not
//!
//! Harm: SIGSTOP and SIGCONT; SIGKILL and a new start; the disk full (a tmpfs of 8 MiB, where one can be mounted); no descriptors
//! left (prlimit); the memory cgroup shrunk to what is used (v1 and v2, where one can be made); the wall clock moved by up to a day
//! (a library before libc's, `clock`), and at a new start the monotonic clock, in a time namespace of its own. The machine's own
//! clocks are not touched. What cannot be done here is left out, with the reason.
//!
//! 30 s; `DIAG_CHAOS_SECONDS=600` for longer, `DIAG_CHAOS_SEED=n` for the harm of an earlier run (its moments differ all the same).
#![allow(unreachable_pub, reason = "part of one test")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod disk;
mod faults;
mod files;
mod questions;
mod random;
mod service;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use faults::Faults;
use files::Files;
use random::Random;
use service::{Plan, Service};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Does one thread's work; the others end with it, also when it fails.
fn until_one_ends(over: &AtomicBool, work: impl FnOnce()) {
    let _ends = Ends(over);
    work();
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn captures_stay_readable_the_service_stays_up_and_the_command_tells_the_truth() {
    let length = Duration::from_secs(number("DIAG_CHAOS_SECONDS").unwrap_or(30));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("DIAG_CHAOS_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    eprintln!("chaos for {} s, DIAG_CHAOS_SEED={seed}", length.as_secs());
    let root = tempfile::tempdir().unwrap();
    let plans = [
        Plan { program: "embed_axum", own_route: "/served", rate: "50", leaks: false },
        Plan { program: "leaky_map", own_route: "/debug/diag/api/v1/health", rate: "150", leaks: true },
    ];
    let services = plans.map(|plan| Service::start(plan, root.path()));
    let over = AtomicBool::new(false);
    let until = Instant::now() + length;
    std::thread::scope(|scope| {
        let over = &over;
        for (service, salt) in services.iter().zip(1..) {
            let mut harm = Faults::new(service, Random::new(seed ^ salt));
            let mut questions = Random::new(seed ^ (salt << 8));
            scope.spawn(move || until_one_ends(over, || harm.go_on(until, over)));
            scope.spawn(move || {
                until_one_ends(over, || questions::go_on(service, &mut questions, until, over))
            });
            scope.spawn(move || until_one_ends(over, || questions::capture(service, until, over)));
            scope.spawn(move || until_one_ends(over, || Files::default().go_on(service, until, over)));
        }
    });
    for service in &services {
        service.undo();
        service.answers_again("at the end");
        eprintln!("{}: {}", service.plan.program, service.counts());
        assert!(service.counted("files") > 4, "hardly a capture in all that time");
        files::nothing_unfinished(service);
        service.said_no_panic();
    }
}
