//! Who answers: a service with diag in it, or some other pprof server.

use std::time::Duration;

use diag::endpoints;
use serde_json::Value;

use crate::captures::Process;
use crate::http::{Client, FetchError};
use crate::target::Endpoint;

/// The `status` of a service with diag in it. Fields are read one by one, so that other versions are understood.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

/// What a live target turned out to be.
#[derive(Debug)]
pub enum Remote {
    /// diag's server.
    Ours(Status),
    /// Something that answers HTTP, and not with a status.
    Foreign {
        /// The HTTP status of the request for the status document.
        http_status: u16,
    },
}

/// Asks a target for its status.
///
/// # Errors
/// When there is no answer at all, or it wants a token.
pub fn identify(client: &Client, endpoint: &Endpoint) -> Result<Remote, FetchError> {
    match client.get(endpoint, endpoints::API_STATUS, Duration::ZERO) {
        Ok(answer) => Ok(match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) if is_status(&value) => Remote::Ours(Status(value)),
            _ => Remote::Foreign { http_status: 200 },
        }),
        Err(FetchError::Status { status, .. }) if !matches!(status, 401 | 403 | 429 | 502 | 503 | 504) => {
            Ok(Remote::Foreign { http_status: status })
        }
        Err(e) => Err(e),
    }
}

fn is_status(value: &Value) -> bool {
    value.get("schema").and_then(Value::as_str).is_some_and(|s| s.starts_with("diag.status/"))
}

impl Status {
    /// Which process this is.
    pub fn process(&self) -> Option<Process> {
        let pid = self.0.get("pid")?.as_u64().and_then(|p| u32::try_from(p).ok())?;
        let started = self.0.get("started_unix_s")?.as_f64()?;
        Some(Process { pid, started_unix_s: started.max(0.0) as u64 })
    }

    /// The name of the service, when it has one.
    pub fn service_name(&self) -> Option<&str> {
        self.0.pointer("/config/service_name")?.as_str().filter(|s| !s.is_empty())
    }

    /// The path of its program, on its machine.
    pub fn executable(&self) -> Option<&str> {
        self.0.get("executable")?.as_str().filter(|s| !s.is_empty())
    }

    /// A number below `/heap`.
    pub fn heap_number(&self, field: &str) -> Option<f64> {
        self.0.get("heap")?.get(field)?.as_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_its_process() {
        let value: Value = serde_json::from_str(
            r#"{"schema":"diag.status/1","pid":7,"started_unix_s":1795266000.25,"config":{"service_name":"orders"}}"#,
        )
        .unwrap();
        assert!(is_status(&value));
        let status = Status(value);
        assert_eq!(status.process(), Some(Process { pid: 7, started_unix_s: 1_795_266_000 }));
        assert_eq!(status.service_name(), Some("orders"));
        assert!(!is_status(&serde_json::json!({"schema": "other/1"})));
    }
}
