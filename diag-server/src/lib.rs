//! The HTTP endpoints of diag, on axum.
