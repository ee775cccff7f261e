//! A service with much code: it runs scripts, keeps what came out, and is diagnosed.
//!
//! Prints `listening HOST:PORT` once the work is done, then answers lines on stdin until there are no more:
//! `jemalloc_pprof FILE` draws that crate's flame graph with names into FILE and prints `drawn SECONDS`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use boa_engine::{Context, Source};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// Small, so that the profile has stacks from all over the program.
const SAMPLE_BYTES: u64 = 8 << 10;
const SCRIPTS: usize = 12;

/// Strings, regular expressions, maps, classes, closures, generators, JSON, sorting.
const SCRIPT: &str = r#"
class Order {
    constructor(id, lines) { this.id = id; this.lines = lines; this.placed = new Date(id * 1000); }
    get total() { return this.lines.reduce((sum, line) => sum + line.price * line.count, 0); }
    toJSON() { return { id: this.id, total: this.total, lines: this.lines }; }
}
function* ids(n) { for (let i = 0; i < n; i++) yield i; }
const orders = [];
for (const id of ids(60)) {
    const lines = Array.from({ length: id % 7 }, (_, i) => ({ sku: `sku-${id}-${i}`, price: id * 1.5 + i, count: i + 1 }));
    orders.push(new Order(id, lines));
}
const bySku = new Map();
for (const order of orders) for (const line of order.lines) bySku.set(line.sku, order);
const text = JSON.stringify(orders, null, 2);
const again = JSON.parse(text, (key, value) => key === "price" ? value * 2 : value);
const words = text.replace(/sku-(\d+)/g, (m, n) => "item" + n).split(/\s+/).filter(w => w.length > 3);
const counts = words.reduce((all, w) => { all[w] = (all[w] ?? 0) + 1; return all; }, {});
const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
const big = new Float64Array(512).map((_, i) => Math.sqrt(i));
globalThis.kept = { orders, bySku, again, sorted, big, later: () => words.length, set: new Set(words) };
sorted.length
"#;

#[inline(never)]
fn run_script(n: usize) -> Result<Context, Box<dyn Error>> {
    let mut context = Context::default();
    context.eval(Source::from_bytes(SCRIPT)).map_err(|e| format!("script {n}: {e}"))?;
    Ok(context)
}

/// The peer: jemalloc's own dump, named and drawn in the process.
fn draw_with_jemalloc_pprof(file: &str) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or("jemalloc does not profile")?;
    let svg = control.blocking_lock().dump_flamegraph()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::write(file, svg)?;
    println!("drawn {seconds:.3}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let diag = diag::Diag::builder()
        .service_name("big")
        .sample_bytes(SAMPLE_BYTES)
        .listen(([127, 0, 0, 1], 0).into())
        .stacks_for_jemalloc(true)
        .start()?;
    let serving = diag_server::serve(&diag)?;
    let scripts = (0..SCRIPTS).map(run_script).collect::<Result<Vec<_>, _>>()?;
    // From here on the heap stands still.
    println!("listening {}", serving.local_addr());
    std::io::stdout().flush()?;
    for line in std::io::stdin().lock().lines() {
        match line?.split_once(' ') {
            Some(("jemalloc_pprof", file)) => draw_with_jemalloc_pprof(file)?,
            _ => return Err("a line is: jemalloc_pprof FILE".into()),
        }
        std::io::stdout().flush()?;
    }
    drop(scripts);
    Ok(())
}
