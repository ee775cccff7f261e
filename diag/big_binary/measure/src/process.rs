//! Running commands: how long, and how much memory at most, with all their helpers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// What a way to names costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// With files that are not in the page cache.
    pub cold_s: f64,
    /// With files that are.
    pub warm_s: f64,
    /// The same question once more, to who keeps answers.
    pub again_s: Option<f64>,
    /// The larger of cold and warm.
    pub peak_mib: f64,
    /// What was resident afterwards beyond what was before; of processes that go on.
    pub kept_mib: Option<f64>,
}

/// No command may take longer.
const LIMIT: Duration = Duration::from_secs(180);

/// Wall time in seconds and peak memory in MiB of a command and its children. An error if it fails.
pub fn run(command: &mut Command) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut peaks: Vec<(u32, u64)> = Vec::new();
    loop {
        for pid in family(child.id()) {
            let high = status_kib(pid, "VmHWM:").unwrap_or(0);
            match peaks.iter_mut().find(|p| p.0 == pid) {
                Some(peak) => peak.1 = peak.1.max(high),
                None => peaks.push((pid, high)),
            }
        }
        if let Some(status) = child.try_wait()? {
            let elapsed = start.elapsed().as_secs_f64();
            if !status.success() {
                let output = child.wait_with_output()?;
                return Err(
                    format!("{command:?}: {status}: {}", String::from_utf8_lossy(&output.stderr)).into()
                );
            }
            return Ok((elapsed, peaks.iter().map(|p| p.1).sum::<u64>() as f64 / 1024.0));
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(format!("no end within {} s", LIMIT.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&pid) = all.get(at) {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
        at += 1;
    }
    all
}

/// A field of `/proc/PID/status` in KiB.
pub fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Takes files out of the page cache, as far as no process has them mapped.
pub fn drop_from_page_cache(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            drop_from_page_cache(&entry?.path())?;
        }
        return Ok(());
    }
    let status = Command::new("dd")
        .arg(format!("if={}", path.display()))
        .args(["iflag=nocache", "count=0", "status=none"])
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("dd cannot drop {}", path.display()).into()) }
}
