//! A profile as `go tool pprof -raw` prints it, from the line `Samples:` on: without samples that are all zero, and
//! without the locations and mappings that only those use.

use std::collections::BTreeMap;
use std::fmt::Write;

use diag::profile::{LabelValue, Profile};

pub(crate) fn raw(p: &Profile) -> String {
    let mut out = String::from("Samples:\n");
    let default = p.meta().default_sample_type;
    let types = p.sample_types().iter().enumerate().map(|(i, t)| {
        let mark = if default == Some(i) { "[dflt]" } else { "" };
        format!("{}/{}{mark}", t.kind, t.unit)
    });
    line(&mut out, &types.collect::<Vec<_>>().join(" "));
    let shown = || p.samples().filter(|s| s.values.iter().any(|&v| v != 0));
    // Numbered by first use.
    let (mut locations, mut mappings) = (Vec::new(), Vec::new());
    for &id in shown().flat_map(|s| p.stack(s.stack)) {
        if !locations.contains(&id) {
            locations.push(id);
        }
    }
    for id in locations.iter().filter_map(|&l| p.location(l).mapping) {
        if !mappings.contains(&id) {
            mappings.push(id);
        }
    }
    let location_number = |id| locations.iter().position(|&l| l == id).unwrap() + 1;
    let mapping_number = |id| mappings.iter().position(|&m| m == id).unwrap() + 1;
    for sample in shown() {
        let mut text = String::new();
        sample.values.iter().for_each(|v| write!(text, " {v:10}").unwrap());
        text.push(':');
        p.stack(sample.stack).iter().for_each(|&id| write!(text, " {}", location_number(id)).unwrap());
        line(&mut out, &text);
        let (mut texts, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for label in p.label_set(sample.labels) {
            match label.value {
                LabelValue::Str(value) => texts.insert(p.str(label.key), p.str(value).to_owned()),
                LabelValue::Num(n, unit) => {
                    numbers.insert(p.str(label.key), format!("{n} {}", p.str(unit)).trim_end().to_owned())
                }
            };
        }
        for labels in [texts, numbers].iter().filter(|l| !l.is_empty()) {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}:[{v}]")).collect();
            line(&mut out, &format!("                {}", labels.join(" ")));
        }
    }
    line(&mut out, "Locations");
    for &id in &locations {
        let location = p.location(id);
        let mut head = format!("{:6}: {:#x} ", location_number(id), location.address);
        if let Some(mapping) = location.mapping {
            write!(head, "M={} ", mapping_number(mapping)).unwrap();
        }
        if location.lines.is_empty() {
            line(&mut out, &head);
        }
        for l in location.lines {
            let f = p.function(l.function);
            let (name, file) = (p.str(f.name), p.str(f.file));
            line(&mut out, &format!("{head}{name} {file}:{} s={}", l.line, f.start_line));
            head = "             ".to_owned();
        }
    }
    line(&mut out, "Mappings");
    for &id in &mappings {
        let m = p.mapping(id);
        let mut flags = String::new();
        let symbols = m.symbols;
        for (has, flag) in [
            (symbols.functions, "[FN]"),
            (symbols.filenames, "[FL]"),
            (symbols.line_numbers, "[LN]"),
            (symbols.inline_frames, "[IN]"),
        ] {
            flags.push_str(if has { flag } else { "" });
        }
        let (file, build_id) = (p.str(m.file), p.str(m.build_id));
        line(
            &mut out,
            &format!(
                "{}: {:#x}/{:#x}/{:#x} {file} {build_id} {flags}",
                mapping_number(id),
                m.start,
                m.limit,
                m.file_offset
            ),
        );
    }
    out.trim_end().to_owned()
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}
