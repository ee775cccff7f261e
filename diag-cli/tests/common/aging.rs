//! Captures with ages, as a service with diag in it writes them: a site that leaks among sites that do not.

use std::path::Path;

use diag::profile::{
    Function, Label, LabelSetId, LabelValue, Line, Mapping, MappingSymbols, Period, Profile, ProfileBuilder,
    StackId, StrId, ValueType,
};

use super::save;

const S: i64 = 1_000_000_000;
/// Size of each object, and the sampling period: each stands for itself, about.
const SIZE: i64 = 65_536;

/// A service that is watched.
pub struct Service {
    /// Its name.
    pub name: String,
    /// The function that leaks, if one does.
    pub leak: Option<String>,
    /// A thread's name.
    pub thread: String,
    /// When it started, unix seconds.
    pub started_s: i64,
    /// Its pid.
    pub pid: u32,
    /// Whether captures say when objects were born.
    pub ages: bool,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            name: "orders".into(),
            leak: Some("shop::sessions::remember".into()),
            thread: "worker".into(),
            started_s: 1_795_266_000,
            pid: 4711,
            ages: true,
        }
    }
}

impl Service {
    /// Captures and waterlines every 10 s from 1,000 s to 1,120 s after the start, as a directory.
    pub fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        for n in 0..=12 {
            let second = 1_000 + 10 * n;
            let at = (self.started_s + second) * S;
            let stamp = diag_cli::clock::stamp(at);
            save(&dir.join(format!("heap-{stamp}-{}.pb.gz", self.pid)), &self.capture(second));
            let json = self.waterline(second, n);
            std::fs::write(dir.join(format!("memory-{stamp}-{}.json", self.pid)), json).unwrap();
        }
    }

    /// What is alive so many seconds after the start. The leak leaves an object a second from the start on; the other
    /// sites keep each object for 40 s.
    pub fn capture(&self, second: i64) -> Profile {
        let mut heap = Heap::new(self);
        for site in ["shop::orders::parse", "shop::orders::render", "shop::cache::fill"] {
            let stack = heap.stack(&["alloc::vec::Vec<T>::push", site, "shop::main"]);
            heap.total(stack, second);
            (second - 40..second).for_each(|born| heap.object(stack, born, second));
        }
        if let Some(leak) = &self.leak {
            let stack = heap.stack(&["alloc::string::String::push_str", leak, "shop::main"]);
            heap.total(stack, second);
            (0..second).for_each(|born| heap.object(stack, born, second));
        }
        heap.done(second)
    }

    fn waterline(&self, second: i64, n: i64) -> String {
        let live = second * SIZE;
        // One reading without the allocator's books: a gap.
        let jemalloc = match n {
            5 => serde_json::json!({"missing": "<b>not read</b>"}),
            _ => {
                serde_json::json!({"allocated_bytes": live, "active_bytes": live * 11 / 10, "resident_bytes": live * 5 / 4})
            }
        };
        serde_json::json!({
            "schema": "diag.memory/1", "taken_at_unix_ns": (self.started_s + second) * S, "jemalloc": jemalloc,
            "process": {"rss_bytes": live * 4 / 3, "threads": 7, "rss_peak_bytes": live * 3 / 2},
            "cgroup": {"path": "/orders.slice", "limit_bytes": 160 << 20, "current_bytes": live * 4 / 3},
            "machine": {"total_bytes": 32i64 << 30, "huge_pages": "madvise"},
        })
        .to_string()
    }
}

struct Heap<'a> {
    service: &'a Service,
    builder: ProfileBuilder,
    names: Vec<String>,
}

impl<'a> Heap<'a> {
    fn new(service: &'a Service) -> Self {
        let types = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        let builder = ProfileBuilder::new(types.map(|(kind, unit)| ValueType::new(kind, unit)).to_vec());
        Self { service, builder, names: Vec::new() }
    }

    fn stack(&mut self, leaf_first: &[&str]) -> StackId {
        let b = &mut self.builder;
        let (file, build_id) = (b.str("/opt/svc/orders"), b.str("00112233445566778899aabbccddeeff00112233"));
        let mapping = b.mapping(Mapping {
            start: 0x1000,
            limit: 0x100_0000,
            file_offset: 0,
            file,
            build_id,
            symbols: MappingSymbols::ALL,
        });
        let mut locations = Vec::new();
        for name in leaf_first {
            let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
                self.names.push((*name).to_owned());
                self.names.len() - 1
            });
            let (name, file) = (b.str(name), b.str("/home/dev/shop/src/lib.rs"));
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 1 });
            let line = Line { function, line: 10 + at as i64 };
            locations.push(b.location(Some(mapping), 0x2000 + 16 * at as u64, &[line]));
        }
        b.stack(&locations)
    }

    /// All that was ever allocated there.
    fn total(&mut self, stack: StackId, second: i64) {
        self.builder.sample(stack, LabelSetId::EMPTY, &[second, second * SIZE, 0, 0]);
    }

    fn object(&mut self, stack: StackId, born: i64, now: i64) {
        let b = &mut self.builder;
        let age = match now - born {
            0..10 => "0-10s",
            10..60 => "10-60s",
            60..600 => "1-10m",
            _ => "10-60m",
        };
        let born_ns = (self.service.started_s + born) * S;
        let mut labels = vec![
            Label { key: b.str("bytes"), value: LabelValue::Num(SIZE, b.str("bytes")) },
            Label { key: b.str("thread"), value: LabelValue::Str(b.str(&self.service.thread)) },
        ];
        if self.service.ages {
            labels.push(Label { key: b.str("age"), value: LabelValue::Str(b.str(age)) });
            labels
                .push(Label { key: b.str("born_at"), value: LabelValue::Num(born_ns, b.str("nanoseconds")) });
        }
        let labels = b.labels(&labels);
        b.sample(stack, labels, &[0, 0, 1, SIZE]);
    }

    fn done(mut self, second: i64) -> Profile {
        let at = (self.service.started_s + second) * S;
        let meta = self.builder.meta_mut();
        meta.default_sample_type = Some(3);
        meta.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: SIZE });
        meta.time_unix_ns = Some(at);
        meta.comments.extend([
            format!("service={}", self.service.name),
            format!("pid={}", self.service.pid),
            "diag=0.1.0".to_owned(),
        ]);
        if self.service.ages {
            meta.comments.push(format!("process_started_unix_ns={}", self.service.started_s * S));
            meta.comments.push(format!("taken_process_clock_ns={at}"));
        }
        self.builder.finish().unwrap()
    }
}
