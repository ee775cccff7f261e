//! The program, asked over HTTP; and the peer that works inside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use diag::profile::pprof;

use crate::layouts::Layout;
use crate::names::{self, Named};
use crate::process::{Cost, status_kib};
use crate::{Measured, Result, Rival};

const FLAME_GRAPH: &str = "/debug/diag/api/v1/flamegraph?kind=heap";
/// jemalloc gives unused pages back within 10 s.
const DECAY: Duration = Duration::from_secs(12);

struct Target {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Target {
    fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ").ok_or("the program did not come up")?.to_owned();
        // What starting has left dirty has decayed.
        std::thread::sleep(DECAY);
        Ok(Self { child, stdin, stdout, address })
    }

    /// The body of an answer, and how long it took.
    fn get(&self, path: &str) -> Result<(f64, Vec<u8>)> {
        let start = Instant::now();
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let elapsed = start.elapsed().as_secs_f64();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no end of the headers")?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(format!("{path}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok((elapsed, answer.split_off(end + 4)))
    }

    /// Resident now, in KiB.
    fn resident(&self) -> u64 {
        status_kib(self.child.id(), "VmRSS:").unwrap_or(0)
    }

    /// What `ask` adds at most to what is resident, in MiB; and its result.
    fn peak<T>(&mut self, ask: impl FnOnce(&mut Self) -> Result<T>) -> Result<(f64, T)> {
        // 5: the high-water mark begins anew (proc(5), clear_refs).
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        let before = self.resident();
        let result = ask(self)?;
        let high = status_kib(self.child.id(), "VmHWM:").unwrap_or(0);
        Ok((high.saturating_sub(before) as f64 / 1024.0, result))
    }

    fn kept_mib(&self, before_kib: u64) -> f64 {
        std::thread::sleep(DECAY);
        (self.resident() as f64 - before_kib as f64) / 1024.0
    }
}

/// The first flame graph of two new processes: with cold files, and with warm ones. Leaves a profile without names in `raw`.
pub fn measure(layout: &Layout, raw: &Path) -> Result<Measured> {
    let mut target = Target::start(&layout.program)?;
    let (_, bytes) = target.get("/debug/pprof/heap?symbolize=false")?;
    std::fs::write(raw, bytes)?;
    layout.make_cold()?;
    let before = target.resident();
    let (cold_peak, (cold_s, _)) = target.peak(|t| t.get(FLAME_GRAPH))?;
    let kept_mib = target.kept_mib(before);
    let (again_s, _) = target.get(FLAME_GRAPH)?;
    let (_, profile) = target.get("/debug/pprof/heap")?;
    let named = names::count(&pprof::decode(&profile)?);
    drop(target);

    let mut target = Target::start(&layout.program)?;
    let (warm_peak, (warm_s, _)) = target.peak(|t| t.get(FLAME_GRAPH))?;
    let peak_mib = cold_peak.max(warm_peak);
    let cost = Cost { cold_s, warm_s, again_s: Some(again_s), peak_mib, kept_mib: Some(kept_mib) };
    Ok(Measured { cost, named })
}

/// The same by jemalloc_pprof, which has names as text only; or that it fails.
pub fn jemalloc_pprof(layout: &Layout, dir: &Path) -> Result<Rival> {
    let file = dir.join("jemalloc_pprof.svg");
    let draw = |target: &mut Target| -> Result<f64> {
        writeln!(target.stdin, "jemalloc_pprof {}", file.display())?;
        let mut line = String::new();
        target.stdout.read_line(&mut line)?;
        Ok(line.trim().strip_prefix("drawn ").ok_or("jemalloc_pprof failed")?.parse()?)
    };
    let mut target = Target::start(&layout.program)?;
    layout.make_cold()?;
    let before = target.resident();
    let Ok((cold_peak, cold_s)) = target.peak(draw) else {
        return Ok(Err("fails".into()));
    };
    let kept_mib = target.kept_mib(before);
    let again_s = draw(&mut target)?;
    drop(target);

    let mut target = Target::start(&layout.program)?;
    let (warm_peak, warm_s) = target.peak(draw)?;
    let cost = Cost {
        cold_s,
        warm_s,
        again_s: Some(again_s),
        peak_mib: cold_peak.max(warm_peak),
        kept_mib: Some(kept_mib),
    };
    Ok(Ok(Measured { cost, named: in_picture(&std::fs::read_to_string(&file)?) }))
}

/// Frames of a picture that have a name rather than an address. Lines are not in it.
fn in_picture(svg: &str) -> Named {
    let titles = svg.split("<title>").skip(1).filter_map(|t| t.split("</title>").next());
    let mut named = Named::default();
    for title in titles {
        named.addresses += 1;
        named.functions += usize::from(!title.starts_with("0x") && !title.starts_with("unknown"));
    }
    named
}
