//! Runs of runtime frames made into one frame each: between `main` and the first function of a service's own there may
//! be forty of tokio, hyper and the standard library, which say nothing about the service.
//!
//! Only what the run is drawn as changes, not its values. How many frames a run had is kept with the name.

/// Fewer frames than this are not worth folding.
const SHORTEST_RUN: usize = 3;

/// Of a stack without any other code so many frames stay at the leaf: they are all there is to tell it by.
const KEPT_AT_LEAF: usize = 3;

/// A part of a path, root first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The frame at this position stays.
    Frame(usize),
    /// The frames from the first to before the second position become one.
    Run(usize, usize),
}

/// Splits a path into frames that stay and runs to fold. `is_runtime` tells of each frame, root first.
pub(crate) fn parts(is_runtime: &[bool]) -> Vec<Part> {
    let len = is_runtime.len();
    let only_runtime = is_runtime.iter().all(|&r| r);
    let mut parts = Vec::new();
    let mut at = 0;
    while at < len {
        let run = is_runtime.iter().skip(at).take_while(|&&r| r).count();
        if run == 0 {
            parts.push(Part::Frame(at));
            at += 1;
            continue;
        }
        let end = at + run;
        // What own code calls is an interface that its author knows; what a thread starts with is not.
        let from = if at == 0 { at } else { at + 1 };
        let to = if only_runtime { end.saturating_sub(KEPT_AT_LEAF).max(from) } else { end };
        parts.extend((at..from).map(Part::Frame));
        if to - from >= SHORTEST_RUN {
            parts.push(Part::Run(from, to));
        } else {
            parts.extend((from..to).map(Part::Frame));
        }
        parts.extend((to..end).map(Part::Frame));
        at = end;
    }
    parts
}

/// The text of a folded run, from the crates of its frames, root first. Frames without a crate are native.
pub(crate) fn text<'a>(crates: impl Iterator<Item = Option<&'a str>>) -> String {
    const SHOWN: usize = 5;
    let mut distinct: Vec<&str> = Vec::new();
    for name in crates.map(|c| c.unwrap_or("native")) {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    let more = if distinct.len() > SHOWN { ", ..." } else { "" };
    distinct.truncate(SHOWN);
    format!("[{}{more}]", distinct.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Vec<Part> {
        parts(&path.bytes().map(|b| b == b'r').collect::<Vec<_>>())
    }

    #[test]
    fn runs_fold_and_entries_stay() {
        use Part::{Frame, Run};
        assert_eq!(of("rrrro"), [Run(0, 4), Frame(4)], "nobody of interest called the first");
        assert_eq!(of("orrrro"), [Frame(0), Frame(1), Run(2, 5), Frame(5)], "what own code called stays");
        assert_eq!(of("orrro"), [Frame(0), Frame(1), Frame(2), Frame(3), Frame(4)], "too short");
        assert_eq!(of("orrrr"), [Frame(0), Frame(1), Run(2, 5)]);
        assert_eq!(of("rrrrrr"), [Run(0, 3), Frame(3), Frame(4), Frame(5)], "nothing else to tell it by");
        assert_eq!(of("rr"), [Frame(0), Frame(1)]);
        assert_eq!(of(""), []);
    }

    #[test]
    fn every_frame_is_in_one_part() {
        for bits in 0..1u32 << 10 {
            let path: Vec<bool> = (0..10).map(|i| bits >> i & 1 == 1).collect();
            let mut covered = Vec::new();
            for part in parts(&path) {
                match part {
                    Part::Frame(i) => covered.push(i),
                    Part::Run(from, to) => covered.extend(from..to),
                }
            }
            assert_eq!(covered, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_run_names_its_crates_once() {
        let crates = [None, Some("std"), Some("tokio"), Some("std"), Some("tokio")];
        assert_eq!(text(crates.into_iter()), "[native, std, tokio]");
        assert_eq!(text(["a", "b", "c", "d", "e", "f"].map(Some).into_iter()), "[a, b, c, d, e, ...]");
    }
}
