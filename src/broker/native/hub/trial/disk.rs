//! A store without a disk: it keeps what it was given in order, and a part of it is written. What is not written when the
//! process ends is lost.

use super::super::super::message::{Kept, Message, Options};
use super::super::super::store::{Change, Loaded, LoadedMessage, LoadedSession, SessionRecord};
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Disk {
    state: Mutex<State>,
    committed: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: Vec<(u64, Vec<Change>)>,
    written: Rows,
}

/// What is written.
#[derive(Default)]
struct Rows {
    retained: BTreeMap<ByteString, Kept>,
    sessions: BTreeMap<ByteString, Row>,
}

struct Row {
    record: SessionRecord,
    subscriptions: BTreeMap<ByteString, Options>,
    queue: BTreeMap<u64, LoadedMessage>,
    received: BTreeSet<u16>,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn position(&self) -> Arc<AtomicU64> {
        self.committed.clone()
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn take(&self, batch: Vec<Change>) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let ticket = state.last;
        state.waiting.push((ticket, batch));
        ticket
    }

    /// Writes some of what waits: all but so many batches.
    pub(super) fn write(&self, but: usize) {
        let mut state = self.state();
        let count = state.waiting.len().saturating_sub(but % 4);
        let batches: Vec<_> = state.waiting.drain(..count).collect();
        for (ticket, batch) in batches {
            for change in batch {
                state.written.apply(change);
            }
            self.committed.store(ticket, Ordering::Release);
        }
    }

    /// Everything begins anew with this.
    pub(super) fn replace(&self, all: Vec<Change>) {
        let mut state = self.state();
        state.waiting.clear();
        state.written = Rows::default();
        for change in all {
            state.written.apply(change);
        }
        self.committed.store(state.last, Ordering::Release);
    }

    /// What another process finds.
    pub(super) fn load(&self, now: Instant) -> Loaded {
        let mut state = self.state();
        state.waiting.clear();
        state.last = self.committed();
        let young = |message: &Message| message.expires.is_none_or(|expires| expires > now);
        // As the file does: what has expired is gone when it is read, and its number is free.
        for row in state.written.sessions.values_mut() {
            row.queue
                .retain(|_, row| row.sent.is_some() || young(&row.message));
        }
        let rows = &state.written;
        let retained = rows.retained.values().filter(|kept| young(&kept.message));
        let sessions = rows.sessions.iter().map(|(client, row)| LoadedSession {
            client: client.clone(),
            record: row.record.clone(),
            subscriptions: row
                .subscriptions
                .iter()
                .map(|(filter, options)| (filter.clone(), *options))
                .collect(),
            queue: row.queue.values().map(copy).collect(),
            received: row.received.iter().copied().collect(),
        });
        Loaded {
            retained: retained.cloned().collect(),
            sessions: sessions.collect(),
        }
    }
}

fn copy(row: &LoadedMessage) -> LoadedMessage {
    LoadedMessage {
        seq: row.seq,
        packet_id: row.packet_id,
        message: row.message.clone(),
        qos: row.qos,
        retain: row.retain,
        ids: row.ids.clone(),
        sent: row.sent,
    }
}

impl Rows {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Retain(kept) => _ = self.retained.insert(kept.message.topic.clone(), kept),
            Change::Unretain { topic } => _ = self.retained.remove(&topic),
            Change::Forget { client } => _ = self.sessions.remove(&client),
            Change::Session { client, mut record } => {
                // Time does not pass while nobody looks.
                record.away = record.away.map(|_| Duration::ZERO);
                let row = self.sessions.entry(client).or_insert_with(|| Row {
                    record: record.clone(),
                    subscriptions: BTreeMap::new(),
                    queue: BTreeMap::new(),
                    received: BTreeSet::new(),
                });
                row.record = record;
            }
            Change::Subscribe {
                client,
                filter,
                options,
            } => {
                _ = self.row(&client).subscriptions.insert(filter, options);
            }
            Change::Unsubscribe { client, filter } => _ = self.row(&client).subscriptions.remove(&filter),
            Change::Queue {
                client,
                seq,
                packet_id,
                message,
                qos,
                retain,
                ids,
            } => {
                let sent = None;
                let row = LoadedMessage {
                    seq,
                    packet_id,
                    message,
                    qos,
                    retain,
                    ids,
                    sent,
                };
                let before = self.row(&client).queue.insert(seq, row);
                // A client may use the id of a message that it sends again.
                assert!(
                    before.is_none() || seq >= 1 << 62,
                    "the number {seq} is used twice"
                );
            }
            Change::Sent {
                client,
                seq,
                packet_id,
                released,
            } => {
                if let Some(row) = self.row(&client).queue.get_mut(&seq) {
                    row.sent = Some((packet_id, released));
                }
            }
            Change::Done { client, seq } => _ = self.row(&client).queue.remove(&seq),
            Change::Received { client, packet_id } => _ = self.row(&client).received.insert(packet_id),
            Change::Released { client, packet_id } => _ = self.row(&client).received.remove(&packet_id),
        }
    }

    /// The hub tells nothing of a session that it has not told.
    fn row(&mut self, client: &ByteString) -> &mut Row {
        let row = self.sessions.get_mut(client);
        row.unwrap_or_else(|| panic!("the store is told of {client}, and has no session of it"))
    }
}
