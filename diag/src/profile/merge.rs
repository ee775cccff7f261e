//! Sums and differences of whole profiles.
//!
//! Samples meet by content: stack, labels. Modules that were loaded at different addresses are laid over each other
//! first. Sample types are matched by kind and unit; all profiles must have the same ones, in any order.

use super::copy::{Copier, Modules};
use super::select::types_differ;
use super::{Loss, Meta, Period, Profile, ProfileBuilder, ProfileError};

/// The sum of any number of profiles. Values, and what is said about them, do not depend on the order of the
/// arguments; the order of tables and of sample types is that of the first.
///
/// The time is the latest, the duration the sum, losses are added. A sampling period is kept when all have the same,
/// else dropped with a comment.
///
/// # Errors
/// [`ProfileError::Invalid`] without profiles, [`ProfileError::SampleTypesDiffer`].
pub fn merge(profiles: &[&Profile]) -> Result<Profile, ProfileError> {
    let Some(first) = profiles.first() else {
        return Err(ProfileError::Invalid { what: "there is no profile to merge" });
    };
    let mut builder = ProfileBuilder::new(first.sample_types().to_vec());
    sum(profiles, &mut builder, |_, value| value)?;
    let metas: Vec<&Meta> = profiles.iter().map(|p| p.meta()).collect();
    let meta = builder.meta_mut();
    *meta = common(&metas, first);
    meta.duration_ns = metas.iter().filter_map(|m| m.duration_ns).reduce(i64::saturating_add);
    meta.losses = losses(&metas, u64::saturating_add);
    builder.finish()
}

/// New minus base; values may be negative, rows without a difference are left out. Sample types are in the order of
/// the new profile, as are time, comments and the default sample type. The duration is the time between the two. A
/// loss in one of them is a loss of the difference: the larger count stands.
///
/// # Errors
/// [`ProfileError::SampleTypesDiffer`].
pub fn delta(base: &Profile, new: &Profile) -> Result<Profile, ProfileError> {
    let profiles = [new, base];
    let mut builder = ProfileBuilder::new(new.sample_types().to_vec());
    sum(&profiles, &mut builder, |side, value| if side == 0 { value } else { value.saturating_neg() })?;
    let metas = [new.meta(), base.meta()];
    let meta = builder.meta_mut();
    *meta = Meta { comments: new.meta().comments.clone(), ..common(&metas, new) };
    meta.time_unix_ns = new.meta().time_unix_ns;
    let times = new.meta().time_unix_ns.zip(base.meta().time_unix_ns);
    meta.duration_ns = times.map(|(to, from)| to.saturating_sub(from)).filter(|d| *d > 0);
    meta.losses = losses(&metas, u64::max);
    let all = builder.finish()?;
    let is_change = |values: &[i64]| values.iter().any(|v| *v != 0);
    if all.samples().all(|s| is_change(s.values)) {
        return Ok(all);
    }
    // Rows that cancelled out, and what only they use.
    let mut builder = ProfileBuilder::new(all.sample_types().to_vec());
    *builder.meta_mut() = all.meta().clone();
    let mut copier = Copier::alone(&all, &mut builder);
    for sample in all.samples().filter(|s| is_change(s.values)) {
        let stack = copier.stack(&mut builder, sample.stack);
        let labels = copier.labels(&mut builder, sample.labels);
        builder.sample(stack, labels, sample.values);
    }
    builder.finish()
}

/// Adds all samples; `signed` gives the value that a profile (by number) contributes.
fn sum(
    profiles: &[&Profile],
    builder: &mut ProfileBuilder,
    signed: impl Fn(usize, i64) -> i64,
) -> Result<(), ProfileError> {
    let modules = Modules::new(profiles);
    let copiers = Copier::together(profiles, &modules, builder);
    let first = profiles.first().copied();
    let mut values = Vec::new();
    for (number, (&profile, mut copier)) in profiles.iter().zip(copiers).enumerate() {
        let columns = aligned(first.unwrap_or(profile), profile)?;
        for sample in profile.samples() {
            values.clear();
            values.extend(columns.iter().map(|&c| signed(number, sample.values[c])));
            let stack = copier.stack(builder, sample.stack);
            let labels = copier.labels(builder, sample.labels);
            builder.sample(stack, labels, &values);
        }
    }
    Ok(())
}

/// For each sample type of `first` its index in `other`.
fn aligned(first: &Profile, other: &Profile) -> Result<Vec<usize>, ProfileError> {
    let columns = first.sample_types().iter().map(|t| other.sample_types().iter().position(|o| o == t));
    let columns: Option<Vec<usize>> = columns.collect();
    columns.filter(|c| c.len() == other.sample_types().len()).ok_or_else(|| types_differ(first, other))
}

/// What profiles say together, apart from duration and losses.
fn common(metas: &[&Meta], first: &Profile) -> Meta {
    let mut comments: Vec<String> = Vec::new();
    for comment in metas.iter().flat_map(|m| &m.comments) {
        if !comments.contains(comment) {
            comments.push(comment.clone());
        }
    }
    let period = same_period(metas);
    if let Err(periods) = &period {
        comments.push(format!("the merged profiles have different sampling periods: {}", periods.join(", ")));
    }
    let urls = metas.iter().map(|m| &m.doc_url).filter(|u| !u.is_empty());
    Meta {
        default_sample_type: first.meta().default_sample_type,
        period: period.ok().flatten(),
        time_unix_ns: metas.iter().filter_map(|m| m.time_unix_ns).max(),
        duration_ns: None,
        comments,
        doc_url: urls.min().cloned().unwrap_or_default(),
        losses: Vec::new(),
    }
}

/// The one period of all profiles, or the different ones as texts, sorted.
fn same_period(metas: &[&Meta]) -> Result<Option<Period>, Vec<String>> {
    let first = metas.first().and_then(|m| m.period.as_ref());
    if metas.iter().all(|m| m.period.as_ref() == first) {
        return Ok(first.cloned());
    }
    let text = |m: &&Meta| match &m.period {
        Some(p) => format!("{} {} of {}", p.value, p.value_type.unit, p.value_type.kind),
        None => "none".to_owned(),
    };
    let mut periods: Vec<String> = metas.iter().map(text).collect();
    periods.sort();
    periods.dedup();
    Err(periods)
}

fn losses(metas: &[&Meta], both: fn(u64, u64) -> u64) -> Vec<Loss> {
    let mut losses: Vec<Loss> = Vec::new();
    for loss in metas.iter().flat_map(|m| &m.losses) {
        match losses.iter_mut().find(|l| l.what == loss.what) {
            Some(sum) => sum.count = both(sum.count, loss.count),
            None => losses.push(loss.clone()),
        }
    }
    losses.sort();
    losses
}

#[cfg(test)]
mod tests;
