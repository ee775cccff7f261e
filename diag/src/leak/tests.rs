use super::*;
use crate::leak::simulation::{Births, Lifetime, Population, Random};

#[test]
fn placeholder() {
    let _ = (Random(1).unit(), Births::Steady(1.0), Lifetime::Ttl(1.0));
    let _: Option<Population> = None;
}
