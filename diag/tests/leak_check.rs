//! Leak checks of workloads, with every allocation recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::collections::{HashMap, VecDeque};

use diag::{LeakCheck, LeakFound};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

#[inline(never)]
fn remember(kept: &mut Vec<Vec<u8>>, bytes: usize) {
    kept.push(vec![7; bytes]);
}

#[inline(never)]
fn remember_newest(kept: &mut VecDeque<Vec<u8>>, most: usize) {
    kept.push_back(vec![7; 500]);
    if kept.len() > most {
        kept.pop_front();
    }
}

#[inline(never)]
fn append(log: &mut Vec<u64>) {
    log.extend(std::iter::repeat_n(1, 100));
}

fn leaks(result: Result<(), LeakFound>) -> Vec<diag::LeakedSite> {
    match result {
        Ok(()) => Vec::new(),
        Err(LeakFound::Leaks { leaks, .. }) => leaks,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_is_dropped_is_no_leak() {
    diag::assert_no_leak!(|| drop(vec![vec![1u8; 100]; 10]));
}

#[test]
fn what_stays_is_named_with_its_stack_and_size() {
    let mut kept = Vec::with_capacity(1000);
    let error = LeakCheck::new().warmup(5).iterations(40).run(|| remember(&mut kept, 1000)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("remember") && text.contains("leak_check.rs"), "{text}");
    let found = leaks(Err(error));
    assert_eq!(found.len(), 1, "{text}");
    // 40 iterations of a block in the class of 1,024 bytes; the last is not of age.
    let expected = 1024.0 * 39.0 / 40.0;
    assert!((found[0].bytes_per_iteration - expected).abs() < 1.0, "{text}");
    assert!((found[0].objects_per_iteration - 39.0 / 40.0).abs() < 0.01, "{text}");
}

#[test]
#[should_panic(expected = "memory stays of each iteration")]
fn the_macro_fails_the_test() {
    let mut kept = Vec::with_capacity(1000);
    diag::assert_no_leak!(warmup = 4, iterations = 16, || remember(&mut kept, 64));
}

#[test]
fn a_cache_that_is_full_is_no_leak() {
    let mut kept = VecDeque::with_capacity(100);
    let found = leaks(LeakCheck::new().warmup(30).iterations(64).run(|| remember_newest(&mut kept, 20)));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_cache_that_fills_during_the_check_is_no_leak() {
    let mut kept = VecDeque::with_capacity(100);
    let found = leaks(LeakCheck::new().warmup(0).iterations(64).run(|| remember_newest(&mut kept, 40)));
    assert!(found.is_empty(), "{found:?}");
    let mut by_key: HashMap<u64, Vec<u8>> = HashMap::with_capacity(200);
    let mut next = 1u64;
    let lookup = || {
        for _ in 0..20 {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            by_key.entry(next >> 57).or_insert_with(|| vec![0; 100]);
        }
    };
    let found = leaks(LeakCheck::new().warmup(0).iterations(64).run(lookup));
    assert!(found.is_empty(), "{found:?}");
}

#[inline(never)]
fn count(seen: &mut HashMap<u64, u64>, next: &mut u64) {
    for _ in 0..50 {
        *next += 1;
        seen.insert(*next, 1);
    }
}

#[test]
fn a_container_that_grows_is_found() {
    for (warmup, iterations) in [(10, 200), (16, 64), (0, 100)] {
        let mut log = Vec::new();
        let found = leaks(LeakCheck::new().warmup(warmup).iterations(iterations).run(|| append(&mut log)));
        assert_eq!(found.len(), 1, "{warmup} {iterations}: {found:?}");
        assert!(found[0].site.contains("append"), "{found:?}");
        let (mut seen, mut next) = (HashMap::new(), 0);
        let workload = || count(&mut seen, &mut next);
        let found = leaks(LeakCheck::new().warmup(warmup).iterations(iterations).run(workload));
        assert_eq!(found.len(), 1, "{warmup} {iterations}: {found:?}");
        assert!(found[0].site.contains("count"), "{found:?}");
    }
}

/// Each iteration replaces five of 500: survivors of all quarters, and never more of them.
#[test]
fn a_full_map_whose_entries_are_replaced_is_no_leak() {
    let mut map: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut random = 7u64;
    let workload = || {
        // Made in the workload: what was there before the check is not recorded.
        for key in map.len() as u64..500 {
            map.insert(key, vec![0; 100]);
        }
        for _ in 0..5 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            map.insert((random >> 33) % 500, vec![1; 100]);
        }
    };
    let found = leaks(LeakCheck::new().run(workload));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_leak_of_each_tenth_iteration_is_found() {
    let (mut kept, mut number) = (Vec::with_capacity(1000), 0);
    let workload = || {
        number += 1;
        if number % 10 == 0 {
            remember(&mut kept, 700);
        }
    };
    let found = leaks(LeakCheck::new().iterations(100).run(workload));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn memory_of_other_threads_counts() {
    let mut kept = Vec::with_capacity(1000);
    let workload = || {
        let block = std::thread::spawn(|| std::hint::black_box(vec![3u8; 3000])).join().unwrap();
        kept.push(block);
    };
    let found = leaks(LeakCheck::new().warmup(5).iterations(40).run(workload));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].bytes_per_iteration > 2900.0, "{found:?}");
}

#[test]
fn a_declared_allowance_is_kept() {
    let mut kept = Vec::with_capacity(1000);
    let check = LeakCheck::new().warmup(5).iterations(40);
    check.clone().allow_bytes_per_iteration(200.0).run(|| remember(&mut kept, 100)).unwrap();
    assert!(check.allow_bytes_per_iteration(50.0).run(|| remember(&mut kept, 100)).is_err());
}

#[test]
fn a_workload_that_allocates_much_is_sampled_and_still_judged() {
    let mut kept = Vec::with_capacity(1000);
    let workload = || {
        // 150,000 small blocks that live together, and one that stays.
        let many: Vec<Box<u64>> = (0..150_000).map(Box::new).collect();
        remember(&mut kept, 100_000);
        drop(many);
    };
    let found = leaks(LeakCheck::new().warmup(1).iterations(8).run(workload));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].site.contains("remember"), "{found:?}");
}
