//! Folded stacks: one line a stack, `root;caller;leaf count`, as the flame graph scripts write and read them.
//!
//! Reading: counts are whole numbers after the last blank; empty lines and lines that begin with `#` are skipped; a
//! line without a count is an error with its number. Names are kept as they are. There are no addresses, so locations
//! have none. An empty name becomes `[unknown]` and is counted as the loss `unnamed_frames`.
//!
//! Writing: stacks that look alike are added up, and the lines are sorted, so that equal profiles give equal text. `;`
//! in a name becomes `:`, line breaks become blanks. Inlined frames are frames like others. Labels are not written.
//!
//! Source: github.com/brendangregg/FlameGraph, and inferno's reader.

use std::collections::BTreeMap;

use super::builder::ProfileBuilder;
use super::error::ProfileError;
use super::frames::address_name;
use super::ids::{LabelSetId, StrId};
use super::model::{Function, Line, Loss, Profile, ValueType};
use super::text;

const FORMAT: &str = "folded";
const UNKNOWN: &str = "[unknown]";
const NO_STACK: &str = "[no stack]";

/// Reads folded stacks into one sample type, `samples`/`count`: the format does not say what it counts.
///
/// # Errors
/// [`ProfileError::Text`] with the line that has no count; [`ProfileError::Empty`] when there is no stack.
pub fn parse(bytes: &[u8]) -> Result<Profile, ProfileError> {
    let mut builder = ProfileBuilder::new(vec![ValueType::new("samples", "count")]);
    let (mut repaired, mut unnamed) = (0, 0);
    let mut stack = Vec::new();
    let mut samples = 0usize;
    for (line, number) in lines(bytes) {
        let (names, count) =
            split(line).map_err(|what| ProfileError::Text { format: FORMAT, line: number, what })?;
        stack.clear();
        for name in names.rsplit(|&b| b == b';').filter(|_| names != NO_STACK.as_bytes()) {
            let name = text::repair(name, &mut repaired);
            unnamed += u64::from(name.is_empty());
            let name = builder.str(if name.is_empty() { UNKNOWN } else { &name });
            let function = Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 };
            let function = builder.function(function);
            stack.push(builder.location(None, 0, &[Line { function, line: 0 }]));
        }
        let id = builder.stack(&stack);
        builder.sample(id, LabelSetId::EMPTY, &[count]);
        samples += 1;
    }
    if samples == 0 {
        return Err(ProfileError::Empty);
    }
    for (what, count) in [(text::NON_UTF8, repaired), ("unnamed_frames", unnamed)] {
        if count > 0 {
            builder.meta_mut().losses.push(Loss { what: what.to_owned(), count });
        }
    }
    builder.finish()
}

/// Whether the first line that counts ends in a number.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    lines(bytes).next().is_some_and(|(line, _)| split(line).is_ok())
}

/// The lines with stacks, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .split(|&b| b == b'\n')
        .map(|line| line.trim_ascii_end())
        .zip(1..)
        .filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#"))
}

/// The stack and the count of a line.
fn split(line: &[u8]) -> Result<(&[u8], i64), String> {
    let at = line.iter().rposition(|b| b.is_ascii_whitespace());
    let parts = at.and_then(|at| Some((line.get(..at)?.trim_ascii_end(), line.get(at + 1..)?)));
    let (names, count) = parts.unwrap_or((line, b""));
    let count = std::str::from_utf8(count).ok().filter(|s| !s.is_empty());
    let Some(count) = count else {
        return Err(format!("no count: expected `root;caller;leaf 42`, found {}", quote(line)));
    };
    match count.parse() {
        Ok(count) if !names.is_empty() => Ok((names, count)),
        Ok(_) => {
            Err(format!("no stack before the count: expected `root;caller;leaf 42`, found {}", quote(line)))
        }
        Err(_) => Err(format!(
            "{} is not a whole number: expected `root;caller;leaf 42`, found {}",
            quote(count.as_bytes()),
            quote(line)
        )),
    }
}

/// At most the last 60 characters of a line, quoted.
fn quote(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    match text.char_indices().rev().nth(59) {
        Some((at, _)) if at > 0 => format!("{:?}", format!("...{}", text.get(at..).unwrap_or_default())),
        _ => format!("{text:?}"),
    }
}

/// Writes one column of a profile as folded stacks, root first. Stacks whose sum is zero are left out.
pub fn write(profile: &Profile, type_index: usize) -> String {
    let names: Vec<String> = profile.functions().iter().map(|f| clean(profile.str(f.name))).collect();
    let mut totals: BTreeMap<String, i64> = BTreeMap::new();
    let mut key = String::new();
    for sample in profile.samples() {
        let Some(&value) = sample.values.get(type_index) else { continue };
        key.clear();
        for &id in profile.stack(sample.stack).iter().rev() {
            let location = profile.location(id);
            if location.lines.is_empty() {
                push(&mut key, &clean(&address_name(profile, id)));
            }
            for line in location.lines.iter().rev() {
                push(&mut key, names.get(line.function.index()).map_or(UNKNOWN, String::as_str));
            }
        }
        if key.is_empty() {
            key.push_str(NO_STACK);
        }
        match totals.get_mut(&key) {
            Some(total) => *total = total.saturating_add(value),
            None => {
                totals.insert(key.clone(), value);
            }
        }
    }
    let mut out = String::new();
    for (stack, total) in totals.into_iter().filter(|(_, total)| *total != 0) {
        out.push_str(&stack);
        out.push(' ');
        out.push_str(&total.to_string());
        out.push('\n');
    }
    out
}

fn push(key: &mut String, name: &str) {
    if !key.is_empty() {
        key.push(';');
    }
    // Else the line would be a comment.
    if key.is_empty() && name.starts_with('#') {
        key.push('_');
    }
    key.push_str(name);
}

/// A name without the characters that mean something in this format, and without blanks around it.
fn clean(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| match c {
            ';' => ':',
            // The mark at the start of some files, which readers skip.
            '\u{feff}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let trimmed = name.trim();
    if trimmed.is_empty() { UNKNOWN.to_owned() } else { trimmed.to_owned() }
}
