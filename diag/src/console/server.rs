//! The gRPC server that the client connects to, on a thread and a runtime of its own.
//!
//! console-subscriber's own `spawn` panics in its thread when the address is taken. Here the listener is bound before anything is
//! started, so that a taken port is an error with an address, and the thread reports its end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use console_subscriber::Server;
use tonic::transport::server::TcpIncoming;
use tracing_core::dispatcher::{self, Dispatch};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Interest, LevelFilter, Metadata, Subscriber};

use super::{ConsoleError, Shared, ended};

/// What the server does with tokio is not shown as the program's. `Dispatch::none` would not do: while there is one subscriber or none,
/// tracing asks the thread's own about a place that it meets for the first time and keeps the answer for all threads.
struct Quiet;

impl Subscriber for Quiet {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Listens; where, when the port was 0.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ConsoleError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|e| ConsoleError::Listen { address, why: e.to_string() })
}

/// Serves until the process ends.
pub(super) fn start(listener: TcpListener, server: Server, shared: Arc<Shared>) -> Result<(), ConsoleError> {
    // Two, and before there is the thread: from then on tracing asks all it knows, under a lock, however late the program's own comes.
    let quiet = [Dispatch::new(Quiet), Dispatch::new(Quiet)];
    let work = move || {
        let [quiet, _second] = &quiet;
        let _quiet = dispatcher::set_default(quiet);
        let why = match serve(listener, server) {
            Ok(()) => "it stopped by itself".to_owned(),
            Err(e) => e.to_string(),
        };
        ended(&shared, why);
    };
    let thread = std::thread::Builder::new().name("diag-console".into()).spawn(work);
    thread.map(|_| ()).map_err(|e| ConsoleError::Server(format!("no thread for it: {e}")))
}

fn serve(listener: TcpListener, server: Server) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let parts = server.into_parts();
        // On its own, so that a panic of the one is an error here.
        let aggregator = tokio::spawn(parts.aggregator.run());
        let service = tonic::transport::Server::builder().add_service(parts.instrument_server);
        let service = tokio::spawn(service.serve_with_incoming(TcpIncoming::from(listener)));
        tokio::select! {
            ended = aggregator => Ok(ended?),
            ended = service => Ok(ended??),
        }
    })
}
