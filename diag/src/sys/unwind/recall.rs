//! Frames of a thread's last walk that are still there, taken over without their rules.
//!
//! From one sample of a thread to the next the outer part of its stack is mostly the same. Following it anew costs a chain of
//! dependent loads a frame (return address, rule, next return address), some 10 ns. So a walk leaves what it found: of each caller
//! its return address, its stack and frame pointer, and where the frame pointer was read. When a later walk comes to a frame with the
//! same three values, its rule is the same, hence the words that it reads are at the same addresses; where these words still
//! hold the same values, the next frame is the same too, and so on. That is two independent loads and comparisons
//! a frame, and exact: nothing is assumed of the code, no frame pointers are needed. What differs is followed by its rule, and the
//! comparison goes on behind it. What was taken over as far as it went is not written again: the new frames are put before it.
//!
//! - Rules are forgotten when modules change; so are these frames (the generation).
//! - A step that has no cached rule (framehop's) is never taken over.
//! - Places are shared by threads: [`PLACES`], chosen by the thread's address, one user at a time. Who finds his taken (a handler that
//!   interrupts a walk, another thread, a forked child whose parent was walking) walks without. What another thread left
//!   does no harm: stack pointers tell the stacks apart, and the words are compared in any case.
//! - No lock, no allocation, no system call: for hooks and signal handlers.

use std::ops::Range;

use super::{FrameAddress, Position, StackMemory};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::region::{Region, zeroed_struct};
use crate::sys::thread::with_state;

const PLACES: usize = if cfg!(loom) { 1 } else { 128 };
/// Frames kept of a walk; those further out are followed.
const FRAMES: usize = if cfg!(loom) { 3 } else { 192 };
/// Room before them, for walks that only differ further in.
const HEADROOM: usize = if cfg!(loom) { 1 } else { 64 };
/// In place of an address: the step to this frame had no cached rule.
pub(super) const OPAQUE: u64 = u64::MAX;

zeroed_struct! {
    /// A caller, and how the walk came to it.
    #[derive(Debug)]
    struct Frame {
        return_address: AtomicU64,
        sp: AtomicU64,
        fp: AtomicU64,
        /// Where `fp` was read; 0 where it is that of the frame before, or [`OPAQUE`].
        fp_at: AtomicU64,
    }
}

zeroed_struct! {
    #[derive(Debug)]
    struct Place {
        taken: AtomicU32,
        /// Which of the two the last walk left, and where in it.
        left: AtomicU32,
        first: AtomicU32,
        len: AtomicU32,
        /// Frames that it took over.
        taken_over: AtomicU32,
        generation: AtomicU64,
        walks: [[Frame; HEADROOM + FRAMES]; 2],
    }
}

/// What walks leave for the next.
#[derive(Debug)]
pub(super) struct Recalls {
    places: Region<Place>,
    generation: AtomicU64,
}

/// A walk under way, with what the last one left.
pub(super) struct Recall<'a> {
    place: Option<&'a Place>,
    /// What the last walk left, inside `room`.
    before: &'a [Frame],
    first: usize,
    room: &'a [Frame],
    /// Frames of `before` further in than this are passed.
    next: usize,
    /// Frames of this walk, but for those of `same`.
    now: &'a [Frame],
    noted: usize,
    /// Frames of `before` that were taken over last, behind those noted.
    same: Range<usize>,
    taken_over: u32,
    generation: u64,
}

/// How far frames were taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// As far as they are the same; the walk goes on from there.
    Some,
    /// As far as there was room.
    Full,
}

impl Recalls {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { places: Region::reserve(PLACES)?, generation: AtomicU64::new(1) })
    }

    /// What was left is of no use any more.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// About the memory that is resident: the touched part of each place used.
    pub(super) fn memory_bytes(&self) -> u64 {
        let used = self.places.iter().filter(|place| place.generation.load(Ordering::Relaxed) > 0).count();
        used as u64 * (8 << 10)
    }

    /// How many frames the last walk of this thread left, and how many of them it had taken over.
    #[cfg(test)]
    pub(super) fn last(&self) -> (usize, usize) {
        let recall = self.begin();
        let of = |place: &Place| {
            let taken_over = place.taken_over.load(Ordering::Relaxed) as usize;
            place.taken.store(0, Ordering::Release);
            taken_over
        };
        (recall.before.len(), recall.place.map_or(0, of))
    }

    /// For a walk of the calling thread's stack.
    #[inline]
    pub(super) fn begin(&self) -> Recall<'_> {
        let thread = with_state(|state| std::ptr::from_ref(state).addr());
        let hash = (thread as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
        let generation = self.generation.load(Ordering::Acquire);
        let place = self.places.get(hash as usize % PLACES);
        match place.filter(|place| place.taken.swap(1, Ordering::Acquire) == 0) {
            Some(place) => Recall::with(place, generation),
            None => Recall::without(),
        }
    }
}

impl<'a> Recall<'a> {
    /// For a walk that takes over nothing and leaves nothing.
    pub(super) fn without() -> Self {
        let none: &[Frame] = &[];
        Self {
            place: None,
            before: none,
            first: 0,
            room: none,
            next: 0,
            now: none,
            noted: 0,
            same: 0..0,
            taken_over: 0,
            generation: 0,
        }
    }

    #[inline]
    fn with(place: &'a Place, generation: u64) -> Self {
        let [one, other] = &place.walks;
        let (room, now): (&[Frame], &[Frame]) =
            if place.left.load(Ordering::Relaxed) == 0 { (one, other) } else { (other, one) };
        let known = place.generation.load(Ordering::Relaxed) == generation;
        let first = place.first.load(Ordering::Relaxed) as usize;
        let len = if known { place.len.load(Ordering::Relaxed) as usize } else { 0 };
        Self {
            place: Some(place),
            before: room.get(first..first + len).unwrap_or_default(),
            first,
            room,
            next: 0,
            now: now.get(HEADROOM..).unwrap_or_default(),
            noted: 0,
            same: 0..0,
            taken_over: 0,
            generation,
        }
    }

    /// The walk has come to this caller. Takes over what follows it, as far as it is the same.
    #[inline]
    pub(super) fn reached(
        &mut self,
        at: &mut Position,
        stack: &impl StackMemory,
        out: &mut [u64],
        count: &mut usize,
    ) -> Taken {
        self.note(at);
        while self.before.get(self.next).is_some_and(|f| f.sp.load(Ordering::Relaxed) < at.registers.sp) {
            self.next += 1;
        }
        match self.before.get(self.next) {
            Some(frame) if frame.is(at) => self.take_over(at, stack, out, count),
            _ => Taken::Some,
        }
    }

    fn take_over(
        &mut self,
        at: &mut Position,
        stack: &impl StackMemory,
        out: &mut [u64],
        count: &mut usize,
    ) -> Taken {
        let begin = self.next + 1;
        let (mut taken, mut last) = (Taken::Some, None);
        for frame in self.before.get(begin..).unwrap_or_default() {
            let Some(address) = frame.if_there(stack) else { break };
            let Some(place) = out.get_mut(*count) else {
                taken = Taken::Full;
                break;
            };
            *place = address.address_for_lookup();
            *count += 1;
            self.next += 1;
            last = Some(frame);
        }
        if let Some(position) = last.and_then(|frame| frame.position(at)) {
            *at = position;
        }
        self.same = begin..self.next + 1;
        self.taken_over += self.same.len() as u32;
        taken
    }

    #[inline]
    fn note(&mut self, at: &Position) {
        if !self.same.is_empty() {
            self.note_same();
        }
        let Some(frame) = self.now.get(self.noted) else { return };
        frame.return_address.store(at.registers.pc, Ordering::Relaxed);
        frame.sp.store(at.registers.sp, Ordering::Relaxed);
        frame.fp.store(at.registers.fp, Ordering::Relaxed);
        frame.fp_at.store(at.fp_at, Ordering::Relaxed);
        self.noted += 1;
    }

    /// The walk went on behind frames that were taken over, or there is no room before them.
    fn note_same(&mut self) {
        let same = self.before.get(std::mem::take(&mut self.same)).unwrap_or_default();
        for (place, frame) in self.now.iter().skip(self.noted).zip(same) {
            place.copy(frame);
            self.noted += 1;
        }
    }

    /// The walk is over: leaves it for the next.
    #[inline]
    pub(super) fn leave(mut self) {
        let Some(place) = self.place else { return };
        let Range { start, end } = self.same;
        let begin = (self.first + start).checked_sub(self.noted);
        let (first, len) = match begin.and_then(|begin| self.room.get(begin..self.first + start)) {
            // Where the room is used up, some were not noted.
            Some(room) if start < end && end == self.before.len() && self.noted < FRAMES => {
                // The last one noted takes the place of that which it is, whose frame pointer may have been read elsewhere.
                room.iter().zip(self.now).for_each(|(place, frame)| place.copy(frame));
                (self.first + start - self.noted, self.noted + end - start)
            }
            _ => {
                self.note_same();
                place.left.fetch_xor(1, Ordering::Relaxed);
                (HEADROOM, self.noted)
            }
        };
        place.first.store(first as u32, Ordering::Relaxed);
        place.len.store(len as u32, Ordering::Relaxed);
        place.taken_over.store(self.taken_over, Ordering::Relaxed);
        place.generation.store(self.generation, Ordering::Relaxed);
        place.taken.store(0, Ordering::Release);
    }
}

impl Frame {
    fn copy(&self, of: &Self) {
        let pairs = [
            (&self.return_address, &of.return_address),
            (&self.sp, &of.sp),
            (&self.fp, &of.fp),
            (&self.fp_at, &of.fp_at),
        ];
        pairs.into_iter().for_each(|(to, from)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
    }

    /// The walk is at this frame.
    #[inline]
    fn is(&self, at: &Position) -> bool {
        self.return_address.load(Ordering::Relaxed) == at.registers.pc
            && self.sp.load(Ordering::Relaxed) == at.registers.sp
            && self.fp.load(Ordering::Relaxed) == at.registers.fp
    }

    /// Its address, if it still is the caller of the one that the walk is at, which was before it.
    #[inline]
    fn if_there(&self, stack: &impl StackMemory) -> Option<FrameAddress> {
        let return_address = self.return_address.load(Ordering::Relaxed);
        let same_fp = match self.fp_at.load(Ordering::Relaxed) {
            OPAQUE => false,
            0 => true,
            address => stack.read(address) == Some(self.fp.load(Ordering::Relaxed)),
        };
        let at = self.sp.load(Ordering::Relaxed).wrapping_sub(8);
        let same = same_fp && stack.read(at) == Some(return_address);
        same.then(|| FrameAddress::from_return_address(return_address)).flatten()
    }

    /// The walk at this frame.
    fn position(&self, inner: &Position) -> Option<Position> {
        let of = |word: &AtomicU64| word.load(Ordering::Relaxed);
        inner.caller(of(&self.return_address), of(&self.sp), of(&self.fp), of(&self.fp_at))
    }
}
