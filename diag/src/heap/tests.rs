//! The collector under storms, checked address by address against what is really alive.

use std::collections::HashMap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Heap;
use super::collector::Collector;
use super::handle::Source;
use super::live::LiveObject;
use crate::profile::{Label, LabelValue};

#[global_allocator]
static ALLOC: crate::Allocator = crate::Allocator;

/// One storm at a time: the collector is the process's.
pub(super) fn collector() -> (Heap, &'static Collector, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static STARTED: Mutex<Option<Heap>> = Mutex::new(None);
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let heap = *started.get_or_insert_with(|| super::start(&crate::Config::default()).unwrap().heap);
    let Source::Hooks(collector) = heap.source else { panic!("the hooks are to be had here") };
    (heap, collector, turn)
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Mostly small, sometimes large: all ways through the allocator.
    fn size(&mut self) -> usize {
        (match self.below(100) {
            0..70 => 1 + self.below(512),
            70..95 => 512 + self.below(15 << 10),
            95..99 => 16 << 10 | self.below(100 << 10),
            _ => 1 << 20 | self.below(1 << 20),
        }) as usize
    }
}

type Slots = Vec<Mutex<Vec<u8>>>;

#[inline(never)]
fn storm_alloc(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}

#[inline(never)]
fn storm_grow(block: &mut Vec<u8>, size: usize) {
    block.reserve_exact(size);
    black_box(block);
}

#[inline(never)]
fn storm_shrink(block: &mut Vec<u8>, size: usize) {
    block.shrink_to(size);
    black_box(block);
}

/// Blocks move between threads through the slots: what one allocates, another grows, and a third frees.
fn work(slots: &Slots, seed: u64, operations: u64, stop: &AtomicBool) {
    let mut random = Random(seed);
    for _ in 0..operations {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let slot = &slots[random.below(slots.len() as u64) as usize];
        match random.below(10) {
            0..6 => {
                let new = storm_alloc(random.size());
                let old = std::mem::replace(&mut *slot.lock().unwrap(), new);
                drop(old);
            }
            6..8 => storm_grow(&mut slot.lock().unwrap(), random.size()),
            8 => storm_shrink(&mut slot.lock().unwrap(), random.size()),
            _ => drop(std::mem::take(&mut *slot.lock().unwrap())),
        }
    }
}

/// Eight threads for as long as told, and short-lived ones all the while; snapshots in between.
fn storm(heap: &Heap, slots: &Slots, operations: u64, at_most: Duration) {
    let stop = AtomicBool::new(false);
    let running = AtomicU64::new(8);
    let deadline = Instant::now() + at_most;
    std::thread::scope(|s| {
        for seed in 0..8 {
            let (stop, running) = (&stop, &running);
            s.spawn(move || {
                work(slots, seed, operations, stop);
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut seed = 1000;
        while running.load(Ordering::Relaxed) > 0 {
            seed += 1;
            let stop = &stop;
            s.spawn(move || work(slots, seed, 50, stop)).join().unwrap();
            if seed % 50 == 0 {
                black_box(heap.snapshot(&super::SnapshotOptions { ages: seed % 100 == 0 }).unwrap());
            }
            stop.store(Instant::now() > deadline, Ordering::Relaxed);
        }
    });
}

/// Live objects whose stack goes through the storm.
fn storm_objects(collector: &Collector) -> Vec<LiveObject> {
    let modules = collector.code.modules();
    let functions: [*const (); 3] =
        [storm_alloc as *const (), storm_grow as *const (), storm_shrink as *const ()];
    let functions: Vec<Range<u64>> = functions
        .iter()
        .map(|f| modules.list[0].function_around(*f as u64).expect("has unwind tables"))
        .collect();
    let mut live = Vec::new();
    collector.live.copy(&mut live);
    live.retain(|o| {
        let site = collector.sites.get(o.site).unwrap();
        collector
            .sites
            .stack(site.stack)
            .any(|f| functions.iter().any(|r| r.contains(&collector.sites.frame_address(f))))
    });
    live
}

fn really_alive(slots: &Slots) -> HashMap<u64, u64> {
    slots
        .iter()
        .map(|s| s.lock().unwrap())
        .filter(|b| b.capacity() > 0)
        .map(|b| (b.as_ptr() as u64, b.capacity() as u64))
        .collect()
}

fn slots(count: usize) -> Slots {
    (0..count).map(|_| Mutex::new(Vec::new())).collect()
}

fn hook_losses(collector: &Collector) -> u64 {
    let losses = collector.losses();
    ["live_table_full", "site_table_full", "reentered_samples", "reentered_frees", "no_stack_bounds"]
        .iter()
        .filter_map(|what| losses.get(*what))
        .sum()
}

#[test]
fn with_every_allocation_sampled_the_table_is_exactly_what_is_alive() {
    let (heap, collector, _turn) = collector();
    let slots = slots(3_000);
    heap.set_sample_period_bytes(1).unwrap();
    // Each thread's first gap may be drawn from the old period; new threads' are not.
    storm(&heap, &slots, 15_000, Duration::from_secs(60));
    heap.set_sample_period_bytes(512 << 10).unwrap();
    let alive = really_alive(&slots);
    let table: HashMap<u64, LiveObject> =
        storm_objects(collector).into_iter().map(|o| (o.address, o)).collect();
    assert!(alive.len() > 1_000);
    for (address, size) in &alive {
        let object = table.get(address).unwrap_or_else(|| panic!("{address:#x} of {size} bytes is missing"));
        assert_eq!(object.size, *size);
        assert_eq!(object.pending_frees, 0);
        assert_eq!(object.weight_objects, 1.0);
    }
    for address in table.keys() {
        assert!(alive.contains_key(address), "{address:#x} is not alive any more");
    }
    drop(slots);
    assert_eq!(storm_objects(collector), []);
    assert_eq!(hook_losses(collector), 0, "{:?}", collector.losses());
}

/// The storm: a period of 4 KiB, 60 s with DIAG_STORM_SECONDS=60, some seconds' worth of operations otherwise.
#[test]
fn a_storm_leaves_the_table_right() {
    let (heap, collector, _turn) = collector();
    let seconds = std::env::var("DIAG_STORM_SECONDS").ok().and_then(|s| s.parse::<u64>().ok());
    let slots = slots(20_000);
    heap.set_sample_period_bytes(4096).unwrap();
    let before = heap.stats().samples_total;
    match seconds {
        Some(seconds) => storm(&heap, &slots, u64::MAX, Duration::from_secs(seconds)),
        None => storm(&heap, &slots, 60_000, Duration::from_secs(60)),
    }
    heap.set_sample_period_bytes(512 << 10).unwrap();
    let samples = heap.stats().samples_total - before;
    let alive = really_alive(&slots);
    let table = storm_objects(collector);
    println!("{samples} samples, {} of {} live blocks in the table", table.len(), alive.len());
    assert!(samples > 10_000);
    let mut estimate = 0.0;
    for object in &table {
        assert_eq!(alive.get(&object.address), Some(&object.size), "{object:?}");
        assert_eq!(object.pending_frees, 0);
        estimate += object.weight_objects;
    }
    // Some thousand samples: the standard error is about 2 %.
    let truth = alive.len() as f64;
    assert!((estimate / truth - 1.0).abs() < 0.15, "estimated {estimate:.0} of {truth} live blocks");
    drop(slots);
    assert_eq!(storm_objects(collector), []);
    assert_eq!(hook_losses(collector), 0, "{:?}", collector.losses());
}

/// What a verdict is told of a stack.
#[test]
fn live_memory_of_a_stack_is_told_by_context() {
    let (heap, collector, _turn) = collector();
    let context = |route: &str| crate::context::Context {
        span: "request",
        labels: Arc::new([("route".into(), route.into())]),
    };
    let numbers = ["/a", "/b"].map(|route| crate::context::TABLE.intern(&context(route)).0);
    heap.set_sample_period_bytes(1).unwrap();
    let born = std::thread::spawn(move || {
        let in_context = |number: u32| {
            crate::sys::thread::with_state(|state| state.context.set(number));
            (0..10).map(|_| storm_alloc(500)).collect::<Vec<_>>()
        };
        [numbers[0], numbers[1], numbers[1], 0].map(in_context)
    });
    let kept = born.join().unwrap();
    heap.set_sample_period_bytes(512 << 10).unwrap();
    let profile = super::snapshot::take_stacks(collector, |_| true).unwrap();
    let mut objects: HashMap<String, i64> = HashMap::new();
    for sample in profile.samples() {
        let text = |l: &Label| match l.value {
            LabelValue::Str(text) if ["route", "span"].contains(&profile.str(l.key)) => {
                Some(profile.str(text))
            }
            _ => None,
        };
        let texts: Vec<_> = profile.label_set(sample.labels).iter().filter_map(text).collect();
        *objects.entry(texts.join(" ")).or_default() += sample.values[2];
    }
    drop(kept);
    let of = |route: &str| -> i64 {
        objects.iter().filter(|(k, _)| k.contains(route) && k.contains("request")).map(|(_, v)| *v).sum()
    };
    // Ten blocks each and the vector that holds them, which was moved out as it is.
    assert_eq!((of("/a"), of("/b")), (11, 22), "{objects:?}");
}
