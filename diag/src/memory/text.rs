//! The waterline as a table for a person.

use std::fmt::{self, Write as _};

use super::model::{Cgroup, Jemalloc, Machine, Process, Stall, Waterline};
use super::reading::{Limit, Reading};
use crate::printable::printable;

const NAME_WIDTH: usize = 24;
/// Arenas and bins beyond these are summed up in one line.
const MOST_ARENAS: usize = 8;
const MOST_BINS: usize = 5;

impl fmt::Display for Waterline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ceiling = self.ceiling();
        writeln!(f, "memory at {}", utc(self.taken_at_unix_ns))?;
        match &ceiling {
            Some(c) => writeln!(f, "shares are of the {}, {}\n", c.name, mib(c.bytes))?,
            None => writeln!(f, "no limit is known, so there are no shares\n")?,
        }
        let table = Table { ceiling: ceiling.map(|c| c.bytes) };
        table.jemalloc(f, &self.jemalloc)?;
        table.bytes(f, "held by diag itself", &self.diag_bytes)?;
        table.process(f, &self.process)?;
        table.cgroup(f, &self.cgroup)?;
        table.machine(f, &self.machine)
    }
}

struct Ceiling {
    name: &'static str,
    bytes: u64,
}

impl Waterline {
    /// What shares are measured against: the cgroup's limit, else the machine's memory.
    fn ceiling(&self) -> Option<Ceiling> {
        let machine = self.machine.total_bytes.value().filter(|&b| b > 0);
        let limit = self.cgroup.known().and_then(|c| c.limit_bytes.value()?.bytes()).filter(|&b| b > 0);
        match (limit, machine) {
            // A limit above what the machine has never takes effect.
            (Some(bytes), machine) if machine.is_none_or(|m| bytes <= m) => {
                Some(Ceiling { name: "cgroup limit", bytes })
            }
            (_, Some(bytes)) => Some(Ceiling { name: "machine's memory", bytes }),
            _ => None,
        }
    }
}

struct Table {
    ceiling: Option<u64>,
}

type Out<'a, 'b> = &'a mut fmt::Formatter<'b>;

impl Table {
    fn bytes(&self, f: Out<'_, '_>, name: &str, reading: &Reading<u64>) -> fmt::Result {
        match reading {
            Reading::Known(bytes) => {
                writeln!(f, "  {name:NAME_WIDTH$}{:>14}{}", mib(*bytes), self.share(*bytes))
            }
            Reading::Missing { missing } => gap(f, name, missing),
        }
    }

    fn share(&self, bytes: u64) -> String {
        self.ceiling.map_or_else(String::new, |of| format!("{:>8.1} %", bytes as f64 * 100.0 / of as f64))
    }

    fn limit(&self, f: Out<'_, '_>, name: &str, reading: &Reading<Limit>) -> fmt::Result {
        match reading {
            Reading::Known(Limit::Bytes(bytes)) => self.bytes(f, name, &Reading::Known(*bytes)),
            Reading::Known(Limit::Unlimited) => writeln!(f, "  {name:NAME_WIDTH$}{:>14}", "unlimited"),
            Reading::Missing { missing } => gap(f, name, missing),
        }
    }

    fn jemalloc(&self, f: Out<'_, '_>, jemalloc: &Reading<Jemalloc>) -> fmt::Result {
        f.write_str("jemalloc\n")?;
        let j = match jemalloc {
            Reading::Known(j) => j,
            Reading::Missing { missing } => return gap(f, "all", missing),
        };
        self.bytes(f, "allocated", &j.allocated_bytes)?;
        self.bytes(f, "active", &j.active_bytes)?;
        self.bytes(f, "metadata", &j.metadata_bytes)?;
        self.bytes(f, "resident", &j.resident_bytes)?;
        self.bytes(f, "mapped", &j.mapped_bytes)?;
        self.bytes(f, "retained", &j.retained_bytes)?;
        self.bytes(f, "dirty", &j.dirty_bytes)?;
        self.bytes(f, "muzzy", &j.muzzy_bytes)?;
        plain(f, "dirty kept for", &j.dirty_decay_ms, |ms| decay(*ms))?;
        plain(f, "muzzy kept for", &j.muzzy_decay_ms, |ms| decay(*ms))?;
        plain(f, "background thread", &j.background_thread, |on| if *on { "on" } else { "off" }.to_owned())?;
        plain(f, "arenas", &j.narenas, |n| format!("{n}, {} in use", j.arenas.len()))?;
        arenas(f, j)?;
        bins(f, j)
    }

    fn process(&self, f: Out<'_, '_>, p: &Process) -> fmt::Result {
        f.write_str("process\n")?;
        self.bytes(f, "rss", &p.rss_bytes)?;
        self.bytes(f, "rss peak", &p.rss_peak_bytes)?;
        self.bytes(f, "pss", &p.pss_bytes)?;
        self.bytes(f, "anonymous", &p.anonymous_bytes)?;
        self.bytes(f, "  in huge pages", &p.anon_huge_bytes)?;
        self.bytes(f, "  lazily freed", &p.lazy_free_bytes)?;
        self.bytes(f, "files", &p.file_bytes)?;
        self.bytes(f, "shared memory", &p.shmem_bytes)?;
        self.bytes(f, "swap", &p.swap_bytes)?;
        self.bytes(f, "page tables", &p.page_tables_bytes)?;
        self.bytes(f, "main thread's stack", &p.main_stack_bytes)?;
        plain(f, "address space", &p.virtual_bytes, |b| mib(*b))?;
        plain(f, "threads", &p.threads, u64::to_string)?;
        plain(f, "major page faults", &p.major_faults_total, u64::to_string)
    }

    fn cgroup(&self, f: Out<'_, '_>, cgroup: &Reading<Cgroup>) -> fmt::Result {
        let c = match cgroup {
            Reading::Known(c) => c,
            Reading::Missing { missing } => {
                f.write_str("cgroup\n")?;
                return gap(f, "all", missing);
            }
        };
        writeln!(f, "cgroup v{} {}", c.version, printable(&c.directory))?;
        if !c.note.is_empty() {
            writeln!(f, "  note: {}", printable(&c.note))?;
        }
        self.bytes(f, "current", &c.current_bytes)?;
        self.bytes(f, "working set", &c.working_set_bytes)?;
        self.bytes(f, "peak", &c.peak_bytes)?;
        self.limit(f, "limit", &c.limit_bytes)?;
        if let Some(by) = &c.limited_by
            && by.directory.as_deref() != Some(c.directory.as_str())
        {
            let place = by.directory.as_deref().unwrap_or("a cgroup above, not to be seen from here");
            writeln!(f, "    set by {}", printable(place))?;
            self.bytes(f, "    charged there", &by.current_bytes)?;
        }
        self.limit(f, "throttled above", &c.high_bytes)?;
        self.bytes(f, "swap", &c.swap_bytes)?;
        self.bytes(f, "anonymous", &c.stat.anon_bytes)?;
        self.bytes(f, "page cache", &c.stat.file_bytes)?;
        self.bytes(f, "  not used lately", &c.stat.inactive_file_bytes)?;
        self.bytes(f, "  tmpfs, shared", &c.stat.shmem_bytes)?;
        self.bytes(f, "kernel", &c.stat.kernel_bytes)?;
        self.bytes(f, "  slab", &c.stat.slab_bytes)?;
        self.bytes(f, "  sockets", &c.stat.sock_bytes)?;
        self.bytes(f, "  page tables", &c.stat.pagetables_bytes)?;
        self.bytes(f, "  thread stacks", &c.stat.kernel_stack_bytes)?;
        plain(f, "oom kills", &c.events.oom_kill, u64::to_string)?;
        plain(f, "oom", &c.events.oom, u64::to_string)?;
        plain(f, "limit reached", &c.events.max, u64::to_string)?;
        plain(f, "throttled", &c.events.high, u64::to_string)?;
        match &c.pressure {
            Reading::Known(p) => {
                plain(f, "pressure, some tasks", &p.some, stall)?;
                plain(f, "pressure, all tasks", &p.full, stall)?;
                writeln!(f, "    from {}", printable(&p.file))
            }
            Reading::Missing { missing } => gap(f, "pressure", missing),
        }
    }

    fn machine(&self, f: Out<'_, '_>, m: &Machine) -> fmt::Result {
        f.write_str("machine\n")?;
        self.bytes(f, "memory", &m.total_bytes)?;
        self.bytes(f, "available", &m.available_bytes)?;
        self.bytes(f, "swap", &m.swap_total_bytes)?;
        plain(f, "huge pages", &m.huge_pages, |mode| printable(mode))
    }
}

fn arenas(f: Out<'_, '_>, j: &Jemalloc) -> fmt::Result {
    let mut by_idle: Vec<_> = j.arenas.iter().filter(|a| a.dirty_bytes + a.muzzy_bytes > 0).collect();
    by_idle.sort_by_key(|a| (std::cmp::Reverse(a.dirty_bytes + a.muzzy_bytes), a.index));
    for a in by_idle.iter().take(MOST_ARENAS) {
        writeln!(
            f,
            "    arena {:<5} active {:>13}   dirty {:>13}   muzzy {:>13}",
            a.index,
            mib(a.active_bytes),
            mib(a.dirty_bytes),
            mib(a.muzzy_bytes)
        )?;
    }
    match by_idle.len().saturating_sub(MOST_ARENAS) {
        0 => Ok(()),
        more => writeln!(f, "    and {more} arenas with fewer unused pages"),
    }
}

/// The size classes that waste most.
fn bins(f: Out<'_, '_>, j: &Jemalloc) -> fmt::Result {
    let waste = |b: &super::Bin| b.capacity.saturating_sub(b.objects).saturating_mul(b.size_bytes);
    let mut by_waste: Vec<_> = j.bins.iter().filter(|b| waste(b) >= 1 << 20).collect();
    by_waste.sort_by_key(|b| (std::cmp::Reverse(waste(b)), b.size_bytes));
    for b in by_waste.iter().take(MOST_BINS) {
        writeln!(
            f,
            "    size class {:<6} {:>13} unused in slabs, {:.0} % of {} slots filled",
            b.size_bytes,
            mib(waste(b)),
            b.objects as f64 * 100.0 / b.capacity.max(1) as f64,
            b.capacity
        )?;
    }
    Ok(())
}

fn plain<T>(
    f: Out<'_, '_>,
    name: &str,
    reading: &Reading<T>,
    show: impl FnOnce(&T) -> String,
) -> fmt::Result {
    match reading {
        Reading::Known(value) => writeln!(f, "  {name:NAME_WIDTH$}{:>14}", show(value)),
        Reading::Missing { missing } => gap(f, name, missing),
    }
}

fn gap(f: Out<'_, '_>, name: &str, why: &str) -> fmt::Result {
    writeln!(f, "  {name:NAME_WIDTH$}{:>14}   {}", "missing:", printable(why))
}

fn stall(stall: &Stall) -> String {
    let seconds = stall.total_us as f64 / 1e6;
    format!(
        "{:.2} % of 10 s, {:.2} % of 60 s, {seconds:.1} s in all",
        stall.avg10_percent, stall.avg60_percent
    )
}

fn decay(ms: i64) -> String {
    match ms {
        ..0 => "ever".to_owned(),
        0 => "0 s".to_owned(),
        _ if ms % 1000 == 0 => format!("{} s", ms / 1000),
        _ => format!("{ms} ms"),
    }
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64)
}

/// `2026-11-21 03:00:00 UTC`. Civil date from days, after Howard Hinnant, "chrono-compatible low-level date
/// algorithms".
fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
    text
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_are_those_of_date_u() {
        // `date -u -d @N '+%F %T UTC'`
        for (unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_795_266_322, "2026-11-21 13:05:22 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_s * 1_000_000_000), expected);
        }
    }
}
