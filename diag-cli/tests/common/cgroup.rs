//! Memory cgroups, v1 or v2, for tests that let the kernel run short of memory.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A memory cgroup of a test's own; removed when dropped.
pub struct Cgroup {
    pub dir: PathBuf,
    version: u8,
}

/// Why there is none, and whether the file system could be written all the same.
pub struct NoCgroup {
    pub why: String,
    pub writable: bool,
}

impl Cgroup {
    /// Below the own cgroup, or where that holds processes, which v2 does not allow, below one above it.
    pub fn make(name: &str, limit_bytes: u64) -> Result<Self, NoCgroup> {
        let none = |why: String, writable| Err(NoCgroup { why, writable });
        let waterline = diag::memory::read();
        let own = match waterline.cgroup.as_result() {
            Ok(own) => own,
            Err(why) => return none(why.to_owned(), false),
        };
        let mut reason = String::new();
        let mut writable = false;
        for above in Path::new(&own.directory).ancestors().take_while(|d| d.join("cgroup.procs").exists()) {
            if own.version == 2 {
                // Refused where the cgroup holds processes; then the next one up.
                let _ = fs::write(above.join("cgroup.subtree_control"), "+memory");
            }
            let cgroup = Self { dir: above.join(name), version: own.version };
            match fs::create_dir(&cgroup.dir) {
                // In v2 those below have limits only where the controller is handed down.
                Ok(()) => {
                    let handed = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
                    writable |= own.version == 1 || handed.split_whitespace().any(|c| c == "memory");
                }
                Err(e) => {
                    reason = format!("{}: {e}", cgroup.dir.display());
                    // Nothing to remove.
                    std::mem::forget(cgroup);
                    continue;
                }
            }
            match cgroup.limit(limit_bytes) {
                Ok(()) => return Ok(cgroup),
                Err(e) => reason = format!("{} has no limit to set: {e}", cgroup.dir.display()),
            }
        }
        none(reason, writable)
    }

    /// Sets the limit, of swap too. Fails where v1 cannot reclaim as much as a lower one needs.
    pub fn limit(&self, bytes: u64) -> std::io::Result<()> {
        let (limit, swap, swap_bytes) = match self.version {
            1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
            _ => ("memory.max", "memory.swap.max", 0),
        };
        let limit = self.dir.join(limit);
        let lowered = fs::write(&limit, bytes.to_string());
        // Not there where swap is not counted. In v1 it is never below the other limit, so it is raised first and lowered last.
        let _ = fs::write(self.dir.join(swap), swap_bytes.to_string());
        lowered.or_else(|_| fs::write(&limit, bytes.to_string()))
    }

    /// What counts against the limit now.
    pub fn usage_bytes(&self) -> Option<u64> {
        let file = if self.version == 1 { "memory.usage_in_bytes" } else { "memory.current" };
        fs::read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    /// What can be seen of a process that should have been killed by now.
    pub fn scene(&self, pid: u32, captures: &Path) -> String {
        let mut seen = String::new();
        let files = [
            "memory.usage_in_bytes",
            "memory.current",
            "memory.failcnt",
            "memory.oom_control",
            "memory.stat",
        ];
        let of_cgroup = files.map(|f| self.dir.join(f));
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let of_process = ["status", "io"].map(|f| proc.join(f));
        for file in of_cgroup.iter().chain(&of_process) {
            if let Ok(text) = fs::read_to_string(file) {
                let _ = writeln!(seen, "{}\n{text}", file.display());
            }
        }
        for thread in fs::read_dir(proc.join("task")).into_iter().flatten().flatten() {
            let read = |f: &str| fs::read_to_string(thread.path().join(f)).unwrap_or_default();
            let _ = writeln!(seen, "{} {} {}", read("comm").trim(), read("wchan"), read("stat").trim());
        }
        for file in fs::read_dir(captures).into_iter().flatten().flatten() {
            let _ = writeln!(seen, "{} {}", file.path().display(), file.metadata().map_or(0, |m| m.len()));
        }
        seen
    }

    pub fn kills(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("oom_kill "));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A killed process is gone a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.dir).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
