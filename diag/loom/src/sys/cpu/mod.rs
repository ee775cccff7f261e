//! The ring between signal handlers and the sampler's thread.

#[path = "../../../../src/sys/cpu/ring.rs"]
pub(crate) mod ring;

use loom::sync::Arc;
use loom::thread::spawn;

use crate::check;
use ring::Ring;

/// As a handler does: claims a place, fills it, with or without a copied stack, and publishes it.
fn sample(ring: &Ring, number: u32, with_copy: bool) -> bool {
    let Some(mut claimed) = ring.claim_in_handler() else { return false };
    let copy = if with_copy { ring.claim_copy_in_handler() } else { None };
    if let Some((_, words)) = copy {
        // SAFETY: the copy is ours until its sample was read.
        unsafe { *words = u64::from(number) };
    }
    let sample = claimed.sample();
    (sample.thread, sample.cpu_ns) = (number, !u64::from(number));
    (sample.copy, sample.copied_words) = (copy.map_or(0, |(at, _)| at + 1), 1);
    claimed.publish();
    true
}

fn drain(ring: &Ring) -> u32 {
    let mut read = 0;
    ring.drain(|sample, copy| {
        assert_eq!(sample.cpu_ns, !u64::from(sample.thread), "of one piece");
        if let Some(copy) = copy {
            assert_eq!(copy.words, [u64::from(sample.thread)], "the copy of this sample");
        }
        read += 1;
    });
    read
}

/// Two handlers and a reader: each sample that was published is read once, whole, with the stack that was copied for it.
pub fn ring_hands_over_whole_samples() {
    check(|| {
        let ring = Arc::new(Ring::new().unwrap());
        let writer = |number| {
            let ring = ring.clone();
            spawn(move || u32::from(sample(&ring, number, true)))
        };
        let writers = [writer(1), writer(2)];
        let mut read = drain(&ring);
        let published: u32 = writers.into_iter().map(|w| w.join().unwrap()).sum();
        read += drain(&ring);
        assert_eq!(read, published);
    });
}

/// A place is used again only after it was read: one handler that goes round the ring while it is drained.
pub fn ring_places_are_used_again() {
    check(|| {
        let ring = Arc::new(Ring::new().unwrap());
        let writer = {
            let ring = ring.clone();
            spawn(move || (1..=3).map(|number| u32::from(sample(&ring, number, number != 2))).sum::<u32>())
        };
        let mut read = drain(&ring);
        let published = writer.join().unwrap();
        read += drain(&ring);
        assert_eq!(read, published);
        assert!(published >= 2);
    });
}
