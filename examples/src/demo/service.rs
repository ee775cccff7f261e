//! The service of the demo: an axum router with its own state, as a team would write it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::replies::IdempotencyKeys;
use crate::request::Request;
use crate::shop::Shop;

/// The state of the service.
#[derive(Clone, Debug)]
pub struct App {
    shop: Arc<Shop>,
    replies: Arc<IdempotencyKeys>,
}

impl App {
    /// A shop, and what it remembers of its orders.
    pub fn open(fixed: bool) -> Self {
        Self { shop: Arc::new(Shop::open()), replies: Arc::new(IdempotencyKeys::new(fixed)) }
    }

    /// Whether everything that has a bound has about reached it.
    pub fn is_warm(&self) -> bool {
        self.replies.is_warm()
    }
}

/// The routes of the shop and of its diagnostics.
pub fn router(diag: &diag::Diag) -> Router<App> {
    Router::new()
        .route("/items/{item}", get(answer))
        .route("/search", get(answer))
        .route("/login", post(answer))
        .route("/orders", post(place_order))
        .route("/uploads/{name}", post(answer))
        .route("/prices/{item}/follow", get(answer))
        .route("/reports/{month}", get(answer))
        .layer(diag::WorkLayer::new())
        .merge(diag_server::router(diag))
}

type Parts = (Method, Uri, HeaderMap, Bytes);

async fn answer(State(app): State<App>, parts: Parts) -> impl IntoResponse {
    reply(app.shop.handle(&request(parts)))
}

async fn place_order(State(app): State<App>, parts: Parts) -> impl IntoResponse {
    let request = request(parts);
    let key = request.header("x-request-id");
    if let Some(known) = app.replies.recall(key) {
        return (StatusCode::OK, known);
    }
    let answer = app.shop.handle(&request);
    if answer.status != 200 {
        return reply(answer);
    }
    let page = confirmation(key, &answer.body);
    app.replies.remember_reply(key, page.as_bytes());
    (StatusCode::OK, page.into_bytes())
}

/// The page that thanks for an order, some 8 KiB.
fn confirmation(key: &str, receipt: &[u8]) -> String {
    let receipt = String::from_utf8_lossy(receipt);
    let mut page =
        format!("<!doctype html><title>Order {key}</title><h1>Thank you</h1><pre>{receipt}</pre><ol>");
    for step in 1..=40 {
        let _ = write!(
            page,
            "<li class=\"step step-{step}\">Step {step} of the delivery of order {key}: planned, not yet done, "
        );
        page.push_str("see your account for changes.</li>\n");
    }
    page.push_str("</ol>");
    page
}

fn request((method, uri, headers, body): Parts) -> Request {
    Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
    }
}

fn reply(reply: crate::request::Reply) -> (StatusCode, Vec<u8>) {
    (StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), reply.body)
}
