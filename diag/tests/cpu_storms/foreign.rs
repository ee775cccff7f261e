//! Other users of SIGPROF in the process.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::frame::{Storm, check, recorded};
use crate::host::{Clocks, handler};
use crate::work::burn;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// What `chaining` found when it was installed.
static CHAINED: AtomicUsize = AtomicUsize::new(0);

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

extern "C" fn plain(signal: libc::c_int) {
    assert_eq!(signal, libc::SIGPROF);
    CALLS.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn with_info(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: given by the kernel.
    if unsafe { (*info).si_signo } == libc::SIGPROF {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
}

/// As good libraries do: works for itself, then calls who was there before.
extern "C" fn chaining(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    let before = CHAINED.load(Ordering::SeqCst);
    if before != libc::SIG_DFL && before != libc::SIG_IGN {
        // SAFETY: a handler with SA_SIGINFO, as `install` has seen.
        let before: Handler = unsafe { std::mem::transmute(before) };
        before(signal, info, context);
    }
}

/// Installs a handler and gives the one before.
fn install(function: usize, flags: libc::c_int) -> libc::sigaction {
    // SAFETY: a valid action of ours, or one that was there.
    unsafe {
        let (mut action, mut before): (libc::sigaction, libc::sigaction) =
            (std::mem::zeroed(), std::mem::zeroed());
        (action.sa_sigaction, action.sa_flags) = (function, flags | libc::SA_RESTART);
        assert_eq!(libc::sigaction(libc::SIGPROF, &action, &mut before), 0);
        before
    }
}

/// A signal that is raised while a sample is pending in the thread is dropped by the kernel.
fn must_be_nearly(called: u64, raised: u64) {
    println!("{called} calls, {raised} raised");
    assert!(called <= raised && called * 50 >= raised * 49, "{called} calls, {raised} raised");
}

/// Raises SIGPROF in this thread so often; each has been handled when it returns.
fn raise(times: u64) {
    for _ in 0..times {
        // SAFETY: a signal to this thread.
        assert_eq!(unsafe { libc::raise(libc::SIGPROF) }, 0);
        burn(20_000);
    }
}

fn raise_while(storm: &Storm) -> u64 {
    let raised = AtomicU64::new(0);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while storm.goes_on() {
                    raise(20);
                    raised.fetch_add(20, Ordering::SeqCst);
                }
            });
        }
    });
    raised.into_inner()
}

/// Signals that are not the sampler's go to the handler before; it is back at the end.
pub(crate) fn before(storm: &Storm) {
    for (function, flags) in
        [(with_info as *const () as usize, libc::SA_SIGINFO), (plain as *const () as usize, 0)]
    {
        install(function, flags);
        let calls = CALLS.load(Ordering::SeqCst);
        let recording = storm.record();
        assert_ne!(handler(), function);
        let clocks = Clocks::now();
        let raised = match flags {
            0 => {
                raise(100);
                burn(50_000_000);
                100
            }
            _ => raise_while(storm),
        };
        let used_ns = Clocks::now().since(&clocks);
        let called = CALLS.load(Ordering::SeqCst) - calls;
        must_be_nearly(called, raised);
        let profile = recording.finish().unwrap();
        check(&profile, used_ns);
        let foreign = profile.meta().losses.iter().find(|l| l.what == "foreign_sigprof").unwrap();
        assert_eq!(foreign.count, called, "no sample, and nothing uncounted");
        assert_eq!(handler(), function, "it is back");
        raise(1);
        assert_eq!(CALLS.load(Ordering::SeqCst) - calls, called + 1);
    }
    install(libc::SIG_DFL, 0);
}

/// A handler that is installed while recording is left alone, then and later, and may call ours.
pub(crate) fn meanwhile(storm: &Storm) {
    let chaining = chaining as *const () as usize;
    let recording = storm.record();
    burn(50_000_000);
    let found = install(chaining, libc::SA_SIGINFO);
    assert_ne!(found.sa_flags & libc::SA_SIGINFO, 0);
    CHAINED.store(found.sa_sigaction, Ordering::SeqCst);
    burn(50_000_000);
    // Samples pass through it to the sampler.
    assert!(CALLS.load(Ordering::SeqCst) > 0);
    recording.finish().unwrap();
    assert_eq!(handler(), chaining, "left alone");
    let calls = CALLS.load(Ordering::SeqCst);
    raise(10);
    assert_eq!(CALLS.load(Ordering::SeqCst) - calls, 10);

    // Now it is the handler before, and calls us in turn.
    let calls = CALLS.load(Ordering::SeqCst);
    let recording = storm.record();
    let clocks = Clocks::now();
    let raised = raise_while(storm);
    let used_ns = Clocks::now().since(&clocks);
    check(&recording.finish().unwrap(), used_ns);
    must_be_nearly(CALLS.load(Ordering::SeqCst) - calls, raised);
    assert_eq!(handler(), chaining);
    install(libc::SIG_DFL, 0);
}

fn set_interval(interval: Duration) {
    let time = libc::timeval { tv_sec: 0, tv_usec: interval.subsec_micros() as libc::suseconds_t };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: reads the struct.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) }, 0);
}

/// The host's own profiler goes on, on its timer, and does not see our signals.
pub(crate) fn interval_timer(storm: &Storm) {
    const EVERY: Duration = Duration::from_millis(20);
    install(with_info as *const () as usize, libc::SA_SIGINFO);
    set_interval(EVERY);
    let clocks = Clocks::now();
    recorded(storm, |storm| {
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while storm.goes_on() {
                        burn(1_000_000);
                    }
                });
            }
        });
    });
    let used_ns = Clocks::now().since(&clocks);
    let (calls, due) = (CALLS.load(Ordering::SeqCst), used_ns / EVERY.as_nanos() as u64);
    println!("{calls} calls of the host's handler, {due} due");
    // Of two signals to the process at the same time one is dropped, whoever sends them.
    assert!(calls > due / 2 && calls < due * 5 / 4 + 10, "{calls} calls, {due} due");
    set_interval(Duration::ZERO);
    install(libc::SIG_IGN, 0);
    install(libc::SIG_DFL, 0);
}
