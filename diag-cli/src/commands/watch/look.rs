//! How the data are looked at: which panel, in which order, what is filtered. Pure; knows nothing of the service.

use super::data::{Grower, Site, TaskSite};

/// Longer filters are not typed by people.
const MOST_FILTER_CHARS: usize = 80;
/// Rows that a page key moves.
const PAGE: usize = 10;

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    /// Memory over time.
    Waterline,
    /// Live heap by site.
    #[default]
    Growers,
    /// Tasks by site.
    Tasks,
    /// CPU.
    Cpu,
}

/// In the order of their numbers.
pub(super) const PANELS: [Panel; 4] = [Panel::Waterline, Panel::Growers, Panel::Tasks, Panel::Cpu];

impl Panel {
    /// The panel so many steps on.
    #[must_use]
    pub(super) fn step(self, by: usize) -> Self {
        PANELS.into_iter().cycle().skip_while(|p| *p != self).nth(by).unwrap_or_default()
    }
}

/// How growers are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum GrowerOrder {
    /// By growth.
    #[default]
    Growth,
    /// By what is live.
    Live,
    /// By name.
    Name,
}

/// How tasks are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TaskOrder {
    /// Those with a verdict first, then by number.
    #[default]
    Verdict,
    /// By number.
    Live,
    /// By the age of the oldest.
    Age,
    /// By the longest poll.
    Poll,
}

/// How functions of a CPU profile are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CpuOrder {
    /// Own time.
    #[default]
    Own,
    /// With everything called.
    Total,
}

/// A list's cursor and filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The row that is marked; may be beyond the end.
    pub(super) cursor: usize,
    /// Rows have this in their name; in lower case.
    pub(super) filter: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The panel that keys are about.
    pub(super) panel: Panel,
    /// It has the screen for itself.
    pub(super) zoomed: bool,
    /// The help is shown.
    pub(super) help: bool,
    /// A filter is being typed.
    pub(super) typing: bool,
    /// Order of the growers.
    pub(super) growers: GrowerOrder,
    /// Order of the tasks.
    pub(super) tasks: TaskOrder,
    /// Order of the CPU profile.
    pub(super) cpu: CpuOrder,
    span: usize,
    lists: [List; PANELS.len()],
}

/// Spans of time that the waterline shows, in minutes.
const SPANS_MIN: [i64; 3] = [15, 60, 5];

impl Look {
    /// The list of a panel.
    pub(super) fn list(&self, panel: Panel) -> &List {
        // As many lists as panels.
        self.lists.get(panel as usize).unwrap_or(&self.lists[0])
    }

    /// The list of the panel that keys are about.
    pub(super) fn current(&mut self) -> &mut List {
        let at = (self.panel as usize).min(PANELS.len() - 1);
        #[allow(clippy::indexing_slicing)]
        &mut self.lists[at]
    }

    /// What the waterline shows, minutes.
    pub(super) fn span_min(&self) -> i64 {
        SPANS_MIN.get(self.span).copied().unwrap_or(SPANS_MIN[0])
    }

    /// The next order of the current panel.
    pub(super) fn reorder(&mut self) {
        match self.panel {
            Panel::Waterline => self.span = (self.span + 1) % SPANS_MIN.len(),
            Panel::Growers => {
                self.growers = match self.growers {
                    GrowerOrder::Growth => GrowerOrder::Live,
                    GrowerOrder::Live => GrowerOrder::Name,
                    GrowerOrder::Name => GrowerOrder::Growth,
                }
            }
            Panel::Tasks => {
                self.tasks = match self.tasks {
                    TaskOrder::Verdict => TaskOrder::Live,
                    TaskOrder::Live => TaskOrder::Age,
                    TaskOrder::Age => TaskOrder::Poll,
                    TaskOrder::Poll => TaskOrder::Verdict,
                }
            }
            Panel::Cpu => {
                self.cpu = match self.cpu {
                    CpuOrder::Own => CpuOrder::Total,
                    CpuOrder::Total => CpuOrder::Own,
                }
            }
        }
    }
}

impl List {
    /// Moves the cursor; `rows` there are.
    pub(super) fn go(&mut self, to: Go, rows: usize) {
        let last = rows.saturating_sub(1);
        let at = self.cursor.min(last);
        self.cursor = match to {
            Go::Up => at.saturating_sub(1),
            Go::Down => at + 1,
            Go::PageUp => at.saturating_sub(PAGE),
            Go::PageDown => at + PAGE,
            Go::First => 0,
            Go::Last => last,
        }
        .min(last);
    }

    /// One more character of the filter.
    pub(super) fn push(&mut self, c: char) {
        if self.filter.chars().count() < MOST_FILTER_CHARS && !c.is_control() {
            self.filter.extend(c.to_lowercase());
            self.cursor = 0;
        }
    }

    fn lets_through(&self, texts: &[&str]) -> bool {
        self.filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&self.filter))
    }
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub(super) enum Go {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// The growers as they are shown.
pub(super) fn growers<'d>(look: &Look, growers: &'d [Grower]) -> Vec<&'d Grower> {
    let list = look.list(Panel::Growers);
    let mut rows: Vec<&Grower> =
        growers.iter().filter(|g| list.lets_through(&[&g.function, &g.place])).collect();
    rows.sort_by(|a, b| {
        let growth = || b.grown_bytes.cmp(&a.grown_bytes);
        let live = || b.live_bytes.cmp(&a.live_bytes);
        let name = || a.function.cmp(&b.function).then_with(|| a.place.cmp(&b.place));
        match look.growers {
            GrowerOrder::Growth => growth().then_with(live).then_with(name),
            GrowerOrder::Live => live().then_with(name),
            GrowerOrder::Name => name(),
        }
    });
    rows
}

/// The tasks as they are shown.
pub(super) fn tasks<'d>(look: &Look, sites: &'d [TaskSite]) -> Vec<&'d TaskSite> {
    let list = look.list(Panel::Tasks);
    let through = |s: &&TaskSite| list.lets_through(&[&s.site, &s.future, &s.name, &s.verdict]);
    let mut rows: Vec<&TaskSite> = sites.iter().filter(through).collect();
    rows.sort_by(|a, b| {
        let live = || b.live.cmp(&a.live);
        let order = match look.tasks {
            TaskOrder::Verdict => b.is_suspect().cmp(&a.is_suspect()),
            TaskOrder::Live => std::cmp::Ordering::Equal,
            TaskOrder::Age => b.oldest_s.total_cmp(&a.oldest_s),
            TaskOrder::Poll => b.longest_poll_s.total_cmp(&a.longest_poll_s),
        };
        order.then_with(live).then_with(|| a.site.cmp(&b.site)).then_with(|| a.future.cmp(&b.future))
    });
    rows
}

/// The functions of a CPU profile as they are shown.
pub(super) fn cpu<'d>(look: &Look, sites: &'d [Site]) -> Vec<&'d Site> {
    let list = look.list(Panel::Cpu);
    let mut rows: Vec<&Site> = sites.iter().filter(|s| list.lets_through(&[&s.function, &s.place])).collect();
    rows.sort_by(|a, b| {
        let order = match look.cpu {
            CpuOrder::Own => b.value.cmp(&a.value).then_with(|| b.cumulated.cmp(&a.cumulated)),
            CpuOrder::Total => b.cumulated.cmp(&a.cumulated).then_with(|| b.value.cmp(&a.value)),
        };
        order.then_with(|| a.function.cmp(&b.function))
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grower(function: &str, live_bytes: i64, grown: i64) -> Grower {
        Grower {
            function: function.into(),
            place: "src/x.rs:1".into(),
            live_bytes,
            grown_bytes: Some(grown),
            bytes_a_minute: None,
        }
    }

    #[test]
    fn orders_go_round_and_filters_are_of_names_in_any_case() {
        let all = [grower("b::Leaky", 10, 9), grower("a::cache", 90, -1), grower("c", 50, 0)];
        let mut look = Look::default();
        let names = |look: &Look| growers(look, &all).iter().map(|g| g.function.as_str()).collect::<Vec<_>>();
        assert_eq!(names(&look), ["b::Leaky", "c", "a::cache"]);
        look.reorder();
        assert_eq!(names(&look), ["a::cache", "c", "b::Leaky"]);
        look.reorder();
        assert_eq!(names(&look), ["a::cache", "b::Leaky", "c"]);
        look.reorder();
        assert_eq!(look.growers, GrowerOrder::Growth);
        for c in "LEAK".chars() {
            look.current().push(c);
        }
        assert_eq!(names(&look), ["b::Leaky"]);
        look.panel = Panel::Tasks;
        assert_eq!(look.current().filter, "", "each list has its own");
    }

    #[test]
    fn the_cursor_stays_in_the_list() {
        let mut list = List::default();
        for (go, rows, at) in [
            (Go::Up, 30, 0),
            (Go::PageDown, 30, 10),
            (Go::Last, 30, 29),
            (Go::Down, 30, 29),
            (Go::Up, 5, 3),
            (Go::Down, 0, 0),
        ] {
            list.go(go, rows);
            assert_eq!(list.cursor, at, "{go:?} of {rows}");
        }
    }

    #[test]
    fn panels_go_round() {
        assert_eq!(Panel::Cpu.step(1), Panel::Waterline);
        assert_eq!(Panel::Waterline.step(3), Panel::Cpu);
    }

    #[test]
    fn tasks_with_a_verdict_are_first() {
        let site = |site: &str, live, verdict: &str| TaskSite {
            site: site.into(),
            live,
            verdict: verdict.into(),
            ..TaskSite::default()
        };
        let all = [site("busy", 900, "ok"), site("stuck", 3, "stuck")];
        let first = |look: &Look| tasks(look, &all)[0].site.clone();
        let mut look = Look { panel: Panel::Tasks, ..Look::default() };
        assert_eq!(first(&look), "stuck");
        look.reorder();
        assert_eq!(first(&look), "busy");
    }
}
