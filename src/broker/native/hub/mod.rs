//! The broker's heart: sessions, subscriptions, retained messages and wills, as one state machine.
//!
//! It has no socket, no clock and no task: packets and the time come in, bytes go into outlets, and what must outlive
//! the process goes to the journal. Who calls it holds the one lock around it, for no longer than a batch of packets.

mod acks;
mod connect;
mod deliver;
mod filter;
mod ids;
mod journal;
mod leave;
mod local;
mod outlet;
mod publish;
mod pump;
mod restore;
mod retained;
mod send;
mod session;
mod share;
mod stats;
mod subscribe;
mod sys;
#[cfg(test)]
mod tests;
mod timers;
mod tree;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod trial;

pub(crate) use connect::{Arrival, Refusal, Seated};
pub(crate) use journal::Journal;
pub(crate) use outlet::{End, Outlet};
pub(crate) use stats::Stats;

use super::access::Grants;
use super::message::Who;
use super::wire::{Fault, Packet, Scratch, reason};
use crate::broker::config::{Config, WhenQueueFull};
use crate::fold::Run;
use bytestring::ByteString;
use leave::Leaving;
use retained::Retained;
use session::{Endpoint, Session};
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tree::Tree;

/// The place of a session.
pub(crate) type Key = usize;

/// A connection's place: valid until another connection, or none, sits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    key: Key,
    serial: u64,
}

/// What a connection is to do after a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Read on.
    On,
    /// Read nothing more until this has caught up: ask `holds`.
    Hold(Holder),
    /// The client has said good-bye.
    Left,
}

/// What a publisher waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A session that receives what is published.
    Reader(Key),
    /// The store.
    Store,
}

/// Bounds and manners, from the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) zero_length_clientid: bool,
    pub(crate) auto_id_prefix: String,
    /// The longest packet, where clients are told.
    pub(crate) told_packet: Option<u32>,
    pub(crate) message_size: usize,
    /// How many messages may be on their way from a client, and to one.
    pub(crate) max_inflight: u16,
    pub(crate) window: u16,
    pub(crate) max_queued: usize,
    pub(crate) max_queued_bytes: usize,
    pub(crate) drop_oldest: bool,
    pub(crate) queue_zero: bool,
    pub(crate) max_subscriptions: usize,
    pub(crate) max_retained: usize,
    pub(crate) max_offline: usize,
    pub(crate) max_keepalive: u16,
    pub(crate) max_alias: u16,
    pub(crate) max_qos: u8,
    pub(crate) retain: bool,
    pub(crate) check_source: bool,
    pub(crate) upgrade: bool,
    pub(crate) longest_expiry: Option<u32>,
    pub(crate) sys_interval: Duration,
    /// What the topics of a listener begin with inside, by its name, where they do.
    pub(crate) mounts: HashMap<ByteString, ByteString>,
}

/// As many as mosquitto takes.
const FROM_CLIENT: u16 = 20;
/// With fewer, a client that is sent much is woken more often than it need be, and so are we by its acknowledgements.
const TO_CLIENT: u16 = 100;

impl From<&Config> for Settings {
    fn from(config: &Config) -> Settings {
        let seconds = |span: crate::span::Span| u32::try_from(span.0.as_secs()).unwrap_or(u32::MAX);
        Settings {
            zero_length_clientid: config.allow_zero_length_clientid,
            auto_id_prefix: config.auto_id_prefix.clone(),
            told_packet: config
                .max_packet_size
                .map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            message_size: config.message_size_limit,
            max_inflight: config.max_inflight_messages.unwrap_or(FROM_CLIENT),
            window: config.max_inflight_messages.unwrap_or(TO_CLIENT),
            max_queued: config.max_queued_messages,
            max_queued_bytes: config.max_queued_bytes,
            drop_oldest: config.when_queue_full == WhenQueueFull::DropOldest,
            queue_zero: config.queue_qos0_messages,
            max_subscriptions: config.max_subscriptions,
            max_retained: config.max_retained_messages,
            max_offline: config.max_offline_sessions,
            max_keepalive: config.max_keepalive,
            max_alias: config.max_topic_alias,
            max_qos: config.max_qos,
            retain: config.retain_available,
            check_source: config.check_retain_source,
            upgrade: config.upgrade_outgoing_qos,
            longest_expiry: config.persistent_client_expiration.map(seconds),
            sys_interval: config.sys_interval.0,
            mounts: config
                .named_listeners()
                .into_iter()
                .filter_map(|(name, listener)| Some((name.into(), listener.mount_point?.into())))
                .collect(),
        }
    }
}

/// What is to happen at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A will is to be published.
    Will(Key),
    /// A session is to be forgotten.
    Forget(Key),
    /// A session that is behind has been waited for long enough.
    Patience(Key),
    /// Retained messages that are too old are to be forgotten.
    Sweep,
    /// What was put off is to be handed to the store.
    Flush,
    /// The `$SYS` topics are due.
    Sys,
    /// Sessions that are over go on leaving.
    Leave,
}

/// Subscriptions and messages of a few megabytes.
const LITTER: usize = 10_000;

/// What a client may do.
pub(crate) type Rules = Arc<dyn Fn(&Who) -> Grants + Send + Sync>;

/// The state of the broker.
pub(crate) struct Hub {
    settings: Settings,
    sessions: Slab<Session>,
    clients: HashMap<ByteString, Key>,
    tree: Tree,
    retained: Retained,
    /// Sessions that are over, and still have a place.
    leaving: VecDeque<Leaving>,
    timers: BTreeSet<(Instant, Timer)>,
    /// Told when the next timer is earlier than it was.
    clock: Arc<tokio::sync::Notify>,
    /// Sessions whose clients are away.
    offline: usize,
    connected: usize,
    serial: u64,
    /// What waits for the store: connections to be woken when it has written.
    gated: Vec<Key>,
    journal: Option<Journal>,
    /// Publishers that wait until the store is no longer behind, and how often somebody has begun to.
    behind: Vec<Waker>,
    slow: Run,
    /// What a client may do, and who published what is retained.
    rules: Rules,
    stats: Stats,
    sys: sys::Sys,
    /// Whether a `Timer::Sweep` is under way.
    sweeping: bool,
    scratch: Scratch,
    hits: Vec<publish::Hit>,
    /// Who has acknowledged something, and when: what waits for it is sent when it has said all that it says at once.
    roomy: Option<(Key, Instant)>,
    /// How many subscriptions and messages have been forgotten, since it was asked last.
    litter: usize,
}

impl Hub {
    /// A broker that knows nobody.
    pub(crate) fn new(settings: Settings, now: Instant) -> Hub {
        Hub {
            sys: sys::Sys::new(now),
            sweeping: false,
            settings,
            sessions: Slab::new(),
            clients: HashMap::new(),
            tree: Tree::default(),
            retained: Retained::default(),
            leaving: VecDeque::new(),
            timers: BTreeSet::new(),
            clock: Arc::default(),
            offline: 0,
            connected: 0,
            serial: 0,
            gated: Vec::new(),
            journal: None,
            behind: Vec::new(),
            slow: Run::default(),
            rules: Arc::new(|_| Grants::all()),
            stats: Stats::default(),
            scratch: Scratch::default(),
            hits: Vec::new(),
            roomy: None,
            litter: 0,
        }
    }

    /// From now on these rules hold, for those who are connected as well.
    pub(crate) fn rule(&mut self, rules: Rules) {
        for (_, session) in &mut self.sessions {
            if !matches!(session.endpoint, Endpoint::Local(_)) {
                session.grants = rules(&session.who);
            }
        }
        self.rules = rules;
    }

    /// What a client may do.
    fn granted(&self, who: &Who) -> Grants {
        (self.rules)(who)
    }

    /// From now on these bounds hold. What clients have been told stays as it is.
    pub(crate) fn set(&mut self, settings: Settings, now: Instant) {
        let told = &self.settings;
        let settings = Settings {
            max_inflight: told.max_inflight,
            window: told.window,
            max_alias: told.max_alias,
            max_qos: told.max_qos,
            retain: told.retain,
            ..settings
        };
        self.settings = settings;
        self.renew_sys(now);
    }

    /// Sends away those of whom this is said.
    pub(crate) fn dismiss(&mut self, theirs: impl Fn(&Who) -> bool, now: Instant) {
        let seat = |(key, session): (Key, &Session)| {
            let serial = session.connection()?.serial;
            theirs(&session.who).then_some(Seat { key, serial })
        };
        let seats: Vec<Seat> = self.sessions.iter().filter_map(seat).collect();
        for seat in seats {
            let fault = Fault::new(
                reason::NOT_AUTHORIZED,
                "its user is no more, or has another password",
            );
            self.fail(seat, fault, now);
        }
    }

    /// Counters.
    pub(crate) fn stats(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Woken when `next_timer` is earlier than it was.
    pub(crate) fn clock(&self) -> Arc<tokio::sync::Notify> {
        self.clock.clone()
    }

    /// Whether this connection still sits where it sat.
    fn sits(&self, seat: Seat) -> bool {
        self.sessions
            .get(seat.key)
            .and_then(Session::connection)
            .is_some_and(|connection| connection.serial == seat.serial)
    }

    /// A packet of a connection. A fault ends it: say `fail`, and it has been said to the client.
    pub(crate) fn handle(&mut self, seat: Seat, packet: Packet, now: Instant) -> Result<Flow, Fault> {
        if !self.sits(seat) {
            return Ok(Flow::On);
        }
        self.stats.messages_received += 1;
        if !matches!(
            packet,
            Packet::Puback(_) | Packet::Pubrec(..) | Packet::Pubcomp(_)
        ) {
            self.fill();
        }
        let told = self.journal.as_ref().map_or(0, Journal::messages);
        let flow = self.handled(seat, packet, now)?;
        let adds = self
            .journal
            .as_ref()
            .is_some_and(|journal| journal.messages() > told);
        if flow != Flow::On || !adds || !self.is_behind() {
            return Ok(flow);
        }
        self.stats.held += 1;
        if let Some(count) = self.slow.fault(now) {
            tracing::warn!(
                event = "memory-slow",
                count,
                "publishers wait for the disk: it is slower than they are"
            );
        }
        Ok(Flow::Hold(Holder::Store))
    }

    fn handled(&mut self, seat: Seat, packet: Packet, now: Instant) -> Result<Flow, Fault> {
        let key = seat.key;
        match packet {
            Packet::Publish(publish) => return self.published(key, publish, now),
            Packet::Puback(id) => self.puback(key, id, now)?,
            Packet::Pubrec(id, code) => self.pubrec(key, id, code, now)?,
            Packet::Pubrel(id) => return Ok(self.pubrel(key, id, now)),
            Packet::Pubcomp(id) => self.pubcomp(key, id, now)?,
            Packet::Subscribe { id, filters } => self.subscribe(key, id, filters, now)?,
            Packet::Unsubscribe { id, filters } => self.unsubscribe(key, id, filters)?,
            Packet::Pingreq => self.say(key, |outlet, out| outlet.encoder.pingresp(out)),
            Packet::Disconnect { code, expiry } => {
                self.disconnect(seat, code, expiry, now)?;
                return Ok(Flow::Left);
            }
            Packet::Connect(_) => return Err(Fault::protocol("a second CONNECT")),
            Packet::Auth => return Err(Fault::protocol("an AUTH without an authentication method")),
        }
        Ok(Flow::On)
    }

    /// Puts an answer into a session's outlet. It waits for what has been recorded so far.
    fn say(&mut self, key: Key, write: impl FnOnce(&Outlet, &mut bytes::BytesMut)) {
        let Some(connection) = self.sessions.get(key).and_then(Session::connection) else {
            return;
        };
        let outlet = &connection.outlet;
        let mut state = outlet.lock();
        if state.end().is_some() {
            return;
        }
        if let Some(ticket) = self.journal.as_ref().and_then(Journal::due) {
            state.mark(ticket);
            if self.gated.last() != Some(&key) {
                self.gated.push(key);
            }
        }
        write(outlet, &mut state.out);
        state.wake();
        self.stats.messages_sent += 1;
    }

    /// Whether a publisher is still to wait for what held it; if so, it will be woken.
    pub(crate) fn holds(&mut self, by: Holder, waker: &Waker) -> bool {
        let waiting = match by {
            Holder::Reader(key) => self
                .sessions
                .get_mut(key)
                .map(|session| &mut session.pressure)
                .filter(|pressure| pressure.holds())
                .map(|pressure| &mut pressure.waiting),
            Holder::Store => self.is_behind().then_some(&mut self.behind),
        };
        let Some(waiting) = waiting else { return false };
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        true
    }

    /// Whether the store has too much to write.
    fn is_behind(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_behind)
    }

    /// Whether a session holds publishers.
    pub(crate) fn is_held(&self, by: Key) -> bool {
        self.sessions
            .get(by)
            .is_some_and(|session| session.pressure.holds())
    }

    /// Sends what has waited for acknowledgements, and hands what has been recorded to the store. To be said when a
    /// batch of packets is done.
    pub(crate) fn settle(&mut self) {
        self.fill();
        if let Some(journal) = &mut self.journal {
            journal.commit();
        }
    }

    /// Whether so much has been forgotten since this was true that memory may be given back to the system.
    pub(crate) fn has_litter(&mut self) -> bool {
        let much = self.litter >= LITTER;
        if much {
            self.litter = 0;
        }
        much
    }

    /// The store has written: those that waited for it may go on.
    pub(crate) fn written(&mut self) {
        let committed = self.journal.as_ref().map_or(u64::MAX, Journal::committed);
        if !self.is_behind() {
            if let Some(count) = self.slow.good() {
                tracing::info!(
                    event = "memory-keeps-up",
                    count,
                    "nobody waits for the disk any more"
                );
            }
            for waker in self.behind.drain(..) {
                waker.wake();
            }
        }
        self.gated.sort_unstable();
        self.gated.dedup();
        let sessions = &self.sessions;
        self.gated.retain(|key| {
            let Some(connection) = sessions.get(*key).and_then(Session::connection) else {
                return false;
            };
            let mut state = connection.outlet.lock();
            state.wake();
            // What came after those that have just been written waits for the next.
            state.is_gated(committed)
        });
    }

    /// Ends all connections: the broker stops.
    pub(crate) fn close_all(&mut self, code: u8, why: &'static str) {
        for (_, session) in &self.sessions {
            match &session.endpoint {
                Endpoint::Net(connection) => connection.outlet.close(End { code, why }, false),
                Endpoint::Local(inbox) => inbox.close(),
                Endpoint::Away | Endpoint::Over => {}
            }
        }
    }

    /// How many network clients are connected.
    pub(crate) fn connected(&self) -> usize {
        self.connected
    }
}
