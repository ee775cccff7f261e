//! Who opens every file as soon as it has its final name.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use diag::profile::pprof;
use serde_json::Value;

use super::service::Service;

/// Of those that the command wrote so many stay, for the disk is small.
const MOST_PULLED: usize = 40;

#[derive(Default)]
pub struct Files(HashSet<PathBuf>);

impl Files {
    pub fn go_on(&mut self, service: &Service, until: Instant, over: &AtomicBool) {
        while Instant::now() < until && !over.load(Ordering::SeqCst) {
            self.look(service);
            std::thread::sleep(Duration::from_millis(100));
        }
        self.look(service);
    }

    fn look(&mut self, service: &Service) {
        for dir in [&service.own, &service.pulled] {
            let mut names: Vec<PathBuf> = visible(dir).collect();
            names.retain(|path| !path.ends_with("captures.jsonl"));
            for path in &names {
                if !self.0.contains(path) && is_whole(path) {
                    service.count("files");
                    self.0.insert(path.clone());
                }
            }
            if dir == &service.pulled {
                // By time, whatever the kind.
                names.sort_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok());
                let surplus = names.len().saturating_sub(MOST_PULLED);
                names.iter().take(surplus).for_each(|path| drop(fs::remove_file(path)));
            }
        }
    }
}

fn visible(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).filter(move |path| !hidden(path))
}

/// False for one that was deleted meanwhile; fails for half a file.
fn is_whole(path: &Path) -> bool {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return false,
        Err(e) => panic!("{}: {e}", path.display()),
    };
    let name = path.to_string_lossy();
    if name.ends_with(".pb.gz") {
        pprof::decode(&bytes).unwrap_or_else(|e| panic!("{name}, {} bytes: {e}", bytes.len()));
    } else if name.ends_with(".json") {
        serde_json::from_slice::<Value>(&bytes)
            .unwrap_or_else(|e| panic!("{name}, {} bytes: {e}", bytes.len()));
    } else {
        panic!("what is {name}?");
    }
    true
}

/// What a killed service began goes, once it is old, with one of the next captures of its successor; the command leaves nothing.
pub fn nothing_unfinished(service: &Service) {
    let unfinished = |dir: &Path| -> Vec<PathBuf> {
        let all = fs::read_dir(dir).unwrap().flatten().map(|e| e.path());
        all.filter(|path| path.to_string_lossy().ends_with(".part")).collect()
    };
    assert_eq!(unfinished(&service.pulled), Vec::<PathBuf>::new());
    let left = unfinished(&service.own);
    eprintln!("{}: {} files that a kill left unfinished", service.plan.program, left.len());
    for path in &left {
        let old = SystemTime::now() - Duration::from_secs(86_400);
        if let Ok(file) = fs::File::options().write(true).open(path) {
            file.set_modified(old).unwrap();
        }
    }
    let until = Instant::now() + Duration::from_secs(30);
    while left.iter().any(|path| path.exists()) {
        assert!(Instant::now() < until, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
