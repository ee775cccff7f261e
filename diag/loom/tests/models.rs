//! Each model holds in every order.

use diag_loom::{recorder, sites_model, sys};

#[test]
fn lock_excludes_and_wakes() {
    sys::lock_excludes_and_wakes();
}

#[test]
fn lock_is_taken_over_a_fork() {
    sys::lock_is_taken_over_a_fork();
}

#[test]
fn recalls_of_two_threads_are_exact() {
    sys::unwind::recalls_of_two_threads_are_exact();
}

#[test]
fn recalls_are_forgotten_with_the_rules() {
    sys::unwind::recalls_are_forgotten_with_the_rules();
}

#[test]
fn ring_hands_over_whole_samples() {
    sys::cpu::ring_hands_over_whole_samples();
}

#[test]
fn ring_places_are_used_again() {
    sys::cpu::ring_places_are_used_again();
}

#[test]
fn copies_of_a_chunk_are_whole() {
    recorder::copies_of_a_chunk_are_whole();
}

#[test]
fn a_chunk_has_one_holder() {
    recorder::a_chunk_has_one_holder();
}

#[test]
fn equal_stacks_share_a_site() {
    sites_model::equal_stacks_share_a_site();
}

#[test]
fn what_is_counted_is_there() {
    sites_model::what_is_counted_is_there();
}
