//! What a profile says about itself, and a directory about its captures.

use diag::profile::detect::Format;
use diag::profile::frames::is_allocator;
use diag::profile::{LabelValue, Profile, units};

use super::cpu;
use super::finding::Findings;
use crate::captures::Capture;
use crate::cli::SymbolArgs;
use crate::clock;
use crate::symbols::{Symbols, unresolved};
use crate::view::{is_of_contention, is_of_time};

/// Below this, percentages of single functions are noise.
const FEW_SAMPLES: f64 = 200.0;

/// Looks at values, period, losses, times.
pub(super) fn examine(profile: &Profile, format: Format, findings: &mut Findings) {
    let types: Vec<String> =
        profile.sample_types().iter().map(|t| format!("{}/{}", t.kind, t.unit)).collect();
    let when = match profile.meta().time_unix_ns {
        Some(t) => format!(", taken {}", clock::readable(t)),
        None => String::new(),
    };
    findings.ok(
        "format",
        format!(
            "{format} with {} samples of {}{when}",
            units::count(profile.sample_count() as i64),
            types.join(", ")
        ),
    );
    if profile.meta().time_unix_ns.is_none() && format == Format::Pprof {
        findings.info(
            "format",
            "it does not say when it was taken",
            "rates need times: capture with diag-cli",
        );
    }
    samples(profile, findings);
    if is_of_time(profile) {
        return cpu::examine(profile, findings);
    }
    losses(profile, findings);
    leaf(profile, findings);
}

fn samples(profile: &Profile, findings: &mut Findings) {
    let index = profile.default_sample_type();
    let Some(value_type) = profile.sample_types().get(index) else { return };
    let total = profile.total(index);
    if profile.sample_count() == 0 {
        let next = if is_of_time(profile) {
            "the process computed nothing while it was recorded: record under load"
        } else if is_of_contention(profile) {
            "nobody waited, or it is off: its comments say which, and how to switch it on"
        } else {
            "was the profiler on, and did the program allocate? `diag-cli doctor host:port` asks a live process"
        };
        findings.error("samples", "it has no samples", next);
        return;
    }
    if profile.samples().all(|s| s.values.get(index).is_none_or(|v| *v == 0)) {
        let other = profile.sample_types().iter().enumerate().find(|(i, _)| profile.total(*i) != 0);
        findings.warning(
            "samples",
            format!("all values of {} are zero", value_type.kind),
            other.map_or_else(
                || "capture while the program works".to_owned(),
                |(_, t)| format!("look at --type {}", t.kind),
            ),
        );
        return;
    }
    if profile.samples().any(|s| s.values.get(index).is_some_and(|v| *v < 0)) {
        findings.info("samples", "it has negative values: this is a difference of two profiles", "");
    }
    let Some(period) = profile.meta().period.as_ref().filter(|p| p.value > 0) else {
        findings.info("sampling", "it does not say how it was sampled", "values are taken as exact");
        return;
    };
    let every = units::value(period.value, &period.value_type.unit);
    let Some(raw) = raw_samples(profile, period.value) else {
        findings.ok("sampling", format!("one sample every {every}"));
        return;
    };
    sampling(findings, raw, total, period.value);
}

/// Judges the sampling rate of a heap profile. `total_bytes` is what is alive.
pub(super) fn sampling(findings: &mut Findings, raw_samples: f64, total_bytes: i64, period_bytes: i64) {
    let every = units::bytes(period_bytes);
    let live = units::bytes(total_bytes);
    let count = units::count(raw_samples.round() as i64);
    // The 95 % interval of a site with a tenth of all samples.
    let doubt = (raw_samples > 0.0).then(|| 196.0 / (raw_samples / 10.0).sqrt());
    match doubt {
        Some(doubt) if raw_samples < FEW_SAMPLES => {
            let wanted = (total_bytes.max(1) as u64 / 2000).clamp(4096, 1 << 30).next_power_of_two();
            let next = if (wanted as i64) < period_bytes {
                format!(
                    "sample more often: DIAG_SAMPLE_BYTES={wanted} (with jemalloc alone lg_prof_sample:{}) and a restart",
                    wanted.ilog2()
                )
            } else {
                "the heap is small: wait until there is more to see".to_owned()
            };
            findings.warning(
                "sampling",
                format!(
                    "{live} alive in {count} samples, one every {every}: a site with a tenth of it is known to \
                     +-{doubt:.0} % only"
                ),
                next,
            );
        }
        _ if period_bytes < 16 << 10 && raw_samples > 1_000_000.0 => findings.warning(
            "sampling",
            format!("one sample every {every}, {count} in all: precise, and costly for the service"),
            "set DIAG_SAMPLE_BYTES=524288, or some value between",
        ),
        _ => findings.ok("sampling", format!("{live} alive in {count} samples, one every {every}")),
    }
}

/// How many raw samples the live objects stand for: `objects x (1 - exp(-size/period))`, where each row says its size
/// (label `bytes`, as Go's runtime and diag write it).
fn raw_samples(profile: &Profile, period_bytes: i64) -> Option<f64> {
    let objects = profile.sample_type_index("inuse_objects")?;
    let (key, mut sum, mut rows) = (profile.find_str("bytes")?, 0.0, 0);
    for sample in profile.samples() {
        let size = profile.label_set(sample.labels).iter().find_map(|l| match l.value {
            LabelValue::Num(n, _) if l.key == key && n > 0 => Some(n as f64),
            _ => None,
        });
        let (Some(size), Some(count)) = (size, sample.values.get(objects)) else { continue };
        sum += *count as f64 * -f64::exp_m1(-size / period_bytes as f64);
        rows += 1;
    }
    (rows > 0).then_some(sum)
}

fn losses(profile: &Profile, findings: &mut Findings) {
    for loss in profile.meta().losses.iter().filter(|l| l.count > 0) {
        findings.warning(
            "losses",
            format!("{} lost to {}", units::count(i64::try_from(loss.count).unwrap_or(i64::MAX)), loss.what),
            "totals are too low by that; `diag-cli doctor host:port` shows the collector's limits",
        );
    }
}

/// A profile whose leaves are all one function of the allocator names the profiler, not the program.
fn leaf(profile: &Profile, findings: &mut Findings) {
    let index = profile.default_sample_type();
    let (mut all, mut own) = (0i128, 0i128);
    let mut name = "";
    for sample in profile.samples() {
        let value = i128::from(sample.values.get(index).copied().unwrap_or(0).max(0));
        all += value;
        let line = profile.stack(sample.stack).first().and_then(|&l| profile.location(l).lines.first());
        let Some(line) = line else { continue };
        let leaf = profile.str(profile.function(line.function).name);
        if is_allocator(leaf) {
            own += value;
            name = leaf;
        }
    }
    if own * 2 > all && all > 0 {
        findings.info(
            "frames",
            format!("most stacks end in the allocator itself ({name})"),
            "top, diff and flamegraph look past it; other tools need `diag-cli convert --symbolize`",
        );
    }
}

/// Looks for names, and says which files were tried.
pub(super) fn examine_names(profile: Profile, name: &str, symbols: &SymbolArgs, findings: &mut Findings) {
    let locations = profile.location_count();
    let bare = unresolved(&profile).into_names();
    if bare.is_empty() {
        if locations > 0 {
            findings.ok("symbols", format!("all {} locations have names", units::count(locations as i64)));
        }
        return;
    }
    let mut resolver = Symbols::new(symbols);
    let rest = match resolver.resolve(profile, name) {
        Ok((_, rest)) => rest.into_names(),
        Err(e) => return findings.failed("symbols", &e),
    };
    if rest.is_empty() {
        findings.ok("symbols", format!("names of {} modules are found on this machine", bare.len()));
    }
    for report in resolver.reports() {
        let missing = report.addresses.saturating_sub(report.named);
        if missing == 0 {
            continue;
        }
        let mut what = format!(
            "{}: {} of {} addresses have no name",
            report.module,
            units::count(i64::try_from(missing).unwrap_or(i64::MAX)),
            units::count(i64::try_from(report.addresses).unwrap_or(i64::MAX))
        );
        if !report.build_id.is_empty() {
            what.push_str(&format!(", build id {}", report.build_id));
        }
        for refused in &report.refused {
            what.push_str(&format!("; {}: {}", refused.path.display(), refused.why));
        }
        let places: Vec<String> = report.missing.iter().map(|p| p.display().to_string()).collect();
        if !places.is_empty() {
            what.push_str(&format!("; looked for {}", places.join(", ")));
        }
        let next =
            report.advice().map(|a| format!("{a}: --symbol-path DIR, or --binary FILE")).unwrap_or_default();
        findings.warning("symbols", what, next);
    }
    let reported = |module: &String| resolver.reports().iter().any(|r| r.module == *module);
    for module in rest.iter().filter(|m| !reported(m)) {
        findings.warning(
            "symbols",
            format!("{module}: its addresses have no names and it is not a file"),
            "name the program with --binary",
        );
    }
    findings.set_modules(resolver.reports().to_vec());
}

/// Looks at the series: processes, gaps, what else lies there.
pub(super) fn examine_directory(captures: &[Capture], findings: &mut Findings) {
    let mut kinds: Vec<&str> = captures.iter().map(|c| c.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of = |kind: &str| captures.iter().filter(|c| c.kind == kind).collect::<Vec<_>>();
    for kind in kinds {
        let series = of(kind);
        let (Some(first), Some(last)) = (series.first(), series.last()) else { continue };
        findings.ok(
            "captures",
            format!(
                "{} of {kind}, from {} to {}",
                series.len(),
                clock::readable(first.taken_unix_ns),
                clock::readable(last.taken_unix_ns)
            ),
        );
        let mut processes: Vec<_> = series.iter().map(|c| c.process).collect();
        processes.dedup();
        if processes.len() > 1 {
            findings.info(
                "captures",
                format!("{kind}: the process changed {} times", processes.len() - 1),
                "comparisons use the last process; name files to compare others",
            );
        }
        gaps(kind, &series, findings);
    }
}

fn gaps(kind: &str, series: &[&Capture], findings: &mut Findings) {
    let mut steps: Vec<i64> = series
        .windows(2)
        .filter_map(|w| Some(w.last()?.taken_unix_ns.saturating_sub(w.first()?.taken_unix_ns)))
        .collect();
    let longest = steps.iter().max().copied().unwrap_or(0);
    steps.sort_unstable();
    let Some(&median) = steps.get(steps.len() / 2) else { return };
    let gaps = steps.iter().filter(|s| **s > median.saturating_mul(3)).count();
    if gaps > 0 && steps.len() > 2 {
        findings.info(
            "captures",
            format!(
                "{kind}: {gaps} gaps, the longest {}, where one is taken every {}",
                units::nanoseconds(longest),
                units::nanoseconds(median)
            ),
            "captures.jsonl in the directory says why",
        );
    }
}
