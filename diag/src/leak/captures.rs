//! Verdicts from captured profiles: the same test where they carry ages, and a weaker answer where they do not.

use super::{Options, Report, SCHEMA, Stacks, Suspect, SuspectVerdict, Verdict, judge};
use crate::profile::cohorts::{CaptureSeries, SeriesFault};
use crate::profile::diff::{DiffOptions, RowBy, diff, trend};
use crate::profile::{Profile, ProfileError, units};

/// Suspects of a weak answer.
const MOST_SUSPECTS: usize = 10;

/// Judges two or more captures of one process. Without ages growth can only be shown: no suspect is called a leak then.
///
/// # Errors
/// [`ProfileError::Invalid`] when they are of different processes or taken at one time; [`ProfileError`] when they have no
/// sample type in common.
pub fn judge_captures(captures: &[&Profile], options: &Options) -> Result<Report, ProfileError> {
    match CaptureSeries::new(captures) {
        Ok(series) => {
            let Some(&last) = captures.get(series.newest) else {
                return Err(ProfileError::Invalid { what: "nothing to judge" });
            };
            let options = Options {
                period_bytes: series.period_bytes,
                process_start_ns: options.process_start_ns.or(series.process_start_ns),
                losses: last.meta().losses.iter().map(|l| (l.what.clone(), l.count)).collect(),
                ..options.clone()
            };
            let of_row = |row: u32| series.stacks.get(&row).copied();
            let mut report = judge(&series.cohorts, Stacks { profile: last, of_row: &of_row }, &options);
            if series.process_start_ns.is_none() {
                report.reasons.push(
                    "the captures do not say when the process started: caches that still fill cannot be told apart".to_owned(),
                );
            }
            report.next = next(report.verdict, &options.target);
            Ok(report)
        }
        Err(SeriesFault::NoAges) => by_growth(captures, options),
        Err(SeriesFault::OneTime) => Err(ProfileError::Invalid {
            what: "captures of at least two different times are needed to judge growth",
        }),
        Err(SeriesFault::Restarted) => Err(ProfileError::Invalid {
            what: "the process restarted between these captures, and ages of different processes cannot be compared",
        }),
    }
}

/// The commands to run after a verdict on files.
fn next(verdict: Verdict, target: &str) -> Vec<String> {
    match verdict {
        Verdict::Leak => {
            vec![
                format!("diag-cli report {target} -o report.html"),
                format!("diag-cli diff {target} --stacks"),
            ]
        }
        Verdict::NotEnoughEvidence => {
            vec!["diag-cli capture HOST:PORT --every 10s --for 10m -o captures, and judge those".to_owned()]
        }
        Verdict::NoLeak => vec![format!("diag-cli triage {target}")],
    }
}

/// What grew by more than sampling explains, and in most steps.
fn by_growth(captures: &[&Profile], options: &Options) -> Result<Report, ProfileError> {
    let mut captures = captures.to_vec();
    captures.sort_by_key(|p| p.meta().time_unix_ns);
    let (Some(&first), Some(&last)) = (captures.first(), captures.last()) else {
        return Err(ProfileError::Invalid { what: "nothing to judge" });
    };
    let kind = last.sample_type_index("inuse_space").map(|_| "inuse_space".to_owned());
    let compared = DiffOptions { kind, rows: RowBy::Site, limit: None };
    let difference = diff(first, last, &compared)?;
    let course = trend(&captures, &compared)?;
    let span_ns =
        last.meta().time_unix_ns.zip(first.meta().time_unix_ns).map_or(0, |(a, b)| a.saturating_sub(b));
    let hours = span_ns as f64 / 3.6e12;
    let steps = captures.len().saturating_sub(1);
    let steady = |site: &str| {
        let row = course.rows.iter().find(|r| r.site == site);
        row.is_some_and(|r| r.steps_up * 3 >= steps * 2)
    };
    let grown = difference.rows.iter().filter(|r| {
        let low = r.delta_low.unwrap_or(r.delta);
        low > 0 && steady(&r.site)
    });
    let mut suspects: Vec<Suspect> = grown
        .map(|row| {
            let rate = |bytes: i64| if hours > 0.0 { bytes as f64 / hours } else { 0.0 };
            Suspect {
                rank: 0,
                verdict: SuspectVerdict::UnboundedSoFar,
                site: row.site.clone(),
                frames: row.frames.clone(),
                stacks: row.stacks,
                live_bytes: row.new,
                live_objects: row.new_objects.unwrap_or(0),
                bytes_per_hour: rate(row.delta),
                bytes_per_hour_low: rate(row.delta_low.unwrap_or(row.delta)),
                bytes_per_work_unit: None,
                q_value: 1.0,
                growth_exponent: 1.0,
                generations: 0,
                age_p50_s: 0.0,
                labels: Default::default(),
                seconds_to_limit: None,
                gained_samples: 0,
                lost_samples: 0,
                doublings: None,
                evidence: format!(
                    "{} from the first capture to the last of {}; without ages that is growth, not yet a leak",
                    units::signed(row.delta, "bytes"),
                    captures.len()
                ),
                next: "diag-cli leaks HOST:PORT --watch 2m".to_owned(),
            }
        })
        .collect();
    suspects.sort_by(|a, b| b.bytes_per_hour_low.total_cmp(&a.bytes_per_hour_low).then(a.site.cmp(&b.site)));
    suspects.truncate(MOST_SUSPECTS);
    let explained =
        suspects.iter().fold(0i64, |sum, s| sum.saturating_add((s.bytes_per_hour * hours) as i64));
    let period = last.meta().period.as_ref().filter(|p| p.value_type.unit == "bytes");
    let mut reasons =
        vec!["these profiles carry no ages, so that growth can be shown but not judged; `diag-cli capture` takes them with \
              ages from a service with diag in it"
            .to_owned()];
    reasons.extend(course.warnings.iter().cloned());
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        verdict: Verdict::NotEnoughEvidence,
        reasons,
        watched_s: span_ns as f64 / 1e9,
        window_s: span_ns as f64 / 1e9,
        sampling_period_bytes: period.and_then(|p| u64::try_from(p.value).ok()).unwrap_or(0),
        tested: course.rows_total,
        live_bytes: difference.new_total,
        suspects,
        unexplained_bytes: difference
            .new_total
            .saturating_sub(difference.base_total)
            .saturating_sub(explained),
        next: vec![format!("diag-cli diff {} --stacks", options.target)],
        ..Report::default()
    };
    report.rank();
    Ok(report)
}
