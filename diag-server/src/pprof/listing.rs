//! A heap profile as text, `debug=1`: in the shape of Go's, which pprof reads too. Values are whole and unbiased, so
//! the header does not ask the reader to scale them (`heapprofile`, no rate).

use std::fmt::Write as _;

use diag::profile::{Profile, StackId};

/// Stacks beyond these are counted, not listed: this is for reading.
const MOST_STACKS: usize = 1000;
/// The list ends with the stack that goes beyond this.
const MOST_TEXT_BYTES: usize = 4 << 20;
const MOST_NAME_CHARS: usize = 300;

#[derive(Clone, Copy, Default)]
struct Row {
    inuse_objects: i64,
    inuse_bytes: i64,
    alloc_objects: i64,
    alloc_bytes: i64,
}

pub(super) fn write(profile: &Profile) -> String {
    let mut rows = rows(profile);
    let total = rows.iter().fold(Row::default(), |sum, (_, row)| sum.plus(row));
    rows.sort_by_key(|(stack, row)| {
        (std::cmp::Reverse(row.inuse_bytes), std::cmp::Reverse(row.alloc_bytes), *stack)
    });
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(out, "heap profile: {} @ heapprofile", total.text());
    let mut listed = 0;
    for (stack, row) in rows.iter().take(MOST_STACKS) {
        if out.len() > MOST_TEXT_BYTES {
            break;
        }
        listed += 1;
        let _ = write!(out, "{} @", row.text());
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
    if let Some(period) = &profile.meta().period {
        let _ = writeln!(
            out,
            "# sampled every {} bytes on average; values are estimates of the whole",
            period.value
        );
    }
    for loss in &profile.meta().losses {
        let _ = writeln!(out, "# lost: {} {}", loss.what, loss.count);
    }
    out
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

/// The values by stack, whatever the labels.
fn rows(profile: &Profile) -> Vec<(StackId, Row)> {
    let column = |kind| profile.sample_type_index(kind);
    let columns =
        [column("inuse_objects"), column("inuse_space"), column("alloc_objects"), column("alloc_space")];
    let mut rows = std::collections::HashMap::<StackId, Row>::new();
    for sample in profile.samples() {
        let [inuse_objects, inuse_bytes, alloc_objects, alloc_bytes] =
            columns.map(|c| c.and_then(|c| sample.values.get(c).copied()).unwrap_or(0));
        let row = rows.entry(sample.stack).or_default();
        *row = row.plus(&Row { inuse_objects, inuse_bytes, alloc_objects, alloc_bytes });
    }
    rows.into_iter().collect()
}

impl Row {
    fn plus(self, other: &Self) -> Self {
        Self {
            inuse_objects: self.inuse_objects.saturating_add(other.inuse_objects),
            inuse_bytes: self.inuse_bytes.saturating_add(other.inuse_bytes),
            alloc_objects: self.alloc_objects.saturating_add(other.alloc_objects),
            alloc_bytes: self.alloc_bytes.saturating_add(other.alloc_bytes),
        }
    }

    fn text(&self) -> String {
        format!("{}: {} [{}: {}]", self.inuse_objects, self.inuse_bytes, self.alloc_objects, self.alloc_bytes)
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
}
