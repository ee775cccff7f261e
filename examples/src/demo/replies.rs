//! The leak of the demo.

use std::sync::Mutex;

use crate::bounded::Bounded;
use crate::shop::lock;

/// How many answers the fixed twin remembers: more than enough for clients that try again at once.
const REMEMBERED: usize = 500;

/// The answer to each order by its idempotency key, so that an order sent twice is not bought twice.
#[derive(Debug)]
pub struct IdempotencyKeys {
    replies: Mutex<Bounded<String, Vec<u8>>>,
}

impl IdempotencyKeys {
    /// Forgets the oldest when `fixed`, else none.
    pub fn new(fixed: bool) -> Self {
        let limit = if fixed { REMEMBERED } else { usize::MAX };
        Self { replies: Mutex::new(Bounded::new(limit)) }
    }

    /// The answer that was given for this key.
    pub fn recall(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.replies).get(&key.to_owned()).cloned()
    }

    /// Keeps an answer.
    pub fn remember_reply(&self, key: &str, reply: &[u8]) {
        lock(&self.replies).insert(key.to_owned(), reply.to_vec());
    }

    /// Whether as many answers are kept as the twin that forgets will ever keep: from then on its size is constant.
    pub fn is_warm(&self) -> bool {
        self.len() >= REMEMBERED
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        lock(&self.replies).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
