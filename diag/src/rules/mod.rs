//! Rules: when something happens, do something. Pure: what is observed and the time in, what is due out.
//! Who observes and who acts is `trigger`.
//!
//! ```
//! use std::time::Duration;
//! use diag::rules::{Do, Level, Rule, When};
//!
//! let near_limit = Rule::new("near_limit", When::Limit(Level::Share(0.9))).does([Do::Heap, Do::Memory]);
//! let slow = Rule::new("slow_checkout", When::Told("slow_checkout".into()))
//!     .does([Do::Heap, Do::Cpu(Duration::from_secs(10))])
//!     .debounce(Duration::from_secs(60))
//!     .an_hour(10);
//! # let _ = (near_limit, slow);
//! ```
//!
//! A level (share of the limit, RSS, growth, stall) fires when it is crossed from below, and again when it has risen by a twentieth
//! since, or has been below 95 % of the level in between; not for as long as it stays there. An event fires each time it comes. Of
//! what fires, `debounce` lets one through in so long, and `an_hour` so many; the rest is counted in `status`, not done. A rule fires on
//! what is seen: between two looks (10 to 100 ms near a level) it sees nothing.
//!
//! # The file
//!
//! What `DIAG_RULES` names; it takes the place of the builder's rules. A growth is a minute's.
//!
//! ```toml
//! [[rule]]
//! name = "near_limit"
//! when = { limit = "90%" }            # or rss = "2GiB", growth = "200MiB" with over = "10m", stall_some = "20%", stall_full = "5%",
//!                                     # tasks = 100000, task_growth = 600 with over = "10m", slow_poll = "200ms",
//!                                     # signal = "SIGUSR2", panic = true, alloc_failed = true, told = "slow_checkout"
//! do = ["heap", "memory", "purge", "leaks", "tasks", "trace", { cpu = "10s" }, { webhook = "http://127.0.0.1:9000/diag" }]
//! debounce = "5m"
//! an_hour = 6
//!
//! [relief]                            # optional: under pressure jemalloc gives unused pages back at once
//! at = "85%"
//! stall_some = "10%"
//! ```

mod engine;
mod file;
mod growth;
mod relief;
mod rule;

pub(crate) use engine::{Engine, Event, Observed};
pub use engine::{Firings, RuleStats};
pub(crate) use file::parse;
pub use relief::Relief;
pub(crate) use relief::{Order, ReliefState};
pub use rule::{Do, Firing, Hook, Level, Rule, Stall, When};

/// What a rules file or a builder asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// `None` where nobody spoke of rules: the default one applies.
    pub(crate) rules: Option<Vec<Rule>>,
    pub(crate) relief: Option<Relief>,
}

#[cfg(test)]
mod tests;
