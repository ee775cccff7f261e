//! Tasks that never end are explained, each in its way; those of the twin are not accused.

use std::thread;

use diag::tasks::{SiteReport, TaskVerdict, TasksReport};

use super::{WATCHED, get, start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_leaky_tasks");

fn report(addr: &str) -> TasksReport {
    serde_json::from_slice(&get(addr, "/debug/diag/api/v1/tasks")).expect("a report")
}

fn site<'a>(report: &'a TasksReport, function: &str) -> &'a SiteReport {
    let named = format!("leaky_tasks::{function}");
    report.sites.iter().find(|site| site.future == named).unwrap_or_else(|| panic!("no {named}: {report:#?}"))
}

#[test]
fn five_ways_of_tasks_that_never_end_are_explained() {
    let leaky = start(PROGRAM, &["--rate", "100"], 1);
    let twin = start(PROGRAM, &["--rate", "100", "--fixed"], 1);
    thread::sleep(WATCHED);
    let (found, innocent) = (report(&leaky.addr), report(&twin.addr));
    for (function, verdict, words) in [
        ("wait_for_stock", TaskVerdict::Stuck, "can never wake again"),
        ("confirm_payment", TaskVerdict::Growing, "a sender that is kept"),
        ("sync_warehouse", TaskVerdict::Retrying, "a retry or loop without a way out"),
        (
            "index_order",
            TaskVerdict::Growing,
            "a lock or permit that is not given back, a handle nobody awaits",
        ),
        ("render_invoice", TaskVerdict::Blocking, "use spawn_blocking"),
    ] {
        let site = site(&found, function);
        assert_eq!(site.verdict, verdict, "{function}: {site:#?}");
        assert!(site.reason.contains(words), "{function}: {}", site.reason);
        assert!(site.file.ends_with("leaky_tasks.rs"), "{site:?}");
    }
    let accused = innocent.sites.iter().filter(|site| site.verdict != TaskVerdict::Ok);
    assert_eq!(accused.count(), 0, "{innocent:#?}");
    assert!(innocent.totals.spawned > 500, "{:?}", innocent.totals);

    let listed = String::from_utf8(get(&leaky.addr, "/debug/pprof/taskleak?debug=1")).expect("text");
    assert!(
        listed.contains("can never wake again") && listed.contains("leaky_tasks::wait_for_stock"),
        "{listed}"
    );
    let listed = String::from_utf8(get(&twin.addr, "/debug/pprof/taskleak?debug=1")).expect("text");
    assert!(
        listed.starts_with("tasks: ") && listed.contains(" 0 can never wake again, 0 are probably stuck"),
        "{listed}"
    );
}
