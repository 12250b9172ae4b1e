//! What passes on a port: frames become messages, commands become frames, and all of it is counted and told.

use super::asking::Master;
use super::counters::Counters;
use super::ledger::Step;
use super::outbox::{Outbox, Queued};
use super::outward::Outward;
use super::serve::Slave;
use super::{Port, now};
use crate::broker::{Message, PublishError, Publisher, Qos, Refused, Subscriber};
use crate::bus::Life;
use crate::control::{Direction, Event as Seen, Tap, Verdict};
use crate::field::record::{Entry, Quality, Record};
use crate::frame::Item;
use crate::profile::{Outcome, Reader};
use crate::serial::Mark;
use crate::topic::Topic;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// Messages about the port itself that may be held behind others while the broker is behind.
pub(super) const HELD_OWN: usize = 64;
/// Messages about commands that may be held so: more than the queues of a port usually have.
const HELD_LIVES: usize = 4096;
/// Counters are published so long after a change at the soonest: changes come in bursts.
const GATHER: Duration = Duration::from_millis(100);

/// The values of a good frame, where it has any to publish; or why it is not what the description says.
pub(super) fn meaning(
    reader: &mut Reader,
    branch: usize,
    frame: &[u8],
    counters: &mut Counters,
) -> Result<Option<Record>, String> {
    match reader.read(branch, frame, None) {
        Outcome::Values(record) => {
            let out = |entry: &Entry<'_>| entry.quality == Quality::OutOfRange;
            counters.out_of_range += record.iter().filter(out).count() as u64;
            let absent = |entry: &Entry<'_>| entry.quality == Quality::Absent;
            counters.absent += record.iter().filter(absent).count() as u64;
            Ok(Some(record))
        }
        Outcome::Error(record) => {
            counters.errors += 1;
            Ok(Some(record))
        }
        Outcome::Unknown => {
            counters.unknown += 1;
            Ok(None)
        }
        Outcome::Ack(_) | Outcome::NoData(_) | Outcome::Ignored(_) | Outcome::Gathered => Ok(None),
        Outcome::Refused(fault) => {
            counters.refused += 1;
            Err(fault.to_string())
        }
    }
}

/// Answers a master's request. Gives what it has written.
fn serve(
    slave: &mut Slave,
    frame: &[u8],
    outbox: &mut Outbox,
    counters: &mut Counters,
) -> Vec<Option<Record>> {
    if let Some((reply, at)) = slave.answer(frame, now()) {
        outbox.hush(at);
        if outbox.push(reply).is_err() {
            *counters.dropped.entry("queue-full").or_default() += 1;
        }
    }
    slave.written().into_iter().map(Some).collect()
}

impl Port {
    /// So many bytes were read into the decoder, and what the line told beside them.
    pub(super) fn read_bytes(&mut self, count: usize, marks: &[Mark]) {
        self.came(count, marks);
        let (now, mut from) = (now(), 0);
        for mark in marks {
            self.decoder.filled(mark.at.saturating_sub(from), now);
            from = mark.at;
            if mark.cut {
                self.decoder.cut();
            }
        }
        self.decoder.filled(count.saturating_sub(from), now);
        self.changed();
    }

    /// Counts what came from the line.
    pub(super) fn came(&mut self, count: usize, marks: &[Mark]) {
        self.counters.bytes_in += count as u64;
        self.counters.breaks += marks.iter().filter(|mark| mark.is_break).count() as u64;
        self.received += count as u64;
        self.stamp = SystemTime::now();
    }

    /// Takes the frames out of the decoder, until it has no more or the broker has no more room.
    pub(super) fn decode(&mut self) {
        if self.master.is_some() {
            return self.told();
        }
        let Port {
            name,
            decoder,
            guard,
            reader,
            slave,
            outbox,
            uplink,
            parts,
            held,
            counters,
            stamp,
            damaged,
            refused: misread,
            unpublished,
            ..
        } = self;
        let mut any = false;
        while held.is_empty() {
            let Some((branch, item)) = decoder.next_of(&*guard) else {
                break;
            };
            any = true;
            match item {
                Item::Frame(frame) => {
                    counters.frames += 1;
                    let read = match (&mut *slave, &mut *reader) {
                        (Some(slave), _) => Ok((None, serve(slave, frame, outbox, counters))),
                        (None, Some(reader)) => {
                            meaning(reader, branch, frame, counters).map(|record| (Some(record), vec![]))
                        }
                        (None, None) => Ok((Some(None), vec![])),
                    };
                    let verdict = match read {
                        // One record or none, unless a master has written several.
                        Ok((one, several)) => {
                            let mut out = Outward::new(name, parts, held, counters, unpublished);
                            for record in one.iter().chain(&several) {
                                let record = record.as_ref();
                                uplink.messages(frame, record, *stamp, now(), |entry, message| {
                                    out.publish(message, entry);
                                });
                            }
                            if let Some(count) = misread.good() {
                                info!(event = "frames-understood", port = %name, count, "frames are as the device's description says again");
                            }
                            out.verdict()
                        }
                        Err(why) => {
                            if let Some(count) = misread.fault(now()) {
                                warn!(event = "frames-misread", port = %name, count, "a frame is not as the device's description says: {why}");
                            }
                            Verdict::Refused(why)
                        }
                    };
                    if parts.tap.watched() {
                        see(&parts.tap, name, *stamp, Direction::Up, frame, verdict);
                    }
                    if let Some(count) = damaged.good() {
                        info!(event = "frames-good", port = %name, count, "good frames again");
                    }
                }
                Item::Damaged { why, bytes } => {
                    counters.damage(why.name());
                    debug!(port = %name, reason = why.name(), bytes = %bytes.escape_ascii(), "damaged frame");
                    if let Some(count) = damaged.fault(now()) {
                        let (reason, len) = (why.name(), bytes.len());
                        warn!(event = "frames-damaged", port = %name, count, reason, "damaged frame, dropped: {why} ({len} bytes)");
                    }
                    if parts.tap.watched() {
                        see(
                            &parts.tap,
                            name,
                            *stamp,
                            Direction::Up,
                            bytes,
                            Verdict::Damaged(why.name()),
                        );
                    }
                }
            }
        }
        if any {
            self.changed();
        }
    }

    /// A message that was held has been taken, or never will be.
    pub(super) fn handed(&mut self, result: Result<(), PublishError>) {
        if let Err(error) = result {
            self.counters.unpublished += 1;
            self.changed();
            warn!(event = "unpublished", port = %self.name, "a message that was held could not be published: {error}");
        }
    }

    /// A message came on a command topic; or the broker is no more.
    pub(super) fn message(&mut self, message: Option<Message>) {
        let Some(message) = message else {
            self.parts.subscriber = None;
            return;
        };
        self.command(&message);
        let lost = self.parts.subscriber.as_ref().map_or(0, Subscriber::dropped);
        if lost > self.overrun {
            *self.counters.dropped.entry("overrun").or_default() += lost - self.overrun;
            self.overrun = lost;
            if self.say(usize::MAX, "overrun").is_some() {
                warn!(event = "command-dropped", port = %self.name, count = lost, reason = "overrun",
                    "commands dropped: they came faster than they could be taken");
            }
        }
    }

    fn command(&mut self, message: &Message) {
        self.counters.commands += 1;
        self.changed();
        if self.ledger.is_twice(message, SystemTime::now()) {
            *self.counters.dropped.entry("twice").or_default() += 1;
            debug!(port = %self.name, topic = %message.topic, "a command came twice, and is done once");
            return;
        }
        if self.master.is_some() {
            return self.bus_command(message);
        }
        if let Some(taken) = self.slave.as_mut().and_then(|slave| slave.message(message)) {
            if let Err(error) = taken {
                self.dropped(0, "payload", &message.topic, &message.payload, &error.to_string());
            }
            return;
        }
        let framed = self.downlink.frame(message, now());
        let ticket = match &framed {
            None => 0,
            Some(_) => self.take_in(message, None, self.downlink.result(message)),
        };
        match framed {
            None => {}
            Some(Ok(mut queued)) => {
                queued.ticket = ticket;
                if let Err(out) = self.outbox.push(queued) {
                    self.drop_command("queue-full", &out, "the queue is full");
                }
            }
            Some(Err((entry, refused))) => {
                let name = refused.name();
                self.ended(ticket, "refused", Some(refused.to_string()));
                self.dropped(
                    entry,
                    name,
                    &message.topic,
                    &message.payload,
                    &refused.to_string(),
                );
            }
        }
    }

    /// The line took so many bytes of the frame in hand.
    pub(super) fn wrote(&mut self, count: usize) {
        self.counters.bytes_out += count as u64;
        self.changed();
        if let Some(queued) = self.outbox.wrote(count, now()) {
            self.counters.sent += 1;
            self.ended(queued.ticket, "sent", None);
            if self.parts.tap.watched() {
                let (tap, name) = (&self.parts.tap, &self.name);
                see(
                    tap,
                    name,
                    SystemTime::now(),
                    Direction::Down,
                    &queued.frame,
                    Verdict::Sent,
                );
            }
        }
    }

    /// A frame will not reach the line.
    pub(super) fn drop_command(&mut self, reason: &'static str, queued: &Queued, why: &str) {
        let state = if reason == "expired" { "expired" } else { "dropped" };
        self.ended(queued.ticket, state, Some(why.to_owned()));
        self.dropped(queued.entry, reason, &queued.topic, &queued.frame, why);
    }

    /// A command has come: from here on its life is told.
    pub(super) fn take_in(
        &mut self,
        message: &Message,
        device: Option<Arc<str>>,
        result: Option<Topic>,
    ) -> u64 {
        // A response topic is chosen by whoever may publish commands: it must not make others' commands or the
        // gateway's own words of what is told there.
        let root = self
            .parts
            .base
            .as_str()
            .split("/port/")
            .next()
            .unwrap_or_default();
        let own = |topic: &Topic| {
            let of_gateway = topic
                .as_str()
                .strip_prefix(root)
                .is_some_and(|rest| rest.starts_with('/'));
            let asked = self
                .master
                .as_ref()
                .is_some_and(|master| master.is_command(topic));
            of_gateway || topic.as_str().starts_with('$') || asked || self.downlink.is_command(topic)
        };
        let now = SystemTime::now();
        let ticket = self
            .ledger
            .open(message, device, result, |topic| !own(topic), now);
        self.step(
            ticket,
            Step {
                state: "queued",
                ..Step::default()
            },
        );
        ticket
    }

    /// A command has ended.
    pub(super) fn ended(&mut self, ticket: u64, state: &'static str, reason: Option<String>) {
        self.step(
            ticket,
            Step {
                state,
                end: true,
                reason,
                values: None,
            },
        );
    }

    /// A command's life goes on.
    pub(super) fn step(&mut self, ticket: u64, step: Step<'static>) {
        if step.end {
            *self.counters.ended.entry(step.state).or_default() += 1;
        }
        for message in self.ledger.step(ticket, step, SystemTime::now()) {
            if self.held.len() >= HELD_LIVES {
                self.counters.unpublished += 1;
                continue;
            }
            if let Offered::Refused(why) = offer(&mut self.parts.publisher, &mut self.held, message) {
                self.counters.unpublished += 1;
                debug!(port = %self.name, "what became of a command can't be published: {why}");
            }
        }
    }

    pub(super) fn dropped(
        &mut self,
        entry: usize,
        reason: &'static str,
        topic: &Topic,
        bytes: &[u8],
        why: &str,
    ) {
        *self.counters.dropped.entry(reason).or_default() += 1;
        self.changed();
        if let Some(count) = self.say(entry, reason) {
            warn!(event = "command-dropped", port = %self.name, topic = %topic, count, reason, "command dropped: {why}");
        }
        if self.parts.tap.watched() {
            let (tap, verdict) = (&self.parts.tap, Verdict::Refused(why.to_owned()));
            see(
                tap,
                &self.name,
                SystemTime::now(),
                Direction::Down,
                bytes,
                verdict,
            );
        }
    }

    /// Whether to say now that a command of an entry was dropped for a reason, and how many since the last time.
    pub(super) fn say(&mut self, entry: usize, reason: &'static str) -> Option<u64> {
        let run = self.dropped.entry((entry, reason)).or_default();
        let count = run.fault(now());
        // Each command that is lost stands for itself: there is no end to wait for.
        run.good();
        count
    }

    /// The gateway stops: nothing more is taken, and what waits will not be sent. That is said in one line.
    pub(super) async fn refuse_commands(&mut self) {
        if let Some(mut subscriber) = self.parts.subscriber.take() {
            // What has arrived already is there at once.
            while let Ok(Ok(message)) = timeout(Duration::ZERO, subscriber.next()).await {
                self.command(&message);
            }
        }
        let mut count = 0u64;
        while let Some(order) = self.master.as_mut().and_then(|master| master.bus.refuse()) {
            count += 1;
            self.life(order.ticket, Life::Dropped("stopped"));
        }
        while let Some(queued) = self.outbox.pop() {
            count += 1;
            *self.counters.dropped.entry("stopped").or_default() += 1;
            self.ended(queued.ticket, "dropped", Some("the gateway stops".into()));
            if self.parts.tap.watched() {
                let verdict = Verdict::Refused("the gateway stops".into());
                see(
                    &self.parts.tap,
                    &self.name,
                    SystemTime::now(),
                    Direction::Down,
                    &queued.frame,
                    verdict,
                );
            }
        }
        if count > 0 {
            warn!(event = "command-dropped", port = %self.name, count, reason = "stopped", "commands dropped: the gateway stops");
        }
    }

    /// What time brings: silence, commands too old, counters to be published.
    pub(super) fn time(&mut self) {
        let now = now();
        self.decoder.expire(now);
        if let Some(master) = &mut self.master {
            master.bus.time(now);
            self.told();
        }
        if self.held.is_empty() {
            self.publish_due(now, false);
        }
        while let Some(queued) = self.outbox.expired(now) {
            self.drop_command("expired", &queued, "it waited longer than `expire` allows");
        }
        if self.counters_due.is_some_and(|due| due <= now) {
            self.publish_counters();
        }
    }

    /// Publishes what has waited for its time; with `all`, also what would have to wait longer.
    pub(super) fn publish_due(&mut self, now: Instant, all: bool) {
        if !all && self.publish_deadline().is_none_or(|due| due > now) {
            return;
        }
        let mut any = false;
        let (master, uplink, mut out) = self.outward();
        let of_devices = master.into_iter().flat_map(Master::uplinks);
        for (base, uplink) in std::iter::once((0, uplink)).chain(of_devices) {
            let mut send = |entry: usize, message| {
                any = true;
                out.publish(message, base + entry);
            };
            if all {
                uplink.flush(now, &mut send);
            } else {
                uplink.time(now, &mut send);
            }
        }
        if any {
            self.changed();
        }
    }

    /// Some counter has changed: it will be published, not too soon after the last time.
    pub(super) fn changed(&mut self) {
        if self.counters_due.is_none() {
            let now = now();
            let due = self
                .counters_said
                .map_or(now, |said| said + self.parts.counters_every);
            self.counters_due = Some(due.max(now + GATHER));
        }
    }

    /// Publishes the counters.
    pub(super) fn publish_counters(&mut self) {
        self.counters_due = None;
        self.counters_said = Some(now());
        self.counters.broker_depth = self.parts.publisher.depth() + self.held.len();
        let asked = self.master.as_ref().map_or(0, |master| master.bus.waiting());
        self.counters.command_depth = self.outbox.len() + asked;
        self.measure();
        let topic = self.parts.counters.clone();
        self.publish_own(topic, self.counters.json().into());
    }

    /// Publishes a state that is not the last one.
    pub(super) fn enter(&mut self, state: &'static str) {
        if self.state == state {
            return;
        }
        self.state = state;
        let topic = self.parts.state.clone();
        self.publish_own(topic, Bytes::from_static(state.as_bytes()));
        if self.parts.tap.watched() {
            let verdict = Verdict::State(state.into());
            see(
                &self.parts.tap,
                &self.name,
                SystemTime::now(),
                Direction::Up,
                &[],
                verdict,
            );
        }
    }

    /// Tells those who watch.
    pub(super) fn see(&self, direction: Direction, bytes: &[u8], verdict: Verdict) {
        if self.parts.tap.watched() {
            let time = match direction {
                Direction::Up => self.stamp,
                Direction::Down => SystemTime::now(),
            };
            see(&self.parts.tap, &self.name, time, direction, bytes, verdict);
        }
    }

    /// When a publish entry has something to say by time.
    pub(super) fn publish_deadline(&self) -> Option<Instant> {
        let of_devices = self.master.as_ref().and_then(|master| master.publish_deadline());
        [self.uplink.deadline(), of_devices].into_iter().flatten().min()
    }

    /// A retained message about the port itself, behind whatever is held.
    pub(super) fn publish_own(&mut self, topic: Topic, payload: Bytes) {
        if self.held.len() >= HELD_OWN {
            // The broker has not moved for long; the next state or counters will say the same and more.
            return;
        }
        let message = Message {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            retain: true,
            beside: None,
        };
        if let Offered::Refused(why) = offer(&mut self.parts.publisher, &mut self.held, message) {
            debug!(port = %self.name, "the port's state can't be published: {why}");
        }
    }
}

/// What became of a message.
pub(super) enum Offered {
    Taken,
    Held,
    Refused(String),
}

/// Gives the broker a message, or holds it behind those that it had no room for.
pub(super) fn offer(publisher: &mut Publisher, held: &mut VecDeque<Message>, message: Message) -> Offered {
    if held.is_empty() {
        match publisher.offer(message) {
            Ok(()) => return Offered::Taken,
            Err(Refused::Full(message)) => held.push_back(message),
            Err(refused) => return Offered::Refused(refused.to_string()),
        }
    } else {
        held.push_back(message);
    }
    Offered::Held
}

fn see(tap: &Tap, port: &Arc<str>, time: SystemTime, direction: Direction, bytes: &[u8], verdict: Verdict) {
    tap.send(Seen {
        time,
        port: port.clone(),
        direction,
        bytes: Bytes::copy_from_slice(bytes),
        verdict,
    });
}
