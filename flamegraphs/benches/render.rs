//! 50,000 stacks, 40 frames deep, drawn with the default budget; beside it inferno alone on the same stacks as folded
//! lines, with its default options (min_width 0.01 %) and without any limit. `cargo bench -p flamegraphs`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use diag::profile::{
    Function, LabelSetId, Line, LocationId, Period, Profile, ProfileBuilder, StrId, ValueType,
};
use flamegraphs::Options;

const STACKS: usize = 50_000;
const DEPTH: usize = 40;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Names as long as those of generic async code are.
fn names() -> Vec<String> {
    (0..5_000)
        .map(|i| {
            format!(
                "<service_{}::module_{}::Handler<T> as tower_service::Service<http::Request<B>>>::call_{i}",
                i % 37,
                i % 411
            )
        })
        .collect()
}

/// Distinct stacks with sizes over four orders of magnitude. `seed` varies the sizes, not the stacks.
fn profile(seed: u64) -> Profile {
    let mut b = ProfileBuilder::new(vec![
        ValueType::new("inuse_objects", "count"),
        ValueType::new("inuse_space", "bytes"),
    ]);
    b.meta_mut().period = Some(Period { value_type: ValueType::new("space", "bytes"), value: 524_288 });
    let file = b.str("/home/dev/service/src/handler.rs");
    let locations: Vec<LocationId> = names()
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let name = b.str(name);
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
            b.location(None, i as u64 + 1, &[Line { function, line: 1 }])
        })
        .collect();
    let (mut walk, mut sizes) = (Random(1), Random(seed));
    let mut stack = Vec::new();
    for i in 0..STACKS {
        stack.clear();
        // Callers are shared, leaves are not: a frame has two or three callees.
        let mut at = 0;
        for depth in 0..DEPTH {
            let branch = if depth % 4 == 3 || depth > 30 { walk.below(3) } else { 0 };
            at = (at * 31 + depth * 7 + branch * 1013 + if depth == DEPTH - 1 { i } else { 0 })
                % locations.len();
            stack.push(locations[at]);
        }
        stack.reverse();
        let id = b.stack(&stack);
        let size = 64i64 << sizes.below(14);
        b.sample(id, LabelSetId::EMPTY, &[1, size]);
    }
    b.finish().unwrap()
}

fn folded(profile: &Profile) -> String {
    let mut text = String::new();
    for sample in profile.samples() {
        for (i, &location) in profile.stack(sample.stack).iter().rev().enumerate() {
            let line = profile.location(location).lines[0];
            let name = profile.str(profile.function(line.function).name);
            write!(text, "{}{name}", if i == 0 { "" } else { ";" }).unwrap();
        }
        writeln!(text, " {}", sample.values[1]).unwrap();
    }
    text
}

fn inferno_alone(folded: &str, min_width: f64) -> Vec<u8> {
    let mut options = inferno::flamegraph::Options::default();
    options.min_width = min_width;
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut svg).unwrap();
    svg
}

fn bench(c: &mut Criterion) {
    let (base, new) = (profile(1), profile(2));
    let lines = folded(&new);
    let options = Options::default();
    let print = |what: &str, bytes: usize| eprintln!("{what}: {:.2} MB", bytes as f64 / 1e6);
    eprintln!("{} stacks, {:.0} MB as folded lines", new.sample_count(), lines.len() as f64 / 1e6);
    print("ours, svg", flamegraphs::render_svg(&new, &options).unwrap().len());
    print("ours, diff svg", flamegraphs::render_diff_svg(&base, &new, &options).unwrap().len());
    print("ours, html", flamegraphs::render_html(&new, &options).unwrap().len());
    print("inferno, min_width 0.01", inferno_alone(&lines, 0.01).len());
    print("inferno, all frames", inferno_alone(&lines, 0.0).len());

    let mut group = c.benchmark_group("50k_stacks_40_deep");
    group.sample_size(10);
    group.bench_function("svg", |b| b.iter(|| flamegraphs::render_svg(black_box(&new), &options).unwrap()));
    group.bench_function("diff_svg", |b| {
        b.iter(|| flamegraphs::render_diff_svg(black_box(&base), black_box(&new), &options).unwrap())
    });
    group.bench_function("inferno_min_width_0.01", |b| b.iter(|| inferno_alone(black_box(&lines), 0.01)));
    group.bench_function("inferno_all", |b| b.iter(|| inferno_alone(black_box(&lines), 0.0)));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
