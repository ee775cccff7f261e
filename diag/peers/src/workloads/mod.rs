//! What is measured. Each is closed: the next operation begins when one has ended, so that throughput is what the process can do.

mod churn;
mod live_heap;
mod service;
mod stacks;
mod tasks;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::child::{Job, Window};
use crate::peer::Peer;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Kind {
    Service,
    Churn,
    Tasks,
    LiveHeap,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Service, Self::Churn, Self::Tasks, Self::LiveHeap];

    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Churn => "churn",
            Self::Tasks => "tasks",
            Self::LiveHeap => "live heap",
        }
    }

    /// What it does, for the report.
    pub fn says(self) -> &'static str {
        match self {
            Self::Service => {
                "An axum JSON service, 8 connections with a request each at a time (three orders of 8 lines, then a look at one). Two spans and an \
                 event a request. The service and all that a profiler does has the first processor, its client the second."
            }
            Self::Churn => {
                "Two threads allocate and free 16 B to 16 KiB, log-uniform, under 512 stacks of 24 to 55 frames; 4,096 blocks a thread stay \
                 for a while. An operation is one block in place of another; times are those of 32."
            }
            Self::Tasks => {
                "A tokio runtime of two threads: 16 tasks each spawn a task that allocates, yields four times and ends, and wait for it; 256 others \
                 wake by timer each 10 ms. An operation is a task from spawn to join."
            }
            Self::LiveHeap => {
                "Many live objects of 16 B to 2 KiB, evenly over jemalloc's size classes, born under 256 stacks of 12 frames; one thread puts new ones in \
                 place of old ones at random. Times are those of 32. Then the profile is taken."
            }
        }
    }
}

pub trait Workload {
    fn listening(&self) -> Option<SocketAddr> {
        None
    }

    fn run(&mut self, length: Duration) -> Window;

    /// What is requested and not freed, where it is known.
    fn true_bytes(&self) -> Option<u64> {
        None
    }
}

pub fn start(job: &Job, peer: &mut dyn Peer) -> anyhow::Result<Box<dyn Workload>> {
    Ok(match job.workload {
        Kind::Churn => Box::new(churn::Churn::new()),
        Kind::LiveHeap => Box::new(live_heap::LiveHeap::fill(job.objects)),
        Kind::Service => Box::new(service::Service::start(peer.runtime(builder())?)?),
        Kind::Tasks => Box::new(tasks::Tasks::start(peer.runtime(builder())?, peer.spawn())),
    })
}

fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder
}
