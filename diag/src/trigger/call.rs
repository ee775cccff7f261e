//! Calls hooks and webhooks, on a thread of its own that is there from the start: when memory is short, none could be made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Shared, webhook};
use crate::config::Problem;
use crate::rules::{Do, Firing, Hook, Rule};

/// Calls that wait.
const QUEUE: usize = 16;
/// Problems kept for `status`.
const MOST_PROBLEMS: usize = 16;

/// Something to call.
pub(super) enum Call {
    Hook(Hook, Firing),
    Webhook(String, Firing),
}

/// The way to the thread; it ends when this is dropped and the queue is done.
pub(super) struct Caller {
    queue: Option<SyncSender<Call>>,
}

impl Caller {
    /// Starts the thread, if a rule calls anything.
    pub(super) fn start(rules: &[Rule], shared: Arc<Shared>) -> Self {
        let calls = |r: &Rule| r.actions.iter().any(|a| matches!(a, Do::Hook(_) | Do::Webhook(_)));
        if !rules.iter().any(calls) {
            return Self { queue: None };
        }
        let (queue, calls) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("diag-hooks".to_owned())
            .stack_size(512 << 10)
            .spawn(move || run(&calls, &shared));
        Self { queue: thread.is_ok().then_some(queue) }
    }

    /// Queues a call, or says why not.
    pub(super) fn call(&self, call: Call) -> Result<(), String> {
        let queue = self.queue.as_ref().ok_or("the thread for hooks could not be started")?;
        queue.try_send(call).map_err(|_| "too many hooks wait already; one of them is slow".to_owned())
    }
}

fn run(calls: &Receiver<Call>, shared: &Shared) {
    while let Ok(call) = calls.recv() {
        let (rule, result) = match call {
            // The host's own code: its memory is news, so it is profiled.
            Call::Hook(hook, firing) => {
                let result = catch_unwind(AssertUnwindSafe(|| (hook.0)(&firing)));
                (firing.rule, result.map_err(|_| "its hook panicked".to_owned()))
            }
            Call::Webhook(url, firing) => {
                let _unprofiled = crate::Unprofiled::begin();
                let json = serde_json::to_vec(&firing).map_err(|e| e.to_string());
                (firing.rule, json.and_then(|json| webhook::post(&url, &json)))
            }
        };
        if let Err(why) = result {
            let what = format!("the rule {rule}: {why}");
            let next = "see that what it calls is there and quick".to_owned();
            let mut stats = shared.stats();
            stats.problems.retain(|p| p.what != what);
            if stats.problems.len() >= MOST_PROBLEMS {
                stats.problems.remove(0);
            }
            stats.problems.push(Problem { part: "rules".into(), what, next });
        }
    }
}
