//! A connection on which anything may be said, and packets of all versions as bytes.

use crate::support::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Versions of the protocol, by the level in CONNECT.
pub(super) const VERSIONS: [u8; 3] = [3, 4, 5];

/// PINGREQ: who is still served is answered.
pub(super) const PING: &[u8] = &[0xc0, 0];

pub(super) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    #[track_caller]
    pub(super) fn open(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).expect("a connection to the broker");
        stream.set_nodelay(true).expect("TCP without delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        let read = Vec::new();
        Raw { stream, read }
    }

    /// Says this; a broker that has hung up hears it no more. Tells whether it was taken.
    #[track_caller]
    pub(super) fn say(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_end(&error) => false,
            Err(error) => panic!("failed to write to the broker: {error}"),
        }
    }

    /// The next packet; `None` when the connection has ended.
    #[track_caller]
    pub(super) fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = whole(&self.read) {
                return Some(self.read.drain(..length).collect());
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if is_end(&error) => return None,
                Err(error) => panic!("the broker neither answered nor hung up: {error}"),
            }
        }
    }

    /// Waits for the answer to CONNECT, and says whether the client is taken in.
    #[track_caller]
    pub(super) fn is_welcome(&mut self) -> bool {
        match self.hear() {
            Some(packet) => packet[0] == 0x20 && packet[3] == 0,
            None => false,
        }
    }

    /// Whether it is still served: asks for a PINGRESP, past all else.
    #[track_caller]
    pub(super) fn is_served(&mut self) -> bool {
        self.say(PING);
        while let Some(packet) = self.hear() {
            if packet == [0xd0, 0] {
                return true;
            }
        }
        false
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// How long the first packet is, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for at in 1..=4 {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            let whole = at + 1 + length;
            return (bytes.len() >= whole).then_some(whole);
        }
    }
    panic!("the broker sent a packet without an end to its length");
}

/// A packet: its first byte, its length, its body.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = head(first, body.len());
    packet.extend_from_slice(body);
    packet
}

/// What stands before a body of this length.
pub(super) fn head(first: u8, mut length: usize) -> Vec<u8> {
    let mut head = vec![first];
    loop {
        let more = if length > 127 { 0x80 } else { 0 };
        head.push((length % 128) as u8 | more);
        length /= 128;
        if length == 0 {
            return head;
        }
    }
}

pub(super) fn text(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a string of the protocol");
    [&length.to_be_bytes(), text].concat()
}

/// CONNECT; in MQTT 5 a session that is to be kept is so for an hour.
pub(super) fn connect(level: u8, client: &[u8], clean: bool) -> Vec<u8> {
    let name: &[u8] = if level == 3 { b"MQIsdp" } else { b"MQTT" };
    let mut body = text(name);
    body.extend([level, u8::from(clean) << 1, 0, 0]);
    match (level, clean) {
        (5, true) => body.push(0),
        (5, false) => body.extend([5, 0x11, 0, 0, 0x0e, 0x10]),
        _ => {}
    }
    body.extend(text(client));
    packet(0x10, &body)
}

/// Puts the empty properties of MQTT 5 where a packet has them.
pub(super) fn properties(level: u8) -> &'static [u8] {
    if level == 5 { &[0] } else { &[] }
}

pub(super) fn publish(level: u8, flags: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let id: &[u8] = if flags & 6 == 0 { &[] } else { &id };
    packet(
        0x30 | flags,
        &[&text(topic.as_bytes()), id, properties(level), payload].concat(),
    )
}

pub(super) fn subscribe<'a>(
    level: u8,
    id: u16,
    filters: impl IntoIterator<Item = &'a str>,
    qos: u8,
) -> Vec<u8> {
    let mut body = [&id.to_be_bytes(), properties(level)].concat();
    for filter in filters {
        body.extend(text(filter.as_bytes()));
        body.push(qos);
    }
    packet(0x82, &body)
}

pub(super) fn unsubscribe<'a>(level: u8, id: u16, filters: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut body = [&id.to_be_bytes(), properties(level)].concat();
    for filter in filters {
        body.extend(text(filter.as_bytes()));
    }
    packet(0xa2, &body)
}
