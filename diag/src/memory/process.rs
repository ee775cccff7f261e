//! The process and the machine, from `/proc`.
//!
//! Cost: `smaps_rollup` walks the page tables, 30 ms a GiB of 4 KiB pages (2026-11-21, fastest of 9 readings at 2.9 GiB
//! on a busy 2-core VM); since Linux 5.10 the kernel lets go of the address space lock while somebody waits for it. The
//! rest is microseconds. Who reads often leaves it out.

use super::Effort;
use super::fields::{self, Fields};
use super::model::{Machine, Process};
use super::reading::Reading;
use super::source::Source;

const STATUS: &str = "/proc/self/status";
const STAT: &str = "/proc/self/stat";
const ROLLUP: &str = "/proc/self/smaps_rollup";
const MEMINFO: &str = "/proc/meminfo";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

pub(super) fn read(source: &Source, effort: Effort) -> Process {
    let rollup = match effort {
        Effort::Full => source.read(ROLLUP),
        Effort::Quick => Err(format!("{ROLLUP} was left out, since it walks the page tables")),
    };
    parse(&source.read(STATUS), &rollup, source.read(STAT))
}

/// VmRSS alone.
#[cfg(feature = "triggers")]
pub(super) fn read_rss(source: &Source) -> Option<u64> {
    Fields::new(STATUS, &source.read(STATUS)).kib("VmRSS").value()
}

pub(super) fn read_machine(source: &Source) -> Machine {
    let text = source.read(MEMINFO);
    let meminfo = Fields::new(MEMINFO, &text);
    Machine {
        total_bytes: meminfo.kib("MemTotal"),
        available_bytes: meminfo.kib("MemAvailable"),
        swap_total_bytes: meminfo.kib("SwapTotal"),
        huge_pages: fields::selected(HUGE_PAGES, source.read(HUGE_PAGES)),
    }
}

/// `status` gives counters that the kernel keeps roughly (a few pages a thread); `smaps_rollup` counts exactly, so it
/// is asked first where both know.
fn parse(
    status: &Result<String, String>,
    rollup: &Result<String, String>,
    stat: Result<String, String>,
) -> Process {
    let status = Fields::new(STATUS, status);
    let rollup = Fields::new(ROLLUP, rollup);
    let either = |in_rollup: &str, in_status: &str| -> Reading<u64> {
        rollup.kib(in_rollup).or_else(|| status.kib(in_status))
    };
    Process {
        rss_bytes: either("Rss", "VmRSS"),
        rss_peak_bytes: status.kib("VmHWM"),
        pss_bytes: rollup.kib("Pss"),
        anonymous_bytes: either("Anonymous", "RssAnon"),
        file_bytes: status.kib("RssFile"),
        shmem_bytes: status.kib("RssShmem"),
        anon_huge_bytes: rollup.kib("AnonHugePages"),
        lazy_free_bytes: rollup.kib("LazyFree"),
        swap_bytes: either("Swap", "VmSwap"),
        page_tables_bytes: status.kib("VmPTE"),
        main_stack_bytes: status.kib("VmStk"),
        virtual_bytes: status.kib("VmSize"),
        threads: status.number("Threads"),
        major_faults_total: stat.and_then(|text| major_faults(&text)).into(),
    }
}

/// majflt, the tenth word behind the name, which may itself hold spaces and parentheses.
fn major_faults(stat: &str) -> Result<u64, String> {
    let word = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(9)?.parse().ok());
    word.ok_or_else(|| format!("{STAT} has no count of major faults"))
}
