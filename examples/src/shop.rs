//! A web shop that does not leak: the healthy part of every example.
//!
//! Its memory: a catalogue that lives for ever, caches and sessions up to a limit, and what a request needs while it
//! runs. All limits are reached after some 3,000 requests of [`Traffic`](crate::traffic::Traffic); from then on the
//! live heap of the shop is level.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::bounded::Bounded;
use crate::request::{Reply, Request};
use crate::traffic::{ITEMS, Kind, word};

const SESSIONS: usize = 250;
const PAGES: usize = 400;
const ORDERS: usize = 400;
const UPLOADS: usize = 24;

/// Locks, also after a panic of another holder: the data of the shop is valid between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Item {
    name: String,
    description: String,
    cents: u64,
}

#[derive(Debug)]
struct Session {
    user: u64,
    claims: HashMap<String, String>,
}

/// The shop. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Shop {
    catalogue: Vec<Item>,
    index: HashMap<&'static str, Vec<u32>>,
    sessions: Mutex<Bounded<u64, Session>>,
    pages: Mutex<Bounded<u64, Arc<str>>>,
    orders: Mutex<VecDeque<Value>>,
    uploads: Mutex<VecDeque<Vec<u8>>>,
}

impl Shop {
    /// Loads the catalogue, some 16 MiB.
    pub fn open() -> Self {
        let catalogue: Vec<Item> = (0..ITEMS).map(Item::load).collect();
        let mut index: HashMap<&'static str, Vec<u32>> = HashMap::new();
        for number in 0..ITEMS {
            for term in [word(number), word(number / 24)] {
                index.entry(term).or_default().push(number as u32);
            }
        }
        Self {
            catalogue,
            index,
            sessions: Mutex::new(Bounded::new(SESSIONS)),
            pages: Mutex::new(Bounded::new(PAGES)),
            orders: Mutex::default(),
            uploads: Mutex::default(),
        }
    }

    /// Answers a request.
    pub fn handle(&self, request: &Request) -> Reply {
        let answer = match request.kind() {
            Some(Kind::Browse) => self.page(request),
            Some(Kind::Search) => Some(self.search(&request.query)),
            Some(Kind::Login) => self.login(request),
            Some(Kind::Order) => self.order(request),
            Some(Kind::Upload) => Some(self.upload(request)),
            Some(Kind::Subscribe) => Some(br#"{"following":true}"#.to_vec()),
            Some(Kind::Report) => Some(self.report(request)),
            None => None,
        };
        match answer {
            Some(body) => Reply { status: 200, body },
            None => Reply { status: 400, body: br#"{"error":"bad request"}"#.to_vec() },
        }
    }

    fn page(&self, request: &Request) -> Option<Vec<u8>> {
        let number = request.number()?;
        if let Some(page) = lock(&self.pages).get(&number) {
            return Some(page.as_bytes().to_vec());
        }
        let item = self.catalogue.get(usize::try_from(number).ok()?)?;
        let similar: Vec<Value> = (1..=12)
            .filter_map(|step| self.catalogue.get((number as usize + step * 24) % self.catalogue.len()))
            .map(|other| json!({"name": other.name, "cents": other.cents, "stock": {"berlin": 3, "lyon": 0}}))
            .collect();
        let page =
            json!({"name": item.name, "text": item.description, "cents": item.cents, "similar": similar});
        let page: Arc<str> = page.to_string().into();
        lock(&self.pages).insert(number, Arc::clone(&page));
        Some(page.as_bytes().to_vec())
    }

    fn search(&self, query: &str) -> Vec<u8> {
        let terms: Vec<String> = query.trim_start_matches("q=").split('+').map(str::to_lowercase).collect();
        let mut hits: HashMap<u32, u32> = HashMap::new();
        for postings in terms.iter().filter_map(|t| self.index.get(t.as_str())) {
            for &number in postings {
                *hits.entry(number).or_default() += 1;
            }
        }
        let mut ranked: Vec<(u32, u32)> = hits.into_iter().collect();
        ranked.sort_unstable_by_key(|&(number, hits)| (std::cmp::Reverse(hits), number));
        let found: Vec<Value> = ranked
            .iter()
            .take(20)
            .filter_map(|&(number, hits)| Some((self.catalogue.get(number as usize)?, hits)))
            .map(|(item, hits)| json!({"name": item.name, "cents": item.cents, "hits": hits}))
            .collect();
        Value::Array(found).to_string().into_bytes()
    }

    fn login(&self, request: &Request) -> Option<Vec<u8>> {
        let form: Value = serde_json::from_slice(&request.body).ok()?;
        let user = form.get("user")?.as_u64()?;
        let claims = (0..16).map(|n| (format!("claim-{n}"), format!("{}-{user}-{n}", word(n)))).collect();
        let mut sessions = lock(&self.sessions);
        sessions.insert(user, Session { user, claims });
        let session = sessions.get(&user)?;
        Some(json!({"user": session.user, "claims": session.claims.len()}).to_string().into_bytes())
    }

    fn order(&self, request: &Request) -> Option<Vec<u8>> {
        let order: Value = serde_json::from_slice(&request.body).ok()?;
        let lines = order.get("lines")?.as_array()?;
        let mut receipt = Vec::with_capacity(lines.len());
        let mut total = 0;
        for line in lines {
            let (item, count) = (line.get("item")?.as_u64()?, line.get("count")?.as_u64()?);
            let item = self.catalogue.get(usize::try_from(item).ok()?)?;
            total += item.cents * count;
            receipt.push(json!({"name": item.name, "count": count, "cents": item.cents * count}));
        }
        let reply = json!({"order": request.header("x-request-id"), "total": total, "receipt": receipt});
        let mut orders = lock(&self.orders);
        orders.push_back(order);
        while orders.len() > ORDERS {
            orders.pop_front();
        }
        Some(reply.to_string().into_bytes())
    }

    fn upload(&self, request: &Request) -> Vec<u8> {
        let sum = request.body.iter().fold(0u32, |sum, &b| sum.rotate_left(5) ^ u32::from(b));
        let mut uploads = lock(&self.uploads);
        uploads.push_back(request.body.clone());
        while uploads.len() > UPLOADS {
            uploads.pop_front();
        }
        json!({"bytes": request.body.len(), "sum": sum}).to_string().into_bytes()
    }

    /// A CSV of some 100 KiB, grown line by line.
    fn report(&self, request: &Request) -> Vec<u8> {
        let month = request.number().unwrap_or(0) as usize;
        let mut csv = String::from("item,name,cents\n");
        for (number, item) in self.catalogue.iter().enumerate().skip(month).step_by(8) {
            let _ = writeln!(csv, "{number},{},{}", item.name, item.cents);
        }
        csv.into_bytes()
    }
}

impl Item {
    fn load(number: u64) -> Self {
        let mut description = String::with_capacity(1280);
        for n in 0..180 {
            description.push_str(word(number.wrapping_mul(31).wrapping_add(n * n)));
            description.push(' ');
        }
        Self {
            name: format!("{} {} no. {number}", word(number), word(number / 24)),
            description,
            cents: 99 + number * 7919 % 99_900,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shop;
    use crate::request::Request;
    use crate::traffic::Traffic;

    #[test]
    fn every_request_of_the_traffic_is_answered() {
        let (shop, mut traffic) = (Shop::open(), Traffic::new(5, 0));
        for _ in 0..400 {
            let call = traffic.next_call();
            let reply = shop.handle(&Request::parse(&call.to_http()).expect("a request"));
            assert_eq!(reply.status, 200, "{call:?}");
            assert!(!reply.body.is_empty());
        }
    }
}
