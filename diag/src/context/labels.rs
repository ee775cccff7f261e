//! Labels that say in which context (span, route, chosen fields) something happened: an object was born, time was spent.

use std::sync::Arc;

use super::{Context, TABLE};
use crate::profile::{Label, LabelValue, ProfileBuilder, StrId};

/// Makes the labels of each context once.
pub(crate) struct ContextLabels {
    span: StrId,
    /// By number, and what was made of them so far.
    contexts: Vec<Option<Arc<Context>>>,
    made: Vec<Option<Box<[Label]>>>,
}

impl ContextLabels {
    /// Reads the table. To be made after the samples were taken, so that each number is known.
    pub(crate) fn new(builder: &mut ProfileBuilder) -> Self {
        let contexts = TABLE.all();
        Self { span: builder.str("span"), made: vec![None; contexts.len()], contexts }
    }

    /// The labels of a number; none for code that runs in no span.
    pub(crate) fn of(&mut self, builder: &mut ProfileBuilder, number: u32) -> &[Label] {
        let Some(Some(context)) = self.contexts.get(number as usize) else { return &[] };
        let Some(made) = self.made.get_mut(number as usize) else { return &[] };
        made.get_or_insert_with(|| {
            let mut text = |s: &str| builder.str(s);
            let span = (!context.span.is_empty())
                .then(|| Label { key: self.span, value: LabelValue::Str(text(context.span)) });
            let others = context.labels.iter();
            let others = others.map(|(k, v)| Label { key: text(k), value: LabelValue::Str(text(v)) });
            span.into_iter().chain(others).collect()
        })
    }
}
