//! The bounds of the memory map that holds the current stack, asked of the kernel.
//!
//! Runs inside allocations: raw system calls on a fixed buffer, no allocation, no lock of libc's (pthread_getattr_np
//! takes one and allocates), errno kept by the caller. Asked once a thread and again when the stack pointer leaves the
//! known bounds (main thread's growth, coroutines, alternate signal stacks).
//!
//! Cost: PROCMAP_QUERY (Linux 6.11) about 1 us; otherwise /proc/self/maps is read up to the line wanted.

use std::ops::Range;

const PATH: &std::ffi::CStr = c"/proc/self/maps";

/// The readable map around `address`. `None` without /proc.
pub(crate) fn map_around(address: usize) -> Option<Range<usize>> {
    let file = RawFile::open()?;
    query(&file, address).or_else(|| scan(&file, address))
}

struct RawFile(libc::c_int);

impl RawFile {
    fn open() -> Option<Self> {
        // SAFETY: a constant, zero-terminated path.
        let fd = unsafe { libc::open(PATH.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        (fd >= 0).then_some(Self(fd))
    }
}

impl Drop for RawFile {
    fn drop(&mut self) {
        // SAFETY: we opened it and nobody else has it.
        unsafe { libc::close(self.0) };
    }
}

/// `struct procmap_query` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: u64 = (3 << 30) | ((size_of::<ProcmapQuery>() as u64) << 16) | ((b'f' as u64) << 8) | 17;
const VMA_READABLE: u64 = 1;

fn query(file: &RawFile, address: usize) -> Option<Range<usize>> {
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_addr: address as u64,
        ..Default::default()
    };
    // SAFETY: the ioctl reads and writes the struct whose size it was told; unknown to older kernels (ENOTTY).
    let failed = unsafe { libc::ioctl(file.0, PROCMAP_QUERY as _, &mut query) } != 0;
    (!failed && query.vma_flags & VMA_READABLE != 0)
        .then_some(query.vma_start as usize..query.vma_end as usize)
}

fn scan(file: &RawFile, address: usize) -> Option<Range<usize>> {
    let mut lines = MapLines::default();
    let mut buffer = [0u8; 2048];
    loop {
        // SAFETY: reads at most the buffer's length into it.
        let got = unsafe { libc::read(file.0, buffer.as_mut_ptr().cast(), buffer.len()) };
        let got = usize::try_from(got).ok().filter(|&n| n > 0)?;
        for &byte in buffer.get(..got)? {
            if let Some((range, readable)) = lines.feed(byte)
                && range.contains(&address)
            {
                return readable.then_some(range);
            }
        }
    }
}

/// Parses `start-end perms ...` a byte at a time.
#[derive(Default)]
struct MapLines {
    numbers: [usize; 2],
    field: u8,
}

impl MapLines {
    /// The map, once its first permission letter has come.
    fn feed(&mut self, byte: u8) -> Option<(Range<usize>, bool)> {
        match (self.field, byte) {
            (_, b'\n') => *self = Self::default(),
            (0, b'-') => self.field = 1,
            (1, b' ') => self.field = 2,
            (2, permission) => {
                self.field = 3;
                return Some((self.numbers[0]..self.numbers[1], permission == b'r'));
            }
            (field @ (0 | 1), digit) => {
                let value = (digit as char).to_digit(16)? as usize;
                let number = &mut self.numbers[usize::from(field)];
                *number = (*number << 4) | value;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_map_of_this_stack_both_ways() {
        let here = 0u8;
        let address = &raw const here as usize;
        let file = RawFile::open().unwrap();
        let scanned = scan(&file, address).unwrap();
        assert!(scanned.contains(&address));
        if let Some(queried) = query(&RawFile::open().unwrap(), address) {
            assert_eq!(queried.end, scanned.end);
        }
        assert!(map_around(8).is_none(), "the zero page is not mapped");
    }
}
