//! Whether the service answers, since when not, when it is asked again, and whether it is still the same process.

use super::state::At;
use crate::captures::Process;

/// The first pause after a miss; it doubles up to the longest.
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 30_000;

/// The way to the service.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Last answer of any kind, this machine's clock.
    pub(super) last_answer_unix_ms: Option<i64>,
    /// When it is asked again, while it does not answer.
    pub(super) retry_at_ms: u64,
    /// Why it did not answer; `None` while it does.
    pub(super) down: Option<String>,
    /// Who it is.
    pub(super) process: Option<Process>,
    /// The last restart that was seen: when, and which process it was before.
    pub(super) restarted: Option<(i64, Process)>,
    misses: u32,
}

/// What an answer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The process that was there before.
    Same,
    /// Another one: what was known is of no use any more.
    Restarted,
}

impl Link {
    /// Whether the last thing heard was an answer.
    pub(super) fn is_up(&self) -> bool {
        self.down.is_none() && self.last_answer_unix_ms.is_some()
    }

    /// Anything answered.
    pub(super) fn heard(&mut self, at: At) {
        self.last_answer_unix_ms = Some(at.unix_ms);
    }

    /// The status came.
    pub(super) fn answered(&mut self, process: Option<Process>, at: At) -> Heard {
        self.heard(at);
        self.down = None;
        self.misses = 0;
        let before = self.process;
        self.process = process.or(before);
        match (before, process) {
            (Some(before), Some(now)) if before != now => {
                self.restarted = Some((at.unix_ms, before));
                Heard::Restarted
            }
            _ => Heard::Same,
        }
    }

    /// The status did not come. How long to wait, unless the service said so itself.
    pub(super) fn missed(&mut self, why: String, asked_to_wait_ms: Option<u64>, at: At) -> u64 {
        let doubled = FIRST_PAUSE_MS.saturating_mul(1 << self.misses.min(10));
        let pause = asked_to_wait_ms.unwrap_or(doubled).min(LONGEST_PAUSE_MS);
        self.misses = self.misses.saturating_add(1);
        self.down = Some(why);
        self.retry_at_ms = at.mono_ms + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> At {
        At { mono_ms, unix_ms: 1_000_000 + mono_ms as i64 }
    }

    fn process(pid: u32) -> Option<Process> {
        Some(Process { pid, started_unix_s: 5 })
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_begin_anew() {
        let mut link = Link::default();
        assert!(!link.is_up());
        link.answered(process(1), at(0));
        assert!(link.is_up());
        let pauses: Vec<u64> = (0..7).map(|n| link.missed("refused".into(), None, at(n))).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert!(!link.is_up());
        assert_eq!(link.last_answer_unix_ms, Some(1_000_000));
        link.answered(process(1), at(100));
        assert_eq!(link.missed("busy".into(), Some(7_000), at(200)), 7_000);
        assert_eq!(link.missed("x".into(), None, at(200)), 2_000);
    }

    #[test]
    fn another_process_is_a_restart() {
        let mut link = Link::default();
        assert_eq!(link.answered(process(1), at(0)), Heard::Same);
        assert_eq!(link.answered(process(1), at(1)), Heard::Same);
        assert_eq!(link.answered(process(2), at(2)), Heard::Restarted);
        assert_eq!(link.restarted.map(|(_, p)| p.pid), Some(1));
        // One that does not say who it is is taken for the same.
        assert_eq!(link.answered(None, at(3)), Heard::Same);
        assert_eq!(link.answered(process(2), at(4)), Heard::Same);
    }
}
