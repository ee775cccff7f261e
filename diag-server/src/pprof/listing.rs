//! A profile as text, `debug=1`. A heap profile is in the shape of Go's, which pprof reads too: values are whole and
//! unbiased, so the header does not ask the reader to scale them (`heapprofile`, no rate). So is one of contention, where a cycle is
//! a nanosecond and the sampling period 1. Others are for people.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;

use diag::profile::{Profile, StackId, units};

/// Stacks beyond these are counted, not listed: this is for reading.
const MOST_STACKS: usize = 1000;
/// The list ends with the stack that goes beyond this.
const MOST_TEXT_BYTES: usize = 4 << 20;
const MOST_NAME_CHARS: usize = 300;

/// Which columns are listed, and how.
enum Shape<'p> {
    /// Objects and bytes in use, objects and bytes allocated.
    Heap([Option<usize>; 4]),
    /// Delay and contentions.
    Contention([Option<usize>; 2]),
    /// Samples, and the value of the default type.
    Other([Option<usize>; 2], &'p str),
}

/// The values of the columns.
type Row = [i64; 4];

impl<'p> Shape<'p> {
    fn of(profile: &'p Profile) -> Self {
        let column = |kind| profile.sample_type_index(kind);
        if let inuse @ Some(_) = column("inuse_space") {
            return Self::Heap([
                column("inuse_objects"),
                inuse,
                column("alloc_objects"),
                column("alloc_space"),
            ]);
        }
        if let contentions @ Some(_) = column("contentions") {
            return Self::Contention([column("delay"), contentions]);
        }
        let value = profile.default_sample_type();
        let unit = profile.sample_types().get(value).map_or("", |t| t.unit.as_str());
        Self::Other([column("samples"), Some(value)], unit)
    }

    /// The values by stack, whatever the labels, largest first.
    fn rows(&self, profile: &Profile) -> Vec<(StackId, Row)> {
        let columns = match self {
            Self::Heap(columns) => *columns,
            // By the second column they are sorted, then by the last.
            Self::Contention([delay, contentions]) => [None, *delay, None, *contentions],
            Self::Other([samples, value], _) => [*samples, *value, None, None],
        };
        let mut rows = HashMap::<StackId, Row>::new();
        for sample in profile.samples() {
            let values = columns.map(|c| c.and_then(|c| sample.values.get(c).copied()).unwrap_or(0));
            let row = rows.entry(sample.stack).or_default();
            *row = plus(*row, &values);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(stack, [_, value, _, also])| (Reverse(*value), Reverse(*also), *stack));
        rows
    }

    fn text(&self, row: &Row) -> String {
        let [objects, value, alloc_objects, alloc_bytes] = row;
        match self {
            Self::Heap(_) => format!("{objects}: {value} [{alloc_objects}: {alloc_bytes}]"),
            Self::Contention(_) => format!("{value} {alloc_bytes}"),
            Self::Other(_, unit) => {
                let samples = if *objects == 1 { "sample" } else { "samples" };
                format!("{} in {objects} {samples}", units::value(*value, unit))
            }
        }
    }
}

fn plus(sum: Row, row: &Row) -> Row {
    let [a, b, c, d] = sum;
    let [e, f, g, h] = row;
    [a.saturating_add(*e), b.saturating_add(*f), c.saturating_add(*g), d.saturating_add(*h)]
}

pub(super) fn write(profile: &Profile) -> String {
    let shape = Shape::of(profile);
    let rows = shape.rows(profile);
    let total = rows.iter().fold(Row::default(), |sum, (_, row)| plus(sum, row));
    let mut out = String::new();
    head(&mut out, profile, &shape.text(&total), &shape);
    let mut listed = 0;
    for (stack, row) in rows.iter().take(MOST_STACKS) {
        if out.len() > MOST_TEXT_BYTES {
            break;
        }
        listed += 1;
        let _ = write!(out, "{} @", shape.text(row));
        for &location in profile.stack(*stack) {
            let _ = write!(out, " {:#x}", profile.location(location).address);
        }
        out.push('\n');
        frames(&mut out, profile, *stack);
        out.push('\n');
    }
    if let more @ 1.. = rows.len().saturating_sub(listed) {
        let _ = writeln!(out, "# and {more} smaller stacks; ask without debug for all of them");
    }
    foot(&mut out, profile);
    out
}

fn head(out: &mut String, profile: &Profile, total: &str, shape: &Shape<'_>) {
    // Writing to a String does not fail.
    let _ = match shape {
        Shape::Heap(_) => writeln!(out, "heap profile: {total} @ heapprofile"),
        // pprof knows both by the first word alone.
        Shape::Contention(_) => {
            let kind = if is_of_releases(profile) { "mutex" } else { "contention" };
            writeln!(out, "--- {kind}:\ncycles/second=1000000000\nsampling period=1")
        }
        Shape::Other(..) => {
            let kind = profile.sample_types().get(profile.default_sample_type()).map_or("", |t| &t.kind);
            let over = profile.meta().duration_ns.unwrap_or(0);
            writeln!(out, "{kind} profile: {total}, over {}", units::nanoseconds(over))
        }
    };
}

/// A mutex profile rather than a block profile: its comment says so.
fn is_of_releases(profile: &Profile) -> bool {
    profile.meta().comments.iter().any(|comment| comment.starts_with("mutex_profile="))
}

fn foot(out: &mut String, profile: &Profile) {
    let meta = profile.meta();
    if let Some(period) = &meta.period {
        let _ = match period.value_type.unit.as_str() {
            "count" => writeln!(out, "# sampled one in {}; values are estimates of the whole", period.value),
            "bytes" => writeln!(
                out,
                "# sampled every {} bytes on average; values are estimates of the whole",
                period.value
            ),
            unit => writeln!(out, "# sampled every {}", units::value(period.value, unit)),
        };
    }
    for comment in &meta.comments {
        let _ = writeln!(out, "# {}", short(comment.trim_start_matches(['#', ' '])));
    }
    for loss in &meta.losses {
        let _ = writeln!(out, "# lost: {} {}", loss.what, loss.count);
    }
}

fn frames(out: &mut String, profile: &Profile, stack: StackId) {
    for &id in profile.stack(stack) {
        let location = profile.location(id);
        if location.lines.is_empty() {
            let file = location.mapping.map_or("?", |m| profile.str(profile.mapping(m).file));
            let _ = writeln!(out, "#\t{:#x}\t{}", location.address, short(file));
        }
        for line in location.lines {
            let function = profile.function(line.function);
            let (name, file) = (short(profile.str(function.name)), short(profile.str(function.file)));
            let _ = writeln!(out, "#\t{:#x}\t{name}\t{file}:{}", location.address, line.line);
        }
    }
}

/// One line, and not endless.
fn short(text: &str) -> String {
    text.chars().take(MOST_NAME_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::profile::{Function, Line, ProfileBuilder, ValueType};

    #[test]
    fn largest_first_in_gos_shape() {
        let types = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        let mut b = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).into());
        let (name, file, none) = (b.str("<A as B>::f\u{1b}"), b.str("src/a.rs"), b.str(""));
        let function = b.function(Function { name, system_name: none, file, start_line: 1 });
        let named = b.location(None, 0x10, &[Line { function, line: 7 }]);
        let bare = b.location(None, 0x20, &[]);
        let labels = b.labels(&[]);
        let small = b.stack(&[bare]);
        let large = b.stack(&[named, bare]);
        b.sample(small, labels, &[9, 900, 1, 100]);
        b.sample(large, labels, &[4, 4000, 2, 2000]);
        let text = write(&b.finish().unwrap());
        let expected = "heap profile: 3: 2100 [13: 4900] @ heapprofile\n\
                        2: 2000 [4: 4000] @ 0x10 0x20\n\
                        #\t0x10\t<A as B>::f?\tsrc/a.rs:7\n#\t0x20\t?\n\n\
                        1: 100 [9: 900] @ 0x20\n#\t0x20\t?\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn contention_in_gos_shape() {
        let types = [("contentions", "count"), ("delay", "nanoseconds")];
        let mut b = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).into());
        b.meta_mut().default_sample_type = Some(1);
        b.meta_mut().comments.push("mutex_profile=on: one in 10".to_owned());
        let location = b.location(None, 0x10, &[]);
        let other = b.location(None, 0x20, &[]);
        let (labels, little, much) = (b.labels(&[]), b.stack(&[location]), b.stack(&[other, location]));
        b.sample(little, labels, &[30, 1_500]);
        b.sample(much, labels, &[2, 30_500_000]);
        let expected = "--- mutex:\ncycles/second=1000000000\nsampling period=1\n\
                        30500000 2 @ 0x20 0x10\n#\t0x20\t?\n#\t0x10\t?\n\n\
                        1500 30 @ 0x10\n#\t0x10\t?\n\n\
                        # mutex_profile=on: one in 10\n";
        assert_eq!(write(&b.finish().unwrap()), expected);
    }

    #[test]
    fn times_are_readable_and_the_source_is_told() {
        let types = [("samples", "count"), ("cpu", "nanoseconds")];
        let mut b = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).into());
        b.meta_mut().default_sample_type = Some(1);
        b.meta_mut().duration_ns = Some(2_000_000_000);
        b.meta_mut().comments.push("cpu_source=thread_timers: no perf".to_owned());
        let location = b.location(None, 0x10, &[]);
        let (labels, stack) = (b.labels(&[]), b.stack(&[location]));
        b.sample(stack, labels, &[3, 30_500_000]);
        let expected = "cpu profile: 30.5 ms in 3 samples, over 2.0 s\n\
                        30.5 ms in 3 samples @ 0x10\n#\t0x10\t?\n\n\
                        # cpu_source=thread_timers: no perf\n";
        assert_eq!(write(&b.finish().unwrap()), expected);
    }
}
