//! Our own broker, in the runtime of the gateway: a frame reaches a subscriber's socket without a change of thread.
//!
//! `hub/` is the state machine, `wire/` the packets, `listen/` the sockets, `store/` the disk, `access/` the rules.
//! What stands here joins them: one lock around the hub, a task per connection, and one for the clock.

mod access;
mod connection;
mod hub;
mod inbox;
mod link;
mod listen;
mod message;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use access::{AccessFile, with_password};
pub(super) use link::{Publisher, Subscriber};

use super::{Bound, Config, Died, LinkError, Qos, StartError};
use crate::topic::Filter;
use access::Access;
use bytestring::ByteString;
use connection::Door;
use hub::{Hub, Journal, Settings};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long connections may take to write what they have when the broker stops.
const LINGER: Duration = Duration::from_millis(500);

/// Retained messages of QoS 0 are handed to the store no more often than that, whatever is asked of the disk.
const LEAST_RHYTHM: Duration = Duration::from_secs(1);

/// A running broker.
pub(super) struct Room {
    addresses: Vec<Bound>,
    shared: Arc<Shared>,
    /// One for each listener.
    listeners: JoinSet<()>,
    /// The clock, and those who wait for the store: they never end by themselves.
    helpers: JoinSet<()>,
    stop: watch::Sender<bool>,
    store: Option<Arc<Store>>,
}

/// What all tasks of the broker share.
pub(super) struct Shared {
    hub: Mutex<Hub>,
    access: Mutex<Arc<Access>>,
    max_packet: usize,
    max_connections: usize,
    /// The highest ticket of the store whose changes are safe.
    committed: Arc<AtomicU64>,
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
}

impl Room {
    pub(super) async fn start(config: &Config) -> Result<Room, StartError> {
        if let Some(fault) = config.validate().into_iter().next() {
            return Err(StartError::Config(fault));
        }
        let access = Arc::new(Access::load(config).map_err(|error| StartError::Access(error.into()))?);
        let mut sockets = Vec::new();
        for listener in config.listeners() {
            let mut socket = listen::bind(&listener, config.set_tcp_nodelay).await?;
            socket.limit(config.longest_packet());
            let door = Door {
                anonymous: config.anonymous_at(&listener),
                users: config.has_users(),
                identity: listener.tls.as_ref().is_some_and(crate::broker::Tls::names_user),
                mount: listener.mount_point.as_deref().map(ByteString::from),
            };
            sockets.push((socket, door, listener.max_connections));
        }
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
            hub.keep(Journal::new(sink, store.position(), rhythm));
            store
        });
        let clock = hub.clock();
        let shared = Arc::new(Shared {
            hub: Mutex::new(hub),
            access: Mutex::new(access),
            max_packet: config.longest_packet(),
            max_connections: config.max_connections,
            committed,
            panicked: watch::Sender::new(false),
        });
        let (mut listeners, mut helpers) = (JoinSet::new(), JoinSet::new());
        let (stop, stopped) = watch::channel(false);
        helpers.spawn(serve::clock(shared.clone(), clock));
        if let Some(store) = &store {
            helpers.spawn(serve::written(shared.clone(), store.committed()));
            helpers.spawn(serve::snapshots(shared.clone(), store.clone()));
        }
        let addresses = sockets
            .iter()
            .map(|(socket, ..)| socket.bound().clone())
            .collect();
        let rate = serve::Rate::new(config.max_connect_rate);
        for (socket, door, most) in sockets {
            let bounds = serve::Bounds {
                within: config.connect_timeout.0,
                most,
                rate: rate.clone(),
            };
            listeners.spawn(serve::listen(
                socket,
                door,
                bounds,
                shared.clone(),
                stopped.clone(),
            ));
        }
        Ok(Room {
            addresses,
            shared,
            listeners,
            helpers,
            stop,
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

    /// Reads users and rules again. What can't be read changes nothing.
    pub(super) fn reload(&self, config: &Config) -> Result<(), StartError> {
        let access = Arc::new(Access::load(config).map_err(|error| StartError::Access(error.into()))?);
        let rules = rules(&access);
        *self.shared.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
        self.shared.hub().rule(rules);
        Ok(())
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
        self.stop.send_replace(true);
        let all = async { while self.listeners.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LINGER, all).await;
        self.listeners.shutdown().await;
        self.helpers.shutdown().await;
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
            tracing::info!(folder = %folder.display(), retained, sessions, "the broker remembers");
            Ok(Some((store, loaded)))
        }
        // Who has asked for it in words is not to be without.
        Err(error) if config.persistence == Some(true) || config.persistence_location.is_some() => {
            Err(StartError::Store(error.into()))
        }
        Err(error) => {
            let error = crate::causes::Causes(&error);
            tracing::warn!(%error, "the broker runs without a memory: what it holds is lost when it ends");
            Ok(None)
        }
    }
}

fn rules(access: &Arc<Access>) -> hub::Rules {
    let access = access.clone();
    Arc::new(move |user, client| access.grants(user, client))
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
