//! What fuzz targets reach and nobody else: parsers that are not public, as they are. Built with `--cfg diag_fuzz` only
//! (`fuzz/run.sh`); no part of the API.

/// The name that a person reads, if the linker's is understood.
#[cfg(feature = "symbols")]
pub fn demangle(linkage: &str) -> Option<String> {
    crate::symbols::demangle(linkage)
}

/// The faults of a rules file, with their lines.
#[cfg(feature = "triggers")]
pub fn rules(text: &str) -> Vec<(usize, String)> {
    let (_, faults) = crate::rules::parse(text);
    faults.into_iter().map(|fault| (fault.line, fault.what)).collect()
}

/// The settings with these variables, and what is wrong with them.
#[cfg(feature = "heap")]
pub fn config(lookup: impl Fn(&str) -> Option<String>) -> (crate::Config, Vec<crate::Problem>) {
    let mut config = crate::Config::default();
    let problems = config.override_by(lookup);
    (config, problems)
}

/// The memory of the process whose `/proc` and `/sys` lie below `root`.
#[cfg(feature = "memory")]
pub fn survey(root: &std::path::Path) -> crate::memory::triage::Survey {
    crate::memory::survey_below(root)
}
