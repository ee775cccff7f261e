//! The waterlines beside the captures (`memory-*.json`, schema `diag.memory/1`): what is charted of them, and the facts
//! of the host that they state. Fields are read one by one, so that files of other versions are understood; what is
//! missing stays missing.

use diag::profile::units;
use serde_json::Value;

use super::chart::Series;

/// Readings that are charted, evenly spread.
const MOST_READINGS: usize = 256;
/// A limit so many times above everything else would press the lines flat: it is told in words.
const FAR_ABOVE: i64 = 3;

/// What is charted: the name, its class in the style, and where it stands.
const LINES: [(&str, &str, &str); 4] = [
    ("allocated", "s0", "/jemalloc/allocated_bytes"),
    ("active", "s1", "/jemalloc/active_bytes"),
    ("resident (jemalloc)", "s2", "/jemalloc/resident_bytes"),
    ("RSS", "s3", "/process/rss_bytes"),
];
const LIMIT: (&str, &str, &str) = ("cgroup limit", "s4", "/cgroup/limit_bytes");

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    at_ns: i64,
    document: Value,
}

impl Reading {
    /// Reads a document; `None` when it is not a waterline.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let schema = document.get("schema")?.as_str()?;
        let at_ns = document.get("taken_at_unix_ns")?.as_i64()?;
        schema.starts_with("diag.memory/").then_some(Self { at_ns, document })
    }

    /// When it was taken.
    pub(super) fn at_ns(&self) -> i64 {
        self.at_ns
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.document.pointer(pointer)?.as_i64()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.document.pointer(pointer)?.as_str()
    }

    /// Why there is no value there, as the reading itself says.
    fn why_missing(&self, pointer: &str) -> Option<String> {
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        [pointer, parent].iter().find_map(|at| {
            let missing = self.document.pointer(at)?.get("missing")?.as_str()?;
            Some(missing.to_owned())
        })
    }

    /// The memory limit and what is charged to it.
    pub(super) fn limit(&self) -> Option<(u64, u64)> {
        let pair = |limit: &str, used: &str| Some((self.number(limit)?, self.number(used)?));
        let (limit, used) = pair("/cgroup/limited_by/limit_bytes", "/cgroup/limited_by/current_bytes")
            .or_else(|| pair(LIMIT.2, "/cgroup/current_bytes"))?;
        Some((u64::try_from(limit).ok()?, u64::try_from(used).ok()?))
    }

    /// What it says of the host and the process.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let bytes = |pointer: &str| self.number(pointer).map(units::bytes);
        let limit = match self.text(LIMIT.2) {
            Some(words) => Some(words.to_owned()),
            None => bytes(LIMIT.2),
        };
        let cgroup = self.text("/cgroup/path").map(|path| match &limit {
            Some(limit) => format!("{path}, memory limit {limit}"),
            None => path.to_owned(),
        });
        [
            ("Memory of the host", bytes("/machine/total_bytes")),
            ("Control group", cgroup),
            ("Huge pages", self.text("/machine/huge_pages").map(str::to_owned)),
            ("Threads", self.number("/process/threads").map(units::count)),
            ("RSS at its peak", bytes("/process/rss_peak_bytes")),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|v| (name, v)))
        .collect()
    }
}

/// The lines over time, and remarks on what is not among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Waterline {
    /// Those with at least one value.
    pub(super) series: Vec<Series>,
    /// Sentences.
    pub(super) notes: Vec<String>,
}

impl Waterline {
    /// Of readings in the order of time.
    pub(super) fn new(readings: &[Reading]) -> Self {
        let mut waterline = Self::default();
        let count = readings.len().min(MOST_READINGS);
        let spread = (0..count).filter_map(|n| {
            readings.get(n * readings.len().saturating_sub(1) / count.saturating_sub(1).max(1))
        });
        let readings: Vec<&Reading> = spread.collect();
        for line in LINES {
            waterline.add(&readings, line);
        }
        let values = waterline.series.iter().flat_map(|s| &s.points);
        let most = values.filter_map(|p| p.1).max().unwrap_or(0);
        let limit = readings.iter().filter_map(|r| r.number(LIMIT.2)).max();
        match (limit, readings.last().and_then(|r| r.text(LIMIT.2))) {
            (Some(limit), _) if limit > most.saturating_mul(FAR_ABOVE) => waterline.notes.push(format!(
                "The cgroup's memory limit of {} is far above, and not drawn.",
                units::bytes(limit)
            )),
            (None, Some("unlimited")) => {
                waterline.notes.push("The cgroup sets no memory limit.".to_owned());
            }
            (None, None) if readings.is_empty() => {}
            _ => waterline.add(&readings, LIMIT),
        }
        waterline
    }

    fn add(&mut self, readings: &[&Reading], (name, class, pointer): (&'static str, &'static str, &str)) {
        let points: Vec<(i64, Option<i64>)> = readings.iter().map(|r| (r.at_ns, r.number(pointer))).collect();
        if points.iter().any(|p| p.1.is_some()) {
            self.series.push(Series { name, class, points });
        } else if let Some(last) = readings.last() {
            let why = last.why_missing(pointer).unwrap_or_else(|| "the readings do not say it".to_owned());
            self.notes.push(format!("Not known: {name} ({why})."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(at: i64, document: Value) -> Reading {
        let mut document = document;
        document["schema"] = json!("diag.memory/1");
        document["taken_at_unix_ns"] = json!(at);
        Reading::parse(document.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn missing_values_stay_missing() {
        let readings = [
            reading(
                1,
                json!({"jemalloc": {"allocated_bytes": 100, "active_bytes": {"missing": "x"}},
                              "process": {"rss_bytes": 300}, "cgroup": {"limit_bytes": 800}}),
            ),
            reading(
                2,
                json!({"jemalloc": {"missing": "not jemalloc"}, "process": {"rss_bytes": 400},
                              "cgroup": {"missing": "no cgroup"}}),
            ),
        ];
        let waterline = Waterline::new(&readings);
        let of = |name: &str| waterline.series.iter().find(|s| s.name == name).map(|s| s.points.clone());
        assert_eq!(of("allocated"), Some(vec![(1, Some(100)), (2, None)]));
        assert_eq!(of("RSS"), Some(vec![(1, Some(300)), (2, Some(400))]));
        assert_eq!(of("cgroup limit"), Some(vec![(1, Some(800)), (2, None)]));
        assert_eq!(of("active"), None);
        assert!(waterline.notes.contains(&"Not known: active (not jemalloc).".to_owned()), "{waterline:?}");
        assert_eq!(Waterline::new(&[]), Waterline::default());
    }

    #[test]
    fn a_far_limit_is_told_in_words() {
        let far =
            reading(1, json!({"process": {"rss_bytes": 1 << 20}, "cgroup": {"limit_bytes": 1i64 << 33}}));
        let waterline = Waterline::new(std::slice::from_ref(&far));
        assert_eq!(waterline.series.len(), 1);
        assert!(waterline.notes.iter().any(|n| n.contains("8.0 GiB is far above")), "{waterline:?}");
        let none = reading(1, json!({"process": {"rss_bytes": 1}, "cgroup": {"limit_bytes": "unlimited"}}));
        assert!(Waterline::new(&[none]).notes.contains(&"The cgroup sets no memory limit.".to_owned()));
    }

    #[test]
    fn other_documents_are_refused() {
        for bad in ["", "[]", "{}", r#"{"schema":"x","taken_at_unix_ns":1}"#, r#"{"schema":"diag.memory/1"}"#]
        {
            assert_eq!(Reading::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_limit_is_that_of_the_group_that_sets_it() {
        let outer = reading(
            1,
            json!({"cgroup": {"limit_bytes": 900, "current_bytes": 5,
                                                 "limited_by": {"limit_bytes": 900, "current_bytes": 70}}}),
        );
        assert_eq!(outer.limit(), Some((900, 70)));
        assert_eq!(reading(1, json!({"cgroup": {"limit_bytes": "unlimited"}})).limit(), None);
    }
}
