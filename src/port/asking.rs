//! A port whose devices speak only when asked: the bus at work, and what it tells.

use super::config::{self, Config};
use super::ledger::Step;
use super::quality::Seen;
use super::shared::Addressed;
use super::up::Uplink;
use super::{Error, Port, now};
use crate::broker::Message;
use crate::bus::{Bus, Device, Happened, Heard, Life, Order, Plan, Policy, Reply, Verify, What};
use crate::control::{Direction, Verdict};
use crate::field::record::{Entry, Quality, Record};
use crate::fold::Run;
use crate::profile::asked::Address;
use crate::publish::Origin;
use crate::serial::{self, Mark};
use crate::topic::{Filter, Topic};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tracing::{debug, info, warn};

/// The line's time is measured over so long at least.
const MEASURE: Duration = Duration::from_secs(10);
/// Lost commands of all entries are folded together.
const BUS: usize = usize::MAX;
/// So much is read at once.
const READ: usize = 4096;

/// The master of a port's line, with what is published of its devices.
pub(super) struct Master {
    pub(super) bus: Bus,
    pub(super) buffer: Box<[u8]>,
    pub(super) uplinks: Vec<Uplink>,
    /// Where a device's entries begin among all that are counted.
    pub(super) bases: Vec<usize>,
    entries: Vec<Addressed>,
    pub(super) seen: Vec<Seen>,
    /// Devices of which something new is to be said.
    pub(super) fresh: BTreeSet<usize>,
    pub(super) planned: f64,
    /// Since when the line's time is measured, and what share of it was used before.
    measured: Instant,
    used: Option<f64>,
    warn_above: f64,
    /// How late the adapter is, where the configuration says it.
    latency: Option<Duration>,
    busy: Run,
    /// Commands that are to be read back.
    verified: BTreeSet<u64>,
}

/// What a message is to the bus.
struct Made {
    device: Arc<str>,
    /// Where its life is told.
    result: Option<Topic>,
    order: Result<Order, Unfit>,
}

/// A command that can't be sent.
struct Unfit {
    entry: usize,
    name: &'static str,
    why: String,
}

impl Master {
    /// The master of this port's line, where its devices speak only when asked.
    pub(super) fn new(config: &Config, base: &Topic) -> Result<Option<Master>, Error> {
        if !config.is_bus() {
            return Ok(None);
        }
        let wrong = |what: String| Error::Reading(config.name.as_str().to_owned(), what);
        let devices = config.bus_devices().map_err(|(path, mistakes)| {
            let what = mistakes
                .first()
                .map(|mistake| format!("{}: {}", mistake.path, mistake.what));
            wrong(format!("{path}: {}", what.unwrap_or_default()))
        })?;
        let serial = config.serial();
        let char_time = serial.char_time();
        let plan = Plan::new(&devices, char_time);
        let port: Arc<str> = config.name.as_str().into();
        let (mut uplinks, mut bases, mut seen, mut base_entry) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for asked in config.asked() {
            let address: Arc<str> = asked
                .address
                .as_ref()
                .map(Address::to_string)
                .unwrap_or_default()
                .into();
            let origin = Origin {
                port: port.clone(),
                device: Some((asked.name.clone(), address)),
            };
            bases.push(base_entry);
            base_entry += asked.publish.len();
            uplinks.push(Uplink::of(origin, asked.publish.into_iter()));
            let topic = Topic::parse(&format!("{base}/device/{}/state", asked.name));
            let topic = topic.map_err(|error| wrong(error.to_string()))?;
            seen.push(Seen::new(topic, asked.address));
        }
        let entries = config.addressed();
        let policies = entries.iter().map(|addressed| Policy {
            queue: addressed.entry.queue.0,
            drop_oldest: addressed.entry.when_full == config::WhenFull::DropOldest,
            replace: addressed.entry.replace,
            spacing: addressed.entry.spacing.into(),
            wake: addressed.entry.wake.0,
        });
        let mut bus = Bus::new(devices, policies.collect(), serial.baud.get(), char_time, now());
        let mut planned = plan.utilisation();
        if config.bus.listen {
            (bus, planned) = (bus.only_listening(now()), 0.0);
        }
        Ok(Some(Master {
            bus,
            buffer: vec![0; READ].into(),
            uplinks,
            bases,
            entries,
            seen,
            fresh: BTreeSet::new(),
            planned,
            measured: now(),
            used: None,
            warn_above: config.bus.warn_above.0,
            latency: config.bus.latency.map(Duration::from),
            busy: Run::default(),
            verified: BTreeSet::new(),
        }))
    }

    /// The port was opened.
    pub(super) fn opened(&mut self, now: Instant, path: &Path) {
        let latency = self.latency.unwrap_or_else(|| serial::latency(path));
        self.bus.delayed_by(latency);
        self.bus.opened(now);
    }

    /// How many entries its devices publish by.
    pub(super) fn publish_entries(&self) -> usize {
        self.bases.last().copied().unwrap_or(0) + self.uplinks.last().map_or(0, Uplink::count)
    }

    /// When the publish entries have something to say by time.
    pub(super) fn publish_deadline(&self) -> Option<Instant> {
        self.uplinks.iter().filter_map(Uplink::deadline).min()
    }

    /// The uplinks, with the numbers at which their entries begin.
    pub(super) fn uplinks(&mut self) -> impl Iterator<Item = (usize, &mut Uplink)> {
        self.bases.iter().copied().zip(&mut self.uplinks)
    }

    /// Whether a message on this topic is a command.
    pub(super) fn is_command(&self, topic: &Topic) -> bool {
        self.entries
            .iter()
            .any(|addressed| addressed.topic.matches(topic))
    }

    /// The order that a message is, if it is one for a device.
    fn order(&self, message: &Message, now: Instant) -> Option<Made> {
        let matching = |addressed: &Addressed| addressed.topic.matches(&message.topic);
        let number = self.entries.iter().position(matching)?;
        let addressed = &self.entries[number];
        let device = self.bus.device(addressed.device)?;
        let result = addressed.entry.result.as_ref();
        Some(Made {
            device: device.name.clone(),
            result: result.and_then(|result| result.of(message.topic.as_str())),
            order: order(number, addressed, device, message, now),
        })
    }

    /// The share of the line's time that was used, measured anew when that is long enough ago to mean something.
    fn busy(&mut self, now: Instant) -> bool {
        let over = now.saturating_duration_since(self.measured);
        if over < MEASURE {
            return false;
        }
        self.measured = now;
        self.used = Some(percent(self.bus.busy(over).min(1.0)));
        true
    }
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

fn order(
    number: usize,
    addressed: &Addressed,
    device: &Device,
    message: &Message,
    now: Instant,
) -> Result<Order, Unfit> {
    let entry = &addressed.entry;
    let unfit = |name: &'static str, why: String| Unfit {
        entry: number,
        name,
        why,
    };
    if message.retain && !entry.accept_retained {
        return Err(unfit("retained", super::down::Refused::Retained.to_string()));
    }
    let mut wanted = Vec::new();
    let what = match (&entry.poll, &entry.command) {
        (Some(name), _) => {
            let poll = device.poll(name);
            What::Read(poll.ok_or_else(|| unfit("payload", format!("the device has no poll `{name}`")))?)
        }
        (None, Some(name)) => {
            let command = device.profile.command(name);
            let command =
                command.ok_or_else(|| unfit("payload", format!("the device has no command `{name}`")))?;
            let address = device.address.as_ref();
            let frame = command.frame_to(&message.payload, address);
            wanted.extend(command.given(&message.payload, address));
            What::Frame {
                bytes: frame.map_err(|error| unfit("payload", error.to_string()))?.into(),
                reply: Reply::of(command.reply(), command.is_silent() || device.rules.broadcast),
                timeout: None,
            }
        }
        (None, None) => {
            let data = entry
                .payload
                .bytes(&message.topic, &addressed.topic, &message.payload);
            let data = data.map_err(|error| unfit("payload", error.to_string()))?;
            let mut frame = Vec::new();
            if entry.bare {
                frame = data;
            } else {
                let framing = device.profile.framing();
                let made = framing.encode(&data, device.profile.guard(), &mut frame);
                made.map_err(|error| unfit("frame", error.to_string()))?;
            }
            What::Frame {
                bytes: frame.into(),
                reply: Reply::of(&[], device.rules.broadcast),
                timeout: None,
            }
        }
    };
    let own = entry
        .command
        .as_ref()
        .and_then(|name| device.profile.command(name)?.verify());
    let verify = entry.verify.as_deref().or(own).and_then(|name| device.poll(name));
    Ok(Order {
        ticket: 0,
        entry: number,
        device: addressed.device,
        topic: message.topic.clone(),
        what,
        retries: entry.retries,
        expires: super::down::expiry(message, now + Duration::from(entry.expire)),
        verify: verify.map(|poll| Verify { poll, wanted }),
    })
}

/// The good values of a record, as JSON.
fn values(record: &Record) -> Map<String, Json> {
    let mut text = String::new();
    record.write_json(&mut text);
    match serde_json::from_str(&text) {
        Ok(Json::Object(values)) => values,
        _ => Map::new(),
    }
}

impl Port {
    /// Takes what has happened on the bus.
    pub(super) fn told(&mut self) {
        let mut any = false;
        while let Some(happened) = self.master.as_mut().and_then(|master| master.bus.happened()) {
            any = true;
            self.take(happened);
        }
        if any {
            self.changed();
            self.say_devices();
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Sent { bytes, .. } => {
                self.counters.sent += 1;
                self.see(Direction::Down, &bytes, Verdict::Sent);
            }
            Happened::Heard { bytes, as_, .. } => self.heard(&bytes, as_),
            Happened::Values {
                device,
                poll,
                bytes,
                record,
            } => self.values(device, poll, &bytes, &record),
            Happened::Read { device, poll } => {
                self.known(device, poll, |known| known.unread.take().is_some())
            }
            Happened::Unread { device, poll, why } => {
                debug!(port = %self.name, poll = %poll, "can't be read: {why}");
                let mut news = false;
                self.known(device, poll.clone(), |known| {
                    let before = known.unread.take();
                    let same = before.as_ref().is_some_and(|(_, before)| *before == why);
                    let since = before.map_or_else(SystemTime::now, |(since, _)| since);
                    known.unread = Some((since, why));
                    news = !same;
                    news
                });
                if news {
                    self.say_unread(device, &poll);
                }
            }
            Happened::Device { device, change, why } => self.device(device, change, why),
            Happened::Command { ticket, life } => self.life(ticket, life),
        }
    }

    fn heard(&mut self, bytes: &[u8], as_: Heard) {
        let verdict = match as_ {
            Heard::Damaged(why) => {
                self.counters.damage(why);
                debug!(port = %self.name, reason = why, bytes = %bytes.escape_ascii(), "damaged frame");
                if let Some(count) = self.damaged.fault(now()) {
                    let len = bytes.len();
                    warn!(event = "frames-damaged", port = %self.name, count, reason = why, "damaged frame, dropped ({len} bytes)");
                }
                Verdict::Damaged(why)
            }
            as_ => {
                self.counters.frames += 1;
                if let Some(count) = self.damaged.good() {
                    info!(event = "frames-good", port = %self.name, count, "good frames again");
                }
                match as_ {
                    // Said with what is published of it.
                    Heard::Answer => {
                        if let Some(count) = self.refused.good() {
                            info!(event = "frames-understood", port = %self.name, count, "frames are as the device's description says again");
                        }
                        return;
                    }
                    Heard::Refusal => {
                        self.counters.errors += 1;
                        return;
                    }
                    Heard::Misread(why) => {
                        self.counters.refused += 1;
                        if let Some(count) = self.refused.fault(now()) {
                            warn!(event = "frames-misread", port = %self.name, count, "a frame is not as the device's description says: {why}");
                        }
                        Verdict::Refused(why)
                    }
                    Heard::Foreign => Verdict::Refused("it is of another device".into()),
                    Heard::Late => Verdict::Refused("it came too late".into()),
                    Heard::Unasked | Heard::Request | Heard::Damaged(_) => Verdict::Skipped,
                }
            }
        };
        self.see(Direction::Up, bytes, verdict);
    }

    fn values(&mut self, number: usize, poll: Option<Arc<str>>, bytes: &[u8], record: &Record) {
        let count = |quality: Quality| {
            record
                .iter()
                .filter(|entry: &Entry<'_>| entry.quality == quality)
                .count()
        };
        self.counters.out_of_range += count(Quality::OutOfRange) as u64;
        self.counters.absent += count(Quality::Absent) as u64;
        let stamp = self.stamp;
        if let Some(poll) = poll {
            let good = values(record);
            let says = self.master.as_ref().and_then(|master| master.uplinks.get(number));
            let says = says.is_some_and(Uplink::says_unread);
            self.known(number, poll, |known| {
                if says {
                    known.came(bytes, record);
                }
                let before = known.last.take().map(|(_, values)| values).unwrap_or_default();
                let mut all = before;
                all.extend(good);
                known.last = Some((stamp, all));
                false
            });
        }
        let (Some(master), _, mut out) = self.outward() else {
            return;
        };
        let base = master.bases.get(number).copied().unwrap_or(0);
        let Some(uplink) = master.uplinks.get_mut(number) else {
            return;
        };
        uplink.messages(bytes, Some(record), stamp, now(), |entry, message| {
            out.publish(message, base + entry);
        });
        let verdict = out.verdict();
        self.see(Direction::Up, bytes, verdict);
    }

    pub(super) fn life(&mut self, ticket: u64, life: Life) {
        let verified = self
            .master
            .as_mut()
            .is_some_and(|master| match life.is_end(false) {
                true if life.is_end(true) => master.verified.remove(&ticket),
                _ => master.verified.contains(&ticket),
            });
        let end = life.is_end(verified);
        let (state, mut reason, mut read) = (life.name(), None, None);
        match life {
            Life::Sent(_) | Life::Done => {}
            Life::Answered(record) => read = record.as_ref().map(values),
            Life::Verified(record) => read = Some(values(&record)),
            Life::Refused(why) | Life::Unverified(why) => reason = Some(why),
            Life::TimedOut(why) => reason = Some(why.to_string()),
            Life::Expired => {
                let why = "it waited longer than `expire` allows";
                self.order_lost(ticket, "expired", why);
                reason = Some(why.into());
            }
            Life::Dropped(why) => {
                self.order_lost(ticket, why, why);
                reason = Some(why.into());
            }
        }
        if let Some(why) = reason.as_ref().filter(|_| end) {
            debug!(port = %self.name, state, "a command has ended: {why}");
        }
        self.step(
            ticket,
            Step {
                state,
                end,
                reason,
                values: read,
            },
        );
    }

    /// A command has left the queue without an end of its own.
    fn order_lost(&mut self, ticket: u64, reason: &'static str, why: &str) {
        *self.counters.dropped.entry(reason).or_default() += 1;
        // One whose place another takes is meant to go, and those of a gateway that stops are told in one line.
        if matches!(reason, "replaced" | "stopped") {
            return;
        }
        if let (Some(count), Some(topic)) = (self.say(BUS, reason), self.ledger.topic(ticket)) {
            warn!(event = "command-dropped", port = %self.name, topic = %topic, count, reason, "command dropped: {why}");
        }
    }

    /// A message for one of the devices.
    pub(super) fn bus_command(&mut self, message: &Message) {
        let Some(made) = self
            .master
            .as_ref()
            .and_then(|master| master.order(message, now()))
        else {
            return;
        };
        let Made {
            device,
            result,
            order,
        } = made;
        let ticket = self.take_in(message, Some(device), result);
        match (order, &mut self.master) {
            (Ok(order), Some(master)) => {
                if order.verify.is_some() {
                    master.verified.insert(ticket);
                }
                master.bus.push(Order { ticket, ..order });
            }
            (Err(unfit), _) => {
                self.ended(ticket, "refused", Some(unfit.why.clone()));
                self.dropped(
                    unfit.entry,
                    unfit.name,
                    &message.topic,
                    &message.payload,
                    &unfit.why,
                );
            }
            (Ok(_), None) => {}
        }
        self.told();
    }

    /// So many bytes came from the line, and what it told beside them.
    pub(super) fn heard_bytes(&mut self, count: usize, marks: &[Mark]) {
        self.came(count, marks);
        if let Some(master) = &mut self.master {
            let Master { bus, buffer, .. } = &mut **master;
            let (now, bytes, mut from) = (now(), &buffer[..count.min(READ)], 0);
            for mark in marks {
                if from < mark.at {
                    bus.received(&bytes[from..mark.at], now);
                    from = mark.at;
                }
                if mark.cut {
                    bus.cut(now);
                }
            }
            if from < bytes.len() {
                bus.received(&bytes[from..], now);
            }
        }
        self.told();
    }

    /// The line took so many bytes of a request.
    pub(super) fn asked(&mut self, count: usize) {
        self.counters.bytes_out += count as u64;
        if let Some(master) = &mut self.master {
            master.bus.wrote(count, now());
        }
        self.told();
    }

    /// How busy the line was; warns of it where that is much.
    pub(super) fn measure(&mut self) {
        let Some(master) = &mut self.master else { return };
        let anew = master.busy(now());
        self.counters.bus = Some(super::counters::OfBus {
            counts: master.bus.counts().clone(),
            planned: percent(master.planned),
            busy: master.used,
        });
        let Some(share) = master.used.filter(|_| anew) else {
            return;
        };
        if share > master.warn_above {
            if let Some(count) = master.busy.fault(now()) {
                warn!(event = "bus-overloaded", port = %self.name, count, "the line is busy for {share}% of its time, more than `warn-above`");
            }
        } else if let Some(count) = master.busy.good() {
            info!(event = "bus-relieved", port = %self.name, count, "the line has time again: it is busy for {share}%");
        }
    }
}

/// What the broker is asked for.
pub(super) fn subscriptions(config: &Config) -> Vec<(Filter, crate::broker::Qos)> {
    let mut filters: Vec<(Filter, crate::broker::Qos)> = Vec::new();
    for addressed in config.addressed() {
        if !filters.iter().any(|(filter, _)| *filter == addressed.topic) {
            filters.push((addressed.topic, addressed.entry.qos));
        }
    }
    filters
}
