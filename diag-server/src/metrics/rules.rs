//! What became of the rules: how often each fired, how often it was held back, and how near it is.
//!
//! A series a rule, by its name. Names come from a rules file or the host's code, whose length nobody checks: after [`MOST_RULES`] the rest is
//! one series, `rule="(other)"`, which no rule can be called. Rules of one name are one series.

use diag::TriggerStats;
use diag::rules::RuleStats;

use super::write::Metrics;

/// Rules with a series of their own, the first.
const MOST_RULES: usize = 20;
const OTHER: &str = "(other)";

/// A series.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    name: String,
    fired: u64,
    debounced: u64,
    over_budget: u64,
    /// What it looks at, of where it fires.
    level: Option<f64>,
    waits: bool,
    last_unix_s: Option<f64>,
    last_problems: usize,
}

impl Row {
    fn of(stats: &RuleStats) -> Self {
        let last = stats.last.as_ref();
        Self {
            name: stats.rule.name.clone(),
            fired: stats.firings.fired_total,
            debounced: stats.firings.refused_debounce_total,
            over_budget: stats.firings.refused_budget_total,
            level: stats.value.zip(stats.fires_at.filter(|at| *at > 0.0)).map(|(value, at)| value / at),
            waits: stats.waits_for.is_some(),
            last_unix_s: last.map(|firing| firing.at_unix_ns as f64 / 1e9),
            last_problems: last.map_or(0, |firing| firing.problems.len()),
        }
    }

    /// Sums of what is counted; of the rest what is nearest, worst or last.
    fn add(&mut self, other: &Self) {
        let greater = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).max_by(f64::total_cmp);
        self.fired += other.fired;
        self.debounced += other.debounced;
        self.over_budget += other.over_budget;
        self.level = greater(self.level, other.level);
        self.waits |= other.waits;
        self.last_unix_s = greater(self.last_unix_s, other.last_unix_s);
        self.last_problems += other.last_problems;
    }
}

/// One row a series, in the order of the rules, so that no rule moves from one series to another.
fn series(rules: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for rule in rules {
        let known = rows.iter().position(|row| row.name == rule.name);
        let own = known.is_some() || rows.len() < MOST_RULES;
        match rows.get_mut(known.unwrap_or(MOST_RULES)) {
            Some(row) => row.add(&rule),
            None if own => rows.push(rule),
            None => rows.push(Row { name: OTHER.to_owned(), ..rule }),
        }
    }
    rows
}

pub(super) fn write(m: &mut Metrics, stats: &TriggerStats) {
    write_rows(m, &series(stats.rules.iter().map(Row::of)));
    m.counter(
        "diag_rules_looks_total",
        "Times that the rules were looked at.",
        Some(stats.looks_total as f64),
    );
    m.counter(
        "diag_rules_events_dropped_total",
        "Events that came faster than they were looked at.",
        Some(stats.events_dropped_total as f64),
    );
    m.gauge(
        "diag_rules_reserve_bytes",
        "Memory set aside for a capture, held now.",
        Some(stats.reserve_bytes as f64),
    );
    m.gauge(
        "diag_rules_capture_bound_bytes",
        "The most that a heap capture would allocate now.",
        Some(stats.capture_bound_bytes as f64),
    );
    let Some(relief) = &stats.relief else { return };
    m.gauge(
        "diag_relief_lowered",
        "Whether jemalloc's decay times are lowered for memory pressure now.",
        Some(f64::from(u8::from(relief.lowered))),
    );
    m.counter("diag_relief_lowered_total", "How often they were.", Some(relief.lowered_total as f64));
    m.counter(
        "diag_relief_purges_total",
        "How often unused pages were given back for memory pressure.",
        Some(relief.purges_total as f64),
    );
}

fn write_rows(m: &mut Metrics, rows: &[Row]) {
    let of = |value: fn(&Row) -> Option<f64>| {
        rows.iter().filter_map(move |row| Some((row.name.as_str(), value(row)?)))
    };
    m.labelled_counter(
        "diag_rule_fired_total",
        "Times that a rule fired and acted.",
        "rule",
        of(|row| Some(row.fired as f64)),
    );
    m.counters_by_two(
        "diag_rule_refused_total",
        "Times that a rule fired and did not act: it had a moment before (debounce), or too often within the hour (budget).",
        ["rule", "reason"],
        rows.iter().flat_map(|row| {
            let one = |reason, count: u64| ([row.name.as_str(), reason], count as f64);
            [one("debounce", row.debounced), one("budget", row.over_budget)]
        }),
    );
    m.labelled_gauge(
        "diag_rule_level_ratio",
        "What a rule looks at, of where it fires: 1 fires. Not for events.",
        "rule",
        of(|row| row.level),
    );
    m.labelled_gauge(
        "diag_rule_waiting",
        "Whether a rule cannot fire as things are; status says what it waits for.",
        "rule",
        of(|row| Some(f64::from(u8::from(row.waits)))),
    );
    m.labelled_gauge(
        "diag_rule_last_fired_timestamp_seconds",
        "When a rule acted last, unix time.",
        "rule",
        of(|row| row.last_unix_s),
    );
    m.labelled_gauge(
        "diag_rule_last_problems",
        "What a rule could not do when it acted last; status says what.",
        "rule",
        of(|row| row.last_unix_s.map(|_| row.last_problems as f64)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, fired: u64) -> Row {
        Row { name: name.to_owned(), fired, ..Row::default() }
    }

    #[test]
    fn a_series_a_rule_and_the_rest_in_one() {
        let rules: Vec<Row> = (0..MOST_RULES + 5).map(|i| rule(&format!("r{i}"), 1 + i as u64)).collect();
        let rows = series(rules.iter().cloned());
        assert_eq!(rows.len(), MOST_RULES + 1);
        assert_eq!(rows[..MOST_RULES], rules[..MOST_RULES]);
        let rest: u64 = rules[MOST_RULES..].iter().map(|r| r.fired).sum();
        assert_eq!(rows[MOST_RULES], rule(OTHER, rest));
        // No more than are allowed: none is left over.
        assert_eq!(series(rules[..MOST_RULES].iter().cloned()), rules[..MOST_RULES]);
        // Two of one name would be a scrape that Prometheus refuses.
        let twice = [rule("a", 1), rule("b", 2), rule("a", 4)];
        assert_eq!(series(twice.into_iter()), [rule("a", 5), rule("b", 2)]);
    }

    #[test]
    fn rules_as_text() {
        let near = Row {
            debounced: 3,
            over_budget: 1,
            level: Some(0.75),
            waits: false,
            last_unix_s: Some(1_795_973_610.5),
            last_problems: 2,
            ..rule("near_limit", 4)
        };
        let mut metrics = Metrics::default();
        write_rows(&mut metrics, &[near, Row { waits: true, ..rule("usr2", 0) }]);
        let text = metrics.finish();
        let values: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let expected = [
            "diag_rule_fired_total{rule=\"near_limit\"} 4",
            "diag_rule_fired_total{rule=\"usr2\"} 0",
            "diag_rule_refused_total{rule=\"near_limit\",reason=\"debounce\"} 3",
            "diag_rule_refused_total{rule=\"near_limit\",reason=\"budget\"} 1",
            "diag_rule_refused_total{rule=\"usr2\",reason=\"debounce\"} 0",
            "diag_rule_refused_total{rule=\"usr2\",reason=\"budget\"} 0",
            "diag_rule_level_ratio{rule=\"near_limit\"} 0.75",
            "diag_rule_waiting{rule=\"near_limit\"} 0",
            "diag_rule_waiting{rule=\"usr2\"} 1",
            "diag_rule_last_fired_timestamp_seconds{rule=\"near_limit\"} 1795973610.5",
            "diag_rule_last_problems{rule=\"near_limit\"} 2",
        ];
        assert_eq!(values, expected);
        assert_eq!(text.matches("# HELP ").count(), 6);
        assert_eq!(text.matches("# TYPE ").count(), 6);
    }
}
