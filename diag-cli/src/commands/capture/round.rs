//! One round of `capture`: what is asked of the target, and what comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use diag::endpoints;
use diag::profile::{Profile, pprof};
use serde_json::Value;

use super::{CaptureArgs, Wanted};
use crate::captures::Process;
use crate::clock;
use crate::collect::Collect;
use crate::error::Error;
use crate::http::{Client, FetchError};
use crate::load;
use crate::remote::{Remote, identify};
use crate::symbols::Symbols;
use crate::target::{Endpoint, Target};

/// What one round brought from the target.
pub(super) struct Round {
    pub(super) process: Option<Process>,
    /// One time for all, so that what belongs together has one name.
    pub(super) taken_unix_ns: i64,
    pub(super) documents: Vec<(Wanted, Vec<u8>)>,
}

/// Why a round brought nothing.
pub(super) struct Miss {
    pub(super) error: Error,
    pub(super) retry_after: Option<Duration>,
    pub(super) passing: bool,
}

/// What a round needs; moves to the thread that talks to the target.
pub(super) struct Puller {
    client: Client,
    endpoint: Endpoint,
    wanted: Vec<Wanted>,
    names: Option<Symbols>,
    /// Whether the command line says where the names are, or the target's program has a path of this machine.
    names_are_here: bool,
    /// Set once the target has proved to be no diag server.
    foreign: bool,
    /// Set once its program was not found on this machine.
    target_resolves: bool,
}

impl Puller {
    pub(super) fn new(client: Client, endpoint: &Endpoint, args: &CaptureArgs, wanted: Vec<Wanted>) -> Self {
        Self {
            client,
            endpoint: endpoint.clone(),
            wanted,
            names: (!args.no_names).then(|| Symbols::new(&args.symbols)),
            names_are_here: args.symbols.says_where(),
            foreign: false,
            target_resolves: false,
        }
    }

    /// What takes its time in a round, and how long.
    pub(super) fn recording(&self) -> Option<(String, Duration)> {
        let target = [Target::Live(self.endpoint.clone())];
        self.wanted.iter().find_map(|wanted| match wanted {
            Wanted::Profile(collect @ Collect::Cpu(_)) => Some((collect.doing(&target), collect.wait())),
            _ => None,
        })
    }

    pub(super) fn round(&mut self) -> std::result::Result<Round, Miss> {
        // The process may restart between two requests: a capture counts when the process is the same before and after.
        const ATTEMPTS: usize = 3;
        let mut before = self.process()?;
        for _ in 0..ATTEMPTS {
            let taken_unix_ns = clock::now_unix_ns();
            let mut documents = Vec::new();
            for wanted in self.wanted.clone() {
                match wanted {
                    Wanted::Profile(collect) => documents.push((wanted, self.profile(collect, before)?)),
                    Wanted::Memory { by_name } => {
                        if let Some(bytes) = self.document(endpoints::API_MEMORY, by_name)? {
                            documents.push((wanted, bytes));
                        }
                    }
                    Wanted::Tasks { by_name } => {
                        let tasks = self.document(endpoints::API_TASKS, by_name)?;
                        // Most services track none; a file that says so each time is of no use.
                        documents.extend(
                            tasks.filter(|t| by_name || tracks_tasks(t)).map(|bytes| (wanted, bytes)),
                        );
                    }
                }
            }
            let after = self.process()?;
            if before == after {
                return Ok(Round { process: after, taken_unix_ns, documents });
            }
            before = after;
        }
        Err(Miss {
            error: Error::failed(
                format!("{} restarts faster than it can be captured", self.endpoint),
                "look at the target's log",
            ),
            retry_after: None,
            passing: true,
        })
    }

    fn process(&mut self) -> std::result::Result<Option<Process>, Miss> {
        if self.foreign {
            return Ok(None);
        }
        match identify(&self.client, &self.endpoint) {
            Ok(Remote::Ours(status)) => {
                self.names_are_here |= status.executable().is_some_and(|path| Path::new(path).is_file());
                Ok(status.process())
            }
            Ok(Remote::Foreign { .. }) => {
                self.foreign = true;
                Ok(None)
            }
            Err(e) => Err(self.miss(&e, endpoints::API_STATUS)),
        }
    }

    fn profile(&mut self, collect: Collect, process: Option<Process>) -> std::result::Result<Vec<u8>, Miss> {
        // CPU time cannot be recorded again for its names.
        let at_once = !collect.can_be_repeated() && self.names.is_some() && !self.names_are_here;
        let path =
            load::profile_path(&self.endpoint, &collect, self.target_resolves || at_once, !self.foreign);
        let bytes = self.get(&path)?;
        let name = self.endpoint.url(&path);
        let (profile, _) = load::decode(&bytes, &name).map_err(damaged)?;
        let Some(symbols) = &mut self.names else { return Ok(written(profile, process, bytes, false)) };
        let before = unnamed(&profile);
        let (profile, unresolved) = symbols.resolve(profile, &name).map_err(damaged)?;
        if !self.target_resolves && !at_once {
            self.target_resolves = match collect {
                Collect::Heap | Collect::Mutex | Collect::Block => unresolved.is_important(),
                Collect::Cpu(_) => unresolved.is_much(),
            };
            if self.target_resolves && collect.can_be_repeated() {
                return self.profile(collect, process);
            }
        }
        let changed = unnamed(&profile) != before;
        Ok(written(profile, process, bytes, changed))
    }

    /// A JSON document; `None` where the target has none and nobody asked for it by name.
    fn document(&self, path: &str, by_name: bool) -> std::result::Result<Option<Vec<u8>>, Miss> {
        let answer = match load::fetch(&self.client, &self.endpoint, path) {
            Ok(answer) => answer,
            Err(FetchError::Status { status: 404 | 405 | 501, .. }) if !by_name => return Ok(None),
            Err(e) => return Err(self.miss(&e, path)),
        };
        match serde_json::from_slice::<BTreeMap<String, Value>>(&answer.body) {
            Ok(_) => Ok(Some(answer.body)),
            Err(_) if !by_name => Ok(None),
            Err(e) => Err(damaged(Error::failed(
                format!("{} is not the document that diag has there: {e}", self.endpoint.url(path)),
                "capture --kind heap alone",
            ))),
        }
    }

    fn get(&self, path: &str) -> std::result::Result<Vec<u8>, Miss> {
        load::fetch(&self.client, &self.endpoint, path).map(|a| a.body).map_err(|e| self.miss(&e, path))
    }

    fn miss(&self, e: &FetchError, path: &str) -> Miss {
        Miss {
            error: e.explain(&self.endpoint, path, self.client.has_credentials(&self.endpoint)),
            retry_after: e.retry_after(),
            // In the middle of a series only a refused token is final: a proxy answers 404 during a restart.
            passing: !matches!(e, FetchError::Status { status: 401 | 403, .. }),
        }
    }
}

fn damaged(error: Error) -> Miss {
    Miss { error, retry_after: None, passing: true }
}

fn tracks_tasks(document: &[u8]) -> bool {
    let value: Option<Value> = serde_json::from_slice(document).ok();
    value.as_ref().and_then(|v| v.get("sites")?.as_array()).is_some_and(|sites| !sites.is_empty())
}

fn unnamed(profile: &Profile) -> usize {
    profile.location_ids().filter(|&id| profile.location(id).lines.is_empty()).count()
}

/// The bytes to keep: as they came, unless there are names or a process to add.
fn written(mut profile: Profile, process: Option<Process>, bytes: Vec<u8>, changed: bool) -> Vec<u8> {
    let Some(process) = process else {
        return if changed { pprof::encode_gz(&profile) } else { bytes };
    };
    let remark = format!("# diag.process pid={} started_unix_s={}", process.pid, process.started_unix_s);
    profile.annotate(|meta| meta.comments.push(remark));
    pprof::encode_gz(&profile)
}
