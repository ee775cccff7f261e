//! What became of a module: which file gave names, which were refused and why, what would help.

use std::path::{Path, PathBuf};

/// How good the names of a module are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// No names.
    #[default]
    None,
    /// Functions that the file exports; others are missing or attributed to a neighbour's symbol.
    Exported,
    /// Functions, from the symbol table.
    Functions,
    /// Functions, inlined functions, files and lines, from debug information.
    Lines,
}

/// A file that was there and not used.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Where the names of a module came from, or why there are none.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ModuleReport {
    /// The file as the profile states it.
    pub module: String,
    /// Its build id: of the profile, else of the file; empty when neither has one.
    pub build_id: String,
    /// Whether the file used is known to be the right one: by build id.
    pub verified: bool,
    /// What was found.
    pub detail: Detail,
    /// The files used.
    pub used: Vec<PathBuf>,
    /// Files that were there and did not fit.
    pub refused: Vec<Refused>,
    /// Files that would have been used if they had been there, nearest first.
    pub missing: Vec<PathBuf>,
    /// Other remarks.
    pub notes: Vec<String>,
    /// Distinct addresses asked for so far, and how many of them got a name.
    pub addresses: u64,
    /// See `addresses`.
    pub named: u64,
    /// How many of those named have a line.
    pub with_lines: u64,
}

impl ModuleReport {
    /// Counts answers; names with few lines among them are functions only.
    pub(super) fn count(&mut self, addresses: usize, named: u64, with_lines: u64) {
        self.addresses += addresses as u64;
        self.named += named;
        self.with_lines += with_lines;
        if self.detail == Detail::Lines && self.with_lines * 2 < self.named {
            self.detail = Detail::Functions;
        }
    }

    const MAX_MISSING: usize = 12;

    pub(super) fn refuse(&mut self, path: &Path, why: String) {
        let refused = Refused { path: path.to_owned(), why };
        if !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }

    pub(super) fn missing(&mut self, path: &Path) {
        if self.missing.len() < Self::MAX_MISSING && !self.missing.iter().any(|p| p == path) {
            self.missing.push(path.to_owned());
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// What would give more names; `None` when there is nothing to wish for.
    pub fn advice(&self) -> Option<String> {
        if self.detail == Detail::Lines {
            return None;
        }
        let what = match self.detail {
            Detail::None => "names",
            Detail::Exported => "the functions that are not exported, and lines,",
            _ => "lines and inlined functions",
        };
        let id = match self.build_id.get(..2).zip(self.build_id.get(2..)) {
            Some((first, rest)) if !rest.is_empty() => {
                format!(
                    " with build id {}, or its debug file as .build-id/{first}/{rest}.debug",
                    self.build_id
                )
            }
            _ => String::new(),
        };
        Some(format!(
            "for {what} an unstripped copy of {}{id} is needed, in a directory of the symbol path",
            self.module
        ))
    }
}
