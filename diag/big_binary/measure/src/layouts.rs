//! The ways in which debug information is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection};

use crate::Result;
use crate::process::drop_from_page_cache;

/// A program and its debug information.
pub struct Layout {
    pub name: &'static str,
    pub program: PathBuf,
    /// What else belongs to it: files or folders.
    pub beside: Vec<PathBuf>,
    /// What the command line is told.
    pub binary: PathBuf,
    pub symbol_path: Option<PathBuf>,
    /// What must not be found meanwhile.
    hidden: Option<PathBuf>,
    /// What the target can name by itself.
    pub in_target: Names,
}

/// The program, built with split debug information.
pub struct Split<'a> {
    pub program: &'a Path,
    /// The folder of the `.dwo` files.
    pub dwo: &'a Path,
    /// With a package beside it.
    pub packed: &'a Path,
}

/// A folder under another name, until this is dropped.
pub struct Hidden {
    real: PathBuf,
    now: PathBuf,
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Err(e) = fs::rename(&self.now, &self.real) {
            eprintln!("{} stays at {}: {e}", self.real.display(), self.now.display());
        }
    }
}

/// How good names are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Functions, inlined ones, files and lines.
    Lines,
    /// Functions: the debug information takes more memory than a host is asked for.
    Functions,
    /// The file has none.
    Nothing,
}

impl Names {
    pub fn word(self) -> &'static str {
        match self {
            Names::Lines => "functions and lines",
            Names::Functions => "functions",
            Names::Nothing => "addresses, which diag-cli names",
        }
    }
}

impl Layout {
    /// Hides what must not be found.
    pub fn hide(&self) -> Result<Option<Hidden>> {
        let Some(real) = self.hidden.clone() else { return Ok(None) };
        let now = real.with_extension("hidden");
        fs::rename(&real, &now)?;
        Ok(Some(Hidden { real, now }))
    }

    /// Takes all its files out of the page cache.
    pub fn make_cold(&self) -> Result<()> {
        drop_from_page_cache(&self.program)?;
        if self.binary != self.program {
            drop_from_page_cache(&self.binary)?;
        }
        self.beside.iter().try_for_each(|path| drop_from_page_cache(path))
    }
}

/// What the program is, in a sentence.
pub fn describe(program: &Path) -> Result<String> {
    let data = fs::read(program)?;
    let elf = object::File::parse(&*data)?;
    let debug = elf.sections().filter(|s| s.name().is_ok_and(|n| n.starts_with(".debug_"))).map(|s| s.size());
    let text = elf.section_by_name(".text").map_or(0, |s| s.size());
    Ok(format!(
        "A program of {} MB: {} MB of debug information, {} MB of code.",
        data.len() / 1_000_000,
        debug.sum::<u64>() / 1_000_000,
        text / 1_000_000
    ))
}

/// Makes them all below `dir`.
pub fn all(plain: &Path, split: Option<Split<'_>>, dir: &Path) -> Result<Vec<Layout>> {
    let folder = |name: &str| -> Result<PathBuf> {
        let folder = dir.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let of = |name, program: PathBuf, in_target| {
        let binary = program.clone();
        Layout { name, program, beside: Vec::new(), binary, symbol_path: None, hidden: None, in_target }
    };
    let mut layouts = Vec::new();

    let program = folder("plain")?.join("big");
    fs::copy(plain, &program)?;
    layouts.push(of("in the program", program, Names::Lines));

    for (name, method) in [("compressed, zlib", "zlib"), ("compressed, zstd", "zstd")] {
        let program = folder(method)?.join("big");
        objcopy(&[&format!("--compress-debug-sections={method}")], plain, &program)?;
        layouts.push(of(name, program, Names::Functions));
    }

    let place = folder("link")?;
    let (program, debug) = (place.join("big"), place.join("big.debug"));
    objcopy(&["--only-keep-debug"], plain, &debug)?;
    objcopy(&["--strip-all", &format!("--add-gnu-debuglink={}", debug.display())], plain, &program)?;
    let mut layout = of("separate file, by .gnu_debuglink", program, Names::Functions);
    layout.beside.push(debug.clone());
    layouts.push(layout);

    let place = folder("build-id")?;
    let program = place.join("big");
    objcopy(&["--strip-all"], plain, &program)?;
    let id = build_id(plain)?;
    let symbols = place.join("symbols");
    let file = symbols.join(".build-id").join(&id[..2]).join(format!("{}.debug", &id[2..]));
    fs::create_dir_all(file.parent().ok_or("no folder")?)?;
    fs::copy(&debug, &file)?;
    let mut layout = of("separate file, by build id", program, Names::Nothing);
    layout.beside.push(file);
    layout.symbol_path = Some(symbols);
    layouts.push(layout);

    let program = folder("stripped")?.join("big");
    objcopy(&["--strip-all"], plain, &program)?;
    let mut layout = of("stripped; the whole program elsewhere", program, Names::Nothing);
    layout.binary = plain.to_owned();
    layouts.push(layout);

    let Some(split) = split else { return Ok(layouts) };
    let program = folder("dwo")?.join("big");
    fs::copy(split.program, &program)?;
    let mut layout = of("split, .dwo", program, Names::Lines);
    layout.beside.push(split.dwo.to_owned());
    layouts.push(layout);

    let program = folder("dwp")?.join("big");
    fs::copy(split.packed, &program)?;
    let package = program.with_extension("dwp");
    fs::copy(split.packed.with_extension("dwp"), &package)?;
    let mut layout = of("split, .dwp", program, Names::Functions);
    layout.beside.push(package);
    layout.hidden = Some(split.dwo.to_owned());
    layouts.push(layout);
    Ok(layouts)
}

fn objcopy(options: &[&str], from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("objcopy").args(options).arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(format!("objcopy {options:?} failed").into()) }
}

fn build_id(program: &Path) -> Result<String> {
    let data = fs::read(program)?;
    let elf = object::File::parse(&*data)?;
    let id = elf.build_id()?.ok_or("the program has no build id")?;
    Ok(id.iter().map(|b| format!("{b:02x}")).collect())
}
