//! Leak: a map that never evicts. Every login opens a session, no session is ever closed.
//!
//! The twin keeps the newest sessions only.

use std::process::ExitCode;
use std::sync::Mutex;

use examples::bounded::Bounded;
use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use examples::traffic::Kind;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const NEWEST: usize = 100;

struct Session {
    _user: u64,
    _visited: Vec<u64>,
    _account_page: String,
}

struct SessionStore {
    sessions: Mutex<Bounded<String, Session>>,
}

impl SessionStore {
    fn new(fixed: bool) -> Self {
        Self { sessions: Mutex::new(Bounded::new(if fixed { NEWEST } else { usize::MAX })) }
    }

    /// Some 20 KiB a session.
    fn remember(&self, token: &str, user: u64) {
        let session = Session {
            _user: user,
            _visited: (0..1024).map(|page| page ^ user).collect(),
            _account_page: format!("user {user} ").repeat(1000),
        };
        lock(&self.sessions).insert(token.to_owned(), session);
    }
}

impl Feature for SessionStore {
    fn on_request(&self, request: &Request, _reply: &Reply) {
        if request.kind() == Some(Kind::Login) {
            self.remember(request.header("x-request-id"), request.user());
        }
    }
}

fn main() -> ExitCode {
    run("leaky_map", "SessionStore::remember never evicts", SessionStore::new)
}
