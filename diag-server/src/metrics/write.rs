//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

/// Metrics being written.
#[derive(Debug, Default)]
pub(super) struct Metrics(String);

impl Metrics {
    /// Something that goes up and down. Without a value nothing is written.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.single(name, help, "gauge", value);
    }

    /// Something that only grows; the name ends in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.single(name, help, "counter", value);
    }

    /// Counters that differ in one label.
    pub(super) fn labelled_counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.labelled((name, help, "counter"), label, values);
    }

    /// Gauges that differ in one label.
    pub(super) fn labelled_gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.labelled((name, help, "gauge"), label, values);
    }

    /// Counters that differ in two labels.
    pub(super) fn counters_by_two<'a>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: impl Iterator<Item = ([&'a str; 2], f64)>,
    ) {
        self.by_labels((name, help, "counter"), labels, values);
    }

    fn labelled<'a>(
        &mut self,
        family: (&str, &str, &str),
        label: &str,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.by_labels(family, [label], values.map(|(label_value, value)| ([label_value], value)));
    }

    fn by_labels<'a, const N: usize>(
        &mut self,
        (name, help, kind): (&str, &str, &str),
        labels: [&str; N],
        values: impl Iterator<Item = ([&'a str; N], f64)>,
    ) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.head(name, help, kind);
        for (label_values, value) in values {
            let pairs: Vec<String> = labels
                .iter()
                .zip(label_values)
                .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                .collect();
            let _ = write!(self.0, "{name}{{{}}} ", pairs.join(","));
            self.value(value);
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn single(&mut self, name: &str, help: &str, kind: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.head(name, help, kind);
            let _ = write!(self.0, "{name} ");
            self.value(value);
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, value: f64) {
        let _ = if value == f64::INFINITY { writeln!(self.0, "+Inf") } else { writeln!(self.0, "{value}") };
    }
}

/// The families whose names are wanted, with their HELP and TYPE.
pub(super) fn keep(text: &str, wanted: impl Fn(&str) -> bool) -> String {
    let name = |line: &str| -> String {
        let rest = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        rest.chars().take_while(|c| !matches!(c, ' ' | '{')).collect()
    };
    text.split_inclusive('\n').filter(|line| wanted(&name(line))).collect()
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_the_format_says() {
        let mut m = Metrics::default();
        m.gauge("a_bytes", "A.", Some(18_446_744_073_709_551_615_u64 as f64));
        m.gauge("limit_bytes", "No limit.", Some(f64::INFINITY));
        m.gauge("absent_bytes", "Not there.", None);
        m.counter("b_total", "B.", Some(0.25));
        m.labelled_counter("c_total", "C.", "what", [("x\"\\\ny", 2.0)].into_iter());
        m.labelled_counter("d_total", "D.", "what", std::iter::empty());
        let expected = "# HELP a_bytes A.\n# TYPE a_bytes gauge\na_bytes 18446744073709552000\n\
                        # HELP limit_bytes No limit.\n# TYPE limit_bytes gauge\nlimit_bytes +Inf\n\
                        # HELP b_total B.\n# TYPE b_total counter\nb_total 0.25\n\
                        # HELP c_total C.\n# TYPE c_total counter\nc_total{what=\"x\\\"\\\\\\ny\"} 2\n";
        let text = m.finish();
        assert_eq!(text, expected);
        let kept = "# HELP c_total C.\n# TYPE c_total counter\nc_total{what=\"x\\\"\\\\\\ny\"} 2\n";
        assert_eq!(keep(&text, |name| name == "c_total"), kept);
        assert_eq!(keep(&text, |_| true), text);
    }
}
