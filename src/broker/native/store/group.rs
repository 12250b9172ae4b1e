//! Changes that are written together, less what cancels out.

use super::super::message::{Kept, Message, Options};
use super::super::wire::Will;
use super::change::Change;
use super::wall::{Wall, whole};
use crate::broker::Qos;
use bytestring::ByteString;
use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

/// What a number of changes amount to.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Nothing of what was before counts.
    pub(super) anew: bool,
    pub(super) retained: HashMap<ByteString, Option<Kept>>,
    pub(super) clients: HashMap<ByteString, Client>,
    /// What all changes took, those that cancelled out, too.
    weight: usize,
}

/// What they amount to for one client.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Nothing of what was before counts.
    pub(super) anew: bool,
    pub(super) record: Option<Record>,
    pub(super) subscriptions: HashMap<ByteString, Option<Options>>,
    /// `None`: it waits no longer.
    pub(super) queue: BTreeMap<u64, Option<Queued>>,
    pub(super) sent: HashMap<u64, (u16, bool)>,
    /// Packet ids, and whether they are still to be released.
    pub(super) received: HashMap<u16, bool>,
}

/// A session's record, in times of the clock on the wall.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) expiry: u32,
    pub(super) user: Option<ByteString>,
    pub(super) listener: ByteString,
    pub(super) away: Option<i64>,
    pub(super) last_id: u16,
    pub(super) will: Option<(i64, Will)>,
}

#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) packet_id: Option<NonZeroU16>,
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: Vec<NonZeroU32>,
}

impl Group {
    /// One that replaces everything.
    pub(super) fn anew() -> Group {
        Group {
            anew: true,
            ..Group::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.anew && self.retained.is_empty() && self.clients.is_empty()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Adds what was said at `wall`.
    pub(super) fn add(&mut self, change: Change, wall: Wall) {
        self.weight += change.weight();
        match change {
            Change::Retain(kept) => {
                self.retained.insert(kept.message.topic.clone(), Some(kept));
            }
            Change::Unretain { topic } => {
                self.retained.insert(topic, None);
            }
            Change::Session { client, record } => {
                self.client(client).record = Some(Record {
                    expiry: record.expiry,
                    user: record.user,
                    listener: record.listener,
                    last_id: record.last_id,
                    away: record.away.map(|away| wall.millis.saturating_sub(whole(away))),
                    will: record
                        .will
                        .map(|(left, will)| (wall.millis.saturating_add(whole(left)), will)),
                });
            }
            Change::Forget { client } => {
                *self.client(client) = Client {
                    anew: true,
                    ..Client::default()
                };
            }
            Change::Subscribe {
                client,
                filter,
                options,
            } => {
                self.client(client).subscriptions.insert(filter, Some(options));
            }
            Change::Unsubscribe { client, filter } => {
                self.client(client).subscriptions.insert(filter, None);
            }
            Change::Queue {
                client,
                seq,
                packet_id,
                message,
                qos,
                retain,
                ids,
            } => {
                let queued = Queued {
                    packet_id,
                    message,
                    qos,
                    retain,
                    ids,
                };
                self.client(client).queue.insert(seq, Some(queued));
            }
            Change::Sent {
                client,
                seq,
                packet_id,
                released,
            } => {
                self.client(client).sent.insert(seq, (packet_id, released));
            }
            Change::Done { client, seq } => {
                let of = self.client(client);
                of.sent.remove(&seq);
                // What has come and gone in one group was never written.
                if !matches!(of.queue.remove(&seq), Some(Some(_))) {
                    of.queue.insert(seq, None);
                }
            }
            Change::Received { client, packet_id } => {
                self.client(client).received.insert(packet_id, true);
            }
            Change::Released { client, packet_id } => {
                self.client(client).received.insert(packet_id, false);
            }
        }
    }

    fn client(&mut self, client: ByteString) -> &mut Client {
        self.clients.entry(client).or_default()
    }
}
