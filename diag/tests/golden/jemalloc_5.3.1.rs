// A service that keeps boxes of mixed sizes on two stacks, and some on another thread.
#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[inline(never)]
fn keep(kept: &mut Vec<Box<[u8]>>, size: usize) {
    kept.push(vec![1u8; size].into_boxed_slice());
}

#[inline(never)]
fn small(kept: &mut Vec<Box<[u8]>>) {
    for i in 0..4000 {
        keep(kept, 64 << (i % 5));
    }
}

#[inline(never)]
fn large(kept: &mut Vec<Box<[u8]>>) {
    for _ in 0..40 {
        keep(kept, 300_000);
    }
    kept.truncate(kept.len() - 10);
}

fn main() {
    let mut kept = Vec::new();
    small(&mut kept);
    large(&mut kept);
    let other = std::thread::Builder::new().name("other".into()).spawn(|| {
        let mut kept = Vec::new();
        small(&mut kept);
        kept
    });
    std::mem::forget((kept, other.unwrap().join()));
}
