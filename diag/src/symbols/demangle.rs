//! Linkage names to names for people: Rust (v0 and legacy, without the hash) and C++ (Itanium).

use std::fmt::{self, Write};

/// Longest name made; a crafted C++ symbol can expand without end.
const MAX_NAME_BYTES: usize = 32 << 10;

/// The demangled name; `None` when `linkage` is a plain name or not understood.
pub(crate) fn demangle(linkage: &str) -> Option<String> {
    if linkage.len() > MAX_NAME_BYTES {
        return None;
    }
    let mut out = Bounded(String::new());
    if let Ok(name) = rustc_demangle::try_demangle(linkage) {
        // `#` leaves out the hashes of crates and of legacy names.
        return write!(out, "{name:#}").is_ok().then_some(out.0);
    }
    // ThinLTO and GCC's function cloning append suffixes, which are no part of the mangling.
    let plain = linkage.split_once(".llvm.").map_or(linkage, |(name, _)| name);
    if !plain.starts_with("_Z") && !plain.starts_with("__Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(plain).ok()?;
    let options = cpp_demangle::DemangleOptions::default();
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(out.0)
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.0.len() + s.len() > MAX_NAME_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_names_lose_their_hashes_only() {
        let legacy = "_ZN75_$LT$shop..Cart$u20$as$u20$core..iter..traits..collect..Extend$LT$T$GT$$GT$6extend17h0123456789abcdefE";
        assert_eq!(
            demangle(legacy).as_deref(),
            Some("<shop::Cart as core::iter::traits::collect::Extend<T>>::extend")
        );
        assert_eq!(demangle("_RNvNtCs1234_7mycrate3foo3bar").as_deref(), Some("mycrate::foo::bar"));
        assert_eq!(
            demangle("_RNvXs_NtCslNYArtu3iFV_5alloc5allocNtB4_6GlobalNtNtCsgEmfK2I1SDS_4core5alloc9Allocator8allocate").as_deref(),
            Some("<alloc::alloc::Global as core::alloc::Allocator>::allocate")
        );
    }

    #[test]
    fn cxx_names() {
        assert_eq!(
            demangle("_ZNSt6vectorIiSaIiEE9push_backERKi").as_deref(),
            Some("std::vector<int, std::allocator<int> >::push_back(int const&)")
        );
        assert_eq!(demangle("_ZN3foo3barEv.llvm.123").as_deref(), Some("foo::bar()"));
    }

    #[test]
    fn plain_names_stay() {
        for name in ["main", "malloc", "", "_start", "_Z", "_R", "__libc_start_main@GLIBC_2.34"] {
            assert_eq!(demangle(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_expands_without_end_is_refused() {
        // Each substitution doubles what the one before it printed.
        let mut name = String::from("_Z1fI1aE");
        for _ in 0..30 {
            name.push_str("S_S_");
        }
        assert!(demangle(&name).is_none_or(|n| n.len() <= MAX_NAME_BYTES));
        assert_eq!(demangle(&"_ZN1aE".repeat(10_000)), None);
    }
}
