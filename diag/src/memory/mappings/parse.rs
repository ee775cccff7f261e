//! The text of `smaps` and of `task/*/syscall`. Pure; what is not understood is left out.

use std::ops::Range;

/// What a mapping's name says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Name {
    /// None.
    #[default]
    None,
    /// `[heap]`, or named by glibc (glibc.mem.decorate_maps).
    CHeap,
    /// `[stack]`, or named by glibc.
    Stack,
    /// Named by jemalloc (--enable-pageid).
    Jemalloc,
    /// A path.
    File,
    /// Shared memory.
    Shmem,
    /// `[vdso]` and its like, and names that programs gave.
    Other,
}

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Region {
    pub(super) at: Range<u64>,
    pub(super) accessible: bool,
    pub(super) writable: bool,
    pub(super) shared: bool,
    pub(super) name: Name,
    pub(super) rss: u64,
    pub(super) anonymous: u64,
    pub(super) huge: u64,
    pub(super) lazily_freed: u64,
    /// `nr`: no swap space is reserved.
    pub(super) no_reserve: bool,
    /// `nh`: no huge pages.
    pub(super) no_huge: bool,
    /// Whether the kernel gave flags at all.
    pub(super) has_flags: bool,
    pub(super) page_bytes: u64,
    /// Heaps of glibc in it, and what of `rss` is theirs.
    pub(super) c_heaps: u64,
    pub(super) c_heap_bytes: u64,
}

impl Region {
    pub(super) fn size(&self) -> u64 {
        self.at.end.saturating_sub(self.at.start)
    }

    /// Takes in a line below the header.
    pub(super) fn field(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(':') else { return };
        if key == "VmFlags" {
            self.has_flags = true;
            let mut flags = value.split_ascii_whitespace();
            (self.no_reserve, self.no_huge) =
                flags.by_ref().fold((false, false), |(nr, nh), f| (nr || f == "nr", nh || f == "nh"));
            return;
        }
        let into = match key {
            "Rss" => &mut self.rss,
            "Anonymous" => &mut self.anonymous,
            "AnonHugePages" => &mut self.huge,
            "LazyFree" => &mut self.lazily_freed,
            "KernelPageSize" => &mut self.page_bytes,
            _ => return,
        };
        let kib = value.trim().strip_suffix(" kB").and_then(|n| n.trim().parse::<u64>().ok());
        *into = kib.unwrap_or(0).saturating_mul(1024);
    }
}

/// `start-end perms offset device inode   name`; `None` for any other line.
pub(super) fn header(line: &str) -> Option<Region> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let at = hex(start)?..hex(end)?;
    if at.start > at.end {
        return None;
    }
    let perms = words.next()?.as_bytes();
    let name = words.nth(3).unwrap_or("").trim_start();
    let [read, write, execute, shared] = *perms else { return None };
    Some(Region {
        at,
        accessible: read == b'r' || write == b'w' || execute == b'x',
        writable: write == b'w',
        shared: shared == b's',
        name: name_of(name),
        ..Region::default()
    })
}

fn name_of(name: &str) -> Name {
    match name {
        "" => Name::None,
        "[heap]" => Name::CHeap,
        "[stack]" => Name::Stack,
        _ if name.starts_with("[anon: glibc: malloc") => Name::CHeap,
        _ if name.starts_with("[anon: glibc: pthread stack") => Name::Stack,
        _ if name.starts_with("[anon:jemalloc") => Name::Jemalloc,
        _ if ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem"]
            .iter()
            .any(|p| name.starts_with(p)) =>
        {
            Name::Shmem
        }
        _ if name.starts_with('/') => Name::File,
        _ => Name::Other,
    }
}

/// `running`, `-1 0xSP 0xPC`, or `number six-arguments 0xSP 0xPC` (proc_pid_syscall(5)).
pub(super) fn stack_pointer(text: &str) -> Option<u64> {
    let mut from_last = text.split_ascii_whitespace().rev();
    let _program_counter = from_last.next()?;
    u64::from_str_radix(from_last.next()?.strip_prefix("0x")?, 16).ok()
}
