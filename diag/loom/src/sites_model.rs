//! The tables of stacks: looked up without a lock while others add.

use loom::sync::Arc;
use loom::thread::spawn;

use crate::check;
use crate::sites::{Site, Sites, Total};

const A: &[u64] = &[5, 7];
const B: &[u64] = &[5, 9];

fn frames(sites: &Sites, site: u32) -> Vec<u64> {
    let Some(Site { stack, .. }) = sites.get(site) else { panic!("a site that was given out is there") };
    sites.stack(stack).map(|frame| sites.frame_address(frame)).collect()
}

/// Two threads add a stack each that share a frame, one of them both: equal stacks have one site, and whoever has its number
/// reads all of it.
pub fn equal_stacks_share_a_site() {
    check(|| {
        let sites = Arc::new(Sites::new(0).unwrap());
        let other = {
            let sites = sites.clone();
            spawn(move || {
                let site = sites.site(A, 1).unwrap();
                sites.add(site, Total { count: 1.0, amount: 2.0 });
                assert_eq!(frames(&sites, site), A);
                site
            })
        };
        let b = sites.site(B, 1).unwrap();
        assert_eq!(frames(&sites, b), B);
        let a = sites.site(A, 1).unwrap();
        assert_eq!(frames(&sites, a), A);
        sites.add(a, Total { count: 1.0, amount: 2.0 });
        assert_eq!(other.join().unwrap(), a);
        assert_ne!(a, b);
        assert_eq!(sites.get(a).unwrap().total, Total { count: 2.0, amount: 4.0 });
    });
}

/// A snapshot that counts the sites while one is added finds each that it counted whole.
pub fn what_is_counted_is_there() {
    check(|| {
        let sites = Arc::new(Sites::new(0).unwrap());
        let other = {
            let sites = sites.clone();
            spawn(move || _ = sites.site(A, 1))
        };
        for site in 1..sites.len() as u32 {
            assert_eq!(frames(&sites, site), A);
        }
        other.join().unwrap();
        assert_eq!(sites.len(), 2);
    });
}
