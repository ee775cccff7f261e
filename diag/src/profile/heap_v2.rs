//! Reads heap profiles in text: jemalloc's `heap_v2`, and gperftools' older `heap profile:` with the same numbers in
//! another layout.
//!
//! ```text
//! heap_v2/524288
//!   t*: 28106: 56637512 [0: 0]            all threads: objects, bytes, [the same since the start]
//!   t0: 352: 16777344 [0: 0] main         one thread, and its name
//! @ 0x5f86da8 0x5f5a1dc 0x29e4d4e         a stack, leaf first, and its counts
//!   t*: 13: 6688 [0: 0]
//!   t0: 12: 6496 [0: 0]
//!
//! MAPPED_LIBRARIES:
//! 00400000-0089c000 r-xp 00000000 08:01 42 /usr/bin/service
//! ```
//!
//! Values: the counts are of samples, and are scaled up as jeprof does, by 1 / (1 - exp(-mean size / R)) of each stack.
//! With 5.3 and later (`opt.prof_unbias`, the default) that gives the exact totals for mixed sizes too: jemalloc
//! sums the exact weight of each sample and writes those numbers that this formula turns into the sum (the comment
//! before `prof_do_unbias` in its prof_data.c), rounded to whole objects and bytes. In dumps of older versions, stacks
//! that mix sizes come out biased. The counts since the start are only there with `prof_accum:true`; without them the
//! two `alloc_` columns are left out. The lines of single threads are not kept: they are the same values, split up.
//!
//! Addresses: all are return addresses, the first too (of the call in jemalloc's own back-trace function), so one is
//! subtracted from each.
//!
//! Losses: `no_mapped_libraries` when the dump ends before its list of mappings: it was cut off there, or the process
//! could not read its own /proc.
//!
//! Source: jemalloc 5.3.1, `src/prof_data.c`, `src/prof_sys.c`, `bin/jeprof.in`; github.com/google/pprof,
//! `profile/legacy_profile.go`, for the sampling rates of gperftools' kinds.

mod maps;

use super::builder::ProfileBuilder;
use super::error::ProfileError;
use super::ids::{LabelSetId, LocationId};
use super::model::{Loss, Period, Profile, ValueType};
use super::{sampling, text};
use maps::Maps;

const FORMAT: &str = "heap_v2";

/// Reads a dump. Sample types: `inuse_objects`/`count` and `inuse_space`/`bytes`; before them `alloc_objects` and
/// `alloc_space` if the dump has them.
///
/// # Errors
/// [`ProfileError::Text`] with the number of the line that cannot be read; [`ProfileError::Empty`] without any text.
pub fn parse(bytes: &[u8]) -> Result<Profile, ProfileError> {
    let mut repaired = 0;
    let text = text::repair(bytes, &mut repaired);
    let mut lines = text.lines().map(str::trim).zip(1..);
    let header = lines.by_ref().find(|(line, _)| !line.is_empty()).ok_or(ProfileError::Empty)?;
    let header = Header::parse(header.0).ok_or_else(|| error(header, HEADER))?;
    let mut rows = Rows::default();
    let complete =
        if header.threaded { rows.read_threaded(&mut lines)? } else { rows.read_flat(&mut lines)? };
    let maps = Maps::parse(lines.map(|(line, _)| line));
    let mut builder = rows.build(&maps, header.period_bytes);
    for (what, count) in [("no_mapped_libraries", u64::from(!complete)), (text::NON_UTF8, repaired)] {
        if count > 0 {
            builder.meta_mut().losses.push(Loss { what: what.to_owned(), count });
        }
    }
    builder.finish()
}

const HEADER: &str = "expected `heap_v2/` and the sampling period in bytes";
const COUNTS: &str = "expected counts like `t*: 13: 6688 [0: 0]`";
const ADDRESSES: &str = "expected hexadecimal addresses after `@`";
const NO_COUNTS: &str = "a stack has no counts; the dump is cut off or damaged: dump again";
const NO_STACK: &str = "expected a line like `13: 6688 [20: 10240] @ 0x4013f0 0x401500`";

fn error((found, line): (&str, usize), what: &str) -> ProfileError {
    let shown: String = found.chars().take(60).collect();
    ProfileError::Text { format: FORMAT, line, what: format!("{what}, found {shown:?}") }
}

struct Header {
    /// jemalloc's layout, with a line a thread below each stack.
    threaded: bool,
    /// 0 when the counts are not of samples but complete.
    period_bytes: u64,
}

impl Header {
    fn parse(line: &str) -> Option<Self> {
        if let Some(period) = line.strip_prefix("heap_v2/") {
            return Some(Self { threaded: true, period_bytes: period.trim().parse().ok()? });
        }
        let kind = line.strip_prefix("heap profile:")?.split_once('@').map_or("", |(_, kind)| kind.trim());
        let (kind, period) = kind.split_once('/').unwrap_or((kind, ""));
        let period: u64 = if period.is_empty() { 0 } else { period.parse().ok()? };
        let period_bytes = match kind {
            "heap_v2" | "heapz_v2" => period,
            // Twice the mean distance, by tradition.
            "heap" => period / 2,
            _ => 0,
        };
        Some(Self { threaded: false, period_bytes })
    }
}

/// Objects and bytes, in use and since the start.
#[derive(Clone, Copy)]
struct Counts {
    inuse: (u64, u64),
    alloc: (u64, u64),
}

impl Counts {
    /// `13: 6688 [20: 10240]` at the start of the text, and what follows.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let (inuse, rest) = text.split_once('[')?;
        let (alloc, rest) = rest.split_once(']')?;
        let pair = |text: &str| {
            let (objects, bytes) = text.split_once(':')?;
            Some((objects.trim().parse().ok()?, bytes.trim().parse().ok()?))
        };
        Some((Self { inuse: pair(inuse)?, alloc: pair(alloc)? }, rest.trim()))
    }
}

/// The stacks of a dump with their raw counts.
#[derive(Default)]
struct Rows {
    addresses: Vec<u64>,
    /// End in `addresses`, and the counts.
    rows: Vec<(usize, Counts)>,
}

impl Rows {
    /// Reads up to the list of mappings; false when there is none.
    fn read_threaded<'a>(
        &mut self,
        lines: &mut impl Iterator<Item = (&'a str, usize)>,
    ) -> Result<bool, ProfileError> {
        // The stack whose counts have not come yet. In the header there is none, and the counts are sums.
        let mut open: Option<(&str, usize)> = None;
        let mut in_header = true;
        for line in lines.filter(|(line, _)| !line.is_empty()) {
            if let Some(stack) = line.0.strip_prefix('@') {
                if let Some(open) = open {
                    return Err(error(open, NO_COUNTS));
                }
                self.push_addresses(stack).ok_or_else(|| error(line, ADDRESSES))?;
                open = Some(line);
                in_header = false;
            } else if let Some(counts) = line.0.strip_prefix('t') {
                let (thread, counts) = counts.split_once(':').ok_or_else(|| error(line, COUNTS))?;
                let (counts, _name) = Counts::parse(counts).ok_or_else(|| error(line, COUNTS))?;
                if thread == "*" && !in_header {
                    open.take().ok_or_else(|| error(line, "counts without a stack"))?;
                    self.rows.push((self.addresses.len(), counts));
                }
            } else if let Some(open) = open {
                return Err(error(open, NO_COUNTS));
            } else if is_maps_title(line.0) {
                return Ok(true);
            } else {
                return Err(error(line, COUNTS));
            }
        }
        open.map_or(Ok(false), |open| Err(error(open, NO_COUNTS)))
    }

    fn read_flat<'a>(
        &mut self,
        lines: &mut impl Iterator<Item = (&'a str, usize)>,
    ) -> Result<bool, ProfileError> {
        for line in lines.filter(|(line, _)| !line.is_empty()) {
            if is_maps_title(line.0) {
                return Ok(true);
            }
            let row = Counts::parse(line.0).and_then(|(counts, rest)| {
                self.push_addresses(rest.strip_prefix('@')?)?;
                Some((self.addresses.len(), counts))
            });
            self.rows.push(row.ok_or_else(|| error(line, NO_STACK))?);
        }
        Ok(false)
    }

    fn push_addresses(&mut self, stack: &str) -> Option<()> {
        for address in stack.split_ascii_whitespace() {
            let digits = address.strip_prefix("0x").or(address.strip_prefix("0X")).unwrap_or(address);
            let address = u64::from_str_radix(digits, 16).ok()?;
            // The minus-one rule; a 0 ends the walk of some unwinders and is no frame.
            self.addresses.extend(address.checked_sub(1));
        }
        Some(())
    }

    fn build(&self, maps: &Maps, period_bytes: u64) -> ProfileBuilder {
        let has_alloc = self.rows.iter().any(|(_, counts)| counts.alloc != (0, 0));
        let mut types = Vec::new();
        for kind in if has_alloc { &["alloc", "inuse"][..] } else { &["inuse"] } {
            types.push(ValueType::new(format!("{kind}_objects"), "count"));
            types.push(ValueType::new(format!("{kind}_space"), "bytes"));
        }
        let width = types.len();
        let mut builder = ProfileBuilder::new(types);
        let mappings = maps.intern(&mut builder);
        let mut stack: Vec<LocationId> = Vec::new();
        let mut start = 0;
        for &(end, counts) in &self.rows {
            stack.clear();
            for &address in self.addresses.get(start..end).unwrap_or_default() {
                let mapping = maps.find(address).and_then(|at| mappings.get(at).copied());
                stack.push(builder.location(mapping, address, &[]));
            }
            start = end;
            let (alloc, inuse) = (scale(counts.alloc, period_bytes), scale(counts.inuse, period_bytes));
            let values = [alloc.0, alloc.1, inuse.0, inuse.1];
            let stack = builder.stack(&stack);
            builder.sample(stack, LabelSetId::EMPTY, values.get(4 - width..).unwrap_or_default());
        }
        let meta = builder.meta_mut();
        meta.default_sample_type = Some(width - 1);
        let value = i64::try_from(period_bytes).unwrap_or(i64::MAX).max(1);
        meta.period = Some(Period { value_type: ValueType::new("space", "bytes"), value });
        builder
    }
}

fn is_maps_title(line: &str) -> bool {
    line.starts_with("MAPPED_LIBRARIES:") || line.starts_with("--- Memory map:")
}

/// Sampled objects and bytes to estimates of all, by the mean size.
fn scale((objects, bytes): (u64, u64), period_bytes: u64) -> (i64, i64) {
    let factor = match objects {
        0 => 0.0,
        n => 1.0 / sampling::probability_of_mean(bytes as f64 / n as f64, period_bytes),
    };
    let scaled = |n: u64| (n as f64 * factor).round() as i64;
    (scaled(objects), scaled(bytes))
}

#[cfg(test)]
mod tests;
