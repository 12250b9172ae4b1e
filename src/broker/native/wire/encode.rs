//! What is said to a client, to bytes.

use super::super::message::Message;
use super::{Ack, Connack, Version, reason};
use crate::broker::Qos;
use bytes::{BufMut as _, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::v5::PublishAck2Reason;
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Instant;
use tokio_util::codec::Encoder as _;

/// Encodes for one connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    version: Version,
    /// The longest packet with a reason string in it; none: they are not sent.
    reasons: Option<usize>,
}

/// How a message goes to one receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery<'a> {
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// With QoS 1 and 2.
    pub(crate) id: Option<NonZeroU16>,
    /// The identifiers of the subscriptions that it is for.
    pub(crate) ids: &'a [NonZeroU32],
    /// A topic alias, and whether it stands in the place of the topic.
    pub(crate) alias: Option<(NonZeroU16, bool)>,
    /// How many bytes at the beginning of the topic are the mount point's.
    pub(crate) skip: usize,
}

/// One message's bytes as most of its receivers get them, made once: only flags and packet id are put in for each.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    slots: [Slot; 4],
}

#[derive(Debug, Default)]
struct Slot {
    made: bool,
    bytes: BytesMut,
    id_at: usize,
}

impl Scratch {
    /// The next message.
    pub(crate) fn begin(&mut self) {
        for slot in &mut self.slots {
            slot.made = false;
        }
    }
}

impl Encoder {
    pub(crate) fn new(version: Version) -> Encoder {
        let reasons = None;
        Encoder { version, reasons }
    }

    /// One that says why, too, in packets of at most this length (MQTT-3.2.2-19 and its like).
    pub(crate) fn with_reasons(version: Version, longest: usize) -> Encoder {
        let reasons = Some(longest).filter(|_| version.is_five());
        Encoder { version, reasons }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    fn three(&self, packet: v3::Packet, out: &mut BytesMut) {
        // Fails for a publish without a packet id alone, and `publish` has one where it must.
        let _ = v3::Codec::new(0).encode(packet, out);
    }

    fn five(&self, packet: v5::Packet, out: &mut BytesMut) {
        // Fails beyond 256 MiB alone, which no message here has.
        let _ = v5::Codec::new(0, 0).encode(packet, out);
    }

    /// The reason string for a code, if there is to be one in a packet that is `length` long without it.
    fn reason(&self, code: u8, why: Option<&'static str>, length: usize) -> Option<&'static str> {
        let longest = self.reasons.filter(|_| code >= reason::UNSPECIFIED)?;
        // The property's name, its length, and a byte more for each of two lengths that may grow by it.
        why.filter(|why| length + 3 + why.len() + 2 <= longest)
    }

    /// Nothing for an older client where its version has no code that says why it is refused.
    pub(crate) fn connack(&self, ack: &Connack, out: &mut BytesMut) {
        if !self.version.is_five() {
            // MQTT-3.2.2-6 of MQTT 3.1.1.
            let Some(return_code) = three_code(ack.code) else {
                return;
            };
            // MQTT 3.1 has no session present flag: the byte is reserved.
            let session_present = ack.session_present && self.version != Version::V31;
            let ack = v3::ConnectAck {
                return_code,
                session_present,
            };
            return self.three(v3::Packet::ConnectAck(ack), out);
        }
        let mut properties = BytesMut::new();
        connack_properties(ack, &mut properties);
        if let Some(why) = self.reason(ack.code, ack.why, 5 + properties.len()) {
            put_reason(why, &mut properties);
        }
        let length = u32::try_from(properties.len()).unwrap_or(u32::MAX);
        let body = 2 + variable_length(length) + properties.len();
        out.put_u8(0x20);
        put_variable(u32::try_from(body).unwrap_or(u32::MAX), out);
        out.put_u8(ack.session_present.into());
        out.put_u8(ack.code);
        put_variable(length, out);
        out.put_slice(&properties);
    }

    /// The `code` of an older client's acknowledgement is left out: it has none.
    pub(crate) fn ack(&self, kind: Ack, packet_id: NonZeroU16, code: u8, out: &mut BytesMut) {
        if !self.version.is_five() {
            let packet = match kind {
                Ack::Puback => v3::Packet::PublishAck { packet_id },
                Ack::Pubrec => v3::Packet::PublishReceived { packet_id },
                Ack::Pubrel => v3::Packet::PublishRelease { packet_id },
                Ack::Pubcomp => v3::Packet::PublishComplete { packet_id },
            };
            return self.three(packet, out);
        }
        let one = || v5::PublishAck {
            packet_id,
            reason_code: code.try_into().unwrap_or(v5::PublishAckReason::UnspecifiedError),
            properties: Vec::new(),
            reason_string: None,
        };
        let two = || v5::PublishAck2 {
            packet_id,
            reason_code: match code {
                reason::PACKET_ID_NOT_FOUND => PublishAck2Reason::PacketIdNotFound,
                _ => PublishAck2Reason::Success,
            },
            properties: Vec::new(),
            reason_string: None,
        };
        let packet = match kind {
            Ack::Puback => v5::Packet::PublishAck(one()),
            Ack::Pubrec => v5::Packet::PublishReceived(one()),
            Ack::Pubrel => v5::Packet::PublishRelease(two()),
            Ack::Pubcomp => v5::Packet::PublishComplete(two()),
        };
        let start = out.len();
        self.five(packet, out);
        // The codec always writes the length of the properties, and knows fewer codes than there are.
        out[start + 4] = code;
        shorten(out, start, if code == reason::SUCCESS { 2 } else { 3 });
        self.append_reason(code, reason::text(code), start, out);
    }

    /// Puts a reason string behind a packet that has no properties, and not even their length.
    fn append_reason(&self, code: u8, why: Option<&'static str>, start: usize, out: &mut BytesMut) {
        let Some(why) = self.reason(code, why, out.len() - start + 1) else {
            return;
        };
        let mut properties = BytesMut::new();
        put_reason(why, &mut properties);
        // None of the texts is so long that a length would need two bytes.
        if let (Ok(length), Ok(body)) = (
            u8::try_from(properties.len()),
            u8::try_from(out.len() - start - 1 + properties.len()),
        ) && body < 0x80
        {
            out[start + 1] = body;
            out.put_u8(length);
            out.put_slice(&properties);
        }
    }

    /// The reason string of an acknowledgement of several filters: that of the first that was refused.
    fn reason_of(&self, codes: &[u8]) -> Option<ByteString> {
        let refused = codes.iter().find(|code| **code >= reason::UNSPECIFIED)?;
        let why = self.reason(*refused, reason::text(*refused), 8 + codes.len())?;
        Some(ByteString::from_static(why))
    }

    pub(crate) fn suback(&self, packet_id: NonZeroU16, codes: &[u8], out: &mut BytesMut) {
        if !self.version.is_five() {
            let status = codes.iter().map(|code| match code {
                0 => v3::SubscribeReturnCode::Success(v3::QoS::AtMostOnce),
                1 => v3::SubscribeReturnCode::Success(v3::QoS::AtLeastOnce),
                2 => v3::SubscribeReturnCode::Success(v3::QoS::ExactlyOnce),
                _ => v3::SubscribeReturnCode::Failure,
            });
            let status = status.collect();
            return self.three(v3::Packet::SubscribeAck { packet_id, status }, out);
        }
        let status = codes.iter().map(|code| {
            (*code)
                .try_into()
                .unwrap_or(v5::SubscribeAckReason::UnspecifiedError)
        });
        let ack = v5::SubscribeAck {
            packet_id,
            properties: Vec::new(),
            reason_string: self.reason_of(codes),
            status: status.collect(),
        };
        self.five(v5::Packet::SubscribeAck(ack), out);
    }

    pub(crate) fn unsuback(&self, packet_id: NonZeroU16, codes: &[u8], out: &mut BytesMut) {
        if !self.version.is_five() {
            return self.three(v3::Packet::UnsubscribeAck { packet_id }, out);
        }
        let status = codes.iter().map(|code| {
            (*code)
                .try_into()
                .unwrap_or(v5::UnsubscribeAckReason::UnspecifiedError)
        });
        let ack = v5::UnsubscribeAck {
            packet_id,
            properties: Vec::new(),
            reason_string: self.reason_of(codes),
            status: status.collect(),
        };
        self.five(v5::Packet::UnsubscribeAck(ack), out);
    }

    pub(crate) fn pingresp(&self, out: &mut BytesMut) {
        if self.version.is_five() {
            self.five(v5::Packet::PingResponse, out);
        } else {
            self.three(v3::Packet::PingResponse, out);
        }
    }

    /// Only MQTT 5 has it: an older client's connection just ends.
    pub(crate) fn disconnect(&self, code: u8, why: &'static str, out: &mut BytesMut) {
        if !self.version.is_five() {
            return;
        }
        let known = code
            .try_into()
            .unwrap_or(v5::DisconnectReasonCode::UnspecifiedError);
        let start = out.len();
        self.five(v5::Packet::Disconnect(v5::Disconnect::new(known)), out);
        shorten(out, start, 1);
        self.append_reason(code, Some(why), start, out);
    }

    /// Appends a PUBLISH, and says how long it is.
    pub(crate) fn publish(
        &self,
        message: &Message,
        delivery: Delivery<'_>,
        now: Instant,
        scratch: &mut Scratch,
        out: &mut BytesMut,
    ) -> usize {
        let start = out.len();
        let five = self.version.is_five();
        let acknowledged = delivery.qos != Qos::AtMostOnce;
        if !delivery.ids.is_empty() || delivery.alias.is_some() || delivery.skip > 0 {
            self.encode(message, delivery, now, out);
            return out.len() - start;
        }
        let slot = &mut scratch.slots[usize::from(five) * 2 + usize::from(acknowledged)];
        if !slot.made {
            slot.made = true;
            slot.bytes.clear();
            self.encode(message, delivery, now, &mut slot.bytes);
            let header = 1 + slot.bytes[1..]
                .iter()
                .position(|byte| byte & 0x80 == 0)
                .map_or(4, |last| last + 1);
            slot.id_at = header + 2 + message.topic.len();
        }
        out.extend_from_slice(&slot.bytes);
        out[start] = first_byte(delivery);
        if let Some(id) = delivery.id {
            let at = start + slot.id_at;
            out[at..at + 2].copy_from_slice(&id.get().to_be_bytes());
        }
        slot.bytes.len()
    }

    /// Writes a PUBLISH. Not by the codec, which wants a copy of topic and payload for it, and would change the properties
    /// of MQTT 5: they are the publisher's, unaltered and in their order (MQTT-3.3.2-17, MQTT-3.3.2-18); before them
    /// stands what is ours.
    fn encode(&self, message: &Message, delivery: Delivery<'_>, now: Instant, out: &mut BytesMut) {
        let topic = match delivery.alias {
            Some((_, true)) => "",
            _ => message.topic.get(delivery.skip..).unwrap_or_default(),
        };
        let five = self.version.is_five();
        let passed = message.properties.as_deref().filter(|_| five).unwrap_or_default();
        // MQTT-3.3.2-6: less the time that it has waited here. What is too old was not delivered at all.
        let left = message.expires.filter(|_| five).map(|expires| {
            let left = expires.saturating_duration_since(now);
            let seconds = left.as_secs() + u64::from(left.subsec_millis() >= 500);
            // It is not too old yet, and there are clients that take 0 for malformed.
            u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
        });
        let ids = if five { delivery.ids } else { &[] };
        let ids_length: usize = ids.iter().map(|id| 1 + variable_length(id.get())).sum();
        let properties = delivery.alias.map_or(0, |_| 3) + ids_length + passed.len() + left.map_or(0, |_| 5);
        let properties = u32::try_from(properties).unwrap_or(u32::MAX);
        let id = delivery.id.map_or(0, |_| 2);
        let head = if five {
            variable_length(properties) + properties as usize
        } else {
            0
        };
        let body = 2 + topic.len() + id + head + message.payload.len();
        out.reserve(5 + body);
        out.put_u8(first_byte(delivery));
        put_variable(u32::try_from(body).unwrap_or(u32::MAX), out);
        out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        out.put_slice(topic.as_bytes());
        if let Some(id) = delivery.id {
            out.put_u16(id.get());
        }
        if five {
            put_variable(properties, out);
            if let Some((alias, _)) = delivery.alias {
                out.put_u8(0x23);
                out.put_u16(alias.get());
            }
            for id in ids {
                out.put_u8(0x0b);
                put_variable(id.get(), out);
            }
            out.put_slice(passed);
            if let Some(left) = left {
                out.put_u8(0x02);
                out.put_u32(left);
            }
        }
        out.put_slice(&message.payload);
    }
}

/// Cuts a packet without properties down to `body` bytes behind its header (MQTT 5 sections 3.4.2.1 and 3.14.2.2.1).
fn shorten(out: &mut BytesMut, start: usize, body: u8) {
    out.truncate(start + 2 + usize::from(body));
    out[start + 1] = body;
}

fn put_reason(why: &str, out: &mut BytesMut) {
    out.put_u8(0x1f);
    out.put_u16(u16::try_from(why.len()).unwrap_or(0));
    out.put_slice(why.as_bytes());
}

/// The properties of a CONNACK. Written here, and not by the codec, for their order: it is mosquitto's, and there are
/// clients that compare.
fn connack_properties(ack: &Connack, out: &mut BytesMut) {
    if ack.alias_maximum > 0 {
        out.put_u8(0x22);
        out.put_u16(ack.alias_maximum);
    }
    if let Some(expiry) = ack.expiry {
        out.put_u8(0x11);
        out.put_u32(expiry);
    }
    if let Some(id) = &ack.assigned_client {
        out.put_u8(0x12);
        out.put_u16(u16::try_from(id.len()).unwrap_or(u16::MAX));
        out.put_slice(id.as_bytes());
    }
    if let Some(seconds) = ack.server_keep_alive {
        out.put_u8(0x13);
        out.put_u16(seconds);
    }
    if !ack.retain_available {
        out.put_slice(&[0x25, 0]);
    }
    if let Some(most) = ack.maximum_packet {
        out.put_u8(0x27);
        out.put_u32(most);
    }
    if let Some(most) = ack.receive_maximum {
        out.put_u8(0x21);
        out.put_u16(most.get());
    }
    if ack.maximum_qos != Qos::ExactlyOnce {
        out.put_slice(&[0x24, ack.maximum_qos as u8]);
    }
}

fn first_byte(delivery: Delivery<'_>) -> u8 {
    0x30 | u8::from(delivery.dup) << 3 | (delivery.qos as u8) << 1 | u8::from(delivery.retain)
}

/// How long a variable byte integer is (MQTT 5 section 1.5.5).
fn variable_length(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_variable(mut value: u32, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// The return code of an older CONNACK (MQTT 3.1.1 section 3.2.2.3).
fn three_code(code: u8) -> Option<v3::ConnectAckReason> {
    Some(match code {
        reason::SUCCESS => v3::ConnectAckReason::ConnectionAccepted,
        reason::UNSUPPORTED_VERSION => v3::ConnectAckReason::UnacceptableProtocolVersion,
        reason::CLIENT_ID_NOT_VALID => v3::ConnectAckReason::IdentifierRejected,
        reason::BAD_USER_NAME_OR_PASSWORD => v3::ConnectAckReason::BadUserNameOrPassword,
        reason::NOT_AUTHORIZED | reason::PACKET_TOO_LARGE => v3::ConnectAckReason::NotAuthorized,
        reason::SERVER_BUSY => v3::ConnectAckReason::ServiceUnavailable,
        _ => return None,
    })
}
