//! What the fuzz target reaches and nobody else: the routes as the own listener has them. Built with `--cfg diag_fuzz` only.

use axum::Router;
use diag::{Diag, Secret};

use crate::guard::Access;
use crate::options::Options;
use crate::routes;

/// The routes of a listener on loopback: with this token, or for this machine's own names.
pub fn listener(diag: &Diag, token: Option<&str>) -> Router {
    let access = match token {
        None => Access::Loopback,
        Some(token) => {
            let mut config = diag.config().clone();
            config.token = Some(Secret::new(token));
            Access::embedded(&config)
        }
    };
    routes::with_fallback(routes::build(diag, access, &Options::default()))
}
