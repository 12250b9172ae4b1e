//! A message as the broker holds it: shared by all who are to get it.

use super::super::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

/// A published message. It is made once and shared: what differs between its receivers (quality of service,
/// retain flag, subscription identifiers) stands beside it where it waits for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where it was published.
    pub(crate) topic: ByteString,
    /// What it says.
    pub(crate) payload: Bytes,
    /// The quality of service that it was published with.
    pub(crate) qos: Qos,
    /// Whether it was published to be retained.
    pub(crate) retain: bool,
    /// When it is too old to be delivered.
    pub(crate) expires: Option<Instant>,
    /// The properties of MQTT 5 that go to its receivers unaltered, as they stood in the packet; most have none.
    pub(crate) properties: Option<Bytes>,
}

impl Message {
    /// One that says nothing.
    pub(crate) fn empty() -> Message {
        Message {
            topic: ByteString::new(),
            payload: Bytes::new(),
            qos: Qos::AtMostOnce,
            retain: false,
            expires: None,
            properties: None,
        }
    }
}

/// A client as the rules know it: what it may do follows from this.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Who {
    /// The name it is known by: of its password, or its certificate.
    pub(crate) user: Option<ByteString>,
    pub(crate) client: ByteString,
    /// The name of the listener that it came by: its address, as it is configured. Empty where that is not known.
    pub(crate) listener: ByteString,
}

/// A retained message, and who published it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) message: Arc<Message>,
    /// None where it was ourselves. What a client may publish is asked when the message is delivered, too: a change of
    /// the rules counts.
    pub(crate) source: Option<Arc<Who>>,
}

/// How a client subscribes (MQTT 5 section 3.8.3.1); for older clients all but the quality of service is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Options {
    /// The highest quality of service to deliver with.
    pub(crate) qos: Qos,
    /// Whether the client's own messages are left out.
    pub(crate) no_local: bool,
    /// Whether the retain flag is delivered as it was published.
    pub(crate) retain_as_published: bool,
    /// Which retained messages are sent when it is made: 0 all, 1 all if it is new, 2 none.
    pub(crate) retain_handling: u8,
    /// The number that the client gave it.
    pub(crate) id: Option<NonZeroU32>,
}
