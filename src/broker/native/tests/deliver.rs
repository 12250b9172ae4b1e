//! PUBLISH on its way out: quality of service, order, bounds and aliases (sections 3.3.4, 4.3, 4.6 and 4.9).

use super::support::*;

/// Publishes with QoS 1 or 2, and does all that the publisher has to.
async fn publish_whole(writer: &mut Client, head: u8, topic: &str, id: u16, payload: &[u8]) {
    writer.publishes(head, topic, id, payload).await;
    match head & 6 {
        0 => {}
        2 => writer.gets(&ack(0x40, id)).await,
        _ => {
            writer.gets(&ack(0x50, id)).await;
            writer.send(&ack(0x62, id)).await;
            writer.gets(&ack(0x70, id)).await;
        }
    }
}

#[tokio::test]
async fn the_lower_quality_of_service_holds() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        for granted in 0..=2u8 {
            let mut reader = broker.client(level, "r").await;
            reader.subscribes("a", granted, granted).await;
            let mut id = 0;
            for published in 0..=2u8 {
                publish_whole(&mut writer, 0x30 | published << 1, "a", 9, b"x").await;
                let qos = published.min(granted);
                // Its own packet ids, from 1; DUP is never set the first time.
                id += u16::from(qos > 0);
                reader.hears(0x30 | qos << 1, "a", id, b"x").await;
            }
            reader.quiet().await;
        }
    }
}

#[tokio::test]
async fn a_qos_2_delivery_takes_its_four_steps_under_one_id() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("a", 2, 2).await;
        let mut writer = broker.client(level, "w").await;
        for id in 1..=3 {
            publish_whole(&mut writer, 0x34, "a", 1, b"x").await;
            reader.hears(0x34, "a", id, b"x").await;
            reader.send(&ack(0x50, id)).await;
            reader.gets(&ack(0x62, id)).await;
            // Said twice, answered twice: the PUBREL is not acknowledged yet.
            reader.send(&ack(0x50, id)).await;
            reader.gets(&ack(0x62, id)).await;
            reader.send(&ack(0x70, id)).await;
            reader.quiet().await;
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_of_another_kind_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        for (head, wrong) in [(0x32, 0x50), (0x34, 0x40), (0x34, 0x70)] {
            let mut reader = broker.client(level, "r").await;
            reader.subscribes("a", 2, 2).await;
            let mut writer = broker.client(level, "w").await;
            publish_whole(&mut writer, head, "a", 1, b"x").await;
            reader.hears(head, "a", 1, b"x").await;
            reader.send(&ack(wrong, 1)).await;
            reader.closed().await;
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_is_answered_and_harms_nobody() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        client.send(&ack(0x40, 5)).await;
        client.send(&ack(0x70, 5)).await;
        client.quiet().await;
        client.send(&ack(0x50, 5)).await;
        client
            .gets(&if level == 5 {
                ack_with(0x62, 5, 0x92)
            } else {
                ack(0x62, 5)
            })
            .await;
        client.send(&ack(0x62, 5)).await;
        client.gets(&ack(0x70, 5)).await;
        client.quiet().await;
    }
}

#[tokio::test]
async fn overlapping_subscriptions_bring_one_message_before_mqtt_5() {
    let broker = Broker::start().await;
    let mut reader = broker.client(4, "r").await;
    for (filter, qos) in [("a/b", 0), ("a/+", 2), ("#", 1)] {
        reader.subscribes(filter, qos, qos).await;
    }
    let mut writer = broker.client(4, "w").await;
    publish_whole(&mut writer, 0x34, "a/b", 1, b"x").await;
    reader.hears(0x34, "a/b", 1, b"x").await;
    reader.quiet().await;
}

#[tokio::test]
async fn overlapping_subscriptions_of_mqtt_5_bring_one_each_with_its_identifier() {
    let broker = Broker::start().await;
    let mut reader = broker.client(5, "r").await;
    // The largest identifier takes four bytes.
    let subscriptions: [(&str, u8, &[u8]); 3] = [
        ("a/b", 0, &[0x0b, 1]),
        ("a/+", 2, &[0x0b, 0xff, 0xff, 0xff, 0x7f]),
        ("#", 1, &[]),
    ];
    for (filter, qos, identifier) in subscriptions {
        reader
            .send(&subscribe_as(5, 1, identifier, &[(filter, qos)]))
            .await;
        reader.gets(&suback(5, 1, &[qos])).await;
    }
    let mut writer = broker.client(5, "w").await;
    publish_whole(&mut writer, 0x34, "a/b", 1, b"x").await;
    let mut got = Vec::new();
    for _ in 0..3 {
        let packet = reader.next().await.unwrap();
        let head = if packet[0] & 6 == 0 { 7 } else { 9 };
        got.push((packet[0], packet[head..].to_vec()));
    }
    got.sort();
    let with = |identifier: &[u8]| [&sized(identifier)[..], b"x"].concat();
    assert_eq!(
        got,
        [
            (0x30, with(subscriptions[0].2)),
            (0x32, with(&[])),
            (0x34, with(subscriptions[1].2)),
        ]
    );
    reader.quiet().await;
    // What is retained has it as well.
    writer.publishes(0x31, "kept", 0, b"x").await;
    writer.quiet().await;
    reader.next().await;
    reader.send(&subscribe_as(5, 1, &[0x0b, 7], &[("kept", 0)])).await;
    reader.gets(&suback(5, 1, &[0])).await;
    reader.gets(&publish(5, 0x31, "kept", 0, &[0x0b, 7], b"x")).await;
}

#[tokio::test]
async fn messages_come_in_the_order_in_which_they_were_published() {
    let broker = Broker::start().await;
    for level in BOTH {
        for qos in 0..=2u8 {
            let mut reader = broker.client(level, "r").await;
            reader.subscribes("a/#", 2, 2).await;
            let mut writers = [broker.client(level, "w0").await, broker.client(level, "w1").await];
            const COUNT: u16 = 60;
            let head = 0x30 | qos << 1;
            for n in 1..=COUNT {
                for (writer, topic) in writers.iter_mut().zip(["a", "a/b"]) {
                    publish_whole(writer, head, topic, n, &n.to_be_bytes()).await;
                }
            }
            let mut next = [1, 1];
            let mut unreleased = std::collections::VecDeque::new();
            while next != [COUNT + 1; 2] || !unreleased.is_empty() {
                let packet = reader.next().await.unwrap();
                if packet[0] == 0x62 {
                    // In the order of the PUBRECs, between the messages.
                    assert_eq!(Some(&packet[2..]), unreleased.pop_front().as_deref());
                    reader.send(&packet_of(0x70, &packet[2..])).await;
                    continue;
                }
                assert_eq!(packet[0], head);
                let topic = 4 + usize::from(packet[3]);
                let id = &packet[topic..topic + 2];
                match qos {
                    1 => reader.send(&packet_of(0x40, id)).await,
                    2 => {
                        reader.send(&packet_of(0x50, id)).await;
                        unreleased.push_back(id.to_vec());
                    }
                    _ => {}
                }
                let n = u16::from_be_bytes(packet[packet.len() - 2..].try_into().unwrap());
                let which = usize::from(packet[3] == 3);
                assert_eq!(n, next[which], "of {}", ["a", "a/b"][which]);
                next[which] += 1;
            }
            reader.quiet().await;
        }
    }
}

fn packet_of(first: u8, id: &[u8]) -> Vec<u8> {
    packet(first, id)
}

#[tokio::test]
async fn no_more_are_on_their_way_than_the_client_takes() {
    let broker = Broker::start().await;
    let hello = Hello::new(5, "r").property(&[0x21, 0, 2]);
    let mut reader = broker.join(&hello, false).await;
    reader.subscribes("a", 2, 2).await;
    let mut writer = broker.client(5, "w").await;
    for (n, head) in [0x32, 0x34, 0x32, 0x34, 0x32, 0x32].into_iter().enumerate() {
        publish_whole(&mut writer, head, "a", 1, &[b'1' + n as u8]).await;
    }
    reader.hears(0x32, "a", 1, b"1").await;
    reader.hears(0x34, "a", 2, b"2").await;
    reader.quiet().await;
    // All but what is to be acknowledged goes on: QoS 0, answers, and its own messages.
    publish_whole(&mut writer, 0x30, "a", 0, b"zero").await;
    reader.hears(0x30, "a", 0, b"zero").await;
    reader.subscribes("b", 0, 0).await;
    reader.publishes(0x32, "b", 9, b"own").await;
    let mut answers = [reader.next().await.unwrap(), reader.next().await.unwrap()];
    answers.sort();
    assert_eq!(answers, [publish(5, 0x30, "b", 0, &[], b"own"), ack(0x40, 9)]);
    // A PUBREC makes no room, the PUBCOMP does.
    reader.send(&ack(0x50, 2)).await;
    reader.gets(&ack(0x62, 2)).await;
    reader.quiet().await;
    reader.send(&ack(0x70, 2)).await;
    reader.hears(0x32, "a", 3, b"3").await;
    reader.quiet().await;
    reader.send(&ack(0x40, 1)).await;
    reader.hears(0x34, "a", 4, b"4").await;
    // A refusal makes room, too.
    reader.send(&ack_with(0x50, 4, 0x80)).await;
    reader.hears(0x32, "a", 5, b"5").await;
    reader.send(&ack_with(0x40, 3, 0x80)).await;
    reader.hears(0x32, "a", 6, b"6").await;
    reader.quiet().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_for_the_client_is_done_with() {
    let broker = Broker::start().await;
    // A PUBLISH with QoS 1 and a payload of one byte, to the topic "a", is 9 bytes long.
    let hello = |longest: u8| Hello::staying(5, "r").property(&[0x27, 0, 0, 0, longest]);
    let mut reader = broker.join(&hello(17), false).await;
    reader.subscribes("a", 1, 1).await;
    let mut writer = broker.client(5, "w").await;
    publish_whole(&mut writer, 0x32, "a", 1, &[b'x'; 10]).await;
    publish_whole(&mut writer, 0x32, "a", 1, &[b'y'; 9]).await;
    publish_whole(&mut writer, 0x30, "a", 0, &[b'x'; 12]).await;
    // The id of the first is free again.
    let fits = reader.next().await.unwrap();
    assert_eq!((fits.len(), fits[0], fits[7]), (17, 0x32, 0));
    reader.quiet().await;
    reader.send(&packet(0x40, &fits[5..7])).await;
    reader.hang_up();
    let mut reader = broker.join(&hello(17), true).await;
    reader.quiet().await;
}

#[tokio::test]
async fn no_topic_alias_is_above_the_clients_maximum() {
    let broker = Broker::start().await;
    let mut without = broker.client(5, "none").await;
    let mut one = broker
        .join(&Hello::new(5, "one").property(&[0x22, 0, 1]), false)
        .await;
    for reader in [&mut without, &mut one] {
        reader.subscribes("#", 1, 1).await;
    }
    let mut writer = broker.client(5, "w").await;
    for topic in ["a", "b", "a", "b"] {
        publish_whole(&mut writer, 0x30, topic, 0, b"x").await;
        without.hears(0x30, topic, 0, b"x").await;
    }
    one.gets(&publish(5, 0x30, "a", 0, &[0x23, 0, 1], b"x")).await;
    one.hears(0x30, "b", 0, b"x").await;
    one.gets(&publish(5, 0x30, "", 0, &[0x23, 0, 1], b"x")).await;
    one.hears(0x30, "b", 0, b"x").await;
    one.quiet().await;
}

#[tokio::test]
async fn who_wants_no_explanations_gets_none() {
    let broker = Broker::with("message-size-limit = 1\nreason-strings = true").await;
    // One that has said nothing of it is told.
    let mut client = broker.client(5, "c").await;
    client.publishes(0x32, "a", 1, b"long").await;
    let told = client.next().await.unwrap();
    assert_eq!((told[0], told[4], told[6]), (0x40, 0x95, 0x1f), "{told:02x?}");
    let hello = Hello::new(5, "c").property(&[0x17, 0]);
    let mut client = broker.join(&hello, false).await;
    // Each answer is as short as can be: there is no reason string, and no user property.
    client.publishes(0x32, "a", 1, b"long").await;
    client.gets(&ack_with(0x40, 1, 0x95)).await;
    client.publishes(0x34, "a", 2, b"long").await;
    client.gets(&ack_with(0x50, 2, 0x95)).await;
    client.send(&ack(0x50, 3)).await;
    client.gets(&ack_with(0x62, 3, 0x92)).await;
    client.send(&subscribe(5, 4, &[("$share/g", 0)])).await;
    client.gets(&suback(5, 4, &[0x8f])).await;
    client.send(&unsubscribe(5, 5, &["a"])).await;
    client.gets(&unsuback(5, 5, &[0x11])).await;
    client.quiet().await;
}
