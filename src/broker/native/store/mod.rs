//! What survives the end of the process: retained messages and sessions, on disk.

use super::message::{Message, Options};
use super::wire::Will;
use crate::broker::Qos;
use bytestring::ByteString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Something that is to be remembered, or not any more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Retain {
        message: Arc<Message>,
    },
    Unretain {
        topic: ByteString,
    },
    Session {
        client: ByteString,
        record: SessionRecord,
    },
    Forget {
        client: ByteString,
    },
    Subscribe {
        client: ByteString,
        filter: ByteString,
        options: Options,
    },
    Unsubscribe {
        client: ByteString,
        filter: ByteString,
    },
    Queue {
        client: ByteString,
        seq: u64,
        message: Arc<Message>,
        qos: Qos,
        retain: bool,
        ids: Vec<NonZeroU32>,
        packet_id: Option<u16>,
    },
    Sent {
        client: ByteString,
        seq: u64,
        packet_id: u16,
        released: bool,
    },
    Done {
        client: ByteString,
        seq: u64,
    },
    Received {
        client: ByteString,
        packet_id: u16,
        message: Arc<Message>,
    },
    Released {
        client: ByteString,
        packet_id: u16,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionRecord {
    pub(crate) expiry: u32,
    pub(crate) user: Option<ByteString>,
    /// How long the client has been away; `None` while it is connected.
    pub(crate) away: Option<Duration>,
    /// A will that is due later, and when.
    pub(crate) will: Option<(Duration, Will)>,
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) retained: Vec<Message>,
    pub(crate) sessions: Vec<LoadedSession>,
}

#[derive(Debug)]
pub(crate) struct LoadedSession {
    pub(crate) client: ByteString,
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: Vec<(ByteString, Options)>,
    pub(crate) queue: Vec<LoadedMessage>,
    pub(crate) received: Vec<(u16, Arc<Message>)>,
}

#[derive(Debug)]
pub(crate) struct LoadedMessage {
    pub(crate) seq: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    /// Its packet id, if it had one.
    pub(crate) packet_id: Option<u16>,
    /// If it was on its way: whether its PUBREC had come.
    pub(crate) sent: Option<bool>,
}
