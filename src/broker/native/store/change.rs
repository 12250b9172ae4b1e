//! What the store is told, and what it tells at the start.

use super::super::message::{Kept, Message, Options};
use super::super::wire::Will;
use crate::broker::Qos;
use bytestring::ByteString;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

/// Something that is to be remembered, or not any more. What is of a session counts only while its `Session` does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// Keeps a message for its topic, instead of the one before.
    Retain(Kept),
    /// Keeps none for this topic.
    Unretain { topic: ByteString },
    /// Begins a session, or says how it is now.
    Session {
        client: ByteString,
        record: SessionRecord,
    },
    /// Ends a session, with everything of it.
    Forget { client: ByteString },
    /// Makes or replaces a subscription.
    Subscribe {
        client: ByteString,
        filter: ByteString,
        options: Options,
    },
    /// Ends a subscription.
    Unsubscribe { client: ByteString, filter: ByteString },
    /// A message waits for the client. Numbers order those of a session, and none is used twice.
    Queue {
        client: ByteString,
        seq: u64,
        /// Which it is to have when it is sent.
        packet_id: Option<NonZeroU16>,
        message: Arc<Message>,
        qos: Qos,
        retain: bool,
        ids: Vec<NonZeroU32>,
    },
    /// A message that waited is on its way, or (`released`) its PUBREC has come.
    Sent {
        client: ByteString,
        seq: u64,
        packet_id: u16,
        released: bool,
    },
    /// A message has been acknowledged, or dropped.
    Done { client: ByteString, seq: u64 },
    /// A QoS 2 message has come from the client, and is passed on.
    Received { client: ByteString, packet_id: u16 },
    /// Its PUBREL has come, too.
    Released { client: ByteString, packet_id: u16 },
}

impl Change {
    /// Whether it may be written a little later: forgotten, it makes a message come twice that may come twice.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(self, Change::Done { .. })
    }

    /// What it takes in memory, roughly and at most.
    pub(super) fn weight(&self) -> usize {
        128 + match self {
            Change::Retain(Kept { message, .. }) => message.topic.len() + message.payload.len(),
            Change::Queue { client, message, .. } => {
                client.len() + message.topic.len() + message.payload.len()
            }
            Change::Unretain { topic } => topic.len(),
            Change::Session { client, record } => {
                let will = record.will.as_ref();
                client.len() + will.map_or(0, |(_, will)| will.topic.len() + will.payload.len())
            }
            Change::Subscribe { client, filter, .. } | Change::Unsubscribe { client, filter } => {
                client.len() + filter.len()
            }
            Change::Forget { client }
            | Change::Sent { client, .. }
            | Change::Done { client, .. }
            | Change::Received { client, .. }
            | Change::Released { client, .. } => client.len(),
        }
    }
}

/// What is known of a session beside its subscriptions and messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionRecord {
    /// How long it outlives its connection, in seconds; `u32::MAX` is for ever.
    pub(crate) expiry: u32,
    /// As whom the client logged in.
    pub(crate) user: Option<ByteString>,
    /// The name of the listener that it came by last.
    pub(crate) listener: ByteString,
    /// How long the client has been away; `None` while it is connected.
    pub(crate) away: Option<Duration>,
    /// The last packet id that was given to a message, 0 if none was. What waits may have later ones.
    pub(crate) last_id: u16,
    /// A will that is due later, and when.
    pub(crate) will: Option<(Duration, Will)>,
}

/// What was remembered.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) retained: Vec<Kept>,
    /// Those whose time has passed meanwhile are not among them, unless their will is still to be published: such
    /// a one is as it was, but nothing waits in it.
    pub(crate) sessions: Vec<LoadedSession>,
}

/// A session as it was.
#[derive(Debug)]
pub(crate) struct LoadedSession {
    pub(crate) client: ByteString,
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: Vec<(ByteString, Options)>,
    /// In the order of their numbers.
    pub(crate) queue: Vec<LoadedMessage>,
    /// Packet ids of QoS 2 messages that have come and are not released.
    pub(crate) received: Vec<u16>,
}

/// A message that waits for its client.
#[derive(Debug)]
pub(crate) struct LoadedMessage {
    pub(crate) seq: u64,
    /// The packet id that it was given when it began to wait.
    pub(crate) packet_id: Option<NonZeroU16>,
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    /// Its packet id, if it was on its way, and whether its PUBREC had come.
    pub(crate) sent: Option<(u16, bool)>,
}
