//! jemalloc's control interface, typed: names, types and meaning of each control are from jemalloc(3), and the
//! `experimental.hooks.*` ones from jemalloc 5.3.1's src/ctl.c.

use std::ffi::{c_uint, c_void};

use tikv_jemalloc_ctl::raw;

// jemalloc's settings as this library ships them: profiling is possible, and switched on at start. While inactive it costs
// what jemalloc's opt.prof costs: measured 2026-11-21 on a busy machine, 8 % of an alloc+free pair of 16 B to 1 KiB and
// 14 to 18 % of 4 to 16 KiB against prof:false (benches/heap_cost.rs). Weaker than the MALLOC_CONF environment variable.
//
// The symbols are weak, so that a host with settings of its own keeps them and still links. jemalloc looks at the prefixed symbol, or
// at the plain one when it is built to replace malloc. Not on musl: there the libgcc unwinder that jemalloc calls at
// boot deadlocks (jemalloc #585).
#[cfg(all(target_os = "linux", not(target_env = "musl")))]
std::arch::global_asm!(
    ".pushsection .rodata.diag_malloc_conf,\"a\"",
    "2: .asciz \"prof:true,prof_active:false,lg_prof_sample:19\"",
    ".popsection",
    ".pushsection .data.rel.ro.diag_malloc_conf,\"aw\"",
    ".balign 8",
    ".weak _rjem_malloc_conf",
    ".weak malloc_conf",
    ".weak diag_shipped_malloc_conf",
    "_rjem_malloc_conf:",
    "malloc_conf:",
    "diag_shipped_malloc_conf:",
    ".quad 2b",
    ".popsection",
);

/// Keeps the settings above in the link.
pub(crate) fn keep_shipped_conf() {
    #[cfg(all(target_os = "linux", not(target_env = "musl")))]
    {
        unsafe extern "C" {
            static diag_shipped_malloc_conf: *const u8;
        }
        std::hint::black_box(&raw const diag_shipped_malloc_conf);
    }
}

/// `void (*)(const void *ptr, size_t size, void **bt, unsigned bt_len, size_t usable_size)`
pub(crate) type SampleHook = unsafe extern "C" fn(*const c_void, usize, *mut *mut c_void, c_uint, usize);
/// `void (*)(const void *ptr, size_t usable_size)`
pub(crate) type SampleFreeHook = unsafe extern "C" fn(*const c_void, usize);
/// `void (*)(void **vec, unsigned *len, unsigned max_len)`
pub(crate) type BacktraceHook = unsafe extern "C" fn(*mut *mut c_void, *mut c_uint, c_uint);

const PROF_SAMPLE: &[u8] = b"experimental.hooks.prof_sample\0";
const PROF_SAMPLE_FREE: &[u8] = b"experimental.hooks.prof_sample_free\0";
const PROF_BACKTRACE: &[u8] = b"experimental.hooks.prof_backtrace\0";

pub(crate) type Result<T> = std::result::Result<T, tikv_jemalloc_ctl::Error>;

/// `opt.prof`: whether profiling was switched on at boot.
pub(crate) fn opt_prof() -> Result<bool> {
    // SAFETY: the control is a bool.
    unsafe { raw::read(b"opt.prof\0") }
}

/// `prof.lg_sample`: log2 of the mean bytes between samples, now.
pub(crate) fn lg_sample() -> Result<usize> {
    // SAFETY: the control is a size_t.
    unsafe { raw::read(b"prof.lg_sample\0") }
}

/// `prof.reset`: sets log2 of the mean bytes between samples. jemalloc forgets its own samples, not ours.
pub(crate) fn reset_lg_sample(lg: usize) -> Result<()> {
    // SAFETY: the control takes a size_t.
    unsafe { raw::write(b"prof.reset\0", lg) }
}

/// `prof.active`: whether allocations are sampled.
pub(crate) fn set_active(active: bool) -> Result<()> {
    // SAFETY: the control takes a bool.
    unsafe { raw::write(b"prof.active\0", active) }
}

/// `prof.active`.
pub(crate) fn is_active() -> Result<bool> {
    // SAFETY: the control is a bool.
    unsafe { raw::read(b"prof.active\0") }
}

/// `prof.dump`: writes a heap_v2 dump to `path`.
pub(crate) fn dump(path: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the control takes a `const char *`, used during the call only.
    unsafe { raw::write(b"prof.dump\0", path.as_ptr()) }
}

/// `version`.
pub(crate) fn version() -> String {
    // SAFETY: the control is a static, zero-terminated string.
    let version = unsafe { raw::read_str(b"version\0") };
    version.map_or_else(
        |_| "unknown".to_owned(),
        |v| String::from_utf8_lossy(v).trim_end_matches('\0').to_owned(),
    )
}

/// `thread.allocated`: bytes this thread ever allocated from jemalloc.
pub(crate) fn thread_allocated() -> Result<u64> {
    // SAFETY: the control is a uint64_t.
    unsafe { raw::read(b"thread.allocated\0") }
}

/// `stats.allocated` and `stats.resident` of now: bytes in use, and bytes of the allocator that are resident. The refresh walks the arenas, some
/// microseconds each.
#[cfg(feature = "recorder")]
pub(crate) fn live_and_resident_bytes() -> Result<(u64, u64)> {
    // SAFETY: "epoch" is a u64, the others are size_t.
    let (live, resident): (usize, usize) = unsafe {
        raw::write(b"epoch\0", 1u64)?;
        (raw::read(b"stats.allocated\0")?, raw::read(b"stats.resident\0")?)
    };
    Ok((live as u64, resident as u64))
}

/// Whether somebody else has set the sample hooks. Fails where jemalloc has none.
pub(crate) fn hooks_taken() -> Result<bool> {
    // SAFETY: the controls are function pointers, null or valid; read as optional ones.
    unsafe {
        let sample: Option<SampleHook> = raw::read(PROF_SAMPLE)?;
        let free: Option<SampleFreeHook> = raw::read(PROF_SAMPLE_FREE)?;
        Ok(sample.is_some() || free.is_some())
    }
}

/// The backtrace hook in force; jemalloc always has one.
pub(crate) fn backtrace_hook() -> Result<BacktraceHook> {
    // SAFETY: the control is a function pointer, never null.
    unsafe { raw::read(PROF_BACKTRACE) }
}

/// Sets the hooks; `None` for the backtrace hook leaves it. The free hook goes in before the sample hook, so that no
/// sample is missed when it dies.
///
/// # Safety
/// The functions must keep the rules of allocator hooks for the rest of the process: no unwinding out, no freeing, no
/// waiting for an allocation.
pub(crate) unsafe fn set_hooks(
    sample: Option<SampleHook>,
    free: Option<SampleFreeHook>,
    backtrace: Option<BacktraceHook>,
) -> Result<()> {
    // SAFETY: the controls take function pointers of these types, null for none; the caller answers for the functions.
    unsafe {
        raw::write(PROF_SAMPLE_FREE, free)?;
        raw::write(PROF_SAMPLE, sample)?;
        backtrace.map_or(Ok(()), |hook| raw::write(PROF_BACKTRACE, hook))
    }
}
