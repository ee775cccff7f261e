//! What is asked for: by the builder, or by the rules file in its place.

use std::path::PathBuf;

use crate::config::{Config, Problem};
use crate::face::Builder;
use crate::rules::{Asked, Relief, Rule, parse};

impl Builder {
    /// Adds a rule: when something happens, capture it. With rules of one's own, or with [`rules`](Self::rules) and none, the default
    /// rule is gone: [`Rule::near_limit`], where a capture directory is set.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.asked.rules.get_or_insert_default().push(rule);
        self
    }

    /// These rules and no others.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.asked.rules = Some(rules.into_iter().collect());
        self
    }

    /// A file with rules in place of the builder's: TOML, see [`rules`](crate::rules).
    #[must_use]
    pub fn rules_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.rules_file = Some(path.into());
        self
    }

    /// Under memory pressure jemalloc gives unused pages back at once.
    #[must_use]
    pub fn relief(mut self, policy: Relief) -> Self {
        self.asked.relief = Some(policy);
        self
    }
}

/// What the rules file says, in place of the builder's; a file that cannot be read leaves those.
pub(crate) fn asked(config: &Config, by_builder: Asked, problems: &mut Vec<Problem>) -> Asked {
    let Some(path) = &config.rules_file else { return by_builder };
    let mut problem = |what: String, next: &str| {
        let what = format!("{}{what}", path.display());
        problems.push(Problem { part: "rules".into(), what, next: next.to_owned() });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            problem(format!(": {e}; it is ignored"), "see that DIAG_RULES names a readable file");
            return by_builder;
        }
    };
    let (by_file, faults) = parse(&text);
    for fault in faults {
        let what = format!(", line {}: {}; it is ignored", fault.line, fault.what);
        problem(what, "correct it and start again; the documentation of diag::rules shows a whole file");
    }
    Asked { rules: by_file.rules.or(by_builder.rules), relief: by_file.relief.or(by_builder.relief) }
}
