//! What this process costs, by the kernel's count.

use std::fs;
use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// Since the process began.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time, all threads.
    pub cpu_ns: i64,
    pub rss_bytes: u64,
    /// Since the process began, or since [`forget_peak`].
    pub peak_rss_bytes: u64,
}

impl Usage {
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_ns: cpu_ns(UsageWho::RUSAGE_SELF),
            rss_bytes: bytes_of(&status, "VmRSS:"),
            peak_rss_bytes: bytes_of(&status, "VmHWM:"),
        }
    }
}

pub fn cpu_ns(who: UsageWho) -> i64 {
    getrusage(who).map_or(0, |usage| (usage.user_time() + usage.system_time()).num_nanoseconds())
}

/// From now on the peak is that since now (proc(5), clear_refs).
pub fn forget_peak() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

fn bytes_of(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_of_status() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t     512 kB\n";
        assert_eq!(bytes_of(status, "VmRSS:"), 512 << 10);
        assert_eq!(bytes_of(status, "VmHWM:"), 2048 << 10);
        assert_eq!(bytes_of(status, "VmSwap:"), 0);
    }

    #[test]
    fn work_costs_time_and_memory() {
        let before = Usage::now();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = Usage::now();
        assert!(after.cpu_ns > before.cpu_ns);
        assert!(after.peak_rss_bytes >= before.rss_bytes + (48 << 20));
        drop(block);
    }
}
