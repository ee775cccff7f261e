//! The state of the view: what is known, how it is looked at, what is under way. Events in, orders out; no clock, no terminal, no
//! network. Times come in with each event.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::answer::Answer;
use super::data::{Data, HeapLook, growers};
use super::keys::Key;
use super::link::{Heard, Link};
use super::look::{self, Go, Look, Panel};
use super::plan::{Ask, Plan};
use crate::captures::{self, Process};

/// When something happened, on two clocks: that of this view for pauses, the wall's for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    /// Since the view began.
    pub(super) mono_ms: u64,
    /// Since the Unix epoch.
    pub(super) unix_ms: i64,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// Time passed.
    Tick,
    /// A key.
    Key(Key),
    /// An answer, or none.
    Heard {
        /// To which question.
        ask: Ask,
        /// How long it took.
        took_ms: u64,
        /// What it was.
        result: Result<Answer, Miss>,
    },
    /// A file was written, or not: why.
    Wrote(Result<PathBuf, String>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    /// In words.
    pub(super) why: String,
    /// The service has no such thing.
    pub(super) is_absent: bool,
    /// How long it asked to wait.
    pub(super) wait_ms: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Ask the service.
    Ask(Ask, String),
    /// Write a file of this name.
    Write(String, Arc<[u8]>),
    /// End.
    Quit,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    /// The address, without credentials.
    pub(super) target: String,
    /// What is known.
    live: Data,
    /// What is shown in its place, and since when.
    frozen: Option<(At, Box<Data>)>,
    /// How it is looked at.
    pub(super) look: Look,
    /// Whether the service answers.
    pub(super) link: Link,
    /// The timetable.
    pub(super) plan: Plan,
    /// Why a part of the data is missing, or old.
    pub(super) misses: BTreeMap<Ask, Miss>,
    /// The last thing that was done, for the last line.
    pub(super) message: String,
    /// When the recording of CPU time began.
    pub(super) recording_since: Option<At>,
    /// Files written.
    pub(super) written: Vec<PathBuf>,
    marks_baseline: bool,
}

impl State {
    /// Nothing is known yet.
    pub(super) fn new(target: String, plan: Plan) -> Self {
        Self {
            target,
            live: Data::default(),
            frozen: None,
            look: Look::default(),
            link: Link::default(),
            plan,
            misses: BTreeMap::new(),
            message: String::new(),
            recording_since: None,
            written: Vec::new(),
            marks_baseline: false,
        }
    }

    /// What is shown.
    pub(super) fn shown(&self) -> &Data {
        self.frozen.as_ref().map_or(&self.live, |(_, data)| data)
    }

    /// Since when the picture stands still.
    pub(super) fn frozen_at(&self) -> Option<At> {
        self.frozen.as_ref().map(|(at, _)| *at)
    }

    /// Takes an event and says what to do.
    pub(super) fn update(&mut self, event: Event, at: At) -> Vec<Order> {
        match event {
            Event::Tick => {}
            Event::Key(key) => {
                if let Some(order) = self.key(key, at) {
                    return vec![order];
                }
            }
            Event::Heard { ask, took_ms, result } => self.heard(ask, took_ms, result, at),
            Event::Wrote(Ok(path)) => {
                self.message = format!("wrote {}", super::clean::clean(&path.display().to_string()));
                self.written.push(path);
            }
            Event::Wrote(Err(why)) => self.message = super::clean::clean(&why),
        }
        let may_ask = self.link.down.is_none() || at.mono_ms >= self.link.retry_at_ms;
        if !may_ask {
            return Vec::new();
        }
        let since = self.live.history.last().map_or(0, |last| last.at_unix_ms);
        let due = self.plan.due(at.mono_ms, self.link.is_up());
        if due.contains(&Ask::Cpu) {
            self.recording_since = Some(at);
        }
        due.into_iter().map(|ask| Order::Ask(ask, ask.path(since))).collect()
    }

    fn heard(&mut self, ask: Ask, took_ms: u64, result: Result<Answer, Miss>, at: At) {
        if ask == Ask::Cpu {
            self.recording_since = None;
        }
        let mut pause = None;
        match result {
            Ok(answer) => {
                self.misses.remove(&ask);
                self.link.heard(at);
                self.take(answer, at);
            }
            Err(miss) if ask == Ask::Status => {
                pause = Some(self.link.missed(miss.why, miss.wait_ms, at));
            }
            Err(miss) => {
                // What is not there now will not be there in five seconds; and never more often than by plan.
                let spacing = self.plan.spacing_ms(ask, took_ms);
                let least = if miss.is_absent { 60_000 } else { miss.wait_ms.unwrap_or(0).min(60_000) };
                pause = Some(spacing.max(least));
                self.misses.insert(ask, miss);
            }
        }
        self.plan.answered(ask, took_ms, pause, at.mono_ms);
    }

    fn take(&mut self, answer: Answer, at: At) {
        match answer {
            Answer::Status(identity, process) => {
                let was_down = self.link.down.is_some();
                match self.link.answered(process, at) {
                    Heard::Restarted => self.restart(at),
                    Heard::Same if was_down => {
                        self.message = "the service answers again".into();
                        self.plan.anew(at.mono_ms);
                    }
                    Heard::Same => {}
                }
                self.live.identity = identity;
            }
            Answer::History(readings) => self.live.history.extend(readings),
            Answer::Tasks(look) => {
                if self.live.tasks.is_none() {
                    self.live.tasks_baseline = look.sites.iter().map(|s| (s.key(), s.live)).collect();
                }
                self.live.tasks = Some(look);
            }
            Answer::Heap(look) => self.take_heap(Arc::new(look)),
            Answer::Verdict(look) => self.live.verdict = Some(look),
            Answer::Cpu(look) => {
                self.message = format!("recorded {:.0} s of CPU time", look.seconds);
                self.live.cpu = Some(look);
            }
        }
    }

    fn take_heap(&mut self, look: Arc<HeapLook>) {
        if self.live.baseline.is_none() || std::mem::take(&mut self.marks_baseline) {
            self.live.baseline = Some(Arc::clone(&look));
        }
        self.live.heap = Some(look);
        self.compare();
    }

    fn compare(&mut self) {
        if let Some(heap) = &self.live.heap {
            self.live.growers = growers(self.live.baseline.as_deref(), heap);
        }
    }

    /// Another process answers: nothing that was known holds any more.
    fn restart(&mut self, at: At) {
        self.live = Data::default();
        self.misses.clear();
        self.frozen = None;
        self.recording_since = None;
        self.message = "the service has restarted: everything begins anew".into();
        self.plan.anew(at.mono_ms);
    }

    fn key(&mut self, key: Key, at: At) -> Option<Order> {
        if key == Key::Interrupt {
            return Some(Order::Quit);
        }
        if self.look.typing {
            self.type_filter(key);
            return None;
        }
        if std::mem::take(&mut self.look.help) && key != Key::Char('q') {
            return None;
        }
        match key {
            Key::Char('q') => return Some(Order::Quit),
            Key::Char('?') => self.look.help = true,
            Key::Char('w') => return self.write(),
            Key::Char('s') => self.look.reorder(),
            Key::Char('f') => self.freeze(at),
            Key::Char('b') => self.mark_baseline(at),
            Key::Char('c') => self.record(at),
            Key::Char('/') if self.look.panel != Panel::Waterline => self.look.typing = true,
            Key::Char('/') => self.message = "the waterline has no rows to filter: Tab to a list".into(),
            Key::Char('1') => self.look.panel = Panel::Waterline,
            Key::Char('2') => self.look.panel = Panel::Growers,
            Key::Char('3') => self.look.panel = Panel::Tasks,
            Key::Char('4') => self.look.panel = Panel::Cpu,
            Key::Tab => self.look.panel = self.look.panel.step(1),
            Key::BackTab => self.look.panel = self.look.panel.step(3),
            Key::Enter => self.look.zoomed = !self.look.zoomed,
            Key::Esc => self.look.current().filter.clear(),
            Key::Up | Key::Char('k') => self.go(Go::Up),
            Key::Down | Key::Char('j') => self.go(Go::Down),
            Key::PageUp => self.go(Go::PageUp),
            Key::PageDown => self.go(Go::PageDown),
            Key::Home => self.go(Go::First),
            Key::End => self.go(Go::Last),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, key: Key) {
        let list = self.look.current();
        match key {
            Key::Char(c) => list.push(c),
            Key::Backspace => {
                list.filter.pop();
            }
            Key::Esc => {
                list.filter.clear();
                self.look.typing = false;
            }
            Key::Enter => self.look.typing = false,
            _ => {}
        }
    }

    fn go(&mut self, go: Go) {
        let data = self.shown();
        let rows = match self.look.panel {
            Panel::Waterline => 0,
            Panel::Growers => look::growers(&self.look, &data.growers).len(),
            Panel::Tasks => data.tasks.as_ref().map_or(0, |t| look::tasks(&self.look, &t.sites).len()),
            Panel::Cpu => data.cpu.as_ref().map_or(0, |c| look::cpu(&self.look, &c.sites).len()),
        };
        self.look.current().go(go, rows);
    }

    fn freeze(&mut self, at: At) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some((at, Box::new(self.live.clone()))),
        };
    }

    /// The next heap profile is the baseline; until it is there, the last one.
    fn mark_baseline(&mut self, at: At) {
        if self.frozen.is_some() {
            self.message = "frozen: f goes on, then b marks a baseline".into();
            return;
        }
        self.live.tasks_baseline = match &self.live.tasks {
            Some(look) => look.sites.iter().map(|s| (s.key(), s.live)).collect(),
            None => HashMap::new(),
        };
        self.live.baseline = self.live.heap.clone();
        self.marks_baseline = true;
        self.compare();
        self.plan.ask_now(Ask::Heap, at.mono_ms);
        self.message = "baseline: growth counts from the next heap profile".into();
    }

    fn record(&mut self, at: At) {
        if !self.link.is_up() {
            self.message = "the service does not answer: nothing can be recorded".into();
        } else if self.plan.is_under_way(Ask::Cpu) {
            self.message = "CPU time is being recorded already".into();
        } else {
            self.plan.ask_now(Ask::Cpu, at.mono_ms);
            self.look.panel = Panel::Cpu;
        }
    }

    fn write(&mut self) -> Option<Order> {
        let Some(heap) = &self.shown().heap else {
            self.message = "there is no heap profile yet to write".into();
            return None;
        };
        let process: Option<Process> = self.link.process;
        let taken_ns = heap.taken_unix_ms.saturating_mul(1_000_000);
        Some(Order::Write(captures::file_name("heap", taken_ns, process, "pb.gz"), Arc::clone(&heap.raw)))
    }
}

#[cfg(test)]
pub(super) mod tests;
