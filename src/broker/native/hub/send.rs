//! A message into a connection's outlet, with its packet id, and remembered until it is acknowledged.

use super::super::message::Message;
use super::super::wire::Delivery;
use super::outlet::{self, Outlet};
use super::publish::Publication;
use super::session::{Connection, Flight, Session, Share, Waiting};
use super::{Hub, Journal, Key};
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

/// One message for one receiver.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) message: &'a Message,
    pub(super) manner: Manner<'a>,
    /// With QoS 1 and 2.
    pub(super) id: Option<NonZeroU16>,
    /// Whether it was sent before.
    pub(super) dup: bool,
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
        let session = &mut self.sessions[key];
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
        let flight = id.map(|id| {
            let again = session.expiry != 0 || manner.share.is_some();
            let seq = session.seq();
            Flight {
                id,
                released: false,
                qos: manner.qos,
                seq,
                waiting: again.then(|| Waiting::new(publication.share(), manner, seq, Some(id))),
            }
        });
        if let Some(waiting) = flight.as_ref().and_then(|flight| flight.waiting.as_ref()) {
            record_flight(&mut self.journal, session, waiting);
        }
        let letter = Letter {
            message: &publication.message,
            manner,
            id,
            dup: false,
        };
        let sent = self.write(key, letter, &outlet, &mut state, now);
        if let Some(flight) = flight {
            self.under_way(key, flight, sent);
        }
        state.wake();
        true
    }

    /// Sends a message that has waited, and for which there is room; false where it must wait for a packet id.
    pub(super) fn transmit(
        &mut self,
        key: Key,
        mut waiting: Waiting,
        outlet: &Outlet,
        state: &mut outlet::State,
        now: Instant,
    ) -> bool {
        let session = &mut self.sessions[key];
        if waiting.qos != Qos::AtMostOnce {
            waiting.id = waiting.id.or_else(|| session.free_id());
            if waiting.id.is_none() {
                // A later acknowledgement frees one.
                session.queue.push_front(waiting);
                return false;
            }
        }
        let id = waiting.id;
        if let (Some(id), Some(journal), true) = (id, &mut self.journal, session.stored) {
            journal.sent(&session.client, waiting.seq, id, false);
        }
        let dup = id.is_some_and(|id| session.take_again(id));
        self.scratch.begin();
        let sent = self.write(key, waiting.letter(dup), outlet, state, now);
        if let Some(id) = id {
            let again = self.sessions[key].expiry != 0 || waiting.share.is_some();
            let flight = Flight {
                id,
                released: false,
                qos: waiting.qos,
                seq: waiting.seq,
                waiting: again.then_some(waiting),
            };
            self.under_way(key, flight, sent);
        }
        true
    }

    /// Puts a message into a connection's outlet; false if it is longer than the client takes.
    pub(super) fn write(
        &mut self,
        key: Key,
        letter: Letter<'_>,
        outlet: &Outlet,
        state: &mut outlet::State,
        now: Instant,
    ) -> bool {
        // A message that waits for the store to know of it, as QoS 2 must, marks its place.
        if letter.manner.qos == Qos::ExactlyOnce
            && let Some(ticket) = self.journal.as_ref().and_then(Journal::due)
        {
            state.mark(ticket);
            self.gated.push(key);
        }
        let session = &mut self.sessions[key];
        let skip = session.mount.as_ref().map_or(0, |mount| mount.len());
        let Some(connection) = session.connection_mut() else {
            return false;
        };
        let start = state.out.len();
        let alias = alias(connection, &letter.message.topic);
        let delivery = Delivery {
            qos: letter.manner.qos,
            retain: letter.manner.retain,
            dup: letter.dup,
            id: letter.id,
            ids: letter.manner.ids,
            alias,
            skip,
        };
        let scratch = &mut self.scratch;
        let length = outlet
            .encoder
            .publish(letter.message, delivery, now, scratch, &mut state.out);
        if length > connection.longest {
            state.out.truncate(start);
            if let (Some((_, false)), Some(aliases)) = (alias, &mut connection.aliases) {
                aliases.ours.remove(&letter.message.topic);
            }
            self.stats.dropped += 1;
            return false;
        }
        self.stats.messages_sent += 1;
        self.stats.publishes_sent += 1;
        self.stats.publish_bytes_sent += letter.message.payload.len() as u64;
        true
    }

    /// Remembers what was sent until it is acknowledged; what could not be is done with.
    pub(super) fn under_way(&mut self, key: Key, flight: Flight, sent: bool) {
        let session = &mut self.sessions[key];
        if sent {
            session.flights.push_back(flight);
        } else {
            session.frees_id(Some(flight.id));
            journal_done(&mut self.journal, session, flight.seq);
        }
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

    pub(super) fn letter(&self, dup: bool) -> Letter<'_> {
        let manner = Manner {
            qos: self.qos,
            retain: self.retain,
            ids: &self.ids,
            share: self.share.as_ref(),
        };
        Letter {
            message: &self.message,
            manner,
            id: self.id,
            dup,
        }
    }
}

/// The number that stands for a topic on this connection, if it may have one, and whether the client knows it.
fn alias(connection: &mut Connection, topic: &ByteString) -> Option<(NonZeroU16, bool)> {
    let aliases = connection.aliases.as_mut().filter(|aliases| aliases.most > 0)?;
    if let Some(alias) = aliases.ours.get(topic) {
        return Some((*alias, true));
    }
    let next = u16::try_from(aliases.ours.len() + 1).ok()?;
    let alias = NonZeroU16::new(next).filter(|_| next <= aliases.most)?;
    // A copy of its own: the topic may be a part of something larger.
    aliases.ours.insert(ByteString::from(&**topic), alias);
    Some((alias, false))
}

fn record_flight(journal: &mut Option<Journal>, session: &Session, waiting: &Waiting) {
    if let (Some(journal), Some(id), true) = (journal, waiting.id, session.stored) {
        journal.queue(&session.client, waiting);
        journal.sent(&session.client, waiting.seq, id, false);
    }
}

pub(super) fn journal_done(journal: &mut Option<Journal>, session: &Session, seq: u64) {
    if let (Some(journal), true) = (journal, session.stored) {
        journal.done(&session.client, seq);
    }
}
