//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use diag::{Diag, endpoints};

use crate::failure::Failure;
use crate::guard::{Access, Gate, guard};
use crate::kept::Kept;
use crate::limits::{Limits, Shared};
use crate::options::Options;
use crate::{api, home, metrics, outgoing, panics, pprof, ui};

type Routes = MethodRouter<Arc<Shared>>;

/// All routes, guarded, for any state type.
pub(crate) fn build<S: Clone + Send + Sync + 'static>(
    diag: &Diag,
    access: Access,
    options: &Options,
) -> Router<S> {
    build_with(diag, access, options, Router::new())
}

/// [`build`], with other routes that are protected likewise.
fn build_with<S: Clone + Send + Sync + 'static>(
    diag: &Diag,
    access: Access,
    options: &Options,
    mut router: Router<Arc<Shared>>,
) -> Router<S> {
    let read_only = options.read_only || diag.config().read_only;
    let shared =
        Arc::new(Shared { diag: diag.clone(), limits: Limits::new(), kept: Kept::default(), read_only });
    let mut add = |path: &str, methods: Routes| {
        router = std::mem::take(&mut router).route(path, methods.fallback(wrong_method));
    };
    add(endpoints::PPROF_INDEX, get(pprof::index));
    add(endpoints::PPROF_HEAP, get(pprof::heap));
    add(endpoints::PPROF_ALLOCS, get(pprof::allocs));
    add(endpoints::PPROF_PROFILE, get(pprof::profile));
    add(endpoints::PPROF_TASKS, get(pprof::tasks));
    add(endpoints::PPROF_GOROUTINE, get(pprof::tasks));
    add(endpoints::PPROF_TASKLEAK, get(pprof::taskleak));
    add(endpoints::PPROF_MUTEX, get(pprof::mutex));
    add(endpoints::PPROF_BLOCK, get(pprof::block));
    add(endpoints::PPROF_CMDLINE, get(pprof::cmdline));
    add(endpoints::PPROF_SYMBOL, get(pprof::symbol_count).merge(post(pprof::symbol)));
    #[cfg(feature = "recorder")]
    add(endpoints::PPROF_TRACE, get(pprof::trace));
    for absent in pprof::ABSENT {
        add(absent.path, get(move || pprof::absent(absent)));
    }
    add(endpoints::API_STATUS, get(api::status));
    add(endpoints::API_HEALTH, get(api::health));
    add(endpoints::API_MEMORY, get(api::memory));
    add(endpoints::API_LEAKS, get(api::leaks).post(api::leaks));
    add(endpoints::API_FLAMEGRAPH, get(api::flamegraph));
    add(endpoints::API_TASKS, get(api::tasks));
    add(endpoints::API_TRIAGE, get(api::triage));
    add(endpoints::API_PURGE, post(api::purge));
    add(endpoints::API_HISTORY, get(api::history));
    add(endpoints::API_COURSES, get(api::courses));
    add(endpoints::API_VIEW, get(api::view));
    add(endpoints::API_KEPT, get(api::kept).merge(post(api::keep)));
    add(endpoints::API_CAPTURES, get(api::captures));
    add(&format!("{}/{{name}}", endpoints::API_CAPTURES), get(api::capture));
    add(endpoints::UI, get(ui::page));
    add(&format!("{}ui/{{file}}", endpoints::UI), get(ui::file));
    add(metrics::SECOND_PATH, get(metrics::text));
    if options.metrics {
        add(metrics::PATH, get(metrics::text));
    }
    // Without the final slash people get there, instead of nowhere.
    for with_slash in [endpoints::PPROF_INDEX, endpoints::UI] {
        add(with_slash.trim_end_matches('/'), get(move || home::moved(with_slash)));
    }
    let gate = Gate { access, read_only };
    protect(router, gate, shared)
}

/// Layers on the routes only: a host's own 404 stays the host's.
fn protect<S: Clone + Send + Sync + 'static>(
    routes: Router<Arc<Shared>>,
    gate: Gate,
    shared: Arc<Shared>,
) -> Router<S> {
    routes
        .route_layer(from_fn_with_state(Arc::new(gate), guard))
        .route_layer(from_fn_with_state(Arc::clone(&shared), outgoing::bound))
        .route_layer(from_fn_with_state(Arc::clone(&shared), panics::catch))
        .with_state(shared)
}

/// Answers for all other paths, for a listener that has nothing else.
pub(crate) fn with_fallback(router: Router) -> Router {
    router.fallback(nothing_here)
}

async fn nothing_here() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "nothing is here; /debug/pprof/ and /debug/diag/ list what there is")
}

async fn wrong_method(method: Method, request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(100).collect();
    let right = if path == endpoints::API_PURGE { "POST" } else { "GET" };
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not answer {method}; use {right}"))
}

#[cfg(test)]
#[path = "routes_tests.rs"]
pub(crate) mod tests;
