//! Leak: a cycle of Arcs. A support chat knows its agent, and the agent its chat; both outlive the last user of either.
//!
//! In the twin the agent's way back is a Weak.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, Weak};

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use examples::traffic::Kind;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// Chats that are still open.
const OPEN: usize = 50;

struct Chat {
    transcript: Mutex<Vec<String>>,
    agent: Mutex<Option<Arc<Agent>>>,
}

struct Agent {
    chat: Way,
}

enum Way {
    Strong(Arc<Chat>),
    Weak(Weak<Chat>),
}

impl Agent {
    fn say(&self, text: String) {
        match &self.chat {
            Way::Strong(chat) => lock(&chat.transcript).push(text),
            Way::Weak(chat) => {
                if let Some(chat) = chat.upgrade() {
                    lock(&chat.transcript).push(text);
                }
            }
        }
    }
}

struct SupportDesk {
    fixed: bool,
    open: Mutex<VecDeque<Arc<Chat>>>,
}

impl SupportDesk {
    fn new(fixed: bool) -> Self {
        Self { fixed, open: Mutex::default() }
    }

    /// A chat with some 20 KiB of transcript. The oldest open one is closed.
    fn open_chat(&self, user: u64) {
        let chat = Arc::new(Chat { transcript: Mutex::default(), agent: Mutex::default() });
        let way = if self.fixed { Way::Weak(Arc::downgrade(&chat)) } else { Way::Strong(Arc::clone(&chat)) };
        let agent = Arc::new(Agent { chat: way });
        for line in 0..40 {
            agent.say(format!("{user}, line {line}: ").repeat(25));
        }
        *lock(&chat.agent) = Some(agent);
        let mut open = lock(&self.open);
        open.push_back(chat);
        while open.len() > OPEN {
            open.pop_front();
        }
    }
}

impl Feature for SupportDesk {
    fn on_request(&self, request: &Request, _reply: &Reply) {
        if request.kind() == Some(Kind::Login) {
            self.open_chat(request.user());
        }
    }
}

fn main() -> ExitCode {
    run(
        "leaky_cycle",
        "SupportDesk::open_chat ties a chat and its agent into a cycle of Arcs",
        SupportDesk::new,
    )
}
