//! Leak: a small slice that pins a large buffer. The gallery keeps the first line of every picture, and with it the whole
//! picture, because `Bytes::slice` shares.
//!
//! The twin copies the line. Both keep as many lines.

use std::process::ExitCode;
use std::sync::Mutex;

use bytes::Bytes;
use examples::bounded::Bounded;
use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use examples::traffic::Kind;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// Harmless, if a line were all that is kept.
const LINES: usize = 20_000;

struct Gallery {
    fixed: bool,
    lines: Mutex<Bounded<String, Bytes>>,
}

impl Gallery {
    fn new(fixed: bool) -> Self {
        Self { fixed, lines: Mutex::new(Bounded::new(LINES)) }
    }

    /// The picture in its own buffer: the first line as it is, then every byte as the difference to the one before.
    fn decode_picture(upload: &[u8]) -> Bytes {
        let mut picture = Vec::with_capacity(upload.len());
        let mut last = 0u8;
        for &byte in upload {
            picture.push(if picture.len() < 64 { byte } else { byte.wrapping_sub(last) });
            last = byte;
        }
        Bytes::from(picture)
    }

    fn keep_first_line(&self, name: &str, picture: &Bytes) {
        let end = picture.iter().position(|&b| b == b'\n').unwrap_or(0);
        let line = if self.fixed {
            Bytes::copy_from_slice(picture.get(..end).unwrap_or_default())
        } else {
            picture.slice(..end)
        };
        lock(&self.lines).insert(name.to_owned(), line);
    }
}

impl Feature for Gallery {
    fn on_request(&self, request: &Request, _reply: &Reply) {
        if request.kind() == Some(Kind::Upload) {
            let picture = Self::decode_picture(&request.body);
            self.keep_first_line(request.header("x-request-id"), &picture);
        }
    }
}

fn main() -> ExitCode {
    run("leaky_slice", "Gallery::keep_first_line pins what Gallery::decode_picture allocated", Gallery::new)
}
