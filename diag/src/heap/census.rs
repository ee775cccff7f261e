//! Censuses of the live table, for the birth cohorts of a verdict.
//!
//! One copies the table (a shard's lock at a time, as a snapshot does) and sums up by stack and birth: a few milliseconds
//! for 50,000 live samples. Nothing is added to the work of an allocation or a free.

use super::LiveSample;
use super::collector::Collector;
use crate::profile::cohorts::{Census, Cohorts, Tally};
use crate::profile::sampling::Weight;

/// Everything that is alive, except of stacks that could not be kept.
pub(crate) fn live(collector: &Collector) -> Vec<LiveSample> {
    let mut live = Vec::with_capacity(collector.live.len() as usize + 1024);
    collector.live.copy(&mut live);
    let samples = live.iter().filter_map(|object| {
        let site = collector.sites.get(object.site).filter(|site| site.variant > 0)?;
        Some(LiveSample {
            stack: site.stack,
            born_ns: i64::try_from(object.born_ns).unwrap_or(i64::MAX),
            objects: object.weight_objects,
            bytes: object.weight_objects * object.usable_size as f64,
        })
    });
    samples.collect()
}

/// Everything allocated since the start, an estimate.
pub(crate) fn allocated(collector: &Collector) -> Weight {
    let sites = (0..collector.sites.len() as u32).filter_map(|site| collector.sites.get(site));
    sites.fold(Weight { objects: 0.0, bytes: 0.0 }, |sum, site| Weight {
        objects: sum.objects + site.total.count,
        bytes: sum.bytes + site.total.amount,
    })
}

/// Shows the cohorts what is alive now. Does nothing when their clock has not advanced.
pub(crate) fn take(collector: &Collector, cohorts: &mut Cohorts, work_units: u64) {
    let live = live(collector);
    let at_ns = i64::try_from(collector.now_ns()).unwrap_or(i64::MAX);
    let sites = collector.sites.len() as u32;
    // A stack has a site for each size.
    let mut births: Vec<u64> = vec![0; collector.sites.stack_count()];
    let mut allocated_bytes = 0.0;
    for site in (0..sites).filter_map(|site| collector.sites.get(site)) {
        allocated_bytes += site.total.amount;
        if let Some(count) = births.get_mut(site.stack as usize) {
            *count += site.samples;
        }
    }
    let all: u64 = births.iter().sum();
    let census = Census { at_ns, births: all as f64, allocated_bytes, work_units };
    let Some(mut taking) = cohorts.census(census) else { return };
    for object in &live {
        let size = (object.bytes / object.objects).round() as u64;
        taking.object(object.stack, object.born_ns, size, Tally::of(object.objects, object.bytes));
    }
    for (stack, count) in births.iter().enumerate() {
        taking.births(stack as u32, *count as f64);
    }
    taking.finish();
}
