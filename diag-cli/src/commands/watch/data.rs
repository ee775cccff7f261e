//! What the service has said, in the form that is shown. Pure; times are unix milliseconds of the service's clock, unless a name
//! says otherwise. All text in here has been through [`clean`](super::clean).

use std::collections::HashMap;
use std::sync::Arc;

use diag::leak::Verdict;

/// Readings that are kept: the hour that a service keeps, and some more while the view is open.
const MOST_READINGS: usize = 2_000;
/// For rates.
const MS_A_MINUTE: f64 = 60_000.0;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    /// Who it is.
    pub(super) identity: Identity,
    /// Waterline and CPU time.
    pub(super) history: History,
    /// The last heap profile.
    pub(super) heap: Option<Arc<HeapLook>>,
    /// The one that growth counts from.
    pub(super) baseline: Option<Arc<HeapLook>>,
    /// The difference of the two.
    pub(super) growers: Vec<Grower>,
    /// The last leak verdict.
    pub(super) verdict: Option<VerdictLook>,
    /// The last look at the tasks.
    pub(super) tasks: Option<TasksLook>,
    /// Live tasks by site when the baseline was marked.
    pub(super) tasks_baseline: HashMap<String, u64>,
    /// The last CPU profile.
    pub(super) cpu: Option<CpuLook>,
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Identity {
    /// Its name, or empty.
    pub(super) service: String,
    /// How long its diagnostics have run, in seconds.
    pub(super) uptime_s: f64,
    /// Problems it reports of itself.
    pub(super) problems: usize,
}

/// A reading of the waterline; `None` is what was not to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// When.
    pub(super) at_unix_ms: i64,
    /// In use, by the allocator.
    pub(super) allocated_bytes: Option<u64>,
    /// Resident, by the kernel.
    pub(super) rss_bytes: Option<u64>,
    /// Of the memory cgroup.
    pub(super) limit_bytes: Option<u64>,
    /// CPU time of the process since it began.
    pub(super) cpu_ns: Option<u64>,
    /// The same of the diagnostics' own thread.
    pub(super) diag_cpu_ns: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
}

/// Readings, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Vec<Reading>);

impl History {
    /// Adds readings that are later than the last; others are left out.
    pub(super) fn extend(&mut self, readings: impl IntoIterator<Item = Reading>) {
        for reading in readings {
            if self.last().is_none_or(|last| last.at_unix_ms < reading.at_unix_ms) {
                self.0.push(reading);
            }
        }
        let surplus = self.0.len().saturating_sub(MOST_READINGS);
        self.0.drain(..surplus);
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<&Reading> {
        self.0.last()
    }

    /// Those of the last so many milliseconds before the last one.
    pub(super) fn within(&self, span_ms: i64) -> &[Reading] {
        let from = self.last().map_or(0, |last| last.at_unix_ms.saturating_sub(span_ms));
        let at = self.0.partition_point(|r| r.at_unix_ms < from);
        self.0.get(at..).unwrap_or_default()
    }

    /// CPU time between readings, in per cent of one processor, at the later reading of each pair.
    pub(super) fn cpu_percent(&self, span_ms: i64) -> Vec<(i64, f64)> {
        percent(self.within(span_ms), |r| r.cpu_ns)
    }

    /// The same of the diagnostics' own thread, over the span as a whole.
    pub(super) fn diag_cpu_percent(&self, span_ms: i64) -> Option<f64> {
        let readings = self.within(span_ms);
        let ends = [*readings.first()?, *readings.last()?];
        percent(&ends, |r| r.diag_cpu_ns).first().map(|(_, percent)| *percent)
    }
}

fn percent(readings: &[Reading], ns: impl Fn(&Reading) -> Option<u64>) -> Vec<(i64, f64)> {
    let pairs = readings.iter().zip(readings.iter().skip(1));
    pairs
        .filter_map(|(a, b)| {
            let used_ns = ns(b)?.checked_sub(ns(a)?)? as f64;
            let passed_ms = b.at_unix_ms.checked_sub(a.at_unix_ms).filter(|ms| *ms > 0)? as f64;
            Some((b.at_unix_ms, used_ns / passed_ms / 1e4))
        })
        .collect()
}

/// A function and what it holds or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Its name.
    pub(super) function: String,
    /// `src/x.rs:10`, or empty.
    pub(super) place: String,
    /// Live bytes, or nanoseconds of its own.
    pub(super) value: i64,
    /// Nanoseconds with everything called; 0 in heap looks.
    pub(super) cumulated: i64,
}

/// A heap profile.
#[derive(Clone, Debug)]
pub(super) struct HeapLook {
    /// When it was taken.
    pub(super) taken_unix_ms: i64,
    /// Live bytes in all.
    pub(super) total_bytes: i64,
    /// One sample stands for about so many bytes.
    pub(super) period_bytes: Option<i64>,
    /// Live bytes by the first function of the service's own code.
    pub(super) sites: Vec<Site>,
    /// The profile as it came.
    pub(super) raw: Arc<[u8]>,
    /// How long the service took for it, with the way.
    pub(super) took_ms: u64,
}

/// A site's growth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grower {
    /// Its name.
    pub(super) function: String,
    /// Where it stands.
    pub(super) place: String,
    /// Live now.
    pub(super) live_bytes: i64,
    /// Since the baseline; `None` when this is the baseline.
    pub(super) grown_bytes: Option<i64>,
    /// The same a minute.
    pub(super) bytes_a_minute: Option<f64>,
}

/// What grew and what shrank between two looks; of one look alone what is live.
pub(super) fn growers(base: Option<&HeapLook>, new: &HeapLook) -> Vec<Grower> {
    let base = base.filter(|base| base.taken_unix_ms < new.taken_unix_ms);
    let minutes = base.map(|b| (new.taken_unix_ms - b.taken_unix_ms) as f64 / MS_A_MINUTE);
    let key = |site: &Site| (site.function.clone(), file_of(&site.place).to_owned());
    let mut before: HashMap<_, (&Site, i64)> = HashMap::new();
    for site in base.iter().flat_map(|b| &b.sites) {
        before.entry(key(site)).or_insert((site, 0)).1 += site.value;
    }
    let row = |site: &Site, live: i64, grown: i64| Grower {
        function: site.function.clone(),
        place: site.place.clone(),
        live_bytes: live,
        grown_bytes: base.map(|_| grown),
        bytes_a_minute: minutes.map(|m| grown as f64 / m),
    };
    let mut rows: Vec<Grower> = Vec::with_capacity(new.sites.len());
    for site in &new.sites {
        let was = before.remove(&key(site)).map_or(0, |(_, bytes)| bytes);
        rows.push(row(site, site.value, site.value.saturating_sub(was)));
    }
    rows.extend(before.into_values().map(|(site, was)| row(site, 0, was.saturating_neg())));
    rows
}

/// The place without its line, which moves within a function.
fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

/// A leak verdict.
#[derive(Clone, Debug)]
pub(super) struct VerdictLook {
    /// The answer.
    pub(super) verdict: Verdict,
    /// Seconds that it is judged on.
    pub(super) watched_s: f64,
    /// The suspects' sites and their bytes an hour, worst first.
    pub(super) suspects: Vec<(String, f64)>,
    /// Why it cannot be told, or what weakens it.
    pub(super) reason: String,
    /// When it came.
    pub(super) heard_unix_ms: i64,
    /// How long the service took for it.
    pub(super) took_ms: u64,
}

/// The tasks of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct TasksLook {
    /// Live ones that are known.
    pub(super) live: u64,
    /// Since the start.
    pub(super) spawned: u64,
    /// Share of all tasks of the runtime that is seen, 0 to 1.
    pub(super) coverage: Option<f64>,
    /// By the code that spawned them.
    pub(super) sites: Vec<TaskSite>,
    /// Places that the service did not list.
    pub(super) more: u64,
    /// What was lost, as a sentence, or empty.
    pub(super) losses: String,
}

/// The tasks of one place.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskSite {
    /// `src/feed.rs:41:9`.
    pub(super) site: String,
    /// The future's type.
    pub(super) future: String,
    /// The name given to it, or empty.
    pub(super) name: String,
    /// Alive.
    pub(super) live: u64,
    /// Of them in a poll.
    pub(super) running: u64,
    /// Woken and waiting for a thread.
    pub(super) scheduled: u64,
    /// Waiting for something.
    pub(super) idle: u64,
    /// Age of the oldest, seconds.
    pub(super) oldest_s: f64,
    /// Longest time without a poll, seconds.
    pub(super) idle_s: f64,
    /// Longest poll, seconds.
    pub(super) longest_poll_s: f64,
    /// Time in polls, seconds.
    pub(super) busy_s: f64,
    /// `ok`, `stuck`, `growing` …
    pub(super) verdict: String,
    /// Why.
    pub(super) reason: String,
}

impl TaskSite {
    /// What names it between two looks.
    pub(super) fn key(&self) -> String {
        format!("{} {} {}", self.site, self.future, self.name)
    }

    /// Whether there is something to look at.
    pub(super) fn is_suspect(&self) -> bool {
        !matches!(self.verdict.as_str(), "" | "ok")
    }
}

/// A CPU profile.
#[derive(Clone, Debug)]
pub(super) struct CpuLook {
    /// When it was there.
    pub(super) taken_unix_ms: i64,
    /// How long it recorded.
    pub(super) seconds: f64,
    /// CPU time in all.
    pub(super) total_ns: i64,
    /// By function.
    pub(super) sites: Vec<Site>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_unix_ms: i64, cpu_ns: u64) -> Reading {
        Reading { at_unix_ms, cpu_ns: Some(cpu_ns), ..Reading::default() }
    }

    #[test]
    fn cpu_is_what_passed_between_readings() {
        let mut history = History::default();
        history.extend([reading(1_000, 0), reading(6_000, 2_500_000_000), reading(11_000, 12_500_000_000)]);
        assert_eq!(history.cpu_percent(60_000), [(6_000, 50.0), (11_000, 200.0)]);
        // Neither twice nor backwards; a restarted count gives no number.
        history.extend([reading(11_000, 1), reading(9_000, 1), reading(16_000, 5)]);
        assert_eq!(history.cpu_percent(60_000).len(), 2);
        assert_eq!(history.within(5_000).len(), 2);
        history.extend((0..5_000).map(|n| reading(20_000 + n, 0)));
        assert_eq!(history.within(i64::MAX).len(), MOST_READINGS);
    }

    fn look(taken_unix_ms: i64, sites: &[(&str, &str, i64)]) -> HeapLook {
        let sites = sites.iter().map(|(f, p, v)| Site {
            function: (*f).into(),
            place: (*p).into(),
            value: *v,
            cumulated: 0,
        });
        HeapLook {
            taken_unix_ms,
            total_bytes: 0,
            period_bytes: None,
            sites: sites.collect(),
            raw: Arc::from([]),
            took_ms: 0,
        }
    }

    #[test]
    fn growth_counts_from_the_baseline_and_knows_what_vanished() {
        let base = look(0, &[("a", "a.rs:1", 100), ("gone", "", 7)]);
        let new = look(30_000, &[("a", "a.rs:9", 150), ("b", "", 5)]);
        let mut rows = growers(Some(&base), &new);
        rows.sort_by(|a, b| a.function.cmp(&b.function));
        let grown: Vec<_> = rows.iter().map(|r| (r.function.as_str(), r.live_bytes, r.grown_bytes)).collect();
        assert_eq!(grown, [("a", 150, Some(50)), ("b", 5, Some(5)), ("gone", 0, Some(-7))]);
        assert_eq!(rows[0].bytes_a_minute, Some(100.0));
        let alone = growers(Some(&new), &new);
        assert!(alone.iter().all(|r| r.grown_bytes.is_none()), "{alone:?}");
    }
}
