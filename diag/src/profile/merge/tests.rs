use super::*;
use crate::profile::ValueType;
use crate::profile::testing::{Stacks, canonical, named};

#[test]
fn samples_meet_by_content() {
    let one = named(&[("m;a", 1), ("m;b", 2)]);
    let two = named(&[("m;b", 5), ("m;c", 7)]);
    let sum = merge(&[&one, &two]).unwrap();
    assert_eq!(canonical(&sum), canonical(&named(&[("m;a", 1), ("m;b", 7), ("m;c", 7)])));
    assert_eq!(canonical(&merge(&[&two, &one]).unwrap()), canonical(&sum));
    assert_eq!(canonical(&merge(&[&one]).unwrap()), canonical(&one));
    assert!(merge(&[]).is_err());
}

#[test]
fn columns_are_aligned_by_kind() {
    let one = Stacks::new(&["o/count", "s/bytes"]).add("f", &[1, 10]).build();
    let two = Stacks::new(&["s/bytes", "o/count"]).add("f", &[20, 2]).build();
    let sum = merge(&[&one, &two]).unwrap();
    assert_eq!((sum.total(0), sum.total(1)), (3, 30));
    let three = Stacks::new(&["s/bytes"]).add("f", &[20]).build();
    for pair in [[&one, &three], [&three, &one]] {
        let error = merge(&pair).unwrap_err().to_string();
        assert!(error.contains("o/count, s/bytes") && error.contains("has s/bytes;"), "{error}");
    }
}

#[test]
fn modules_are_laid_over_each_other() {
    let one = Stacks::new(&["s/bytes"]).module(0x5000, "/bin/app", "ab").add("0x5010;0x5100", &[1]).build();
    let two = Stacks::new(&["s/bytes"]).module(0x9000, "/bin/app", "ab").add("0x9010;0x9100", &[2]).build();
    let other = Stacks::new(&["s/bytes"]).module(0x9000, "/bin/app", "cd").add("0x9010;0x9100", &[4]).build();
    let sum = merge(&[&two, &one, &other]).unwrap();
    assert_eq!(sum.mappings().len(), 2);
    assert_eq!(sum.sample_count(), 2);
    let values: Vec<i64> = sum.samples().map(|s| s.values[0]).collect();
    assert_eq!(values, [3, 4]);
    let first = sum.location(sum.stack(sum.samples().next().unwrap().stack)[0]);
    assert_eq!(first.address, 0x5100);
    assert_eq!(sum.mapping(first.mapping.unwrap()).limit, 0x5000 + 0x10_0000);
}

#[test]
fn what_is_said_about_profiles_is_merged() {
    let make = |time: i64, period: i64, loss: u64, comment: &str| {
        Stacks::new(&["s/bytes"])
            .meta(|m| {
                m.time_unix_ns = Some(time);
                m.duration_ns = Some(10);
                m.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: period });
                m.losses = vec![Loss { what: "lost".into(), count: loss }];
                m.comments = vec![comment.into()];
            })
            .add("f", &[1])
            .build()
    };
    let (one, two) = (make(5, 512, 1, "x"), make(3, 512, 2, "x"));
    let sum = merge(&[&one, &two]).unwrap();
    assert_eq!(sum.meta(), merge(&[&two, &one]).unwrap().meta());
    assert_eq!((sum.meta().time_unix_ns, sum.meta().duration_ns), (Some(5), Some(20)));
    assert_eq!(sum.meta().period, one.meta().period);
    assert_eq!(sum.meta().losses, [Loss { what: "lost".into(), count: 3 }]);
    assert_eq!(sum.meta().comments, ["x"]);

    let three = make(9, 4096, 0, "y");
    let sum = merge(&[&one, &three]).unwrap();
    assert_eq!(sum.meta().period, None);
    let differ =
        "the merged profiles have different sampling periods: 4096 bytes of space, 512 bytes of space";
    assert_eq!(sum.meta().comments, ["x", "y", differ]);
}

#[test]
fn a_delta_is_signed_and_leaves_out_what_is_equal() {
    let at = |time, stacks: &[(&str, i64)]| {
        let empty = Stacks::new(&["s/bytes"]).meta(|m| m.time_unix_ns = Some(time));
        stacks.iter().fold(empty, |s, &(stack, value)| s.add(stack, &[value])).build()
    };
    let base = at(100, &[("m;same", 4), ("m;gone", 3), ("m;more", 1)]);
    let new = at(130, &[("m;same", 4), ("m;more", 9), ("m;fresh", 2)]);
    let delta = delta(&base, &new).unwrap();
    let expected = at(130, &[("m;gone", -3), ("m;more", 8), ("m;fresh", 2)]);
    assert_eq!(canonical(&delta), canonical(&expected));
    assert_eq!((delta.meta().time_unix_ns, delta.meta().duration_ns), (Some(130), Some(30)));
    assert!(delta.find_str("same").is_none(), "what no row uses is left out");
    assert_eq!(super::delta(&base, &base).unwrap().sample_count(), 0);
}
