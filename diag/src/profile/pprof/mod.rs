//! pprof's file format, profile.proto, gzipped or not: hand-written for speed and for exact errors.
//!
//! What is written (deterministic: the same profile gives the same bytes):
//! - only what samples use, and all mappings, in the profile's order: put the main binary first;
//! - ids of mappings, locations and functions are 1..N;
//! - every location has an address that is not zero and that no other location has, because Alloy computes deltas by
//!   address: see `address.rs` for the ones that have none;
//! - `system_name` is left empty where it equals `name`: pprof would simplify the name as if it were C++;
//! - counted losses are comments, `# diag.loss truncated_stacks=3`, and become losses again when read.
//!
//! What is read: any profile.proto, with unknown fields skipped and lists packed or not. Ids may be any non-zero
//! numbers. Not kept: `drop_frames`, `keep_frames`, `is_folded`, columns of lines. Strings that are not UTF-8 are
//! repaired with U+FFFD and counted as the loss `non_utf8_strings`.
//!
//! Source: github.com/google/pprof, `proto/profile.proto`, and the checks of its `profile/profile.go`.

mod address;
mod decode;
mod encode;
mod wire;

use super::error::ProfileError;
use super::model::Profile;
use super::{detect, gzip};

/// Field numbers of profile.proto.
mod field {
    pub(super) mod profile {
        pub(in super::super) const SAMPLE_TYPE: u32 = 1;
        pub(in super::super) const SAMPLE: u32 = 2;
        pub(in super::super) const MAPPING: u32 = 3;
        pub(in super::super) const LOCATION: u32 = 4;
        pub(in super::super) const FUNCTION: u32 = 5;
        pub(in super::super) const STRING_TABLE: u32 = 6;
        pub(in super::super) const TIME_NANOS: u32 = 9;
        pub(in super::super) const DURATION_NANOS: u32 = 10;
        pub(in super::super) const PERIOD_TYPE: u32 = 11;
        pub(in super::super) const PERIOD: u32 = 12;
        pub(in super::super) const COMMENT: u32 = 13;
        pub(in super::super) const DEFAULT_SAMPLE_TYPE: u32 = 14;
        pub(in super::super) const DOC_URL: u32 = 15;
    }
    pub(super) mod value_type {
        pub(in super::super) const KIND: u32 = 1;
        pub(in super::super) const UNIT: u32 = 2;
    }
    pub(super) mod sample {
        pub(in super::super) const LOCATION_ID: u32 = 1;
        pub(in super::super) const VALUE: u32 = 2;
        pub(in super::super) const LABEL: u32 = 3;
    }
    pub(super) mod label {
        pub(in super::super) const KEY: u32 = 1;
        pub(in super::super) const STR: u32 = 2;
        pub(in super::super) const NUM: u32 = 3;
        pub(in super::super) const NUM_UNIT: u32 = 4;
    }
    pub(super) mod mapping {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const START: u32 = 2;
        pub(in super::super) const LIMIT: u32 = 3;
        pub(in super::super) const OFFSET: u32 = 4;
        pub(in super::super) const FILENAME: u32 = 5;
        pub(in super::super) const BUILD_ID: u32 = 6;
        pub(in super::super) const HAS_FUNCTIONS: u32 = 7;
        pub(in super::super) const HAS_FILENAMES: u32 = 8;
        pub(in super::super) const HAS_LINE_NUMBERS: u32 = 9;
        pub(in super::super) const HAS_INLINE_FRAMES: u32 = 10;
    }
    pub(super) mod location {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const MAPPING_ID: u32 = 2;
        pub(in super::super) const ADDRESS: u32 = 3;
        pub(in super::super) const LINE: u32 = 4;
    }
    pub(super) mod line {
        pub(in super::super) const FUNCTION_ID: u32 = 1;
        pub(in super::super) const LINE: u32 = 2;
    }
    pub(super) mod function {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const NAME: u32 = 2;
        pub(in super::super) const SYSTEM_NAME: u32 = 3;
        pub(in super::super) const FILENAME: u32 = 4;
        pub(in super::super) const START_LINE: u32 = 5;
    }
}

/// How a loss is written as a comment: this, the name, `=`, the count.
const LOSS_COMMENT: &str = "# diag.loss ";

/// What a reader accepts at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Bytes after decompression. 1 GiB by default: fifteen times the largest profiles known (200,000 samples of 48
    /// frames are 40 MB), and small enough that a hostile file cannot exhaust a usual machine.
    pub decompressed_bytes: u64,
    /// Entries of one table: strings, mappings, functions, locations, samples. 16 Mi by default. A hostile entry of two
    /// bytes costs thirty in memory.
    pub table_entries: u64,
    /// Items of lists in all: frames of stacks, lines of locations, labels of samples. 128 Mi by default.
    pub list_items: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { decompressed_bytes: 1 << 30, table_entries: 16 << 20, list_items: 128 << 20 }
    }
}

/// The profile as profile.proto, not compressed.
pub fn encode(profile: &Profile) -> Vec<u8> {
    encode::encode(profile)
}

/// The profile as a gzipped profile.proto: a `.pb.gz` file, the body of `/debug/pprof/heap`.
pub fn encode_gz(profile: &Profile) -> Vec<u8> {
    let mut compressed = gzip::Compressor::new();
    encode::encode_to(profile, |piece| compressed.write(piece));
    compressed.finish()
}

/// Reads a profile.proto, gzipped or not, within the default [`DecodeLimits`].
///
/// # Errors
/// Says what is wrong, at which byte, and what to do; see [`ProfileError`].
pub fn decode(bytes: &[u8]) -> Result<Profile, ProfileError> {
    decode_within(bytes, &DecodeLimits::default())
}

/// [`decode`] with chosen limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_within(bytes: &[u8], limits: &DecodeLimits) -> Result<Profile, ProfileError> {
    let plain = detect::decompressed(bytes, limits)?;
    detect::refuse_other_kinds(&plain)?;
    decode::decode(&plain, limits)
}

/// [`decode`] for plain bytes that were looked at already.
pub(super) fn decode_plain(plain: &[u8], limits: &DecodeLimits) -> Result<Profile, ProfileError> {
    decode::decode(plain, limits)
}
