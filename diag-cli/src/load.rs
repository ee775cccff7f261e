//! From a [`Target`] to a [`Profile`]: fetch or read, decode, resolve names.
//!
//! Names are looked for on this machine first, by build id (`symbols.rs`). A live target is asked for its addresses
//! only (`symbolize=false`), which costs it nothing; when its program is not found here, it is asked once more to
//! resolve the names itself. CPU time cannot be recorded twice: the target is asked for names at once when the path of
//! its program is not one of this machine.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use diag::profile::Profile;
use diag::profile::detect::{self, Format};

use crate::captures::{self, Capture};
use crate::cli::{GlobalArgs, SymbolArgs};
use crate::collect::Collect;
use crate::error::{Error, Result};
use crate::http::{Answer, Client, FetchError};
use crate::output::reason;
use crate::remote::{self, Remote};
use crate::symbols::{Symbols, Unresolved};
use crate::target::{Endpoint, Target};
use crate::terminal::Progress;
use crate::view;

/// Larger files are not profiles.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A profile and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The profile, with names as far as they were found.
    pub profile: Profile,
    /// What the bytes were.
    pub format: Format,
    /// What the user calls it: a path or URL, without credentials.
    pub name: String,
    /// Modules whose names were not all found.
    pub unresolved: Vec<String>,
    /// How many locations that concerns.
    pub unresolved_locations: usize,
}

/// What loading needs besides the target.
pub struct Loader {
    client: Client,
    symbols: Option<SymbolArgs>,
    collect: Collect,
    /// Tells what goes on.
    pub progress: Progress,
}

/// Bytes that are one profile, not yet with names.
struct Raw {
    profile: Profile,
    format: Format,
    name: String,
    live: Option<Endpoint>,
}

impl Loader {
    /// A loader that resolves names.
    ///
    /// # Errors
    /// The token or the certificates cannot be read.
    pub fn new(global: &GlobalArgs, symbols: &SymbolArgs) -> Result<Self> {
        Ok(Self {
            client: Client::new(&global.http)?,
            symbols: Some(symbols.clone()),
            collect: Collect::Heap,
            progress: Progress::new(global.quiet),
        })
    }

    /// A loader that leaves names as they are.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn raw(global: &GlobalArgs) -> Result<Self> {
        Ok(Self {
            client: Client::new(&global.http)?,
            symbols: None,
            collect: Collect::Heap,
            progress: Progress::new(global.quiet),
        })
    }

    /// The same, with this in place of the heap.
    #[must_use]
    pub fn collecting(self, collect: Collect) -> Self {
        Self { collect, ..self }
    }

    /// The client, for what is not a profile.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Loads one profile; of a directory the latest.
    ///
    /// # Errors
    /// One sentence with the target, the cause and the next step.
    pub fn one(&mut self, target: &Target) -> Result<Loaded> {
        let mut loaded = self.latest(std::slice::from_ref(target))?;
        loaded.pop().ok_or_else(|| Error::failed(format!("{target}: nothing there"), "name a file"))
    }

    /// Loads several, of each directory the latest capture.
    ///
    /// # Errors
    /// As [`Loader::all`].
    pub fn latest(&mut self, targets: &[Target]) -> Result<Vec<Loaded>> {
        let targets = targets.iter().map(|target| match target {
            Target::Dir(dir) => {
                let (captures, _) = captures::list_comparable(dir, self.collect.wanted())?;
                Ok(captures.last().map_or_else(|| target.clone(), |last| Target::File(last.path.clone())))
            }
            other => Ok(other.clone()),
        });
        let targets = targets.collect::<Result<Vec<_>>>()?;
        self.all(&targets)
    }

    /// Loads several at the same time, as many as there are processors, in the given order.
    ///
    /// # Errors
    /// The first that fails, in that order.
    pub fn all(&mut self, targets: &[Target]) -> Result<Vec<Loaded>> {
        if targets.iter().filter(|t| **t == Target::Stdin).count() > 1 {
            return Err(Error::usage(
                "stdin (-) is given twice",
                "it can be read once: use a file for the other",
            ));
        }
        for target in targets {
            if let Target::Live(endpoint) = target {
                self.collect.goes_with(endpoint)?;
            }
        }
        let is_live = targets.iter().any(|t| matches!(t, Target::Live(_)));
        let collect = if is_live { self.collect } else { Collect::Heap };
        let (client, symbols) = (&self.client, self.symbols.as_ref());
        let raw = self.progress.during(&collect.doing(targets), collect.wait(), || {
            in_parallel(targets, |t| read(client, t, &collect, symbols))
        })?;
        for raw in &raw {
            is_what_was_asked_for(raw, self.collect)?;
        }
        let mut loaded = Vec::with_capacity(raw.len());
        let mut symbols = self.symbols.as_ref().map(Symbols::new);
        for raw in raw {
            loaded.push(self.with_names(raw, symbols.as_mut())?);
        }
        self.progress.clear();
        Ok(loaded)
    }

    fn with_names(&self, raw: Raw, symbols: Option<&mut Symbols>) -> Result<Loaded> {
        let Raw { profile, format, name, live } = raw;
        let done = |profile, format, unresolved: Unresolved| Loaded {
            profile,
            format,
            name: name.clone(),
            unresolved_locations: unresolved.locations(),
            unresolved: unresolved.into_names(),
        };
        let Some(symbols) = symbols else { return Ok(done(profile, format, Unresolved::default())) };
        let (profile, unresolved) = symbols.resolve(profile, &name)?;
        let again = live.filter(|_| unresolved.is_important() && self.collect.can_be_repeated());
        let Some(endpoint) = again else { return Ok(done(profile, format, unresolved)) };
        // The program is not on this machine: the target can still do it.
        let Ok((second, its_format, _)) = fetch_profile(&self.client, &endpoint, &self.collect, true, false)
        else {
            return Ok(done(profile, format, unresolved));
        };
        let (second, unresolved) = symbols.resolve(second, &name)?;
        Ok(done(second, its_format, unresolved))
    }
}

/// Runs `work` on all items, on as many threads as there are processors; results in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut done: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(item) = items.get(at) else { return mine };
                mine.push((at, work(item)));
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles
            .into_iter()
            .flat_map(|h| match h.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn read(client: &Client, target: &Target, collect: &Collect, symbols: Option<&SymbolArgs>) -> Result<Raw> {
    let name = target.to_string();
    let (profile, format, live) = match target {
        Target::Live(endpoint) => {
            let symbolize = match (collect, symbols) {
                (Collect::Cpu(_), Some(symbols)) => !program_is_here(client, endpoint, symbols),
                _ => false,
            };
            let (profile, format, _) = fetch_profile(client, endpoint, collect, symbolize, false)?;
            (profile, format, Some(endpoint.clone()))
        }
        Target::File(path) => {
            let (profile, format) = decode(&read_file(path)?, &name)?;
            (profile, format, None)
        }
        Target::Stdin => {
            let bytes = read_all(std::io::stdin().lock()).map_err(|e| {
                Error::failed(format!("cannot read stdin: {}", reason(&e)), "pipe a profile into it")
            })?;
            let (profile, format) = decode(&bytes, &name)?;
            (profile, format, None)
        }
        Target::Dir(_) => {
            return Err(Error::usage(
                format!("{name} is a directory, here among other captures"),
                "give one directory alone, or files",
            ));
        }
    };
    Ok(Raw { profile, format, name, live })
}

/// Whether the target's names are likely to be found on this machine, judged by the path of its program.
pub fn program_is_here(client: &Client, endpoint: &Endpoint, symbols: &SymbolArgs) -> bool {
    if symbols.says_where() {
        return true;
    }
    match remote::identify(client, endpoint) {
        Ok(Remote::Ours(status)) => status.executable().is_some_and(|path| Path::new(path).is_file()),
        _ => false,
    }
}

/// A file is what it is, whatever `--kind` says.
fn is_what_was_asked_for(raw: &Raw, collect: Collect) -> Result<()> {
    let (is, what) = match collect {
        Collect::Heap => return Ok(()),
        Collect::Cpu(_) => (view::is_of_time(&raw.profile), "CPU profile"),
        Collect::Mutex | Collect::Block => (view::is_of_contention(&raw.profile), "profile of contention"),
    };
    if is {
        return Ok(());
    }
    let types: Vec<&str> = raw.profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
    Err(Error::usage(
        format!("{} is no {what}: it has {}", raw.name, types.join(", ")),
        format!("leave --kind out, or name a {what}"),
    ))
}

/// Reads a file whole.
///
/// # Errors
/// A sentence with the path.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let fail = |e: &std::io::Error| {
        Error::failed(
            format!("cannot read {}: {}", path.display(), reason(e)),
            "check the path and its permissions",
        )
    };
    let file = std::fs::File::open(path).map_err(|e| fail(&e))?;
    read_all(file).map_err(|e| fail(&e))
}

fn read_all(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is larger than 4 GiB, which no profile is"));
    }
    Ok(bytes)
}

/// Decodes bytes of any known format.
///
/// # Errors
/// A sentence that begins with `name`.
pub fn decode(bytes: &[u8], name: &str) -> Result<(Profile, Format)> {
    detect::read(bytes).map_err(|e| {
        let text = e.to_string();
        // The text ends with what to do, after a semicolon or colon.
        match text.rsplit_once("; ") {
            Some((what, next)) => Error::failed(format!("{name}: {what}"), next),
            None => Error::failed(
                format!("{name}: {text}"),
                "known are pprof, jemalloc heap dumps and folded stacks",
            ),
        }
    })
}

/// Fetches a profile of a live target, or whatever its URL names, and decodes it.
///
/// # Errors
/// As [`FetchError::explain`] and [`decode`] say.
pub fn fetch_profile(
    client: &Client,
    endpoint: &Endpoint,
    collect: &Collect,
    symbolize: bool,
    ages: bool,
) -> Result<(Profile, Format, Vec<u8>)> {
    let path = profile_path(endpoint, collect, symbolize, ages);
    let answer = fetch(client, endpoint, &path)
        .map_err(|e| e.explain(endpoint, &path, client.has_credentials(endpoint)))?;
    let (profile, format) = decode(&answer.body, &endpoint.url(&path))?;
    Ok((profile, format, answer.body))
}

/// One request, waiting as long as its `seconds` parameter says.
///
/// # Errors
/// Anything but a complete answer with status 200.
pub fn fetch(client: &Client, endpoint: &Endpoint, path: &str) -> std::result::Result<Answer, FetchError> {
    let seconds = query(path).find_map(|(k, v)| (k == "seconds").then(|| v.parse::<f64>().ok())?);
    let wait =
        seconds.filter(|s| (0.0..86_400.0).contains(s)).map_or(Duration::ZERO, Duration::from_secs_f64);
    client.get(endpoint, path, wait)
}

/// The path and query to fetch. A path of the user's is kept as it is, but for parameters it does not name.
pub fn profile_path(endpoint: &Endpoint, collect: &Collect, symbolize: bool, ages: bool) -> String {
    let mut path = endpoint.path().map_or_else(|| collect.path(), str::to_owned);
    // A foreign path gets no parameters but the one that makes a second request worth while.
    let ours = endpoint.path().is_none();
    let mut add = |key: &str, value: &str| {
        if query(&path).all(|(k, _)| k != key) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(key);
            path.push('=');
            path.push_str(value);
        }
    };
    if ours || symbolize {
        add("symbolize", if symbolize { "true" } else { "false" });
    }
    if ours && ages && *collect == Collect::Heap {
        add("ages", "1");
    }
    path
}

fn query(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = path.split_once('?').map_or("", |(_, q)| q);
    query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
}

/// At most `limit` of the captures: the first, the last, and evenly between them.
pub fn spread(captures: &[Capture], limit: usize) -> Vec<Capture> {
    if captures.len() <= limit || limit < 2 {
        return captures.to_vec();
    }
    let last = captures.len() - 1;
    (0..limit).filter_map(|i| captures.get((i * last + (limit - 1) / 2) / (limit - 1)).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        match Target::parse(text).unwrap() {
            Target::Live(e) => e,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn paths_to_fetch() {
        let ours = endpoint("h:1");
        assert_eq!(
            profile_path(&ours, &Collect::Heap, false, true),
            "/debug/pprof/heap?symbolize=false&ages=1"
        );
        let theirs = endpoint("http://h:1/x/heap?seconds=5");
        assert_eq!(profile_path(&theirs, &Collect::Heap, false, true), "/x/heap?seconds=5");
        assert_eq!(profile_path(&theirs, &Collect::Heap, true, false), "/x/heap?seconds=5&symbolize=true");
        let said = endpoint("http://h:1/x?symbolize=false");
        assert_eq!(profile_path(&said, &Collect::Heap, true, false), "/x?symbolize=false");
    }

    #[test]
    fn what_is_no_profile_is_named() {
        let html = decode(b"\n <!DOCTYPE html><p>login", "u").unwrap_err().line();
        assert!(html.starts_with("u: this is an HTML") && html.contains("; "), "{html}");
        assert!(decode(b"", "u").unwrap_err().line().contains("is empty"));
    }

    #[test]
    fn a_spread_keeps_both_ends() {
        let captures: Vec<Capture> = (0..100)
            .map(|i| Capture {
                path: "x".into(),
                kind: "heap".into(),
                taken_unix_ns: i,
                process: None,
                rule: None,
                size_bytes: 0,
            })
            .collect();
        let some: Vec<i64> = spread(&captures, 5).iter().map(|c| c.taken_unix_ns).collect();
        assert_eq!(some, [0, 25, 50, 74, 99]);
        assert_eq!(spread(&captures[..3], 5).len(), 3);
    }

    #[test]
    fn parallel_work_keeps_its_order_and_its_first_error() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(in_parallel(&items, |i| Ok(i * 2)).unwrap()[99], 198);
        let e = in_parallel(&items, |i| if *i > 6 { Err(Error::failed(i, "")) } else { Ok(()) }).unwrap_err();
        assert!(e.line().starts_with("7;"), "{e}");
    }
}
