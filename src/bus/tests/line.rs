//! A line with devices that misbehave on demand, and a clock that moves by itself.

use super::super::{Bus, Device, Happened, Life, Next, Order, Own, Policy, Reply, What};
use crate::config::device;
use crate::profile::Profile;
use crate::profile::asked::Address;
use crate::topic::Topic;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) const MS: Duration = Duration::from_millis(1);
/// 9600 baud, ten bits.
pub(super) const CHAR: Duration = Duration::from_nanos(1_041_667);

/// A protocol whose replies say whose they are and not what they answer: the hardest to keep apart.
pub(super) const PROFILE: &str = r#"
    frame = "idle"
    check = "modbus"
    [bus]
    address = { at = 0, type = "u8" }
    broadcast = [0]
    timeout = "100ms"
    [[kind]]
    name = "error"
    means = "error"
    when = { length = 2 }
    fields = [{ name = "error", at = 1, type = "u8", values = { 1 = "no such thing", 2 = "not now" } }]
    [[kind]]
    name = "a"
    when = { length = 3, request = { bytes = { at = 1, is = [1] } } }
    fields = [{ name = "a", at = 1, type = "u16" }]
    [[kind]]
    name = "b"
    when = { length = 3, request = { bytes = { at = 1, is = [2] } } }
    fields = [{ name = "b", at = 1, type = "u16" }]
    [[kind]]
    name = "set"
    means = "ack"
    when = { length = 4, request = { bytes = { at = 1, is = [6] } } }
    fields = [{ name = "set", at = 2, type = "u16" }]
    [[command]]
    name = "set"
    fields = [{ name = "address", type = "u8" }, { type = "u8", is = 6 }, { name = "set", type = "u16" }]
    [[command]]
    name = "read"
    fields = [{ name = "address", type = "u8" }, { name = "what", type = "u8" }]
    [[poll]]
    name = "a"
    every = "1s"
    command = "read"
    with = { what = 1 }
    [[poll]]
    name = "b"
    every = "1s"
    command = "read"
    with = { what = 2 }
"#;

/// What a device does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    None,
    Silent,
    Late(u64),
    Cut(usize),
    Garbled(usize),
    Foreign,
    Twice,
    Says(u8),
    Noise,
}

/// The line.
pub(super) struct Line {
    pub(super) bus: Bus,
    pub(super) now: Instant,
    coming: BTreeMap<(Instant, u64), Vec<u8>>,
    number: u64,
    /// Which addresses are there.
    pub(super) there: Vec<u8>,
    /// What becomes of the next requests; none: all is well.
    pub(super) faults: Vec<Fault>,
    pub(super) echo: bool,
    pub(super) think: Duration,
    pub(super) written: Vec<(Instant, Vec<u8>)>,
    pub(super) told: Vec<(Instant, Happened)>,
}

pub(super) fn crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut crc = 0xffffu16;
    for byte in &bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
        }
    }
    bytes.extend(crc.to_le_bytes());
    bytes
}

pub(super) fn made(profile: &str, addresses: &[u8]) -> Vec<Device> {
    let read = device::parse(profile, "test").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let profile = Profile::new(&read.config, CHAR).unwrap();
    let device = |address: &u8| {
        let own = Own {
            name: format!("d{address}").into(),
            address: Some(Address::Number(u64::from(*address))),
            ..Own::default()
        };
        Device::new(&read.config, profile.clone(), own, CHAR).unwrap()
    };
    addresses.iter().map(device).collect()
}

impl Line {
    pub(super) fn new(profile: &str, addresses: &[u8]) -> Line {
        let start = Instant::now();
        let policy = Policy {
            queue: 20_000,
            ..Policy::default()
        };
        Line {
            bus: Bus::new(made(profile, addresses), vec![policy], 9600, CHAR, start),
            now: start,
            coming: BTreeMap::new(),
            number: 0,
            there: addresses.to_vec(),
            faults: Vec::new(),
            echo: false,
            think: 5 * MS,
            written: Vec::new(),
            told: Vec::new(),
        }
    }

    /// These bytes come, one after the other at the line's speed; the last of them then.
    pub(super) fn comes(&mut self, at: Instant, bytes: Vec<u8>) {
        let count = bytes.len() as u32;
        for (n, byte) in bytes.into_iter().enumerate() {
            self.number += 1;
            let at = at - CHAR * (count - 1 - n as u32);
            self.coming.insert((at, self.number), vec![byte]);
        }
    }

    /// A reply as the device would give it, `None` where it gives none.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let [address, what, rest @ ..] = request else {
            return None;
        };
        if crc(request[..request.len() - 2].to_vec()) != request || !self.there.contains(address) {
            return None;
        }
        Some(crc(match what {
            6 => request[..4].to_vec(),
            _ => {
                let _ = rest;
                vec![*address, *address, *what]
            }
        }))
    }

    fn request(&mut self, bytes: &[u8]) {
        let wire = self.now + CHAR * bytes.len() as u32;
        if self.echo {
            self.comes(wire, bytes.to_vec());
        }
        let fault = if self.faults.is_empty() {
            Fault::None
        } else {
            self.faults.remove(0)
        };
        let Some(mut reply) = self.answer(bytes) else {
            return;
        };
        let mut at = wire + self.think;
        match fault {
            Fault::None => {}
            Fault::Silent => return,
            Fault::Late(ms) => at += Duration::from_millis(ms),
            Fault::Cut(n) => reply.truncate(n % reply.len()),
            Fault::Garbled(n) => {
                let n = n % (8 * reply.len());
                reply[n / 8] ^= 1 << (n % 8);
            }
            Fault::Foreign => {
                reply.truncate(reply.len() - 2);
                // Of one that is not among those that are asked: if it came late, in the name of one that is being
                // asked then, nobody could tell.
                reply[0] = reply[0].wrapping_add(16);
                reply = crc(reply);
            }
            Fault::Twice => {
                let length = CHAR * reply.len() as u32;
                self.comes(at + length * 2 + MS, reply.clone());
            }
            Fault::Says(code) => reply = crc(vec![bytes[0], code]),
            Fault::Noise => self.comes(wire + MS, vec![0x55; 3]),
        }
        let length = CHAR * reply.len() as u32;
        if !reply.is_empty() {
            self.comes(at + length, reply);
        }
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    /// Until then, or until something has happened.
    pub(super) fn run_until(&mut self, until: Instant, stop: impl Fn(&Happened) -> bool) {
        let (mut rounds, mut at) = (0, self.now);
        loop {
            rounds = if at == self.now { rounds + 1 } else { 0 };
            at = self.now;
            assert!(rounds < 1000, "it goes round in a circle");
            match self.bus.next(self.now, true) {
                Next::Write(bytes, _) => {
                    let bytes = bytes.to_vec();
                    self.written.push((self.now, bytes.clone()));
                    self.request(&bytes);
                    self.bus.wrote(bytes.len(), self.now);
                    continue;
                }
                Next::Baud(_) => continue,
                Next::Idle => {}
            }
            let mut stopped = false;
            while let Some(happened) = self.bus.happened() {
                stopped |= stop(&happened);
                self.told.push((self.now, happened));
            }
            if stopped || self.now >= until {
                return;
            }
            let coming = self.coming.keys().next().map(|(at, _)| *at);
            let next = [self.bus.deadline(self.now, true), coming, Some(until)]
                .into_iter()
                .flatten()
                .min();
            self.now = next.unwrap_or(until).max(self.now);
            while let Some(entry) = self
                .coming
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let bytes = entry.remove();
                self.bus.received(&bytes, self.now);
            }
            self.bus.time(self.now);
        }
    }

    /// The values that came: device, field and number.
    pub(super) fn values(&self) -> Vec<(usize, String, f64)> {
        let values = self.told.iter().filter_map(|(_, told)| match told {
            Happened::Values { device, record, .. } => {
                let entry = record.iter().next()?;
                Some((*device, entry.info.name.to_string(), entry.value.number()?))
            }
            _ => None,
        });
        values.filter(|(_, name, _)| name != "error").collect()
    }

    /// That no value is another one's.
    pub(super) fn assert_true(&self) {
        for (device, name, number) in self.values() {
            let address = f64::from(self.there.get(device).copied().unwrap_or(0));
            let what = if name == "a" { 1.0 } else { 2.0 };
            assert_eq!(number, address * 256.0 + what, "{name} of device {device}");
        }
    }

    pub(super) fn order(&self, ticket: u64, device: usize, value: u16) -> Order {
        let address = self.there[device];
        let [high, low] = value.to_be_bytes();
        Order {
            ticket,
            entry: 0,
            device,
            topic: Topic::parse("set").unwrap(),
            what: What::Frame {
                bytes: crc(vec![address, 6, high, low]).into(),
                reply: Reply::Any,
                timeout: None,
            },
            retries: 0,
            expires: self.now + Duration::from_secs(10),
            verify: None,
        }
    }

    /// The lives of commands, by ticket.
    pub(super) fn lives(&self) -> BTreeMap<u64, Vec<&Life>> {
        let mut lives: BTreeMap<u64, Vec<&Life>> = BTreeMap::new();
        for (_, told) in &self.told {
            if let Happened::Command { ticket, life } = told {
                lives.entry(*ticket).or_default().push(life);
            }
        }
        lives
    }
}
