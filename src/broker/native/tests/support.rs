//! A broker on a free port, clients that say bytes, and the packets they say and expect, as the standard draws them.

use crate::broker::native::Room;
use crate::broker::{Config, Listener, Version};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The protocol levels that a test is done with.
pub(super) const BOTH: [u8; 2] = [4, 5];

/// A broker, and where it listens.
pub(super) struct Broker {
    address: SocketAddr,
    _room: Room,
}

impl Broker {
    /// One for everybody on this machine, with no memory and nothing configured.
    pub(super) async fn start() -> Broker {
        Broker::with("").await
    }

    /// With these keys of `[broker]`.
    pub(super) async fn with(keys: &str) -> Broker {
        let config: Config = toml::from_str(keys).unwrap();
        let config = Config {
            persistence: Some(false),
            ..config
        };
        Broker::run(config, Listener::loopback(0, Version::V3)).await
    }

    /// With what its clients see below this prefix.
    pub(super) async fn mounted(point: &str) -> Broker {
        let mut listener = Listener::loopback(0, Version::V3);
        listener.mount_point = Some(point.into());
        let config = Config {
            persistence: Some(false),
            ..Config::default()
        };
        Broker::run(config, listener).await
    }

    async fn run(config: Config, listener: Listener) -> Broker {
        let config = Config {
            listener: vec![listener],
            ..config
        };
        let room = Room::start(&config).await.unwrap();
        let address = room.addresses()[0].address.tcp().unwrap();
        Broker { address, _room: room }
    }

    /// A connection on which nothing has been said.
    pub(super) async fn dial(&self, level: u8) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            level,
        }
    }

    /// A connection on which this CONNECT was said; its answer is still to be read.
    pub(super) async fn say(&self, hello: &Hello) -> Client {
        let mut client = self.dial(hello.level).await;
        client.send(&hello.bytes()).await;
        client
    }

    /// A client that was taken in; `present` is whether it is told of a session.
    pub(super) async fn join(&self, hello: &Hello, present: bool) -> Client {
        let mut client = self.say(hello).await;
        let answer = client.next().await.expect("a CONNACK");
        assert_eq!(answer[0], 0x20, "{answer:02x?}");
        assert_eq!(answer[2..4], [u8::from(present), 0], "{answer:02x?}");
        client
    }

    /// A client with a clean session.
    pub(super) async fn client(&self, level: u8, id: &str) -> Client {
        self.join(&Hello::new(level, id), false).await
    }
}

/// A client's end of a connection.
pub(super) struct Client {
    stream: TcpStream,
    pub(super) level: u8,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next whole packet, or `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut packet = vec![self.stream.read_u8().await.ok()?];
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                packet.push(byte);
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let head = packet.len();
            packet.resize(head + length, 0);
            self.stream.read_exact(&mut packet[head..]).await.ok()?;
            Some(packet)
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("neither a packet nor the end")
    }

    /// The next packet is this one.
    #[track_caller]
    pub(super) fn gets(&mut self, expected: &[u8]) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let got = self.next().await.unwrap_or_default();
            assert!(
                got == expected,
                "{at}: got {}, not {}",
                show(&got),
                show(expected)
            );
        }
    }

    /// Nothing more has come: the answer to a PINGREQ is the next.
    #[track_caller]
    pub(super) fn quiet(&mut self) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            self.send(&[0xc0, 0]).await;
            let got = self.next().await.unwrap_or_default();
            assert!(got == [0xd0, 0], "{at}: got {}, not a PINGRESP", show(&got));
        }
    }

    /// The broker ends the connection, and says nothing more.
    #[track_caller]
    pub(super) fn closed(&mut self) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let got = self.next().await;
            assert!(got.is_none(), "{at}: got {}", show(&got.unwrap_or_default()));
        }
    }

    /// The broker ends the connection: a client of MQTT 5 is told why, an older one nothing.
    #[track_caller]
    pub(super) fn ended(&mut self, code: u8) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            if self.level == 5 {
                let got = self.next().await.unwrap_or_default();
                assert!(got == [0xe0, 1, code], "{at}: got {}, not {code:#x}", show(&got));
            }
            let got = self.next().await;
            assert!(got.is_none(), "{at}: got {}", show(&got.unwrap_or_default()));
        }
    }

    /// Gone without a word.
    pub(super) fn hang_up(self) {
        drop(self);
    }

    /// Subscribes with this byte of options, and is granted `granted`.
    pub(super) async fn subscribes(&mut self, filter: &str, options: u8, granted: u8) {
        self.send(&subscribe(self.level, 77, &[(filter, options)])).await;
        self.gets(&suback(self.level, 77, &[granted])).await;
    }

    /// Publishes without properties; `head` is the first byte, and `id` counts where it says QoS 1 or 2.
    pub(super) async fn publishes(&mut self, head: u8, topic: &str, id: u16, payload: &[u8]) {
        self.send(&publish(self.level, head, topic, id, &[], payload))
            .await;
    }

    /// The next packet is this PUBLISH without properties.
    #[track_caller]
    pub(super) fn hears(
        &mut self,
        head: u8,
        topic: &str,
        id: u16,
        payload: &[u8],
    ) -> impl Future<Output = ()> {
        let expected = publish(self.level, head, topic, id, &[], payload);
        let at = std::panic::Location::caller();
        async move {
            let got = self.next().await.unwrap_or_default();
            assert!(
                got == expected,
                "{at}: got {}, not {}",
                show(&got),
                show(&expected)
            );
        }
    }
}

fn show(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the end".into();
    }
    let head = &bytes[..bytes.len().min(80)];
    format!("{head:02x?} \"{}\" ({} bytes)", head.escape_ascii(), bytes.len())
}

/// A CONNECT (section 3.1).
#[derive(Clone)]
pub(super) struct Hello {
    pub(super) level: u8,
    pub(super) name: &'static str,
    pub(super) flags: u8,
    pub(super) keep_alive: u16,
    pub(super) properties: Vec<u8>,
    pub(super) client: Vec<u8>,
    /// Behind the client id: the will, the user name and the password.
    pub(super) rest: Vec<u8>,
}

impl Hello {
    /// With a clean session, and nothing else.
    pub(super) fn new(level: u8, client: &str) -> Hello {
        Hello {
            level,
            name: "MQTT",
            flags: 2,
            keep_alive: 0,
            properties: Vec::new(),
            client: text(client),
            rest: Vec::new(),
        }
    }

    /// Goes on with its session, which stays.
    pub(super) fn staying(level: u8, client: &str) -> Hello {
        let hello = Hello::new(level, client).flags(0);
        if level == 5 {
            return hello.property(&[0x11, 0xff, 0xff, 0xff, 0xff]);
        }
        hello
    }

    pub(super) fn flags(mut self, flags: u8) -> Hello {
        self.flags = flags;
        self
    }

    pub(super) fn property(mut self, bytes: &[u8]) -> Hello {
        self.properties.extend_from_slice(bytes);
        self
    }

    pub(super) fn rest(mut self, bytes: &[u8]) -> Hello {
        self.rest.extend_from_slice(bytes);
        self
    }

    /// With a will: `flags` are those of its QoS and whether it is retained, as they stand in the byte.
    pub(super) fn will(mut self, flags: u8, properties: &[u8], topic: &str, payload: &[u8]) -> Hello {
        self.flags |= 4 | flags;
        if self.level == 5 {
            self.rest.extend(sized(properties));
        }
        self.rest.extend(text(topic));
        self.rest.extend(binary(payload));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = text(self.name);
        body.extend([self.level, self.flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.level == 5 {
            body.extend(sized(&self.properties));
        }
        body.extend(&self.client);
        body.extend(&self.rest);
        packet(0x10, &body)
    }
}

/// A packet of this first byte.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(sized(body));
    bytes
}

/// Behind its length, as a variable byte integer.
pub(super) fn sized(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = body.len();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        bytes.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// Behind its length in two bytes.
pub(super) fn binary(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    binary(text.as_bytes())
}

/// A packet that is nothing but an id.
pub(super) fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

/// With a reason code (MQTT 5).
pub(super) fn ack_with(first: u8, id: u16, code: u8) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes()[..], &[code]].concat())
}

pub(super) fn publish(
    level: u8,
    head: u8,
    topic: &str,
    id: u16,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut body = text(topic);
    if head & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    if level == 5 {
        body.extend(sized(properties));
    }
    body.extend(payload);
    packet(head, &body)
}

pub(super) fn subscribe(level: u8, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_as(level, id, &[], filters)
}

pub(super) fn subscribe_as(level: u8, id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.extend(sized(properties));
    }
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

pub(super) fn unsubscribe(level: u8, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xa2, &body)
}

pub(super) fn suback(level: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    answer(0x90, level, id, codes)
}

/// Before MQTT 5 it has no codes.
pub(super) fn unsuback(level: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    answer(0xb0, level, id, if level == 5 { codes } else { &[] })
}

fn answer(first: u8, level: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    body.extend(codes);
    packet(first, &body)
}
