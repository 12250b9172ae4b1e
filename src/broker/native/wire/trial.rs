//! What holds for any bytes of a client: where the reads are cut does not matter, and what is decoded and can be encoded
//! is the same when it is decoded again. A property test and a fuzz target bring the bytes.

use super::super::message::Message;
use super::{Ack, Decoder, Delivery, Encoder, Fault, Packet, Publish, Scratch, Version};
use crate::broker::Qos;
use bytes::BytesMut;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

/// The first byte says how the connection begins, the second how long the reads are; the rest is what the client sends.
pub(crate) fn run(bytes: &[u8]) {
    let [kind, cut, rest @ ..] = bytes else {
        return;
    };
    let hello = match kind % 4 {
        0 => b"",
        1 => hello(Version::V31),
        2 => hello(Version::V311),
        _ => hello(Version::V5),
    };
    let all = [hello, rest].concat();
    let longest = if kind & 0x80 == 0 { 1 << 20 } else { 64 };
    let (whole, fault, version) = decode(&all, all.len().max(1), longest);
    let (parts, same, _) = decode(&all, usize::from(*cut).max(1), longest);
    assert_eq!(whole, parts, "where the reads are cut matters");
    assert_eq!(fault, same, "where the reads are cut matters");
    let Some(version) = version else {
        return;
    };
    for packet in &whole {
        again(version, packet);
    }
}

fn hello(version: Version) -> &'static [u8] {
    match version {
        Version::V31 => b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01a",
        Version::V311 => b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a",
        Version::V5 => b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01a",
    }
}

fn decode(bytes: &[u8], cut: usize, longest: usize) -> (Vec<Packet>, Option<Fault>, Option<Version>) {
    let (mut decoder, mut buffer, mut packets) = (Decoder::new(longest), BytesMut::new(), Vec::new());
    for part in bytes.chunks(cut) {
        buffer.extend_from_slice(part);
        loop {
            let before = buffer.len();
            match decoder.next(&mut buffer) {
                Ok(Some(packet)) => {
                    assert!(buffer.len() < before, "a packet without a byte");
                    packets.push(packet);
                }
                Ok(None) => break,
                Err(fault) => return (packets, Some(fault), decoder.version()),
            }
        }
        assert!(buffer.len() < longest + 5, "more is held than the longest packet");
    }
    (packets, None, decoder.version())
}

/// Encodes what both sides may say, and decodes it.
fn again(version: Version, packet: &Packet) {
    let encoder = Encoder::new(version);
    let mut out = BytesMut::new();
    let expected = match packet {
        Packet::Publish(publish) => {
            let Some(publish) = passed(version, publish) else {
                return;
            };
            encode(&encoder, &publish, &mut out);
            Packet::Publish(publish)
        }
        Packet::Puback(id) => answer(&encoder, Ack::Puback, *id, 0, packet, &mut out),
        Packet::Pubrec(id, code) => answer(&encoder, Ack::Pubrec, *id, *code, packet, &mut out),
        Packet::Pubrel(id) => answer(&encoder, Ack::Pubrel, *id, 0, packet, &mut out),
        Packet::Pubcomp(id) => answer(&encoder, Ack::Pubcomp, *id, 0, packet, &mut out),
        _ => return,
    };
    let (all, fault, _) = decode(&[hello(version), &out].concat(), usize::MAX, usize::MAX - 5);
    assert_eq!((all.get(1..), fault), (Some(&[expected][..]), None));
}

fn answer(
    encoder: &Encoder,
    kind: Ack,
    id: NonZeroU16,
    code: u8,
    packet: &Packet,
    out: &mut BytesMut,
) -> Packet {
    encoder.ack(kind, id, code, out);
    packet.clone()
}

/// A message as it goes on: without its alias, DUP is its receiver's, and no expiry interval is 0.
fn passed(version: Version, publish: &Publish) -> Option<Publish> {
    let named = !publish.topic.is_empty();
    let dup = publish.dup && (publish.qos != Qos::AtMostOnce || version == Version::V31);
    named.then(|| Publish {
        alias: None,
        dup,
        expiry: publish.expiry.map(|seconds| seconds.max(1)),
        ..publish.clone()
    })
}

fn encode(encoder: &Encoder, publish: &Publish, out: &mut BytesMut) {
    let now = Instant::now();
    let after = |seconds: u32| now + Duration::from_secs(seconds.into());
    let message = Message {
        topic: publish.topic.clone(),
        payload: publish.payload.clone(),
        qos: publish.qos,
        retain: publish.retain,
        expires: publish.expiry.map(after),
        properties: publish.properties.clone(),
    };
    let delivery = Delivery {
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        id: publish.id,
        ids: &[],
        alias: None,
        skip: 0,
    };
    let mut scratch = Scratch::default();
    scratch.begin();
    let length = encoder.publish(&message, delivery, now, &mut scratch, out);
    assert_eq!(length, out.len());
}
