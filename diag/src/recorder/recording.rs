//! [`Recording`]: copies chunks out of the rings, once for a dump or again and again while it records forward. Threads go on writing.

use super::callsites::Callsites;
use super::chunk::{self, Found, SLOT_WORDS};
use super::draw::{Log, Window};
use super::pool::Pool;
use super::trace::{Site, Trace};
use super::{Recorder, losses};
use crate::sys::ticks::{self, Scale};
use std::collections::HashMap;

/// The most bytes of records that one recording keeps, besides what the rings hold: some 400,000 spans. Drawing them takes about four
/// times as much.
pub const MOST_RECORDED_BYTES: u64 = 24 << 20;

/// A trace that is being recorded. One at a time; dropping it ends it.
///
/// What happens goes through the rings: [`collect`](Self::collect) has to be called before it is overwritten there, some times a second
/// on a busy service. What came too late is missing, and the trace says how much.
#[derive(Debug)]
pub struct Recording {
    recorder: Recorder,
    pool: &'static Pool,
    from: Since,
    copies: Vec<Vec<u64>>,
    /// By chunk: generation, slots copied, and which copy.
    known: HashMap<u32, (u64, usize, usize)>,
    words: usize,
    /// Chunks that were overwritten while they were copied.
    discarded: u64,
    /// Whether there was no room for more.
    full: bool,
}

/// Where the window begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    Ticks(u64),
    /// As long ago as everything is there, but not before this.
    Whole(u64),
}

impl Recording {
    pub(super) fn new(recorder: Recorder, pool: &'static Pool, from: Since) -> Self {
        Self {
            recorder,
            pool,
            from,
            copies: Vec::new(),
            known: HashMap::new(),
            words: 0,
            discarded: 0,
            full: false,
        }
    }

    /// Takes over what has been written since the last call. False when there is no room for more.
    pub fn collect(&mut self) -> bool {
        let _unprofiled = crate::sys::thread::Unprofiled::begin();
        let most_bytes = MOST_RECORDED_BYTES + self.recorder.max_bytes();
        for number in 0..self.pool.used() {
            if self.words as u64 * 8 >= most_bytes {
                self.full = true;
                break;
            }
            if let Some(chunk) = self.pool.chunk(number) {
                self.copy(number, chunk);
            }
        }
        !self.full
    }

    fn copy(&mut self, number: u32, chunk: &chunk::Chunk) {
        let known = self.known.get(&number).copied();
        let mut new = Vec::new();
        let found = chunk::copy(chunk, known.map(|(generation, until, _)| (generation, until)), &mut new);
        let (generation, until) = match found {
            Found::Records { generation, until } => (generation, until),
            Found::Overwritten => {
                self.discarded += 1;
                return;
            }
            Found::Nothing => return,
        };
        self.words += new.len();
        debug_assert!(new.len().is_multiple_of(SLOT_WORDS), "whole slots");
        let copy = match known.filter(|(of, ..)| *of == generation) {
            Some((.., copy)) => {
                if let Some(words) = self.copies.get_mut(copy) {
                    words.append(&mut new);
                }
                copy
            }
            None => {
                self.copies.push(new);
                self.copies.len() - 1
            }
        };
        self.known.insert(number, (generation, until, copy));
    }

    /// Ends it and gives the trace.
    #[must_use]
    pub fn finish(mut self) -> Trace {
        let to_ticks = ticks::now();
        self.collect();
        self.draw(to_ticks)
    }

    fn draw(&self, to_ticks: u64) -> Trace {
        let _unprofiled = crate::sys::thread::Unprofiled::begin();
        let scale = Scale::now();
        let log = Log::of(&self.copies, to_ticks);
        let live = self.recorder.callsites(&log.unknown_spans());
        let sites = Callsites::of_process().all().into_iter().map(site).collect();
        let from_ticks = match self.from {
            Since::Ticks(ticks) => ticks,
            Since::Whole(not_before) => log.whole_from().max(not_before),
        };
        let from_ticks = from_ticks.min(to_ticks);
        let window = Window { from_ticks, to_ticks, ns: &|length| scale.ns(length) };
        let mut trace = log.draw(&window, sites, live);
        #[cfg(all(feature = "cpu", target_os = "linux"))]
        for moment in crate::sys::cpu::moments::between(from_ticks, to_ticks) {
            let at_ns = scale.ns(moment.ticks.saturating_sub(from_ticks));
            trace.add_cpu_sample(moment.thread, at_ns, moment.frames, || kernel_name(moment.thread));
        }
        trace.samples.sort_by_key(|sample| (sample.thread, sample.at_ns));
        trace.began_unix_ns = scale.unix_ns(from_ticks);
        trace.pid = std::process::id();
        trace.losses.extend(losses(self.pool));
        let of_this = [
            ("recorder_chunks_overwritten_while_read", self.discarded),
            ("recorder_recording_full", u64::from(self.full)),
        ];
        trace.losses.extend(of_this.into_iter().filter(|(_, count)| *count > 0));
        trace.losses.sort_unstable();
        trace
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.recorder.recording_ended();
    }
}

fn site(of: &'static tracing_core::Metadata<'static>) -> Site {
    Site {
        name: of.name(),
        target: of.target(),
        file: of.file().unwrap_or_default(),
        line: of.line().unwrap_or_default(),
        level: of.level().as_str(),
        fields: of.fields().iter().map(|field| field.name()).collect(),
    }
}

/// What the kernel calls a thread that has no records; by its number when it is over.
#[cfg(all(feature = "cpu", target_os = "linux"))]
fn kernel_name(thread: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
    match name.trim_end() {
        "" => format!("thread {thread}"),
        name => name.to_owned(),
    }
}
