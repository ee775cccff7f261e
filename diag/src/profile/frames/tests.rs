use super::FrameClass::{Allocator, Runtime, User};
use super::*;
use crate::profile::{Function, LabelSetId, Line, Mapping, ProfileBuilder, StrId, ValueType};

#[test]
fn names_are_classified() {
    let cases = [
        // jemalloc, its Rust shims, other allocators.
        ("_rjem_je_prof_tctx_create", Allocator),
        ("_rjem_malloc", Allocator),
        ("je_malloc_default", Allocator),
        ("imalloc_body", Allocator),
        ("prof_alloc_prep", Allocator),
        ("prof_backtrace_impl", Allocator),
        ("__rust_alloc_zeroed", Allocator),
        ("__rg_alloc", Allocator),
        ("__rdl_realloc", Allocator),
        ("__rustc::__rust_alloc", Allocator),
        ("__rustc[5224e6b81cd82a8f]::__rust_realloc", Allocator),
        ("alloc::alloc::exchange_malloc", Allocator),
        ("alloc[d41d8cd98f00b204]::alloc::alloc", Allocator),
        ("<alloc::alloc::Global as core::alloc::Allocator>::allocate", Allocator),
        ("<alloc::alloc::Global>::alloc_impl", Allocator),
        ("alloc::raw_vec::finish_grow", Allocator),
        ("alloc::raw_vec::RawVec<T,A>::grow_one", Allocator),
        ("<alloc::raw_vec::RawVecInner>::try_allocate_in", Allocator),
        ("<diag::heap::Allocator as core::alloc::global::GlobalAlloc>::alloc", Allocator),
        ("<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc", Allocator),
        ("<my_app::Counting<A> as core::alloc::global::GlobalAlloc>::realloc", Allocator),
        ("<std::alloc::System as core::alloc::global::GlobalAlloc>::alloc", Allocator),
        ("hashbrown::raw::alloc::inner::do_alloc", Allocator),
        ("malloc", Allocator),
        ("__libc_calloc", Allocator),
        ("realloc@plt", Allocator),
        ("_int_malloc", Allocator),
        ("operator new(unsigned long)", Allocator),
        ("operator new[](unsigned long, std::nothrow_t const&)", Allocator),
        ("runtime.mallocgc", Allocator),
        ("runtime.growslice", Allocator),
        // Runtimes.
        ("alloc::vec::Vec<T,A>::push", Runtime),
        ("<alloc::vec::Vec<my::T> as core::iter::traits::collect::FromIterator<my::T>>::from_iter", Runtime),
        (
            "<alloc::boxed::Box<dyn core::ops::function::FnOnce<()>> as core::ops::function::FnOnce<()>>::call_once",
            Runtime,
        ),
        ("core::ptr::drop_in_place<my::T>", Runtime),
        ("<str>::repeat", Runtime),
        ("<[my::T]>::to_vec", Runtime),
        ("<[my::T] as my::Digest>::digest", User),
        ("core::ptr::drop_in_place::<my::T>", Runtime),
        ("core::ops::function::FnOnce::call_once{{vtable.shim}}", Runtime),
        ("<T as core::convert::Into<U>>::into", Runtime),
        ("<T as alloc::slice::<impl [T]>::to_vec_in::ConvertVec>::to_vec", Runtime),
        ("<F as axum::handler::Handler<(M, T1), S>>::call::{{closure}}", Runtime),
        ("<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem", Runtime),
        ("<std::io::BufReader<my::File> as std::io::Read>::read", Runtime),
        ("std[8ae2c2e7e6f5d6c5]::rt::lang_start_internal", Runtime),
        ("hashbrown::raw::RawTable<T,A>::reserve_rehash", Runtime),
        ("tokio::runtime::task::core::Core<T,S>::poll::{{closure}}", Runtime),
        ("<futures_util::future::Map<my::Fut, F> as core::future::future::Future>::poll", Runtime),
        ("hyper_util::server::conn::auto::serve", Runtime),
        ("<tower_http::trace::Trace<S> as tower_service::Service<R>>::call", Runtime),
        ("diag::capture::run", Runtime),
        ("__libc_start_call_main", Runtime),
        ("start_thread", Runtime),
        ("main", Runtime),
        ("runtime.goexit", Runtime),
        ("std::vector<int, std::allocator<int> >::push_back(int&&)", Runtime),
        // The user's own code.
        ("my_app::orders::handle", User),
        ("my_app::main", User),
        ("my_app::orders::handle::{{closure}}", User),
        ("<my_app::Cache>::insert", User),
        ("<my_app::T as core::clone::Clone>::clone", User),
        ("<my_app::main::{closure#0} as core::ops::function::FnOnce<()>>::call_once", User),
        ("my_app::models::<impl serde::de::Deserialize for my_app::Order>::deserialize", User),
        ("<&mut my_app::Lines as core::iter::traits::iterator::Iterator>::next", User),
        ("<(my_app::A, u32) as my_app::Tr>::f", User),
        ("<<my_app::T as my_app::Tr>::Out as core::clone::Clone>::clone", User),
        ("<T as my_app::Tr>::f", User),
        ("<fn(u32) -> my_app::T as core::ops::function::Fn<()>>::call", Runtime),
        ("allocator::f", User),
        ("tokiox::f", User),
        ("stdx::f", User),
        ("prof_reading", User),
        ("je", User),
        ("arena_of_mine", User),
        ("mallocate", User),
        ("main.main", User),
        ("net/http.(*Server).Serve", User),
        ("void acme::grow<int>(int)", User),
        ("sqlite3_step", User),
        ("", User),
        ("<", User),
        ("<<<", User),
        ("::", User),
    ];
    for (name, class) in cases {
        assert_eq!(classify(name), class, "{name}");
        assert_eq!(is_allocator(name), class == Allocator, "{name}");
        assert_eq!(is_runtime(name), class != User, "{name}");
    }
}

#[test]
fn modules_of_names() {
    let cases = [
        ("<my::T as Trait>::f", Some("my")),
        ("<alloc::vec::Vec<my::T> as core::fmt::Debug>::fmt", Some("alloc")),
        ("my::a::b", Some("my")),
        ("my[0123456789abcdef]::a::b", Some("my")),
        ("<my::T>::f", Some("my")),
        ("<dyn my::Tr as my::Tr>::f", Some("my")),
        ("<&'a my::T as core::fmt::Debug>::fmt", Some("my")),
        ("<T as core::any::Any>::type_id", Some("core")),
        ("void acme::grow<int>(int)", Some("acme")),
        ("net/http.(*Server).Serve", Some("net/http")),
        ("github.com/a/b.v2/c.F[go.shape.int]", Some("github.com/a/b.v2/c")),
        ("main.main", Some("main")),
        ("malloc", None),
        ("foo.cold", None),
        ("foo.llvm.123", None),
        ("", None),
    ];
    for (name, module) in cases {
        assert_eq!(module_of_name(name), module, "{name}");
    }
}

/// A profile with one stack: each location a list of names, innermost first; an empty list has no symbols.
fn one_stack(leaf_first: &[&[&str]]) -> (Profile, StackId) {
    let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", "bytes")]);
    let file = b.str("/srv/bin/orders");
    let mapping = b.mapping(Mapping {
        start: 0x5000,
        limit: 0x9000,
        file_offset: 0x1000,
        file,
        build_id: StrId::EMPTY,
        symbols: Default::default(),
    });
    let mut locations = Vec::new();
    for (i, names) in leaf_first.iter().enumerate() {
        let mut lines = Vec::new();
        for name in *names {
            let name = b.str(name);
            let file = b.str("src/x.rs");
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
            lines.push(Line { function, line: 7 });
        }
        locations.push(b.location(Some(mapping), 0x5100 + i as u64, &lines));
    }
    let stack = b.stack(&locations);
    b.sample(stack, LabelSetId::EMPTY, &[1]);
    (b.finish().unwrap(), stack)
}

#[test]
fn the_site_is_the_first_frame_of_the_users_code() {
    let cases: [(&[&[&str]], &str); 7] = [
        (
            &[
                &["_rjem_malloc"],
                &["alloc::raw_vec::finish_grow", "alloc::vec::Vec<T>::push", "my::f"],
                &["my::g"],
            ],
            "my::f",
        ),
        (&[&["malloc"], &["std::thread::spawn"], &["start_thread"]], "std::thread::spawn"),
        (&[&["malloc"], &[], &["start_thread"]], "orders+0x1101"),
        (&[&["malloc"], &[], &["my::g"]], "my::g"),
        (&[&["malloc"]], "malloc"),
        (&[&[]], "orders+0x1100"),
        (&[], ""),
    ];
    for (stack, expected) in cases {
        let (profile, id) = one_stack(stack);
        assert_eq!(site(&profile, id), expected, "{stack:?}");
    }
}

#[test]
fn only_the_leaf_end_loses_allocator_frames() {
    let (profile, stack) =
        one_stack(&[&["_rjem_malloc"], &["alloc::alloc::alloc", "my::f"], &["malloc"], &["my::g"]]);
    let classes = FrameClasses::new(&profile);
    let shown = classes.shown(&profile, stack);
    let names: Vec<&str> = shown.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(names, ["my::f", "malloc", "my::g"]);
    assert_eq!((shown[0].file.as_str(), shown[0].line, shown[0].inlined), ("src/x.rs", 7, false));

    let (profile, stack) = one_stack(&[&["malloc"], &["_rjem_malloc"]]);
    let classes = FrameClasses::new(&profile);
    assert_eq!(classes.shown(&profile, stack).len(), 2, "a stack of nothing else stays as it is");
}

#[test]
fn methods_of_primitives_are_the_standard_librarys() {
    for name in ["<str>::repeat", "<[u8]>::to_vec", "<*mut my::T>::read", "<u64>::pow", "<usize>::isqrt"] {
        assert_eq!(classify(name), FrameClass::Runtime, "{name}");
    }
    for name in ["<[u8] as my::Trait>::f", "<my::T>::f", "<ux::T>::f", "my::str::f"] {
        assert_eq!(classify(name), FrameClass::User, "{name}");
    }
}

#[test]
fn files_tell_dependencies_from_own_code() {
    use super::classify_in;
    for (name, file, class) in [
        ("my_app::f", "src/lib.rs", FrameClass::User),
        ("serde_json::f", "/root/.cargo/registry/src/x/serde_json-1/src/lib.rs", FrameClass::Dependency),
        ("x::f", "/rustc/5980/library/alloc/src/str.rs", FrameClass::Runtime),
        ("tokio::f", "/root/.cargo/registry/src/x/tokio-1/src/lib.rs", FrameClass::Runtime),
    ] {
        assert_eq!(classify_in(name, file), class, "{name} {file}");
    }
    let stack =
        [(0, Some(FrameClass::Runtime)), (1, Some(FrameClass::Dependency)), (2, Some(FrameClass::User))];
    assert_eq!(super::pick_site(stack.into_iter()), Some(2));
    assert_eq!(super::pick_site(stack.into_iter().take(2)), Some(1));
    assert_eq!(super::pick_site(stack.into_iter().take(1)), Some(0));
}

#[test]
fn frames_of_watched_locks() {
    for name in [
        "diag::sync::record::release",
        "<diag::sync::mutex::Mutex<u64>>::lock",
        "<diag::sync::waits::Waits as diag::sys::watch::Watch>::waiting::<(), f::{closure#0}>",
        "<diag::sys::held::Held<std::sync::MutexGuard<shop::Cart>, W> as core::ops::drop::Drop>::drop",
        "diag::sync::tokio::mutex::Mutex<T>::lock::{{closure}}",
        "core::ptr::drop_in_place<diag::sync::mutex::MutexGuard<shop::Cart>>",
        "core::mem::drop::<diag::sync::mutex::MutexGuard<u8>>",
        "<lock_api::mutex::Mutex<R, T>>::lock",
    ] {
        assert!(is_lock(name), "{name}");
    }
    for name in [
        "shop::sync::refill",
        "core::ptr::drop_in_place<shop::Cart>",
        "std::sync::poison::mutex::Mutex<T>::lock",
        "tokio::sync::mutex::Mutex<T>::lock",
        "diag::heap::snapshot",
    ] {
        assert!(!is_lock(name), "{name}");
    }
}
