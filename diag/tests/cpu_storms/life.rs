//! Storms of beginnings and ends: of processes, threads, recordings.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diag::cpu::{Cpu, CpuError};

use crate::frame::{Storm, recorded};
use crate::host::handler;
use crate::work::burn;

/// What a forked child does: allocates, and sometimes records itself.
fn in_child(storm: &Storm, records: bool) -> bool {
    let blocks: Vec<Vec<u8>> = (0..2_000usize).map(|i| vec![1; 1 + i % 5_000]).collect();
    black_box(blocks);
    if !records {
        return true;
    }
    let recording = storm.record();
    burn(10_000_000);
    recording.finish().is_ok_and(|p| p.total(1) > 5_000_000)
}

fn wait(child: libc::pid_t) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: a child of ours that hangs.
    unsafe { libc::kill(child, libc::SIGKILL) };
    None
}

pub(crate) fn fork_and_exec(storm: &Storm) {
    thread::scope(|s| {
        s.spawn(|| {
            while storm.goes_on() {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        s.spawn(|| {
            let mut forks = 0;
            while storm.goes_on() {
                forks += 1;
                // SAFETY: the child allocates, uses the sampler, and ends by _exit.
                let child = unsafe { libc::fork() };
                assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
                if child == 0 {
                    let fine = in_child(storm, forks % 20 == 1);
                    // SAFETY: ends the child without running the parent's exit handlers.
                    unsafe { libc::_exit(if fine { 0 } else { 3 }) };
                }
                assert_eq!(wait(child), Some(0), "child {forks}; None is a hang");
            }
            println!("{forks} forks");
        });
        for _ in 0..2 {
            s.spawn(|| {
                while storm.goes_on() {
                    black_box(vec![1u8; 10_000]);
                    burn(100_000);
                }
            });
        }
    });
}

fn short_threads(storm: &Storm, cpu_ns: u64, at_once: usize) {
    let mut threads = 0u64;
    // One that lives long, and was there before the others.
    thread::scope(|s| {
        s.spawn(|| {
            while storm.goes_on() {
                burn(1_000_000);
            }
        });
        while storm.goes_on() {
            thread::scope(|s| {
                for _ in 0..at_once {
                    threads += 1;
                    s.spawn(|| burn(cpu_ns));
                }
            });
        }
    });
    println!("{threads} threads");
}

pub(crate) fn threads_of_5_ms(storm: &Storm) {
    short_threads(storm, 5_000_000, 4);
}

pub(crate) fn threads_of_100_us(storm: &Storm) {
    short_threads(storm, 100_000, 16);
}

/// As it is, or set.
fn descriptor_limit(set: Option<libc::rlimit>) -> libc::rlimit {
    let mut limit = set.unwrap_or(libc::rlimit { rlim_cur: 0, rlim_max: 0 });
    // SAFETY: reads or writes the struct.
    let failed = unsafe {
        match set {
            Some(_) => libc::setrlimit(libc::RLIMIT_NOFILE, &limit),
            None => libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit),
        }
    };
    assert_eq!(failed, 0);
    limit
}

/// New threads whose stack's bounds cannot be read, and a sampler that cannot list them. The thread that was there before,
/// and had worked before, is charged with what it did meanwhile.
pub(crate) fn without_descriptors(storm: &Storm) {
    burn(500_000_000);
    recorded(storm, |storm| {
        let limit = descriptor_limit(None);
        descriptor_limit(Some(libc::rlimit { rlim_cur: 3, ..limit }));
        loop {
            thread::scope(|s| {
                (0..2).for_each(|_| _ = s.spawn(|| burn(50_000_000)));
                burn(150_000_000);
            });
            if !storm.goes_on() {
                break;
            }
        }
        descriptor_limit(Some(limit));
        burn(200_000_000);
    });
}

/// Keeps SIGPROF from this thread, or lets it through; what was pending comes at once then.
fn block(how: libc::c_int) {
    // SAFETY: a mask of one signal, for this thread.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut mask, libc::SIGPROF);
        assert_eq!(libc::pthread_sigmask(how, &mask, std::ptr::null_mut()), 0);
    }
}

/// As fast as it goes, with busy threads, short ones, and one that blocks the signal: one that came late would end the process.
pub(crate) fn start_and_stop(storm: &Storm) {
    let mut rounds = 0;
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    burn(200_000);
                    thread::yield_now();
                }
            });
        }
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                block(libc::SIG_BLOCK);
                burn(3_000_000);
                block(libc::SIG_UNBLOCK);
                thread::scope(|s| (0..8).for_each(|_| _ = s.spawn(|| burn(20_000))));
            }
        });
        // All 500 where there is time.
        while rounds < 500 && storm.goes_on() {
            rounds += 1;
            let mut options = storm.options();
            if rounds % 2 == 0 {
                // As it is by default: goes over from timers to events, or ends before.
                options.source = None;
            }
            let recording = loop {
                match Cpu::new().record(&options) {
                    Err(CpuError::Busy { .. }) => thread::yield_now(),
                    other => break other.unwrap(),
                }
            };
            match rounds % 3 {
                0 => drop(recording),
                _ => {
                    recording.finish().unwrap();
                    assert_eq!(handler(), libc::SIG_DFL);
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    println!("{rounds} recordings");
    assert!(rounds > 20);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Cpu::new().stats().recording && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}
