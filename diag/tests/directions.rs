//! Which module may use which, and where `unsafe` may stand: read from the sources.
//!
//! A violation is named with its file and line. Modules that the table does not know fail too, so that a new one has
//! to choose its place. Unit tests may use anything.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name behind `crate::`, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    // The model, its codecs and operations: nothing else of this crate.
    ("profile", &[]),
    // Verdicts are pure too.
    ("leak", &["profile", "printable"]),
    // The only place with unsafe code.
    ("sys", &[]),
    ("endpoints", &[]),
    // Text of others in a line of ours.
    ("printable", &[]),
    // Counts for itself.
    ("work", &[]),
    // What the host says of itself.
    ("context", &["sys", "profile"]),
    ("declared", &["sys", "config", "leak"]),
    // Collectors.
    ("heap", &["profile", "sys", "config", "context", "work", "code", "sites"]),
    ("cpu", &["profile", "sys", "config", "context", "code"]),
    ("sync", &["profile", "sys", "context", "code", "sites"]),
    // Where things happened, for the collectors.
    ("sites", &["sys"]),
    // Object files as mappings, for the collectors.
    ("code", &["profile", "sys"]),
    // Polls go to the flight recorder by two calls.
    ("tasks", &["profile", "sys", "context", "recorder", "printable"]),
    ("recorder", &["profile", "sys", "config"]),
    // Somebody else's collector, bounded.
    ("console", &["config"]),
    ("memory", &["sys", "printable"]),
    // What a heap profile says about the memory: where both models meet.
    ("evidence", &["memory", "profile"]),
    ("symbols", &["profile", "sys"]),
    ("allocator", &["sys"]),
    ("config", &["sys"]),
    // Rules are pure; `trigger` looks and acts.
    ("rules", &["config", "printable"]),
    ("aftermath", &["sys"]),
    // The face of the crate and what runs beneath it may use all.
    ("face", &["*"]),
    ("course", &["*"]),
    ("leaks", &["*"]),
    ("leak_check", &["*"]),
    ("worker", &["*"]),
    ("trigger", &["*"]),
    ("health", &["*"]),
    // Only with `--cfg diag_fuzz`.
    ("fuzzing", &["*"]),
    ("capture", &["*"]),
    ("lib", &["*"]),
];

struct Source {
    /// Path below `src`, for messages.
    path: String,
    /// First component: `profile` of `profile/diff.rs`.
    module: String,
    /// How many modules deep: 2 for `profile::diff`.
    depth: usize,
    /// Without comments and literals, line by line.
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "found only {} files below {}", files.len(), root.display());
    files.sort();
    let source = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let mut parts: Vec<&str> = path.strip_suffix(".rs").unwrap().split('/').collect();
        parts.retain(|p| *p != "mod");
        let text = fs::read_to_string(&file).unwrap();
        Source {
            module: parts[0].to_owned(),
            depth: parts.len(),
            lines: code_only(&text).lines().map(str::to_owned).collect(),
            path,
        }
    };
    files.into_iter().map(source).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Blanks comments, strings and characters; keeps the line breaks.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = 0;
    let skip = |from: usize, to: usize, out: &mut String| {
        out.extend(chars[from..to.min(chars.len())].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        to
    };
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => {
                let (mut depth, mut j) = (1, i + 2);
                while depth > 0 && j < chars.len() {
                    match (at(j), at(j + 1)) {
                        ('/', '*') => (depth, j) = (depth + 1, j + 2),
                        ('*', '/') => (depth, j) = (depth - 1, j + 2),
                        _ => j += 1,
                    }
                }
                j
            }
            ('r', '"' | '#') if !at(i.wrapping_sub(1)).is_alphanumeric() && is_raw_string(&chars, i) => {
                let hashes = (i + 1..).take_while(|&j| at(j) == '#').count();
                let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let body = i + 1 + hashes + 1;
                let ends = |j: usize| close.chars().enumerate().all(|(k, c)| at(j + k) == c);
                (body..chars.len()).find(|&j| ends(j)).map_or(chars.len(), |j| j + 1 + hashes)
            }
            ('"', _) => quoted(&chars, i, '"'),
            // A character, not a lifetime.
            ('\'', '\\') => quoted(&chars, i, '\''),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => {
                out.push(at(i));
                i += 1;
                continue;
            }
        };
        i = skip(i, end, &mut out);
    }
    out
}

fn is_raw_string(chars: &[char], r: usize) -> bool {
    chars[r + 1..].iter().find(|c| **c != '#') == Some(&'"')
}

/// Where a literal that opens at `from` ends, escapes skipped.
fn quoted(chars: &[char], from: usize, close: char) -> usize {
    let mut j = from + 1;
    while j < chars.len() {
        match chars[j] {
            '\\' => j += 2,
            c if c == close => return j + 1,
            _ => j += 1,
        }
    }
    chars.len()
}

/// The first path segments behind each `crate::` of the file, with lines; groups (`crate::{a, b::c}`) opened.
fn uses_of_crate(source: &Source) -> Vec<(usize, String)> {
    let code = source.lines.join("\n");
    let mut uses = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_word =
            code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$');
        if !is_word {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = code[at + "crate::".len()..].trim_start();
        let segment = |s: &str| {
            s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        match rest.strip_prefix('{') {
            None => uses.push((line, segment(rest))),
            Some(group) => {
                let mut depth = 0;
                let end = group.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0
                });
                let mut depth = 0;
                let inner = &group[..end.unwrap_or(group.len())];
                for part in inner.split(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == ',' && depth == 0
                }) {
                    uses.push((line, segment(part)));
                }
            }
        }
    }
    uses.retain(|(_, segment)| !segment.is_empty());
    uses
}

/// Items at the crate root belong to the module they are re-exported from.
fn root_items(sources: &[Source]) -> BTreeMap<String, String> {
    let lib = sources.iter().find(|s| s.path == "lib.rs").expect("lib.rs");
    let code = lib.lines.join(" ");
    let mut items = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let (module, names) = path.split_once("::").unwrap_or((path, ""));
        for name in names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|n| !n.is_empty()) {
            items.insert(name.to_owned(), module.trim().to_owned());
        }
    }
    items
}

#[test]
fn modules_use_only_what_they_may() {
    let sources = sources();
    let items = root_items(&sources);
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    let is_test = |s: &&Source| s.path.ends_with("tests.rs") || s.path.contains("/tests/");
    for source in sources.iter().filter(|s| !is_test(s)) {
        let Some(allowed) = rules.get(source.module.as_str()) else {
            wrong.push(format!(
                "{}: the module {} is not in the table of this test",
                source.path, source.module
            ));
            continue;
        };
        for (line, used) in uses_of_crate(source) {
            let module = items.get(&used).unwrap_or(&used);
            if *module != source.module && !allowed.contains(&"*") && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{}:{line}: {} must not use {module}", source.path, source.module));
            }
        }
        // `super::super::..` that climbs to the crate root would get around the rule.
        for (number, line) in source.lines.iter().enumerate() {
            let climbs = line.split("super::").count() - 1;
            let in_a_row = (1..=climbs).rev().find(|n| line.contains(&"super::".repeat(*n))).unwrap_or(0);
            let inner = usize::from(source.lines.iter().any(|l| l.contains("mod tests {")));
            if in_a_row >= source.depth + inner && !allowed.contains(&"*") {
                wrong.push(format!("{}:{}: climbs out of {}", source.path, number + 1, source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_sys_and_the_allocator_only() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.clone().any(|w| w == "unsafe") {
                found += 1;
                if !matches!(source.module.as_str(), "sys" | "allocator") {
                    wrong.push(format!("{}:{}", source.path, number + 1));
                }
            }
        }
    }
    assert!(found > 0, "the search finds nothing, so it proves nothing");
    assert!(wrong.is_empty(), "unsafe outside of sys and the allocator:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_sources_sees_code_only() {
    let text = "a // unsafe\nb /* unsafe /* x */ unsafe */ c \"un\\\"safe\" r#\"un\"safe\"# '\"' 'a' x: &'a str unsafe\n";
    let code = code_only(text);
    assert_eq!(code.matches("unsafe").count(), 1, "{code}");
    assert_eq!(code.lines().count(), 2);
    let source = |code: &str| Source {
        path: String::new(),
        module: "profile".into(),
        depth: 1,
        lines: code.lines().map(str::to_owned).collect(),
    };
    let uses = uses_of_crate(&source(
        "use crate::a::b;\nuse crate::{c, d::{e, f}, g};\npub(crate) fn f() { crate::h() }",
    ));
    let uses: Vec<_> = uses.iter().map(|(line, used)| (*line, used.as_str())).collect();
    assert_eq!(uses, [(1, "a"), (2, "c"), (2, "d"), (2, "g"), (3, "h")]);
}
