//! From copies of chunks to a [`Trace`]. Pure: the clock's scale and the callsites are passed in.
//!
//! A piece is what one thread wrote into one chunk. The pieces of a thread are numbered and say how much was written before
//! them; where something is missing, what was open is closed at the last thing that is known, and what the next piece says to
//! be open begins with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::fields;
use super::local::OPEN;
use super::record::{Head, Kind, parse};
use super::spans::{Spans, is_about_span, named, text_of};
use super::trace::{Counter, CpuSample, Ends, Poll, Reading, Site, Slice, Thread, Told, Trace};

/// Numbers of threads of the kernel are below.
pub(super) const KERNEL_THREADS: u32 = 1 << 22;

/// What one thread wrote into one chunk, from its `Thread` record on.
struct Piece<'a> {
    number: u32,
    /// Slots that the thread wrote before, and before the next piece.
    slots: (u32, u32),
    /// Records that found no place before it.
    dropped: u32,
    began: u64,
    words: &'a [u64],
}

impl Piece<'_> {
    /// Whether nothing was overwritten between another piece and this one.
    fn adjoins(&self, before: Option<&Self>) -> bool {
        before.map_or(0, |before| before.slots.1) == self.slots.0
    }

    /// Whether nothing is missing.
    fn follows(&self, before: Option<&Self>) -> bool {
        self.adjoins(before) && self.dropped == 0
    }
}

#[derive(Default)]
struct OfThread<'a> {
    kernel_id: u32,
    name: String,
    pieces: Vec<Piece<'a>>,
}

/// The copies, sorted.
pub(super) struct Log<'a> {
    /// By the thread's own number.
    threads: BTreeMap<u32, OfThread<'a>>,
    spans: Spans,
    entered: BTreeSet<u64>,
    to_ticks: u64,
}

/// From when to when, and what ticks are.
pub(super) struct Window<'a> {
    pub(super) from_ticks: u64,
    pub(super) to_ticks: u64,
    /// A length of time in nanoseconds.
    pub(super) ns: &'a dyn Fn(u64) -> u64,
}

impl<'a> Log<'a> {
    /// Sorts copies of chunks. Records of later than `to_ticks` are left out: chunks are copied one after the other, and what was
    /// written meanwhile is there of some threads and not of others.
    pub(super) fn of(copies: &'a [Vec<u64>], to_ticks: u64) -> Self {
        let mut threads = BTreeMap::<u32, OfThread<'a>>::new();
        let (mut about_spans, mut entered) = (Vec::new(), BTreeSet::new());
        for words in copies {
            let mut begins: Vec<(usize, Head, String)> = Vec::new();
            let mut at = 0;
            for (head, text) in parse(words) {
                match head.kind {
                    Kind::Thread => {
                        let name = String::from_utf8_lossy(&text_of(&head, text)).into_owned();
                        begins.push((at, head, name));
                    }
                    Kind::Enter | Kind::Open => _ = entered.insert(head.id),
                    _ if is_about_span(&head) => about_spans.push((head, text_of(&head, text))),
                    _ => {}
                }
                at += super::chunk::SLOT_WORDS + text.len();
            }
            let ends = begins.iter().skip(1).map(|(begin, ..)| *begin).chain([at]).collect::<Vec<_>>();
            for ((begin, head, name), end) in begins.into_iter().zip(ends) {
                let thread = threads.entry(head.id as u32).or_default();
                (thread.kernel_id, thread.name) = ((head.id >> 32) as u32, name);
                let words = words.get(begin..end).unwrap_or_default();
                let until = head.callsite.wrapping_add((words.len() / super::chunk::SLOT_WORDS) as u32);
                let slots = (head.callsite, until);
                let (number, dropped, began) = (head.aux, head.task, head.ticks);
                thread.pieces.push(Piece { number, slots, dropped, began, words });
            }
        }
        for thread in threads.values_mut() {
            thread.pieces.sort_by_key(|piece| piece.number);
        }
        Self { threads, spans: Spans::of(about_spans), entered, to_ticks }
    }

    /// Ids of spans that were entered and of which nothing else was found.
    pub(super) fn unknown_spans(&self) -> Vec<u64> {
        self.spans.unknown(&self.entered)
    }

    /// From when on everything is there: what is before was overwritten, of one thread or another.
    pub(super) fn whole_from(&self) -> u64 {
        let first = |thread: &OfThread<'a>| thread.pieces.first().map(|piece| piece.began);
        let since = || self.threads.values().filter_map(first).min();
        self.last_gap(Piece::adjoins).or_else(since).unwrap_or(u64::MAX)
    }

    /// The last moment before which something is missing.
    fn last_gap(&self, is_whole: impl Fn(&Piece<'a>, Option<&Piece<'a>>) -> bool) -> Option<u64> {
        let of_thread = |thread: &OfThread<'a>| {
            let befores = std::iter::once(None).chain(thread.pieces.iter().map(Some));
            let gaps = thread.pieces.iter().zip(befores).filter(|(piece, before)| !is_whole(piece, *before));
            gaps.map(|(piece, _)| piece.began).filter(|began| *began <= self.to_ticks).max()
        };
        self.threads.values().filter_map(of_thread).max()
    }

    /// The trace. `live` has the callsites of spans that are unknown otherwise.
    pub(super) fn draw(mut self, window: &Window<'_>, sites: Vec<Site>, live: HashMap<u64, u32>) -> Trace {
        self.spans.learn(live);
        let mut trace = Trace {
            length_ns: (window.ns)(window.to_ticks.saturating_sub(window.from_ticks)),
            missing_ns: (window.ns)(
                self.last_gap(Piece::follows).unwrap_or(0).saturating_sub(window.from_ticks),
            ),
            sites,
            ..Trace::default()
        };
        let mut taken = HashSet::new();
        let mut unmatched = 0;
        for (number, thread) in self.threads {
            let position = trace.threads.len() as u32;
            let mut track = Track::new(window, position);
            let befores = std::iter::once(None).chain(thread.pieces.iter().map(Some));
            for (piece, before) in thread.pieces.iter().zip(befores) {
                track.piece(piece, piece.follows(before), &mut self.spans, &mut trace);
            }
            track.finish(&mut trace);
            unmatched += track.unmatched;
            if track.is_empty {
                continue;
            }
            // The kernel gives numbers again.
            let free = thread.kernel_id > 0 && taken.insert(thread.kernel_id);
            let id = if free { thread.kernel_id } else { KERNEL_THREADS.wrapping_add(number) };
            trace.threads.push(Thread { id, name: thread.name });
        }
        trace.spans = self.spans.into_used();
        trace.slices.sort_by_key(|s| (s.thread, s.begin_ns, s.depth));
        trace.polls.sort_by_key(|p| (p.thread, p.begin_ns, p.depth));
        trace.counters.sort_by_key(|r| r.at_ns);
        let unknown = trace.spans.iter().filter(|span| span.site.is_none()).count() as u64;
        trace.losses.extend(
            [("recorder_unknown_spans", unknown), ("recorder_unmatched_exits", unmatched)]
                .into_iter()
                .filter(|(_, count)| *count > 0),
        );
        trace
    }
}

impl Trace {
    /// Adds a CPU sample to the track of the kernel's thread, which is made if there is none, and named.
    #[cfg_attr(not(feature = "cpu"), allow(dead_code))]
    pub(super) fn add_cpu_sample(
        &mut self,
        kernel_id: u32,
        at_ns: u64,
        frames: Box<[u64]>,
        name: impl FnOnce() -> String,
    ) {
        // Of two that had the number the later one: the first is over.
        let known = self.threads.iter().rposition(|thread| thread.id == kernel_id);
        let thread = known.unwrap_or_else(|| {
            self.threads.push(Thread { id: kernel_id, name: name() });
            self.threads.len() - 1
        }) as u32;
        self.samples.push(CpuSample { thread, at_ns, frames });
    }
}

/// A span that is entered, or a poll that is under way.
struct Open {
    /// Of the span, or the task.
    id: u64,
    span: u32,
    task: u32,
    /// Of a poll, number of the task's site plus one.
    site: u32,
    begin: u64,
    ends: Ends,
}

/// What a thread did, one record after the other.
struct Track<'a> {
    window: &'a Window<'a>,
    thread: u32,
    open: Vec<Open>,
    polls: Vec<Open>,
    /// Time of the last record: no later one is earlier.
    last: u64,
    piece_began: u64,
    unmatched: u64,
    is_empty: bool,
}

impl<'a> Track<'a> {
    fn new(window: &'a Window<'a>, thread: u32) -> Self {
        Self {
            window,
            thread,
            open: Vec::new(),
            polls: Vec::new(),
            last: 0,
            piece_began: 0,
            unmatched: 0,
            is_empty: true,
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, follows: bool, spans: &mut Spans, trace: &mut Trace) {
        if piece.began > self.window.to_ticks {
            return;
        }
        let told: Vec<u64> = parse(piece.words)
            .skip(1)
            .map_while(|(head, _)| (head.kind == Kind::Open).then_some(head.id))
            .collect();
        // Only so many are told; those further in are known if the pieces follow each other. They may do so and not agree when
        // nothing was recorded for a while.
        let stands = self.open.iter().take(OPEN).map(|open| open.id);
        let as_known = follows && stands.eq(told.iter().copied());
        if !as_known {
            self.close_all(self.last, true, trace);
        }
        for (head, text) in parse(piece.words).take_while(|(head, _)| head.ticks <= self.window.to_ticks) {
            self.last = self.last.max(head.ticks);
            self.record(&head, text, as_known, spans, trace);
        }
    }

    fn record(&mut self, head: &Head, text: &[u64], as_known: bool, spans: &mut Spans, trace: &mut Trace) {
        let at = self.last;
        match head.kind {
            Kind::Open if as_known => {}
            Kind::Open => {
                let ends = Ends { began_before: true, ..Ends::default() };
                self.push(head, self.piece_began, ends, spans, trace);
            }
            Kind::Enter => self.push(head, at, Ends::default(), spans, trace),
            Kind::Exit => self.exit(head.id, at, trace),
            Kind::PollBegin => {
                // At the beginning of a piece the task is polled already.
                let goes_on = u64::from(head.task) == head.id;
                if !(goes_on && self.polls.last().is_some_and(|p| p.id == head.id)) {
                    let ends = Ends { began_before: goes_on, ..Ends::default() };
                    let begin = if goes_on { self.piece_began } else { at };
                    let (task, site) = (head.id as u32, head.aux);
                    self.polls.push(Open { id: head.id, span: 0, task, site, begin, ends });
                }
            }
            Kind::PollEnd => self.end_poll(head.id, at, trace),
            Kind::ThreadEnd => self.close_all(at, false, trace),
            Kind::Event => self.event(head, text, trace),
            Kind::Counter => {
                if let (Some(counter), Some(at_ns)) = (Counter::of(head.aux), self.inside(at)) {
                    trace.counters.push(Reading { at_ns, counter, value: head.id });
                }
            }
            Kind::Thread => self.piece_began = at,
            Kind::New | Kind::Record | Kind::Close => {}
        }
    }

    fn push(&mut self, head: &Head, begin: u64, ends: Ends, spans: &mut Spans, trace: &Trace) {
        let span = spans.position(head.id, head.ticks, &trace.sites);
        self.open.push(Open { id: head.id, span, task: head.task, site: 0, begin, ends });
    }

    /// Spans may be left in any order: those above go on in slices of their own.
    fn exit(&mut self, id: u64, at: u64, trace: &mut Trace) {
        let Some(position) = self.open.iter().rposition(|open| open.id == id) else {
            self.unmatched += 1;
            return;
        };
        let above = self.open.split_off(position + 1);
        for (depth, open) in above.iter().enumerate() {
            self.slice(open, position + 1 + depth, at, false, trace);
        }
        if let Some(open) = self.open.pop() {
            self.slice(&open, position, at, false, trace);
        }
        self.open.extend(above.into_iter().map(|open| Open {
            begin: at,
            ends: Ends { continued: true, ..Ends::default() },
            ..open
        }));
    }

    fn end_poll(&mut self, id: u64, at: u64, trace: &mut Trace) {
        let Some(position) = self.polls.iter().rposition(|open| open.id == id) else {
            self.unmatched += 1;
            return;
        };
        // What is above was broken off by a panic.
        for (depth, open) in self.polls.split_off(position).into_iter().enumerate() {
            self.poll(&open, position + depth, at, depth > 0, trace);
        }
    }

    fn event(&mut self, head: &Head, text: &[u64], trace: &mut Trace) {
        let Some(at_ns) = self.inside(self.last) else { return };
        self.is_empty = false;
        let site = head.callsite.checked_sub(1).filter(|at| (*at as usize) < trace.sites.len());
        let fields = named(site, &fields::decode(&text_of(head, text)), &trace.sites);
        let told = Told { thread: self.thread, at_ns, site, in_span: head.id, task: head.task, fields };
        trace.events.push(told);
    }

    fn close_all(&mut self, at: u64, end_unknown: bool, trace: &mut Trace) {
        for (depth, open) in std::mem::take(&mut self.open).iter().enumerate() {
            self.slice(open, depth, at, end_unknown, trace);
        }
        for (depth, open) in std::mem::take(&mut self.polls).iter().enumerate() {
            self.poll(open, depth, at, end_unknown, trace);
        }
    }

    fn finish(&mut self, trace: &mut Trace) {
        let at = self.last.max(self.window.to_ticks);
        self.close_all(at, true, trace);
    }

    /// A moment in nanoseconds since the window began, if it is in it.
    fn inside(&self, at: u64) -> Option<u64> {
        let since = at.checked_sub(self.window.from_ticks)?;
        (at <= self.window.to_ticks).then(|| (self.window.ns)(since))
    }

    /// What of a time is in the window, and whether it began before.
    fn clip(&self, begin: u64, end: u64) -> Option<(u64, u64, bool)> {
        let Window { from_ticks: from, to_ticks: to, ns } = *self.window;
        if end < from || begin > to {
            return None;
        }
        let since = |at: u64| ns(at.clamp(from, to) - from);
        Some((since(begin), since(end), begin < from))
    }

    fn slice(&mut self, open: &Open, depth: usize, end: u64, end_unknown: bool, trace: &mut Trace) {
        let Some((begin_ns, end_ns, before)) = self.clip(open.begin, end) else { return };
        self.is_empty = false;
        let began_before = open.ends.began_before || before;
        trace.slices.push(Slice {
            thread: self.thread,
            begin_ns,
            end_ns,
            depth: depth as u32,
            span: open.span,
            task: open.task,
            ends: Ends { began_before, end_unknown, ..open.ends },
        });
    }

    fn poll(&mut self, open: &Open, depth: usize, end: u64, end_unknown: bool, trace: &mut Trace) {
        let Some((begin_ns, end_ns, before)) = self.clip(open.begin, end) else { return };
        self.is_empty = false;
        let began_before = open.ends.began_before || before;
        trace.polls.push(Poll {
            thread: self.thread,
            begin_ns,
            end_ns,
            depth: depth as u32,
            task: open.task,
            site: open.site,
            ends: Ends { began_before, end_unknown, ..open.ends },
        });
    }
}
