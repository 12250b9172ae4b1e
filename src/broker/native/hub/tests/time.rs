//! What takes time, or many messages: expiry, packet ids that come round, sessions that outlive their connections.

use super::*;

/// What the client can read, as it stands.
fn bytes(bench: &mut Bench, client: &Client) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    client.outlet.lock().take(u64::MAX, &mut bytes);
    bench.hub.refill(client.seat, bench.now);
    bytes.to_vec()
}

/// A message that may wait for so many seconds.
fn fresh(packet: Packet, seconds: u32) -> Packet {
    match packet {
        Packet::Publish(publish) => Packet::Publish(Publish {
            expiry: Some(seconds),
            ..publish
        }),
        other => other,
    }
}

#[test]
fn a_message_grows_old_while_it_waits_and_then_is_gone() {
    let mut bench = Bench::new(&Config::default());
    let reader = bench.connect(hello("r", Version::V5, 60));
    bench.subscribe(&reader, "a", Qos::AtLeastOnce);
    bench.hub.lost(reader.seat, bench.now);
    let writer = bench.connect(hello("w", Version::V5, 0));
    bench.say(&writer, fresh(to("a", "old", 1, 1), 3));
    bench.say(&writer, fresh(to("a", "new", 1, 2), 10));
    bench.say(&writer, fresh(retained("kept", "k"), 10));
    bench.later(4);
    let reader = bench.connect(hello("r", Version::V5, 60));
    let got = bytes(&mut bench, &reader);
    // The expiry interval, less the time that it has waited.
    assert!(
        got.ends_with(b"\x32\x0e\0\x01a\0\x02\x05\x02\0\0\0\x06new"),
        "{got:02x?}"
    );
    assert!(!got.windows(3).any(|three| three == b"old"));
    bench.subscribe(&reader, "kept", Qos::AtMostOnce);
    let got = bytes(&mut bench, &reader);
    assert!(
        got.ends_with(b"\x31\x0d\0\x04kept\x05\x02\0\0\0\x06k"),
        "{got:02x?}"
    );
    bench.later(6);
    bench.subscribe(&reader, "kept", Qos::AtMostOnce);
    assert_eq!(bench.hears(&reader), ["SUBACK [GrantedQos0]"]);
}

/// Found by the fuzz target `broker_sessions`: the codec, as a client, takes an expiry of 0 for malformed.
#[test]
fn the_last_moment_of_a_message_is_a_second() {
    let mut bench = Bench::new(&Config::default());
    let reader = bench.connect(hello("r", Version::V5, 60));
    bench.subscribe(&reader, "a", Qos::AtLeastOnce);
    bench.hub.lost(reader.seat, bench.now);
    let writer = bench.connect(hello("w", Version::V5, 0));
    bench.say(&writer, fresh(to("a", "x", 1, 1), 2));
    bench.now += Duration::from_millis(1_900);
    let reader = bench.connect(hello("r", Version::V5, 60));
    assert_eq!(bench.hears(&reader)[1..], ["PUBLISH a \"x\" q1 id1"]);
}

#[test]
fn a_message_on_its_way_does_not_grow_too_old() {
    let mut bench = Bench::new(&Config::default());
    let reader = bench.connect(hello("r", Version::V5, 600));
    bench.subscribe(&reader, "a", Qos::ExactlyOnce);
    let writer = bench.connect(hello("w", Version::V5, 0));
    bench.say(&writer, fresh(to("a", "x", 2, 1), 3));
    bench.say(&writer, Packet::Pubrel(id(1)));
    assert_eq!(bench.hears(&reader).last().unwrap(), "PUBLISH a \"x\" q2 id1");
    bench.hub.lost(reader.seat, bench.now);
    bench.later(100);
    let reader = bench.connect(hello("r", Version::V5, 600));
    let got = bytes(&mut bench, &reader);
    assert!(
        got.ends_with(b"\x3c\x0c\0\x01a\0\x01\x05\x02\0\0\0\x01x"),
        "{got:02x?}"
    );
}

#[test]
fn a_message_that_grew_too_old_before_its_release_is_acknowledged_and_passed_to_nobody() {
    let mut bench = Bench::new(&Config::default());
    let reader = bench.connect(hello("r", Version::V5, 0));
    bench.subscribe(&reader, "a", Qos::ExactlyOnce);
    bench.hears(&reader);
    let writer = bench.connect(hello("w", Version::V5, 600));
    bench.say(&writer, fresh(to("a", "x", 2, 1), 3));
    bench.later(4);
    // The acknowledgements go on as if nothing were.
    bench.say(&writer, fresh(to("a", "x", 2, 1), 3));
    bench.say(&writer, Packet::Pubrel(id(1)));
    assert_eq!(bench.hears(&writer)[1..], ["PUBREC 1", "PUBREC 1", "PUBCOMP 1"]);
    assert_eq!(bench.hears(&reader), [""; 0]);
}

#[test]
fn a_message_that_grew_too_old_is_not_handed_to_another_member() {
    let mut bench = Bench::new(&Config::default());
    let one = bench.connect(hello("one", Version::V5, 600));
    bench.subscribe(&one, "$share/g/a", Qos::AtLeastOnce);
    bench.hub.lost(one.seat, bench.now);
    let writer = bench.connect(hello("w", Version::V5, 0));
    bench.say(&writer, fresh(to("a", "x", 1, 1), 3));
    bench.later(4);
    let two = bench.connect(hello("two", Version::V5, 0));
    bench.subscribe(&two, "$share/g/a", Qos::AtLeastOnce);
    bench.hears(&two);
    let one = bench.connect(hello("one", Version::V5, 0));
    bench.hub.lost(one.seat, bench.now);
    assert_eq!(bench.hears(&two), [""; 0]);
}

#[test]
fn a_packet_id_that_is_in_use_is_passed_over_when_they_come_round() {
    let mut bench = Bench::new(&Config::default());
    let reader = bench.connect(hello("r", Version::V311, 0));
    bench.subscribe(&reader, "a", Qos::AtLeastOnce);
    let writer = bench.connect(hello("w", Version::V311, 0));
    bench.hears(&reader);
    let mut next = || {
        bench.say(&writer, to("a", "x", 1, 1));
        bench.hears(&writer);
        let heard = bench.hears(&reader);
        let [line] = &heard[..] else {
            panic!("{heard:?}");
        };
        let got: u16 = line.rsplit_once("id").unwrap().1.parse().unwrap();
        if got != 3 {
            bench.say(&reader, Packet::Puback(id(got)));
        }
        got
    };
    for expected in (1..=65_535).chain([1, 2, 4, 5]) {
        assert_eq!(next(), expected);
    }
}

#[test]
fn a_client_that_takes_fewer_messages_than_before_gets_them_again_under_their_ids() {
    for version in [Version::V311, Version::V5] {
        let mut bench = Bench::new(&Config::default());
        let reader = bench.connect(hello("r", version, u32::MAX));
        let writer = bench.connect(hello("w", version, 0));
        for topic in ["a/1", "a/2"] {
            bench.say(
                &writer,
                match to(topic, "kept", 1, 1) {
                    Packet::Publish(publish) => Packet::Publish(Publish {
                        retain: true,
                        ..publish
                    }),
                    other => other,
                },
            );
        }
        bench.subscribe(&reader, "a/+", Qos::AtLeastOnce);
        bench.say(&writer, to("a/3", "x", 1, 1));
        bench.hears(&reader);
        bench.hub.lost(reader.seat, bench.now);
        let reader = bench.connect(Connect {
            receive_maximum: 1,
            ..hello("r", version, u32::MAX)
        });
        let heard = bench.hears(&reader);
        assert_eq!(heard[1..], ["PUBLISH a/1 \"kept\" q1 id1 dup retain"]);
        bench.say(&reader, Packet::Puback(id(1)));
        assert_eq!(bench.hears(&reader), ["PUBLISH a/2 \"kept\" q1 id2 dup retain"]);
        bench.say(&reader, Packet::Puback(id(2)));
        assert_eq!(bench.hears(&reader), ["PUBLISH a/3 \"x\" q1 id3 dup"]);
        bench.say(&reader, Packet::Puback(id(3)));
        assert_eq!(bench.hears(&reader), [""; 0]);
    }
}

#[test]
fn a_delayed_will_of_a_client_that_said_nothing_of_its_session_waits() {
    let mut bench = Bench::new(&Config::default());
    let heir = bench.connect(hello("heir", Version::V5, 0));
    bench.subscribe(&heir, "w", Qos::AtMostOnce);
    bench.hears(&heir);
    let with_will = |expiry_said| Connect {
        expiry_said,
        will: Some(Will {
            delay: 10,
            topic: "w".into(),
            payload: Bytes::from_static(b"gone"),
            qos: Qos::AtMostOnce,
            retain: false,
            expiry: None,
            properties: None,
        }),
        ..hello("c", Version::V5, 0)
    };
    let client = bench.connect(with_will(false));
    bench.hub.lost(client.seat, bench.now);
    bench.later(9);
    assert_eq!(bench.hears(&heir), [""; 0]);
    bench.later(1);
    assert_eq!(bench.hears(&heir), ["PUBLISH w \"gone\" q0"]);
    // Its session was over all the same, as was said.
    let client = bench.connect(Connect {
        clean: false,
        ..with_will(true)
    });
    assert_eq!(bench.hears(&client), ["CONNACK false Success"]);
    // One that has said so in words ends at once, and its will with it.
    bench.hub.lost(client.seat, bench.now);
    assert_eq!(bench.hears(&heir), ["PUBLISH w \"gone\" q0"]);
}

#[test]
fn a_qos_2_message_that_is_to_be_sent_again_stays_with_its_member() {
    let mut bench = Bench::new(&Config::default());
    let one = bench.connect(hello("one", Version::V5, 600));
    bench.subscribe(&one, "$share/g/a", Qos::ExactlyOnce);
    let writer = bench.connect(hello("w", Version::V311, 0));
    for n in 1..=2 {
        bench.say(&writer, to("a", &n.to_string(), 2, n));
        bench.say(&writer, Packet::Pubrel(id(n)));
    }
    assert_eq!(bench.hears(&one).last().unwrap(), "PUBLISH a \"2\" q2 id2");
    bench.hub.lost(one.seat, bench.now);
    // It takes one at a time now: the second waits to be sent again.
    let fewer = || Connect {
        receive_maximum: 1,
        ..hello("one", Version::V5, 600)
    };
    let one = bench.connect(fewer());
    let two = bench.connect(hello("two", Version::V5, 0));
    bench.subscribe(&two, "$share/g/a", Qos::ExactlyOnce);
    bench.hears(&two);
    bench.hub.lost(one.seat, bench.now);
    assert_eq!(bench.hears(&two), [""; 0]);
    let one = bench.connect(fewer());
    assert_eq!(bench.hears(&one)[1..], ["PUBLISH a \"1\" q2 id1 dup"]);
    bench.say(&one, Packet::Pubrec(id(1), 0));
    bench.say(&one, Packet::Pubcomp(id(1)));
    assert_eq!(bench.hears(&one), ["PUBREL 1", "PUBLISH a \"2\" q2 id2 dup"]);
}
