//! A verdict says under which span, route and tenant what leaks was allocated.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::time::{Duration, Instant};

use diag::leak::Verdict;
use diag::{Diag, LeakOptions, SpanLayer};
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

#[inline(never)]
fn remember(kept: &mut Vec<Vec<u8>>) {
    kept.push(std::hint::black_box(vec![1; 40_000]));
}

#[test]
fn growth_is_charged_to_a_route_and_a_tenant() {
    let subscriber = registry().with(SpanLayer::new().field("tenant"));
    let _default = tracing::subscriber::set_default(subscriber);
    let diag = Diag::builder().sample_bytes(16 << 10).start().unwrap();
    let length = Duration::from_secs(8);
    let mut kept = Vec::with_capacity(10_000);
    let begin = Instant::now();
    let mut watch = diag.watch_leaks(length, None).unwrap();
    let mut next_census = begin + watch.interval();
    while begin.elapsed() < length + Duration::from_secs(1) {
        info_span!("login", http.route = "/login", tenant = "acme").in_scope(|| remember(&mut kept));
        info_span!("browse", http.route = "/items", tenant = "other").in_scope(|| drop(vec![0u8; 40_000]));
        std::thread::sleep(Duration::from_millis(5));
        if Instant::now() >= next_census {
            watch.census();
            next_census = Instant::now() + watch.interval();
        }
    }
    let options = LeakOptions::default().with_maturity(Some(Duration::from_millis(500)));
    let report = watch.report(&options).unwrap();
    assert_eq!(report.verdict, Verdict::Leak, "{report}");
    let suspect = &report.suspects[0];
    assert!(suspect.site.contains("remember"), "{report}");
    let label = |key: &str| suspect.labels.get(key).map(String::as_str);
    assert_eq!(label("span"), Some("login"), "{report}");
    assert_eq!(label("route"), Some("/login"), "{report}");
    assert_eq!(label("tenant"), Some("acme"), "{report}");
}
