//! Packets as a client reads them: for tests, and for the fuzz targets.

use super::Version;
use crate::broker::Qos;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::types::Publish;
use rmqtt_codec::{v3, v5};
use std::fmt;
use std::num::NonZeroU16;
use tokio_util::codec::Decoder as _;

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Publish {
        topic: ByteString,
        payload: Bytes,
        qos: Qos,
        id: Option<NonZeroU16>,
        dup: bool,
        retain: bool,
        /// Subscription identifiers.
        ids: Vec<u32>,
    },
    /// Whether the session was there; the rest in words.
    Connack(bool, String),
    Puback(NonZeroU16, Option<v5::PublishAckReason>),
    Pubrec(NonZeroU16),
    Pubrel(NonZeroU16),
    Pubcomp(NonZeroU16),
    /// In words.
    Other(String),
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Publish {
                topic,
                payload,
                qos,
                id,
                dup,
                retain,
                ids,
            } => {
                let text = String::from_utf8_lossy(payload);
                write!(f, "PUBLISH {topic} {text:?} q{}", *qos as u8)?;
                id.map_or(Ok(()), |id| write!(f, " id{id}"))?;
                f.write_str(if *dup { " dup" } else { "" })?;
                f.write_str(if *retain { " retain" } else { "" })?;
                ids.iter().try_for_each(|id| write!(f, " #{id}"))
            }
            Heard::Connack(present, code) => write!(f, "CONNACK {present} {code}"),
            Heard::Puback(id, None) => write!(f, "PUBACK {id}"),
            Heard::Puback(id, Some(code)) => write!(f, "PUBACK {id} {code:?}"),
            Heard::Pubrec(id) => write!(f, "PUBREC {id}"),
            Heard::Pubrel(id) => write!(f, "PUBREL {id}"),
            Heard::Pubcomp(id) => write!(f, "PUBCOMP {id}"),
            Heard::Other(words) => f.write_str(words),
        }
    }
}

/// What a client of this version hears: whole packets only, and none that a server may not send.
pub(crate) fn heard(version: Version, bytes: &mut BytesMut) -> Vec<Heard> {
    let mut all = Vec::new();
    let (mut three, mut five) = (v3::Codec::new(0), v5::Codec::new(0, 0));
    loop {
        let one = if version.is_five() {
            five.decode(bytes)
                .expect("a packet of MQTT 5")
                .map(|(packet, _)| of_five(packet))
        } else {
            three
                .decode(bytes)
                .expect("a packet of MQTT 3")
                .map(|(packet, _)| of_three(packet))
        };
        let Some(one) = one else {
            assert!(bytes.is_empty(), "whole packets only: {bytes:02x?}");
            return all;
        };
        all.push(one);
    }
}

fn of_five(packet: v5::Packet) -> Heard {
    match packet {
        v5::Packet::Publish(it) => publish(*it),
        v5::Packet::ConnectAck(ack) => Heard::Connack(ack.session_present, format!("{:?}", ack.reason_code)),
        v5::Packet::PublishAck(ack) => Heard::Puback(ack.packet_id, Some(ack.reason_code)),
        v5::Packet::PublishReceived(ack) => Heard::Pubrec(ack.packet_id),
        v5::Packet::PublishRelease(ack) => Heard::Pubrel(ack.packet_id),
        v5::Packet::PublishComplete(ack) => Heard::Pubcomp(ack.packet_id),
        v5::Packet::SubscribeAck(ack) => Heard::Other(format!("SUBACK {:?}", ack.status)),
        v5::Packet::UnsubscribeAck(ack) => Heard::Other(format!("UNSUBACK {:?}", ack.status)),
        v5::Packet::Disconnect(it) => Heard::Other(format!("DISCONNECT {:?}", it.reason_code)),
        v5::Packet::PingResponse => Heard::Other("PINGRESP".into()),
        other => panic!("only a client sends {other:?}"),
    }
}

fn of_three(packet: v3::Packet) -> Heard {
    match packet {
        v3::Packet::Publish(it) => publish(*it),
        v3::Packet::ConnectAck(ack) => Heard::Connack(ack.session_present, format!("{:?}", ack.return_code)),
        v3::Packet::PublishAck { packet_id } => Heard::Puback(packet_id, None),
        v3::Packet::PublishReceived { packet_id } => Heard::Pubrec(packet_id),
        v3::Packet::PublishRelease { packet_id } => Heard::Pubrel(packet_id),
        v3::Packet::PublishComplete { packet_id } => Heard::Pubcomp(packet_id),
        v3::Packet::SubscribeAck { status, .. } => Heard::Other(format!("SUBACK {status:?}")),
        v3::Packet::UnsubscribeAck { .. } => Heard::Other("UNSUBACK".into()),
        v3::Packet::PingResponse => Heard::Other("PINGRESP".into()),
        other => panic!("only a client sends {other:?}"),
    }
}

fn publish(it: Publish) -> Heard {
    let ids = it.properties.as_ref().map(|said| &said.subscription_ids);
    Heard::Publish {
        ids: ids.into_iter().flatten().map(|id| id.get()).collect(),
        topic: it.topic,
        payload: it.payload,
        qos: super::qos(it.qos),
        id: it.packet_id,
        dup: it.dup,
        retain: it.retain,
    }
}
