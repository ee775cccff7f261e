//! Files that other programs wrote, against what other readers make of them.

use diag::profile::{detect, detect::Format, heap_v2, pprof};

use crate::raw::raw;
use crate::{golden_bytes, golden_path};

fn golden_text(name: &str) -> String {
    String::from_utf8(golden_bytes(name)).unwrap()
}

/// From the samples on, without blanks at the ends of lines.
fn from_samples(text: &str) -> String {
    let at = text.find("Samples:").unwrap();
    text[at..].lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_profile_of_go_is_read_as_go_reads_it() {
    let (profile, format) = detect::read(&golden_bytes("go_1.19.pb.gz")).unwrap();
    assert_eq!(format, Format::Pprof);
    assert_eq!(raw(&profile), from_samples(&golden_text("go_1.19.raw.txt")));
    let again = pprof::decode(&pprof::encode_gz(&profile)).unwrap();
    assert_eq!(raw(&again), from_samples(&golden_text("go_1.19.raw.txt")));
    let period = profile.meta().period.clone().unwrap();
    assert_eq!((period.value_type.kind.as_str(), period.value), ("space", 4096));
}

#[test]
fn a_dump_of_jemalloc_is_scaled_as_jeprof_scales_it() {
    let (profile, format) = detect::read(&golden_bytes("jemalloc_5.3.1.heap")).unwrap();
    assert_eq!(format, Format::HeapV2);
    for line in golden_text("jemalloc_5.3.1.jeprof.txt").lines() {
        let mut words = line.split(' ');
        let column = profile.sample_type_index(words.next().unwrap()).unwrap();
        let expected: Vec<i64> = words.map(|w| w.parse().unwrap()).collect();
        let mut found: Vec<i64> = profile.samples().map(|s| s.values[column]).collect();
        found.sort_unstable();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            // jeprof cuts off what we round.
            assert!((0..=1).contains(&(found - expected)), "{line}: {found}");
        }
    }
}

#[test]
fn unbiased_values_of_jemalloc_are_near_the_truth() {
    // Two threads keep 4,000 boxes of 64 to 1,024 bytes each, and one of them 30 of 320 KiB (usable size).
    let profile = heap_v2::parse(&golden_bytes("jemalloc_5.3.1.heap")).unwrap();
    let truth = 2.0 * 800.0 * (64 + 128 + 256 + 512 + 1024) as f64 + 30.0 * 327_680.0;
    let found = profile.total(profile.sample_type_index("inuse_space").unwrap()) as f64;
    assert!((found / truth - 1.0).abs() < 0.1, "{found} of {truth}");
}

#[test]
fn addresses_of_a_dump_lie_in_the_code_of_their_file() {
    let profile = heap_v2::parse(&golden_bytes("jemalloc_5.3.1.heap")).unwrap();
    assert_eq!(profile.str(profile.mappings()[0].file), "/srv/shop/service");
    assert!(profile.location_count() > 10);
    for id in profile.location_ids() {
        let location = profile.location(id);
        let mapping = profile.mapping(location.mapping.unwrap());
        assert!((mapping.start..mapping.limit).contains(&location.address));
    }
}

#[test]
fn a_dump_cut_off_anywhere_never_panics() {
    let bytes = golden_bytes("jemalloc_5.3.1.heap");
    for length in 0..bytes.len() {
        drop(detect::read(&bytes[..length]));
    }
}

#[test]
fn every_golden_file_is_accounted_for() {
    let readme = golden_text("README.md");
    for entry in std::fs::read_dir(golden_path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")), "{name} is not in the README");
    }
}
