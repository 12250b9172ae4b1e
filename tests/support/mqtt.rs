//! The smallest MQTT 3.1.1 client that can check what a subscriber sees: for tests that need one which can't be
//! absent and keeps up with a flood. What other people's clients see is tried with those.

use super::{PATIENCE, left};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A message as a subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The topic's name.
    pub(crate) topic: String,
    /// The payload.
    pub(crate) payload: Vec<u8>,
    /// The quality of service.
    pub(crate) qos: u8,
    /// Whether the broker had kept it.
    pub(crate) retain: bool,
}

impl Message {
    /// The payload as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A connection to the broker.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    inbox: VecDeque<Message>,
    /// Acknowledgements, by their first byte.
    acks: VecDeque<u8>,
    id: u16,
}

impl Client {
    /// Connects to `address`.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, name: &str) -> Client {
        Client::open(address, name, None)
    }

    /// Connects as a user.
    #[track_caller]
    pub(crate) fn connect_as(address: SocketAddr, name: &str, user: &str, password: &str) -> Client {
        Client::open(address, name, Some((user, password)))
    }

    #[track_caller]
    fn open(address: SocketAddr, name: &str, user: Option<(&str, &str)>) -> Client {
        let stream = TcpStream::connect(address).expect("a connection to the broker");
        stream.set_nodelay(true).expect("TCP without delay");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        let mut client = Client {
            stream,
            read: Vec::new(),
            inbox: VecDeque::new(),
            acks: VecDeque::new(),
            id: 0,
        };
        // A clean session; and whether a user name and a password are there.
        let flags = if user.is_some() { 0xc2 } else { 0x02 };
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([flags, 0x02, 0x58]);
        text(&mut body, name);
        if let Some((user, password)) = user {
            text(&mut body, user);
            text(&mut body, password);
        }
        client.packet(0x10, &body);
        client.ack(0x20);
        client
    }

    /// Subscribes to `filter`, and waits until the broker says so.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.id += 1;
        let mut body = self.id.to_be_bytes().to_vec();
        text(&mut body, filter);
        body.push(qos);
        self.packet(0x82, &body);
        self.ack(0x90);
    }

    /// Publishes, and waits for what acknowledges it.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        let mut body = Vec::new();
        text(&mut body, topic);
        if qos > 0 {
            self.id += 1;
            body.extend(self.id.to_be_bytes());
        }
        body.extend_from_slice(payload);
        self.packet(0x30 | qos << 1 | u8::from(retain), &body);
        match qos {
            0 => {}
            1 => self.ack(0x40),
            _ => {
                self.ack(0x50);
                let id = self.id.to_be_bytes();
                self.packet(0x62, &id);
                self.ack(0x70);
            }
        }
    }

    /// Publishes the last message of quality of service 1 once more, as one whose acknowledgement has not come.
    #[track_caller]
    pub(crate) fn publish_again(&mut self, topic: &str, payload: &[u8]) {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend(self.id.to_be_bytes());
        body.extend_from_slice(payload);
        self.packet(0x3a, &body);
        self.ack(0x40);
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Message {
        self.next_within(PATIENCE)
            .expect("a message within the time that a test waits")
    }

    /// Waits for the next message on `topic`, past others.
    #[track_caller]
    pub(crate) fn next_on(&mut self, topic: &str) -> Message {
        let mut others = Vec::new();
        loop {
            match self.next_within(PATIENCE) {
                Some(message) if message.topic == topic => return message,
                Some(message) => others.push(message),
                None => panic!("no message on {topic}, only {others:?}"),
            }
        }
    }

    /// Waits for a message, but not longer than `bound`.
    #[track_caller]
    pub(crate) fn next_within(&mut self, bound: Duration) -> Option<Message> {
        let deadline = Instant::now() + bound;
        while self.inbox.is_empty() {
            if !self.fill(left(deadline)?) {
                return None;
            }
        }
        self.inbox.pop_front()
    }

    /// Whether the broker closes the connection, within the time that a test waits.
    #[track_caller]
    pub(crate) fn is_gone(&mut self) -> bool {
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out that is not zero");
        match std::io::copy(&mut self.stream, &mut std::io::sink()) {
            Ok(_) => true,
            Err(error) => !is_late(&error),
        }
    }

    #[track_caller]
    fn ack(&mut self, kind: u8) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.acks.iter().position(|ack| *ack == kind) {
                self.acks.remove(at);
                return;
            }
            let heard = left(deadline).is_some_and(|left| self.fill(left));
            assert!(heard, "the broker did not answer with {kind:#x}");
        }
    }

    /// Reads once, and takes the packets that are whole. False when the time was over or the connection is.
    #[track_caller]
    fn fill(&mut self, bound: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(bound))
            .expect("a time-out that is not zero");
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the broker closed the connection"),
            Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) if is_late(&error) => return false,
            Err(error) => panic!("failed to read from the broker: {error}"),
        }
        let mut taken = 0;
        while let Some((head, body)) = split(&self.read[taken..]) {
            let first = self.read[taken];
            let packet = taken + head..taken + head + body;
            taken = packet.end;
            self.take(first, packet);
        }
        self.read.drain(..taken);
        true
    }

    fn take(&mut self, first: u8, packet: std::ops::Range<usize>) {
        let body = &self.read[packet];
        let (kind, qos) = (first & 0xf0, first >> 1 & 3);
        if kind != 0x30 {
            self.acks.push_back(kind);
            if kind == 0x60 {
                let id = [body[0], body[1]];
                self.packet(0x70, &id);
            }
            return;
        }
        let (topic, rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
        let (id, payload) = rest.split_at(if qos > 0 { 2 } else { 0 });
        let message = Message {
            topic: String::from_utf8(topic.to_vec()).expect("a topic in UTF-8"),
            payload: payload.to_vec(),
            qos,
            retain: first & 1 == 1,
        };
        let id = id.to_vec();
        self.inbox.push_back(message);
        match qos {
            0 => {}
            1 => self.packet(0x40, &id),
            _ => self.packet(0x50, &id),
        }
    }

    fn packet(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            let more = if left > 127 { 0x80 } else { 0 };
            packet.push((left % 128) as u8 | more);
            left /= 128;
            if left == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).expect("a broker that reads");
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The lengths of the head and of the body, when the packet is whole.
fn split(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for at in 1..=4 {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return (bytes.len() > at + length).then_some((at + 1, length));
        }
    }
    panic!("the broker sent a packet without an end to its length");
}
