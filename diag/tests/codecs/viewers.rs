//! The formats of other viewers: read back with a JSON parser and compared with the profile.

use std::collections::BTreeMap;

use diag::profile::{Profile, firefox, folded, pprof, speedscope};
use proptest::prelude::*;
use serde_json::Value;

use crate::canon;
use crate::plan::plan;

/// Stacks of names, root first, to sums.
type Sums = BTreeMap<Vec<String>, i128>;

/// What a viewer has to show of a column: the values of `keep`, by stack of names.
fn expected(profile: &Profile, column: usize, keep: impl Fn(i64) -> i128) -> Sums {
    let mut sums = Sums::new();
    for ((stack, _), values) in canon::of(profile).samples {
        let mut names = Vec::new();
        for frame in stack.iter().rev() {
            if frame.lines.is_empty() {
                let file = frame.mapping.as_ref().filter(|m| !m.file.is_empty());
                names.push(match file {
                    Some(m) => format!(
                        "{}+{:#x}",
                        m.file.rsplit('/').next().unwrap(),
                        frame.address.wrapping_sub(m.range.0).wrapping_add(m.range.2)
                    ),
                    None => format!("{:#x}", frame.address),
                });
            }
            names.extend(frame.lines.iter().rev().map(|(f, _)| f.name.clone()));
        }
        // Labels are not written, so each sample is taken by itself.
        *sums.entry(names).or_default() += keep(values[column]);
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap_or_else(|| panic!("not a list: {v}"))
}

fn at<'a>(table: &'a Value, column: &str, index: &Value) -> &'a Value {
    &table[column][index.as_u64().unwrap_or_else(|| panic!("no index: {index}")) as usize]
}

fn speedscope_sums(profile: &Value, frames: &Value) -> Sums {
    let mut sums = Sums::new();
    let (samples, weights) = (list(&profile["samples"]), list(&profile["weights"]));
    assert_eq!(samples.len(), weights.len());
    for (stack, weight) in samples.iter().zip(weights) {
        let names =
            list(stack).iter().map(|f| frames[f.as_u64().unwrap() as usize]["name"].as_str().unwrap());
        *sums.entry(names.map(str::to_owned).collect()).or_default() += i128::from(weight.as_u64().unwrap());
        assert!(weight.as_u64().unwrap() > 0, "speedscope refuses weights that are not positive");
    }
    sums
}

/// Checks the tables, and gives the sums of a thread.
fn firefox_sums(file: &Value, thread: &Value) -> Sums {
    let (shared, samples) = (&file["shared"], &thread["samples"]);
    let mut sums = Sums::new();
    let (stacks, weights) = (list(&samples["stack"]), list(&samples["weight"]));
    for (stack, weight) in stacks.iter().zip(weights) {
        let mut names = Vec::new();
        let mut node = stack;
        while !node.is_null() {
            let frame = at(&shared["stackTable"], "frame", node);
            let func = at(&shared["frameTable"], "func", frame);
            let name = at(&shared["funcTable"], "name", func);
            names.push(at(shared, "stringArray", name).as_str().unwrap().to_owned());
            let prefix = at(&shared["stackTable"], "prefix", node);
            assert!(prefix.is_null() || prefix.as_u64() < node.as_u64(), "a prefix comes before its node");
            node = prefix;
        }
        names.reverse();
        *sums.entry(names).or_default() += i128::from(weight.as_i64().unwrap());
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// Every column of a table is as long as the table says.
fn columns_are_even(table: &Value) {
    let length = table["length"].as_u64().unwrap_or_else(|| panic!("{table}")) as usize;
    for (name, column) in table.as_object().unwrap() {
        if let Some(column) = column.as_array() {
            assert_eq!(column.len(), length, "{name}");
        }
    }
}

fn firefox_tables_are_even(file: &Value) {
    for (name, table) in file["shared"].as_object().unwrap() {
        if name != "stringArray" {
            columns_are_even(table);
        }
    }
    for thread in list(&file["threads"]) {
        columns_are_even(&thread["samples"]);
        columns_are_even(&thread["markers"]);
    }
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn speedscope_shows_every_column(plan in plan()) {
        let profile = plan.profile();
        let file: Value = serde_json::from_str(&speedscope::write(&profile, "a \"name\"")).unwrap();
        prop_assert_eq!(&file["name"], "a \"name\"");
        let mut profiles = list(&file["profiles"]).iter();
        for (i, t) in profile.sample_types().iter().enumerate() {
            let grown = profiles.next().unwrap();
            prop_assert_eq!(&grown["name"], &t.kind);
            prop_assert_eq!(
                speedscope_sums(grown, &file["shared"]["frames"]),
                expected(&profile, i, |v| i128::from(v.max(0)))
            );
            let negative = expected(&profile, i, |v| i128::from(v.min(0).saturating_neg()));
            if !negative.is_empty() {
                let shrunk = profiles.next().unwrap();
                prop_assert_eq!(speedscope_sums(shrunk, &file["shared"]["frames"]), negative);
            }
        }
        prop_assert!(profiles.next().is_none());
        let active = &file["profiles"][file["activeProfileIndex"].as_u64().unwrap() as usize]["name"];
        prop_assert_eq!(active, &profile.sample_types()[profile.default_sample_type()].kind);
    }

    #[test]
    fn firefox_shows_every_column(plan in plan()) {
        let profile = plan.profile();
        let file: Value = serde_json::from_str(&firefox::write(&profile, "a <name>")).unwrap();
        firefox_tables_are_even(&file);
        let threads = list(&file["threads"]);
        prop_assert_eq!(threads.len(), profile.sample_types().len());
        for (i, t) in profile.sample_types().iter().enumerate() {
            // Sums of fractions are compared in the test below.
            if !t.unit.ends_with("seconds") {
                prop_assert_eq!(firefox_sums(&file, &threads[i]), expected(&profile, i, i128::from));
            }
        }
    }
}

/// A server with an inlined function, a frame without name, and a negative value.
fn example() -> Profile {
    use diag::profile::{
        Function, LabelSetId, Line, Mapping, MappingSymbols, ProfileBuilder, StrId, ValueType,
    };
    let types = [("inuse_objects", "count"), ("inuse_space", "bytes"), ("cpu", "nanoseconds")];
    let mut b = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).to_vec());
    let (file, build_id) = (b.str("/usr/bin/shop"), b.str("510d0a5c19eadf8043f203b4525be9be3dcb9554"));
    let (start, limit, file_offset) = (0x5555_0000_0000, 0x5555_0001_0000, 0x1000);
    let symbols = MappingSymbols::ALL;
    let mapping = b.mapping(Mapping { start, limit, file_offset, file, build_id, symbols });
    let line = |b: &mut ProfileBuilder, name: &str, line: i64| {
        let (name, file) = (b.str(name), b.str("src/cart.rs"));
        let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: line - 2 });
        Line { function, line }
    };
    let inlined = [line(&mut b, "shop::Cart::push", 12), line(&mut b, "shop::handle", 40)];
    let root = [line(&mut b, "shop::main", 90)];
    let leaf = b.location(Some(mapping), start + 0x10, &inlined);
    let main = b.location(Some(mapping), start + 0x20, &root);
    let bare = b.location(Some(mapping), start + 0x30, &[]);
    let grown = b.stack(&[leaf, main]);
    let shrunk = b.stack(&[bare, main]);
    b.sample(grown, LabelSetId::EMPTY, &[3, 3072, 1_500_000]);
    b.sample(shrunk, LabelSetId::EMPTY, &[-1, -64, 0]);
    let meta = b.meta_mut();
    meta.default_sample_type = Some(1);
    meta.time_unix_ns = Some(1_700_000_000_000_000_000);
    b.finish().unwrap()
}

#[test]
fn speedscope_matches_its_golden_file() {
    crate::golden("speedscope.json", &pretty(&speedscope::write(&reread(), "shop")));
}

#[test]
fn firefox_matches_its_golden_file() {
    crate::golden("firefox.json", &pretty(&firefox::write(&reread(), "shop")));
}

#[test]
fn folded_matches_its_golden_file() {
    let profile = reread();
    let all: Vec<String> = (0..3).map(|i| folded::write(&profile, i)).collect();
    crate::golden("folded.txt", &all.join("\n"));
}

/// The example as it comes out of a file.
fn reread() -> Profile {
    pprof::decode(&pprof::encode_gz(&example())).unwrap()
}

fn pretty(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

#[test]
fn firefox_samples_lie_side_by_side_as_wide_as_their_weight() {
    let file: Value = serde_json::from_str(&firefox::write(&example(), "shop")).unwrap();
    let bytes = &file["threads"][1]["samples"];
    assert_eq!(bytes["weightType"], "bytes");
    assert_eq!(bytes["weight"], serde_json::json!([3072, -64]));
    assert_eq!(bytes["timeDeltas"], serde_json::json!([0.0, 3072.0]));
    assert_eq!(file["meta"]["sampleUnits"]["time"], "bytes");
    let time = &file["threads"][2]["samples"];
    assert_eq!(time["weightType"], "tracing-ms");
    assert_eq!(time["weight"], serde_json::json!([1.5]));
}

#[test]
fn firefox_lib_ids_are_those_of_breakpad() {
    let file: Value = serde_json::from_str(&firefox::write(&example(), "shop")).unwrap();
    // As dump_syms writes it for this build id.
    assert_eq!(file["libs"][0]["breakpadId"], "5C0A0D51EA1980DF43F203B4525BE9BE0");
    assert_eq!(file["libs"][0]["codeId"], "510d0a5c19eadf8043f203b4525be9be3dcb9554");
}
