//! What the doctor says: a severity, what it is, what to do.

use std::fmt::Write as _;

use diag::symbols::ModuleReport;
use serde::Serialize;

use crate::error::{Error, one_line};
use crate::terminal::Style;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Info,
    /// Results are worse than they could be.
    Warning,
    /// There will be no results, or wrong ones.
    Error,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// `reach`, `auth`, `status`, `sampling`, `samples`, `symbols`, `losses`, `clock`, `format`.
    pub(super) part: String,
    pub(super) what: String,
    /// What to do; empty when there is nothing.
    pub(super) next: String,
}

/// All findings about a target.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    modules: Vec<ModuleReport>,
}

impl Findings {
    fn add(&mut self, severity: Severity, part: &str, what: impl Into<String>, next: impl Into<String>) {
        let (what, next) = (one_line(&what.into()), one_line(&next.into()));
        self.list.push(Finding { severity, part: part.to_owned(), what, next });
    }

    pub(super) fn ok(&mut self, part: &str, what: impl Into<String>) {
        self.add(Severity::Ok, part, what, "");
    }

    pub(super) fn info(&mut self, part: &str, what: impl Into<String>, next: impl Into<String>) {
        self.add(Severity::Info, part, what, next);
    }

    pub(super) fn warning(&mut self, part: &str, what: impl Into<String>, next: impl Into<String>) {
        self.add(Severity::Warning, part, what, next);
    }

    pub(super) fn error(&mut self, part: &str, what: impl Into<String>, next: impl Into<String>) {
        self.add(Severity::Error, part, what, next);
    }

    /// An error of this crate as a finding.
    pub(super) fn failed(&mut self, part: &str, e: &Error) {
        match e {
            Error::Usage { what, next } | Error::Failed { what, next } => self.error(part, what, next),
            other => self.error(part, other.line(), ""),
        }
    }

    /// What became of the modules' names.
    pub(super) fn set_modules(&mut self, modules: Vec<ModuleReport>) {
        self.modules = modules;
    }

    pub(super) fn list(&self) -> &[Finding] {
        &self.list
    }

    pub(super) fn modules(&self) -> &[ModuleReport] {
        &self.modules
    }

    pub(super) fn worst(&self) -> Severity {
        self.list.iter().map(|f| f.severity).max().unwrap_or(Severity::Ok)
    }

    pub(super) fn text(&self, target: &str, style: Style) -> String {
        let mut out = format!("{}\n", style.strong(&one_line(target)));
        for f in &self.list {
            let word = match f.severity {
                Severity::Ok => "ok",
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            let painted = match f.severity {
                Severity::Ok | Severity::Info => style.faint(&format!("{word:<8}")),
                Severity::Warning => style.shrunk(&format!("{word:<8}")),
                Severity::Error => style.grown(&format!("{word:<8}")),
            };
            let _ = writeln!(out, "{painted} {:<11} {}", f.part, f.what);
            if !f.next.is_empty() {
                let _ = writeln!(out, "{:<20} next: {}", "", f.next);
            }
        }
        out
    }
}
