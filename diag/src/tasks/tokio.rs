//! tokio's ways to spawn, with the task listed among the live ones. Each is what tokio's is, and gives what it gives.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::runtime::Handle;
use ::tokio::task::{self, AbortHandle, JoinHandle};

use super::runtimes::{Here, current};
use super::sites::Kind;
use super::tracked::{Tracked, blocking, queue};

/// `tokio::spawn`, tracked.
///
/// # Panics
/// Outside of a runtime, as tokio's.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let tracked = Tracked::new(future, Location::caller(), Kind::Task, None, current());
    let _here = Here::begin();
    task::spawn(tracked)
}

/// `tokio::task::spawn_local`, tracked.
///
/// # Panics
/// Outside of a `LocalSet` or local runtime, as tokio's.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let tracked = Tracked::new(future, Location::caller(), Kind::Local, None, current());
    let _here = Here::begin();
    task::spawn_local(tracked)
}

/// `tokio::task::spawn_blocking`, tracked: how long it waits for a thread, and how long it runs.
///
/// # Panics
/// Outside of a runtime, as tokio's.
#[track_caller]
pub fn spawn_blocking<C, R>(code: C) -> JoinHandle<R>
where
    C: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let entry = queue::<C>(Location::caller(), None, current());
    let _here = Here::begin();
    task::spawn_blocking(move || blocking(entry, code))
}

/// Tasks with a name: `diag::tasks::named("feed").spawn(future)`.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a>(&'a str);

/// See [`Named`]. Names stand for kinds of tasks: of one place 64 are kept, later ones become `(other)`.
pub fn named(name: &str) -> Named<'_> {
    Named(name)
}

impl Named<'_> {
    /// See [`spawn`](fn@spawn).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Task, Some(self.0), current());
        let _here = Here::begin();
        task::spawn(tracked)
    }

    /// See [`spawn_local`].
    ///
    /// # Panics
    /// Outside of a `LocalSet` or local runtime.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Local, Some(self.0), current());
        let _here = Here::begin();
        task::spawn_local(tracked)
    }

    /// See [`spawn_blocking`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<C, R>(self, code: C) -> JoinHandle<R>
    where
        C: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let entry = queue::<C>(Location::caller(), Some(self.0), current());
        let _here = Here::begin();
        task::spawn_blocking(move || blocking(entry, code))
    }
}

/// Spawns on a runtime that is not the current one: `handle.spawn_tracked(future)`.
pub trait SpawnTracked {
    /// `Handle::spawn`, tracked.
    #[track_caller]
    fn spawn_tracked<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;
}

impl SpawnTracked for Handle {
    #[track_caller]
    fn spawn_tracked<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = super::runtimes::number(self);
        let tracked = Tracked::new(future, Location::caller(), Kind::Task, None, runtime);
        let _here = Here::begin();
        self.spawn(tracked)
    }
}

/// `tokio::task::JoinSet` whose tasks are tracked. All but the ways to spawn is tokio's own, by dereference.
#[derive(Debug)]
pub struct JoinSet<T>(task::JoinSet<T>);

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self(task::JoinSet::new())
    }
}

impl<T> Deref for JoinSet<T> {
    type Target = task::JoinSet<T>;

    fn deref(&self) -> &task::JoinSet<T> {
        &self.0
    }
}

impl<T> DerefMut for JoinSet<T> {
    fn deref_mut(&mut self) -> &mut task::JoinSet<T> {
        &mut self.0
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// tokio's own set, its tasks tracked on.
    pub fn into_inner(self) -> task::JoinSet<T> {
        self.0
    }
}

impl<T: 'static> JoinSet<T> {
    /// As tokio's, tracked.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Task, None, current());
        let _here = Here::begin();
        self.0.spawn(tracked)
    }

    /// As tokio's, tracked.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let runtime = super::runtimes::number(handle);
        let tracked = Tracked::new(future, Location::caller(), Kind::Task, None, runtime);
        let _here = Here::begin();
        self.0.spawn_on(tracked, handle)
    }

    /// As tokio's, tracked.
    ///
    /// # Panics
    /// Outside of a `LocalSet` or local runtime.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Local, None, current());
        let _here = Here::begin();
        self.0.spawn_local(tracked)
    }

    /// As tokio's, tracked.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, future: F, set: &task::LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Local, None, current());
        let _here = Here::begin();
        self.0.spawn_local_on(tracked, set)
    }

    /// As tokio's, tracked.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<C>(&mut self, code: C) -> AbortHandle
    where
        C: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        let entry = queue::<C>(Location::caller(), None, current());
        let _here = Here::begin();
        self.0.spawn_blocking(move || blocking(entry, code))
    }

    /// As tokio's, tracked.
    #[track_caller]
    pub fn spawn_blocking_on<C>(&mut self, code: C, handle: &Handle) -> AbortHandle
    where
        C: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        let entry = queue::<C>(Location::caller(), None, super::runtimes::number(handle));
        let _here = Here::begin();
        self.0.spawn_blocking_on(move || blocking(entry, code), handle)
    }

    /// As tokio's: waits for all tasks and gives what they gave.
    ///
    /// # Panics
    /// When a task panicked or was aborted.
    pub async fn join_all(self) -> Vec<T> {
        self.0.join_all().await
    }
}

/// As tokio's, tracked.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = Self::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}

/// As tokio's, tracked.
impl<T, F> Extend<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    #[track_caller]
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

/// `tokio::task::LocalSet` whose tasks are tracked. All but `spawn_local` is tokio's own, by dereference.
#[derive(Debug, Default)]
pub struct LocalSet(task::LocalSet);

impl LocalSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// As tokio's, tracked.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let tracked = Tracked::new(future, Location::caller(), Kind::Local, None, current());
        let _here = Here::begin();
        self.0.spawn_local(tracked)
    }
}

impl Deref for LocalSet {
    type Target = task::LocalSet;

    fn deref(&self) -> &task::LocalSet {
        &self.0
    }
}

impl DerefMut for LocalSet {
    fn deref_mut(&mut self) -> &mut task::LocalSet {
        &mut self.0
    }
}

/// Ends when all tasks of the set have.
impl Future for LocalSet {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}
