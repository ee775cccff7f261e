//! A program that has jemalloc settings of its own keeps them, and links.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

#[repr(transparent)]
struct Conf(#[allow(dead_code)] &'static std::ffi::c_char);
// SAFETY: points at constant bytes.
unsafe impl Sync for Conf {}

// SAFETY: the name is jemalloc's for this very purpose, and the type is the `const char *` it reads.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static CONF: Conf = {
    const BYTES: &std::ffi::CStr = c"prof:true,prof_active:false,lg_prof_sample:16";
    // SAFETY: a constant lives for ever.
    Conf(unsafe { &*BYTES.as_ptr() })
};

#[test]
fn the_programs_own_settings_win() {
    let diag = diag::Diag::builder().start().unwrap();
    assert_eq!(diag.heap().unwrap().stats().sample_period_bytes, 1 << 16);
    assert_eq!(diag.heap().unwrap().stats().source, "hooks");
}
