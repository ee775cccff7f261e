//! The CPU sampler at 1,000 Hz beside everything that a process does, with each of its sources.
//!
//! Each storm runs in processes of its own, one a source, so that a crash or a deadlock is one storm's failure and is seen.
//! Two seconds each on a desk; as long as DIAG_STORM_SECONDS says in CI. See `frame.rs` for what must hold after each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(target_os = "linux")]

mod foreign;
mod frame;
mod host;
mod life;
mod work;

use frame::{each_source, each_source_briefly, recorded};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

#[test]
fn heap_sampling() {
    each_source("heap_sampling", |storm| recorded(storm, work::allocate));
}

#[test]
fn panics_that_unwind() {
    each_source("panics_that_unwind", |storm| recorded(storm, work::panic));
}

#[test]
fn libraries_that_come_and_go() {
    each_source("libraries_that_come_and_go", |storm| recorded(storm, work::load_and_unload));
}

#[test]
fn forks_and_programs() {
    each_source("forks_and_programs", |storm| recorded(storm, life::fork_and_exec));
}

#[test]
fn threads_of_five_milliseconds() {
    each_source("threads_of_five_milliseconds", |storm| recorded(storm, life::threads_of_5_ms));
}

#[test]
fn threads_of_a_tenth_of_a_millisecond() {
    each_source("threads_of_a_tenth_of_a_millisecond", |storm| recorded(storm, life::threads_of_100_us));
}

#[test]
fn stacks_down_to_the_guard_page() {
    each_source("stacks_down_to_the_guard_page", |storm| recorded(storm, work::recurse));
}

#[test]
fn coroutines() {
    each_source_briefly("coroutines", |storm| recorded(storm, work::switch_stacks));
}

#[test]
fn system_calls() {
    each_source("system_calls", |storm| recorded(storm, work::call_the_system));
}

#[test]
fn no_descriptor_to_spare() {
    each_source_briefly("no_descriptor_to_spare", life::without_descriptors);
}

#[test]
fn a_handler_that_was_there_before() {
    each_source("a_handler_that_was_there_before", foreign::before);
}

#[test]
fn a_handler_that_comes_meanwhile() {
    each_source_briefly("a_handler_that_comes_meanwhile", foreign::meanwhile);
}

#[test]
fn an_interval_timer_of_the_host() {
    each_source("an_interval_timer_of_the_host", foreign::interval_timer);
}

#[test]
fn starts_and_stops() {
    each_source("starts_and_stops", life::start_and_stop);
}
