//! A connection that may end at any moment: packets of MQTT 3.1.1 in and out, and no state.

use crate::support::PATIENCE;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What the broker sends.
#[derive(Debug)]
pub(super) enum Packet {
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: u8,
        retain: bool,
        id: u16,
    },
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Suback,
}

pub(super) struct Link {
    stream: TcpStream,
    from: BufReader<TcpStream>,
}

impl Link {
    /// Connects; says whether the broker remembers the session.
    pub(super) fn open(address: SocketAddr, client: &str, clean: bool) -> io::Result<(Link, bool)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut link = Link {
            from: BufReader::new(stream.try_clone()?),
            stream,
        };
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([u8::from(clean) << 1, 0, 0]);
        text(&mut body, client);
        link.send(0x10, &body)?;
        let (first, body) = link.read()?;
        assert_eq!(
            (first, body.len(), body[1]),
            (0x20, 2, 0),
            "the answer to CONNECT"
        );
        Ok((link, body[0] == 1))
    }

    pub(super) fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = vec![0xff, 0xff];
        text(&mut body, filter);
        body.push(qos);
        self.send(0x82, &body)
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &[u8], flags: u8, id: u16) -> io::Result<()> {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend(id.to_be_bytes());
        body.extend(payload);
        self.send(0x30 | flags, &body)
    }

    /// PUBACK, PUBREC, PUBREL (`0x62`) or PUBCOMP.
    pub(super) fn answer(&mut self, first: u8, id: u16) -> io::Result<()> {
        self.send(first, &id.to_be_bytes())
    }

    /// Nobody waits longer than a test does: a broker that is silent for so long is an error like the end.
    pub(super) fn next(&mut self) -> io::Result<Packet> {
        let (first, body) = self.read()?;
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        Ok(match first >> 4 {
            3 => {
                let qos = first >> 1 & 3;
                let end = 2 + usize::from(number(0));
                let payload = end + if qos > 0 { 2 } else { 0 };
                Packet::Publish {
                    topic: String::from_utf8(body[2..end].to_vec()).expect("a topic in UTF-8"),
                    payload: body[payload..].to_vec(),
                    qos,
                    retain: first & 1 == 1,
                    id: if qos > 0 { number(end) } else { 0 },
                }
            }
            4 => Packet::Puback(number(0)),
            5 => Packet::Pubrec(number(0)),
            6 => Packet::Pubrel(number(0)),
            7 => Packet::Pubcomp(number(0)),
            9 => {
                assert!(body[2] < 0x80, "the subscription is refused");
                Packet::Suback
            }
            _ => panic!("the broker sends {first:#x}"),
        })
    }

    fn send(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![first];
        // All packets of these tests are shorter than 16 KiB.
        match body.len() {
            length @ 0..128 => packet.push(length as u8),
            length => packet.extend([(length % 128) as u8 | 0x80, (length / 128) as u8]),
        }
        packet.extend(body);
        self.stream.write_all(&packet)
    }

    fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut byte = || {
            let mut byte = [0];
            self.from.read_exact(&mut byte).map(|()| byte[0])
        };
        let first = byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let more = byte()?;
            length |= usize::from(more & 0x7f) << shift;
            shift += 7;
            if more & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body)?;
        Ok((first, body))
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}
