//! Damaged, hostile and wrong files: an error, never a panic, and never much memory.

use std::io::Write;

use diag::profile::pprof::{DecodeLimits, decode, decode_within, encode, encode_gz};
use diag::profile::{GzipFault, ProfileError, detect};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use crate::plan::plan;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

/// Some profile of some size; the same each time.
fn sample() -> diag::profile::Profile {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let plans = (0..200).map(|_| plan().new_tree(&mut runner).unwrap().current().profile());
    plans.max_by_key(|p| encode(p).len()).unwrap()
}

#[test]
fn cut_off_anywhere_gzip_is_an_error() {
    let bytes = encode_gz(&sample());
    for length in 0..bytes.len() {
        let e = decode(&bytes[..length]).unwrap_err();
        match length {
            0 => assert!(matches!(e, ProfileError::Empty), "{e}"),
            1 => {}
            _ => {
                assert!(matches!(e, ProfileError::Gzip { fault: GzipFault::Truncated, .. }), "{length}: {e}")
            }
        }
    }
}

#[test]
fn cut_off_anywhere_pprof_never_panics() {
    let bytes = encode(&sample());
    let read = (0..bytes.len()).filter(|&length| decode(&bytes[..length]).is_ok()).count();
    // At the ends of the last few fields the rest is a valid file; inside a field never.
    assert!(read < 20, "{read} of {} prefixes were taken for whole profiles", bytes.len());
}

#[test]
fn flipped_bits_never_panic() {
    let bytes = encode(&sample());
    let compressed = encode_gz(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        drop(detect::read(&damaged));
    }
    let mut taken = 0;
    for bit in 0..compressed.len() * 8 {
        let mut damaged = compressed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        taken += usize::from(decode(&damaged).is_ok());
    }
    // Only the time, the flags and the system in the header are not under the checksum.
    assert!(taken <= 10 * 8, "{taken} damaged files were taken for whole");
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(detect::read(&bytes));
        drop(decode(&bytes));
    }

    #[test]
    fn damage_never_panics(plan in plan(), at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..4)) {
        let mut bytes = encode(&plan.profile());
        let at = at.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        drop(detect::read(&bytes));
    }
}

#[test]
fn members_of_a_gzip_file_are_read_one_after_the_other() {
    let bytes = encode(&sample());
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let joined = [gzip(one), gzip(two)].concat();
    assert_eq!(encode(&decode(&joined).unwrap()), encode(&decode(&bytes).unwrap()));
}

#[test]
fn what_follows_the_gzip_data_is_told() {
    let mut bytes = encode_gz(&sample());
    bytes.extend(b"<html>");
    let e = decode(&bytes).unwrap_err();
    assert!(matches!(e, ProfileError::Gzip { fault: GzipFault::TrailingData, .. }), "{e}");
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut bytes = encode_gz(&sample());
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    let e = decode(&bytes).unwrap_err();
    assert!(matches!(e, ProfileError::Gzip { fault: GzipFault::Corrupt, .. }), "{e}");
}

/// Two gigabytes of zeros, made member by member.
fn bomb() -> Vec<u8> {
    let member = gzip(&vec![0u8; 64 << 20]);
    member.repeat(32)
}

#[test]
fn a_bomb_is_refused_at_the_stated_limit() {
    let limits = DecodeLimits { decompressed_bytes: 256 << 20, ..DecodeLimits::default() };
    let e = decode_within(&bomb(), &limits).unwrap_err();
    assert!(matches!(e, ProfileError::TooLarge { limit_bytes } if limit_bytes == 256 << 20), "{e}");
    assert!(e.to_string().contains("268435456 bytes"), "{e}");
}

#[test]
fn the_default_limit_is_one_gibibyte() {
    assert_eq!(DecodeLimits::default().decompressed_bytes, 1 << 30);
}

#[test]
fn files_of_other_kinds_are_named() {
    let cases: &[(&[u8], &str)] = &[
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b"{\"schema\": \"diag.leaks/1\"}", "JSON"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"PK\x03\x04....", "zip"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"PERFILE2....", "perf.data"),
        (b"go 1.19 trace\0\0\0", "execution trace"),
        (b"\x37\xff\x81\x03\x01\x01", "gob"),
        (
            b"heap profile: 1: 2 [3: 4] @ heap/1048576\n1: 2 [3: 4] @ 0x1\n#\t0x1\tmain.f\n",
            "Go profile in text",
        ),
        (b"goroutine profile: total 3\n", "text form"),
        (b"# HELP go_goroutines x\n", "Prometheus"),
        (b"HTTP/1.1 200 OK\r\n", "headers"),
        (b"404 page not found\n", "text"),
    ];
    for (bytes, expected) in cases {
        for bytes in [bytes.to_vec(), gzip(bytes)] {
            for e in [detect::read(&bytes).unwrap_err(), decode(&bytes).unwrap_err()] {
                assert!(matches!(e, ProfileError::NotAProfile { .. }), "{e}");
                assert!(e.to_string().contains(expected), "{e}");
            }
        }
    }
}

#[test]
fn empty_files_are_told_compressed_or_not() {
    for bytes in [vec![], gzip(b"")] {
        assert!(matches!(detect::read(&bytes), Err(ProfileError::Empty)));
        assert!(matches!(decode(&bytes), Err(ProfileError::Empty)));
    }
}
