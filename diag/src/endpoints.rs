//! Paths of the HTTP contract, shared by the server and its clients.

/// Index of the pprof endpoints. All pprof paths begin with it.
pub const PPROF_INDEX: &str = "/debug/pprof/";
/// Live heap and allocation totals; the default sample type is `inuse_space`.
pub const PPROF_HEAP: &str = "/debug/pprof/heap";
/// The same samples; the default sample type is `alloc_space`.
pub const PPROF_ALLOCS: &str = "/debug/pprof/allocs";
/// CPU time, or with `mode=wall` time that passes, over `seconds=` (30).
pub const PPROF_PROFILE: &str = "/debug/pprof/profile";
/// Live async tasks by the code that spawned them; `debug=1` grouped, `debug=2` each; `min_age=` seconds, `state=`.
pub const PPROF_TASKS: &str = "/debug/pprof/tasks";
/// The same, by the name that Go's clients know.
pub const PPROF_GOROUTINE: &str = "/debug/pprof/goroutine";
/// Of them those that can never wake again, and those that are probably stuck.
pub const PPROF_TASKLEAK: &str = "/debug/pprof/taskleak";
/// Who makes others wait for locks; what came within `seconds=`, or since the start.
pub const PPROF_MUTEX: &str = "/debug/pprof/mutex";
/// Who waits for locks; likewise.
pub const PPROF_BLOCK: &str = "/debug/pprof/block";
/// Spans, events and polls of tasks: recorded over `seconds=` (1), or with `past=all` or `past=SECONDS` what the flight recorder holds; as
/// `format=chrome` (trace-event JSON), `folded` or `pprof`.
pub const PPROF_TRACE: &str = "/debug/pprof/trace";
/// Arguments of the process, separated by NUL.
pub const PPROF_CMDLINE: &str = "/debug/pprof/cmdline";
/// Names of addresses, as pprof's symbolz protocol asks.
pub const PPROF_SYMBOL: &str = "/debug/pprof/symbol";
/// Browser UI: a page that works behind any path prefix; what it is made of lies below `ui/`.
pub const UI: &str = "/debug/diag/";
/// What runs, what does not, and why; JSON.
pub const API_STATUS: &str = "/debug/diag/api/v1/status";
/// The memory waterline; JSON, or a table with `format=text`.
pub const API_MEMORY: &str = "/debug/diag/api/v1/memory";
/// The leak verdict; JSON (`diag.leaks/1`), or text with `format=text`. `watch=60` watches for so many seconds first.
pub const API_LEAKS: &str = "/debug/diag/api/v1/leaks";
/// The tasks by site, judged (`diag.tasks/1`).
pub const API_TASKS: &str = "/debug/diag/api/v1/tasks";
/// The waterline of the last hour (`diag.history/1`): columns of readings, a number or null each. `since=UNIX_MS` gives later ones
/// only.
pub const API_HISTORY: &str = "/debug/diag/api/v1/history";
/// Live bytes of code over time (`diag.courses/1`): `site=` as the verdict names it, several times.
pub const API_COURSES: &str = "/debug/diag/api/v1/courses";
/// A profile as it is looked at: `of=live`, `of=kept:ID` or `of=file:NAME`, against `base=` likewise, with `type=`, `label=key=value`,
/// `focus=REGEX`, `group=LABEL`; as `format=json` (`diag.view/1`), `svg`, `html` or `pprof`.
pub const API_VIEW: &str = "/debug/diag/api/v1/view";
/// Profiles kept in memory to be looked at and compared (`diag.kept/1`); a POST keeps one more: `kind=heap`, or `kind=cpu` with
/// `seconds=`, `hz=` and `mode=`.
pub const API_KEPT: &str = "/debug/diag/api/v1/kept";
/// The files of the capture directory (`diag.captures/1`); `/NAME` below it is the file.
pub const API_CAPTURES: &str = "/debug/diag/api/v1/captures";
/// A flame graph of the process; SVG.
pub const API_FLAMEGRAPH: &str = "/debug/diag/api/v1/flamegraph";
/// Where resident memory is and what grows within `seconds=` (default 5); JSON, or a table with `format=text`.
pub const API_TRIAGE: &str = "/debug/diag/api/v1/triage";
/// Gives jemalloc's unused pages back, and says what that brought; POST only, JSON.
pub const API_PURGE: &str = "/debug/diag/api/v1/purge";
/// Whether diag answers: `ok`; with `deep=true` how its parts are, JSON (`diag.health/1`), 503 when one is broken.
pub const API_HEALTH: &str = "/debug/diag/api/v1/health";
