//! How long jemalloc keeps unused pages: the default for new arenas and each arena's own.

#[cfg(target_os = "linux")]
use tikv_jemalloc_ctl::raw;

const MOST_ARENAS: usize = 4094;

/// The decay times before they were lowered, in milliseconds, -1 for never.
#[derive(Debug)]
pub(crate) struct Lowered {
    /// Name of a control with its NUL, and what it was.
    before: Vec<(String, isize)>,
}

/// Sets all decay times to zero: pages go back when they become unused. Times that are zero already stay out of it.
pub(crate) fn lower() -> Lowered {
    let mut before = Vec::new();
    for name in controls() {
        if let Some(was) = read(&name).filter(|ms| *ms != 0)
            && write(&name, 0)
        {
            before.push((name, was));
        }
    }
    Lowered { before }
}

impl Lowered {
    /// Brings them back, except those that somebody else has set since. Arenas made in between take the default.
    pub(crate) fn restore(self) {
        let known: Vec<String> = self.before.iter().map(|(name, _)| name.clone()).collect();
        let default = |kind: &str| {
            let ends = format!("arenas.{kind}\0");
            self.before.iter().find(|(name, _)| *name == ends).map(|(_, ms)| *ms)
        };
        let new = controls().filter(|name| !known.contains(name)).filter_map(|name| {
            let kind = if name.contains("dirty") { "dirty_decay_ms" } else { "muzzy_decay_ms" };
            Some((name, default(kind)?))
        });
        for (name, ms) in self.before.iter().cloned().chain(new) {
            if read(&name) == Some(0) {
                write(&name, ms);
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn controls() -> impl Iterator<Item = String> {
    // SAFETY: the control is an unsigned.
    let arenas: u32 = unsafe { raw::read(b"arenas.narenas\0") }.unwrap_or(0);
    let of = |kind: &'static str| {
        std::iter::once(format!("arenas.{kind}\0")).chain(
            (0..(arenas as usize).min(MOST_ARENAS)).map(move |arena| format!("arena.{arena}.{kind}\0")),
        )
    };
    of("dirty_decay_ms").chain(of("muzzy_decay_ms"))
}

/// `None` also for an arena that was never used.
#[cfg(target_os = "linux")]
fn read(name: &str) -> Option<isize> {
    // SAFETY: the controls named above are ssize_t; the name ends with NUL.
    unsafe { raw::read(name.as_bytes()) }.ok()
}

#[cfg(target_os = "linux")]
fn write(name: &str, ms: isize) -> bool {
    // SAFETY: as above.
    unsafe { raw::write(name.as_bytes(), ms) }.is_ok()
}

// Elsewhere there is no jemalloc of ours, hence nothing to set.

#[cfg(not(target_os = "linux"))]
fn controls() -> impl Iterator<Item = String> {
    std::iter::empty()
}

#[cfg(not(target_os = "linux"))]
fn read(_name: &str) -> Option<isize> {
    None
}

#[cfg(not(target_os = "linux"))]
fn write(_name: &str, _ms: isize) -> bool {
    false
}
