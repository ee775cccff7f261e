//! Settings: a builder, overridden by `DIAG_*` variables. A bad value is reported in `status` and ignored.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings in force.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Config {
    /// Name of the service, in titles and labels.
    pub service_name: String,
    /// `DIAG_SAMPLE_BYTES`: mean bytes between heap samples; `None` leaves jemalloc's own setting (MALLOC_CONF).
    pub sample_bytes: Option<u64>,
    /// `DIAG_LISTEN`: where `diag_server::serve` listens. Default 127.0.0.1:6060.
    pub listen: SocketAddr,
    /// `DIAG_TOKEN_FILE`: file with the token that clients must show. Required off loopback.
    pub token_file: Option<PathBuf>,
    /// `DIAG_CAPTURE_DIR`: captures are written here.
    pub capture_dir: Option<PathBuf>,
    /// `DIAG_CAPTURE_EVERY`: how often. Default 10 s.
    pub capture_every: Duration,
    /// `DIAG_DISABLE`: nothing is collected and nothing listens.
    pub disabled: bool,
}
