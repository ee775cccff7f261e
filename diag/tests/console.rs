//! tokio-console's layer in a program as hosts build it: without `tokio_unstable` it says so and does nothing; with it, it serves, and keeps
//! no more tasks than it may.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo test -p diag --features console --test console` runs the second half.
#![cfg(feature = "console")]

use diag::console::{self, ConsoleError, ConsoleOptions};
use tracing_subscriber::prelude::*;

#[cfg(not(tokio_unstable))]
#[test]
fn without_tokio_unstable_it_says_so_and_is_quiet() {
    let layer = console::layer(ConsoleOptions::new().listen("127.0.0.1:0".parse().unwrap()));
    let registry = tracing_subscriber::registry().with(layer);
    assert_eq!(
        tracing::Subscriber::max_level_hint(&registry),
        Some(tracing::level_filters::LevelFilter::OFF)
    );
    assert_eq!(console::problem(), Some(ConsoleError::NotUnstable));
    assert!(console::problem().unwrap().to_string().contains("--cfg tokio_unstable"));
    assert_eq!(console::stats(), None);
}

#[cfg(tokio_unstable)]
#[test]
fn it_serves_and_keeps_no_more_tasks_than_it_may() {
    use std::io::{Read as _, Write as _};

    let options = ConsoleOptions::new().listen("127.0.0.1:0".parse().unwrap()).max_tasks(10);
    let registry = tracing_subscriber::registry().with(console::layer(options));
    let second = console::layer::<tracing_subscriber::Registry>(ConsoleOptions::new());
    drop(second);
    assert_eq!(console::problem(), Some(ConsoleError::Twice));
    let address = console::stats().unwrap().address.unwrap();

    tracing::subscriber::set_global_default(registry).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0..100 {
            assert_eq!(tokio::spawn(async move { n }).await.unwrap(), n);
        }
        let held: Vec<_> = (0..20).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        tokio::task::yield_now().await;
        drop(held);
    });
    let stats = console::stats().unwrap();
    // What `block_on` runs is a task to tokio as well.
    assert_eq!((stats.tasks_kept, stats.tasks_not_shown), (10, 111), "{stats:?}");

    // HTTP/2 speaks there: it answers a preface with its settings.
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame: {frame:?}");
}
