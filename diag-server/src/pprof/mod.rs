//! `/debug/pprof/`: the paths that pprof's clients know.

mod absent;
pub(crate) mod contention;
mod heap;
mod index;
mod listing;
mod profile;
mod symbol;
pub(crate) mod tasks;
#[cfg(feature = "recorder")]
mod trace;

pub(crate) use absent::{ABSENT, absent};
pub(crate) use contention::{block, mutex};
pub(crate) use heap::{allocs, heap};
pub(crate) use index::index;
pub(crate) use profile::profile;
pub(crate) use symbol::{symbol, symbol_count};
pub(crate) use tasks::{taskleak, tasks};
#[cfg(feature = "recorder")]
pub(crate) use trace::trace;

use axum::response::Response;

use crate::content;
use crate::failure::Failure;

/// Far above the kernel's limit for arguments of a sane command line.
const MOST_CMDLINE_BYTES: usize = 64 << 10;

/// The arguments of the process, separated by NUL.
pub(crate) async fn cmdline() -> Result<Response, Failure> {
    let mut bytes = Vec::new();
    for (i, argument) in std::env::args_os().enumerate() {
        if i > 0 {
            bytes.push(0);
        }
        bytes.extend_from_slice(argument.as_encoded_bytes());
        if bytes.len() > MOST_CMDLINE_BYTES {
            bytes.truncate(MOST_CMDLINE_BYTES);
            break;
        }
    }
    Ok(content::answer(content::TEXT, bytes))
}
