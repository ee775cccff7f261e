//! Coarser profiles: functions, files, crates or labels in place of addresses.

use super::copy::Copier;
use super::keys::{Grouping, Keys};
use super::select::LabelGroups;
use super::{Function, Line, LocationId, Profile, ProfileBuilder, ProfileError, StackId, StrId};

/// The profile with frames as `grouping` says. Inlined frames become frames of their own, runs of one file or crate
/// one frame. With [`Grouping::Label`] each stack is one frame, named by the label's value. Labels, values and
/// what is said about the profile stay. Frames without names keep their address, except as files and crates.
///
/// # Errors
/// [`ProfileError::Invalid`] when the result outgrows a table.
pub fn regroup(profile: &Profile, grouping: &Grouping) -> Result<Profile, ProfileError> {
    if *grouping == Grouping::Address {
        return Ok(profile.clone());
    }
    let mut builder = ProfileBuilder::new(profile.sample_types().to_vec());
    *builder.meta_mut() = profile.meta().clone();
    let mut copier = Copier::alone(profile, &mut builder);
    let groups = LabelGroups::new(&[profile], grouping);
    let keys = Keys::new(&[profile], grouping);
    let mut locations: Vec<Option<LocationId>> = vec![None; keys.len()];
    let mut stacks: Vec<Option<StackId>> = vec![None; profile.stack_count()];
    let mut key_stack = Vec::new();
    for sample in profile.samples() {
        let stack = match (groups.of(0, sample.labels), stacks[sample.stack.index()]) {
            (Some(group), _) => {
                let location = plain(&mut builder, &groups.name(group), "", 0);
                builder.stack(&[location])
            }
            (None, Some(stack)) => stack,
            (None, None) => {
                keys.stack_into(0, sample.stack, &mut key_stack);
                let frames: Vec<LocationId> = key_stack
                    .iter()
                    .map(|&key| {
                        *locations[key as usize]
                            .get_or_insert_with(|| frame(&keys, key, grouping, &mut copier, &mut builder))
                    })
                    .collect();
                let stack = builder.stack(&frames);
                stacks[sample.stack.index()] = Some(stack);
                stack
            }
        };
        let labels = copier.labels(&mut builder, sample.labels);
        builder.sample(stack, labels, sample.values);
    }
    builder.finish()
}

fn frame(
    keys: &Keys<'_>,
    key: u32,
    grouping: &Grouping,
    copier: &mut Copier<'_>,
    builder: &mut ProfileBuilder,
) -> LocationId {
    let (_, at) = keys.seen_at(key);
    let is_coarse = matches!(grouping, Grouping::File | Grouping::Module);
    if at.line.is_none() && !is_coarse {
        return copier.location(builder, at.location);
    }
    let shown = keys.show(key);
    plain(builder, &shown.function, &shown.file, shown.line)
}

/// A frame without address.
fn plain(builder: &mut ProfileBuilder, name: &str, file: &str, line: i64) -> LocationId {
    let (name, file) = (builder.str(name), builder.str(file));
    let function = builder.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
    builder.location(None, 0, &[Line { function, line }])
}

#[cfg(test)]
mod tests;
