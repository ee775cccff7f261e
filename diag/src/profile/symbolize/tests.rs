use super::*;
use crate::profile::{
    Function, Label, LabelSetId, LabelValue, Line, Loss, Mapping, MappingId, MappingSymbols, ProfileBuilder,
    StackId, ValueType,
};

/// A frame: name, linkage name, line.
type Named = (&'static str, &'static str, u32);

/// Frames by offset; and what was asked.
struct Known(Vec<(u64, Vec<Named>)>, Vec<(String, Vec<u64>)>);

impl SymbolSource for Known {
    fn resolve(&mut self, module: &Module<'_>, offsets: &[u64], found: &mut dyn FnMut(usize, &[Frame<'_>])) {
        self.1.push((module.file.to_owned(), offsets.to_vec()));
        // The order of answers is free: backwards.
        for (at, offset) in offsets.iter().enumerate().rev() {
            let Some((_, frames)) = self.0.iter().find(|(o, _)| o == offset) else { continue };
            let frames: Vec<Frame<'_>> = frames
                .iter()
                .map(|&(name, system_name, line)| Frame {
                    name,
                    system_name,
                    file: "a.rs",
                    line,
                    start_line: 1,
                })
                .collect();
            found(at, &frames);
        }
    }
}

fn builder(unit: &str) -> (ProfileBuilder, MappingId) {
    let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", unit)]);
    let (file, build_id) = (b.str("/bin/app"), b.str("abcd"));
    let mapping = b.mapping(Mapping {
        start: 0x1000,
        limit: 0x9000,
        file_offset: 0x400,
        file,
        build_id,
        symbols: MappingSymbols::default(),
    });
    (b, mapping)
}

fn add(b: &mut ProfileBuilder, mapping: MappingId, leaf_first: &[u64], value: i64) {
    let ids: Vec<_> = leaf_first.iter().map(|&a| b.location(Some(mapping), a, &[])).collect();
    let stack = b.stack(&ids);
    b.sample(stack, LabelSetId::EMPTY, &[value]);
}

/// Stacks as text: `leaf<caller@address`, inlined frames joined by `~`; with values; sorted.
fn show(p: &Profile) -> Vec<String> {
    let location = |id: &LocationId| {
        let l = p.location(*id);
        if l.lines.is_empty() {
            return address_name(p, *id);
        }
        let names: Vec<_> = l.lines.iter().map(|l| p.str(p.function(l.function).name)).collect();
        names.join("~")
    };
    let stack = |s: StackId| p.stack(s).iter().map(location).collect::<Vec<_>>().join(" < ");
    let mut all: Vec<_> = p.samples().map(|s| format!("{} = {}", stack(s.stack), s.values[0])).collect();
    all.sort();
    all
}

#[test]
fn names_come_from_offsets_in_the_file() {
    let (mut b, m) = builder("bytes");
    add(&mut b, m, &[0x2000, 0x3000], 5);
    add(&mut b, m, &[0x2000, 0x4000], 6);
    let mut known = Known(
        vec![
            (0x1400, vec![("app::inner", "_Rinner", 7), ("app::outer", "_Router", 9)]),
            (0x2400, vec![("main", "main", 3)]),
        ],
        vec![],
    );
    let p = symbolize(&b.finish().unwrap(), &mut known).unwrap();
    assert_eq!(known.1, [("/bin/app".to_owned(), vec![0x1400, 0x2400, 0x3400])]);
    assert_eq!(show(&p), ["app::inner~app::outer < app+0x3400 = 6", "app::inner~app::outer < main = 5"]);
    let function = |name| *p.functions().iter().find(|f| p.str(f.name) == name).unwrap();
    assert_eq!(p.str(function("app::inner").system_name), "_Rinner");
    assert_eq!(p.str(function("main").system_name), "", "never equal to the name");
    assert_eq!((p.str(function("main").file), function("main").start_line), ("a.rs", 1));
    assert_eq!(p.mappings()[0].symbols, MappingSymbols::ALL);
    assert_eq!(p.str(p.mappings()[0].build_id), "abcd");
    let lines: Vec<_> = p.location_ids().flat_map(|l| p.location(l).lines.to_vec()).map(|l| l.line).collect();
    assert_eq!(lines, [7, 9, 3]);
}

#[test]
fn nothing_is_asked_about_named_or_placeless_locations() {
    let (mut b, m) = builder("bytes");
    let name = b.str("given");
    let function = b.function(Function {
        name,
        system_name: crate::profile::StrId::EMPTY,
        file: crate::profile::StrId::EMPTY,
        start_line: 0,
    });
    let named = b.location(Some(m), 0x2000, &[Line { function, line: 4 }]);
    let ids = [
        named,
        b.location(None, 0x2000, &[]),
        b.location(Some(m), 0x9000, &[]),
        b.location(Some(m), 0xfff, &[]),
    ];
    let stack = b.stack(&ids);
    b.sample(stack, LabelSetId::EMPTY, &[1]);
    let mut known = Known(vec![(0x1400, vec![("wrong", "", 1)])], vec![]);
    let p = symbolize(&b.finish().unwrap(), &mut known).unwrap();
    assert!(known.1.is_empty());
    assert_eq!(show(&p), ["given < 0x2000 < app+0x8400 < app+0x3ff = 1"]);
    assert_eq!(p.mappings()[0].symbols, MappingSymbols::default());
}

fn allocating() -> Known {
    Known(
        vec![
            (0x1400, vec![("_rjem_malloc", "", 0)]),
            (
                0x2400,
                vec![
                    ("alloc::alloc::alloc", "", 1),
                    ("alloc::raw_vec::finish_grow", "", 2),
                    ("app::push", "", 3),
                ],
            ),
            (0x3400, vec![("app::boxed", "", 4)]),
            (0x4400, vec![("main", "", 5)]),
        ],
        vec![],
    )
}

#[test]
fn the_allocator_leaves_the_leaf() {
    let (mut b, m) = builder("bytes");
    add(&mut b, m, &[0x2000, 0x3000, 0x5000], 1);
    add(&mut b, m, &[0x3000, 0x5000], 2);
    add(&mut b, m, &[0x2000, 0x4000, 0x5000], 4);
    add(&mut b, m, &[0x2000, 0x2000], 8);
    add(&mut b, m, &[0x5000, 0x2000, 0x5000], 16);
    add(&mut b, m, &[0x2000, 0x6000], 32);
    let p = symbolize(&b.finish().unwrap(), &mut allocating()).unwrap();
    assert_eq!(
        show(&p),
        [
            "_rjem_malloc < _rjem_malloc = 8",
            "app+0x5400 = 32",
            "app::boxed < main = 4",
            "app::push < main = 3",
            "main < _rjem_malloc < main = 16",
        ]
    );
    assert_eq!(p.total(0), 63);
    // The caller keeps its own address, for it is nowhere needed whole.
    let push = p.location_ids().find(|l| p.location(*l).lines.len() == 1 && p.location(*l).address == 0x3000);
    assert!(push.is_some());
    assert_distinct(&p);
}

#[test]
fn a_location_in_both_forms_has_two_addresses() {
    let (mut b, m) = builder("bytes");
    add(&mut b, m, &[0x2000, 0x3000, 0x5000], 1);
    // In the middle of a stack the allocator stays.
    add(&mut b, m, &[0x5000, 0x3000, 0x5000], 2);
    // Somebody is at the first address tried.
    add(&mut b, m, &[0x4000, 0x2fff], 4);
    let p = symbolize(&b.finish().unwrap(), &mut allocating()).unwrap();
    assert_eq!(
        show(&p),
        [
            "app::boxed < app+0x23ff = 4",
            "app::push < main = 1",
            "main < alloc::alloc::alloc~alloc::raw_vec::finish_grow~app::push < main = 2",
        ]
    );
    assert_distinct(&p);
}

fn assert_distinct(p: &Profile) {
    let mut addresses: Vec<_> =
        p.location_ids().map(|l| (p.location(l).mapping, p.location(l).address)).collect();
    addresses.sort_unstable();
    let count = addresses.len();
    addresses.dedup();
    assert_eq!(addresses.len(), count);
}

#[test]
fn cpu_profiles_keep_the_allocator() {
    let (mut b, m) = builder("nanoseconds");
    add(&mut b, m, &[0x2000, 0x3000], 1);
    let p = symbolize(&b.finish().unwrap(), &mut allocating()).unwrap();
    assert_eq!(show(&p), ["_rjem_malloc < alloc::alloc::alloc~alloc::raw_vec::finish_grow~app::push = 1"]);
}

#[test]
fn everything_else_is_carried_over() {
    let (mut b, m) = builder("bytes");
    let location = b.location(Some(m), 0x4000, &[]);
    let stack = b.stack(&[location]);
    let (key, value, unit) = (b.str("thread"), b.str("w-1"), b.str("bytes"));
    let labels =
        [Label { key, value: LabelValue::Str(value) }, Label { key: unit, value: LabelValue::Num(64, unit) }];
    let set = b.labels(&labels);
    b.sample(stack, set, &[3]);
    b.meta_mut().comments.push("kept".into());
    b.meta_mut().losses.push(Loss { what: "truncated_stacks".into(), count: 2 });
    let old = b.finish().unwrap();
    let p = symbolize(&old, &mut allocating()).unwrap();
    assert_eq!(p.meta(), old.meta());
    assert_eq!(p.sample_types(), old.sample_types());
    let sample = p.samples().next().unwrap();
    let mut shown: Vec<_> = p
        .label_set(sample.labels)
        .iter()
        .map(|l| match l.value {
            LabelValue::Str(s) => format!("{}={}", p.str(l.key), p.str(s)),
            LabelValue::Num(n, u) => format!("{}={n} {}", p.str(l.key), p.str(u)),
        })
        .collect();
    shown.sort();
    assert_eq!(shown, ["bytes=64 bytes", "thread=w-1"]);
    // Named once, nothing is left to do.
    let again = symbolize(&p, &mut allocating()).unwrap();
    assert_eq!(show(&again), show(&p));
}

#[test]
fn a_chain_asks_on_for_what_is_missing() {
    let first = Known(vec![(2, vec![("two", "", 1)])], vec![]);
    let second = Known(vec![(2, vec![("wrong", "", 1)]), (3, vec![("three", "", 1)])], vec![]);
    let mut chain = Chain(vec![first, second]);
    let module = Module { file: "/x", build_id: "", is_main: true, file_offset: 0, size_bytes: 0 };
    let mut found = vec![];
    chain.resolve(&module, &[1, 2, 3], &mut |at, frames| found.push((at, frames[0].name.to_owned())));
    assert_eq!(found, [(1, "two".to_owned()), (2, "three".to_owned())]);
    assert_eq!(chain.0[1].1[0].1, [1, 3]);
}
