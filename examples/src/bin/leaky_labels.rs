//! Leak: metrics labels of growing cardinality. The histogram of answer sizes is labelled with path and user as they come, so
//! there is a new time series for nearly every request.
//!
//! The twin labels with the route.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Mutex;

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const BUCKETS: usize = 160;

struct Histogram {
    buckets: Vec<u64>,
    sum: u64,
}

type Labels = Vec<(String, String)>;

struct Registry {
    fixed: bool,
    series: Mutex<HashMap<Labels, Histogram>>,
}

impl Registry {
    fn new(fixed: bool) -> Self {
        Self { fixed, series: Mutex::default() }
    }

    fn labels(&self, request: &Request, reply: &Reply) -> Labels {
        let path = if self.fixed {
            format!("/{}", request.path.split('/').nth(1).unwrap_or_default())
        } else {
            format!("{} user={}", request.path, request.user())
        };
        vec![
            ("method".to_owned(), request.method.clone()),
            ("path".to_owned(), path),
            ("status".to_owned(), reply.status.to_string()),
        ]
    }

    /// One more time series for labels that are new.
    fn observe(&self, labels: Labels, bytes: u64) {
        let mut series = lock(&self.series);
        let histogram =
            series.entry(labels).or_insert_with(|| Histogram { buckets: vec![0; BUCKETS], sum: 0 });
        histogram.sum += bytes;
        if let Some(count) = histogram.buckets.get_mut(bytes.ilog2() as usize) {
            *count += 1;
        }
    }
}

impl Feature for Registry {
    fn on_request(&self, request: &Request, reply: &Reply) {
        self.observe(self.labels(request, reply), reply.body.len().max(1) as u64);
    }
}

fn main() -> ExitCode {
    run("leaky_labels", "Registry::observe makes a time series for every path and user", Registry::new)
}
