//! Coverage against simulated populations with known truth.
//!
//! The sampler is jemalloc's: bytes are counted down from a geometric gap of mean R, an allocation that crosses zero
//! is sampled and a new gap drawn. Only Z/R matters, so a small R stands for the real one.

use super::*;
use crate::profile::testing::Stacks;
use crate::profile::{Period, ValueType};

const PERIOD: i64 = 16 << 10;
const TYPES: [&str; 2] = ["inuse_objects/count", "inuse_space/bytes"];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// jemalloc's `prof_sample_new_event_wait`: the next byte that is sampled, geometric with mean R.
fn gap(random: &mut Random) -> i64 {
    (random.unit().ln() / (1.0 - 1.0 / PERIOD as f64).ln()).floor() as i64 + 1
}

/// An allocation plan: so many objects of each size, in one stack, interleaved.
struct Plan {
    name: &'static str,
    parts: &'static [(i64, i64)],
}

impl Plan {
    fn truth(&self) -> (i64, i64) {
        let sum = |f: fn(&(i64, i64)) -> i64| self.parts.iter().map(f).sum();
        (sum(|(size, count)| size * count), sum(|(_, count)| *count))
    }

    /// How many objects of each size are sampled. One size after the other: gaps have no memory, so the order is
    /// without influence. Whole gaps are skipped at once, which is the same as counting down.
    fn sample(&self, random: &mut Random) -> Vec<i64> {
        let mut wait = gap(random);
        let mut raw = Vec::new();
        for &(size, count) in self.parts {
            let (mut left, mut sampled) = (count, 0);
            loop {
                let until_sampled = (wait + size - 1) / size;
                if until_sampled > left {
                    wait -= left * size;
                    break;
                }
                left -= until_sampled;
                sampled += 1;
                wait = gap(random);
            }
            raw.push(sampled);
        }
        raw
    }

    /// The same, allocation by allocation, as the allocator does it.
    fn sample_one_by_one(&self, random: &mut Random) -> Vec<i64> {
        let mut wait = gap(random);
        let mut raw = Vec::new();
        for &(size, count) in self.parts {
            let mut sampled = 0;
            for _ in 0..count {
                wait -= size;
                if wait <= 0 {
                    sampled += 1;
                    wait = gap(random);
                }
            }
            raw.push(sampled);
        }
        raw
    }

    /// The profile of one run, as a collector writes it: a row a size, unbiased by 1/p, in whole numbers.
    fn run(&self, seed: u64, with_label: bool) -> Profile {
        let raw = self.sample(&mut Random(seed));
        let mut stacks = Stacks::new(&TYPES).meta(|m| {
            m.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: PERIOD });
        });
        for (i, &(size, _)) in self.parts.iter().enumerate().filter(|(i, _)| raw[*i] > 0) {
            let p = 1.0 - (-(size as f64) / PERIOD as f64).exp();
            let objects = (raw[i] as f64 / p).round() as i64;
            let bytes = (raw[i] as f64 / p * size as f64).round() as i64;
            let text = size.to_string();
            let labels = [("bytes", text.as_str())];
            let labels = if with_label { &labels[..] } else { &[] };
            stacks = stacks.add_labelled("my::f", labels, &[objects, bytes]);
        }
        stacks.build()
    }

    /// In how many of the seeds the intervals for bytes and objects hold the truth.
    fn coverage(&self, seeds: std::ops::Range<u64>) -> (f64, f64) {
        let (bytes, objects) = self.truth();
        let runs = (seeds.end - seeds.start) as f64;
        let mut held = (0, 0);
        for seed in seeds {
            let profile = self.run(seed.wrapping_mul(0x5851_f42d_4c95_7f2d), true);
            let estimator = Estimator::new(&profile, "inuse_space").unwrap();
            let estimate = estimator.of(profile.samples());
            let holds = |i: Interval, truth: i64| i32::from(i.low <= truth && truth <= i.high);
            held.0 += holds(estimate.bytes, bytes);
            held.1 += holds(estimate.objects.unwrap(), objects);
        }
        (f64::from(held.0) / runs, f64::from(held.1) / runs)
    }
}

/// Expected raw samples from 15 to 500; sizes from R/1024 to 2R.
const PLANS: &[Plan] = &[
    Plan { name: "16 B, 15 samples", parts: &[(16, 15_360)] },
    Plan { name: "16 B, 50 samples", parts: &[(16, 51_200)] },
    Plan { name: "256 B, 30 samples", parts: &[(256, 1_920)] },
    Plan { name: "256 B, 500 samples", parts: &[(256, 32_000)] },
    Plan { name: "R/4, 20 samples", parts: &[(4_096, 90)] },
    Plan { name: "R, 100 samples", parts: &[(16_384, 158)] },
    Plan { name: "2R, 60 samples", parts: &[(32_768, 69)] },
    Plan { name: "two sizes, 40 samples", parts: &[(64, 5_120), (4_096, 90)] },
    Plan { name: "four sizes, 100 samples", parts: &[(128, 3_200), (1_024, 400), (8_192, 64), (32_768, 29)] },
    Plan {
        name: "doubling sizes, 90 samples",
        parts: &[(256, 960), (512, 480), (1_024, 240), (2_048, 120), (4_096, 60), (8_192, 30)],
    },
];

/// Asserts the coverage of every plan over these seeds.
fn check_coverage(seeds: std::ops::Range<u64>, band: std::ops::RangeInclusive<f64>) {
    let mut wrong = Vec::new();
    for plan in PLANS {
        let (bytes, objects) = plan.coverage(seeds.clone());
        println!("{}: bytes {:.2} %, objects {:.2} %", plan.name, bytes * 100.0, objects * 100.0);
        if !band.contains(&bytes) || !band.contains(&objects) {
            wrong.push(format!("{}: bytes {bytes}, objects {objects}", plan.name));
        }
    }
    assert!(wrong.is_empty(), "outside of {band:?}: {wrong:#?}");
}

#[test]
fn the_truth_is_inside_in_95_of_100_runs() {
    check_coverage(0..200, 0.92..=0.98);
}

/// Ten times the runs, to tell the interval's own error from chance (one standard error is 0.5 %).
#[test]
fn the_truth_is_inside_in_950_of_1000_runs() {
    check_coverage(1_000..3_000, 0.93..=0.97);
}

#[test]
fn skipping_gaps_is_counting_down() {
    for plan in PLANS {
        let (mut one, mut other) = (Random(7), Random(7));
        assert_eq!(plan.sample(&mut one), plan.sample_one_by_one(&mut other), "{}", plan.name);
    }
}

#[test]
fn one_small_size_is_the_poisson_score_interval() {
    // 16 raw samples of a size far below the period.
    let objects = 16 * PERIOD / 16;
    let profile = with_rows(&[("bytes", "16")], objects, objects * 16);
    let estimate = Estimator::new(&profile, "inuse_space").unwrap().of(profile.samples());
    let (z2, k) = (Z_95 * Z_95, 16.0);
    for (limit, sign) in [(estimate.bytes.low, -1.0), (estimate.bytes.high, 1.0)] {
        let score = k + z2 / 2.0 + sign * Z_95 * (k + z2 / 4.0f64).sqrt();
        let expected = score * PERIOD as f64;
        assert!((limit as f64 / expected - 1.0).abs() < 0.002, "{limit} against {expected}");
    }
    assert_eq!(estimate.sizes, Sizes::Label);
    assert!((estimate.raw_samples - 16.0).abs() < 0.01);
    assert_eq!(estimate.objects.unwrap().estimate, objects);
}

fn with_rows(labels: &[(&str, &str)], objects: i64, bytes: i64) -> Profile {
    Stacks::new(&TYPES)
        .meta(|m| m.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: PERIOD }))
        .add_labelled("my::f", labels, &[objects, bytes])
        .build()
}

#[test]
fn sizes_far_above_the_period_are_certain() {
    let profile = with_rows(&[("bytes", "1048576")], 3, 3 << 20);
    let estimate = Estimator::new(&profile, "inuse_objects").unwrap().of(profile.samples());
    let exact = Interval { estimate: 3 << 20, low: 3 << 20, high: 3 << 20 };
    assert_eq!(estimate.bytes, exact);
    assert_eq!(estimate.objects.unwrap(), Interval { estimate: 3, low: 3, high: 3 });
}

#[test]
fn without_labels_the_mean_size_is_used_and_said() {
    let (labelled, plain) = (with_rows(&[("bytes", "64")], 1000, 64_000), with_rows(&[], 1000, 64_000));
    let estimate = |p: &Profile| Estimator::new(p, "inuse_space").unwrap().of(p.samples());
    assert_eq!(estimate(&plain).sizes, Sizes::RowMean);
    assert_eq!(estimate(&plain).bytes, estimate(&labelled).bytes);

    let bytes_only = Stacks::new(&["inuse_space/bytes"])
        .meta(|m| m.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: PERIOD }))
        .add("my::f", &[64_000])
        .build();
    let unknown = estimate(&bytes_only);
    assert_eq!((unknown.sizes, unknown.objects), (Sizes::Unknown, None));
    assert!(unknown.bytes.low <= estimate(&labelled).bytes.low);
    assert!(unknown.bytes.high >= estimate(&labelled).bytes.high);
}

#[test]
fn a_profile_without_period_is_an_error() {
    let profile = Stacks::new(&TYPES).add("f", &[1, 2]).build();
    let error = Estimator::new(&profile, "inuse_space").unwrap_err().to_string();
    assert_eq!(error, "inconsistent profile: it states no sampling period in bytes");
    assert!(Estimator::new(&profile, "cpu").is_err());
}

#[test]
fn differences_hold_the_truth_at_least_95_of_100_times() {
    let (base, new) = (&PLANS[2], &PLANS[7]);
    let (truth_bytes, truth_objects) = (new.truth().0 - base.truth().0, new.truth().1 - base.truth().1);
    let sum = |profile: &Profile| {
        let estimator = Estimator::new(profile, "inuse_space").unwrap();
        let mut sum = Accumulated::default();
        profile.samples().for_each(|s| estimator.add(&mut sum, &s));
        sum
    };
    let (mut bytes, mut objects) = (0, 0);
    for seed in 0..200u64 {
        let (base, new) = (sum(&base.run(seed << 20, true)), sum(&new.run(seed << 20 | 1, true)));
        let holds = |i: Interval, truth: i64| i32::from(i.low <= truth && truth <= i.high);
        bytes += holds(base.bytes_to(&new), truth_bytes);
        objects += holds(base.objects_to(&new), truth_objects);
    }
    assert!((184..=197).contains(&bytes), "bytes: {bytes} of 200");
    assert!((184..=197).contains(&objects), "objects: {objects} of 200");
}
