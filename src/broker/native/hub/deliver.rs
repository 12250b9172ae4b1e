//! A message on its way out: sent at once where there is room, else it waits, within bounds.

use super::super::message::Message;
use super::super::wire::{Ack, Delivery, Scratch, reason};
use super::outlet::{self, Outlet};
use super::publish::{Hit, Publication};
use super::session::{Connection, Cursor, Endpoint, Flight, Session, Share, Waiting};
use super::tree::{Found, Sub};
use super::{Hub, Journal, Key, Stats, Timer};
use crate::broker::{self, Qos};
use crate::topic::Topic;
use bytestring::ByteString;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long publishers wait for a client that is behind before it loses messages: a stall of its machine, not more.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// What a session's queue may hold where no bound is configured, before publishers wait for it.
const PRESSING: (usize, usize) = (1000, 1024 * 1024);

/// How a message was delivered, apart from its packet id.
#[derive(Clone, Copy)]
struct Manner<'a> {
    qos: Qos,
    retain: bool,
    ids: &'a [NonZeroU32],
    share: Option<&'a Arc<Share>>,
}

impl Hub {
    /// Delivers to one session what its subscriptions `hits` ask for. Tells whether it is behind and worth waiting for.
    pub(super) fn deliver(
        &mut self,
        publication: &mut Publication,
        hits: &[Hit],
        now: Instant,
    ) -> Option<Key> {
        let first = hits.first()?;
        let key = first.key;
        let session = self.sessions.get_mut(key)?;
        let message = &publication.message;
        // MQTT-3.3.2-5: it waited for its release, or for another member of a group, for too long.
        if message.expires.is_some_and(|expires| expires < now) {
            return None;
        }
        let asked = hits.iter().map(|hit| hit.qos).max().unwrap_or_default();
        let qos = if self.settings.upgrade {
            asked
        } else {
            asked.min(message.qos)
        };
        // MQTT-3.3.1-12 and MQTT-3.3.1-13.
        let retain = message.retain && hits.iter().any(|hit| hit.as_published);
        let ids: Vec<NonZeroU32> = hits.iter().filter_map(|hit| hit.id).collect();
        let manner = Manner {
            qos,
            retain,
            ids: &ids,
            share: first.share.as_ref(),
        };
        if let Endpoint::Local(inbox) = &session.endpoint {
            if let Ok(topic) = Topic::parse(&message.topic) {
                inbox.push(broker::Message {
                    topic,
                    payload: message.payload.clone(),
                    qos,
                    retain: false,
                    beside: super::super::beside::of(message),
                });
            }
            return None;
        }
        if !session.grants.may_receive(session.below_mount(&message.topic)) {
            return None;
        }
        if session.is_away() && qos == Qos::AtMostOnce && !self.settings.queue_zero {
            return None;
        }
        if self.send_now(key, publication, manner, now) {
            return None;
        }
        self.enqueue(key, publication, manner, now);
        self.sessions[key].pressure.holds().then_some(key)
    }

    /// Sends a message if nothing has to wait before it and there is room.
    fn send_now(
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

    /// Lets a message wait, within the bounds of the session's queue.
    fn enqueue(&mut self, key: Key, publication: &mut Publication, manner: Manner<'_>, now: Instant) {
        let settings = &self.settings;
        let session = &mut self.sessions[key];
        let size = publication.message.topic.len() + publication.message.payload.len() + 64;
        let full = |session: &Session| {
            settings.max_queued != 0 && session.queue.len() >= settings.max_queued
                || settings.max_queued_bytes != 0
                    && !session.queue.is_empty()
                    && session.queue.bytes() + size > settings.max_queued_bytes
        };
        while full(session) {
            self.stats.dropped += 1;
            if let Some(count) = session.drops.fault(now) {
                let client = session.client.escape_debug();
                tracing::warn!(event = "client-slow", client = %client, count, "messages dropped: the client's queue is full");
            }
            if !settings.drop_oldest {
                return;
            }
            let Some(oldest) = session.queue.pop() else {
                return;
            };
            session.frees_id(oldest.id);
            journal_done(&mut self.journal, session, oldest.seq);
        }
        let seq = session.seq();
        let id = if manner.qos == Qos::AtMostOnce {
            None
        } else {
            session.free_id()
        };
        let waiting = Waiting::new(publication.share(), manner, seq, id);
        if let (Some(journal), true) = (
            &mut self.journal,
            session.stored && waiting.qos != Qos::AtMostOnce,
        ) {
            journal.queue(&session.client, &waiting);
        }
        session.queue.push(waiting);
        // The connection's task asks for more when it has written what it has.
        let (most, most_bytes) = (
            if settings.max_queued == 0 {
                PRESSING.0
            } else {
                settings.max_queued
            },
            if settings.max_queued_bytes == 0 {
                PRESSING.1
            } else {
                settings.max_queued_bytes
            },
        );
        let pressing = session.queue.len() * 2 > most || session.queue.bytes() * 2 > most_bytes;
        let Some(connection) = session.connection() else {
            return;
        };
        {
            let mut state = connection.outlet.lock();
            state.more = true;
            if state.is_empty() {
                state.wake();
            }
        }
        if pressing && session.pressure.since.is_none() {
            session.pressure.since = Some(now);
            self.arm(now + PATIENCE, Timer::Patience(key));
        }
    }

    /// Fills a connection's outlet with what waits for it.
    pub(crate) fn refill(&mut self, seat: super::Seat, now: Instant) {
        if self.sits(seat) {
            self.pump(seat.key, now);
        }
    }

    /// Sends what waits as far as there is room: first retained messages that a subscription asked for.
    pub(super) fn pump(&mut self, key: Key, now: Instant) {
        while self.pump_cursor(key, now) {}
        while self.pump_queue(key, now) {}
        let session = &mut self.sessions[key];
        let waits = !session.queue.is_empty() || !session.cursors.is_empty();
        if let Some(connection) = session.connection() {
            let mut state = connection.outlet.lock();
            // What waits for an acknowledgement is sent when that comes.
            state.more = waits && !state.has_room();
            if !state.is_empty() {
                state.wake();
            }
        }
        if !waits && let Some(count) = session.drops.good() {
            let client = session.client.escape_debug();
            tracing::info!(event = "client-caught-up", client = %client, count, "the client's queue is empty again");
        }
        let low = if self.settings.max_queued == 0 {
            PRESSING.0
        } else {
            self.settings.max_queued
        } / 4;
        let low_bytes = if self.settings.max_queued_bytes == 0 {
            PRESSING.1
        } else {
            self.settings.max_queued_bytes
        } / 4;
        if session.queue.len() <= low
            && session.queue.bytes() <= low_bytes
            && let Some(since) = session.pressure.since.take()
        {
            session.pressure.slow = false;
            session.pressure.release();
            self.timers.remove(&(since + PATIENCE, Timer::Patience(key)));
        }
    }

    /// Sends the next retained message of a subscription; false when there is no room, or none.
    fn pump_cursor(&mut self, key: Key, now: Instant) -> bool {
        let session = &mut self.sessions[key];
        let Some(cursor) = session.cursors.front() else {
            return false;
        };
        let Some(connection) = session.connection() else {
            return false;
        };
        if session.flights.len() >= connection.window || !connection.outlet.lock().has_room() {
            return false;
        }
        let Cursor {
            filter,
            options,
            after,
        } = cursor;
        let (filter, options, after) = (filter.clone(), *options, after.clone());
        let Some(kept) = self.retained.next(&filter, after.as_ref(), now).cloned() else {
            session.cursors.pop_front();
            return true;
        };
        if let Some(cursor) = session.cursors.front_mut() {
            cursor.after = Some(kept.message.topic.clone());
        }
        let session = &self.sessions[key];
        let allowed = session
            .grants
            .may_receive(session.below_mount(&kept.message.topic));
        if !allowed || !self.source_may_still(&kept) {
            return true;
        }
        let qos = if self.settings.upgrade {
            options.qos
        } else {
            options.qos.min(kept.message.qos)
        };
        let ids = options.id;
        let manner = Manner {
            qos,
            retain: true,
            ids: ids.as_slice(),
            share: None,
        };
        let seq = self.sessions[key].seq();
        let waiting = Waiting::new(kept.message, manner, seq, None);
        if let (Some(journal), true) = (
            &mut self.journal,
            self.sessions[key].stored && qos != Qos::AtMostOnce,
        ) {
            journal.queue(&self.sessions[key].client, &waiting);
        }
        self.transmit(key, waiting, now)
    }

    /// Sends the next message that may be sent; false when there is no room, or none.
    fn pump_queue(&mut self, key: Key, now: Instant) -> bool {
        let session = &mut self.sessions[key];
        let Some(connection) = session.connection() else {
            return false;
        };
        if !connection.outlet.lock().has_room() {
            return false;
        }
        let blocked = session.flights.len() >= connection.window;
        let next = match session.queue.front().map(|waiting| waiting.qos) {
            None => return false,
            Some(Qos::AtMostOnce) => session.queue.pop(),
            Some(_) if blocked => session.queue.pop_zero(),
            Some(_) => session.queue.pop(),
        };
        let Some(waiting) = next else {
            return false;
        };
        // Its rights may have changed while it waited.
        let session = &self.sessions[key];
        let refused = !session
            .grants
            .may_receive(session.below_mount(&waiting.message.topic));
        // MQTT-4.3.3-7: what was on its way once does not grow too old.
        let begun = waiting.id.is_some_and(|id| session.again.contains(&id));
        let old = waiting.message.expires.is_some_and(|expires| expires <= now);
        if refused || old && !begun {
            self.sessions[key].frees_id(waiting.id);
            self.record_done(key, waiting.seq);
            return true;
        }
        self.transmit(key, waiting, now)
    }

    /// Sends a message for which there is room; false where it must wait for a packet id.
    fn transmit(&mut self, key: Key, mut waiting: Waiting, now: Instant) -> bool {
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

    /// A client is back: what was on its way is sent again, as MQTT-4.4.0-1 says, then what has waited.
    pub(super) fn resume(&mut self, key: Key, now: Instant) {
        let Hub {
            sessions,
            scratch,
            stats,
            ..
        } = self;
        let session = &mut sessions[key];
        let window = session.connection().map_or(0, |connection| connection.window);
        // It may take fewer now than before.
        while session.flights.len() > window {
            match session.flights.pop_back() {
                Some(flight) if flight.released => {
                    session.flights.push_back(flight);
                    break;
                }
                Some(Flight {
                    waiting: Some(waiting),
                    ..
                }) => {
                    session.again.extend(waiting.id);
                    session.queue.push_front(waiting);
                }
                _ => {}
            }
        }
        let skip = session.mount.as_ref().map_or(0, |mount| mount.len());
        let flights = std::mem::take(&mut session.flights);
        let mut kept = std::collections::VecDeque::with_capacity(flights.len());
        let mut gone = Vec::new();
        if let Some(connection) = session.connection_mut() {
            let outlet = connection.outlet.clone();
            let mut state = outlet.lock();
            for flight in flights {
                if flight.released {
                    outlet
                        .encoder
                        .ack(Ack::Pubrel, flight.id, reason::SUCCESS, &mut state.out);
                    kept.push_back(flight);
                    continue;
                }
                let Some(waiting) = &flight.waiting else {
                    continue;
                };
                scratch.begin();
                let mut line = Line {
                    outlet: &outlet,
                    state: &mut state,
                    scratch,
                    stats,
                };
                let manner = waiting.manner();
                if line.send(
                    connection,
                    &waiting.message,
                    manner,
                    Some(flight.id),
                    true,
                    skip,
                    now,
                ) {
                    kept.push_back(flight);
                } else {
                    gone.push(flight.id);
                }
            }
        }
        let session = &mut self.sessions[key];
        session.flights = kept;
        for id in gone {
            session.frees_id(Some(id));
        }
        self.pump(key, now);
    }

    /// Hands messages of shared subscriptions that a client has not acknowledged to others of the group: those of
    /// QoS 2 only if they were not on their way (MQTT 5 section 4.8.2). What nobody can take stays where it is.
    pub(super) fn pass_on(&mut self, key: Key, now: Instant) {
        let session = &mut self.sessions[key];
        let shared = |waiting: &Waiting| waiting.share.is_some();
        let flying = |flight: &Flight| flight.waiting.as_ref().is_some_and(shared);
        if !session.flights.iter().any(flying) && !session.queue.iter().any(shared) {
            return;
        }
        let mut flights = std::mem::take(&mut session.flights);
        let mut queue = std::mem::take(&mut session.queue);
        let mut orphans = Vec::new();
        flights.retain(|flight| {
            let waiting = flight.waiting.as_ref();
            let free = waiting.filter(|_| flight.qos == Qos::AtLeastOnce);
            let heir = free.and_then(|waiting| Some((waiting.clone(), self.heir(key, waiting)?)));
            let stays = heir.is_none();
            orphans.extend(heir);
            stays
        });
        queue.remove(|waiting| {
            let heir = self.heir(key, waiting);
            orphans.extend(heir.map(|heir| (waiting.clone(), heir)));
            heir.is_some()
        });
        let session = &mut self.sessions[key];
        (session.flights, session.queue) = (flights, queue);
        for (orphan, heir) in orphans {
            self.adopt(key, orphan, heir, now);
        }
    }

    /// The member of its group, other than this one, that is to have a message.
    fn heir(&mut self, key: Key, orphan: &Waiting) -> Option<Sub> {
        let share = orphan.share.as_ref()?;
        let mut heir = None;
        let sessions = &self.sessions;
        self.tree.matches(&orphan.message.topic, |found| {
            if let Found::Group(group) = found
                && group.name == share.group
                && heir.is_none()
            {
                let count = group.members.len();
                let here = |sub: &Sub| {
                    sub.key != key && sessions.get(sub.key).is_some_and(|session| !session.is_away())
                };
                let mut turn = (0..count).map(|step| (group.next + step) % count);
                if let Some(at) = turn.find(|at| here(&group.members[*at])) {
                    group.next = (at + 1) % count;
                    heir = Some(group.members[at]);
                }
            }
        });
        heir
    }

    /// Another member of the group takes a message over.
    fn adopt(&mut self, key: Key, orphan: Waiting, heir: Sub, now: Instant) {
        self.sessions[key].frees_id(orphan.id);
        self.record_done(key, orphan.seq);
        let mut publication = Publication::new((*orphan.message).clone());
        let hit = Hit {
            key: heir.key,
            qos: heir.options.qos,
            as_published: heir.options.retain_as_published,
            id: heir.options.id,
            apart: true,
            share: orphan.share,
        };
        self.scratch.begin();
        self.deliver(&mut publication, &[hit], now);
    }
}

impl Waiting {
    fn new(message: Arc<Message>, manner: Manner<'_>, seq: u64, id: Option<NonZeroU16>) -> Waiting {
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

    fn manner(&self) -> Manner<'_> {
        Manner {
            qos: self.qos,
            retain: self.retain,
            ids: &self.ids,
            share: self.share.as_ref(),
        }
    }
}

/// Where a message is written.
struct Line<'a> {
    outlet: &'a Outlet,
    state: &'a mut outlet::State,
    scratch: &'a mut Scratch,
    stats: &'a mut Stats,
}

impl Line<'_> {
    /// Writes a PUBLISH; false if it is longer than the client takes, and was not written.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one packet")]
    fn send(
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

fn journal_done(journal: &mut Option<Journal>, session: &Session, seq: u64) {
    if let (Some(journal), true) = (journal, session.stored) {
        journal.done(&session.client, seq);
    }
}
