//! Any profile that the builder accepts. Strings and values are mostly those that some code looks for.

use diag::profile::cohorts::{STARTED_COMMENT, TAKEN_COMMENT, WORK_COMMENT};
use diag::profile::{
    Function, Label, LabelValue, Line, LocationId, Mapping, MappingSymbols, Period, Profile, ProfileBuilder,
    ValueType,
};

use crate::bytes::Bytes;

const TYPES: [(&str, &str); 10] = [
    ("inuse_space", "bytes"),
    ("inuse_objects", "count"),
    ("alloc_space", "bytes"),
    ("alloc_objects", "count"),
    ("cpu", "nanoseconds"),
    ("samples", "count"),
    ("delay", "nanoseconds"),
    ("contentions", "count"),
    ("tasks", "count"),
    ("", ""),
];

const NAMES: [&str; 18] = [
    "",
    "main",
    "shop::orders::parse",
    "<shop::Cart as core::fmt::Display>::fmt",
    "alloc::vec::Vec<T>::push",
    "__rust_alloc",
    "_rjem_je_malloc",
    "tokio::runtime::task::core::Core<T,S>::poll",
    "std::sync::mutex::Mutex<T>::lock",
    "core::ptr::drop_in_place<T>",
    "a::{{closure}}::{closure#0}",
    "operator new(unsigned long)",
    "runtime.mallocgc",
    "std::vector<int, std::allocator<int> >::push_back",
    "<<><",
    "x\u{1b}[31m\n</script>",
    "a;b c",
    "\u{202e}é💩",
];

const KEYS: [&str; 10] = ["bytes", "age", "born_at", "thread", "span", "route", "task", "state", "", "x"];
const TEXTS: [&str; 8] = ["", "0-10s", "10-60m", "worker", "a=b", "<b>", "\u{1b}[2J", "main"];
const FILES: [&str; 5] =
    ["", "/src/shop/src/lib.rs", "/bin/shop", "[vdso]", "/lib/x86_64-linux-gnu/libc.so.6"];

/// One profile of so many sample types.
pub fn profile(bytes: &mut Bytes<'_>) -> Option<Profile> {
    let types: Vec<ValueType> = (0..1 + bytes.below(4))
        .map(|_| {
            let (kind, unit) = bytes.of(&TYPES);
            ValueType::new(kind, unit)
        })
        .collect();
    let columns = types.len();
    let mut b = ProfileBuilder::new(types);
    meta(&mut b, bytes, columns);
    let locations = locations(&mut b, bytes);
    for _ in 0..bytes.below(24) {
        let depth = bytes.below(8);
        let stack: Vec<LocationId> = (0..depth).map(|_| bytes.of(&locations)).collect();
        let labels: Vec<Label> = (0..bytes.below(4)).map(|_| label(&mut b, bytes)).collect();
        let (stack, labels) = (b.stack(&stack), b.labels(&labels));
        let values: Vec<i64> = (0..columns).map(|_| bytes.number()).collect();
        b.sample(stack, labels, &values);
    }
    b.finish().ok()
}

fn meta(b: &mut ProfileBuilder, bytes: &mut Bytes<'_>, columns: usize) {
    let period = bytes.flag().then(|| {
        let (kind, unit) = bytes.of(&TYPES);
        let kind = if bytes.flag() { "space" } else { kind };
        Period { value_type: ValueType::new(kind, unit), value: bytes.number() }
    });
    let comments: Vec<String> = (0..bytes.below(5))
        .map(|_| {
            let name = bytes.of(&[
                STARTED_COMMENT,
                TAKEN_COMMENT,
                WORK_COMMENT,
                "reason=",
                "pid=",
                "# diag.loss ",
                "",
            ]);
            format!("{name}{}", if bytes.flag() { bytes.number().to_string() } else { bytes.text(20) })
        })
        .collect();
    let meta = b.meta_mut();
    meta.period = period;
    meta.comments = comments;
    meta.default_sample_type = bytes.flag().then(|| bytes.below(columns));
    meta.time_unix_ns = bytes.flag().then(|| bytes.number());
    meta.duration_ns = bytes.flag().then(|| bytes.number());
}

fn locations(b: &mut ProfileBuilder, bytes: &mut Bytes<'_>) -> Vec<LocationId> {
    let mut mappings = Vec::new();
    for _ in 0..bytes.below(3) {
        let (file, build_id) = (b.str(bytes.of(&FILES)), b.str(bytes.of(&["", "00ff00ff"])));
        let (start, limit) = (bytes.number() as u64, bytes.number() as u64);
        let file_offset = bytes.number() as u64;
        mappings.push(b.mapping(Mapping {
            start,
            limit,
            file_offset,
            file,
            build_id,
            symbols: MappingSymbols::ALL,
        }));
    }
    (0..1 + bytes.below(12))
        .map(|_| {
            let mapping = mappings.get(bytes.below(4)).copied();
            let lines: Vec<Line> = (0..bytes.below(3))
                .map(|_| {
                    let name = if bytes.below(8) == 0 { bytes.text(24) } else { bytes.of(&NAMES).to_owned() };
                    let (name, file) = (b.str(&name), b.str(bytes.of(&FILES)));
                    let function =
                        b.function(Function { name, system_name: name, file, start_line: bytes.number() });
                    Line { function, line: bytes.number() }
                })
                .collect();
            b.location(mapping, bytes.number() as u64, &lines)
        })
        .collect()
}

fn label(b: &mut ProfileBuilder, bytes: &mut Bytes<'_>) -> Label {
    let key = b.str(bytes.of(&KEYS));
    let value = if bytes.flag() {
        let unit = b.str(bytes.of(&["", "bytes", "seconds", "nanoseconds", "unix-nanoseconds"]));
        LabelValue::Num(bytes.number(), unit)
    } else {
        LabelValue::Str(b.str(bytes.of(&TEXTS)))
    };
    Label { key, value }
}
