//! Deep stacks, and many of them: four functions that call each other in an order that a number chooses.

use std::hint::black_box;

/// Calls `work` below `depth` frames. Two bits of `path` choose each next function; the same number gives the same stack.
pub(super) fn below(depth: u32, path: u64, work: &mut dyn FnMut()) {
    level::<0>(depth, path, work);
}

#[inline(never)]
fn level<const N: usize>(depth: u32, path: u64, work: &mut dyn FnMut()) {
    if depth == 0 {
        work();
    } else {
        let next = path.rotate_right(2);
        match path & 3 {
            0 => level::<0>(depth - 1, next, work),
            1 => level::<1>(depth - 1, next, work),
            2 => level::<2>(depth - 1, next, work),
            _ => level::<3>(depth - 1, next, work),
        }
    }
    // Something after the call, or it would be a jump and leave no frame.
    black_box(N);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_once_whatever_the_path() {
        for path in 0..64 {
            let mut ran = 0;
            below(24, path, &mut || ran += 1);
            assert_eq!(ran, 1);
        }
    }
}
