//! What packets are made of: strings, flags, packet ids and lengths (MQTT 3.1.1 and 5, chapters 1.5, 2 and 4.7.3).

use super::support::*;

/// Encodings that are none: a byte that begins nothing, a surrogate, more bytes than are needed, beyond the last.
const ILL: [&[u8]; 4] = [b"a\xff", b"\xed\xa0\x80", b"\xc1\x81", b"\xf5\x80\x80\x80"];

/// A name for a packet, and the packet with this string in it.
type Places = Vec<(&'static str, Vec<u8>)>;

/// Packets that follow a CONNECT with this string in every place that has one.
fn everywhere(level: u8, string: &[u8]) -> Places {
    let string = binary(string);
    let properties = |properties: &[u8]| if level == 5 { sized(properties) } else { Vec::new() };
    let mut places = vec![
        ("topic", packet(0x30, &[&string[..], &properties(&[])].concat())),
        (
            "filter",
            packet(0x82, &[&[0, 1][..], &properties(&[]), &string, &[0]].concat()),
        ),
        (
            "filter of an UNSUBSCRIBE",
            packet(0xa2, &[&[0, 1][..], &properties(&[]), &string].concat()),
        ),
    ];
    if level == 5 {
        let key = [&[0x26], &string[..], &text("v")].concat();
        let value = [&[0x26], &text("k")[..], &string].concat();
        let message = |property: &[u8]| packet(0x30, &[&text("a")[..], &sized(property)].concat());
        places.extend([
            ("key of a user property", message(&key)),
            ("value of a user property", message(&value)),
            ("content type", message(&[&[0x03], &string[..]].concat())),
            ("response topic", message(&[&[0x08], &string[..]].concat())),
            (
                "user property of a SUBSCRIBE",
                subscribe_as(5, 1, &value, &[("a", 0)]),
            ),
            (
                "user property of an UNSUBSCRIBE",
                packet(0xa2, &[&[0, 1][..], &sized(&value), &text("a")].concat()),
            ),
            (
                "user property of a PUBACK",
                packet(0x40, &[&[0, 1, 0][..], &sized(&value)].concat()),
            ),
            (
                "reason of a PUBREL",
                packet(
                    0x62,
                    &[&[0, 1, 0][..], &sized(&[&[0x1f], &string[..]].concat())].concat(),
                ),
            ),
            (
                "user property of a DISCONNECT",
                packet(0xe0, &[&[0x04][..], &sized(&key)].concat()),
            ),
        ]);
    }
    places
}

/// CONNECTs with this string in every place that has one.
fn hellos(level: u8, string: &[u8]) -> Places {
    let hello = || Hello::new(level, "c");
    let will_properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let will = [will_properties, &binary(string), &binary(b"x")].concat();
    let nameless = Hello {
        client: binary(string),
        ..hello()
    };
    let mut places = vec![
        ("client id", nameless.bytes()),
        ("topic of the will", hello().flags(6).rest(&will).bytes()),
        ("user name", hello().flags(0x82).rest(&binary(string)).bytes()),
    ];
    if level == 5 {
        let value = [&[0x26], &text("k")[..], &binary(string)].concat();
        let will = [&sized(&value)[..], &text("w"), &binary(b"x")].concat();
        places.extend([
            ("user property", hello().property(&value).bytes()),
            (
                "authentication method",
                hello().property(&[&[0x15], &binary(string)[..]].concat()).bytes(),
            ),
            ("user property of the will", hello().flags(6).rest(&will).bytes()),
        ]);
    }
    places
}

/// A string that is none ends the connection, wherever it stands; a CONNECT with one is not answered.
async fn refused_everywhere(string: &[u8]) {
    let broker = Broker::start().await;
    for level in BOTH {
        for (place, bytes) in everywhere(level, string) {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            let answer = client.next().await;
            match answer.as_deref() {
                None if level == 4 => {}
                Some([0xe0, 1, 0x81 | 0x82]) if level == 5 => client.closed().await,
                other => panic!("{place}, level {level}, {string:02x?}: {other:02x?}"),
            }
        }
        for (place, bytes) in hellos(level, string) {
            let mut client = broker.dial(level).await;
            client.send(&bytes).await;
            let answer = client.next().await;
            assert_eq!(answer, None, "{place}, level {level}, {string:02x?}");
        }
    }
}

#[tokio::test]
async fn a_string_that_is_not_utf_8_ends_the_connection() {
    for string in ILL {
        refused_everywhere(string).await;
    }
}

#[tokio::test]
async fn the_character_nul_ends_the_connection() {
    refused_everywhere(b"a\0b").await;
}

#[tokio::test]
async fn a_byte_order_mark_is_a_character_and_nothing_is_normalized() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.client(level, "\u{feff}r").await;
        // Composed and decomposed, both cases, and with a slash more: all of them are different topics.
        for filter in ["\u{feff}a", "\u{e9}", "b", "b/"] {
            reader.subscribes(filter, 0, 0).await;
        }
        let mut writer = broker.client(level, "r").await;
        for topic in [
            "a",
            "\u{feff}a",
            "e\u{301}",
            "\u{e9}",
            "B",
            "b",
            "/b",
            "b/",
            "b//",
            "%62",
        ] {
            writer.publishes(0x30, topic, 0, b"x").await;
        }
        writer.quiet().await;
        for topic in ["\u{feff}a", "\u{e9}", "b", "b/"] {
            reader.hears(0x30, topic, 0, b"x").await;
        }
        // Its id with a mark is another than that of the writer, which took nobody's place.
        reader.quiet().await;
    }
}

#[tokio::test]
async fn reserved_flags_that_are_set_otherwise_end_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        let none = if level == 5 { &[0][..] } else { &[] };
        let filter = [&[0, 1][..], none, &text("a")].concat();
        let packets = [
            packet(0x41, &[0, 1]),
            packet(0x51, &[0, 1]),
            packet(0x60, &[0, 1]),
            packet(0x6a, &[0, 1]),
            packet(0x63, &[0, 1]),
            packet(0x72, &[0, 1]),
            packet(0x80, &[&filter[..], &[0]].concat()),
            packet(0x83, &[&filter[..], &[0]].concat()),
            packet(0xa0, &filter),
            packet(0xa6, &filter),
            packet(0xc1, &[]),
            packet(0xe1, &[]),
        ];
        for bytes in packets {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            client.ended(0x81).await;
        }
        let mut client = broker.dial(level).await;
        let mut hello = Hello::new(level, "c").bytes();
        hello[0] = 0x12;
        client.send(&hello).await;
        client.closed().await;
    }
    let mut client = broker.client(5, "c").await;
    client.send(&packet(0xf1, &[0x19, 0])).await;
    client.ended(0x81).await;
}

#[tokio::test]
async fn a_packet_id_of_0_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        for bytes in [
            subscribe(level, 0, &[("a", 0)]),
            unsubscribe(level, 0, &["a"]),
            publish(level, 0x32, "a", 0, &[], b"x"),
            publish(level, 0x34, "a", 0, &[], b"x"),
        ] {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            let answer = client.next().await;
            match answer.as_deref() {
                None if level == 4 => {}
                Some([0xe0, 1, 0x81 | 0x82]) if level == 5 => client.closed().await,
                other => panic!("level {level}, {bytes:02x?}: {other:02x?}"),
            }
        }
    }
}

#[tokio::test]
async fn lengths_take_as_few_bytes_as_they_can() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("a", 0, 0).await;
        let mut writer = broker.client(level, "w").await;
        let head = if level == 5 { 4 } else { 3 };
        for length in [0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000] {
            // `hears` compares with the shortest form.
            let payload = vec![b'x'; length - head];
            writer.publishes(0x30, "a", 0, &payload).await;
            reader.hears(0x30, "a", 0, &payload).await;
        }
    }
    // The length of the properties as well; without any it is there, and 0.
    let (mut reader, mut writer) = (broker.client(5, "r").await, broker.client(5, "w").await);
    reader.subscribes("a", 0, 0).await;
    for length in [0x7f, 0x80, 0x3fff, 0x4000] {
        let property = [&[0x26][..], &text("k"), &text(&"v".repeat(length - 6))].concat();
        assert_eq!(property.len(), length);
        let bytes = publish(5, 0x30, "a", 0, &property, b"x");
        writer.send(&bytes).await;
        reader.gets(&bytes).await;
    }
    writer.publishes(0x30, "a", 0, b"x").await;
    reader.gets(b"\x30\x05\x00\x01a\x00x").await;
    reader.send(&unsubscribe(5, 1, &["a"])).await;
    reader.gets(b"\xb0\x04\x00\x01\x00\x00").await;
}

#[tokio::test]
async fn topics_and_filters_have_a_character_at_least() {
    let broker = Broker::start().await;
    for level in BOTH {
        for bytes in [
            publish(level, 0x30, "", 0, &[], b"x"),
            subscribe(level, 1, &[("", 0)]),
            unsubscribe(level, 1, &[""]),
        ] {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            client.ended(0x81).await;
        }
        let mut client = broker.dial(level).await;
        client
            .send(&Hello::new(level, "c").will(0, &[], "", b"x").bytes())
            .await;
        client.closed().await;
    }
}

#[tokio::test]
async fn a_topic_of_65535_bytes_passes_and_none_is_longer() {
    let broker = Broker::start().await;
    let topic = "t".repeat(65_535);
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        client.subscribes(&topic, 0, 0).await;
        client.publishes(0x30, &topic, 0, b"x").await;
        client.hears(0x30, &topic, 0, b"x").await;
        client.quiet().await;
    }
}

#[tokio::test]
async fn a_topic_is_no_longer_behind_a_mount_point() {
    let broker = Broker::mounted("garden/").await;
    let fits = "t".repeat(65_535 - "garden/".len());
    let more = format!("{fits}t");
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        client.subscribes("#", 0, 0).await;
        client.publishes(0x30, &fits, 0, b"x").await;
        client.hears(0x30, &fits, 0, b"x").await;
        client.publishes(0x30, &more, 0, b"x").await;
        client.ended(0x90).await;
        let mut client = broker
            .say(&Hello::new(level, "c").will(0, &[], &more, b"x"))
            .await;
        if level == 5 {
            client.gets(&[0x20, 3, 0, 0x90, 0]).await;
        }
        client.closed().await;
    }
}

#[tokio::test]
async fn a_wildcard_behind_a_mount_point_matches_no_topic_that_begins_with_a_dollar_there() {
    let broker = Broker::mounted("garden/").await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x31, "$foo/bar", 0, b"kept").await;
        let mut reader = broker.client(level, "r").await;
        for filter in ["#", "+/bar", "+/#", "$share/g/#"] {
            reader.subscribes(filter, 0, 0).await;
        }
        writer.publishes(0x30, "$foo/bar", 0, b"x").await;
        writer.quiet().await;
        reader.quiet().await;
        reader.subscribes("$foo/+", 0, 0).await;
        reader.hears(0x31, "$foo/bar", 0, b"kept").await;
        writer.publishes(0x30, "$foo/bar", 0, b"y").await;
        reader.hears(0x30, "$foo/bar", 0, b"y").await;
        reader.quiet().await;
        writer.publishes(0x31, "$foo/bar", 0, b"").await;
        reader.hears(0x30, "$foo/bar", 0, b"").await;
    }
}

/// MQTT-1.5.5-1.
#[tokio::test]
async fn a_number_in_more_bytes_than_it_needs_is_malformed() {
    let broker = Broker::start().await;
    for wrong in [
        // No properties, in two bytes.
        packet(0x30, &[0, 1, b'a', 0x80, 0, b'x']),
        // A subscription's identifier, 1 in two bytes.
        packet(0x82, &[0, 1, 3, 0x0b, 0x81, 0, 0, 1, b'a', 0]),
    ] {
        let mut client = broker.client(5, "c").await;
        client.send(&wrong).await;
        client.ended(0x81).await;
    }
}
