//! Acknowledgements, both ways (section 4.3).

use super::super::wire::{Ack, Fault, reason};
use super::{Flow, Hub, Key};
use crate::broker::Qos;
use std::num::NonZeroU16;
use std::time::Instant;

impl Hub {
    pub(super) fn acknowledge(&mut self, key: Key, kind: Ack, id: NonZeroU16, code: u8) {
        self.say(key, |outlet, out| outlet.encoder.ack(kind, id, code, out));
    }

    /// A QoS 1 message has arrived.
    pub(super) fn puback(&mut self, key: Key, id: NonZeroU16, now: Instant) -> Result<(), Fault> {
        let session = &self.sessions[key];
        let Some(at) = session.flight(id) else {
            return Ok(());
        };
        if session.flights[at].qos != Qos::AtLeastOnce {
            return Err(Fault::mute("a PUBACK for a message with QoS 2"));
        }
        self.landed(key, at, now);
        Ok(())
    }

    /// A QoS 2 message has come, or was refused.
    pub(super) fn pubrec(&mut self, key: Key, id: NonZeroU16, code: u8, now: Instant) -> Result<(), Fault> {
        let session = &mut self.sessions[key];
        let Some(at) = session.flight(id) else {
            if code < 0x80 {
                self.acknowledge(key, Ack::Pubrel, id, reason::PACKET_ID_NOT_FOUND);
            }
            return Ok(());
        };
        let flight = &mut session.flights[at];
        if flight.qos != Qos::ExactlyOnce {
            return Err(Fault::mute("a PUBREC for a message with QoS 1"));
        }
        if code >= 0x80 {
            self.landed(key, at, now);
            return Ok(());
        }
        flight.released = true;
        flight.waiting = None;
        let seq = flight.seq;
        self.record_sent(key, seq, id, true);
        self.acknowledge(key, Ack::Pubrel, id, reason::SUCCESS);
        Ok(())
    }

    /// A message is on its way no more: there is room for the next.
    fn landed(&mut self, key: Key, at: usize, now: Instant) {
        if let Some(flight) = self.sessions[key].landed(at) {
            self.record_done(key, flight.seq);
        }
        self.has_room(key, now);
    }

    /// A client knows that its QoS 2 message has come: it goes to its receivers.
    pub(super) fn pubrel(&mut self, key: Key, id: NonZeroU16, now: Instant) -> Flow {
        let mut flow = Flow::On;
        if let Some(message) = self.sessions[key].received.remove(&id.get()) {
            self.record_released(key, id);
            flow = self.publish((*message).clone(), Some(key), now).flow();
        }
        // Said again after a lost connection, it was known: the client is told that it is done.
        self.acknowledge(key, Ack::Pubcomp, id, reason::SUCCESS);
        flow
    }

    /// A QoS 2 message is done with.
    pub(super) fn pubcomp(&mut self, key: Key, id: NonZeroU16, now: Instant) -> Result<(), Fault> {
        let session = &self.sessions[key];
        let Some(at) = session.flight(id) else {
            return Ok(());
        };
        if !session.flights[at].released {
            return Err(Fault::mute("a PUBCOMP before its PUBREC"));
        }
        self.landed(key, at, now);
        Ok(())
    }
}
