//! What the store is told: collected while packets are handled, handed over when a batch of them is done.

use super::super::message::{Message, Options};
use super::super::store::{Change, SessionRecord};
use super::session::Waiting;
use super::{Hub, Key};
use crate::broker::Qos;
use bytestring::ByteString;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Takes a batch of changes, and gives its ticket: they only grow.
pub(crate) type Sink = Box<dyn FnMut(Vec<Change>) -> u64 + Send>;

/// The changes that the store has not been told yet.
pub(crate) struct Journal {
    sink: Sink,
    /// The highest ticket whose changes outlive the process.
    committed: Arc<AtomicU64>,
    last: u64,
    pending: Vec<Change>,
    /// Retained messages of QoS 0, which nobody has an acknowledgement for: told in the rhythm of the store.
    lazy: HashMap<ByteString, Option<Arc<Message>>>,
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
    pub(crate) fn new(sink: Sink, committed: Arc<AtomicU64>) -> Journal {
        Journal {
            sink,
            last: committed.load(Ordering::Acquire),
            committed,
            pending: Vec::new(),
            lazy: HashMap::new(),
        }
    }

    /// The ticket that an answer must wait for which promises what has been recorded so far.
    pub(super) fn due(&self) -> Option<u64> {
        if !self.pending.is_empty() {
            return Some(self.last + 1);
        }
        (self.last > self.committed.load(Ordering::Acquire)).then_some(self.last)
    }

    pub(super) fn commit(&mut self) {
        if !self.pending.is_empty() {
            self.last = (self.sink)(std::mem::take(&mut self.pending));
        }
    }

    pub(super) fn record(&mut self, change: Change) {
        self.pending.push(change);
    }

    pub(super) fn queue(&mut self, client: &ByteString, waiting: &Waiting) {
        self.pending.push(Change::Queue {
            client: client.clone(),
            seq: waiting.seq,
            message: waiting.message.clone(),
            qos: waiting.qos,
            retain: waiting.retain,
            ids: waiting.ids.clone(),
            packet_id: waiting.id.map(NonZeroU16::get),
        });
    }

    pub(super) fn sent(&mut self, client: &ByteString, seq: u64, id: NonZeroU16, released: bool) {
        self.pending.push(Change::Sent {
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

    /// Whether retained messages wait for their rhythm.
    pub(crate) fn is_lazy(&self) -> bool {
        !self.lazy.is_empty()
    }

    fn flush(&mut self) {
        for (topic, message) in self.lazy.drain() {
            self.pending.push(match message {
                Some(message) => Change::Retain { message },
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

    /// Hands over what waits for the store's rhythm.
    pub(crate) fn flush_lazy(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.flush();
            journal.commit();
        }
    }

    /// Whether something waits for the store's rhythm.
    pub(crate) fn is_lazy(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_lazy)
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
        let will = session.will_due.zip(session.will.as_ref());
        journal.record(Change::Session {
            client: session.client.clone(),
            record: SessionRecord {
                expiry: session.expiry,
                user: session.user.clone(),
                away: session
                    .away_since
                    .map(|since| now.saturating_duration_since(since)),
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
            journal.record(Change::Received {
                client: client.clone(),
                packet_id: id.get(),
                message: message.clone(),
            });
        }
    }

    pub(super) fn record_released(&mut self, key: Key, id: NonZeroU16) {
        if let Some((journal, client)) = self.stored(key) {
            let client = client.clone();
            let packet_id = id.get();
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

    pub(super) fn record_retained(&mut self, message: &Arc<Message>) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if message.qos == Qos::AtMostOnce {
            journal.lazy.insert(message.topic.clone(), Some(message.clone()));
        } else {
            journal.lazy.remove(&message.topic);
            let message = message.clone();
            journal.record(Change::Retain { message });
        }
    }

    pub(super) fn record_unretained(&mut self, topic: &ByteString, qos: Qos) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if qos == Qos::AtMostOnce {
            journal.lazy.insert(topic.clone(), None);
        } else {
            journal.lazy.remove(topic);
            let topic = topic.clone();
            journal.record(Change::Unretain { topic });
        }
    }
}
