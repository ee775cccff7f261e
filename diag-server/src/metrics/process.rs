//! The standard `process_*` values that are not about memory, from `/proc`. Parsers are pure.

use std::io::Read as _;

/// What could be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ProcessTimes {
    pub(super) cpu_s: Option<f64>,
    pub(super) start_unix_s: Option<f64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

const MOST_BYTES: u64 = 256 << 10;
/// Counting stops here; more descriptors than this are a finding whatever the number.
const MOST_FDS: usize = 1 << 20;

impl ProcessTimes {
    pub(super) fn read() -> Self {
        let ticks_hz = bytes("/proc/self/auxv").and_then(|auxv| clock_ticks_hz(&auxv));
        let times = text("/proc/self/stat").zip(ticks_hz).and_then(|(stat, hz)| parse_stat(&stat, hz));
        let boot = text("/proc/stat").and_then(|stat| boot_unix_s(&stat));
        Self {
            cpu_s: times.map(|(cpu, _)| cpu),
            start_unix_s: times.zip(boot).map(|((_, start), boot)| boot + start),
            open_fds: std::fs::read_dir("/proc/self/fd")
                .ok()
                // The directory being read is one of them.
                .map(|fds| (fds.take(MOST_FDS).count() as u64).saturating_sub(1)),
            max_fds: text("/proc/self/limits").and_then(|limits| open_files_limit(&limits)),
        }
    }
}

fn bytes(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn text(path: &str) -> Option<String> {
    bytes(path).map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// AT_CLKTCK (17) of the auxiliary vector: pairs of machine words.
fn clock_ticks_hz(auxv: &[u8]) -> Option<f64> {
    const AT_CLKTCK: usize = 17;
    const WORD: usize = size_of::<usize>();
    let mut words = auxv.chunks_exact(WORD).filter_map(|w| Some(usize::from_ne_bytes(w.try_into().ok()?)));
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == AT_CLKTCK {
            return (value > 0).then_some(value as f64);
        }
    }
    None
}

/// CPU seconds, and the start in seconds since boot. The name in parentheses may hold anything. (proc_pid_stat(5))
fn parse_stat(stat: &str, ticks_hz: f64) -> Option<(f64, f64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Field 3 is the first behind the name: utime is 14, stime 15, starttime 22.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(((ticks(14)? + ticks(15)?) as f64 / ticks_hz, ticks(22)? as f64 / ticks_hz))
}

fn boot_unix_s(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// The soft limit; `unlimited` is no number.
fn open_files_limit(limits: &str) -> Option<u64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_ascii_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 12345 1 2 3";
        assert_eq!(parse_stat(stat, 100.0), Some((3.0, 123.45)));
        assert_eq!(parse_stat("42 (a) S 1 2", 100.0), None);
        assert_eq!(parse_stat("", 100.0), None);
    }

    #[test]
    fn limits_boot_and_ticks() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 1048576              files\n";
        assert_eq!(open_files_limit(limits), Some(1024));
        assert_eq!(open_files_limit("Max open files            unlimited   unlimited   files\n"), None);
        assert_eq!(boot_unix_s("cpu 1 2\nbtime 1700000000\nprocesses 9\n"), Some(1_700_000_000.0));
        let auxv: Vec<u8> = [6usize, 4096, 17, 100, 0, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
        assert_eq!(clock_ticks_hz(&auxv), Some(100.0));
        assert_eq!(clock_ticks_hz(&auxv[..17]), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_real_process() {
        let times = ProcessTimes::read();
        assert!(times.cpu_s.is_some() && times.open_fds.is_some_and(|n| n >= 3), "{times:?}");
        assert!(times.start_unix_s.is_some_and(|s| s > 1.6e9), "{times:?}");
    }
}
