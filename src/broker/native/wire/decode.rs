//! Bytes of a connection to packets.

use super::super::message::Options;
use super::{Connect, Fault, Packet, Publish, Version, Will, qos, raw, reason, strict};
use bytes::{Buf as _, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::{MQTT_LEVEL_31, Publish as CodecPublish};
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::Decoder as _;

/// Room that is made for a packet of which only the head has come.
const MOST_AHEAD: usize = 64 * 1024;

/// The longest CONNECT: a client id, a will's topic and payload, a name and a password of 64 KiB each, which is as long as
/// they can be, and as much again for properties. Nobody knows yet who sends it.
pub(crate) const LONGEST_CONNECT: usize = 640 * 1024;

/// Takes packets from a connection's bytes. The version is that of the CONNECT.
#[derive(Debug)]
pub(crate) struct Decoder {
    version: Option<Version>,
    three: v3::Codec,
    five: v5::Codec,
    /// The longest packet, with its header.
    longest: usize,
}

impl Decoder {
    /// A decoder that has seen nothing yet, and takes packets of at most `longest` bytes.
    pub(crate) fn new(longest: usize) -> Decoder {
        Decoder {
            version: None,
            three: v3::Codec::new(0),
            five: v5::Codec::new(0, 0),
            longest,
        }
    }

    /// The version that the CONNECT named.
    pub(crate) fn version(&self) -> Option<Version> {
        self.version
    }

    /// The next packet, or `None` when more bytes are needed. A fault is the end: what follows can't be read.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, Fault> {
        let Some((head, length)) = header(bytes)? else {
            return Ok(None);
        };
        let longest = match self.version {
            Some(_) => self.longest,
            None => self.longest.min(LONGEST_CONNECT),
        };
        if head + length > longest {
            let what = "the packet is longer than is allowed";
            return Err(Fault::new(reason::PACKET_TOO_LARGE, what));
        }
        // What can't come well is refused at its first byte, and not awaited.
        let first = bytes[0];
        if self.version.is_none() && first != 0x10 {
            return Err(Fault::protocol("the first packet is not a CONNECT"));
        }
        if bytes.len() < head + length {
            // Room for what is coming, but no more than a client has shown that it sends.
            bytes.reserve((head + length - bytes.len()).min(MOST_AHEAD));
            return Ok(None);
        }
        let first = if self.version == Some(Version::V31) && matches!(first >> 4, 6 | 8 | 10) {
            // MQTT 3.1 has DUP there; the codec knows the later versions, where it is reserved.
            bytes[0] &= !DUP;
            bytes[0]
        } else {
            first
        };
        let body = &mut bytes[head..head + length];
        strict::check(self.version, first, body)?;
        let version = *self.version.get_or_insert_with(|| {
            // The name's length tells 3.1 ("MQIsdp") from the others; strict has seen that the level is there.
            match (body[1], body.get(6)) {
                (6, _) => Version::V31,
                (_, Some(5)) => Version::V5,
                _ => Version::V311,
            }
        });
        if let Some(packet) = acknowledgement(first, body) {
            bytes.advance(head + length);
            return Ok(Some(packet));
        }
        let packet = if version.is_five() {
            let seen = Seen::of(first, body)?;
            let packet = self.five.decode(bytes).map_err(fault)?;
            packet.map(|(packet, _)| from_five(packet, seen))
        } else {
            let packet = self.three.decode(bytes).map_err(fault)?;
            packet.map(|(packet, _)| from_three(packet))
        };
        // The whole packet was there.
        packet
            .unwrap_or(Err(Fault::malformed("the packet is shorter than it says")))
            .map(Some)
    }
}

const DUP: u8 = 0x08;

/// An acknowledgement that is a packet id alone: a publisher's or a reader's every other packet is one. The codec reads
/// it as well, but makes a buffer of each.
fn acknowledgement(first: u8, body: &[u8]) -> Option<Packet> {
    let id = NonZeroU16::new(u16::from_be_bytes(body.try_into().ok()?))?;
    Some(match first {
        0x40 => Packet::Puback(id),
        0x50 => Packet::Pubrec(id, reason::SUCCESS),
        0x62 => Packet::Pubrel(id),
        0x70 => Packet::Pubcomp(id),
        _ => return None,
    })
}

/// What is taken from a packet of MQTT 5 before the codec has it.
#[derive(Default)]
struct Seen {
    /// Of a PUBLISH, or of a will.
    message: raw::Said,
    session_expiry: bool,
}

impl Seen {
    fn of(first: u8, body: &mut [u8]) -> Result<Seen, Fault> {
        match first >> 4 {
            1 => {
                let (own, will) = strict::connect_properties(body)?;
                let session_expiry = raw::says_session_expiry(&body[own.clone()]);
                let message = match will {
                    Some(will) => raw::of_message(&mut body[will])?,
                    None => raw::Said::default(),
                };
                strict::imply_clean_start(body, &own);
                Ok(Seen {
                    message,
                    session_expiry,
                })
            }
            3 => {
                let range = strict::publish_properties(first, body)?;
                Ok(Seen {
                    message: raw::of_message(&mut body[range])?,
                    session_expiry: false,
                })
            }
            _ => Ok(Seen::default()),
        }
    }
}

/// The lengths of a packet's header and body, where the header is whole.
fn header(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut length = 0;
    for (i, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((i + 2, length)));
        }
    }
    if bytes.len() >= 5 {
        return Err(Fault::malformed("the packet's length is longer than four bytes"));
    }
    Ok(None)
}

fn fault(error: DecodeError) -> Fault {
    let code = match error {
        DecodeError::InvalidClientId => reason::CLIENT_ID_NOT_VALID,
        DecodeError::InvalidTopicName => reason::TOPIC_NAME_INVALID,
        _ => reason::MALFORMED_PACKET,
    };
    let what = match error {
        DecodeError::InvalidClientId => "an empty client id without a clean session",
        DecodeError::InvalidTopicName => "an empty topic",
        DecodeError::InvalidTopicFilter => "an empty filter, or none",
        DecodeError::Utf8Error => "a string is not UTF-8",
        DecodeError::UnsupportedPacketType => "reserved bits of the fixed header are set",
        _ => "the packet is malformed",
    };
    Fault::new(code, what)
}

fn from_three(packet: v3::Packet) -> Result<Packet, Fault> {
    Ok(match packet {
        v3::Packet::Connect(connect) => Packet::Connect(Box::new(Connect {
            version: if connect.protocol.0 == MQTT_LEVEL_31 {
                Version::V31
            } else {
                Version::V311
            },
            client: connect.client_id,
            clean: connect.clean_session,
            keep_alive: connect.keep_alive,
            expiry: if connect.clean_session { 0 } else { u32::MAX },
            expiry_said: true,
            receive_maximum: u16::MAX,
            maximum_packet: None,
            alias_maximum: 0,
            problem_information: false,
            auth_method: None,
            user: connect.username,
            password: connect.password,
            will: connect.last_will.map(|will| Will {
                delay: 0,
                topic: will.topic,
                payload: will.message,
                qos: qos(will.qos),
                retain: will.retain,
                expiry: None,
                properties: None,
            }),
        })),
        v3::Packet::Publish(publish) => Packet::Publish(from_publish(*publish)?),
        v3::Packet::PublishAck { packet_id } => Packet::Puback(packet_id),
        v3::Packet::PublishReceived { packet_id } => Packet::Pubrec(packet_id, 0),
        v3::Packet::PublishRelease { packet_id } => Packet::Pubrel(packet_id),
        v3::Packet::PublishComplete { packet_id } => Packet::Pubcomp(packet_id),
        v3::Packet::Subscribe {
            packet_id,
            topic_filters,
        } => Packet::Subscribe {
            id: packet_id,
            filters: topic_filters
                .into_iter()
                .map(|(filter, asked)| {
                    let options = Options {
                        qos: qos(asked),
                        ..Options::default()
                    };
                    (filter, options)
                })
                .collect(),
        },
        v3::Packet::Unsubscribe {
            packet_id,
            topic_filters,
        } => Packet::Unsubscribe {
            id: packet_id,
            filters: topic_filters,
        },
        v3::Packet::PingRequest => Packet::Pingreq,
        v3::Packet::Disconnect => Packet::Disconnect {
            code: 0,
            expiry: None,
        },
        _ => return Err(Fault::protocol("a packet that only a server sends")),
    })
}

fn from_five(packet: v5::Packet, seen: Seen) -> Result<Packet, Fault> {
    Ok(match packet {
        v5::Packet::Connect(connect) => Packet::Connect(Box::new(connect_five(*connect, seen)?)),
        v5::Packet::Publish(publish) => Packet::Publish(Publish {
            expiry: seen.message.expiry,
            properties: seen.message.passed,
            ..from_publish(*publish)?
        }),
        v5::Packet::PublishAck(ack) => Packet::Puback(ack.packet_id),
        v5::Packet::PublishReceived(ack) => Packet::Pubrec(ack.packet_id, ack.reason_code.into()),
        v5::Packet::PublishRelease(ack) => Packet::Pubrel(ack.packet_id),
        v5::Packet::PublishComplete(ack) => Packet::Pubcomp(ack.packet_id),
        v5::Packet::Subscribe(subscribe) => Packet::Subscribe {
            id: subscribe.packet_id,
            filters: subscribe
                .topic_filters
                .into_iter()
                .map(|(filter, asked)| {
                    let options = Options {
                        qos: qos(asked.qos),
                        no_local: asked.no_local,
                        retain_as_published: asked.retain_as_published,
                        retain_handling: asked.retain_handling.into(),
                        id: subscribe.id,
                    };
                    (filter, options)
                })
                .collect(),
        },
        v5::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe {
            id: unsubscribe.packet_id,
            filters: unsubscribe.topic_filters,
        },
        v5::Packet::PingRequest => Packet::Pingreq,
        v5::Packet::Disconnect(disconnect) => Packet::Disconnect {
            code: disconnect.reason_code.into(),
            expiry: disconnect.session_expiry_interval_secs,
        },
        v5::Packet::Auth(_) => Packet::Auth,
        _ => return Err(Fault::protocol("a packet that only a server sends")),
    })
}

fn connect_five(connect: v5::Connect, seen: Seen) -> Result<Connect, Fault> {
    if connect.auth_data.is_some() && connect.auth_method.is_none() {
        return Err(Fault::protocol("authentication data without a method"));
    }
    let will = connect.last_will.map(|will| {
        response(&will.response_topic)?;
        Ok(Will {
            delay: will.will_delay_interval_sec.unwrap_or(0),
            topic: will.topic,
            payload: will.message,
            qos: qos(will.qos),
            retain: will.retain,
            expiry: seen.message.expiry,
            properties: seen.message.passed,
        })
    });
    Ok(Connect {
        version: Version::V5,
        client: connect.client_id,
        clean: connect.clean_start,
        keep_alive: connect.keep_alive,
        expiry: connect.session_expiry_interval_secs,
        expiry_said: seen.session_expiry,
        receive_maximum: connect.receive_max.map_or(u16::MAX, |maximum| maximum.get()),
        maximum_packet: connect.max_packet_size.map(NonZeroU32::get),
        alias_maximum: connect.topic_alias_max,
        problem_information: connect.request_problem_info,
        auth_method: connect.auth_method,
        user: connect.username,
        password: connect.password,
        will: will.transpose()?,
    })
}

fn from_publish(publish: CodecPublish) -> Result<Publish, Fault> {
    let mut alias = None;
    if let Some(said) = publish.properties {
        if !said.subscription_ids.is_empty() {
            // MQTT-3.3.4-6.
            return Err(Fault::protocol(
                "a client's PUBLISH holds a subscription identifier",
            ));
        }
        alias = said.topic_alias;
        response(&said.response_topic)?;
    }
    if publish.topic.is_empty() && alias.is_none() {
        return Err(Fault::malformed("an empty topic without an alias"));
    }
    Ok(Publish {
        dup: publish.dup,
        qos: qos(publish.qos),
        retain: publish.retain,
        topic: publish.topic,
        id: publish.packet_id,
        payload: publish.payload,
        alias,
        expiry: None,
        properties: None,
    })
}

/// MQTT-3.3.2-14: a response topic is a topic name.
fn response(topic: &Option<ByteString>) -> Result<(), Fault> {
    match topic {
        Some(topic) if topic.is_empty() || topic.contains(['+', '#', '\0']) => {
            Err(Fault::protocol("the response topic is not a topic name"))
        }
        _ => Ok(()),
    }
}
