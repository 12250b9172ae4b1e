//! PUBLISH on its way in, and what is carried with it (sections 3.3 and 4.3).

use super::support::*;

/// A reader of everything with this QoS, and a writer.
async fn pair(broker: &Broker, level: u8, qos: u8) -> (Client, Client) {
    let mut reader = broker.client(level, "r").await;
    reader.subscribes("#", qos, qos).await;
    (reader, broker.client(level, "w").await)
}

#[tokio::test]
async fn each_quality_of_service_has_its_answer() {
    let broker = Broker::start().await;
    for level in BOTH {
        let (mut reader, mut writer) = pair(&broker, level, 0).await;
        writer.publishes(0x30, "a", 0, b"0").await;
        writer.quiet().await;
        writer.publishes(0x32, "a", 500, b"1").await;
        writer.gets(&ack(0x40, 500)).await;
        writer.publishes(0x34, "a", 65_535, b"2").await;
        writer.gets(&ack(0x50, 65_535)).await;
        writer.send(&ack(0x62, 65_535)).await;
        writer.gets(&ack(0x70, 65_535)).await;
        for payload in [b"0", b"1", b"2"] {
            reader.hears(0x30, "a", 0, payload).await;
        }
        reader.quiet().await;
    }
}

#[tokio::test]
async fn a_qos_1_message_under_an_id_that_was_acknowledged_is_another() {
    let broker = Broker::start().await;
    for level in BOTH {
        let (mut reader, mut writer) = pair(&broker, level, 0).await;
        for head in [0x32, 0x3a, 0x32] {
            writer.publishes(head, "a", 1, b"x").await;
            writer.gets(&ack(0x40, 1)).await;
            reader.hears(0x30, "a", 0, b"x").await;
        }
    }
}

#[tokio::test]
async fn a_qos_2_message_is_passed_on_once_however_often_it_comes() {
    let broker = Broker::start().await;
    for level in BOTH {
        let (mut reader, mut writer) = pair(&broker, level, 0).await;
        for _ in 0..2 {
            for head in [0x34, 0x3c, 0x34] {
                writer.publishes(head, "a", 1, b"x").await;
                writer.gets(&ack(0x50, 1)).await;
            }
            for _ in 0..2 {
                writer.send(&ack(0x62, 1)).await;
                writer.gets(&ack(0x70, 1)).await;
            }
            // Once it is done, its id stands for another message.
            reader.hears(0x30, "a", 0, b"x").await;
            reader.quiet().await;
        }
    }
}

#[tokio::test]
async fn a_qos_2_message_that_was_refused_leaves_its_id_free() {
    let broker = Broker::with("message-size-limit = 3").await;
    let (mut reader, mut writer) = pair(&broker, 5, 0).await;
    writer.publishes(0x34, "a", 1, b"long").await;
    writer.gets(&ack_with(0x50, 1, 0x95)).await;
    writer.publishes(0x34, "a", 1, b"new").await;
    writer.gets(&ack(0x50, 1)).await;
    writer.send(&ack(0x62, 1)).await;
    writer.gets(&ack(0x70, 1)).await;
    reader.hears(0x30, "a", 0, b"new").await;
    reader.quiet().await;
}

#[tokio::test]
async fn a_flag_or_a_topic_that_cannot_be_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        let cases = [
            ("QoS 3", publish(level, 0x36, "a", 1, &[], b"x"), 0x81),
            ("DUP with QoS 0", publish(level, 0x38, "a", 0, &[], b"x"), 0x81),
            ("a wildcard", publish(level, 0x30, "a/+", 0, &[], b"x"), 0x82),
            ("a wildcard", publish(level, 0x30, "a/#", 0, &[], b"x"), 0x82),
            ("a wildcard", publish(level, 0x30, "a+b", 0, &[], b"x"), 0x82),
            ("no topic", packet(0x30, &[0]), 0x81),
            ("half a topic", packet(0x30, &[0, 3, b'a']), 0x81),
            ("no packet id", packet(0x32, &[0, 1, b'a', 0]), 0x81),
        ];
        for (case, bytes, code) in cases {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            match client.next().await.as_deref() {
                None if level == 4 => {}
                Some(answer) if level == 5 && answer == [0xe0, 1, code] => client.closed().await,
                other => panic!("{case}, level {level}: {other:02x?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_publishers_dup_is_not_passed_on() {
    let broker = Broker::start().await;
    for level in BOTH {
        let (mut reader, mut writer) = pair(&broker, level, 2).await;
        writer.publishes(0x3a, "a", 9, b"1").await;
        writer.gets(&ack(0x40, 9)).await;
        reader.hears(0x32, "a", 1, b"1").await;
        writer.publishes(0x3c, "a", 9, b"2").await;
        writer.gets(&ack(0x50, 9)).await;
        writer.send(&ack(0x62, 9)).await;
        writer.gets(&ack(0x70, 9)).await;
        reader.hears(0x34, "a", 2, b"2").await;
    }
}

#[tokio::test]
async fn what_a_client_of_3_1_1_may_not_publish_is_acknowledged_and_passed_to_nobody() {
    let broker =
        Broker::with("[[acl]]\ntopic = 'open/#'\n[[acl]]\ntopic = 'closed/#'\naccess = 'read'").await;
    for level in BOTH {
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("open/#", 0, 0).await;
        reader.subscribes("closed/#", 0, 0).await;
        let mut writer = broker.client(level, "w").await;
        let refused = |first, id| match level {
            5 => ack_with(first, id, 0x87),
            _ => ack(first, id),
        };
        writer.publishes(0x31, "closed/a", 0, b"x").await;
        writer.publishes(0x32, "closed/a", 1, b"x").await;
        writer.gets(&refused(0x40, 1)).await;
        writer.publishes(0x34, "closed/a", 2, b"x").await;
        writer.gets(&refused(0x50, 2)).await;
        if level == 4 {
            writer.send(&ack(0x62, 2)).await;
            writer.gets(&ack(0x70, 2)).await;
        }
        writer.publishes(0x32, "open/a", 3, b"x").await;
        writer.gets(&ack(0x40, 3)).await;
        reader.hears(0x30, "open/a", 0, b"x").await;
        reader.quiet().await;
    }
}

#[tokio::test]
async fn what_goes_with_a_message_arrives_unaltered_and_in_its_order() {
    let broker = Broker::start().await;
    let (mut reader, mut writer) = pair(&broker, 5, 1).await;
    let user = |key: &str, value: &str| [&[0x26][..], &text(key), &text(value)].concat();
    let properties = [
        &user("z", "1")[..],
        &[0x01, 1],
        &[0x08],
        &text("answer/here"),
        &user("a", "2"),
        &[0x09],
        &binary(b"\x00\xff\x00"),
        &[0x03],
        &text("text/\u{e9}"),
        &user("z", "1"),
        &user("", ""),
    ]
    .concat();
    writer.send(&publish(5, 0x33, "a", 7, &properties, b"x")).await;
    writer.gets(&ack(0x40, 7)).await;
    reader.gets(&publish(5, 0x32, "a", 1, &properties, b"x")).await;
    // To those who come later as well.
    let mut later = broker.client(5, "l").await;
    later.subscribes("a", 0, 0).await;
    later.gets(&publish(5, 0x31, "a", 0, &properties, b"x")).await;
    // And older clients get the message.
    let mut older = broker.client(4, "o").await;
    older.subscribes("a", 0, 0).await;
    older.hears(0x31, "a", 0, b"x").await;
}

#[tokio::test]
async fn properties_that_a_client_may_not_send_end_the_connection() {
    let broker = Broker::start().await;
    let cases: [(&str, Vec<u8>, u8); 6] = [
        ("a subscription identifier", vec![0x0b, 1], 0x82),
        (
            "a wildcard in a response topic",
            [&[0x08][..], &text("a/+")].concat(),
            0x82,
        ),
        ("a topic alias of 0", vec![0x23, 0, 0], 0x81),
        ("a topic alias above the maximum", vec![0x23, 0, 11], 0x94),
        ("a property of another packet", vec![0x11, 0, 0, 0, 1], 0x81),
        ("a property twice", vec![0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1], 0x82),
    ];
    for (case, properties, code) in cases {
        let mut client = broker.client(5, "c").await;
        client.send(&publish(5, 0x30, "a", 0, &properties, b"x")).await;
        match client.next().await.as_deref() {
            Some(answer) if answer == [0xe0, 1, code] => client.closed().await,
            // Which of the two codes is said is nobody's matter.
            Some([0xe0, 1, 0x81 | 0x82]) if code < 0x83 => client.closed().await,
            other => panic!("{case}: {other:02x?}"),
        }
    }
}

#[tokio::test]
async fn topic_aliases_are_a_connections_own() {
    let broker = Broker::start().await;
    let (mut reader, mut writer) = pair(&broker, 5, 0).await;
    // Every number up to the maximum that the CONNACK tells.
    for alias in 1..=10 {
        let topic = format!("topic/{alias}");
        writer
            .send(&publish(5, 0x30, &topic, 0, &[0x23, 0, alias], b"named"))
            .await;
        reader.hears(0x30, &topic, 0, b"named").await;
    }
    for alias in 1..=10 {
        writer
            .send(&publish(5, 0x30, "", 0, &[0x23, 0, alias], b"by its number"))
            .await;
        reader
            .hears(0x30, &format!("topic/{alias}"), 0, b"by its number")
            .await;
    }
    // It may stand for another from now on.
    writer
        .send(&publish(5, 0x30, "other", 0, &[0x23, 0, 1], b"x"))
        .await;
    writer.send(&publish(5, 0x30, "", 0, &[0x23, 0, 1], b"x")).await;
    reader.hears(0x30, "other", 0, b"x").await;
    reader.hears(0x30, "other", 0, b"x").await;
    // The next connection knows nothing of them, and goes on with the same session.
    writer.hang_up();
    let mut writer = broker.join(&Hello::staying(5, "v"), false).await;
    writer
        .send(&publish(5, 0x30, "mine", 0, &[0x23, 0, 1], b"x"))
        .await;
    reader.hears(0x30, "mine", 0, b"x").await;
    writer.hang_up();
    let mut writer = broker.join(&Hello::staying(5, "v"), true).await;
    writer.send(&publish(5, 0x30, "", 0, &[0x23, 0, 1], b"x")).await;
    writer.ended(0x82).await;
    reader.quiet().await;
}

#[tokio::test]
async fn more_than_the_receive_maximum_ends_the_connection() {
    let broker = Broker::with("max-inflight-messages = 2").await;
    let mut writer = broker.client(5, "w").await;
    for id in 1..=2 {
        writer.publishes(0x34, "a", id, b"x").await;
        writer.gets(&ack(0x50, id)).await;
    }
    writer.publishes(0x34, "a", 3, b"x").await;
    writer.ended(0x93).await;
}

#[tokio::test]
async fn acknowledgements_come_in_the_order_of_what_they_acknowledge() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        let mut all = Vec::new();
        for (head, id) in [(0x32, 9), (0x34, 5), (0x32, 3), (0x34, 8), (0x32, 4)] {
            all.extend(publish(level, head, "a", id, &[], b"x"));
        }
        all.extend([ack(0x62, 8), ack(0x62, 5)].concat());
        writer.send(&all).await;
        let nobody = |id| {
            if level == 5 {
                ack_with(0x40, id, 0x10)
            } else {
                ack(0x40, id)
            }
        };
        for expected in [
            nobody(9),
            ack(0x50, 5),
            nobody(3),
            ack(0x50, 8),
            nobody(4),
            ack(0x70, 8),
            ack(0x70, 5),
        ] {
            writer.gets(&expected).await;
        }
        writer.quiet().await;
    }
}
