//! The one handle that all unit tests share: there can be one a process.

use std::sync::OnceLock;
use std::time::Duration;

use diag::Diag;
use diag::rules::{Rule, When};

pub(crate) fn diag() -> &'static Diag {
    static DIAG: OnceLock<Diag> = OnceLock::new();
    DIAG.get_or_init(|| {
        // One that fires when a test says so, and two more.
        let told =
            Rule::new("told", When::Told("by_a_test".into())).does([]).debounce(Duration::from_secs(3600));
        let rules = [told, Rule::new("panics", When::Panic).does([]), Rule::near_limit().does([])];
        let builder = Diag::builder().service_name("test").rules(rules);
        builder.start().expect("the first start in this process")
    })
}
