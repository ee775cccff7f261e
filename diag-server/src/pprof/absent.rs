//! Profiles that pprof's clients ask for and this build does not take: a text that says what to do instead.

use axum::http::StatusCode;

use crate::failure::Failure;

/// A path without a profile behind it.
#[derive(Debug)]
pub(crate) struct Absent {
    pub(crate) path: &'static str,
    /// Why, and what to ask for instead.
    text: &'static str,
}

pub(crate) const ABSENT: &[Absent] = &[
    Absent {
        path: "/debug/pprof/threadcreate",
        text: "there is no profile of thread creation; /debug/diag/api/v1/memory tells the number of threads",
    },
    #[cfg(not(feature = "recorder"))]
    Absent {
        path: diag::endpoints::PPROF_TRACE,
        text: "diag-server was built without its feature `recorder`; switch it on, and add diag::recorder::RecorderLayer to the \
               service's tracing subscriber",
    },
];

/// 501 rather than 404: the path is known, and the answer is no.
pub(crate) async fn absent(absent: &'static Absent) -> Failure {
    Failure::new(StatusCode::NOT_IMPLEMENTED, absent.text)
}
