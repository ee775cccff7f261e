//! What the viewing commands share: which values, which stacks, which frames, and the line that says what is shown.

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::Args;
use diag::profile::{Filter, Grouping, LabelMatch, Pattern, Profile, ProfileError, units};

use crate::clock;
use crate::error::{Error, Result};
use crate::load::Loaded;

const SELECT: &str = "Selection";

/// Which values and which stacks.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectArgs {
    /// Sample type: inuse_space, inuse_objects, alloc_space, cpu … [default: what the profile says]
    #[arg(long = "type", value_name = "TYPE", help_heading = SELECT)]
    pub sample_type: Option<String>,
    /// Only stacks with a frame (function or file) that matches
    #[arg(long, value_name = "REGEX", value_parser = parse_pattern, help_heading = SELECT)]
    pub focus: Option<Pattern>,
    /// No stacks with a frame that matches
    #[arg(long, value_name = "REGEX", value_parser = parse_pattern, help_heading = SELECT)]
    pub ignore: Option<Pattern>,
    /// Leave out frames that match
    #[arg(long, value_name = "REGEX", value_parser = parse_pattern, help_heading = SELECT)]
    pub hide: Option<Pattern>,
    /// Only frames that match
    #[arg(long, value_name = "REGEX", value_parser = parse_pattern, help_heading = SELECT)]
    pub show: Option<Pattern>,
    /// Only samples with this label: KEY=REGEX (age=10-60m), or KEY=FROM:TO for numbers (bytes=4096:)
    #[arg(long, value_name = "KEY=VALUE", help_heading = SELECT)]
    pub label: Vec<LabelMatch>,
    /// No samples with this label
    #[arg(long, value_name = "KEY=VALUE", help_heading = SELECT)]
    pub ignore_label: Vec<LabelMatch>,
    /// Show frames of the standard library, async runtimes and thread starts too
    #[arg(long, help_heading = SELECT)]
    pub runtime: bool,
}

/// What a row is, and how many.
#[derive(Clone, Debug, Args)]
pub struct GroupArgs {
    /// What one row is: function, file, line, module (crate), address, or label:KEY
    #[arg(long, value_name = "WHAT", value_parser = parse_grouping, default_value = "function")]
    pub by: Grouping,
}

fn parse_pattern(text: &str) -> std::result::Result<Pattern, String> {
    Pattern::new(text).map_err(|e| e.to_string())
}

fn parse_grouping(text: &str) -> std::result::Result<Grouping, String> {
    match text {
        "function" => Ok(Grouping::Function),
        "file" => Ok(Grouping::File),
        "line" => Ok(Grouping::Line),
        "module" | "crate" => Ok(Grouping::Module),
        "address" => Ok(Grouping::Address),
        _ => match text.strip_prefix("label:").filter(|k| !k.is_empty()) {
            Some(key) => Ok(Grouping::Label(key.to_owned())),
            None => Err("known are function, file, line, module, address and label:KEY".into()),
        },
    }
}

impl SelectArgs {
    /// The index of the sample type to show.
    ///
    /// # Errors
    /// A type that the profile does not have, listing those it has.
    pub fn type_index(&self, profile: &Profile) -> Result<usize> {
        let Some(wanted) = &self.sample_type else { return Ok(profile.default_sample_type()) };
        let by_kind = profile.sample_type_index(wanted);
        // `alloc_space/bytes` is how messages write it.
        let by_kind_and_unit =
            || profile.sample_types().iter().position(|t| format!("{}/{}", t.kind, t.unit) == *wanted);
        by_kind.or_else(by_kind_and_unit).ok_or_else(|| {
            let types: Vec<&str> = profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
            Error::usage(
                format!("there is no sample type {}", wanted),
                format!("--type is one of {}", types.join(", ")),
            )
        })
    }

    /// The filter these arguments describe.
    pub fn filter(&self) -> Filter {
        Filter {
            focus: self.focus.clone(),
            ignore: self.ignore.clone(),
            hide: self.hide.clone(),
            show: self.show.clone(),
            label_focus: self.label.clone(),
            label_ignore: self.ignore_label.clone(),
            hide_runtime: !self.runtime,
        }
    }

    /// The profile as selected; not copied when all of it is wanted.
    ///
    /// # Errors
    /// The result outgrows its tables.
    pub fn apply<'p>(&self, loaded: &'p Loaded) -> Result<Cow<'p, Profile>> {
        let filter = self.filter();
        if filter.is_empty() {
            return Ok(Cow::Borrowed(&loaded.profile));
        }
        filter.apply(&loaded.profile).map(Cow::Owned).map_err(|e| profile_error(&loaded.name, &e))
    }

    /// The profile as selected, runtime frames included: for what looks past them by itself.
    ///
    /// # Errors
    /// The result outgrows its tables.
    pub fn apply_with_runtime<'p>(&self, loaded: &'p Loaded) -> Result<Cow<'p, Profile>> {
        Self { runtime: true, ..self.clone() }.apply(loaded)
    }

    /// What a picture does with runtime frames.
    pub fn runtime_frames(&self) -> flamegraphs::RuntimeFrames {
        if self.runtime { flamegraphs::RuntimeFrames::Show } else { flamegraphs::RuntimeFrames::Fold }
    }
}

/// A profile operation failed: that is the input's fault, or the user's for a wrong type.
pub fn profile_error(name: &str, e: &ProfileError) -> Error {
    match e {
        ProfileError::NoSampleType { wanted, available } => Error::usage(
            format!("{name}: there is no sample type {wanted}"),
            format!("--type is one of {available}"),
        ),
        ProfileError::BadPattern { .. } => Error::usage(e, "see docs.rs/regex for the syntax"),
        e => Error::failed(format!("{name}: {e}"), "is it a profile of the same kind?"),
    }
}

/// Whether a profile is of time, on a processor or on the wall.
pub fn is_of_time(profile: &Profile) -> bool {
    ["cpu", "wall"].iter().any(|kind| profile.sample_type_index(kind).is_some())
}

/// Whether a profile is of waits for locks.
pub fn is_of_contention(profile: &Profile) -> bool {
    profile.sample_type_index("contentions").is_some()
}

/// What judges memory has nothing to say about time, or about waits.
///
/// # Errors
/// The first profile that is of time or waits, and what to do with it.
pub fn refuse_time<'l>(command: &str, loaded: impl IntoIterator<Item = &'l Loaded>) -> Result<()> {
    let what = |l: &Loaded| match () {
        () if is_of_time(&l.profile) => Some("CPU profile"),
        () if is_of_contention(&l.profile) => Some("profile of contention"),
        () => None,
    };
    match loaded.into_iter().find_map(|l| what(l).map(|what| (l, what))) {
        None => Ok(()),
        Some((l, what)) => Err(Error::usage(
            format!("{} is a {what}, and {command} judges memory", l.name),
            "look at it with `diag-cli top`, compare two with `diag-cli diff`; \
             `diag-cli capture TARGET --kind heap` captures memory",
        )),
    }
}

/// `orders.pb.gz: inuse_space 12.3 MiB, one sample a 512 KiB, taken 2026-11-21 13:05:22 UTC`.
pub fn heading(loaded: &Loaded, type_index: usize, shown_total: i64) -> String {
    let profile = &loaded.profile;
    let mut text = crate::error::one_line(&loaded.name);
    if let Some(t) = profile.sample_types().get(type_index) {
        let whole = profile.total(type_index);
        let _ = write!(text, ": {} {}", crate::error::one_line(&t.kind), units::value(whole, &t.unit));
        if shown_total != whole {
            let _ = write!(text, " (selected {})", units::value(shown_total, &t.unit));
        }
    }
    let _ =
        write!(text, " in {} rows", units::count(i64::try_from(profile.sample_count()).unwrap_or(i64::MAX)));
    if let Some(p) = &profile.meta().period {
        let _ = write!(text, ", one every {}", units::value(p.value, &p.value_type.unit));
    }
    if let Some(at) = profile.meta().time_unix_ns {
        let _ = write!(text, ", taken {}", clock::readable(at));
    }
    if let Some(ns) = profile.meta().duration_ns.filter(|d| *d > 0) {
        let _ = write!(text, " over {}", units::nanoseconds(ns));
    }
    text.push('\n');
    text
}

/// Lines that must not be missed: losses, and frames without names.
pub fn caveats(loaded: &Loaded) -> String {
    let mut text = String::new();
    let losses: Vec<String> = loaded
        .profile
        .meta()
        .losses
        .iter()
        .filter(|l| l.count > 0)
        .map(|l| {
            format!(
                "{} {}",
                units::count(i64::try_from(l.count).unwrap_or(i64::MAX)),
                l.what.replace('_', " ")
            )
        })
        .collect();
    if !losses.is_empty() {
        let _ = writeln!(text, "not in it: {}", crate::error::one_line(&losses.join(", ")));
    }
    if is_of_contention(&loaded.profile) && loaded.profile.sample_count() == 0 {
        // Nobody waited, or it is off: it says which itself.
        for comment in loaded.profile.meta().comments.iter().filter(|c| c.contains("_profile=")) {
            let _ = writeln!(text, "{}", crate::error::one_line(comment));
        }
    }
    if !loaded.unresolved.is_empty() {
        let _ = writeln!(
            text,
            "without names: {} of {} addresses, in {}; `diag-cli doctor {}` says which file would help",
            loaded.unresolved_locations,
            loaded.profile.location_count(),
            crate::error::one_line(&loaded.unresolved.join(", ")),
            crate::error::one_line(&loaded.name)
        );
    }
    text
}

/// The facts of a profile, for JSON.
pub fn facts(loaded: &Loaded, type_index: usize) -> serde_json::Value {
    let profile = &loaded.profile;
    let meta = profile.meta();
    let sample_type = profile.sample_types().get(type_index);
    serde_json::json!({
        "name": loaded.name,
        "format": loaded.format.to_string(),
        "type": sample_type.map(|t| &t.kind),
        "unit": sample_type.map(|t| &t.unit),
        "total": profile.total(type_index),
        "samples": profile.sample_count(),
        "sampling_period": meta.period.as_ref().map(|p| p.value),
        "taken": meta.time_unix_ns.map(clock::rfc3339),
        "duration_s": meta.duration_ns.map(|d| d as f64 / 1e9),
        "losses": meta.losses.iter().map(|l| (l.what.clone(), l.count)).collect::<std::collections::BTreeMap<_, _>>(),
        "unresolved_modules": loaded.unresolved,
    })
}

/// `shop::keep  src/lib.rs:10`, the file shortened to its last parts.
pub fn frame(frame: &diag::profile::frames::ShownFrame) -> String {
    match frame_place(frame) {
        (name, place) if place.is_empty() => name.to_owned(),
        (name, place) => format!("{name}  {place}"),
    }
}

/// `shop::keep` and `src/lib.rs:10`; the place is empty where it is not known.
pub fn frame_place(frame: &diag::profile::frames::ShownFrame) -> (&str, String) {
    let name = if frame.function.is_empty() { "(no name)" } else { &frame.function };
    if frame.file.is_empty() || frame.function == frame.file {
        return (name, String::new());
    }
    let parts: Vec<&str> = frame.file.rsplit('/').take(3).collect();
    let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    (name, if frame.line > 0 { format!("{file}:{}", frame.line) } else { file })
}

/// `± 1.2 MiB`: the longer arm of a 95 % interval; empty where there is none.
pub fn plus_minus(value: i64, low: Option<i64>, high: Option<i64>, unit: &str) -> String {
    let (Some(low), Some(high)) = (low, high) else { return String::new() };
    if low == high {
        return String::new();
    }
    format!("± {}", units::value(high.saturating_sub(value).max(value.saturating_sub(low)), unit))
}
