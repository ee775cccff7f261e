//! Large profiles with a seed, for benchmarks and for timing other tools on the same files.
//!
//! The outer third of a stack is one of 16 ways into the program, the other frames are drawn evenly from all
//! functions, so stacks share little and compress badly: the worst case for readers. 200,000 samples of 48 frames over
//! 50,000 functions make a pprof file of about 20 MB gzipped.
#![allow(unreachable_pub)] // shared with an example

use diag::profile::{
    Function, LabelSetId, Line, LocationId, Mapping, MappingSymbols, Period, Profile, ProfileBuilder, StrId,
    ValueType,
};

/// The size of a profile.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Distinct stacks, a sample each.
    pub samples: usize,
    /// Frames of each stack.
    pub depth: usize,
    /// Functions, one location each.
    pub functions: usize,
}

impl Size {
    /// The size that the targets are stated for.
    pub const FULL: Self = Self { samples: 200_000, depth: 48, functions: 50_000 };
}

/// Two profiles of one process: a tenth of the stacks of the first is gone in the second, a tenth of the second is
/// new, and a quarter of the others has grown.
pub fn pair(size: Size) -> (Profile, Profile) {
    (build(size, 0), build(size, size.samples / 10))
}

/// The samples from number `skip` on of an endless seeded series.
fn build(size: Size, skip: usize) -> Profile {
    let types = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    let mut b = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).to_vec());
    let meta = b.meta_mut();
    meta.default_sample_type = Some(3);
    meta.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: 512 << 10 });
    meta.time_unix_ns = Some(1_700_000_000_000_000_000 + skip as i64 * 1_000_000);
    let (file, build_id) = (b.str("/srv/bin/big"), b.str("00112233445566778899aabbccddeeff00112233"));
    let start = 0x5555_5555_4000;
    let mapping = Mapping {
        start,
        limit: start + ((size.functions as u64) << 8),
        file_offset: 0,
        file,
        build_id,
        symbols: MappingSymbols::ALL,
    };
    let mapping = b.mapping(mapping);
    let locations: Vec<LocationId> = (0..size.functions)
        .map(|i| {
            let name = match i % 10 {
                0 => format!("core::ops::function::impls::call_once::<service::module_{}::Task{i}>", i % 97),
                1 => format!(
                    "<alloc::vec::Vec<service::Row{i}> as core::iter::Extend<service::Row{i}>>::extend"
                ),
                2 => {
                    format!("<service::module_{}::Store{i} as service::Keep>::insert::{{closure#0}}", i % 97)
                }
                _ => format!("service::module_{}::Type{}::method_{i}", i % 97, i % 1009),
            };
            let (name, file) = (b.str(&name), b.str(&format!("src/module_{}/file_{}.rs", i % 97, i % 1009)));
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 1 });
            b.location(
                Some(mapping),
                start + ((i as u64) << 8) + 0x11,
                &[Line { function, line: (i % 900) as i64 }],
            )
        })
        .collect();
    let outer = size.depth / 3;
    let mut random = Random(u64::MAX);
    let ways: Vec<Vec<LocationId>> =
        (0..16).map(|_| (0..outer).map(|_| locations[random.below(locations.len())]).collect()).collect();
    let mut stack = Vec::with_capacity(size.depth);
    for i in skip..skip + size.samples {
        let mut random = Random(i as u64);
        stack.clear();
        stack.extend((outer..size.depth).map(|_| locations[random.below(locations.len())]));
        stack.extend_from_slice(&ways[random.below(ways.len())]);
        let id = b.stack(&stack);
        let grown = if skip > 0 && i % 4 == 0 { 2 } else { 1 };
        let (objects, bytes) = (1 + random.below(1000) as i64, 16 + random.below(1 << 20) as i64);
        let (live, live_bytes) = (grown * objects, grown * bytes);
        b.sample(id, LabelSetId::EMPTY, &[3 * live, 3 * live_bytes, live, live_bytes]);
    }
    b.finish().unwrap_or_else(|e| unreachable!("the generator keeps the rules: {e}"))
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
