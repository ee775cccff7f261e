//! Traffic of a web shop, seeded: which request comes next depends on the seed and the worker alone, never on time.

use std::fmt::Write as _;

use crate::rng::Rng;

/// Items that the shop sells; their numbers are below this.
pub const ITEMS: u64 = 12_000;

const WORDS: [&str; 24] = [
    "amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll",
    "larch", "mango", "nutmeg", "ochre", "pine", "quartz", "ridge", "slate", "thyme", "umber", "vale",
    "willow", "zephyr",
];

/// A word for a number, for item names and search terms.
pub fn word(n: u64) -> &'static str {
    WORDS[(n % WORDS.len() as u64) as usize]
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The page of an item.
    Browse,
    /// Items for some words.
    Search,
    /// A new session.
    Login,
    /// An order with its lines, JSON.
    Order,
    /// A picture or document.
    Upload,
    /// To be told when a price changes.
    Subscribe,
    /// A sales report, the one request that needs much memory at once.
    Report,
}

/// A request before it is sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it asks for.
    pub kind: Kind,
    /// Path with query.
    pub path: String,
    /// The user who asks.
    pub user: u64,
    /// Unique in a run: worker and number of the request.
    pub request_id: String,
    /// Body; empty for GET.
    pub body: Vec<u8>,
}

impl Call {
    /// The request as HTTP/1.1 writes it.
    pub fn to_http(&self) -> Vec<u8> {
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let mut raw = format!(
            "{method} {} HTTP/1.1\r\nhost: shop.example\r\nuser-agent: traffic/1\r\naccept: application/json\r\n\
             x-user: {}\r\nx-request-id: {}\r\ncontent-length: {}\r\n\r\n",
            self.path,
            self.user,
            self.request_id,
            self.body.len()
        )
        .into_bytes();
        raw.extend_from_slice(&self.body);
        raw
    }
}

/// The requests of one worker, without end.
#[derive(Clone, Debug)]
pub struct Traffic {
    rng: Rng,
    worker: u64,
    sent: u64,
}

impl Traffic {
    /// Equal arguments give equal traffic.
    pub fn new(seed: u64, worker: u64) -> Self {
        Self { rng: Rng::new(seed, worker), worker, sent: 0 }
    }

    /// The next request.
    pub fn next_call(&mut self) -> Call {
        self.sent += 1;
        let rng = &mut self.rng;
        let user = rng.popular(50_000);
        let (kind, path, body) = match rng.below(100) {
            0..40 => (Kind::Browse, format!("/items/{}?fields=all", rng.popular(ITEMS)), Vec::new()),
            40..55 => (
                Kind::Search,
                format!("/search?q={}+{}", word(rng.below(24)), word(rng.below(24))),
                Vec::new(),
            ),
            55..65 => (Kind::Login, "/login".to_owned(), login(rng, user)),
            65..85 => (Kind::Order, "/orders".to_owned(), order(rng, user)),
            85..90 => (Kind::Upload, format!("/uploads/{user}-{}.bin", self.sent), upload(rng)),
            90..95 => (Kind::Subscribe, format!("/prices/{}/follow", rng.popular(ITEMS)), Vec::new()),
            _ => (Kind::Report, format!("/reports/{}", rng.below(12)), Vec::new()),
        };
        Call { kind, path, user, request_id: format!("{:x}-{:08x}", self.worker, self.sent), body }
    }
}

fn login(rng: &mut Rng, user: u64) -> Vec<u8> {
    let agent = word(rng.next_u64());
    format!(
        r#"{{"user":{user},"password":"{:016x}","client":{{"agent":"{agent}","beta":false}}}}"#,
        rng.next_u64()
    )
    .into_bytes()
}

/// 0.6 to 4 KiB of JSON.
fn order(rng: &mut Rng, user: u64) -> Vec<u8> {
    let mut body = format!(r#"{{"user":{user},"currency":"EUR","lines":["#);
    for line in 0..rng.between(6, 40) {
        let comma = if line == 0 { "" } else { "," };
        let (item, count, cents) = (rng.popular(ITEMS), rng.between(1, 5), rng.between(99, 99_999));
        let _ = write!(
            body,
            r#"{comma}{{"item":{item},"count":{count},"cents":{cents},"note":"{} {} {}"}}"#,
            word(item),
            word(count),
            word(cents)
        );
    }
    body.push_str(r#"],"gift":false}"#);
    body.into_bytes()
}

/// 16 to 112 KiB that look like a file: a header line, then data.
fn upload(rng: &mut Rng) -> Vec<u8> {
    let size = rng.between(16 << 10, 112 << 10) as usize;
    let mut body =
        format!("format=raster width={} height={} \n", rng.between(64, 4096), rng.between(64, 4096))
            .into_bytes();
    body.reserve_exact(size.saturating_sub(body.len()));
    while body.len() + 8 <= size {
        body.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::{Kind, Traffic};

    #[test]
    fn equal_seeds_give_equal_traffic() {
        let (mut a, mut b, mut c) = (Traffic::new(7, 1), Traffic::new(7, 1), Traffic::new(8, 1));
        let mut differs = false;
        for _ in 0..200 {
            let call = a.next_call().to_http();
            assert_eq!(call, b.next_call().to_http());
            differs |= call != c.next_call().to_http();
        }
        assert!(differs);
    }

    #[test]
    fn all_kinds_come() {
        let mut traffic = Traffic::new(1, 0);
        let kinds: std::collections::HashSet<Kind> = (0..500).map(|_| traffic.next_call().kind).collect();
        assert_eq!(kinds.len(), 7);
    }
}
