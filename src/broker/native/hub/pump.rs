//! What waits for a client: sent again when it is back, and sent as far as there is room.

use super::super::shown::Shown;
use super::super::wire::{Ack, reason};
use super::deliver::{PATIENCE, PRESSING};
use super::outlet::{Outlet, State};
use super::retained::Search;
use super::send::{Letter, Manner};
use super::session::{Flight, Waiting};
use super::{Hub, Key, Timer};
use crate::broker::Qos;
use std::collections::VecDeque;
use std::time::Instant;

/// How many retained messages are looked at for one session before others have their turn: about a millisecond's worth.
const LOOKS: usize = 10_000;

impl Hub {
    /// Fills a connection's outlet with what waits for it.
    pub(crate) fn refill(&mut self, seat: super::Seat, now: Instant) {
        if self.sits(seat) {
            self.pump(seat.key, now);
        }
    }

    /// A client has acknowledged something. Acknowledgements come in flocks: what waits is sent when all of one have come.
    pub(super) fn has_room(&mut self, key: Key, now: Instant) {
        if self.roomy.is_some_and(|(other, _)| other != key) {
            self.fill();
        }
        self.roomy = Some((key, now));
    }

    /// Sends what waits for those who have room now.
    pub(super) fn fill(&mut self) {
        if let Some((key, now)) = self.roomy.take()
            && self.sessions.contains(key)
        {
            self.pump(key, now);
        }
    }

    /// Sends what waits as far as there is room: first what was on its way before, then retained messages that a subscription
    /// asked for. Were these to come between, each change of how many the client takes would leave one more in the queue.
    pub(super) fn pump(&mut self, key: Key, now: Instant) {
        let mut session = &mut self.sessions[key];
        let mut waits = !session.queue.is_empty() || !session.cursors.is_empty();
        if let Some(connection) = session.connection() {
            let outlet = connection.outlet.clone();
            let mut state = outlet.lock();
            let mut left = LOOKS;
            while waits
                && !self.sessions[key].again.is_empty()
                && self.pump_queue(key, &outlet, &mut state, now)
            {}
            while waits && left > 0 && self.pump_cursor(key, &outlet, &mut state, now, &mut left) {}
            while waits && self.pump_queue(key, &outlet, &mut state, now) {}
            session = &mut self.sessions[key];
            waits = !session.queue.is_empty() || !session.cursors.is_empty();
            // What waits for an acknowledgement is sent when that comes.
            state.again = left == 0 && state.has_room();
            state.more = state.again || waits && !state.has_room();
            if !state.is_empty() {
                state.wake();
            }
        }
        if !waits && let Some(count) = session.drops.good() {
            let client = Shown(&session.client);
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

    /// Sends the next retained message of a subscription; false when there is no room, or none. It takes off `left` how
    /// many it has looked at.
    fn pump_cursor(
        &mut self,
        key: Key,
        outlet: &Outlet,
        state: &mut State,
        now: Instant,
        left: &mut usize,
    ) -> bool {
        let session = &self.sessions[key];
        let (Some(cursor), Some(connection)) = (session.cursors.front(), session.connection()) else {
            return false;
        };
        if !state.has_room() {
            return false;
        }
        let blocked = session.flights.len() >= connection.window || !session.again.is_empty();
        let options = cursor.options;
        let wild = session.wild_below(&cursor.filter).is_some();
        let found = self
            .retained
            .next(&cursor.filter, cursor.after.as_ref(), now, left);
        let (kept, after) = match found {
            Search::Found(kept) => (Some(kept.clone()), kept.message.topic.clone()),
            Search::Behind(topic) => (None, topic.clone()),
            Search::Nothing => {
                let cursors = &mut self.sessions[key].cursors;
                cursors.pop_front();
                if cursors.is_empty() {
                    // Most have none, ever again.
                    *cursors = VecDeque::new();
                }
                return true;
            }
        };
        let qos = match &kept {
            Some(kept) if !self.settings.upgrade => options.qos.min(kept.message.qos),
            _ => options.qos,
        };
        if blocked && kept.is_some() && qos != Qos::AtMostOnce {
            return false;
        }
        if let Some(cursor) = self.sessions[key].cursors.front_mut() {
            cursor.after = Some(after);
        }
        let Some(kept) = kept else {
            return true;
        };
        let session = &self.sessions[key];
        let topic = session.below_mount(&kept.message.topic);
        // MQTT-4.7.2-1, for what begins behind the mount point as well.
        let hidden = wild && topic.starts_with('$');
        if hidden || !session.grants.may_receive(topic) || !self.source_may_still(&kept) {
            return true;
        }
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
        self.transmit(key, waiting, outlet, state, now)
    }

    /// Sends the next message that may be sent; false when there is no room, or none.
    fn pump_queue(&mut self, key: Key, outlet: &Outlet, state: &mut State, now: Instant) -> bool {
        let session = &mut self.sessions[key];
        let Some(connection) = session.connection().filter(|_| state.has_room()) else {
            return false;
        };
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
        self.transmit(key, waiting, outlet, state, now)
    }

    /// A client is back: what was on its way is sent again, as MQTT-4.4.0-1 says, then what has waited.
    pub(super) fn resume(&mut self, key: Key, now: Instant) {
        let session = &mut self.sessions[key];
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
        let flights = std::mem::take(&mut session.flights);
        let Some(connection) = session.connection() else {
            session.flights = flights;
            return;
        };
        let outlet = connection.outlet.clone();
        for flight in flights {
            let mut state = outlet.lock();
            if flight.released {
                let out = &mut state.out;
                outlet.encoder.ack(Ack::Pubrel, flight.id, reason::SUCCESS, out);
                self.sessions[key].flights.push_back(flight);
            } else if let Some(waiting) = &flight.waiting {
                let letter = Letter {
                    id: Some(flight.id),
                    ..waiting.letter(true)
                };
                self.scratch.begin();
                let sent = self.write(key, letter, &outlet, &mut state, now);
                self.under_way(key, flight, sent);
            }
        }
        self.pump(key, now);
    }
}
