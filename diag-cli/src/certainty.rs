//! How certain the rows of a table are: 95 % intervals from `diag::profile::estimate`, for the rows that are shown.
//!
//! Cost: one walk to the site of each stack, one exponential a sample; no strings but those of unnamed frames.

use std::collections::HashMap;

use diag::profile::estimate::{Accumulated, Estimator, Interval};
use diag::profile::frames::{FrameAt, FrameClasses, ShownFrame, function_of, leaf_first, name};
use diag::profile::{FunctionId, LocationId, Profile, StackId};

/// Sums of each row; `None` where the values were not sampled by bytes.
pub type Sums = Option<Vec<Accumulated>>;

/// Sums of the stacks with these sites.
pub fn by_site(profile: &Profile, kind: &str, sites: &[&str]) -> Sums {
    let wanted: HashMap<&str, usize> = sites.iter().enumerate().map(|(i, s)| (*s, i)).collect();
    let rows = Rows::new(profile, |name, _| wanted.get(name).copied());
    let classes = FrameClasses::new(profile);
    sums(profile, kind, sites.len(), rows, |stack| classes.site(profile, stack))
}

/// Sums of the stacks that end in these functions, inlined ones included.
pub fn by_leaf(profile: &Profile, kind: &str, frames: &[&ShownFrame]) -> Sums {
    let wanted: HashMap<(&str, &str), usize> =
        frames.iter().enumerate().map(|(i, f)| ((f.function.as_str(), f.file.as_str()), i)).collect();
    let rows = Rows::new(profile, |name, file| wanted.get(&(name, file)).copied());
    sums(profile, kind, frames.len(), rows, |stack| leaf_first(profile, stack).next())
}

/// `± 1.2 MiB`: the longer arm of the interval.
pub fn plus_minus(interval: &Interval, unit: &str) -> String {
    let up = interval.high.saturating_sub(interval.estimate);
    let down = interval.estimate.saturating_sub(interval.low);
    format!("± {}", diag::profile::units::value(up.max(down), unit))
}

/// The row of each function, and of each unnamed location when asked for.
struct Rows<'p, F> {
    profile: &'p Profile,
    of_function: Vec<Option<usize>>,
    of_location: HashMap<LocationId, Option<usize>>,
    find: F,
}

impl<'p, F: Fn(&str, &str) -> Option<usize>> Rows<'p, F> {
    fn new(profile: &'p Profile, find: F) -> Self {
        let functions = profile.functions().iter();
        let of_function = functions.map(|f| find(profile.str(f.name), profile.str(f.file))).collect();
        Self { profile, of_function, of_location: HashMap::new(), find }
    }

    fn of(&mut self, at: FrameAt) -> Option<usize> {
        let function: Option<FunctionId> = function_of(self.profile, at);
        match function {
            Some(id) => self.of_function.get(id.index()).copied().flatten(),
            None => {
                let (profile, find) = (self.profile, &self.find);
                *self.of_location.entry(at.location).or_insert_with(|| find(&name(profile, at), ""))
            }
        }
    }
}

fn sums<F: Fn(&str, &str) -> Option<usize>>(
    profile: &Profile,
    kind: &str,
    count: usize,
    mut rows: Rows<'_, F>,
    frame_of: impl Fn(StackId) -> Option<FrameAt>,
) -> Sums {
    let estimator = Estimator::new(profile, kind).ok()?;
    let mut sums = vec![Accumulated::default(); count];
    // Samples of one stack differ in labels only, and mostly follow each other.
    let mut last: Option<(StackId, Option<usize>)> = None;
    for sample in profile.samples() {
        let row = match last {
            Some((stack, row)) if stack == sample.stack => row,
            _ => frame_of(sample.stack).and_then(|at| rows.of(at)),
        };
        last = Some((sample.stack, row));
        if let Some(sum) = row.and_then(|row| sums.get_mut(row)) {
            estimator.add(sum, &sample);
        }
    }
    Some(sums)
}
