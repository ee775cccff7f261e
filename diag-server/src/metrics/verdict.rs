//! The last leak verdict, for scrapes.
//!
//! Judging names the code in question: tens of milliseconds, and more the first time, which reads the program's debug information.
//! So a scrape never judges. It shows the last verdict with its age, and when that is a minute old, a thread of its own judges
//! for the next scrape. Who does not scrape does not pay. There is one [`Diag`] a process, and so one verdict.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diag::leak::{Report, SuspectVerdict, Verdict};
use diag::{Diag, LeakOptions};

use super::write::Metrics;

const JUDGE_EVERY: Duration = Duration::from_secs(60);
/// At most 2 % of a processor, however long it takes to judge.
const REST_PER_WORK: u32 = 50;
/// Sites with a series of their own.
const MOST_SITES: usize = 5;

const VERDICT: &str = "diag_leak_verdict";
const AGE: &str = "diag_leak_verdict_age_seconds";
const JUDGING: &str = "diag_leak_judging_seconds";
const SUSPECTS: &str = "diag_leak_suspects";
const BYTES_PER_HOUR: &str = "diag_leak_bytes_per_hour";
const SITES: &str = "diag_leak_site_bytes_per_hour";
pub(super) const NAMES: &[&str] = &[VERDICT, AGE, JUDGING, SUSPECTS, BYTES_PER_HOUR, SITES];

/// What a scrape shows.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    report: Report,
    age: Duration,
    took: Duration,
}

struct State {
    /// The start of the diagnostics that are meant: their verdict dies with them.
    of: u64,
    last: Option<(Report, Instant)>,
    took: Duration,
    judging: bool,
    due: Option<Instant>,
}

static STATE: Mutex<State> =
    Mutex::new(State { of: 0, last: None, took: Duration::ZERO, judging: false, due: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last verdict, if there is one yet. Has a new one made when it is time.
pub(super) fn last(diag: &Diag) -> Option<Judged> {
    let of = diag.status().started_unix_s.to_bits();
    let now = Instant::now();
    let mut state = state();
    if state.of != of {
        (state.of, state.last, state.due) = (of, None, None);
    }
    if !state.judging && state.due.is_none_or(|due| due <= now) && diag.heap().is_ok() {
        let diag = diag.clone();
        let spawned =
            std::thread::Builder::new().name("diag-verdict".to_owned()).spawn(move || judge(&diag, of));
        state.judging = spawned.is_ok();
        // Without a thread: the process is at a limit, and the next scrape may come too early.
        state.due = Some(now + JUDGE_EVERY);
    }
    let (report, at) = state.last.as_ref()?;
    Some(Judged { report: report.clone(), age: now.saturating_duration_since(*at), took: state.took })
}

fn judge(diag: &Diag, of: u64) {
    let _unprofiled = diag::Unprofiled::begin();
    let _done = Done;
    let started = Instant::now();
    let judged = diag.leaks(&LeakOptions::default());
    let mut state = state();
    if state.of != of {
        return;
    }
    state.took = started.elapsed();
    state.due = Some(Instant::now() + JUDGE_EVERY.max(state.took * REST_PER_WORK));
    // Where jemalloc's hooks are missing there are no ages and no verdict; `status` says so.
    state.last = judged.ok().map(|report| (report, started));
}

/// Also when judging panics.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        state().judging = false;
    }
}

pub(super) fn write(m: &mut Metrics, judged: &Judged) {
    let report = &judged.report;
    let verdicts = [
        ("leak", Verdict::Leak),
        ("no_leak", Verdict::NoLeak),
        ("not_enough_evidence", Verdict::NotEnoughEvidence),
    ];
    let one = |is: bool| f64::from(u8::from(is));
    m.labelled_gauge(
        VERDICT,
        "1 for the last leak verdict, 0 for the others.",
        "verdict",
        verdicts.map(|(name, verdict)| (name, one(report.verdict == verdict))).into_iter(),
    );
    m.gauge(
        AGE,
        "Since that verdict was reached; scrapes renew it once a minute.",
        Some(judged.age.as_secs_f64()),
    );
    m.gauge(JUDGING, "How long it took to reach it.", Some(judged.took.as_secs_f64()));
    let kinds = [
        ("leak", SuspectVerdict::Leak),
        ("unbounded_so_far", SuspectVerdict::UnboundedSoFar),
        ("saturating", SuspectVerdict::Saturating),
    ];
    let count = |kind| report.suspects.iter().filter(|s| s.verdict == kind).count() as f64;
    m.labelled_gauge(
        SUSPECTS,
        "Code whose memory grew more than chance explains, by what it is.",
        "verdict",
        kinds.map(|(name, kind)| (name, count(kind))).into_iter(),
    );
    let leaks = || report.suspects.iter().filter(|s| s.verdict == SuspectVerdict::Leak);
    let all: f64 = leaks().map(|s| s.bytes_per_hour).sum();
    m.gauge(BYTES_PER_HOUR, "Growth of all that leaks.", Some(all));
    m.labelled_gauge(
        SITES,
        "Growth of the code that leaks most.",
        "site",
        leaks().take(MOST_SITES).map(|s| (s.site.as_str(), s.bytes_per_hour)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: serde_json::Value) -> Report {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_verdict_as_text() {
        let suspect = |site: &str, verdict: &str, rate: f64| {
            serde_json::json!({
                "rank": 1, "verdict": verdict, "site": site, "frames": [], "stacks": 1, "live_bytes": 1, "live_objects": 1,
                "bytes_per_hour": rate, "bytes_per_hour_low": 0.0, "bytes_per_work_unit": null, "q_value": 0.0,
                "growth_exponent": 1.0, "generations": 16, "age_p50_s": 1.0, "labels": {}, "seconds_to_limit": null,
                "gained_samples": 9, "lost_samples": 0, "evidence": "", "next": ""
            })
        };
        let mut json = serde_json::to_value(Report::default()).unwrap();
        json["verdict"] = "leak".into();
        json["suspects"] = vec![
            suspect("a::<\"b\">", "leak", 100.0),
            suspect("c", "leak", 20.5),
            suspect("d", "saturating", 7.0),
        ]
        .into();
        let age = Duration::from_millis(1500);
        let mut metrics = Metrics::default();
        write(&mut metrics, &Judged { report: report(json), age, took: Duration::from_millis(250) });
        let text = metrics.finish();
        let values: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let expected = [
            "diag_leak_verdict{verdict=\"leak\"} 1",
            "diag_leak_verdict{verdict=\"no_leak\"} 0",
            "diag_leak_verdict{verdict=\"not_enough_evidence\"} 0",
            "diag_leak_verdict_age_seconds 1.5",
            "diag_leak_judging_seconds 0.25",
            "diag_leak_suspects{verdict=\"leak\"} 2",
            "diag_leak_suspects{verdict=\"unbounded_so_far\"} 0",
            "diag_leak_suspects{verdict=\"saturating\"} 1",
            "diag_leak_bytes_per_hour 120.5",
            "diag_leak_site_bytes_per_hour{site=\"a::<\\\"b\\\">\"} 100",
            "diag_leak_site_bytes_per_hour{site=\"c\"} 20.5",
        ];
        assert_eq!(values, expected);
        for name in NAMES {
            assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
        }
    }
}
