//! From the tables to a [`Profile`]: `contentions/count` and `delay/nanoseconds`, a row for each stack and context.

#[cfg(target_os = "linux")]
mod rows;

use super::record::{self, Kind};
use super::switch;
use crate::profile::{Loss, Period, Profile, ProfileBuilder, ProfileError, ValueType};
use crate::sys::clock;

pub(super) fn build(kind: Kind) -> Result<Profile, ProfileError> {
    let types = vec![ValueType::new("contentions", "count"), ValueType::new("delay", "nanoseconds")];
    let mut builder = ProfileBuilder::new(types);
    #[cfg(target_os = "linux")]
    if let Some(tables) = record::tables() {
        builder = rows::add(builder, tables, kind);
    }
    let meta = builder.meta_mut();
    meta.default_sample_type = Some(1);
    meta.time_unix_ns = i64::try_from(clock::unix_ns()).ok();
    meta.period = period(kind);
    meta.comments.push(comment(kind));
    meta.losses = record::losses().into_iter().map(|(what, count)| Loss { what, count }).collect();
    builder.finish()
}

fn period(kind: Kind) -> Option<Period> {
    let (value_type, value) = match kind {
        Kind::Mutex => (ValueType::new("contentions", "count"), u64::from(switch::mutex_profile_fraction())),
        Kind::Block => (ValueType::new("delay", "nanoseconds"), switch::block_profile_rate()),
    };
    (value > 0).then(|| Period { value_type, value: i64::try_from(value).unwrap_or(i64::MAX) })
}

fn comment(kind: Kind) -> String {
    if !switch::WATCHED {
        return format!("off: locks are watched on Linux only, and this is {}", std::env::consts::OS);
    }
    match kind {
        Kind::Mutex => match switch::mutex_profile_fraction() {
            0 => "mutex_profile=off: DIAG_MUTEX_FRACTION=10, Builder::mutex_profile_fraction(10) or \
                  diag::sync::set_mutex_profile_fraction(10) switches it on; it sees the locks of diag::sync"
                .to_owned(),
            fraction => format!("mutex_profile=on: one in {fraction} contentions of the locks of diag::sync"),
        },
        Kind::Block => match switch::block_profile_rate() {
            0 => "block_profile=off: DIAG_BLOCK_RATE_NS=1000000, Builder::block_profile_rate_ns(1000000) or \
                  diag::sync::set_block_profile_rate(1000000) switches it on; it sees the locks of diag::sync"
                .to_owned(),
            rate => format!("block_profile=on: one sample a {rate} ns waited for the locks of diag::sync"),
        },
    }
}
