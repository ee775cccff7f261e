//! What kind of file some bytes are, and the right reader for them.
//!
//! The formats that hold profiles are told by their first bytes. So are the files that people hand over in place of a
//! profile, each with its own advice. What is neither is given to the pprof reader, whose error then says where it
//! stopped.

use std::borrow::Cow;

use super::error::ProfileError;
use super::model::Profile;
use super::pprof::{self, DecodeLimits};
use super::{folded, gzip, heap_v2};

/// A format that profiles are read from. Any of them may be gzipped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Format {
    /// pprof's profile.proto.
    Pprof,
    /// jemalloc's text dump, `heap_v2`.
    HeapV2,
    /// gperftools' text form of heap profiles, `heap profile:`.
    Gperftools,
    /// Folded stacks: `main;handler;parse 42`.
    Folded,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pprof => "pprof",
            Self::HeapV2 => "heap_v2",
            Self::Gperftools => "gperftools",
            Self::Folded => "folded",
        })
    }
}

/// Reads a profile in any format this crate knows, gzipped or not, within the default [`DecodeLimits`].
///
/// # Errors
/// [`ProfileError::NotAProfile`] for what is clearly something else; else the error of the format's reader.
pub fn read(bytes: &[u8]) -> Result<(Profile, Format), ProfileError> {
    let limits = DecodeLimits::default();
    let plain = decompressed(bytes, &limits)?;
    let format = match look(&plain) {
        Look::Profile(format) => format,
        Look::Other { found, advice } => return Err(ProfileError::NotAProfile { found, advice }),
    };
    let profile = match format {
        Format::Pprof => pprof::decode_plain(&plain, &limits)?,
        Format::HeapV2 | Format::Gperftools => heap_v2::parse(&plain)?,
        Format::Folded => folded::parse(&plain)?,
    };
    Ok((profile, format))
}

/// The bytes without gzip around them.
pub(super) fn decompressed<'a>(
    bytes: &'a [u8],
    limits: &DecodeLimits,
) -> Result<Cow<'a, [u8]>, ProfileError> {
    let limit_bytes = limits.decompressed_bytes;
    let plain = if gzip::is_gzip(bytes) {
        Cow::Owned(gzip::decompress(bytes, limit_bytes)?)
    } else if bytes.len() as u64 > limit_bytes {
        return Err(ProfileError::TooLarge { limit_bytes });
    } else {
        Cow::Borrowed(bytes)
    };
    if plain.is_empty() { Err(ProfileError::Empty) } else { Ok(plain) }
}

/// An error when the bytes are clearly not a profile.proto.
pub(super) fn refuse_other_kinds(plain: &[u8]) -> Result<(), ProfileError> {
    let (found, advice) = match look(plain) {
        Look::Profile(Format::Pprof) => return Ok(()),
        Look::Profile(Format::HeapV2) => ("a jemalloc heap dump in text", "read it as heap_v2"),
        Look::Profile(Format::Gperftools) => {
            ("a heap profile in gperftools' text form", "read it as heap_v2")
        }
        Look::Profile(Format::Folded) => ("text, perhaps folded stacks", "read it as folded stacks"),
        Look::Other { found, advice } => (found, advice),
    };
    Err(ProfileError::NotAProfile { found, advice })
}

enum Look {
    Profile(Format),
    Other { found: &'static str, advice: &'static str },
}

const fn other(found: &'static str, advice: &'static str) -> Look {
    Look::Other { found, advice }
}

const GO_TEXT: &str = "a Go profile in text form (`debug=1`)";
const CAPTURE_ELSEWHERE: &str = "name a pprof file, a jemalloc heap dump, or folded stacks";

/// Files of other kinds, by their first bytes.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (&[0x1f, 0x8b], "gzip inside gzip", "decompress it once and try again"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "a zstd archive", "decompress it with `zstd -d` and try again"),
    (b"\xfd7zXZ\0", "an xz archive", "decompress it with `xz -d` and try again"),
    (b"BZh", "a bzip2 archive", "decompress it with `bzip2 -d` and try again"),
    (b"PK\x03\x04", "a zip archive", "unpack it and name the profile inside"),
    (b"\x7fELF", "a program or library", CAPTURE_ELSEWHERE),
    (b"MZ", "a Windows program", CAPTURE_ELSEWHERE),
    (b"PERFILE2", "a perf.data file", "turn it into folded stacks: `perf script | inferno-collapse-perf`"),
    (b"go 1.", "a Go execution trace", "capture a heap or CPU profile"),
    (b"SQLite format 3", "an SQLite database", CAPTURE_ELSEWHERE),
    (b"%PDF", "a PDF document", CAPTURE_ELSEWHERE),
    (b"\x89PNG", "a picture", CAPTURE_ELSEWHERE),
    (b"JAVA PROFILE", "a Java heap dump", "use Java's tools for it"),
    (b"FLR\0", "a Java flight recording", "use Java's tools for it"),
];

fn look(plain: &[u8]) -> Look {
    if let Some((_, found, advice)) = MAGIC.iter().find(|(magic, ..)| plain.starts_with(magic)) {
        return other(found, advice);
    }
    // A gob stream: length, then the definition of its first type, numbered -65.
    if matches!(plain, [_, 0xff, 0x81 | 0x82, ..] | [_, _, 0xff, 0x81 | 0x82, ..]) {
        return other("a Go gob stream", CAPTURE_ELSEWHERE);
    }
    let start = plain.get(..4096).unwrap_or(plain);
    if is_text(start) { look_at_text(start, plain) } else { Look::Profile(Format::Pprof) }
}

/// Binary formats have control characters among their first bytes; names in other alphabets do not.
fn is_text(start: &[u8]) -> bool {
    !start.iter().any(|&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x1b))
}

fn look_at_text(start: &[u8], plain: &[u8]) -> Look {
    let trimmed = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let begins =
        |with: &str| trimmed.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()));
    if begins("heap_v2/") {
        return Look::Profile(Format::HeapV2);
    }
    if begins("heap profile:") {
        // Go puts the names below the addresses, and no mappings at the end.
        let of_go = start.windows(2).any(|w| w == b"\n#");
        return if of_go {
            other(GO_TEXT, "capture it without `debug`")
        } else {
            Look::Profile(Format::Gperftools)
        };
    }
    if begins("<!doctype") || begins("<html") || begins("<?xml") || begins("<svg") || begins("<head") {
        return other(
            "an HTML or XML page",
            "the address answered with a web page: use that of the profile itself, such as /debug/pprof/heap",
        );
    }
    if begins("{") || begins("[{") || begins("[[") || begins("[\n") {
        return other("JSON", "name a pprof file, or convert it with the tool that wrote it");
    }
    if begins("goroutine profile:")
        || begins("--- contention")
        || begins("--- mutex")
        || begins("--- threadcreate")
    {
        return other(GO_TEXT, "capture it without `debug`");
    }
    if begins("# HELP") || begins("# TYPE") {
        return other("Prometheus metrics", "use the address of the profile, such as /debug/pprof/heap");
    }
    if begins("HTTP/1.") {
        return other("an HTTP response with its headers", "save the body alone, with `curl -o FILE URL`");
    }
    match folded::looks_like(plain) {
        true => Look::Profile(Format::Folded),
        false => other("text", CAPTURE_ELSEWHERE),
    }
}
