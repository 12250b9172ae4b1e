//! A message as the broker holds it: shared by all who are to get it.

use super::super::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::num::NonZeroU32;
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
    /// What MQTT 5 may say beside it; most messages say nothing.
    pub(crate) properties: Option<Box<Properties>>,
}

/// What a message of MQTT 5 carries from its publisher to its receivers unchanged (section 3.3.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties {
    /// The payload is UTF-8 text.
    pub(crate) utf8_payload: bool,
    /// What kind of thing the payload is.
    pub(crate) content_type: Option<ByteString>,
    /// Where an answer is awaited.
    pub(crate) response_topic: Option<ByteString>,
    /// What the answer should carry.
    pub(crate) correlation_data: Option<Bytes>,
    /// Names and values, in order.
    pub(crate) user: Vec<(ByteString, ByteString)>,
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
