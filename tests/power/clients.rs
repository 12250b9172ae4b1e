//! Clients that remember what they must, as the standard says, and know what the broker has promised them.

use super::link::{Link, Packet};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;

/// How many topics a publisher uses in turn.
pub(super) const TOPICS: u64 = 3;
/// How many messages it has under way.
const WINDOW: usize = 12;

/// Publishes numbers: each on its topic, each until it is acknowledged.
#[derive(Debug)]
pub(super) struct Publisher {
    name: &'static str,
    qos: u8,
    retain: bool,
    /// The last number that was published.
    pub(super) last: u64,
    /// By topic, the last that was acknowledged.
    pub(super) acked: HashMap<String, u64>,
    flights: VecDeque<Flight>,
    last_id: u16,
    known: bool,
}

#[derive(Debug)]
struct Flight {
    id: u16,
    number: u64,
    /// The broker has it: what is under way is a PUBREL.
    received: bool,
}

impl Publisher {
    pub(super) fn new(name: &'static str, qos: u8, retain: bool) -> Publisher {
        Publisher {
            name,
            qos,
            retain,
            last: 0,
            acked: HashMap::new(),
            flights: VecDeque::new(),
            last_id: 0,
            known: false,
        }
    }

    pub(super) fn topic(&self, number: u64) -> String {
        format!("{}/{}", self.name, number % TOPICS)
    }

    /// Publishes until the connection ends, which is no error; or what is still under way, if nothing is `more`.
    pub(super) fn run(&mut self, address: SocketAddr, more: bool) -> io::Result<()> {
        let (mut link, present) = Link::open(address, self.name, false)?;
        assert!(present || !self.known, "{}: the session is forgotten", self.name);
        self.known = true;
        for at in 0..self.flights.len() {
            self.send(&mut link, at, true)?;
        }
        loop {
            while more && self.flights.len() < WINDOW {
                self.last += 1;
                let (id, number) = (self.free_id(), self.last);
                let received = false;
                self.flights.push_back(Flight { id, number, received });
                self.send(&mut link, self.flights.len() - 1, false)?;
            }
            if self.flights.is_empty() {
                return Ok(());
            }
            match link.next()? {
                Packet::Puback(id) if self.qos == 1 => self.landed(id),
                Packet::Pubrec(id) => {
                    if let Some(flight) = self.flights.iter_mut().find(|flight| flight.id == id) {
                        flight.received = true;
                    }
                    link.answer(0x62, id)?;
                }
                Packet::Pubcomp(id) => self.landed(id),
                other => panic!("{}: {other:?}", self.name),
            }
        }
    }

    fn send(&self, link: &mut Link, at: usize, again: bool) -> io::Result<()> {
        let flight = &self.flights[at];
        if flight.received {
            return link.answer(0x62, flight.id);
        }
        let flags = self.qos << 1 | u8::from(self.retain) | u8::from(again) << 3;
        link.publish(
            &self.topic(flight.number),
            &flight.number.to_be_bytes(),
            flags,
            flight.id,
        )
    }

    fn landed(&mut self, id: u16) {
        let at = self.flights.iter().position(|flight| flight.id == id);
        let at = at.unwrap_or_else(|| panic!("{}: {id} is acknowledged and was not under way", self.name));
        let number = self.flights.remove(at).expect("it was found").number;
        let acked = self.acked.entry(self.topic(number)).or_default();
        *acked = number.max(*acked);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.flights.iter().any(|flight| flight.id == self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// Receives them, and knows which number must come next on each topic.
pub(super) struct Subscriber {
    name: &'static str,
    /// By topic, the last number that came.
    pub(super) last: HashMap<String, u64>,
    /// How many came, and how many of them once more, which only QoS 1 may.
    pub(super) count: u64,
    pub(super) again: u64,
    /// QoS 2 messages that came and are not released.
    received: HashSet<u16>,
}

impl Subscriber {
    pub(super) fn new(name: &'static str) -> Subscriber {
        Subscriber {
            name,
            last: HashMap::new(),
            count: 0,
            again: 0,
            received: HashSet::new(),
        }
    }

    /// Subscribes to everything, before anything is published.
    pub(super) fn begin(&mut self, address: SocketAddr) -> io::Result<()> {
        let (mut link, _) = Link::open(address, self.name, false)?;
        link.subscribe("+/+", 2)?;
        match link.next()? {
            Packet::Suback => Ok(()),
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Receives until the connection ends, which is no error; or `enough` is there.
    pub(super) fn run(
        &mut self,
        address: SocketAddr,
        enough: impl Fn(&HashMap<String, u64>) -> bool,
    ) -> io::Result<()> {
        let (mut link, present) = Link::open(address, self.name, false)?;
        assert!(present, "{}: the session is forgotten", self.name);
        while !enough(&self.last) {
            match link.next()? {
                Packet::Publish {
                    topic,
                    payload,
                    qos,
                    id,
                    ..
                } => {
                    let new = qos < 2 || self.received.insert(id);
                    if new {
                        self.take(topic, &payload, qos);
                    }
                    link.answer(if qos == 1 { 0x40 } else { 0x50 }, id)?;
                }
                Packet::Pubrel(id) => {
                    self.received.remove(&id);
                    link.answer(0x70, id)?;
                }
                other => panic!("{}: {other:?}", self.name),
            }
        }
        Ok(())
    }

    fn take(&mut self, topic: String, payload: &[u8], qos: u8) {
        let number = u64::from_be_bytes(payload.try_into().expect("a number"));
        self.count += 1;
        // The first on a topic is that of the topic's own number.
        let first = number % TOPICS + if number.is_multiple_of(TOPICS) { TOPICS } else { 0 };
        let last = self.last.entry(topic.clone()).or_insert(0);
        let next = if *last == 0 { first } else { *last + TOPICS };
        if qos == 1 && number <= *last {
            self.again += 1;
            return;
        }
        assert_eq!(number, next, "{}: what comes after {last} on {topic}", self.name);
        *last = number;
    }
}

/// The retained number of each of these topics.
pub(super) fn retained<'a>(
    address: SocketAddr,
    topics: impl Iterator<Item = &'a String>,
) -> io::Result<HashMap<String, u64>> {
    let (mut link, _) = Link::open(address, "looker", true)?;
    let mut found = HashMap::new();
    for asked in topics {
        link.subscribe(asked, 0)?;
        while !found.contains_key(asked) {
            if let Packet::Publish {
                topic,
                payload,
                retain,
                ..
            } = link.next()?
            {
                assert!(retain, "nobody publishes now");
                let number = u64::from_be_bytes(payload[..].try_into().expect("a number"));
                found.insert(topic, number);
            }
        }
    }
    Ok(found)
}
