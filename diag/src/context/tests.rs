//! The table of contexts under values without end.

use std::sync::Arc;

use super::table::{CONTEXTS, Context, Contexts, Named, OTHER, ROUTE};

fn context(span: &'static str, labels: &[(&str, &str)]) -> Context {
    let named = |(label, value): &(&str, &str)| -> Named { ((*label).into(), (*value).into()) };
    Context { span, labels: labels.iter().map(named).collect() }
}

fn value<'a>(context: &'a Context, label: &str) -> Option<&'a str> {
    context.labels.iter().find(|(l, _)| &**l == label).map(|(_, value)| &**value)
}

#[test]
fn equal_contexts_have_one_number() {
    let table = Contexts::new();
    let (a, kept) = table.intern(&context("get", &[(ROUTE, "/a")]));
    let (b, _) = table.intern(&context("get", &[(ROUTE, "/b")]));
    let (again, same) = table.intern(&context("get", &[(ROUTE, "/a")]));
    assert_eq!(a, again);
    assert!(Arc::ptr_eq(&kept, &same));
    assert_ne!(a, b);
    let all = table.all();
    assert_eq!(all[0], None, "no span");
    assert_eq!(value(all[b as usize].as_ref().unwrap(), ROUTE), Some("/b"));
    assert_eq!(table.without_place(), 0);
}

#[test]
fn a_field_without_end_costs_only_the_field() {
    let table = Contexts::new();
    for i in 0..20_000 {
        let tenant = format!("tenant-{i}");
        table.intern(&context("get", &[(ROUTE, ["/a", "/b"][i % 2]), ("tenant", &tenant)]));
    }
    let all = table.all();
    assert!(all.len() <= CONTEXTS);
    assert!(all.len() > CONTEXTS / 2);
    let (number, late) = table.intern(&context("get", &[(ROUTE, "/b"), ("tenant", "late")]));
    assert_eq!(value(&late, ROUTE), Some("/b"), "the route is still known");
    assert_eq!(value(&late, "tenant"), Some(OTHER));
    assert_eq!(all[number as usize].as_deref(), Some(&*late));
    assert_eq!(table.without_place(), 20_001 - (CONTEXTS as u64 * 3 / 4 - 2));
    let (first, _) = table.intern(&context("get", &[(ROUTE, "/a"), ("tenant", "tenant-0")]));
    assert_eq!(first, 2, "what has a place keeps it");
}

#[test]
fn routes_and_spans_without_end_are_bounded_too() {
    let table = Contexts::new();
    for i in 0..2 * CONTEXTS {
        table.intern(&context("get", &[(ROUTE, &format!("/user/{i}"))]));
    }
    let (_, late) = table.intern(&context("get", &[(ROUTE, "/late")]));
    assert_eq!((late.span, value(&late, ROUTE)), ("get", Some(OTHER)));
    let names: Vec<&'static str> =
        (0..2 * CONTEXTS).map(|i| &*Box::leak(format!("span {i}").into_boxed_str())).collect();
    let numbers: Vec<u32> = names.iter().map(|name| table.intern(&context(name, &[])).0).collect();
    assert_eq!(table.all().len(), CONTEXTS);
    let (number, last) = table.intern(&context("one more", &[]));
    assert_eq!((number, last.span), (1, OTHER));
    assert_eq!(numbers.last(), Some(&1));
    assert_eq!(table.all()[1].as_ref().unwrap().span, OTHER);
}

#[test]
fn long_values_are_bounded_in_bytes() {
    let table = Contexts::new();
    let long = "x".repeat(1_000);
    for i in 0..3_000 {
        table.intern(&context("get", &[("tenant", &format!("{i}{long}"))]));
    }
    let bytes: usize = table.all().iter().flatten().flat_map(|c| c.labels.iter()).map(|(_, v)| v.len()).sum();
    assert!((256 << 10..=512 << 10).contains(&bytes), "{bytes}");
    assert!(table.without_place() > 2_000);
}
