//! Choosing columns and groups of samples: sample types by index or kind, label values as groups.

use hashbrown::HashMap;

use super::keys::Grouping;
use super::{LabelSetId, LabelValue, Profile, ProfileError, ValueType};

/// The sample type at an index.
pub(crate) fn type_at(profile: &Profile, type_index: usize) -> Result<&ValueType, ProfileError> {
    profile.sample_types().get(type_index).ok_or_else(|| ProfileError::NoSampleType {
        wanted: format!("number {type_index}"),
        available: list_types(profile),
    })
}

/// The index of the sample type of a kind.
pub(crate) fn type_of_kind(profile: &Profile, kind: &str) -> Result<usize, ProfileError> {
    profile
        .sample_type_index(kind)
        .ok_or_else(|| ProfileError::NoSampleType { wanted: kind.to_owned(), available: list_types(profile) })
}

/// The indices of one kind in two profiles; its unit must be the same.
pub(crate) fn same_type(base: &Profile, new: &Profile, kind: &str) -> Result<(usize, usize), ProfileError> {
    let (b, n) = (type_of_kind(base, kind)?, type_of_kind(new, kind)?);
    if base.sample_types()[b].unit != new.sample_types()[n].unit {
        return Err(types_differ(base, new));
    }
    Ok((b, n))
}

/// The error that names the sample types of both.
pub(crate) fn types_differ(one: &Profile, other: &Profile) -> ProfileError {
    ProfileError::SampleTypesDiffer { one: list_types(one), other: list_types(other) }
}

/// `inuse_objects/count, inuse_space/bytes`.
pub(crate) fn list_types(profile: &Profile) -> String {
    let types: Vec<String> =
        profile.sample_types().iter().map(|t| format!("{}/{}", t.kind, t.unit)).collect();
    types.join(", ")
}

/// The groups of label sets by the value of one label, over several profiles. Without [`Grouping::Label`] there are
/// none.
pub(crate) struct LabelGroups {
    names: Vec<String>,
    of_set: Option<Vec<Vec<u32>>>,
}

impl LabelGroups {
    pub(crate) fn new(profiles: &[&Profile], grouping: &Grouping) -> Self {
        let Grouping::Label(key) = grouping else { return Self { names: Vec::new(), of_set: None } };
        let mut names = Vec::new();
        let mut index: HashMap<String, u32> = HashMap::new();
        let mut of_set = Vec::new();
        for profile in profiles {
            let sets = (0..profile.label_set_count()).map(LabelSetId::from_index);
            let groups = sets.map(|set| {
                let name = label_text(profile, set, key).unwrap_or_else(|| format!("(no {key})"));
                *index.entry(name).or_insert_with_key(|name| {
                    names.push(name.clone());
                    names.len() as u32 - 1
                })
            });
            of_set.push(groups.collect());
        }
        Self { names, of_set: Some(of_set) }
    }

    pub(crate) fn of(&self, profile: usize, set: LabelSetId) -> Option<u32> {
        self.of_set.as_ref().map(|sets| sets[profile][set.index()])
    }

    /// How many groups.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, group: u32) -> String {
        self.names.get(group as usize).cloned().unwrap_or_default()
    }
}

/// The values of a label in a set as text, joined by `, `: `10-60m`, `4096 bytes`.
pub(crate) fn label_text(profile: &Profile, set: LabelSetId, key: &str) -> Option<String> {
    let mut values: Vec<String> = profile
        .label_set(set)
        .iter()
        .filter(|l| profile.str(l.key) == key)
        .map(|l| value_text(profile, l.value))
        .collect();
    values.sort();
    (!values.is_empty()).then(|| values.join(", "))
}

/// A label's value as text.
pub(crate) fn value_text(profile: &Profile, value: LabelValue) -> String {
    match value {
        LabelValue::Str(s) => profile.str(s).to_owned(),
        LabelValue::Num(n, unit) if unit.index() == 0 => n.to_string(),
        LabelValue::Num(n, unit) => format!("{n} {}", profile.str(unit)),
    }
}

/// The compared column in several profiles, and beside it bytes and objects of the same kind (`inuse_space` and
/// `inuse_objects`), where all profiles have them.
pub(crate) struct HeapColumns {
    /// What is compared.
    pub(crate) value_type: ValueType,
    /// By column, then by profile: an index into the profile's sample types. Column 0 is the compared one.
    columns: Vec<Vec<usize>>,
    bytes: Option<usize>,
    objects: Option<usize>,
}

impl HeapColumns {
    /// For the sample type of this kind, or the default one of the last profile.
    pub(crate) fn of(profiles: &[&Profile], kind: Option<&str>) -> Result<Self, ProfileError> {
        let (Some(first), Some(last)) = (profiles.first(), profiles.last()) else {
            return Err(ProfileError::Invalid { what: "there is no profile to compare" });
        };
        let kind = match kind {
            Some(kind) => kind.to_owned(),
            None => type_at(last, last.default_sample_type())?.kind.clone(),
        };
        let mut compared = Vec::new();
        for profile in profiles {
            compared.push(same_type(first, profile, &kind)?.1);
        }
        let at = compared.first().copied().unwrap_or(0);
        let mut columns = Self {
            value_type: type_at(first, at)?.clone(),
            columns: vec![compared],
            bytes: None,
            objects: None,
        };
        let stem = kind.rsplit_once('_').map_or("", |(stem, _)| stem);
        columns.bytes = columns.beside(profiles, &format!("{stem}_space"), &["bytes"]);
        columns.objects = columns.beside(profiles, &format!("{stem}_objects"), &["count", "objects"]);
        Ok(columns)
    }

    /// The number of a column of this kind: the compared one, or a further one when all profiles have it.
    fn beside(&mut self, profiles: &[&Profile], kind: &str, units: &[&str]) -> Option<usize> {
        let compared = &self.value_type;
        let is_this = compared.kind == kind || (units == ["bytes"] && compared.unit == "bytes");
        if is_this && units.contains(&compared.unit.as_str()) {
            return Some(0);
        }
        let column: Option<Vec<usize>> = profiles
            .iter()
            .map(|p| p.sample_types().iter().position(|t| t.kind == kind && units.contains(&t.unit.as_str())))
            .collect();
        self.columns.push(column?);
        Some(self.columns.len() - 1)
    }

    /// How many columns.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The column of bytes.
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.bytes
    }

    /// The column of objects.
    pub(crate) fn objects(&self) -> Option<usize> {
        self.objects
    }

    /// The sample type of a profile that a column is.
    #[inline]
    pub(crate) fn of_profile(&self, profile: usize, column: usize) -> usize {
        self.columns[column][profile]
    }
}
