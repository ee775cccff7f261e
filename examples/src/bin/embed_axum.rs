//! Embedding 1: an axum service with a state type of its own. Its routes and those of diag share one listener.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use examples::args::{Args, from_command_line};
use examples::client::send_for_ever;
use examples::listen::listen;
use examples::request::Request;
use examples::shop::Shop;
use examples::traffic::Traffic;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const CONNECTIONS: u32 = 4;

#[derive(Clone)]
struct AppState {
    shop: Arc<Shop>,
    served: Arc<AtomicU64>,
}

async fn answer(
    State(app): State<AppState>,
    route: MatchedPath,
    (method, uri, body): (Method, Uri, Bytes),
) -> (StatusCode, Vec<u8>) {
    app.served.fetch_add(1, Ordering::Relaxed);
    let request = Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: Vec::new(),
        body: body.to_vec(),
    };
    let span = tracing::info_span!("answer", route = route.as_str());
    let reply = span.in_scope(|| app.shop.handle(&request));
    (StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), reply.body)
}

async fn served(State(app): State<AppState>) -> String {
    format!("{}\n", app.served.load(Ordering::Relaxed))
}

#[tokio::main]
async fn serve(args: Args) -> anyhow::Result<()> {
    let diag = diag::Diag::builder().service_name("embed-axum").start()?;
    let state = AppState { shop: Arc::new(Shop::open()), served: Arc::default() };
    let app: Router<AppState> = Router::new()
        .route("/items/{item}", get(answer))
        .route("/search", get(answer))
        .route("/login", post(answer))
        .route("/orders", post(answer))
        .route("/uploads/{name}", post(answer))
        .route("/prices/{item}/follow", get(answer))
        .route("/reports/{month}", get(answer))
        .layer(diag::WorkLayer::new())
        .route("/served", get(served));
    let app = app.merge(diag_server::router(&diag));

    let addr = listen(args.listen.context("this program has to listen")?, app.with_state(state)).await?;
    let each = f64::from(args.requests_per_s) / f64::from(CONNECTIONS);
    for worker in 0..CONNECTIONS {
        tokio::spawn(send_for_ever(addr, Traffic::new(args.seed, worker.into()), each));
    }
    tokio::time::sleep(args.run_for).await;
    Ok(())
}

fn main() -> ExitCode {
    from_command_line(
        "embed_axum",
        "an axum service with its own state, and diag on the same listener",
        serve,
    )
}
