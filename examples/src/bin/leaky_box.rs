//! Leak: a forgotten Box. The pricing engine wants its rules for `'static`, so every order leaks a new rule book.
//!
//! The twin lends the book to the engine and drops it after the order.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::traffic::Kind;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

struct RuleBook {
    discounts: [u32; 2560],
}

impl RuleBook {
    fn compile(user: u64) -> Box<Self> {
        let mut book = Box::new(Self { discounts: [0; 2560] });
        for (step, discount) in (0u64..).zip(book.discounts.iter_mut()) {
            *discount = ((user ^ step) % 100) as u32;
        }
        book
    }

    fn compile_for_ever(user: u64) -> &'static Self {
        Box::leak(Self::compile(user))
    }

    fn price(&self, cents: u64) -> u64 {
        let discount = self.discounts.get(cents as usize % self.discounts.len()).copied().unwrap_or(0);
        cents - cents * u64::from(discount) / 100
    }
}

struct Engine {
    fixed: bool,
    turnover: AtomicU64,
}

impl Feature for Engine {
    fn on_request(&self, request: &Request, reply: &Reply) {
        if request.kind() == Some(Kind::Order) {
            let cents = reply.body.len() as u64;
            let price = if self.fixed {
                RuleBook::compile(request.user()).price(cents)
            } else {
                RuleBook::compile_for_ever(request.user()).price(cents)
            };
            self.turnover.fetch_add(price, Ordering::Relaxed);
        }
    }
}

fn main() -> ExitCode {
    run("leaky_box", "RuleBook::compile_for_ever leaks a Box for every order", |fixed| Engine {
        fixed,
        turnover: AtomicU64::new(0),
    })
}
