//! Whatever clients do, in whatever order: any bytes are read as a sequence of events, and after each the tables must agree
//! and clients that keep the rules must have been served by them. A property test and a fuzz target bring the bytes.

mod agree;
mod client;
mod disk;

use super::super::message::Options;
use super::super::wire::{Connect, Encoder, Packet, Publish, Version, Will};
use super::{Arrival, Hub, Journal, Settings};
use crate::broker::{Config, Listener, Qos, Version as Only, WhenQueueFull};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use client::Client;
use disk::Disk;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Few clients, topics and filters, so that they meet.
const CLIENTS: usize = 4;
const TOPICS: [&str; 5] = ["a", "a/b", "c", "$x", "m/a"];
const FILTERS: [&str; 9] = [
    "a",
    "#",
    "a/+",
    "+/b",
    "c",
    "$x",
    "m/#",
    "$share/g/a",
    "$share/g/#",
];
/// The name of the listener with a mount point.
const BELOW: &str = "127.0.0.1:1";
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// The bytes that say what happens; behind their end all is 0.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        (*first).into()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.byte() % all.len()]
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn id(&mut self) -> NonZeroU16 {
        NonZeroU16::MIN.saturating_add(self.of(&[0, 1, 2, 3]))
    }
}

/// A broker, its memory and its clients.
struct Trial {
    config: Config,
    hub: Hub,
    disk: Arc<Disk>,
    now: Instant,
    clients: [Client; CLIENTS],
    /// Numbers the messages.
    count: u32,
    /// Whether all sessions may be away at once.
    restarted: bool,
}

/// Whether the hub's tables agree.
#[cfg(test)]
pub(super) fn agree(hub: &Hub) {
    agree::check(hub);
}

/// Lets happen what the bytes say.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut trial = Trial::new(&mut tape);
    for _ in 0..400 {
        if tape.0.is_empty() {
            break;
        }
        trial.event(&mut tape);
        // As whoever calls it does before the lock is free.
        trial.hub.settle();
        agree::check(&trial.hub);
    }
    trial.end();
}

impl Trial {
    fn new(tape: &mut Tape<'_>) -> Trial {
        let config = Config {
            max_queued_messages: tape.of(&[4, 0, 1, 100]),
            max_queued_bytes: tape.of(&[0, 200, 1 << 20]),
            max_inflight_messages: tape.of(&[None, Some(1), Some(2), Some(3)]),
            when_queue_full: tape.of(&[WhenQueueFull::DropNewest, WhenQueueFull::DropOldest]),
            queue_qos0_messages: tape.bit(),
            max_subscriptions: tape.of(&[100, 2]),
            max_offline_sessions: tape.of(&[100, 2]),
            max_retained_messages: tape.of(&[100, 2]),
            upgrade_outgoing_qos: tape.bit(),
            listener: vec![Listener {
                mount_point: Some("m/".into()),
                ..Listener::loopback(1, Only::V3)
            }],
            ..Config::default()
        };
        let now = Instant::now();
        let disk = Arc::new(Disk::default());
        let mut hub = Hub::new(Settings::from(&config), now);
        hub.keep(journal(&disk));
        Trial {
            config,
            hub,
            disk,
            now,
            clients: Default::default(),
            count: 0,
            restarted: false,
        }
    }

    fn event(&mut self, tape: &mut Tape<'_>) {
        let what = tape.byte();
        let n = what / 32 % CLIENTS;
        match what % 32 {
            0..=3 => self.connect(n, tape),
            4 => self.lose(n),
            5..=12 => {
                let packet = self.publish(tape);
                self.say(n, packet);
            }
            13..=15 => {
                let filter = tape.of(&FILTERS);
                let options = Options {
                    qos: tape.of(&QOS),
                    no_local: tape.bit() && !filter.starts_with('$'),
                    retain_as_published: tape.bit(),
                    retain_handling: tape.of(&[0, 1, 2]),
                    id: NonZeroU32::new(tape.of(&[0, 1, 300])),
                };
                let options = if self.clients[n].five {
                    options
                } else {
                    Options {
                        qos: options.qos,
                        ..Options::default()
                    }
                };
                self.clients[n].subscribes(filter);
                let filters = vec![(filter.into(), options)];
                self.say(
                    n,
                    Packet::Subscribe {
                        id: tape.id(),
                        filters,
                    },
                );
            }
            16 => {
                let filters = vec![tape.of(&FILTERS).into()];
                self.say(
                    n,
                    Packet::Unsubscribe {
                        id: tape.id(),
                        filters,
                    },
                );
            }
            17..=19 => self.answer(n),
            20 => {
                self.clients[n].honest = false;
                let (id, code) = (tape.id(), tape.of(&[0, 0x80]));
                let packet = match tape.of(&[0, 1, 2]) {
                    0 => Packet::Puback(id),
                    1 => Packet::Pubrec(id, code),
                    _ => Packet::Pubcomp(id),
                };
                self.say(n, packet);
            }
            21 => {
                let id = tape.id();
                self.say(n, Packet::Pubrel(id));
            }
            22 => {
                let code = tape.of(&[0, 4]);
                let expiry = tape.bit().then(|| tape.byte() as u32);
                self.say(n, Packet::Disconnect { code, expiry });
            }
            23 => {
                let packet = tape.of(&[0, 1]);
                self.say(
                    n,
                    if packet == 0 {
                        Packet::Pingreq
                    } else {
                        Packet::Auth
                    },
                );
            }
            24 => {
                self.now += Duration::from_millis(tape.of(&[100, 400, 1_000, 5_000, 70_000]));
                self.hub.tick(self.now);
            }
            25..=27 => self.read(n),
            28 | 29 => {
                self.disk.write(tape.byte());
                self.hub.written();
            }
            30 => self.restart(),
            _ => {
                let all = self.hub.snapshot(self.now);
                self.disk.replace(all);
            }
        }
    }

    fn connect(&mut self, n: usize, tape: &mut Tape<'_>) {
        let version = tape.of(&[Version::V5, Version::V311, Version::V31]);
        let five = version.is_five();
        let clean = tape.bit();
        let expiry = match five {
            true => tape.of(&[0, 3, 60, u32::MAX]),
            false if clean => 0,
            false => u32::MAX,
        };
        let flags = tape.byte();
        let connect = Connect {
            version,
            client: format!("c{n}").into(),
            clean,
            keep_alive: 0,
            expiry,
            expiry_said: !five || flags & 1 == 0,
            receive_maximum: if five {
                tape.of(&[u16::MAX, 1, 2])
            } else {
                u16::MAX
            },
            maximum_packet: if five {
                tape.of(&[None, Some(12), Some(30)])
            } else {
                None
            },
            alias_maximum: if five { tape.of(&[0, 1, 3]) } else { 0 },
            auth_method: None,
            problem_information: true,
            user: None,
            password: None,
            will: (flags & 2 != 0).then(|| Will {
                delay: if five { tape.of(&[0, 2, 10]) } else { 0 },
                topic: tape.of(&TOPICS).into(),
                payload: Bytes::from_static(b"will"),
                qos: tape.of(&QOS),
                retain: tape.bit(),
                expiry: None,
                properties: None,
            }),
        };
        let outlet = Arc::new(super::Outlet::new(Encoder::new(version)));
        let arrival = Arrival {
            connect,
            user: None,
            // The last one comes by another listener, with a mount point.
            listener: if n == CLIENTS - 1 {
                BELOW.into()
            } else {
                ByteString::new()
            },
            outlet: outlet.clone(),
        };
        let arrived = self.hub.arrive(arrival, self.now);
        self.clients[n].connection = arrived.ok().map(|seated| (seated.seat, outlet));
        self.clients[n].connects(version);
        if let Some((seat, _)) = &self.clients[n].connection
            && agree::is_blank(&self.hub, *seat)
        {
            self.clients[n].begins_anew();
        }
    }

    fn publish(&mut self, tape: &mut Tape<'_>) -> Packet {
        self.count += 1;
        let qos = tape.of(&QOS);
        let flags = tape.byte();
        let retain = flags & 3 == 3;
        let payload = match flags >> 2 & 7 {
            0 => String::new(),
            1 => format!("{} {} {:40}", qos as u8, self.count, "long"),
            _ => format!("{} {} {}", qos as u8, self.count, u8::from(retain)),
        };
        let topic = tape.of(&TOPICS);
        let alias = NonZeroU16::new(if flags & 0x80 == 0 {
            0
        } else {
            tape.of(&[1, 2, 11])
        });
        Packet::Publish(Publish {
            dup: flags & 0x40 != 0 && qos != Qos::AtMostOnce,
            qos,
            retain,
            topic: if alias.is_some() && flags & 0x20 != 0 {
                ""
            } else {
                topic
            }
            .into(),
            id: (qos != Qos::AtMostOnce).then(|| tape.id()),
            payload: payload.into(),
            alias,
            expiry: (flags & 0x1f == 0x1f).then_some(2),
            properties: None,
        })
    }

    fn say(&mut self, n: usize, packet: Packet) {
        let Some((seat, _)) = &self.clients[n].connection else {
            return;
        };
        let seat = *seat;
        let leaves = matches!(packet, Packet::Disconnect { .. });
        match self.hub.handle(seat, packet, self.now) {
            Ok(_) if leaves => self.clients[n].connection = None,
            Ok(_) => {}
            Err(fault) => {
                self.hub.fail(seat, fault, self.now);
                self.read(n);
                self.clients[n].connection = None;
            }
        }
    }

    fn lose(&mut self, n: usize) {
        if let Some((seat, _)) = self.clients[n].connection.take() {
            self.hub.lost(seat, self.now);
            if !self.restarted {
                agree::few_are_away(&self.hub);
            }
        }
    }

    /// The client reads all that there is, the hub giving more when it is asked.
    fn read(&mut self, n: usize) {
        let client = &mut self.clients[n];
        let Some((seat, outlet)) = client.connection.clone() else {
            return;
        };
        loop {
            let mut bytes = BytesMut::new();
            outlet.lock().take(self.disk.committed(), &mut bytes);
            client.hears(&mut bytes);
            self.hub.refill(seat, self.now);
            self.hub.settle();
            if !outlet.lock().is_ready(self.disk.committed()) {
                return;
            }
        }
    }

    /// The client acknowledges all that it has heard.
    fn answer(&mut self, n: usize) {
        self.read(n);
        for packet in std::mem::take(&mut self.clients[n].owes) {
            self.say(n, packet);
        }
    }

    /// The process ends without a word, and another begins with what was written.
    fn restart(&mut self) {
        self.restarted = true;
        for client in &mut self.clients {
            client.connection = None;
            client.owes.clear();
            client.may_be_back();
        }
        self.hub = Hub::new(Settings::from(&self.config), self.now);
        self.hub.restore(self.disk.load(self.now), self.now);
        self.hub.keep(journal(&self.disk));
    }

    /// With nobody left and the time over, nothing is left.
    fn end(mut self) {
        for n in 0..CLIENTS {
            self.read(n);
            self.lose(n);
        }
        self.now += Duration::from_secs(1000);
        self.hub.tick(self.now);
        agree::check(&self.hub);
        agree::nothing_but_what_stays(&self.hub);
    }
}

fn journal(disk: &Arc<Disk>) -> Journal {
    let sink = disk.clone();
    Journal::new(
        Box::new(move |batch| sink.take(batch)),
        disk.position(),
        Arc::default(),
        Duration::from_secs(1),
    )
}
