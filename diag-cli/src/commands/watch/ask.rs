//! Asks the service: two threads, so that a heavy answer does not hold up the light ones. Names of addresses are looked up on this
//! machine; only when the program is not here is the service asked to name them itself, from then on.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use diag::profile::Profile;

use super::answer::{self, Answer};
use super::clean::clean;
use super::plan::{Ask, CPU_SECONDS};
use super::state::{Event, Miss, Order};
use crate::cli::SymbolArgs;
use crate::clock;
use crate::http::{Client, FetchError};
use crate::load::{decode, program_is_here};
use crate::output::Sink;
use crate::remote::Status;
use crate::symbols::Symbols;
use crate::target::Endpoint;

/// What the threads need.
#[derive(Clone)]
pub(super) struct Service {
    /// The client.
    pub(super) client: Client,
    /// The service.
    pub(super) endpoint: Endpoint,
    /// Where names are looked for.
    pub(super) symbols: SymbolArgs,
    /// Where captures go.
    pub(super) out: std::path::PathBuf,
}

/// The ends of the threads' queues. They stop when this is dropped; what they wait for then is not waited for.
pub(super) struct Asker {
    light: Sender<(Ask, String)>,
    heavy: Sender<(Ask, String)>,
    events: Sender<Event>,
    out: std::path::PathBuf,
}

impl Asker {
    /// Starts the threads. What they hear comes out of the receiver.
    pub(super) fn start(service: &Service) -> (Self, Receiver<Event>) {
        let (events, heard) = mpsc::channel();
        let thread = |service: Service| {
            let (ask, asks) = mpsc::channel::<(Ask, String)>();
            let events = events.clone();
            std::thread::spawn(move || {
                let mut worker = Worker { symbols: None, names_itself: None, service };
                for (ask, path) in asks {
                    let began = Instant::now();
                    let result = worker.ask(ask, &path, began);
                    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    if events.send(Event::Heard { ask, took_ms, result }).is_err() {
                        return;
                    }
                }
            });
            ask
        };
        let (light, heavy) = (thread(service.clone()), thread(service.clone()));
        (Self { light, heavy, events, out: service.out.clone() }, heard)
    }

    /// Does what the state ordered; false when it is to end.
    pub(super) fn obey(&self, orders: Vec<Order>) -> bool {
        for order in orders {
            match order {
                Order::Quit => return false,
                Order::Ask(ask, path) => {
                    let queue = if ask.is_heavy() { &self.heavy } else { &self.light };
                    // A thread that has panicked answers no more; the pane then says how old its data are.
                    let _ = queue.send((ask, path));
                }
                Order::Write(name, bytes) => {
                    let path = self.out.join(name);
                    let written = Sink::File(path.clone()).write(&bytes);
                    let _ = self.events.send(Event::Wrote(written.map(|()| path).map_err(|e| e.line())));
                }
            }
        }
        true
    }
}

struct Worker {
    service: Service,
    /// Made when the first profile is there.
    symbols: Option<Symbols>,
    /// Whether the service is asked to name its addresses; not known before the first profile.
    names_itself: Option<bool>,
}

impl Worker {
    fn ask(&mut self, ask: Ask, path: &str, began: Instant) -> Result<Answer, Miss> {
        match ask {
            Ask::Heap => return self.heap(path, began),
            Ask::Cpu => return self.cpu(path),
            _ => {}
        }
        let body = self.fetch(path, Duration::ZERO)?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let understood = match ask {
            Ask::Status => serde_json::from_slice(&body)
                .map(|value| answer::status(&Status(value)))
                .map_err(|e| format!("not a status: {}", clean(&e.to_string()))),
            Ask::History => answer::history(&body),
            Ask::Tasks => answer::tasks(&body),
            _ => answer::verdict(&body, clock::now_unix_ns() / 1_000_000, took_ms),
        };
        understood.map_err(plain)
    }

    fn heap(&mut self, path: &str, began: Instant) -> Result<Answer, Miss> {
        let mut itself = self.names_itself.unwrap_or(false);
        loop {
            let raw = self.fetch(&format!("{path}?symbolize={itself}"), Duration::ZERO)?;
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (profile, is_bare) = self.named(&raw)?;
            if is_bare && !itself && self.names_itself.is_none() {
                itself = true;
                self.names_itself = Some(true);
                continue;
            }
            self.names_itself.get_or_insert(itself);
            return answer::heap(&profile, raw, clock::now_unix_ns() / 1_000_000, took_ms).map_err(plain);
        }
    }

    fn cpu(&mut self, path: &str) -> Result<Answer, Miss> {
        let Service { client, endpoint, symbols, .. } = &self.service;
        let itself = self.names_itself.unwrap_or_else(|| !program_is_here(client, endpoint, symbols));
        let wait = Duration::from_secs(CPU_SECONDS);
        let raw = self.fetch(&format!("{path}&symbolize={itself}"), wait)?;
        let (profile, _) = self.named(&raw)?;
        answer::cpu(&profile, clock::now_unix_ns() / 1_000_000, wait.as_secs_f64()).map_err(plain)
    }

    /// With names, as far as this machine has them; and whether it has not.
    fn named(&mut self, raw: &[u8]) -> Result<(Profile, bool), Miss> {
        let name = self.service.endpoint.to_string();
        let (profile, _) = decode(raw, &name).map_err(|e| plain(clean(&e.line())))?;
        let symbols = self.symbols.get_or_insert_with(|| Symbols::new(&self.service.symbols));
        let (profile, unresolved) = symbols.resolve(profile, &name).map_err(|e| plain(clean(&e.line())))?;
        Ok((profile, unresolved.is_important()))
    }

    fn fetch(&self, path: &str, wait: Duration) -> Result<Vec<u8>, Miss> {
        let Service { client, endpoint, .. } = &self.service;
        let answer = client.get(endpoint, path, wait).map_err(|e| {
            let is_absent = matches!(e, FetchError::Status { status: 404 | 405 | 501, .. });
            let wait_ms = e.retry_after().and_then(|t| u64::try_from(t.as_millis()).ok());
            let why = e.explain(endpoint, path, client.has_credentials(endpoint)).line();
            Miss { why: clean(&why), is_absent, wait_ms }
        })?;
        Ok(answer.body)
    }
}

fn plain(why: String) -> Miss {
    Miss { why, is_absent: false, wait_ms: None }
}
