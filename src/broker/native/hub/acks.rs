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
        let session = &mut self.sessions[key];
        if session
            .flights
            .iter()
            .any(|flight| flight.id == id && flight.qos != Qos::AtLeastOnce)
        {
            return Err(Fault::mute("a PUBACK for a message with QoS 2"));
        }
        if let Some(flight) = session.landed(id, |_| true) {
            self.record_done(key, flight.seq);
            self.pump(key, now);
        }
        Ok(())
    }

    /// A QoS 2 message has come, or was refused.
    pub(super) fn pubrec(&mut self, key: Key, id: NonZeroU16, code: u8, now: Instant) -> Result<(), Fault> {
        let session = &mut self.sessions[key];
        let Some(flight) = session.flights.iter_mut().find(|flight| flight.id == id) else {
            let code = if code < 0x80 {
                reason::PACKET_ID_NOT_FOUND
            } else {
                return Ok(());
            };
            self.acknowledge(key, Ack::Pubrel, id, code);
            return Ok(());
        };
        if flight.qos != Qos::ExactlyOnce {
            return Err(Fault::mute("a PUBREC for a message with QoS 1"));
        }
        if code >= 0x80 {
            if let Some(flight) = session.landed(id, |_| true) {
                self.record_done(key, flight.seq);
                self.pump(key, now);
            }
            return Ok(());
        }
        flight.released = true;
        flight.waiting = None;
        let seq = flight.seq;
        self.record_sent(key, seq, id, true);
        self.acknowledge(key, Ack::Pubrel, id, reason::SUCCESS);
        Ok(())
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
        let session = &mut self.sessions[key];
        let early = |flight: &&super::session::Flight| flight.id == id && !flight.released;
        if session.flights.iter().find(early).is_some() {
            return Err(Fault::mute("a PUBCOMP before its PUBREC"));
        }
        if let Some(flight) = session.landed(id, |_| true) {
            self.record_done(key, flight.seq);
            self.pump(key, now);
        }
        Ok(())
    }
}
