//! Populations with known truth, and how often the judge is right about them, beside two simpler tests.
//!
//! Everything is seeded. Time is in seconds, the sampled objects of a stack are drawn directly: the sampler's own
//! behaviour is tested where estimates are.

mod population;
mod rivals;
mod tests;

pub(super) use population::{Births, Lifetime, PERIOD, Population, Process, S, judge_cohorts};
