//! What the CPU sampler needs of the system: timers and events on CPU time, the signal and its handler, the ring between
//! the handler and the sampler's thread. Linux only.

pub(crate) mod clock;
pub(crate) mod handler;
#[cfg(feature = "recorder")]
pub(crate) mod moments;
pub(crate) mod perf;
pub(crate) mod ring;
pub(crate) mod signal;
pub(crate) mod timer;

use crate::sys::unwind::{StackCopy, WalkEnd, Walker};
use ring::{Sample, outcome};

/// Walks on from where the handler got stuck. Gives how the walk ended; the frames are in the sample.
pub(crate) fn finish(walker: &Walker, sample: &mut Sample, copy: Option<&StackCopy<'_>>) -> WalkEnd {
    let len = sample.len as usize;
    match (sample.outcome, copy) {
        (outcome::WHOLE, _) => WalkEnd::Root,
        (outcome::CUT, _) => WalkEnd::BufferFull,
        (outcome::STUCK, Some(copy)) => {
            let (len, end) = walker.resume(sample.stuck, copy, &mut sample.frames, len);
            sample.len = len as u32;
            end
        }
        _ => WalkEnd::Lost,
    }
}

/// How many descriptors this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes the struct.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}
