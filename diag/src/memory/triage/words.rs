//! What verdicts, parts and numbers are called, and the commands that lead on.

use super::{PartName, Scope, Target, Triage, Verdict};
use crate::memory::text::mib;

impl Verdict {
    /// What it means and what can be done.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::LiveGrowth => {
                "the program holds more than before; whether that is a leak takes a longer watch"
            }
            Self::Fragmentation => {
                "objects were freed, but others of the same size class keep their pages; find the old ones that stay"
            }
            Self::DirtyPages => {
                "jemalloc keeps freed pages for reuse; lower dirty_decay_ms, or set background_thread:true in malloc_conf"
            }
            Self::HugePages => {
                "huge pages fill in what jemalloc gave back; set thp:never in malloc_conf, or madvise for the machine"
            }
            Self::ThreadStacks => {
                "threads, or how deep they went; count them, and look for threads that never end"
            }
            Self::FileCache => {
                "pages of files; the kernel drops them when memory is short, so this is seldom a leak"
            }
            Self::SharedMemory => {
                "tmpfs, memfd or SysV memory; it counts until the file is removed or truncated"
            }
            Self::SocketBuffers => "data that peers do not read, or many connections; look at `ss -m`",
            Self::KernelMemory => {
                "the kernel's, for descriptors, dentries, threads and mappings of the process; look at /proc/PID/fd"
            }
            Self::OutsideJemalloc => {
                "not allocated by Rust: a C library's malloc or mmap; heap profiles do not show it"
            }
            Self::Metadata => {
                "jemalloc's own structures: many arenas, or a profiler that sees very many stacks"
            }
            Self::Profiler => "the heap collector's tables; a larger DIAG_SAMPLE_BYTES makes them smaller",
            Self::OtherProcesses => "another process in the same cgroup",
            Self::Unexplained => "no source that was read accounts for it",
            Self::NoGrowth => "nothing grew between the readings, and no part but the live heap stands out",
            Self::NotEnoughEvidence => "the sources do not say enough",
        }
    }
}

/// The commands that lead on from here.
pub(super) fn next(t: &Triage, target: &Target) -> Vec<String> {
    let (name, live) = match target {
        Target::Unknown => ("TARGET", true),
        Target::Live(name) => (name.as_str(), true),
        Target::Captures(name) => (name.as_str(), false),
    };
    let pid = t.pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    let mut commands = Vec::new();
    match t.verdict {
        Verdict::LiveGrowth => commands.push(format!("diag-cli leaks {name}")),
        Verdict::Fragmentation => {
            let class = t.size_classes.first().map(|c| c.size_bytes);
            commands.extend(class.map(|size| format!("diag-cli top {name} --label bytes={size}:{size}")));
        }
        Verdict::DirtyPages if t.purge.is_none() && live => {
            commands.push(format!("diag-cli triage {name} --purge"));
        }
        Verdict::Profiler | Verdict::Metadata => commands.push(format!("diag-cli doctor {name}")),
        Verdict::ThreadStacks => commands.push(format!("ps -T -o tid,comm,wchan -p {pid}")),
        Verdict::OutsideJemalloc => commands.push(format!("pmap -X {pid} | sort -nk7 | tail")),
        Verdict::KernelMemory => commands.push(format!("ls /proc/{pid}/fd | wc -l")),
        Verdict::SocketBuffers => commands.push(format!("ss -tmp | grep -A1 pid={pid}")),
        Verdict::SharedMemory => commands.push(format!("ls -l /proc/{pid}/fd | grep -E 'memfd|/dev/shm'")),
        _ => {}
    }
    if live && t.verdict != Verdict::LiveGrowth && !(t.verdict == Verdict::DirtyPages && t.purge.is_none()) {
        commands.push(format!("diag-cli triage {name} --watch 5m"));
    }
    if t.verdict == Verdict::NoGrowth || commands.is_empty() {
        commands.push(format!("diag-cli leaks {name}"));
    }
    commands
}

/// What a part is called in a sentence.
pub(super) fn label(name: PartName) -> &'static str {
    match name {
        PartName::LiveHeap => "live heap",
        PartName::Fragmentation => "fragmentation",
        PartName::DirtyPages => "dirty pages",
        PartName::MuzzyPages => "muzzy pages",
        PartName::Metadata => "jemalloc's own structures",
        PartName::HugePages => "huge pages",
        PartName::NotInMemory => "not in memory",
        PartName::Profiler => "the heap collector",
        PartName::ThreadStacks => "thread stacks",
        PartName::CHeap => "C heap (glibc)",
        PartName::OtherAnonymous => "other anonymous memory",
        PartName::ProgramData => "program data",
        PartName::FileMappings => "mapped files",
        PartName::PageCache => "page cache",
        PartName::SharedMemory => "shared memory",
        PartName::Sockets => "socket buffers",
        PartName::KernelSlab => "kernel slab",
        PartName::KernelStacks => "kernel stacks",
        PartName::PageTables => "page tables",
        PartName::KernelOther => "other kernel memory",
        PartName::OtherProcesses => "other processes",
    }
}

pub(super) fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Process => "RSS",
        Scope::Cgroup => "the cgroup's memory",
    }
}

/// `12 s`, `1.5 s`.
pub(super) fn seconds(s: f64) -> String {
    if s < 9.95 { format!("{s:.1} s") } else { format!("{s:.0} s") }
}

/// `3.7 GiB an hour`.
pub(super) fn hourly(bytes: i64, in_s: f64) -> String {
    let gib = bytes as f64 / (1u64 << 30) as f64 * 3600.0 / in_s;
    if gib < 1.0 { format!("{:.0} MiB an hour", gib * 1024.0) } else { format!("{gib:.1} GiB an hour") }
}

/// `+1.0 MiB`.
pub(super) fn change(bytes: i64) -> String {
    let sign = if bytes < 0 { '-' } else { '+' };
    format!("{sign}{}", mib(bytes.unsigned_abs()))
}
