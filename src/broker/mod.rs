//! The broker as the gateway sees it: publish a message, receive those of a filter, learn whether it lives.
//!
//! This is a port with rooms behind it. Today there is one, `rumqttd`; nothing outside this folder knows which.
//! A `Broker` makes links, each a pair of [`Publisher`] and [`Subscriber`]: one port, one task, one link.

mod config;
mod native;
#[cfg_attr(not(feature = "rumqttd"), path = "without_rumqttd.rs")]
mod rumqttd;
pub(crate) mod secret;

pub use config::{
    Access, Address, Config, Engine, Fault, Listener, Password, Rule, Rumqttd, Tls, Transport, User, Version,
    WhenQueueFull,
};
pub(crate) use native::{AccessFile, with_password};
pub use rumqttd::report;

/// What the fuzz targets bring bytes to.
#[cfg(feature = "fuzz")]
pub mod trial {
    /// Bytes of a connection.
    pub fn packets(bytes: &[u8]) {
        super::native::packets::run(bytes);
    }

    /// A sequence of events for the session machine.
    pub fn sessions(bytes: &[u8]) {
        super::native::sessions::run(bytes);
    }
}

use crate::read_any::read_any;
use crate::topic::{Filter, Topic};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One message, on its way to or from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it is published.
    pub topic: Topic,
    /// What it says. An empty payload with `retain` clears the topic's retained message.
    pub payload: Bytes,
    /// Publishing: what is asked for. Receiving: what the subscription asked for.
    pub qos: Qos,
    /// Publishing: the broker keeps it for those who subscribe later. Receiving: it was kept, not published now.
    pub retain: bool,
    /// What MQTT 5 says beside that; most have nothing.
    pub beside: Option<Box<Beside>>,
}

/// What is said beside a message, mostly by MQTT 5, as far as the gateway has use for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// Receiving: when it is too old to be of use.
    pub expires: Option<Instant>,
    /// Receiving: where its publisher wants to hear what became of it.
    pub response: Option<Topic>,
    /// What tells the publisher's requests apart.
    pub correlation: Option<Bytes>,
    /// Receiving with quality of service 1: who has sent it, and under which id.
    pub sent: Option<Sent>,
}

/// Who has sent a message of quality of service 1, and under which id: one that is sent again because no
/// acknowledgement came has the same (MQTT 5 section 4.4). To the broker it is another message all the same (section
/// 4.3.2); who receives it may know better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The client's id.
    pub client: Bytes,
    /// The packet's id.
    pub id: u16,
    /// Whether it says that it may have been sent before: DUP.
    pub again: bool,
}

/// How surely a message is delivered (MQTT section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Qos {
    /// 0: at most once, nobody acknowledges.
    #[default]
    AtMostOnce,
    /// 1: at least once, acknowledged, may come twice.
    AtLeastOnce,
    /// 2: exactly once, acknowledged twice.
    ExactlyOnce,
}

/// An MQTT broker inside this process, with its listeners.
#[derive(Debug)]
pub struct Broker {
    room: Room,
}

/// The engine that was chosen.
#[derive(Debug)]
enum Room {
    Native(native::Room),
    Rumqttd(rumqttd::Room),
}

/// Does the same with either.
macro_rules! with {
    ($kind:ident, $room:expr, $name:ident => $act:expr) => {
        match $room {
            $kind::Native($name) => $act,
            $kind::Rumqttd($name) => $act,
        }
    };
}

impl Broker {
    /// Starts the broker and binds every listener; where one cannot be, nothing is left running.
    pub async fn start(config: &Config) -> Result<Broker, StartError> {
        match config.engine {
            Engine::Native => native::Room::start(config).await.map(Room::Native),
            Engine::Rumqttd => rumqttd::Room::start(config).await.map(Room::Rumqttd),
        }
        .map(|room| Broker { room })
    }

    /// Where clients may connect: the addresses really bound, in the configuration's order.
    pub fn addresses(&self) -> &[Bound] {
        with!(Room, &self.room, room => room.addresses())
    }

    /// A way in and out for one port: what it publishes, and what comes in for `filters`.
    ///
    /// `name` appears in the broker's log. At most `depth` received messages wait; then the oldest goes.
    pub async fn link(
        &self,
        name: &str,
        filters: &[(Filter, Qos)],
        depth: usize,
    ) -> Result<(Publisher, Subscriber), LinkError> {
        Ok(match &self.room {
            Room::Native(room) => {
                let (publisher, subscriber) = room.link(name, filters, depth).await?;
                let publisher = Publisher {
                    room: PublisherRoom::Native(publisher),
                };
                let subscriber = Subscriber {
                    room: SubscriberRoom::Native(subscriber),
                };
                (publisher, subscriber)
            }
            Room::Rumqttd(room) => {
                let (publisher, subscriber) = room.link(name, filters, depth).await?;
                let publisher = Publisher {
                    room: PublisherRoom::Rumqttd(publisher),
                };
                let subscriber = Subscriber {
                    room: SubscriberRoom::Rumqttd(subscriber),
                };
                (publisher, subscriber)
            }
        })
    }

    /// Waits until the broker is no more, which is never while all is well.
    pub async fn died(&self) -> Died {
        with!(Room, &self.room, room => room.died().await)
    }

    /// Sends something across the broker and says how long it took; a broker that doesn't answer is dead.
    pub async fn probe(&self) -> Result<Duration, Died> {
        with!(Room, &self.room, room => room.probe().await)
    }

    /// Messages that the broker dropped because a network subscriber lagged too far, since the process
    /// began. Counted only where [`report`] is part of the `tracing` subscriber.
    pub fn lost(&self) -> u64 {
        match &self.room {
            Room::Native(room) => room.lost(),
            Room::Rumqttd(_) => rumqttd::lost(),
        }
    }

    /// Lets clients that connect from now on wait for what another configuration says of them, until what this gives
    /// is dropped. Those that are connected go on.
    pub fn hold(&self) -> Hold {
        match &self.room {
            Room::Native(room) => Hold(Some(room.hold())),
            Room::Rumqttd(_) => Hold(None),
        }
    }

    /// Takes another configuration, as far as a running broker can: [`Config::fixed`] names what it can't. The files
    /// that tell who may connect and what they may do are read again. What can't be is an error, and changes
    /// nothing.
    pub async fn reload(&mut self, config: &Config) -> Result<Reloaded, StartError> {
        match &mut self.room {
            Room::Native(room) => room.reload(config).await,
            // It takes all at the start alone.
            Room::Rumqttd(_) => Ok(Reloaded::default()),
        }
    }

    /// Closes the listeners, in bounded time: their addresses are free again.
    pub async fn stop(self) {
        with!(Room, self.room, room => room.stop().await);
    }
}

/// See [`Broker::hold`].
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "what counts is when it is dropped")] Option<native::Hold>);

/// The publishing half of a link. What goes in here comes out in order.
#[derive(Debug)]
pub struct Publisher {
    room: PublisherRoom,
}

#[derive(Debug)]
enum PublisherRoom {
    Native(native::Publisher),
    Rumqttd(rumqttd::Publisher),
}

impl Publisher {
    /// Publishes without waiting, or gives the message back.
    pub fn offer(&mut self, message: Message) -> Result<(), Refused> {
        with!(PublisherRoom, &mut self.room, room => room.offer(message))
    }

    /// Publishes, and waits first while the broker is behind. Cancelled, it has not published.
    pub async fn publish(&mut self, message: Message) -> Result<(), PublishError> {
        with!(PublisherRoom, &mut self.room, room => room.publish(message).await)
    }

    /// Waits until the broker has taken everything that was published here. Safe to cancel.
    pub async fn flush(&mut self) -> Result<(), Died> {
        with!(PublisherRoom, &mut self.room, room => room.flush().await)
    }

    /// Messages that the broker has not taken yet.
    pub fn depth(&self) -> usize {
        with!(PublisherRoom, &self.room, room => room.depth())
    }
}

/// The receiving half of a link.
#[derive(Debug)]
pub struct Subscriber {
    room: SubscriberRoom,
}

#[derive(Debug)]
enum SubscriberRoom {
    Native(native::Subscriber),
    Rumqttd(rumqttd::Subscriber),
}

impl Subscriber {
    /// The next message of the link's filters. Safe to cancel.
    pub async fn next(&mut self) -> Result<Message, Died> {
        with!(SubscriberRoom, &mut self.room, room => room.next().await)
    }

    /// Messages that went because nobody took them in time: the oldest first.
    pub fn dropped(&self) -> u64 {
        with!(SubscriberRoom, &self.room, room => room.dropped())
    }
}

/// What became of the listeners when the configuration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Where clients may connect now and could not before.
    pub opened: Vec<Bound>,
    /// Where they could. Those who were there have been sent away.
    pub closed: Vec<Bound>,
}

/// A listener as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Address and port, or the path of a Unix socket.
    pub address: Address,
    /// The one protocol version that is spoken there; none where all are.
    pub version: Option<Version>,
    /// TCP or WebSocket.
    pub transport: Transport,
    /// Whether it is encrypted.
    pub tls: bool,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.transport, self.tls) {
            (Transport::Tcp, false) => "mqtt",
            (Transport::Tcp, true) => "mqtts",
            (Transport::Websocket, false) => "ws",
            (Transport::Websocket, true) => "wss",
        };
        write!(f, "{scheme}://{}", self.address)?;
        match self.version {
            Some(version) => write!(f, " (MQTT {version})"),
            None => f.write_str(" (MQTT 3.1, 3.1.1 and 5)"),
        }
    }
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(Fault),
    /// A listener's address could not be bound.
    #[error("the broker cannot listen on {address}")]
    Bind {
        /// The address as configured.
        address: Address,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A TLS file is missing, unreadable or not what it should be.
    #[error("the {what} {} cannot be used", path.display())]
    Tls {
        /// "certificate" or "key".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// Users, rules, or their files.
    #[error("who may connect can't be read")]
    Access(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The folder for what is to be remembered.
    #[error("the broker's memory can't be used")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The broker did not answer its first probe.
    #[error("the broker did not come up")]
    Dead(#[from] Died),
}

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker can never deliver what this filter asks for.
    #[error("the filter \"{filter}\" cannot be used: {why}")]
    Filter {
        /// The filter.
        filter: Filter,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The broker took no more connections.
    #[error("the broker has no room for the link \"{0}\"")]
    NoRoom(String),
    /// The broker is no more.
    #[error(transparent)]
    Dead(#[from] Died),
}

/// Why an offered message was not published.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The broker is behind: here is the message again.
    #[error("the broker is behind")]
    Full(Message),
    /// The broker can never deliver this topic.
    #[error("cannot publish to \"{topic}\": {why}")]
    Topic {
        /// The topic.
        topic: Topic,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The broker is no more.
    #[error(transparent)]
    Dead(Died),
}

/// Why a message could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker can never deliver this topic.
    #[error("cannot publish to \"{topic}\": {why}")]
    Topic {
        /// The topic.
        topic: Topic,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The broker is no more.
    #[error(transparent)]
    Dead(#[from] Died),
}

/// The broker is no more, and how that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Died {
    /// Its core has ended: a link to it was cut.
    #[error("the broker has died")]
    Cut,
    /// It took too long to answer a probe.
    #[error("the broker does not answer")]
    Silent,
    /// A listener has ended.
    #[error("the broker's listener on {0} has died")]
    Listener(SocketAddr),
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

read_any!(
    Qos,
    "a quality of service: 0 (at most once), 1 (at least once) or 2 (exactly once)",
    {
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Qos, E> {
            match number {
                0 => Ok(Qos::AtMostOnce),
                1 => Ok(Qos::AtLeastOnce),
                2 => Ok(Qos::ExactlyOnce),
                _ => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
            }
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Qos, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
            }
        }
    }
);

impl JsonSchema for Qos {
    fn schema_name() -> Cow<'static, str> {
        "Qos".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "0: at most once. 1: at least once. 2: exactly once.",
            "type": "integer",
            "enum": [0, 1, 2],
        })
    }
}
