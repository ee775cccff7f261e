//! What a program file tells without being run: whether it can profile, and whether it has names.
//!
//! Told by texts in the file: jemalloc's messages, the name of its environment variable, the names of ELF sections. A
//! compressed or encrypted program shows none of them.

use super::finding::Findings;

/// Looks at an ELF file.
pub(super) fn examine(bytes: &[u8], name: &str, findings: &mut Findings) {
    match diag::symbols::build_id_of_file(std::path::Path::new(name)) {
        Ok(id) if id.is_empty() => findings.warning(
            "symbols",
            "it has no build id: names can be attributed to the wrong build",
            "link with -Wl,--build-id (RUSTFLAGS=-Clink-arg=-Wl,--build-id)",
        ),
        Ok(id) => findings.ok("symbols", format!("build id {id}")),
        Err(why) => findings.info("symbols", format!("its build id cannot be read: {why}"), ""),
    }
    let section = |name: &[u8]| contains(bytes, name);
    if section(b".debug_info\0") || section(b".zdebug_info\0") {
        findings.ok("symbols", "it has debug information: functions, lines and inlined functions");
    } else if section(b".symtab\0") {
        findings.info(
            "symbols",
            "it has a symbol table and no debug information: functions, but no lines and no inlined functions",
            "build with `debug = \"line-tables-only\"` in the profile; the debug file may be kept elsewhere (--symbol-path)",
        );
    } else {
        findings.warning(
            "symbols",
            "it is stripped: its profiles have addresses only",
            "keep an unstripped copy and name it with --binary or --symbol-path; build ids match them",
        );
    }
    // In pieces, so that this program does not find itself.
    let text = |pieces: [&str; 2]| contains(bytes, pieces.concat().as_bytes());
    if !text(["<jemal", "loc>: "]) {
        findings.error(
            "allocator",
            "jemalloc is not linked into it: there is nothing to sample with",
            "add `#[global_allocator] static ALLOC: diag::Allocator = diag::Allocator;`",
        );
        return;
    }
    let variable = if text(["_RJEM_MAL", "LOC_CONF"]) { "_RJEM_MALLOC_CONF" } else { "MALLOC_CONF" };
    findings
        .ok("allocator", format!("jemalloc is linked into it and reads the environment variable {variable}"));
    if variable != "MALLOC_CONF" {
        findings.info("allocator", "MALLOC_CONF is ignored by this program", format!("use {variable}"));
    }
    if text(["DIAG_SAMPLE", "_BYTES"]) {
        findings.ok("diag", "diag is linked into it");
    } else {
        findings.info(
            "diag",
            "diag is not linked into it",
            format!("{variable}=prof:true,prof_active:true,prof_final:true writes jemalloc's own dumps, if it was built with profiling"),
        );
    }
}

/// Whether `needle` occurs.
pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|&b| b == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(needle) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn finds_bytes() {
        assert!(contains(b"aab", b"ab") && contains(b"x", b"") && contains(b"ab", b"ab"));
        assert!(!contains(b"aba", b"abc") && !contains(b"", b"a"));
    }
}
