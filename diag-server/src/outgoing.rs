//! How much memory answers take that are under way. A client that asks for large ones and reads slowly holds them; all together
//! they may hold [`MOST_BYTES`].

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;
use crate::limits::Shared;

/// Of all answers that are under way: about three of the largest profiles that the collector's tables can make.
pub(crate) const MOST_BYTES: usize = 96 << 20;
/// Smaller ones are bounded by the number of connections.
const SMALL_BYTES: usize = 64 << 10;
const RETRY_AFTER_S: u32 = 30;

/// Bytes that are counted until the last of them is sent or thrown away.
struct Counted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The budget, in bytes.
pub(crate) fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST_BYTES))
}

/// Runs before every route.
pub(crate) async fn bound(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (head, body) = next.run(request).await.into_parts();
    // All our bodies are whole in memory; the size is known.
    let size = body.size_hint().exact().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    if size <= SMALL_BYTES {
        return Response::from_parts(head, body);
    }
    let permit = u32::try_from(size).ok().filter(|_| size <= MOST_BYTES);
    let Some(permits) = permit else {
        let most = MOST_BYTES >> 20;
        let text = format!(
            "the answer has {} MiB, more than the {most} MiB that may be under way; ask with symbolize=false, or set \
             DIAG_SAMPLE_BYTES higher",
            size >> 20
        );
        return Failure::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let Ok(permit) = Arc::clone(&shared.limits.outgoing).try_acquire_many_owned(permits) else {
        let text = "too many large answers are being read slowly; try again when they are done";
        return shared.limits.refuse(text, RETRY_AFTER_S).into_response();
    };
    match to_bytes(body, size).await {
        Ok(bytes) => {
            let counted = Bytes::from_owner(Counted { bytes, _permit: permit });
            Response::from_parts(head, Body::from(counted))
        }
        Err(e) => Failure::internal(format!("the answer broke off: {e}")).into_response(),
    }
}
