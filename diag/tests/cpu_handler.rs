//! The signal handler of the CPU sampler never allocates or frees: the allocator of this program ends it when it is entered while
//! SIGPROF is blocked, as it is in the handler and in no other thread but the sampler's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![allow(unsafe_code)]
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diag::cpu::{Cpu, CpuError, CpuOptions, Mode, Source};

/// What the program ends with when an allocation was met in a handler.
const CAUGHT: i32 = 77;

static WATCHED: AtomicU64 = AtomicU64::new(0);
static WATCHING: AtomicBool = AtomicBool::new(false);

struct Watched;

#[global_allocator]
static ALLOC: Watched = Watched;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        watch();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        watch();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// System calls only; nothing here allocates or takes a lock.
fn watch() {
    if !WATCHING.load(Ordering::Relaxed) {
        return;
    }
    WATCHED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: writes a mask; reads a name of at most 16 bytes.
    let (blocked, name) = unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        let mut name = [0u8; 16];
        let blocked = libc::sigismember(&mask, libc::SIGPROF) == 1;
        if blocked {
            libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
        }
        (blocked, name)
    };
    if blocked && !name.starts_with(b"diag-cpu\0") {
        const WORDS: &[u8] = b"the allocator was entered while SIGPROF was blocked\n";
        // SAFETY: writes constant bytes and ends the process.
        unsafe {
            libc::write(2, WORDS.as_ptr().cast(), WORDS.len());
            libc::_exit(CAUGHT);
        }
    }
}

/// Allocates, frees and grows at the bottom of stacks of many depths.
#[inline(never)]
fn churn(depth: usize) -> usize {
    let mut block: Vec<u8> = Vec::with_capacity(16 + depth * 7);
    block.push(depth as u8);
    let below = if depth == 0 { 0 } else { churn(depth - 1) };
    block.reserve_exact(depth * 50);
    below + black_box(block).len()
}

/// Busy threads, old ones and new ones, and ones deeper than the ring's buffer.
fn busy(until: Instant) {
    std::thread::scope(|s| {
        for i in 0..4 {
            s.spawn(move || {
                while Instant::now() < until {
                    (0..60).for_each(|depth| _ = black_box(churn(depth)));
                    if i == 0 {
                        black_box(churn(600));
                    }
                    if i == 1 {
                        std::thread::spawn(|| black_box(churn(200))).join().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn the_handler_never_enters_the_allocator() {
    if std::env::var_os("DIAG_ALLOCATE_IN_HANDLER").is_some() {
        return allocate_in_handler();
    }
    for (mode, source) in
        [(Mode::Cpu, Source::PerfCpuClock), (Mode::Cpu, Source::ThreadTimers), (Mode::Wall, Source::Signals)]
    {
        let hz = if mode == Mode::Wall { 500 } else { 1_999 };
        let recording = match Cpu::new().record(&CpuOptions::default().hz(hz).mode(mode).source(source)) {
            Err(CpuError::Unavailable { why, .. }) => {
                println!("skipped: {why}");
                continue;
            }
            other => other.unwrap(),
        };
        let before = WATCHED.load(Ordering::Relaxed);
        WATCHING.store(true, Ordering::Relaxed);
        busy(Instant::now() + Duration::from_secs(2));
        WATCHING.store(false, Ordering::Relaxed);
        let samples = recording.finish().unwrap().total(0);
        let watched = WATCHED.load(Ordering::Relaxed) - before;
        println!("{source:?}: {watched} entries of the allocator, {samples} samples");
        assert!(watched > 20_000 && samples > 20, "{watched} entries, {samples} samples");
    }
}

/// A handler of the host that allocates, called through the sampler's.
extern "C" fn allocating(_: libc::c_int) {
    black_box(vec![1u8; 100]);
}

fn allocate_in_handler() {
    // SAFETY: an action that is all zero but for its function.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = allocating as *const () as usize;
        libc::sigaction(libc::SIGPROF, &action, std::ptr::null_mut());
    }
    let _recording = Cpu::new().record(&CpuOptions::default()).unwrap();
    WATCHING.store(true, Ordering::Relaxed);
    // SAFETY: a signal to this thread.
    unsafe { libc::raise(libc::SIGPROF) };
    println!("not caught");
}

#[test]
fn the_watch_would_see_it() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_handler_never_enters_the_allocator", "--test-threads=1"])
        .env("DIAG_ALLOCATE_IN_HANDLER", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(CAUGHT), "{:?} {output:?}", output.status.signal());
}
