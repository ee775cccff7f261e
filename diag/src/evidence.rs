//! What a heap profile says about a triage: the only place where the memory model and the profile model meet. Pure.

use std::borrow::Cow;

use crate::memory::triage::{Extras, Holder, Sampled, Survey, size_classes};
use crate::profile::estimate::Estimator;
use crate::profile::{Profile, slabs};

/// Sites named for each size class.
const HOLDERS_A_CLASS: usize = 3;

/// Adds the sampled total, and the old objects of size classes with much free room. `profile` has ages and is of the same moment as
/// the second reading; `name` gives names to its addresses, and is called only when they will be shown.
pub fn add_heap<'p>(
    extras: &mut Extras,
    profile: &'p Profile,
    (base, new): (&Survey, &Survey),
    name: impl FnOnce(&'p Profile) -> Cow<'p, Profile>,
) {
    if let Ok(estimator) = Estimator::new(profile, "inuse_space") {
        let bytes = estimator.of(profile.samples()).bytes;
        let own_pages_bytes = slabs::own_pages_bytes(profile);
        let (low_bytes, high_bytes) = (bytes.low, bytes.high);
        extras.sampled = Some(Sampled { bytes: bytes.estimate, low_bytes, high_bytes, own_pages_bytes });
    }
    let sizes: Vec<u64> = size_classes(base, new).iter().map(|c| c.size_bytes).collect();
    if sizes.is_empty() {
        return;
    }
    let ns = new.waterline.taken_at_unix_ns.saturating_sub(base.waterline.taken_at_unix_ns);
    let rows =
        slabs::old_objects(&name(profile), &sizes, ns as f64 / 1e9, HOLDERS_A_CLASS).unwrap_or_default();
    let holder = |o: slabs::OldObjects| Holder {
        size_bytes: o.size_bytes,
        site: o.site,
        objects: o.objects,
        bytes: o.bytes,
        age_p50_s: o.age_p50_s,
    };
    extras.holders = rows.into_iter().map(holder).collect();
}
