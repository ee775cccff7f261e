//! Names for addresses, looked up on this machine: `--binary`, the path the profile states, debug directories,
//! `--symbol-path`. Answers are kept on disk by build id, in `$XDG_CACHE_HOME/diag/symbols`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use diag::profile::Profile;
use diag::profile::symbolize::symbolize;
use diag::symbols::{ModuleReport, Options, Resolver};

use crate::cli::SymbolArgs;
use crate::error::Result;
use crate::view::profile_error;

/// A resolver for the profiles of one command.
#[derive(Debug)]
pub struct Symbols {
    resolver: Resolver,
}

/// What has no names after all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unresolved {
    /// Module files and how many of their locations have no names.
    modules: BTreeMap<String, usize>,
    /// Whether the program itself is among them, or a good part of all locations.
    important: bool,
    /// Whether it is a good part of all locations.
    much: bool,
}

impl Symbols {
    /// A resolver with these places to look.
    pub fn new(args: &SymbolArgs) -> Self {
        let options = Options {
            binary: args.binary.clone(),
            symbol_path: args.symbol_path.clone(),
            cache_dir: cache_dir(),
            ..Options::default()
        };
        Self { resolver: Resolver::new(options) }
    }

    /// Names what can be named. A profile without bare addresses is given back as it is.
    ///
    /// # Errors
    /// The profile outgrows its tables.
    pub fn resolve(&mut self, profile: Profile, name: &str) -> Result<(Profile, Unresolved)> {
        if unresolved(&profile) == Unresolved::default() {
            return Ok((profile, Unresolved::default()));
        }
        let named = symbolize(&profile, &mut self.resolver).map_err(|e| profile_error(name, &e))?;
        let rest = unresolved(&named);
        Ok((named, rest))
    }

    /// What became of each module.
    pub fn reports(&self) -> &[ModuleReport] {
        self.resolver.reports()
    }
}

impl Unresolved {
    /// Whether it is worth asking the target itself.
    pub fn is_important(&self) -> bool {
        self.important
    }

    /// Whether it is more than the odd address, as of a jump table, that a CPU profile has and nobody has names for.
    pub fn is_much(&self) -> bool {
        self.much
    }

    /// How many locations have no names.
    pub fn locations(&self) -> usize {
        self.modules.values().sum()
    }

    /// The names of the modules, most locations first.
    pub fn into_names(self) -> Vec<String> {
        let mut modules: Vec<(String, usize)> = self.modules.into_iter().collect();
        modules.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        modules.into_iter().map(|(name, _)| name).collect()
    }
}

/// Which modules have locations without names. The kernel's own mappings do not count: nobody has a file for them.
pub fn unresolved(profile: &Profile) -> Unresolved {
    let mut result = Unresolved::default();
    let (mut all, mut bare) = (0usize, 0usize);
    for location in profile.location_ids().map(|id| profile.location(id)) {
        all += 1;
        if !location.lines.is_empty() || location.address == 0 {
            continue;
        }
        let file = location.mapping.map_or("", |m| profile.str(profile.mapping(m).file));
        if file.starts_with('[') || file.starts_with("linux-vdso") || file.starts_with("//anon") {
            continue;
        }
        bare += 1;
        let is_main = location.mapping.is_some_and(|m| m.index() == 0);
        result.important |= is_main;
        let name = if file.is_empty() { "(no module)" } else { file };
        match result.modules.get_mut(name) {
            Some(n) => *n += 1,
            None => {
                result.modules.insert(name.to_owned(), 1);
            }
        }
    }
    result.much = bare * 4 > all;
    result.important |= result.much;
    result
}

fn cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|h| h.join(".cache")))
        .map(|d| d.join("diag/symbols"))
}
