//! Storms of work: in the allocator, in unwinding, in libraries, at the end of stacks, in system calls.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::panic::{catch_unwind, resume_unwind};
use std::process::Command;
use std::thread;

use crate::frame::Storm;
use crate::host::own_ns;

/// Works for so much CPU time of this thread.
#[inline(never)]
pub(crate) fn burn(cpu_ns: u64) -> u64 {
    let until = own_ns() + cpu_ns;
    let mut x = 1u64;
    while own_ns() < until {
        for i in 0..500u64 {
            x = black_box(x.wrapping_mul(i | 1).rotate_left(5));
        }
    }
    x
}

fn in_threads(count: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|s| {
        for i in 0..count {
            let work = &work;
            s.spawn(move || work(i));
        }
    });
}

/// Heap sampling at 4 KiB, churn in four threads, snapshots meanwhile.
pub(crate) fn allocate(storm: &Storm) {
    let diag = diag::Diag::builder().sample_bytes(4096).start().unwrap();
    in_threads(5, |i| {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        while storm.goes_on() {
            if i == 4 {
                black_box(diag.heap().unwrap().snapshot(&Default::default()).unwrap());
                thread::sleep(std::time::Duration::from_millis(50));
                continue;
            }
            for n in 0..1_000usize {
                let mut block = Vec::with_capacity(16 + n * 37 % 6_000);
                block.push(n as u8);
                block.reserve_exact(n * 91 % 9_000);
                if kept.len() > 500 {
                    kept.swap_remove(n % 500);
                }
                kept.push(black_box(block));
            }
        }
    });
    let stats = diag.heap().unwrap().stats();
    println!("{} heap samples, losses {:?}", stats.samples_total, stats.losses);
    assert!(stats.samples_total > 1_000);
}

#[inline(never)]
fn sink(depth: u32) -> u32 {
    let held = vec![depth; 3];
    if depth == 0 {
        // Without the hook, which would write.
        resume_unwind(Box::new(1u8));
    }
    sink(depth - 1) + black_box(held).len() as u32
}

/// Unwinding, with and without a hook that takes a backtrace.
pub(crate) fn panic(storm: &Storm) {
    std::panic::set_hook(Box::new(|_| _ = black_box(std::backtrace::Backtrace::force_capture())));
    in_threads(4, |i| {
        while storm.goes_on() {
            let caught = match i {
                0 => catch_unwind(|| panic!("a storm")),
                _ => catch_unwind(|| _ = sink(black_box(30))),
            };
            assert!(caught.is_err());
        }
    });
    drop(std::panic::take_hook());
}

/// Two libraries with functions of different frames, at the same addresses in turn.
pub(crate) fn load_and_unload(storm: &Storm) {
    let dir = tempfile::tempdir().unwrap();
    let libraries = [("small", "int a = 0;"), ("large", "volatile char a[3000]; a[n & 2047] = 1;")].map(|(name, locals)| {
        let (source, library) = (dir.path().join(format!("{name}.c")), dir.path().join(format!("{name}.so")));
        let code = format!(
            "int spin(int n) {{ {locals} volatile int x = 1; for (int i = 0; i < 20000; i++) x = x * 3 + n; return x; }}\n\
             int call(int n) {{ {locals} return n ? call(n - 1) + 1 : spin(n); }}\n"
        );
        std::fs::write(&source, code).unwrap();
        let flags = ["-shared", "-fPIC", "-O1", "-fno-optimize-sibling-calls", "-o"];
        let built = Command::new("cc").args(flags).arg(&library).arg(&source).status();
        assert!(built.is_ok_and(|s| s.success()), "a C compiler is needed, as for building jemalloc");
        std::ffi::CString::new(library.to_str().unwrap()).unwrap()
    });
    in_threads(2, |i| {
        let mut turn = i;
        while storm.goes_on() {
            turn += 1;
            // SAFETY: a library of ours without initialisers, and a function of this type.
            unsafe {
                let library = libc::dlopen(libraries[turn % 2].as_ptr(), libc::RTLD_NOW);
                assert!(!library.is_null());
                let call: extern "C" fn(i32) -> i32 =
                    std::mem::transmute(libc::dlsym(library, c"call".as_ptr()));
                for _ in 0..10 {
                    black_box(call(black_box(10)));
                }
                libc::dlclose(library);
            }
        }
    });
}

/// Down to where hardly a frame is left, and works there.
#[inline(never)]
fn down_to(end: usize, below: &mut u64) {
    let here = 0u64;
    let left = (&raw const here as usize).saturating_sub(end);
    if left > 700 {
        down_to(end, below);
        black_box(&here);
    } else {
        for i in 0..100_000u64 {
            *below = black_box(below.wrapping_mul(i | 1).rotate_left(5));
        }
    }
}

/// Lowest address of the calling thread's stack.
fn stack_end() -> usize {
    // SAFETY: asks for the attributes of this thread and destroys them.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &mut attributes), 0);
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        libc::pthread_attr_getstack(&attributes, &mut low, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        low as usize
    }
}

pub(crate) fn recurse(storm: &Storm) {
    while storm.goes_on() {
        thread::scope(|s| {
            for _ in 0..2 {
                thread::Builder::new()
                    .stack_size(48 << 10)
                    .spawn_scoped(s, || {
                        let (end, mut below) = (stack_end(), 1);
                        for _ in 0..50 {
                            down_to(end, &mut below);
                        }
                    })
                    .unwrap();
            }
        });
    }
}

thread_local! {
    static CONTEXTS: std::cell::UnsafeCell<[libc::ucontext_t; 2]> = const {
        // SAFETY: plain numbers and pointers.
        std::cell::UnsafeCell::new(unsafe { std::mem::zeroed() })
    };
}

fn contexts() -> *mut libc::ucontext_t {
    CONTEXTS.with(|c| c.get().cast())
}

extern "C" fn coroutine() {
    for _ in 0..20 {
        burn(10_000);
        let contexts = contexts();
        // SAFETY: both contexts are this thread's; the other one waits in `switch_stacks`.
        unsafe { libc::swapcontext(contexts.add(1), contexts) };
    }
}

/// Coroutines whose stacks come, go, and come back smaller within what was a larger one.
pub(crate) fn switch_stacks(storm: &Storm) {
    in_threads(2, |i| {
        let mut turn = i;
        while storm.goes_on() {
            turn += 1;
            let bytes = [1 << 20, 64 << 10, 32 << 10, 256 << 10][turn % 4];
            // SAFETY: a stack of its own, freed when the coroutine has ended, in this thread only.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let stack =
                    libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
                assert_ne!(stack, libc::MAP_FAILED);
                let contexts = contexts();
                let own = contexts.add(1);
                libc::getcontext(own);
                (*own).uc_stack.ss_sp = stack;
                (*own).uc_stack.ss_size = bytes;
                (*own).uc_link = contexts;
                libc::makecontext(own, coroutine, 0);
                for _ in 0..21 {
                    libc::swapcontext(contexts, own);
                }
                libc::munmap(stack, bytes);
            }
        }
    });
}

/// Calls that must not see EINTR, since the handler restarts them, and an errno that is nobody else's.
pub(crate) fn call_the_system(storm: &Storm) {
    let mut ends = [[0; 2]; 2];
    for end in &mut ends {
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe2(end.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    }
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let [[here, to_here], [there, to_there]] = ends;
    let must = |result: isize, what: &str| {
        assert_eq!(result, 1, "{what}: {}", std::io::Error::last_os_error());
    };
    in_threads(5, |i| {
        let (mut buffer, mut byte) = (vec![0u8; 64 << 10], [7u8; 1]);
        while storm.goes_on() {
            // SAFETY: descriptors that are open, buffers of the length told.
            unsafe {
                match i {
                    0 => (0..10_000).for_each(|_| _ = libc::syscall(libc::SYS_getppid)),
                    1 => {
                        let fd = std::os::fd::AsRawFd::as_raw_fd(&zero);
                        let got = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
                        // A signal may cut it short, but not fail it.
                        assert!(got > 0, "{}", std::io::Error::last_os_error());
                    }
                    2 => {
                        must(libc::write(to_there, byte.as_ptr().cast(), 1), "write");
                        must(libc::read(here, byte.as_mut_ptr().cast(), 1), "read");
                    }
                    3 => {
                        must(libc::read(there, byte.as_mut_ptr().cast(), 1), "read");
                        must(libc::write(to_here, byte.as_ptr().cast(), 1), "write");
                        if byte[0] == 0 {
                            return;
                        }
                    }
                    _ => {
                        *libc::__errno_location() = 12_345;
                        for n in 0..100_000u64 {
                            black_box(n);
                            assert_eq!(*libc::__errno_location(), 12_345);
                        }
                    }
                }
            }
        }
        // The other side may still wait for a byte.
        if i == 2 {
            // SAFETY: as above.
            unsafe {
                libc::write(to_there, [0u8].as_ptr().cast(), 1);
            }
        } else if i == 3 {
            // SAFETY: as above.
            unsafe { libc::write(to_here, [0u8].as_ptr().cast(), 1) };
        }
    });
    for fd in ends.into_iter().flatten() {
        // SAFETY: ours, and nobody uses it any more.
        unsafe { libc::close(fd) };
    }
}
