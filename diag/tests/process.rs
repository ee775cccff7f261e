//! The collector beside what processes do: fork, dlopen and dlclose, coroutines, deep recursion.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests
#![allow(unsafe_code)]

use std::hint::black_box;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diag::heap::{Heap, SnapshotOptions};
use diag::profile::Profile;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

fn heap() -> (Heap, MutexGuard<'static, ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static DIAG: Mutex<Option<diag::Diag>> = Mutex::new(None);
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut diag = DIAG.lock().unwrap_or_else(PoisonError::into_inner);
    let diag = diag.get_or_insert_with(|| diag::Diag::builder().sample_bytes(4096).start().unwrap());
    (*diag.heap().unwrap(), guard)
}

fn snapshot(heap: &Heap) -> Profile {
    heap.snapshot(&SnapshotOptions::default()).unwrap()
}

fn churn(n: usize) {
    for i in 0..n {
        black_box(Vec::<u8>::with_capacity(100 + i % 5000));
    }
}

#[test]
fn children_of_a_busy_process_go_on() {
    let (heap, _guard) = heap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    churn(1_000);
                }
            });
        }
        for round in 0..40 {
            // SAFETY: the child only allocates, frees, reads the collector and ends by _exit.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
            if child == 0 {
                churn(5_000);
                let samples = snapshot(&heap).sample_count();
                // SAFETY: ends the child without running the parent's exit handlers.
                unsafe { libc::_exit(if samples > 0 { 0 } else { 3 }) };
            }
            let status = wait(child);
            assert_eq!(status, Some(0), "child of round {round}: None is a hang");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// The wait status, or `None` after killing a child that hung.
fn wait(child: i32) -> Option<i32> {
    let started = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: waits for our own child.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return Some(status);
        }
        if started.elapsed() > Duration::from_secs(30) {
            // SAFETY: our own child, not yet waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

extern "C" fn allocate_below_c(kept: *mut Vec<Vec<u8>>) {
    // SAFETY: the pointer that `through_library` was given.
    let kept = unsafe { &mut *kept };
    for _ in 0..200 {
        kept.push(black_box(Vec::with_capacity(4000)));
    }
}

#[test]
fn stacks_lead_through_libraries_loaded_later_and_survive_their_unloading() {
    let (heap, _guard) = heap();
    let dir = tempfile::tempdir().unwrap();
    let (source, library) = (dir.path().join("plugin.c"), dir.path().join("libplugin.so"));
    std::fs::write(
        &source,
        "volatile int after; void plugin_call(void (*f)(void *), void *p) { f(p); after = 1; }\n",
    )
    .unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(built.is_ok_and(|s| s.success()), "a C compiler is needed, as for building jemalloc");

    let name = std::ffi::CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: a library of ours, without initialisers.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    snapshot(&heap);
    // SAFETY: the symbol is a function of this type.
    let call: extern "C" fn(extern "C" fn(*mut Vec<Vec<u8>>), *mut Vec<Vec<u8>>) =
        unsafe { std::mem::transmute(libc::dlsym(handle, c"plugin_call".as_ptr())) };
    let mut kept = Vec::with_capacity(200);
    call(allocate_below_c, &mut kept);

    let in_plugin = |profile: &Profile| {
        let plugin = |m: &diag::profile::Mapping| profile.str(m.file).ends_with("libplugin.so");
        profile
            .samples()
            .filter(|s| s.values[3] > 0)
            .filter_map(|s| {
                let stack = profile.stack(s.stack);
                let at = stack
                    .iter()
                    .position(|l| profile.location(*l).mapping.is_some_and(|m| plugin(profile.mapping(m))))?;
                Some((s.values[3], stack.len() - at))
            })
            .collect::<Vec<_>>()
    };
    let found = in_plugin(&snapshot(&heap));
    let bytes: i64 = found.iter().map(|(bytes, _)| bytes).sum();
    assert!((bytes as f64 / (200.0 * 4096.0) - 1.0).abs() < 0.5, "{bytes} bytes below the plugin");
    assert!(found.iter().all(|(_, below)| *below > 5), "the walk goes on to the root: {found:?}");

    // SAFETY: nothing of the library is used any more.
    unsafe { libc::dlclose(handle) };
    assert_eq!(in_plugin(&snapshot(&heap)).len(), found.len(), "its addresses keep their file");
    churn(10_000);
    drop(kept);
}

#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let block = black_box(Vec::<u8>::with_capacity(2000));
    if depth == 0 {
        churn(50);
        return block.capacity() as u32;
    }
    recurse(depth - 1) + black_box(1)
}

#[test]
fn deep_recursion_is_cut_and_counted() {
    let (heap, _guard) = heap();
    let before = heap.stats().losses.get("truncated_stacks").copied().unwrap_or(0);
    for _ in 0..20 {
        recurse(1_000);
    }
    let after = heap.stats().losses.get("truncated_stacks").copied().unwrap_or(0);
    assert!(after > before);
    let deepest = snapshot(&heap).samples().count();
    assert!(deepest > 0);
}

#[test]
fn allocations_on_a_coroutine_stack_are_safe() {
    let (heap, _guard) = heap();
    extern "C" fn body() {
        churn(2_000);
    }
    let before = heap.stats().samples_total;
    let mut stack = vec![0u64; 32 << 10];
    // SAFETY: the two contexts and the stack outlive the switch; the body returns to `uc_link`.
    unsafe {
        let mut main_context: libc::ucontext_t = std::mem::zeroed();
        let mut context: libc::ucontext_t = std::mem::zeroed();
        libc::getcontext(&mut context);
        context.uc_stack.ss_sp = stack.as_mut_ptr().cast();
        context.uc_stack.ss_size = size_of_val(&stack[..]);
        context.uc_link = &mut main_context;
        libc::makecontext(&mut context, body, 0);
        libc::swapcontext(&mut main_context, &context);
    }
    churn(2_000);
    assert!(heap.stats().samples_total > before);
}
