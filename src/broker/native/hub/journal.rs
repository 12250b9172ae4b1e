//! What the store is told: collected while packets are handled, handed over when a batch of them is done.

use super::super::message::{Kept, Message, Options};
use super::super::store::{Change, SessionRecord};
use super::session::Waiting;
use super::{Hub, Key, Timer};
use crate::broker::Qos;
use bytestring::ByteString;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Beside the messages that wait for a client, the store keeps those of QoS 2 that have come from it and are not
/// released: under numbers from here on, with their packet ids in the last bits.
pub(super) const RECEIVED: u64 = 1 << 62;

/// Takes a batch of changes, and gives its ticket: they only grow.
pub(crate) type Sink = Box<dyn FnMut(Vec<Change>) -> u64 + Send>;

/// The changes that the store has not been told yet.
pub(crate) struct Journal {
    sink: Sink,
    /// The highest ticket whose changes outlive the process.
    committed: Arc<AtomicU64>,
    /// Whether the store has so much to write that publishers are to wait.
    behind: Arc<AtomicBool>,
    /// How many messages it has been told of.
    messages: u64,
    last: u64,
    /// The last ticket with a change that an answer may promise.
    promised: u64,
    pending: Vec<Change>,
    urgent: bool,
    /// How often lazy ones are handed over.
    rhythm: Duration,
    /// Retained messages of QoS 0, which nobody has an acknowledgement for: told in the rhythm of the store.
    lazy: HashMap<ByteString, Option<Kept>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("last", &self.last)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn new(
        sink: Sink,
        committed: Arc<AtomicU64>,
        behind: Arc<AtomicBool>,
        rhythm: Duration,
    ) -> Journal {
        Journal {
            sink,
            last: committed.load(Ordering::Acquire),
            promised: 0,
            committed,
            behind,
            messages: 0,
            pending: Vec::new(),
            urgent: false,
            rhythm,
            lazy: HashMap::new(),
        }
    }

    /// The ticket that an answer must wait for which promises what has been recorded so far.
    pub(super) fn due(&self) -> Option<u64> {
        if self.urgent {
            return Some(self.last + 1);
        }
        (self.promised > self.committed.load(Ordering::Acquire)).then_some(self.promised)
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// How many messages it has been told of: who adds to them waits, if the store is behind.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn commit(&mut self) {
        if !self.pending.is_empty() {
            self.last = (self.sink)(std::mem::take(&mut self.pending));
            if std::mem::take(&mut self.urgent) {
                self.promised = self.last;
            }
        }
    }

    pub(super) fn record(&mut self, change: Change) {
        self.urgent = true;
        self.messages += u64::from(matches!(change, Change::Queue { .. } | Change::Retain(_)));
        self.pending.push(change);
    }

    pub(super) fn queue(&mut self, client: &ByteString, waiting: &Waiting) {
        self.record(Change::Queue {
            client: client.clone(),
            seq: waiting.seq,
            packet_id: waiting.id,
            message: waiting.message.clone(),
            qos: waiting.qos,
            retain: waiting.retain,
            ids: waiting.ids.clone(),
        });
    }

    pub(super) fn sent(&mut self, client: &ByteString, seq: u64, id: NonZeroU16, released: bool) {
        self.record(Change::Sent {
            client: client.clone(),
            seq,
            packet_id: id.get(),
            released,
        });
    }

    pub(super) fn done(&mut self, client: &ByteString, seq: u64) {
        self.pending.push(Change::Done {
            client: client.clone(),
            seq,
        });
    }

    fn flush(&mut self) {
        for (topic, kept) in self.lazy.drain() {
            self.pending.push(match kept {
                Some(kept) => Change::Retain(kept),
                None => Change::Unretain { topic },
            });
        }
    }
}

impl Hub {
    /// From now on, what is to outlive the process goes there.
    pub(crate) fn keep(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Nothing outlives the process any more.
    pub(crate) fn forget_journal(&mut self) {
        self.journal = None;
    }

    /// Hands over what waits for the store's rhythm.
    pub(crate) fn flush_lazy(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.flush();
            journal.commit();
        }
    }

    /// The process is about to end: how the sessions of those are who are still connected.
    pub(crate) fn record_connected(&mut self, now: Instant) {
        let connected = self
            .sessions
            .iter()
            .filter(|(_, session)| session.connection().is_some());
        let keys: Vec<Key> = connected.map(|(key, _)| key).collect();
        for key in keys {
            self.record_session(key, now);
        }
        self.settle();
    }

    /// A session as it is now, if it outlives its connection.
    pub(super) fn record_session(&mut self, key: Key, now: Instant) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let session = &mut self.sessions[key];
        if session.expiry == 0 {
            if std::mem::take(&mut session.stored) {
                let client = session.client.clone();
                journal.record(Change::Forget { client });
            }
            return;
        }
        session.stored = true;
        let will = session.will_due.zip(session.will.as_deref());
        journal.record(Change::Session {
            client: session.client.clone(),
            record: SessionRecord {
                expiry: session.expiry,
                user: session.who.user.clone(),
                listener: session.who.listener.clone(),
                away: session
                    .away_since
                    .map(|since| now.saturating_duration_since(since)),
                last_id: session.last_id(),
                will: will.map(|(due, will)| (due.saturating_duration_since(now), will.clone())),
            },
        });
    }

    pub(super) fn record_forgotten(&mut self, client: &ByteString) {
        if let Some(journal) = &mut self.journal {
            let client = client.clone();
            journal.record(Change::Forget { client });
        }
    }

    /// The journal, and the session, if the store knows of it.
    fn stored(&mut self, key: Key) -> Option<(&mut Journal, &ByteString)> {
        let session = self.sessions.get(key).filter(|session| session.stored)?;
        Some((self.journal.as_mut()?, &session.client))
    }

    pub(super) fn record_done(&mut self, key: Key, seq: u64) {
        if let Some((journal, client)) = self.stored(key) {
            journal.done(client, seq);
        }
    }

    pub(super) fn record_sent(&mut self, key: Key, seq: u64, id: NonZeroU16, released: bool) {
        if let Some((journal, client)) = self.stored(key) {
            journal.sent(client, seq, id, released);
        }
    }

    pub(super) fn record_received(&mut self, key: Key, id: NonZeroU16, message: &Arc<Message>) {
        if let Some((journal, client)) = self.stored(key) {
            let client = client.clone();
            // Before the id: that alone says that the message is still to be released.
            journal.record(Change::Queue {
                client: client.clone(),
                seq: RECEIVED | u64::from(id.get()),
                packet_id: None,
                message: message.clone(),
                qos: message.qos,
                retain: message.retain,
                ids: Vec::new(),
            });
            let packet_id = id.get();
            journal.record(Change::Received { client, packet_id });
        }
    }

    pub(super) fn record_released(&mut self, key: Key, id: NonZeroU16) {
        if let Some((journal, client)) = self.stored(key) {
            let client = client.clone();
            let packet_id = id.get();
            journal.done(&client, RECEIVED | u64::from(packet_id));
            journal.record(Change::Released { client, packet_id });
        }
    }

    pub(super) fn record_subscribed(&mut self, key: Key, filter: &ByteString, options: Options) {
        if let Some((journal, client)) = self.stored(key) {
            journal.record(Change::Subscribe {
                client: client.clone(),
                filter: filter.clone(),
                options,
            });
        }
    }

    pub(super) fn record_unsubscribed(&mut self, key: Key, filter: &ByteString) {
        if let Some((journal, client)) = self.stored(key) {
            journal.record(Change::Unsubscribe {
                client: client.clone(),
                filter: filter.clone(),
            });
        }
    }

    pub(super) fn record_retained(&mut self, kept: Kept, now: Instant) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if kept.message.qos == Qos::AtMostOnce {
            return self.put_off(kept.message.topic.clone(), Some(kept), now);
        }
        journal.lazy.remove(&kept.message.topic);
        journal.record(Change::Retain(kept));
    }

    pub(super) fn record_unretained(&mut self, topic: &ByteString, qos: Qos, now: Instant) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if qos == Qos::AtMostOnce {
            return self.put_off(topic.clone(), None, now);
        }
        journal.lazy.remove(topic);
        let topic = topic.clone();
        journal.record(Change::Unretain { topic });
    }

    /// Nobody has an acknowledgement for it: the last one of a while is enough.
    fn put_off(&mut self, topic: ByteString, kept: Option<Kept>, now: Instant) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let first = journal.lazy.is_empty();
        let due = now + journal.rhythm;
        journal.messages += u64::from(kept.is_some());
        journal.lazy.insert(topic, kept);
        if first {
            self.arm(due, Timer::Flush);
        }
    }

    /// Everything that is to outlive the process, as it is now: for a store that has lost something.
    pub(crate) fn snapshot(&mut self, now: Instant) -> Vec<Change> {
        let Some(mut journal) = self.journal.take() else {
            return Vec::new();
        };
        let rest = std::mem::take(&mut journal.pending);
        self.journal = Some(journal);
        for kept in self.retained_messages().cloned().collect::<Vec<_>>() {
            self.note(Change::Retain(kept));
        }
        let keys: Vec<Key> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.note_session(key, now);
        }
        let journal = self.journal.as_mut();
        journal.map_or(Vec::new(), |journal| {
            std::mem::replace(&mut journal.pending, rest)
        })
    }

    fn note(&mut self, change: Change) {
        if let Some(journal) = &mut self.journal {
            journal.pending.push(change);
        }
    }

    fn note_session(&mut self, key: Key, now: Instant) {
        if !self.sessions[key].stored {
            return;
        }
        self.record_session(key, now);
        let session = &self.sessions[key];
        let Some(journal) = &mut self.journal else {
            return;
        };
        let client = &session.client;
        for (filter, subscription) in &session.subscriptions {
            journal.record(Change::Subscribe {
                client: client.clone(),
                filter: filter.clone(),
                options: subscription.options,
            });
        }
        for flight in &session.flights {
            if let Some(waiting) = &flight.waiting {
                journal.queue(client, waiting);
            } else {
                // Its message is not needed any more, but its row must be there.
                let message = Arc::new(Message::empty());
                journal.record(Change::Queue {
                    client: client.clone(),
                    seq: flight.seq,
                    packet_id: Some(flight.id),
                    message,
                    qos: flight.qos,
                    retain: false,
                    ids: Vec::new(),
                });
            }
            journal.sent(client, flight.seq, flight.id, flight.released);
        }
        for waiting in session
            .queue
            .iter()
            .filter(|waiting| waiting.qos != Qos::AtMostOnce)
        {
            journal.queue(client, waiting);
        }
        let received: Vec<_> = session
            .received
            .iter()
            .map(|(id, message)| (*id, message.clone()))
            .collect();
        for (id, message) in received {
            if let Some(id) = NonZeroU16::new(id) {
                self.record_received(key, id, &message);
            }
        }
    }
}
