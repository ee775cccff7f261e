//! Gzip in memory: reading with a limit, any number of members; writing one member, always the same bytes for the
//! same input (no time, no name).
//!
//! Memory: the output, sized from the length that the file states when that is plausible. Data that expands like a
//! bomb is first counted without being kept, so that refusing it takes 64 MiB whatever the limit is.

use std::io::{self, ErrorKind, Read, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};

use super::error::{GzipFault, ProfileError};

/// Profiles shrink to a half up to a tenth; a stated length far above that is not believed.
const USUAL_RATIO: usize = 10;

/// From this size on, data that grew by [`BOMB_RATIO`] is counted before it is kept.
const UNSUSPICIOUS_BYTES: u64 = 64 << 20;
const BOMB_RATIO: u64 = 100;

/// Whether the bytes begin as a gzip file does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Decompresses, refusing to produce more than `limit_bytes`.
pub(crate) fn decompress(compressed: &[u8], limit_bytes: u64) -> Result<Vec<u8>, ProfileError> {
    let expected = stated_length(compressed).min(compressed.len().saturating_mul(USUAL_RATIO));
    // One byte more, so that the end is found without another allocation.
    let mut out = Vec::with_capacity(expected + 1);
    let mut members = Members::new(compressed);
    members.read_to(UNSUSPICIOUS_BYTES.min(limit_bytes.saturating_add(1)), &mut out)?;
    if out.len() as u64 >= UNSUSPICIOUS_BYTES && members.consumed() * BOMB_RATIO < out.len() as u64 {
        Members::new(compressed).count(limit_bytes)?;
    }
    members.read_to(limit_bytes.saturating_add(1), &mut out)?;
    if out.len() as u64 > limit_bytes { Err(ProfileError::TooLarge { limit_bytes }) } else { Ok(out) }
}

/// The members of a gzip file, one after the other.
struct Members<'a> {
    compressed: &'a [u8],
    current: GzDecoder<&'a [u8]>,
    done: bool,
}

impl<'a> Members<'a> {
    fn new(compressed: &'a [u8]) -> Self {
        Self { compressed, current: GzDecoder::new(compressed), done: false }
    }

    fn consumed(&self) -> u64 {
        (self.compressed.len() - self.current.get_ref().len()) as u64
    }

    /// Reads until `out` holds `length` bytes, or to the end.
    fn read_to(&mut self, length: u64, out: &mut Vec<u8>) -> Result<(), ProfileError> {
        while !self.done {
            let more = length.saturating_sub(out.len() as u64);
            if more == 0 {
                return Ok(());
            }
            let read = self.current.by_ref().take(more).read_to_end(out).map_err(|e| self.error(&e))?;
            if (read as u64) < more {
                self.next_member()?;
            }
        }
        Ok(())
    }

    /// Reads to the end without keeping anything.
    fn count(&mut self, limit_bytes: u64) -> Result<(), ProfileError> {
        let mut chunk = vec![0u8; 256 << 10];
        let mut total = 0u64;
        while !self.done {
            let read = self.current.read(&mut chunk).map_err(|e| self.error(&e))?;
            total += read as u64;
            if total > limit_bytes {
                return Err(ProfileError::TooLarge { limit_bytes });
            }
            if read == 0 {
                self.next_member()?;
            }
        }
        Ok(())
    }

    /// Goes on to the next member. Zeros at the end are padding.
    fn next_member(&mut self) -> Result<(), ProfileError> {
        let rest: &'a [u8] = self.current.get_ref();
        if rest.iter().all(|&b| b == 0) {
            self.done = true;
        } else if is_gzip(rest) {
            self.current = GzDecoder::new(rest);
        } else {
            return Err(ProfileError::Gzip { offset: self.consumed(), fault: GzipFault::TrailingData });
        }
        Ok(())
    }

    fn error(&self, error: &io::Error) -> ProfileError {
        let fault = match error.kind() {
            ErrorKind::UnexpectedEof => GzipFault::Truncated,
            _ => GzipFault::Corrupt,
        };
        ProfileError::Gzip { offset: self.consumed(), fault }
    }
}

/// The length that the last member states for itself (modulo 4 GiB).
fn stated_length(compressed: &[u8]) -> usize {
    compressed.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

/// Compresses piece by piece, fast rather than small: a profile is written in a service that has other work to do.
pub(crate) struct Compressor(GzEncoder<Vec<u8>>);

impl Compressor {
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    pub(crate) fn write(&mut self, piece: &[u8]) {
        // Writing to a vector cannot fail.
        let _ = self.0.write_all(piece);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.finish().unwrap_or_default()
    }
}
