//! The one handle that all unit tests share: there can be one a process.

use std::sync::OnceLock;

use diag::Diag;

pub(crate) fn diag() -> &'static Diag {
    static DIAG: OnceLock<Diag> = OnceLock::new();
    DIAG.get_or_init(|| {
        Diag::builder().service_name("test").start().expect("the first start in this process")
    })
}
