//! A message into a connection's outlet, with its packet id, and remembered until it is acknowledged.

use super::super::message::Message;
use super::super::wire::{Delivery, Scratch};
use super::outlet::{self, Outlet};
use super::publish::Publication;
use super::session::{Connection, Flight, Session, Share, Waiting};
use super::{Hub, Journal, Key, Stats};
use crate::broker::Qos;
use bytestring::ByteString;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Instant;

/// How a message was delivered, apart from its packet id.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: &'a [NonZeroU32],
    pub(super) share: Option<&'a Arc<Share>>,
}

impl Hub {
    /// Sends a message if nothing has to wait before it and there is room.
    pub(super) fn send_now(
        &mut self,
        key: Key,
        publication: &mut Publication,
        manner: Manner<'_>,
        now: Instant,
    ) -> bool {
        let Hub {
            sessions,
            scratch,
            stats,
            journal,
            gated,
            ..
        } = self;
        let session = &mut sessions[key];
        let zero = manner.qos == Qos::AtMostOnce;
        let waits = if zero {
            session.queue.zeros() > 0
        } else {
            !session.queue.is_empty()
        };
        if waits || !session.cursors.is_empty() {
            return false;
        }
        let Some(connection) = session.connection() else {
            return false;
        };
        if !zero && session.flights.len() >= connection.window {
            return false;
        }
        let outlet = connection.outlet.clone();
        let mut state = outlet.lock();
        if !state.has_room() {
            return false;
        }
        let id = if zero { None } else { session.free_id() };
        if !zero && id.is_none() {
            return false;
        }
        let waiting = id.map(|id| {
            let again = session.expiry != 0 || manner.share.is_some();
            let seq = session.seq();
            (
                seq,
                again.then(|| Waiting::new(publication.share(), manner, seq, Some(id))),
            )
        });
        if let (Some(id), Some((_, Some(waiting)))) = (id, &waiting) {
            record_flight(journal, session, waiting, id);
        }
        let mut line = Line {
            outlet: &outlet,
            state: &mut state,
            scratch,
            stats,
        };
        // A message that waits for the store to know of it, as QoS 2 must, marks its place.
        if manner.qos == Qos::ExactlyOnce
            && let Some(ticket) = journal.as_ref().and_then(Journal::due)
        {
            line.state.mark(ticket);
            gated.push(key);
        }
        let skip = session.mount.as_ref().map_or(0, |mount| mount.len());
        let Some(connection) = session.connection_mut() else {
            return false;
        };
        let sent = line.send(connection, &publication.message, manner, id, false, skip, now);
        if let (Some(id), Some((seq, waiting))) = (id, waiting) {
            if sent {
                session.flights.push_back(Flight {
                    id,
                    released: false,
                    qos: manner.qos,
                    seq,
                    waiting,
                });
            } else {
                session.frees_id(Some(id));
                journal_done(journal, session, seq);
            }
        }
        state.wake();
        true
    }

    /// Sends a message for which there is room; false where it must wait for a packet id.
    pub(super) fn transmit(&mut self, key: Key, mut waiting: Waiting, now: Instant) -> bool {
        let Hub {
            sessions,
            scratch,
            stats,
            journal,
            gated,
            ..
        } = self;
        let session = &mut sessions[key];
        let zero = waiting.qos == Qos::AtMostOnce;
        let id = if zero {
            None
        } else {
            waiting.id.or_else(|| session.free_id())
        };
        if !zero && id.is_none() {
            // A later acknowledgement frees one.
            session.queue.push_front(waiting);
            return false;
        }
        waiting.id = id;
        if let (Some(id), Some(journal), true) = (id, journal.as_mut(), session.stored) {
            journal.sent(&session.client, waiting.seq, id, false);
        }
        let skip = session.mount.as_ref().map_or(0, |mount| mount.len());
        let dup = id.is_some_and(|id| session.again.remove(&id));
        let Some(connection) = session.connection_mut() else {
            return false;
        };
        let outlet = connection.outlet.clone();
        let mut state = outlet.lock();
        if waiting.qos == Qos::ExactlyOnce
            && let Some(ticket) = journal.as_ref().and_then(Journal::due)
        {
            state.mark(ticket);
            gated.push(key);
        }
        scratch.begin();
        let mut line = Line {
            outlet: &outlet,
            state: &mut state,
            scratch,
            stats,
        };
        let manner = waiting.manner();
        let sent = line.send(connection, &waiting.message, manner, id, dup, skip, now);
        drop(state);
        let Some(id) = id else {
            return true;
        };
        if sent {
            let again = session.expiry != 0 || waiting.share.is_some();
            session.flights.push_back(Flight {
                id,
                released: false,
                qos: waiting.qos,
                seq: waiting.seq,
                waiting: again.then_some(waiting),
            });
        } else {
            session.frees_id(Some(id));
            journal_done(journal, session, waiting.seq);
        }
        true
    }
}

impl Waiting {
    pub(super) fn new(
        message: Arc<Message>,
        manner: Manner<'_>,
        seq: u64,
        id: Option<NonZeroU16>,
    ) -> Waiting {
        Waiting {
            message,
            qos: manner.qos,
            retain: manner.retain,
            ids: manner.ids.to_vec(),
            id,
            seq,
            share: manner.share.cloned(),
        }
    }

    pub(super) fn manner(&self) -> Manner<'_> {
        Manner {
            qos: self.qos,
            retain: self.retain,
            ids: &self.ids,
            share: self.share.as_ref(),
        }
    }
}

/// Where a message is written.
pub(super) struct Line<'a> {
    pub(super) outlet: &'a Outlet,
    pub(super) state: &'a mut outlet::State,
    pub(super) scratch: &'a mut Scratch,
    pub(super) stats: &'a mut Stats,
}

impl Line<'_> {
    /// Writes a PUBLISH; false if it is longer than the client takes, and was not written.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one packet")]
    pub(super) fn send(
        &mut self,
        connection: &mut Connection,
        message: &Message,
        manner: Manner<'_>,
        id: Option<NonZeroU16>,
        dup: bool,
        skip: usize,
        now: Instant,
    ) -> bool {
        let start = self.state.out.len();
        let alias = alias(connection, &message.topic);
        let delivery = Delivery {
            qos: manner.qos,
            retain: manner.retain,
            dup,
            id,
            ids: manner.ids,
            alias,
            skip,
        };
        let length = self
            .outlet
            .encoder
            .publish(message, delivery, now, self.scratch, &mut self.state.out);
        if length > connection.longest {
            self.state.out.truncate(start);
            if let Some((_, false)) = alias {
                connection.aliases_out.remove(&message.topic);
            }
            self.stats.dropped += 1;
            return false;
        }
        self.stats.messages_sent += 1;
        self.stats.publishes_sent += 1;
        self.stats.publish_bytes_sent += message.payload.len() as u64;
        true
    }
}

/// The number that stands for a topic on this connection, if it may have one, and whether the client knows it.
fn alias(connection: &mut Connection, topic: &ByteString) -> Option<(NonZeroU16, bool)> {
    if connection.aliases_most == 0 {
        return None;
    }
    if let Some(alias) = connection.aliases_out.get(topic) {
        return Some((*alias, true));
    }
    let next = u16::try_from(connection.aliases_out.len() + 1).ok()?;
    let alias = NonZeroU16::new(next).filter(|_| next <= connection.aliases_most)?;
    // A copy of its own: the topic may be a part of something larger.
    connection.aliases_out.insert(ByteString::from(&**topic), alias);
    Some((alias, false))
}

fn record_flight(journal: &mut Option<Journal>, session: &Session, waiting: &Waiting, id: NonZeroU16) {
    if let (Some(journal), true) = (journal, session.stored) {
        journal.queue(&session.client, waiting);
        journal.sent(&session.client, waiting.seq, id, false);
    }
}

pub(super) fn journal_done(journal: &mut Option<Journal>, session: &Session, seq: u64) {
    if let (Some(journal), true) = (journal, session.stored) {
        journal.done(&session.client, seq);
    }
}
