//! `WorkLayer` on real services. One test function: the count is the process's.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use diag::{WorkLayer, work_total};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

/// How much the count rose meanwhile.
macro_rules! counted {
    ($body:expr) => {{
        let before = work_total();
        let result = $body;
        (result, work_total() - before)
    }};
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_call_counts_once_however_it_ends() {
    let app = Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/fails", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/panics", get(panics))
        .layer(WorkLayer::new())
        .route("/not/work", get(|| async { "a probe" }));

    let (answers, units) = counted!({
        let mut answers = Vec::new();
        for _ in 0..25 {
            answers.push(app.clone().oneshot(request("/ok")).await.unwrap().status());
        }
        answers
    });
    assert!(answers.iter().all(StatusCode::is_success));
    assert_eq!(units, 25);

    let (status, units) = counted!(app.clone().oneshot(request("/fails")).await.unwrap().status());
    assert_eq!((status, units), (StatusCode::INTERNAL_SERVER_ERROR, 1));
    let (status, units) = counted!(app.clone().oneshot(request("/not/work")).await.unwrap().status());
    assert_eq!((status, units), (StatusCode::OK, 0), "routes added behind the layer do not count");

    let limit = Duration::from_millis(20);
    let (late, units) = counted!(tokio::time::timeout(limit, app.clone().oneshot(request("/hangs"))).await);
    assert!(late.is_err());
    assert_eq!(units, 1, "a call given up");
    let (died, units) = counted!(tokio::spawn(app.clone().oneshot(request("/panics"))).await);
    assert!(died.is_err());
    assert_eq!(units, 1, "a call that panics");

    // Not axum, errors, and a future kept after its end.
    let mut failing =
        WorkLayer::new().layer(service_fn(|n: u32| async move { if n == 0 { Err("zero") } else { Ok(n) } }));
    let mut kept = Box::pin(failing.ready().await.unwrap().call(0));
    let (answer, units) = counted!(kept.as_mut().await);
    assert_eq!((answer, units), (Err("zero"), 1), "counted at its end, not at its drop");
    let ((), units) = counted!(drop(kept));
    assert_eq!(units, 0);

    // Clones count into the same total, from any thread.
    let echo = WorkLayer::new().layer(service_fn(|n: u64| async move { Ok::<_, Infallible>(n) }));
    let (sum, units) = counted!({
        let calls: Vec<_> = (0..100).map(|n| tokio::spawn(echo.clone().oneshot(n))).collect();
        let mut sum = 0;
        for call in calls {
            sum += call.await.unwrap().unwrap();
        }
        sum
    });
    assert_eq!((sum, units), (4950, 100));
}

async fn panics() {
    panic!("as the test wants it");
}
