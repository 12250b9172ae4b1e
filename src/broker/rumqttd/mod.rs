//! The room where the crate `rumqttd` lives: its router on a thread of its own, its servers and our links in
//! the runtime of the caller.
//!
//! Everything goes through the router's one event channel. A link is a pair of shared buffers and that
//! channel; `link.rs` says how it is kept going. What the crate cannot do, and what kills it, is in
//! ARCHITECTURE.md; this room keeps our own side from doing it and notices when somebody else has.

mod guard;
mod lag;
mod link;
mod listen;
mod report;
#[cfg(test)]
mod tests;
mod tls;

pub use report::report;

pub(super) use link::{Publisher, Subscriber};
pub(super) use report::lost;

use super::{Bound, Config, Died, LinkError, Qos, StartError, Version};
use crate::topic::Filter;
use ::rumqttd::local::LinkBuilder;
use ::rumqttd::protocol::{v4::V4, v5::V5};
use ::rumqttd::{Router, RouterConfig, Server};
use link::{Ends, Resend};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a probe may take: the router answers in microseconds, and in tens of milliseconds in a flood.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the crate's ends of a link with this name in its client id; `None` where the router refuses.
type Connect = dyn Fn(&str) -> Option<Ends> + Send + Sync;

/// A running rumqttd.
pub(super) struct Room {
    addresses: Vec<Bound>,
    links: Links,
    servers: JoinSet<()>,
    /// The link that probes go through, and whose end tells that the router has ended.
    own: tokio::sync::Mutex<Publisher>,
}

/// What it takes to make links.
struct Links {
    connect: Arc<Connect>,
    resend: Resend,
    /// How many bytes a subscriber may be behind before publishers wait for it.
    slack: u64,
    death: Arc<watch::Sender<Option<Died>>>,
    pumps: Mutex<JoinSet<()>>,
}

impl Room {
    pub(super) async fn start(config: &Config) -> Result<Room, StartError> {
        if let Some(fault) = config.validate().into_iter().next() {
            return Err(StartError::Config(fault));
        }
        for tls in config
            .listener
            .iter()
            .filter_map(|listener| listener.tls.as_ref())
        {
            tls::check(tls)?;
        }
        let router = Router::new(0, limits(config)).spawn();
        let death = Arc::new(watch::Sender::new(None));
        let mut servers = JoinSet::new();
        let mut addresses = Vec::new();
        for listener in &config.listeners() {
            let server = |settings| match listener.version {
                Version::V3 => listen::serving(Server::new(settings, router.clone(), V4), listener.transport),
                Version::V5 => listen::serving(Server::new(settings, router.clone(), V5), listener.transport),
            };
            match listen::start(config, listener, &mut servers, &death, server).await {
                Ok(bound) => addresses.push(bound),
                Err(fault) => {
                    servers.shutdown().await;
                    return Err(fault);
                }
            }
        }

        let channel = router.clone();
        let resend: Resend = Arc::new(move |refusal| {
            let channel = channel.clone();
            Box::pin(async move {
                match refusal {
                    ::rumqttd::local::LinkError::TrySend(event) => {
                        channel.send_async(event.into_inner()).await.is_ok()
                    }
                    _ => false,
                }
            })
        });
        let connect: Arc<Connect> = Arc::new(move |name: &str| {
            let id = link::id(name);
            let (tx, rx, _) = LinkBuilder::new(&id, router.clone()).build().ok()?;
            Some(Ends { tx, rx })
        });
        servers.spawn(guard::guard(config, &addresses, connect.clone(), death.clone()));
        // Half of what the log of a filter is sure to keep: the other half is for what other clients publish.
        let slack = (config.rumqttd.segment_size * (config.rumqttd.segments - 1) / 2) as u64;
        let links = Links {
            connect,
            resend,
            slack,
            death,
            pumps: Mutex::default(),
        };
        let own = links.make("broker", &[], 1).await;
        let (own, _) = own.map_err(|_| StartError::Dead(Died::Cut))?;
        let own = tokio::sync::Mutex::new(own);
        Ok(Room {
            addresses,
            links,
            servers,
            own,
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
        self.links.make(name, filters, depth).await
    }

    pub(super) async fn died(&self) -> Died {
        let mut death = self.links.death.subscribe();
        // The sender lives in `self`, so the wait ends by death alone.
        match death.wait_for(Option::is_some).await {
            Ok(died) => died.unwrap_or(Died::Cut),
            Err(_) => Died::Cut,
        }
    }

    /// A ping crosses the event channel, the router and its scheduler, and comes back on our own link.
    ///
    /// A publish would go to every client that subscribed to `#`: rumqttd delivers no `$` topics.
    pub(super) async fn probe(&self) -> Result<Duration, Died> {
        if let Some(died) = *self.links.death.borrow() {
            return Err(died);
        }
        let begin = Instant::now();
        let ping = async { self.own.lock().await.flush().await };
        match tokio::time::timeout(PATIENCE, ping).await {
            Ok(answer) => answer.map(|()| begin.elapsed()),
            Err(_) => Err(Died::Silent),
        }
    }

    /// Closes the listeners. The router's thread cannot be ended: it holds a sender of its own channel. It
    /// sleeps, with what it keeps, until the process ends; so do the connections that are open.
    pub(super) async fn stop(mut self) {
        // What was published is in the router's hands after a probe; the connections' tasks, woken by it,
        // come before us in the runtime's queue when we yield.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.probe()).await;
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        self.servers.shutdown().await;
        locked(&self.links.pumps).abort_all();
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Links {
    async fn make(
        &self,
        name: &str,
        filters: &[(Filter, Qos)],
        depth: usize,
    ) -> Result<(Publisher, Subscriber), LinkError> {
        link::check(filters)?;
        let dead = || *self.death.borrow();
        if let Some(died) = dead() {
            return Err(LinkError::Dead(died));
        }
        // The router's thread answers within microseconds, whatever this thread does.
        let Some(ends) = (self.connect)(name) else {
            return Err(dead().map_or_else(|| LinkError::NoRoom(name.to_owned()), LinkError::Dead));
        };
        let (mut publisher, subscriber, pump) = link::join(ends, self, filters, depth);
        {
            let mut pumps = locked(&self.pumps);
            while pumps.try_join_next().is_some() {}
            pumps.spawn(pump);
        }
        publisher.subscribe(filters).await?;
        Ok((publisher, subscriber))
    }
}

fn limits(config: &Config) -> RouterConfig {
    // What one subscriber is handed at a time, and at most as many retained messages when it subscribes
    // (rumqttd drops the rest). In a flood each link lays a window in for every turn that a connection's task
    // has: a subscriber that is handed more than all of them together never falls behind. Tried: with less it
    // loses most of the flood, whatever the size of the log.
    let batch = (2 * link::WINDOW * config.links).max(1024) as u64;
    RouterConfig {
        max_connections: config.max_connections + config.links,
        max_outgoing_packet_count: batch,
        max_segment_size: config.rumqttd.segment_size,
        max_segment_count: config.rumqttd.segments,
        ..RouterConfig::default()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
