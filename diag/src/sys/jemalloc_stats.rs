//! jemalloc's statistics through `mallctl`. Cheap except [`refresh`], which takes jemalloc's statistics lock and each
//! arena's in turn; an arena's lock is held for microseconds.
//!
//! Every read names the type that jemalloc 5.3 documents for it; a wrong size is an error, not a wrong number.

use std::ffi::{CString, c_uint, c_void};
use std::ptr;

use tikv_jemalloc_sys as ffi;

/// `MALLCTL_ARENAS_ALL`: the index that means all arenas together.
const ALL_ARENAS: usize = 4096;
/// A bound for the loops: jemalloc itself has at most 4094 arenas.
const MOST_ARENAS: usize = 4094;
/// jemalloc 5.3 has 36 to 39 small size classes.
const MOST_BINS: usize = 256;

/// One initialised arena.
pub(crate) struct ArenaStats {
    pub(crate) index: u64,
    pub(crate) active_bytes: u64,
    pub(crate) dirty_bytes: u64,
    pub(crate) muzzy_bytes: u64,
}

/// One small size class that has slabs.
pub(crate) struct BinStats {
    pub(crate) size_bytes: u64,
    pub(crate) slab_bytes: u64,
    pub(crate) objects: u64,
    pub(crate) capacity: u64,
}

/// Whether the process's global allocator is the jemalloc that is linked in: tried by allocating something.
/// jemalloc's count of a thread's allocations is exact at every moment.
pub(crate) fn serves_this_process() -> bool {
    let before = read::<u64>("thread.allocated");
    let probe = std::hint::black_box(Box::new([0u8; 64]));
    let after = read::<u64>("thread.allocated");
    drop(probe);
    matches!((before, after), (Ok(before), Ok(after)) if after > before)
}

/// Brings the statistics up to date.
pub(crate) fn refresh() -> Result<(), String> {
    let name = c_name("epoch")?;
    let mut epoch: u64 = 1;
    // SAFETY: `name` ends with NUL; `epoch` is a u64, as documented for "epoch", and lives through the call.
    let code = unsafe {
        ffi::mallctl(
            name.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::from_mut(&mut epoch).cast::<c_void>(),
            size_of::<u64>(),
        )
    };
    if code == 0 { Ok(()) } else { Err(failed("epoch", code)) }
}

/// Gives all unused dirty and muzzy pages of all arenas back to the kernel (`arena.4096.purge`). Costs a madvise an
/// extent; threads that allocate meanwhile wait for the lock of their arena.
pub(crate) fn purge() -> Result<(), String> {
    let name = format!("arena.{ALL_ARENAS}.purge");
    let c_name = c_name(&name)?;
    // SAFETY: the name ends with NUL; the control reads and writes no value.
    let code = unsafe { ffi::mallctl(c_name.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
    if code == 0 {
        Ok(())
    } else {
        let error = std::io::Error::from_raw_os_error(code);
        Err(format!("jemalloc does not do `{name}`: {error}"))
    }
}

/// Lets those unused pages of an arena go whose time is over (`arena.<i>.decay`). jemalloc does so by itself when the arena is used.
pub(crate) fn decay(arena: usize) {
    if let Ok(name) = c_name(&format!("arena.{arena}.decay")) {
        // SAFETY: the name ends with NUL; the control reads and writes no value. An arena that is not there is an error code.
        unsafe { ffi::mallctl(name.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
    }
}

/// A `size_t`.
pub(crate) fn size(name: &str) -> Result<u64, String> {
    read::<usize>(name).map(|v| v as u64)
}

/// An `unsigned`.
pub(crate) fn unsigned(name: &str) -> Result<u64, String> {
    read::<c_uint>(name).map(u64::from)
}

/// An `ssize_t`.
pub(crate) fn signed(name: &str) -> Result<i64, String> {
    read::<isize>(name).map(|v| v as i64)
}

/// A `bool`.
pub(crate) fn flag(name: &str) -> Result<bool, String> {
    // Read as a byte: a `bool` that is neither 0 nor 1 would be undefined behaviour.
    read::<u8>(name).map(|v| v != 0)
}

/// The arenas that are initialised.
pub(crate) fn arenas() -> Vec<ArenaStats> {
    let mut found = Vec::new();
    let (Ok(page), Ok(count)) = (size("arenas.page"), unsigned("arenas.narenas")) else { return found };
    let (Ok(active), Ok(dirty), Ok(muzzy)) =
        (mib("stats.arenas.0.pactive"), mib("stats.arenas.0.pdirty"), mib("stats.arenas.0.pmuzzy"))
    else {
        return found;
    };
    let bytes = |mib: &Mib, arena: usize| Some(read_mib::<usize>(mib, 2, arena)? as u64 * page);
    for arena in 0..(count as usize).min(MOST_ARENAS) {
        // An arena that was never used has no statistics.
        if let (Some(active_bytes), Some(dirty_bytes), Some(muzzy_bytes)) =
            (bytes(&active, arena), bytes(&dirty, arena), bytes(&muzzy, arena))
        {
            found.push(ArenaStats { index: arena as u64, active_bytes, dirty_bytes, muzzy_bytes });
        }
    }
    found
}

/// The small size classes that have slabs, all arenas together.
pub(crate) fn bins() -> Vec<BinStats> {
    let mut found = Vec::new();
    let Ok(count) = unsigned("arenas.nbins") else { return found };
    let merged = |stat: &str| {
        let mut mib = mib(&format!("stats.arenas.0.bins.0.{stat}")).ok()?;
        *mib.parts.get_mut(2)? = ALL_ARENAS;
        Some(mib)
    };
    let (Some(slabs), Some(regions)) = (merged("curslabs"), merged("curregs")) else { return found };
    let (Ok(size), Ok(per_slab), Ok(slab_size)) =
        (mib("arenas.bin.0.size"), mib("arenas.bin.0.nregs"), mib("arenas.bin.0.slab_size"))
    else {
        return found;
    };
    for bin in 0..(count as usize).min(MOST_BINS) {
        let bin_stats = || {
            let slabs = read_mib::<usize>(&slabs, 4, bin)? as u64;
            Some(BinStats {
                size_bytes: read_mib::<usize>(&size, 2, bin)? as u64,
                slab_bytes: slabs * read_mib::<usize>(&slab_size, 2, bin)? as u64,
                objects: read_mib::<usize>(&regions, 4, bin)? as u64,
                capacity: slabs * u64::from(read_mib::<u32>(&per_slab, 2, bin)?),
            })
        };
        found.extend(bin_stats().filter(|b| b.capacity > 0));
    }
    found
}

/// Types whose every bit pattern is a value.
trait Plain: Copy + Default {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for usize {}
impl Plain for isize {}

fn read<T: Plain>(name: &str) -> Result<T, String> {
    let c_name = c_name(name)?;
    let mut value = T::default();
    let mut len = size_of::<T>();
    // SAFETY: the name ends with NUL; jemalloc writes at most `len` bytes to `value`, all bit patterns of which are
    // valid (`Plain`).
    let code = unsafe {
        ffi::mallctl(
            c_name.as_ptr(),
            ptr::from_mut(&mut value).cast::<c_void>(),
            &mut len,
            ptr::null_mut(),
            0,
        )
    };
    if code == 0 && len == size_of::<T>() { Ok(value) } else { Err(failed(name, code)) }
}

/// A name, looked up once; one of its parts may be replaced by an index.
struct Mib {
    parts: [usize; 7],
    len: usize,
}

fn mib(name: &str) -> Result<Mib, String> {
    let c_name = c_name(name)?;
    let mut mib = Mib { parts: [0; 7], len: 7 };
    // SAFETY: the name ends with NUL; jemalloc writes at most `len` parts and stores how many.
    let code = unsafe { ffi::mallctlnametomib(c_name.as_ptr(), mib.parts.as_mut_ptr(), &mut mib.len) };
    if code == 0 { Ok(mib) } else { Err(failed(name, code)) }
}

fn read_mib<T: Plain>(mib: &Mib, part: usize, index: usize) -> Option<T> {
    let mut parts = mib.parts;
    *parts.get_mut(part)? = index;
    let mut value = T::default();
    let mut len = size_of::<T>();
    // SAFETY: `parts` has at least `mib.len` entries, made by jemalloc but for the index, which jemalloc checks; it
    // writes at most `len` bytes to `value`, all bit patterns of which are valid (`Plain`).
    let code = unsafe {
        ffi::mallctlbymib(
            parts.as_ptr(),
            mib.len,
            ptr::from_mut(&mut value).cast::<c_void>(),
            &mut len,
            ptr::null_mut(),
            0,
        )
    };
    (code == 0 && len == size_of::<T>()).then_some(value)
}

fn c_name(name: &str) -> Result<CString, String> {
    CString::new(name).map_err(|_| format!("jemalloc has no `{name}`"))
}

fn failed(name: &str, code: i32) -> String {
    format!("jemalloc does not tell `{name}`: {}", std::io::Error::from_raw_os_error(code))
}
