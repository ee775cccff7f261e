//! What users of the API rely on and the compiler does not tell: which types may be sent and shared, printed and cloned. One
//! that loses a property fails to compile here.

use std::error::Error;
use std::fmt::Debug;

use diag::leak::Report;
use diag::profile::cohorts::Cohorts;
use diag::profile::tree::CallTree;
use diag::profile::{Filter, Grouping, Profile, ProfileBuilder, ProfileError};

fn shared<T: Send + Sync + Debug + 'static>() {}
fn sent<T: Send + Debug + 'static>() {}
fn cloned<T: Clone>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn the_model_is_shared_and_cloned() {
    shared::<Profile>();
    shared::<ProfileBuilder>();
    shared::<CallTree>();
    shared::<Cohorts>();
    shared::<Filter>();
    shared::<Grouping>();
    shared::<Report>();
    cloned::<Profile>();
    cloned::<CallTree>();
    cloned::<Report>();
    error::<ProfileError>();
}

#[cfg(feature = "heap")]
#[test]
fn handles_are_shared_and_cloned() {
    shared::<diag::Diag>();
    shared::<diag::Builder>();
    shared::<diag::Config>();
    shared::<diag::Status>();
    shared::<diag::Health>();
    shared::<diag::Declaration>();
    shared::<diag::LeakOptions>();
    shared::<diag::heap::Heap>();
    sent::<diag::LeakWatch>();
    sent::<diag::LeakCheck>();
    cloned::<diag::Diag>();
    cloned::<diag::Builder>();
    cloned::<diag::heap::Heap>();
    error::<diag::Error>();
    error::<diag::heap::HeapError>();
    error::<diag::LeakFound>();
}

#[cfg(feature = "cpu")]
#[test]
fn recordings_are_sent() {
    shared::<diag::cpu::Cpu>();
    sent::<diag::cpu::Recording>();
    error::<diag::cpu::CpuError>();
}

#[cfg(feature = "memory")]
#[test]
fn waterlines_are_shared() {
    shared::<diag::memory::Waterline>();
    shared::<diag::memory::Mappings>();
    cloned::<diag::memory::Waterline>();
}

#[cfg(feature = "symbols")]
#[test]
fn a_resolver_is_sent() {
    sent::<diag::symbols::Resolver>();
    shared::<diag::symbols::ModuleReport>();
}

#[cfg(feature = "tasks")]
#[test]
fn tasks_are_shared() {
    shared::<diag::tasks::Snapshot>();
    shared::<diag::tasks::TasksReport>();
    sent::<diag::tasks::Tracked<std::future::Ready<()>>>();
}

#[cfg(feature = "tokio")]
#[test]
fn what_a_check_found_is_an_error() {
    error::<diag::tasks::TasksLeft>();
}

#[cfg(feature = "sync")]
#[test]
fn locks_are_shared_as_stds_are() {
    shared::<diag::sync::Mutex<Vec<u8>>>();
    shared::<diag::sync::RwLock<Vec<u8>>>();
    shared::<diag::sync::Condvar>();
    // What is in them decides.
    sent::<diag::sync::Mutex<std::cell::Cell<u8>>>();
}

#[cfg(feature = "triggers")]
#[test]
fn rules_are_shared() {
    shared::<diag::rules::Rule>();
    shared::<diag::rules::Firing>();
}

#[cfg(feature = "recorder")]
#[test]
fn the_recorder_is_shared() {
    shared::<diag::recorder::Recorder>();
    shared::<diag::recorder::RecorderLayer>();
    shared::<diag::recorder::Trace>();
    error::<diag::recorder::RecorderError>();
}

/// Guards count on the thread that made them.
#[cfg(all(feature = "heap", feature = "sync"))]
mod stays_on_its_thread {
    trait NotSend<Of> {
        fn proof() {}
    }
    impl<T: ?Sized> NotSend<()> for T {}
    struct IsSend;
    impl<T: ?Sized + Send> NotSend<IsSend> for T {}

    #[test]
    fn guards() {
        // Ambiguous, and so an error, for a type that is Send.
        <diag::Unprofiled as NotSend<_>>::proof();
        <diag::sync::MutexGuard<'static, u8> as NotSend<_>>::proof();
    }
}
