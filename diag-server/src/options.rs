//! What a caller chooses about the router.

use axum::Router;
use diag::Diag;

use crate::guard::Access;
use crate::routes;

/// Choices for [`router_with`].
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) metrics: bool,
    pub(crate) read_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { metrics: true, read_only: false }
    }
}

impl Options {
    /// All routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves the path `/metrics` to the host. `/debug/diag/metrics` stays.
    pub fn without_metrics(mut self) -> Self {
        self.metrics = false;
        self
    }

    /// Refuses what changes something in the process, also where `DIAG_READ_ONLY` does not ask for it.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// The routes, for `merge` into a router with any state type.
///
/// A configured token is demanded; beyond that, who may ask is the host's to decide. A token that is empty or cannot be read
/// closes the routes, with a text that says so.
pub fn router<S: Clone + Send + Sync + 'static>(diag: &Diag) -> Router<S> {
    router_with(diag, &Options::default())
}

/// [`router`] with choices.
pub fn router_with<S: Clone + Send + Sync + 'static>(diag: &Diag, options: &Options) -> Router<S> {
    routes::build(diag, Access::embedded(diag.config()), options)
}
