//! Profiles kept in memory to be looked at again and compared: the baseline that somebody marked, the CPU profile that
//! somebody recorded. Bounded in number and bytes; the oldest go first. Nothing is kept over the end of the process: that
//! is what the capture directory is for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use diag::profile::{Profile, pprof};
use serde::Serialize;

use crate::failure::Failure;

/// Profiles kept.
const MOST: usize = 16;
/// Bytes of all of them, gzipped: some 30 profiles of 10,000 stacks.
const MOST_BYTES: usize = 32 << 20;

/// What one is, for the list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Never given twice in a process.
    id: u64,
    /// `heap` or `cpu`.
    kind: &'static str,
    taken_unix_ms: Option<i64>,
    /// How long it was recorded.
    seconds: Option<f64>,
    bytes: usize,
}

/// All of them, as `diag.kept/1`.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    schema: &'static str,
    most: usize,
    most_bytes: usize,
    bytes: usize,
    kept: Vec<Entry>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    entries: VecDeque<(Entry, Arc<[u8]>)>,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<State>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a profile.
    pub(crate) fn add(&self, kind: &'static str, profile: &Profile) -> Result<Entry, Failure> {
        let encoded: Arc<[u8]> = pprof::encode_gz(profile).into();
        if encoded.len() > MOST_BYTES {
            return Err(Failure::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!(
                    "the profile takes {} bytes and is not kept, since at most {MOST_BYTES} are; save it with \
                     `diag-cli capture` and compare the files",
                    encoded.len()
                ),
            ));
        }
        let meta = profile.meta();
        let mut state = self.lock();
        state.last_id += 1;
        let entry = Entry {
            id: state.last_id,
            kind,
            taken_unix_ms: meta.time_unix_ns.map(|ns| ns / 1_000_000),
            seconds: meta.duration_ns.filter(|_| kind != "heap").map(|ns| ns as f64 / 1e9),
            bytes: encoded.len(),
        };
        state.entries.push_back((entry.clone(), encoded));
        while state.entries.len() > MOST || state.bytes() > MOST_BYTES {
            state.entries.pop_front();
        }
        Ok(entry)
    }

    /// The profile with this number, encoded.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<[u8]>, Failure> {
        let state = self.lock();
        state.entries.iter().find(|(e, _)| e.id == id).map(|(_, bytes)| Arc::clone(bytes)).ok_or_else(|| {
            Failure::new(
                StatusCode::NOT_FOUND,
                format!(
                    "profile {id} is not kept any more: the last {MOST} are, until the process ends; take a new one"
                ),
            )
        })
    }

    /// What there is, oldest first.
    pub(crate) fn list(&self) -> List {
        let state = self.lock();
        List {
            schema: "diag.kept/1",
            most: MOST,
            most_bytes: MOST_BYTES,
            bytes: state.bytes(),
            kept: state.entries.iter().map(|(entry, _)| entry.clone()).collect(),
        }
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.entries.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::profile::folded;

    #[test]
    fn the_oldest_go_first_and_say_so() {
        let kept = Kept::default();
        let profile = folded::parse(b"a;b 1\n").unwrap();
        for n in 1..=MOST as u64 + 2 {
            assert_eq!(kept.add("heap", &profile).unwrap().id, n);
        }
        let list = kept.list();
        assert_eq!((list.kept.len(), list.kept[0].id), (MOST, 3));
        assert!(list.bytes > 0 && list.bytes == list.kept.iter().map(|e| e.bytes).sum::<usize>());
        assert_eq!(kept.get(2).unwrap_err().status(), StatusCode::NOT_FOUND);
        assert!(pprof::decode(&kept.get(3).unwrap()).is_ok());
    }
}
