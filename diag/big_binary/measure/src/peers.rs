//! Commands that name the addresses of a profile: ours and the others.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::{Object, ObjectSegment};

use crate::layouts::Layout;
use crate::names::{self, Named};
use crate::process::{Cost, run};
use crate::{Measured, Result, Rival};

/// `diag-cli flamegraph`, from addresses to a picture. Again: with the answers it has kept on disk.
pub fn diag_cli(layout: &Layout, cli: &Path, raw: &Path, dir: &Path) -> Result<Measured> {
    let kept = dir.join("kept");
    let command = |verb: &[&str], out: &Path| {
        let mut command = Command::new(cli);
        command.args(verb).arg(raw).arg("--binary").arg(&layout.binary).arg("-o").arg(out);
        command.env("XDG_CACHE_HOME", &kept).env_remove("DIAG_SYMBOL_PATH");
        if let Some(path) = &layout.symbol_path {
            command.arg("--symbol-path").arg(path);
        }
        command
    };
    let (svg, named) = (dir.join("ours.svg"), dir.join("ours.pb.gz"));
    let forget = || if kept.exists() { fs::remove_dir_all(&kept) } else { Ok(()) };
    forget()?;
    layout.make_cold()?;
    let (cold_s, cold_peak) = run(&mut command(&["flamegraph"], &svg))?;
    forget()?;
    let (warm_s, warm_peak) = run(&mut command(&["flamegraph"], &svg))?;
    let (again_s, _) = run(&mut command(&["flamegraph"], &svg))?;
    forget()?;
    run(&mut command(&["convert", "--to", "pprof", "--symbolize"], &named))?;
    let cost =
        Cost { cold_s, warm_s, again_s: Some(again_s), peak_mib: cold_peak.max(warm_peak), kept_mib: None };
    Ok(Measured { cost, named: names::count(&names::read(&named)?) })
}

/// `go tool pprof`, from addresses to a profile with names, which is less than a picture.
pub fn go(layout: &Layout, raw: &Path, dir: &Path) -> Result<Rival> {
    // The tool itself, without what `go` takes to start it.
    let Ok(found) = Command::new("go").args(["tool", "-n", "pprof"]).output() else {
        return Ok(Err("is not installed".into()));
    };
    let pprof = PathBuf::from(String::from_utf8(found.stdout)?.trim());
    let out = dir.join("go.pb.gz");
    let command = || {
        let mut command = Command::new(&pprof);
        command.args(["-proto", "-symbolize=local", "-output"]).arg(&out).arg(&layout.binary).arg(raw);
        command.env("PPROF_TMPDIR", dir);
        command
    };
    layout.make_cold()?;
    let (cold_s, cold_peak) = match run(&mut command()) {
        Ok(cost) => cost,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let (warm_s, warm_peak) = run(&mut command())?;
    let cost = Cost { cold_s, warm_s, peak_mib: cold_peak.max(warm_peak), ..Cost::default() };
    Ok(Ok(Measured { cost, named: names::count(&names::read(&out)?) }))
}

/// binutils' addr2line, asked for all addresses at once: text.
pub fn addr2line(layout: &Layout, raw: &Path) -> Result<Rival> {
    let input = raw.with_extension("addresses");
    let addresses = addresses(&layout.binary, raw)?;
    fs::write(&input, addresses.iter().map(|a| format!("{a:#x}\n")).collect::<String>())?;
    let command = || -> Result<Command> {
        let mut command = Command::new("addr2line");
        command.args(["-Cfi", "-e"]).arg(&layout.binary).stdin(fs::File::open(&input)?);
        Ok(command)
    };
    layout.make_cold()?;
    let (cold_s, cold_peak) = match run(&mut command()?) {
        Ok(cost) => cost,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let (warm_s, warm_peak) = run(&mut command()?)?;
    let cost = Cost { cold_s, warm_s, peak_mib: cold_peak.max(warm_peak), ..Cost::default() };
    // With `-a` each answer begins with its address, so that inlined functions are not counted as answers.
    let mut child = Command::new("addr2line")
        .args(["-aCfi", "-e"])
        .arg(&layout.binary)
        .stdin(fs::File::open(&input)?)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().ok_or("no stdout")?, &mut text)?;
    child.wait()?;
    std::io::stdout().flush()?;
    Ok(Ok(Measured { cost, named: in_listing(&text) }))
}

/// Counts the answers of `addr2line -aCfi`: an address, then pairs of a function and a place.
fn in_listing(text: &str) -> Named {
    let mut named = Named::default();
    let mut lines = text.lines().peekable();
    while lines.next().is_some() {
        named.addresses += 1;
        let (mut has_name, mut has_line) = (false, false);
        while lines.peek().is_some_and(|l| !l.starts_with("0x")) {
            has_name |= lines.next() != Some("??");
            has_line |= lines.next().is_some_and(|l| !l.starts_with("??") && !l.ends_with(":?"));
        }
        named.functions += usize::from(has_name);
        named.lines += usize::from(has_line);
    }
    named
}

/// The addresses of a profile in the program, as the file states them.
fn addresses(program: &Path, raw: &Path) -> Result<Vec<u64>> {
    let data = fs::read(program)?;
    let elf = object::File::parse(&*data)?;
    let loads: Vec<(u64, u64, u64)> =
        elf.segments().map(|s| (s.file_range().0, s.file_range().1, s.address())).collect();
    let profile = names::read(raw)?;
    let mut addresses = Vec::new();
    for id in profile.location_ids() {
        let location = profile.location(id);
        let Some(mapping) = location.mapping.filter(|m| m.index() == 0).map(|m| profile.mapping(m)) else {
            continue;
        };
        let offset = location.address - mapping.start + mapping.file_offset;
        let load = loads.iter().rev().find(|(at, size, _)| (*at..at + size).contains(&offset));
        addresses.extend(load.map(|(at, _, address)| offset - at + address));
    }
    addresses.sort_unstable();
    Ok(addresses)
}
