//! Profiles to draw, and a reader of the pictures.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use diag::profile::{Function, LabelSetId, Line, Loss, Period, Profile, ProfileBuilder, StrId, ValueType};

/// Collects stacks given by name, root first.
pub(crate) struct Stacks {
    builder: ProfileBuilder,
}

impl Stacks {
    /// A heap profile as the collector makes it, without samples.
    pub(crate) fn heap(time_unix_s: i64) -> Self {
        let mut builder = ProfileBuilder::new(vec![
            ValueType::new("alloc_objects", "count"),
            ValueType::new("alloc_space", "bytes"),
            ValueType::new("inuse_objects", "count"),
            ValueType::new("inuse_space", "bytes"),
        ]);
        let meta = builder.meta_mut();
        meta.default_sample_type = Some(3);
        meta.time_unix_ns = Some(time_unix_s * 1_000_000_000);
        meta.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: 524_288 });
        Self { builder }
    }

    pub(crate) fn loss(mut self, what: &str, count: u64) -> Self {
        self.builder.meta_mut().losses.push(Loss { what: what.to_owned(), count });
        self
    }

    /// A stack from the root outwards, each frame `function` or `function@file`, with live objects and bytes.
    pub(crate) fn add<S: AsRef<str>>(mut self, root_first: &[S], objects: i64, bytes: i64) -> Self {
        self.push(root_first, objects, bytes);
        self
    }

    pub(crate) fn push<S: AsRef<str>>(&mut self, root_first: &[S], objects: i64, bytes: i64) {
        let b = &mut self.builder;
        let mut leaf_first = Vec::new();
        for frame in root_first.iter().rev() {
            let (name, file) = frame.as_ref().rsplit_once('@').unwrap_or((frame.as_ref(), ""));
            let name = b.str(name);
            let file = b.str(file);
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
            leaf_first.push(b.location(None, 0, &[Line { function, line: 7 }]));
        }
        let stack = b.stack(&leaf_first);
        b.sample(stack, LabelSetId::EMPTY, &[2 * objects, 2 * bytes, objects, bytes]);
    }

    pub(crate) fn done(self) -> Profile {
        self.builder.finish().unwrap()
    }
}

const MIB: i64 = 1 << 20;
const MAIN: &str = "orders::main@/home/dev/orders/src/main.rs";
const RUN: &str = "tokio::runtime::task::harness::poll_future@/home/dev/.cargo/registry/src/i/tokio-1.54.1/src/runtime/task/harness.rs";
const SERVE: &str = "orders::http::serve@/home/dev/orders/src/http.rs";
const CACHE: &str = "orders::cache::Cache<K,V>::insert@/home/dev/orders/src/cache.rs";
const GROW: &str = "hashbrown::raw::RawTable<T,A>::reserve_rehash@/home/dev/.cargo/registry/src/i/hashbrown-0.17.1/src/raw.rs";
const PARSE: &str = "serde_json::de::from_slice@/home/dev/.cargo/registry/src/i/serde_json-1.0.154/src/de.rs";
const VEC: &str = "<alloc::vec::Vec<T> as core::iter::traits::collect::FromIterator<T>>::from_iter@/rustc/abc/library/alloc/src/vec/mod.rs";
const AUDIT: &str = "orders::audit::Log::append@/home/dev/orders/src/audit.rs";
const START: &str = "orders::warm_up@/home/dev/orders/src/main.rs";
const C: &str = "SSL_CTX_new";

/// A service's heap, at its first capture.
pub(crate) fn service() -> Profile {
    Stacks::heap(1_795_000_000)
        .loss("truncated_stacks", 3)
        .add(&[MAIN, RUN, SERVE, CACHE, GROW], 210, 24 * MIB)
        .add(&[MAIN, RUN, SERVE, CACHE], 4_000, 6 * MIB)
        .add(&[MAIN, RUN, SERVE, PARSE, VEC], 1_300, 11 * MIB)
        .add(&[MAIN, RUN, SERVE, AUDIT, VEC], 80, 2 * MIB)
        .add(&[MAIN, START, VEC], 12, 9 * MIB)
        .add(&[MAIN, START, C], 1, 700 * 1024)
        .done()
}

/// The same service two minutes later: the audit log grew, the warm-up is gone, metrics are new.
pub(crate) fn service_later() -> Profile {
    Stacks::heap(1_795_000_120)
        .add(&[MAIN, RUN, SERVE, CACHE, GROW], 210, 24 * MIB)
        .add(&[MAIN, RUN, SERVE, CACHE], 4_100, 6 * MIB + 150_000)
        .add(&[MAIN, RUN, SERVE, PARSE, VEC], 1_100, 9 * MIB)
        .add(&[MAIN, RUN, SERVE, AUDIT, VEC], 900, 22 * MIB)
        .add(&[MAIN, RUN, SERVE, "orders::metrics::label@/home/dev/orders/src/metrics.rs"], 5_000, 3 * MIB)
        .add(&[MAIN, START, C], 1, 700 * 1024)
        .done()
}

/// A frame of a picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Drawn {
    pub(crate) text: String,
    pub(crate) label: String,
    pub(crate) fill: String,
    pub(crate) y: i64,
    pub(crate) x: u64,
    pub(crate) width: u64,
}

/// The frames of an SVG (or of the SVG in a page), which must be well-formed XML.
pub(crate) fn frames(markup: &str) -> Vec<Drawn> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(markup, options).expect("well-formed XML");
    let Some(container) = document.descendants().find(|n| n.attribute("id") == Some("frames")) else {
        return Vec::new();
    };
    let fg = "http://github.com/jonhoo/inferno";
    container
        .children()
        .filter(|n| n.is_element())
        .map(|g| {
            let parts: Vec<_> = g.children().collect();
            let names: Vec<_> = parts.iter().map(|n| n.tag_name().name()).collect();
            assert_eq!(names, ["title", "rect", "text"], "a frame has exactly these parts");
            assert!(parts.iter().all(|n| n.children().all(|c| c.is_text())), "no element inside the parts");
            let number = |name| parts[1].attribute((fg, name)).unwrap().parse().unwrap();
            Drawn {
                text: parts[0].text().unwrap_or_default().to_owned(),
                label: parts[2].text().unwrap_or_default().to_owned(),
                fill: parts[1].attribute("fill").unwrap().to_owned(),
                y: parts[1].attribute("y").unwrap().parse().unwrap(),
                x: number("x"),
                width: number("w"),
            }
        })
        .collect()
}

/// Names that would do harm in markup, scripts, folded lines or to the eye.
pub(crate) fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "<script>window.pwned=1</script>",
        "</title><script>window.pwned=1</script>",
        "</svg><img src=x onerror=\"window.pwned=1\">",
        "\"'><svg onload=window.pwned=1>",
        "]]><script>window.pwned=1</script><![CDATA[",
        "</script><script>window.pwned=1</script>",
        "<!-- a -- b --!> <!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>",
        "&lt;b&gt; &e; &#0; &#x1F; &amp",
        "a;b;c 12",
        "f 12 13",
        "# 7",
        "12",
        "all (9 samples, 100%)",
        "--",
        "-",
        "f_[k]",
        "(1,000,000 smaller stacks)",
        "line\nbreak\r\n\tand tab",
        "nul\0bel\u{7}esc\u{1b}[31m del\u{7f} c1\u{9b}",
        "noncharacters \u{fffe}\u{ffff}\u{1fffe}",
        "right to left \u{202e}evil\u{202c} \u{2066}x\u{2069} \u{200f}",
        "zero width \u{200b}\u{feff}",
        "javascript:window.pwned=1",
        "${window.pwned=1} `x` \\u003cscript\\u003e \\",
        "日本語 größe 🦀 e\u{301}",
        " ",
        "a\u{85}b\u{2028}c\u{2029}d",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("huge::<{}>::end", "x🦀\"<".repeat(3_000)));
    names
}
