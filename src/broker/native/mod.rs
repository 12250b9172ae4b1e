//! Our own broker, in the runtime of the gateway: a frame reaches a subscriber's socket without a change of thread.
//!
//! `hub/` is the state machine, `wire/` the packets, `listen/` the sockets, `store/` the disk, `access/` the rules.
//! What stands here joins them: one lock around the hub, a task per connection, and one for the clock.

mod access;
mod beside;
mod connection;
mod hub;
mod inbox;
mod link;
mod listen;
mod listeners;
mod memory;
mod message;
mod serve;
mod shown;
mod store;
#[cfg(test)]
mod tests;
mod wire;

#[cfg(feature = "fuzz")]
pub(super) use {hub::trial as sessions, wire::trial as packets};

pub(crate) use access::{AccessFile, with_password};
pub(super) use link::{Publisher, Subscriber};

use super::{Bound, Config, Died, LinkError, Qos, Reloaded, StartError};
use crate::topic::Filter;
use access::Access;
use hub::{Hub, Journal, Settings};
use listeners::Listeners;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Retained messages of QoS 0 are handed to the store no more often than that, whatever is asked of the disk.
const LEAST_RHYTHM: Duration = Duration::from_secs(1);

/// A running broker.
pub(super) struct Room {
    addresses: Vec<Bound>,
    shared: Arc<Shared>,
    listeners: Listeners,
    /// The clock, and those who wait for the store: they never end by themselves.
    helpers: JoinSet<()>,
    store: Option<Arc<Store>>,
}

/// What all tasks of the broker share.
pub(super) struct Shared {
    hub: Mutex<Hub>,
    access: Mutex<Arc<Access>>,
    max_connections: AtomicUsize,
    rate: serve::Rate,
    /// The highest ticket of the store whose changes are safe.
    committed: Arc<AtomicU64>,
    /// Told when memory may be given back.
    sweep: Notify,
    /// Whether those who come wait, for another configuration is being read.
    held: watch::Sender<bool>,
    /// Whether one of our tasks has.
    panicked: watch::Sender<bool>,
}

/// Tells when the task that holds it panics.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.send_replace(true);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn hub(&self) -> MutexGuard<'_, Hub> {
        // A panic in the hub ends the process (its task is joined): nobody goes on with what it left.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn access(&self) -> Arc<Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Waits until nobody has to wait any more.
    async fn open(&self) {
        // A signal may have come before the client, and not been looked at yet: the runtime does when all had their turn.
        tokio::task::yield_now().await;
        // The sender lives in `self`: it can't be gone.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }
}

/// While it is there, those who come wait.
#[derive(Debug)]
pub(super) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}

impl Room {
    pub(super) async fn start(config: &Config) -> Result<Room, StartError> {
        if let Some(fault) = config.validate().into_iter().next() {
            return Err(StartError::Config(fault));
        }
        let access = Arc::new(Access::load(config).map_err(|error| StartError::Access(error.into()))?);
        let sockets = Listeners::bind(config).await?;
        let mut hub = Hub::new(Settings::from(config), Instant::now());
        hub.rule(rules(&access));
        let mut committed = Arc::default();
        let store = open_store(config)?;
        let store = store.map(|(store, loaded)| {
            let now = Instant::now();
            hub.restore(loaded, now);
            let store = Arc::new(store);
            committed = store.position();
            let sink = store.clone();
            let rhythm = config.sync_interval.0.max(LEAST_RHYTHM);
            let sink = Box::new(move |batch| sink.commit(batch));
            hub.keep(Journal::new(sink, store.position(), store.behind(), rhythm));
            store
        });
        let clock = hub.clock();
        let shared = Arc::new(Shared {
            hub: Mutex::new(hub),
            access: Mutex::new(access),
            max_connections: AtomicUsize::new(config.max_connections),
            rate: serve::Rate::new(config.max_connect_rate),
            committed,
            sweep: Notify::new(),
            held: watch::Sender::new(false),
            panicked: watch::Sender::new(false),
        });
        let mut helpers = JoinSet::new();
        helpers.spawn(serve::clock(shared.clone(), clock));
        helpers.spawn(memory::sweep(shared.clone()));
        if let Some(store) = &store {
            helpers.spawn(serve::written(shared.clone(), store.committed()));
            helpers.spawn(serve::snapshots(shared.clone(), store.clone()));
        }
        let listeners = Listeners::open(config, sockets, &shared);
        Ok(Room {
            addresses: listeners.bound(),
            shared,
            listeners,
            helpers,
            store,
        })
    }

    pub(super) fn addresses(&self) -> &[Bound] {
        &self.addresses
    }

    pub(super) async fn link(
        &self,
        name: &str,
        filters: &[(Filter, Qos)],
        depth: usize,
    ) -> Result<(Publisher, Subscriber), LinkError> {
        Ok(link::make(&self.shared, name, filters, depth))
    }

    pub(super) fn hold(&self) -> Hold {
        self.shared.held.send_replace(true);
        Hold(self.shared.clone())
    }

    /// A task of ours has panicked: the hub may be in any state.
    pub(super) async fn died(&self) -> Died {
        let mut panicked = self.shared.panicked.subscribe();
        // The sender lives in `self`: this ends by a panic alone.
        let _ = panicked.wait_for(|panicked| *panicked).await;
        Died::Cut
    }

    /// The lock is free, and the tasks that accept connections are there.
    pub(super) async fn probe(&self) -> Result<Duration, Died> {
        let begin = Instant::now();
        if self.shared.hub.is_poisoned() || *self.shared.panicked.borrow() {
            return Err(Died::Cut);
        }
        // The turn of all who are ready comes first.
        tokio::task::yield_now().await;
        drop(self.shared.hub());
        Ok(begin.elapsed())
    }

    /// Takes another configuration: who may connect, what they may do, listeners and bounds. Clients of a listener that
    /// wants the same socket stay, but for users who are no more or have another password. Where the new one can't
    /// be, all is as it was.
    pub(super) async fn reload(&mut self, config: &Config) -> Result<Reloaded, StartError> {
        if let Some(fault) = config.validate().into_iter().next() {
            return Err(StartError::Config(fault));
        }
        let access = Arc::new(Access::load(config).map_err(|error| StartError::Access(error.into()))?);
        let changes = self.listeners.become_those_of(config, &self.shared).await?;
        self.addresses = self.listeners.bound();
        let shared = &self.shared;
        shared
            .max_connections
            .store(config.max_connections, Ordering::Relaxed);
        shared.rate.set(config.max_connect_rate);
        let old = std::mem::replace(
            &mut *shared.access.lock().unwrap_or_else(PoisonError::into_inner),
            access.clone(),
        );
        let now = Instant::now();
        let mut hub = shared.hub();
        hub.set(Settings::from(config), now);
        hub.rule(rules(&access));
        hub.dismiss(|who| old.disowns(who, &access), now);
        hub.settle();
        Ok(changes)
    }

    pub(super) fn lost(&self) -> u64 {
        self.shared.hub().stats().dropped
    }

    /// Says good-bye to the clients, closes the listeners, and writes what is to be kept.
    pub(super) async fn stop(mut self) {
        {
            let mut hub = self.shared.hub();
            hub.close_all(wire::reason::SERVER_SHUTTING_DOWN, "the broker stops");
            hub.flush_lazy();
        }
        self.listeners.stop().await;
        self.helpers.shutdown().await;
        self.shared.hub().record_connected(Instant::now());
        if let Some(store) = self.store {
            self.shared.hub().forget_journal();
            // The links have none of it: nobody else holds it now.
            if let Some(store) = Arc::into_inner(store) {
                store.close().await;
            }
        }
    }
}

/// Opens the broker's memory, where there is to be one.
fn open_store(config: &Config) -> Result<Option<(Store, store::Loaded)>, StartError> {
    let Some(folder) = config.store() else {
        return Ok(None);
    };
    match Store::open(&folder, config.sync_interval.0) {
        Ok((store, loaded)) => {
            let (retained, sessions) = (loaded.retained.len(), loaded.sessions.len());
            tracing::info!(event = "memory-opened", folder = %folder.display(), retained, sessions, "the broker remembers");
            Ok(Some((store, loaded)))
        }
        // Who has asked for it in words is not to be without.
        Err(error) if config.persistence == Some(true) || config.persistence_location.is_some() => {
            Err(StartError::Store(error.into()))
        }
        Err(error) => {
            let error = crate::causes::Causes(&error);
            tracing::warn!(event = "memory-missing", %error, "the broker runs without a memory: what it holds is lost when it ends");
            Ok(None)
        }
    }
}

fn rules(access: &Arc<Access>) -> hub::Rules {
    let access = access.clone();
    Arc::new(move |who| access.grants(who))
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
