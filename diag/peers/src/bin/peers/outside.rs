//! The profiles of those that look from outside, after the process has ended.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use diag_peers::peer::{Taken, Taking};

use crate::variants::{Outside, Variant};

/// A report that takes longer is not waited for.
const PATIENCE_S: &str = "90";

/// `own_cpu_ns`: of the process, in its life. Reports take long, so they are made only `with_report`.
pub(crate) fn take(
    variant: &Variant,
    dir: &Path,
    own_cpu_ns: i64,
    with_report: bool,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    match variant.outside {
        Outside::Nobody => Ok(()),
        Outside::Perf => perf(&dir.join("perf.data"), own_cpu_ns, with_report, taken),
        Outside::Heaptrack => heaptrack(dir, with_report, taken),
    }
}

fn perf(data: &Path, own_cpu_ns: i64, with_report: bool, taken: &mut Taken) -> anyhow::Result<()> {
    let data_text = data.display().to_string();
    let periods = text_of(&["perf", "script", "-F", "period", "-i", &data_text])?;
    let sampled: i64 = periods.lines().filter_map(|line| line.trim().parse::<i64>().ok()).sum();
    taken.cpu_ns = Some(sampled);
    taken.true_cpu_ns = Some(own_cpu_ns);
    if with_report {
        report("CPU, named", &["perf", "report", "--stdio", "--no-inline", "-i", &data_text], data, taken)?;
    }
    Ok(())
}

fn heaptrack(dir: &Path, with_report: bool, taken: &mut Taken) -> anyhow::Result<()> {
    let files = std::fs::read_dir(dir)?.flatten().map(|file| file.path());
    let is_ours = |file: &std::path::PathBuf| {
        file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("heaptrack"))
    };
    let file = files.into_iter().find(is_ours).context("heaptrack left no file")?;
    if !with_report {
        return Ok(());
    }
    let text = report("heap, named", &["heaptrack_print", "-f", &file.display().to_string()], &file, taken)?;
    taken.inuse_bytes = text.as_deref().and_then(peak_of);
    Ok(())
}

/// Its text; none when it took too long, and then the time is the one after which it was given up.
fn report(what: &str, words: &[&str], file: &Path, taken: &mut Taken) -> anyhow::Result<Option<String>> {
    let began = Instant::now();
    let text = text_of(words).ok();
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let what = if text.is_some() { what.to_owned() } else { format!("{what}: given up") };
    let file_bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    // Its memory is not the service's.
    taken.takings.push(Taking { what, ms, rise_bytes: 0, file_bytes });
    Ok(text)
}

fn text_of(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("timeout")
        .arg(PATIENCE_S)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    anyhow::ensure!(output.status.success(), "{} ended with {}", words.join(" "), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `peak heap memory consumption: 523.12M`, in powers of 1000. Of a heap that grows until the end that is what is in use there.
fn peak_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("peak heap memory consumption: "))?;
    let unit = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = line.strip_suffix(unit)?.parse().ok()?;
    let scale = match unit.trim() {
        "" | "B" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        _ => return None,
    };
    Some((number * scale) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaptracks_units() {
        assert_eq!(peak_of("x\npeak heap memory consumption: 523.12M\ny"), Some(523_120_000));
        assert_eq!(peak_of("peak heap memory consumption: 17B"), Some(17));
        assert_eq!(peak_of("peak RSS: 5M"), None);
    }
}
