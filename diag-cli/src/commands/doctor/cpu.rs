//! CPU profiles: what samples them on a live target, and what a file says of how it was made.

use diag::profile::{Profile, units};
use serde_json::Value;

use super::finding::Findings;
use super::live::text;
use crate::remote::Status;

/// Below this, shares of single functions are noise.
const FEW_SAMPLES: i64 = 200;
/// Of the CPU time that the kernel charged; further off the weights of few samples carry much.
const ACCOUNTED: std::ops::RangeInclusive<f64> = 0.9..=1.1;

/// What the sampler of a live target says of itself; nothing where there is none.
pub(super) fn sampler(status: &Status, findings: &mut Findings) {
    let Some(cpu) = status.0.get("cpu").filter(|c| c.is_object()) else { return };
    let why = text(cpu, "/why").unwrap_or("it does not say why");
    match text(cpu, "/source") {
        Some(source) => findings.ok("cpu", format!("CPU profiles are sampled by {source}: {why}")),
        None => findings.warning("cpu", why, "heap profiles do not need it"),
    }
    if cpu.get("recording").and_then(Value::as_bool) == Some(true) {
        findings.info("cpu", "a CPU profile is being recorded now", "another one has to wait for its end");
    }
    if let Some(share) = cpu.get("accounted").and_then(Value::as_f64) {
        accounted(share, "the last profile", findings);
    }
    for (what, count) in cpu.get("losses").and_then(Value::as_object).into_iter().flatten() {
        if let Some(count) = count.as_u64().filter(|n| *n > 0) {
            findings.info("cpu", format!("CPU profiles so far lost {count} to {what}"), "");
        }
    }
}

/// What a CPU profile's samples and comments say.
pub(super) fn examine(profile: &Profile, findings: &mut Findings) {
    let comments = &profile.meta().comments;
    let after = |key: &str| comments.iter().find_map(|c| c.strip_prefix(key));
    match after("cpu_source=").map(|said| said.split_once(": ").unwrap_or((said, "it does not say why"))) {
        Some((source, why)) => findings.ok("cpu", format!("sampled by {source}: {why}")),
        None => findings.info("cpu", "it does not say what sampled it", "diag's own CPU profiles do"),
    }
    let share = comments.iter().flat_map(|c| c.split(' ')).find_map(|word| word.strip_prefix("accounted="));
    if let Some(share) = share.and_then(|s| s.parse().ok()) {
        accounted(share, "its samples", findings);
    }
    for loss in profile.meta().losses.iter().filter(|l| l.count > 0) {
        let count = units::count(i64::try_from(loss.count).unwrap_or(i64::MAX));
        // Looks in wall mode are not weighted.
        let next = match profile.sample_type_index("cpu") {
            Some(_) => "times add up all the same: samples are weighted to the time of their thread",
            None => "",
        };
        findings.info("losses", format!("{count} lost to {}", loss.what), next);
    }
    samples(profile, findings);
}

fn samples(profile: &Profile, findings: &mut Findings) {
    let Some(column) = profile.sample_type_index("samples") else { return };
    let count = profile.total(column);
    if (1..FEW_SAMPLES).contains(&count) {
        // The 95 % interval of a function with a tenth of all samples.
        let doubt = 196.0 / (count as f64 / 10.0).sqrt();
        findings.warning(
            "sampling",
            format!(
                "{} samples: a function with a tenth of the time is known to +-{doubt:.0} % only",
                units::count(count)
            ),
            "record longer (--cpu-seconds 30), more often (--hz 499), or under load",
        );
    }
}

fn accounted(share: f64, of: &str, findings: &mut Findings) {
    let percent = share * 100.0;
    let what = format!("{of} stood for {percent:.1} % of the CPU time that the kernel charged");
    if ACCOUNTED.contains(&share) {
        findings.ok("cpu", what);
    } else {
        findings.info(
            "cpu",
            format!("{what}; they are weighted to it, thread by thread"),
            "record longer or with a higher --hz, when it is to be more exact",
        );
    }
}
