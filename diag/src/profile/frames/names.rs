//! Classification of demangled names.

use super::FrameClass;

/// The class of a demangled name.
pub fn classify(name: &str) -> FrameClass {
    let head = Head::of(name);
    if head.is_allocator(name) {
        FrameClass::Allocator
    } else if head.is_runtime(name) {
        FrameClass::Runtime
    } else {
        FrameClass::User
    }
}

/// Whether the frame is the allocator's own: to be removed from the leaf of a stack, and only there.
pub fn is_allocator(name: &str) -> bool {
    Head::of(name).is_allocator(name)
}

/// Whether the frame is a watched lock's own: to be removed from the leaf of a stack of contention, and only there.
pub fn is_lock(name: &str) -> bool {
    let head = Head::of(name);
    let starts = |prefixes: &[&str]| prefixes.iter().any(|p| head.rest.starts_with(p));
    match head.krate {
        "parking_lot" | "lock_api" => true,
        "diag" => starts(&["sync::", "sys::"]),
        // What stands between the user's code and the release by a guard's drop.
        "core" if starts(&["ptr::drop_"]) => {
            ["diag::sync::", "lock_api::"].iter().any(|lock| name.contains(lock))
        }
        "core" => starts(&["mem::drop"]),
        _ => false,
    }
}

/// Whether the frame is not the user's own code: runtime, framework, this crate, or the allocator.
pub fn is_runtime(name: &str) -> bool {
    classify(name) != FrameClass::User
}

/// The crate of a Rust name (`<my::T as Trait>::f` gives `my`, `<alloc::vec::Vec<my::T> as Trait>::f` gives
/// `alloc`), the outermost namespace of a C++ name, or the package of a Go name.
pub fn module_of_name(name: &str) -> Option<&str> {
    let head = Head::of(name);
    if !head.krate.is_empty() {
        return Some(head.krate);
    }
    go_package(name)
}

/// The first path of a name: of the self type in `<Self as Trait>::f`, or of the trait where `Self` is a bare
/// parameter or a primitive.
struct Head<'a> {
    /// First segment without disambiguator, or empty when the name is not a path.
    krate: &'a str,
    /// What follows `krate::`.
    rest: &'a str,
    /// `Trait` in `<Self as Trait>::f`.
    of_trait: &'a str,
}

impl<'a> Head<'a> {
    fn of(name: &'a str) -> Self {
        let Some(inner) = name.strip_prefix('<') else {
            let (krate, rest) = split_path(name);
            return Self { krate, rest, of_trait: "" };
        };
        let (own, of_trait) = split_qualified(inner);
        if of_trait.is_empty() && is_primitive(own) {
            // `<str>::repeat`, `<[my::T]>::to_vec`: nobody else can write such a method.
            return Self { krate: "core", rest: own, of_trait };
        }
        let (krate, rest) = split_path(strip_reference(own));
        if krate.is_empty() {
            let (krate, rest) = split_path(of_trait);
            return Self { krate, rest, of_trait };
        }
        Self { krate, rest, of_trait }
    }

    fn is_allocator(&self, name: &str) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|p| self.rest.starts_with(p));
        match self.krate {
            "" => is_c_allocator(name),
            "alloc" => starts(&["alloc::", "raw_vec::"]),
            "std" => starts(&["alloc::", "sys::alloc::", "allocator<", "allocator_traits<"]),
            "hashbrown" => starts(&["alloc::", "raw::alloc::"]),
            "__gnu_cxx" => starts(&["new_allocator<"]),
            "__rustc" => starts(&["__rust_", "__rg_", "__rdl_"]),
            "allocator_api2" | "tikv_jemallocator" | "jemallocator" | "mimalloc" | "snmalloc_rs" => true,
            "diag" => {
                starts(&["sys::", "heap::", "allocator::", "Allocator"]) || self.trait_is("GlobalAlloc")
            }
            _ => self.trait_is("GlobalAlloc") || (self.trait_is("Allocator") && names_allocation(name)),
        }
    }

    /// Whether the trait is `core::alloc::..::{last}`.
    fn trait_is(&self, last: &str) -> bool {
        let (krate, rest) = split_path(self.of_trait);
        matches!(krate, "core" | "std" | "alloc")
            && rest.starts_with("alloc::")
            && rest.rsplit("::").next() == Some(last)
    }

    fn is_runtime(&self, name: &str) -> bool {
        if self.krate.is_empty() {
            return is_c_runtime(name) || is_go_runtime(name);
        }
        is_runtime_crate(self.krate)
    }
}

/// Whether a self type is one of the language's own: a slice, a pointer, `str`, a number.
fn is_primitive(ty: &str) -> bool {
    ty.starts_with(['[', '*'])
        || matches!(
            ty,
            "str"
                | "bool"
                | "char"
                | "f16"
                | "f32"
                | "f64"
                | "f128"
                | "i8"
                | "i16"
                | "i32"
                | "i64"
                | "i128"
                | "isize"
                | "u8"
                | "u16"
                | "u32"
                | "u64"
                | "u128"
                | "usize"
        )
}

fn names_allocation(name: &str) -> bool {
    matches!(
        name.rsplit("::").next(),
        Some("allocate" | "allocate_zeroed" | "grow" | "grow_zeroed" | "shrink" | "deallocate")
    )
}

fn is_runtime_crate(krate: &str) -> bool {
    const FAMILIES: [&str; 9] =
        ["tokio_", "futures_", "hyper_", "axum_", "tower_", "crossbeam_", "actix_", "async_std_", "rayon_"];
    matches!(
        krate,
        "std"
            | "core"
            | "alloc"
            | "test"
            | "proc_macro"
            | "panic_unwind"
            | "std_detect"
            | "compiler_builtins"
            | "__rustc"
            | "__gnu_cxx"
            | "hashbrown"
            | "diag"
            | "diag_server"
            | "tokio"
            | "mio"
            | "futures"
            | "hyper"
            | "h2"
            | "http"
            | "http_body"
            | "http_body_util"
            | "httparse"
            | "axum"
            | "matchit"
            | "tower"
            | "tracing"
            | "tracing_core"
            | "tracing_futures"
            | "tonic"
            | "warp"
            | "async_std"
            | "async_executor"
            | "async_io"
            | "async_task"
            | "smol"
            | "rayon"
            | "crossbeam"
            | "parking_lot"
            | "parking_lot_core"
            | "lock_api"
            | "once_cell"
            | "pin_project"
            | "pin_project_lite"
            | "bytes"
            | "slab"
            | "smallvec"
            | "indexmap"
            | "scopeguard"
            | "serde"
            | "serde_core"
    ) || FAMILIES.iter().any(|f| krate.starts_with(f))
}

/// C symbols of jemalloc, glibc, the Rust shims and C++ `operator new`, and Go's allocation entry points.
fn is_c_allocator(name: &str) -> bool {
    // jemalloc's functions with file scope carry no prefix of their own, so each is named.
    const PREFIXES: &[&str] = &[
        "_rjem_",
        "je_",
        "__rust_alloc",
        "__rust_realloc",
        "__rust_no_alloc",
        "__rg_",
        "__rdl_",
        "imalloc",
        "iallocztm",
        "ipalloc",
        "iralloc",
        "do_rallocx",
        "do_realloc_nonnull",
        "fallback_alloc",
        "tcache_alloc",
        "arena_malloc",
        "arena_palloc",
        "arena_ralloc",
        "arena_slab_",
        "arena_tcache_",
        "large_malloc",
        "large_palloc",
        "large_ralloc",
        "prof_alloc_prep",
        "prof_backtrace",
        "prof_lookup",
        "prof_malloc",
        "prof_realloc",
        "prof_recent_",
        "prof_sample",
        "prof_tctx",
        "prof_unwind",
        "mi_malloc",
        "mi_calloc",
        "mi_realloc",
        "mi_zalloc",
        "_mi_malloc",
        "_mi_heap_",
        "mi_heap_malloc",
        "tc_malloc",
        "tc_new",
        "operator new",
        "_Znwm",
        "_Znam",
        "runtime.mallocgc",
        "runtime.newobject",
        "runtime.newarray",
        "runtime.makeslice",
        "runtime.growslice",
        "runtime.profilealloc",
        "runtime.persistentalloc",
        "runtime.rawbyteslice",
        "runtime.rawstring",
        "runtime.rawruneslice",
        "runtime.(*mcache).",
        "runtime.(*mcentral).",
        "runtime.(*mheap).",
    ];
    let base = name.split_once('.').map_or(name, |(base, _)| base);
    let base = base.split_once('@').map_or(base, |(base, _)| base);
    matches!(
        base,
        "malloc"
            | "calloc"
            | "realloc"
            | "reallocarray"
            | "free"
            | "cfree"
            | "memalign"
            | "valloc"
            | "pvalloc"
            | "posix_memalign"
            | "aligned_alloc"
            | "mallocx"
            | "rallocx"
            | "xallocx"
            | "__libc_malloc"
            | "__libc_calloc"
            | "__libc_realloc"
            | "__libc_memalign"
            | "__GI___libc_malloc"
            | "__GI___libc_realloc"
            | "__posix_memalign"
            | "_mid_memalign"
            | "_int_malloc"
            | "_int_realloc"
            | "_int_memalign"
            | "sysmalloc"
            | "malloc_default"
            | "malloc_consolidate"
    ) || PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Start of processes and threads. C's `main` counts too: in a Rust program it is a shim.
fn is_c_runtime(name: &str) -> bool {
    let base = name.split_once('@').map_or(name, |(base, _)| base);
    matches!(
        base,
        "main"
            | "_start"
            | "__libc_start_main"
            | "__libc_start_main_impl"
            | "__libc_start_call_main"
            | "start_thread"
            | "clone"
            | "clone3"
            | "__clone"
            | "__clone3"
            | "__GI___clone3"
            | "thread_start"
            | "_pthread_start"
            | "rust_eh_personality"
            | "__rust_try"
            | "__rust_maybe_catch_panic"
            | "__rust_begin_short_backtrace"
            | "__rust_end_short_backtrace"
    ) || base.starts_with("_Unwind_")
}

fn is_go_runtime(name: &str) -> bool {
    matches!(go_package(name), Some(p) if p == "runtime" || p.starts_with("runtime/") || p.starts_with("internal/"))
}

/// `net/http` of `net/http.(*Server).Serve`.
fn go_package(name: &str) -> Option<&str> {
    let from = name.rfind('/').map_or(0, |i| i + 1);
    // A generic's type arguments may hold slashes: look no further than the first bracket.
    let end = name.find(['[', '(']).unwrap_or(name.len());
    let from = if from > end { name.get(..end)?.rfind('/').map_or(0, |i| i + 1) } else { from };
    let dot = name.get(from..)?.find('.')? + from;
    let symbol = name.get(dot + 1..)?;
    // Suffixes that compilers put behind C symbols.
    let is_suffix = ["llvm.", "cold", "part.", "constprop.", "isra.", "lto_priv."];
    (dot > 0 && !is_suffix.iter().any(|s| symbol.starts_with(s))).then(|| name.get(..dot)).flatten()
}

/// `&mut [T]` gives `T]`: only the first path matters.
fn strip_reference(mut ty: &str) -> &str {
    loop {
        let before = ty;
        ty = ty.trim_start_matches(['&', '[', '(', ' ']);
        for word in ["mut ", "*const ", "*mut ", "dyn ", "const "] {
            ty = ty.strip_prefix(word).unwrap_or(ty);
        }
        if let Some(lifetime) = ty.strip_prefix('\'') {
            ty = lifetime.split_once(' ').map_or("", |(_, rest)| rest);
        }
        // `<<my::T as Trait>::Item as Other>::f`: the crate of the inner self type.
        ty = ty.strip_prefix('<').unwrap_or(ty);
        if ty.len() == before.len() {
            return ty;
        }
    }
}

/// The first segment of a path, without disambiguator, and what follows it; empty when there is only one segment.
fn split_path(path: &str) -> (&str, &str) {
    let Some((first, rest)) = path.split_once("::") else { return ("", "") };
    // A bracket before the first `::`: `std[8ae2c2e7]::rt`, but not `foo(std::vector)` or `f<a::b>`.
    let first = match first.split_once('[') {
        Some((krate, hash)) if hash.ends_with(']') && !krate.is_empty() => krate,
        _ => first,
    };
    // Arguments, not a path.
    if first.contains('(') {
        return ("", "");
    }
    // C++ writes the return type of a template function in front of it.
    let first = first.rsplit(' ').next().unwrap_or(first);
    let is_name =
        !first.is_empty() && first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b >= 128);
    if is_name { (first, rest) } else { ("", "") }
}

/// Splits `Self as Trait>::f` (behind the first `<`) at the outermost ` as `; the trait is empty when there is none.
fn split_qualified(inner: &str) -> (&str, &str) {
    let bytes = inner.as_bytes();
    let (mut depth, mut own_end) = (0usize, None);
    for (i, &b) in bytes.iter().enumerate() {
        match b {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if i > 0 && bytes.get(i - 1) == Some(&b'-') => {}
            b'>' if depth == 0 => {
                let end = own_end.unwrap_or(i);
                let own = inner.get(..end).unwrap_or(inner);
                let of_trait = own_end.and_then(|end| inner.get(end + 4..i)).unwrap_or("");
                return (own, of_trait);
            }
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' if depth == 0
                && own_end.is_none()
                && inner.get(i..).is_some_and(|s| s.starts_with(" as ")) =>
            {
                own_end = Some(i);
            }
            _ => {}
        }
    }
    (inner, "")
}
