//! No leak, though it looks like one at first: a cache that warms up to its bound, 24 MiB after some 15,000 requests.

use std::process::ExitCode;
use std::sync::Mutex;

use examples::bounded::Bounded;
use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use examples::traffic::Kind;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const PICTURES: usize = 1500;
const PICTURE_BYTES: usize = 16 << 10;

struct PictureCache {
    pictures: Mutex<Bounded<String, Vec<u8>>>,
}

impl PictureCache {
    fn fill(&self, name: &str, seed: u64) {
        let picture = (0..PICTURE_BYTES as u64).map(|n| (n ^ seed) as u8).collect();
        lock(&self.pictures).insert(name.to_owned(), picture);
    }
}

impl Feature for PictureCache {
    fn on_request(&self, request: &Request, _reply: &Reply) {
        if request.kind() == Some(Kind::Login) {
            self.fill(request.header("x-request-id"), request.user());
        }
    }
}

fn main() -> ExitCode {
    run(
        "warm_cache",
        "PictureCache::fill grows to its bound and stays there; --fixed changes nothing",
        |_| PictureCache { pictures: Mutex::new(Bounded::new(PICTURES)) },
    )
}
