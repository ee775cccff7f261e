//! What a rule is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

const DEBOUNCE: Duration = Duration::from_secs(300);
const AN_HOUR: u32 = 6;
/// Longest name: it becomes part of file names.
const LONGEST_NAME: usize = 40;

/// A size: so many bytes, or a share (0.9 is 90 %) of the memory limit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Of the smallest cgroup limit that applies; of RSS, where there is no limit, of the machine's memory.
    Share(f64),
    /// Bytes.
    Bytes(u64),
}

/// Who waited for memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// Some task.
    Some,
    /// All tasks at once.
    Full,
}

/// When a rule fires.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum When {
    /// The cgroup whose limit applies holds so much that cannot be dropped: what is charged without inactive file pages, as
    /// Kubernetes counts it. cgroup v1 and v2.
    Limit(Level),
    /// The process's resident set is so large.
    Rss(Level),
    /// The resident set grows by so many bytes a minute, over so long: medians of the first and the last quarter are compared.
    Growth {
        /// Bytes a minute.
        bytes_per_minute: u64,
        /// Over so long.
        over: Duration,
    },
    /// So many tracked tasks (`diag::tasks`) are alive.
    Tasks(u64),
    /// The number of live tracked tasks grows by so many a minute, over so long, measured as [`Growth`](Self::Growth) is.
    TaskGrowth {
        /// More tasks a minute.
        per_minute: u64,
        /// Over so long.
        over: Duration,
    },
    /// One poll of a tracked task took so long: it blocked a thread of the runtime. Looked for once a second.
    SlowPoll(Duration),
    /// Tasks waited for memory for so much of the last 10 s: the kernel's pressure stall information (`avg10`), of the process's v2
    /// cgroup or else of the machine.
    Stall(Stall, f64),
    /// This signal came; by number.
    Signal(i32),
    /// A thread panicked.
    Panic,
    /// [`diag::Allocator`](crate::Allocator) could not serve an allocation. Under a cgroup limit that does not happen: the kernel
    /// kills instead. With a limit of address space (`ulimit -v`), or without overcommit, it does.
    AllocFailed,
    /// The service said so: [`diag::trigger`](crate::trigger()) with this name.
    Told(String),
}

/// A closure to call.
#[derive(Clone)]
pub struct Hook(pub(crate) Arc<dyn Fn(&Firing) + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Serialize for Hook {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("in the program")
    }
}

/// What a rule does. Whatever the order in which it is asked for: heap, waterline, trace, purge, hooks, verdict, CPU; the quickest first,
/// since the kernel may not wait.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Do {
    /// Writes a heap profile with ages.
    Heap,
    /// Writes the waterline.
    Memory,
    /// Gives jemalloc's unused pages back to the system.
    Purge,
    /// Calls a closure, on a thread of its own.
    Hook(Hook),
    /// Sends the [`Firing`] as JSON: `http://host:port/path`, POST. Plain HTTP; for https put a proxy beside the service.
    Webhook(String),
    /// Writes the leak verdict. Needs memory and time beyond what is set aside; `diag-cli leaks DIR` gives it from captures too.
    Leaks,
    /// Writes the async tasks by the code that spawned them, judged.
    Tasks,
    /// Writes what the flight recorder holds, as `trace-*.json`. Needs the feature `recorder`, and its layer installed.
    Trace,
    /// Records where the time goes, for so long, and writes that.
    #[serde(serialize_with = "seconds")]
    Cpu(Duration),
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// When, what, and how often at most.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// Lower-case letters, digits and `_`: part of the files' names.
    pub name: String,
    /// When.
    pub when: When,
    /// What.
    #[serde(rename = "do")]
    pub actions: Vec<Do>,
    /// At most once in so long. Default 5 min.
    #[serde(rename = "debounce_s", serialize_with = "seconds")]
    pub debounce: Duration,
    /// At most so often an hour. Default 6.
    pub an_hour: u32,
}

impl Rule {
    /// A rule that writes heap and waterline, at most once in 5 minutes and 6 times an hour. In the name, what is not a letter, a
    /// digit or `_` becomes `_`.
    #[must_use]
    pub fn new(name: &str, when: When) -> Self {
        let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let name: String = name.chars().take(LONGEST_NAME).map(fits).collect();
        let name = if name.is_empty() { "rule".to_owned() } else { name };
        Self { name, when, actions: vec![Do::Heap, Do::Memory], debounce: DEBOUNCE, an_hour: AN_HOUR }
    }

    /// What applies where a capture directory is set and nobody spoke of rules: heap and waterline at 90 % of the memory limit.
    #[must_use]
    pub fn near_limit() -> Self {
        Self::new("near_limit", When::Limit(Level::Share(0.9)))
    }

    /// Does this in place of heap and waterline.
    #[must_use]
    pub fn does(mut self, actions: impl IntoIterator<Item = Do>) -> Self {
        self.actions = actions.into_iter().collect();
        self
    }

    /// Calls this as well. It runs on a thread of its own; while it runs, what other rules want called waits.
    #[must_use]
    pub fn hook(mut self, hook: impl Fn(&Firing) + Send + Sync + 'static) -> Self {
        self.actions.push(Do::Hook(Hook(Arc::new(hook))));
        self
    }

    /// At most once in so long.
    #[must_use]
    pub fn debounce(mut self, time: Duration) -> Self {
        self.debounce = time;
        self
    }

    /// At most so often an hour.
    #[must_use]
    pub fn an_hour(mut self, times: u32) -> Self {
        self.an_hour = times;
        self
    }
}

/// A rule that fired: what hooks get, and webhooks and the file `event-*.json` as `diag.event/1`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Firing {
    /// `diag.event/1`.
    pub schema: &'static str,
    /// Name of the rule.
    pub rule: String,
    /// Why, in a sentence.
    pub why: String,
    /// When, unix nanoseconds.
    pub at_unix_ns: u64,
    /// Of the service.
    pub service_name: String,
    /// Of the process.
    pub pid: u32,
    /// The memory limit, when there is one.
    pub limit_bytes: Option<u64>,
    /// What counts against it.
    pub working_set_bytes: Option<u64>,
    /// The resident set.
    pub rss_bytes: Option<u64>,
    /// The capture directory, when there is one.
    pub dir: Option<std::path::PathBuf>,
    /// Files written so far.
    pub files: Vec<String>,
    /// What could not be done, and what to do.
    pub problems: Vec<String>,
}
