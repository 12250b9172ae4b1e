//! Packets as a client reads them, in words; and what a decoder must refuse.

use super::heard::heard;
use super::strict::MOST_FILTERS;
use super::{Ack, Connack, Decoder, Encoder, Packet, Version, reason, trial};
use crate::broker::Qos;
use bytes::BytesMut;
use proptest::prelude::*;
use std::num::NonZeroU16;

/// What a client of this version reads, a line for each packet.
pub(crate) fn read(version: Version, bytes: &mut BytesMut) -> Vec<String> {
    heard(version, bytes).iter().map(ToString::to_string).collect()
}

const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a";
const CONNECT_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01a";

fn decoder(connect: &[u8]) -> Decoder {
    let mut decoder = Decoder::new(1024);
    let mut bytes = BytesMut::from(connect);
    assert!(matches!(decoder.next(&mut bytes), Ok(Some(Packet::Connect(_)))));
    decoder
}

#[test]
fn what_the_codec_lets_pass_is_refused() {
    let whole: &[(&[u8], &[u8], u8)] = &[
        (CONNECT, b"\x38\x04\0\x01ax", 0x81),                  // DUP with QoS 0
        (CONNECT, b"\x30\x04\0\x01+x", 0x82),                  // a wildcard in a topic
        (CONNECT, b"\x30\x04\0\x01\0x", 0x81),                 // NUL in a topic
        (CONNECT, b"\x82\x06\0\x01\0\x01a\x03", 0x81),         // QoS 3
        (CONNECT, b"\xc0\x01x", 0x81),                         // a PINGREQ with a body
        (CONNECT, b"\x40\x03\0\x01x", 0x81),                   // a PUBACK that is too long
        (CONNECT, b"\x20\x02\0\0", 0x82),                      // what only a server sends
        (CONNECT_5, b"\x32\x06\0\x01a\0\0\0", 0x82),           // packet id 0
        (CONNECT_5, b"\x30\x06\0\x01a\x02\x0b\x01", 0x82),     // a subscription identifier from a client
        (CONNECT_5, b"\x30\x09\0\x01a\x05\x08\0\x02a#", 0x82), // a wildcard in a response topic
        (CONNECT_5, b"\x82\x09\0\x01\0\0\x03a/b\xc0", 0x81),   // reserved bits of the options
    ];
    for (connect, packet, code) in whole {
        let mut bytes = BytesMut::from(*packet);
        let fault = decoder(connect).next(&mut bytes).unwrap_err();
        assert_eq!(fault.code, *code, "{packet:02x?}: {fault}");
    }
    for first in [
        &b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x01ax"[..], // more than it holds
        b"\x10\x0d\0\x04MQTT\x04\x0a\0\x3c\0\x01a",       // a will's QoS without a will
        b"\x10\x0d\0\x04MQTT\x04\x03\0\x3c\0\x01a",       // the reserved flag
        b"\x30\x04\0\x01ax",                              // not a CONNECT
    ] {
        let mut bytes = BytesMut::from(first);
        assert!(Decoder::new(1024).next(&mut bytes).is_err(), "{first:02x?}");
    }
}

#[test]
fn a_packet_holds_no_more_filters_than_are_served_at_once() {
    for (connect, properties) in [(CONNECT, &b""[..]), (CONNECT_5, b"\0")] {
        for (first, filter) in [(0x82, &b"\0\x01a\0"[..]), (0xa2, b"\0\x01a")] {
            for (count, code) in [
                (MOST_FILTERS, None),
                (MOST_FILTERS + 1, Some(reason::QUOTA_EXCEEDED)),
            ] {
                let body = [b"\0\x01", properties, &filter.repeat(count)].concat();
                let length = body.len();
                let mut bytes = BytesMut::from(&[first, length as u8 | 0x80, (length >> 7) as u8 | 0x80][..]);
                bytes.extend_from_slice(&[(length >> 14) as u8]);
                bytes.extend_from_slice(&body);
                let mut decoder = Decoder::new(1 << 20);
                decoder.next(&mut BytesMut::from(connect)).unwrap();
                let refused = decoder.next(&mut bytes).map(|packet| assert!(packet.is_some()));
                assert_eq!(refused.err().map(|fault| fault.code), code, "{first:#x} {count}");
            }
        }
    }
}

#[test]
fn a_long_packet_is_refused_by_its_head() {
    let mut bytes = BytesMut::from(&b"\x30\xff\xff\xff\x7f"[..]);
    assert_eq!(decoder(CONNECT).next(&mut bytes).unwrap_err().code, 0x95);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(
        five in any::<bool>(),
        packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        let mut decoder = decoder(if five { CONNECT_5 } else { CONNECT });
        let mut bytes = BytesMut::new();
        for (first, body) in packets {
            bytes.extend_from_slice(&[first, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        while let Ok(Some(_)) = decoder.next(&mut bytes) {}
    }

    #[test]
    fn where_the_reads_are_cut_does_not_matter(at in 1..27usize) {
        let mut all = CONNECT_5.to_vec();
        all.extend_from_slice(b"\x30\x0a\0\x03a/b\0hell");
        let whole = |parts: &[&[u8]]| {
            let (mut decoder, mut bytes, mut found) = (Decoder::new(1024), BytesMut::new(), Vec::new());
            for part in parts {
                bytes.extend_from_slice(part);
                while let Some(packet) = decoder.next(&mut bytes).unwrap() {
                    found.push(packet);
                }
            }
            found
        };
        let (left, right) = all.split_at(at.min(all.len()));
        prop_assert_eq!(whole(&[left, right]), whole(&[&all]));
    }

    #[test]
    fn what_is_published_comes_again_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        trial::run(&bytes);
    }
}

/// Found by fuzzing, in the trial itself.
#[test]
fn an_expiry_interval_of_0_goes_on_as_1() {
    trial::run(b"\x07\xff\x32\x0f\0\x01a\0\x0b\x05\x02\0\0\0\0x\0\0\0");
}

#[test]
fn the_first_packet_is_no_longer_than_a_connect_can_be() {
    // The head alone is refused: nothing of what it announces is awaited.
    let mut decoder = Decoder::new(16 << 20);
    let mut bytes = BytesMut::from(&[0x10, 0x81, 0x80, 0x28][..]);
    let fault = decoder.next(&mut bytes).unwrap_err();
    assert_eq!(fault.code, reason::PACKET_TOO_LARGE);
    let mut bytes = BytesMut::from(&[0x10, 0xf0, 0xff, 0x27][..]);
    assert_eq!(Decoder::new(16 << 20).next(&mut bytes), Ok(None));
    // Whom we know may send more.
    let mut bytes = BytesMut::from(&b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a\x30\x81\x80\x28"[..]);
    assert!(matches!(decoder.next(&mut bytes), Ok(Some(Packet::Connect(_)))));
    assert_eq!(decoder.next(&mut bytes), Ok(None));
}

/// What an encoder writes.
fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

#[test]
fn reason_strings_are_written_where_they_fit_and_nothing_else_changes() {
    let id = NonZeroU16::MIN;
    let plain = Encoder::new(Version::V5);
    let text = "not allowed for this client";
    let ack = Connack {
        code: reason::NOT_AUTHORIZED,
        why: Some(text),
        retain_available: true,
        maximum_qos: Qos::ExactlyOnce,
        ..Connack::default()
    };
    let all = |encoder: &Encoder| {
        [
            written(|out| encoder.connack(&ack, out)),
            written(|out| encoder.ack(Ack::Puback, id, reason::NOT_AUTHORIZED, out)),
            written(|out| encoder.ack(Ack::Pubrec, id, reason::NOT_AUTHORIZED, out)),
            written(|out| encoder.suback(id, &[0, reason::NOT_AUTHORIZED, reason::QUOTA_EXCEEDED], out)),
            written(|out| encoder.unsuback(id, &[reason::NOT_AUTHORIZED], out)),
            written(|out| encoder.disconnect(reason::NOT_AUTHORIZED, text, out)),
        ]
    };
    let without = all(&plain);
    assert_eq!(without[0], [0x20, 3, 0, 0x87, 0]);
    assert_eq!(without[1], [0x40, 3, 0, 1, 0x87]);
    assert_eq!(without[5], [0xe0, 1, 0x87]);
    let with = all(&Encoder::with_reasons(Version::V5, usize::MAX));
    for (with, without) in with.iter().zip(&without) {
        assert!(
            with.windows(text.len()).any(|part| part == text.as_bytes()),
            "{with:x?}"
        );
        // Whatever the bound is, it is kept to, and the string is there or it is not.
        for most in 0..with.len() + 4 {
            let bounded = all(&Encoder::with_reasons(Version::V5, most));
            let which = bounded.iter().find(|bounded| bounded[0] == with[0]).unwrap();
            assert!(
                which == without || which == with && with.len() <= most,
                "{most}: {which:x?}"
            );
        }
        let mut bytes = BytesMut::from(&with[..]);
        assert_eq!(read(Version::V5, &mut bytes).len(), 1);
        assert!(bytes.is_empty(), "it is as long as it says");
    }
    assert_eq!(
        all(&Encoder::with_reasons(Version::V311, usize::MAX)),
        all(&Encoder::new(Version::V311))
    );
    let good = [&plain, &Encoder::with_reasons(Version::V5, usize::MAX)]
        .map(|encoder| written(|out| encoder.ack(Ack::Puback, id, reason::NO_MATCHING_SUBSCRIBERS, out)));
    assert_eq!(good[0], good[1], "what is no error has no reason");
}
