//! Whose code a frame is, from its demangled name and source file.

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Origin {
    /// Of the workspace that was profiled, as far as names and files tell.
    Own,
    /// Of a crate from a registry or a Git checkout.
    Dependency,
    /// `std`, `core`, `alloc`.
    Standard,
    /// C and assembler: the C library, the loader, foreign code.
    Native,
    /// An address without a name.
    Unknown,
}

/// Crates that are taken for dependencies when the file is not known: those at the bottom of most services.
const KNOWN_DEPENDENCIES: &[&str] = &[
    "axum",
    "axum_core",
    "bytes",
    "crossbeam_channel",
    "crossbeam_utils",
    "futures",
    "futures_core",
    "futures_executor",
    "futures_util",
    "h2",
    "hashbrown",
    "hyper",
    "hyper_util",
    "indexmap",
    "mio",
    "parking_lot",
    "parking_lot_core",
    "rayon",
    "rayon_core",
    "serde",
    "serde_core",
    "serde_json",
    "smallvec",
    "tokio",
    "tokio_util",
    "tonic",
    "tower",
    "tower_http",
    "tracing",
    "tracing_core",
    "tracing_subscriber",
];

/// Crates whose frames are the machinery that runs other code.
const RUNTIMES: &[&str] = &["tokio", "futures_executor", "rayon_core", "tokio_util"];

/// Classifies a function. `file` may be empty.
pub(crate) fn of(name: &str, file: &str) -> Origin {
    let krate = crate_of(name);
    if matches!(krate, Some("std" | "core" | "alloc" | "test" | "proc_macro")) {
        return Origin::Standard;
    }
    if file.contains("/rustc/") || file.contains("/lib/rustlib/src/") || file.starts_with("library/") {
        return Origin::Standard;
    }
    if file.contains("/.cargo/registry/") || file.contains("/.cargo/git/") || file.contains("/vendor/") {
        return Origin::Dependency;
    }
    if [".c", ".cc", ".cpp", ".h", ".s", ".S", ".asm"].iter().any(|end| file.ends_with(end)) {
        return Origin::Native;
    }
    match krate {
        None => Origin::Native,
        Some(k) if KNOWN_DEPENDENCIES.contains(&k) => Origin::Dependency,
        Some(_) => Origin::Own,
    }
}

/// Whether `hide_runtime` leaves the frame out.
pub(crate) fn is_runtime(name: &str, origin: Origin) -> bool {
    origin == Origin::Standard || crate_of(name).is_some_and(|k| RUNTIMES.contains(&k))
}

/// The crate a demangled Rust name begins with; of `<T as Trait>::f` that of `T`. `None` for names without a path.
pub(crate) fn crate_of(name: &str) -> Option<&str> {
    let mut rest = name;
    loop {
        let before = rest;
        rest = rest.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
        for word in ["mut ", "const ", "dyn ", "impl "] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if rest == before {
            break;
        }
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end)?;
    // Version 0 symbols may carry the crate's hash: `my_crate[1a2b]::f`.
    let path = after.strip_prefix('[').and_then(|a| a.split_once(']')).map_or(after, |(_, b)| b);
    (!word.is_empty() && path.starts_with("::")).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_found_behind_brackets() {
        for (name, krate) in [
            ("my_app::cache::insert", Some("my_app")),
            ("<alloc::vec::Vec<T> as core::ops::Drop>::drop", Some("alloc")),
            ("<&mut dyn my_app::Trait as other::Thing>::go", Some("my_app")),
            ("my_app[8f2d]::main", Some("my_app")),
            ("main", None),
            ("__libc_start_main", None),
            ("", None),
        ] {
            assert_eq!(crate_of(name), krate, "{name}");
        }
    }

    #[test]
    fn files_decide_before_names() {
        assert_eq!(of("my_app::f", "/home/u/my_app/src/lib.rs"), Origin::Own);
        assert_eq!(of("dashmap::f", "/root/.cargo/registry/src/x/dashmap-6/src/lib.rs"), Origin::Dependency);
        assert_eq!(of("alloc::vec::Vec<T>::push", ""), Origin::Standard);
        assert_eq!(of("tokio::runtime::f", ""), Origin::Dependency);
        assert_eq!(of("malloc", ""), Origin::Native);
    }
}
