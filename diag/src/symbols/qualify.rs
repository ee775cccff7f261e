//! Module paths for Rust functions whose debug information gives the bare name only.
//!
//! With `debug = "line-tables-only"` rustc writes neither linkage names nor namespaces: an inlined `Vec::push` is just
//! `push<u8, alloc::alloc::Global>`. The file it comes from tells the crate and module, which is what readers and the
//! classification of frames need: `alloc::vec::push<u8, alloc::alloc::Global>`. The type of the `impl` stays unknown.
//! Modules declared in place (`mod x { }`) or by `#[path]` are not seen.

/// The module that a source file defines, `alloc::vec` for `/rustc/<hash>/library/alloc/src/vec/mod.rs`; `None` when
/// nothing can be told. `unit` is the name that rustc gives a unit: `src/main.rs/@/orders.7c5b…-cgu.0`.
pub(super) fn module_path(file: &str, unit: &str, comp_dir: &str) -> Option<String> {
    let stem = file.strip_suffix(".rs")?;
    let (krate, rest) = own_crate(stem, unit, comp_dir).or_else(|| by_directory(stem))?;
    let mut path = krate.replace('-', "_");
    if path.is_empty() || !path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        if last && (*part == "mod" || (at == 0 && (*part == "lib" || *part == "main"))) {
            continue;
        }
        path.push_str("::");
        path.push_str(part);
    }
    Some(path)
}

/// A file below the root file of the crate being compiled.
fn own_crate<'a>(stem: &'a str, unit: &'a str, comp_dir: &str) -> Option<(&'a str, &'a str)> {
    let (root, krate) = unit.split_once("/@/")?;
    // Incremental builds give a hash alone.
    let (krate, _) = krate.split_once('.')?;
    let root = root.strip_suffix(".rs")?;
    let relative = match root.starts_with('/') {
        true => stem,
        false => stem.strip_prefix(comp_dir)?.trim_start_matches('/'),
    };
    let (dir, _) = root.rsplit_once('/').unwrap_or(("", root));
    let rest = if relative == root {
        ""
    } else {
        let rest = relative.strip_prefix(dir)?;
        let rest = if dir.is_empty() { rest } else { rest.strip_prefix('/')? };
        // Another package below the directory of this one.
        if rest.contains("/src/") || (dir.is_empty() && rest.starts_with("src/")) {
            return None;
        }
        rest
    };
    Some((krate, rest))
}

/// `<package>/src/<modules>`, wherever that is: the standard library, the registry, the workspace.
fn by_directory(stem: &str) -> Option<(&str, &str)> {
    let (dir, rest) = stem.rsplit_once("/src/")?;
    let (above, package) = dir.rsplit_once('/').unwrap_or(("", dir));
    if let Some((_, checkout)) = above.rsplit_once("/git/checkouts/")
        && !checkout.contains('/')
    {
        // `name-<hash>/<revision>/src`.
        return Some((checkout.rsplit_once('-')?.0, rest));
    }
    Some((without_version(package), rest))
}

/// `regex-syntax` of `regex-syntax-0.8.11`.
fn without_version(package: &str) -> &str {
    let version = |at: &usize| {
        let tail = package.get(at + 1..).unwrap_or_default();
        tail.starts_with(|c: char| c.is_ascii_digit()) && tail.contains('.')
    };
    let cut = package.match_indices('-').map(|(at, _)| at).find(version);
    cut.and_then(|at| package.get(..at)).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_files() {
        let unit = "src/main.rs/@/orders.7c5b-cgu.0";
        let cases = [
            ("/rustc/59807616e1fa/library/alloc/src/vec/mod.rs", Some("alloc::vec")),
            ("/rustc/59807616e1fa/library/core/src/lib.rs", Some("core")),
            ("/rustc/59807616e1fa/library/alloc/src/alloc.rs", Some("alloc::alloc")),
            (
                "/home/u/.cargo/registry/src/index-1/regex-syntax-0.8.11/src/hir/interval.rs",
                Some("regex_syntax::hir::interval"),
            ),
            ("/home/u/.cargo/registry/src/index-1/foo-1.0.0-rc.1/src/lib.rs", Some("foo")),
            ("/home/u/.cargo/git/checkouts/foo-bar-0a1b2c3d/abc1234/src/x.rs", Some("foo_bar::x")),
            ("/build/src/main.rs", Some("orders")),
            ("/build/src/cart/item.rs", Some("orders::cart::item")),
            ("/other/price-list/src/lib.rs", Some("price_list")),
            ("/build/generated.c", None),
            ("x.rs", None),
        ];
        for (file, expected) in cases {
            assert_eq!(module_path(file, unit, "/build").as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn incremental_builds_fall_back_on_the_directory() {
        let unit = "diag/src/lib.rs/@/8ulgcyxahsd4vzhcgd9qipn6t";
        assert_eq!(module_path("/w/diag/src/heap/mod.rs", unit, "/w").as_deref(), Some("diag::heap"));
    }

    #[test]
    fn roots_outside_src() {
        let tests = "diag/tests/leaks.rs/@/leaks.1-cgu.0";
        assert_eq!(module_path("/w/diag/tests/leaks.rs", tests, "/w").as_deref(), Some("leaks"));
        assert_eq!(module_path("/w/diag/tests/common/mod.rs", tests, "/w").as_deref(), Some("leaks::common"));
        assert_eq!(module_path("/w/flame/src/svg.rs", tests, "/w").as_deref(), Some("flame::svg"));
        let single = "a.rs/@/a.1-cgu.0";
        assert_eq!(module_path("/w/a.rs", single, "/w").as_deref(), Some("a"));
        assert_eq!(module_path("/w/src/lib.rs", single, "/w").as_deref(), Some("w"));
        let absolute = "/w/app/src/bin/tool.rs/@/tool.1-cgu.0";
        assert_eq!(module_path("/w/app/src/bin/tool.rs", absolute, "/x").as_deref(), Some("tool"));
        assert_eq!(module_path("/w/app/src/lib.rs", absolute, "/x").as_deref(), Some("app"));
    }
}
