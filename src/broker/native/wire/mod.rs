//! Packets on the wire, by the crate `rmqtt-codec`: bytes to what a client asks, and what is said to it to bytes.
//!
//! The only folder that names the crate. It decodes and encodes; `strict.rs` refuses what it lets pass though the
//! standard does not. The three versions of the protocol are one here: what an older one lacks is left empty.

mod decode;
mod encode;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod heard;
mod raw;
mod strict;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod trial;

pub(crate) use decode::{Decoder, LONGEST_CONNECT};
pub(crate) use encode::{Delivery, Encoder, Scratch};
pub(crate) use strict::UNKNOWN_NEW;

use super::message::Options;
use crate::broker::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;
use std::num::NonZeroU16;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// MQTT 3.1, which old devices speak.
    V31,
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

impl Version {
    pub(crate) fn is_five(self) -> bool {
        self == Version::V5
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V31 => "3.1",
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        })
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect(Box<Connect>),
    Publish(Publish),
    Puback(NonZeroU16),
    /// With its reason code: 0x80 and above refuse the message.
    Pubrec(NonZeroU16, u8),
    Pubrel(NonZeroU16),
    Pubcomp(NonZeroU16),
    Subscribe {
        id: NonZeroU16,
        filters: Vec<(ByteString, Options)>,
    },
    Unsubscribe {
        id: NonZeroU16,
        filters: Vec<ByteString>,
    },
    Pingreq,
    Disconnect {
        code: u8,
        expiry: Option<u32>,
    },
    Auth,
}

/// A client's first packet (MQTT 5 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client: ByteString,
    pub(crate) clean: bool,
    /// In seconds; 0: none.
    pub(crate) keep_alive: u16,
    /// How long the session is to outlive the connection, in seconds; `u32::MAX`: for ever.
    pub(crate) expiry: u32,
    /// Whether the client has said so, and it isn't 0 for want of a word.
    pub(crate) expiry_said: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet: Option<u32>,
    pub(crate) alias_maximum: u16,
    /// Whether it wants reason strings (MQTT 5 section 3.1.2.11.7).
    pub(crate) problem_information: bool,
    pub(crate) auth_method: Option<ByteString>,
    pub(crate) user: Option<ByteString>,
    pub(crate) password: Option<Bytes>,
    pub(crate) will: Option<Will>,
}

/// What is published when a client is gone without a word (section 3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    /// Not to be published before the client has been away so long, in seconds.
    pub(crate) delay: u32,
    pub(crate) topic: ByteString,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Seconds that it may wait for a receiver.
    pub(crate) expiry: Option<u32>,
    /// Those that go to the receivers, as they stand.
    pub(crate) properties: Option<Bytes>,
}

/// A message that a client publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// May be empty with an alias.
    pub(crate) topic: ByteString,
    pub(crate) id: Option<NonZeroU16>,
    pub(crate) payload: Bytes,
    pub(crate) alias: Option<NonZeroU16>,
    /// Seconds that it may wait for a receiver.
    pub(crate) expiry: Option<u32>,
    /// Those that go to the receivers, as they stand.
    pub(crate) properties: Option<Bytes>,
}

/// What is wrong with a client's bytes: its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Fault {
    /// The reason code of MQTT 5 (section 2.4).
    pub(crate) code: u8,
    /// What it was.
    pub(crate) what: &'static str,
    /// Whether the connection ends without a DISCONNECT, as with mosquitto where the packet makes no sense at all.
    pub(crate) mute: bool,
}

impl Fault {
    pub(crate) const fn malformed(what: &'static str) -> Fault {
        Fault::new(reason::MALFORMED_PACKET, what)
    }

    pub(crate) const fn protocol(what: &'static str) -> Fault {
        Fault::new(reason::PROTOCOL_ERROR, what)
    }

    pub(crate) const fn mute(what: &'static str) -> Fault {
        Fault {
            code: reason::PROTOCOL_ERROR,
            what,
            mute: true,
        }
    }

    pub(crate) const fn new(code: u8, what: &'static str) -> Fault {
        let mute = false;
        Fault { code, what, mute }
    }
}

/// Reason codes of MQTT 5 (section 2.4). Older versions have their own for a CONNACK, which the encoder knows.
pub(crate) mod reason {
    pub(crate) const SUCCESS: u8 = 0x00;
    pub(crate) const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
    pub(crate) const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
    pub(crate) const UNSPECIFIED: u8 = 0x80;
    pub(crate) const MALFORMED_PACKET: u8 = 0x81;
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(crate) const CLIENT_ID_NOT_VALID: u8 = 0x85;
    pub(crate) const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
    pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
    pub(crate) const SERVER_BUSY: u8 = 0x89;
    pub(crate) const SERVER_SHUTTING_DOWN: u8 = 0x8b;
    pub(crate) const BAD_AUTHENTICATION_METHOD: u8 = 0x8c;
    pub(crate) const KEEP_ALIVE_TIMEOUT: u8 = 0x8d;
    pub(crate) const SESSION_TAKEN_OVER: u8 = 0x8e;
    pub(crate) const TOPIC_FILTER_INVALID: u8 = 0x8f;
    pub(crate) const TOPIC_NAME_INVALID: u8 = 0x90;
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
    pub(crate) const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
    pub(crate) const TOPIC_ALIAS_INVALID: u8 = 0x94;
    pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
    pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
    pub(crate) const ADMINISTRATIVE_ACTION: u8 = 0x98;
    pub(crate) const RETAIN_NOT_SUPPORTED: u8 = 0x9a;
    pub(crate) const QOS_NOT_SUPPORTED: u8 = 0x9b;

    /// What a code means in an acknowledgement, for a person.
    pub(super) fn text(code: u8) -> Option<&'static str> {
        Some(match code {
            NOT_AUTHORIZED => "not allowed for this client",
            PACKET_TOO_LARGE => "the message is larger than is allowed",
            TOPIC_FILTER_INVALID => "not the filter of a shared subscription",
            QUOTA_EXCEEDED => "as many subscriptions as are allowed",
            PACKET_ID_NOT_FOUND => "nothing is on its way with this packet id",
            _ => return None,
        })
    }
}

/// The answer to a CONNECT (MQTT 5 section 3.2).
#[derive(Debug, Clone, Default)]
pub(crate) struct Connack {
    pub(crate) code: u8,
    /// Why a client is not taken in, for a person.
    pub(crate) why: Option<&'static str>,
    pub(crate) session_present: bool,
    pub(crate) assigned_client: Option<ByteString>,
    pub(crate) server_keep_alive: Option<u16>,
    pub(crate) receive_maximum: Option<NonZeroU16>,
    pub(crate) maximum_packet: Option<u32>,
    pub(crate) alias_maximum: u16,
    pub(crate) maximum_qos: Qos,
    pub(crate) retain_available: bool,
    /// Told where it is another than the client asked for.
    pub(crate) expiry: Option<u32>,
}

/// An acknowledgement of a PUBLISH, or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

fn qos(qos: rmqtt_codec::types::QoS) -> Qos {
    match qos {
        rmqtt_codec::types::QoS::AtMostOnce => Qos::AtMostOnce,
        rmqtt_codec::types::QoS::AtLeastOnce => Qos::AtLeastOnce,
        rmqtt_codec::types::QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}
